"""Damaged HTTP requests at every route of `api` and `kill_switch`: 4xx with a problem, or what the caller may do.

Never a 5xx, never a change behind a refusal, never a token in an answer or a log line. `STOPLINE_FUZZ` says how many
(`make fuzz`: 300,000). What once broke something is kept in `corpus/http/` and is played first.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Request
from fuzz.mutations import NASTY, mutated
from unit.make import NOON, account, raw_fill
from werkzeug.test import EnvironBuilder

from stopline.model.fill import Fill
from stopline.model.prices import PriceBatch, Quote
from stopline.rules.alerting.ack_links import AckLinks
from stopline.runtime import kill_api, status_api
from stopline.runtime.app import App
from stopline.runtime.embedded import Embedded
from stopline.runtime.logs import JsonFormatter
from stopline.runtime.ports import Ports
from stopline.runtime.problems import Answer
from stopline.runtime.status_api import ROUTES

COUNT = int(os.environ.get("STOPLINE_FUZZ", "4000")) // 4
CORPUS = Path(__file__).parent / "corpus" / "http"
PER_WORLD = 200  # requests that one Stopline sees
TOKEN, WEAK = "ann-token-of-all-rights-0001", "eve-token-that-only-views-02"
PRINCIPALS = {
    hashlib.sha256(TOKEN.encode()).hexdigest(): {"name": "ann", "rights": ["admin"], "accounts": ["*"]},
    hashlib.sha256(WEAK.encode()).hexdigest(): {"name": "eve", "rights": ["view"], "accounts": ["demo"]},
}
JSON = "application/json"


class Call(NamedTuple):
    """A request. `length`: what the header claims; None says nothing, and the body is then chunked."""

    function: str
    method: str
    path: str
    query: str = ""
    body: bytes = b""
    content_type: str = JSON
    authorization: str = f"Bearer {TOKEN}"
    length: str | None = "right"


ORDER = {
    "legs": [{"instrument": {"symbol": "SPY", "kind": "equity", "currency": "USD"}, "side": "BUY"}],
    "quantity": "10",
    "stop": "95",
}
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "settings"): {
        "expected_version": 1,
        "settings": {"limits": {"max_daily_loss": {"limit": "1"}}},
    },
    ("PATCH", "exits"): {
        "expected_version": 1,
        "strategy": "core",
        "exits": {
            "giveback": "30",
            "trades": {"stop_loss": "2%", "trail": {"by": "percent", "amount": "1%"}},
        },
        "preview": True,
    },
    ("POST", "check"): ORDER,
    ("POST", "size"): {"order": ORDER, "method": "fixed_fractional", "results": ["1", "-2"]},
    ("POST", "alerts/ack"): {"reference": "abc"},
    ("POST", "statement"): {
        "attributes": {"broker": "paper"},
        "message": {
            "type": "stopline.statement.v1",
            "statement_id": "S-1",
            "broker": "paper",
            "account": "demo",
            "as_of": "2026-11-18T17:00:00Z",
            "positions": [{"symbol": "SPY", "quantity": "9"}],
        },
    },
    ("POST", "lease"): {"adapter": "paper-1", "broker_ok": True, "errors": 0, "latency_ms": 40},
}
WISH = {"request_id": "r-1", "scope": "account:demo", "reason": "test"}


def seeds() -> list[Call]:
    """Return a request that is right for every route there is."""
    found = []
    for name, methods in ROUTES.items():
        path = f"/v1/accounts/demo/{name}".rstrip("/")
        for method in methods:
            body = BODIES.get((method, name))
            assert body is not None or method == "GET", f"{method} {path} is not fuzzed: give it a body here"
            found.append(Call("api", method, path, body=encoded(body)))
    found += [
        Call("api", "GET", "/v1/ack", "t=abc.0123456789abcdef.01234567.0123456789012345678901"),
        Call("api", "POST", "/v1/ack", "t=abc.0123456789abcdef.01234567.0123456789012345678901"),
        Call("kill_switch", "GET", "/status", "scope=account%3Ademo"),
        Call("kill_switch", "GET", "/status", "scope=underlying%3Ademo%3ASPY"),
    ]
    for name in kill_api.RIGHTS:
        more = {"expected_epoch": 1, "confirm": "RESUME account:demo"} if name == "resume" else {}
        found.append(Call("kill_switch", "POST", f"/{name}", body=encoded({**WISH, **more})))
    return found


def encoded(body: Any) -> bytes:
    return b"" if body is None else json.dumps(body).encode()


SEEDS = seeds()
TEXTS = [text for text in NASTY if isinstance(text, str)] + [
    "*",
    "a" * 9000,
    "-1",
    "1e9",
    "%00",
    "%ff",
    "&&&=",
]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "X" * 300]
TYPES = [
    "",
    "text/plain",
    "application/jsonx",
    "application/json; charset=utf-16",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "\x80",
    "application/cloudevents+json",
]
HEADERS = [
    "",
    "Bearer",
    f"Basic {TOKEN}",
    f"Bearer {TOKEN}x",
    f"bearer  {WEAK} ",
    f"Bearer {WEAK}",
    "Bearer a.b.c",
    "Bearer eyJhbGciOiJub25lIn0.e30.",
    "Bearer \x00",
    "Bearer " + "x" * 50_000,
]
LENGTHS = [None, "0", "-1", "x", "99999999999999999999", "1e3", " 12", "12"]
BODIES_OF_ANY_KIND = [b"", b"null", b"[" * 100_000, b'{"a":' * 5000, b"9" * 100_000, b"\xff" * 100, b"{}"]
BODIES_OF_ANY_KIND += [b'{"a":"' + b"x" * size + b'"}' for size in (5_000, 20_000, 300_000)]


def damaged(rng: random.Random) -> Call:
    """Return a request with one to three things wrong, most often in its body."""
    call = rng.choice(SEEDS)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        match rng.randrange(14):
            case 0:
                call = call._replace(method=rng.choice(METHODS))
            case 1:
                call = call._replace(path=_twisted(rng, call.path))
            case 2:
                name = rng.choice(["scope", "t", "limit", "cursor", "account", "__proto__", ""])
                call = call._replace(query=f"{call.query}&{name}={rng.choice(TEXTS)}")
            case 3:
                call = call._replace(query=_twisted(rng, call.query))
            case 4:
                call = call._replace(content_type=rng.choice(TYPES))
            case 5:
                call = call._replace(authorization=rng.choice(HEADERS))
            case 6:
                call = call._replace(length=rng.choice(LENGTHS))
            case 7:
                call = call._replace(body=rng.choice(BODIES_OF_ANY_KIND))
            case 8:
                call = call._replace(body=rng.choice(SEEDS).body)
            case _ if call.body:
                call = call._replace(body=mutated(rng, call.body))
            case _:
                call = call._replace(path=_twisted(rng, call.path))
    return call


def _twisted(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    extra = rng.choice([*TEXTS, "/", "//", "/..", "?", "#", ";", "%2f", "%25", "\x00", "é"])
    return text[:at] + extra + text[at + rng.choice([0, 0, 1, 5]) :]


class Harness:
    """A Stopline in memory behind its two HTTP functions, with something to see and to stop."""

    def __init__(self) -> None:
        self.world = Embedded(NOON)
        ports = self.world.app.ports
        links = AckLinks("https://stopline.example.com", "a-secret-of-more-than-32-characters")
        self.app = App(
            Ports(
                ports.store,
                ports.bus,
                ports.clock,
                ports.history,
                ports.channels,
                ports.operator,
                links=links,
            )
        )
        for name in ("demo", "other"):
            self.app.account_writer.create(account(name), "ann")
        self.app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
        self.app.marker.mark(PriceBatch("feed", NOON, {"SPY": Quote(100.0, 99.9, 100.1)}, ()))

    def send(self, call: Call) -> Answer:
        """Answer a request as the function does."""
        handle = status_api.handle if call.function == "api" else kill_api.handle
        return handle(Request(environ(call)), lambda: self.app, PRINCIPALS)

    def state(self) -> str:
        """Return all that is stored, and where trading stands; a refused resume leaves a row in the audit trail."""
        stored = self.world.store._documents
        rest = [(name, found) for name, found in sorted(stored.items()) if name not in ("audit", "controls")]
        where = [
            (facts["scope"], facts["trading_state"], facts["epoch"])
            for facts, _ in stored["controls"].values()
        ]
        return repr(([pair for pair in rest if pair[1]], [one for one in where if one[2]]))


def environ(call: Call) -> dict[str, Any]:
    """Return what a WSGI server makes of a request: bytes as Latin-1, lengths as the client claims them."""
    made = EnvironBuilder(method="POST").get_environ()
    made |= {
        "REQUEST_METHOD": call.method,
        "PATH_INFO": call.path.encode("utf-8", "surrogatepass").decode("latin-1"),
        "QUERY_STRING": call.query.encode("utf-8", "surrogatepass").decode("latin-1"),
        "CONTENT_TYPE": call.content_type,
        "HTTP_AUTHORIZATION": call.authorization,
        "wsgi.input": io.BytesIO(call.body),
    }
    made.pop("CONTENT_LENGTH", None)
    if call.length is None:
        made |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    else:
        made["CONTENT_LENGTH"] = str(len(call.body)) if call.length == "right" else call.length
    return made


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Every log line, as Cloud Logging would get it."""
    caplog.set_level(logging.DEBUG)
    caplog.handler.setFormatter(JsonFormatter())
    return caplog


