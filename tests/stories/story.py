"""Stopline as five functions over one store and one bus, with people, brokers and their adapters, second by second."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from unit.make import NOON, account
from unit.service.world import RecordingBus, World

from stopline.client import Client
from stopline.model.closing import CloseRequest
from stopline.model.control import ControlRequest
from stopline.model.errors import Transient
from stopline.model.fill import DEFAULT_STRATEGY
from stopline.model.lease import LeaseRequest
from stopline.model.messages import CommandAction, Sweep, SweepKind
from stopline.model.prices import PRICES_TYPE
from stopline.model.times import utc_text
from stopline.model.wire import canonical, validate
from stopline.ports import Outgoing, Unavailable
from stopline.runtime.app import App
from stopline.runtime.auth import Principal
from stopline.runtime.envelope import Envelope
from stopline.runtime.handlers import handle
from stopline.runtime.kill_api import change, status
from stopline.runtime.problems import refusal

from .broker import Adapter, Broker, Refused

DEMO, EVERYTHING = "account:demo", "global"
A, B = "strategy:demo:a", "strategy:demo:b"
RETRY_S = 10  # Pub/Sub sends what was not acknowledged again
PEOPLE = {
    name: Principal(name=name, person=f"{name}@example.com", rights=("admin",), accounts=("*",))
    for name in ("ann", "bob")
}


@dataclass
class Subscription:
    """What a function gets of a topic: at once, and again where it failed."""

    topic: str
    bus: RecordingBus
    _read: int = 0
    _again: list[tuple[datetime, int]] = field(default_factory=list)

    def pull(self, app: App, now: datetime) -> None:
        """Deliver what is due, and what that brings."""
        while self._again and self._again[0][0] <= now:
            self._deliver(app, heapq.heappop(self._again)[1], now)
        while self._read < len(self.bus.messages):
            self._read += 1
            if self.bus.messages[self._read - 1].topic == self.topic:
                self._deliver(app, self._read - 1, now)

    def _deliver(self, app: App, number: int, now: datetime) -> None:
        message = self.bus.messages[number]
        try:
            handle(app, self.topic, Envelope(message.data, f"m-{number}", message.attributes, now))
        except Transient:
            heapq.heappush(self._again, (now + timedelta(seconds=RETRY_S), number))


class SetClock:
    """A machine's clock that is wrong by some seconds."""

    def __init__(self, world: World, wrong_s: int) -> None:
        self._clock = world.clock
        self._wrong = timedelta(seconds=wrong_s)

    def now(self) -> datetime:
        return self._clock.now() + self._wrong

    def ticks(self) -> float:
        return self._clock.ticks()

    def pause(self, attempt: int) -> None:
        pass


