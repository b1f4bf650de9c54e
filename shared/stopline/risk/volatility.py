"""Volatility: EWMA forecasts, Parkinson from highs and lows, and the true range. Close-to-close is in `performance`.

Volatility is a part of 1 a year (0.2 is 20 %), ranges are in price units. NaN and prices <= 0 are Rejected.
Shape (n,): a period each, oldest first. Sources: by function.
"""

from itertools import accumulate

import numpy as np
import numpy.typing as npt

from stopline.model.errors import Rejected
from stopline.risk.performance import DAYS, root_year, year
from stopline.risk.returns import FloatArray, between, price_series, series

DECAY = 0.94  # RiskMetrics, daily
WARM_UP = 20  # observations that give the first variance
_PARKINSON = 4.0 * np.log(2.0)


def ewma_deviation(values: npt.ArrayLike, decay: float = DECAY, warm_up: int = WARM_UP) -> FloatArray:
    """Return the deviation forecast for each value after the warm-up and for the next, shape (n - warm_up + 1,).

    v(t+1) = decay v(t) + (1 - decay) x(t)^2, the mean taken as 0; the first v is the mean square of the first
    `warm_up` values, so no forecast knows its own day. Same unit as `values` (returns or P&L), per period.
    Minimum sample `warm_up`. Source: RiskMetrics technical document, 4th edition, 5.2.
    """
    between(decay, "decay", 0.0, 1.0)
    array = series(values, max(warm_up, 1))
    square = array * array
    first = float(square[:warm_up].mean()) if warm_up else float(square[0])
    steps = ((1.0 - decay) * square[warm_up:]).tolist()
    variances = np.array(list(accumulate(steps, lambda v, x: decay * v + x, initial=first)))
    return np.asarray(np.sqrt(variances), dtype=np.float64)


def ewma_volatility(
    returns: npt.ArrayLike, decay: float = DECAY, periods: float = DAYS, warm_up: int = WARM_UP
) -> float:
    """Return the EWMA volatility forecast for the next period, a year: `ewma_deviation` x sqrt(periods)."""
    return float(ewma_deviation(returns, decay, warm_up)[-1]) * root_year(periods)


def parkinson(high: npt.ArrayLike, low: npt.ArrayLike, periods: float = DAYS) -> float:
    """Return sqrt(mean(ln(H/L)^2) / (4 ln 2)) sqrt(periods), of highs and lows, shape (n,), n >= 1. Flat: 0.

    It sees no gaps between sessions. A high below its low is Rejected. Source: Parkinson, The extreme value
    method for estimating the variance of the rate of return, 1980.
    """
    top, bottom = _bars(high, low)
    span = np.log(top / bottom)
    return float(np.sqrt((span * span).mean() / _PARKINSON * year(periods)))


def true_range(high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike) -> FloatArray:
    """Return max(H - L, |H - C(t-1)|, |L - C(t-1)|), shape (n,), n >= 1: the gap to the last close counts.

    The first bar has no close before it, and its range is H - L. Source: Wilder, New concepts in technical
    trading systems, 1978.
    """
    top, bottom = _bars(high, low)
    last = price_series(close, what="closes")
    if last.size != top.size:
        raise Rejected("BAD_SHAPE", f"{last.size} closes for {top.size} highs")
    result = top - bottom
    result[1:] = np.maximum(top[1:], last[:-1]) - np.minimum(bottom[1:], last[:-1])
    return result


def average_true_range(
    high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike, window: int = 14
) -> FloatArray:
    """Return the ATR from bar `window` on, shape (n - window + 1,), in price units; the last is today's.

    Wilder's smoothing: the first is the mean of the first `window` true ranges, then (ATR (window - 1) + TR) /
    window. Minimum sample `window` bars.
    """
    if window < 1:
        raise Rejected("BAD_SETTING", f"window was {window}, and must be at least 1")
    ranges = series(true_range(high, low, close), window, "bars")
    first = float(ranges[:window].mean())
    keep = (window - 1) / window
    steps = (ranges[window:] / window).tolist()
    return np.array(list(accumulate(steps, lambda atr, part: atr * keep + part, initial=first)))


def _bars(high: npt.ArrayLike, low: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    top, bottom = price_series(high, what="highs"), price_series(low, what="lows")
    if top.size != bottom.size:
        raise Rejected("BAD_SHAPE", f"{top.size} highs for {bottom.size} lows")
    if (top < bottom).any():
        row = int(np.argmax(top < bottom))
        raise Rejected("BAD_PRICE", f"bar {row + 1}: the high {top[row]:g} was below the low {bottom[row]:g}")
    return top, bottom
