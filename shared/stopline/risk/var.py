"""Value at risk and expected shortfall of a portfolio, by five methods.

All take P&L of TODAY's positions (money, or parts of equity), positive when money is made: increments, never
cumulative P&L, and options re-priced (`revaluation`), never proxied by the returns of their premiums.
VaR and ES are losses: positive when money is lost, negative where even the tail makes money. NaN is Rejected.
Shape (n,): P&L of a period each, oldest first.
Sources: by function; Jorion, Value at risk; McNeil, Frey, Embrechts, Quantitative risk management.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk.performance import deviation, excess_kurtosis, skewness
from stopline.risk.returns import Convention, FloatArray, between, matrix, overlapping, series
from stopline.risk.volatility import DECAY, WARM_UP, ewma_deviation

Scaling = Literal["sqrt", "overlap"]

RANK_SLACK = 1e-9  # (1 - 0.95) n is a little above 0.05 n in floats; the rank must not jump for it
LEAST_NORMAL = 20
LEAST_MOMENTS = 50
LEAST_PATHS = 1000
_NORMAL = NormalDist()
_SAMPLED = 500  # from this length on a sample pays


@dataclass(frozen=True, slots=True)
class TailRisk:
    """VaR and ES, and everything needed to judge them. Both in the unit of the P&L, positive losses."""

    var: float
    es: float
    method: str  # historical, normal, cornish-fisher, filtered, monte-carlo
    confidence: float
    horizon: int  # periods
    n: int  # observations (or paths) that were used
    n_effective: float  # independent ones among them: n / horizon where the windows overlap
    excluded: tuple[str, ...] = ()  # positions that are not in it
    age_days: float | None = None  # of the newest observation when it was measured; None: not told

    def without(self, excluded: Sequence[str]) -> "TailRisk":
        """Return the same with the names of positions that the P&L leaves out."""
        return replace(self, excluded=tuple(excluded))


def historical(
    pnl: npt.ArrayLike, confidence: float = 0.95, horizon: int = 1, scaling: Scaling = "sqrt"
) -> TailRisk:
    """Return the historical VaR and ES of P&L, shape (n,), one per period.

    With a = 1 - confidence, VaR is the negative of the ceil(n a - 1e-9)-th lowest P&L, without interpolation;
    ES is the mean of the a n lowest, the last one counted by the fraction that is left (Rockafellar, Uryasev:
    CVaR for general loss distributions, 2002). Minimum sample: a n >= 1, so 20 at 95 %, 100 at 99 %.
    Longer horizons: "sqrt" multiplies by sqrt(horizon); "overlap" takes the sums of every `horizon` consecutive
    P&L, of which n / horizon are independent, and these must be enough.
    """
    array = series(pnl, what="P&L")
    _check(confidence, horizon)
    factor, used, effective = math.sqrt(horizon), array, float(array.size)
    if scaling == "overlap":
        need_tail(array.size / horizon, confidence)
        used, factor = overlapping(array, horizon), 1.0
        effective = array.size / horizon
    elif scaling != "sqrt":
        raise Rejected("BAD_SETTING", f"scaling was {scaling!r}, and must be sqrt or overlap")
    need_tail(used.size, confidence)
    var, es = historical_tail(used, confidence)
    return TailRisk(
        float(var) * factor, float(es) * factor, "historical", confidence, horizon, used.size, effective
    )


def normal(pnl: npt.ArrayLike, confidence: float = 0.95, horizon: int = 1) -> TailRisk:
    """Return VaR and ES of a normal distribution with the mean m and deviation s (n - 1) of P&L, shape (n,).

    VaR = z s sqrt(h) - m h, ES = s sqrt(h) phi(z) / a - m h, z the quantile of the confidence. Flat: -m h, the
    loss that is certain. Minimum sample 20. Source: McNeil, Frey, Embrechts: Quantitative risk management, 2.3.
    """
    array = series(pnl, LEAST_NORMAL, "P&L")
    _check(confidence, horizon)
    mean, spread = (float(part) for part in deviation(array))
    return _parametric("normal", mean, spread, 0.0, 0.0, confidence, horizon, array.size)


def cornish_fisher(pnl: npt.ArrayLike, confidence: float = 0.95, horizon: int = 1) -> TailRisk:
    """Return VaR and ES of P&L, shape (n,), by the normal quantile corrected for skewness S and kurtosis K.

    z' = z + (z^2-1) S/6 + (z^3-3z) K/24 - (2z^3-5z) S^2/36 at z = quantile(a); VaR = -(m h + z' s sqrt(h)), ES the
    mean of the same expansion over the tail. Over h periods S shrinks by sqrt(h), K by h. Minimum sample 50.
    Flat, or where the expansion is not monotone in the tail (VaR would fall with the confidence): InsufficientData.
    Source: Maillard, A user's guide to the Cornish Fisher expansion, 2012.
    """
    array = series(pnl, LEAST_MOMENTS, "P&L")
    _check(confidence, horizon)
    mean, spread = (float(part) for part in deviation(array))
    skew = skewness(array) / math.sqrt(horizon)
    kurtosis = excess_kurtosis(array) / horizon
    _check_monotone(_NORMAL.inv_cdf(1.0 - confidence), skew, kurtosis)
    return _parametric("cornish-fisher", mean, spread, skew, kurtosis, confidence, horizon, array.size)


def filtered(
    pnl: npt.ArrayLike, confidence: float = 0.95, horizon: int = 1, decay: float = DECAY
) -> TailRisk:
    """Return the historical VaR and ES of P&L, shape (n,), brought to today's volatility.

    Each P&L is divided by the EWMA deviation forecast for its day and multiplied by the forecast for tomorrow.
    The first 20 days start the EWMA and are not in the sample; a day whose forecast is 0 (nothing moved before)
    has no scale: InsufficientData. Horizon by sqrt. Source: Hull, White: Incorporating volatility updating into
    the historical simulation method, 1998.
    """
    array = series(pnl, WARM_UP + 1, "P&L")
    _check(confidence, horizon)
    forecast = ewma_deviation(array, decay)
    if not forecast[:-1].all():
        raise InsufficientData("filtered VaR: the P&L is flat at the start, so there is nothing to scale by")
    scaled = array[WARM_UP:] / forecast[:-1] * forecast[-1]
    return replace(historical(scaled, confidence, horizon), method="filtered")


def monte_carlo(
    mean: npt.ArrayLike,
    covariance: npt.ArrayLike,
    pnl: Callable[[FloatArray], FloatArray],
    *,
    seed: int,
    confidence: float = 0.95,
    horizon: int = 1,
    paths: int = 10_000,
    degrees: float | None = None,
) -> TailRisk:
    """Return VaR and ES over simulated joint moves of k factors.

    `mean` (k,) and `covariance` (k, k) are per period; over h periods they are multiplied by h. `pnl` takes moves,
    shape (paths, k), and returns the P&L of each path, shape (paths,): `moves @ exposures` for a linear book, a
    revaluation for options. Moves are normal, in antithetic pairs; with `degrees` (> 2) they are Student t with
    that covariance. The same seed gives the same answer. NaN and a covariance that is not symmetric and
    positive semi-definite are Rejected. At least 1,000 paths. Source: Glasserman, Monte Carlo methods, ch. 9.
    """
    _check(confidence, horizon)
    if paths < LEAST_PATHS or paths % 2:
        raise Rejected("BAD_SETTING", f"paths was {paths}, and must be even and at least {LEAST_PATHS}")
    moves = simulated_moves(mean, covariance, seed=seed, horizon=horizon, paths=paths, degrees=degrees)
    result = series(pnl(moves), what="simulated P&L")
    if result.size != paths:
        raise Rejected("BAD_SHAPE", f"the pricer answered {result.size} P&L for {paths} paths")
    need_tail(paths, confidence)
    var, es = historical_tail(result, confidence)
    return TailRisk(float(var), float(es), "monte-carlo", confidence, horizon, paths, float(paths))


def simulated_moves(
    mean: npt.ArrayLike,
    covariance: npt.ArrayLike,
    *,
    seed: int,
    horizon: int = 1,
    paths: int = 10_000,
    degrees: float | None = None,
) -> FloatArray:
    """Return joint moves of k factors, shape (paths, k), as `monte_carlo` describes; `paths` is even."""
    centre = series(mean, what="means")
    root = factor_of(covariance)
    if len(root) != centre.size:
        raise Rejected("BAD_SHAPE", f"{centre.size} means for a covariance of {len(root)} factors")
    source = np.random.default_rng(seed)
    half = source.standard_normal((paths // 2, centre.size)) @ root.T
    if degrees is not None:
        between(degrees, "degrees", 2.0, math.inf)
        half *= np.sqrt((degrees - 2.0) / source.chisquare(degrees, paths // 2))[:, None]
    half *= math.sqrt(horizon)
    result = np.empty((2 * len(half), centre.size))
    np.add(centre * horizon, half, out=result[: len(half)])
    np.subtract(centre * horizon, half, out=result[len(half) :])
    return result


def factor_of(covariance: npt.ArrayLike) -> FloatArray:
    """Return L with L L' = covariance, shape (k, k); it may be singular. Not symmetric or negative: Rejected."""
    array = matrix(covariance, what="covariance")
    scale = float(np.abs(array).max())
    if array.shape[0] != array.shape[1] or np.abs(array - array.T).max() > 1e-9 * scale:
        raise Rejected("BAD_COVARIANCE", "the covariance must be square and symmetric")
    roots, vectors = np.linalg.eigh(array)
    if roots.min() < -1e-9 * scale:
        raise Rejected("BAD_COVARIANCE", f"the covariance has a negative eigenvalue, {roots.min():g}")
    return np.asarray(vectors * np.sqrt(np.maximum(roots, 0.0)), dtype=np.float64)


