"""What stands stays in the list, what nobody has heard of is taken by nobody, and a wrong clock silences nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from stopline.model.notices import Notice
from stopline.model.settings.alerts import Hours
from stopline.rules.alerting.acknowledging import acknowledged
from stopline.rules.alerting.room import KNOWN

from .alert_account import NOW, Account


def ack(one: Account, reference: str = "") -> list[str]:
    one.state, taken = acknowledged(one.state, reference, "ann", one.now)
    return [s.alert.object for s in taken]


def still(told: list[Notice]) -> list[str]:
    return [n.note for n in told if not n.stage]


def test_what_somebody_has_taken_stays_in_the_list_and_is_told_each_day() -> None:
    """R6.3: a break that nobody mends; the same news of it on the second day is no onset."""
    one = Account()
    one.alert(kind="position_break", object="SPX")
    ack(one)
    assert still(one.wait(3 * 86_400)) == ["ann has it, still so"] * 3
    assert {n.ring for n in one.told[1:]} == {"quiet"}
    assert one.alert(kind="position_break", object="SPX") == "repeated"
    assert one.states() == {"position_break|SPX": "acknowledged"}


def test_a_warning_that_stands_is_told_as_long_as_it_does() -> None:
    """R6.3"""
    one = Account()
    one.alert("warning", kind="max_margin_use")
    assert len(one.wait(3 * 86_400)) == 12
    one.alert("info", kind="max_margin_use", resolved=True)
    assert one.wait(90_000) == []
    assert one.state.standing == {}  # what is over is forgotten


def test_a_dead_address_that_somebody_took_is_forgotten() -> None:
    """R6.1: it may have been taken away, and then nobody says that it works."""
    one = Account()
    one.alert("warning", kind="channel_failed", object="discord webhook")
    ack(one)
    one.wait(90_000)
    assert one.state.standing == {}


def test_more_than_can_be_followed_is_said() -> None:
    """F23: what loses its place, and warnings that get none, are a number in the next digest."""
    one = Account(per_minute=60)
    for n in range(KNOWN):
        one.alert("warning", kind="max_exposure", object=f"W{n}")
    one.alert("warning", kind="max_exposure", object="more")
    one.alert("critical", object="C")
    (digest,) = one.wait(60)
    assert digest.alert.summary.endswith("; 2 are not followed: more than 100 stand")
    assert digest.alert.severity.value == "warning"
    assert (
        digest.total == 42
    )  # forty over the budget of a minute, less the one that lost its place to C, and these two
    assert len(one.state.standing) == KNOWN


def test_what_nobody_has_heard_of_is_taken_by_its_own_id_only() -> None:
    """R6.3: five of six were told within the minute's budget."""
    one = Account()
    for n in range(6):
        one.alert(kind="orphan_leg", object=f"T{n}")
    assert ack(one, "a1") == ["T0", "T1", "T2", "T3", "T4"]
    assert ack(one, "orphan_leg") == []
    assert one.states()["orphan_leg|T5"] == "pending"
    assert [n.alert.object for n in one.wait(180) if n.stage] == ["T5"]
    two = Account(per_minute=1)
    two.alert(object="A")
    two.alert(object="B", alert_id="own")
    assert ack(two, "own") == ["A", "B"]


@pytest.mark.parametrize(
    "reference", ["m", "max", "max_", "max_dail", "max_daily_loss|", "1f2", "max_daily_loss|acc"]
)
def test_a_few_letters_take_nothing(reference: str) -> None:
    """R6.3: a slip of the finger must not end the escalation of everything whose kind begins so."""
    one = Account()
    one.alert(alert_id="1f2e3d4c")
    one.alert(kind="max_exposure", alert_id="ffff3d4c")
    assert ack(one, reference) == []
    assert any(n.stage for n in one.wait(180))


@pytest.mark.parametrize("reference", ["1f2e", "1f2e3d4c", "max_daily_loss", "max_daily_loss|account"])
def test_four_characters_of_an_id_or_a_whole_kind_take_what_they_name(reference: str) -> None:
    """R6.3"""
    one = Account()
    one.alert(alert_id="1f2e3d4c")
    assert ack(one, reference) == ["account"]
    assert not any(n.stage for n in one.wait(180))


@pytest.mark.parametrize("ahead", [60, 61, 7200])
def test_a_clock_that_is_ahead_makes_its_news_no_newer(ahead: int) -> None:
    """R6.3: as with fills 60 s are borne; what says more is taken as raised now, and says so."""
    one = Account()
    one.alert("warning", raised_at=(NOW + timedelta(seconds=ahead)).isoformat())
    assert one.told[0].alert.raised_at == NOW
    assert ("The clock of who raised it is ahead" in one.told[0].alert.action) is (ahead > 60)
    one.wait(1)
    assert one.alert("critical") == "told"
    assert one.states() == {"max_daily_loss|account": "firing"}
    assert [n.stage for n in one.wait(120)] == [1]


def test_a_loss_of_the_day_says_nothing_of_one_position() -> None:
    """R2.12: another object."""
    one = Account()
    one.alert()
    assert one.alert("warning", kind="max_position_loss", object="SPX") == "held"
    assert one.alert("warning", kind="max_drawdown") == "silenced"
    assert [n.alert.object for n in one.wait(60)] == ["SPX"]


def test_a_call_for_fifty_counts_fifty() -> None:
    """R6.3"""
    one = Account(per_minute=60)
    for n in range(50):
        one.alert(object=f"S{n}")
    (call,) = one.wait(120)
    assert (call.stage, len(call.lines), call.total) == (1, 20, 50)


@pytest.mark.parametrize(
    ("at", "ends"),
    [("05:00", "07:00"), ("06:59", "07:00"), ("06:31", "07:00"), ("07:00", None)],
)
def test_quiet_hours_whose_end_the_clocks_skip_end_when_they_do(at: str, ends: str | None) -> None:
    """R6.1: in New York 02:30 does not exist on 8 March 2026: after 01:59 comes 03:00, which is 07:00 UTC."""
    hours = Hours(start="22:00", end="02:30")
    local = datetime.fromisoformat(f"2026-03-08T{at}+00:00").astimezone(ZoneInfo("America/New_York"))
    found = hours.ends_after(local).astimezone(UTC).strftime("%H:%M") if hours.covers(local) else None
    assert found == ends
