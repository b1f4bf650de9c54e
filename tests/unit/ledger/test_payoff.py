"""What option legs can lose at expiry: from the payoff, without names of strategies."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.payoff import Leg, margin_of, payoff

HUNDRED = Decimal(100)


def leg(quantity: int, right: str, strike: int | str) -> Leg:
    return Leg(right, Decimal(strike), Decimal(quantity), HUNDRED)


def spread(quantity: int, right: str, short: int, long: int) -> list[Leg]:
    return [leg(-quantity, right, short), leg(quantity, right, long)]


@pytest.mark.parametrize(
    ("legs", "worst", "slope"),
    [
        pytest.param(
            [*spread(2, "P", 7185, 7135), *spread(2, "C", 7500, 7660)], -32_000, 0, id="condor, unequal wings"
        ),
        pytest.param(
            [*spread(2, "P", 7185, 7135), *spread(2, "C", 7500, 7550)], -10_000, 0, id="condor, equal wings"
        ),
        pytest.param(spread(50, "P", 6000, 5990), -50_000, 0, id="10 wide x 50"),
        pytest.param(spread(1, "C", 6000, 6010), -1_000, 0, id="bear call spread"),
        pytest.param(
            [leg(1, "C", 6000), leg(-1, "C", 6010)], 0, 0, id="bull call spread loses its price only"
        ),
        pytest.param([leg(-1, "P", 6000)], -600_000, 0, id="naked put loses down to zero"),
        pytest.param([leg(-1, "C", 6000)], 0, -100, id="naked call has no bound"),
        pytest.param(
            [leg(-2, "C", 6000), leg(1, "C", 5990)], 0, -100, id="ratio spread is naked on one side"
        ),
        pytest.param([leg(-1, "C", 6000), leg(-1, "P", 6000)], -600_000, -100, id="short straddle"),
        pytest.param([leg(1, "C", 6000), leg(1, "P", 6000)], 0, 100, id="long straddle"),
        pytest.param([leg(1, "C", 5990), leg(-2, "C", 6000), leg(1, "C", 6010)], 0, 0, id="butterfly"),
        pytest.param([], 0, 0, id="nothing"),
    ],
)
def test_the_worst_value_of_known_strategies(legs: list[Leg], worst: int, slope: int) -> None:
    """R1.2, domain case 4: the condor's margin is that of its wider side, 32,000, not 10,000."""
    result = payoff(legs)
    assert (result.worst, result.slope) == (worst, slope)


def test_a_credit_lowers_what_a_spread_can_lose() -> None:
    """R1.2, domain case 5: 10 wide, 50 lots, credit 2.00: 40,000, not 25,000."""
    credit = 50 * 2 * HUNDRED
    assert -payoff(spread(50, "P", 6000, 5990)).worst - credit == 40_000


legs_of_any_kind = st.lists(
    st.builds(
        lambda right, strike, quantity: Leg(right, Decimal(strike), Decimal(quantity), HUNDRED),
        st.sampled_from("CP"),
        st.integers(1, 60),
        st.integers(-3, 3).filter(bool),
    ),
    min_size=1,
    max_size=6,
)


@given(legs_of_any_kind)
def test_no_price_on_the_grid_is_worse_than_the_worst(legs: list[Leg]) -> None:
    """R1.2: against every price from 0 to beyond the last strike, in steps smaller than strikes."""

    def value(price: Fraction) -> Fraction:
        total = Fraction(0)
        for one in legs:
            inside = price - Fraction(one.strike) if one.right == "C" else Fraction(one.strike) - price
            total += max(inside, Fraction(0)) * Fraction(one.quantity) * 100
        return total

    result = payoff(legs)
    last = max(int(one.strike) for one in legs)
    grid = [value(Fraction(n, 4)) for n in range(4 * last + 1)]
    assert min(0, *grid, Fraction(0)) == result.worst
    assert value(Fraction(last + 10)) - value(Fraction(last + 9)) == result.slope


@given(legs_of_any_kind, st.integers(1, 5))
def test_the_payoff_grows_with_the_number_of_lots(legs: list[Leg], times: int) -> None:
    many = [Leg(one.right, one.strike, one.quantity * times, one.multiplier) for one in legs]
    assert payoff(many).worst == payoff(legs).worst * times
    assert payoff(many).slope == payoff(legs).slope * times


@given(legs_of_any_kind, st.lists(st.integers(0, 2000), min_size=6, max_size=6), st.integers(0, 500))
def test_loss_profit_and_break_evens_are_those_of_the_grid(
    legs: list[Leg], cents: list[int], fees: int
) -> None:
    """Issue 4.8, R1.2: every quarter point from 0 to beyond the last strike, in fractions."""
    premiums = [Decimal(c) / 100 for c in cents[: len(legs)]]
    found = margin_of(legs, premiums, Decimal(fees) / 100)

    def value(price: Fraction) -> Fraction:
        total = -Fraction(fees, 100)
        for one, premium in zip(legs, premiums, strict=True):
            strike = Fraction(one.strike)
            inside = price - strike if one.right == "C" else strike - price
            total += Fraction(one.quantity) * 100 * (max(inside, Fraction(0)) - Fraction(premium))
        return total

    last = 4 * max(int(one.strike) for one in legs) + 4
    grid = [(Fraction(n, 4), value(Fraction(n, 4))) for n in range(last + 1)]
    values = [v for _, v in grid]
    assert found.max_loss == (None if found.slope < 0 else max(-min(values), Fraction(0)))
    assert found.max_profit == (None if found.slope > 0 else max(values))
    told = [Fraction(price) for price in found.breakevens]
    assert all(abs(value(price)) < Fraction(1, 10**6) for price in told)
    crossed = [(a, b) for (a, v), (b, w) in pairwise(grid) if v * w < 0]
    assert all(any(a < price < b for price in told) for a, b in crossed)
    if values[-1] * Fraction(found.slope) < 0:
        assert told[-1] > grid[-1][0]
