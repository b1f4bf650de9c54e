"""What a function's own process loads and logs: each test in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from .conftest import ENTRY_POINTS, ROOT

PRELUDE = """
import json, sys
from datetime import UTC, datetime
import functions_framework
import stopline.adapters.firestore, stopline.adapters.pubsub  # what the real app is made of
import stopline.runtime.google as google
from stopline.adapters.clock import ManualClock
from stopline.adapters.memory import MemoryBus, MemoryStore
from stopline.model.account import Account
from stopline.runtime import logs
from stopline.runtime.app import App
from stopline.runtime.ports import Ports

app = App(Ports(MemoryStore(), MemoryBus(), ManualClock(datetime(2026, 11, 18, 17, tzinfo=UTC))))
google.app = google.kill_app = lambda: app

def serve(name, entry_point):
    return functions_framework.create_app(entry_point, f"functions/{name}/main.py").test_client()

def push(client, raw):
    import base64
    return client.post("/", json={"message": {"data": base64.b64encode(raw).decode(), "messageId": "m-1"}})

ACCOUNT = {"account": "demo", "owner": "ann", "currency": "USD", "capital": "100000"}
FILL = {
    "type": "stopline.fill.v1", "fill_id": "E-1", "broker": "paper", "account": "demo", "side": "BUY",
    "instrument": {"symbol": "SPY", "kind": "equity", "currency": "USD"},
    "quantity": "10", "price": "100", "executed_at": "2026-11-18T16:59:00Z",
}
"""


def run(code: str, **environment: str) -> str:
    kept = {k: v for k, v in os.environ.items() if k != "LOG_EXECUTION_ID"}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = {"numpy", "pandas", "twilio", "google.cloud.bigquery", "requests", "smtplib", "yaml"}


def test_the_fills_function_starts_and_books_without_what_it_does_not_need() -> None:
    """Performance: a cold start costs a fill its time; numpy and the other functions' clients stay out."""
    loaded = run(
        """
        app.account_writer.create(Account.model_validate(ACCOUNT), "ann")
        client = serve("fills", "on_fills")
        assert push(client, json.dumps(FILL).encode()).status_code == 204
        assert push(client, b"{oops").status_code == 204
        assert len(app.store.query("fills")) == 1
        assert len(app.store.query("quarantine")) == 1
        print(json.dumps(sorted(sys.modules)))
        """
    )
    modules = set(json.loads(loaded.splitlines()[-1]))
    assert "stopline.service.fills.record_fill" in modules
    assert modules & HEAVY == set()
    assert not any(name.startswith("stopline.risk.") for name in modules)


# Of Stopline, for a kill from the start to the answer: 112 when this was written. Of the last nine eight read which
# orders the brokers list, and cancel them again: a kill that is answered with FLAT has read them, so they cannot wait.
# One says where no adapter listens; four were parts of others (what statements say of a flat book, stops that nobody
# holds, what rests at brokers, what proves a closing).
KILL_MODULES = 159


def test_the_kill_switch_starts_without_numbers_and_channels() -> None:
    """R5.1, performance: what must work when all else fails hangs on little, and starts fast. Counted, not timed."""
    loaded = run(
        """
        import hashlib
        import stopline.runtime.settings
        from stopline.runtime.settings import Settings
        who = {hashlib.sha256(b"t").hexdigest(): {"name": "ann", "rights": ["kill"], "accounts": ["*"]}}
        stopline.runtime.settings.settings = lambda: Settings(project="p", principals=who)
        google.identity = google.developer = lambda: None
        app.account_writer.create(Account.model_validate(ACCOUNT), "ann")
        client = serve("kill_switch", "kill_switch")
        body = {"request_id": "r", "scope": "account:demo", "reason": "x"}
        answer = client.post("/kill", json=body, headers={"Authorization": "Bearer t"})
        assert answer.get_json()["closing"] == {"demo": "FLAT"}, answer.data
        assert "google.cloud.firestore" in sys.modules  # before the first request, not in it
        print(json.dumps(sorted(sys.modules)))
        """
    )
    modules = set(json.loads(loaded.splitlines()[-1]))
    assert modules & (HEAVY - {"requests"}) == set()  # which Firestore's client brings
    ours = {name for name in modules if name.startswith("stopline.") and not _is_folder(name)}
    assert len(ours) <= KILL_MODULES, " ".join(sorted(ours))


def test_the_kill_switch_looks_for_no_garbage_in_what_it_loads() -> None:
    """Performance: it was a seventh of its start; what is loaded stays out of every later look, and the looks go on."""
    run(
        """
        import gc
        assert gc.get_freeze_count() == 0
        serve("kill_switch", "kill_switch")
        assert gc.get_freeze_count() > 10_000
        assert gc.isenabled()
        """
    )


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_function_has_its_entry_point_and_opens_no_connection_when_it_is_loaded(name: str) -> None:
    """R0.2, R0.3: the server loads it before it forks."""
    run(
        f"""
        import socket
        def refuse(*_args, **_more):
            raise AssertionError("a connection while loading")
        socket.socket.connect = refuse
        assert serve({name!r}, {ENTRY_POINTS[name]!r}) is not None
        """
    )


@pytest.mark.parametrize("environment", [{}, {"LOG_EXECUTION_ID": "true"}], ids=["plain", "LOG_EXECUTION_ID"])
def test_a_line_is_logged_for_each_delivery_and_no_secret_in_any(environment: dict[str, str]) -> None:
    """R8.3, B75: the framework's own logging must neither swallow INFO nor let secrets through."""
    out = run(
        """
        client = serve("fills", "on_fills")  # the framework sets its handlers here
        logs.configure("INFO")  # as the real app does when it is built, at the first request
        app.account_writer.create(Account.model_validate(ACCOUNT), "ann")
        assert push(client, json.dumps(FILL).encode()).status_code == 204
        secret = {**FILL, "fill_id": "E-2", "side": "Bearer abcdefghijklmnop"}
        assert push(client, json.dumps(secret).encode()).status_code == 204

        def fails(*_args, **_more):
            raise ValueError("Authorization: Bearer abcdefghijklmnop and token=hunter2")
        app.store.get = app.store.get_all = app.store.commit = fails
        assert push(client, json.dumps({**FILL, "fill_id": "E-3"}).encode()).status_code == 500
        """,
        **environment,
    )
    lines = [json.loads(line) for line in out.splitlines()]
    handled = [line for line in lines if line["message"] == "handled"]
    assert [(line["severity"], line["applied"], line["quarantined"]) for line in handled] == [
        ("INFO", 1, 0),
        ("INFO", 0, 1),
    ]
    [error] = [line for line in lines if line["severity"] == "ERROR"]
    assert "Traceback" in error["exception"]
    assert "[redacted]" in error["exception"]
    assert "abcdefghijklmnop" not in out
    assert "hunter2" not in out


def _is_folder(module: str) -> bool:
    """Return whether it is a package: an empty file that sorts modules."""
    return (ROOT / "shared" / module.replace(".", "/")).is_dir()
