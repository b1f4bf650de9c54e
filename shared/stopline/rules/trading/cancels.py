"""Which cancels of a stop go out again: what is noted of them, and what is due."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import Field, model_validator

from stopline.model.decimals import decimal_text
from stopline.model.ids import Name
from stopline.model.messages import CommandAction, Effect, ExecutionReport, ReportStatus, alert_effect
from stopline.model.scopes import Scope, ScopeText, scope_of
from stopline.model.text import Text
from stopline.model.times import UtcText, utc_text
from stopline.model.wire import Message
from stopline.rules.closing.still_working import Listed, Lists
from stopline.rules.trading import cancel_alerts
from stopline.rules.trading.cancel_commands import cancel_of
from stopline.rules.trading.stops import Asked, Stop, Stops

MOST = 5  # cancels again that nobody asked for: of each order, and of what was refused
PAUSE = timedelta(seconds=20)  # before the first of them; doubled with each
CALM = timedelta(hours=1)  # after so long without one the pauses begin anew
SETTLES = timedelta(seconds=10)  # a list that was asked for sooner after a cancel shows nothing of it
STALE = timedelta(minutes=2)  # but where no newer list has come for so long, it is the last word
OLD = timedelta(minutes=10)  # a kill of before that is owed nothing where no note tells what went for it
TAKEN = {ReportStatus.ACCEPTED, ReportStatus.CANCELLED, ReportStatus.FILLED}  # how a cancel is said to be
TICK = timedelta(microseconds=1)
REMEMBERED = (
    400  # requests: of each part of an account the last one, and those that a slow instance may still read
)


class Cancels(Message):
    """The cancels of an account that went out again under an `epoch`. `at`: when the last did, by which it is named, or the
    first one of all. `pace`: how many nobody asked for, in a row. `tries`: how many went for each order that is listed, one
    more once people know that no more go; `refusals`: for what was refused, by scope. `asked`: what people have asked for
    and one went. `out`: the scopes of the last ones by command id. `refused`: which brokers have refused that, by scope.
    `doubted`: which have refused that or one before, and have neither listed their orders since nor taken a later one.
    `told`: the scopes of whose orders people were told. `is_lost`: what was stored is damaged, and nobody knows yet.
    """

    account: Name
    epoch: int
    at: UtcText
    pace: int = 0
    tries: dict[str, int] = Field(default_factory=dict)
    refusals: dict[ScopeText, int] = Field(default_factory=dict)
    asked: tuple[str, ...] = ()
    out: dict[str, ScopeText] = Field(default_factory=dict)
    refused: dict[ScopeText, tuple[Text, ...]] = Field(default_factory=dict)
    doubted: dict[ScopeText, tuple[Text, ...]] = Field(default_factory=dict)
    told: tuple[ScopeText, ...] = ()
    is_lost: bool = False

    @model_validator(mode="before")
    @classmethod
    def _of_each_scope(cls, data: Any) -> Any:
        """Read the note of a version that knew of one refusal and not whose: all that people were told of may be meant. And
        of one that knew one broker of each scope.
        """
        if not isinstance(data, dict):
            return data
        if "repeats" not in data and "doubted" in data:
            return data
        if "repeats" not in data:
            refused = {k: (v,) if isinstance(v, str) else v for k, v in data.get("refused", {}).items()}
            return {**data, "refused": refused, "doubted": refused}
        told = data["told"]
        refused = dict.fromkeys(told, (data["refused_by"],)) if data["refused"] else {}
        kept = {name: value for name, value in data.items() if name in cls.model_fields}
        refusals = dict.fromkeys(told, data["refusals"])
        return {**kept, "refused": refused, "doubted": refused, "refusals": refusals}

    @property
    def next_at(self) -> datetime:
        return self.at + PAUSE * int(2 ** min(self.pace, MOST))

    def knows(self, asked: Asked) -> bool:
        """Tell whether a cancel went for what people have asked for; older versions noted it without its scope."""
        return asked.name in self.asked or asked.request in self.asked

    def is_due(self, one: Listed, now: datetime) -> bool:
        """Tell whether an order that is listed speaks for another cancel, or for telling people that no more go."""
        tries = self.tries.get(_name(one), 0)
        is_newer = one.at > self.at + SETTLES
        return tries <= MOST if is_newer else tries == 0 and now >= one.at + STALE

    def is_refused(self, stop: Stop, lists: Lists) -> bool:
        """Tell whether a refusal speaks for another cancel: until the broker's list tells what works."""
        scope = str(stop.scope)
        brokers = self.refused.get(scope)
        if not brokers or self.refusals.get(scope, 0) >= MOST:
            return False
        is_told = all(lists.is_told(broker, self.at + SETTLES) for broker in brokers)
        return not is_told or (not stop.is_halted and bool(stop.named(lists)))


