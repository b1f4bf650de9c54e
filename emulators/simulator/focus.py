"""What a seed's schedule is about."""

import random

from emulators.simulator.control import ControlScenario
from emulators.simulator.scenario import Scenario

FOCUSES = ("fills",) * 6 + ("alerts",) * 2 + ("control",) * 2 + ("risk", "kill")
"""How often each is chosen: what is fast comes often."""

Play = Scenario | ControlScenario


def scenario_of(seed: int, focus: str | None = None) -> Play:
    """Return the scenario of a seed; the focus is the seed's own unless one is asked for."""
    chosen = focus or random.Random(seed ^ 0xF0C5).choice(FOCUSES)  # noqa: S311 - a schedule, not a secret
    return ControlScenario(seed) if chosen == ControlScenario.focus else Scenario(seed, focus=chosen)
