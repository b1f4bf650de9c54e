"""Covariance, correlation, shrinkage, beta, and the pairs whose correlation has changed.

Returns have the shape (n, k): a row per period, a column per asset, all on the same dates. Covariances have n - 1
and are per period. NaN and returns below -100 % are Rejected; a flat column has no correlation: InsufficientData.
Sources: by function; Pearson, Regression and heredity, 1895.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk.returns import FLAT, FloatArray, between, matrix, return_matrix, return_series

LEAST_FISHER = 10  # returns a window, below which the Fisher transform is not near normal


@dataclass(frozen=True, slots=True, eq=False)
class Shrunk:
    """A shrunk matrix, and how much of it is the target."""

    matrix: FloatArray  # (k, k)
    intensity: float  # [0, 1]


@dataclass(frozen=True, slots=True)
class Change:
    """A pair of assets whose correlation is not what it was."""

    first: int  # column
    second: int
    before: float
    after: float
    p_value: float  # two-sided, of this pair alone


def covariance(returns: npt.ArrayLike) -> FloatArray:
    """Return the covariance of returns, shape (k, k), per period, with n - 1. Minimum sample 2 rows."""
    array = return_matrix(returns, 2)
    centred = array - array.mean(axis=0)
    return np.asarray(centred.T @ centred / (len(array) - 1), dtype=np.float64)


def correlation(returns: npt.ArrayLike, shrink: bool = False) -> FloatArray:
    """Return Pearson's correlation of returns, shape (k, k), the diagonal exactly 1. Minimum sample 3 rows.

    `shrink`: towards no correlation, as `shrunk_correlation`. A flat column: InsufficientData.
    """
    if shrink:
        return shrunk_correlation(returns).matrix
    return _correlated(_standardised(return_matrix(returns, 3)))


def shrunk_covariance(returns: npt.ArrayLike) -> Shrunk:
    """Return (1 - d) C + d m I, C the covariance, m its mean variance, d by Ledoit and Wolf. Minimum sample 2 rows.

    d is estimated from the data with no parameter, and the result is never singular where a return moved.
    All columns flat: InsufficientData. Source: Ledoit, Wolf: A well-conditioned estimator for
    large-dimensional covariance matrices, JMVA 2004.
    """
    array = return_matrix(returns, 2)
    centred = array - array.mean(axis=0)
    if (np.abs(centred).max(axis=0) <= FLAT * np.abs(array.mean(axis=0))).all():
        raise InsufficientData("covariance: every column is flat")
    n, k = array.shape
    sample = centred.T @ centred / (n - 1)
    intensity = _intensity(centred)
    result = (1.0 - intensity) * sample
    result.flat[:: k + 1] += intensity * float(np.trace(sample)) / k
    return Shrunk(result, intensity)


def shrunk_correlation(returns: npt.ArrayLike) -> Shrunk:
    """Return (1 - d) R + d I, R the correlation, d by Ledoit and Wolf on standardised returns. Minimum sample 3.

    Each asset counts the same whatever its volatility, so it is the one to take for assets of many kinds.
    """
    scaled = _standardised(return_matrix(returns, 3))
    intensity = _intensity(scaled)
    result = (1.0 - intensity) * _correlated(scaled)
    np.fill_diagonal(result, 1.0)
    return Shrunk(result, intensity)


def beta(returns: npt.ArrayLike, market: npt.ArrayLike) -> float:
    """Return cov(r, m) / var(m) of returns and market returns, both (n,). Minimum sample 3.

    A flat market: InsufficientData; flat returns: 0.
    """
    y, x = return_series(returns, 3), return_series(market, 3)
    if y.size != x.size:
        raise Rejected("BAD_SHAPE", f"{y.size} returns for {x.size} of the market")
    centred = x - x.mean()
    variance = float(centred @ centred)
    if math.sqrt(variance / x.size) <= FLAT * abs(float(x.mean())):
        raise InsufficientData("beta has no denominator: the market is flat")
    return float(centred @ (y - y.mean())) / variance


def correlation_changes(
    returns: npt.ArrayLike, recent: int, level: float = 0.01, least: float = 0.2
) -> list[Change]:
    """Return the pairs whose correlation over the last `recent` rows is not that of the rows before, worst first.

    Fisher's z: (atanh r2 - atanh r1) / sqrt(1/(n1-3) + 1/(n2-3)), normal if nothing changed. A pair is told where
    the two-sided p-value is below level / number of pairs (Bonferroni: `level` is the chance of any false alarm)
    and the change is at least `least`. Fat tails make it more talkative than `level` says. Each window needs 10
    rows, and no column flat in it. Source: Fisher, On the probable error of a coefficient of correlation, 1921.
    """
    array = return_matrix(returns)
    between(level, "level", 0.0, 1.0)
    if min(recent, len(array) - recent) < LEAST_FISHER:
        raise InsufficientData(
            f"correlation change: both windows need {LEAST_FISHER} rows, and had {len(array) - recent} and {recent}"
        )
    before = _correlated(_standardised(array[:-recent]))
    after = _correlated(_standardised(array[-recent:]))
    error = math.sqrt(1.0 / (len(array) - recent - 3) + 1.0 / (recent - 3))
    limit = 1.0 - 1e-12  # atanh of 1 is infinite
    moved = np.arctanh(np.clip(after, -limit, limit)) - np.arctanh(np.clip(before, -limit, limit))
    rows, columns = np.triu_indices(array.shape[1], 1)
    found = []
    for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
        p = 2.0 * NormalDist().cdf(-abs(float(moved[i, j])) / error)
        if p < level / len(rows) and abs(after[i, j] - before[i, j]) >= least:
            found.append(Change(i, j, float(before[i, j]), float(after[i, j]), p))
    return sorted(found, key=lambda change: (change.p_value, change.first, change.second))


def blended(correlations: npt.ArrayLike, weight: float) -> FloatArray:
    """Return (1 - weight) R + weight 1: every correlation that much nearer to one, shape (k, k), weight in [0, 1].

    1 is "everything moves together". Positive semi-definite where R is.
    """
    array = matrix(correlations, what="correlations")
    if not 0.0 <= weight <= 1.0:
        raise Rejected("BAD_SETTING", f"weight was {weight!r}, and must lie within 0 and 1")
    return np.asarray((1.0 - weight) * array + weight, dtype=np.float64)


def _standardised(array: FloatArray) -> FloatArray:
    """Return columns with mean 0 and mean square 1."""
    mean = array.mean(axis=0)
    centred = array - mean
    spread = np.sqrt((centred * centred).mean(axis=0))
    flat = spread <= FLAT * np.abs(mean)
    if flat.any():
        raise InsufficientData(f"correlation has no denominator: column {int(np.argmax(flat)) + 1} is flat")
    return np.asarray(centred / spread, dtype=np.float64)


def _correlated(scaled: FloatArray) -> FloatArray:
    result = np.clip(scaled.T @ scaled / len(scaled), -1.0, 1.0)
    np.fill_diagonal(result, 1.0)
    return result


def _intensity(centred: FloatArray) -> float:
    """Return Ledoit and Wolf's d for centred returns (n, k): how noisy the sample is / how far from the target."""
    n, k = centred.shape
    sample = centred.T @ centred / n
    square = centred * centred
    mean = float(np.trace(sample)) / k
    size = float((sample * sample).sum())
    noise = (float((square.T @ square).sum()) / n - size) / (n * k)
    distance = size / k - mean * mean
    return 0.0 if distance <= 0.0 else min(max(noise, 0.0) / distance, 1.0)
