"""The adapter of docs/client.md: executed as it stands there, against a broker whose orders rest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from stopline.client import Client, OtherAccount
from stopline.model.account import Account
from stopline.model.control import ControlRequest
from stopline.model.instrument import Instrument
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Command, Halt
from stopline.model.order import Order as Checked
from stopline.model.times import utc_text
from stopline.model.wire import canonical, validate
from stopline.runtime.embedded import Embedded

NOON = datetime(2026, 11, 18, 17, 0, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "docs" / "client.md"
EASY = {
    "risk": {"min_risk_reward": "0", "min_confidence": "0"}
}  # what an order must bring is not the matter here
SPY = Instrument.model_validate({"symbol": "SPY", "kind": "equity", "currency": "USD"})


@dataclass
class Resting:
    id: str
    strategy: str
    instrument: Instrument
    units: Decimal


@dataclass
class Broker:
    """Takes every order, and fills none before it is told to."""

    held: dict[str, int] = field(default_factory=dict)
    orders: list[Resting] = field(default_factory=list)
    names: Any = field(default_factory=lambda: count(1))
    is_down: bool = False

    is_lost: bool = False

    def is_connected(self) -> bool:
        return not self.is_lost

    def position(self, strategy: str, symbol: str) -> Decimal:
        return Decimal(self.held.get(strategy, 0))

    def positions(self) -> list[Resting]:
        return [Resting("", strategy, SPY, Decimal(units)) for strategy, units in self.held.items()]

    def working_orders(self) -> list[Resting]:
        if self.is_lost:
            raise ConnectionError("the broker does not answer")
        return list(self.orders)

    def cancel(self, id_: str) -> None:
        self.orders = [order for order in self.orders if order.id != id_]

    def send(self, strategy: str, instrument: Instrument, side: str, quantity: Decimal, **more: Any) -> None:
        if self.is_down:
            raise ConnectionError("the broker is down")
        units = quantity if side == "BUY" else -quantity
        name = more.get("id_") or f"o-{next(self.names)}"
        self.orders.append(Resting(name, strategy, instrument, units))


@dataclass
class Place:
    desk: Embedded
    broker: Broker
    adapter: Any
    is_checked: bool = True

    def act(self, action: str, scope: str, **more: Any) -> None:
        facts = {"request_id": "r", "scope": scope, "action": action, "actor": "ann", "reason": "x", **more}
        self.desk.app.trading.set(ControlRequest.model_validate(facts))
        self.adapter.every_20_seconds()

    def price(self) -> None:
        """A price of SPY, and a sweep that has seen it."""
        batch = {"type": "stopline.prices.v1", "source": "f", "symbols": ["SPY"], "last": [100]}
        self.desk.publish("prices", {**batch, "as_of": utc_text(self.desk.clock.now())})
        self.desk.sweep()
        self.desk.run()

    def buy(self, quantity: int, **terms: str) -> str | None:
        said: str | None = self.adapter.trade(
            SPY, "BUY", Decimal(quantity), "core", **{"stop": "99", **terms}
        )
        return said

    def close(self, quantity: int, id_: str = "c-1") -> bytes:
        facts = {
            "command_id": id_,
            "account": "demo",
            "action": "close",
            "epoch": 0,
            "strategy": "core",
            "instrument": SPY.model_dump(mode="json"),
            "side": "SELL",
            "quantity": str(quantity),
            "issued_at": NOON,
            "expires_at": NOON + timedelta(seconds=30),
        }
        return canonical(validate(Command, facts).model_dump(mode="json"))


@pytest.fixture
def place() -> Place:
    desk = Embedded(NOON)
    facts = {"account": "demo", "owner": "ann", "currency": "USD", "capital": "100000", **EASY}
    desk.app.account_writer.create(validate(Account, facts), "test")
    desk.sweep()
    desk.run()

    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        if path.endswith("/check"):
            if not here.is_checked:
                raise ConnectionError("no answer")
            return 200, desk.app.order_desk.check("demo", validate(Checked, dict(body)))
        granted = desk.app.leases.grant(desk.app.accounts.require("demo"), validate(LeaseRequest, dict(body)))
        return 200, granted.model_dump(mode="json")

    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    broker = Broker({"core": 10})
    here = Place(desk, broker, names["Adapter"](Client("demo", "a", post, desk.clock), broker))
    here.price()
    return here


def test_the_adapter_tells_how_its_broker_does(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """R5.3: errors in a row and the slowest answer, so that `api_failing` and `latency` can trip for it."""
    client, now, told = place.adapter.client, [0.0], list[tuple[Any, ...]]()
    post, clock = client.post, place.adapter.every_20_seconds.__globals__["time"]

    def heard(path: str, body: Mapping[str, Any]) -> Any:
        told.append((body.get("broker_ok", True), body.get("errors", 0), body.get("latency_ms")))
        return post(path, body)

    client.post = heard
    with monkeypatch.context() as patch:
        patch.setattr(clock, "monotonic", lambda: now.append(now[-1] + 2.5) or now[-1])
        place.adapter.every_20_seconds()
    assert client.size("core", "SPY") == 1, "one slow answer is no slow broker"
    place.adapter.every_20_seconds()
    assert client.size("core", "SPY") == 0
    place.adapter.every_20_seconds()
    assert client.size("core", "SPY") == 1
    place.broker.is_lost = True
    for _ in range(3):
        with pytest.raises(ConnectionError):
            place.adapter.every_20_seconds()
    place.broker.is_lost = False
    for _ in range(2):
        place.adapter.every_20_seconds()
    slow = (True, 0, 2500)  # what is asked after the lease counts for the next one
    assert told[:2] == [slow, slow]
    assert [(ok, errors) for ok, errors, _ in told[2:]] == [
        (True, 0),
        (False, 0),
        (False, 1),
        (False, 2),
        (True, 3),
        (True, 0),
    ]


def test_failed_orders_are_told_though_the_broker_is_there_and_one_that_raises_is_told_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5.3: the question whether it is connected, asked before each word, had set the count back."""
    place.adapter.every_20_seconds()
    place.broker.is_down = True
    for _ in range(5):
        with pytest.raises(ConnectionError):
            place.adapter.broker.send("core", SPY, "SELL", Decimal(1))
    place.adapter.every_20_seconds()
    assert place.adapter.client.size("core", "SPY") == 0
    place.broker.is_down = False
    for _ in range(2):
        place.adapter.every_20_seconds()
    assert place.adapter.client.size("core", "SPY") == 1
    told = place.adapter.client.renew
    said: list[Mapping[str, Any]] = []
    monkeypatch.setattr(place.adapter.client, "renew", lambda **how: (said.append(how), told(**how))[1])

    def raises() -> bool:
        raise ConnectionError("no route")

    monkeypatch.setattr(place.broker, "is_connected", raises)
    place.adapter.every_20_seconds()
    assert [how["broker_ok"] for how in said] == [False]