def value_at_risk(pnl: npt.ArrayLike, confidence: float = 0.95, convention: Convention = "stopline") -> float:
    """Return the historical VaR over one period alone; see `historical`.

    `convention="empyrical"`: the interpolated quantile of the returns with their sign, from 1 return on.
    """
    if convention == "empyrical":
        return float(np.quantile(series(pnl, what="P&L"), 1.0 - confidence))
    return historical(pnl, confidence).var


def expected_shortfall(
    pnl: npt.ArrayLike, confidence: float = 0.95, convention: Convention = "stopline"
) -> float:
    """Return the historical ES over one period alone; see `historical`.

    `convention="empyrical"`: the mean of the int((n - 1) alpha) + 1 lowest returns with their sign.
    """
    if convention == "empyrical":
        array = series(pnl, what="P&L")
        lowest = int((array.size - 1) * (1.0 - confidence)) + 1
        return float(np.partition(array, lowest - 1)[:lowest].mean())
    return historical(pnl, confidence).es


def tail_size(n: float, confidence: float) -> float:
    """Return a n, how many observations the tail holds, cleared of the rounding of 1 - confidence."""
    size = n * (1.0 - between(confidence, "confidence", 0.0, 1.0))
    return float(round(size)) if abs(size - round(size)) < RANK_SLACK else size


