"""Settings of exits: inherited, switched off, checked; and when their time has come."""

from __future__ import annotations

from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from stopline.model.calendars import calendar
from stopline.model.settings.exits import ExitSettings, SetAt
from stopline.model.wire import describe
from stopline.rules.exits.faults import check_exits, trade_faults
from stopline.rules.exits.plan import deadlines, plan_of

from ..make import account
from .exit_paths import held, plan

NEW_YORK = ZoneInfo("America/New_York")


def settings(**parts: Any) -> ExitSettings:
    return ExitSettings.model_validate(parts)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


# --- inheritance ---


def test_a_trade_goes_before_its_strategy_and_that_before_the_account() -> None:
    """Issue 7, point 7: parameters per account, strategy and trade."""
    made = settings(
        trades={"stop_loss": "5%", "target": "10%", "confirm": 3},
        strategies={"condors": {"trades": {"stop_loss": "100%"}}},
        single={"T-1": {"stop_loss": "0"}},
    )
    stops = [str(plan_of(made, *which).stop_loss) for which in (("x",), ("condors",), ("condors", "T-1"))]
    assert stops == ["5%", "100%", "0"]
    assert str(plan_of(made, "condors", "T-1").target) == "10%"
    assert plan_of(made, "condors").confirm == 3


def test_off_switches_off_what_would_be_inherited() -> None:
    made = settings(
        trades={"stop_loss": "5%", "max_age_s": 60}, single={"T-1": {"stop_loss": "off", "max_age_s": "off"}}
    )
    assert plan_of(made, "x", "T-1").is_empty
    assert not plan_of(made, "x").is_empty


@pytest.mark.parametrize("off", ["off", False])  # YAML reads off as false
def test_every_exit_can_be_switched_off(off: object) -> None:
    """As docs/exits.md says: of a list of steps too."""
    inherited = {
        "stop_loss": "5%",
        "target": "9%",
        "breakeven": "2%",
        "breakeven_offset": "1%",
        "trail": {"by": "percent", "amount": "1%"},
        "lock_in": [{"at": "5%", "keep": "2%"}],
        "scale_out": [{"at": "5%", "close": "50"}],
        "excessive_loss": "9%",
        "max_age_s": 60,
        "timeout_s": 60,
        "exit_at": "15:45",
        "before_close_min": 10,
        "health_below": 50,
    }
    made = settings(trades=inherited, single={"T-1": dict.fromkeys(inherited, off)})
    was, plan = plan_of(made, "x"), plan_of(made, "x", "T-1")
    bare = {f.name: f.default for f in fields(plan) if f.default is not MISSING and f.name != "closing"}
    assert {name for name, default in bare.items() if getattr(plan, name) != default} == set()
    assert {name for name, default in bare.items() if getattr(was, name) == default} == set()


def test_by_default_nothing_is_closed_and_what_is_set_is_closed() -> None:
    """R5.5."""
    nothing = plan_of(ExitSettings(), "x")
    assert nothing.is_empty
    assert (nothing.auto_close, nothing.confirm, nothing.price_max_age) == (True, 2, timedelta(seconds=30))


@pytest.mark.parametrize(
    "parts",
    [
        {"trades": {"auto_close": False}},
        {"strategies": {"x": {"auto_close": False}}},
        {"strategies": {"x": {"trades": {"auto_close": False}}}},
    ],
)
def test_auto_close_is_switched_off_per_account_and_per_strategy(parts: dict[str, Any]) -> None:
    """R5.5."""
    assert plan_of(settings(**parts), "x").auto_close is False


def test_a_switch_of_the_strategy_does_not_touch_another() -> None:
    assert plan_of(settings(strategies={"x": {"auto_close": False}}), "y").auto_close is True


def test_settings_come_back_from_storage_as_they_were() -> None:
    made = settings(
        trades={
            "stop_loss": "2%",
            "exit_at": "15:45",
            "trail": {"by": "atr", "amount": "2atr"},
            "target": "off",
        },
        strategies={"condors": {"arm": "5000", "giveback": "30", "floor_at": "0", "floor": "0"}},
        single={"T-1": {"scale_out": [{"at": "1R", "close": "50"}], "lock_in": []}},
    )
    assert ExitSettings.model_validate(made.model_dump(mode="json")) == made


