"""What does not come alone comes in a digest, and nothing critical is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.rules.alerting.acknowledging import acknowledged
from stopline.rules.alerting.incidents import AlertState
from stopline.rules.alerting.lifecycle import IDS
from stopline.rules.alerting.room import KNOWN, LISTED
from stopline.rules.alerting.rounds import COVERED

from .alert_account import Account


def test_a_digest_of_news_is_not_headed_resolved() -> None:
    """R6.2."""
    one = Account()
    for number in range(9):
        one.alert("info", kind="exit", object=f"S{number}", summary=f"Scaled out S{number}")
    [digest] = [notice for notice in one.wait(120) if notice.alert.kind == "digest"]
    assert not digest.alert.resolved


def test_all_clears_beside_a_critical_come_in_one_message() -> None:
    """R6.2: the channel's room is for what is critical."""
    one = Account()
    for number in range(20):
        one.alert("warning", kind=f"k{number}")
    one.now += timedelta(seconds=61)
    one.alert(kind="trading_state", object="account:demo")
    before = len(one.told)
    for number in range(20):
        one.alert("info", kind=f"k{number}", resolved=True)
    assert len(one.told) == before
    assert len(one.wait(60)) == 1


def test_quiet_hours_hold_back_what_is_not_critical_and_nothing_else() -> None:
    """R6.1: at 23:30 a breach wakes people, a warning waits for 07:00 and comes with the others of the night."""
    one = Account(quiet={"start": "23:00", "end": "07:00"})
    one.now = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)  # 23:30 in New York
    assert one.alert("warning", object="A") == "held"
    assert one.alert("info", kind="heartbeat") == "held"
    assert one.alert("critical", object="B") == "told"
    assert one.wait(60) == []
    one.state, _ = acknowledged(one.state, "", "ann", one.now)
    one.alert("critical", object="B", resolved=True)
    told = one.wait(7 * 3600 + 1800 - 120)
    assert told == []
    (notice,) = one.wait(120)
    assert notice.decided_at == datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    assert notice.alert.summary.startswith("2 more alerts")


def test_more_than_the_budget_of_a_minute_comes_in_a_digest() -> None:
    """F23: five single messages of a kind, then one that names or counts all others."""
    one = Account()
    outcomes = [one.alert(object=f"S{n}") for n in range(50)]
    assert (outcomes.count("told"), outcomes.count("held")) == (5, 45)
    (digest,) = one.wait(60)
    assert digest.alert.summary == "45 more alerts, 45 critical: max daily loss 45"
    assert len(digest.lines) == 20
    assert {id_ for n in one.told for id_ in n.covers} == {f"a{n}" for n in range(1, 51)}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["critical", "warning", "info"]),
            st.sampled_from(["max_daily_loss", "max_drawdown", "stale_prices"]),
            st.sampled_from(["account", "A", "B"]),
            st.booleans(),
            st.sampled_from([0, 1, 20, 61, 400]),
        ),
        max_size=60,
    ),
    st.booleans(),
)
def test_every_critical_condition_is_told_and_messages_are_bounded(
    story: list[tuple[str, str, str, bool, int]], quiet: bool
) -> None:
    """F23, R6.3: whatever comes in which order; the bound is per kind and minute, plus digests and escalations."""
    one = Account(**({"quiet": {"start": "00:00", "end": "23:59"}} if quiet else {}))
    critical: dict[str, int] = {}
    for severity, kind, object_, resolved, pause in story:
        one.wait(pause)
        assert not pause or not _unrung(one)
        if severity == "critical" and not resolved and not _is_critical(one, f"{kind}|{object_}"):
            critical[f"a{one.count + 1}"] = one.count + 1
        one.alert(severity, kind=kind, object=object_, resolved=resolved)
    one.wait(180)
    assert set(critical) <= {id_ for n in one.told for id_ in n.covers}
    for kind in ("max_daily_loss", "max_drawdown", "stale_prices"):
        at = [n.decided_at for n in one.told if n.alert.alert_id[0] == "a" and n.alert.kind == kind]
        for moment in at:
            assert moment is not None
            within = [a for a in at if a and moment <= a < moment + timedelta(seconds=60)]
            assert len(within) <= 5
    assert not [s for s in one.state.standing.values() if s.critical and s.live and s.told_at is None]
    one.wait(600)
    assert not _unrung(one)


