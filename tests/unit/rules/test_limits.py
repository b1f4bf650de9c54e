"""Limits: warn at 80 %, breach where said, stay until clear, and never call the unknown OK."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.decimals import decimal_text, parse_decimal
from stopline.model.instrument import Instrument
from stopline.rules.limits.figures import DayStart, Figures, Valued, settling
from stopline.rules.limits.registry import (
    LIMITS,
    Action,
    Level,
    Reading,
    Unit,
    check_overrides,
    level_of,
    readings,
)

from ..make import NOON, account, at, equity, fill, fold, option, trade

THREE = Decimal(3)


def figures_of(
    positions: Mapping[str, Decimal | None] | None = None,
    exposures: Mapping[str, Decimal | None] | None = None,
    pnl_day: Decimal | None = Decimal(0),
    equity_now: Decimal | None = Decimal(100_000),
    start: Decimal | None = Decimal(0),
    **settings: Any,
) -> Figures:
    session = account().sessions.session_of(NOON)
    return Figures(
        account=account(**settings),
        at=NOON,
        session=session,
        positions=(),
        realised_day=Decimal(0),
        unrealised=Decimal(0),
        total=None if pnl_day is None else (start or Decimal(0)) + pnl_day,
        equity=equity_now,
        day_start=None if start is None else DayStart(session, start, "test"),
        pnl_day=pnl_day,
        position_values=positions or {},
        exposures=exposures or {},
    )


def one(found: list[Reading], name: str, object_: str = "account") -> Reading:
    [reading] = [r for r in found if r.limit.name == name and r.object == object_]
    return reading


# --- levels ---


@pytest.mark.parametrize(
    ("limit", "inclusive", "counts", "levels"),
    [
        (1, False, [2, 1, 0], [Level.BREACH, Level.WARN, Level.OK]),
        (2, False, [3, 2, 1], [Level.BREACH, Level.WARN, Level.OK]),
        (5, False, [6, 5, 4, 3], [Level.BREACH, Level.WARN, Level.WARN, Level.OK]),
        (3, True, [3, 2, 0], [Level.BREACH, Level.OK, Level.OK]),
        (100, False, [101, 100, 80, 79], [Level.BREACH, Level.WARN, Level.WARN, Level.OK]),
    ],
)
def test_a_count_leaves_a_breach_as_soon_as_it_is_within_its_limit(
    limit: int, inclusive: bool, counts: list[int], levels: list[Level]
) -> None:
    """R2.2, R2.5: nobody must close the fifth of five allowed positions to clear the breach of the sixth."""
    before, found = Level.OK, []
    for count in counts:
        before = level_of(Decimal(count), Decimal(limit), inclusive, before, Unit.COUNT)
        found.append(before)
    assert found == levels


@pytest.mark.parametrize(
    ("current", "inclusive", "level"),
    [
        ("0", False, Level.OK),
        ("2.399999", False, Level.OK),
        ("2.4", False, Level.WARN),  # 80 % of 3
        ("2.999999", False, Level.WARN),
        ("3", False, Level.WARN),  # up to the limit is allowed
        ("3", True, Level.BREACH),  # a loss limit is breached when it is reached
        ("3.000001", False, Level.BREACH),
        ("3.000001", True, Level.BREACH),
    ],
)
def test_a_limit_warns_at_80_percent_and_is_breached_where_it_says(
    current: str, inclusive: bool, level: Level
) -> None:
    """R2.1, R2.2."""
    assert level_of(Decimal(current), THREE, inclusive, Level.OK) is level


@pytest.mark.parametrize(
    ("before", "current", "level"),
    [
        (Level.BREACH, "2.86", Level.BREACH),  # above 95 % of the limit
        (Level.BREACH, "2.85", Level.WARN),
        (Level.WARN, "2.39", Level.WARN),  # above 75 %
        (Level.WARN, "2.25", Level.OK),
        (Level.BREACH, "2.26", Level.WARN),
        (Level.BREACH, "2.25", Level.OK),
        (Level.OK, "2.39", Level.OK),
        (Level.UNKNOWN, "2.39", Level.OK),
        (Level.WARN, "2.86", Level.WARN),  # going up there is no delay, and no breach before the limit
    ],
)
def test_a_level_is_left_only_five_percent_of_the_limit_below_where_it_began(
    before: Level, current: str, level: Level
) -> None:
    """Domain 2.7: a number that trembles at its limit must not send an alert a second."""
    assert level_of(Decimal(current), THREE, True, before) is level


numbers = st.integers(-10_000, 10_000).map(lambda n: Decimal(n) / 100)
thresholds = st.integers(1, 5_000).map(lambda n: Decimal(n) / 100)


@given(thresholds, st.booleans(), st.sampled_from(list(Level)))
def test_unknown_is_never_ok_and_never_a_number(threshold: Decimal, inclusive: bool, before: Level) -> None:
    """I7."""
    assert level_of(None, threshold, inclusive, before) is Level.UNKNOWN


@given(numbers, numbers, thresholds, st.booleans(), st.sampled_from(list(Level)))
def test_more_is_never_better(
    one_: Decimal, other: Decimal, threshold: Decimal, inclusive: bool, before: Level
) -> None:
    """R2.2: the level grows with the number, whatever it was before."""
    low, high = sorted((one_, other))
    ranks = [level_of(n, threshold, inclusive, before).rank for n in (low, high)]
    assert ranks[0] <= ranks[1]


@given(numbers, thresholds, st.booleans())
def test_the_memory_of_a_level_only_ever_makes_it_stricter(
    current: Decimal, threshold: Decimal, inclusive: bool
) -> None:
    """I7: hysteresis delays the all-clear, never the alarm."""
    fresh = level_of(current, threshold, inclusive, Level.OK)
    for before in Level:
        assert level_of(current, threshold, inclusive, before).rank >= fresh.rank


@given(numbers, thresholds, st.booleans(), st.sampled_from(list(Level)))
def test_reading_the_same_number_again_stays_where_it_is(
    current: Decimal, threshold: Decimal, inclusive: bool, before: Level
) -> None:
    once = level_of(current, threshold, inclusive, before)
    assert level_of(current, threshold, inclusive, once) is once


# --- what is measured ---


def test_the_profiles_have_the_limits_of_the_requirements() -> None:
    """R2.1, R2.3."""
    assert LIMITS["max_symbol_exposure"].defaults["zero_dte"] == 20
    assert LIMITS["max_daily_loss"].defaults == {"zero_dte": 3, "general": 5, "conservative": 2}
    assert LIMITS["max_position_value"].defaults["general"] == 10
    assert LIMITS["max_daily_loss"].action is Action.REDUCE_ONLY
    assert LIMITS["max_daily_loss"].inclusive


def test_a_loss_is_a_share_of_the_equity_at_the_start_of_the_day() -> None:
    """R2.1: 3,000 lost of 100,000 + 20,000 made before today is 2.5 %."""
    reading = one(readings(figures_of(pnl_day=Decimal(-3000), start=Decimal(20_000)), {}), "max_daily_loss")
    assert (reading.current, reading.level) == (Decimal("2.5"), Level.WARN)


def test_three_percent_lost_is_a_breach_in_the_zero_dte_profile_and_fine_in_the_general_one() -> None:
    """R2.1, R2.3."""
    assert one(readings(figures_of(pnl_day=Decimal(-3000)), {}), "max_daily_loss").level is Level.BREACH
    general = figures_of(pnl_day=Decimal(-3000), profile="general")
    assert one(readings(general, {}), "max_daily_loss").level is Level.OK


def test_a_profit_is_no_loss() -> None:
    """R2.3 (fix): losses only, not abs(P&L)."""
    reading = one(readings(figures_of(pnl_day=Decimal(9000)), {}), "max_daily_loss")
    assert (reading.current, reading.level) == (0, Level.OK)


@pytest.mark.parametrize(
    "unknown",
    [{"pnl_day": None}, {"start": None}],
    ids=str,
)
def test_a_day_that_is_unknown_reads_unknown(unknown: dict[str, None]) -> None:
    """I7, domain case 15."""
    reading = one(readings(figures_of(**unknown), {}), "max_daily_loss")
    assert (reading.current, reading.level) == (None, Level.UNKNOWN)


def test_a_position_without_a_value_reads_unknown_and_its_neighbour_does_not() -> None:
    """I7, domain case 15."""
    found = readings(figures_of({"default:SPY": None, "default:QQQ": Decimal(11_000)}), {})
    assert one(found, "max_position_value", "SPY").level is Level.UNKNOWN
    assert one(found, "max_position_value", "QQQ").level is Level.BREACH


def test_with_unknown_equity_every_share_is_unknown() -> None:
    """I7."""
    found = readings(figures_of({"default:SPY": Decimal(1)}, {"SPY": Decimal(1)}, equity_now=None), {})
    assert one(found, "max_position_value", "SPY").level is Level.UNKNOWN
    assert one(found, "max_symbol_exposure", "SPY").level is Level.UNKNOWN


@pytest.mark.parametrize("left", ["0", "-500"])
def test_with_nothing_left_any_exposure_is_a_breach(left: str) -> None:
    """F49: never a division by zero, never a negative share that looks small."""
    found = readings(
        figures_of(exposures={"SPY": Decimal(1), "QQQ": Decimal(0)}, equity_now=Decimal(left)), {}
    )
    assert one(found, "max_symbol_exposure", "SPY").level is Level.BREACH
    assert one(found, "max_symbol_exposure", "QQQ").level is Level.OK


def test_a_share_of_almost_nothing_is_told_in_a_number_that_an_alert_can_carry() -> None:
    """F49: the alert of the greatest breach must not be refused for its digits."""
    found = readings(figures_of(exposures={"SPY": Decimal(10) ** 15}, equity_now=Decimal("0.000001")), {})
    reading = one(found, "max_symbol_exposure", "SPY")
    assert reading.current is not None
    assert parse_decimal(decimal_text(reading.current)) == reading.current
    assert reading.level is Level.BREACH


def test_the_same_symbol_in_two_strategies_is_two_positions_with_a_limit_each() -> None:
    """R1.1, R2.3: neither hides the other's breach."""
    values = {"condors:SPY": Decimal(11_000), "default:SPY": Decimal(8_500), "trend:SPY": Decimal(10)}
    found = [r for r in readings(figures_of(values), {}) if r.limit.name == "max_position_value"]
    assert len({r.key for r in found}) == 3
    assert {r.level for r in found} == {Level.BREACH, Level.WARN, Level.OK}