# --- refused ---


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ({"trades": {"stop_loss": "-2%"}}, "trades.stop_loss"),
        ({"trades": {"stop_loss": 2}}, "trades.stop_loss"),
        ({"trades": {"stopp_loss": "2%"}}, "stopp_loss"),
        ({"trades": {"confirm": 0}}, "greater than or equal to 1"),
        ({"trades": {"exit_at": "25:00"}}, "time of day"),
        ({"trades": {"scale_out": [{"at": "1R", "close": "60"}, {"at": "2R", "close": "60"}]}}, "120 %"),
        ({"trades": {"scale_out": [{"at": "2R", "close": "6"}, {"at": "1R", "close": "6"}]}}, "beyond 2R"),
        ({"trades": {"scale_out": [{"at": "2R", "close": "0"}]}}, "above 0"),
        ({"strategies": {"x": {"arm": "5000"}}}, "arm needs giveback"),
        ({"strategies": {"x": {"giveback": "130"}}}, "at most 100"),
        ({"strategies": {"x": {"floor": "100"}}}, "belong together"),
        ({"strategies": {"x": {"floor": "100", "floor_at": "50"}}}, "trigger at once"),
        ({"strategies": {"x": {"drawdown_limit": "0"}}}, "above 0"),
        ({"strategies": {"x": {"floor_step": "10"}}}, "floor_step needs"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(parts: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**parts)
    assert fault in describe(refused.value)


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        (
            {"trades": {"trail": {"by": "magic", "amount": "2%"}}},
            "exits.trades.trail.by: there is no algorithm",
        ),
        ({"trades": {"stop_loss": "2R"}}, "exits.trades.stop_loss: takes"),
        ({"single": {"T-1": {"excessive_loss": "@90"}}}, "exits.single.T-1.excessive_loss: takes 2% or"),
        ({"trades": {"target": "2R"}}, "is needed to count in R"),
        (
            {"trades": {"lock_in": [{"at": "1%", "keep": "2%"}]}},
            "exits.trades.lock_in: at 1% it would keep 2%",
        ),
        ({"single": {"T-1": {"lock_in": [{"at": "5", "keep": "5"}]}}}, "exits.single.T-1.lock_in: at 5"),
        ({"trades": {"breakeven": "1%", "breakeven_offset": "2%"}}, "breakeven_offset: 2% is no less than"),
        ({"trades": {"breakeven_offset": "1%"}}, "exits.trades.breakeven_offset: needs breakeven"),
        ({"trades": {"stop_loss": "5%", "excessive_loss": "4%"}}, "excessive_loss: 4% is no farther than"),
        (
            {
                "trades": {"stop_loss": "5%"},
                "strategies": {"x": {"trades": {"excessive_loss": "5%"}}},
            },
            "exits.strategies.x.trades.excessive_loss: 5% is no farther than stop_loss 5%",
        ),
        (
            {
                "trades": {
                    "stop_loss": "2%",
                    "scale_out": [{"at": "1R", "close": "50"}, {"at": "3%", "close": "50"}],
                }
            },
            "scale_out: 1R, 3% have no order that always holds",
        ),
        (
            {"trades": {"exit_at": "16:00"}},
            "exit_at: 16:00 in America/New_York is outside the session of XNYS",
        ),
        ({"trades": {"before_close_min": 0}}, "before_close_min: 0 min before 16:00 is outside the session"),
        (
            {"trades": {"before_close_min": 390}},
            "before_close_min: 390 min before 16:00 is outside the session",
        ),
        ({"single": {"T-1": {"exit_at": "09:29"}}}, "exits.single.T-1.exit_at: 09:29"),
        ({"strategies": {"x": {"trades": {"breakeven": "1R"}}}}, "exits.strategies.x.trades.stop_loss"),
    ],
)
def test_what_only_the_rules_know_is_refused_by_name(parts: dict[str, Any], fault: str) -> None:
    found = "; ".join(check_exits(account(exits=parts)))
    assert fault.replace("2% or", "90 or") in found


