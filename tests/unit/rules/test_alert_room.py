"""A hundred are followed: what is critical and nobody has taken has its place among them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stopline.rules.alerting.acknowledging import acknowledged
from stopline.rules.alerting.room import KNOWN, LISTED

from .alert_account import Account


def test_what_nobody_has_taken_escalates_however_much_somebody_has() -> None:
    """F24: a hundred acknowledged alerts take no place from a new one."""
    one = Account()
    for number in range(KNOWN):
        one.alert(object=f"A{number}")
    one.state, _ = acknowledged(one.state, "", "ann", one.now)
    one.now += timedelta(hours=1)
    one.alert(object="new")
    assert one.states()["max_daily_loss|new"] == "firing"
    assert any(notice.stage for notice in one.wait(600))


def test_a_critical_alert_beyond_what_is_followed_is_told_all_the_same() -> None:
    """F23: it takes the place of a warning, else it is in the digest."""
    one = Account(per_minute=60)
    one.alert("warning", object="W")
    for n in range(KNOWN + 30):
        one.alert(object=f"S{n}")
    assert "max_daily_loss|W" not in one.state.standing
    (digest,) = one.wait(60)
    assert (
        digest.alert.summary
        == "72 more alerts, 71 critical: max daily loss 71; 1 are not followed: more than 100 stand"
    )
    assert {id_ for n in one.told for id_ in n.covers} == {f"a{n}" for n in range(1, KNOWN + 32)}


def test_beyond_a_thousand_more_they_are_only_counted() -> None:
    """F23"""
    one = Account()
    for n in range(KNOWN + LISTED + 7):
        one.alert(object=f"S{n}")
    (digest,) = one.wait(60)
    assert digest.more == 7
    assert digest.alert.summary.startswith(f"{KNOWN + LISTED + 7 - 5} more alerts")


def test_the_untold_end_of_a_critical_condition_keeps_its_place() -> None:
    """R6.3: people were woken by it and have not heard that it is over; a hundred others stand."""
    one = Account(per_minute=1, ring_every_s=60)
    one.alert(kind="max_exposure", object="first")
    one.alert("info", kind="max_exposure", object="first", resolved=True)  # over its budget: it waits
    first = one.state.standing["max_exposure|first"]
    assert (first.live, first.untold, first.wakes) == (False, True, True)
    for number in range(KNOWN):
        one.alert("warning", kind="stale_prices", object=f"S{number}")
    one.alert("warning", kind="stale_prices", object="more")
    assert "max_exposure|first" in one.state.standing
    assert any("a2" in notice.covers for notice in one.wait(120))


def test_a_resume_is_told_and_ends_what_it_ends_whatever_stands() -> None:
    """R6.3: a hundred critical alerts stand; what a person does to the trading state is told all the same."""
    one = Account()
    one.alert(kind="breaker", object="loss")
    for n in range(KNOWN + 20):
        one.alert(kind="max_position_loss", object=f"P{n}")
    resumed = {"kind": "trading_state", "object": "account:demo"}
    assert one.alert("warning", resolved=True, **resumed) == "told"
    assert "breaker" not in {s.alert.kind for s in one.state.live()}
    one.alert(kind="max_position_loss", object="last")
    assert one.alert(**resumed) == "told"
    assert one.told[-1].alert.kind == "trading_state"
    assert len(one.state.standing) <= KNOWN + 1


@pytest.mark.parametrize("end", [{"severity": "info", "resolved": True}, {"severity": "warning"}])
def test_a_new_critical_alert_takes_the_place_of_what_is_over(end: dict[str, Any]) -> None:
    """R6.3: it is followed and escalates; what was critical and is over is told by its ids, and rings nobody."""
    one = Account()
    loss: dict[str, Any] = {"kind": "max_position_loss"}
    for n in range(KNOWN):
        one.alert(object=f"P{n}", **loss)
    one.now += timedelta(seconds=5)
    for n in range(KNOWN):
        one.alert(object=f"P{n}", **loss, **end)
    one.now += timedelta(seconds=5)
    assert one.alert(alert_id="big") == "told"
    assert one.states()["max_daily_loss|account"] == "firing"
    assert len(one.state.standing) <= KNOWN
    told = one.wait(180)
    assert {f"a{n}" for n in range(1, KNOWN + 1)} <= {id_ for n in one.told for id_ in n.covers}
    assert any(n.stage and "big" in n.covers for n in told)
    assert not any("P" in n.alert.object and n.ring == "usual" for n in told if n.alert.kind != "digest")
    (digest,) = [n for n in told if n.alert.kind == "digest"]
    assert digest.ring == "quiet"
    assert " critical, " in digest.alert.summary
    assert " were: max position loss" in digest.alert.summary


def test_the_untold_end_of_a_critical_condition_is_named_when_a_critical_one_takes_its_place() -> None:
    """R6.3"""
    one = Account(per_minute=1, escalate_after_s=[])
    one.alert(kind="max_exposure", object="first")
    one.alert("info", kind="max_exposure", object="first", resolved=True)
    for number in range(KNOWN):
        one.alert(kind="stale_prices", object=f"S{number}")
    assert "max_exposure|first" not in one.state.standing
    assert one.states()[f"stale_prices|S{KNOWN - 1}"] in ("pending", "firing")
    assert any("a2" in notice.covers for notice in one.wait(120))


def test_an_event_that_is_over_and_loses_its_place_is_named() -> None:
    """R2.12"""
    one = Account(per_minute=1, escalate_after_s=[])
    exit_: dict[str, Any] = {"kind": "exit", "object": "trade 4f1c0e7a"}
    for _ in range(5):
        one.alert(**exit_)
    one.alert("info", kind="closed", object=exit_["object"], resolved=True)
    for number in range(KNOWN + 5):
        one.alert(object=f"S{number}")
    assert {f"a{n}" for n in range(1, 6)} <= {id_ for n in [*one.told, *one.wait(400)] for id_ in n.covers}


def test_quiet_hours_hold_back_how_many_warnings_are_not_followed() -> None:
    """R6.1: at 23:30 a hundred stand; one more warning wakes nobody, and is a number at 07:00."""
    one = Account(quiet={"start": "23:00", "end": "07:00"}, escalate_after_s=[])
    for n in range(KNOWN):
        one.alert(object=f"S{n}")
    one.wait(120)
    one.state, _ = acknowledged(one.state, "", "ann", one.now)
    one.now = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)  # 23:30 in New York
    one.alert("warning", kind="stale_prices", object="more")
    one.alert("warning", kind="stale_prices", object="still more")
    assert one.wait(7 * 3600 + 1800 - 60) == []
    (digest,) = [n for n in one.wait(120) if n.alert.kind == "digest"]
    assert digest.decided_at == datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    assert digest.alert.summary == "2 more alerts, 0 critical; 2 are not followed: more than 100 stand"
