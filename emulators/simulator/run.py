"""Run seeds: each one a schedule. A failing one says what broke and prints the line that replays it."""

import gc
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from emulators.simulator.control import ControlScenario
from emulators.simulator.focus import Play, scenario_of
from emulators.simulator.invariants import at_rest, unannounced, untold
from emulators.simulator.scenario import Scenario
from emulators.simulator.world import Violated

CALM_SWEEPS = 14  # rounds after the faults have stopped: every close command that was rejected is sent again

Part = tuple[int, int, str | None]
"""First seed, how many, and their focus."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A schedule that broke an invariant."""

    seed: int
    focus: str
    error: str

    @property
    def replay(self) -> str:
        """The line that replays it."""
        return f"stopline simulate --seed {self.seed} --focus {self.focus}"


@dataclass(slots=True)
class Outcome:
    """What many schedules did."""

    schedules: int = 0
    steps: int = 0
    focuses: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: "Outcome") -> None:
        self.schedules += other.schedules
        self.steps += other.steps
        self.focuses.update(other.focuses)
        self.failures += other.failures


def play(scenario: Play) -> None:
    """Play one schedule to its end: events among deliveries, then calm, then the end state is checked."""
    if isinstance(scenario, ControlScenario):
        scenario.play()
        return
    world = scenario.world
    for event in scenario.events:
        event()
        for _ in range(world.rng.randint(0, 12)):
            world.step()
    settle(scenario)
    at_rest(scenario)
    scenario.check()


def settle(scenario: Scenario) -> None:
    """Deliver all that is left while faults go on, stop the faults, and let the sweeps finish what is open."""
    world = scenario.world
    for _ in range(60):
        if not world.step():
            break
    faults = world.faults
    world.calm()
    world.rest()
    while scenario.redrive():
        world.rest()
    if faults.seeks:
        scenario.wait()
        world.seek(faults)
    scenario.is_settling = True
    for round_ in range(CALM_SWEEPS):
        if (round_ or scenario.focus == "fills") and _is_calm(scenario):
            return
        world.now += timedelta(seconds=40)
        scenario.sweep()
        world.rest()


def _is_calm(scenario: Scenario) -> bool:
    """Tell whether nothing is left that a further sweep would do."""
    if unannounced(scenario) or untold(scenario):
        return False
    return scenario.is_closed()


def run_seed(seed: int, focus: str | None = None) -> tuple[Play, Failure | None]:
    """Play one seed; return its scenario, for a look at the trace, and its failure if it has one."""
    scenario = scenario_of(seed, focus)
    try:
        play(scenario)
    except (Violated, Exception) as problem:  # noqa: BLE001 - whatever broke, the seed is the report
        return scenario, Failure(seed, scenario.focus, f"{type(problem).__name__}: {problem}"[:1500])
    return scenario, None


def run_range(first: int, count: int, stop_at: int = 5, focus: str | None = None) -> Outcome:
    """Play seeds one after another in this process; stop after some failures. `focus`: whatever the seeds are about."""
    outcome = Outcome()
    with quick():
        for seed in range(first, first + count):
            scenario, failure = run_seed(seed, focus)
            outcome.schedules += 1
            outcome.steps += scenario.world.steps
            outcome.focuses[scenario.focus] += 1
            scenario.world.take_apart()
            vars(scenario).clear()
            if failure:
                outcome.failures.append(failure)
                if len(outcome.failures) >= stop_at:
                    break
    return outcome


@contextmanager
def quick() -> Iterator[None]:
    """Log nothing: a schedule logs its injected faults by the thousand. Look for garbage seldom, and not among what was
    there before: a schedule makes much that dies with it. What others have frozen stays so: there is one freezer in a
    process, and thousands of tests in it that thaw cost the rest of the run.
    """
    level, before, frozen = logging.root.manager.disable, gc.get_threshold(), gc.get_freeze_count() > 0
    logging.disable(logging.CRITICAL)
    if not frozen:
        gc.collect()
        gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        logging.disable(level)
        gc.set_threshold(*before)
        if not frozen:
            gc.unfreeze()


def run_many(first: int, count: int, processes: int | None = None, focus: str | None = None) -> Outcome:
    """Play seeds in several processes."""
    started = time.perf_counter()
    workers = processes or os.cpu_count() or 1
    size = max(1, min(1000, count // workers or 1))
    parts = [(at, min(size, first + count - at), focus) for at in range(first, first + count, size)]
    outcome = Outcome()
    for part in _mapped(parts, workers):
        outcome.add(part)
    outcome.seconds = time.perf_counter() - started
    return outcome


def _mapped(parts: list[Part], workers: int) -> Iterable[Outcome]:
    if workers == 1:
        return [_range(part) for part in parts]
    dies_at_ctrl_c = (signal.SIGINT, signal.SIG_DFL)
    with ProcessPoolExecutor(workers, initializer=signal.signal, initargs=dies_at_ctrl_c) as pool:
        return list(pool.map(_range, parts))


def _range(part: Part) -> Outcome:
    first, count, focus = part
    return run_range(first, count, focus=focus)
