"""Which position the risk comes from: Euler contributions, incremental risk, and the factors behind it.

Shapes: k positions, n days or scenarios. Exposures are signed money; risk is a positive loss in money. Component
= exposure x marginal, and components add up to the total (Euler, for any measure that doubles with the book).
Incremental risk is what goes away when a position is closed; it does not add up, and nothing makes it.
NaN is Rejected. Sources: Tasche, Risk contributions and performance measurement, 1999; Jorion, Value at risk, ch. 7.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk.returns import FLAT, FloatArray, between, matrix, series
from stopline.risk.var import historical_tail, need_tail


@dataclass(frozen=True, slots=True, eq=False)
class Contributions:
    """A total risk and its parts by position."""

    total: float
    component: FloatArray  # (k,) money; the sum is the total
    marginal: FloatArray  # (k,) risk per unit of exposure

    @property
    def share(self) -> FloatArray:
        """Return component / total, shape (k,), which adds up to 1; InsufficientData where there is no risk."""
        if self.total == 0.0:
            raise InsufficientData("risk contributions: the total risk is 0")
        return self.component / self.total


@dataclass(frozen=True, slots=True, eq=False)
class FactorModel:
    """A least-squares fit of returns on factors, and where the variance comes from."""

    alpha: float  # per period
    beta: FloatArray  # (f,)
    variance: float  # of the returns, n - 1
    factor_share: FloatArray  # (f,) of the variance; with residual_share adds up to 1
    residual_share: float
    residual: FloatArray  # (n,) returns - alpha - factors @ beta

    @property
    def r_squared(self) -> float:
        """Return the share of the variance that the factors explain."""
        return 1.0 - self.residual_share


def volatility_contributions(exposures: npt.ArrayLike, covariance: npt.ArrayLike) -> Contributions:
    """Return contributions to s = sqrt(x' C x): marginal C x / s, component x (C x) / s.

    `covariance` of returns per period, shape (k, k): s is money per period. No risk at all: InsufficientData.
    """
    x, moved, spread = _spread(exposures, covariance)
    marginal = moved / spread
    return Contributions(spread, x * marginal, marginal)


def normal_contributions(
    exposures: npt.ArrayLike,
    mean: npt.ArrayLike,
    covariance: npt.ArrayLike,
    confidence: float = 0.95,
    horizon: int = 1,
) -> Contributions:
    """Return contributions to the normal VaR z s sqrt(h) - x'm h: marginal z C x / s sqrt(h) - m h."""
    z = NormalDist().inv_cdf(between(confidence, "confidence", 0.0, 1.0))
    x, moved, spread = _spread(exposures, covariance)
    centre = series(mean, what="means")
    if centre.size != x.size:
        raise Rejected("BAD_SHAPE", f"{centre.size} means for {x.size} exposures")
    marginal = z * math.sqrt(horizon) / spread * moved - centre * horizon
    component = x * marginal
    return Contributions(float(component.sum()), component, marginal)


def portfolio_pnl(returns: npt.ArrayLike, exposures: npt.ArrayLike | None = None) -> FloatArray:
    """Return the P&L of each day, returns (n, k) @ exposures (k,), shape (n,); exposures of None: the row sums.

    One NaN or infinity in either is Rejected: it would be one in the product, so that is where it is looked for.
    """
    table, x = _table(returns, exposures)
    with np.errstate(over="ignore", invalid="ignore"):
        pnl = table @ x
    if not np.isfinite(pnl).all():
        matrix(table, what="returns")
        raise Rejected("OVERFLOW", "the P&L is more than a float holds")
    return np.asarray(pnl, dtype=np.float64)


def es_contributions(
    returns: npt.ArrayLike, exposures: npt.ArrayLike | None = None, confidence: float = 0.95
) -> Contributions:
    """Return contributions to the historical ES of returns (n, k) and exposures (k,).

    Marginal: the mean loss of a unit of each position on the days of the portfolio's tail, the last day by its
    fraction. For the P&L of legs (n, k) leave the exposures out. Of days with the same P&L at the edge of the
    tail any may be taken. Minimum sample as for `var.historical`.
    """
    table, x = _table(returns, exposures)
    pnl = portfolio_pnl(table, x)
    size = need_tail(pnl.size, confidence)
    rank = math.ceil(size)
    days = np.argpartition(pnl, rank - 1)[:rank]
    weights = np.full(rank, -1.0 / size)
    weights[-1] *= size - (rank - 1)
    marginal = weights @ table[days]
    component = x * marginal
    return Contributions(float(component.sum()), component, marginal)


def var_contributions(
    returns: npt.ArrayLike, exposures: npt.ArrayLike | None = None, confidence: float = 0.95
) -> Contributions:
    """Return contributions to the historical VaR of returns (n, k) and exposures (k,): the losses of its day.

    They add up exactly and hang on a single day: for decisions take `es_contributions`. Minimum sample as there.
    """
    table, x = _table(returns, exposures)
    pnl = portfolio_pnl(table, x)
    rank = math.ceil(need_tail(pnl.size, confidence))
    marginal = -table[int(np.argpartition(pnl, rank - 1)[rank - 1])]
    component = x * marginal
    return Contributions(float(component.sum()), component, marginal)


def incremental(
    returns: npt.ArrayLike, exposures: npt.ArrayLike | None = None, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return (VaR, ES) of the book less those of the book without each position, both of shape (k,), in money.

    Negative: the position hedges. Historical; minimum sample as for `var.historical`.
    """
    table, x = _table(returns, exposures)
    pnl = portfolio_pnl(table, x)
    need_tail(pnl.size, confidence)
    var, es = historical_tail(pnl, confidence)
    without = pnl - np.ascontiguousarray((table * x).T)
    vars_, shortfalls = historical_tail(without, confidence)
    return var - vars_, es - shortfalls


def factor_model(returns: npt.ArrayLike, factors: npt.ArrayLike) -> FactorModel:
    """Return the regression of returns (n,) on factor returns (n, f): market, volatility, ...

    Least squares with a constant. The variance splits into beta_j cov(f_j, r) of each factor (Euler: correlated
    factors share what they have in common, and a share can be negative) and the residual. Minimum sample f + 3.
    Flat returns, or factors that are flat or linear in each other: InsufficientData.
    """
    table = matrix(factors, what="factors")
    f = table.shape[1]
    array = series(returns, f + 3, "returns")
    if len(table) != array.size:
        raise Rejected("BAD_SHAPE", f"{len(table)} rows of factors for {array.size} returns")
    centred, y = table - table.mean(axis=0), array - array.mean()
    scale = np.sqrt((centred**2).mean(axis=0))
    if (scale <= FLAT * np.abs(table.mean(axis=0))).any() or np.linalg.matrix_rank(centred / scale) < f:
        raise InsufficientData("the factors are flat or linear in each other")
    variance = float(y @ y) / (y.size - 1)
    if math.sqrt(variance) <= FLAT * abs(float(array.mean())):
        raise InsufficientData("factor model: the returns are flat")
    beta = np.linalg.lstsq(centred / scale, y, rcond=None)[0] / scale
    residual = y - centred @ beta
    share = beta * (centred.T @ y) / (y.size - 1) / variance
    alpha = float(array.mean() - table.mean(axis=0) @ beta)
    return FactorModel(alpha, beta, variance, share, float(1.0 - share.sum()), residual)


def _spread(exposures: npt.ArrayLike, covariance: npt.ArrayLike) -> tuple[FloatArray, FloatArray, float]:
    """Return (x, C x, sqrt(x' C x)), checked by the product: it is finite where every input is."""
    x = series(exposures, what="exposures")
    table = np.asarray(covariance, dtype=np.float64)
    if table.shape != (x.size, x.size):
        raise Rejected("BAD_SHAPE", f"a covariance of {table.shape} for {x.size} exposures")
    with np.errstate(over="ignore", invalid="ignore"):
        moved = table @ x
    if not np.isfinite(moved).all():
        matrix(table, what="covariance")
        raise Rejected("OVERFLOW", "the risk is more than a float holds")
    variance = float(x @ moved)
    if variance <= 0.0:
        raise InsufficientData("risk contributions: the total risk is 0")
    return x, moved, math.sqrt(variance)


def _table(returns: npt.ArrayLike, exposures: npt.ArrayLike | None) -> tuple[FloatArray, FloatArray]:
    table = np.asarray(returns, dtype=np.float64)
    if table.ndim != 2:
        raise Rejected("BAD_SHAPE", f"returns must be rows x columns, and the shape was {table.shape}")
    x = np.ones(table.shape[1]) if exposures is None else series(exposures, what="exposures")
    if x.size != table.shape[1]:
        raise Rejected("BAD_SHAPE", f"{x.size} exposures for {table.shape[1]} columns of returns")
    return table, x
