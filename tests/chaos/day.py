"""A day of chaos: what was published so far, and what became of it."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
from chaos.courier import Courier
from chaos.market import Market
from chaos.monkey import Monkey
from e2e.storm import LANES as TOPICS
from e2e.storm import Counted, Effects, Raw, publish_one

from emulators.bootstrap import Refused
from emulators.fakes import DiscordFake
from emulators.stack import Message, Stack

LANES = 12  # deliveries of the courier under way at once
DEADLINE_S = 30  # for a delivery of the courier that is not made late on purpose
AHEAD = 3 * LANES  # messages that wait for the courier: the rest is published when it has room
UNTIL = float(os.environ.get("STOPLINE_CHAOS_S", "0"))  # seconds for publishing; 0: no end


class Copies(threading.Thread):
    """Takes a copy of what functions publish: the rows of fills, and the alerts, each once by its id."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self._stack = stack
        self._stopped = threading.Event()
        self.effects = Effects()
        self.alerts: dict[str, dict[str, Any]] = {}
        self.recorded: set[str] = set()  # ids of alerts that the history knows

    def run(self) -> None:
        while not self._stopped.wait(1.0):
            try:
                while self.take():
                    pass
            except (requests.RequestException, Refused):
                continue  # the emulator is frozen, or gone for a moment

    def take(self) -> int:
        """Take what is there; return how many messages."""
        history = self._stack.pull("history-push", count=1000, seconds=0.01)
        alerts = self._stack.pull("alerts-copy", count=1000, seconds=0.01)
        self.effects.take(history)
        for message in history:
            rows = [row["row"] for row in message.json()["rows"] if row["table"] == "alerts"]
            self.recorded |= {row["alert_id"] for row in rows}
        for message in alerts:
            body = message.json()
            if body["type"] == "stopline.alert.v1":
                self.alerts[body["alert_id"]] = body
        return len(history) + len(alerts)

    def stop(self) -> None:
        """Take no more."""
        self._stopped.set()
        self.join()


class Day:
    """What was published so far, and what became of it. `stop` ends publishing: what is under way is delivered all the
    same, and everything is checked over what was published.
    """

    def __init__(
        self,
        stack: Stack,
        discord: DiscordFake,
        rng: random.Random,
        market: Market,
        late: float,
        stop: threading.Event,
    ) -> None:
        self._stack = stack
        self._discord = discord
        self._rng = rng
        self._counted = Counted(stack)
        self._since = time.monotonic()
        self._late = late
        self._dead: dict[str, int] = {}
        self.stop = stop
        self.courier = Courier(stack.urls["fills"], LANES, DEADLINE_S, 3)
        self.market = market
        self.copies = Copies(stack)
        self.monkeys: list[Monkey] = []
        self.published: list[Raw] = []
        self.messages = 0

    def publish(self, messages: list[Raw], by_pubsub: float, *, all_of_them: bool = False) -> None:
        """Publish messages as fast as they are taken and harm is done, until told to stop, or all of them."""
        told = time.monotonic()
        for body in messages:
            while self.courier.left >= AHEAD or any(monkey.is_behind for monkey in self.monkeys):
                if self.is_over and not all_of_them:
                    break
                time.sleep(0.02)
            if self.is_over and not all_of_them:
                print("no more is published; what is under way is delivered", flush=True)
                return
            if self._rng.random() < by_pubsub:
                publish_one(self._stack, body, self._rng)
            else:
                late = self._rng.choice(("before", "after")) if self._rng.random() < self._late else ""
                self.courier.send(body, late)
            self.messages += 1
            self.published += body.get("fills", [body])
            if time.monotonic() - told > 30:
                self.tell()
                told = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether somebody said stop, or the time for publishing is over."""
        return self.stop.is_set() or bool(UNTIL and time.monotonic() - self._since > UNTIL)

    def distinct(self) -> list[Raw]:
        """Return the published fills, each once."""
        return list({fill["fill_id"]: fill for fill in self.published}.values())

    def counts(self) -> Counter[str]:
        """Count what became of the fills, in the documents themselves."""
        return self._counted.now()

    def is_drained(self) -> bool:
        """Whether all that was published has become something."""
        if self.courier.left:
            return False
        left = len(self.published) - sum(self.counts().values())
        return left <= 0 or left <= self.dead()

    def dead(self) -> int:
        """Count the fills of messages that were given up; they are taken off the dead letters."""
        for lane in range(TOPICS):
            for message in self._stack.pull(f"fills-{lane}-dead-pull", count=1000, seconds=0.01):
                self._dead[message.message_id] = fills_in(message)
        return sum(self._dead.values())

    def equation(self) -> str:
        """Return the conservation equation as it stands."""
        counts, dead = self.counts(), self.dead()
        in_flight = len(self.published) - sum(counts.values()) - dead
        return (
            f"published {len(self.published)} = applied {counts['fills']} + duplicates {counts['duplicates']}"
            f" + quarantined {counts['quarantine']} + dead {dead} + in flight {in_flight}"
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
            f" {dict(self.courier.done)}, {self.courier.left} to come; beside them {self.market.counts};"
            f" {sum(harm.values())} harms: {dict(sorted(harm.items()))}",
            flush=True,
        )

    @contextmanager
    def harm(self, deck: tuple[str, ...], between: int, seed: int) -> Iterator[Monkey]:
        """Let a monkey do harm meanwhile."""
        count = self.courier.done
        monkey = Monkey(self._stack, self._discord, deck, between, seed, lambda: count["acknowledged"])
        self.monkeys.append(monkey)
        monkey.start()
        try:
            yield monkey
        finally:
            monkey.stop()

    def wait_for(self, what: str, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until something holds, told each half minute; fail with `what` after `seconds`."""
        begun = told = time.monotonic()
        deadline = begun + seconds
        while True:
            started = time.monotonic()
            try:
                if holds():
                    print(f"{what}: after {started - begun:.1f} s", flush=True)
                    return
            except Exception as problem:  # noqa: BLE001 - the emulator that is asked may be frozen just now
                print("could not count:", type(problem).__name__)
            assert started < deadline, f"{what}: not after {seconds:.0f} s; {self.equation()}"
            if started - told > 30:
                self.tell()
                told = started
            took = time.monotonic() - started
            time.sleep(min(20.0, max(0.5, 5 * took)))  # counting many documents is work by itself


@contextmanager
def told_when_stopped(day: Day) -> Iterator[None]:
    """End the publishing at the first Ctrl-C (or SIGTERM), the run at the second; print the equation whatever ends it."""

    def stop(number: int, frame: object) -> None:
        if day.stop.is_set():
            raise KeyboardInterrupt
        day.stop.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    day.market.start()
    day.copies.start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        day.market.stop()
        day.copies.stop()
        day.tell()
        day.courier.stop()


def fills_in(message: Message) -> int:
    """Return how many fills a message holds."""
    return len(json.loads(message.data).get("fills", [0]))
