"""See to it that what a stop has cancelled is cancelled: where a broker's newer list still names an order of a halted scope,
where it refuses a cancel, and where people kill again, the cancel goes again, under a new id. After so many without being
asked for, people are told that no more go. Where nobody can read any more what went, one goes, people are told, and it is
counted anew.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson
from pydantic import Field

from stopline.model.control import Control
from stopline.model.errors import Transient, Unreadable
from stopline.model.ids import Id, Name
from stopline.model.messages import CommandAction, Effect, ExecutionReport, ReportStatus, alert_effect
from stopline.model.scopes import Scope, ScopeText, scope_of
from stopline.model.text import Text
from stopline.model.times import UtcText, utc_text
from stopline.model.wire import Message, canonical, validate
from stopline.ports import Clock, Data, Store
from stopline.rules.closing.still_working import Lists
from stopline.rules.trading import cancel_alerts
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import Relay
from stopline.service.trading.cancel_orders import cancel_of, stops_of
from stopline.service.trading.control_documents import both_to_stop

log = logging.getLogger("stopline")
MOST = 5  # cancels again, of one epoch, that nobody asked for
PAUSE = timedelta(seconds=20)  # before the first of them; doubled with each
SETTLES = timedelta(seconds=10)  # a list that was asked for sooner after a cancel shows nothing of it
NONE = -1  # an epoch that no account has
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

ListsOf = Callable[[str], Lists]
"""What the newest lists of an account's brokers name."""


class Cancels(Message):
    """The cancels of an account that went out again under an `epoch`. `at`: when the last did, or the first one of all.
    `repeats`: how many that nobody asked for, one more once people know that no more go. `asked`: the requests of people for
    which one went. `out`: the scopes of the last ones by command id. `refused`: why a broker refused one that is out.
    `told`: the scopes of whose orders people were told. `is_lost`: what was stored is damaged, and nobody knows yet; `anew`:
    since when it is counted after such a loss, so that no id comes twice.
    """

    account: Name
    epoch: int
    at: UtcText
    repeats: int = 0
    asked: tuple[Id, ...] = ()
    out: dict[str, ScopeText] = Field(default_factory=dict)
    refused: Text = ""
    told: tuple[ScopeText, ...] = ()
    is_lost: bool = False
    anew: UtcText | None = None

    @property
    def next_at(self) -> datetime:
        return self.at + PAUSE * int(2 ** min(self.repeats, MOST))


class CancelsCodec:
    """They as the fields of their document."""

    collection = "cancels"

    def encode(self, state: Cancels) -> Data:
        text = canonical(state.model_dump(mode="json")).decode()
        return {"account": state.account, "state": text}

    def decode(self, data: Data) -> Cancels:
        return validate(Cancels, orjson.loads(data["state"]))


def cancels(store: Store, relay: Relay, clock: Clock) -> Aggregates[Cancels]:
    """Return access to all of these documents."""

    def lost(account: str) -> Cancels:
        return Cancels(account=account, epoch=NONE, at=LONG_AGO, is_lost=True)

    return Aggregates(store, relay, clock, CancelsCodec(), anew=lost)


class Stops(NamedTuple):
    """What of an account is stopped, under which epoch, since when that is so, and what people have halted again."""

    of: Sequence[tuple[Scope, CommandAction]]
    epoch: int
    since: datetime
    asked: tuple[Id, ...]

    @property
    def halted(self) -> list[Scope]:
        return [scope for scope, action in self.of if action is CommandAction.CANCEL_ALL]


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
        stops = _stops(account, everywhere, own)
        try:
            try:
                return self._look(account, stops)
            except (
                Unreadable
            ):  # a newer version's: nothing can note what goes, each look says it as the same commands
                log.exception("cancels: which went again cannot be read", extra={"account": account})
                self._relay.publish(_asked_for(stops, self._clock.now()))
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
            known = _under(self._documents.read(account), account, stops)
        except Transient:
            return True
        return _is_wanted(known, stops) or not self._documents.is_out(account)

    def _look(self, account: str, stops: Stops) -> list[str]:
        now = self._clock.now()
        if not stops.of or (not stops.asked and now < stops.since + PAUSE):
            return []
        stored = self._documents.read(account)  # a report may have come to another instance
        if not self._documents.is_out(account):
            self._documents.change(account, lambda _state, _attempt: None)  # it goes out with this look
        known = _under(stored, account, stops)
        is_wanted = _is_wanted(known, stops)
        if not is_wanted and now < known.next_at:
            return []
        lists = self._listed(account, needed=not is_wanted) if stops.halted else Lists({})
        if _changed(known, stops, lists, now) is None:
            return []
        sent = False

        def decide(before: Cancels | None, attempt: int) -> Change[Cancels] | None:
            nonlocal sent
            state = _under(before, account, stops)
            change = _changed(state, stops, lists, now)
            sent = change is not None and change.state.at == now != state.at
            return change

        self._documents.change(account, decide)
        return [str(scope) for scope in stops.halted] if sent else []

    def _listed(self, account: str, *, needed: bool) -> Lists:
        try:
            return self._lists(account)
        except Transient:
            if needed:
                raise
            return Lists({})  # what is wanted goes all the same

    def report(self, report: ExecutionReport) -> bool:
        """Take what a broker says about a cancel of a stop; False: the command is none that is out. A refusal is told at
        once, and answered by another cancel.
        """
        account, now = report.account, self._clock.now()
        stops = _stops(account, *both_to_stop(self._controls, account))
        found = False

        def decide(before: Cancels | None, attempt: int) -> Change[Cancels] | None:
            nonlocal found
            state = _under(before, account, stops)
            first = (cancel_of(scope, action, stops.epoch, now) for scope, action in stops.of)
            scopes = {one.id: str(scope) for one, (scope, _) in zip(first, stops.of, strict=True)}
            scope = {**scopes, **state.out}.get(report.command_id)
            found = scope is not None
            if scope is None or report.status is not ReportStatus.REJECTED or state.refused:
                return None
            alert = cancel_alerts.refused(scope_of(scope), report, now)
            told = tuple(dict.fromkeys((*state.told, scope)))
            after = state.model_copy(update={"refused": report.reason or "refused", "told": told})
            return Change(after, [alert_effect(alert)])

        if stops.of:
            self._documents.change(account, decide)
        return found


