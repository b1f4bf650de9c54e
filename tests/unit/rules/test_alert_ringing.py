"""Phones ring once for a story, and later for what nobody has taken."""

from __future__ import annotations

from datetime import timedelta

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
