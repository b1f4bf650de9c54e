"""The desk under load for minutes: fills as fast as they are taken, a price batch a second, sweeps in between.

`make load` runs ten minutes with 1,000 accounts (`STOPLINE_LOAD_S`, `STOPLINE_LOAD_ACCOUNTS`), `make test` a few
seconds with 20. Requests go straight to the functions, because the Pub/Sub emulator pushes two at a time. What must
hold: every answer acknowledges, memory is flat after the warm-up, the last price batches are answered as fast as
earlier ones, and the books are right.
"""

from __future__ import annotations

import base64
import json
import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from e2e.storm import app_of, check_books, make_fills

from emulators import google
from emulators.stack import Stack
from stopline.model.account import Account
from stopline.model.wire import validate
from stopline.runtime.app import App

SECONDS = float(os.environ.get("STOPLINE_LOAD_S", "6"))
ACCOUNTS = int(os.environ.get("STOPLINE_LOAD_ACCOUNTS", "20"))
LONG = SECONDS >= 60
WRITERS = 2  # who publish fills, each waiting for its answer
GROWTH = 1.25  # of memory, from the end of the warm-up to the end
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
                answer = session.post(self._url, json=pushed(body, f"{id(self)}-{number}"), timeout=120)
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


def resident(group: int) -> int:
    """Return the memory in bytes of the processes of a group that hold the most: of a server, its worker."""
    pages = [0]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            pages.append(int(fields[21]))
    return max(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def loaded() -> Iterator[Stack]:
    """A stack on emulators of its own; what the functions publish is kept by the topics and read by nobody."""
    needed = google.missing()
    if needed:
        pytest.skip(" ".join(needed))
    if not Path("/proc/self/stat").exists():
        pytest.skip("memory is read from /proc, which this system does not have")
    with Stack() as stack:
        yield stack.up(functions=("fills", "prices", "sweep"), bigquery=False)


def test_nothing_grows_and_nothing_lags(loaded: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """R8.5, F15: the ledger, the price path and the sweep at once, for as long as it takes to see a leak."""
    rng = random.Random(9)
    app = app_of(loaded, monkeypatch)
    open_accounts(app)
    fills = make_fills(rng, datetime.now(UTC) - timedelta(hours=2), max(400, int(SECONDS * 400)), ACCOUNTS)
    stop = threading.Event()
    writers = [Lane(loaded.urls["fills"], iter(fills[n::WRITERS]), 0.0, stop) for n in range(WRITERS)]
    prices = Lane(loaded.urls["prices"], batches(rng), 1.0, stop)
    sweeps = Lane(
        loaded.urls["sweep"], repeated({"type": "stopline.sweep.v1", "kind": "risk"}), SECONDS / 5, stop
    )
    lanes = [*writers, prices, sweeps]
    for lane in lanes:
        lane.start()
    memory = watch_memory(loaded, stop)
    try:
        go_on(lanes)
    finally:  # also where it is stopped from outside: Ctrl-C tells what was done so far
        stop.set()
        for lane in lanes:
            lane.join()
        samples = memory()
        tell(writers, prices, sweeps, samples)
    booked = [fill for lane in writers for fill in lane.sent]
    assert [r for lane in lanes for r in lane.refused] == []
    check_books(app, booked)
    if LONG:
        for name, seen in samples.items():
            warm = seen[len(seen) // 3]
            assert seen[-1] <= GROWTH * warm, f"{name} grew from {warm} to {seen[-1]} bytes"
        third = len(prices.took) // 3
        first, last = (
            statistics.median(prices.took[third : 2 * third]),
            statistics.median(prices.took[-third:]),
        )
        assert last <= 2 * first + 0.5, f"price batches took {first:.2f} s, and {last:.2f} s at the end"


def go_on(lanes: list[Lane]) -> None:
    """Wait for the end; say each minute how far it is."""
    started = time.monotonic()
    while (left := SECONDS - (time.monotonic() - started)) > 0:
        time.sleep(min(60.0, left))
        done = ", ".join(str(len(lane.took)) for lane in lanes)
        print(f"after {time.monotonic() - started:.0f} s: {done} answers by lane", flush=True)


def tell(writers: list[Lane], prices: Lane, sweeps: Lane, samples: dict[str, list[int]]) -> None:
    """Print what was done, how long the answers took, and how memory went."""
    fills = sum(len(lane.took) for lane in writers)
    print(
        f"{fills} fills: {fills / sum(writers[0].took) if fills else 0:.0f} a second, {told(writers[0].took)}"
    )
    print(f"{len(prices.took)} price batches of {ACCOUNTS} accounts: {told(prices.took)}")
    print(f"{len(sweeps.took)} sweeps: {told(sweeps.took)}")
    for name, seen in samples.items():
        sizes = ", ".join(f"{size / 1e6:.0f}" for size in seen[:: max(1, len(seen) // 10)])
        print(f"memory of {name}: {sizes} MB")


def open_accounts(app: App) -> None:
    """Open the accounts; risk is written at most twice a minute unless a level changes."""
    for number in range(ACCOUNTS):
        facts = {
            "account": f"acc-{number:02d}",
            "owner": "ann",
            "currency": "USD",
            "capital": "1000000000000",
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


def watch_memory(stack: Stack, stop: threading.Event) -> Callable[[], dict[str, list[int]]]:
    """Note the memory of every function now and then, in a thread; return what gives the samples."""
    samples: dict[str, list[int]] = {name: [] for name in stack.processes}

    def run() -> None:
        while not stop.wait(min(10.0, SECONDS / 6)):
            for name, process in stack.processes.items():
                samples[name].append(resident(process.group))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> dict[str, list[int]]:
        thread.join()
        return samples

    return result


def told(took: list[float]) -> str:
    """Say the median and the worst of some durations."""
    if not took:
        return "none was answered"
    ordered = sorted(took)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"median {statistics.median(took) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"
