"""Take a price batch: store the marks, value every account that they touch, and watch its limits."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.errors import Transient, Unreadable
from stopline.model.ids import digest
from stopline.model.prices import PriceBatch, Quote
from stopline.model.times import utc_text
from stopline.ports import Clock, Store
from stopline.risk.columns import Columns, columns
from stopline.risk.net_greeks import Terms
from stopline.risk.returns import FloatArray
from stopline.rules.limits.figures import Valued
from stopline.rules.limits.net_greeks import AccountGreeks
from stopline.service.accounts.reader import AccountReader
from stopline.service.evaluation.evaluate import Evaluator, exchange_rate, value_positions
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.fills.books import BookFeed
from stopline.service.history.factors import FactorReader
from stopline.service.prices.greeks import Watched, net_greeks, option_terms
from stopline.service.prices.market import needs_returns
from stopline.service.prices.marks import MarkTable, is_of_old_units, is_usable

log = logging.getLogger("stopline")
LEFT_AFTER = timedelta(minutes=3)  # without a word of whoever knows newer settings, older ones decide


class Desk:
    """What an instance knows of all accounts: books, marks and settings, brought up to date before use."""

    def __init__(self, store: Store, accounts: AccountReader, marks: MarkTable) -> None:
        self._accounts = accounts
        self._feed = BookFeed(store)
        self._columns: Columns = columns({})
        self._terms: Terms = option_terms(self._columns, {})
        self._calendars: dict[str, str] = {}
        self._outdated = False  # books were read that the columns do not show yet
        self._marks = marks
        self.accounts: dict[str, Account] = {}
        self.unseen: set[str] = set()  # accounts with a new book that was not evaluated yet
        self.unreadable: dict[str, str] = {}  # accounts whose book or settings are damaged: left out, and why

    @property
    def books(self) -> Mapping[str, Book]:
        return self._feed.books

    @property
    def marks(self) -> MarkTable:
        return self._marks

    @property
    def columns(self) -> Columns:
        return self._columns

    @property
    def terms(self) -> Terms:
        """The terms of the columns' positions: what Greeks are worked out from."""
        return self._terms

    def refresh(self) -> None:
        """Read what changed. What was read stays noted, in `unseen` too, even if a later read fails."""
        changed = self._feed.refresh()
        self.unseen |= changed & self._feed.books.keys()
        self._outdated = self._outdated or bool(changed)
        self._marks.refresh()
        self.unreadable = dict(self._feed.unreadable)
        for name in self.unreadable:
            self.accounts.pop(name, None)
        for name in self._feed.books:
            try:
                account = self._accounts.get(name)
            except Unreadable as problem:
                self.unreadable[name] = str(problem)
                self.accounts.pop(name, None)
                continue
            if account is not None:
                self.accounts[name] = account
        calendars = {name: account.calendar for name, account in self.accounts.items()}
        if self._outdated or calendars != self._calendars:
            self._columns = columns(self._feed.books)
            self._terms = option_terms(self._columns, self.accounts)
            self._calendars = calendars
            self._outdated = False

    def read_settings(self, names: Iterable[str]) -> set[str]:
        """Read settings afresh, whatever was kept of them; return whose could be read."""
        found = {name: account for name in names if (account := self._accounts.stored(name)) is not None}
        self.accounts |= found
        return set(found)


def _is_alone(state: RiskState, now: datetime) -> bool:
    """Tell whether nobody has decided for so long that whoever did is gone."""
    return now - state.as_of > LEFT_AFTER


@dataclass(frozen=True, slots=True)
class Worth:
    """An account's positions at one moment: valued, what measures are made of, the Greeks, and the volatilities behind
    them.
    """

    positions: Sequence[Valued]
    watched: Watched
    greeks: AccountGreeks
    volatility: FloatArray


