"""How the tests of leases and of the client ask for one, act, and make what adapters are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

from stopline.adapters.memory import MemoryBus
from stopline.client import Client, Order
from stopline.model.control import ControlRequest
from stopline.model.instrument import Instrument
from stopline.model.lease import Lease
from stopline.model.messages import Command
from stopline.model.wire import canonical, validate
from stopline.ports import Outgoing
from stopline.runtime.envelope import Envelope
from stopline.runtime.handlers import receive
from stopline.service.trading.emergency_halt import halt_unpersisted

from .conftest import ANN, NOON, Served

SPY = Instrument.model_validate({"symbol": "SPY", "kind": "equity", "currency": "USD"})


def ask(served: Served, body: Any = None, account: str = "demo", token: str = ANN) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return served.client.post(f"/v1/accounts/{account}/lease", json=body or {"adapter": "a"}, headers=headers)


def client_of(served: Served, token: str = ANN, kept_in: Path | None = None) -> Client:
    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = served.client.post(path, json=body, headers={"Authorization": f"Bearer {token}"})
        return answer.status_code, answer.get_json()

    return Client("demo", "a", post, served.world.clock, served.world.bus, kept_in=kept_in)


def act(served: Served, action: str, id_: str, scope: str = "account:demo", **more: Any) -> None:
    facts = {"request_id": id_, "scope": scope, "action": action, "actor": "ann", "reason": "test"}
    served.world.app.trading.set(ControlRequest.model_validate({**facts, **more}))


def order(held: int = 0, after: int = 10, strategy: str = "core", automatic: bool = True) -> Order:
    return Order(strategy, SPY, Decimal(held), Decimal(after), automatic)


def lease_at(granted: datetime, auto: bool = True) -> dict[str, Any]:
    facts = {"account": "demo", "state": "ACTIVE", "epoch": 3, "size": "1", "auto_trading": auto}
    times = {"granted_at": granted, "expires_at": granted + timedelta(seconds=60)}
    return validate(Lease, {**facts, **times}).model_dump(mode="json")


def command(**more: Any) -> bytes:
    facts = {
        "command_id": "c-1",
        "account": "demo",
        "action": "close",
        "epoch": 1,
        "strategy": "core",
        "instrument": SPY.model_dump(mode="json"),
        "side": "SELL",
        "quantity": "10",
        "issued_at": NOON,
        "expires_at": NOON + timedelta(seconds=30),
        **more,
    }
    return canonical(validate(Command, facts).model_dump(mode="json"))


def kill_request(id_: str = "k", scope: str = "account:demo") -> ControlRequest:
    facts = {"request_id": id_, "scope": scope, "action": "kill", "actor": "ann", "reason": "x"}
    return ControlRequest.model_validate(facts)


def second_path(served: Served, request: ControlRequest) -> tuple[bytes, Callable[[], None]]:
    """Return what adapters get of a kill that could not be stored, and what lets the sweep store it."""
    sent: dict[str, Outgoing] = {}
    bus = MemoryBus()
    for topic in ("orders", "sweeps"):
        bus.subscribe(topic, lambda message, id_, attempt: sent.update({message.topic: message}))
    halt_unpersisted(bus, request, served.world.clock.now())
    bus.run()
    journal = sent["sweeps"]
    envelope = Envelope(journal.data, "m-1", journal.attributes)
    return sent["orders"].data, lambda: receive(served.world.app, "sweeps", envelope)


def halt_message(served: Served, request: ControlRequest) -> bytes:
    return second_path(served, request)[0]
