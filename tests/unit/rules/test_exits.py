"""Trade exits, long and short: what a price or the time does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

import pytest

from stopline.rules.exits.state import FRESH
from stopline.rules.exits.trade_exits import STUCK, advance

from .exit_paths import SCALE, START, due, held, plan, reading, rules, walk

# --- stop and target ---


@pytest.mark.parametrize("stop", ["2%", "2", "@98"])
def test_a_long_is_stopped_at_or_below_its_stop(stop: str) -> None:
    """R4.2."""
    assert rules({"stop_loss": stop}, [100, 98.01, 98]) == [(2, "stop_loss")]


@pytest.mark.parametrize("stop", ["2%", "2", "@102"])
def test_a_short_is_stopped_at_or_above_its_stop(stop: str) -> None:
    """R4.2."""
    assert rules({"stop_loss": stop}, [100, 101.99, 102], side=-1) == [(2, "stop_loss")]


def test_a_credit_spread_is_stopped_when_it_costs_too_much_to_buy_back() -> None:
    """R4.2: on spread value. 1.50 received, stopped at twice that."""
    assert rules({"stop_loss": "100%"}, [1.6, 2.95, 3.0], entry="1.5", side=-1) == [(2, "stop_loss")]


@pytest.mark.parametrize(
    ("target", "side", "prices"),
    [("5%", 1, [104.99, 105]), ("5", -1, [95.01, 95]), ("@90", -1, [90.5, 89]), ("@110", 1, [109, 110])],
)
def test_a_target_closes_at_or_beyond_it(target: str, side: Literal[1, -1], prices: list[float]) -> None:
    """R4.2."""
    assert rules({"target": target}, prices, side=side) == [(1, "target")]


def test_a_target_in_r_counts_in_the_way_to_the_stop() -> None:
    """R4.3."""
    assert rules({"stop_loss": "3", "target": "2R"}, [105.99, 106]) == [(1, "target")]


def test_a_stop_of_zero_is_a_stop_at_the_entry_and_no_stop_is_none() -> None:
    """R4.2, F: 0 and "not set" differ."""
    assert rules({"stop_loss": "0"}, [100.5, 100]) == [(1, "stop_loss")]
    assert rules({"stop_loss": "off", "target": "50%"}, [100.5, 1]) == []


def test_a_gap_through_the_stop_says_the_price_that_was_seen() -> None:
    """Domain 4b, 6: long 10@100, stop 95, next price 40."""
    _, exits = walk(plan(stop_loss="5"), held(), [100, 40])
    assert (exits[0][1].price, exits[0][1].level) == (Decimal(40), Decimal(95))
    assert exits[0][1].reason == "price 40 reached 95"


def test_excessive_loss_is_urgent() -> None:
    """R2.12."""
    _, exits = walk(plan(excessive_loss="10%"), held(), [95, 90.01, 90])
    assert [(n, e.rule, e.urgency) for n, e in exits] == [(2, "excessive_loss", "urgent")]


# --- scale-out ---


def test_a_third_goes_at_each_r() -> None:
    """R4.3."""
    the_plan, trade = plan(**SCALE), held(quantity="9")
    left = []
    state = FRESH
    for number, price in enumerate([101, 102, 104, 105.9, 106]):
        step = advance(the_plan, trade, state, reading(price, number), (), START)
        state = step.state
        if step.exit:
            left.append((price, step.exit.leave))
            trade = replace(trade, quantity=step.exit.leave)
    assert left == [(102, Decimal(7)), (104, Decimal(4)), (106, Decimal(0))]


def test_a_jump_over_two_stages_closes_both_at_once() -> None:
    """R4.3."""
    _, exits = walk(plan(**SCALE), held(quantity="9"), [104.5])
    assert [(e.rule, e.leave) for _, e in exits] == [("scale_out", Decimal(4))]


def test_a_part_too_small_for_a_whole_unit_closes_nothing_and_the_last_stage_all() -> None:
    """R4.3: never more than said."""
    _, exits = walk(plan(**SCALE), held(quantity="1"), [102, 104, 106])
    assert [(n, e.leave) for n, e in exits] == [(2, Decimal(0))]


def test_coins_are_closed_in_parts_of_a_coin() -> None:
    """R4.3, R1.5."""
    _, exits = walk(plan(**SCALE), held(quantity="0.1", step="0.00000001"), [102])
    assert exits[0][1].leave == Decimal("0.067")


# --- time ---


@pytest.mark.parametrize(
    ("settings", "name", "urgency"),
    [
        ({"max_age_s": 100}, "max_age", "normal"),
        ({"exit_at": "15:45"}, "exit_at", "normal"),
        ({"before_close_min": 10}, "before_close", "urgent"),
    ],
)
def test_time_closes_without_a_price_too(settings: dict[str, Any], name: str, urgency: str) -> None:
    """R4.3: what reduces risk is not held up by a missing price."""
    state = advance(plan(**settings), held(), FRESH, None, due(name, 100), START + timedelta(seconds=99))
    assert state.exit is None
    late = advance(
        plan(**settings), held(), state.state, None, due(name, 100), START + timedelta(seconds=100)
    )
    assert late.exit
    assert (late.exit.rule, late.exit.leave, late.exit.urgency) == (name, 0, urgency)


def test_a_timeout_closes_what_is_not_in_profit_and_nothing_else() -> None:
    """R4.3."""
    settings = plan(timeout_s=150)
    _, exits = walk(settings, held(), [99, 100.5, 101, 100.5, 100], due=due("timeout", 150))
    assert [(n, e.rule) for n, e in exits] == [(4, "timeout")]
    _, exits = walk(settings, held(side=-1), [99, 100.5, 101], due=due("timeout", 150))
    assert [(n, e.rule) for n, e in exits] == [(2, "timeout")]


def test_without_a_price_no_price_rule_triggers() -> None:
    """F32: prices older than their limit pause triggers."""
    step = advance(plan(stop_loss="2%", timeout_s=1), held(), FRESH, None, due("timeout", 1), START + STUCK)
    assert step.exit is None


# --- confirmation ---


def test_one_bad_tick_closes_nothing_and_moves_no_stop() -> None:
    """Domain 2.4: a single bad read must not close a trade."""
    settings = plan(confirm=2, stop_loss="2%", target="50%", trail={"by": "percent", "amount": "1%"})
    states, exits = walk(settings, held(), [100, 1, 100.5, 100.4, 1000, 100.2])
    assert exits == []
    assert {s.stop for s in states} == {Decimal(98)}


def test_the_second_reading_in_a_row_confirms() -> None:
    states, exits = walk(plan(confirm=2, stop_loss="2%"), held(), [100, 97, 97.5])
    assert [(n, e.rule) for n, e in exits] == [(2, "stop_loss")]
    assert states[1].pending == (97,)


def test_a_reading_is_counted_once_however_often_it_is_looked_at() -> None:
    """A sweep between two prices is no second reading."""
    settings = plan(confirm=2, stop_loss="2%")
    once = advance(settings, held(), FRESH, reading(97, 1), (), START)
    assert once.suspect
    again = advance(settings, held(), once.state, reading(97, 1), (), START)
    assert (again.exit, again.state) == (None, once.state)


def test_of_a_spread_every_leg_must_be_renewed_to_confirm() -> None:
    """One leg's bad tick does not become two readings because the other leg ticks."""
    settings = plan(confirm=2, stop_loss="2%")
    once = advance(settings, held(), FRESH, reading(97, 10), (), START)
    half = replace(reading(97, 20), oldest=reading(97, 10).oldest)
    step = advance(settings, held(), once.state, half, (), START)
    assert step.exit is None
    both = advance(settings, held(), step.state, reading(97, 21), (), START)
    assert both.exit
