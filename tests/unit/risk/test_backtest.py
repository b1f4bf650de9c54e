"""Backtests of VaR: published Kupiec and Basel values, scipy, and a slow second implementation."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk.backtest import (
    Zone,
    basel_multiplier,
    basel_zone,
    conditional_coverage,
    exceptions,
    independence,
    kupiec,
)


@pytest.mark.parametrize(
    ("count", "n", "confidence", "statistic"),
    [
        (0, 250, 0.99, 5.025),
        (2, 250, 0.99, 0.108),
        (5, 250, 0.99, 1.957),
        (7, 250, 0.99, 5.497),
        (6, 250, 0.95, 4.369),
        (13, 250, 0.95, 0.021),
        (20, 250, 0.95, 4.040),
    ],
)
def test_kupiec_has_the_published_values(count: int, n: int, confidence: float, statistic: float) -> None:
    """Domain case 18."""
    found = kupiec(count, n, confidence)
    assert found.statistic == pytest.approx(statistic, abs=6e-4)
    assert found.p_value == pytest.approx(stats.chi2(1).sf(found.statistic), rel=1e-12)


def test_kupiec_p_values_and_edges() -> None:
    assert kupiec(0, 250, 0.99).p_value == pytest.approx(0.025, abs=5e-4)
    assert kupiec(7, 250, 0.99).p_value == pytest.approx(0.019, abs=5e-4)
    assert kupiec(5, 100, 0.95).statistic == pytest.approx(0, abs=1e-12)
    assert kupiec(250, 250, 0.99).p_value == pytest.approx(0)
    with pytest.raises(InsufficientData):
        kupiec(0, 0, 0.99)
    with pytest.raises(Rejected):
        kupiec(3, 2, 0.99)


# Kupiec's table 3: the counts that are not rejected at 5 %, for p = 0.01 and p = 0.05.
@pytest.mark.parametrize(
    ("n", "confidence", "low", "high"),
    [(255, 0.99, 0, 6), (510, 0.99, 2, 10), (1_000, 0.99, 5, 16), (255, 0.95, 7, 20), (510, 0.95, 17, 35)],
)
def test_kupiec_does_not_reject_the_published_ranges(n: int, confidence: float, low: int, high: int) -> None:
    accepted = [x for x in range(n // 5) if kupiec(x, n, confidence).p_value > 0.05]
    assert accepted in (list(range(low, high + 1)), list(range(max(low, 1), high + 1)))


@pytest.mark.parametrize("count", range(30))
def test_the_basel_zones(count: int) -> None:
    expected = Zone.GREEN if count < 5 else Zone.YELLOW if count < 10 else Zone.RED
    assert basel_zone(count) is expected
    cumulative = stats.binom(500, 0.05).cdf(count)
    assert (basel_zone(count, 500, 0.95) is Zone.GREEN) == (cumulative < 0.95)


def test_the_basel_multiplier() -> None:
    expected = [3, 3, 3, 3, 3, 3.4, 3.5, 3.65, 3.75, 3.85, 4, 4]
    assert [basel_multiplier(x) for x in range(12)] == pytest.approx(expected)


def transitions(hits: Sequence[bool]) -> float:
    """Christoffersen's statistic, counted by hand."""
    counts = {(a, b): 0 for a in (0, 1) for b in (0, 1)}
    for a, b in pairwise(hits):
        counts[int(a), int(b)] += 1

    def log_likelihood(p: float, none: int, some: int) -> float:
        return float(stats.binom.logpmf(some, none + some, p)) - math.log(math.comb(none + some, some))

    p0 = counts[0, 1] / (counts[0, 0] + counts[0, 1])
    p1 = counts[1, 1] / (counts[1, 0] + counts[1, 1])
    p = (counts[0, 1] + counts[1, 1]) / sum(counts.values())
    apart = log_likelihood(p0, counts[0, 0], counts[0, 1]) + log_likelihood(p1, counts[1, 0], counts[1, 1])
    together = log_likelihood(p, counts[0, 0] + counts[1, 0], counts[0, 1] + counts[1, 1])
    return 2 * (apart - together)


def test_exceptions_in_a_bunch_are_told_from_scattered_ones() -> None:
    scattered = np.zeros(250, dtype=bool)
    scattered[[20, 70, 120, 170, 220]] = True
    bunch = np.zeros(250, dtype=bool)
    bunch[100:105] = True
    assert independence(scattered).p_value > 0.5
    assert independence(bunch).p_value < 0.001
    for hits in (scattered, bunch):
        assert independence(hits).statistic == pytest.approx(transitions(hits.tolist()), rel=1e-9)
        joint = conditional_coverage(hits, 0.99)
        both = kupiec(5, 250, 0.99).statistic + independence(hits).statistic
        assert joint.statistic == pytest.approx(both)
        assert joint.p_value == pytest.approx(stats.chi2(2).sf(both), rel=1e-12)


@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_the_statistics_are_never_below_zero(hits: list[bool]) -> None:
    assert kupiec(sum(hits), len(hits), 0.95).statistic >= 0
    try:
        found = independence(hits)
    except InsufficientData:
        return
    assert found.statistic >= 0
    assert 0 <= found.p_value <= 1


def test_without_exceptions_there_is_nothing_to_compare() -> None:
    for hits in ([False] * 250, [False] * 249 + [True], [True] * 5):
        with pytest.raises(InsufficientData):
            independence(hits)
    with pytest.raises(Rejected, match="booleans"):
        independence([0, 1, 0])


def test_an_exception_is_a_loss_above_var() -> None:
    assert exceptions([-10.0, -10.5, 3.0], 10.0).tolist() == [False, True, False]
    assert exceptions([-10.0, -10.5, 3.0], [9.0, 11.0, 5.0]).tolist() == [True, False, False]
    with pytest.raises(Rejected):
        exceptions([math.nan], 1.0)
