"""A crash, an error before, an error after, and a second delivery at every single call to a port."""

from collections import Counter

import pytest

from emulators.simulator.run import play, quick
from emulators.simulator.scenario import Scenario
from emulators.simulator.world import NO_FAULTS

HANDLERS = {
    "fills": {"fills"},
    "alerts": {"alerts"},
    "risk": {"fills", "prices", "sweeps", "alerts", "history"},
    "kill": {"fills", "sweeps", "http"},
}
SEEDS = {"fills": 4, "alerts": 2, "risk": 0, "kill": 14}
MODES = ("before", "after", "crash_before", "crash_after", "deadline")


def steps_of(focus: str) -> list[tuple[str, str]]:
    """Play the scenario without faults; return the (instance, call) of every step."""
    steps: list[tuple[str, str]] = []
    scenario = Scenario(SEEDS[focus], NO_FAULTS, focus)

    def note(step: int, instance: str, kind: str) -> None:
        steps.append((instance, kind))

    scenario.world.script = note
    for event in scenario.events:
        event()
        while scenario.world.step():
            pass
    return steps


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("focus", SEEDS)
def test_the_end_state_is_right_whatever_step_breaks(focus: str, mode: str) -> None:
    """F07-F12, F15, F16, I1-I6: steps covered = steps existing, for every handler in the scenario."""
    steps = steps_of(focus)
    with quick():
        covered = strike_each(focus, mode, len(steps))
    print(f"{focus} {mode}: steps covered {covered} = steps existing {len(steps)}")
    assert covered == len(steps) > 5
    handlers = {instance.split("-")[0] for instance, _ in steps}
    assert handlers >= HANDLERS[focus]


def strike_each(focus: str, mode: str, steps: int) -> int:
    """Play the scenario once for each step, broken there; return how many were."""
    covered = Counter[int]()
    for target in range(steps):
        scenario = Scenario(SEEDS[focus], NO_FAULTS, focus)

        def strike(step: int, instance: str, kind: str, target: int = target) -> str | None:
            if step != target or covered[target]:
                return None
            covered[target] += 1
            return mode

        scenario.world.script = strike
        for event in scenario.events:
            event()
            while scenario.world.step():
                pass
        scenario.events = []
        play(scenario)
    return sum(covered.values())