@pytest.mark.parametrize(
    ("exits", "more"),
    [
        ({"exit_at": "15:59"}, {}),
        ({"before_close_min": 389}, {}),
        ({"before_close_min": 1200}, {"calendar": "CMES"}),
        ({"exit_at": "21:45"}, {"time_zone": "Europe/Berlin"}),  # 15:45 in New York
        ({"exit_at": "18:30"}, {"calendar": "CMES", "time_zone": "America/Chicago"}),
        ({"exit_at": "03:00"}, {"calendar": "24/7"}),
        ({"lock_in": [{"at": "2%", "keep": "0"}], "breakeven": "1%", "breakeven_offset": "0.2%"}, {}),
        ({"stop_loss": "5%", "excessive_loss": "8%"}, {}),
        ({"stop_loss": "@95", "excessive_loss": "8%"}, {}),  # which is farther, only a trade can tell
    ],
)
def test_what_can_be_meant_is_taken(exits: dict[str, Any], more: dict[str, Any]) -> None:
    assert check_exits(account(exits={"trades": exits}, **more)) == []


def test_a_switched_off_breakeven_leaves_its_inherited_offset_alone() -> None:
    parts = {
        "trades": {"breakeven": "1%", "breakeven_offset": "0.5%"},
        "strategies": {"x": {"trades": {"breakeven": "off"}}},
    }
    assert check_exits(account(exits=parts)) == []


@pytest.mark.parametrize(
    ("some", "fault"),
    [
        ({"lock_in": [{"at": "1%", "keep": "1.5"}]}, "lock_in: at 1% it would keep 1.5"),
        ({"breakeven": "1%", "breakeven_offset": "2"}, "breakeven_offset: 2 is no less than breakeven 1%"),
        ({"target": "2R"}, "is needed to count in R"),
        ({"stop_loss": "@101", "target": "2R"}, "@101 is not on the losing side of the entry 100"),
        ({"stop_loss": "0", "breakeven": "1R"}, "0 is not on the losing side"),
    ],
)
def test_with_its_entry_a_trade_s_distances_can_be_compared_in_all_units(
    some: dict[str, Any], fault: str
) -> None:
    """R4.2, R4.3: what would close at once, or never, is said by name."""
    assert fault in "; ".join(trade_faults(plan(**some), held()))
    mirrored = {**some, "stop_loss": "@99"} if some.get("stop_loss") == "@101" else some
    short = "; ".join(trade_faults(plan(**mirrored), held(side=-1)))
    assert fault.replace("@101", "@99") in short


@pytest.mark.parametrize(
    "some",
    [
        {"stop_loss": "@98", "target": "2R", "lock_in": [{"at": "1R", "keep": "1%"}]},  # 1R is 2 points
        {"stop_loss": "2atr", "target": "2R"},  # known when there are bars
        {"stop_loss": "@101"},  # into the profit, by hand
    ],
)
def test_a_trade_s_plan_that_can_be_meant_is_taken(some: dict[str, Any]) -> None:
    assert trade_faults(plan(**some), held()) == []


def test_an_account_that_never_closes_has_no_minutes_before_the_close() -> None:
    parts = {"trades": {"before_close_min": 10}}
    assert check_exits(account(exits=parts)) == []
    assert "never closes" in check_exits(account(exits=parts, calendar="24/7"))[0]


# --- deadlines ---


@pytest.mark.parametrize(
    ("some", "opened", "expected"),
    [
        ({"max_age_s": 3600}, "2026-11-18T10:00", "2026-11-18T11:00"),
        ({"timeout_s": 60}, "2026-11-18T10:00", "2026-11-18T10:01"),
        ({"exit_at": "15:45"}, "2026-11-18T10:00", "2026-11-18T15:45"),
        ({"exit_at": "15:45"}, "2026-11-18T15:45", "2026-11-19T15:45"),
        ({"exit_at": "15:45"}, "2026-11-20T15:50", "2026-11-23T15:45"),  # a Friday
        ({"before_close_min": 10}, "2026-11-18T10:00", "2026-11-18T15:50"),
        ({"before_close_min": 10}, "2026-11-18T15:55", "2026-11-18T15:55"),  # at once
        ({"before_close_min": 10}, "2026-11-18T16:00", "2026-11-19T15:50"),
        ({"exit_at": "15:45"}, "2026-11-27T10:00", "2026-11-27T12:45"),  # it closes at 13:00
        ({"exit_at": "15:45"}, "2026-11-27T12:50", "2026-11-30T15:45"),
        ({"exit_at": "12:30"}, "2026-11-27T10:00", "2026-11-27T12:30"),
        ({"before_close_min": 10}, "2026-11-27T10:00", "2026-11-27T12:50"),  # the day after Thanksgiving
        ({"before_close_min": 0}, "2026-11-20T20:00", "2026-11-23T16:00"),
    ],
)
def test_the_clock_is_the_account_s(some: dict[str, Any], opened: str, expected: str) -> None:
    """R4.3: age, time of day, minutes before the close; early closes are known."""
    [(at, name)] = deadlines(plan(**some), local(opened), calendar("XNYS"), NEW_YORK)
    assert (at, name) == (local(expected), next(iter(some)).removesuffix("_min").removesuffix("_s"))


