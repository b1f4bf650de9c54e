"""Whole stories of one kill and one broker: what is left there is what people were told, and nothing waits in between."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from .story import DEMO, A, B, Story


@pytest.fixture
def story() -> Story:
    """The account holds 10 SPY."""
    made = Story()
    made.hold(10)
    made.run(3)
    return made


def test_a_kill_cancels_closes_and_is_told_to_be_flat_when_the_fills_prove_it(story: Story) -> None:
    """R5.1: four seconds after the first order is at the broker nothing is left."""
    story.brokers["paper"].place(40)
    answer = story.kill()
    assert (answer["status"], answer["closing"], answer["unheard"]) == (200, {"demo": "CLOSING"}, [])
    story.run(60)
    assert (story.commands("cancel_all"), story.closes(), story.closed()) == ([4], [4], [5])
    assert story.told("flat") == [(5, "Account demo is flat: the fills prove it, 2 s after the halt")]
    assert story.left == {}
    assert story.is_flat
    assert story.resume()["state"] == "ACTIVE"


@pytest.mark.parametrize("after", [100, 170, 287])
def test_the_first_kill_after_an_exit_that_was_refused_is_at_the_broker_a_second_later(
    story: Story, after: int
) -> None:
    """R5.1: it waited for the exit's own pause, up to two minutes."""
    broker = story.brokers["paper"]
    broker.refuses_closes = True
    story.exit()
    story.run(after)
    broker.refuses_closes = False
    before = len(story.closes())
    killed = story.now
    story.kill()
    story.run(30)
    assert (story.closes()[before:], story.closed()) == ([killed + 1], [killed + 2])
    assert story.left == {}


@pytest.mark.parametrize("after", [116, 190])
def test_the_first_kill_after_an_exit_that_nobody_filled_is_at_the_broker_a_second_later(
    story: Story, after: int
) -> None:
    """R5.1: what the exit has sent there is cancelled, and the kill's own close would be filled at once."""
    broker = story.brokers["paper"]
    broker.fills_after = None
    story.exit()
    story.run(after)
    broker.fills_after = 1
    killed = story.now
    story.kill()
    story.run(30)
    assert 1 <= story.closed()[0] - killed <= 2
    assert len(story.closed()) == 1, "the exit's order and the kill's close are never both executed"
    assert story.left == {}


def test_who_kills_again_once_the_broker_is_back_has_it_tried_a_second_later(story: Story) -> None:
    """R5.1: the close had waited for the end of a pause of two minutes."""
    broker = story.brokers["paper"]
    broker.refuses_closes = True
    story.kill()
    story.run(180)
    assert story.closes() == [4, 11, 21, 41, 81, 161]
    broker.refuses_closes = False
    story.kill()
    story.run(10)
    assert (story.closes()[6:], story.closed(), story.left) == ([184], [185], {})


def test_who_kills_again_and_again_never_has_nothing_at_the_broker_for_long(story: Story) -> None:
    """R5.1: each kill cancels all, our own close too, and that goes again at once: the last of them is filled."""
    broker = story.brokers["paper"]
    broker.fills_after = 8
    for _ in range(10):
        story.kill()
        story.run(6)
    last = story.now - 6
    story.run(60)
    closes = story.closes()
    assert max(after - before for before, after in pairwise(closes)) <= 7
    [closed] = story.closed()
    assert closed - last <= 10
    assert story.left == {}


def test_kills_each_two_seconds_close_once(story: Story) -> None:
    """R5.1: what is closed is not closed again, whatever is pressed."""
    for _ in range(10):
        story.kill()
        story.run(2)
    story.run(60)
    assert (story.closed(), story.left) == ([5], {})
    assert story.is_flat


def test_limits_that_stop_other_parts_keep_a_kill_s_close_away_for_two_seconds_at_most(story: Story) -> None:
    """R5.1: the epoch of each cancels our close as well; for up to a minute and a half nothing was at the broker."""
    story.brokers["paper"].fills_after = 12
    story.kill()
    limits = []
    for number in range(6):
        story.run(10)
        limits.append(story.now)
        story.limit(f"strategy:demo:x{number}")
    story.run(60)
    assert story.closes() == [4, *(at + 2 for at in limits)]
    assert (story.closed(), story.left) == ([limits[-1] + 14], {})


def test_a_kill_of_the_account_while_the_close_of_a_part_is_in_flight_closes_each_position_once() -> None:
    """R5.1: the part's close ends with the cancel of the account's kill, and goes again a second later."""
    story = Story()
    story.hold(10, strategy="a")
    story.hold(6, strategy="b", symbol="QQQ")
    story.brokers["paper"].fills_after = 8
    story.run(3)
    story.kill(A)
    story.run(3)
    story.kill()
    story.run(60)
    assert story.closes() == [4, 7, 8]
    assert (story.closed(), story.left) == ([15, 16], {})
    assert [at for at, _ in story.told("flat")] == [16]


def test_a_kill_within_a_second_of_a_resume_stops_and_closes_what_was_bought_in_between(story: Story) -> None:
    """R5.1: nothing of the kill before, which was flat, speaks for this one."""
    story.kill()
    story.run(97)
    assert story.resume()["state"] == "ACTIVE"
    story.brokers["paper"].place(40)
    story.hold(7)
    story.run(1)
    answer = story.kill()
    assert (answer["in_force"], answer["closing"]) == (True, {"demo": "CLOSING"})
    assert not story.is_flat
    story.run(60)
    assert (story.closes(), story.closed(), story.left) == ([4, 102], [5, 103], {})
    assert [at for at, _ in story.told("flat")] == [5, 103]


