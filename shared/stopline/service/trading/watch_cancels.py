"""See to it that what a stop has cancelled is cancelled: where a broker's newer list still names an order of a halted scope,
where it refuses a cancel, and where people kill again, the cancel goes again, under a new id. After so many for one order
that nobody asked for, people are told that no more go. A halt that closes nothing leaves what only reduces: people place
stops by hand. Where nobody can read any more what went, one goes, people are told, and it is counted anew.
"""

import logging
from collections.abc import Callable
from datetime import datetime

import orjson

from stopline.model.control import Control
from stopline.model.errors import Transient, Unreadable
from stopline.model.messages import ExecutionReport
from stopline.model.scopes import Scope, scope_of
from stopline.model.times import LONG_AGO
from stopline.model.wire import canonical, validate
from stopline.ports import Clock, Data, Store, Where
from stopline.rules.closing.still_working import Lists
from stopline.rules.trading.cancel_alerts import refused_by
from stopline.rules.trading.cancels import (
    PAUSE,
    SETTLES,
    Cancels,
    Step,
    asked_for,
    changed,
    heard,
    is_wanted,
    refused_in,
    scopes_of,
    under,
)
from stopline.rules.trading.stops import Stops, all_stops
from stopline.service.documents.aggregate import WRITER, Aggregates, Change, Decide
from stopline.service.documents.outbox import Relay, Unpublished
from stopline.service.trading.control_documents import both_to_stop

log = logging.getLogger("stopline")
NONE = -1  # an epoch that no account has
MOST = 1_000  # accounts of whose refusals one answer speaks

ListsOf = Callable[[str], Lists]
"""What the newest lists of an account's brokers name."""


class CancelsCodec:
    """They as the fields of their document; `is_refused` beside it, so that one query finds who has refused something."""

    collection = "cancels"

    def encode(self, state: Cancels) -> Data:
        text = canonical(state.model_dump(mode="json")).decode()
        return {"account": state.account, "is_refused": any(state.doubted.values()), "state": text}

    def decode(self, data: Data) -> Cancels:
        return validate(Cancels, orjson.loads(data["state"]))


def cancels(store: Store, relay: Relay, clock: Clock) -> Aggregates[Cancels]:
    """Return access to all of these documents. A version that knows no refusals by scope and broker, and no moments
    that cancels are named by, leaves them alone.
    """

    def lost(account: str) -> Cancels:
        return Cancels(account=account, epoch=NONE, at=LONG_AGO, is_lost=True)

    return Aggregates(store, relay, clock, CancelsCodec(), writer=WRITER + 2, anew=lost)


