"""What comes and goes is told as one thing, and no critical onset waits for that."""

from __future__ import annotations

import pytest

from stopline.rules.alerting.acknowledging import acknowledged

from .alert_account import Account


def flap(one: Account, times: int, on: float, off: float, severity: str = "critical") -> None:
    for _ in range(times):
        one.alert(severity, kind="broker_silent")
        one.wait(on)
        one.alert("info", kind="broker_silent", resolved=True)
        one.wait(off)


def test_an_end_is_told_when_it_has_lasted() -> None:
    """R2.12: a minute unless set otherwise; what begins again within it has not ended."""
    one = Account(keep_firing_s=60, escalate_after_s=[])
    one.alert("warning")
    assert one.alert("info", resolved=True) == "held"
    assert one.states() == {"max_daily_loss|account": "firing"}
    one.wait(30)
    assert one.alert("warning") == "repeated"
    assert one.wait(300) == []
    one.alert("info", resolved=True, summary="Loss of the day is 1%: clear")
    (over,) = one.wait(60)
    assert (over.alert.resolved, over.alert.summary) == (True, "Loss of the day is 1%: clear")
    assert one.states() == {"max_daily_loss|account": "resolved"}


def test_nobody_is_called_for_what_has_just_ended() -> None:
    """R6.3: its last minute of doubt is nobody's call."""
    one = Account(keep_firing_s=120, escalate_after_s=[120])
    one.alert()
    one.wait(100)
    one.alert("info", resolved=True)
    assert [n.stage for n in one.wait(600)] == [0]


def test_what_a_person_did_ends_at_once() -> None:
    """R5.1: trading goes on when somebody says so."""
    one = Account(keep_firing_s=60)
    one.alert(kind="trading_state", object="account:demo")
    assert one.alert("warning", kind="trading_state", object="account:demo", resolved=True) == "told"


@pytest.mark.parametrize(("on", "off"), [(20, 20), (60, 60), (150, 150), (290, 290), (170, 400), (40, 20)])
@pytest.mark.parametrize("keep", [0, 60])
def test_an_hour_of_flapping_is_a_handful_of_messages(on: float, off: float, keep: int) -> None:
    """F23: the onset, its first ends, that it is unstable, and how it ended."""
    one = Account(keep_firing_s=keep, escalate_after_s=[])
    flap(one, int(3600 / (on + off)), on, off)
    one.wait(700)
    assert len([n for n in one.told if n.ring != "phone"]) <= 8
    notes = [n.note for n in one.told]
    assert [note for note in notes if note.startswith("unstable: it began 3 times since 10:0")]
    assert one.told[-1].alert.resolved
    assert one.told[-1].note.startswith("it began ")
    assert one.states() == {"broker_silent|account": "resolved"}


def test_what_stays_after_all_is_told_once_more() -> None:
    one = Account(escalate_after_s=[])
    flap(one, 3, 20, 20, "warning")
    one.alert("warning", kind="broker_silent")
    (calm,) = one.wait(700)
    assert calm.note == "it began 4 times in 3 min, and stands since"
    assert not calm.alert.resolved


def test_a_warning_that_flaps_is_told_at_once_when_it_becomes_critical() -> None:
    """R6.1"""
    one = Account()
    flap(one, 5, 20, 20, "warning")
    assert one.alert("critical", kind="broker_silent") == "told"
    assert one.told[-1].ring == "usual"


def test_what_flaps_and_nobody_takes_escalates() -> None:
    """R6.3: while it is on; taken once, it is taken while it flaps."""
    one = Account(keep_firing_s=60)
    flap(one, 20, 40, 20)
    assert [n.stage for n in one.told if n.stage] == [1, 2, 3]
    one = Account(keep_firing_s=60)
    flap(one, 3, 40, 20)
    one.state, _ = acknowledged(one.state, "", "ann", one.now)
    flap(one, 20, 40, 20)
    assert [n for n in one.told if n.stage > 1] == []


def test_the_end_said_twice_is_told_once() -> None:
    """R0.3: with another id."""
    for keep in (0, 60):
        one = Account(keep_firing_s=keep)
        one.alert()
        for _ in range(2):
            one.wait(90)
            one.alert("info", resolved=True, summary="over")
        one.wait(90)
        assert [n.alert.summary for n in one.told if n.alert.resolved] == ["over"]
