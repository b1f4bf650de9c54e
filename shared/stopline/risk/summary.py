"""The common measures of one series, or of many, in one pass over the returns.

The numbers are those of `performance`, `drawdown` and `var`; what they have no answer for is None, with the reason.
Parts of 1 (0.01 is 1 %), a year where `performance` says so; shape (n,), or (n, k) of k series. Sources: theirs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stopline.model.errors import Rejected
from stopline.risk.drawdown import ROUNDING, below_peak, deepest
from stopline.risk.performance import DAYS, deviation, downside, root_year
from stopline.risk.returns import Convention, FloatArray, compounded, return_matrix, return_series
from stopline.risk.var import historical_tail, tail_size

BLOCK = 25  # assets a pass: their returns stay in the cache
MEASURES = (
    "total_return",
    "annual_return",
    "volatility",
    "sharpe",
    "sortino",
    "calmar",
    "omega",
    "max_drawdown",
    "downside_deviation",
    "var",
    "es",
)
_LOSSES = [MEASURES.index(name) for name in ("max_drawdown", "var", "es")]  # with a minus in empyrical
_WHY = {
    "annual_return": "it grows to more than a float holds in a year",
    "volatility": "at least 2 returns are needed",
    "sharpe": "the returns are flat, or fewer than 2",
    "sortino": "no return is below the target, or there are fewer than 2",
    "calmar": "wealth never fell below its peak",
    "omega": "no return is below the target",
    "var": "too few returns: the tail holds less than one",
    "es": "too few returns: the tail holds less than one",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """The measures of one series of n returns. None: no answer, and `unknown` says why."""

    n: int
    values: Mapping[str, float | None]
    unknown: Mapping[str, str]

    def __getitem__(self, measure: str) -> float | None:
        return self.values[measure]


def summary(
    returns: npt.ArrayLike,
    *,
    periods: float = DAYS,
    risk_free: float = 0.0,
    target: float = 0.0,
    confidence: float = 0.95,
    convention: Convention = "stopline",
) -> Summary:
    """Return the 11 common measures of returns, shape (n,), n >= 1.

    Units and signs as in `performance`: VaR, ES and drawdown are positive losses, as parts of wealth, over one
    period. NaN and returns below -100 % are Rejected. `convention="empyrical"` turns their signs and takes that
    library's interpolated VaR and its mean of the int((n - 1) alpha) + 1 lowest returns.
    """
    array = return_series(returns)
    numbers = _measures_of_one(array, periods, risk_free, target, confidence, convention)
    values = dict(zip(MEASURES, numbers, strict=True))
    unknown = {name: _WHY[name] for name, value in values.items() if value is None}
    return Summary(array.size, values, unknown)


def summaries(
    returns: npt.ArrayLike,
    *,
    periods: float = DAYS,
    risk_free: float = 0.0,
    target: float = 0.0,
    confidence: float = 0.95,
    convention: Convention = "stopline",
) -> dict[str, FloatArray]:
    """Return the measures of each column of returns, shape (n, k), as arrays of shape (k,); NaN: no answer.

    As `summary`, column by column.
    """
    array = return_matrix(returns)
    columns = array.shape[1]
    result = np.empty((len(MEASURES), columns))
    for start in range(0, columns, BLOCK):
        block = np.ascontiguousarray(array[:, start : start + BLOCK].T)
        result[:, start : start + BLOCK] = _measures(
            block, periods, risk_free, target, confidence, convention
        )
    return dict(zip(MEASURES, result, strict=True))


def _measures(
    block: FloatArray,
    periods: float,
    risk_free: float,
    target: float,
    confidence: float,
    convention: Convention,
) -> FloatArray:
    """Return MEASURES of checked returns, (n,) or rows (k, n), of shape (11,) or (11, k); NaN: no answer."""
    n = block.shape[-1]
    root = root_year(periods)
    level = compounded(block)
    final = level[..., -1].copy()
    worst = np.maximum.reduce(below_peak(block, level), axis=-1)
    worst = np.where(worst < ROUNDING, 0.0, worst)
    short, below = downside(block, target)
    with np.errstate(all="ignore"):
        annual = final ** (periods / n) - 1.0
        if n > 1:
            mean, spread = deviation(block)
            sharpe = (mean - risk_free) / spread * root
            sortino = (mean - target) / below * root
        else:
            mean = block[..., 0]
            spread = sharpe = sortino = np.full(block.shape[:-1], np.nan)
        var, es = _tail(block, confidence, convention)
        result = np.array(
            [
                final - 1.0,
                annual,
                spread * root,
                sharpe,
                sortino,
                annual / worst,
                ((mean - target) * n + short) / short,
                worst,
                below * root,
                var,
                es,
            ]
        )
    result[~np.isfinite(result)] = np.nan
    if convention == "empyrical":
        result[_LOSSES] *= -1.0
    return result


def _measures_of_one(
    array: FloatArray,
    periods: float,
    risk_free: float,
    target: float,
    confidence: float,
    convention: Convention,
) -> list[float | None]:
    """Return `_measures` of one series, shape (n,), None for no answer: its few numbers as plain floats, which is half of
    the time.
    """
    n, root = array.size, root_year(periods)
    level = compounded(array)
    final = float(level[-1])
    worst = deepest(array, level)
    short, below = map(float, downside(array, target))
    mean, spread = map(float, deviation(array)) if n > 1 else (float(array[0]), math.nan)
    try:
        annual = final ** (periods / n) - 1.0
    except OverflowError:
        annual = math.nan
    var, es = map(float, _tail(array, confidence, convention))
    result = [
        final - 1.0,
        annual,
        spread * root,
        _over(mean - risk_free, spread) * root,
        _over(mean - target, below) * root if n > 1 else math.nan,
        _over(annual, worst),
        _over((mean - target) * n + short, short),
        worst,
        below * root,
        var,
        es,
    ]
    if convention == "empyrical":
        for place in _LOSSES:
            result[place] = -result[place]
    return [value if math.isfinite(value) else None for value in result]


def _over(above: float, below: float) -> float:
    return above / below if below else math.nan


def _tail(block: FloatArray, confidence: float, convention: Convention) -> tuple[FloatArray, FloatArray]:
    n = block.shape[-1]
    if convention == "empyrical":
        share = 1.0 - confidence
        count = int((n - 1) * share) + 1
        var = -np.quantile(block, share, axis=-1)
        return var, -np.partition(block, count - 1, axis=-1)[..., :count].mean(axis=-1)
    if convention != "stopline":
        raise Rejected("BAD_SETTING", f"convention was {convention!r}, and must be stopline or empyrical")
    if tail_size(n, confidence) < 1.0:
        unknown = np.full(block.shape[:-1], np.nan)
        return unknown, unknown.copy()
    return historical_tail(block, confidence)
