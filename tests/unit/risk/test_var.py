"""VaR and ES: ranks, tails and horizons against scipy and plain Python; the laws they must obey."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, stats

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk.returns import FloatArray
from stopline.risk.var import (
    TailRisk,
    cornish_fisher,
    expected_shortfall,
    factor_of,
    filtered,
    historical,
    lowest,
    monte_carlo,
    normal,
    simulated_moves,
    value_at_risk,
)
from stopline.risk.volatility import ewma_deviation

PNL = np.random.default_rng(3).standard_t(5, 1_000) * 120.0 + 4.0
METHODS = {
    "historical": historical,
    "normal": normal,
    "cornish-fisher": cornish_fisher,
    "filtered": filtered,
}

samples = st.lists(st.integers(-10_000, 10_000), min_size=60, max_size=150).map(
    lambda cents: np.array(cents, dtype=np.float64) / 100
)


def is_flat(pnl: FloatArray) -> bool:
    return bool(np.ptp(pnl) == 0)


@pytest.mark.parametrize(
    ("n", "confidence", "var", "es"),
    [
        (100, 0.95, 96, 98),  # the 5th lowest of -100 .. -1; the mean of 5
        (100, 1 - 0.05, 96, 98),  # the float trap: 1 - 0.95 is not 0.05
        (100, 0.99, 100, 100),
        (20, 0.95, 20, 20),
        (30, 0.95, 29, (30 + 29 / 2) / 1.5),  # 1.5 observations: the 2nd, and half of it in the tail
        (250, 0.99, 248, (250 + 249 + 248 / 2) / 2.5),
        (1_000, 0.999, 1_000, 1_000),
    ],
)
def test_the_rank_and_the_fraction_of_the_tail(n: int, confidence: float, var: float, es: float) -> None:
    """R2.7: the ceil(n a - 1e-9)-th lowest; ES by Rockafellar and Uryasev."""
    pnl = -np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    risk = historical(pnl, confidence)
    assert (risk.var, risk.es) == (pytest.approx(var), pytest.approx(es))
    assert (risk.method, risk.n, risk.n_effective, risk.horizon) == ("historical", n, n, 1)
    assert risk.confidence == confidence


def test_es_is_the_minimum_of_rockafellar_and_uryasevs_function() -> None:
    """ES = min over c of c + E[(loss - c)+] / a, and VaR is where."""
    loss = -PNL[:237]
    for confidence in (0.9, 0.95, 0.975):
        bounds = [c + np.maximum(loss - c, 0).sum() / (loss.size * (1 - confidence)) for c in loss]
        assert expected_shortfall(PNL[:237], confidence) == pytest.approx(min(bounds), rel=1e-12)
        assert value_at_risk(PNL[:237], confidence) == pytest.approx(loss[int(np.argmin(bounds))])


def test_the_convention_of_empyrical() -> None:
    assert value_at_risk(PNL, 0.95, "empyrical") == np.percentile(PNL, 100 * (1 - 0.95))
    lowest = int((PNL.size - 1) * (1 - 0.95)) + 1
    assert expected_shortfall(PNL, 0.95, "empyrical") == pytest.approx(np.sort(PNL)[:lowest].mean())


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("horizon", [1, 10])
def test_normal_equals_scipy(confidence: float, horizon: int) -> None:
    mean, spread = PNL.mean() * horizon, PNL.std(ddof=1) * math.sqrt(horizon)
    law = stats.norm(mean, spread)
    risk = normal(PNL, confidence, horizon)
    assert risk.var == pytest.approx(-law.ppf(1 - confidence), rel=1e-9)
    tail = law.expect(lambda x: x, ub=law.ppf(1 - confidence), conditional=True)
    assert risk.es == pytest.approx(-tail, rel=1e-6)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("horizon", [1, 10])
def test_cornish_fisher_equals_its_expansion_integrated(confidence: float, horizon: int) -> None:
    s = stats.skew(PNL) / math.sqrt(horizon)
    k = stats.kurtosis(PNL) / horizon

    def quantile(u: float) -> float:
        z = stats.norm.ppf(u)
        corrected = z + (z**2 - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s**2 / 36
        return float(PNL.mean() * horizon + PNL.std(ddof=1) * math.sqrt(horizon) * corrected)

    share = 1 - confidence
    risk = cornish_fisher(PNL, confidence, horizon)
    assert risk.var == pytest.approx(-quantile(share), rel=1e-10)
    area, _ = integrate.quad(quantile, 0, share, limit=200)
    assert risk.es == pytest.approx(-area / share, rel=1e-6)


def test_cornish_fisher_says_where_it_does_not_hold() -> None:
    crash = np.concatenate((np.full(60, 1.0) + np.arange(60) / 1e3, [-300.0]))
    with pytest.raises(InsufficientData, match="Cornish-Fisher does not hold"):
        cornish_fisher(crash)
    with pytest.raises(InsufficientData, match="flat"):
        cornish_fisher(np.ones(60))


def test_the_ewma_is_the_recursion_and_knows_no_day_before_it_comes() -> None:
    values = PNL[:60]
    variance = float((values[:20] ** 2).mean())
    expected = [math.sqrt(variance)]
    for value in values[20:]:
        variance = 0.94 * variance + 0.06 * value**2
        expected.append(math.sqrt(variance))
    assert ewma_deviation(values).tolist() == pytest.approx(expected, rel=1e-13)
    later = values.copy()
    later[-1] = 1e6
    assert ewma_deviation(later)[:-1].tolist() == ewma_deviation(values)[:-1].tolist()


def test_filtered_var_follows_todays_volatility() -> None:
    """Quiet years and a wild fortnight: the plain sample has not noticed, the filtered one has."""
    source = np.random.default_rng(1)
    calm = np.concatenate((source.normal(0, 1, 490), source.normal(0, 5, 10)))
    assert filtered(calm).var > 2 * historical(calm).var
    assert filtered(calm[::-1]).var < historical(calm[::-1]).var
    assert (filtered(calm).n, filtered(calm).method) == (480, "filtered")
    with pytest.raises(InsufficientData, match="flat at the start"):
        filtered(np.concatenate((np.zeros(30), np.ones(30))))


def test_filtered_var_divides_by_the_forecast_made_before_the_day() -> None:
    forecast = ewma_deviation(PNL)
    scaled = [PNL[20 + t] / forecast[t] * forecast[-1] for t in range(PNL.size - 20)]
    assert filtered(PNL).var == pytest.approx(historical(scaled).var, rel=1e-12)
    assert filtered(PNL).es == pytest.approx(historical(scaled).es, rel=1e-12)


def test_the_tail_is_found_whatever_the_sample_of_it_says() -> None:
    """Every 16th value is far below the rest, or far above it: the level that is guessed is wrong both ways."""
    for size in (500, 2_500):
        for odd in (-50.0, 50.0):
            values = np.random.default_rng(size).normal(0.0, 1.0, size)
            values[::16] += odd
            for rank in (1, 7, size // 20, size // 2, size):
                assert np.sort(lowest(values, rank)).tolist() == np.sort(values)[:rank].tolist()
                assert lowest(values, rank)[-1] == np.sort(values)[rank - 1]


def test_horizons_by_the_root_or_by_overlapping_windows() -> None:
    one = historical(PNL, 0.95)
    ten = historical(PNL, 0.95, 10)
    assert (ten.var, ten.es) == (
        pytest.approx(one.var * math.sqrt(10)),
        pytest.approx(one.es * math.sqrt(10)),
    )
    windows = np.array([PNL[i : i + 10].sum() for i in range(991)])
    overlap = historical(PNL, 0.95, 10, "overlap")
    assert overlap.var == pytest.approx(historical(windows, 0.95).var)
    assert overlap.es == pytest.approx(historical(windows, 0.95).es)
    assert (overlap.n, overlap.n_effective) == (991, 100)
    with pytest.raises(InsufficientData, match="needs 20 independent observations, and there were 19"):
        historical(PNL[:190], 0.95, 10, "overlap")


def test_monte_carlo_of_a_linear_book_is_its_normal_var() -> None:
    covariance = np.array([[4.0, 1.2], [1.2, 1.0]])
    exposures = np.array([30.0, -50.0])
    book = lambda moves: moves @ exposures  # noqa: E731
    risk = monte_carlo([0.1, 0.0], covariance, book, seed=7, paths=200_000, confidence=0.99)
    law = stats.norm(3.0, math.sqrt(exposures @ covariance @ exposures))
    assert risk.var == pytest.approx(-law.ppf(0.01), rel=0.01)
    again = monte_carlo([0.1, 0.0], covariance, book, seed=7, paths=200_000, confidence=0.99)
    assert again == risk
    other = monte_carlo([0.1, 0.0], covariance, book, seed=8, paths=200_000, confidence=0.99)
    assert other.var != risk.var
    ten = monte_carlo([0.1, 0.0], covariance, book, seed=7, paths=200_000, confidence=0.99, horizon=10)
    assert ten.var == pytest.approx(-30 + (risk.var + 3) * math.sqrt(10), rel=1e-9)
    fat = monte_carlo([0.1, 0.0], covariance, book, seed=7, paths=200_000, confidence=0.99, degrees=4)
    student = -3 + stats.t(4).ppf(0.99) * math.sqrt(exposures @ covariance @ exposures / 2)
    assert fat.var == pytest.approx(student, rel=0.02)


def test_simulated_moves_have_the_mean_and_the_covariance_that_were_asked() -> None:
    covariance = np.array([[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 9.0]])  # singular
    moves = simulated_moves([1.0, 2.0, 3.0], covariance, seed=1, paths=100_000)
    assert moves.mean(axis=0).tolist() == pytest.approx([1, 2, 3])  # antithetic: exact
    assert np.cov(moves.T).ravel().tolist() == pytest.approx(covariance.ravel().tolist(), abs=0.15)
    root = factor_of(covariance)
    assert (root @ root.T).ravel().tolist() == pytest.approx(covariance.ravel().tolist(), abs=1e-12)
    for bad in ([[1.0, 2.0], [0.0, 1.0]], [[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.0]]):
        with pytest.raises(Rejected, match="covariance"):
            factor_of(bad)


# Laws.


@pytest.mark.parametrize("method", METHODS)
@given(pnl=samples, low=st.floats(0.9, 0.98), more=st.floats(0, 0.003), scale=st.floats(0.01, 1_000))
def test_laws_of_var_and_es(method: str, pnl: FloatArray, low: float, more: float, scale: float) -> None:
    assume(not is_flat(pnl))
    measure = METHODS[method]
    try:
        risk = measure(pnl, low)
        higher = measure(pnl, low + more)
    except InsufficientData:
        return  # no answer is an answer
    slack = 1e-9 * (1 + abs(risk.var) + abs(risk.es))
    assert risk.es >= risk.var - slack  # ES is beyond VaR
    assert higher.var >= risk.var - slack  # monotone in the confidence
    assert higher.es >= risk.es - slack
    scaled = measure(pnl * scale, low)
    assert scaled.var == pytest.approx(risk.var * scale, rel=1e-6, abs=1e-6 * scale)
    assert scaled.es == pytest.approx(risk.es * scale, rel=1e-6, abs=1e-6 * scale)
    if method != "filtered":  # its scale is the mean square, so a shift is not only a shift
        moved = measure(pnl + 7.0, low)
        assert moved.var == pytest.approx(risk.var - 7.0, rel=1e-6, abs=1e-6)
        assert moved.es == pytest.approx(risk.es - 7.0, rel=1e-6, abs=1e-6)


@given(samples, samples, st.floats(0.9, 0.98))
def test_two_books_together_have_no_more_es_than_apart(a: FloatArray, b: FloatArray, level: float) -> None:
    n = min(a.size, b.size)
    together = historical(a[:n] + b[:n], level).es
    assert together <= historical(a[:n], level).es + historical(b[:n], level).es + 1e-9


# The edges.


@pytest.mark.parametrize("method", METHODS)
def test_empty_short_and_nan_have_no_var(method: str) -> None:
    for short in ([], [0.1], [0.1] * 19):
        with pytest.raises(InsufficientData):
            METHODS[method](short)
    with pytest.raises(Rejected, match="number 4 was nan"):
        METHODS[method]([1.0, 2.0, 3.0, math.nan] * 30)
    for confidence in (0.0, 1.0, 95.0, math.nan):
        with pytest.raises(Rejected, match="confidence"):
            METHODS[method](PNL, confidence)
    for horizon in (0, -1):
        with pytest.raises(Rejected, match="horizon"):
            METHODS[method](PNL, 0.95, horizon)


def test_a_tail_needs_an_observation() -> None:
    with pytest.raises(InsufficientData, match="needs 100 independent observations, and there were 99"):
        historical(PNL[:99], 0.99)
    assert historical(PNL[:100], 0.99).n == 100


def test_flat_and_all_positive_lose_nothing_and_say_so() -> None:
    """A VaR below zero is a gain that is certain at that confidence; it is not cut to 0."""
    assert historical(np.zeros(20)).var == 0
    assert historical(np.full(20, 3.0)).var == -3
    assert historical(np.full(20, 3.0)).es == -3
    assert normal(np.full(20, 3.0)).var == -3


def test_a_figure_names_what_it_leaves_out() -> None:
    risk = historical(PNL).without(["XYZ 2026-11-20 C 5"])
    assert isinstance(risk, TailRisk)
    assert risk.excluded == ("XYZ 2026-11-20 C 5",)
    with pytest.raises(Rejected, match="paths"):
        monte_carlo([0.0], [[1.0]], lambda m: m[:, 0], seed=1, paths=10)
    with pytest.raises(Rejected, match="answered 3 P&L"):
        monte_carlo([0.0], [[1.0]], lambda m: m[:3, 0], seed=1)
    with pytest.raises(Rejected, match="2 means"):
        monte_carlo([0.0, 0.0], [[1.0]], lambda m: m[:, 0], seed=1)
    with pytest.raises(Rejected, match="scaling"):
        historical(PNL, scaling="linear")  # type: ignore[arg-type]
