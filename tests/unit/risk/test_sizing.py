"""Sizes: the textbook's numbers, the edges that have no size, and never a lot more than there is room for."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.risk.sizing import (
    Step,
    by_amount,
    by_risk,
    by_volatility,
    half_kelly,
    kelly,
    performance_factor,
    signal_factor,
    sized,
    volatility_factor,
    whole_lots,
)

D = Decimal


@pytest.mark.parametrize(
    ("win_rate", "payoff", "whole", "half"),
    [
        ("0.6", "1", "0.2", "0.05"),  # Thorp's coin: f = 0.2; half of it is above 5 %
        ("0.52", "1", "0.04", "0.02"),
        ("0.55", "1", "0.1", "0.05"),
        ("0.505", "1", "0.01", "0.01"),  # half is 0.5 %: at least 1 %
        ("0.4", "2", "0.1", "0.05"),
        ("0.5", "1", "0", "0"),  # no edge: nothing, and not the least
        ("0.3", "2", "-0.05", "0"),
        ("0", "5", "-0.2", "0"),
        ("1", "1", "1", "0.05"),
    ],
)
def test_half_kelly_is_clamped_and_nothing_without_an_edge(
    win_rate: str, payoff: str, whole: str, half: str
) -> None:
    """R3.1: 1 to 5 % of equity."""
    assert kelly(D(win_rate), D(payoff)) == D(whole)
    assert half_kelly(D(win_rate), D(payoff)) == D(half)


def test_fixed_fractional_loses_the_fraction_at_the_stop() -> None:
    """R3.1: 2 % of 100,000 at 4 a share: 500 shares."""
    assert by_risk(D(100_000), D("0.02"), D(4)) == 500
    assert by_risk(D(-5), D("0.02"), D(4)) == 0


def test_risk_parity_moves_alike() -> None:
    """R3.1: 0.5 % of 100,000 a day; 31.749 % a year is 2 % a day: 25,000 of value, 250 shares at 100."""
    units = by_volatility(D(100_000), D("0.005"), D(100), D("0.3174901573277509"))
    assert round(units, 6) == 250
    wilder = by_volatility(D(100_000), D("0.005"), D(100), D("0.6349803146555018"))
    assert round(wilder, 6) == 125


def test_a_fixed_amount_buys_what_it_buys() -> None:
    """R3.1."""
    assert by_amount(D(1000), D(300)) == D("3.333333333333")


@pytest.mark.parametrize(("strength", "factor"), [("0", "0.5"), ("1", "1"), ("1.7", "1.7"), ("9", "2")])
def test_a_signal_counts_from_half_to_double(strength: str, factor: str) -> None:
    """R3.2."""
    assert signal_factor(D(strength)) == D(factor)


def test_volatility_and_performance_have_bounds_and_say_nothing_where_they_know_nothing() -> None:
    """R3.2."""
    assert volatility_factor(D("0.4"), D("0.2")) == D("0.5")
    assert volatility_factor(D(9), D("0.1")) == D("0.25")
    assert volatility_factor(D("0.01"), D("0.2")) == D("1.5")
    assert volatility_factor(D(0), D("0.2")) == 1
    assert performance_factor([D(-1)] * 9) == 1
    assert performance_factor([D(-1)] * 10) == D("0.5")
    assert performance_factor([D(1)] * 10) == D("1.25")
    assert performance_factor([D(1), D(-1)] * 5) == 1
    assert performance_factor([D(0)] * 20) == 1
    assert performance_factor([D(3), D(-2)] * 5) == D("1.2")


@pytest.mark.parametrize(
    ("base", "factor", "cap", "lot", "quantity"),
    [
        ("10.9", "1", None, "1", "10"),  # down, never up
        ("10", "0.25", None, "1", "2"),  # half-open: a quarter
        ("10", "1", "7.5", "1", "7"),
        ("0.9", "1", None, "1", "0"),
        ("0.123456", "1", None, "0.001", "0.123"),
        ("1000", "1", None, "75", "975"),  # lots of an Indian index
        ("10", "0", None, "1", "0"),
        ("-3", "1", None, "1", "0"),
        ("10", "1", "-1", "1", "0"),
    ],
)
def test_a_size_is_whole_lots_below_the_cap(
    base: str, factor: str, cap: str | None, lot: str, quantity: str
) -> None:
    """R3.1, R3.2, R3.3."""
    caps = {} if cap is None else {"volume": D(cap), "max_position_value": D(10**9)}
    found = sized(D(base), [Step("trading state", D(factor))], caps, D(lot))
    assert found.quantity == D(quantity)
    assert bool(found.reason) == (not found.quantity)
    assert bool(found.capped_by) == (cap is not None and D(cap) < max(D(base), D(0)) * D(factor))


def test_a_breaker_that_is_open_is_named_as_the_reason() -> None:
    """R3.3."""
    assert sized(D(10), [Step("trading state", D(0))], {}, D(1)).reason == "trading state is 0"


amounts = st.decimals(min_value=0, max_value=10**6, places=4)
factors = st.decimals(min_value=0, max_value=2, places=3)


@given(amounts, st.lists(factors, max_size=4), amounts, st.sampled_from(["0.001", "1", "25"]))
def test_no_factor_lifts_a_size_above_its_cap_or_off_its_lots(
    base: D, steps: list[D], cap: D, lot: str
) -> None:
    """R3.2."""
    found = sized(base, [Step("x", f) for f in steps], {"volume": cap}, D(lot))
    assert 0 <= found.quantity <= cap
    assert found.quantity % D(lot) == 0
    less = sized(base, [Step("x", f) for f in steps] + [Step("y", D("0.5"))], {"volume": cap}, D(lot))
    assert less.quantity <= found.quantity


@given(st.decimals(min_value=0, max_value=1, places=3), st.decimals(min_value="0.01", max_value=10, places=2))
def test_half_kelly_is_nothing_or_between_one_and_five_percent(win_rate: D, payoff: D) -> None:
    """R3.1."""
    fraction = half_kelly(win_rate, payoff)
    assert fraction == 0 or D("0.01") <= fraction <= D("0.05")
    assert (fraction > 0) == (win_rate * payoff > 1 - win_rate) or abs(kelly(win_rate, payoff)) < D("1e-11")


@given(amounts, st.sampled_from(["0.001", "0.7", "1", "75"]))
def test_rounding_to_lots_goes_down_by_less_than_one(quantity: D, lot: str) -> None:
    whole = whole_lots(quantity, D(lot))
    assert 0 <= quantity - whole < D(lot)
