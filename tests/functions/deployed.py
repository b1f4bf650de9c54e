"""The functions as they are deployed: every secret set, the real app, and only Google's services in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import stopline.adapters.bigquery
import stopline.adapters.firestore
import stopline.adapters.pubsub
from stopline.adapters.memory import MemoryBus, MemoryHistory, MemoryStore
from stopline.model.times import utc_text
from stopline.runtime import google, settings

from .conftest import ENTRY_POINTS, ROOT, raw_fill


def made(name: str) -> str:
    """Return a secret that no pattern knows, and that nobody takes for anything else."""
    return f"{name}{hashlib.sha256(name.encode()).hexdigest()[:24]}"


def webhook(name: str) -> str:
    return f"https://discord.com/api/webhooks/1000000000000000001/{made(name)}"


def apprise(name: str) -> str:
    return f"slack://{made(name + 'A')}/{made(name + 'B')}/{made(name + 'C')}"


TOKEN = made("caller")
HASH = hashlib.sha256(TOKEN.encode()).hexdigest()
TELEGRAM = f"123456789:{made('telegram')}"
HEARTBEAT = f"https://ping.example.com/{made('beacon')}"
SECRETS: Mapping[str, tuple[str, ...]] = {  # by the field of the settings
    "operator": (made("webhook"), made("sentA"), made("sentB"), made("sentC")),
    "operator_alerts": (made("hook2"), made("dutyA"), made("dutyB"), made("dutyC")),
    "principals": (HASH,),
    "dev_key": (made("developer"),),
    "twilio_token": (made("twilio"),),
    "smtp_password": (made('it\'s\\a "mail" password%'),),
    "telegram_token": (made("telegram"),),
    "ack_secret": (made("acknowledge"),),
    "heartbeat_url": (made("beacon"),),
    "kite_secret": (made("kite"),),
}
PEOPLE = {"sms": ["+14155550100"], "email": ["desk@example.com"], "telegram": ["123456"]}
ENVIRONMENT = {
    "GOOGLE_CLOUD_PROJECT": "p",
    "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1",  # else there is no key of a developer; nobody calls it
    "STOPLINE_LOG_LEVEL": "DEBUG",
    "STOPLINE_OPERATOR": json.dumps(
        {**PEOPLE, "discord": [webhook("webhook")], "apprise": [apprise("sent")]}
    ),
    "STOPLINE_OPERATOR_ALERTS": json.dumps(
        {
            "people": [
                {"name": "eva", "recipients": {"discord": [webhook("hook2")], "apprise": [apprise("duty")]}}
            ],
            "escalate_to": ["eva"],
        }
    ),
    "STOPLINE_PRINCIPALS": json.dumps({HASH: {"name": "ann", "rights": ["admin"], "accounts": ["*"]}}),
    "STOPLINE_DEV_KEY": made("developer"),
    "STOPLINE_API_URL": "https://stopline.example.com",
    "STOPLINE_ACK_SECRET": made("acknowledge"),
    "STOPLINE_HEARTBEAT_URL": HEARTBEAT,
    "STOPLINE_KITE_SECRET": made("kite"),
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": made("twilio"),
    "TWILIO_FROM": "+15005550006",
    "TWILIO_VOICE": "1",
    "SMTP_HOST": "127.0.0.1",
    "SMTP_PORT": "1",
    "SMTP_FROM": "desk@example.com",
    "SMTP_USER": "desk",
    "SMTP_PASSWORD": made('it\'s\\a "mail" password%'),
    "TELEGRAM_TOKEN": TELEGRAM,
    "STOPLINE_TWILIO_URL": "http://127.0.0.1:1",
    "STOPLINE_DISCORD_URL": "http://127.0.0.1:1",
    "STOPLINE_TELEGRAM_URL": "http://127.0.0.1:1",
}
GOOD: Mapping[str, Any] = {
    "fills": lambda now: raw_fill(executed_at=now),
    "prices": lambda now: {"type": "stopline.prices.v1", "as_of": now, "symbols": ["SPY"], "last": [100.0]},
    "sweep": lambda now: {"type": "stopline.sweep.v1", "kind": "risk"},
    "history": lambda now: {
        "type": "stopline.history.v1",
        "rows": [
            {"table": "audit", "event_id": "e-1", "row": {"scope": "global", "event": "kill", "detail": "{}"}}
        ],
    },
    "alerts": lambda now: {
        "type": "stopline.alert.v1",
        "alert_id": f"a-{now}",
        "kind": "test",
        "object": now,
        "severity": "critical",
        "summary": "Something happened",
        "raised_at": now,
    },
}


class Breaks:
    """A service that fails in all that it is asked, while it has a fault."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.fault: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        if self.fault:
            raise self.fault
        return getattr(self._real, name)


class Deployed:
    """The functions of one deployment, and what is behind them."""

    def __init__(self) -> None:
        self.store, self.bus, self.history = (
            Breaks(MemoryStore()),
            Breaks(MemoryBus()),
            Breaks(MemoryHistory()),
        )
        self.sent = 0

    def serve(self, name: str) -> FlaskClient:
        served = functions_framework.create_app(
            ENTRY_POINTS[name], str(ROOT / "functions" / name / "main.py")
        )
        return served.test_client()

    def push(
        self, client: FlaskClient, raw: bytes, attributes: Mapping[str, str] | None = None
    ) -> TestResponse:
        self.sent += 1
        message = {
            "data": base64.b64encode(raw).decode(),
            "messageId": f"m-{self.sent}",
            "publishTime": utc_text(datetime.now(UTC)),
            "attributes": attributes or {},
        }
        return client.post("/", json={"message": message})


CACHES: tuple[Any, ...] = (
    settings.settings,
    google._app,
    google.identity,
    google.developer,
    google.kill_app,
    google._alerts_app,
    google.history_app,
)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    """The real app over services in memory; only this machine has an address."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    found, real, root = Deployed(), socket.getaddrinfo, logging.getLogger()

    def here(host: Any, *more: Any, **named: Any) -> Any:
        if host != "127.0.0.1":
            raise socket.gaierror(f"no address of {host}")
        return real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    monkeypatch.setattr(stopline.adapters.firestore, "FirestoreStore", lambda **_: found.store)
    monkeypatch.setattr(stopline.adapters.pubsub, "PubSubBus", lambda **_: found.bus)
    monkeypatch.setattr(stopline.adapters.bigquery, "BigQueryHistory", lambda **_: found.history)
    handlers = root.handlers[:]
    for cache in CACHES:
        cache.cache_clear()
    yield found
    for cache in CACHES:
        cache.cache_clear()
    root.handlers[:] = handlers
