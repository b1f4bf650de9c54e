"""After the trigger: what was asked for is not asked again, what is stuck is told, what is urgent goes over it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from stopline.rules.exits.state import FRESH, Asked
from stopline.rules.exits.trade_exits import STUCK, advance, levels_of

from .exit_paths import SCALE, START, due, held, plan, reading, walk


def test_what_was_asked_for_is_not_asked_again() -> None:
    _, exits = walk(plan(stop_loss="2%", target="3%"), held(), [97, 96, 110, 90], every=1)
    assert len(exits) == 1


def test_a_stop_closes_what_a_scale_out_left() -> None:
    _, exits = walk(plan(**SCALE), held(), [102, 98], every=1)
    assert [(e.rule, e.leave) for _, e in exits] == [("scale_out", 7), ("stop_loss", 0)]


def test_a_trade_that_is_there_a_minute_after_is_stuck_and_told_once() -> None:
    """R4.5: every triggered exit ends flat or in a critical alert."""
    settings = plan(stop_loss="2%")
    state = advance(settings, held(), FRESH, reading(97), (), START).state
    found = []
    for seconds in range(0, 200, 10):
        step = advance(settings, held(), state, reading(97, seconds), (), START + timedelta(seconds=seconds))
        state = step.state
        if step.stuck:
            found.append(seconds)
    assert found == [60]


def test_without_auto_close_it_is_told_once_and_asked_when_switched_on() -> None:
    """R5.5."""
    off, on = plan(stop_loss="2%", auto_close=False), plan(stop_loss="2%")
    states, exits = walk(off, held(), [97, 96, 95])
    assert len(exits) == 1
    assert states[-1].asked == Asked("stop_loss", START + timedelta(seconds=60), Decimal(0), advisory=True)
    step = advance(on, held(), states[-1], reading(95, 300), (), START + timedelta(seconds=300))
    assert step.exit
    assert step.state.asked
    assert not step.state.asked.advisory


@pytest.mark.parametrize(
    ("settings", "prices", "name"),
    [
        ({"stop_loss": "2%", "target": "5%"}, [105, 97.9], "target"),
        (
            {"stop_loss": "2%", "trail": {"by": "percent", "amount": "1%"}},
            [103, 101.9, 97.9],
            "trailing_stop",
        ),
    ],
)
def test_a_stop_loss_goes_over_a_normal_close_of_all_at_once(
    settings: dict[str, Any], prices: list[float], name: str
) -> None:
    """R4.2, R4.5: and nothing goes over the stop loss."""
    _, exits = walk(plan(**settings, excessive_loss="5%"), held(), [*prices, 90, 106], every=1)
    assert [(e.rule, e.urgency, e.leave) for _, e in exits] == [
        (name, "normal", 0),
        ("stop_loss", "urgent", 0),
    ]


def test_before_the_close_goes_over_a_normal_close_of_all() -> None:
    """R4.3: with and without a price."""
    settings = plan(max_age_s=5, before_close_min=10)
    both = [*due("max_age", 5), *due("before_close", 20)]
    state, found = FRESH, []
    for seconds in (4, 5, 19, 20, 21):
        step = advance(settings, held(), state, None, both, START + timedelta(seconds=seconds))
        state = step.state
        found += [(seconds, step.exit.rule)] if step.exit else []
    assert found == [(5, "max_age"), (20, "before_close")]


def test_a_gap_through_the_stop_loss_is_a_stop_loss_whatever_else_it_went_through() -> None:
    """R4.2: urgent, behind the timeout and behind a closer stop that moved."""
    _, exits = walk(plan(stop_loss="2%", timeout_s=60), held(), [101, 101, 97], due=due("timeout", 60))
    assert [(e.rule, e.urgency, e.level) for _, e in exits] == [("stop_loss", "urgent", 98)]
    _, exits = walk(plan(stop_loss="2%", breakeven="1%"), held(), [101, 97])
    assert [(e.rule, e.urgency, e.level) for _, e in exits] == [("stop_loss", "urgent", 98)]


def test_an_advice_mutes_no_other_rule_and_itself_once_told() -> None:
    """R5.5: auto_close off."""
    settings = plan(stop_loss="2%", target="5%", excessive_loss="9%", max_age_s=300, auto_close=False)
    prices = [105, 106, 97.9, 97, 90, 89, 106, 97, 90]
    states, exits = walk(settings, held(), prices, due=due("max_age", 420))
    rules_ = [(n, e.rule) for n, e in exits]
    assert rules_ == [(0, "target"), (2, "stop_loss"), (4, "excessive_loss"), (6, "max_age")]
    quiet = advance(settings, held(), states[-1], reading(80, 999), due("max_age", 420), START + STUCK * 10)
    assert (quiet.exit, quiet.state) == (None, states[-1])


def test_the_levels_that_people_see_are_the_ones_that_hold() -> None:
    """R8.1."""
    settings = plan(stop_loss="2%", target="2R")
    states, _ = walk(settings, held(side=-1), [99])
    assert levels_of(settings, held(side=-1), states[-1]) == (Decimal(102), Decimal(96))
