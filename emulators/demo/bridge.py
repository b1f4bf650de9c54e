"""Minutes between a day's four known prices: made up by a seeded random bridge, so every run is the same."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emulators.demo.facts import Bar

TICK = 0.01  # of an index


@dataclass(frozen=True, slots=True)
class Shape:
    """When the day's high and low fall, in minutes after the opening, and how its legs bend.

    `bend` above 1: a leg starts slowly and ends fast, as a sell-off does. `noise`: the size of the random
    part, as a share of the day's range.
    """

    high_at: int
    low_at: int
    bend: float = 1.0
    noise: float = 0.05


def bridge(bar: Bar, minutes: int, shape: Shape, seed: int) -> NDArray[np.float64]:
    """Return `minutes` + 1 prices from the open to the close; high and low are hit and never passed."""
    points = sorted([(0, bar.open), (shape.high_at, bar.high), (shape.low_at, bar.low), (minutes, bar.close)])
    random = np.random.default_rng(seed)
    scale = shape.noise * (bar.high - bar.low)
    path = np.empty(minutes + 1)
    for (start, first), (end, last) in pairwise(points):
        share = np.linspace(0.0, 1.0, end - start + 1)
        walk = np.concatenate([[0.0], np.cumsum(random.standard_normal(end - start))]) / np.sqrt(end - start)
        path[start : end + 1] = first + (last - first) * share**shape.bend + scale * (walk - share * walk[-1])
    path = np.clip(np.round(path, 2), bar.low + TICK, bar.high - TICK)
    for at, price in points:
        path[at] = price
    return np.round(path, 2)