def test_a_kill_in_the_second_of_a_resume_goes_on_with_what_was_not_closed(story: Story) -> None:
    """R5.1: the resume cancels the close, the kill all, and sends it again."""
    broker = story.brokers["paper"]
    broker.fills_after = None
    story.kill()
    story.run(75)
    assert story.resume()["state"] == "ACTIVE"
    assert story.kill()["in_force"]
    killed = story.now
    broker.fills_after = 2
    story.run(30)
    assert killed < story.closed()[0] <= killed + 10
    assert (len(story.closed()), story.left) == (1, {})


@pytest.mark.parametrize("order", [(A, DEMO), (DEMO, A)])
def test_stops_within_stops_close_each_their_own_and_end_in_any_order(order: tuple[str, str]) -> None:
    """R5.1: the account paused, a strategy of it killed, then the account; no order is cancelled that was not meant."""
    story = Story()
    story.hold(10, strategy="a")
    story.hold(6, strategy="b", symbol="QQQ")
    broker = story.brokers["paper"]
    story.run(2)
    broker.place(40, "a")
    broker.place(-6, "b", "QQQ")
    broker.place(5, "b", "QQQ")
    story.run(3)
    story.pause()
    story.run(70)
    assert broker.left[1] == [-6], "what only reduces stays in a pause"
    story.kill(A)
    story.run(70)
    assert (story.left["paper"], story.told("flat")[0][0]) == (({("b", "QQQ"): 6}, [-6]), 77)
    story.kill()
    story.run(70)
    assert (story.left, [at for at, _ in story.told("flat")]) == ({}, [77, 147])
    answer = story.resume()
    assert answer["still_stopped"] == {A: "HALTED"}
    for scope in order[::-1]:
        story.run(62)
        assert story.resume(scope)["state"] == "ACTIVE"
    assert story.kill_switch.trading.for_account("demo")[0].value == "ACTIVE"


@pytest.mark.parametrize("close", [True, False])
def test_an_order_that_slips_in_after_the_cancel_is_cancelled_again_and_told(
    story: Story, close: bool
) -> None:
    """R5.1: by an adapter that keeps no order back; the broker's next list names it."""
    story.adapters["paper"].tidies = False
    story.kill(close=close)
    story.run(4)
    story.brokers["paper"].place(40)
    story.run(60)
    again = "cancel_all" if close else "cancel_adding"
    assert story.commands(again)[-1] == 31
    assert story.left == ({} if close else {"paper": ({("default", "SPY"): 10}, [])})
    assert [at for at, _ in story.told("orders_working", "critical")] == [30]
    story.run_to(95)
    assert story.told("orders_working", "info") == [
        (90, "Account demo: its brokers list no working order any more")
    ]
    assert story.resume()["state"] == "ACTIVE"


def test_messages_that_come_twice_and_in_another_order_close_nothing_twice() -> None:
    """R5.1, F44: everything is delivered again, shuffled: after a kill, after its resume, and in the next kill."""
    story = Story("paper", "other")
    story.hold(5)
    story.hold(5, "other")
    story.brokers["paper"].place(40)
    story.run(3)
    story.kill()
    story.run(10)
    story.redeliver(random.Random(1))
    story.run(90)
    assert (story.closed(), story.closed("other"), story.left) == ([5], [5], {})
    assert story.resume()["state"] == "ACTIVE"
    bought = story.brokers["paper"].place(8)
    story.run(1)
    story.redeliver(random.Random(2))
    story.run(3)
    assert story.left == {"paper": ({}, [8])}, "what is over cancels nothing"
    story.brokers["paper"].fill(bought)
    story.run(5)
    story.kill()
    story.redeliver(random.Random(3))
    story.run(30)
    assert (len(story.closed()), len(story.closed("other")), story.left) == (2, 1, {})


def test_who_is_flat_is_told_so_once_however_many_limits_stop_other_parts() -> None:
    """R6.2."""
    story = Story()
    story.hold(10)
    story.run(3)
    story.kill()
    for scope in (A, B):
        story.run(70)
        story.limit(scope)
    story.run(70)
    assert [at for at, _ in story.told("flat")] == [5]


def test_a_close_that_a_limit_s_cancel_took_along_goes_again_in_seconds_where_an_adapter_reports_nothing() -> (
    None
):
    """R5.1: as that of docs/client.md; nothing was at the broker for 26 s."""
    story = Story()
    broker = story.brokers["paper"]
    broker.fills_after = 12
    broker.reports = False
    story.hold(10)
    story.run(3)
    story.kill()
    story.run(6)
    story.limit(A)
    story.run(30)
    assert (story.closes(), story.closed()) == ([4, 16], [28])


def test_who_is_flat_is_told_so_once_where_the_epoch_moved_and_an_order_came_and_went() -> None:
    """R6.2."""
    story = Story()
    story.hold(10)
    story.run(3)
    story.kill()
    story.run(17)
    story.kill(A, close=False)
    story.run(68)
    story.brokers["paper"].place(4)
    story.run(110)
    assert [at for at, _ in story.told("flat")] == [5]
    assert story.is_flat
