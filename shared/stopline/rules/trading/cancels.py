"""Which cancels of a stop go out again: what is noted of them, and what is due."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import Field

from stopline.model.ids import Id, Name
from stopline.model.messages import CommandAction, Effect, alert_effect
from stopline.model.scopes import ScopeText
from stopline.model.text import Text
from stopline.model.times import UtcText, utc_text
from stopline.model.wire import Message
from stopline.rules.closing.still_working import Listed, Lists
from stopline.rules.trading import cancel_alerts
from stopline.rules.trading.cancel_commands import cancel_of
from stopline.rules.trading.stops import Stop, Stops

MOST = 5  # cancels again that nobody asked for: of each order, and of what was refused
PAUSE = timedelta(seconds=20)  # before the first of them; doubled with each
CALM = timedelta(hours=1)  # after so long without one the pauses begin anew
SETTLES = timedelta(seconds=10)  # a list that was asked for sooner after a cancel shows nothing of it
STALE = timedelta(minutes=2)  # but where no newer list has come for so long, it is the last word
OLD = timedelta(minutes=10)  # of a kill before there were these documents nothing is owed


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


class Step(NamedTuple):
    """What is known after a look, and what is to be sent and told."""

    state: Cancels
    effects: Sequence[Effect]


def under(state: Cancels | None, account: str, stops: Stops, now: datetime) -> Cancels:
    """Return what is known under the epoch of now: a change of the state has cancelled anew."""
    if state is not None and state.epoch == stops.epoch:
        return state
    known = Cancels(account=account, epoch=stops.epoch, at=stops.since)
    if state is None:
        old = tuple(request for request, at in stops.asked.items() if now - at > OLD)
        return known.model_copy(update={"asked": old})
    kept = {"asked": state.asked, "told": state.told, "is_lost": state.is_lost, "anew": state.anew}
    return known.model_copy(update=kept)


def is_wanted(state: Cancels, stops: Stops) -> bool:
    """Tell whether a cancel is to go whatever brokers list: people have asked for it, or may have."""
    return state.is_lost or bool(stops.asked.keys() - set(state.asked))


def changed(state: Cancels, stops: Stops, lists: Lists, now: datetime) -> Step | None:
    """Return what is to be sent and told, None for nothing."""
    if is_wanted(state, stops):
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


def _wanted(state: Cancels, stops: Stops, now: datetime) -> Step:
    """Return the cancels that people have asked for; or that they may have, where that is lost."""
    anew = now if state.is_lost else state.anew
    lost = [cancel_alerts.lost(stop.scope, state.epoch, now) for stop in stops.of if state.is_lost]
    told = tuple(dict.fromkeys((*state.told, *(str(alert.object) for alert in lost))))
    update = {"asked": tuple(stops.asked), "told": told, "is_lost": False, "anew": anew}
    known = state.model_copy(update={**update, "pace": 0, "tries": {}, "refusals": 0})
    after, sent = _sent(known, stops, [(stop, stop.action) for stop in stops.of], now)
    return Step(after, [*sent, *map(alert_effect, lost)])


def _unasked(
    state: Cancels,
    stops: Stops,
    working: Mapping[Stop, Sequence[Listed]],
    due: Mapping[Stop, Sequence[Listed]],
    is_refused: bool,
    tries: Mapping[str, int],
    now: datetime,
) -> Step:
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
    return Step(after, [*sent, *map(alert_effect, alerts)])


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


def scopes_of(step: Step) -> list[str]:
    """Return the scopes of which everything is cancelled by it."""
    whole = CommandAction.CANCEL_ALL.value
    sent = [one for one in step.effects if one.topic == "orders" and one.body["action"] == whole]
    return [step.state.out[one.id] for one in sent]


def _again(repeats: int, stops: Stops, anew: datetime | None) -> str:
    """Name a cancel that goes again: no other one of its epoch has this name."""
    return f"{repeats} {' '.join(stops.asked)}" + (f" {utc_text(anew)}" if anew else "")


def asked_for(stops: Stops, now: datetime) -> list[Effect]:
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
) -> Step | None:
    """Tell what is over: who lists orders has listed them since, and names none there."""
    over = [str(s.scope) for s in stops.of if s.is_halted and s not in working and str(s.scope) in state.told]
    if not over or not _is_listed(state, lists):
        return Step(state.model_copy(update={"tries": tries}), ()) if tries != state.tries else None
    alerts = [cancel_alerts.ended(scope, state.account, state.epoch, now) for scope in over]
    told = tuple(scope for scope in state.told if scope not in over)
    after = state.model_copy(update={"told": told, "tries": tries, "refused": "", "refused_by": ""})
    return Step(after, [alert_effect(alert) for alert in alerts])


def _is_listed(state: Cancels, lists: Lists) -> bool:
    """Tell whether all brokers that list their orders, and the one that refused, have done so since the last cancel."""
    listing = {broker for broker, at in lists.told_at.items() if at is not None}
    asked = listing | {state.refused_by} - {""}
    return bool(asked) and all(lists.is_told(broker, state.at + SETTLES) for broker in asked)
