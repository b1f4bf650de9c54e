"""Trade exits, long and short: what a price or the time does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import pytest

from stopline.rules.exits.plan import Plan
from stopline.rules.exits.state import FRESH, Asked, ExitState, Held, Reading
from stopline.rules.exits.trade_exits import STUCK, Step, advance, levels_of

from .exit_paths import START, held, plan, reading, walk


def rules(settings: dict[str, Any], prices: list[Any], **trade: Any) -> list[tuple[int, str]]:
    _, exits = walk(plan(**settings), held(**trade), prices)
    return [(number, found.rule) for number, found in exits]


def rules_of(the_plan: Plan, state: ExitState, prices: list[Any]) -> list[tuple[int, str]]:
    return [(number, found.rule) for number, found in walk(the_plan, held(), prices, state)[1]]


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


# --- the stop that moves ---


def test_breakeven_moves_the_stop_to_the_entry_once() -> None:
    """R4.3."""
    states, exits = walk(plan(stop_loss="2%", breakeven="1R"), held(), [101, 102, 101, 100])
    assert [s.stop for s in states] == [98, 100, 100, 100]
    assert [(n, e.rule) for n, e in exits] == [(3, "breakeven")]


def test_breakeven_may_keep_something_for_the_fees() -> None:
    """R4.3."""
    states, _ = walk(plan(breakeven="1%", breakeven_offset="0.1"), held(side=-1), [99.5, 99])
    assert [s.stop for s in states] == [None, Decimal("99.9")]


def test_a_trailing_stop_begins_at_two_percent_by_default() -> None:
    """R4.2."""
    states, exits = walk(
        plan(trail={"by": "percent", "amount": "1%"}), held(), [101.99, 102, 103, 102.5, 101.97]
    )
    assert [s.stop for s in states] == [
        None,
        Decimal("100.98"),
        Decimal("101.97"),
        Decimal("101.97"),
        Decimal("101.97"),
    ]
    assert [(n, e.rule) for n, e in exits] == [(4, "trailing_stop")]


def test_profit_is_locked_in_by_steps() -> None:
    """R4.2."""
    steps = [{"at": "3%", "keep": "1%"}, {"at": "6%", "keep": "4%"}]
    states, exits = walk(plan(lock_in=steps), held(), [102, 103, 102, 106, 104])
    assert [s.stop for s in states] == [None, 101, 101, 104, 104]
    assert [(n, e.rule) for n, e in exits] == [(4, "lock_in")]


def test_of_several_stops_the_closest_holds_and_names_the_exit() -> None:
    """R4.2: effective stop = the best of all."""
    settings = {"stop_loss": "2%", "breakeven": "1%", "trail": {"by": "giveback", "amount": "50%"}}
    assert rules(settings, [101, 103, 102, 101.5]) == [(3, "trailing_stop")]
    assert rules(settings, [101, 100]) == [(1, "breakeven")]
    assert rules(settings, [100.9, 98]) == [(1, "stop_loss")]


def test_a_stop_by_the_average_true_range_is_fixed_when_it_is_known() -> None:
    """R4.7."""
    settings = {"stop_loss": "2atr", "atr_bar_s": 60, "atr_bars": 2}
    states, _ = walk(plan(**settings), held(), [100, 101, 100, 110, 100, 100], every=30)
    assert [s.stop for s in states] == [None, None, None, 99, 99, 99]  # the ranges of two bars: 0 and 1
    assert states[-1].bars
    assert states[-1].bars.atr > 1


@pytest.mark.parametrize(("before", "stop"), [("3atr", Decimal(97)), ("2%", Decimal(98))])
def test_a_tighter_stop_by_the_range_tightens_and_r_stays(before: str, stop: Decimal) -> None:
    """R4.1, R4.7: `1atr` is of the range that was fixed, whatever the bars have become; R is the way to the first stop."""
    trail = {"by": "atr", "amount": "9atr", "activation": "90%"}
    some = {"trail": trail, "atr_bar_s": 60, "atr_bars": 2}
    wide = walk(plan(stop_loss=before, **some), held(), [100, 102, 100, 100], every=30)[0][-1]
    assert wide.stop == stop
    tight, _ = walk(plan(stop_loss="1atr", **some), held(), [100, 109] * 5, wide, every=30)
    assert [tight[0].stop, tight[-1].stop] == [99, 99]
    assert tight[-1].bars
    assert tight[-1].bars.atr > 2
    assert tight[-1].risk == wide.risk == 100 - stop


def test_a_range_that_was_not_noted_follows_from_r() -> None:
    """Stored state stays readable: nothing moves by itself, and a tighter setting holds from then on."""
    some = {"atr_bar_s": 60, "atr_bars": 2}
    wide = walk(plan(stop_loss="3atr", **some), held(), [100, 102, 100, 100], every=30)[0][-1]
    same = walk(plan(stop_loss="3atr", **some), held(), [101], replace(wide, atr=Decimal(0)))[0][-1]
    assert (same.stop, same.atr) == (wide.stop, wide.atr) == (97, 1)
    assert walk(plan(stop_loss="1atr", **some), held(), [101], same)[0][-1].stop == 99


def test_r_is_the_way_to_the_first_stop_whatever_the_stop_becomes() -> None:
    """R4.3: a stop that was tightened since does not bring `2R` nearer."""
    first = walk(plan(stop_loss="3", target="2R"), held(), [100])[0][-1]
    assert rules_of(plan(stop_loss="1", target="2R"), first, [102, 105.9, 106]) == [(2, "target")]


@pytest.mark.parametrize(
    "some",
    [
        {"stop_loss": "50%"},
        {"target": "50%"},
        {"excessive_loss": "50%"},
        {"trail": {"by": "percent", "amount": "10%", "activation": "0"}},
        {"scale_out": [{"at": "10%", "close": "50"}]},
    ],
)
def test_a_percentage_of_an_entry_at_zero_is_unknown_and_closes_nothing(some: dict[str, Any]) -> None:
    """I7: a spread that was opened for nothing. Points go on."""
    assert rules(some, [0, 0], entry="0") == []
    assert rules({**some, "stop_loss": "1"}, [0, -1], entry="0") == [(1, "stop_loss")]


@pytest.mark.parametrize("side", [1, -1])
def test_a_trailing_stop_stays_when_a_wild_bar_widens_the_range(side: Literal[1, -1]) -> None:
    """R4.1, R4.7: one bad tick makes a bar of 44 points; the range is remembered, the stop does not fall for it."""
    trail = {"by": "atr", "amount": "2atr", "activation": "3%"}
    settings = plan(confirm=2, trail=trail, atr_bar_s=60, atr_bars=2)
    moves = [0, 1, 2, 3, 4, 5, 6, 50, 6, 6, 6]
    prices = [100 + side * move for move in moves]
    states, exits = walk(settings, held(side=side), prices, every=30)
    assert exits == []
    spike, after = states[7], states[-1]
    assert spike.stop is not None
    assert spike.bars
    assert after.bars
    assert (spike.bars.atr < 2, after.bars.atr > 20) == (True, True)
    assert {s.best for s in states[7:]} == {spike.best}
    assert {s.stop for s in states[7:]} == {spike.stop}
    assert side * spike.stop > side * 100
    _, exits = walk(settings, held(side=side), [spike.stop] * 2, after)
    assert [(e.rule, e.level) for _, e in exits] == [("trailing_stop", spike.stop)]


LOOSER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"stop_loss": "2%"}, {"stop_loss": "9%"}),
    ({"breakeven": "3%"}, {"breakeven": "9%"}),
    (
        {"trail": {"by": "percent", "amount": "1%", "activation": "2%"}},
        {"trail": {"by": "percent", "amount": "5%", "activation": "2%"}},
    ),
    (
        {"trail": {"by": "giveback", "amount": "10%", "activation": "2%"}},
        {"trail": {"by": "giveback", "amount": "10%", "activation": "50%"}},
    ),
    ({"lock_in": [{"at": "3%", "keep": "2%"}]}, {"lock_in": [{"at": "3%", "keep": "1%"}]}),
]


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("tight", "loose"), LOOSER)
def test_a_looser_setting_does_not_move_the_stop_back(
    tight: dict[str, Any], loose: dict[str, Any], side: Literal[1, -1]
) -> None:
    """R4.1: and what closes the trade is still named by the rule that set it."""
    states, exits = walk(plan(**tight), held(side=side), [100 + side * move for move in (1, 4)])
    reached = states[-1]
    assert exits == []
    assert reached.stop is not None
    after, exits = walk(plan(**loose), held(side=side), [100 + side * 4], reached)
    assert exits == []
    assert after[-1].stop == reached.stop
    _, [(_, found)] = walk(plan(**loose), held(side=side), [reached.stop], after[-1])
    assert (found.rule, found.level) == (reached.rule, reached.stop)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(
    ("off", "left", "rule"),
    [
        ("trail", 103, "lock_in"),
        ("lock_in", 105, "trailing_stop"),
        ("stop_loss", 105, "trailing_stop"),
        ("trail lock_in", 100, "breakeven"),
        ("trail lock_in breakeven", 98, "stop_loss"),
        ("trail lock_in breakeven stop_loss", None, ""),
    ],
)
def test_a_rule_that_is_switched_off_holds_no_stop_and_the_others_hold_theirs(
    off: str, left: int | None, rule: str, side: Literal[1, -1]
) -> None:
    """R4.1, R4.2: whatever else is on; and what people see is what holds, at once."""
    every = {
        "stop_loss": "2%",
        "breakeven": "1%",
        "lock_in": [{"at": "4%", "keep": "3%"}],
        "trail": {"by": "step", "amount": "5", "activation": "2%"},
        "target": "50%",
    }
    reached = walk(plan(**every), held(side=side), [100 + side * 10])[0][-1]
    assert reached.stop == 100 + side * 5
    less = plan(**{**every, **dict.fromkeys(off.split(), "off")})
    expected = None if left is None else 100 + side * (left - 100)
    assert levels_of(less, held(side=side), reached)[0] == expected
    after, exits = walk(less, held(side=side), [100 + side * 9], reached)
    assert (after[-1].stop, after[-1].rule, exits) == (expected, rule, [])
    if "breakeven" not in off:  # and what is switched on again is as it stood, or begins anew
        again = walk(plan(**every), held(side=side), [100 + side * 9], after[-1])[0][-1]
        assert again.stop == 100 + side * 5


# --- scale-out ---

SCALE = {
    "stop_loss": "2",
    "scale_out": [
        {"at": "1R", "close": "33"},
        {"at": "2R", "close": "33"},
        {"at": "3R", "close": "34"},
    ],
}


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


def due(name: str, seconds: float) -> list[tuple[datetime, str]]:
    return [(START + timedelta(seconds=seconds), name)]


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


# --- after the trigger ---


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


# --- a spread that is closed leg by leg ---

SPREAD = {
    "stop_loss": "100%",
    "target": "90%",
    "trail": {"by": "percent", "amount": "20%", "activation": "10%"},
    "scale_out": [{"at": "0.3R", "close": "33"}],
}


def sold(shape: str = "12:12", quantity: str = "12", entry: str = "1.5") -> Held:
    return replace(held(entry=entry, side=-1, quantity=quantity), shape=shape)


def scaled() -> ExitState:
    """Return the state of a credit spread of which a third is being closed, its stop trailed to 1.2."""
    states, [(_, found)] = walk(plan(**SPREAD), sold(), ["1.5", "1.0"])
    assert (found.rule, found.leave, states[-1].stop) == ("scale_out", 9, Decimal("1.2"))
    return states[-1]


def test_what_a_spread_reached_waits_while_its_legs_are_closed_one_by_one() -> None:
    """R4.1, R4.3: on the way nothing triggers on a price that means something else."""
    settings, before = plan(**SPREAD), scaled()
    odd = sold("9:12", entry="-0.8")
    states, exits = walk(settings, odd, ["0.01", "50", "0.01"], before, every=1)
    assert (exits, states[-1]) == ([], replace(before, odd_since=states[-1].odd_since))
    assert levels_of(settings, odd, before) == (None, None)
    states, exits = walk(settings, sold(quantity="9"), ["1.0", "1.21"], states[-1], every=1)
    assert [(e.rule, e.leave) for _, e in exits] == [("trailing_stop", 0)]
    assert (states[0].size, states[0].stop, states[0].stage) == (12, Decimal("1.2"), 1)


def trailed(the_plan: Plan) -> ExitState:
    """Return the state of a spread of which a third was closed, ten minutes after its opening."""
    done = walk(the_plan, sold(quantity="9"), ["1.0"], scaled())[0][-1]
    assert (done.asked, done.stage, done.stop) == (None, 1, Decimal("1.2"))
    return done


def seen(
    the_plan: Plan, trade: Held, state: ExitState, seconds: float, price: str = "1.0", closing: bool = False
) -> Step:
    """Return the step of a reading so many seconds after the first ten minutes."""
    now = START + timedelta(seconds=600 + seconds)
    return advance(the_plan, trade, state, Reading(Decimal(price), now, now), (), now, closing)


def test_legs_that_people_change_one_by_one_are_waited_for_and_lose_nothing() -> None:
    """R4.1, R4.3: added to in two fills, whoever does it; the stop does not loosen and no stage comes twice."""
    the_plan = plan(**SPREAD)
    state = trailed(the_plan)
    for seconds, price in ((0, "0.01"), (30, "50"), (59, "0.01")):
        step = seen(the_plan, sold("10:9", "10", "0.4"), state, seconds, price)
        state = step.state
        assert (step.exit, step.stuck, levels_of(the_plan, sold("10:9", "10", "0.4"), state)) == (
            None,
            False,
            (None, None),
        )
    step = seen(the_plan, sold(quantity="10", entry="1.4"), state, 59.5)
    assert (step.exit, step.state.stop, step.state.stage) == (None, Decimal("1.2"), 1)
    assert step.state.odd_since is None
    assert seen(the_plan, sold(quantity="10", entry="1.4"), step.state, 70, "1.2").exit


def test_another_proportion_that_stays_for_a_minute_begins_anew() -> None:
    """R4.1: it is another trade now, by its own entry."""
    the_plan = plan(**SPREAD)
    odd = sold("9:10", "10", "2")
    state = seen(the_plan, odd, trailed(the_plan), 0, "2").state
    assert state.stage == 1
    state = seen(the_plan, odd, state, 60, "2").state
    assert (state.size, state.stop, state.stage) == (10, 4, 0)


def test_another_leg_begins_anew_at_once_unless_somebody_is_closing() -> None:
    """R4.1: what is left of a spread whose other leg is gone has exits of its own at once."""
    the_plan = plan(**SPREAD)
    before = replace(trailed(the_plan), shape="-1:A*1,B*-1")
    alone = sold("-1:A*1", "9", "3")
    assert seen(the_plan, alone, before, 0, "3").state.stop == 6
    held_on = seen(the_plan, alone, before, 0, "7", closing=True)
    assert (held_on.exit, held_on.state.stop) == (None, Decimal("1.2"))
    late = seen(the_plan, alone, held_on.state, 60, "7", closing=True)
    assert late.exit  # what lasts has its stop loss, by its own entry
    assert (late.exit.rule, late.exit.level) == ("stop_loss", 6)


def test_a_spread_that_is_being_built_has_its_stop_in_each_proportion_at_once() -> None:
    """R4.2: nothing was reached in the first one, so there is nothing to wait for."""
    the_plan = plan(**SPREAD)
    first = advance(the_plan, sold("1:3", "3", "5"), FRESH, reading("5", 1), (), START + STUCK / 60).state
    whole = advance(the_plan, sold(), first, reading("1.5", 20), (), START + STUCK / 3).state
    assert (first.stop, whole.stop, whole.odd_since) == (10, 3, None)


def test_a_spread_that_stays_out_of_proportion_is_told_and_keeps_its_stop_loss() -> None:
    """R4.5: nothing for a minute; then people are told, and what is left has its stop by its own entry."""
    settings, state = plan(**{**SPREAD, "confirm": 2}), scaled()
    odd = sold("9:12", entry="2")
    told, found = [], []
    for seconds in range(70, 280, 10):
        price = "0.01" if seconds < 150 else "4"  # beyond every target, then at twice the entry
        step = advance(
            settings, odd, state, reading(price, seconds), (), START + timedelta(seconds=seconds + 60)
        )
        state = step.state
        told += [seconds] if step.stuck else []
        found += [(seconds, step.exit.rule, step.exit.urgency, step.exit.leave)] if step.exit else []
    assert told == [120, 220]
    assert found == [(160, "stop_loss", "urgent", 0)]
    assert (state.stop, state.stage, state.size) == (Decimal("1.2"), 1, 12)


def test_the_levels_that_people_see_are_the_ones_that_hold() -> None:
    """R8.1."""
    settings = plan(stop_loss="2%", target="2R")
    states, _ = walk(settings, held(side=-1), [99])
    assert levels_of(settings, held(side=-1), states[-1]) == (Decimal(102), Decimal(96))