def test_every_route_answers_its_own_request() -> None:
    """What is damaged below is right before: else all of it would be refused for one reason."""
    for call in SEEDS:
        body, status, _headers = Harness().send(call)
        expected = {"/v1/ack": (404,), "/v1/accounts/demo/alerts/ack": (404,), "/resume": (409,)}.get(
            call.path, (200, 423)
        )
        assert status in expected, (call, status, body)


def test_what_broke_something_once_does_not_again() -> None:
    """Every request of the corpus, in one Stopline."""
    harness = Harness()
    for path in sorted(CORPUS.glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        call = Call(**{**kept, "body": kept["body"].encode("latin-1")})
        _body, status, _headers = harness.send(call)
        assert 400 <= status < 500, path.name


def test_a_damaged_request_is_refused_with_its_reason_and_changes_nothing(
    lines: pytest.LogCaptureFixture,
) -> None:
    """I9, I11: bodies, headers, paths, query strings, methods, lengths and types of every kind."""
    refused = 0
    for number in range(COUNT):
        if number % PER_WORLD == 0:
            harness = Harness()
        call = damaged(random.Random(number))
        before = harness.state()
        body, status, headers = harness.send(call)
        told = report(number, call, status, body)
        assert 200 <= status < 300 or 400 <= status < 500, told
        assert headers["X-Content-Type-Options"] == "nosniff", told
        assert len(body) < 30_000, told
        if status >= 400:
            refused += 1
            assert harness.state() == before, told
            if headers["Content-Type"] == "application/problem+json":
                problem = json.loads(body)
                assert problem["status"] == status, told
                assert problem["title"], told
                assert problem["detail"], told
            else:
                assert call.path.lstrip("/") == "v1/ack", told
        elif call.method in ("GET", "HEAD"):
            assert harness.state() == before, told
        assert TOKEN.encode() not in body, told
        assert WEAK.encode() not in body, told
    assert 0.5 * COUNT < refused < COUNT
    assert TOKEN not in lines.text
    assert WEAK not in lines.text


def report(number: int, call: Call, status: int, body: bytes) -> str:
    """Say what broke, and give the file that keeps it."""
    kept = {**call._asdict(), "body": call.body.decode("latin-1")}
    return f"request {number} was answered {status} {body[:300]!r}\ncorpus file: {json.dumps(kept)[:3000]}"
