"""See to it that what a stop has cancelled is cancelled: where a broker's newer list still names an order of a halted scope,
where it refuses a cancel, and where people kill again, the cancel goes again, under a new id. After so many for one order
that nobody asked for, people are told that no more go. A halt that closes nothing leaves what only reduces: people place
stops by hand. Where nobody can read any more what went, one goes, people are told, and it is counted anew.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson
from pydantic import Field

from stopline.model.control import PERSON, Control, Standing, TradingState
from stopline.model.errors import Transient, Unreadable
from stopline.model.ids import Id, Name
from stopline.model.messages import CommandAction, Effect, ExecutionReport, ReportStatus, alert_effect
from stopline.model.scopes import Scope, ScopeText, scope_of
from stopline.model.text import Text
from stopline.model.times import UtcText, utc_text
from stopline.model.wire import Message, canonical, validate
from stopline.ports import Clock, Data, Store
from stopline.rules.closing.still_working import Listed, Lists
from stopline.rules.trading import cancel_alerts
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import Relay
from stopline.service.trading.cancel_orders import cancel_of, stops_of
from stopline.service.trading.control_documents import both_to_stop

log = logging.getLogger("stopline")
MOST = 5  # cancels again that nobody asked for: of each order, and of what was refused
PAUSE = timedelta(seconds=20)  # before the first of them; doubled with each
CALM = timedelta(hours=1)  # after so long without one the pauses begin anew
SETTLES = timedelta(seconds=10)  # a list that was asked for sooner after a cancel shows nothing of it
STALE = timedelta(minutes=2)  # but where no newer list has come for so long, it is the last word
OLD = timedelta(minutes=10)  # of a kill before there were these documents nothing is owed
NONE = -1  # an epoch that no account has
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

ListsOf = Callable[[str], Lists]
"""What the newest lists of an account's brokers name."""


class Cancels(Message):
    """The cancels of an account that went out again under an `epoch`. `at`: when the last did, or the first one of all.
    `repeats`: how many; `pace`: of them those that nobody asked for, in a row. `tries`: how many went for each order that is
    listed, one more once people know that no more go; `refusals`: for what was refused. `asked`: the requests of people for
    which one went. `out`: the scopes of the last ones by command id. `refused`: why a broker, `refused_by`, refused one that
    is out. `told`: the scopes of whose orders people were told. `is_lost`: what was stored is damaged, and nobody knows yet;
    `anew`: since when it is counted after such a loss, so that no id comes twice.
    """

    account: Name
    epoch: int
    at: UtcText
    repeats: int = 0
    pace: int = 0
    tries: dict[str, int] = Field(default_factory=dict)
    refusals: int = 0
    asked: tuple[Id, ...] = ()
    out: dict[str, ScopeText] = Field(default_factory=dict)
    refused: Text = ""
    refused_by: Text = ""
    told: tuple[ScopeText, ...] = ()
    is_lost: bool = False
    anew: UtcText | None = None

    @property
    def next_at(self) -> datetime:
        return self.at + PAUSE * int(2 ** min(self.pace, MOST))

    def is_due(self, one: Listed, now: datetime) -> bool:
        """Tell whether an order that is listed speaks for another cancel, or for telling people that no more go."""
        tries = self.tries.get(_name(one), 0)
        is_newer = one.at > self.at + SETTLES
        return tries <= MOST if is_newer else tries == 0 and now >= one.at + STALE


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


class Stop(NamedTuple):
    """A stopped scope: what cancels there, since when, and whether what is open is closed."""

    scope: Scope
    action: CommandAction
    since: datetime
    closes: bool

    @property
    def is_halted(self) -> bool:
        return self.action is CommandAction.CANCEL_ALL

    @property
    def unasked(self) -> CommandAction:
        """What goes again without being asked for."""
        return self.action if self.closes else CommandAction.CANCEL_ADDING

    def working(self, lists: Lists) -> list[Listed]:
        """Return the orders that the newest lists name although the halt has cancelled them."""
        orders = lists.working(str(self.scope), self.since) if self.is_halted else []
        return orders if self.closes else [one for one in orders if one.adds]


