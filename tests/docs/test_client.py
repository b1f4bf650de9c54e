"""The adapter of docs/client.md: executed as it stands there, against a broker whose orders rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from stopline.client import Client
from stopline.model.account import Account
from stopline.model.control import ControlRequest
from stopline.model.instrument import Instrument
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Command, Halt
from stopline.model.wire import canonical, validate
from stopline.runtime.embedded import Embedded

NOON = datetime(2026, 11, 18, 17, 0, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "docs" / "client.md"
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

    def is_connected(self) -> bool:
        return True

    def position(self, strategy: str, symbol: str) -> Decimal:
        return Decimal(self.held.get(strategy, 0))

    def working_orders(self) -> list[Resting]:
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

    def act(self, action: str, scope: str) -> None:
        facts = {"request_id": "r", "scope": scope, "action": action, "actor": "ann", "reason": "x"}
        self.desk.app.trading.set(ControlRequest.model_validate(facts))
        self.adapter.every_20_seconds()

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
    facts = {"account": "demo", "owner": "ann", "currency": "USD", "capital": "100000"}
    desk.app.account_writer.create(validate(Account, facts), "test")
    desk.sweep()
    desk.run()

    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        granted = desk.app.leases.grant(desk.app.accounts.require("demo"), validate(LeaseRequest, dict(body)))
        return 200, granted.model_dump(mode="json")

    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    broker = Broker({"core": 10})
    return Place(desk, broker, names["Adapter"](Client("demo", "a", post, desk.clock), broker))


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
    assert place.adapter.trade(SPY, "BUY", Decimal(3), "core") is None
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