# --- settings ---


def test_an_override_changes_the_threshold_and_switching_off_removes_the_limit() -> None:
    """R2.11."""
    tight = figures_of(pnl_day=Decimal(-1000), limits={"max_daily_loss": {"limit": "1"}})
    reading = one(readings(tight, {}), "max_daily_loss")
    assert (reading.threshold, reading.level) == (1, Level.BREACH)
    off = figures_of(pnl_day=Decimal(-9000), limits={"max_daily_loss": {"enabled": False}})
    assert [r for r in readings(off, {}) if r.limit.name == "max_daily_loss"] == []


def test_an_empty_override_keeps_the_default() -> None:
    """R2.11."""
    same = figures_of(pnl_day=Decimal(-3000), limits={"max_daily_loss": {}})
    assert one(readings(same, {}), "max_daily_loss").threshold == 3


@pytest.mark.parametrize("limit", ["0", "-3", "1000.01", "999999999999999999"])
def test_a_limit_out_of_range_is_a_fault_of_the_settings(limit: str) -> None:
    """B73."""
    [fault] = check_overrides(account(limits={"max_daily_loss": {"limit": limit}}))
    assert fault.startswith("limits.max_daily_loss.limit: ")


def test_a_limit_that_does_not_exist_is_a_fault_that_names_those_that_do() -> None:
    """R2.11: a misspelt limit must not look as if it watched."""
    [fault] = check_overrides(account(limits={"max_dayly_loss": {"limit": "1"}}))
    assert "max_daily_loss" in fault


