"""A law of splits: they change no decision of exits, whatever was reached before and however the plan is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stopline.rules.exits.plan import Plan
from stopline.rules.exits.splits import rescaled
from stopline.rules.exits.state import FRESH, ExitState, Held, Reading
from stopline.rules.exits.trade_exits import advance, levels_of

from .exit_paths import START, held, plan, walk

RATIOS = [(2, 1), (4, 1), (5, 2), (1, 2), (1, 8), (1, 10)]  # of which no price needs rounding
STEP = "0.000000000000001"  # of quantities; in the terms of the beginning it is up to a thousand of these
SIDES: Any = st.sampled_from([1, -1])
Found = list[tuple[int, str, str, Decimal | None, Decimal]]


@st.composite
def plans(draw: st.DrawFn, side: int) -> Plan:
    some: dict[str, Any] = {"confirm": draw(st.integers(1, 2)), "atr_bar_s": 60, "atr_bars": 2}
    some["stop_loss"] = draw(st.sampled_from(["2%", "2", f"@{100 - 3 * side}", "1.5atr"]))
    for name, values in (
        ("target", ["6%", "3R", "5", f"@{100 + 6 * side}"]),
        ("breakeven", ["1%", "1", "1R"]),
        ("breakeven_offset", ["0.1"]),
        ("lock_in", [[{"at": "2", "keep": "0.5"}], [{"at": "2%", "keep": "0.5"}]]),
        (
            "scale_out",
            [[{"at": "1", "close": "50"}], [{"at": "1R", "close": "33"}, {"at": "2R", "close": "33"}]],
        ),
        ("excessive_loss", ["4"]),
        (
            "trail",
            [
                {"by": "step", "amount": "1", "activation": "1"},
                {"by": "giveback", "amount": "30%", "activation": "1"},
                {"by": "percent", "amount": "1%", "activation": "0.5%"},
                {"by": "atr", "amount": "2atr", "activation": "0.5"},
            ],
        ),
    ):
        if draw(st.booleans()):
            some[name] = draw(st.sampled_from(values))
    return plan(**some)


def split(trade: Held, new: int, old: int) -> Held:
    was = trade.splits[0][1:] if trade.splits else (Decimal(1), Decimal(1))
    return replace(
        trade,
        quantity=trade.quantity * new / old,
        entry=trade.entry * old / new,
        splits=(("SPY", was[0] * new, was[1] * old),),
    )


def decisions(
    the_plan: Plan, trade: Held, prices: Sequence[Decimal], splits: Sequence[tuple[int, tuple[int, int]]]
) -> tuple[Found, list[Decimal | None]]:
    """Walk along prices in the terms of the beginning; return what was decided, and the stops, in those terms too."""
    state: ExitState = FRESH
    found: Found = []
    stops: list[Decimal | None] = []
    factor = Decimal(1)
    for number, price in enumerate(prices):
        now = START + timedelta(seconds=45 * (number + 1))
        for at, (new, old) in splits:
            if at == number:
                trade, factor = split(trade, new, old), factor * new / old
                booked = now - timedelta(seconds=1)
                state = advance(the_plan, trade, state, None, (), booked).state
        step = advance(the_plan, trade, state, Reading(price / factor, now, now), (), now)
        state = step.state
        if step.exit:
            one = step.exit
            level = None if one.level is None else one.level * factor
            found.append((number, one.rule, one.urgency, level, one.leave / factor))
            trade = replace(trade, quantity=one.leave or trade.quantity)
        stop = levels_of(the_plan, trade, state)[0]
        stops.append(None if stop is None else stop * factor)
    return found, stops


def near(one: Any, other: Any) -> bool:
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return abs(one - other) < Decimal("1e-9")
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(near, one, other))
    return bool(one == other)


@given(
    SIDES.flatmap(lambda side: st.tuples(st.just(side), plans(side))),
    st.lists(st.integers(-150, 150), min_size=3, max_size=30),
    st.lists(st.tuples(st.integers(1, 20), st.sampled_from(RATIOS)), min_size=1, max_size=3),
)
@example(
    (
        -1,
        plan(stop_loss="2%", confirm=1, scale_out=[{"at": "1R", "close": "33"}, {"at": "2R", "close": "33"}]),
    ),
    [0, -50, -150],
    [(1, (5, 2)), (1, (1, 8)), (2, (1, 8))],
)
@settings(max_examples=150, deadline=None)
def test_a_split_changes_no_decision(
    some: tuple[Literal[1, -1], Plan], moves: list[int], splits: list[tuple[int, tuple[int, int]]]
) -> None:
    """R1.5, R4.1, R4.2: stops, stages, R, ranges, readings that wait, points and prices of the settings."""
    side, the_plan = some
    price, prices = Decimal(100), []
    for move in moves:
        price += Decimal(move) / 100
        prices.append(price)
    trade = held(side=side, step=STEP)
    assert near(decisions(the_plan, trade, prices, splits), decisions(the_plan, trade, prices, []))


@pytest.mark.parametrize("side", [1, -1])
def test_three_for_two_moves_the_stop_with_the_price(side: Literal[1, -1]) -> None:
    """R1.5: to 12 decimals, the last one towards the price."""
    the_plan = plan(stop_loss="2%")
    before = walk(the_plan, held(side=side), ["100"])[0][-1]
    trade = replace(split(held(side=side), 3, 2), entry=Decimal("66.666666666667"))
    assert levels_of(the_plan, trade, before)[0] == (Decimal("65.333333333334") if side > 0 else 68)
    _, exits = walk(the_plan, trade, ["66.7", str(66.7 - side * 2)], before)
    assert [found.rule for _, found in exits] == ["stop_loss"]


def test_a_price_that_is_written_after_a_split_is_a_price_of_then() -> None:
    """R4.7: what was written before counts in old prices until it is written anew."""
    before = walk(plan(stop_loss="@95", target="10"), held(), ["100"])[0][-1]
    after = split(held(), 2, 1)
    [state], _ = walk(plan(stop_loss="@95", target="10"), after, ["50"], before)
    assert levels_of(plan(stop_loss="@95", target="10"), after, state) == (Decimal("47.5"), 55)
    anew = plan(stop_loss="@49", target="10")
    assert levels_of(anew, after, walk(anew, after, ["50"], state)[0][-1]) == (49, 55)
    back = plan(stop_loss="@49", target="12")
    state = walk(back, after, ["50"], state)[0][-1]
    assert levels_of(back, after, state) == (49, 62)
    assert state.old_terms == ()


def test_a_split_that_is_taken_back_leaves_everything_as_it_was() -> None:
    """R1.2: a bust of it."""
    the_plan = plan(stop_loss="2", target="@110")
    before = walk(the_plan, held(), ["100"])[0][-1]
    there = walk(the_plan, split(held(), 4, 1), ["25"], before)[0][-1]
    assert there.stop == Decimal("24.5")
    back = walk(the_plan, held(), ["100"], there)[0][-1]
    assert (back.stop, back.risk, back.size) == (before.stop, before.risk, before.size)
    assert levels_of(the_plan, held(), back) == (98, 110)


def test_the_range_that_a_stop_counts_in_is_split_too() -> None:
    """R4.7: a tighter setting after a split counts in the same range, in the new prices."""
    some = {"atr_bar_s": 60, "atr_bars": 2}
    before = walk(plan(stop_loss="3atr", **some), held(), [100, 102, 100, 100], every=30)[0][-1]
    assert (before.stop, before.atr) == (97, 1)
    tight = plan(stop_loss="1atr", **some)
    state = walk(tight, split(held(), 1, 10), ["1000"], before)[0][-1]
    assert (state.stop, state.atr) == (990, 10)


def test_what_a_scale_out_leaves_is_whole_after_a_reverse_split() -> None:
    """R4.3: 50 of 99 are 17 of 33, as the closing leaves them; else the rest of a unit would be asked for again."""
    some = plan(stop_loss="1", scale_out=[{"at": "1R", "close": "50"}])
    before = walk(some, held(quantity="99"), ["100", "101", "101"])[0][-1]
    assert before.asked is not None
    assert before.asked.leave == 50
    state = walk(some, split(held(quantity="99"), 1, 3), ["303"], before)[0][-1]
    assert state.asked is not None
    assert state.asked.leave == 17


@pytest.mark.parametrize("ratio", [(2, 1), (1, 3)])
def test_a_price_of_before_a_split_closes_nothing_after_it(ratio: tuple[int, int]) -> None:
    """R4.2: the sweep that the split causes sees the last price in old terms; the next one counts."""
    the_plan = plan(stop_loss="2%", target="2%")
    now = START + timedelta(seconds=60)
    old = Reading(Decimal(100), now, now)
    state = advance(the_plan, held(), FRESH, old, (), now).state
    trade = split(held(), *ratio)
    step = advance(the_plan, trade, state, old, (), now + timedelta(seconds=1))
    assert (step.exit, step.suspect) == (None, False)
    for seconds, price, rules in ((2, 100, []), (3, 97, ["stop_loss"])):
        at = now + timedelta(seconds=seconds)
        reading = Reading(Decimal(price) * ratio[1] / ratio[0], at, at)
        step = advance(the_plan, trade, step.state, reading, (), at)
        assert [found.rule for found in [step.exit] if found] == rules


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("ratio", [(2, 1), (3, 1), (7, 2), (1, 3)])
def test_a_stop_that_a_split_has_to_round_is_rounded_to_the_closer_side(
    side: Literal[1, -1], ratio: tuple[int, int]
) -> None:
    """R4.1: half to even, a short stop of 1.498571428571 rose by 2e-12 of before in two splits, a long one fell."""
    new, old = ratio
    the_plan = plan(stop_loss="2", breakeven="1")
    trade = replace(held(side=side), splits=())
    levels = [Decimal(f"1.49857142857{digit}") for digit in range(10)]
    for first in levels:
        state = replace(
            walk(the_plan, trade, ["100"])[0][-1],
            stop=first,
            rule="breakeven",
            others=(("stop_loss", first - side), ("lock_in", first)),
        )
        now = trade
        for _ in range(3):
            was, now = state, split(now, new, old)
            state = rescaled(the_plan, now, state)
            assert was.stop is not None
            assert state.stop is not None
            pairs = [(was.stop, state.stop)]
            pairs += [(a, b) for (_, a), (_, b) in zip(was.others, state.others, strict=True)]
            for before, after in pairs:
                assert 0 <= side * (after * new - before * old) < new * Decimal("1e-12")
