"""Functions on the emulators while a monkey kills, freezes and restarts what they run on.

`make chaos` sends 100,000 fills (`STOPLINE_CHAOS`), `make test` a few hundred. The Firestore emulator keeps its documents in
memory, so it is frozen and not restarted; the Pub/Sub emulator loses its messages when it is restarted, so the broker
publishes the day again, as brokers do, and effects are checked for what was booked before.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from e2e.storm import (
    Counted,
    app_of,
    check_books,
    check_effects,
    create_accounts,
    in_lanes,
    make_fills,
    publish,
)

from emulators import google
from emulators.stack import Stack

SENT = int(os.environ.get("STOPLINE_CHAOS", "240"))
DUPLICATES = 0.3
DEADLINE_S = 10  # the least that Pub/Sub allows
LONG = SENT > 5000
ACCOUNTS = 1000 if LONG else 20  # each late fill folds its position again: a long run is about more than that
SIZES = (1, 2, 8, 25) if LONG else (1, 1, 2)
PACE = 8 if LONG else 1
FAULTY = Path(__file__).parents[1] / "e2e" / "faulty_fills" / "main.py"
pytestmark = pytest.mark.timeout(120 + SENT / 10)


class Monkey(threading.Thread):
    """Does harm every few seconds until it is told to stop; `done` counts what it did."""

    def __init__(self, stack: Stack, seed: int) -> None:
        super().__init__(daemon=True)
        self._stack = stack
        self._rng = random.Random(seed)
        self._stopped = threading.Event()
        self.done: Counter[str] = Counter()

    def run(self) -> None:
        while not self._stopped.wait(PACE * self._rng.uniform(0.5, 2.0)):
            what = self._rng.choice(["kill -9 fills", "kill -9 fills", "freeze firestore", "freeze pubsub"])
            verb, name = what.rsplit(" ", 1)
            if verb == "freeze":
                self._freeze(name)
            elif not self._kill_worker(name):
                continue
            self.done[what] += 1

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _freeze(self, name: str) -> None:
        """Stop an emulator in the middle of whatever it does, for a while."""
        process = self._stack.emulators.processes[name]
        process.signal(signal.SIGSTOP)
        try:
            time.sleep(self._rng.uniform(0.2, 2.0))
        finally:
            process.signal(signal.SIGCONT)

    def _kill_worker(self, name: str) -> bool:
        """Kill a worker of a function; its server starts another."""
        workers = children(self._stack.processes[name].group)
        if not workers:
            return False
        os.kill(self._rng.choice(workers), signal.SIGKILL)
        return True


def children(parent: int) -> list[int]:
    """Return the processes that a process has started."""
    found = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in found.read_text().split()] if found.exists() else []


@pytest.fixture
def shaken() -> Iterator[Stack]:
    """A stack on emulators of its own, whose fills function fails and is sometimes far too late."""
    needed = google.missing()
    if needed:
        pytest.skip(" ".join(needed))
    if not Path("/proc/self/task").exists():
        pytest.skip("workers are found in /proc, which this system does not have")
    with Stack(topology=in_lanes(ack_seconds=DEADLINE_S)) as stack:
        yield stack.up(
            functions={"fills": FAULTY}, bigquery=False, attempts=100, settings={"LATE_RATE": "0.001"}
        )


def test_every_fill_is_booked_once_whatever_dies(shaken: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """F01-F14: random errors before and after every effect, deliveries past their deadline, kill -9, freezes, a restart."""
    rng = random.Random(5)
    app = app_of(shaken, monkeypatch)
    create_accounts(app, ACCOUNTS)
    fills = make_fills(rng, datetime.now(UTC) - timedelta(hours=2), int(SENT / (1 + DUPLICATES)), ACCOUNTS)
    sent = fills + rng.sample(fills, int(len(fills) * DUPLICATES))
    rng.shuffle(sent)
    half = len(sent) // 2
    counted = Counted(shaken)
    monkey = Monkey(shaken, 7)
    monkey.start()
    try:
        messages = publish(shaken, sent[:half], rng, SIZES)
        settle(counted, half)
    finally:
        monkey.stop()
    before = counted.now()
    assert sum(before.values()) == half, in_words(half, before)
    print(in_words(half, before), dict(monkey.done))
    booked = {fill["fill_id"]: fill for fill in sent[:half]}
    check_effects(shaken, app, list(booked.values()))

    messages += publish(shaken, sent[half:], rng, SIZES)
    shaken.restart_pubsub()  # with most of that in it
    monkey = Monkey(shaken, 8)
    monkey.start()
    try:
        messages += publish(shaken, fills, rng, SIZES)
        wait_for(lambda: counted.now()["fills"] == len(fills))
    finally:
        monkey.stop()
    counts = counted.now()
    print(f"after the restart: {dict(counts)}, {messages} messages", dict(monkey.done))
    assert counts["fills"] == len(fills)
    assert counts["quarantine"] == 0
    wait_for_rest(shaken, counted)
    check_books(app, fills)


def settle(counted: Counted, expected: int) -> None:
    wait_for(lambda: sum(counted.now().values()) >= expected)


def wait_for(holds: object, seconds: float = 60 + SENT / 15) -> None:
    """Wait until something holds, or for so long that the assertion after this may fail."""
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except Exception as problem:  # noqa: BLE001 - the emulator that is asked may be frozen just now
            print("could not count:", type(problem).__name__)
        time.sleep(0.5)


def wait_for_rest(stack: Stack, counted: Counted) -> None:
    """Wait until what was published twice has been seen too: nothing changes any more."""
    last, since = counted.now(), time.monotonic()
    while time.monotonic() - since < 5:
        time.sleep(0.5)
        now = counted.now()
        if now != last:
            last, since = now, time.monotonic()


def in_words(sent: int, counts: Counter[str]) -> str:
    in_flight = sent - sum(counts.values())
    return (
        f"published {sent} = applied {counts['fills']} + duplicates {counts['duplicates']}"
        f" + quarantined {counts['quarantine']} + in flight {in_flight}"
    )
