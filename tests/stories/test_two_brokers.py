"""Whole stories of an account at two or three brokers, one adapter each: each closes what it holds, and each is heard."""

from __future__ import annotations

import pytest

from .story import A, Story


def holding(*brokers: str, units: int = 5, strategy: str = "default") -> Story:
    """Return a story in which each broker holds as much."""
    story = Story(*brokers)
    for name in brokers:
        story.hold(units, name, strategy)
    story.run(3)
    return story


def test_each_broker_closes_what_it_holds_and_no_more() -> None:
    """R5.1: one command of ten is for both of them; of a resting sale the units are cancelled first."""
    story = holding("paper", "other")
    story.brokers["paper"].place(40)
    story.brokers["other"].place(-5)
    story.kill()
    story.run(90)
    assert (story.closed(), story.closed("other"), story.left) == ([5], [5], {})
    assert story.told("flat") == [(5, "Account demo is flat: the fills prove it, 2 s after the halt")]
    assert story.kill_switch.closer.halt_of("demo").confirmed_by.count(",") == 1, "both have said so since"


def test_a_broker_whose_adapter_was_off_closes_when_it_is_back() -> None:
    """R5.1: its orders are cancelled first; nothing is flat before, and the next try is no further off than its pause."""
    story = holding("paper", "other")
    story.brokers["other"].place(40)
    adapter = story.adapters["other"]
    adapter.is_on = False
    story.kill()
    story.run(180)
    assert story.left == {"other": ({("default", "SPY"): 5}, [40])}
    assert (story.told("flat"), len(story.told("closing_stuck", "critical"))) == ([], 3)
    adapter.restart()
    story.run(1)
    assert story.left == {"other": ({("default", "SPY"): 5}, [])}
    story.run(120)
    assert (story.closed("other"), story.left) == ([202], {})
    assert [at for at, _ in story.told("flat")] == [202]


def test_who_kills_again_when_a_broker_is_back_has_it_closed_two_seconds_later() -> None:
    """R5.1: the way out of the pause."""
    story = holding("paper", "other")
    adapter = story.adapters["other"]
    adapter.is_on = False
    story.kill()
    story.run(180)
    adapter.restart()
    story.kill()
    story.run(3)
    assert (story.closed("other"), story.left) == ([185], {})


def test_a_kill_in_the_pause_of_an_exit_closes_at_the_broker_that_takes_it_and_again_at_the_other() -> None:
    """R5.1: both have refused a strategy's exit for 100 s; one is back, then the other."""
    story = holding("paper", "other", strategy="a")
    for broker in story.brokers.values():
        broker.refuses_closes = True
    story.exit("a")
    story.run(100)
    story.brokers["paper"].refuses_closes = False
    story.kill(A)
    story.run(40)
    assert (story.closed(), story.left) == ([105], {"other": ({("a", "SPY"): 5}, [])})
    assert story.told("flat") == []
    story.brokers["other"].refuses_closes = False
    story.kill(A)
    story.run(30)
    assert (story.closed("other"), story.left) == ([145], {})
    assert story.told("flat") == [
        (145, "Strategy a of account demo is flat: the fills prove it, 42 s after the halt")
    ]


def test_of_three_brokers_one_that_is_gone_for_good_keeps_the_account_from_being_flat_or_resumed() -> None:
    """R5.1, N2: the others are closed at once; what it holds and what works there is never told to be over."""
    story = holding("paper", "other", "third")
    for broker in story.brokers.values():
        broker.place(3)
    story.adapters["third"].is_on = False
    story.kill()
    story.run(400)
    assert (story.closed(), story.closed("other")) == ([5], [5])
    assert story.left == {"third": ({("default", "SPY"): 5}, [3])}
    assert (story.is_flat, story.told("flat")) == (False, [])
    assert len(story.told("closing_stuck", "critical")) == 5
    assert [at for at, said in story.told("broker_silent", "critical") if "adapter third" in said] == [300]
    assert story.resume()["title"] == "NOT_READY"


@pytest.mark.parametrize("close", [True, False])
def test_each_of_two_brokers_that_refuse_a_cancel_is_told_of_and_gets_another(close: bool) -> None:
    """R5.1: the second one's refusal was heard by nobody; it lists no orders, so that no list told of it either."""
    story = Story("paper", "other")
    story.brokers["other"].lists = False
    story.hold(5)
    story.run(3)
    story.brokers["other"].place(40)
    for name, broker in story.brokers.items():
        broker.refuses_closes = broker.refuses_cancels = True
        story.adapters[name].tidies = False
    story.brokers["paper"].place(3)
    story.kill(close=close)
    story.run(2)
    for broker in story.brokers.values():
        broker.refuses_closes = broker.refuses_cancels = False
    story.run(30)
    told = [said for at, said in story.told("orders_working", "critical") if at == 4]
    assert [broker for broker in story.brokers for said in told if f"{broker} has refused" in said] == [
        "paper",
        "other",
    ]
    again = "cancel_all" if close else "cancel_adding"
    assert (story.commands(again)[-1], story.commands(again, "other")[-1]) == (31, 31)
    assert story.left == ({} if close else {"paper": ({("default", "SPY"): 5}, [])})
    assert story.closed() == ([12] if close else [])


@pytest.mark.parametrize("brokers", [("paper",), ("paper", "other")])
def test_our_own_closes_are_cancelled_by_nobody_where_brokers_know_only_their_own_numbers(
    brokers: tuple[str, ...],
) -> None:
    """R5.1: of two such brokers the first one's close counted as an order that works on, and was cancelled each minute."""
    story = holding(*brokers)
    for broker in story.brokers.values():
        broker.takes_names, broker.fills_after = False, 28
    story.run(62)
    story.kill()
    story.run(100)
    assert (story.told("orders_working"), story.left) == ([], {})
    for name in brokers:
        assert (story.commands("cancel_all", name), story.closed(name)) == ([66], [94])
    assert [at for at, _ in story.told("flat")] == [94]


@pytest.mark.parametrize("close", [True, False])
def test_a_broker_that_refused_and_is_gone_is_not_told_to_be_over_by_the_other_one_s_list(
    close: bool,
) -> None:
    """R5.1: a refusal is mostly a lost connection, so the cancel that went again is not heard either."""
    story = Story("paper", "other")
    other, adapter = story.brokers["other"], story.adapters["other"]
    other.lists, other.refuses_cancels, adapter.tidies = False, True, False
    story.hold(5)
    other.place(40)
    story.run(3)
    story.kill(close=close)
    story.run(2)
    adapter.is_on = False
    story.run(300)
    assert story.left["other"] == ({}, [40])
    assert story.told("orders_working", "info") == []
    assert "other" in story.resume()["warning"]
