"""The health score: by hand, within its range, and honest about what it does not know."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.rules.exits.health import WEIGHTS, Vitals, health, move_cost

ALL = frozenset(WEIGHTS)
D = Decimal
SOUND = Vitals(
    applies=ALL,
    price=D(100),
    entry=D(100),
    stop=D(90),
    time_left=D(3600),
    time_whole=D(3600),
    short_delta=D(0),
    at_risk=D(0),
    quoted=D(0),
    age=D(0),
    max_age=D(30),
)


def score(**changes: Decimal | frozenset[str] | None) -> int | None:
    return health(replace(SOUND, **changes)).score


def test_all_well_is_a_hundred() -> None:
    """R4.4."""
    assert score() == 100


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"price": D(95)}, 80),  # half of the way to the stop: 20 of 40 points
        ({"price": D(90)}, 60),
        ({"price": D(-50), "entry": D(-40), "stop": D(-60)}, 80),  # a short, half way
        ({"time_left": D(900)}, 85),
        ({"short_delta": D("0.25")}, 92),  # 92.5, half to even
        ({"short_delta": D("0.6")}, 85),
        ({"at_risk": D("0.5")}, 92),
        ({"at_risk": D(3)}, 85),
        ({"short_delta": D("0.1"), "at_risk": D("0.4")}, 94),  # the smaller part: 0.6
        ({"quoted": D(5)}, 92),
        ({"quoted": D(20)}, 85),
        ({"age": D(15)}, 95),
        ({"price": D(107), "stop": D(105)}, 100),  # the stop is in profit
        ({"price": D(95), "applies": frozenset({"stop"})}, 50),
    ],
)
def test_each_part_costs_its_weight(changes: dict[str, Decimal], expected: int) -> None:
    """R4.4: the documented formula."""
    assert score(**changes) == expected


@pytest.mark.parametrize(
    ("delta", "gamma", "theta", "cost"),
    [
        (12_000, 0, 0, 120),  # down 1 %
        (-12_000, 0, 0, 120),  # up
        (12_000, -18_000, 0, 210),  # short gamma: 1 % of 12,000 and half of 1 % of 18,000
        (12_000, 18_000, 0, 30),  # long gamma helps either way
        (0, -18_000, 50, 90),  # what time brings is not counted
        (0, 18_000, -50, 0),
        (0, 8_000, -50, 10),  # a long straddle that time eats: 40 by the move, less 50
        (0, 0, 0, 0),
    ],
)
def test_what_a_move_of_one_percent_costs_by_hand(delta: int, gamma: int, theta: int, cost: int) -> None:
    """R4.4, Greeks: at a volatility of 19.105 % a day's standard deviation is 1 %."""
    volatility = (D(365)).sqrt() / 100
    found = move_cost(D(delta), D(gamma), D(theta), volatility, D(1))
    assert round(found, 20) == cost


def test_a_move_grows_with_the_root_of_time() -> None:
    """A quarter of a day: half the move, a quarter of the curve."""
    volatility = (D(365)).sqrt() / 100
    assert round(move_cost(D(12_000), D(-18_000), D(-40), volatility, D("0.25")), 20) == 60 + D("22.5") + 10


def test_an_unknown_part_is_named_and_its_weight_goes_to_the_others() -> None:
    found = health(replace(SOUND, price=D(95), short_delta=None, quoted=None))
    assert found.unknown == ["greeks", "liquidity"]
    assert found.score == 71  # (20 + 20 + 10) of 70
    assert found.worst == "stop"


def test_a_part_that_does_not_apply_is_not_unknown() -> None:
    assert health(replace(SOUND, applies=ALL - {"time"}, time_left=None)).unknown == []


def test_without_a_price_the_score_is_unknown() -> None:
    """I7: never a zero."""
    assert score(price=None) is None


@given(
    st.decimals(-1000, 1000, places=2),
    st.decimals(-1000, 1000, places=2),
    st.one_of(st.none(), st.decimals(-1000, 1000, places=2)),
    st.one_of(st.none(), st.decimals(0, 3, places=2)),
    st.one_of(st.none(), st.decimals(0, 100, places=2)),
)
def test_a_score_is_from_0_to_100(
    price: Decimal, entry: Decimal, stop: Decimal | None, delta: Decimal | None, quoted: Decimal | None
) -> None:
    found = health(replace(SOUND, price=price, entry=entry, stop=stop, short_delta=delta, quoted=quoted))
    assert found.score is not None
    assert 0 <= found.score <= 100


@given(st.integers(90, 100), st.integers(0, 10))
def test_nearer_to_the_stop_is_never_healthier(price: int, nearer: int) -> None:
    one, other = score(price=D(price)), score(price=D(price - nearer))
    assert one is not None
    assert other is not None
    assert other <= one
