"""A crash, an error before, an error after, and a second delivery at every single call to a port."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from emulators.simulator.control import ControlScenario
from emulators.simulator.desk import DeskScenario
from emulators.simulator.focus import Play
from emulators.simulator.run import play, quick
from emulators.simulator.scenario import Scenario
from emulators.simulator.world import NO_FAULTS

Script = Callable[[int, str, str], str | None]


class Story(NamedTuple):
    """A schedule without faults: who must work in it, and which documents it must write."""

    make: Callable[[], Play]
    handlers: set[str]
    documents: set[str]


STORIES = {
    "fills": Story(lambda: Scenario(4, NO_FAULTS, "fills"), {"fills"}, {"fills", "books", "duplicates"}),
    "alerts": Story(lambda: Scenario(2, NO_FAULTS, "alerts"), {"alerts"}, {"alerts", "incidents"}),
    "a day with a statement": Story(
        lambda: Scenario(25, NO_FAULTS, "risk", small=True),
        {"fills", "prices", "sweeps", "alerts", "history"},
        {"books", "marks", "risk", "measures", "statements", "reconciliations", "alerts", "heartbeats"},
    ),
    "a kill that closes": Story(
        lambda: Scenario(32, NO_FAULTS, "kill", small=True),
        {"fills", "sweeps", "http"},
        {"controls", "audit", "closings"},
    ),
    "a kill, a resume, leases": Story(
        lambda: ControlScenario(3, NO_FAULTS, small=True),
        {"http", "sweeps", "api"},
        {"controls", "audit", "leases"},
    ),
    "a halt at the desk": Story(
        lambda: DeskScenario(437, NO_FAULTS, "exits", small=True),
        {"fills", "prices", "sweeps", "http", "api"},
        {"controls", "closings", "books"},
    ),
    "an exit that closes": Story(
        lambda: DeskScenario(539, NO_FAULTS, "exits", small=True),
        {"fills", "prices", "sweeps", "api"},
        {"risk", "closings", "books", "journals"},
    ),
}
MODES = ("before", "after", "crash_before", "crash_after", "deadline")


def tell(scenario: Play, script: Script) -> None:
    """Play the events of a story, each to its end, by a script of faults; the calm that follows has none."""
    scenario.world.script = script
    if isinstance(scenario, ControlScenario):
        scenario.play()
        return
    for event in scenario.events:
        event()
        while scenario.world.step():
            pass


def steps_of(story: Story) -> list[str]:
    """Tell a story without faults; return the instance of every step."""
    steps: list[str] = []
    written: set[str] = set()
    scenario = story.make()

    def note(step: int, instance: str, kind: str) -> None:
        steps.append(instance)

    def watch(what: str, value: Any) -> None:
        if what == "committed":
            written.update(write.path.collection for write in value)

    scenario.world.watchers.append(watch)
    tell(scenario, note)
    assert written >= story.documents
    assert {instance.split("-")[0] for instance in steps} >= story.handlers
    return steps


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STORIES)
def test_the_end_state_is_right_whatever_step_breaks(name: str, mode: str) -> None:
    """F07-F12, F15, F16, I1-I6: steps covered = steps existing, for every handler in the story."""
    steps = steps_of(STORIES[name])
    with quick():
        covered = strike_each(STORIES[name], mode, len(steps))
    print(f"{name}, {mode}: steps covered {covered} = steps existing {len(steps)}")
    assert covered == len(steps) > 5


def strike_each(story: Story, mode: str, steps: int) -> int:
    """Play the story once for each step, broken there; return how many were."""
    covered = Counter[int]()
    for target in range(steps):
        scenario = story.make()

        def strike(step: int, instance: str, kind: str, target: int = target) -> str | None:
            if step != target or covered[target]:
                return None
            covered[target] += 1
            return mode

        tell(scenario, strike)
        if not isinstance(scenario, ControlScenario):
            scenario.events = []
            play(scenario)
        scenario.world.take_apart()
        vars(scenario).clear()
    return sum(covered.values())
