"""What happens once is told each time, ends by itself, and is no storm."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.notices import Notice
from stopline.rules.alerting.acknowledging import acknowledged
from stopline.rules.alerting.incidents import Incidents

from .alert_account import NOW, Account

EXIT = {
    "kind": "exit",
    "object": "trade 4f1c0e7a",
    "summary": "Stop loss of SPY (default): price 97 reached 98",
}
REFUSED = {"kind": "quarantine", "object": "fills CONFLICTING_DUPLICATE"}


def ack(one: Account) -> None:
    one.state, _ = acknowledged(one.state, "", "ann", one.now)


def own(told: Sequence[Notice]) -> list[Notice]:
    """Return the messages that are no escalation."""
    return [n for n in told if not n.stage]


def number(notice: Notice) -> int:
    """Return how many events a message tells."""
    head = notice.alert.summary.split(" more ")[0]
    return int(head) if head.isdigit() else 1


@pytest.mark.parametrize(
    ("kind", "object_", "severity"),
    [
        ("exit", "trade 4f1c0e7a", "critical"),
        ("overfilled", "s:SPX", "critical"),
        ("closing_refused", "trade 4f1c0e7a", "critical"),
        ("leg_alone", "SPX", "critical"),
        ("large_slippage", "SPX", "warning"),
        ("amendment_unmatched", "SPX", "warning"),
        ("quarantine", "fills CONFLICTING_DUPLICATE", "critical"),
    ],
)
@pytest.mark.parametrize("taken", [True, False])
def test_the_second_one_is_told_like_the_first(kind: str, object_: str, severity: str, taken: bool) -> None:
    """R2.12: a person has the first; the second, with the same words, is another."""
    one = Account(escalate_after_s=[])
    for minutes in (0, 180):
        one.now = NOW + timedelta(minutes=minutes)
        assert one.alert(severity, kind=kind, object=object_, current="300") == "told"
        if taken:
            ack(one)
    assert [n.alert.alert_id for n in own(one.told) if n.alert.kind == kind][::-1][0] == "a2"


def test_seventy_one_in_a_day_are_some_messages_that_count_them_all() -> None:
    """F23: a refused fill every 20 minutes, the first of them taken by somebody."""
    one = Account()
    one.alert(**REFUSED)
    ack(one)
    for _ in range(71):
        one.wait(20 * 60)
        one.alert(**REFUSED)
    one.wait(3600)
    told = own(one.told)[1:]
    fresh = [n for n in told if "acknowledged" not in n.note]
    assert sum(map(number, fresh)) == 71
    assert {f"a{n}" for n in range(1, 73)} <= {id_ for n in one.told for id_ in n.covers}
    print(
        f"72 refused fills in a day, the first one taken: {len(one.told)} messages, calls and reminders too"
    )
    assert len(one.told) < 71
    assert any(
        "more since " in n.alert.summary and "(quarantine), the last: " in n.alert.summary for n in fresh
    )


def test_a_burst_is_told_one_by_one_and_then_together() -> None:
    """F23: forty in a minute: three alone, the others after five minutes with their number."""
    one = Account(escalate_after_s=[])
    outcomes = [one.alert(**REFUSED) for _ in range(40)]
    assert (outcomes.count("told"), outcomes.count("held")) == (3, 37)
    assert one.wait(240) == []
    (rest,) = [n for n in one.wait(120) if n.ring != "phone"]
    assert rest.alert.summary.startswith("37 more since 10:02 (quarantine), the last: ")
    assert rest.alert.severity.value == "critical"


def test_more_than_a_message_can_name_are_counted() -> None:
    one = Account(escalate_after_s=[])
    for _ in range(203):
        one.alert(**REFUSED)
    (rest,) = [n for n in one.wait(360) if n.ring != "phone"]
    assert (rest.alert.summary[:8], len(rest.covers), rest.more) == ("200 more", 100, 100)


def test_an_event_that_comes_twice_is_one_also_when_it_is_forgotten() -> None:
    """R0.3"""
    one = Account()
    assert [one.alert("warning", alert_id="x", **REFUSED) for _ in range(3)] == ["told", "known", "known"]
    one.state = one.state.model_copy(update={"standing": {}})
    assert one.alert("warning", alert_id="x", **REFUSED) == "known"


def test_an_event_that_nobody_takes_rings_for_four_hours_and_no_longer() -> None:
    """R6.3: the escalation, three reminders an hour apart, and it is over; it is never `still so`."""
    one = Account()
    one.alert(**EXIT)
    told = one.wait(3 * 86_400)
    assert [n.stage for n in told] == [1, 2, 3, 0, 0, 0]
    assert [n.note for n in own(told)] == [
        "nobody has acknowledged it",
        "nobody has acknowledged it",
        "nobody has acknowledged it and this is the last reminder",
    ]
    last = own(told)[-1].decided_at
    assert last is not None
    assert last < NOW + timedelta(hours=4)
    assert one.state.live() == []


@pytest.mark.parametrize(
    ("event", "end"),
    [
        (EXIT, {"kind": "closed", "object": "trade 4f1c0e7a"}),
        (EXIT, {"kind": "flat", "object": "account:demo"}),
        (EXIT | {"kind": "exit_stuck"}, {"kind": "closed", "object": "trade 4f1c0e7a"}),
        ({"kind": "closing_stuck", "object": "account:demo"}, {"kind": "flat", "object": "account:demo"}),
        (
            {"kind": "closing_stuck", "object": "account:demo"},
            {"kind": "closing_stuck", "object": "account:demo"},
        ),
        (
            {"kind": "strategy_stopped", "object": "condors"},
            {"kind": "strategy_stopped", "object": "condors"},
        ),
        ({"kind": "not_flat", "object": "account:demo"}, {"kind": "flat", "object": "account:demo"}),
        ({"kind": "closing_stuck", "object": "A"}, {"kind": "closing_stuck", "object": "A"}),
        ({"kind": "leg_alone", "object": "SPX"}, {"kind": "leg_alone", "object": "SPX"}),
        ({"kind": "breaker", "object": "loss"}, {"kind": "breaker", "object": "loss"}),
        ({"kind": "breaker", "object": "loss"}, {"kind": "trading_state", "object": "account:demo"}),
        (
            {"kind": "strategy_stopped", "object": "condors"},
            {"kind": "trading_state", "object": "strategy:demo:condors"},
        ),
        (REFUSED | {"cause": "m-1"}, REFUSED | {"cause": "m-1"}),
    ],
)
def test_what_says_that_it_is_over_ends_it(event: dict[str, Any], end: dict[str, Any]) -> None:
    """R6.3: nobody is called any more; the same of another trade, strategy or message goes on."""
    one = Account()
    one.alert(**event)
    other = (
        event
        | {"object": "trade other", "cause": "m-2"}
        | ({"object": REFUSED["object"]} if "cause" in event else {})
    )
    if end["object"] != "account:demo":
        one.alert(**other)
    one.wait(60)
    one.alert("info", resolved=True, **end)
    assert [s.alert.cause or s.alert.object for s in one.state.live()] == (
        [] if end["object"] == "account:demo" else [other["cause"]]
    )


@pytest.mark.parametrize(
    ("event", "end"),
    [
        (EXIT, {"kind": "closed", "object": "trade 4f1c0e7a"}),
        ({"kind": "closing_stuck", "object": "account:demo"}, {"kind": "flat", "object": "account:demo"}),
        ({"kind": "not_flat", "object": "account:demo"}, {"kind": "flat", "object": "account:demo"}),
        ({"kind": "breaker", "object": "loss"}, {"kind": "breaker", "object": "loss"}),
    ],
)
def test_an_end_that_comes_late_ends_nothing_that_was_raised_after_it(
    event: dict[str, Any], end: dict[str, Any]
) -> None:
    """R6.3"""
    one = Account()
    early = one.now.isoformat()
    one.wait(300)
    one.alert(**event)
    one.alert("info", resolved=True, raised_at=early, **end)
    assert [s.alert.kind for s in one.state.live()] == [event["kind"]]
    assert any(n.stage for n in one.wait(600))


def test_an_exit_that_comes_behind_its_close_is_told_as_over() -> None:
    """R2.12: once, without a ring, and nobody is called; one that was raised after the close is an exit like any."""
    one = Account()
    early = one.now.isoformat()
    one.wait(4)
    one.alert("info", kind="closed", object=EXIT["object"], resolved=True)
    assert one.alert(raised_at=early, **EXIT) == "told"
    assert [(n.note, n.ring) for n in one.told[1:]] == [("it came late, and is over", "quiet")]
    assert one.wait(7200) == []
    one.alert(**EXIT)
    assert len(one.state.live()) == 1


@pytest.mark.parametrize(("cause", "leave", "left"), [("b-1", "5", 0), ("b-0", "5", 1), ("b-0", None, 0)])
def test_what_is_closed_in_part_ends_only_the_exit_that_asked_for_it(
    cause: str, leave: str | None, left: int
) -> None:
    """R6.3: the scale-out of before is done, and the stop that came meanwhile is not."""
    one = Account()
    one.alert(cause="b-1", **EXIT)
    one.wait(5)
    part = {"figure": {"current": leave, "unit": "units"}} if leave else {}
    one.alert("info", kind="closed", object=EXIT["object"], cause=cause, resolved=True, **part)
    assert len(one.state.live()) == left


@pytest.mark.parametrize("scope", ["account:demo", "underlying:demo:condors", "strategy:demo:other"])
def test_a_stopped_strategy_stands_until_that_strategy_is_resumed(scope: str) -> None:
    """R6.3: what resumes the account, an underlying of the same name or another strategy leaves it stopped."""
    one = Account()
    one.alert(kind="strategy_stopped", object="condors")
    one.alert("warning", kind="trading_state", object=scope, resolved=True)
    assert [s.alert.kind for s in one.state.live()] == ["strategy_stopped"]


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        ("strategy:demo:condors", {"exit", "closing_stuck", "leg_alone", "not_flat account:demo"}),
        ("underlying:demo:SPX", {"exit", "closing_stuck", "exit_stuck", "not_flat account:demo"}),
        (
            "strategy:demo:other",
            {"exit", "closing_stuck", "exit_stuck", "leg_alone", "not_flat account:demo"},
        ),
        ("account:demo", set()),
    ],
)
def test_a_flat_strategy_or_underlying_ends_only_what_belongs_to_it(scope: str, left: set[str]) -> None:
    """R6.3: a trade of another strategy whose stop was not closed keeps calling."""
    one = Account(per_minute=60)
    one.alert(**EXIT)
    one.alert(kind="closing_stuck", object="account:demo")
    one.alert(kind="exit_stuck", object="condors")
    one.alert(kind="leg_alone", object="SPX")
    one.alert(kind="not_flat", object="account:demo")
    if scope != "account:demo":
        one.alert(kind="not_flat", object=scope)
        one.alert(kind="closing_waits", object=scope)
    one.wait(60)
    one.alert("warning", kind="flat", object=scope, resolved=True)
    found = {
        f"{s.alert.kind} {s.alert.object}" if s.alert.kind == "not_flat" else s.alert.kind
        for s in one.state.live()
    }
    assert found == left


def test_a_resumed_strategy_ends_no_breaker_of_the_same_name() -> None:
    one = Account()
    one.alert(kind="breaker", object="loss")
    one.alert("warning", kind="trading_state", object="strategy:demo:loss", resolved=True)
    assert [s.alert.kind for s in one.state.live()] == ["breaker"]


def test_refused_messages_that_are_told_as_one_end_one_by_one() -> None:
    """R6.3: the reminder counts what is not settled, and with the last one nobody is called any more."""
    one = Account()
    for n in range(6):
        one.alert(cause=f"m-{n}", **REFUSED)
    one.wait(360)
    for n in range(5):
        one.alert("info", cause=f"m-{n}", resolved=True, **REFUSED)
    (rest,) = one.state.live()
    assert (rest.count, [c.cause for c in rest.causes], rest.alert.summary[:7]) == (1, ["m-5"], "1 more ")
    one.alert("info", cause="m-5", resolved=True, **REFUSED)
    assert one.state.live() == []
    assert [n for n in one.wait(6 * 3600) if n.stage or "nobody" in n.note] == []


def test_refused_messages_that_are_settled_before_they_are_told_are_told_and_over() -> None:
    """F23: by their ids, and nobody is called."""
    one = Account()
    for n in range(6):
        one.alert(cause=f"m-{n}", **REFUSED)
    for n in range(6):
        one.alert("info", cause=f"m-{n}", resolved=True, **REFUSED)
    told = one.wait(6 * 3600)
    assert {"a4", "a5", "a6"} <= {id_ for n in told for id_ in n.covers}
    assert not any(n.stage or "nobody" in n.note for n in told)


def test_a_warning_that_was_stored_as_standing_is_over_with_the_first_check() -> None:
    """R0.3: only what is critical waits for somebody."""
    one = Account()
    one.alert("warning", kind="mine", object="SPX", summary="Closing SPX cost 300 USD more")
    one.state = Incidents.model_validate_json(one.state.model_dump_json().replace('"mine', '"large_slippage'))
    assert one.wait(60) == []
    assert one.state.live() == []


def test_a_taken_event_leaves_the_list_after_a_while() -> None:
    one = Account()
    one.alert(**EXIT)
    ack(one)
    one.wait(540)
    assert len(one.state.live()) == 1
    assert one.wait(86_400) == []
    assert one.state.live() == []


def test_two_events_of_one_object_in_quiet_hours_are_both_told_in_the_morning() -> None:
    """R6.1: the first, which cost more, too."""
    one = Account(quiet={"start": "09:00", "end": "10:30"})
    for current in ("900", "120"):
        slip = {"kind": "large_slippage", "object": "SPX", "summary": f"Closing SPX cost {current} USD more"}
        assert one.alert("warning", current=current, **slip) == "held"
    (notice,) = one.wait(1800)
    assert [line.split(" cost ")[1] for line in notice.lines] == ["900 USD more", "120 USD more"]


def test_a_critical_event_does_not_wait_with_warnings_of_its_kind() -> None:
    one = Account()
    for _ in range(5):
        one.alert("warning", **REFUSED)
    assert one.alert("critical", **REFUSED) == "told"


def test_what_was_stored_before_events_had_keys_is_read_and_ends() -> None:
    """R0.3: its id is known, the next exit is another, and it rings no longer than any."""
    one = Account()
    one.alert("critical", kind="mine", object="SPY", summary=EXIT["summary"])
    text = one.state.model_dump_json(exclude={"runs", "unfollowed"}).replace('"mine', '"exit')
    one.state = Incidents.model_validate_json(text)
    assert one.alert(alert_id="a1", **EXIT | {"object": "SPY"}) == "known"
    assert one.alert(**EXIT | {"object": "SPY"}) == "told"
    one.wait(86_400)
    assert one.state.live() == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["critical", "warning", "info"]),
            st.sampled_from(["exit", "quarantine", "reduction"]),
            st.sampled_from(["A", "B"]),
            st.sampled_from([0, 1, 20, 61, 400, 4000]),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_every_event_is_told_in_some_message(story: list[tuple[str, str, str, int, bool]]) -> None:
    """F23, R2.12: whatever came before it and whoever has taken that; their number is the number that is told."""
    one = Account(repeat_critical_s=7 * 86_400)  # no reminders among the counts
    for severity, kind, object_, pause, taken in story:
        one.wait(pause)
        one.alert(severity, kind=kind, object=object_)
        if taken:
            ack(one)
    one.wait(2 * 86_400)
    one.wait(7 * 86_400 if any(s.untold for s in one.state.standing.values()) else 0)
    assert {f"a{n}" for n in range(1, one.count + 1)} <= {id_ for n in one.told for id_ in n.covers}
