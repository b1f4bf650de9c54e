"""What a seed's schedule is about."""

import random

from emulators.simulator.control import ControlScenario
from emulators.simulator.desk import DeskScenario
from emulators.simulator.scenario import Scenario

FOCUSES = ("fills",) * 10 + ("alerts",) * 4 + ("control",) * 4 + ("risk", "kill", "exits")
"""How often each is chosen: what is fast comes often; the last three cost ten times as much as the others."""

Play = Scenario | ControlScenario


def focus_of(seed: int) -> str:
    """Return what a seed's schedule is about by itself."""
    return random.Random(seed ^ 0xF0C5).choice(FOCUSES)  # noqa: S311 - a schedule, not a secret


def scenario_of(seed: int, focus: str | None = None) -> Play:
    """Return the scenario of a seed; the focus is the seed's own unless one is asked for."""
    chosen = focus or focus_of(seed)
    if chosen == ControlScenario.focus:
        return ControlScenario(seed)
    return DeskScenario(seed, focus=chosen) if chosen == "exits" else Scenario(seed, focus=chosen)
