"""What the brokers' statements say of an account that is to be flat: what speaks against it, and up to when all agree."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.closing_state import ClosingState
from stopline.model.errors import Transient, Unreadable
from stopline.rules.closing.order import Stated
from stopline.rules.closing.still_working import NO_LISTS, Lists, shown
from stopline.service.reconciliation.reconciliations import Reconciliation

log = logging.getLogger("stopline")

ListedOf = Callable[[str, Account | None, Book, ClosingState | None, datetime], Lists]
"""What `WorkingOrders.listed` says."""


class StatementCheck:
    """Asks the reconciliation and the brokers' lists of orders. It changes nothing."""

    def __init__(self, compared: Callable[[str], Reconciliation | None], listed: ListedOf) -> None:
        self._compared_of = compared
        self._listed_of = listed

    def of(
        self, account: Account | None, book: Book, closing: ClosingState, halted: Mapping[str, datetime]
    ) -> Stated:
        """Return which statements speak against a flat book, by what they hold or by orders that work after the halts
        `halted`, and up to when all agree with it. `account`: None where the settings cannot be read, or are gone.
        """
        name = closing.account
        try:
            found = self._compared_of(name)
            since = min(halted.values(), default=None)
            lists = self._listed_of(name, account, book, closing, since) if since is not None else NO_LISTS
        except Transient as problem:  # it is closed all the same, and nothing more is called flat
            log.exception("closing: what brokers say is not known", extra={"account": name})
            is_told = isinstance(problem, Unreadable) and not book.open_positions()
            return Stated(denied=str(problem)[:300] if is_told else "", is_unread=True)
        orders = {scope: lists.working(scope, since) for scope, since in halted.items()}
        working = {scope: shown(some) for scope, some in orders.items() if some}
        blocked = {**lists.unread, **(found.blocked if found else {})}
        denied = "" if book.open_positions() else "; ".join(f"{s}: {why}" for s, why in blocked.items())
        if lists.unread:
            return Stated(denied=denied[:300], working=working, is_unread=True)
        if found is None:
            return Stated(working=working)
        told = {b: found.reported.get(b) for b in (account.brokers if account else found.reported)}
        complete = [one.complete_at for one in told.values() if one and one.complete_at]
        if found.breaks or found.waits or len(complete) < len(told):
            return Stated(denied=denied[:300], working=working)
        silent = lists.silent(halted)
        by = ", ".join(
            f"{broker} {one.statement_id}{' (positions only)' if broker in silent else ''}"
            for broker, one in told.items()
            if one
        )
        return Stated(min(complete, default=None), by[:300], denied, working)
