"""What speaks against going on: positions that cannot be valued now, and numbers that nobody has worked out lately."""

from collections.abc import Callable
from datetime import datetime, timedelta
from math import isfinite

import orjson

from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.model.account import Account
from stopline.model.control import Control, TradingState, account_scope
from stopline.model.ids import document_id
from stopline.model.scopes import Scope
from stopline.ports import Clock, Path, Store
from stopline.service.accounts.reader import AccountReader
from stopline.service.documents.aggregate import Aggregates
from stopline.service.prices.marks import MarkTable, is_of_old_units, is_usable

VALUED_WITHIN = timedelta(minutes=3)  # three rounds of the sweep

Breaks = Callable[[str], list[str]]
"""The open differences between an account's book and its broker, one line each."""


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
        breaks: Breaks,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._books = books
        self._controls = controls
        self._marks = marks
        self._clock = clock
        self._breaks = breaks

    def doubts(self, scope: Scope) -> list[str]:
        """Return what speaks against resuming. For the whole: of every account that is not stopped itself, so that one
        account in trouble does not hold up the rest: stop that one, then resume the whole.
        """
        now = self._clock.now()
        self._marks.refresh()
        if scope.account:
            known = self._accounts.get(scope.account)
            return self._of(known, now) if known else []
        found = []
        for account in self._accounts.all():
            own = self._controls.read(account_scope(account.account))
            if own is None or own.state is TradingState.ACTIVE:
                found += self._of(account, now)
        return found

    def _of(self, account: Account, now: datetime) -> list[str]:
        name = account.account
        found = [f"{name}: {text}" for text in self._breaks(name)]
        book = self._books.read(name)
        positions = book.open_positions() if book is not None else []
        if book is None or not positions:
            return found
        risk = self._store.get(Path("risk", document_id(name)))  # not decoded whole: that needs numpy's layer
        if risk is None or now - risk.data["as_of"] > VALUED_WITHIN:
            return [*found, f"{name}: it was not valued within {VALUED_WITHIN.seconds} s"]
        valued = orjson.loads(risk.data["state"])
        if valued["book_revision"] < book.revision:
            found.append(f"{name}: its book has changed since it was last valued")
        unpriced = {p.instrument.symbol for p in positions if not self._is_priced(p, account, now)}
        unpriced |= set(valued["unpriced"])
        if unpriced:
            found.append(f"{name}: no usable price for {', '.join(sorted(unpriced)[:5])}")
        return found

    def _is_priced(self, position: Position, account: Account, now: datetime) -> bool:
        """Tell whether a position can be valued at this moment: by a price, or else by its own last fill."""
        mark = self._marks.marks.get(position.instrument.symbol)
        if mark and isfinite(mark.quote.mark) and is_usable(mark, account, now, position.instrument):
            return not is_of_old_units(mark, position)
        oldest = now - timedelta(seconds=account.price_max_age_s)
        return position.last is not None and position.last[0] >= oldest
