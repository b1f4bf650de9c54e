"""From readings to alerts: people hear of every change once, and of nothing that has not changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.messages import Alert, Severity
from stopline.rules.limits.registry import LIMITS, Level, Reading, level_of
from stopline.rules.limits.watch import Watched, blind_spots, data_alert, gone_alerts, limit_alerts, watch

from ..make import NOON, account, at

LOSS = LIMITS["max_daily_loss"]
VALUE = LIMITS["max_position_value"]
OK, WARN, BREACH, UNKNOWN = Level.OK, Level.WARN, Level.BREACH, Level.UNKNOWN


def reading(
    level: Level, current: str | None = "2.5", limit: object = LOSS, object_: str = "account"
) -> Reading:
    number = None if level is UNKNOWN or current is None else Decimal(current)
    return Reading(limit, object_, number, Decimal(3), level)  # type: ignore[arg-type]


def step(
    before: Mapping[str, Watched], level: Level, number: int = 0
) -> tuple[dict[str, Watched], list[Alert]]:
    read = [reading(level)]
    after = watch(read, before, at(number))
    return after, limit_alerts("demo", read, before, after, f"cause-{number}", at(number))


@pytest.mark.parametrize(
    ("levels", "told"),
    [
        ([OK, OK], []),
        ([WARN], [Severity.WARNING]),
        ([WARN, WARN, WARN], [Severity.WARNING]),
        ([BREACH, BREACH], [Severity.CRITICAL]),
        ([WARN, BREACH], [Severity.WARNING, Severity.CRITICAL]),
        ([BREACH, WARN, OK], [Severity.CRITICAL, Severity.WARNING, Severity.INFO]),
        ([BREACH, OK], [Severity.CRITICAL, Severity.WARNING]),  # who was alarmed gets the all-clear
        ([OK, UNKNOWN, OK], []),  # told by the data alert, once for all limits
        ([WARN, UNKNOWN, WARN], [Severity.WARNING]),
        ([BREACH, UNKNOWN, UNKNOWN, BREACH], [Severity.CRITICAL]),
        ([BREACH, UNKNOWN, OK], [Severity.CRITICAL, Severity.WARNING]),
        ([UNKNOWN, BREACH], [Severity.CRITICAL]),
        ([UNKNOWN, WARN], [Severity.WARNING]),
        ([OK, BREACH, OK, BREACH], [Severity.CRITICAL, Severity.WARNING, Severity.CRITICAL]),
    ],
    ids=lambda value: ">".join(getattr(v, "value", str(v)) for v in value),
)
def test_people_are_told_of_each_change_once(levels: list[Level], told: list[Severity]) -> None:
    """R2.12, domain 2.7."""
    before: dict[str, Watched] = {}
    alerts: list[Alert] = []
    for number, level in enumerate(levels):
        before, new = step(before, level, number)
        alerts += new
    assert [alert.severity for alert in alerts] == told


@given(st.lists(st.sampled_from(list(Level)), max_size=15))
def test_what_people_were_told_last_is_what_stands(levels: list[Level]) -> None:
    """R2.12, I7: after any history the last alert tells the level that is watched, and no two alerts share
    an id.
    """
    before: dict[str, Watched] = {}
    told, ids = OK, []
    for number, level in enumerate(levels):
        before, alerts = step(before, level, number)
        for alert in alerts:
            ids.append(alert.alert_id)
            told = OK if alert.resolved else BREACH if alert.severity is Severity.CRITICAL else WARN
        stands = before[LOSS.name + "|account"].level if before else OK
        assert told == (OK if stands is UNKNOWN else stands)
    assert len(set(ids)) == len(ids)


@given(st.lists(st.none() | st.integers(0, 40).map(lambda n: Decimal(n) / 10), max_size=30))
def test_a_breach_is_never_forgotten_because_the_number_went_missing(numbers: list[Decimal | None]) -> None:
    """I7: only a number that is clear of the limit ends a breach."""
    before: dict[str, Watched] = {}
    breached = False
    for number, current in enumerate(numbers):
        was = before["max_daily_loss|account"].level if before else OK
        read = [Reading(LOSS, "account", current, Decimal(3), level_of(current, Decimal(3), True, was))]
        before = watch(read, before, at(number))
        if current is not None:
            breached = current >= 3 or (breached and current > Decimal("2.85"))
        assert (bool(before) and before["max_daily_loss|account"].level is BREACH) == breached


def test_a_level_that_stands_keeps_its_time_and_its_first_number() -> None:
    first = watch([reading(WARN, "2.5")], {}, NOON)
    second = watch([reading(WARN, "2.9")], first, at(60))
    assert second == first
    assert first["max_daily_loss|account"] == Watched(WARN, NOON, Decimal("2.5"))


def test_the_unknown_is_watched_too() -> None:
    """I7: an account whose limits cannot be read is not shown as OK."""
    after = watch([reading(UNKNOWN)], {}, NOON)
    assert after["max_daily_loss|account"].level is UNKNOWN


def test_each_object_is_watched_for_itself() -> None:
    read = [reading(WARN, limit=VALUE, object_="SPY"), reading(BREACH, limit=VALUE, object_="QQQ")]
    after = watch(read, {}, NOON)
    alerts = limit_alerts("demo", read, {}, after, "c", NOON)
    assert {(a.object, a.severity) for a in alerts} == {("SPY", Severity.WARNING), ("QQQ", Severity.CRITICAL)}


def test_the_same_cause_gives_the_same_alerts_and_another_cause_others() -> None:
    """I5: a redelivered batch does not tell twice, the next breach is told again."""
    _, one = step({}, BREACH, 1)
    _, same = step({}, BREACH, 1)
    _, other = step({}, BREACH, 2)
    assert one == same
    assert one[0].alert_id != other[0].alert_id


def test_the_words_say_what_how_much_and_what_was_done() -> None:
    """R2.1: type, severity, current and limit; R6.2."""
    read = [reading(BREACH, "3.456")]
    [alert] = limit_alerts("demo", read, {}, watch(read, {}, NOON), "c", NOON)
    assert alert.summary == "Loss of the day is 3.46%, limit 3%: breached"
    assert alert.action.startswith("Orders that add risk are refused: by this limit")
    assert (alert.kind, alert.account, alert.cause) == ("max_daily_loss", "demo", "c")
    assert alert.figure is not None
    assert (alert.figure.current, alert.figure.limit, alert.figure.unit) == (Decimal("3.456"), 3, "%")


def test_a_limit_that_only_warns_does_not_claim_that_it_stopped_anything() -> None:
    """R6.2."""
    read = [reading(BREACH, "12", limit=VALUE, object_="SPY")]
    [alert] = limit_alerts("demo", read, {}, watch(read, {}, NOON), "c", NOON)
    assert alert.summary == "Position value of SPY is 12%, limit 3%: breached"
    assert alert.action.startswith("Nothing was stopped")


def test_a_warning_tells_the_share_of_the_limit() -> None:
    """R2.2."""
    read = [reading(WARN, "2.4")]
    [alert] = limit_alerts("demo", read, {}, watch(read, {}, NOON), "c", NOON)
    assert alert.summary == "Loss of the day is 2.4%, 80% of its limit 3%"


def test_a_limit_of_zero_does_not_make_the_watch_itself_fail() -> None:
    """F49, B73: settings that slipped in must not stop every other limit from being read."""
    none = Reading(VALUE, "SPY", Decimal(0), Decimal(0), level_of(Decimal(0), Decimal(0), False, OK))
    [alert] = limit_alerts("demo", [none], {}, watch([none], {}, NOON), "c", NOON)
    assert alert.summary == "Position value of SPY is 0%, all of its limit 0%"


def test_a_position_that_was_closed_ends_its_warning_once() -> None:
    """R2.12."""
    before = {
        "max_position_value|SPY": Watched(BREACH, NOON, Decimal(12)),
        "max_position_value|QQQ": Watched(UNKNOWN, NOON, None),
        "max_daily_loss|account": Watched(WARN, NOON, Decimal("2.5")),
    }
    [alert] = gone_alerts(account(), [reading(WARN)], before, "c", at(1))
    assert (alert.object, alert.kind, alert.resolved) == ("SPY", "max_position_value", True)
    assert alert.summary == "max position value: SPY is closed"
    assert "max_position_value|SPY" not in watch([reading(WARN)], before, at(1))


def test_a_limit_that_was_switched_off_is_not_called_a_closed_position() -> None:
    """R2.11: whoever was told of the breach is told that nobody watches it now."""
    before = {
        "max_position_value|SPY": Watched(BREACH, NOON, Decimal(12)),
        "max_daily_loss|account": Watched(WARN, NOON, Decimal("2.5")),
    }
    off = account(limits={"max_position_value": {"enabled": False}, "max_daily_loss": {"enabled": False}})
    gone, other = gone_alerts(off, [], before, "c", at(1))
    assert gone.summary == "max position value of SPY: the limit was switched off, nobody watches it"
    assert other.summary == "max daily loss: the limit was switched off, nobody watches it"
    assert (gone.severity, other.severity) == (Severity.WARNING, Severity.INFO)


def test_a_breach_that_grows_by_a_tenth_is_told_again_and_measured_from_there() -> None:
    """R2.12"""
    before: dict[str, Watched] = {}
    told = []
    for minute, percent in enumerate(("3", "3.29", "3.3", "3.5", "3.1", "3.63")):
        number = Decimal(percent)
        read = [Reading(LOSS, "account", number, Decimal(3), BREACH)]
        after = watch(read, before, at(minute))
        told += [a.summary for a in limit_alerts("demo", read, before, after, "c", at(minute))]
        before = after
    assert told == [
        "Loss of the day is 3%, limit 3%: breached",
        "Loss of the day is 3.3%, limit 3%: still breached",
        "Loss of the day is 3.63%, limit 3%: still breached",
    ]


# --- data ---


def test_a_feed_as_slow_as_a_price_may_be_old_raises_one_alert() -> None:
    """F32: a price each 61 s, and 60 s allowed: the alert stands until prices have come in time for 2 minutes."""
    blind: dict[str, datetime] = {}
    alerts = []
    for second in range(0, 1200, 5):
        slow = second < 600
        missing = ["SPY"] if slow and second % 61 >= 55 else []
        after = blind_spots(missing, {"SPY"}, blind, 60, NOON + timedelta(seconds=second))
        found = data_alert("demo", sorted(after), sorted(blind), "c", NOON + timedelta(seconds=second))
        alerts += [(second, found.resolved)] if found else []
        blind = after
    assert [resolved for _, resolved in alerts] == [False, True]
    assert 600 <= alerts[1][0] <= 725


def test_a_blind_spot_ends_with_its_position() -> None:
    assert blind_spots([], {"QQQ"}, {"SPY": NOON}, 60, at(0)) == {}


def test_a_changed_set_of_missing_prices_is_told_once() -> None:
    """I7, F32."""
    alert = data_alert("demo", ["SPY"], [], "c", NOON)
    assert alert is not None
    assert (alert.severity, alert.resolved) == (Severity.WARNING, False)
    assert "SPY" in alert.summary
    assert data_alert("demo", ["SPY"], ["SPY"], "d", NOON) is None
    assert data_alert("demo", ["A", "B"], ["B", "A"], "d", NOON) is None


def test_prices_that_are_back_are_told_and_resolve_the_alert() -> None:
    alert = data_alert("demo", [], ["SPY"], "c", NOON)
    assert alert is not None
    assert alert.resolved


def test_a_hundred_missing_prices_are_one_alert_of_bounded_length() -> None:
    """F23."""
    alert = data_alert("demo", [f"SPXW261118P0{n:07}" for n in range(100)], [], "c", NOON)
    assert alert is not None
    assert "and 95 more" in alert.summary
    assert len(alert.summary) < 300
