"""What a seed's schedule is about, and whether it is a small one."""

import random

from emulators.simulator.control import ControlScenario
from emulators.simulator.desk import DeskScenario
from emulators.simulator.scenario import Scenario

FOCUSES = (
    ("fills",) * 238 + ("letters",) * 2 + ("alerts",) * 80 + ("control",) * 60 + ("risk", "kill", "exits")
)
"""How often each is chosen: what is fast comes often; the last three cost ten times as much as the others."""

SMALL = {"control": 0.6}
MOSTLY_SMALL = 0.95
"""The share of small schedules, by focus and else: few events of one instrument, one or two kinds of fault. Most bugs show
in such a one, and two or three of them are played in the time of a large one.
"""

Play = Scenario | ControlScenario


def focus_of(seed: int) -> str:
    """Return what a seed's schedule is about by itself."""
    return random.Random(seed ^ 0xF0C5).choice(FOCUSES)  # noqa: S311 - a schedule, not a secret


def is_small(seed: int, focus: str) -> bool:
    """Tell whether a seed's schedule is a small one."""
    share = SMALL.get(focus, MOSTLY_SMALL)
    return random.Random(seed ^ 0x512E).random() < share  # noqa: S311 - a schedule, not a secret


def scenario_of(seed: int, focus: str | None = None) -> Play:
    """Return the scenario of a seed; the focus is the seed's own unless one is asked for."""
    chosen = focus or focus_of(seed)
    small = is_small(seed, chosen)
    if chosen == ControlScenario.focus:
        return ControlScenario(seed, small=small)
    kind = DeskScenario if chosen == "exits" else Scenario
    return kind(seed, focus=chosen, small=small)
