"""Breakers: a first bad reading refuses opens, a second one closes, and each is reset in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.control import account_scope
from stopline.model.messages import Effect
from stopline.model.settings.trading import TradingSettings
from stopline.rules.trading.breakers import (
    ACTIVITY_BREAKER,
    BREAKERS,
    HEALTH_BREAKERS,
    MONEY_BREAKERS,
    Breaker,
    Tripped,
    advance,
    check_settings,
    in_session,
    rule_of,
    threshold_of,
)
from stopline.rules.trading.reset import QUARTER, Reset
from stopline.rules.trading.second_reading import PriceTimes
from stopline.service.trading.breaker_effects import breaker_effects

from ..make import at

ALL = list(BREAKERS.values())
FLATTEN = [b for b in ALL if b.flatten]
READINGS = [b for b in ALL if b.rule.reset is Reset.READINGS]
DEFAULT = TradingSettings()


def settings(**more: Any) -> TradingSettings:
    return TradingSettings.model_validate(more)


def play(
    breaker: Breaker, values: list[Any], step: float = 10, lifted: Sequence[bool | None] = ()
) -> tuple[list[str], dict[str, Tripped]]:
    """Read values in turn; return what was wanted each time, and what stands at the end. `lifted`: whether the stop was
    seen to be lifted at each; None: nobody looked.
    """
    chosen = settings(breakers={breaker.name: {"threshold": "10"}})
    state: dict[str, Tripped] = {}
    wanted = []
    for number, value in enumerate(values):
        fact = None if value is None else Decimal(value)
        seen = lifted[number] if lifted else None
        names = None if seen is None else {breaker.name: ""} if seen else {}
        facts, now = {breaker.fact: fact}, at(number * step)
        seen_at = partial(PriceTimes, {"SPY": now})
        state, moves = advance([breaker], chosen, state, facts, now, "demo", str(number), names, seen_at)
        wanted.append(",".join(m.action for m in moves))
    return wanted, state


@pytest.mark.parametrize("breaker", ALL, ids=lambda b: b.name)
def test_the_first_bad_reading_refuses_opens(breaker: Breaker) -> None:
    """R5.2, R5.3, domain 2.4: a confirmation window must not leak opens."""
    assert play(breaker, [10, 11])[0] == ["", "pause"]


@pytest.mark.parametrize("breaker", FLATTEN, ids=lambda b: b.name)
def test_a_flatten_waits_for_a_second_reading(breaker: Breaker) -> None:
    """R5.3: one bad reading closes nothing; two do, once."""
    assert play(breaker, [11, 11, 12, 13])[0] == ["pause", "kill", "", ""]
    assert play(breaker, [11, 5, 5])[0] == ["pause", "release", ""]
    assert play(breaker, [11, 11, 11], step=1)[0] == ["pause", "", "kill"], "too soon is the same reading"


@pytest.mark.parametrize("breaker", [b for b in ALL if not b.flatten], ids=lambda b: b.name)
def test_other_breakers_never_close_anything(breaker: Breaker) -> None:
    assert "kill" not in play(breaker, [11] * 10)[0]


@pytest.mark.parametrize("breaker", MONEY_BREAKERS, ids=lambda b: b.name)
def test_no_reading_lifts_a_money_breaker(breaker: Breaker) -> None:
    """R5.2 (fix): a person does. What swings round the threshold stays tripped, and neither pauses anew nor takes back."""
    tripped = ["pause", "kill"] if breaker.flatten else ["pause", ""]
    wanted, state = play(breaker, [11, 11, 1, 1, 1, 11, 1, 11, 11])
    assert wanted == [*tripped, *[""] * 7]
    assert state[breaker.name].confirmed


@pytest.mark.parametrize("breaker", [*MONEY_BREAKERS, ACTIVITY_BREAKER], ids=lambda b: b.name)
def test_a_breaker_that_people_have_lifted_is_forgotten_where_its_value_is_clear(breaker: Breaker) -> None:
    """R5.2: from then on it is like new."""
    tripped = ["pause", "kill"] if breaker.flatten else ["pause", ""]
    lifted = [False] * 3 + [True] * 3
    wanted, state = play(breaker, [11, 11, 1, 1, 10, 11], lifted=lifted)
    assert wanted == [*tripped, "", "", "", "pause"]
    assert not state[breaker.name].lifted


@pytest.mark.parametrize("breaker", ALL, ids=lambda b: b.name)
def test_a_breaker_that_people_have_lifted_trips_again_where_its_value_is_clearly_worse(
    breaker: Breaker,
) -> None:
    """R5.2: they have seen 13 of 10, and went on; a tenth of the limit beyond that is news, less is not."""
    tripped = ["pause", "kill"] if breaker.flatten else ["pause", ""]
    values = [11, 13, 13, "13.9", 12, 14, "14.1", "14.2"]
    looked = [False, False, False, True, None, None, None, None]
    assert play(breaker, values, lifted=looked)[0] == [*tripped, "", "", "", "", *tripped]


@pytest.mark.parametrize("breaker", MONEY_BREAKERS, ids=lambda b: b.name)
def test_what_was_not_bad_when_people_lifted_it_trips_at_its_threshold(breaker: Breaker) -> None:
    """R5.2: they have seen 9.8 of 10, which is neither bad nor clear; 10.1 crosses the limit anew."""
    tripped = ["pause", "kill"] if breaker.flatten else ["pause", ""]
    values, looked = [11, 11, "9.8", "9.8", 10, "10.1"], [False, False, False, True, None, None]
    assert play(breaker, values, lifted=looked)[0] == [*tripped, "", "", "", "pause"]


@pytest.mark.parametrize("breaker", HEALTH_BREAKERS, ids=lambda b: b.name)
def test_a_bad_reading_after_a_good_one_trips_what_people_have_lifted(breaker: Breaker) -> None:
    """R5.3: a fact that is only yes or no never gets worse, and three good ones in a row may never come."""
    wanted, _ = play(breaker, [11, 11, 11, 0, 11], lifted=[False, False, True, True, True])
    assert wanted == ["pause", "", "", "", "pause"]


def test_a_new_session_finds_the_loss_of_a_day_as_if_it_were_new() -> None:
    """R5.3: lifted at 28 of yesterday, 27 of today is news; a drawdown is of no day."""
    day, drawdown = "emergency_daily_loss", "emergency_drawdown"
    lifted = Tripped(at(0), True, level=Decimal(28), lifted=True)
    stood = {day: lifted, drawdown: lifted}
    today, tomorrow = date(2026, 3, 2), date(2026, 3, 3)
    assert in_session(stood, today, today) == in_session(stood, None, today) == stood
    found = in_session(stood, today, tomorrow)
    assert (found[day].level, found[drawdown]) == (Decimal(0), lifted)
    _, moves = advance([BREAKERS[day]], DEFAULT, found, {"daily_loss": Decimal(27)}, at(9), "demo", "1", None)
    assert [m.action for m in moves] == ["pause"]


def test_what_is_worse_already_when_the_resume_is_seen_trips_at_once() -> None:
    """R5.2: between a resume and the next look a minute may pass."""
    wanted, _ = play(BREAKERS["loss"], [11, 11, 14], lifted=[False, False, True])
    assert wanted == ["pause", "", "pause"]


@pytest.mark.parametrize("breaker", FLATTEN, ids=lambda b: b.name)
def test_a_pause_that_people_lift_before_a_second_reading_begins_anew(breaker: Breaker) -> None:
    """R5.3: with a reduction in place of the closing nothing would stop trading otherwise."""
    wanted, _ = play(breaker, [11, 11, 12], lifted=[False, True, None])
    assert wanted == ["pause", "pause", "kill"]


def test_a_release_names_the_pause_that_it_takes_back() -> None:
    """R5.2: and no other one."""
    breaker = BREAKERS["emergency_drawdown"]
    facts = {"drawdown": Decimal(31)}
    state, [pause] = advance([breaker], DEFAULT, {}, facts, at(), "demo", "c-1")
    assert state[breaker.name].request_id == pause.request_id
    _, [release] = advance([breaker], DEFAULT, state, {"drawdown": Decimal(1)}, at(9), "demo", "c-2")
    assert (release.action, release.releases) == ("release", pause.request_id)
    body = breaker_effects("demo", [release], "c-2", at(9))[0].body
    assert (body["releases"], body["request_id"] != pause.request_id) == (pause.request_id, True)


@pytest.mark.parametrize("breaker", READINGS, ids=lambda b: b.name)
def test_good_readings_in_a_row_lift_a_data_breaker(breaker: Breaker) -> None:
    """Domain 2.4: clears on N good readings; one that is bad, or UNKNOWN, is not one of them."""
    good = breaker.good_readings
    almost = [1] * (good - 1)
    wanted, state = play(breaker, [11, *almost, 11, *almost, None, 1])
    assert wanted[-1] == "release"
    assert wanted.count("release") == 1
    assert state == {}


@given(st.sampled_from(ALL), st.lists(st.sampled_from([None, 1, 9.7, 11]), max_size=12))
def test_unknown_changes_nothing(breaker: Breaker, values: list[Any]) -> None:
    """I7: neither trips nor clears."""
    texts = [None if v is None else str(v) for v in values]
    with_unknown, end = play(breaker, texts)
    moves = [w for w, v in zip(with_unknown, values, strict=True) if v is None]
    assert not any(moves)
    if values and values[-1] is None:
        assert play(breaker, texts[:-1])[1] == end


def test_just_below_the_threshold_a_breaker_is_neither_bad_nor_clear() -> None:
    """No flapping."""
    breaker = BREAKERS["loss"]
    assert play(breaker, [11, "9.6", 11, "9.6"])[0] == ["pause", "", "", ""]


def test_a_breaker_can_be_set_and_switched_off() -> None:
    """R5.5: feature toggles."""
    facts = {"positions": Decimal(21), "profit": Decimal(30)}
    assert [m.breaker.name for m in advance(ALL, DEFAULT, {}, facts, at())[1]] == ["too_many_positions"]
    chosen = settings(
        breakers={"too_many_positions": {"enabled": False}, "profit_target": {"threshold": "20"}}
    )
    assert [m.breaker.name for m in advance(ALL, chosen, {}, facts, at())[1]] == ["profit_target"]


def test_a_profit_target_that_is_switched_on_is_on() -> None:
    """R5.2: optional, at 20 % where nothing else is said; as `enabled: true` alone it did nothing."""
    target = BREAKERS["profit_target"]
    assert threshold_of(target, DEFAULT) is None

    def set_to(**how: Any) -> Decimal | None:
        return threshold_of(target, settings(breakers={"profit_target": how}))

    assert set_to(enabled=True) == set_to() == 20
    assert set_to(threshold="5") == 5
    assert set_to(enabled=False) is set_to(enabled=False, threshold="5") is None


def test_settings_name_breakers_that_there_are() -> None:
    assert check_settings(DEFAULT) == []
    faults = check_settings(settings(breakers={"lost": {"threshold": "1"}, "loss": {"threshold": "-1"}}))
    assert len(faults) == 2


def test_auto_trading_is_a_switch_for_the_account_and_for_strategies() -> None:
    """R5.5."""
    chosen = settings(strategies={"core": False})
    assert (chosen.may_run("core"), chosen.may_run("other")) == (False, True)
    assert not settings(auto_trading=False, strategies={"core": True}).may_run("core")


def test_money_reopens_at_a_quarter_and_drawdowns_take_two() -> None:
    """R5.2, R3.3."""
    for breaker in MONEY_BREAKERS:
        if breaker.name != "profit_target":
            assert breaker.rule.reopen == QUARTER
        if breaker.fact == "drawdown":
            assert breaker.rule.people == 2
    assert all(b.rule.reset is Reset.READINGS for b in HEALTH_BREAKERS)
    assert rule_of("ann") is None


def test_the_effects_of_a_move_have_ids_of_their_own() -> None:
    """I5: same cause, same ids; the account's scope; a kill says that it closes."""
    breaker = BREAKERS["emergency_daily_loss"]
    facts = {"daily_loss": Decimal("15.5")}

    def effects(cause: str) -> list[Effect]:
        return breaker_effects(
            "demo", advance([breaker], DEFAULT, {}, facts, at(), "demo", cause)[1], cause, at()
        )

    first = effects("c-1")
    assert first == effects("c-1")
    request, alert = (e.body for e in first)
    assert (request["scope"], request["action"]) == (account_scope("demo"), "pause")
    assert alert["summary"] == "Breaker emergency daily loss: loss of the day is 15.5%, limit 15%"
    assert {e.id for e in first}.isdisjoint(e.id for e in effects("c-2"))


