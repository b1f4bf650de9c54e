"""Which faults a schedule has, and how often each strikes."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Faults:
    """Which faults a schedule has, each with its chance at every call to a port (swarm testing: most seeds mix some)."""

    before: float = 0.0  # fails before its effect
    after: float = 0.0  # has its effect, then fails
    crash: float = 0.0  # the instance dies, before or after the effect
    duplicate: float = 0.0  # a message is delivered once more
    overlap: float = 0.0  # a delivery under way is delivered again to another instance
    skew_s: float = 0.0  # clocks of instances differ by up to this
    outage: float = 0.0  # a port stops answering for a while
    switch: float = 0.3  # another delivery goes on at this call
    gives_up: float = 0.0  # a message is at its last attempt, which gets nowhere or is not heard of
    seeks: float = 0.0  # at rest a subscription is set back: the last messages come again, this share of all
    contended: float = 0.0  # a commit is refused as a conflict although nobody else wrote
    deaf: float = 0.0  # one topic takes nothing for a while, and the others all

    @staticmethod
    def draw(rng: random.Random, small: bool = False, rare: random.Random | None = None) -> "Faults":
        """Switch each kind on or off by the seed; in a small schedule one or two of them. `rare`: decides about those that
        most schedules do without.
        """
        if small:
            kinds = set(rng.sample(list(CHANCES), rng.choice((1, 2, 2))))
        else:
            kinds = {kind for kind in CHANCES if rng.random() < 0.5}
        drawn = {kind: rng.uniform(*CHANCES[kind]) for kind in CHANCES if kind in kinds}
        if rare is not None:
            drawn |= {kind: rare.uniform(*RARE[kind]) for kind in RARE if rare.random() < SELDOM}
        return Faults(**drawn, switch=rng.choice([0.0, 0.2, 0.6]))


CHANCES = {
    "before": (0.01, 0.15),
    "after": (0.01, 0.15),
    "crash": (0.005, 0.08),
    "duplicate": (0.05, 0.5),
    "overlap": (0.02, 0.2),
    "skew_s": (0.1, 20.0),
    "outage": (0.002, 0.02),
}
"""Between which bounds the chance of a kind of fault is drawn."""

RARE = {
    "gives_up": (0.02, 0.3),
    "seeks": (0.2, 1.0),
    "contended": (0.05, 0.6),
    "deaf": (0.02, 0.3),
}
"""The same, of kinds that make a schedule longer."""
SELDOM = 0.03  # of the schedules have one of these

NO_FAULTS = Faults(switch=0.0)
