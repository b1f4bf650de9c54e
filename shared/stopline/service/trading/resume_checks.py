"""What speaks against going on: positions that cannot be valued now, and numbers that nobody has worked out lately."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from math import isfinite
from typing import NamedTuple

import orjson

from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.model.account import Account
from stopline.model.closing_state import ClosingState
from stopline.model.control import GLOBAL, Control, TradingState, account_scope
from stopline.model.errors import Transient, Unreadable
from stopline.model.ids import document_id
from stopline.model.scopes import Scope
from stopline.model.times import utc_text
from stopline.ports import Clock, Document, Each, Path, Store
from stopline.rules.closing.still_working import Listed, Lists, shown
from stopline.service.accounts.reader import AccountReader, read_account
from stopline.service.documents.aggregate import Aggregates
from stopline.service.prices.marks import MarkTable, is_of_old_units, is_usable
from stopline.service.reconciliation.reconciliations import Reconciliation

log = logging.getLogger("stopline")
VALUED_WITHIN = timedelta(minutes=3)  # three rounds of the sweep

ListedOf = Callable[[str, Account | None, Book, ClosingState | None, datetime], Lists]
"""What `WorkingOrders.listed` says."""


class Stored(NamedTuple):
    """The documents of an account as they were at one moment; each is decoded by who asks for it."""

    control: Document | None
    closings: Document | None
    book: Document | None
    reconciliation: Document | None
    risk: Document | None


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
        reconciliations: Aggregates[Reconciliation],
        listed: ListedOf,
        each: Each,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._books = books
        self._controls = controls
        self._marks = marks
        self._clock = clock
        self._closings = closings
        self._reconciliations = reconciliations
        self._listed_of = listed
        self._for_each = each

    def doubts(self, scope: Scope) -> list[str]:
        """Return what speaks against resuming. For the whole: of every account that is not stopped itself, so that one
        account in trouble does not hold up the rest: stop that one, then resume the whole. What is damaged is in doubt.
        Many accounts are looked at several at a time, by few calls each. Raises Transient where the store cannot be read.
        """
        now = self._clock.now()
        self._marks.refresh()
        if scope.account:
            return self._about(scope.account, lambda: self._of_one(scope, now))
        documents = {document.path.id: document for document in self._accounts.documents()}
        everywhere = self._controls.read(GLOBAL)
        found: dict[str, list[str]] = {}
        failed: list[Transient] = []

        def take(name: str) -> None:
            if failed:
                return
            look = partial(self._where_it_trades, name, documents[name], everywhere, now)
            try:
                found[name] = self._about(name, look)
            except Transient as problem:  # the store does not answer: no other account waits for it
                failed.append(problem)

        self._for_each(take, list(documents))
        if failed:
            raise failed[0]
        return [text for name in documents for text in found[name]]

    @staticmethod
    def _about(name: str, look: Callable[[], list[str]]) -> list[str]:
        try:
            return look()
        except Unreadable as problem:
            log.exception("what is asked before a resume cannot be read", extra={"account": name})
            return [f"{name}: {str(problem)[:160]}"]

    def _of_one(self, scope: Scope, now: datetime) -> list[str]:
        name = scope.account
        account, stored = self._accounts.get(name), self._stored(name)
        control = self._controls.adopt(scope.document, stored.control)
        if account is not None:
            return self._of(account, stored, now, control, scope, scope)
        found, book = self._working(name, None, stored, control, scope, scope)
        if book is not None and book.open_positions():
            found.append(f"{name}: it has positions and no settings, nothing is watched: open it again")
        return found

    def _where_it_trades(
        self, name: str, document: Document, everywhere: Control | None, now: datetime
    ) -> list[str]:
        stored = self._stored(name)
        own = self._controls.adopt(account_scope(name), stored.control)
        if own is not None and own.state is not TradingState.ACTIVE:
            return []
        account = read_account(document)
        return self._of(account, stored, now, everywhere, Scope("global"), Scope("account", name))

    def _stored(self, name: str) -> Stored:
        paths = (
            self._controls.path(account_scope(name)),
            self._closings.path(name),
            self._books.path(name),
            self._reconciliations.path(name),
            Path("risk", document_id(name)),  # not decoded whole: that needs numpy's layer
        )
        return Stored(*self._store.get_all(paths))

    def _of(
        self,
        account: Account,
        stored: Stored,
        now: datetime,
        control: Control | None,
        resumed: Scope,
        scope: Scope,
    ) -> list[str]:
        """Return what is in doubt about an account. `control` has what is `resumed`, `scope` is what that covers here."""
        name = account.account
        compared = self._reconciliations.adopt(name, stored.reconciliation)
        breaks = {**_may_differ(compared), **compared.blocked} if compared else {}
        found, book = self._working(name, account, stored, control, resumed, scope)
        found += [f"{name}: {symbol}: {why}" for symbol, why in breaks.items()]
        return [*found, *self._of_book(account, book, stored.risk, now)]

    def _working(
        self,
        name: str,
        account: Account | None,
        stored: Stored,
        control: Control | None,
        resumed: Scope,
        scope: Scope,
    ) -> tuple[list[str], Book | None]:
        """Return what is known, or cannot be, of orders that work on although the halt has cancelled them; and the book."""
        closing = self._closings.adopt(name, stored.closings)  # damaged: the next stop would close nothing
        book = self._books.adopt(name, stored.book)
        standing = control.standing(str(resumed)) if control else None
        if not standing or standing.state is not TradingState.HALTED or not standing.since:
            return [], book
        lists = self._listed_of(name, account, book or Book(name), closing, standing.since)
        orders = lists.working(str(scope), standing.since)
        orders = [one for one in orders if standing.flatten or one.adds]
        found = [f"{name}: {shown(orders)}{_to_do(orders)}"] if orders else []
        return [*found, *(f"{name}: {why[:160]}" for why in lists.unread.values())], book

    def _of_book(
        self, account: Account, book: Book | None, risk: Document | None, now: datetime
    ) -> list[str]:
        """Return what speaks against the valuation of what is open."""
        name = account.account
        positions = book.open_positions() if book is not None else []
        if book is None or not positions:
            return []
        try:
            is_young = risk is not None and now - risk.data["as_of"] <= VALUED_WITHIN
            valued = orjson.loads(risk.data["state"]) if risk is not None and is_young else None
            is_behind = valued is not None and valued["book_revision"] != book.revision
            unpriced = {str(symbol) for symbol in valued["unpriced"]} if valued is not None else set()
        except (LookupError, TypeError, ValueError):
            log.exception("a valuation cannot be read", extra={"account": name})
            return [f"{name}: its valuation cannot be read"]
        if valued is None:
            return [f"{name}: it was not valued within {VALUED_WITHIN.seconds} s"]
        found = [f"{name}: its book has changed since it was last valued"] if is_behind else []
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


def _to_do(orders: Sequence[Listed]) -> str:
    """Say by which list they work, and what people must do."""
    at = utc_text(max(one.at for one in orders))
    return f", listed at {at}: cancel them at the broker by hand, and have a newer list without them sent"


def _may_differ(compared: Reconciliation) -> dict[str, str]:
    """Return what a statement of a moment ago shows otherwise: fills may be on their way, or it is a break."""
    return {symbol: f"{sides}; {compared.waits.get(symbol, '')}" for symbol, sides in compared.doubts.items()}