class CancelWatcher:
    """Called before each look at what is to be closed, and with each report on a cancel. The only writer of
    `cancels/{account}`.
    """

    def __init__(
        self,
        documents: Aggregates[Cancels],
        controls: Aggregates[Control],
        relay: Relay,
        clock: Clock,
        lists: ListsOf,
    ) -> None:
        self._documents = documents
        self._relay = relay
        self._controls = controls
        self._clock = clock
        self._lists = lists

    def look(self, account: str, everywhere: Control, own: Control) -> list[str]:
        """Cancel again where that is due, by the controls of now; return the scopes of which everything was cancelled again.
        What cannot be read or stored now the next look does. Raises Transient where people have asked for it, once they have
        halted again, and it is not known to be out.
        """
        stops, now = all_stops(account, everywhere, own), self._clock.now()
        if not stops.of or (not stops.asked and now < stops.since + PAUSE):
            return []
        try:
            return self._look(account, stops, now)
        except Transient:
            if self._is_owed(account, stops):
                raise
            log.exception("cancels: whether orders work on is not known", extra={"account": account})
        return []

    def _is_owed(self, account: str, stops: Stops) -> bool:
        """Tell whether a cancel that people asked for is not known to be out."""
        if not stops.asked:
            return False
        try:
            known = under(self._documents.read(account), account, stops, self._clock.now())
        except Transient:
            return True
        return is_wanted(known, stops) or not self._documents.orders_are_out(account)

    def _look(self, account: str, stops: Stops, now: datetime) -> list[str]:
        try:
            stored = self._documents.read(account)  # a report may have come to another instance
        except Unreadable:  # a newer version's: nothing can note what goes, so that it has one id
            log.exception("cancels: which went again cannot be read", extra={"account": account})
            self._relay.publish(asked_for(stops, now))
            return []
        if not self._documents.is_out(account):
            self._change(account, lambda _state, _attempt: None)  # it goes out with this look
        known = under(stored, account, stops, now)
        is_asked = is_wanted(known, stops)
        if not is_asked and not known.told and now < known.next_at:
            return []
        lists = Lists({})
        if stops.is_halted or known.told:
            lists = self._listed(account, needed=stops.is_halted and not is_asked)
        if changed(known, stops, lists, now) is None:
            return []
        step: Step | None = None

        def decide(before: Cancels | None, attempt: int) -> Change[Cancels] | None:
            nonlocal step
            step = changed(under(before, account, stops, now), stops, lists, now)
            return Change(*step) if step is not None else None

        self._change(account, decide)
        return scopes_of(step) if step is not None else []

    def _change(self, account: str, decide: Decide[Cancels]) -> None:
        """Change what is known of the cancels; raise Unpublished only where one of them is due: none waits for an alert."""
        try:
            self._documents.change(account, decide)
        except Unpublished:
            if not self._documents.orders_are_out(account):
                raise
            log.warning("cancels are out, what people are told of them is due", extra={"account": account})

    def _listed(self, account: str, *, needed: bool) -> Lists:
        try:
            return self._lists(account)
        except Transient:
            if needed:
                raise
            return Lists({})  # what is wanted, or was refused, goes all the same

    def refused(self, scope: str) -> str:
        """Say which brokers have refused a cancel of a scope, of the whole in which account, and have listed nothing and
        taken none since; empty where none is known to. What cannot be read is said too.
        """
        named, brokers, unread = scope_of(scope), list[str](), False
        try:
            for account in [named.account] if named.account else self._refusing():
                try:
                    found = self._refused_in(account, named)
                except Unreadable:
                    log.exception("cancels: who refused them cannot be read", extra={"account": account})
                    unread = True
                else:
                    brokers += found if named.account else [f"{broker} ({account})" for broker in found]
        except Transient:
            log.exception("cancels: who refused them cannot be read", extra={"scope": scope})
            unread = True
        return refused_by(brokers, unread=unread)

    def _refusing(self) -> list[str]:
        documents = self._documents.query([Where("is_refused", "==", True)], limit=MOST)
        return sorted(document.path.id for document in documents)

    def _refused_in(self, account: str, scope: Scope) -> list[str]:
        """Raises Unreadable where what is noted of the cancels is damaged, or gone; Transient where it cannot be read."""
        state = self._documents.read(account)
        if state is None:
            return []
        if state.is_lost:
            raise Unreadable(f"which cancels of {account} went again is not known")
        found = refused_in(state, all_stops(account, *both_to_stop(self._controls, account)), scope)
        lists = self._lists(account) if found else Lists({})
        return [broker for broker in found if not lists.is_told(broker, state.at + SETTLES)]

    def report(self, report: ExecutionReport) -> bool:
        """Take what a broker says about a cancel of a stop; False: the command is none that is out. A refusal is told at
        once, and answered by another cancel.
        """
        account, now = report.account, self._clock.now()
        stops = all_stops(account, *both_to_stop(self._controls, account))
        found = False

        def decide(before: Cancels | None, attempt: int) -> Change[Cancels] | None:
            nonlocal found
            found, step = heard(under(before, account, stops, now), stops, report, now)
            return Change(*step) if step is not None else None

        if stops.of:
            self._documents.change(account, decide)
        return found
