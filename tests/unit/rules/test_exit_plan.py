"""Settings of exits: inherited, switched off, checked; and when their time has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from stopline.model.calendars import calendar
from stopline.model.settings.exits import ExitSettings
from stopline.model.wire import describe
from stopline.rules.exits.plan import check_exits, deadlines, plan_of

from ..make import account
from .exit_paths import plan

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
        ({"strategies": {"x": {"trades": {"breakeven": "1R"}}}}, "exits.strategies.x.trades.stop_loss"),
    ],
)
def test_what_only_the_rules_know_is_refused_by_name(parts: dict[str, Any], fault: str) -> None:
    found = "; ".join(check_exits(account(exits=parts)))
    assert fault.replace("2% or", "90 or") in found


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
        ({"before_close_min": 10}, "2026-11-18T15:55", "2026-11-19T15:50"),
        ({"before_close_min": 10}, "2026-11-27T10:00", "2026-11-27T12:50"),  # the day after Thanksgiving
        ({"before_close_min": 0}, "2026-11-20T20:00", "2026-11-23T16:00"),
    ],
)
def test_the_clock_is_the_account_s(some: dict[str, Any], opened: str, expected: str) -> None:
    """R4.3: age, time of day, minutes before the close; early closes are known."""
    [(at, name)] = deadlines(plan(**some), local(opened), calendar("XNYS"), NEW_YORK)
    assert (at, name) == (local(expected), next(iter(some)).removesuffix("_min").removesuffix("_s"))


def test_a_futures_session_that_rolls_in_the_evening_ends_with_its_own_close() -> None:
    """R1.5."""
    [(at, _)] = deadlines(plan(before_close_min=30), local("2026-11-18T20:00"), calendar("CMES"), NEW_YORK)
    assert at.astimezone(ZoneInfo("America/Chicago")).strftime("%F %H:%M") == "2026-11-19 16:30"


def test_deadlines_come_in_their_order() -> None:
    found = deadlines(
        plan(max_age_s=7200, timeout_s=60, before_close_min=5),
        local("2026-11-18T10:00"),
        calendar("XNYS"),
        NEW_YORK,
    )
    assert [name for _, name in found] == ["timeout", "max_age", "before_close"]
    assert plan(stop_loss="1.5").stop_loss.value == Decimal("1.5")  # type: ignore[union-attr]
