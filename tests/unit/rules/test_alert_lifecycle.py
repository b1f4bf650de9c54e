"""People hear what is new, once, from whoever must hear it; and nothing critical is ever swallowed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stopline.rules.alerting.acknowledging import acknowledged

from .alert_account import NOW, Account


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
