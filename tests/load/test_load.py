"""The desk under load for minutes: fills as fast as they are taken, a price batch a second, sweeps in between.

`make load` runs ten minutes with 1,000 accounts (`STOPLINE_LOAD_S`, `STOPLINE_LOAD_ACCOUNTS`), `make test` a few
seconds with 20. Requests go straight to the functions, because the Pub/Sub emulator pushes two at a time. What must
hold: every answer acknowledges, no process of a function grows after the warm-up (those of the emulators are shown
beside them), the last answers came as fast as earlier ones, books, audit chains and outboxes are right. The first half
of the time is the warm-up: caches of so many accounts are slow to fill.
"""

from __future__ import annotations

import base64
import json
import os
import random
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from e2e.at_rest import check_chains, check_digests, wait_for_outboxes, waiting
from e2e.storm import Raw, app_of, check_books, make_fills
from load.memory import GROWTH, Watch, growth

from emulators import google
from emulators.stack import Stack
from emulators.topology import load
from stopline.model.account import Account
from stopline.model.wire import validate
from stopline.runtime.app import App
from stopline.service.sweep.flush_outboxes import OUTBOX_AGE

SECONDS = float(os.environ.get("STOPLINE_LOAD_S", "6"))
ACCOUNTS = int(os.environ.get("STOPLINE_LOAD_ACCOUNTS", "20"))
LONG = SECONDS >= 60
WRITERS = 2  # who publish fills, each waiting for its answer
LOUD = max(1, ACCOUNTS // 100)  # accounts that breach their limits: breakers leave rows in audit chains
SWEEPS = min(60.0, SECONDS / 5)  # seconds from one to the next
FUNCTIONS = ("fills", "prices", "sweep")
MOST_FILLS = max(400, int(SECONDS * 200))
# From three fills to the next three: four a day and account, so that a book soon has all that it keeps of a day.
STEP = timedelta(hours=18) / ACCOUNTS
PATIENCE = 4  # all functions and emulators share these cores: each has so many times as long as on an instance of its own
pytestmark = pytest.mark.timeout(SECONDS * 2 + 240 + ACCOUNTS / 5)


class Lane(threading.Thread):
    """Posts one message after another until told to stop; keeps how long each took and what was answered."""

    def __init__(self, url: str, bodies: Iterator[Any], every: float, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._url, self._bodies, self._every, self._stopped = url, bodies, every, stop
        self.took: list[float] = []
        self.refused: list[tuple[int, str]] = []
        self.sent: list[Any] = []

    def run(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            for number, body in enumerate(self._bodies):
                started = time.monotonic()
                answer = session.post(self._url, json=pushed(body, f"{id(self)}-{number}"), timeout=600)
                self.took.append(time.monotonic() - started)
                self.sent.append(body)
                if answer.status_code != 204:
                    self.refused.append((answer.status_code, answer.text[:200]))
                if self._stopped.wait(max(0.0, self._every - self.took[-1])):
                    return


def pushed(body: Any, message_id: str) -> dict[str, Any]:
    """Return the body as Pub/Sub pushes it."""
    data = base64.b64encode(json.dumps(body).encode()).decode()
    message = {
        "data": data,
        "messageId": message_id,
        "publishTime": datetime.now(UTC).isoformat(),
        "attributes": {},
    }
    return {"message": message}


@pytest.fixture
def loaded() -> Iterator[Stack]:
    """A stack on emulators of its own; what the functions publish is kept by the topics and read by nobody."""
    needed = google.missing()
    if needed:
        pytest.skip(" ".join(needed))
    if not Path("/proc/self/stat").exists():
        pytest.skip("memory is read from /proc, which this system does not have")
    topology = load()
    slow = {
        name: replace(entry, timeout_seconds=entry.timeout_seconds * PATIENCE)
        for name, entry in topology.functions.items()
    }
    with Stack(topology=replace(topology, functions=slow)) as stack:
        yield stack.up(functions=FUNCTIONS, bigquery=False)


def test_nothing_grows_and_nothing_lags(loaded: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """R8.5, F15: the ledger, the price path and the sweep at once, for as long as it takes to see a leak."""
    rng = random.Random(9)
    app = app_of(loaded, monkeypatch)
    open_accounts(app)
    begin = datetime.now(UTC) - STEP * (MOST_FILLS // 3 + 1)
    fills = make_fills(rng, begin, MOST_FILLS, ACCOUNTS, STEP)
    stop = threading.Event()
    writers = [Lane(loaded.urls["fills"], iter(fills[n::WRITERS]), 0.0, stop) for n in range(WRITERS)]
    prices = Lane(loaded.urls["prices"], batches(rng), 1.0, stop)
    sweeps = Lane(loaded.urls["sweep"], repeated({"type": "stopline.sweep.v1", "kind": "risk"}), SWEEPS, stop)
    lanes = [*writers, prices, sweeps]
    every = min(5.0, SECONDS / 12)
    functions, emulators = Watch(loaded.processes, every), Watch(loaded.emulators.processes, every)
    for thread in (*lanes, functions, emulators):
        thread.start()
    try:
        go_on(lanes)
    finally:  # also where it is stopped from outside: Ctrl-C tells what was done so far
        stop.set()
        for lane in lanes:
            lane.join()
        tell(writers, prices, sweeps)
        for watch in (functions, emulators):
            watch.stop()
            watch.tell()
    booked = [fill for lane in writers for fill in lane.sent]
    assert [r for lane in lanes for r in lane.refused] == []
    assert len(booked) < len(fills), "the fills were all taken before the end: more are needed"
    check_rest(app, booked)
    check_memory(functions)
    if LONG:
        for name, lane in {"fills": writers[0], "price batches": prices, "sweeps": sweeps}.items():
            check_lag(name, lane)


def check_rest(app: App, booked: list[Raw]) -> None:
    """The books are right, the audit chains whole, and the sweeps have left no outbox behind that goes out at all."""
    old = [str(document.path) for document in waiting(app, OUTBOX_AGE + timedelta(seconds=2 * SWEEPS + 60))]
    assert not old, f"{len(old)} outboxes were passed over by the sweeps, such as {old[:3]}"
    wait_for_outboxes(app)
    rows = check_chains(app)
    assert rows > ACCOUNTS or not LONG, "no breaker has left a row beside those of the accounts' opening"
    check_books(app, booked, old=True)
    check_digests(app, booked)
    print(f"{len(booked)} fills: the books and their digests are theirs; {rows} rows of audit chains whole")


def check_memory(watch: Watch) -> None:
    """No process of a function has died, and over minutes none has grown. The emulators keep all in memory: they grow."""
    for name in FUNCTIONS:
        seen = [pid for of, pid in watch.samples if of == name]
        assert len(seen) == 2, f"{name} had {len(seen)} processes, and not a server and its worker: {seen}"
    if LONG:
        grown = {key: growth(seen) for key, seen in watch.samples.items()}
        assert max(grown.values()) <= GROWTH, f"grown, by name and process: {grown}"


def check_lag(name: str, lane: Lane) -> None:
    """The last messages were answered as fast as those before them."""
    third = len(lane.took) // 3
    assert third, f"{len(lane.took)} {name} were answered"
    middle, last = statistics.median(lane.took[third : 2 * third]), statistics.median(lane.took[-third:])
    assert last <= 2 * middle + 0.5, f"{name} took {middle:.2f} s, and {last:.2f} s at the end"


def go_on(lanes: list[Lane]) -> None:
    """Wait for the end; say each minute how far it is."""
    started = time.monotonic()
    while (left := SECONDS - (time.monotonic() - started)) > 0:
        time.sleep(min(60.0, left))
        done = ", ".join(str(len(lane.took)) for lane in lanes)
        print(f"after {time.monotonic() - started:.0f} s: {done} answers by lane", flush=True)


def tell(writers: list[Lane], prices: Lane, sweeps: Lane) -> None:
    """Print what was done, and how long the answers took."""
    fills = sum(len(lane.took) for lane in writers)
    print(
        f"{fills} fills: {fills / sum(writers[0].took) if fills else 0:.0f} a second, {told(writers[0].took)}"
    )
    print(f"{len(prices.took)} price batches of {ACCOUNTS} accounts: {told(prices.took)}")
    print(f"{len(sweeps.took)} sweeps: {told(sweeps.took)}")


def open_accounts(app: App) -> None:
    """Open the accounts, some too small; risk is written at most twice a minute unless a level changes."""
    for number in range(ACCOUNTS):
        facts = {
            "account": f"acc-{number:02d}",
            "owner": "ann",
            "currency": "USD",
            "capital": "1000000000000" if number >= LOUD else "1000",
        }
        app.account_writer.create(
            validate(Account, {**facts, "calendar": "24/7", "risk_interval_s": 30}), "test"
        )


def batches(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Give a price of every symbol, a little off the last one."""
    while True:
        yield {
            "type": "stopline.prices.v1",
            "as_of": datetime.now(UTC).isoformat(),
            "symbols": ["AAPL", "BTC-USD", "ESZ6", "SPXW991231P02600000"],
            "last": [round(rng.uniform(95, 105), 2) for _ in range(4)],
        }


def repeated(body: Any) -> Iterator[Any]:
    while True:
        yield body


def told(took: list[float]) -> str:
    """Say the median and the worst of some durations."""
    if not took:
        return "none was answered"
    ordered = sorted(took)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"median {statistics.median(took) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"
