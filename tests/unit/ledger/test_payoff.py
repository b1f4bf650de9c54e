"""What option legs can lose at expiry: from the payoff, without names of strategies."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.payoff import Leg, margin_of, model_margin, payoff, worst_loss

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


def naked_margin(
    legs: list[tuple[int, str, str, str]], spot: str | None, style: str = "equity"
) -> tuple[Decimal | None, str]:
    """Return margin and rule of legs: units, right, strike, premium."""
    found = margin_of(
        [leg(units, right, strike) for units, right, strike, _ in legs],
        [Decimal(premium) for *_, premium in legs],
        spot=None if spot is None else Decimal(spot),
        style=style,
    )
    return found.margin, found.rule


PUBLISHED: dict[str, tuple[list[tuple[int, str, str, str]], str, str, str | int]] = {
    "Cboe margin manual, short put and short call: the call's side and the put's premium": (
        [(-1, "C", "90", "7.00"), (-1, "P", "90", "3.70")], "92.63", "equity", "2922.60",
    ),
    "tastytrade, margin requirements for a short strangle": (
        [(-1, "C", "47", "2.10"), (-1, "P", "43", "1.20")], "45", "equity", "1030",
    ),
    "Cboe margin examples, short 100 calls; there the premium is taken off": (
        [(-100, "C", "100", "1.68")], "97.73", "equity", 172_760 + 16_800,
    ),
    "Cboe margin examples, short 100 puts in the money": (
        [(-100, "P", "100", "3.18")], "97.73", "equity", 195_460 + 31_800,
    ),
    "Cboe margin manual, short call in the money": (
        [(-1, "C", "120", "8.375")], "128.5", "equity", "3407.50",
    ),
    "far out: a tenth of the underlying": ([(-1, "C", "60", "0.10")], "45", "equity", "460"),
    "far out: a tenth of the strike": ([(-1, "P", "30", "0.10")], "45", "equity", "310"),
    "15 per cent of an index": ([(-1, "C", "6100", "4")], "6000", "index", "80400"),
}  # fmt: skip


@pytest.mark.parametrize("case", PUBLISHED)
def test_what_no_leg_covers_binds_what_the_margin_manual_says(case: str) -> None:
    """Issue 4.4, domain 2.2: published examples of naked calls, puts, straddles and strangles."""
    legs, spot, style, margin = PUBLISHED[case]
    assert naked_margin(legs, spot, style)[0] == Decimal(margin)


def test_two_naked_calls_bind_what_each_binds_alone() -> None:
    """Domain 2.2: what the lower one loses up to the strike of the higher one is not added, in whatever order."""
    low, high = (-1, "C", "6010", "9"), (-2, "C", "6100", "4")
    alone = [naked_margin([one], "6000")[0] for one in (low, high)]
    assert None not in alone
    both = sum(one for one in alone if one is not None)
    assert naked_margin([low, high], "6000")[0] == naked_margin([high, low], "6000")[0] == both


def test_of_a_ratio_the_lowest_call_stays_naked_in_whatever_order_the_legs_are() -> None:
    """Short 6000 and 6100, long 6050: the first is naked, and the others can lose nothing."""
    legs = [(-1, "C", "6100", "4"), (1, "C", "6050", "6"), (-1, "C", "6000", "20")]
    expected = 100 * (20 + Decimal("0.2") * 6000)
    assert naked_margin(legs, "6000")[0] == naked_margin(legs[::-1], "6000")[0] == expected
    wings = [(-1, "C", "6000", "20"), (-1, "C", "6050", "6"), (1, "C", "6100", "4")]
    assert naked_margin(wings, "6000")[0] == naked_margin(wings[::-1], "6000")[0] == expected + 5000


def test_of_a_put_ratio_the_highest_put_stays_naked() -> None:
    wings = [(-1, "P", "6000", "20"), (-1, "P", "5950", "6"), (1, "P", "5900", "4")]
    expected = 100 * (20 + Decimal("0.2") * 6000) + 5000
    assert naked_margin(wings, "6000")[0] == naked_margin(wings[::-1], "6000")[0] == expected


def test_a_naked_put_binds_its_strike_where_the_underlying_has_no_price() -> None:
    assert naked_margin([(-1, "P", "6000", "9")], None) == (600_000, "payoff")
    assert naked_margin([(-1, "P", "6000", "9"), (-1, "C", "6000", "9")], None)[0] is None
    assert naked_margin([(-1, "P", "2", "1.9")], "0.5") == (200, "payoff"), "never more than it can lose"


@pytest.mark.parametrize(
    ("legs", "rule"),
    [
        ([(-1, "P", "43", "1"), (1, "P", "40", "1")], "payoff"),
        ([(-1, "C", "47", "1")], "payoff + naked call, equity"),
        ([(-1, "P", "43", "1")], "payoff + naked put, equity"),
        ([(-1, "C", "47", "1"), (-1, "P", "43", "1")], "payoff + naked call and put, equity"),
    ],
)
def test_the_rule_is_named(legs: list[tuple[int, str, str, str]], rule: str) -> None:
    assert naked_margin(legs, "45")[1] == rule


@given(legs_of_any_kind, st.integers(-3, -1), st.sampled_from("CP"), st.integers(1, 60))
def test_one_more_naked_option_never_lowers_the_margin(
    legs: list[Leg], units: int, right: str, strike: int
) -> None:
    """Issue 4.4: else an order could pass a limit by adding risk. The new option is the one deepest in the money."""
    strikes = [one.strike for one in legs if one.right == right]
    deep = min([*strikes, Decimal(strike)]) if right == "C" else max([*strikes, Decimal(strike)])
    more = [*legs, leg(units, right, str(deep))]
    before, after = (
        margin_of(some, [Decimal(2)] * len(some), spot=Decimal(30)).margin for some in (legs, more)
    )
    assert before is not None
    assert after is not None
    assert after >= before >= 0


@given(legs_of_any_kind, st.permutations(range(6)))
def test_the_margin_does_not_depend_on_the_order_of_the_legs(legs: list[Leg], order: list[int]) -> None:
    premiums = [Decimal(n) for n in range(len(legs))]
    mixed = [n for n in order if n < len(legs)]
    again = margin_of([legs[n] for n in mixed], [premiums[n] for n in mixed], spot=Decimal(30))
    strikes = {(one.right, one.strike) for one in legs}
    if len(strikes) == len(legs):  # of two at one strike any may be the naked one
        assert again.margin == margin_of(legs, premiums, spot=Decimal(30)).margin


def test_a_premium_for_each_leg_or_none_at_all() -> None:
    """R1.2: legs without their premiums would be a margin of some of them."""
    legs = spread(1, "P", 6000, 5990)
    with pytest.raises(ValueError, match="shorter"):
        margin_of(legs, [Decimal(1)])
    with pytest.raises(ValueError, match="shorter"):
        model_margin(payoff(legs), legs, [Decimal(1)])


def test_it_is_said_whether_something_is_naked() -> None:
    """R1.2: then the price of the underlying has a say; of a single unit too."""
    premiums = [Decimal(1), Decimal(1)]
    assert margin_of(spread(1, "P", 6000, 5990), premiums).naked is False
    assert margin_of([leg(-1, "P", 6000)], premiums[:1]).naked is True
    unit = Leg("C", Decimal(100), Decimal(-1), Decimal(1))
    assert margin_of([unit], premiums[:1]).naked is True


@pytest.mark.parametrize(
    ("legs", "worst"),
    [
        pytest.param(spread(1, "C", 6000, 6010), 1_000, id="covered: the payoff's worst"),
        pytest.param([leg(-1, "C", 6000)], 600_000, id="naked call: its strike"),
        pytest.param([leg(-1, "P", 6000)], 600_000, id="naked put: the payoff's worst"),
        pytest.param([leg(1, "C", 5990), leg(-2, "C", 6000)], 600_000, id="one of two is covered"),
        pytest.param(
            [leg(-1, "C", 6000), *spread(1, "P", 5900, 5890)], 601_000, id="and a put spread beside it"
        ),
        pytest.param(
            [leg(-1, "C", 100), leg(-1, "C", 200)], 30_000, id="two naked calls, their strikes each"
        ),
    ],
)
def test_the_worst_loss_of_what_has_no_bound_is_counted_by_strikes(legs: list[Leg], worst: int) -> None:
    """R2.4: no less than the legs lose together up to twice the lowest strike."""
    assert worst_loss(payoff(legs), legs) == worst
    low = min((one.strike for one in legs if one.right == "C" and one.quantity < 0), default=None)
    if low is not None and payoff(legs).slope < 0:
        total = sum(
            one.quantity
            * one.multiplier
            * max(2 * low - one.strike if one.right == "C" else one.strike - 2 * low, 0)
            for one in legs
        )
        assert worst >= -total
