"""Backtests: was VaR exceeded as often as it says, and not in bunches?

p = 1 - confidence; an exception is a day whose loss is above the VaR forecast for it. LR statistics are >= 0 and
p-values within [0, 1]: a p-value under 0.05 is evidence against the VaR model. NaN is Rejected.
Shapes: n days, counts of them, and P&L and VaR in the same unit.
Sources: Kupiec, Techniques for verifying the accuracy of risk measurement models, 1995; Christoffersen,
Evaluating interval forecasts, 1998; Basel Committee, Supervisory framework for backtesting, 1996.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk.returns import FloatArray, between, series

BoolArray = npt.NDArray[np.bool_]
_ADD_ON = (0.40, 0.50, 0.65, 0.75, 0.85)  # of 5, 6, 7, 8, 9 exceptions in 250 days at 99 %
YELLOW, RED = 0.95, 0.9999  # cumulative probabilities where the zones begin


class Zone(StrEnum):
    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """The outcome of a likelihood-ratio test."""

    statistic: float
    p_value: float


def exceptions(pnl: npt.ArrayLike, var: npt.ArrayLike) -> BoolArray:
    """Return which days lost more than VaR, -P&L > VaR, shape (n,); `var` (n,) is the forecast made the day before.

    A scalar VaR stands for every day. A loss of exactly VaR is no exception.
    """
    array = series(pnl, what="P&L")
    forecast = series(np.broadcast_to(np.asarray(var, dtype=np.float64), array.shape), what="VaR")
    return np.asarray(-array > forecast, dtype=np.bool_)


def rolling(pnl: npt.ArrayLike, forecast: Callable[[FloatArray], float], window: int) -> BoolArray:
    """Return which days of P&L, shape (n,), lost more than the VaR forecast for them, shape (n - window,).

    `forecast` takes the `window` P&L before a day, shape (window,), and returns their VaR, so no forecast knows its own
    day. No day left: InsufficientData, and so is a window that the forecast has no answer for.
    """
    array = series(pnl, what="P&L")
    if not 1 <= window < array.size:
        raise InsufficientData(f"a backtest over a window of {window} needs more days than {array.size}")
    var = [forecast(array[end - window : end]) for end in range(window, array.size)]
    return exceptions(array[window:], var)


def kupiec(count: int, n: int, confidence: float) -> LikelihoodRatio:
    """Return Kupiec's proportion-of-failures test of `count` exceptions in n days.

    LR = -2 ln[(1-p)^(n-x) p^x / ((1-x/n)^(n-x) (x/n)^x)], chi-squared with 1 degree; 0^0 is 1. n = 0:
    InsufficientData. It has little power below about 250 days.
    """
    p = 1.0 - between(confidence, "confidence", 0.0, 1.0)
    _check(count, n)
    rate = count / n
    statistic = -2.0 * (_likelihood(n - count, count, p) - _likelihood(n - count, count, rate))
    return _test(statistic, 1)


def independence(hits: npt.ArrayLike) -> LikelihoodRatio:
    """Return Christoffersen's test that an exception says nothing about the next day; `hits` (n,) are booleans.

    LR over the first-order transitions, chi-squared with 1 degree. Without an exception, or with nothing else,
    before the last day there is nothing to compare: InsufficientData.
    """
    array = _hits(hits)
    before, after = array[:-1], array[1:]
    calm_calm, calm_hit = int((~before & ~after).sum()), int((~before & after).sum())
    hit_calm, hit_hit = int((before & ~after).sum()), int((before & after).sum())
    if not (hit_calm + hit_hit) or not (calm_calm + calm_hit):
        raise InsufficientData(
            "independence: there are no days after an exception to compare with the others"
        )
    together = (calm_hit + hit_hit) / (array.size - 1)
    apart = _likelihood(calm_calm, calm_hit, calm_hit / (calm_calm + calm_hit))
    apart += _likelihood(hit_calm, hit_hit, hit_hit / (hit_calm + hit_hit))
    statistic = -2.0 * (_likelihood(calm_calm + hit_calm, calm_hit + hit_hit, together) - apart)
    return _test(statistic, 1)


def conditional_coverage(hits: npt.ArrayLike, confidence: float) -> LikelihoodRatio:
    """Return Christoffersen's joint test: Kupiec's statistic + that of independence, chi-squared with 2 degrees."""
    array = _hits(hits)
    both = kupiec(int(array.sum()), array.size, confidence).statistic + independence(array).statistic
    return _test(both, 2)


def basel_zone(count: int, n: int = 250, confidence: float = 0.99) -> Zone:
    """Return the traffic light of `count` exceptions in n days.

    Yellow from the first count whose cumulative binomial probability reaches 95 %, red from 99.99 %. 250 days at
    99 %: green 0-4, yellow 5-9, red from 10.
    """
    p = 1.0 - between(confidence, "confidence", 0.0, 1.0)
    _check(count, n)
    below = 0.0
    for x in range(count + 1):
        ways = math.lgamma(n + 1) - math.lgamma(x + 1) - math.lgamma(n - x + 1)
        below += math.exp(ways + x * math.log(p) + (n - x) * math.log1p(-p))
    return Zone.RED if below >= RED else Zone.YELLOW if below >= YELLOW else Zone.GREEN


def basel_multiplier(count: int) -> float:
    """Return Basel's capital multiplier of `count` exceptions in 250 days at 99 %: 3, with 0.40 to 1.00 added."""
    _check(count, 250)
    return 3.0 + (0.0 if count < 5 else 1.0 if count > 9 else _ADD_ON[count - 5])


def _hits(hits: npt.ArrayLike) -> BoolArray:
    array = np.asarray(hits)
    if array.ndim != 1 or array.dtype != np.bool_:
        raise Rejected("BAD_SHAPE", "exceptions must be one series of booleans")
    if array.size < 2:
        raise InsufficientData(f"independence: at least 2 days are needed, and there were {array.size}")
    return array


def _check(count: int, n: int) -> None:
    if n < 1:
        raise InsufficientData("a backtest needs at least 1 day")
    if not 0 <= count <= n:
        raise Rejected("BAD_SETTING", f"{count} exceptions in {n} days")


def _likelihood(misses: int, hits: int, p: float) -> float:
    """Return ln((1-p)^misses p^hits) with 0 ln 0 = 0."""
    return (misses * math.log1p(-p) if misses else 0.0) + (hits * math.log(p) if hits else 0.0)


def _test(statistic: float, degrees: int) -> LikelihoodRatio:
    statistic = max(statistic, 0.0)  # rounding below 0
    tail = math.erfc(math.sqrt(statistic / 2.0)) if degrees == 1 else math.exp(-statistic / 2.0)
    return LikelihoodRatio(statistic, tail)
