"""The functions as functions-framework serves them, over a Stopline in memory."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import stopline.runtime.google
import stopline.runtime.settings
from stopline.ports import Unavailable
from stopline.rules.alerting.ack_links import AckLinks
from stopline.runtime.app import App
from stopline.runtime.embedded import Embedded
from stopline.runtime.ports import Ports
from stopline.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 11, 18, 17, 0, tzinfo=UTC)
ENTRY_POINTS = {
    name: facts["entry_point"]
    for name, facts in json.loads((ROOT / "infra" / "topology.json").read_text())["functions"].items()
}
LINKS = AckLinks("https://stopline.example.com", "a-secret-of-more-than-32-characters")
ANN, BOB, EVE, IDA = "ann-token-0001", "bob-token-0002", "eve-token-0003", "ida-token-0004"
TOKENS = {
    ANN: {"name": "ann", "rights": ["admin"], "accounts": ["*"]},
    BOB: {"name": "bob", "rights": ["kill", "view"], "accounts": ["demo"]},
    IDA: {"name": "ida", "rights": ["resume", "view", "risk"], "accounts": ["*"]},
    EVE: {"name": "eve", "rights": ["view"], "accounts": ["demo"]},
}


class Switch:
    """Stands before a store or bus, counts what it is asked, and fails while it is off."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.fault: Exception | None = None
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        if name in ("get", "get_all", "commit", "query", "publish"):
            self.calls += 1
            if self.fault:
                raise self.fault
        return getattr(self._real, name)


@dataclass
class Served:
    """One function and the world behind it."""

    client: FlaskClient
    world: Embedded
    store: Switch
    bus: Switch
    app: App
    headers: dict[str, str] = field(default_factory=dict)

    def push(
        self,
        message: Any,
        attributes: dict[str, str] | None = None,
        message_id: str = "m-1",
        published: str = "2026-11-18T17:00:00Z",
    ) -> TestResponse:
        """Send one message as a Pub/Sub push subscription does."""
        raw = message if isinstance(message, bytes) else json.dumps(message).encode()
        body = {
            "message": {
                "data": base64.b64encode(raw).decode(),
                "messageId": message_id,
                "publishTime": published,
                "attributes": attributes or {},
            },
            "subscription": "projects/p/subscriptions/s",
        }
        return self.client.post("/", json=body)

    def quarantined(self) -> list[dict[str, Any]]:
        return [d.data for d in self.world.store.query("quarantine")]

    def outage(self) -> None:
        self.store.fault = Unavailable("the store is down")


Serve = Callable[[str], Served]
"""Serve a function by its name."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Serve a function by its name."""

    def start(name: str) -> Served:
        world = Embedded(NOON)
        store, bus = Switch(world.store), Switch(world.bus)
        app = App(
            Ports(
                store, bus, world.clock, world.history, world.channels, world.app.ports.operator, links=LINKS
            )
        )  # type: ignore[arg-type]
        principals = {hashlib.sha256(token.encode()).hexdigest(): who for token, who in TOKENS.items()}
        for getter in ("app", "kill_app", "alerts_app", "history_app"):
            monkeypatch.setattr(stopline.runtime.google, getter, lambda: app)
        monkeypatch.setattr(stopline.runtime.google, "identity", lambda: None)
        monkeypatch.setattr(stopline.runtime.google, "developer", lambda: None)
        chosen = Settings(project="test", principals=principals)
        monkeypatch.setattr(stopline.runtime.settings, "settings", lambda: chosen)
        served = functions_framework.create_app(
            ENTRY_POINTS[name], str(ROOT / "functions" / name / "main.py")
        )
        return Served(served.test_client(), world, store, bus, app)

    return start


@pytest.fixture
def switch(serve: Serve) -> Served:
    """The kill switch over two accounts, demo and other."""
    served = serve("kill_switch")
    open_accounts(served, "demo", "other")
    return served


@pytest.fixture
def api(serve: Serve) -> Served:
    """The API over two accounts, demo and other."""
    served = serve("api")
    open_accounts(served, "demo", "other")
    return served


@pytest.fixture
def swept(api: Served) -> Served:
    """The API just after a round of the sweep: leases can be had."""
    api.world.sweep()
    api.world.run()
    return api


def wait(served: Served, seconds: float) -> None:
    served.world.clock.set(served.world.clock.now() + timedelta(seconds=seconds))


def hold_spy_at(served: Served, last: float) -> None:
    """Have ten shares of SPY, bought at 100, that are at `last` now."""
    from stopline.model.fill import Fill
    from stopline.model.prices import PriceBatch, Quote

    app = served.world.app
    app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
    app.marker.mark(PriceBatch("feed", NOON, {"SPY": Quote(last, last - 0.1, last + 0.1)}, ()))


def open_accounts(served: Served, *names: str) -> None:
    from stopline.model.account import Account

    for name in names:
        made = Account.model_validate(
            {"account": name, "owner": "ann", "currency": "USD", "capital": "100000"}
        )
        served.world.app.account_writer.create(made, "ann")


def raw_fill(fill_id: str = "E-1", **more: Any) -> dict[str, Any]:
    return {
        "type": "stopline.fill.v1",
        "fill_id": fill_id,
        "broker": "paper",
        "account": "demo",
        "instrument": {"symbol": "SPY", "kind": "equity", "currency": "USD"},
        "side": "BUY",
        "quantity": "10",
        "price": "100",
        "executed_at": "2026-11-18T16:59:00Z",
        **more,
    }


from .deployed import deployed as deployed  # noqa: E402 - a fixture, of what stands above