def test_good_settings_have_no_fault() -> None:
    limits = {"max_daily_loss": {"limit": "1000"}, "max_symbol_exposure": {"enabled": False}}
    assert check_overrides(account(limits=limits)) == []


def test_the_previous_level_is_that_of_the_same_limit_and_object() -> None:
    found = figures_of({"default:SPY": Decimal(9_600), "default:QQQ": Decimal(9_600)})
    read = readings(found, {"max_position_value|SPY": Level.BREACH})
    assert one(read, "max_position_value", "SPY").level is Level.BREACH
    assert one(read, "max_position_value", "QQQ").level is Level.WARN


@given(
    st.dictionaries(
        st.sampled_from(["default:SPY", "condors:SPY", "default:QQQ"]), st.none() | numbers.map(abs)
    )
)
def test_every_reading_has_a_key_of_its_own(values: dict[str, Decimal | None]) -> None:
    """R2.1: two readings under one key would overwrite each other's level."""
    for profile in ("zero_dte", "general", "conservative"):
        found = readings(figures_of(values, {"SPY": Decimal(1), "QQQ": None}, profile=profile), {})
        assert len({r.key for r in found}) == len(found)
        assert {r.object for r in found if r.limit.name == "max_symbol_exposure"} == {"SPY", "QQQ"}


