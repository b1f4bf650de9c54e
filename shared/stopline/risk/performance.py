"""Performance of a series of returns, and of a series of closed trades.

Returns are simple (0.01 is 1 %), shape (n,), one per period; `periods` is how many periods a year has (252 days).
`risk_free` and `target` are per period. NaN and returns below -100 % are Rejected. A ratio whose denominator
is nothing raises InsufficientData: never 0, never infinity. The standard deviation has n - 1, means are arithmetic.
Sources: by function; where none is named Bacon, Practical portfolio performance measurement and attribution, 2008.
"""

import math

import numpy as np
import numpy.typing as npt

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk.drawdown import deepest
from stopline.risk.returns import FLAT, FloatArray, compounded, return_series, series

DAYS = 252.0  # trading days a year


def total_return(returns: npt.ArrayLike) -> float:
    """Return (1 + r1)(1 + r2)... - 1, a part of the starting wealth, >= -1. Minimum sample 1."""
    return float(compounded(return_series(returns))[-1]) - 1.0


def annual_return(returns: npt.ArrayLike, periods: float = DAYS) -> float:
    """Return the compound growth a year (CAGR), W(n) ** (periods / n) - 1; -1 after a total loss. Minimum sample 1.

    A year is `periods` returns, not 365 days: no return is lost to the date of the first price.
    """
    array = return_series(returns)
    return annualised(float(compounded(array)[-1]), array.size, periods)


def volatility(returns: npt.ArrayLike, periods: float = DAYS) -> float:
    """Return the close-to-close volatility a year, s sqrt(periods), s with n - 1. Flat: 0. Minimum sample 2."""
    return float(deviation(return_series(returns, 2))[1]) * root_year(periods)


def sharpe(returns: npt.ArrayLike, risk_free: float = 0.0, periods: float = DAYS) -> float:
    """Return (mean(r) - risk_free) / s sqrt(periods), s with n - 1. Minimum sample 2.

    Flat: InsufficientData. Source: Sharpe, The Sharpe ratio, JPM 1994.
    """
    mean, spread = deviation(return_series(returns, 2))
    return _ratio(float(mean) - risk_free, float(spread), "the Sharpe ratio", "the returns are flat") * (
        root_year(periods)
    )


def sortino(returns: npt.ArrayLike, target: float = 0.0, periods: float = DAYS) -> float:
    """Return mean(r - target) / sqrt(sum(min(r - target, 0)^2) / n) sqrt(periods). Minimum sample 2.

    No return below the target: InsufficientData. Source: Sortino, Price, 1994: the sum of squares is over all n.
    """
    array = return_series(returns, 2)
    mean = float(array.mean()) - target
    bad = float(downside(array, target)[1])
    return _ratio(mean, bad, "the Sortino ratio", "no return is below the target") * root_year(periods)


def downside_deviation(returns: npt.ArrayLike, target: float = 0.0, periods: float = DAYS) -> float:
    """Return sqrt(sum(min(r - target, 0)^2) / n) sqrt(periods); 0 where nothing is below. Minimum sample 1."""
    return float(downside(return_series(returns), target)[1]) * root_year(periods)


def calmar(returns: npt.ArrayLike, periods: float = DAYS) -> float:
    """Return annual return / maximum drawdown, both over the whole series. Minimum sample 1.

    Wealth never fell: InsufficientData. Source: Young, Futures 1991 (there over 36 months: cut the series first).
    """
    array = return_series(returns)
    return _ratio(
        annual_return(array, periods),
        deepest(array),
        "the Calmar ratio",
        "wealth never fell below its peak",
    )


def omega(returns: npt.ArrayLike, target: float = 0.0) -> float:
    """Return sum(max(r - target, 0)) / sum(max(target - r, 0)). Minimum sample 1.

    No return below the target: InsufficientData. Source: Keating, Shadwick, 2002.
    """
    array = return_series(returns)
    losses = float(downside(array, target)[0])
    gains = float(np.maximum(array - target, 0.0).sum())
    return _ratio(gains, losses, "Omega", "no return is below the target")


def skewness(values: npt.ArrayLike) -> float:
    """Return m3 / m2^1.5 of returns or P&L, central moments over n (no correction). Flat: InsufficientData. n >= 3."""
    return _moment(series(values, 3), 3, "skewness")


