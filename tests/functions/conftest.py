"""The functions as functions-framework serves them, over a Stopline in memory."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
TOKENS = {
    "ann-token-0001": {"name": "ann", "rights": ["admin"], "accounts": ["*"]},
    "bob-token-0002": {"name": "bob", "rights": ["kill", "view"], "accounts": ["demo"]},
    "ida-token-0004": {"name": "ida", "rights": ["resume", "view", "risk"], "accounts": ["*"]},
    "eve-token-0003": {"name": "eve", "rights": ["view"], "accounts": ["demo"]},
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


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Served]:
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
