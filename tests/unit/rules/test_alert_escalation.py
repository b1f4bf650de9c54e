"""What is critical and taken by nobody gets to everybody of the escalation, and behind them to the operator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from stopline.model.notices import Notice
from stopline.rules.alerting.acknowledging import acknowledged, others_told

from .alert_account import NOW, Account


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
    """R6.3: after 16 minutes all whose time has come are called at once, the operator once."""
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


def test_those_who_were_called_hear_who_has_it() -> None:
    """R6.3: the account's people and each next person that was called; not the one who has it."""
    one = Account(
        people=[{"name": n, "recipients": {"sms": ["+14155550122"]}} for n in ("bob", "cay")],
        escalate_to=["bob", "cay"],
    )
    one.alert()
    one.alert("warning", kind="max_drawdown")
    one.wait(300)
    for who, stages in (("ann", [0, 1, 2]), ("bob", [0, 2])):
        after, taken = acknowledged(one.state, "", who, one.now)
        _, notices = others_told(after, taken, who, one.manner, one.now, leave_out="m")
        assert [(n.stage, n.leave_out) for n in notices] == [(stage, "m") for stage in stages]
        assert notices[0].alert.summary == f"{who} has it: Loss of the day is too much"
    one = Account(quiet={"start": "00:00", "end": "23:59"})
    one.alert("warning")
    after, taken = acknowledged(one.state, "", "ann", one.now)
    assert taken
    assert others_told(after, taken, "ann", one.manner, one.now) == (after, ())  # nobody was told of it


def test_nobody_acknowledges_so_the_next_person_is_told() -> None:
    """R6.3, F24: at 2, 5 and 15 minutes, then again after an hour."""
    one = Account()
    one.alert()
    told = one.wait(20 * 60)
    minutes = [int((n.decided_at - NOW).total_seconds() / 60) for n in told if n.decided_at]
    assert (minutes, [n.stage for n in told]) == ([2, 5, 15], [1, 2, 3])
    assert told[0].note == "nobody has acknowledged it for 2 min"
    again = one.wait(3600)
    assert [(n.stage, n.note) for n in again] == [(0, "still so")]


def test_who_was_called_for_an_incident_hears_the_rest_of_it_every_five_minutes() -> None:
    """R6.3, F24: thirty positions that breach one after the other are no thirty calls to the operator."""
    one = Account()
    for n in range(30):
        one.alert(object=f"S{n}")
        one.wait(60)
    one.wait(20 * 60)
    escalated = [n for n in one.told if n.stage]
    began = {n.stage: n.decided_at for n in reversed(escalated)}
    assert began == {stage: NOW + timedelta(minutes=at) for stage, at in ((1, 2), (2, 5), (3, 15))}
    assert len(escalated) <= 3 + 45 // 5
    assert {id_ for n in escalated for id_ in n.covers} == {f"a{n}" for n in range(1, 31)}


@pytest.mark.parametrize("ending", ["acknowledged", "resolved"])
def test_escalation_ends_when_somebody_takes_it_or_it_is_over(ending: str) -> None:
    """R6.3"""
    one = Account()
    one.alert()
    one.wait(130)
    if ending == "acknowledged":
        one.state, _ = acknowledged(one.state, "a1", "ann", one.now)
    else:
        one.alert("warning", resolved=True)
    assert one.wait(8 * 3600) == []


def test_a_second_breach_after_the_acknowledgement_escalates_on_its_own() -> None:
    """R6.3: somebody has taken the first one, not the one that came later."""
    one = Account()
    one.alert()
    one.state, _ = acknowledged(one.state, "", "ann", one.now)
    one.wait(60)
    one.alert(object="B")
    (notice,) = one.wait(130)
    assert (notice.stage, notice.alert.object) == (1, "B")


def test_a_warning_that_somebody_took_fires_anew_when_it_becomes_critical() -> None:
    """R6.3"""
    one = Account()
    one.alert("warning")
    one.state, _ = acknowledged(one.state, "", "ann", one.now)
    assert one.alert() == "told"
    assert one.states() == {"max_daily_loss|account": "firing"}
    assert [n.stage for n in one.wait(130)] == [1]


def test_the_times_of_the_escalation_can_be_set() -> None:
    """R6.3: configurable."""
    one = Account(escalate_after_s=[60, 600])
    one.alert()
    assert [n.stage for n in one.wait(60)] == [1]
    one.now += timedelta(hours=1)
    assert [n.stage for n in one.wait(60)] == [2]


def test_acknowledging_one_alert_takes_its_incident_and_no_other() -> None:
    """R6.3: by the start of an alert's id."""
    one = Account(escalate_after_s=[])
    one.alert(object="A", alert_id="aaaa1111")
    one.alert(object="B", alert_id="bbbb1111")
    one.alert("warning", object="A", resolved=True)
    one.alert("warning", object="B", resolved=True)
    one.wait(3000)
    one.alert(object="C", alert_id="cccc1111")
    one.alert(object="D", alert_id="dddd1111")
    one.state, taken = acknowledged(one.state, "cccc", "ann", one.now)
    assert {s.alert.object for s in taken} == {"C", "D"}
    assert acknowledged(one.state, "nothing", "ann", one.now)[1] == ()
