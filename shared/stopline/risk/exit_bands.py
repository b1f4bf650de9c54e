"""Many trades' prices against the bands in which nothing happens to them, in a few passes over columns.

Shapes: n trades, l legs (each trade's legs stand together, at least one), s symbols. Prices are in price units, times
in seconds since 1970. NaN is a price that is unknown; a bound that is not set is an infinity. A comparison in
float64 decides nothing: it names candidates, a little too many rather than one too few, to be looked at exactly.
Source: none; they are comparisons.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

INFINITY = float("inf")


@dataclass(slots=True)
class Legs:
    """Which symbols make a trade's price: price = sum of weight x mark over its legs."""

    symbol_rows: IntArray  # (l,)
    weights: FloatArray  # (l,)
    starts: IntArray  # (n,) first leg of each trade

    def prices(self, marks: FloatArray) -> FloatArray:
        """Return each trade's price, shape (n,), for marks of shape (s,); NaN where one leg's is."""
        if not self.starts.size:
            return np.empty(0)
        return np.add.reduceat(self.weights * marks[self.symbol_rows], self.starts)

    def oldest(self, seen: FloatArray) -> FloatArray:
        """Return when the oldest leg of each trade was seen, shape (n,); `seen` has shape (s,), -inf for never."""
        if not self.starts.size:
            return np.empty(0)
        return np.asarray(np.minimum.reduceat(seen[self.symbol_rows], self.starts))


def legs(per_trade: Sequence[Sequence[tuple[int, float]]]) -> Legs:
    """Lay out the legs, (symbol row, weight), of trades. A trade without legs has no price and is no input."""
    sizes = np.array([len(some) for some in per_trade], dtype=np.int64)
    flat = [leg for some in per_trade for leg in some]
    return Legs(
        np.array([row for row, _ in flat], dtype=np.int64),
        np.array([weight for _, weight in flat], dtype=np.float64),
        np.concatenate([np.zeros(1, dtype=np.int64), sizes.cumsum()])[: sizes.size],
    )


class Bands:
    """One band a trade; rows are set one by one when a trade's state changes."""

    def __init__(self, size: int) -> None:
        self.low: FloatArray = np.full(size, -INFINITY)
        self.high: FloatArray = np.full(size, INFINITY)
        self.due: FloatArray = np.full(size, INFINITY)
        self.watch: BoolArray = np.zeros(size, dtype=np.bool_)
        self.max_age: FloatArray = np.full(size, INFINITY)

    def set(
        self, row: int, low: float | None, high: float | None, due: float | None, watch: bool, max_age: float
    ) -> None:
        """Set a trade's band: bounds that are in it no more (None: none), its next moment, its prices' most age."""
        self.low[row] = -INFINITY if low is None else low
        self.high[row] = INFINITY if high is None else high
        self.due[row] = INFINITY if due is None else due
        self.watch[row] = watch
        self.max_age[row] = max_age

    def candidates(self, prices: FloatArray, oldest: FloatArray, now: float) -> IntArray:
        """Return the rows to look at exactly: out of their band, due, or watched."""
        with np.errstate(invalid="ignore"):
            found = (prices <= self.low) | (prices >= self.high)
        found &= ~self.is_stale(prices, oldest, now)
        found |= self.watch
        found |= self.due <= now
        return np.flatnonzero(found)

    def is_stale(self, prices: FloatArray, oldest: FloatArray, now: float) -> BoolArray:
        """Tell, shape (n,), which trades have no price that may trigger anything."""
        return np.isnan(prices) | (now - oldest > self.max_age)