class Step(NamedTuple):
    """What is known after a look, and what is to be sent and told."""

    state: Cancels
    effects: Sequence[Effect]


def under(state: Cancels | None, account: str, stops: Stops, now: datetime) -> Cancels:
    """Return what is known under the epoch of now: a change of the state has cancelled anew. Whoever knows of a later one is
    not behind: its note stays.
    """
    if state is not None and state.epoch >= stops.epoch:
        return state
    known = Cancels(account=account, epoch=stops.epoch, at=stops.since)
    if state is None:
        old = tuple(one.name for one in stops.asked if now - one.at > OLD)
        return known.model_copy(update={"asked": old})
    stopped = {str(stop.scope): stop for stop in stops.of}
    told = tuple(scope for scope in state.told if scope in stopped)
    doubted = {k: v for k, v in state.doubted.items() if k in stopped and stopped[k].since <= state.at}
    kept = {"asked": state.asked, "told": told, "doubted": doubted, "is_lost": state.is_lost}
    return known.model_copy(update=kept)


def is_wanted(state: Cancels, stops: Stops) -> bool:
    """Tell whether a cancel is to go whatever brokers list: people have asked for it, or may have."""
    is_asked = state.is_lost or not all(state.knows(one) for one in stops.asked)
    return is_asked and state.epoch <= stops.epoch


def changed(state: Cancels, stops: Stops, lists: Lists, now: datetime) -> Step | None:
    """Return what is to be sent and told, None for nothing."""
    if state.epoch > stops.epoch:  # the controls were read before: whoever has read them since acts
        return None
    if is_wanted(state, stops):
        return _wanted(state, stops, lists, now)
    before = state
    working = {stop: orders for stop in stops.of if (orders := stop.working(lists))}
    names = {_name(one) for orders in working.values() for one in orders}
    state = state.model_copy(update={"tries": {k: n for k, n in state.tries.items() if k in names}})
    if now >= state.next_at:
        due = {stop: [one for one in orders if state.is_due(one, now)] for stop, orders in working.items()}
        due = {stop: orders for stop, orders in due.items() if orders}
        refused = [stop for stop in stops.of if state.is_refused(stop, lists)]
        if due or refused:
            return _unasked(state, stops, working, due, refused, now)
    step = _ended(state, stops, lists, now)
    return None if step.state == before else step


