"""Exposure, concentration, turnover and holding periods of a book. Money is signed: positive is long.

Shape (n,): a value a position or trade, money or parts of equity; NaN is Rejected. Sources: by function.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk.returns import FloatArray, series


@dataclass(frozen=True, slots=True)
class Exposure:
    """Signed money, added up. Empty: all 0, because nothing is held."""

    gross: float  # sum of |x|
    net: float
    long: float  # >= 0
    short: float  # <= 0


@dataclass(frozen=True, slots=True)
class Holding:
    """How long trades were open, in seconds."""

    mean: float  # weighted, if weights were given
    median: float  # not weighted
    shortest: float
    longest: float


def exposure(values: npt.ArrayLike) -> Exposure:
    """Return the exposure of signed values, shape (n,), n >= 0. NaN is Rejected: drop and name the unknown first."""
    array = series(values, 0, "exposures")
    long, short = float(array[array > 0].sum()), float(array[array < 0].sum())
    return Exposure(long - short, long + short, long, short)


def exposures_by(values: npt.ArrayLike, keys: Sequence[str]) -> dict[str, Exposure]:
    """Return the exposure of each key (underlying, currency, strategy), sorted by key; as `exposure`."""
    array = series(values, 0, "exposures")
    if array.size != len(keys):
        raise Rejected("BAD_SHAPE", f"{len(keys)} keys for {array.size} exposures")
    groups: dict[str, list[float]] = {}
    for key, value in zip(keys, array.tolist(), strict=True):
        groups.setdefault(key, []).append(value)
    return {key: exposure(groups[key]) for key in sorted(groups)}


def herfindahl(exposures: npt.ArrayLike) -> float:
    """Return the sum of squared shares of gross exposure, sum((|x| / sum|x|)^2), within [1/n, 1].

    1 is one position, and 1 / it is the number of equal positions that are as concentrated. A net exposure per
    underlying is the usual input. Nothing held: InsufficientData. Source: Hirschman, 1964.
    """
    share = _shares(exposures)
    return float(share @ share)


def top_share(exposures: npt.ArrayLike, count: int = 1) -> float:
    """Return the part of gross exposure that the `count` largest have, within (0, 1]. Nothing held: InsufficientData."""
    if count < 1:
        raise Rejected("BAD_SETTING", f"count was {count}, and must be at least 1")
    return min(float(np.sort(_shares(exposures))[::-1][:count].sum()), 1.0)


def turnover(bought: npt.ArrayLike, sold: npt.ArrayLike, equity: npt.ArrayLike) -> float:
    """Return (money bought + money sold) / 2 / mean equity over the same span: 1 is the account once over.

    `bought` and `sold` are unsigned money per trade or period, empty where nothing was; `equity` (n,), n >= 1. A
    mean equity of 0 or below: InsufficientData. The SEC takes the lesser of both sides; half of the sum is the
    same for a book that ends as it began.
    """
    buys, sells = series(bought, 0, "bought"), series(sold, 0, "sold")
    if (buys < 0).any() or (sells < 0).any():
        raise Rejected("BAD_SETTING", "bought and sold are money without a sign")
    mean = float(series(equity, 1, "equity").mean())
    if mean <= 0.0:
        raise InsufficientData("turnover has no denominator: the mean equity is not above 0")
    return (float(buys.sum()) + float(sells.sum())) / 2.0 / mean


def holding(opened: npt.ArrayLike, closed: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Holding:
    """Return how long trades were open: closed - opened, in seconds, both (n,) in seconds since any moment.

    `weights` (n,), >= 0, such as the size of each trade, weigh the mean. Open trades: leave them out, or close
    them now. None: InsufficientData. Closed before it was opened: Rejected.
    """
    start, end = series(opened, 1, "opening times"), series(closed, 1, "closing times")
    if start.size != end.size:
        raise Rejected("BAD_SHAPE", f"{start.size} opening and {end.size} closing times")
    span = end - start
    if span.min() < 0:
        raise Rejected("BAD_SETTING", f"trade {int(np.argmin(span)) + 1} was closed before it was opened")
    share = np.full(span.size, 1.0 / span.size) if weights is None else _shares(weights)
    if share.size != span.size:
        raise Rejected("BAD_SHAPE", f"{share.size} weights for {span.size} trades")
    return Holding(float(span @ share), float(np.median(span)), float(span.min()), float(span.max()))


def _shares(exposures: npt.ArrayLike) -> FloatArray:
    size = np.abs(series(exposures, 1, "exposures"))
    gross = float(size.sum())
    if gross <= 0.0:
        raise InsufficientData("concentration has no denominator: nothing is held")
    return np.asarray(size / gross, dtype=np.float64)
