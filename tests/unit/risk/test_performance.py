"""Performance, drawdown and summary: against slow second implementations, published values and the edges."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk import performance as p
from stopline.risk.drawdown import (
    current_drawdown,
    drawdowns,
    drawdowns_of,
    longest_duration,
    max_drawdown,
    spells,
    worst_spell,
)
from stopline.risk.returns import Convention, log_returns, overlapping, simple_returns, wealth
from stopline.risk.summary import MEASURES, summaries, summary
from stopline.risk.var import expected_shortfall, value_at_risk

DAILY = np.random.default_rng(5).standard_t(4, 2_500) * 0.008 + 0.0004
# One year by months, made so that it can be followed by hand.
MONTHS = [0.02, -0.01, 0.03, -0.05, 0.01, 0.04, -0.02, 0.00, 0.01, -0.03, 0.05, 0.02]

some_returns = st.lists(st.floats(-0.9, 2.0).map(lambda x: round(x, 6)), min_size=2, max_size=60)


# Second implementations: plain Python, exact sums, straight from the definitions.


def naive(returns: Sequence[float], periods: float, confidence: float) -> dict[str, float]:
    n = len(returns)
    level, peak, worst = 1.0, 1.0, 0.0
    for r in returns:
        level *= 1 + r
        peak = max(peak, level)
        worst = max(worst, 1 - level / peak)
    mean = math.fsum(returns) / n
    spread = math.sqrt(math.fsum((r - mean) ** 2 for r in returns) / (n - 1))
    below = math.sqrt(math.fsum(r * r for r in returns if r < 0) / n)
    ordered = sorted(returns)
    size = round(n * (1 - confidence), 9)
    whole = math.floor(size)
    part = size - whole
    tail = math.fsum(ordered[:whole]) + (part * ordered[whole] if part else 0.0)
    annual = level ** (periods / n) - 1
    return {
        "total_return": level - 1,
        "annual_return": annual,
        "volatility": spread * math.sqrt(periods),
        "sharpe": mean / spread * math.sqrt(periods),
        "sortino": mean / below * math.sqrt(periods),
        "calmar": annual / worst,
        "omega": math.fsum(r for r in returns if r > 0) / -math.fsum(r for r in returns if r < 0),
        "max_drawdown": worst,
        "downside_deviation": below * math.sqrt(periods),
        "var": -ordered[math.ceil(size) - 1],
        "es": -tail / size,
    }


def one_by_one(returns: Sequence[float], periods: float, confidence: float) -> dict[str, float]:
    return {
        "total_return": p.total_return(returns),
        "annual_return": p.annual_return(returns, periods),
        "volatility": p.volatility(returns, periods),
        "sharpe": p.sharpe(returns, periods=periods),
        "sortino": p.sortino(returns, periods=periods),
        "calmar": p.calmar(returns, periods),
        "omega": p.omega(returns),
        "max_drawdown": max_drawdown(returns),
        "downside_deviation": p.downside_deviation(returns, periods=periods),
        "var": value_at_risk(returns, confidence),
        "es": expected_shortfall(returns, confidence),
    }


@pytest.mark.parametrize("n", [20, 21, 39, 250, 251, 2_500])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_every_measure_equals_a_plain_python_sum_of_its_definition(n: int, confidence: float) -> None:
    returns = DAILY[:n].tolist()
    expected = naive(returns, 252, confidence)
    assert one_by_one(returns, 252, confidence) == pytest.approx(expected, rel=1e-11)
    assert dict(summary(returns, confidence=confidence).values) == pytest.approx(expected, rel=1e-11)


def test_many_series_at_once_are_the_same_as_one_by_one() -> None:
    table = np.random.default_rng(9).normal(0.0005, 0.01, (300, 57))
    table[:, 3] = 0.001  # flat
    together = summaries(table)
    for column in range(table.shape[1]):
        alone = summary(table[:, column])
        for name in MEASURES:
            value = alone[name]
            found = together[name][column]
            assert math.isnan(found) if value is None else found == pytest.approx(value, rel=1e-12), name


def test_moments_equal_scipy() -> None:
    assert p.skewness(DAILY) == pytest.approx(stats.skew(DAILY), rel=1e-12)
    assert p.excess_kurtosis(DAILY) == pytest.approx(stats.kurtosis(DAILY), rel=1e-12)


def test_a_year_by_hand() -> None:
    """R2.7: 12 months from -5 % to 5 %."""
    assert p.total_return(MONTHS) == pytest.approx(0.067233782367, abs=1e-12)
    assert p.annual_return(MONTHS, 12) == pytest.approx(p.total_return(MONTHS))
    assert p.omega(MONTHS) == pytest.approx(0.18 / 0.11)
    assert p.win_rate(MONTHS) == pytest.approx(7 / 11)  # the month of 0 is neither
    assert p.profit_factor(MONTHS) == pytest.approx(0.18 / 0.11)
    assert p.payoff_ratio(MONTHS) == pytest.approx((0.18 / 7) / (0.11 / 4))
    assert p.expectancy(MONTHS) == pytest.approx(0.07 / 12)
    assert p.longest_losing_run([-1, -1, 0, -1, -2, -3, 4, -1]) == 3
    assert max_drawdown(MONTHS) == pytest.approx(0.05)
    assert p.sharpe(MONTHS, 0.001, 12) < p.sharpe(MONTHS, 0.0, 12)


def test_the_first_day_can_be_a_drawdown_and_a_total_loss_is_one() -> None:
    assert max_drawdown([-0.1, 0.02]) == pytest.approx(0.1)
    assert drawdowns([-0.5, 1.0, -1.0]).tolist() == [0.5, 0.0, 1.0]
    assert p.total_return([0.5, -1.0, 0.5]) == -1.0
    assert p.annual_return([0.5, -1.0, 0.5]) == -1.0
    assert current_drawdown([-0.5, 1.0, -1.0]) == 1.0
    assert max_drawdown([-0.1], "empyrical") == pytest.approx(-0.1)
    assert drawdowns_of([100, 90, 120, -12]).tolist() == pytest.approx([0, 0.1, 0, 1.1])


def test_spells_have_their_peak_trough_and_recovery() -> None:
    found = spells([0.1, -0.1, -0.1, 0.3, 0.0, -0.2, 0.1])
    assert [(s.peak, s.trough, s.recovery, s.length) for s in found] == [(1, 3, 4, 3), (5, 6, None, 2)]
    assert [round(s.depth, 6) for s in found] == [0.19, 0.2]
    assert (found[0].to_trough, found[0].to_recovery, found[1].to_recovery) == (2, 1, None)
    worst = worst_spell([0.1, -0.1, -0.1, 0.3, 0.0, -0.2, 0.1])
    assert worst == found[1]
    assert longest_duration([0.1, -0.1, -0.1, 0.3, 0.0, -0.2, 0.1]) == 3
    assert longest_duration([0.1]) == 0
    assert worst_spell([0.1, 0.0]) is None


@given(st.lists(st.integers(1, 90), min_size=1, max_size=30))
def test_a_loss_that_was_made_good_but_for_rounding_is_recovered(percent: list[int]) -> None:
    """R2.7: after each loss comes the gain that undoes it, to the last digit that a float has."""
    returns = [step for loss in percent for step in (-loss / 100, 1 / (1 - loss / 100) - 1)]
    assert current_drawdown(returns) == 0
    assert [spell.recovery for spell in spells(returns)] == [2 * i + 2 for i in range(len(percent))]
    assert longest_duration(returns) == 2


@pytest.mark.parametrize("convention", ["stopline", "empyrical"])
def test_what_never_fell_but_by_rounding_has_no_calmar_ratio(convention: Convention) -> None:
    """R2.7: 1e-16 below the peak is no drawdown to divide by."""
    returns = [0.1, 0.0, -2e-16, 0.2]
    assert max_drawdown(returns, convention) == 0
    with pytest.raises(InsufficientData):
        p.calmar(returns)
    assert summary(returns, convention=convention).values["calmar"] is None
    assert np.isnan(summaries(np.array([returns, returns]).T)["calmar"]).all()


@given(some_returns)
def test_drawdown_lies_between_0_and_1_and_its_spells_agree(returns: list[float]) -> None:
    down = drawdowns(returns)
    assert down.min() >= 0
    assert down.max() <= 1
    found = spells(returns)
    assert max_drawdown(returns) == max((s.depth for s in found), default=0.0)
    assert sum(s.length - (s.recovery is not None) for s in found) == (down > 0).sum()
    curve = wealth(returns)
    for spell in found:
        assert curve[spell.peak] == pytest.approx(curve[: spell.peak + 1].max())
        assert spell.depth == pytest.approx(1 - curve[spell.trough] / curve[spell.peak])


@given(some_returns, st.floats(0.1, 0.9))
def test_laws_of_the_ratios(returns: list[float], scale: float) -> None:
    array = np.round(np.array(returns), 4)
    if np.ptp(array) < 1e-3 or array.min() >= -1e-3:
        return
    assert p.sharpe(array * scale) == pytest.approx(p.sharpe(array), rel=1e-6, abs=1e-9)
    assert p.volatility(array * scale) == pytest.approx(p.volatility(array) * scale, rel=1e-9)
    assert p.volatility(array[::-1]) == pytest.approx(p.volatility(array), rel=1e-9)
    assert (p.omega(array) >= 1) == (array.sum() >= -1e-12) or abs(array.sum()) < 1e-9
    assert p.downside_deviation(array) > 0


# The edges: a documented answer, never a crash, never a silent 0 or infinity.

RATIOS: dict[str, Callable[[Sequence[float]], float]] = {
    "sharpe": p.sharpe,
    "sortino": p.sortino,
    "calmar": p.calmar,
    "omega": p.omega,
}
ALL: dict[str, Callable[[Sequence[float]], float]] = {
    **RATIOS,
    "total_return": p.total_return,
    "annual_return": p.annual_return,
    "volatility": p.volatility,
    "downside_deviation": p.downside_deviation,
    "skewness": p.skewness,
    "excess_kurtosis": p.excess_kurtosis,
    "max_drawdown": max_drawdown,
    "current_drawdown": current_drawdown,
    "win_rate": p.win_rate,
    "profit_factor": p.profit_factor,
    "payoff_ratio": p.payoff_ratio,
    "expectancy": p.expectancy,
}


@pytest.mark.parametrize("name", ALL)
def test_empty_is_insufficient_and_nan_is_an_error(name: str) -> None:
    with pytest.raises(InsufficientData):
        ALL[name]([])
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(Rejected, match="number 2 was"):
            ALL[name]([0.01, bad, 0.02, -0.01, 0.03])


@pytest.mark.parametrize("name", RATIOS)
@pytest.mark.parametrize("returns", [[0.0] * 30, [0.001] * 2_500, [0.1 + 0.2] * 3, [0.01]])
def test_flat_and_one_point_have_no_ratio(name: str, returns: list[float]) -> None:
    with pytest.raises(InsufficientData):
        RATIOS[name](returns)
    assert summary(returns)[name] is None
    assert name in summary(returns).unknown


def test_flat_and_one_point_have_the_documented_zeros() -> None:
    assert p.volatility([0.3] * 7) == 0.0
    assert max_drawdown([0.01]) == 0.0
    assert p.downside_deviation([0.01, 0.0]) == 0.0
    with pytest.raises(InsufficientData, match="at least 2"):
        p.volatility([0.01])
    assert drawdowns([]).size == 0
    assert spells([]) == []
    assert wealth([]).tolist() == [1.0]


def test_all_positive_has_a_sharpe_and_no_ratio_to_losses() -> None:
    rising = [0.01, 0.02, 0.015]
    assert p.sharpe(rising) > 0
    for name in ("sortino", "calmar", "omega"):
        with pytest.raises(InsufficientData, match="no denominator"):
            RATIOS[name](rising)
    for measure in (p.profit_factor, p.payoff_ratio):
        with pytest.raises(InsufficientData):
            measure(rising)
    assert p.win_rate(rising) == 1.0
    with pytest.raises(InsufficientData, match="nothing was won or lost"):
        p.win_rate([0.0, 0.0])


@pytest.mark.parametrize("values", [[0.01, -1.5], [3.0, -2.0], [100.0, 101.0, -99.0]])
def test_a_loss_of_more_than_everything_is_refused(values: list[float]) -> None:
    with pytest.raises(Rejected, match="below -100 %"):
        p.sharpe(values)


def test_what_overflows_shapes_and_settings_are_refused() -> None:
    with pytest.raises(Rejected, match="compound to more"):
        p.total_return([1e6] * 60)
    with pytest.raises(Rejected, match="number 2 was 1e\\+300"):
        p.expectancy([1.0, 1e300])
    with pytest.raises(Rejected, match="one series"):
        p.sharpe([[0.1, 0.2]])  # type: ignore[list-item]
    with pytest.raises(Rejected, match="must be numbers"):
        p.sharpe(["a", "b"])  # type: ignore[list-item]
    with pytest.raises(Rejected, match="periods a year"):
        p.sharpe([0.1, 0.2], periods=0)
    with pytest.raises(InsufficientData, match="annual return"):
        p.annual_return([9.0] * 3, 1e6)
    assert summary([9.0] * 3, periods=1e6)["annual_return"] is None


def test_from_prices_to_returns_to_wealth() -> None:
    assert simple_returns([100, 110, 99]).tolist() == pytest.approx([0.1, -0.1])
    assert log_returns([100, 110, 99]).sum() == pytest.approx(math.log(0.99))
    assert wealth(simple_returns([100, 110, 99])).tolist() == pytest.approx([1, 1.1, 0.99])
    assert overlapping(np.array([1.0, 2.0, 3.0, 4.0]), 3).tolist() == [6.0, 9.0]
    with pytest.raises(InsufficientData):
        simple_returns([100])
    with pytest.raises(Rejected, match="number 2 was 0"):
        simple_returns([100, 0, 1])
