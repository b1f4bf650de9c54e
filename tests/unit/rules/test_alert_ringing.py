"""Phones ring once for a story, and later for what nobody has taken."""

from __future__ import annotations

from datetime import datetime, timedelta

from stopline.rules.alerting.acknowledging import acknowledged

from .alert_account import NOW, Account


def test_what_has_doubled_since_phones_rang_rings_at_once() -> None:
    """R6.1: a loss of 3.1 % that becomes one of 6.2 % is no update."""
    one = Account()
    outcomes = [one.alert(current=current) for current in ("3.1", "4", "6.2", "7")]
    assert outcomes == ["told", "held", "told", "held"]
    assert [n.ring for n in one.told] == ["usual", "usual"]


def test_phones_ring_once_for_an_incident_and_later_for_what_nobody_has_taken() -> None:
    """R6.1: the second critical alert is told at once, without a ring; five minutes after the first ring it rings."""
    one = Account(escalate_after_s=[])
    one.alert()
    one.wait(60)
    assert one.alert(kind="max_drawdown") == "told"
    assert [n.ring for n in one.told] == ["usual", "quiet"]
    (late,) = one.wait(600)
    assert (late.ring, late.alert.kind) == ("phone", "max_drawdown")
    assert late.decided_at == NOW + timedelta(minutes=5)
    one.wait(60)
    assert one.alert(kind="excessive_loss") == "told"
    assert one.told[-1].ring == "usual"  # five minutes have passed: the next new one rings at once


def test_no_phone_rings_late_for_what_somebody_has_taken() -> None:
    """R6.3"""
    one = Account()
    one.alert()
    one.alert(kind="max_drawdown")
    one.state, _ = acknowledged(one.state, "", "ann", one.now)
    assert one.wait(3600) == []


def test_another_incident_rings_whatever_rang_before() -> None:
    """R6.1: the end of the first story does not silence the next one."""
    one = Account(ring_every_s=86_400, escalate_after_s=[])
    one.alert(object="A")
    one.alert("warning", object="A", resolved=True)
    one.wait(1200)
    one.alert(object="B")
    assert [(n.alert.object, n.ring) for n in one.told if n.alert.severity.value == "critical"] == [
        ("A", "usual"),
        ("B", "usual"),
    ]


def test_what_waits_for_its_ring_is_not_put_off_by_what_is_newer() -> None:
    """R6.1: each time the five minutes were over something new rang first, and the second alert never did."""
    one = Account(escalate_after_s=[])
    one.alert()
    one.wait(60)
    assert one.alert(object="waits") == "told"
    for number in range(6):  # new ones, each a second before the sweep that would ring
        one.wait(239 if number == 0 else 298)
        one.now += timedelta(seconds=1)
        one.alert(object=f"S{number}")
        one.wait(1)
    assert _first_ring(one, "a2") <= NOW + timedelta(minutes=5, seconds=2)


def test_what_waits_for_its_ring_is_not_put_off_by_what_doubles() -> None:
    """R6.1: a loss that doubles every four minutes rings each time, and the other one after its five minutes."""
    one = Account(escalate_after_s=[])
    one.alert(current="1")
    one.wait(60)
    one.alert(object="waits")
    for number in range(1, 6):
        one.wait(180 if number == 1 else 240)
        one.alert(current=str(2**number))
    assert _first_ring(one, "a2") == NOW + timedelta(minutes=5)


def test_what_moves_while_it_waits_rings_when_its_time_is_over() -> None:
    """R6.1: a move waits for five minutes after the last news of it; the ring does not."""
    one = Account(escalate_after_s=[])
    one.alert()
    one.wait(60)
    one.alert(object="waits", current="3.1")
    one.wait(60)
    assert one.alert(object="waits", current="4") == "held"
    one.wait(600)
    assert _first_ring(one, "a2") == NOW + timedelta(minutes=5)


def _first_ring(one: Account, alert_id: str) -> datetime:
    """Return when phones first rang for an alert, or for a later one of its condition."""
    key = next(n.alert.object for n in one.told if n.alert.alert_id == alert_id)
    ids = {id_ for s in one.state.standing.values() if s.alert.object == key for id_ in s.seen}
    return min(n.decided_at for n in one.told if n.ring != "quiet" and n.decided_at and ids & set(n.covers))
