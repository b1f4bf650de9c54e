"""Cancel working orders where trading stops: all of them where it is halted, and where only what reduces risk is let through
those that may add some. A commit of its own, before anything is closed: whatever keeps a book from being closed keeps no
cancel back. Stopline knows no order book: the adapter tells which ones these are.
"""

import logging
from collections.abc import Sequence

from stopline.model.control import GLOBAL, Control, account_scope
from stopline.model.errors import Transient, Unreadable
from stopline.model.messages import Effect, alert_effect
from stopline.model.scopes import Scope
from stopline.ports import Clock
from stopline.rules.trading.cancel_alerts import taken_off
from stopline.rules.trading.cancel_commands import cancel_of, whole_cancel
from stopline.rules.trading.stops import all_stops, halts_now
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import Relay, Unpublished
from stopline.service.trading.control_documents import both_to_stop, of_everything

log = logging.getLogger("stopline")
PAGE = 100  # accounts in one reading


class OrderCanceller:
    """Sends `cancel_all` and `cancel_adding`, once an epoch. Called by whoever stops trading, and before each look at what
    is to be closed.
    """

    def __init__(self, documents: Aggregates[Control], relay: Relay, clock: Clock) -> None:
        self._documents = documents
        self._relay = relay
        self._clock = clock

    def owing(self, accounts: Sequence[str]) -> list[str]:
        """Return to which accounts a cancel may be owed: all but those whose cancels of now are known to be out. What cannot
        be read is owed. Many are read by one call, and need not be read again: `just_read`.
        """
        found: list[str] = []
        for start in range(0, len(accounts), PAGE):
            page = accounts[start : start + PAGE]
            try:
                everywhere, *own = self._documents.read_all(GLOBAL, *map(account_scope, page))
            except Transient:  # of one of them: each is tried by itself
                found += page
                continue
            epoch = everywhere.epoch if everywhere else 0
            found += [name for name, one in zip(page, own, strict=True) if not self._is_out(one, epoch)]
        return found

    def _is_out(self, own: Control | None, everywhere: int) -> bool:
        if own is None or own.cancelled < everywhere + own.epoch:
            return False
        return self._documents.orders_are_out(own.scope)

    def advance(self, account: str, *, just_read: bool = False) -> Sequence[Effect]:
        """Send the cancels that an account's stops are still owed; return them. Raises Unavailable or Unpublished:
        what was committed goes out with the next call. They are out, whatever else of the document is due, where it
        returns. `just_read`: the caller has read both controls a moment ago.
        """
        scope = account_scope(account)
        everywhere, known = self._known(account, just_read)
        sent: Sequence[Effect] = ()

        if self._is_out(known, everywhere.epoch):
            return sent  # what else is due waits for nobody here

        def decide(control: Control | None, attempt: int) -> Change[Control] | None:
            nonlocal sent
            before = control or Control(scope=scope)
            epoch = everywhere.epoch + before.epoch
            effects = self._cancels(account, everywhere, before) if before.cancelled < epoch else []
            sent = _cancels(effects)
            halts, now, known_at = halts_now(everywhere, before), self._clock.now(), before.cancelled_at
            same = {scope for scope, since in halts.items() if before.cancelled_halts.get(scope) == since}
            at = {scope: known_at.get(scope, now) if scope in same else now for scope in halts}
            known = {"cancelled": epoch, "cancelled_halts": halts, "cancelled_at": at}
            return Change(before.model_copy(update=known), effects) if effects else None

        owed = self._cancels(account, everywhere, known)
        try:
            if owed:
                self._documents.change(scope, decide)
        except Unpublished:
            if not self._documents.orders_are_out(scope):
                raise
            log.warning("cancels are out, other messages of the stop are due", extra={"account": account})
        except Unreadable:  # nothing can note that they are out: they are said again, as the same commands
            self._relay.publish(owed)
            sent = _cancels(owed)
        return sent

    def _known(self, account: str, just_read: bool) -> tuple[Control, Control]:
        documents, scope = self._documents, account_scope(account)
        try:
            if just_read:
                return of_everything(documents, cached=True), documents.peek(scope) or Control(scope=scope)
        except Unreadable:
            pass
        return both_to_stop(documents, account)

    def _cancels(self, account: str, everywhere: Control, own: Control) -> list[Effect]:
        """Return what the epoch of now cancels. A halt that closes nothing and was cancelled before, as adapters have heard,
        leaves what only reduces under the epoch of something else: people have placed stops by hand since. Where adapters
        may not have heard it everything goes, and people are told.
        """
        stops, now = all_stops(account, everywhere, own), self._clock.now()
        due = self._documents.due(own.scope)  # another instance's too, published or not
        owed = None if due is None else [one for one in map(whole_cancel, due) if one]

        def is_out(scope: Scope) -> bool:
            return owed is not None and not any(one == scope or one.kind == "account" for one in owed)

        first = stops.first(now, is_out)
        sent = [
            cancel_of(stop.scope, action, stops.epoch, now, halted=stop.is_halted) for stop, action in first
        ]
        gone = [taken_off(stop.scope, stops.epoch, now) for stop, action in first if stop.takes_off(action)]
        return [*sent, *map(alert_effect, gone)]


def _cancels(effects: Sequence[Effect]) -> Sequence[Effect]:
    return [effect for effect in effects if effect.topic == "orders"]
