"""What speaks against going on: positions that cannot be valued now, and numbers that nobody has worked out lately."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from math import isfinite

import orjson

from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.model.account import Account
from stopline.model.closing_state import ClosingState
from stopline.model.control import Control, TradingState, account_scope
from stopline.model.errors import Unreadable
from stopline.model.ids import document_id
from stopline.model.scopes import Scope
from stopline.ports import Clock, Document, Path, Store
from stopline.rules.closing.still_working import Lists, shown
from stopline.service.accounts.reader import AccountReader, read_account
from stopline.service.documents.aggregate import Aggregates
from stopline.service.prices.marks import MarkTable, is_of_old_units, is_usable

log = logging.getLogger("stopline")
VALUED_WITHIN = timedelta(minutes=3)  # three rounds of the sweep

Breaks = Callable[[str], list[str]]
"""The open differences between an account's book and its broker, one line each."""
ListsOf = Callable[[str], Lists]
"""What the newest lists of an account's brokers name."""


class ResumeChecks:
    """Says what is in doubt about the accounts of a scope."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        accounts: AccountReader,
        books: Aggregates[Book],
        controls: Aggregates[Control],
        marks: MarkTable,
        closings: Aggregates[ClosingState],
        breaks: Breaks,
        lists: ListsOf,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._books = books
        self._controls = controls
        self._marks = marks
        self._clock = clock
        self._closings = closings
        self._breaks = breaks
        self._lists = lists

    def doubts(self, scope: Scope) -> list[str]:
        """Return what speaks against resuming. For the whole: of every account that is not stopped itself, so that one
        account in trouble does not hold up the rest: stop that one, then resume the whole. What is damaged is in doubt.
        """
        now = self._clock.now()
        self._marks.refresh()
        if scope.account:
            return self._about(scope.account, lambda: self._of_one(scope, now))
        found = []
        for document in self._accounts.documents():
            look = partial(self._where_it_trades, document, now)
            found += self._about(document.path.id, look)
        return found

    @staticmethod
    def _about(name: str, look: Callable[[], list[str]]) -> list[str]:
        try:
            return look()
        except Unreadable as problem:
            log.exception("what is asked before a resume cannot be read", extra={"account": name})
            return [f"{name}: {str(problem)[:160]}"]

    def _of_one(self, scope: Scope, now: datetime) -> list[str]:
        name = scope.account
        account = self._accounts.get(name)
        if account is not None:
            return [*self._still_working(scope, scope), *self._of(account, now)]
        book = self._books.read(name)
        if book is None or not book.open_positions():
            return []
        return [f"{name}: it has positions and no settings, nothing is watched: open it again"]

    def _where_it_trades(self, document: Document, now: datetime) -> list[str]:
        own = self._controls.read(account_scope(document.path.id))
        if own is not None and own.state is not TradingState.ACTIVE:
            return []
        working = self._still_working(Scope("global"), Scope("account", document.path.id))
        return [*working, *self._of(read_account(document), now)]

    def _still_working(self, halted: Scope, scope: Scope) -> list[str]:
        """Return which orders of a scope its halt, or that of the whole, should have cancelled, and a newer list names."""
        control = self._controls.read(halted.document)
        standing = control.standing(str(halted)) if control else None
        if standing is None or standing.state is not TradingState.HALTED or standing.since is None:
            return []
        orders = self._lists(scope.account).working(str(scope), standing.since)
        return [f"{scope.account}: {shown(orders)}"] if orders else []

    def _of(self, account: Account, now: datetime) -> list[str]:
        name = account.account
        found = [f"{name}: {text}" for text in self._breaks(name)]
        self._closings.read(name)  # where it is damaged the next stop would close nothing
        book = self._books.read(name)
        positions = book.open_positions() if book is not None else []
        if book is None or not positions:
            return found
        risk = self._store.get(Path("risk", document_id(name)))  # not decoded whole: that needs numpy's layer
        try:
            is_young = risk is not None and now - risk.data["as_of"] <= VALUED_WITHIN
            valued = orjson.loads(risk.data["state"]) if risk is not None and is_young else None
            is_behind = valued is not None and valued["book_revision"] != book.revision
            unpriced = {str(symbol) for symbol in valued["unpriced"]} if valued is not None else set()
        except (LookupError, TypeError, ValueError):
            log.exception("a valuation cannot be read", extra={"account": name})
            return [*found, f"{name}: its valuation cannot be read"]
        if valued is None:
            return [*found, f"{name}: it was not valued within {VALUED_WITHIN.seconds} s"]
        if is_behind:
            found.append(f"{name}: its book has changed since it was last valued")
        unpriced |= {p.instrument.symbol for p in positions if not self._is_priced(p, account, now)}
        if unpriced:
            found.append(f"{name}: no usable price for {', '.join(sorted(unpriced)[:5])}")
        return found

    def _is_priced(self, position: Position, account: Account, now: datetime) -> bool:
        """Tell whether a position can be valued at this moment: by a price, or else by its own last execution."""
        mark = self._marks.marks.get(position.instrument.symbol)
        if mark and isfinite(mark.quote.mark) and is_usable(mark, account, now, position.instrument):
            return not is_of_old_units(mark, position)
        oldest = now - timedelta(seconds=account.price_max_age_s)
        return position.is_priced_since(oldest)
