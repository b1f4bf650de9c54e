"""Whole stories of a halt that closes nothing: the stop that people place by hand stays, whatever else stops or resumes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from .story import DEMO, EVERYTHING, A, B, Story

BARE = {("default", "SPY"): 10}
KEPT = {"paper": (BARE, [-10])}


def halted(*before: str) -> Story:
    """Return a story in which parts of the account, then all of it, are halted without closing, and a stop is placed."""
    story = Story()
    story.hold(10)
    story.run(3)
    for scope in before:
        story.kill(scope, close=False)
    story.run(10)
    story.kill(close=False)
    story.run(70)
    story.brokers["paper"].place(-10)
    story.run(130)
    return story


def two_resume_everything(story: Story) -> None:
    assert story.resume(EVERYTHING)["status"] == 202
    story.run(5)
    assert story.resume(EVERYTHING, by="bob")["status"] == 200


def another_part_killed_and_a_limit(story: Story) -> None:
    story.kill(B, close=False)
    story.run(30)
    story.limit(A)


def a_limit_and_a_pause_of_everything(story: Story) -> None:
    story.limit(A)
    story.run(15)
    story.pause(EVERYTHING)


def a_limit_and_a_later_pause_of_everything(story: Story) -> None:
    story.limit(A)
    story.run(50)
    story.pause(EVERYTHING)


def a_pause_of_everything_resumed_by_two(story: Story) -> None:
    story.pause(EVERYTHING)
    story.run(70)
    two_resume_everything(story)


def limits_minute_after_minute_and_one_that_lapses(story: Story) -> None:
    story.limit(A, until=story.world.clock.now() + timedelta(seconds=100))
    for number in range(3):
        story.run(55)
        story.limit(f"strategy:demo:x{number}")


@pytest.mark.parametrize(
    "happens",
    [
        another_part_killed_and_a_limit,
        a_limit_and_a_pause_of_everything,
        a_limit_and_a_later_pause_of_everything,
        a_pause_of_everything_resumed_by_two,
        limits_minute_after_minute_and_one_that_lapses,
    ],
)
def test_the_stop_stays_when_other_stops_begin_and_end(happens: Callable[[Story], None]) -> None:
    """R5.1: each of them moves the epoch, and cancelled the stop silently where two came within a minute."""
    story = halted()
    happens(story)
    story.run(40)
    assert story.left == KEPT
    whole = [command for _, command in story.adapters["paper"].taken if command.action == "cancel_all"]
    assert [command.strategy for command in whole[1:]] in ([], ["b", "b"]), (
        "but of a part that was killed just now"
    )
    assert len(story.commands("cancel_adding")) >= 2
    assert story.told("orders_working") == []


def test_the_stop_stays_when_parts_that_were_halted_before_are_resumed_one_after_the_other() -> None:
    """R5.1: within half a minute: when the last halt was cancelled was noted of all of them together."""
    story = halted(A, B)
    before = story.commands("cancel_all")
    for scope in (A, B):
        assert story.resume(scope)["status"] == 200
        story.run(30)
    assert (story.left, story.commands("cancel_all")) == (KEPT, before)
    assert len(story.commands("cancel_adding")) == 2


def test_the_stop_stays_when_a_halt_of_everything_is_lifted_and_a_limit_comes() -> None:
    """R5.1: the account's own halt is the older one of the two."""
    story = Story()
    story.hold(10)
    story.run(3)
    story.kill(close=False)
    story.run(70)
    story.kill(EVERYTHING, close=False)
    story.run(70)
    story.brokers["paper"].place(-10)
    story.run(70)
    two_resume_everything(story)
    story.run(30)
    story.limit(A)
    story.run(40)
    assert story.left == KEPT
    assert story.commands("cancel_all") == [4, 74]


def test_a_kill_that_closes_a_part_leaves_the_stop_of_another_part() -> None:
    """R5.1: and closes its own, with what works there."""
    story = Story()
    story.hold(10, strategy="a")
    story.hold(6, strategy="b", symbol="QQQ")
    story.run(3)
    story.kill(close=False)
    story.run(90)
    broker = story.brokers["paper"]
    broker.place(-6, "b", "QQQ")
    broker.place(-10, "a")
    story.run(60)
    story.kill(A)
    story.run(120)
    story.limit("strategy:demo:c")
    story.run(40)
    assert story.left == {"paper": ({("b", "QQQ"): 6}, [-6])}
    assert (story.closed(), [at for at, _ in story.told("flat")]) == ([155], [155])


def test_an_adapter_that_was_off_for_the_whole_cancel_cancels_what_adds_when_it_is_back() -> None:
    """R5.1, docs/kill-switch.md: what only reduces works on there."""
    story = Story()
    story.hold(10)
    story.run(3)
    broker, adapter = story.brokers["paper"], story.adapters["paper"]
    broker.place(40)
    broker.place(-10)
    adapter.is_on = False
    story.kill(close=False)
    story.run(80)
    story.limit(A)
    story.run(10)
    adapter.restart()
    story.run(30)
    assert (story.commands("cancel_all"), story.commands("cancel_adding"), story.left) == ([], [94], KEPT)


def test_a_kill_that_closes_takes_the_stop_with_it_and_leaves_nothing() -> None:
    """R5.1: people want out: a stop that rested on would turn the position round."""
    story = halted()
    story.kill(DEMO)
    story.run(5)
    assert (story.closed(), story.left) == ([215], {})


@pytest.mark.parametrize(("after", "is_taken"), [(240, True), (600, False)])
def test_who_pressed_kill_twice_is_told_where_a_limit_takes_the_stop_off(after: int, is_taken: bool) -> None:
    """R5.1: within ten minutes the second kill's cancel may not have been heard, so that everything goes once more."""
    story = Story()
    story.hold(10)
    story.run(3)
    story.kill(close=False)
    story.run(5)
    story.kill(close=False)
    story.run(60)
    story.brokers["paper"].place(-10)
    story.run(after)
    story.limit(A)
    story.run(5)
    told = [at for at, _ in story.told("resting_cancelled", "critical")]
    assert (told, story.left["paper"]) == (([309], (BARE, [])) if is_taken else ([], KEPT["paper"]))
