"""The stop that moves: breakeven, trails, locked profit, ranges; it only ratchets."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

import pytest

from stopline.rules.exits.trade_exits import levels_of

from .exit_paths import held, plan, rules, rules_of, walk


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
