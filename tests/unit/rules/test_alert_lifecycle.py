"""People hear what is new, once, from whoever must hear it; and nothing critical is ever swallowed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.messages import Alert
from stopline.model.notices import Notice
from stopline.model.settings.alerts import AlertSettings
from stopline.model.wire import validate
from stopline.rules.alerting.acknowledging import acknowledged, others_told
from stopline.rules.alerting.incidents import AlertState, Incidents, Manner
from stopline.rules.alerting.lifecycle import IDS, raised
from stopline.rules.alerting.room import KNOWN, LISTED
from stopline.rules.alerting.rounds import COVERED, checked

NOW = datetime(2026, 11, 20, 15, 2, tzinfo=UTC)  # 10:02 in New York
NEW_YORK = "America/New_York"


class Account:
    """One account's alerts, its clock, and everything that people were told."""

    def __init__(self, **chosen: Any) -> None:
        self.manner = Manner(validate(AlertSettings, {"keep_firing_s": 0, **chosen}), NEW_YORK)
        self.now = NOW
        self.state = Incidents(account="demo")
        self.told: list[Notice] = []
        self.count = 0

    def alert(self, severity: str = "critical", **changes: Any) -> str:
        """Raise one alert and return what became of it."""
        self.count += 1
        usual: dict[str, Any] = {
            "alert_id": f"a{self.count}",
            "account": "demo",
            "kind": "max_daily_loss",
            "object": "account",
            "severity": severity,
            "summary": "Loss of the day is too much",
            "raised_at": self.now.isoformat(),
        }
        current = changes.pop("current", None)
        if current is not None:
            usual["figure"] = {"current": current, "limit": "3", "unit": "%"}
        decision = raised(self.state, validate(Alert, usual | changes), self.manner, self.now)
        if decision is None:
            return "known"
        self.state = decision.after
        self.told += decision.notices
        return decision.outcome

    def wait(self, seconds: float) -> list[Notice]:
        """Let time pass, as sweeps see it: one check a minute and one at the end; return what was told."""
        before, end = len(self.told), self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now = min(self.now + timedelta(seconds=60), end)
            decision = checked(self.state, self.manner, self.now)
            self.state = decision.after
            self.told += decision.notices
        return self.told[before:]

    def states(self) -> dict[str, str]:
        return {key: s.state.value for key, s in self.state.standing.items()}


def test_a_condition_goes_from_pending_to_resolved() -> None:
    """R6.3: in quiet hours a warning waits; then it is told, taken, and over."""
    one = Account(quiet={"start": "09:00", "end": "10:05"})
    assert one.alert("warning") == "held"
    assert one.states() == {"max_daily_loss|account": "pending"}
    assert [n.alert.severity.value for n in one.wait(300)] == ["warning"]
    assert one.states() == {"max_daily_loss|account": "firing"}
    one.state, taken = acknowledged(one.state, "", "ann", one.now)
    assert [s.acknowledged_by for s in taken] == ["ann"]
    assert one.states() == {"max_daily_loss|account": "acknowledged"}
    one.alert("info", resolved=True)
    assert one.states() == {"max_daily_loss|account": "resolved"}


def test_the_same_condition_again_is_no_news_until_it_clears() -> None:
    """R2.12: told at once, then quiet; after the all-clear the next onset is told at once."""
    one = Account()
    assert [one.alert(current="3.1"), one.alert(current="3.2"), one.alert(current="3.1")] == [
        "told",
        "repeated",
        "repeated",
    ]
    assert one.alert("warning", resolved=True, current="1") == "told"
    assert one.alert(current="3.1") == "told"


@pytest.mark.parametrize(("current", "outcome"), [("3.3", "repeated"), ("3.41", "held"), ("2.79", "held")])
def test_a_move_of_a_tenth_since_the_last_notice_is_told_again(current: str, outcome: str) -> None:
    """R2.12: 10 % of 3.1 is 0.31, up or down. Moves wait five minutes for each other and ring no phone."""
    one = Account(escalate_after_s=[])
    one.alert(current="3.1")
    one.alert(current="3.2")  # moved, but not told: the next one is measured from 3.1
    assert one.alert(current=current) == outcome
    assert one.wait(240) == []
    one.alert(current="4")
    (update,) = one.wait(60)
    assert (str(update.alert.figure.current), update.ring) == ("4", "quiet")  # type: ignore[union-attr]
    assert one.wait(600) == []


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


