"""The focus `control`: small and fast schedules of the kill switch, breakers, leases and one adapter, switched at every call
to a port. One schedule is one interleaving.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from emulators.simulator.adapter import SimAdapter
from emulators.simulator.api import SimApi
from emulators.simulator.control_gauge import LIMIT, read_gauge
from emulators.simulator.control_rest import at_rest, is_due
from emulators.simulator.control_stories import STORIES
from emulators.simulator.control_truth import ControlTruth
from emulators.simulator.deliver import PUSHED, receive
from emulators.simulator.faults import Faults
from emulators.simulator.letters import PERSON, SimLetters
from emulators.simulator.ports import SimBus, SimClock, SimStore
from emulators.simulator.venue import Manners, Ticket, Venue
from emulators.simulator.versions import of_tomorrow
from emulators.simulator.world import Delivery, Instance, World
from stopline.model.account import Account
from stopline.model.control import ControlRequest, account_scope
from stopline.model.errors import Rejected
from stopline.model.instrument import Instrument
from stopline.model.messages import SweepKind
from stopline.model.scopes import GLOBAL, strategy_scope, underlying_scope
from stopline.model.wire import canonical, decode_object, validate
from stopline.ports import Create, Document, Outgoing, Path, Put
from stopline.rules.alerting.audience import USUAL
from stopline.runtime.app import App
from stopline.runtime.auth import Principal, Right
from stopline.runtime.kill_api import change
from stopline.runtime.ports import Ports
from stopline.service.accounts.reader import account_path
from stopline.service.sweep.heartbeat import HEARTBEAT
from stopline.service.trading.emergency_halt import halt_id

ACCOUNT = "a"
STRATEGIES = ("core", "wings")
CONTRACTS = {
    s: validate(Instrument, {"symbol": s, "kind": "equity", "currency": "USD"}) for s in ("AAA", "BBB")
}
SCOPES = (
    GLOBAL,
    account_scope(ACCOUNT),
    account_scope(ACCOUNT),
    strategy_scope(ACCOUNT, "core"),
    underlying_scope(ACCOUNT, "AAA"),
)
RIGHTS: tuple[Right, ...] = ("view", "trade", "kill", "resume")
PEOPLE = {n: Principal(name=n, rights=RIGHTS, accounts=("*",)) for n in ("ann", "bob")}
BREAKERS = ("breaker:api_failing", "limit:max_daily_loss", "limit:max_drawdown")
API = 2  # instances that answer the adapter
TWO_VERSIONS = 0.15  # of the schedules: half of the instances are of tomorrow's
CALM = 8  # rounds of the sweep after the faults have stopped


def _account() -> str:
    facts: dict[str, Any] = {"account": ACCOUNT, "owner": "ann", "currency": "USD", "capital": "100000"}
    facts |= {"calendar": "24/7", "trading": {"cool_down_s": 60}}
    return canonical(validate(Account, facts).model_dump(mode="json")).decode()


ACCOUNT_TEXT = _account()


class SlowStore(SimStore):
    """A store that takes its time over some reads: long enough for others to change what was read."""

    def get(self, path: Path) -> Document | None:
        found = super().get(path)
        self._world.dawdle()
        return found

    def get_all(self, paths: Sequence[Path]) -> list[Document | None]:
        found = super().get_all(paths)
        self._world.dawdle()
        return found


class ControlScenario:
    """One seed's interleaving of the word to stop with everything that would go on."""

    focus = "control"
    _is_rolled_out = False

    def __init__(self, seed: int, faults: Faults | None = None, small: bool = False) -> None:
        rng = self.rng = random.Random(seed ^ 0xC0DE)  # noqa: S311 - a schedule, not a secret
        self.small = small
        rare = random.Random(seed ^ 0xA3E)  # noqa: S311 - a schedule, not a secret
        self._is_pushed = seed % PUSHED == 0
        self.world = World(seed, faults if faults is not None else Faults.draw(rng, small, rare))
        world = self.world
        self.truth = ControlTruth(ACCOUNT, timedelta(seconds=2 * world.faults.skew_s))
        self.answers: dict[str, str] = {}
        self.requests: dict[str, dict[str, Any]] = {}
        world.watchers.append(self._watch)
        fields = {"account": ACCOUNT_TEXT, "owner": "ann", "version": 1}
        self._commit(Create(account_path(ACCOUNT), fields), Put(HEARTBEAT, {"at": world.now, "kind": "risk"}))
        self._is_rolling = rng.random() < TWO_VERSIONS
        self._api = SimApi(world, ACCOUNT, self._app, [self._skew() for _ in range(API)])
        venue = Venue(rng, Manners.draw(rng), self._executed)
        shell = Instance("adapter", lambda _: None, self._skew())
        self.adapter = SimAdapter(
            world, shell, ACCOUNT, self._api.post, venue, self.truth.on_order, self.truth.on_command
        )
        world.add("http", self._http, self._app, 2)
        world.add("sweeps", self._sweep, self._app, 1)
        world.add("orders", self.adapter.take, lambda _: None, 1)
        world.add("renew", self._renew, lambda _: None, 2)
        world.add("trade", self._trade, lambda _: None, 1)
        self.is_gauged, self.reduces = False, rng.random() < 0.5
        world.add("gauge", self._gauge, self._app, 1)
        self.letters = SimLetters(world) if world.faults.gives_up else None
        if self.letters:
            world.add(PERSON, self.letters.redrive, self._app, 1)
        self.events = self._events(rng)

    # --- playing ---

    def play(self) -> None:
        """Play the interleaving to its end, then check what must be true at rest."""
        world, rng = self.world, self.rng
        self.adapter.renew(self._api.instances[0], Delivery("renew", Outgoing("renew", b""), "first"))
        for event in self.events:
            event()
            for _ in range(rng.randint(0, 8)):
                world.step()
            if rng.random() < 0.6:
                self.trade(rng.choice(STRATEGIES), rng.choice(("AAA", "BBB")))
        faults = world.faults
        world.calm()
        world.rest()
        while self.letters and self.letters.kept:
            self.letters.ask()
            world.rest()
        if faults.seeks:
            world.seek(faults)
        self._roll_out()
        if self.is_gauged:
            for _ in range(2):  # worse than any reading of before
                self.gauge(str(10 * LIMIT), looks=True)
                world.rest()
                world.now += timedelta(seconds=3)
        for _ in range(CALM):
            world.now += timedelta(seconds=61)
            self.sweep()
            self.renew()
            self.trade("core", "AAA")
            world.rest()
            if not is_due(self):
                break
        self.renew()  # one of before the sweep may have been refused
        world.rest()
        at_rest(self)

    def sweep(self) -> None:
        """Let the scheduler publish a sweep."""
        self._publish("sweeps", {"type": "stopline.sweep.v1", "kind": SweepKind.RISK.value})

    def renew(self) -> None:
        """Let the adapter ask for a lease."""
        self.world.accept(Outgoing("renew", b""))

    def trade(self, strategy: str, symbol: str) -> None:
        """Let the adapter be asked for an order."""
        self._publish("trade", {"strategy": strategy, "symbol": symbol})

    # --- what happens ---

    def _events(self, rng: random.Random) -> list[Callable[[], None]]:
        kinds: list[tuple[Callable[[], None], int]] = [
            (self._tighten, 4),
            (self._resume, 3),
            (self._breaker, 1),
            (self.renew, 4),
            (self.sweep, 1),
            (self._pass_time, 2),
            (self._again, 1),
            (self._restart, 1),
            (self._at_once, 2),
            (self._word_comes_late, 2),
            (self.adapter.venue.move, 1),
            (self._tell_story, 2),
        ]
        most = 2 if self.small else 4
        chosen = rng.choices([k for k, _ in kinds], [w for _, w in kinds], k=rng.randint(1, most))
        first = rng.choice((self._tighten, self._tighten, self._tighten, self._at_once))
        return [first, *chosen] if first not in chosen else chosen

    def _tighten(self) -> None:
        rng, scope = self.rng, self.rng.choice(SCOPES)
        action = rng.choice(("kill", "kill", "pause"))
        more: dict[str, Any] = {}
        if action == "kill":
            more["flatten"] = rng.random() < 0.3
        elif rng.random() < 0.4:
            more["until"] = (self.world.now + timedelta(seconds=rng.choice((20, 90)))).isoformat()
        if scope != GLOBAL and rng.random() < 0.15:
            more["lock"] = True
        self.ask(action, scope, rng.choice(("ann", "bob")), **more)

    def _resume(self) -> None:
        """Resume a scope by what is seen of it now; mostly one that is stopped, mostly not too early."""
        rng, truth = self.rng, self.truth
        scope = rng.choice(sorted(truth.states) or SCOPES)
        if rng.random() < 0.7:
            self.world.now += timedelta(seconds=61)
        self.ask_to_resume(scope, rng.sample(("ann", "bob"), rng.choice((1, 2))))

    def _breaker(self) -> None:
        """Let a breaker stop the account, as a commit of the sweep does; maybe lift it again at once."""
        actor = self.rng.choice(BREAKERS)
        for action in ("pause", "release")[: self.rng.randint(1, 2)]:
            self.ask(action, account_scope(ACCOUNT), actor)

    def _pass_time(self) -> None:
        self.world.now += timedelta(seconds=self.rng.choice((5, 25, 61, 200, 300)))

    def _again(self) -> None:
        """Repeat a request of before: a client that lost the answer, however late."""
        if self.requests:
            self._publish("http", self.rng.choice(list(self.requests.values())))

    def _restart(self) -> None:
        self.adapter.start()

    def _at_once(self) -> None:
        """Let leases be asked for while the whole and a part of the account are stopped."""
        self.renew()
        self.renew()
        for _ in range(self.rng.randint(1, 4)):
            self.world.step()
        self.ask(self.rng.choice(("kill", "pause")), GLOBAL, "ann")
        self.ask("pause", underlying_scope(ACCOUNT, "BBB"), "bob")
        for _ in range(self.rng.randint(10, 60)):
            self.world.step()
        self._publish("trade", {"strategy": "core", "symbol": "AAA"})

    def _word_comes_late(self) -> None:
        """Let an order work, its strategy be halted, and time go by before the adapter is told."""
        venue = self.adapter.venue
        usual, venue.manners = venue.manners, replace(venue.manners, late=1.0, reject=0.0)
        self.adapter.trade("core", CONTRACTS["AAA"], Decimal(1))
        venue.manners = usual
        self.ask("kill", strategy_scope(ACCOUNT, "core"), "ann", flatten=False)
        for _ in range(self.rng.randint(2, 20)):
            self.world.step()
        self.world.now += timedelta(seconds=40)  # a lease goes on, a minute's

    def _tell_story(self) -> None:
        self.rng.choice(STORIES)(self)

    # --- what stories are told with ---

    def ask(self, action: str, scope: str, actor: str, **more: Any) -> dict[str, Any]:
        """Ask for a change of the trading state, under a new id; return the request."""
        body = self._written(action, scope, actor, **more)
        self._publish("http", body)
        return body

    def ask_to_resume(self, scope: str, actors: Sequence[str]) -> None:
        """Let people resume what they see of a scope now."""
        for send in [self.write_resume(scope, actor) for actor in actors]:
            send()

    def write_resume(self, scope: str, actor: str) -> Callable[[], None]:
        """Write a resume by what is seen of a scope now; return what sends it."""
        epoch, holds = self.truth.seen(scope)
        confirm = f"RESUME {scope}"
        body = self._written("resume", scope, actor, expected_epoch=epoch, confirm=confirm, lifts=holds)
        self.truth.written[body["request_id"]] = set(holds)
        return lambda: self._publish("http", body)

    def repeat(self, body: dict[str, Any], *, down: bool) -> None:
        """Use the id of a request of before again; `down`: the store stops answering for a while."""
        if down:
            self.world._outage["store"] = self.rng.randint(4, 30)
        self._publish("http", body)

    def gauge(self, value: str, *, looks: bool) -> None:
        """Let a value be read; `looks`: whether its stop is looked at too."""
        self.is_gauged = True
        seen_at = self.world.now.isoformat()
        self._publish("gauge", {"value": value, "looks": looks, "seen_at": seen_at})

    def let(self, least: int, most: int) -> None:
        """Let others go on for some steps."""
        for _ in range(self.rng.randint(least, most)):
            self.world.step()

    def _written(self, action: str, scope: str, actor: str, **more: Any) -> dict[str, Any]:
        id_ = f"r{len(self.requests)}"
        body = {"request_id": id_, "scope": scope, "action": action, "actor": actor, "reason": "test", **more}
        self.requests[id_] = body
        return body

    # --- the functions ---

    def _http(self, instance: Instance, delivery: Delivery) -> None:
        """A request to the kill switch, or of a breaker, that is repeated until it is answered."""
        body = decode_object(delivery.message.data)
        id_, action, actor = body["request_id"], body.pop("action"), body.pop("actor")
        request = validate(ControlRequest, {**body, "action": action, "actor": actor})
        self.truth.asked(halt_id(request, instance.app.clock.now()), request.scope)
        try:
            if actor in PEOPLE:
                answer = change(instance.app, PEOPLE[actor], action, body)
                facts = decode_object(answer[0])
                said = f"{answer[1]} {facts['delivery']}"
                if "halt_id" in facts:
                    self.truth.told(facts["halt_id"], request.scope)
            else:
                instance.app.trading.set(request)
                said = "200 published"
        except Rejected as refused:
            said = refused.reason
        self.answers[id_] = said

    def _gauge(self, instance: Instance, delivery: Delivery) -> None:
        read_gauge(instance, delivery, ACCOUNT, self.reduces)

    def _sweep(self, instance: Instance, delivery: Delivery) -> None:
        receive(instance.app, "sweeps", delivery, self._is_pushed)

    def _renew(self, instance: Instance, delivery: Delivery) -> None:
        """Ask for a lease, and trade at once: a program that waited for it."""
        self.adapter.renew(instance, delivery)
        self.adapter.trade("core", CONTRACTS["AAA"], Decimal(self.rng.choice((-1, 1))))

    def _trade(self, instance: Instance, delivery: Delivery) -> None:
        body = decode_object(delivery.message.data)
        self.adapter.trade(
            body["strategy"], CONTRACTS[body["symbol"]], Decimal(self.rng.choice((-2, -1, 1, 2)))
        )

    # --- the world ---

    def _app(self, instance: Instance) -> App:
        world = self.world
        store = SlowStore if instance.name.startswith("api") else SimStore
        ports = Ports(
            store(world, instance), SimBus(world, instance), SimClock(world, instance), operator_alerts=USUAL
        )
        app = App(ports)
        is_new = self._is_rolling and not instance.name.endswith("-1")
        return of_tomorrow(app) if is_new or self._is_rolled_out else app

    def _roll_out(self) -> None:
        """Replace what is left of the older version."""
        if self._is_rolling:
            self._is_rolled_out = True
            for instance in (*self._api.instances, *self.world.instances["http"]):
                instance.boot()

    def _skew(self) -> timedelta:
        most = self.world.faults.skew_s
        return timedelta(seconds=self.rng.uniform(-most, most))

    def _commit(self, *writes: Create | Put) -> None:
        self.world.store.commit(writes)
        self.truth.on_commit(writes, self.world.now)

    def _publish(self, topic: str, body: dict[str, Any]) -> None:
        self.world.accept(Outgoing(topic, canonical(body)))

    def _executed(self, ticket: Ticket, units: Decimal, id_: str) -> None:
        """Executions are not published here: what follows from fills is for the other focuses."""

    def _watch(self, what: str, value: Any) -> None:
        if what == "committed":
            self.truth.on_commit(value, self.world.now)