def _unrung(one: Account) -> list[str]:
    """Return what was told as critical, for the first time or as a reminder after an hour, and has not rung five minutes
    later, at the sweep after them. A reminder a moment ago waits for its ring as news does: it may be on its way. For what
    has ended, and is unstable, nobody is called while its end waits to be believed.
    """
    since = one.now - timedelta(seconds=300 + 60)
    standing = one.state.standing.items()
    found = {key: s for key, s in standing if s.critical and s.live and not (s.rang or s.ending)}
    return [key for key, s in found.items() if s.told_at is not None and s.told_at <= since]


def _is_critical(one: Account, key: str) -> bool:
    known = one.state.standing.get(key)
    return known is not None and known.critical and known.state is not AlertState.RESOLVED


def test_a_digest_covers_the_latest_alert_of_each_of_a_hundred_conditions() -> None:
    """R6.3: an account that has eight alerts of each loses none of them."""
    one = Account(per_minute=1)
    for turn in range(IDS):
        for number in range(KNOWN):
            one.alert(kind="max_position_value", object=f"S{number}", current=str(3 * 2**turn))
    one.wait(60)
    covered = {id_ for notice in one.told for id_ in notice.covers}
    assert len(one.state.standing) == KNOWN
    assert all(set(s.seen) <= covered for s in one.state.standing.values())


def test_what_a_notice_covers_begins_with_the_latest_alert_of_each_condition() -> None:
    """R6.3: what does not fit is the older alerts of a condition, never the condition."""
    one = Account(quiet={"start": "09:00", "end": "10:30"})
    for turn in range(2):
        for number in range(3):
            one.alert("warning", kind="max_exposure", object=f"S{number}", current=str(1 + turn))
    (notice,) = one.wait(1800)
    assert notice.covers == ("a4", "a5", "a6", "a1", "a2", "a3")
    assert COVERED + LISTED <= 2000  # as a notice takes them


@pytest.mark.parametrize("keep", [0, 5])
@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("warned", [True, False])
def test_a_critical_alert_that_eases_before_anybody_was_told_is_told(
    keep: int, ends: bool, warned: bool
) -> None:
    """R6.3: the messages of the minute were used up, and it was over before the digest."""
    one = Account(keep_firing_s=keep)
    limit = {"kind": "max_position_loss"}
    if warned:
        one.alert("warning", object="PX", alert_id="w", **limit)
    for n in range(5):
        one.alert(object=f"P{n}", **limit)
    assert one.alert(object="PX", alert_id="lost", summary="PX lost 25 %", **limit) == "held"
    one.now += timedelta(seconds=5)
    if not (warned and ends):
        one.alert("warning", object="PX", summary="PX lost 9 %", **limit)
    one.now += timedelta(seconds=5)
    if ends:
        one.alert("info", object="PX", summary="PX is clear", resolved=True, **limit)
    (notice,) = [n for n in one.wait(120) if "lost" in n.covers]
    said = (f"CRITICAL {notice.alert.summary} ({notice.note})", *notice.lines)
    assert "CRITICAL PX lost 25 % (it has eased or ended since)" in said
    assert notice.alert.severity.value == "critical"


def test_a_digest_of_what_was_critical_and_is_over_rings_nobody() -> None:
    """R6.1: eight losses a minute that come and go within five seconds: phones ring once in five minutes."""
    one = Account(escalate_after_s=[])
    for minute in range(12):
        for n in range(8):
            one.alert(kind="max_position_loss", object=f"P{minute}-{n}")
        one.now += timedelta(seconds=5)
        for n in range(8):
            one.alert("info", kind="max_position_loss", object=f"P{minute}-{n}", resolved=True)
        one.now -= timedelta(seconds=5)
        one.wait(60)
    rung = [n for n in one.told if n.alert.severity.value == "critical" and n.ring != "quiet"]
    assert [n.decided_at.minute for n in rung if n.decided_at] == [2, 7, 12]
    past = [n for n in one.told if " critical, " in n.alert.summary]
    assert {n.ring for n in past} == {"quiet"}
    assert past[0].alert.summary.startswith("11 more alerts, 0 critical, 3 were: max position loss")


def test_a_critical_alert_told_alone_says_that_it_tells_the_one_that_waited() -> None:
    """R2.12: the messages of the minute were used up for the first; the second of the condition comes a minute later."""
    one = Account(per_minute=1)
    one.alert(object="other")
    assert one.alert() == "held"
    one.now += timedelta(seconds=61)
    assert one.alert() == "told"
    assert one.told[-1].covers == ("a3", "a2")
    one.wait(120)
    assert [n.covers for n in one.told if "a2" in n.covers and not n.stage] == [("a3", "a2")]
