"""The focus `exits`: a trader, an adapter with the real client, a broker that does as it likes, and closings that must
end.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from emulators.simulator.adapter import SimAdapter
from emulators.simulator.api import SimApi
from emulators.simulator.broker import make_fill
from emulators.simulator.control_truth import ControlTruth
from emulators.simulator.desk_invariants import desk_at_rest, is_closing, stops_only_tighten
from emulators.simulator.scenario import Scenario
from emulators.simulator.venue import GOOD, Manners, Ticket, Venue
from emulators.simulator.world import Delivery, Instance
from stopline.model.control import account_scope
from stopline.model.errors import Rejected
from stopline.model.instrument import Instrument
from stopline.model.scopes import strategy_scope, underlying_scope
from stopline.model.times import utc_text
from stopline.model.wire import canonical, decode_object, validate
from stopline.ports import Delete, Outgoing, Put
from stopline.runtime.auth import Principal
from stopline.runtime.kill_api import change
from stopline.service.sweep.heartbeat import HEARTBEAT

ACCOUNT = "a"
ANN = Principal(name="ann", rights=("view", "trade", "kill", "resume"), accounts=("*",))
SCOPES = (account_scope(ACCOUNT), strategy_scope(ACCOUNT, "core"), underlying_scope(ACCOUNT, "BBB"))
WHERE = {"AAA": "core", "BBB": "wings"}  # which strategy trades what
PAIR = "pair"  # the strategy that trades two puts as one
SPREAD = {"AAA261218P00090000": 1, "AAA261218P00095000": -1}  # its legs, and their ratio
OPENING = {"AAA": 100, "BBB": 100, **dict(zip(SPREAD, (2, 5), strict=True))}
FACTS: dict[str, dict[str, Any]] = {s: {"symbol": s, "kind": "equity", "currency": "USD"} for s in WHERE}
for symbol in SPREAD:
    put = {"kind": "option", "underlying": "AAA", "expiry": "2026-12-18", "right": "P", "multiplier": "10"}
    FACTS[symbol] = {"symbol": symbol, "currency": "USD", "strike": str(int(symbol[-8:]) // 1000), **put}
CONTRACTS = {symbol: validate(Instrument, facts) for symbol, facts in FACTS.items()}
EXITS: tuple[dict[str, Any], ...] = (
    {"trades": {"stop_loss": "3%", "target": "6%"}},
    {"trades": {"trail": {"by": "giveback", "amount": "40%", "activation": "0.5%"}}},
    {"trades": {"trail": {"by": "percent", "amount": "2%", "activation": "0.5%"}}},
    {"trades": {"stop_loss": "3%", "scale_out": [{"at": "1R", "close": "50"}], "breakeven": "2%"}},
    {"trades": {"max_age_s": 45}},
    {"strategies": {"core": {"max_loss": "20"}, "wings": {"arm": "10", "giveback": "30"}}},
)


class DeskScenario(Scenario):
    """One seed's day at the desk: prices move and close things, people stop and resume, while fills are on their way."""

    def _begin(self, rng: random.Random) -> None:
        world = self.world
        self.truth = ControlTruth(ACCOUNT, timedelta(seconds=2 * world.faults.skew_s))
        self.rng = rng
        self.price = {symbol: Decimal(price) for symbol, price in OPENING.items()}
        self.exits = rng.choice(EXITS)
        if "trades" in self.exits:
            self.exits = {"trades": {**self.exits["trades"], "confirm": rng.choice((1, 1, 2))}}
        self.closing = {"multi_leg": rng.random() < 0.8}
        self.spreads = 0
        self.wave = rng.choice((1, -1))  # whether prices rise or fall
        self.stops: dict[str, Any] = {}
        world.store.commit([Put(HEARTBEAT, {"at": world.now, "kind": "risk"})])
        self.truth.beat_at = world.now
        most = world.faults.skew_s
        skew = [timedelta(seconds=rng.uniform(-most, most)) for _ in range(3)]
        self.api = SimApi(world, ACCOUNT, self._app, skew[1:])
        manners = replace(Manners.draw(rng), apart=rng.choice((0.0, 0.7)))
        venue = Venue(rng, manners, self._executed)
        shell = Instance("adapter", lambda _: None, skew[0])
        self.adapter = SimAdapter(
            world,
            shell,
            ACCOUNT,
            self.api.post,
            venue,
            self.truth.on_order,
            self.truth.on_command,
            self._report,
        )
        world.add("orders", self.adapter.take, lambda _: None, 1)
        world.add("renew", self.adapter.renew, lambda _: None, 1)

    def _functions(self) -> Sequence[str]:
        return ("fills", "prices", "sweeps", "http")

    def _handler(self, name: str) -> Callable[[Instance, Delivery], None]:
        return self._http if name == "http" else super()._handler(name)

    def _account_facts(self) -> dict[str, Any]:
        # a resume needs prices: those of fills do
        return {"price_max_age_s": 86_400, "exits": self.exits, "closing": self.closing}

    # --- what happens ---

    def _events(self, rng: random.Random) -> list[Callable[[], None]]:
        enter = rng.choice((self._enter, self._enter, self._enter_spread))
        first: list[Callable[[], None]] = [self._renew_now, enter, *[self._enter] * (not self.small)]
        first.append(self._move_prices)
        kinds: list[tuple[Callable[[], None], int]] = [
            (self._enter, 3),
            (self._enter_spread, 2),
            (self._word, 1),
            (self._resume, 1),
            (self.renew, 2),
            (self.adapter.venue.move, 2),
            (self.adapter.tick, 1),
            (self.sweep, 1),
            (self._move_prices, 6),
        ]
        names, weights = [k for k, _ in kinds], [w for _, w in kinds]
        count = rng.randint(2, 4) if self.small else rng.randint(3, 8)
        return first + rng.choices(names, weights, k=count)

    def _renew_now(self) -> None:
        self.adapter.renew(self.api.instances[0], Delivery("renew", Outgoing("renew", b""), "first"))

    def renew(self) -> None:
        """Let the adapter ask for a lease."""
        self.world.now += timedelta(seconds=self.rng.choice((1, 20)))
        self.world.accept(Outgoing("renew", b""))

    def _enter(self) -> None:
        symbol = self.rng.choice(sorted(WHERE))
        if not self.adapter.is_closing(WHERE[symbol], symbol):
            units = Decimal(self.rng.choice((-6, -3, -1, 1, 3, 6)))
            self.adapter.trade(WHERE[symbol], CONTRACTS[symbol], units)

    def _enter_spread(self) -> None:
        """Trade two legs under one group; the second is left out where the first is refused."""
        if any(self.adapter.is_closing(PAIR, symbol) for symbol in SPREAD):
            return
        self.spreads += 1
        units = self.rng.choice((-3, -1, 1, 3))
        for symbol, ratio in SPREAD.items():
            sent = Decimal(units * ratio)
            if self.adapter.trade(PAIR, CONTRACTS[symbol], sent, f"G{self.spreads}") is not None:
                return

    def _move_prices(self) -> None:
        """Let prices go one way, mostly: two batches with something in between."""
        self._tick_prices()
        for _ in range(self.rng.randint(0, 8)):
            self.world.step()
        self._tick_prices()

    def _tick_prices(self) -> None:
        rng = self.rng
        self.world.now += timedelta(seconds=rng.choice((1, 5, 30)))
        if rng.random() < 0.3:
            self.wave = -self.wave
        for symbol in self.price:
            moved = 1 + self.wave * Decimal(rng.choice(("0", "0.01", "0.03")))
            self.price[symbol] = round(self.price[symbol] * moved, 2)
        self._publish_prices()

    def _publish_prices(self) -> None:
        body = {
            "type": "stopline.prices.v1",
            "as_of": utc_text(self.world.now),
            "symbols": list(self.price),
            "last": [float(price) for price in self.price.values()],
        }
        self.world.accept(Outgoing("prices", canonical(body)))

    def _word(self) -> None:
        action = self.rng.choice(("kill", "kill", "pause"))
        more = {"flatten": self.rng.random() < 0.8} if action == "kill" else {}
        self._ask(action, self.rng.choice(SCOPES), more)

    def _resume(self) -> None:
        stopped = sorted(self.truth.states)
        if not stopped:
            return
        self.world.now += timedelta(seconds=61)
        scope = self.rng.choice(stopped)
        own = self.truth.documents[account_scope(ACCOUNT)]
        standing = own if scope == own["scope"] else own["parts"][scope]
        self._ask("resume", scope, {"expected_epoch": standing["epoch"], "confirm": f"RESUME {scope}"})

    def _ask(self, action: str, scope: str, more: dict[str, Any]) -> None:
        id_ = f"r{len(self.facts.answers)}-{self.world.steps}"
        body = {"request_id": id_, "scope": scope, "action": action, "reason": "test", **more}
        self.world.accept(Outgoing("http", canonical(body)))

    def _http(self, instance: Instance, delivery: Delivery) -> None:
        """A request to the kill switch by a caller who repeats it until it is answered."""
        body = decode_object(delivery.message.data)
        id_, action = body["request_id"], body.pop("action")
        try:
            _, status, _ = change(instance.app, ANN, action, body)
            self.facts.answers[id_] = status
        except Rejected as refused:
            self.facts.answers[id_] = refused.reason

    # --- the broker's side ---

    def _executed(self, ticket: Ticket, units: Decimal, id_: str) -> None:
        """Publish an execution, now and then twice."""
        symbol, manners = ticket.instrument.symbol, self.adapter.venue.manners
        fill = make_fill(
            id_, ACCOUNT, FACTS[symbol], 1 if units > 0 else -1, abs(units), self.price[symbol], self.world
        )
        fill["strategy"] = ticket.strategy
        if ticket.group_id and self.rng.random() >= manners.groupless:
            fill["group_id"] = ticket.group_id
        if self.rng.random() >= manners.nameless:
            fill["order_id"] = ticket.order
        self.world.now += timedelta(milliseconds=self.rng.randint(1, 900))
        self.publish_fill(fill, 2 if self.rng.random() < manners.twice else 1)

    def _report(self, command_id: str, status: str, reason: str) -> None:
        """Say what became of a command, now and then twice."""
        manners = self.adapter.venue.manners
        if self.rng.random() < manners.silent:
            return
        report = {
            "type": "stopline.report.v1",
            "command_id": command_id,
            "account": ACCOUNT,
            "broker": "paper",
            "status": status,
            "reason": reason,
            "reported_at": utc_text(self.world.now),
        }
        for _ in range(2 if self.rng.random() < manners.twice else 1):
            self.world.accept(Outgoing("fills", canonical(report)))

    # --- calm ---

    def sweep(self) -> None:
        """Let the scheduler publish a sweep; in the calm the broker works well, and prices are fresh."""
        if self.is_settling:
            venue = self.adapter.venue
            venue.manners = GOOD
            self.adapter.tick()
            while venue.working:
                venue.move()
            self.renew()
            self._publish_prices()
        super().sweep()

    def is_closed(self) -> bool:
        """Tell whether nothing is left to be closed."""
        return not is_closing(self) and not self.adapter.venue.working

    def check(self) -> None:
        """Check what must be true of the desk at rest."""
        desk_at_rest(self)

    def _watch(self, what: str, value: Any) -> None:
        super()._watch(what, value)
        if what != "committed":
            return
        self.truth.on_commit(value, self.world.now)
        for write in value:
            if write.path.collection == "risk" and not isinstance(write, Delete) and "state" in write.data:
                stops_only_tighten(self, write.data["state"])