def _stops(account: str, everywhere: Control, own: Control) -> Stops:
    standings = (everywhere, own, *own.parts.values())
    return Stops(
        tuple(stops_of(account, everywhere, own)),
        everywhere.epoch + own.epoch,
        max((one.since for one in standings if one.since), default=LONG_AGO),
        tuple(one.said_again for one in standings if one.said_again),
    )


def _under(state: Cancels | None, account: str, stops: Stops) -> Cancels:
    """Return what is known under the epoch of now: a change of the state has cancelled anew."""
    if state is not None and state.epoch == stops.epoch:
        return state
    known = Cancels(account=account, epoch=stops.epoch, at=stops.since)
    if state is None:
        return known
    return known.model_copy(update={"told": state.told, "is_lost": state.is_lost, "anew": state.anew})


def _is_wanted(state: Cancels, stops: Stops) -> bool:
    """Tell whether a cancel is to go whatever brokers list: people have asked for it, or may have."""
    return state.is_lost or bool(set(stops.asked) - set(state.asked))


def _changed(state: Cancels, stops: Stops, lists: Lists, now: datetime) -> Change[Cancels] | None:
    """Return what is to be sent and told, None for nothing."""
    working = {scope: lists.working(str(scope), state.at + SETTLES) for scope in stops.halted}
    working = {scope: orders for scope, orders in working.items() if orders}
    is_wanted = _is_wanted(state, stops)
    is_refused = bool(state.refused) and not _all_listed(state, lists)
    is_due = now >= state.next_at and (bool(working) or is_refused)
    if not is_wanted and (not is_due or state.repeats > MOST):
        over = [str(scope) for scope in stops.halted if str(scope) in state.told and scope not in working]
        return _ended(state, over, lists, now)
    repeats = 0 if is_wanted else state.repeats + 1
    alerts = [
        cancel_alerts.still_working(scope, state.epoch, orders, repeats, MOST, now)
        for scope, orders in working.items()
        if not is_wanted
    ]
    if state.is_lost:
        alerts = [cancel_alerts.lost(scope, state.epoch, now) for scope, _ in stops.of]
    told = tuple(dict.fromkeys((*state.told, *(str(alert.object) for alert in alerts))))
    anew = now if state.is_lost else state.anew
    seen = {"repeats": repeats, "asked": stops.asked, "told": told, "is_lost": False, "anew": anew}
    after = state.model_copy(update=seen)
    effects = [alert_effect(alert) for alert in alerts]
    if repeats <= MOST:
        again = _again(repeats, stops, anew)
        sent = [(scope, cancel_of(scope, action, state.epoch, now, again)) for scope, action in stops.of]
        out = {effect.id: str(scope) for scope, effect in sent}
        after = after.model_copy(update={"at": now, "out": out, "refused": ""})
        effects = [*(effect for _, effect in sent), *effects]
    return Change(after, effects)


def _again(repeats: int, stops: Stops, anew: datetime | None) -> str:
    """Name a cancel that goes again: no other one of its epoch has this name."""
    return f"{repeats} {' '.join(stops.asked)}" + (f" {utc_text(anew)}" if anew else "")


def _asked_for(stops: Stops, now: datetime) -> list[Effect]:
    """Return the cancels that people have asked for again."""
    again = _again(0, stops, None)
    return [cancel_of(*stop, stops.epoch, now, again) for stop in stops.of] if stops.asked else []


def _ended(state: Cancels, over: Sequence[str], lists: Lists, now: datetime) -> Change[Cancels] | None:
    """Tell what is over: all brokers have listed their orders since, and name none of the scopes `over`."""
    if not over or not _all_listed(state, lists):
        return None
    alerts = [cancel_alerts.ended(scope, state.account, state.epoch, now) for scope in over]
    told = tuple(scope for scope in state.told if scope not in over)
    after = state.model_copy(update={"told": told, "refused": ""})
    return Change(after, [alert_effect(alert) for alert in alerts])


def _all_listed(state: Cancels, lists: Lists) -> bool:
    """Tell whether all brokers have listed their orders since the last cancel."""
    return bool(lists.told_at) and lists.all_told(state.at + SETTLES)