def valued(instrument: Instrument, units: int, price: int, mark: Decimal | None) -> Valued:
    position, _ = fold([trade(1, units, price, instrument=instrument)])
    if mark is None:
        return Valued(position, None, None, None)
    value = mark * units * instrument.multiplier
    return Valued(position, mark, value, value - position.cost)


def test_unpriced_names_the_symbols_without_a_price_once_each() -> None:
    """I7."""
    missing = [
        valued(equity("SPY"), 1, 100, None),
        valued(equity("SPY"), 2, 100, None),
        valued(option(), 1, 5, None),
    ]
    priced = valued(equity("QQQ"), 1, 100, Decimal(0))
    assert replace(figures_of(), positions=[*missing, priced]).unpriced == ["SPXW261118P06000000", "SPY"]


@pytest.mark.parametrize(("seconds", "level"), [(0, Level.OK), (4, Level.OK), (6, Level.BREACH)])
def test_a_short_leg_booked_before_its_long_one_wakes_nobody(seconds: int, level: Level) -> None:
    """R2.1: legs arrive in any order; for five seconds after one the exposure's level does not get worse."""
    leg, _ = fold([trade(0, -1, "5", instrument=option())])
    naked = figures_of(exposures={"SPXW": Decimal(600_000)})
    held = (Valued(leg, None, None, None),)
    naked = replace(naked, positions=held, settling=settling(held, at(seconds)))
    assert one(readings(naked, {}), "max_symbol_exposure", "SPXW").level is level
    worse = {"max_symbol_exposure|SPXW": Level.BREACH}
    assert one(readings(naked, worse), "max_symbol_exposure", "SPXW").level is Level.BREACH


def test_a_fee_of_a_moment_ago_keeps_no_breach_waiting() -> None:
    """R2.1: it is no leg that was booked before another one."""
    fee = fill("F", quantity=0, price=0, executed_at=at(60), instrument=option(), kind="FEE", fee="1")
    leg, _ = fold([trade(0, -1, "5", instrument=option()), fee])
    held = (Valued(leg, None, None, None),)
    naked = figures_of(exposures={"SPXW": Decimal(600_000)})
    naked = replace(naked, positions=held, settling=settling(held, at(61)))
    assert one(readings(naked, {}), "max_symbol_exposure", "SPXW").level is Level.BREACH


def test_shares_bought_a_moment_ago_do_not_wait() -> None:
    """R1.6: only option legs come in sets; a share's breach is told at once."""
    shares, _ = fold([trade(0, 500, "90")])
    held = (Valued(shares, None, None, None),)
    found = replace(
        figures_of(exposures={"SPY": Decimal(45_000)}), positions=held, settling=settling(held, at(0))
    )
    assert one(readings(found, {}), "max_symbol_exposure", "SPY").level is Level.BREACH
