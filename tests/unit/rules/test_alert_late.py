"""A backlog comes without order: what is critical in it is told, and is no storm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from .alert_account import Account


def backlog(one: Account, number: int, **changes: str) -> list[str]:
    """Raise critical alerts of the minutes before now, and return what became of them."""
    began = one.now - timedelta(minutes=5)
    return [
        one.alert(raised_at=(began + timedelta(milliseconds=n)).isoformat(), current=str(3 + n), **changes)
        for n in range(number)
    ]


def test_a_backlog_behind_the_end_of_its_condition_is_two_messages() -> None:
    """R0.3, F23: the first is told at once and rings, all others are named by one digest that rings nobody."""
    one = Account()
    one.alert("info", resolved=True)
    assert backlog(one, 200) == ["told"] + ["held"] * 199
    assert one.wait(240) == []
    (digest,) = one.wait(60)
    assert digest.alert.summary == "199 more alerts, 199 critical: max daily loss (late) 199"
    assert (digest.alert.severity.value, digest.ring) == ("critical", "quiet")
    told = [n for n in one.told if n.alert.severity.value == "critical"]
    assert [n.ring for n in told] == ["usual", "quiet"]
    assert {id_ for n in told for id_ in n.covers} == {f"a{n}" for n in range(2, 202)}
    assert one.wait(3 * 3600) == []
    assert one.states() == {"max_daily_loss|account": "resolved"}


def test_a_backlog_of_many_conditions_keeps_the_budget_and_rings_once() -> None:
    """F23: five single messages of a kind in a minute, and one digest in the next."""
    one = Account()
    for n in range(20):
        one.alert("info", kind="position_break", object=f"S{n}", resolved=True)
    one.wait(120)
    before = len(one.told)
    outcomes = [
        outcome for n in range(20) for outcome in backlog(one, 1, kind="position_break", object=f"S{n}")
    ]
    assert (outcomes.count("told"), outcomes.count("held")) == (5, 15)
    one.wait(60)
    told = one.told[before:]
    assert [n.ring for n in told] == ["usual"] + ["quiet"] * 5
    assert told[-1].alert.summary == "15 more alerts, 15 critical: position break 15"


def test_beyond_a_thousand_late_ones_they_are_counted() -> None:
    """F23"""
    one = Account(ring_every_s=0)
    one.alert("info", resolved=True)
    backlog(one, 1011)
    (digest,) = one.wait(60)
    assert (len(digest.covers), digest.more) == (1000, 10)


def test_what_comes_late_says_nothing_to_people_who_know_that_it_is_critical() -> None:
    """R6.2: they have read the newer news of it."""
    one = Account()
    one.alert()
    assert backlog(one, 3) == ["late"] * 3
    assert [n for n in one.wait(110) if not n.stage] == []


def test_late_news_of_a_new_onset_are_told_again() -> None:
    """R0.3: what was told of the last time is no reason to be silent now."""
    one = Account()
    for _ in range(2):
        one.alert("warning")
        assert backlog(one, 1) == ["told"]
        one.alert("info", resolved=True)
        one.wait(600)


@pytest.mark.parametrize("minutes", [0, 20, 59, 60, 80])
def test_quiet_hours_in_the_repeated_hour_end_after_they_hold(minutes: int) -> None:
    """R6.1: 01:30 comes twice when clocks go back; a warning never waits for a moment that has passed."""
    one = Account(quiet={"start": "01:00", "end": "01:30"})
    one.now = datetime(2026, 11, 1, 5, 0, tzinfo=UTC) + timedelta(minutes=minutes)  # 01:00 in New York, EDT
    until = one.manner.quiet_until(one.now)
    clock = minutes % 60
    assert until == (one.now + timedelta(minutes=30 - clock) if clock < 30 else None)
