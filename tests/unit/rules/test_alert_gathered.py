"""Events that are told as one: who stands among them is counted, and one that stands is never told as over."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from stopline.rules.alerting.acknowledging import acknowledged
from stopline.rules.alerting.incidents import Incidents, Standing

from .alert_account import NOW, Account
from .test_alert_events import EXIT, REFUSED, own


def burst(one: Account, number: int = 3) -> datetime:
    """Let a run begin, so that the next one waits; return the moment."""
    for n in range(number):
        one.alert(cause=f"m-{n}", **REFUSED)
    return one.now


def waiting(one: Account) -> Standing:
    (found,) = [s for s in one.state.standing.values() if s.gathered and s.untold]
    return found


def test_one_that_comes_when_all_that_waited_are_settled_is_the_first() -> None:
    """R6.3: it is told as it is, escalates, and those before it are named."""
    one = Account()
    burst(one, 5)
    for n in (3, 4):
        one.alert("info", cause=f"m-{n}", resolved=True, **REFUSED)
    assert waiting(one).note == "it is settled"
    one.wait(10)
    one.alert(cause="m-9", summary="m-9 was refused", **{k: v for k, v in REFUSED.items() if k != "summary"})
    assert (waiting(one).count, waiting(one).note, waiting(one).live) == (1, "", True)
    told = [n for n in own(one.wait(360)) if any("m-9" in text for text in (n.alert.summary, *n.lines))]
    lines = [line for n in told for line in n.lines]
    assert "CRITICAL 1 more since 10:02 (quarantine), the last: m-9 was refused" in lines
    assert {"a4", "a5", "a8"} <= {id_ for n in told for id_ in n.covers}


def test_one_that_joins_what_came_late_is_not_late() -> None:
    """R6.3"""
    one = Account(escalate_after_s=[])
    early = one.now.isoformat()
    one.wait(10)
    for _ in range(3):
        one.alert(**EXIT)
    one.alert("info", kind="closed", object=EXIT["object"], resolved=True)
    one.now += timedelta(seconds=1)
    assert one.alert(raised_at=early, **EXIT) == "held"
    assert waiting(one).note == "it came late, and is over"
    one.now += timedelta(seconds=20)
    one.alert(**EXIT)
    assert waiting(one).incident == one.state.incident
    (told,) = one.wait(360)
    assert (told.note, told.alert.summary[:21], told.ring) == ("", "1 more since 10:02 (e", "usual")
    assert told.covers == ("a6", "a5")


def test_one_that_came_late_is_not_counted_with_those_that_stand() -> None:
    """R6.3: nor is it the last of them."""
    one = Account(escalate_after_s=[])
    early = one.now.isoformat()
    one.wait(5)
    one.alert("info", kind="closed", object=EXIT["object"], resolved=True)
    for _ in range(4):
        one.alert(**EXIT)
    before = waiting(one)
    one.alert(raised_at=early, **EXIT)
    after = waiting(one)
    assert (after.count, after.alert, after.live, after.seen) == (1, before.alert, True, ("a5", "a6"))


def test_an_end_settles_nothing_that_was_raised_after_it() -> None:
    """R6.3: the same message was refused again; the news that it was redriven comes from before."""
    one = Account()
    early = burst(one, 4)
    one.now += timedelta(seconds=60)
    one.alert(cause="m-3", **REFUSED)
    one.alert("info", cause="m-3", resolved=True, raised_at=early.isoformat(), **REFUSED)
    rest = waiting(one)
    assert (rest.live, rest.count, [c.cause for c in rest.causes]) == (True, 1, ["m-3"])
    one.alert("info", cause="m-3", resolved=True, **REFUSED)
    assert not waiting(one).live


def test_what_somebody_has_taken_or_heard_is_joined_by_nothing() -> None:
    """R6.3: the next one is another, which nobody has taken."""
    one = Account()
    burst(one, 4)
    one.state, _ = acknowledged(one.state, "a4", "ann", one.now)
    one.now += timedelta(seconds=5)
    one.alert(cause="m-5", **REFUSED)
    assert sorted((s.count, s.acknowledged_by) for s in one.state.standing.values() if s.gathered) == [
        (1, ""),
        (1, "ann"),
    ]


@pytest.mark.parametrize("moment", ["stored", "now"])
def test_causes_that_were_stored_without_their_moment_are_read_and_end(moment: str) -> None:
    """R0.3"""
    one = Account()
    burst(one, 5)
    if moment == "stored":
        state = one.state.model_dump(mode="json")
        for s in state["standing"].values():
            s["causes"] = [c["cause"] for c in s["causes"]]
        one.state = Incidents.model_validate(state)
    for n in (3, 4):
        one.alert("info", cause=f"m-{n}", resolved=True, raised_at=NOW.isoformat(), **REFUSED)
    assert not waiting(one).live


def test_what_ends_before_it_is_told_is_told_as_over() -> None:
    """R2.12: in quiet words, and no phone rings."""
    one = Account(per_minute=1, escalate_after_s=[])
    one.alert(**EXIT | {"object": "trade 1"})
    one.alert(**EXIT)
    one.alert("info", kind="closed", object=EXIT["object"], resolved=True)
    (told,) = [n for n in one.wait(60) if "a2" in n.covers]
    assert told.lines[0] == f"CRITICAL {EXIT['summary']} (it is over)"
    assert told.ring == "quiet"


def test_one_that_begins_anew_belongs_to_the_story_of_now() -> None:
    """R6.2: phones have rung for that a minute ago."""
    one = Account(escalate_after_s=[])
    early = one.now.isoformat()
    one.wait(10)
    for _ in range(3):
        one.alert(**EXIT)
    one.alert("info", kind="closed", object=EXIT["object"], resolved=True)
    one.now += timedelta(seconds=1)
    one.alert(raised_at=early, **EXIT)
    one.now += timedelta(minutes=20)  # the sweep is silent
    one.alert()
    one.now += timedelta(seconds=1)
    one.alert(**EXIT)
    assert one.told[-1].incident == waiting(one).incident != one.told[0].incident
    assert [n.ring for n in one.wait(60)] == ["quiet"]


def test_a_condition_that_another_kind_has_ended_before_it_was_told_keeps_its_place() -> None:
    """R6.3: its own end says less than it did."""
    one = Account(per_minute=1, escalate_after_s=[])
    flat = {"object": "account:demo"}
    one.alert(kind="not_flat", object="strategy:demo:other")
    one.alert(kind="not_flat", summary="Account demo is flat by its fills only", **flat)
    one.alert("info", kind="flat", resolved=True, **flat)
    one.alert("info", kind="not_flat", resolved=True, **flat)
    lines = [line for n in one.wait(60) for line in n.lines]
    assert "CRITICAL Account demo is flat by its fills only (it has eased or ended since)" in lines