def test_another_object_is_another_condition() -> None:
    """R2.12: a warning of one symbol never hides that of another."""
    one = Account()
    assert [one.alert(object="AAPL"), one.alert(object="MSFT"), one.alert(object="AAPL")] == [
        "told",
        "told",
        "repeated",
    ]


def test_an_alert_that_comes_twice_is_taken_once() -> None:
    """R0.3"""
    one = Account()
    assert [one.alert(alert_id="x"), one.alert(alert_id="x")] == ["told", "known"]


def test_a_critical_alert_that_comes_behind_its_own_end_is_told_and_changes_nothing() -> None:
    """R0.3: Pub/Sub keeps no order."""
    one = Account()
    earlier = (NOW - timedelta(seconds=1)).isoformat()
    assert one.alert("warning", resolved=True) == "told"
    assert one.alert(raised_at=earlier) == "told"
    assert one.told[-1].note == "it came late, there is newer news"
    assert one.states() == {"max_daily_loss|account": "resolved"}
    assert one.alert("warning", raised_at=earlier) == "late"


def test_a_warning_is_silent_beside_its_critical_and_speaks_when_that_ends() -> None:
    """R2.12: inhibition; what still holds afterwards is told."""
    one = Account()
    one.alert(object="account")
    assert one.alert("warning", kind="max_drawdown") == "silenced"
    assert one.alert("critical", kind="max_drawdown") == "told"  # a critical one is never silenced
    assert one.alert("warning", kind="max_loss_24h") == "silenced"
    one.alert("warning", resolved=True)
    one.alert("warning", kind="max_drawdown", resolved=True)
    (notice,) = one.wait(60)
    assert (notice.alert.kind, notice.alert.severity.value) == ("max_loss_24h", "warning")


def test_what_stopline_did_is_told_beside_what_it_was_done_for() -> None:
    """R6.2: news is for the chat alone and does not wait; so it does not matter which of the two comes first."""
    one = Account()
    assert one.alert(object="account") == "told"
    news = {"kind": "trading_state", "object": "account:demo", "summary": "Trading is reduce-only"}
    assert one.alert("info", **news) == "told"
    assert one.told[-1].ring == "usual"  # info goes to nobody's phone: `stopline alerts routes`


def test_a_warning_that_nobody_took_is_told_again_after_six_hours() -> None:
    """R6.3."""
    one = Account()
    one.alert("warning")
    assert [notice.note for notice in one.wait(5 * 3600)] == []
    assert [notice.note for notice in one.wait(2 * 3600)] == ["still so"]


def test_what_begins_within_ten_minutes_is_one_incident() -> None:
    """R6.2: warnings too; what begins later is another story."""
    one = Account()
    for kind, seconds in (("stale_prices", 0), ("max_position_value", 300), ("pin_risk", 700)):
        one.now += timedelta(seconds=seconds)
        one.alert("warning", kind=kind, object="AAPL")
    first, second, third = [notice.incident for notice in one.told]
    assert first == second != third


def test_a_critical_of_the_account_silences_the_same_limit_of_its_parts() -> None:
    """R6.2."""
    one = Account()
    one.alert(kind="max_exposure", object="account")
    assert one.alert("warning", kind="max_exposure", object="AAPL") == "silenced"


def test_that_a_critical_has_eased_is_told_in_quiet_hours() -> None:
    """R6.2: whoever was woken hears that it is better."""
    one = Account(quiet={"start": "09:00", "end": "11:00"})
    assert one.alert(current="3.1") == "told"
    assert one.alert("warning", current="2.5") == "told"


