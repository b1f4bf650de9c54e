"""What speaks against going on: positions that cannot be valued now, and numbers that nobody has worked out lately."""

from collections.abc import Callable
from datetime import datetime, timedelta

import orjson

from stopline.ledger.book import Book
from stopline.model.control import Control, TradingState, account_scope
from stopline.model.ids import document_id
from stopline.model.scopes import Scope
from stopline.ports import Clock, Path, Store
from stopline.service.accounts.reader import AccountReader
from stopline.service.documents.aggregate import Aggregates

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
        breaks: Breaks,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._books = books
        self._controls = controls
        self._clock = clock
        self._breaks = breaks

    def doubts(self, scope: Scope) -> list[str]:
        """Return what speaks against resuming. For the whole: of every account that is not stopped itself, so that one
        account in trouble does not hold up the rest: stop that one, then resume the whole.
        """
        now = self._clock.now()
        if scope.account:
            return self._of(scope.account, now)
        found = []
        for account in self._accounts.all():
            own = self._controls.read(account_scope(account.account))
            if own is None or own.state is TradingState.ACTIVE:
                found += self._of(account.account, now)
        return found

    def _of(self, account: str, now: datetime) -> list[str]:
        found = [f"{account}: {text}" for text in self._breaks(account)]
        book = self._books.read(account)
        if book is None or not book.open_positions():
            return found
        risk = self._store.get(
            Path("risk", document_id(account))
        )  # not decoded whole: that needs numpy's layer
        if risk is None or now - risk.data["as_of"] > VALUED_WITHIN:
            return [*found, f"{account}: it was not valued within {VALUED_WITHIN.seconds} s"]
        unpriced = orjson.loads(risk.data["state"])["unpriced"]
        if unpriced:
            found.append(f"{account}: no usable price for {', '.join(unpriced[:5])}")
        return found
