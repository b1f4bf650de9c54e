"""How many requests a caller may make, counted by each instance: a flood of one caller must not starve the others.

Each door of a caller has a bucket of its own, that of `resume` a small one: each resume, a refused one too, is written in
the document that a kill must write. A kill has none: nobody is told to wait before they stop trading.
"""

import math
import threading
from datetime import datetime

from stopline.model.errors import StoplineError
from stopline.ports import Clock

BURST = 300
PER_SECOND = 100
SMALL = {"resume": (30, 1.0)}  # doors that let fewer through: at once, and a second


class TooMany(StoplineError):
    """The caller must wait `after_s` seconds."""

    def __init__(self, after_s: int, per_second: float) -> None:
        super().__init__(f"too many requests: at most {per_second:g} a second")
        self.after_s = after_s


class Quotas:
    """Token buckets by caller and door: full at first, filled at an even rate."""

    def __init__(self, clock: Clock, burst: int = BURST, per_second: float = PER_SECOND) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        self._buckets: dict[tuple[str, str], tuple[float, datetime]] = {}
        self._lock = threading.Lock()

    def take(self, caller: str, door: str) -> None:
        """Count one request. Raises TooMany when the bucket is empty."""
        now = self._clock.now()
        burst, per_second = SMALL.get(door, (self._burst, self._per_second))
        with self._lock:
            left, since = self._buckets.get((caller, door), (float(burst), now))
            grown = max((now - since).total_seconds(), 0.0) * per_second
            left = min(left + grown, float(burst))
            self._buckets[(caller, door)] = (max(left - 1, 0.0), now) if left >= 1 else (left, now)
        if left < 1:
            raise TooMany(max(1, math.ceil((1 - left) / per_second)), per_second)
