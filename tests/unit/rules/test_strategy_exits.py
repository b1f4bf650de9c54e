"""Exits of strategies: the MTM trailing stop of the user's example, and what stops a strategy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stopline.model.settings.exits import StrategyExits
from stopline.rules.exits.strategy_exits import (
    UNSEEN,
    Mtm,
    StrategyState,
    StrategyStep,
    advance_strategy,
    resumed,
)
from stopline.rules.exits.trade_exits import STUCK

START = datetime(2026, 11, 18, 15, 0, tzinfo=UTC)
TODAY = date(2026, 11, 18)


def settings(**some: Any) -> StrategyExits:
    return StrategyExits.model_validate({"confirm": 1, **some})


def mtm(total: object, number: int = 0, has_open: bool = True) -> Mtm:
    value = None if total is None else Decimal(str(total))
    at = START + timedelta(seconds=number)
    return Mtm(Decimal(0), value, (at,) if has_open else (), has_open)


def walk(
    made: StrategyExits, totals: Iterable[object], state: StrategyState = UNSEEN
) -> tuple[list[StrategyState], list[tuple[int, StrategyStep]]]:
    states, found = [], []
    for number, total in enumerate(totals):
        at = START + timedelta(seconds=number)
        step = advance_strategy(made, state, mtm(total, number), Decimal(0), TODAY, at)
        state = step.state
        states.append(state)
        if step.exit:
            found.append((number, step))
    return states, found


def test_the_example_of_the_user() -> None:
    """R4.1, domain case 12: 6000 at 30 % -> 4200; 7000 -> 4900; back to 6000 -> still 4900."""
    states, found = walk(settings(arm="5000", giveback="30"), [4999, 6000, 7000, 6000, 4900])
    assert [s.stop for s in states] == [None, 4200, 4900, 4900, 4900]
    [(number, step)] = found
    assert (number, step.exit and step.exit.rule, step.state.stopped and step.state.stopped.level) == (
        4,
        "trailing_stop",
        Decimal(4900),
    )
    assert step.exit
    assert step.exit.reason == "trailing stop of the MTM: MTM 4900 is at or below 4900"


def test_below_the_arm_level_nothing_trails() -> None:
    states, found = walk(settings(arm="5000", giveback="30"), [4999, 0, -10_000])
    assert (states[-1].stop, found) == (None, [])


def test_an_arm_level_of_zero_arms_with_the_first_profit() -> None:
    states, _ = walk(settings(arm="0", giveback="30"), [-5, 0, 10])
    assert [s.stop for s in states] == [None, None, 7]


@pytest.mark.parametrize(
    ("some", "totals", "rule", "level"),
    [
        ({"drawdown_limit": "1000"}, [500, 2000, 1000], "drawdown", 1000),
        ({"drawdown_limit": "1000"}, [-999.99, -1000], "drawdown", -1000),
        ({"max_loss": "500"}, [100, -499.99, -500], "max_loss", -500),
        ({"floor_at": "1000", "floor": "600"}, [999, 600, 1000, 601, 600], "profit_floor", 600),
        ({"floor_at": "1000", "floor": "600", "floor_step": "500"}, [2100, 1600], "profit_floor", 1600),
        ({"floor_at": "0", "floor": "0"}, [0], "profit_floor", 0),
    ],
)
def test_each_rule_stops_at_its_level(
    some: dict[str, Any], totals: list[float], rule: str, level: int
) -> None:
    """R4.1: drawdown limit in money; profit floor with steps."""
    _, found = walk(settings(**some), totals)
    assert [(n, s.exit and s.exit.rule, s.exit and s.exit.level) for n, s in found] == [
        (len(totals) - 1, rule, level)
    ]


def test_the_highest_of_several_stops_holds() -> None:
    states, _ = walk(
        settings(giveback="50", max_loss="100", drawdown_limit="300", floor_at="1000", floor="900"),
        [0, 400, 1000],
    )
    assert [(s.stop, s.rule) for s in states] == [
        (-100, "max_loss"),
        (200, "trailing_stop"),
        (900, "profit_floor"),
    ]


def test_one_bad_valuation_neither_stops_a_strategy_nor_raises_its_peak() -> None:
    """Domain 2.4: a single bad equity read; the peak must hold too."""
    states, found = walk(
        settings(confirm=2, giveback="30", max_loss="500"), [100, 100, 99_999, 100, -9999, 90]
    )
    assert found == []
    assert [s.peak for s in states] == [0, 100, 100, 100, 100, 100]


def test_the_second_reading_confirms_and_the_same_prices_are_no_second_reading() -> None:
    made = settings(confirm=2, max_loss="500")
    once = advance_strategy(made, UNSEEN, mtm(-600, 1), Decimal(0), TODAY, START)
    assert once.suspect
    again = advance_strategy(made, once.state, mtm(-600, 1), Decimal(0), TODAY, START)
    assert (again.exit, again.state) == (None, once.state)
    assert advance_strategy(made, once.state, mtm(-601, 2), Decimal(0), TODAY, START).exit


def test_every_position_must_have_a_newer_price_to_confirm() -> None:
    """R4.1: one bad quote beside good ones is not two readings."""
    made = settings(confirm=2, max_loss="500")
    once = advance_strategy(made, UNSEEN, mtm(-600, 1), Decimal(0), TODAY, START)
    half = replace(mtm(-601, 1), times=(START + timedelta(seconds=1), START + timedelta(seconds=2)))
    assert advance_strategy(made, once.state, half, Decimal(0), TODAY, START).exit is None


def test_what_is_realised_needs_no_second_reading() -> None:
    made = settings(confirm=3, max_loss="500")
    assert advance_strategy(made, UNSEEN, mtm(-500, has_open=False), Decimal(0), TODAY, START).exit


def test_an_unknown_mtm_triggers_nothing_and_forgets_nothing() -> None:
    """F32."""
    states, found = walk(settings(giveback="30"), [1000, None, None, 800])
    assert [s.stop for s in states] == [700, 700, 700, 700]
    assert found == []


def test_a_new_session_counts_from_the_last_known_number() -> None:
    """R4.1: day boundaries as the settings say."""
    made = settings(giveback="30", max_loss="500")
    states, _ = walk(made, [1000, 900])
    next_day = advance_strategy(made, states[-1], mtm(850, 9), None, date(2026, 11, 19), START)
    assert next_day.state == StrategyState(
        date(2026, 11, 19),
        base=Decimal(900),
        last=Decimal(850),
        stop=Decimal(-500),
        rule="max_loss",
        counted_at=START + timedelta(seconds=9),
    )


def test_with_carry_the_peak_outlives_the_night() -> None:
    made = settings(giveback="30", day="carry")
    states, _ = walk(made, [1000])
    step = advance_strategy(made, states[-1], mtm(700, 9), None, date(2026, 11, 19), START)
    assert step.exit


def test_a_strategy_seen_for_the_first_time_counts_from_its_base_or_from_now() -> None:
    made = settings(max_loss="500")
    known = advance_strategy(made, UNSEEN, mtm(-450), Decimal(100), TODAY, START)
    assert known.exit
    unknown = advance_strategy(made, UNSEEN, mtm(-450), None, TODAY, START)
    assert (unknown.exit, unknown.state.base) == (None, Decimal(-450))


def test_a_stopped_strategy_stays_stopped_until_a_person_resumes_it() -> None:
    """R4.1, R5.5: shutdown of the strategy."""
    made = settings(max_loss="500")
    states, found = walk(made, [-500, 10_000, -10_000])
    assert len(found) == 1
    assert states[-1].stopped
    tomorrow = advance_strategy(made, states[-1], mtm(0, 9), None, date(2026, 11, 19), START)
    assert tomorrow.state.stopped
    again = resumed(states[-1], mtm(None))
    assert resumed(states[-1], mtm(7)).base == 7
    assert (again.stopped, again.base, again.peak) == (None, Decimal(-10_000), 0)
    assert advance_strategy(made, again, mtm(-10_500, 9), None, TODAY, START).exit


def test_trades_that_stay_open_are_told_and_again_when_it_trades_anew() -> None:
    """R4.5: ends flat or in a critical alert."""
    made = settings(max_loss="500")
    state = advance_strategy(made, UNSEEN, mtm(-500), Decimal(0), TODAY, START).state
    told = []
    for seconds, has_open in ((30, True), (60, True), (90, True), (120, False), (150, True)):
        at = START + timedelta(seconds=seconds)
        step = advance_strategy(made, state, mtm(-500, seconds, has_open), Decimal(0), TODAY, at)
        state = step.state
        told += [seconds] if step.stuck else []
    assert timedelta(seconds=60) == STUCK
    assert told == [60, 150]


def test_without_auto_close_it_is_told_once_and_asked_when_switched_on() -> None:
    """R5.5."""
    made = settings(max_loss="500")
    told = advance_strategy(made, UNSEEN, mtm(-500, 1), Decimal(0), TODAY, START, auto_close=False)
    assert told.exit
    assert told.state.stopped
    assert told.state.stopped.advisory
    quiet = advance_strategy(made, told.state, mtm(-600, 2), Decimal(0), TODAY, START, auto_close=False)
    assert quiet.exit is None
    assert advance_strategy(made, quiet.state, mtm(-600, 3), Decimal(0), TODAY, START).exit


@given(
    st.lists(st.integers(-8000, 9000), min_size=1, max_size=80),
    st.integers(1, 100),
    st.integers(0, 3000),
    st.integers(1, 3),
    st.one_of(st.none(), st.integers(1, 4000)),
)
def test_any_path_stops_where_the_history_of_it_says(
    totals: list[int], giveback: int, arm: int, confirm: int, limit: int | None
) -> None:
    """R4.1: against a second implementation that looks at the whole path, in fractions. The stop never falls."""
    some: dict[str, Any] = {"giveback": str(giveback), "arm": str(arm), "confirm": confirm}
    if limit is not None:
        some["drawdown_limit"] = str(limit)
    states, found = walk(settings(**some), totals)
    stops = [s.stop for s in states if s.stop is not None]
    assert stops == sorted(stops)
    assert [number for number, _ in found] == stopped_at(totals, giveback, arm, confirm, limit)


def stopped_at(totals: list[int], giveback: int, arm: int, confirm: int, limit: int | None) -> list[int]:
    held = [totals[n - confirm + 1 : n + 1] for n in range(confirm - 1, len(totals))]
    for n, span in enumerate(held):
        peak = max([0, *(min(s) for s in held[: n + 1])])
        wishes = [] if limit is None else [Fraction(peak - limit)]
        if peak > 0 and peak >= arm:
            wishes.append(Fraction(peak) * (100 - giveback) / 100)
        if wishes and max(span) <= max(wishes):
            return [n + confirm - 1]
    return []


# --- the whole of it beside a second implementation: sessions, floors, losses, silence ---

DAYS = [date(2026, 11, 18), date(2026, 11, 19), date(2026, 11, 20)]
PATHS = st.lists(
    st.tuples(st.sampled_from([0, 0, 0, 0, 1]), st.one_of(st.none(), st.integers(-8000, 9000))),
    min_size=1,
    max_size=60,
)


def in_days(path: list[tuple[int, int | None]]) -> list[tuple[int, int | None]]:
    """Return each total with the number of its session; a 1 begins the next one."""
    day, result = 0, []
    for begins, total in path:
        day = min(day + begins, len(DAYS) - 1)
        result.append((day, total))
    return result


def first_stop(
    path: list[tuple[int, int | None]], some: dict[str, Any]
) -> tuple[int, set[str], Fraction] | None:
    """Return where a path of totals stops the strategy (index, rules with that level, level), from nothing but the path."""
    confirm, carry = some["confirm"], some["day"] == "carry"
    known = [(n, day, total) for n, (day, total) in enumerate(path) if total is not None]
    days = [0] if carry else sorted({day for _, day, _ in known})
    base = 0
    for day in days:
        own = [(n, total) for n, its, total in known if carry or its == day]
        values = [(n, total - base) for n, total in own]
        for k in range(len(values)):
            peaks = [min(v for _, v in values[m - confirm + 1 : m + 1]) for m in range(confirm - 1, k + 1)]
            peak = max([0, *peaks])
            stops = wishes(Fraction(peak), some)
            if k < confirm - 1 or not stops:
                continue
            level = max(wish for _, wish in stops)
            if max(v for _, v in values[k - confirm + 1 : k + 1]) <= level:
                return values[k][0], {name for name, wish in stops if wish == level}, level
        base = own[-1][1] if own else base
    return None


def wishes(peak: Fraction, some: dict[str, Any]) -> list[tuple[str, Fraction]]:
    found = []
    if "max_loss" in some:
        found.append(("max_loss", Fraction(-int(some["max_loss"]))))
    if "drawdown_limit" in some:
        found.append(("drawdown", peak - int(some["drawdown_limit"])))
    if "giveback" in some and peak > 0 and peak >= int(some.get("arm", 0)):
        found.append(("trailing_stop", peak * (100 - int(some["giveback"])) / 100))
    if "floor" in some and peak >= int(some["floor_at"]):
        raised = (peak - int(some["floor_at"])) // int(some["floor_step"]) if "floor_step" in some else 0
        found.append(("profit_floor", Fraction(int(some["floor"]) + raised * int(some.get("floor_step", 0)))))
    return found


@st.composite
def all_rules(draw: st.DrawFn) -> dict[str, Any]:
    some: dict[str, Any] = {
        "confirm": draw(st.integers(1, 3)),
        "day": draw(st.sampled_from(["session", "carry"])),
    }
    if draw(st.booleans()):
        some |= {"giveback": str(draw(st.integers(1, 100))), "arm": str(draw(st.integers(0, 3000)))}
    if draw(st.booleans()):
        some["max_loss"] = str(draw(st.integers(1, 6000)))
    if draw(st.booleans()):
        some["drawdown_limit"] = str(draw(st.integers(1, 6000)))
    if draw(st.booleans()):
        at = draw(st.integers(0, 4000))
        some |= {"floor_at": str(at), "floor": str(at - draw(st.integers(0, 3000)))}
        if draw(st.booleans()):
            some["floor_step"] = str(draw(st.integers(1, 2000)))
    return some


@given(PATHS, all_rules())
@example([(0, 6000), (0, 7000), (1, 6000), (0, 5400)], {"confirm": 1, "day": "session", "max_loss": "500"})
@example([(0, 6000), (0, 7000), (1, 6000), (0, 4900)], {"confirm": 1, "day": "carry", "giveback": "30"})
def test_any_path_over_sessions_stops_where_its_history_says(
    path: list[tuple[int, int | None]], some: dict[str, Any]
) -> None:
    """R4.1: peak, most loss, floor with steps and day boundaries, against one that looks at the whole path in fractions."""
    if some["confirm"] > 1:  # a new session begins to count its readings anew
        path = [(0, total) for _, total in path]
    days = in_days(path)
    made, state, found = settings(**some), UNSEEN, None
    for number, (day, total) in enumerate(days):
        at = START + timedelta(seconds=number)
        before = state.stop
        step = advance_strategy(made, state, mtm(total, number), Decimal(0), DAYS[day], at)
        same_day = state.session == step.state.session or some["day"] == "carry"
        if before is not None and same_day and step.state.stop is not None:
            assert step.state.stop >= before
        state = step.state
        if step.exit:
            found = (number, step.exit.rule, Fraction(step.exit.level))
            break
    expected = first_stop(days, some)
    assert (found is None) is (expected is None)
    if found and expected:
        assert (found[0], found[2]) == (expected[0], expected[2])
        assert found[1] in expected[1]
