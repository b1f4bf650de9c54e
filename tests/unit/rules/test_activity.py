"""Unusual activity: each detector by example, and what must hold for any of them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.settings.activity import ActivitySettings
from stopline.rules.watching.activity import (
    USUAL_FROM,
    USUAL_OF,
    Execution,
    OrderSpan,
    fill_rate,
    fill_size,
    findings,
    loss_velocity,
    order_rate,
    price_away,
    repeats,
    usual_after,
)

from ..make import at

GROUP = "equity:SPY"


def ran(number: int, seconds: float = 0, **more: Any) -> Execution:
    facts = {
        "key": f"k{number}",
        "order": f"o{number}",
        "at": at(seconds),
        "symbol": "SPY",
        "group": GROUP,
        "is_option": False,
        "side": "BUY",
        "quantity": Decimal(10),
        "price": Decimal(100),
    }
    return Execution(**{**facts, **more})


def usual(*quantities: int) -> dict[str, list[tuple[str, Decimal]]]:
    return {GROUP: [(f"u{n}", Decimal(q)) for n, q in enumerate(quantities)]}


# --- by example (R5.4) ---


def test_three_fills_in_a_minute_are_more_than_two() -> None:
    found = fill_rate([ran(1, 0), ran(2, 30), ran(3, 59)], 2)
    assert found is not None
    assert (found.current, found.text) == (Decimal(3), "3 orders filled within a minute, limit 2")
    assert fill_rate([ran(1, 0), ran(2, 30), ran(3, 60)], 2) is None, "a minute does not hold both its ends"


def test_what_one_order_was_executed_in_counts_once() -> None:
    """R5.4: 130 lots of one order are one order; ten orders of two lots each are ten."""
    lots = [ran(n, n % 50, order="o-1", quantity=Decimal(10 + n)) for n in range(130)]
    assert fill_rate(lots, 1) is None
    assert repeats([ran(n, n, order="o-1") for n in range(50)], 1) is None
    two = [ran(n, n, order=f"o-{n // 2}") for n in range(20)]
    for found in (fill_rate(two, 9), repeats(two, 9)):
        assert found is not None
        assert found.current == 10
    assert fill_rate([ran(1, 0, order="o"), ran(2, 40), ran(3, 70, order="o")], 2) is None, (
        "no minute has three"
    )


def sent(*spans: tuple[float, float, int]) -> list[OrderSpan]:
    return [OrderSpan(at(start), at(end), orders) for start, end, orders in spans]


def test_orders_count_by_the_minute_whatever_the_leases_are_apart() -> None:
    """R5.4: as adapters tell them, 20 s apart; what was sent in two minutes counts by half; two adapters add up."""
    found = order_rate(sent((0, 20, 80), (20, 40, 80), (40, 60, 81)), 240)
    assert found is not None
    assert (found.current, found.text) == (Decimal(241), "241 orders within a minute, limit 240")
    assert order_rate(sent((0, 20, 80), (20, 40, 80), (40, 80, 81)), 240) is None
    assert order_rate(sent((0, 120, 480)), 240) is None
    assert order_rate(sent((0, 120, 482)), 240) is not None
    assert order_rate(sent((0, 20, 200), (5, 25, 200)), 240) is not None
    assert order_rate(sent((60, 60, 241)), 240) is not None, "a span of no length is all of it at once"
    assert order_rate(sent((0, 20, 9999)), None) is None
    assert order_rate([], 240) is None, "nobody tells: unknown"


def test_a_fat_finger_is_many_times_the_usual_size() -> None:
    normal = usual(10, 12, 9, 10, 11)
    found = fill_size([ran(1, quantity=Decimal(1000))], normal, Decimal(10))
    assert found is not None
    assert found.text == "BUY 1000 SPY is 100 times the usual size, limit 10"
    assert fill_size([ran(1, quantity=Decimal(100))], normal, Decimal(10)) is None
    assert fill_size([ran(1, quantity=Decimal(1000))], usual(10, 12, 9, 10), Decimal(10)) is None, (
        "too few fills to say"
    )


def test_a_fill_does_not_make_itself_usual() -> None:
    """The sizes were learned with the fill in them: it is left out of its own comparison."""
    big = ran(1, quantity=Decimal(1000))
    assert fill_size([big], usual_after(usual(10, 12, 9, 10, 11), [big]), Decimal(10)) is not None


def test_a_price_far_from_the_mark_is_found_and_an_option_has_its_own_threshold() -> None:
    far = ran(1, price=Decimal("111"), mark=Decimal(100))
    found = price_away([far], Decimal(10), Decimal(50))
    assert found is not None
    assert found.current == Decimal(11)
    option = ran(2, price=Decimal("1.4"), mark=Decimal(1), is_option=True)
    assert price_away([option], Decimal(10), Decimal(50)) is None
    assert price_away([ran(3, price=Decimal(111))], Decimal(10), Decimal(50)) is None, "no mark, nothing said"


def test_a_program_that_repeats_itself_is_found() -> None:
    """Knight: the same order again and again."""
    same = [ran(n, n) for n in range(5)]
    found = repeats(same, 4)
    assert found is not None
    assert found.text == "BUY 10 SPY 5 times within a minute, limit 4"
    mixed = [ran(n, n, quantity=Decimal(n + 1)) for n in range(5)]
    assert repeats(mixed, 4) is None


def test_money_lost_fast_is_found_from_the_highest_point_on() -> None:
    samples = [(at(0), Decimal(0)), (at(60), Decimal(500)), (at(120), Decimal(-2600))]
    found = loss_velocity(samples, Decimal(100_000), Decimal(3), timedelta(minutes=5))
    assert found is not None
    assert found.current == Decimal("3.1")
    assert loss_velocity(samples, Decimal(100_000), Decimal(3), timedelta(seconds=30)) is None


# --- by law ---

times = st.lists(st.integers(0, 300), max_size=40)


@settings(max_examples=60)
@given(times, st.integers(1, 10), st.integers(1, 40))
def test_the_rate_is_the_fullest_of_all_minutes(seconds: list[int], most: int, orders: int) -> None:
    """Against counting the orders of every minute that begins at a fill."""
    lots = [(s, n % orders) for n, s in enumerate(seconds)]
    busiest = max((len({o for t, o in lots if s <= t < s + 60}) for s in seconds), default=0)
    found = fill_rate([ran(n, s, order=f"o{o}") for n, (s, o) in enumerate(lots)], most)
    assert (found is not None) == (busiest > most)
    if found:
        assert found.current == busiest


@settings(max_examples=40)
@given(times, st.integers(1, 9), st.randoms(use_true_random=False))
def test_more_fills_never_look_less_unusual_and_order_does_not_matter(
    seconds: list[int], most: int, rng: Any
) -> None:
    fills = [ran(n, s) for n, s in enumerate(seconds)]
    found = repeats(fills, most)
    rng.shuffle(fills)
    assert repeats(fills, most) == found
    more = repeats([*fills, ran(99, 150)], most)
    assert found is None or (more is not None and more.current >= found.current)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 50), max_size=60))
def test_what_is_usual_are_the_newest_fills_each_once(quantities: list[int]) -> None:
    fills = [ran(n, quantity=Decimal(q)) for n, q in enumerate(quantities)]
    once = usual_after({}, fills)
    assert usual_after(once, fills[-USUAL_OF:]) == once
    assert [q for _, q in once.get(GROUP, [])] == [Decimal(q) for q in quantities[-USUAL_OF:]]


@settings(max_examples=30)
@given(times)
def test_what_is_switched_off_finds_nothing(seconds: list[int]) -> None:
    off = ActivitySettings(
        orders_per_minute=None,
        fills_per_minute=None,
        size_times=None,
        price_away_pct=None,
        option_price_away_pct=None,
        repeats_per_minute=None,
        loss_pct=None,
    )
    fills = [ran(n, s, quantity=Decimal(10**6), mark=Decimal(1)) for n, s in enumerate(seconds)]
    fall = [(at(0), Decimal(0)), (at(60), Decimal(-(10**9)))]
    assert findings(fills, usual(*[1] * USUAL_FROM), fall, Decimal(1000), off) == []