def heard(state: Cancels, stops: Stops, report: ExecutionReport, now: datetime) -> tuple[bool, Step | None]:
    """Return whether a broker's report is about a cancel of the stops, and what is known and told then. What it says of
    one that another has followed since is said.
    """
    gone = set(state.out.values())
    first = {
        cancel_of(stop.scope, action, stops.epoch, now).id: str(stop.scope)
        for stop in stops.of
        for action in (stop.action, stop.unasked)
    }
    last = {id_: scope for id_, scope in first.items() if scope not in gone} | state.out
    scope = last.get(report.command_id)
    is_known = scope is not None or report.command_id in first
    if scope is None or state.epoch > stops.epoch:
        return is_known, None
    if report.status is not ReportStatus.REJECTED:
        return is_known, _taken(state, scope, report)
    brokers = state.refused.get(scope, ())
    if report.broker in brokers:
        return is_known, None
    alert = cancel_alerts.refused(scope_of(scope), report, state.refusals.get(scope, 0), MOST, now)
    known = {
        "refused": {**state.refused, scope: (*brokers, report.broker)},
        "doubted": {**state.doubted, scope: _and(state.doubted.get(scope, ()), [report.broker])},
        "told": _and(state.told, [scope]),
    }
    return is_known, Step(state.model_copy(update=known), [alert_effect(alert)])


def _taken(state: Cancels, scope: str, report: ExecutionReport) -> Step | None:
    """Return what is known once a broker that had refused a cancel has taken a later one."""
    doubted, refused = state.doubted.get(scope, ()), state.refused.get(scope, ())
    if report.status not in TAKEN or report.broker not in doubted or report.broker in refused:
        return None
    left = tuple(broker for broker in doubted if broker != report.broker)
    return Step(state.model_copy(update={"doubted": {**state.doubted, scope: left}}), [])


def asked_for(stops: Stops, now: datetime) -> list[Effect]:
    """Return the cancels that people have asked for again of late, where nothing can note that they went: under one id."""
    return [
        cancel_of(stop.scope, stop.action, stops.epoch, now, one.name)
        for one in stops.asked
        if now - one.at <= OLD
        for stop in stops.of
        if one.covers(stop)
    ]


def refused_in(state: Cancels, stops: Stops, scope: Scope) -> list[str]:
    """Return which brokers have refused cancels of what is stopped in a scope, and have shown nothing better since."""
    stopped = [stop.scope for stop in stops.of if stop.scope.crosses(scope) and stop.since <= state.at]
    return list(dict.fromkeys(broker for one in stopped for broker in state.doubted.get(str(one), ())))


def scopes_of(step: Step) -> list[str]:
    """Return the scopes of which everything is cancelled by it."""
    whole = CommandAction.CANCEL_ALL.value
    sent = [one for one in step.effects if one.topic == "orders" and one.body["action"] == whole]
    return [step.state.out[one.id] for one in sent]


def _wanted(state: Cancels, stops: Stops, lists: Lists, now: datetime) -> Step:
    """Return the cancels that people have asked for; or that they may have, where that is lost."""
    new = [one for one in stops.asked if (now - one.at <= OLD if state.is_lost else not state.knows(one))]
    asked = [stop for stop in stops.of if any(one.covers(stop) for one in new)]
    again = [(stop, stop.action) for stop in asked]
    lost = [stop for stop in stops.of if not stop.inside] if state.is_lost else []
    again += [(stop, stop.unasked) for stop in lost if stop not in asked]
    alerts = [cancel_alerts.lost(stop.scope, state.epoch, now) for stop in lost]
    scopes = {str(stop.scope) for stop in asked}
    gone = {_name(one) for stop in asked for one in lists.working(str(stop.scope), stop.since)}
    known = {
        "asked": _and([one.name for one in stops.asked], state.asked)[:REMEMBERED],
        "told": _and(state.told, [str(stop.scope) for stop in lost]),
        "is_lost": False,
        "pace": 0,
        "tries": {k: n for k, n in state.tries.items() if k not in gone} if lists.told_at else {},
        "refusals": {scope: n for scope, n in state.refusals.items() if scope not in scopes},
    }
    after, sent = _sent(state.model_copy(update=known), stops, again, now)
    return Step(after, [*sent, *map(alert_effect, alerts)])