def test_the_end_of_what_stopline_did_is_told() -> None:
    """R6.3: a limit's stop is news, not a condition; that trading goes on is told all the same, once."""
    one = Account()
    stop = {"kind": "trading_state", "object": "account:demo"}
    assert one.alert("info", summary="Trading is reduce-only", **stop) == "told"
    one.wait(600)
    assert one.alert("info", summary="Trading resumed by ann", resolved=True, alert_id="r1", **stop) == "told"
    assert (
        one.alert("info", summary="Trading resumed by ann", resolved=True, alert_id="r1", **stop) == "known"
    )


def test_a_second_proof_of_being_flat_is_told_like_the_first() -> None:
    """R5.1: whoever kills twice on a day hears twice that he is flat."""
    one = Account()
    for number in range(3):
        flat = {
            "kind": "flat",
            "object": "account:demo",
            "summary": f"Account demo is flat ({number})",
            "resolved": True,
        }
        assert one.alert("info", **flat) == "told"
        one.wait(3600)


def test_what_a_limit_does_under_a_persons_stop_does_not_end_that() -> None:
    """R6.3: it stays in the list until trading goes on."""
    one = Account()
    stop = {"kind": "trading_state", "object": "account:demo"}
    one.alert("critical", summary="Trading halted by ann", **stop)
    one.alert("info", summary="Trading halted by limit:max_daily_loss", **stop)
    assert one.states() == {"trading_state|account:demo": "firing"}


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


def test_one_incident_is_one_story() -> None:
    """R6.2: a halt and a drawdown are told at once; stale prices and the rest follow in one message."""
    one = Account()
    one.alert(kind="trading_state", object="account:demo", summary="Trading halted")
    one.alert(kind="max_drawdown")
    assert one.alert("warning", kind="stale_prices", object="prices", summary="No price for A") == "held"
    assert one.alert("warning", kind="max_position_value", object="AAPL") == "held"
    (notice,) = one.wait(60)
    assert notice.alert.summary == "2 more alerts, 0 critical: stale prices 1, max position value 1"
    assert [line.split()[0] for line in notice.lines] == ["WARNING", "WARNING"]
    assert len({n.incident for n in one.told}) == 1
    assert set(one.states().values()) == {"firing"}


def test_what_begins_long_after_is_another_incident() -> None:
    """R6.2"""
    one = Account()
    one.alert("warning", object="A")
    one.wait(3600)
    one.alert("warning", object="B")
    assert len({n.incident for n in one.told}) == 2


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


def test_more_than_the_budget_of_a_minute_comes_in_a_digest() -> None:
    """F23: five single messages of a kind, then one that names or counts all others."""
    one = Account()
    outcomes = [one.alert(object=f"S{n}") for n in range(50)]
    assert (outcomes.count("told"), outcomes.count("held")) == (5, 45)
    (digest,) = one.wait(60)
    assert digest.alert.summary == "45 more alerts, 45 critical: max daily loss 45"
    assert len(digest.lines) == 20
    assert {id_ for n in one.told for id_ in n.covers} == {f"a{n}" for n in range(1, 51)}


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


def test_one_that_flaps_is_told_a_few_times_and_then_as_it_is() -> None:
    """F23: a hundred onsets and ends in ten seconds: ten messages at most, and the last one tells that it is over."""
    one = Account()
    for n in range(100):
        one.now += timedelta(milliseconds=100)
        one.alert(resolved=bool(n % 2))
    one.wait(660)
    assert len([n for n in one.told if not n.stage]) <= 2 * 5 + 1
    assert one.told[-1].alert.resolved


def test_what_nobody_was_told_of_ends_without_a_word() -> None:
    """R6.1: a warning of the night that was over before the morning."""
    one = Account(quiet={"start": "00:00", "end": "23:59"})
    one.alert("warning")
    assert one.alert("info", resolved=True) == "repeated"
    assert one.wait(24 * 3600) == []


def test_news_without_an_end_does_not_stand() -> None:
    """R6.2: "all is well" comes each day, and nothing is left of it in the list."""
    one = Account()
    outcomes = []
    for _ in range(3):
        outcomes.append(one.alert("info", kind="heartbeat", object="stopline"))
        one.wait(24 * 3600)
    assert outcomes == ["told"] * 3
    assert one.state.live() == []


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
    assert not [key for key, s in one.state.standing.items() if s.critical and s.live and not s.rang]


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
