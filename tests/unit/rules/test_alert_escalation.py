"""What is critical and taken by nobody gets to everybody of the escalation, and behind them to the operator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from stopline.model.notices import Notice
from stopline.rules.alerting.acknowledging import acknowledged

from .test_alert_lifecycle import NOW, Account


def on_call(number: int, **chosen: object) -> Account:
    names = [f"p{n}" for n in range(1, number + 1)]
    people = [{"name": n, "recipients": {"email": [f"{n}@example.com"]}} for n in names]
    return Account(people=people, escalate_to=names, **chosen)


def calls(told: Sequence[Notice]) -> list[tuple[int, int]]:
    """Return minute and stage of the messages to next persons."""
    found = [(n.decided_at, n.stage) for n in told if n.decided_at and n.stage]
    return [(int((at - NOW).total_seconds() / 60), stage) for at, stage in found]


@pytest.mark.parametrize(
    ("people", "after", "expected"),
    [
        (2, [120, 300, 900], [(2, 1), (5, 2), (15, 3)]),
        (3, [120, 300, 900], [(2, 1), (5, 2), (15, 3), (25, 4)]),
        (4, [120, 300, 900], [(2, 1), (5, 2), (15, 3), (25, 4), (35, 5)]),
        (2, [300], [(5, 1), (10, 2), (15, 3)]),
        (2, [], []),
    ],
)
def test_the_operator_is_called_behind_the_last_person(
    people: int, after: list[int], expected: list[tuple[int, int]]
) -> None:
    """R6.3, F24: where there are more people than times, the last interval repeats."""
    one = on_call(people, escalate_after_s=after, repeat_critical_s=86_400)
    one.alert()
    assert calls(one.wait(3000)) == expected


@pytest.mark.parametrize(
    ("people", "stages"), [(3, [1, 2, 3]), (2, [1, 2, 3]), (1, [1, 3]), (0, [3])], ids=str
)
def test_a_silent_sweep_leaves_nobody_out_and_calls_nobody_twice(people: int, stages: list[int]) -> None:
    """R6.3, F26: after 16 minutes all whose time has come are called at once, the operator once."""
    one = on_call(people)
    one.alert()
    one.alert(object="B")
    one.now += timedelta(minutes=15)
    told = one.wait(60)
    assert calls(told) == [(16, stage) for stage in stages]
    called = [n for n in told if n.stage]
    assert len({n.alert.alert_id for n in called}) == len(stages)
    assert {n.covers for n in called} == {("a1", "a2")}


def test_the_rest_of_an_incident_calls_those_again_who_missed_it() -> None:
    """R6.3: what waited because they were called a moment ago leaves nobody out either."""
    one = on_call(3, ring_every_s=86_400)
    one.alert()
    one.wait(120)
    one.alert(object="B")
    assert calls(one.wait(300)) == [(5, 2)]  # p2 hears both; p1 is not called again
    assert one.told[-1].covers == ("a1", "a2")


@pytest.mark.parametrize("between", ["over", "eased"])
def test_what_comes_and_goes_gets_to_the_next_person(between: str) -> None:
    """R6.3, F24: a minute on, half a minute off; the times count from when people were first told."""
    one = on_call(2)
    for _ in range(15):
        one.alert(kind="broker_down")
        one.wait(60)
        one.alert("info" if between == "over" else "warning", kind="broker_down", resolved=between == "over")
        one.wait(30)
    assert [stage for _, stage in calls(one.told)] == [1, 2, 3]
    assert calls(one.told)[-1][0] <= 17


def test_what_comes_back_after_somebody_took_it_or_long_after_begins_anew() -> None:
    """R6.3: nobody is called at once for what he has not had two minutes to take."""
    for seconds, taken in ((60, True), (1200, False)):
        one = on_call(2)
        one.alert(kind="max_exposure")
        one.state, _ = acknowledged(one.state, "", "ann", one.now)
        one.alert(kind="broker_down")  # keeps the incident
        one.wait(30)
        if taken:
            one.state, _ = acknowledged(one.state, "", "ann", one.now)
        one.alert("info", kind="broker_down", resolved=True)
        one.wait(seconds)
        assert calls(one.told) == []
        one.alert(kind="broker_down")
        assert len({n.incident for n in one.told}) == 1
        assert calls(one.wait(60)) == []
        assert [stage for _, stage in calls(one.wait(60))] == [1]


def test_what_was_a_warning_for_long_in_between_begins_anew() -> None:
    """R6.3: ten minutes count from when it was critical, not from its last news."""
    one = on_call(2)
    one.alert(current="3.1")
    for current in ("2.9", "2.5", "2.1", "2.5"):
        one.wait(60)
        one.alert("warning", current=current)
        one.wait(240)
    one.alert(current="3.2")
    assert len({n.incident for n in one.told}) == 1
    assert calls(one.wait(60)) == []
    assert calls(one.wait(60)) == [(22, 1)]


def test_a_warning_that_people_knew_of_gives_them_the_whole_time_when_it_becomes_critical() -> None:
    """R6.3: escalation counts from when they were told that it is critical."""
    one = on_call(1)
    one.alert("warning")
    one.wait(300)
    one.alert("info", resolved=True)
    one.alert()
    assert calls(one.wait(60)) == []
    assert calls(one.wait(60)) == [(7, 1)]


def test_the_call_for_another_incident_does_not_wait() -> None:
    """R6.3: who was called a moment ago for one story has not heard of the next."""
    one = on_call(1, ring_every_s=86_400)
    one.alert(object="A")
    one.wait(120)
    one.alert("info", object="A", resolved=True)
    one.wait(720)
    one.alert(object="B")
    assert calls(one.wait(120)) == [(16, 1)]
