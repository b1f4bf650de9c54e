"""Damaged messages of every kind through the functions' own path: booked or quarantined, never anything else.

`STOPLINE_FUZZ` says how many (`make fuzz`: 300,000). A message that once broke something is kept in `corpus/`, under a
name that says what it did; those are played first, as they are.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import random
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Request
from fuzz.mutations import mutated
from unit.brokers.samples import SAMPLES
from unit.make import account, option, raw_fill
from werkzeug.test import EnvironBuilder

from stopline.runtime.embedded import Embedded
from stopline.runtime.push import push

COUNT = int(os.environ.get("STOPLINE_FUZZ", "4000"))
CORPUS = Path(__file__).parent / "corpus"
NOON = datetime(2026, 11, 18, 17, 0, tzinfo=UTC)
AT = "2026-11-18T16:59:00Z"
BROKERS = ("paper", *sorted({sample.broker for sample in SAMPLES.values()}))
PER_WORLD = 100  # messages that one Stopline sees: state left by one may break the next


class Seed(NamedTuple):
    """A message that is right."""

    source: str
    attributes: dict[str, str]
    data: bytes


def own(source: str, **body: Any) -> Seed:
    return Seed(source, {}, json.dumps(body).encode())


@cache
def seeds() -> list[Seed]:
    fill = raw_fill(fee="0.65", order_id="O-1", group_id="G-1")
    leg = raw_fill("E-2", "SELL", 2, "1.25", AT, option())
    found = [
        Seed("fills", {}, json.dumps(fill).encode()),
        Seed("fills", {}, json.dumps(leg).encode()),
        own("fills", type="stopline.fills.v1", fills=[raw_fill("E-3"), raw_fill("E-4", "SELL")]),
        own("fills", **raw_fill("E-5", kind="CORRECT", ref="E-1")),
        own(
            "prices",
            type="stopline.prices.v1",
            as_of=AT,
            symbols=["SPY", "QQQ"],
            last=[500.5, 400],
            bid=[500, 399],
        ),
        own("sweeps", type="stopline.sweep.v1", kind="risk"),
        own("sweeps", type="stopline.sweep.v1", kind="account", account="demo"),
        own(
            "alerts",
            type="stopline.alert.v1",
            alert_id="a-1",
            account="demo",
            kind="max_daily_loss",
            object="account",
            severity="critical",
            summary="loss",
            figure={"current": "3.1", "limit": "3", "unit": "%"},
            raised_at=AT,
        ),
        own(
            "history",
            type="stopline.history.v1",
            rows=[{"table": "audit", "event_id": "e-1", "row": {"event_id": "e-1", "actor": "ann"}}],
        ),
    ]
    found += [Seed("fills", {"broker": s.broker, **s.attributes}, s.text.encode()) for s in SAMPLES.values()]
    return found


class Harness:
    """A Stopline in memory behind its push requests."""

    def __init__(self) -> None:
        self.world = Embedded(NOON)
        self.world.app.account_writer.create(account(brokers=BROKERS), "ann")
        self.number = 0

    def push(self, seed: Seed) -> int:
        """Push one message as Pub/Sub does; return the status that it is answered with."""
        self.number += 1
        message = {
            "data": base64.b64encode(seed.data).decode(),
            "messageId": f"m-{self.number}",
            "publishTime": AT,
            "attributes": seed.attributes,
        }
        return self.request(seed.source, json.dumps({"message": message, "subscription": "s"}).encode())

    def request(self, source: str, body: bytes) -> int:
        environ = EnvironBuilder(method="POST", data=body, content_type="application/json").get_environ()
        return push(Request(environ), source, lambda: self.world.app)[1]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)


def test_what_broke_something_once_does_not_again() -> None:
    """Every message of the corpus, in one Stopline."""
    harness = Harness()
    for path in sorted(CORPUS.glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        seed = Seed(kept["source"], kept["attributes"], base64.b64decode(kept["data"]))
        assert harness.push(seed) == 204, path.name


def test_a_damaged_message_is_booked_or_quarantined_and_nothing_else() -> None:
    """B01-B60: acknowledged, with a reason in the quarantine where it is refused; never a 5xx, never a loop."""
    harness = Harness()
    refused = 0
    for number in range(COUNT):
        if number % PER_WORLD == 0:
            harness = Harness()
        rng = random.Random(number)
        seed = rng.choice(seeds())
        broken = seed._replace(data=mutated(rng, seed.data))
        before = len(harness.world.store.query("quarantine"))
        status = harness.push(broken)
        assert status == 204, report(number, broken, status)
        refused += len(harness.world.store.query("quarantine")) > before
    assert 0.3 * COUNT < refused < COUNT  # most are refused, and some are still right


def test_a_damaged_push_request_is_answered_and_kept() -> None:
    """B01-B11: the envelope around the message, damaged."""
    harness = Harness()
    message = {
        "data": base64.b64encode(seeds()[0].data).decode(),
        "messageId": "m",
        "attributes": {"broker": "paper"},
    }
    body = json.dumps(
        {"message": {**message, "publishTime": AT}, "subscription": "s", "deliveryAttempt": 1}
    ).encode()
    for number in range(COUNT // 4):
        rng = random.Random(-1 - number)
        broken = mutated(rng, body)
        status = harness.request("fills", broken)
        assert status in (204, 413), (number, broken[:500], status)


def report(number: int, seed: Seed, status: int) -> str:
    """Say what broke, and give the file that keeps it."""
    kept = {
        "source": seed.source,
        "attributes": seed.attributes,
        "data": base64.b64encode(seed.data).decode(),
    }
    return f"message {number} was answered {status}: {seed.data[:300]!r}\ncorpus file: {json.dumps(kept)}"