@pytest.mark.parametrize(
    ("calendar_name", "zone", "clock", "opened", "expected"),
    [
        (
            "XNYS",
            "Asia/Kolkata",
            "01:00",
            "2026-11-20T10:00",
            "2026-11-20T14:30",
        ),  # Saturday there, Friday's session
        (
            "XNYS",
            "Europe/London",
            "20:30",
            "2026-03-10T10:00",
            "2026-03-10T15:45",
        ),  # 16:30 in these two weeks
        ("XNYS", "America/New_York", "15:45", "2026-11-25T15:50", "2026-11-27T12:45"),  # Thanksgiving between
        ("CMES", "America/Chicago", "18:30", "2026-11-20T12:00", "2026-11-22T19:30"),  # the Sunday evening
        ("24/7", "America/New_York", "03:00", "2026-11-20T12:00", "2026-11-21T03:00"),
    ],
)
def test_an_exit_at_is_in_a_session_whatever_the_account_s_zone(
    calendar_name: str, zone: str, clock: str, opened: str, expected: str
) -> None:
    """R4.3: on the day of the market, and before it closes."""
    [(at, _)] = deadlines(plan(exit_at=clock), local(opened), calendar(calendar_name), ZoneInfo(zone))
    assert at == local(expected)


def test_before_an_early_close_an_exit_at_is_as_far_from_it_as_the_account_says() -> None:
    """R4.3: `before_close_min` where it is set."""
    both = plan(exit_at="15:45", before_close_min=30)
    found = deadlines(both, local("2026-11-27T10:00"), calendar("XNYS"), NEW_YORK)
    assert found == [(local("2026-11-27T12:30"), "before_close"), (local("2026-11-27T12:30"), "exit_at")]


@pytest.mark.parametrize(
    ("some", "set_", "expected"),
    [
        ({"exit_at": "15:45"}, "2026-11-18T10:00", "2026-11-18T15:45"),
        ({"exit_at": "15:45"}, "2026-11-18T15:50", "2026-11-19T15:45"),
        ({"exit_at": "15:45"}, "2026-11-20T20:00", "2026-11-23T15:45"),  # a Friday
        ({"exit_at": "15:45"}, "2026-11-27T12:50", "2026-11-30T15:45"),  # the last quarter of an hour
        ({"before_close_min": 10}, "2026-11-18T10:00", "2026-11-18T15:50"),
        ({"before_close_min": 10}, "2026-11-18T15:55", "2026-11-18T15:55"),  # at once: it closes at 16:00
        ({"before_close_min": 10}, "2026-11-18T16:05", "2026-11-19T15:50"),
    ],
)
def test_a_time_of_day_that_is_set_on_a_trade_held_for_days_is_one_that_comes(
    some: dict[str, Any], set_: str, expected: str
) -> None:
    """R4.3, R4.7: today where it is still ahead, else of the next session; never one of before it was set."""
    set_at = SetAt.model_validate(dict.fromkeys(some, local(set_).isoformat()))
    opened = local("2026-11-12T10:00")
    [(at, _)] = deadlines(plan(**some), opened, calendar("XNYS"), NEW_YORK, set_at)
    assert at == local(expected)


def test_a_futures_session_that_rolls_in_the_evening_ends_with_its_own_close() -> None:
    """R1.5."""
    [(at, _)] = deadlines(plan(before_close_min=30), local("2026-11-18T20:00"), calendar("CMES"), NEW_YORK)
    assert at.astimezone(ZoneInfo("America/Chicago")).strftime("%F %H:%M") == "2026-11-19 15:30"


def test_deadlines_come_in_their_order() -> None:
    found = deadlines(
        plan(max_age_s=7200, timeout_s=60, before_close_min=5),
        local("2026-11-18T10:00"),
        calendar("XNYS"),
        NEW_YORK,
    )
    assert [name for _, name in found] == ["timeout", "max_age", "before_close"]
    assert plan(stop_loss="1.5").stop_loss.value == Decimal("1.5")  # type: ignore[union-attr]