# --- the reset matrix: what the requirements name, and how each stop ends (domain 2.4) ---

TRIGGERS = [
    # requirement, limit or breaker, trips above, closes, what ends it, people who may end it before
    ("R5.2 loss of 10 %", "breaker:loss", "10", False, Reset.PERSON, 1),
    ("R5.2 profit target, optional", "breaker:profit_target", "20", False, Reset.PERSON, 1),
    ("R5.2 losing streak cools down", "limit:max_consecutive_losses", "", False, Reset.TIME, 1),
    ("R5.3 drawdown of 30 %", "breaker:emergency_drawdown", "30", True, Reset.TWO_PEOPLE, 2),
    ("R5.3 risk level CRITICAL", "breaker:risk_critical", "20", True, Reset.TWO_PEOPLE, 2),
    ("R5.3 more than 20 positions", "breaker:too_many_positions", "20", True, Reset.PERSON, 1),
    ("R5.3 daily loss of 15 %", "breaker:emergency_daily_loss", "15", True, Reset.TWO_PEOPLE, 2),
    ("R5.3 broker", "breaker:broker_down", "0", False, Reset.READINGS, 1),
    ("R5.3 API", "breaker:api_failing", "4", False, Reset.READINGS, 1),
    ("R5.3 latency", "breaker:latency", "2000", False, Reset.READINGS, 1),
    ("R5.3 stale data", "breaker:stale_data", "0", False, Reset.READINGS, 1),
    ("R5.3 contradictory data, reconciliation", "breaker:contradictory_data", "0", False, Reset.READINGS, 1),
    ("R5.4 unusual activity", "breaker:unusual_activity", "0", False, Reset.PERSON, 1),
    ("R5.2 loss of the day", "limit:max_daily_loss", "", False, Reset.SESSION, 2),
    ("R5.2 drawdown", "limit:max_drawdown", "", False, Reset.TWO_PEOPLE, 2),
]


@pytest.mark.parametrize("row", TRIGGERS, ids=lambda row: row[0])
def test_every_trigger_has_the_reset_of_the_matrix(row: tuple[Any, ...]) -> None:
    """R5.2, R5.3, R5.4, domain 2.4: and no other breaker is without a line here."""
    _, actor, threshold, closes, reset, people = row
    rule = rule_of(actor)
    assert rule is not None
    assert (rule.reset, rule.people) == (reset, people)
    if actor.startswith("breaker:"):
        breaker = BREAKERS[actor.removeprefix("breaker:")]
        assert breaker.threshold == Decimal(threshold)
        assert breaker.flatten is closes
    assert {f"breaker:{name}" for name in BREAKERS} <= {line[1] for line in TRIGGERS}


def test_no_money_breaker_reopens_by_a_timer() -> None:
    """R5.2 (fix): only the cool-down of a losing streak ends by time."""
    timed = {line[1] for line in TRIGGERS if (rule := rule_of(line[1])) and rule.reset is Reset.TIME}
    assert timed == {"limit:max_consecutive_losses"}
