"""A breaker with a value of its own, read as the sweep and the prices read theirs: what must be true of it."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from emulators.simulator.demand import demand
from emulators.simulator.world import Delivery, Instance
from stopline.model.control import account_scope
from stopline.model.settings.trading import TradingSettings
from stopline.model.wire import decode_object
from stopline.ports import Data
from stopline.rules.trading.breakers import BREAKERS, advance, awaits_second
from stopline.rules.trading.second_reading import CONFIRM_AFTER, PriceTimes
from stopline.rules.trading.state import overtaken
from stopline.runtime.app import App
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.sweep.watch_health import Health, HealthCodec
from stopline.service.trading.breaker_effects import breaker_effects, lifted_of

NAME = "emergency_drawdown"
BREAKER, HOLD = BREAKERS[NAME], f"breaker:{NAME}"
LIMIT = Decimal(10)
SETTINGS = TradingSettings.model_validate({"breakers": {NAME: {"threshold": str(LIMIT)}}})
DOCUMENT = "gauge"


@dataclass(frozen=True, slots=True)
class Gauge(Health):
    """The breaker as it stands, and the reading that made it so: of a price that was seen at `seen_at`."""

    value: str = "0"
    read_at: datetime | None = None
    seen_at: datetime | None = None


class GaugeCodec(HealthCodec):
    """A gauge as the fields of its document."""

    def encode(self, state: Health) -> Data:
        assert isinstance(state, Gauge)
        return {
            **super().encode(state),
            "value": state.value,
            "read_at": state.read_at,
            "seen_at": state.seen_at,
        }


def gauges(app: App) -> Aggregates[Health]:
    """Return access to the gauge of an instance."""
    return Aggregates(app.store, app.relay, app.clock, GaugeCodec())


def read_gauge(instance: Instance, delivery: Delivery, account: str, reduces: bool) -> None:
    """Take one reading. `looks`: whether the stop is looked at, as a sweep does and a price does not. Where a reduction runs
    instead of a closing, no kill is asked for.
    """
    app: App = instance.app
    body, now = decode_object(delivery.message.data), app.clock.now()
    value, seen_at = Decimal(body["value"]), datetime.fromisoformat(body["seen_at"])
    prices = PriceTimes({NAME: seen_at})

    def decide(health: Health | None, attempt: int) -> Change[Health]:
        before = health or Health(account)
        mark = f"{delivery.id}.{before.revision}"
        scope = account_scope(account)
        looks = body["looks"] or awaits_second(before.breakers)
        lifted = lifted_of(app.trading.read(scope), before.breakers) if looks else None
        facts = {BREAKER.fact: value}
        after, moves = advance(
            [BREAKER], SETTINGS, before.breakers, facts, now, account, mark, lifted, lambda: prices
        )
        wanted = [move for move in moves if not (reduces and move.action == "kill")]
        state = Gauge(account, after, before.revision + 1, body["value"], now, seen_at)
        return Change(state, breaker_effects(account, wanted, mark, now))

    gauges_of(instance).change(DOCUMENT, decide)


def gauges_of(instance: Instance) -> Aggregates[Health]:
    """Return the gauges that an instance keeps, from its start on."""
    found: Aggregates[Health] = instance.app.__dict__.setdefault("sim_gauges", None) or gauges(instance.app)
    instance.app.__dict__["sim_gauges"] = found
    return found


@dataclass
class GaugeTruth:
    """What a value's readings mean: a stop is confirmed where a later one of a newer price is bad and none between was
    clear.
    """

    since: datetime | None = None  # of the first bad reading, while none was clear
    seen_at: datetime | None = None  # its price
    is_confirmed: bool = False
    is_softened: bool = False  # its kill was carried out as a pause: the next look at it begins anew
    pauses: set[str] = field(default_factory=set)  # asked for since then
    kills: set[str] = field(default_factory=set)
    unconfirmed: set[str] = field(default_factory=set)  # kills that no second reading speaks for
    overtaken: set[str] = field(default_factory=set)  # kills whose pause people have lifted
    instead: dict[str, str] = field(default_factory=dict)  # the kill that another pause may come in place of
    known: set[str] = field(default_factory=set)  # effects that were seen, pauses and kills

    def on_commit(self, data: dict[str, Any]) -> None:
        """Take in one reading, as committed."""
        outbox = orjson.loads(data["outbox"])
        new = self._new(outbox, "pause")
        kills = self._new(outbox, "kill")
        value, at, seen_at = Decimal(data["value"]), data["read_at"], data["seen_at"]
        found = orjson.loads(data["state"])["breakers"].get(NAME)
        if new and not self.is_confirmed:
            self.since, self.seen_at, self.pauses, self.is_softened = at, seen_at, new, False
        elif self.is_softened:
            if found is None or not found[1]:
                is_bad = value > LIMIT
                self.since, self.seen_at = (at if found else None), (seen_at if is_bad else None)
                self.is_softened = False
        elif self.is_confirmed:
            self.pauses |= new
        elif self.since is not None and value > LIMIT:
            is_newer = self.seen_at is not None and seen_at > self.seen_at
            self.is_confirmed = is_newer and at - self.since >= CONFIRM_AFTER
            self.seen_at = self.seen_at or seen_at
        elif self.since is not None and value <= LIMIT * Decimal("0.95"):
            self.since, self.pauses = None, set()
        self.kills |= kills
        self.instead |= {overtaken(body["releases"]): id_ for id_, _, _, body in outbox if id_ in kills}
        if not self.is_confirmed:
            self.unconfirmed |= kills

    def _new(self, outbox: list[Any], action: str) -> set[str]:
        """Return which effects of this kind were not there before."""
        asked = {id_ for id_, topic, _, body in outbox if topic == "controls" and body["action"] == action}
        new = asked - self.known
        self.known |= asked
        return new

    def on_killed(self, request_id: str) -> None:
        """It closes what is open."""
        is_sure = request_id not in self.unconfirmed | self.overtaken
        demand(is_sure, "I6 one price closes nothing: a second reading must agree", request_id)

    def on_paused(self, request_id: str) -> None:
        """It stops what adds risk: by a pause, or by a kill that people have overtaken, which begins anew."""
        if request_id not in self.instead:
            return
        is_late = self.instead[request_id] in self.unconfirmed | self.overtaken
        demand(is_late, "I6 what two readings say closes, unless people have resumed", request_id)
        if not self.is_confirmed:
            self.since, self.is_softened = None, True
            self.pauses.add(request_id)

    def on_release(self, request_id: str) -> None:
        """Nothing takes a stop back that a second reading has confirmed."""
        confirmed = self.is_confirmed and request_id in self.pauses
        demand(not confirmed, "I6 only people lift what is confirmed", (NAME, request_id))

    def on_lifted(self, stored: Collection[str]) -> None:
        """People have lifted it: it begins anew. `stored`: the requests that had been carried out: a stop that was on its
        way is none that they have lifted.
        """
        if self.pauses and self.pauses.isdisjoint(stored):
            return
        self.overtaken |= self.kills
        self.since, self.is_confirmed, self.is_softened, self.pauses = None, False, False, set()