def test_working_orders_count_before_the_next_one(place: Place) -> None:
    """R5.1, N4: of three sales of all of it, the second would turn the position round."""
    place.act("pause", "account:demo")
    said = [place.adapter.trade(SPY, "SELL", Decimal(10), "core") for _ in range(3)]
    assert said == [None, "core in SPY is REDUCING", "core in SPY is REDUCING"]
    assert [order.units for order in place.broker.orders] == [-10]
    place.broker.cancel("o-1")
    assert place.adapter.trade(SPY, "SELL", Decimal(4), "core") is None
    assert place.adapter.trade(SPY, "BUY", Decimal(1), "core") is not None
    assert place.adapter.trade(SPY, "SELL", Decimal(6), "core") is None


def test_a_close_leaves_room_for_what_works(place: Place) -> None:
    """F44, docs/closing.md: position less working reducing orders is the most; what adds takes nothing from it."""
    place.adapter.every_20_seconds()
    assert place.adapter.trade(SPY, "SELL", Decimal(4), "core") is None
    assert place.buy(3) is None
    assert place.adapter.on_orders_message(place.close(10)) == "closing 6"
    assert place.adapter.on_orders_message(place.close(10, "c-2")) == "closing 0"
    assert sorted(order.units for order in place.broker.orders) == [-6, -4, 3]