def excess_kurtosis(values: npt.ArrayLike) -> float:
    """Return m4 / m2^2 - 3 of returns or P&L, moments over n; normal: 0. Flat: InsufficientData. n >= 4."""
    return _moment(series(values, 4), 4, "kurtosis") - 3.0


def win_rate(results: npt.ArrayLike) -> float:
    """Return wins / (wins + losses) of trades' P&L or returns, within [0, 1].

    A result of exactly 0 is neither. Nothing won or lost: InsufficientData.
    """
    array = series(results)
    wins, losses = int((array > 0).sum()), int((array < 0).sum())
    return _ratio(wins, wins + losses, "the win rate", "nothing was won or lost")


def profit_factor(results: npt.ArrayLike) -> float:
    """Return what was won / what was lost, of trades' P&L or returns, >= 0. No losing trade: InsufficientData."""
    array = series(results)
    return _ratio(
        float(array[array > 0].sum()), -float(array[array < 0].sum()), "the profit factor", "nothing was lost"
    )


def payoff_ratio(results: npt.ArrayLike) -> float:
    """Return the average win / the average loss, > 0. Without a win and a loss: InsufficientData."""
    array = series(results)
    wins, losses = array[array > 0], array[array < 0]
    if not wins.size or not losses.size:
        raise InsufficientData("the payoff ratio needs a win and a loss")
    return _ratio(float(wins.mean()), -float(losses.mean()), "the payoff ratio", "nothing was lost")


def expectancy(results: npt.ArrayLike) -> float:
    """Return the mean result of a trade, in the unit of `results` (money or returns), zeros counted.

    It is win rate x average win - loss rate x average loss. Minimum sample 1.
    """
    return float(series(results).mean())


def longest_losing_run(results: npt.ArrayLike) -> int:
    """Return the most consecutive losses; a result of exactly 0 ends a run. Empty: 0."""
    longest = run = 0
    for lost in (series(results, 0) < 0).tolist():
        run = run + 1 if lost else 0
        longest = max(longest, run)
    return longest


def year(periods: float) -> float:
    """Return the periods of a year, checked."""
    if not 0 < periods < math.inf:
        raise Rejected("BAD_SETTING", f"periods a year was {periods!r}, and must be above 0")
    return float(periods)


def root_year(periods: float) -> float:
    """Return the square root of the periods of a year: what a deviation of one period is multiplied by."""
    return math.sqrt(year(periods))


def annualised(final: float, n: int, periods: float) -> float:
    """Return the growth a year of 1 that has become `final` in n periods."""
    try:
        return math.pow(final, year(periods) / n) - 1.0
    except OverflowError:
        raise InsufficientData(
            f"annual return: {n} periods grow to more than a float holds in a year"
        ) from None


def deviation(array: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (mean, standard deviation with n - 1) along the last axis; what is only rounding is exactly 0."""
    mean = np.add.reduce(array, axis=-1, keepdims=True) / array.shape[-1]
    from_mean = array - mean
    mean = mean[..., 0]
    spread = np.sqrt(np.vecdot(from_mean, from_mean) / (array.shape[-1] - 1))
    return mean, spread * (spread > FLAT * np.abs(mean))


def downside(array: FloatArray, target: float) -> tuple[FloatArray, FloatArray]:
    """Return (sum of the shortfalls below the target, root of their mean square) along the last axis."""
    short = np.minimum(array - target if target else array, 0.0)
    square = np.vecdot(short, short) / array.shape[-1]
    return -np.add.reduce(short, axis=-1), np.sqrt(square)


def _ratio(above: float, below: float, what: str, why: str) -> float:
    result = above / below if below > 0.0 else math.inf
    if not math.isfinite(result):
        raise InsufficientData(f"{what} has no denominator: {why}")
    return result


def _moment(array: FloatArray, order: int, what: str) -> float:
    from_mean = array - array.mean()
    scale = float(np.abs(from_mean).max())
    if scale <= FLAT * abs(float(array.mean())):
        raise InsufficientData(f"{what} has no denominator: the values are flat")
    from_mean = from_mean / scale  # no power of it underflows
    second = float((from_mean**2).mean())
    return float((from_mean**order).mean()) / math.pow(second, order / 2)