_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class PriceMarker:
    """Takes price batches. Several instances may; the marks and the risk documents decide by version."""

    def __init__(self, clock: Clock, desk: Desk, evaluator: Evaluator, factors: FactorReader) -> None:
        self._clock = clock
        self._desk = desk
        self._evaluator = evaluator
        self._factors = factors
        self._kept: tuple[datetime, int, Columns | None, dict[str, Worth]] = (_NEVER, 0, None, {})

    def mark(self, batch: PriceBatch) -> list[tuple[str, str]]:
        """Take one batch; return (symbol, reason) of the prices that were refused or held back."""
        held_back = self._desk.marks.merge(batch)
        self._desk.refresh()
        touched = self._holders(set(batch.quotes)) | self._desk.unseen
        try:
            self.evaluate(touched, self._clock.now(), digest("prices", batch.source, utc_text(batch.as_of)))
        except Unreadable:  # the sweep tells of it; the same prices again would mend nothing
            log.exception("prices: an account cannot be valued")
        return [*batch.refused, *held_back]

    def value_new(self, name: str, now: datetime, cause: str) -> None:
        """Evaluate an account unless its risk document is of its present book: what prices and time do to it is told by
        price batches and by the minute's sweep.
        """
        book = self._desk.books.get(name)
        if book is None or not self._evaluator.has_valued(name, book.revision):
            self.evaluate({name}, now, cause)
        else:
            self._desk.unseen.discard(name)

    def evaluate(
        self,
        names: set[str],
        now: datetime,
        cause: str,
        force: bool = False,
        passed: Mapping[str, int] | None = None,
    ) -> None:
        """Evaluate some accounts with what the desk knows. Where newer settings than its own have decided already, they are
        read, and it decides by them. `passed`: the versions that were seen before the settings were read. What is wrong
        with one alone, Unreadable where its documents are damaged, is raised once all others are evaluated.
        """
        desk, damaged, faults = self._desk, list[Exception](), list[Exception]()
        newer = dict[str, RiskState]()
        accounts = [desk.accounts[name] for name in sorted(names & desk.accounts.keys())]
        worths = self.worth(accounts, now)
        for account in accounts:
            name, book = account.account, desk.books[account.account]
            factors = self._factors.latest(account.calendar) if needs_returns(account) else None
            worth = worths[name]
            above = passed.get(name, 0) if passed else 0
            try:
                state = self._evaluator.evaluate(
                    account,
                    book,
                    worth.positions,
                    desk.marks.marks,
                    now,
                    cause,
                    force,
                    worth.greeks,
                    factors,
                    above,
                )
            except Unreadable as problem:
                damaged.append(problem)
                continue
            except Transient:
                raise
            except Exception as problem:
                log.exception("an account cannot be valued", extra={"account": name})
                faults.append(problem)
                continue
            if state is not None and state.settings > max(account.version, above) and passed is None:
                newer[name] = state
            desk.unseen.discard(name)
        if newer:
            read = desk.read_settings(newer)
            # where they are damaged since, those who know them decide; when nobody does any more, what was read last holds
            mine = {n for n, state in newer.items() if n in read or _is_alone(state, now)}
            self.evaluate(mine, now, cause, force, {name: newer[name].settings for name in mine})
        if faults or damaged:
            raise [*faults, *damaged][0]

    def worth(self, accounts: Sequence[Account], now: datetime) -> Mapping[str, Worth]:
        """Return what accounts are worth at a moment, by name, worked out in one pass. Of the moment that was asked for
        last it is kept: the sweep's measures go by the same prices as the limits before them.
        """
        desk = self._desk
        table, changes = desk.columns, desk.marks.changes
        at, seen, of, kept = self._kept
        if (at, seen) != (now, changes) or of is not table:
            kept = {}
        new = [a for a in accounts if not self._is_current(kept.get(a.account), a)]
        if new:
            valued = value_positions(table, desk.marks.marks, new, now)
            watched = {a.account: self.watched(a, valued[a.account], now) for a in new}
            priced = net_greeks(table, desk.terms, list(watched.values()), now)
            kept = kept | {
                name: Worth(each.positions, each, priced[name].greeks, priced[name].volatility)
                for name, each in watched.items()
            }
            self._kept = (now, changes, table, kept)
        return kept

    def _is_current(self, known: Worth | None, account: Account) -> bool:
        """Tell whether an account has the settings and betas that it was valued by."""
        if known is None or known.watched.account is not account:
            return False
        return known.watched.betas == self._betas(account)

    def watched(self, account: Account, positions: Sequence[Valued], now: datetime) -> Watched:
        """Return what the Greeks and measures of an account are made of: positions, usable quotes, rates, betas."""
        marks = self._desk.marks.marks
        split = {p.position.instrument.symbol: p.position for p in positions if p.position.split_at}

        @cache
        def quote(symbol: str) -> Quote | None:
            mark, turned = marks.get(symbol), split.get(symbol)
            if mark is None or not is_usable(mark, account, now):
                return None
            return None if turned is not None and is_of_old_units(mark, turned) else mark.quote

        rate = exchange_rate(account, marks, now)
        return Watched(account, positions, quote, rate, self._betas(account), now)

    def _betas(self, account: Account) -> Mapping[str, float]:
        asked = account.measures
        return self._factors.betas(account.calendar, asked.index, asked.window)

    def _holders(self, symbols: set[str]) -> set[str]:
        """Return the accounts with a position in or on one of the symbols, or in a currency they price, or that asked to
        be told of its price.
        """
        table = self._desk.columns
        holders = {
            name
            for name, account in self._desk.accounts.items()
            if any(level.symbol in symbols for level in account.levels)
        }
        for name, rows in table.slices.items():
            account = self._desk.accounts.get(name)
            if account is None:
                continue
            for position in table.positions[rows]:
                contract = position.instrument
                if (
                    not symbols.isdisjoint((contract.symbol, contract.underlying))
                    or f"{contract.currency}{account.currency}" in symbols
                ):
                    holders.add(name)
                    break
        return holders
