"""Functions on the emulators while a monkey kills, freezes and restarts what they run on.

`make chaos` sends 100,000 fills (`STOPLINE_CHAOS`), `make test` a few hundred. One message in ten goes through the Pub/Sub
emulator, which pushes a few at a time; the others are posted as it would, by a courier. The Firestore emulator keeps its
documents in memory, so it is frozen and not restarted; the Pub/Sub emulator loses its messages when it is restarted, so the
broker publishes again what went through it, as brokers do, and effects are checked for what was booked before. A run that
is stopped prints the equation so far.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from chaos.courier import Courier
from e2e.storm import (
    Counted,
    Raw,
    app_of,
    check_books,
    check_effects,
    create_accounts,
    in_lanes,
    in_messages,
    make_fills,
    publish_one,
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
BY_PUBSUB = 0.1  # of the messages
LANES = 12  # deliveries of the courier under way at once
WORKERS = 2  # instances of the function, in one server
BETWEEN = 50 if LONG else 10  # messages acknowledged from one harm to the next
AFTER = max(60, SENT // 20)  # fills around the restart
FAULTY = Path(__file__).parents[1] / "e2e" / "faulty_fills" / "main.py"
pytestmark = pytest.mark.timeout(120 + SENT / 10)


class Monkey(threading.Thread):
    """Does harm every few seconds until it is told to stop, but none before something was delivered again since: what
    never gets up cannot show what it loses. `done` counts what it did.
    """

    def __init__(self, stack: Stack, seed: int, delivered: Callable[[], int]) -> None:
        super().__init__(daemon=True)
        self._stack = stack
        self._delivered = delivered
        self._next = 0
        self._rng = random.Random(seed)
        self._stopped = threading.Event()
        self.done: Counter[str] = Counter()

    def run(self) -> None:
        while not self._stopped.wait(PACE * self._rng.uniform(0.5, 2.0)):
            if self._delivered() < self._next:
                continue
            self._next = self._delivered() + BETWEEN
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
            functions={"fills": FAULTY},
            bigquery=False,
            attempts=100,
            settings={"LATE_RATE": "0.001", "WORKERS": str(WORKERS)},
        )


class Day:
    """What was published so far, and what became of it."""

    def __init__(self, stack: Stack, rng: random.Random) -> None:
        self._stack = stack
        self._rng = rng
        self._counted = Counted(stack)
        self._since = time.monotonic()
        self.courier = Courier(stack.urls["fills"], LANES, DEADLINE_S, 3)
        self.monkeys: list[Monkey] = []
        self.published = 0
        self.messages = 0

    def publish(self, fills: list[Raw], by_pubsub: float = BY_PUBSUB) -> None:
        """Publish fills, in messages of a few."""
        for body in in_messages(fills, self._rng, SIZES):
            if self._rng.random() < by_pubsub:
                publish_one(self._stack, body, self._rng)
            else:
                self.courier.send(body)
            self.messages += 1
        self.published += len(fills)

    def counts(self) -> Counter[str]:
        """Count what became of the fills, in the documents themselves."""
        return self._counted.now()

    def equation(self) -> str:
        """Return the conservation equation as it stands."""
        counts = self.counts()
        in_flight = self.published - sum(counts.values())
        return (
            f"published {self.published} = applied {counts['fills']} + duplicates {counts['duplicates']}"
            f" + quarantined {counts['quarantine']} + in flight {in_flight}"
        )

    def tell(self) -> None:
        """Print how it goes: the equation, the deliveries, the harm done."""
        harm: Counter[str] = sum((monkey.done for monkey in self.monkeys), Counter())
        minutes = (time.monotonic() - self._since) / 60
        try:
            equation = self.equation()
        except Exception as problem:  # noqa: BLE001 - what is asked may be frozen, or gone
            equation = f"could not be counted: {type(problem).__name__}"
        print(
            f"after {minutes:.1f} min: {equation}; {self.messages} messages, by the courier"
            f" {dict(self.courier.done)}, {self.courier.left} to come; {dict(harm)}",
            flush=True,
        )

    @contextmanager
    def harm(self, seed: int) -> Iterator[None]:
        """Let a monkey do harm meanwhile."""
        monkey = Monkey(self._stack, seed, lambda: self.courier.done["acknowledged"])
        self.monkeys.append(monkey)
        monkey.start()
        try:
            yield
        finally:
            monkey.stop()

    def wait_for(self, holds: Callable[[], bool], seconds: float = 60 + SENT / 12) -> None:
        """Wait until something holds, or for so long that the assertion after this may fail; tell each minute."""
        deadline, told = time.monotonic() + seconds, time.monotonic()
        while time.monotonic() < deadline:
            started = time.monotonic()
            try:
                if holds():
                    return
            except Exception as problem:  # noqa: BLE001 - the emulator that is asked may be frozen just now
                print("could not count:", type(problem).__name__)
            if started - told > 60:
                self.tell()
                told = started
            took = time.monotonic() - started
            time.sleep(min(20.0, max(0.5, 10 * took)))  # counting many documents is work by itself


@contextmanager
def told_when_stopped(day: Day) -> Iterator[None]:
    """Print the equation whatever ends the run: an assertion, Ctrl-C, or being told to end."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        day.tell()
        day.courier.stop()


def test_every_fill_is_booked_once_whatever_dies(shaken: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """F01-F14: random errors before and after every effect, deliveries past their deadline, kill -9, freezes, a restart."""
    rng = random.Random(5)
    app = app_of(shaken, monkeypatch)
    create_accounts(app, ACCOUNTS)
    distinct = int(SENT / (1 + DUPLICATES))
    day_of = make_fills(rng, datetime.now(UTC) - timedelta(hours=2), distinct + AFTER, ACCOUNTS)
    fills, late = day_of[:distinct], day_of[distinct:]
    sent = fills + rng.sample(fills, SENT - distinct)
    rng.shuffle(sent)
    day = Day(shaken, rng)
    with told_when_stopped(day):
        with day.harm(7):
            day.publish(sent)
            day.wait_for(lambda: not day.courier.left and sum(day.counts().values()) >= SENT)
        counts = day.counts()
        assert counts == {"fills": distinct, "duplicates": SENT - distinct, "quarantine": 0}, day.equation()
        print(day.equation())
        check_effects(shaken, app, fills)

        day.publish(late, by_pubsub=0.8)
        shaken.restart_pubsub()  # with most of that in it
        with day.harm(8):
            day.publish(late)
            day.wait_for(lambda: not day.courier.left and day.counts()["fills"] == len(day_of))
        print(f"after the restart: {dict(day.counts())}")
        assert day.counts()["fills"] == len(day_of)
        assert day.counts()["quarantine"] == 0
        wait_for_rest(day)
        check_books(app, day_of)


def wait_for_rest(day: Day) -> None:
    """Wait until what was published twice has been seen too: nothing changes any more."""
    last, since = day.counts(), time.monotonic()
    while time.monotonic() - since < 5:
        time.sleep(0.5)
        now = day.counts()
        if now != last:
            last, since = now, time.monotonic()
