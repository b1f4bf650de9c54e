"""What happens to Stopline from outside, and how its functions are put into a world."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from emulators.simulator.broker import SimBroker, make_fill, of_alpaca
from emulators.simulator.deliver import PUSHED, SUBSCRIPTIONS, receive
from emulators.simulator.faults import RARE, Faults
from emulators.simulator.letters import PERSON, SimLetters
from emulators.simulator.ports import SimBus, SimChannel, SimClock, SimHistory, SimStore
from emulators.simulator.world import START, Delivery, Instance, World
from emulators.simulator.worth import Worth
from stopline.model.account import Account
from stopline.model.control import ControlRequest, Standing
from stopline.model.errors import Rejected
from stopline.model.settings.recipients import Recipients
from stopline.model.times import utc_text
from stopline.model.wire import canonical, decode_object, validate
from stopline.ports import Create, Delete, Outgoing, Unavailable
from stopline.rules.alerting.audience import USUAL
from stopline.runtime.app import App
from stopline.runtime.ports import Ports
from stopline.service.accounts.reader import account_path
from stopline.service.documents.outbox import Unpublished

OPERATOR = Recipients(email=("desk@example.com",))
REPORT, STATEMENT = b"stopline.report.v1", b"stopline.statement.v1"
INSTANCES = {"fills": 2, "prices": 2, "sweeps": 2, "alerts": 2, "history": 1, "http": 2, "orders": 1}


@dataclass(slots=True)
class Facts:
    """What the outside knows to be true: what was sent in, and what people and the broker got."""

    published: list[dict[str, Any]] = field(default_factory=list)  # fills, each time they were published
    accepted: set[str] = field(default_factory=set)  # ids of messages about fills, where some are given up
    malformed: int = 0
    logged: dict[str, set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )  # fills in the log, by account
    effects: dict[str, bytes] = field(default_factory=dict)  # id -> body, as committed in an outbox
    journaled: set[str] = field(default_factory=set)  # those of them that put audit rows on record, here
    announced: dict[str, set[bytes]] = field(default_factory=dict)  # id -> bodies, as published
    rows: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    sent: list[tuple[str, str, str]] = field(default_factory=list)
    doubt: list[str] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    broker: SimBroker | None = None


class Scenario:
    """One seed's story: a focus, its functions, a list of outside events, and the world they happen in."""

    def __init__(
        self, seed: int, faults: Faults | None = None, focus: str = "fills", small: bool = False
    ) -> None:
        rng = random.Random(seed ^ 0x5EED)  # noqa: S311 - a schedule, not a secret
        self.focus = focus
        self.small = small
        rare = random.Random(seed ^ 0xA3E)  # noqa: S311 - a schedule, not a secret
        self.world = World(seed, faults if faults is not None else Faults.draw(rng, small, rare))
        if focus == "letters":
            self.world.faults = replace(self.world.faults, gives_up=rare.uniform(*RARE["gives_up"]))
        self.facts = Facts()
        self.is_ledger = focus in ("fills", "letters")
        self.accounts = ["a", "b"][: 2 if self.is_ledger and rng.random() < 0.3 else 1]
        self.world.watchers.append(self._watch)
        self.is_pushed = seed % PUSHED == 0
        self.is_settling = False
        self.worth = Worth()
        self.facts.broker = SimBroker(self.world, self.publish_fill)
        self._begin(rng)
        for name in self._functions():
            self.world.add(name, self._handler(name), self._app, self._instances(name))
        self.letters = SimLetters(self.world) if self.world.faults.gives_up else None
        if self.letters:
            self.world.add(PERSON, self.letters.redrive, self._app, 1)
        if self.focus == "fills":  # it looks at the ledger: what books are worth is for others
            self.world.wants["sweeps"] = lambda message: "account" not in message.attributes
        self._create_accounts()
        self.events = self._events(rng)

    def _begin(self, rng: random.Random) -> None:
        """Make what a scenario has beside this."""

    def _instances(self, name: str) -> int:
        """Return how many instances a function has."""
        return INSTANCES[name]

    def is_closed(self) -> bool:
        """Tell whether nothing is left to be closed."""
        held = self.facts.broker.positions.values() if self.facts.broker else ()
        return self.focus != "kill" or not any(held)

    def check(self) -> None:
        """Check what must be true of this scenario at rest, beside what is true of all."""

    # --- the functions ---

    def _functions(self) -> Sequence[str]:
        return {
            "fills": ("fills", "sweeps"),
            "letters": ("fills", "sweeps", "alerts"),
            "alerts": ("alerts", "sweeps"),
            "risk": ("fills", "prices", "sweeps", "alerts", "history"),
            "kill": ("fills", "sweeps", "http", "orders"),
        }[self.focus]

    def _app(self, instance: Instance) -> App:
        return App(self._ports(instance))

    def _ports(self, instance: Instance) -> Ports:
        world, facts = self.world, self.facts
        channels = {
            n: SimChannel(world, instance, n, facts.sent, facts.doubt) for n in ("sms", "email", "discord")
        }
        return Ports(
            SimStore(world, instance),
            SimBus(world, instance),
            SimClock(world, instance),
            SimHistory(world, instance, facts.rows),
            channels if instance.name.startswith("alerts") else {},
            OPERATOR,
            USUAL,
            subscriptions=SUBSCRIPTIONS,
        )

    def _handler(self, name: str) -> Callable[[Instance, Delivery], None]:
        if name == "orders":
            assert self.facts.broker is not None
            return self.facts.broker.handle
        if name == "http":
            return self._http

        def handle(instance: Instance, delivery: Delivery) -> None:
            if self.focus == "fills" and name == "sweeps":
                self._flush(instance.app)
                return
            sent = len(self.facts.sent)
            try:
                receive(instance.app, name, delivery, self.is_pushed)
            except BaseException:
                self._in_doubt(sent)
                raise

        return handle

    def _flush(self, app: App) -> None:
        failed = app.sweep.flusher.flush(app.clock.now())
        if failed:
            raise Unavailable("; ".join(failed.values()))

    def _in_doubt(self, sent: int) -> None:
        """Note messages that went out in a delivery that died or failed: the record of one may be lost."""
        self.facts.doubt += {id_ for id_, _, _ in self.facts.sent[sent:]}

    def _http(self, instance: Instance, delivery: Delivery) -> None:
        """A request to the kill switch by a client that repeats it until it is answered."""
        request = validate(ControlRequest, decode_object(delivery.message.data))
        app: App = instance.app
        try:
            control = app.trading.set(request)
        except Unpublished:
            control = app.trading.standing(request.scope)
        except Rejected as refused:
            if refused.reason != "STALE_RESUME":
                raise
            control = app.trading.standing(request.scope)
            self._read_again(request, control)
        if control.flatten:
            app.closer.advance(request.scope.removeprefix("account:"))
        self.facts.answers[request.request_id] = control.epoch

    # --- the outside ---

    def publish_fill(self, fill: dict[str, Any], again: int = 1) -> None:
        """Publish a fill, as a broker does: it may publish it more than once."""
        message = Outgoing("fills", canonical(fill))
        if self.focus == "letters" and "kind" not in fill and int(fill["quantity"]) % 2:
            fill["fee"] = "0"  # this dialect does not tell it
            message = of_alpaca(fill)
        for _ in range(again):
            self.facts.published.append(fill)
            self.world.accept(message)

    def _create_accounts(self) -> None:
        for name in self.accounts:
            facts = {
                "account": name,
                "owner": "ann",
                "currency": "USD",
                "capital": "10000",
                "calendar": "24/7",
                "price_max_age_s": 86_400
                if self.focus == "kill"
                else 60,  # a resume needs prices: those of fills do
                "recipients": {"sms": ["+14155550100"], "email": ["ann@example.com"]},
                **self._account_facts(),
            }
            fields = {"account": _account_text(canonical(facts)), "owner": "ann", "version": 1}
            self.world.store.commit([Create(account_path(name), fields)])

    def _account_facts(self) -> dict[str, Any]:
        """Return what an account has beside the usual."""
        return {}

    def _events(self, rng: random.Random) -> list[Callable[[], None]]:
        trade, price = self._trade(rng), self._price(rng)
        more = (lambda least, most: least) if self.small else rng.randint
        kinds: dict[str, list[Callable[[], None]]] = {
            "fills": [trade] * rng.randint(1, 3 if self.small else 4),
            "letters": [trade] * rng.randint(1, 2 if self.small else 4),
            "alerts": [self._alert(n) for n in range(rng.randint(1, 2 if self.small else 3))],
            "risk": [trade, *[price] * more(1, 3), *[trade] * more(0, 2)],
            "kill": [*[trade] * more(1, 3), self._kill, *[trade] * more(0, 2)],
        }
        events = kinds[self.focus]
        if self.focus == "kill" and rng.random() < 0.3:
            events.append(self._resume)
        if self.is_ledger and rng.random() < 0.2:
            events += [self._malformed] * rng.choice((1, 1, 2, 3))
        if self.letters and rng.random() < 0.5:
            events.append(self.letters.ask)
        events += [self.sweep] * rng.randint(0, 1)
        if self.focus == "risk" and rng.random() < 0.4:
            events += [self._statement, self._reconcile]
        return events

    def _trade(self, rng: random.Random) -> Callable[[], None]:
        count = 0
        symbols = ["AAA"] if self.small else ["AAA", "BBB"]  # the fewer, the more often fills meet

        def trade() -> None:
            nonlocal count
            count += 1
            contract = {"symbol": rng.choice(symbols), "kind": "equity", "currency": "USD"}
            price = Decimal(rng.randint(9500, 10500)) / 100
            fill = make_fill(
                f"T{count}",
                rng.choice(self.accounts),
                contract,
                rng.choice([1, -1]),
                Decimal(rng.randint(1, 9)),
                price,
                self.world,
            )
            if self.facts.broker:
                self.facts.broker.trade(fill)
            if rng.random() < 0.7:  # else the next one is executed at the very same moment
                self.world.now += timedelta(milliseconds=rng.randint(1, 3000))
            self.publish_fill(fill, 2 if rng.random() < 0.3 else 1)
            if self.is_ledger and rng.random() < 0.4:
                self._amend(rng, fill)

        return trade

    def _amend(self, rng: random.Random, fill: dict[str, Any]) -> None:
        """Publish a bust, corrections or a late fee of a fill; any of them may be delivered before it."""
        for number in range(rng.choice([1, 1, 2])):
            more: dict[str, Any] = rng.choice(
                [
                    {"kind": "BUST"},
                    {"kind": "CORRECT", "price": "98.5", "quantity": str(rng.randint(1, 9))},
                    {"kind": "FEE", "fee": "0.13"},
                ]
            )
            ids = {"fill_id": f"{fill['fill_id']}-{number}", "ref": fill["fill_id"]}
            if rng.random() < 0.5:
                self.world.now += timedelta(milliseconds=rng.randint(1, 3000))
            amendment = {**fill, **ids, **more, "executed_at": utc_text(self.world.now)}
            self.publish_fill(amendment, 2 if rng.random() < 0.2 else 1)

    def _price(self, rng: random.Random) -> Callable[[], None]:
        def price() -> None:
            self.world.now += timedelta(seconds=rng.choice([1, 30, 120]))
            body = {
                "type": "stopline.prices.v1",
                "as_of": utc_text(self.world.now),
                "symbols": ["AAA", "BBB"],
                "last": [rng.choice([95.1, 100.0, 200.3, 250.0, 40.7]), 100.0],
            }
            self.world.accept(Outgoing("prices", canonical(body)))

        return price

    def _alert(self, number: int) -> Callable[[], None]:
        def alert() -> None:
            body = {
                "type": "stopline.alert.v1",
                "alert_id": f"alert-{number}",
                "account": self.accounts[0],
                "kind": "test",
                "object": "xyz"[number // 2],
                "severity": "critical" if number != 1 else "warning",
                "summary": f"something happened to {number % 2}",
                "raised_at": utc_text(self.world.now),
            }
            self.facts.effects[f"alert-{number}"] = canonical(body)
            self.world.accept(Outgoing("alerts", canonical(body), {"effect_id": f"alert-{number}"}))

        return alert

    def _malformed(self) -> None:
        self.facts.malformed += 1
        body = b'{"type": "stopline.fill.v1", "quantity": %d}' % self.facts.malformed
        self.world.accept(Outgoing("fills", body))

    def sweep(self) -> None:
        """Let the scheduler publish a sweep."""
        self.world.now += timedelta(seconds=60)
        self.world.accept(Outgoing("sweeps", b'{"type":"stopline.sweep.v1","kind":"risk"}'))

    def _statement(self) -> None:
        """Let the broker say what it holds, some time after its last execution."""
        assert self.facts.broker is not None
        self.world.now += timedelta(seconds=300)
        held = {symbol: units for (_, symbol), units in self.facts.broker.positions.items() if units}
        body = {
            "type": "stopline.statement.v1",
            "statement_id": f"S-{self.world.steps}",
            "broker": "paper",
            "account": self.accounts[0],
            "as_of": utc_text(self.world.now),
            "positions": [{"symbol": s, "quantity": str(units)} for s, units in sorted(held.items())],
        }
        self.world.accept(Outgoing("fills", canonical(body)))

    def _reconcile(self) -> None:
        self.world.now += timedelta(seconds=300)
        self.world.accept(Outgoing("sweeps", b'{"type":"stopline.sweep.v1","kind":"reconcile"}'))

    def _kill(self) -> None:
        self._request("kill", "kill-1")

    def _resume(self) -> None:
        self._request("resume", "resume-1", expected_epoch=1, confirm="RESUME account:a")

    def _read_again(self, stale: ControlRequest, control: Standing) -> None:
        """Resume by what holds now: a person who is told that there is more reads it first."""
        holds = [hold.request_id for hold in control.holds.values()]
        told = {"expected_epoch": control.epoch, "confirm": stale.confirm, "lifts": holds}
        self._request(
            "resume", f"{stale.request_id}-{control.epoch}-{len(holds)}", **told
        )  # another wish, another id

    def _request(self, action: str, id_: str, **more: Any) -> None:
        body = {
            "request_id": id_,
            "scope": "account:a",
            "action": action,
            "actor": "ann",
            "reason": "test",
            **more,
        }
        self.world.accept(Outgoing("http", canonical(body)))

    def wait(self) -> None:
        """Let time go by until a subscription is set back: messages are kept for days, fills are known for 45."""
        days = {"fills": (0, 0, 1, 8, 40), "alerts": (0, 0, 1, 7)}.get(self.focus, (0,))
        self.world.now += timedelta(days=self.world.rng.choice(days))

    # --- watching ---

    def _note_accepted(self, id_: str, message: Outgoing) -> None:
        of_fills = message.topic == "fills" and not any(kind in message.data for kind in (REPORT, STATEMENT))
        if self.letters is not None and of_fills:
            self.facts.accepted.add(id_)

    def redrive(self) -> bool:
        """Let a person bring back what was given up; tell whether there was anything."""
        if self.letters is None or not self.letters.kept:
            return False
        self.letters.ask()
        return True

    def _watch(self, what: str, value: Any) -> None:
        from emulators.simulator.invariants import on_commit, on_publish

        if what == "committed":
            for write in value:
                if not isinstance(write, Delete) and "state" in write.data:
                    self.worth.on_commit(write.path.collection, write.data)
            on_commit(self, value)
        else:
            self._note_accepted(*value)
            on_publish(self, *value)

    @property
    def start(self) -> Any:
        return START


@lru_cache(maxsize=256)
def _account_text(facts: bytes) -> str:
    """Return what is stored of an account: the same few for all schedules."""
    return canonical(validate(Account, decode_object(facts)).model_dump(mode="json")).decode()
