"""The paper broker under a lease: it trades while Stopline's API lets it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from emulators.broker_link import leased
from emulators.paper_broker import PaperBroker
from emulators.paper_orders import Order, Status
from stopline.client import Client
from stopline.model.control import ControlRequest
from stopline.model.fill import Side
from stopline.model.instrument import Instrument
from stopline.model.prices import Quote

from .conftest import Served, open_accounts

SPY = Instrument.model_validate({"symbol": "SPY", "kind": "equity", "currency": "USD"})


def test_the_paper_broker_trades_under_a_lease_only(serve: Callable[[str], Served]) -> None:
    """R5.1, issue 6.5: no sweep, no lease, no new risk; what reduces goes through."""
    served = serve("api")
    open_accounts(served, "demo")
    world = served.world

    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = served.client.post(path, json=body, headers={"Authorization": "Bearer ann-token-0001"})
        return answer.status_code, answer.get_json()

    broker = PaperBroker(leased(Client("demo", "paper", post, world.clock)))
    broker.price({"SPY": Quote(100.0)}, world.clock.now())

    def order(id_: str, side: Side = Side.BUY, **more: Any) -> Status:
        return broker.order(Order(id_, "demo", SPY, side, Decimal(2), **more), world.clock.now()).status

    assert order("o-1") is Status.REFUSED  # no sweep has run
    world.sweep()
    world.run()
    assert order("o-2") is Status.FILLED
    facts = {
        "request_id": "p",
        "scope": "strategy:demo:core",
        "action": "pause",
        "actor": "ann",
        "reason": "x",
    }
    world.app.trading.set(ControlRequest.model_validate(facts))
    world.clock.set(world.clock.now() + timedelta(seconds=61))
    assert order("o-3", strategy="core") is Status.REFUSED
    assert order("o-4") is Status.FILLED
    world.clock.set(world.clock.now() + timedelta(minutes=10))
    assert order("o-5") is Status.REFUSED
    assert order("o-6", Side.SELL) is Status.FILLED
    other = Order("o-7", "other", SPY, Side.BUY, Decimal(1))
    assert broker.order(other, world.clock.now()).status is Status.REFUSED
