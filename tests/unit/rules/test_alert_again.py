"""What people hear a second time: nothing that they have read, and everything that has outgrown what they took."""

from __future__ import annotations

import pytest

from stopline.rules.alerting.acknowledging import acknowledged

from .alert_account import Account


def taken(one: Account, who: str = "ann") -> None:
    one.state, found = acknowledged(one.state, "", who, one.now)
    assert found


def test_the_same_words_of_news_are_told_once_in_the_repeat_interval() -> None:
    """R6.1: INFO has no end to wait for, so its words and numbers say whether it is new."""
    one = Account(repeat_warning_s=3600)
    says = {"kind": "mine", "object": "SPY", "summary": "5 SPY are lent", "action": "Nothing is to be done."}
    assert [one.alert("info", **says), one.alert("info", **says)] == ["told", "repeated"]
    assert one.alert("info", **says | {"object": "QQQ"}) == "told"
    assert one.alert("info", **says | {"summary": "6 SPY are lent"}) == "told"
    assert one.alert("info", **says) == "told"  # other news came in between
    one.wait(3599)
    assert one.alert("info", **says) == "repeated"
    one.wait(1)
    assert one.alert("info", **says) == "told"


def test_two_asks_to_resume_are_two_messages_and_leave_what_stands_alone() -> None:
    """R5.1, R6.2: an ask is news of its own kind; the halt stays critical and firing, and still escalates."""
    one = Account()
    halt = {"kind": "trading_state", "object": "account:demo", "summary": "Trading halted for account demo"}
    one.alert(**halt)
    ask = {"kind": "resume_asked", "object": "account:demo", "summary": "ann asks to resume account demo"}
    one.alert("warning", **ask)
    assert one.states() == {
        "trading_state|account:demo": "firing",
        "resume_asked|account:demo|a2": "resolved",
    }
    told = one.wait(180)
    assert [(n.alert.kind, n.stage) for n in told] == [("resume_asked", 0), ("trading_state", 1)]
    one.alert("warning", **ask)
    assert [n.alert.kind for n in one.wait(60) if not n.stage] == ["resume_asked"]
    assert [n.alert.kind for n in one.wait(7 * 3600)].count("resume_asked") == 0  # it is never repeated


@pytest.mark.parametrize(("current", "again"), [("6.1", False), ("6.2", True), ("9.3", True)])
def test_what_somebody_has_taken_rings_and_escalates_anew_when_it_has_doubled(
    current: str, again: bool
) -> None:
    """R6.3: below twice the number it is a move, told without a ring; from there on it is more than ann took."""
    one = Account()
    one.alert(current="3.1")
    taken(one)
    one.wait(60)
    one.alert(current=current)
    told = one.wait(180)
    if not again:
        assert one.states() == {"max_daily_loss|account": "acknowledged"}
        assert all(n.stage == 0 and n.ring == "quiet" for n in told)
        return
    [news] = [n for n in one.told if n.note and not n.stage]
    assert (news.ring, news.note) == ("usual", "ann had it, it has doubled since")
    assert one.states() == {"max_daily_loss|account": "firing"}
    assert [n.stage for n in told] == [1]
    taken(one, "bob")
    assert [n for n in one.wait(1800) if n.stage] == []  # and bob's taking it ends it again


def test_it_doubles_by_small_steps_too() -> None:
    """R6.3: each step is no news, their sum is."""
    one = Account(ring_every_s=0)
    one.alert(current="3")
    taken(one)
    for step in range(31, 61):
        one.alert(current=str(step / 10))
        one.wait(10)
    assert one.states() == {"max_daily_loss|account": "firing"}
    assert [n.note for n in one.told if n.note] == ["ann had it, it has doubled since"]


def test_a_warning_that_doubles_stays_taken() -> None:
    """R6.3: what wakes people up is a critical number."""
    one = Account()
    one.alert("warning", current="2")
    taken(one)
    one.alert("warning", current="9")
    one.wait(600)
    assert one.states() == {"max_daily_loss|account": "acknowledged"}


def test_a_silenced_warning_speaks_when_the_critical_eases() -> None:
    """R2.12: a loss of the day that is a warning again says nothing of the drawdown."""
    one = Account()
    one.alert(current="3.2")
    assert one.alert("warning", kind="max_drawdown", current="9") == "silenced"
    one.wait(60)
    assert one.alert("warning", current="2.8") == "told"
    (notice,) = one.wait(60)
    assert (notice.alert.kind, notice.alert.severity.value) == ("max_drawdown", "warning")
    assert one.wait(3600) == []


def test_a_warning_that_becomes_critical_is_of_the_incident_of_that_time() -> None:
    """R6.3: who takes one critical alert has taken all of its story, also what was known as a warning of another."""
    one = Account()
    one.alert("warning", kind="max_margin_use")
    one.wait(900)
    one.alert()
    one.alert(kind="max_margin_use")
    first, second, third = [n.incident for n in one.told]
    assert first != second == third
    one.state, found = acknowledged(one.state, second, "ann", one.now)
    assert len(found) == 2
    assert [n for n in one.wait(3000) if n.stage] == []
