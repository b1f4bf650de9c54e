"""The health score: by hand, within its range, and honest about what it does not know."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.rules.exits.health import WEIGHTS, Vitals, health

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