def _unasked(
    state: Cancels,
    stops: Stops,
    working: Mapping[Stop, Sequence[Listed]],
    due: Mapping[Stop, Sequence[Listed]],
    refused: Sequence[Stop],
    now: datetime,
) -> Step:
    """Return the cancels that go again by themselves, and what people are told. `due`: of the orders that work those that
    speak for it.
    """
    counts = {stop: min(state.tries.get(_name(one), 0) for one in due[stop]) + 1 for stop in due}
    alerts = []
    for stop, count in counts.items():
        orders = sorted(working[stop], key=lambda one: one not in due[stop])
        silent = (
            max(one.at for one in orders) if all(one.at <= state.at + SETTLES for one in orders) else None
        )
        alerts.append(cancel_alerts.still_working(stop.scope, state.epoch, orders, count, MOST, now, silent))
    more = {_name(one): state.tries.get(_name(one), 0) + 1 for orders in due.values() for one in orders}
    refusals = {str(stop.scope): state.refusals.get(str(stop.scope), 0) + 1 for stop in refused}
    known = {
        "tries": {**state.tries, **more},
        "told": _and(state.told, [str(stop.scope) for stop in due]),
        "refusals": {**state.refusals, **refusals},
    }
    after, sent = state.model_copy(update=known), list[Effect]()
    again = [stop for stop in stops.of if stop in refused or counts.get(stop, MOST + 1) <= MOST]
    if again:
        pace = state.pace if now < state.at + CALM else 0
        after = after.model_copy(update={"pace": pace + 1})
        after, sent = _sent(after, stops, [(stop, stop.unasked) for stop in again], now)
    return Step(after, [*sent, *map(alert_effect, alerts)])


def _sent(
    state: Cancels, stops: Stops, again: Sequence[tuple[Stop, CommandAction]], now: datetime
) -> tuple[Cancels, list[Effect]]:
    """Name the cancels by their moment: it is later than all that are noted, and one commit holds it."""
    at = max(now, state.at + TICK)
    sent = {
        str(stop.scope): cancel_of(stop.scope, action, stops.epoch, now, utc_text(at), halted=stop.is_halted)
        for stop, action in again
    }
    before = {id_: scope for id_, scope in state.out.items() if scope not in sent}
    out = before | {effect.id: scope for scope, effect in sent.items()}
    refused = {scope: brokers for scope, brokers in state.refused.items() if scope not in sent}
    return state.model_copy(update={"at": at, "out": out, "refused": refused}), list(sent.values())


def _ended(state: Cancels, stops: Stops, lists: Lists, now: datetime) -> Step:
    """Tell what is over: who lists orders has listed them since, and names none there."""
    told = [stop for stop in stops.of if str(stop.scope) in state.told]
    over = [
        str(one.scope) for one in told if not one.named(lists) and _is_listed(state, str(one.scope), lists)
    ]
    alerts = [cancel_alerts.ended(scope, state.account, state.epoch, now) for scope in over]
    known = {
        "told": tuple(scope for scope in state.told if scope not in over),
        "refused": {scope: brokers for scope, brokers in state.refused.items() if scope not in over},
        "doubted": {scope: brokers for scope, brokers in state.doubted.items() if scope not in over},
    }
    return Step(state.model_copy(update=known), [alert_effect(alert) for alert in alerts])


def _is_listed(state: Cancels, scope: str, lists: Lists) -> bool:
    """Tell whether all brokers that list their orders, and those that refused, have done so since the last cancel."""
    listing = {broker for broker, at in lists.told_at.items() if at is not None}
    asked = listing.union(state.doubted.get(scope, ()))
    return bool(asked) and all(lists.is_told(broker, state.at + SETTLES) for broker in asked)


def _and(told: Sequence[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*told, *more)))


def _name(one: Listed) -> str:
    """Name an order: one without an id by what it is."""
    order = one.order
    price = "" if order.limit_price is None else f" {decimal_text(order.limit_price)}"
    what = f"{order.strategy} {order.side} {decimal_text(order.quantity)} {order.instrument.symbol}{price}"
    return f"{one.broker} {order.order_id or what}"