class Story:
    """One account, demo, at one or some brokers. Times are seconds since its beginning."""

    def __init__(self, *brokers: str, wrong_clocks: Mapping[str, int] | None = None) -> None:
        self.world = World()
        self.bus = self.world.bus
        names = brokers or ("paper",)
        self.world.open_account(account(brokers=list(names)))
        self._subscriptions = [Subscription(topic, self.bus) for topic in ("fills", "prices", "sweeps")]
        self.restart()
        self.now = 0
        self._alerts: dict[str, tuple[int, dict[str, Any]]] = {}
        self._heard = 0
        self._requests = 0
        self._send("sweeps", Sweep(kind=SweepKind.RISK).model_dump(mode="json"))
        self._receive()
        wrong = wrong_clocks or {}
        self.brokers = {name: Broker(name, self.world.clock) for name in names}
        self.adapters = {
            name: Adapter(one, self._client_of(name, wrong.get(name, 0)))
            for name, one in self.brokers.items()
        }
        self._orders_read = dict.fromkeys(names, 0)
        for adapter in self.adapters.values():
            adapter.renew()

    def _client_of(self, broker: str, wrong_s: int) -> Callable[[], Client]:
        return lambda: Client("demo", broker, self._post, SetClock(self.world, wrong_s), self.bus)

    def _post(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer what an adapter asks the API: for a lease."""
        granted = self.api.leases.grant(self.api.accounts.require("demo"), validate(LeaseRequest, dict(body)))
        return 200, granted.model_dump(mode="json")

    # --- what happens ---

    def hold(
        self, units: int, broker: str = "paper", strategy: str = DEFAULT_STRATEGY, symbol: str = "SPY"
    ) -> None:
        """Have the account hold so many units more, as all know a second later."""
        self.brokers[broker].book(Decimal(units), strategy, symbol)

    def run(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            self._second()

    def run_to(self, second: int) -> None:
        self.run(second - self.now)

    def _second(self) -> None:
        self.world.wait(1)
        self.now += 1
        for name, broker in self.brokers.items():
            broker.pass_second()
            if self.adapters[name].is_on:
                self._adapt(name)
        if self.now % 5 == 0:
            as_of = utc_text(self.world.clock.now())
            facts = {"type": PRICES_TYPE, "source": "feed", "symbols": ["SPY", "QQQ"], "last": [100, 100]}
            self._send("prices", {**facts, "as_of": as_of})
        if self.now % 60 == 0:
            self._send("sweeps", Sweep(kind=SweepKind.RISK).model_dump(mode="json"))
        self._receive()

    def _adapt(self, name: str) -> None:
        """What an adapter does in a second: take what has come, in order, hand on what its broker says, renew its lease."""
        adapter, broker = self.adapters[name], self.brokers[name]
        while self._orders_read[name] < len(self.bus.messages):
            message = self.bus.messages[self._orders_read[name]]
            if message.topic == "orders":
                try:
                    adapter.on_orders_message(message.data)
                except Refused:
                    break  # not acknowledged: it comes again
            self._orders_read[name] += 1
        if self.now % 60 == 30:
            broker.state()
        while broker.said and self._send("fills", broker.said[0]):
            broker.said.pop(0)
        if self.now % 20 == len(name):  # not both in one second
            adapter.renew()

    def _send(self, topic: str, facts: Mapping[str, Any]) -> bool:
        try:
            self.bus.publish([Outgoing(topic, canonical(dict(facts)), {"account": "demo"})])
        except Unavailable:
            return False
        return True

    def _receive(self) -> None:
        apps = {"fills": self.fills, "prices": self.prices, "sweeps": self.sweep}
        for subscription in self._subscriptions:
            subscription.pull(apps[subscription.topic], self.world.clock.now())
        for message in self.bus.messages[self._heard :]:
            if message.topic == "alerts":
                alert = json.loads(message.data)
                self._alerts.setdefault(alert.get("alert_id", ""), (self.now, alert))
        self._heard = len(self.bus.messages)

    # --- what people do ---

    def kill(self, scope: str = DEMO, *, close: bool = True, **more: Any) -> dict[str, Any]:
        """Kill by the kill switch; return its answer, with its status."""
        return self._ask("kill", scope, flatten=close, **more)

    def pause(self, scope: str = DEMO, **more: Any) -> dict[str, Any]:
        return self._ask("pause", scope, **more)

    def resume(self, scope: str = DEMO, by: str = "ann") -> dict[str, Any]:
        """Resume what is seen now."""
        seen = self.kill_switch.trading.standing(scope)
        lifts = [hold.request_id for hold in seen.holds.values()]
        return self._ask(
            "resume", scope, by, expected_epoch=seen.epoch, confirm=f"RESUME {scope}", lifts=lifts
        )

    def _ask(self, action: str, scope: str, by: str = "ann", **more: Any) -> dict[str, Any]:
        self._requests += 1
        body = {"request_id": f"r-{self._requests}", "scope": scope, "reason": "a story", **more}
        try:
            raw, code, _ = change(self.kill_switch, PEOPLE[by], action, body)
        except Exception as found:  # noqa: BLE001 - as its function answers
            raw, code, _ = refusal(found, "unknown")
        return {**json.loads(raw), "status": code}

    def limit(self, scope: str, until: datetime | None = None) -> None:
        """Have a limit pause a scope, where the prices are seen."""
        self._requests += 1
        facts = {"request_id": f"l-{self._requests}", "scope": scope, "action": "pause", "reason": "a limit"}
        request = {**facts, "actor": "limit:daily_loss", "until": utc_text(until) if until else None}
        try:
            standing = self.prices.trading.set(ControlRequest.model_validate(request))
        except Transient:
            standing = self.prices.trading.standing(scope)
        self.prices.halts.advance(standing)

    def exit(self, strategy: str = DEFAULT_STRATEGY, symbol: str = "SPY") -> None:
        """Have a stop close a position, where the prices are seen."""
        facts = {"request_id": "x-1", "account": "demo", "strategy": strategy, "symbol": symbol}
        why = {"urgency": "urgent", "reason": "a stop", "rule": "stop", "cause": "c"}
        asked = {**facts, **why, "requested_at": utc_text(self.world.clock.now())}
        self.prices.closer.ask(CloseRequest.model_validate(asked))

    # --- what fails ---

    def restart(self) -> None:
        """Have every function begin as a new instance: it knows what is stored."""
        made = [self.world.instance() for _ in range(5)]
        self.stores = [store for _, store in made]
        self.kill_switch, self.sweep, self.fills, self.api, self.prices = (app for app, _ in made)

    def set_store(self, *, is_down: bool) -> None:
        for store in self.stores:
            store.down = is_down

    def redeliver(self, chance: random.Random) -> None:
        """Deliver everything once more, in any order."""
        again = [one for one in self.bus.messages if one.topic in ("orders", "fills", "sweeps")]
        chance.shuffle(again)
        self.bus.messages += again

    # --- what has become of it ---

    def commands(self, action: str, broker: str = "paper") -> list[int]:
        """When an adapter carried out commands of a kind."""
        found = self.adapters[broker].taken
        return [_seconds(at) for at, command in found if command.action is CommandAction(action)]

    def closes(self, broker: str = "paper") -> list[int]:
        return self.commands("close", broker)

    def closed(self, broker: str = "paper") -> list[int]:
        """When a broker executed closes."""
        return [_seconds(at) for at in self.brokers[broker].filled_at]

    def told(self, kind: str, severity: str = "") -> list[tuple[int, str]]:
        """When people were told of something, and in which words."""
        return [
            (at, alert["summary"])
            for at, alert in self._alerts.values()
            if alert.get("kind") == kind and severity in ("", alert["severity"])
        ]

    @property
    def left(self) -> dict[str, tuple[dict[tuple[str, str], int], list[int]]]:
        """What brokers have that is held or works."""
        found = {name: broker.left for name, broker in self.brokers.items()}
        return {name: left for name, left in found.items() if left != ({}, [])}

    @property
    def is_flat(self) -> bool:
        """Whether people are told that the halt of the account is flat: by the status that they read."""
        return bool(json.loads(status(self.kill_switch, PEOPLE["ann"], DEMO)[0])["flat"])


def _seconds(moment: datetime) -> int:
    return int((moment - NOON).total_seconds())