class Stops(NamedTuple):
    """What of an account is stopped, under which epoch, since when that is so, and what people have halted again, when."""

    of: Sequence[Stop]
    epoch: int
    since: datetime
    asked: Mapping[Id, datetime]

    @property
    def is_halted(self) -> bool:
        return any(stop.is_halted for stop in self.of)


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
            known = _under(self._documents.read(account), account, stops, self._clock.now())
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
        known = _under(stored, account, stops, now)
        is_wanted = _is_wanted(known, stops)
        if not is_wanted and now < known.next_at:
            return []
        lists = self._listed(account, needed=not is_wanted) if stops.is_halted else Lists({})
        if _changed(known, stops, lists, now) is None:
            return []
        change: Change[Cancels] | None = None

        def decide(before: Cancels | None, attempt: int) -> Change[Cancels] | None:
            nonlocal change
            change = _changed(_under(before, account, stops, now), stops, lists, now)
            return change

        self._documents.change(account, decide)
        return _scopes_of(change) if change is not None else []

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
            state = _under(before, account, stops, now)
            first = {cancel_of(s.scope, s.action, stops.epoch, now).id: str(s.scope) for s in stops.of}
            found = report.command_id in {**first, **state.out}
            scope = (state.out or first).get(report.command_id)  # what it says of one before the last is said
            if scope is None or report.status is not ReportStatus.REJECTED or state.refused:
                return None
            alert = cancel_alerts.refused(scope_of(scope), report, state.refusals, MOST, now)
            told = tuple(dict.fromkeys((*state.told, scope)))
            reason = report.reason or "refused"
            after = state.model_copy(update={"refused": reason, "refused_by": report.broker, "told": told})
            return Change(after, [alert_effect(alert)])

        if stops.of:
            self._documents.change(account, decide)
        return found


def _stops(account: str, everywhere: Control, own: Control) -> Stops:
    standings = (everywhere, own, *own.parts.values())
    stops = [
        _stop(scope, action, [own.parts[str(scope)]] if scope.is_part else [everywhere, own])
        for scope, action in stops_of(account, everywhere, own)
    ]
    if (
        stops and not stops[0].scope.is_part and not stops[0].closes
    ):  # a part of it may be closed all the same
        parts = [_stop(scope_of(p.scope), CommandAction.CANCEL_ALL, [p]) for p in own.parts.values()]
        stops += [part for part in parts if part.closes and stops[0].is_halted]
    return Stops(
        stops,
        everywhere.epoch + own.epoch,
        max((one.since for one in standings if one.since), default=LONG_AGO),
        {one.said_again: one.holds[PERSON].since for one in standings if one.said_again},
    )


def _stop(scope: Scope, action: CommandAction, standings: Iterable[Standing]) -> Stop:
    halted = [one for one in standings if one.state is TradingState.HALTED]
    since = min((one.since for one in halted if one.since), default=LONG_AGO)
    return Stop(scope, action, since, any(one.flatten for one in halted))


def _under(state: Cancels | None, account: str, stops: Stops, now: datetime) -> Cancels:
    """Return what is known under the epoch of now: a change of the state has cancelled anew."""
    if state is not None and state.epoch == stops.epoch:
        return state
    known = Cancels(account=account, epoch=stops.epoch, at=stops.since)
    if state is None:
        old = tuple(request for request, at in stops.asked.items() if now - at > OLD)
        return known.model_copy(update={"asked": old})
    kept = {"asked": state.asked, "told": state.told, "is_lost": state.is_lost, "anew": state.anew}
    return known.model_copy(update=kept)


def _is_wanted(state: Cancels, stops: Stops) -> bool:
    """Tell whether a cancel is to go whatever brokers list: people have asked for it, or may have."""
    return state.is_lost or bool(stops.asked.keys() - set(state.asked))


def _changed(state: Cancels, stops: Stops, lists: Lists, now: datetime) -> Change[Cancels] | None:
    """Return what is to be sent and told, None for nothing."""
    if _is_wanted(state, stops):
        return _wanted(state, stops, now)
    working = {stop: orders for stop in stops.of if (orders := stop.working(lists))}
    names = {_name(one) for orders in working.values() for one in orders}
    tries = {name: count for name, count in state.tries.items() if name in names}
    if now >= state.next_at:
        due = {stop: [one for one in orders if state.is_due(one, now)] for stop, orders in working.items()}
        due = {stop: orders for stop, orders in due.items() if orders}
        is_refused = state.refused and state.refusals < MOST
        is_refused = is_refused and not lists.is_told(state.refused_by, state.at + SETTLES)
        if due or is_refused:
            return _unasked(state, stops, working, due, bool(is_refused), tries, now)
    return _ended(state, stops, working, tries, lists, now)


def _wanted(state: Cancels, stops: Stops, now: datetime) -> Change[Cancels]:
    """Return the cancels that people have asked for; or that they may have, where that is lost."""
    anew = now if state.is_lost else state.anew
    lost = [cancel_alerts.lost(stop.scope, state.epoch, now) for stop in stops.of if state.is_lost]
    told = tuple(dict.fromkeys((*state.told, *(str(alert.object) for alert in lost))))
    update = {"asked": tuple(stops.asked), "told": told, "is_lost": False, "anew": anew}
    known = state.model_copy(update={**update, "pace": 0, "tries": {}, "refusals": 0})
    after, sent = _sent(known, stops, [(stop, stop.action) for stop in stops.of], now)
    return Change(after, [*sent, *map(alert_effect, lost)])