@pytest.mark.parametrize(
    ("scope", "left"),
    [("strategy:demo:core", ["wings"]), ("underlying:demo:SPY", []), ("account:demo", []), ("global", [])],
)
def test_a_halt_cancels_what_it_is_for_and_no_more(place: Place, scope: str, left: list[str]) -> None:
    """F41: the stops of another strategy stay."""
    place.broker.held["wings"] = 5
    place.adapter.every_20_seconds()
    for strategy in ("core", "wings"):
        assert place.adapter.trade(SPY, "SELL", Decimal(5), strategy) is None
    facts = {"halt_id": "h", "scope": scope, "actor": "ann", "reason": "x", "issued_at": NOON}
    message = canonical(validate(Halt, facts).model_dump(mode="json"))
    assert place.adapter.on_orders_message(message) == "halted"
    assert [order.strategy for order in place.broker.orders] == left


def test_a_close_that_the_broker_did_not_take_comes_again(place: Place) -> None:
    """F06: not acknowledged, so Pub/Sub sends it again."""
    place.adapter.every_20_seconds()
    place.broker.is_down = True
    with pytest.raises(ConnectionError):
        place.adapter.on_orders_message(place.close(10))
    place.broker.is_down = False
    assert place.adapter.on_orders_message(place.close(10)) == "closing 10"
    assert place.adapter.on_orders_message(place.close(10)) == "it was carried out"


def test_a_message_of_another_account_is_left_to_its_own_adapter(place: Place) -> None:
    """F44: of two adapters on one subscription the wrong one acknowledges nothing, so that it comes again."""
    theirs = canonical({**json.loads(place.close(10)), "account": "other"})
    with pytest.raises(OtherAccount):
        place.adapter.on_orders_message(theirs)
    assert place.broker.orders == []


def half_open(place: Place) -> None:
    """A money breaker has paused, and people have resumed."""
    place.act("pause", "account:demo", request_id="b", actor="breaker:loss")
    place.desk.clock.set(place.desk.clock.now() + timedelta(seconds=61))
    place.price()
    confirm = {"expected_epoch": 1, "confirm": "RESUME account:demo"}
    place.act("resume", "account:demo", request_id="r-2", **confirm)
    assert place.adapter.client.size("core", "SPY") == Decimal("0.25")


def test_an_order_that_adds_is_scaled_by_the_size_and_held_against_the_limits(place: Place) -> None:
    """R5.2, R2.2: half-open, 100,000 of capital: a million shares are bought by nobody, of 40 there are 10."""
    half_open(place)
    said = place.buy(1_000_000)
    assert said is not None
    assert "(the largest that passes: " in said
    assert place.broker.orders == []
    assert place.buy(40) is None
    assert [order.units for order in place.broker.orders] == [10]
    assert place.buy(3) == "nothing is left of it at the size that holds"
    assert len(place.broker.orders) == 1


def test_the_check_knows_the_size_that_holds(place: Place) -> None:
    """R5.2: the largest that passes is smaller half-open, and nothing passes in a pause."""

    def largest() -> Decimal:
        leg = {"instrument": SPY.model_dump(mode="json"), "side": "BUY"}
        order = {"strategy": "core", "legs": [leg], "quantity": "1", "stop": "99"}
        return Decimal(place.adapter.client.check(order)["largest"])

    usual = largest()
    half_open(place)
    assert 0 < largest() <= usual / 4
    place.act("pause", "account:demo", request_id="p")
    assert largest() == 0


def test_an_order_that_adds_is_not_sent_without_an_answer(place: Place) -> None:
    """R0.4: unknown is a refusal; what reduces asks nobody."""
    place.adapter.every_20_seconds()
    place.is_checked = False
    said = place.buy(1)
    assert said is not None
    assert said.startswith("unknown: Stopline cannot be asked")
    assert place.broker.orders == []
    assert place.adapter.trade(SPY, "SELL", Decimal(10), "core") is None
