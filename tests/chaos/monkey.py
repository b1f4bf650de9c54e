"""Harm to what Stopline runs on: kills, freezes and stops, dealt from a deck by the count of deliveries."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from emulators.fakes import DiscordFake
from emulators.fakes.faults import fails, rate_limited
from emulators.stack import Stack

FREEZE_S = (0.2, 2.0)


class Monkey(threading.Thread):
    """Does one harm after another until it is told to stop, but none before `between` messages more were delivered: what
    never gets up cannot show what it loses, and a slow machine gets no more of it than a fast one.

    The deck is dealt out before any harm of it comes again. `kill NAME`: a worker of a function dies at once; `freeze
    NAME`: a worker, or an emulator, does nothing for a while; `stop NAME`: a function is asked to stop as Cloud Run
    does, killed 10 s later, and started anew; `fail discord`: it takes nothing for a few requests. `done` counts what was
    done, `killed` the stops that took a kill.
    """

    def __init__(
        self,
        stack: Stack,
        discord: DiscordFake,
        deck: Sequence[str],
        between: int,
        seed: int,
        delivered: Callable[[], int],
    ) -> None:
        super().__init__(daemon=True)
        self._stack = stack
        self._discord = discord
        self._deck = deck
        self._between = between
        self._delivered = delivered
        self._next = delivered() + between
        self._rng = random.Random(seed)
        self._stopped = threading.Event()
        self.done: Counter[str] = Counter()
        self.killed = 0
        self.problem = ""

    @property
    def is_behind(self) -> bool:
        """Whether so much was delivered that harm is due: who publishes waits for it."""
        return self.is_alive() and self._delivered() >= self._next + self._between

    def run(self) -> None:
        try:
            while True:
                for what in self._rng.sample(self._deck, len(self._deck)):
                    while self._delivered() < self._next:
                        if self._stopped.wait(0.05):
                            return
                    if self._stopped.is_set():
                        return
                    self._do(*what.split())
                    self.done[what] += 1
                    self._next = max(self._next + self._between, self._delivered())
        except Exception as problem:
            self.problem = f"{type(problem).__name__}: {problem}"
            raise

    def stop(self) -> None:
        """Do no more harm; raise if the last one could not be done."""
        self._stopped.set()
        self.join()
        assert not self.problem, self.problem

    def _do(self, verb: str, name: str) -> None:
        if verb == "stop":
            self.killed += not self._stack.restart(name)
        elif verb == "fail":
            self._discord.misbehave(fails(503), rate_limited(0.5))
        elif verb == "kill":
            os.kill(self._worker(name), signal.SIGKILL)
        elif name in self._stack.processes:
            self._freeze(self._worker(name), os.kill)
        else:
            self._freeze(self._stack.emulators.processes[name].group, os.killpg)

    def _worker(self, name: str) -> int:
        """Return a worker of a function; its server starts another when it dies."""
        while not (workers := children(self._stack.processes[name].group)):
            time.sleep(0.05)
        return self._rng.choice(workers)

    def _freeze(self, process: int, send: Callable[[int, int], None]) -> None:
        """Stop a process in the middle of whatever it does, for a while."""
        send(process, signal.SIGSTOP)
        try:
            time.sleep(self._rng.uniform(*FREEZE_S))
        finally:
            send(process, signal.SIGCONT)


def children(parent: int) -> list[int]:
    """Return the processes that a process has started."""
    found = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in found.read_text().split()] if found.exists() else []