def _unasked(
    state: Cancels,
    stops: Stops,
    working: Mapping[Stop, Sequence[Listed]],
    due: Mapping[Stop, Sequence[Listed]],
    is_refused: bool,
    tries: Mapping[str, int],
    now: datetime,
) -> Change[Cancels]:
    """Return the cancels that go again by themselves, and what people are told. `due`: of the orders that work those that
    speak for it.
    """
    counts = {stop: min(tries.get(_name(one), 0) for one in orders) + 1 for stop, orders in due.items()}
    alerts = []
    for stop, count in counts.items():
        orders = sorted(working[stop], key=lambda one: one not in due[stop])
        silent = (
            max(one.at for one in orders) if all(one.at <= state.at + SETTLES for one in orders) else None
        )
        alerts.append(cancel_alerts.still_working(stop.scope, state.epoch, orders, count, MOST, now, silent))
    more = {_name(one): tries.get(_name(one), 0) + 1 for orders in due.values() for one in orders}
    told = tuple(dict.fromkeys((*state.told, *(str(alert.object) for alert in alerts))))
    known = {"tries": {**tries, **more}, "told": told, "refusals": state.refusals + is_refused}
    after, sent = state.model_copy(update=known), list[Effect]()
    again = [stop for stop in stops.of if is_refused or counts.get(stop, MOST + 1) <= MOST]
    if again:
        pace = state.pace if now < state.at + CALM else 0
        after = after.model_copy(update={"pace": pace + 1})
        after, sent = _sent(after, stops, [(stop, stop.unasked) for stop in again], now)
    return Change(after, [*sent, *map(alert_effect, alerts)])


def _sent(
    state: Cancels, stops: Stops, again: Sequence[tuple[Stop, CommandAction]], now: datetime
) -> tuple[Cancels, list[Effect]]:
    repeats = state.repeats + 1
    name = _again(repeats, stops, state.anew)
    sent = {
        str(stop.scope): cancel_of(stop.scope, action, stops.epoch, now, name, halted=stop.is_halted)
        for stop, action in again
    }
    out = {effect.id: scope for scope, effect in sent.items()}
    update = {"at": now, "repeats": repeats, "out": out, "refused": "", "refused_by": ""}
    return state.model_copy(update=update), list(sent.values())


def _scopes_of(change: Change[Cancels]) -> list[str]:
    """Return the scopes of which everything is cancelled by it."""
    whole = CommandAction.CANCEL_ALL.value
    sent = [one for one in change.effects if one.topic == "orders" and one.body["action"] == whole]
    return [change.state.out[one.id] for one in sent]


def _again(repeats: int, stops: Stops, anew: datetime | None) -> str:
    """Name a cancel that goes again: no other one of its epoch has this name."""
    return f"{repeats} {' '.join(stops.asked)}" + (f" {utc_text(anew)}" if anew else "")


def _asked_for(stops: Stops, now: datetime) -> list[Effect]:
    """Return the cancels that people have asked for again."""
    again = _again(0, stops, None)
    return [cancel_of(s.scope, s.action, stops.epoch, now, again) for s in stops.of] if stops.asked else []


def _name(one: Listed) -> str:
    """Name an order: one without an id by what it is."""
    order = one.order
    what = order.order_id or f"{order.strategy} {order.side} {order.instrument.symbol}"
    return f"{one.broker} {what}"


def _ended(
    state: Cancels,
    stops: Stops,
    working: Mapping[Stop, Sequence[Listed]],
    tries: dict[str, int],
    lists: Lists,
    now: datetime,
) -> Change[Cancels] | None:
    """Tell what is over: who lists orders has listed them since, and names none there."""
    over = [str(s.scope) for s in stops.of if s.is_halted and s not in working and str(s.scope) in state.told]
    if not over or not _is_listed(state, lists):
        return Change(state.model_copy(update={"tries": tries})) if tries != state.tries else None
    alerts = [cancel_alerts.ended(scope, state.account, state.epoch, now) for scope in over]
    told = tuple(scope for scope in state.told if scope not in over)
    after = state.model_copy(update={"told": told, "tries": tries, "refused": "", "refused_by": ""})
    return Change(after, [alert_effect(alert) for alert in alerts])


def _is_listed(state: Cancels, lists: Lists) -> bool:
    """Tell whether all brokers that list their orders, and the one that refused, have done so since the last cancel."""
    listing = {broker for broker, at in lists.told_at.items() if at is not None}
    asked = listing | {state.refused_by} - {""}
    return bool(asked) and all(lists.is_told(broker, state.at + SETTLES) for broker in asked)
