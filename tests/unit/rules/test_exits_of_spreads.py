"""A spread that is closed, added to or built leg by leg: its exits wait for the proportion."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from stopline.rules.exits.plan import Plan
from stopline.rules.exits.state import FRESH, ExitState, Held, Reading
from stopline.rules.exits.trade_exits import STUCK, Step, advance, levels_of

from .exit_paths import START, held, plan, reading, walk

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