def need_tail(n: float, confidence: float) -> float:
    """Return the size of the tail; InsufficientData where it holds less than one observation."""
    size = tail_size(n, confidence)
    if size < 1.0:
        least = math.ceil(1.0 / (1.0 - confidence) - RANK_SLACK)
        raise InsufficientData(
            f"VaR at {confidence:.10g} needs {least} independent observations, and there were {n:g}"
        )
    return size


def historical_tail(pnl: FloatArray, confidence: float) -> tuple[FloatArray, FloatArray]:
    """Return (VaR, ES) along the last axis of checked P&L whose tail holds at least one observation."""
    size = tail_size(pnl.shape[-1], confidence)
    rank = math.ceil(size)
    if pnl.ndim == 1:
        tail = lowest(pnl, rank)
    elif len(pnl) == 1:
        tail = lowest(pnl[0], rank)[None]
    elif pnl.shape[-1] < _SAMPLED:
        tail = np.partition(pnl, rank - 1, axis=-1)[..., :rank]
    else:
        tail = np.stack([lowest(row, rank) for row in pnl])
    last = tail[..., -1]
    worst = tail[..., :-1].sum(axis=-1) + (size - (rank - 1)) * last
    return 0.0 - last, 0.0 - worst / size  # no -0.0


def lowest(values: FloatArray, rank: int) -> FloatArray:
    """Return the `rank` lowest of values (n,), the highest of them last, the others in any order.

    A sample of one in 16 says below which level they surely are, and only what is below is partitioned: a third
    of the time, and the same numbers whatever the sample says.
    """
    sample = values[::16]
    guess = 3 * rank * sample.size // (2 * values.size) + 4
    if values.size >= _SAMPLED and guess < sample.size:
        some = values[values <= np.partition(sample, guess)[guess]]
        if some.size >= rank:
            values = some
    return np.partition(values, rank - 1)[:rank]


def _check(confidence: float, horizon: int) -> None:
    between(confidence, "confidence", 0.0, 1.0)
    if horizon < 1 or horizon != int(horizon):
        raise Rejected("BAD_SETTING", f"horizon was {horizon!r}, and must be a whole number of periods")


def _parametric(
    method: str,
    mean: float,
    spread: float,
    skew: float,
    kurtosis: float,
    confidence: float,
    horizon: int,
    n: int,
) -> TailRisk:
    share = 1.0 - confidence
    z = _NORMAL.inv_cdf(share)
    quantile = z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * kurtosis / 24 - (2 * z**3 - 5 * z) * skew**2 / 36
    beyond = 1 + z * skew / 6 + (z**2 - 1) * kurtosis / 24 - (2 * z**2 - 1) * skew**2 / 36
    scale = spread * math.sqrt(horizon)
    var = -mean * horizon - scale * quantile
    es = -mean * horizon + scale * _NORMAL.pdf(z) / share * beyond
    return TailRisk(var, es, method, confidence, horizon, n, float(n))


def _check_monotone(z: float, skew: float, kurtosis: float) -> None:
    """Refuse an expansion whose derivative a x^2 + b x + c is not positive for every x <= z."""
    a, b, c = kurtosis / 8 - skew**2 / 6, skew / 3, 1 - kurtosis / 8 + 5 * skew**2 / 36
    turn = -b / (2 * a) if a > 0 else math.inf
    lowest = (a * turn + b) * turn + c if turn < z else (a * z + b) * z + c
    if a < 0 or (a == 0 and b > 0) or lowest <= 0:
        raise InsufficientData(
            f"Cornish-Fisher does not hold for skewness {skew:.3g} and excess kurtosis {kurtosis:.3g}"
        )
