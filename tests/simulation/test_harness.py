"""The simulator proves itself: bugs put in on purpose are found, each within 1,000 seeds."""

import pytest
from simulation import seeded_control_bugs  # noqa: F401 - registers more of them
from simulation.seeded_bugs import BUGS, FOCUS

from emulators.simulator.run import run_range, run_seed


@pytest.mark.parametrize("name", BUGS)
def test_a_seeded_bug_is_found_within_a_thousand_seeds(name: str) -> None:
    """Test strength (at least 12 protocol bugs): what no seed finds, the harness is too weak for."""
    with BUGS[name]():
        outcome = run_range(0, 1000, stop_at=1, focus=FOCUS.get(name))
    assert outcome.failures, f"{name} was not found in {outcome.schedules} seeds"
    _, without = run_seed(outcome.failures[0].seed, outcome.failures[0].focus)
    assert without is None, "the seed breaks without the bug as well"
    print(f"{name}: found at seed {outcome.failures[0].seed}: {outcome.failures[0].error[:100]}")


def test_there_are_at_least_twelve_seeded_bugs() -> None:
    """The catalogue may grow, not shrink."""
    assert len(BUGS) >= 12
