"""Whole stories of a kill while something is out: bus, store, an adapter, or a broker that does not as it is told."""

from __future__ import annotations

import pytest

from .story import A, Story


@pytest.fixture
def story() -> Story:
    """The account holds 10 SPY, and an order for more works."""
    made = Story()
    made.hold(10)
    made.brokers["paper"].place(40)
    made.run(3)
    return made


def test_a_kill_while_the_bus_is_out_halts_by_the_lease_and_closes_when_it_is_back(story: Story) -> None:
    """R5.1, F40: people read 202 and PENDING; adapters hear of it with their next lease."""
    story.bus.down = True
    answer = story.kill()
    assert (answer["status"], answer["closing"]) == (202, {"demo": "PENDING"})
    story.run(30)
    assert story.left == {"paper": ({("default", "SPY"): 10}, [])}, "what adds is cancelled with the lease"
    story.run(270)
    story.bus.down = False
    story.run(60)
    assert (story.closes(), story.closed(), story.left) == ([305], [306], {})
    assert [at for at, _ in story.told("flat")] == [306]


def test_of_the_closes_of_an_outage_the_one_that_is_in_time_is_carried_out_once(story: Story) -> None:
    """R5.1: the first is at a broker that fills nothing, then nobody hears of anything for five minutes."""
    broker = story.brokers["paper"]
    broker.fills_after = None
    story.kill()
    story.run(2)
    story.bus.down = True
    story.run(300)
    broker.fills_after = 3
    story.bus.down = False
    story.run(60)
    assert (len(story.closed()), story.left) == (1, {})
    assert story.closed()[0] <= 315
    assert story.is_flat


def test_of_kills_said_again_and_changed_while_the_bus_is_out_the_last_holds(story: Story) -> None:
    """R5.1: twice without closing, twice with it, then a limit: the old epochs are fenced off."""
    story.brokers["paper"].place(-10)
    story.bus.down = True
    story.kill(close=False)
    story.run(60)
    story.kill(close=False)
    story.run(60)
    story.kill()
    story.run(30)
    story.kill()
    story.run(60)
    story.limit(A)
    story.run(40)
    story.bus.down = False
    back = story.now
    story.run(60)
    assert (story.closed(), story.left) == ([back + 3], {})
    assert story.is_flat


def test_a_kill_while_firestore_is_out_halts_the_adapters_at_once_and_is_stored_and_closed_later(
    story: Story,
) -> None:
    """R5.1, F41: the second path of docs/kill-switch.md."""
    story.brokers["paper"].place(-10)
    story.set_store(is_down=True)
    answer = story.kill()
    assert (answer["status"], answer["delivery"]) == (202, "published, not persisted")
    story.run(1)
    assert story.left == {"paper": ({("default", "SPY"): 10}, [])}, "every order is cancelled a second later"
    client = story.adapters["paper"].client
    assert (list(client.halts), story.told("flat")) == ([answer["halt_id"]], [])
    story.run(119)
    story.set_store(is_down=False)
    story.run(10)
    assert story.told("trading_state", "critical"), "it is stored, and people are told so"
    story.run(70)
    assert (client.halts, len(story.closed()), story.left) == ({}, 1, {})
    assert story.is_flat
    assert story.resume()["state"] == "ACTIVE"


def test_a_kill_that_was_resumed_before_firestore_failed_again_is_halted_anew(story: Story) -> None:
    """R5.1, F41: two outages, a kill in each, the first one resumed: the second one is no repetition."""
    for _ in range(2):
        story.set_store(is_down=True)
        assert story.kill(request_id="k")["status"] == 202
        story.run(20)
        story.set_store(is_down=False)
        story.run(90)
        assert story.left == {}
        assert story.is_flat
        assert story.resume()["state"] == "ACTIVE"
        story.hold(3)
        story.run(5)
    assert len(story.closed()) == 2


def test_an_adapter_that_restarts_again_and_again_around_a_kill_closes_once(story: Story) -> None:
    """R5.1: off at the kill, then for a moment after its close; a limit moves the epoch meanwhile."""
    story.brokers["paper"].fills_after = 3
    adapter = story.adapters["paper"]
    adapter.is_on = False
    story.kill()
    story.run(20)
    story.limit(A)
    story.run(30)
    adapter.restart()
    story.run(2)
    adapter.is_on = False
    story.run(15)
    assert story.told("flat") == [], "nobody has said yet what was filled"
    adapter.restart()
    story.run(60)
    assert (story.closed(), story.left) == ([57], {})
    assert [at for at, _ in story.told("flat")] == [71]


def test_an_adapter_whose_clock_is_three_minutes_behind_closes_as_fast_as_any() -> None:
    """R5.1, F35: what it takes for not yet due it does at once."""
    story = Story(wrong_clocks={"paper": -180})
    story.hold(10)
    story.brokers["paper"].place(40)
    story.run(45)
    story.kill()
    story.run(60)
    assert (story.closed(), story.left) == ([47], {})


def test_a_broker_that_refuses_cancels_is_told_of_each_time_and_obeys_the_next_one(story: Story) -> None:
    """R5.1: they go at longer and longer intervals; nothing is flat and nobody resumes before a list names none."""
    broker = story.brokers["paper"]
    story.adapters["paper"].tidies = False
    broker.refuses_cancels = True
    story.kill()
    story.run(150)
    assert (story.commands("cancel_all"), story.left) == ([4, 31, 91], {"paper": ({}, [40])})
    assert [at for at, said in story.told("orders_working") if "has refused" in said] == [4, 31, 91]
    assert (story.is_flat, story.resume()["title"]) == (False, "NOT_READY")
    broker.refuses_cancels = False
    story.run_to(400)
    assert (story.commands("cancel_all"), story.left) == ([4, 31, 91, 181], {})
    assert len(story.told("orders_working", "info")) == 1
    assert story.is_flat


def test_a_broker_that_takes_no_order_for_ten_minutes_is_asked_on_each_two_minutes(story: Story) -> None:
    """R5.1: Stopline never stops trying, and says so from the third command on; who kills again has it tried at once."""
    broker = story.brokers["paper"]
    broker.refuses_closes = True
    story.kill()
    story.run_to(620)
    assert story.closes() == [4, 11, 21, 41, 81, 161, 281, 401, 521]
    stuck = story.told("closing_stuck", "critical")
    assert (len(stuck), stuck[0][0], story.told("flat")) == (7, 20, [])
    broker.refuses_closes = False
    story.kill()
    story.run(3)
    assert (story.closed(), story.left) == ([622], {})
    assert story.is_flat


def test_orders_that_come_back_are_cancelled_again_and_make_no_storm() -> None:
    """R5.1: a program sends one each three minutes; each is named by a list, told and cancelled."""
    story = Story()
    story.hold(10)
    story.run(3)
    story.adapters["paper"].tidies = False
    story.kill()
    for _ in range(4):
        story.run(180)
        story.brokers["paper"].place(40)
    story.run(340)
    assert story.left == {}
    assert len(story.commands("cancel_all")) == 5, "the kill's own, and one for each order"
    assert len(story.told("orders_working", "critical")) == 4
    assert story.is_flat


def test_a_broker_that_lists_nothing_and_refuses_every_cancel_is_named_where_people_read_that_all_is_over() -> (
    None
):
    """R5.1: nothing but its list could end the doubt: the alert `flat` and the answer of a resume say who it is."""
    story = Story()
    broker = story.brokers["paper"]
    broker.lists, broker.refuses_cancels = False, True
    story.adapters["paper"].tidies = False
    story.hold(10)
    broker.place(40)
    story.run(3)
    story.kill()
    story.run(100)
    [(at, flat)] = story.told("flat")
    assert (at, "refused by paper" in flat) == (5, True)
    assert [at for at, said in story.told("orders_working") if "has refused" in said] == [4, 31, 91]
    answer = story.resume()
    assert (answer["state"], "refused by paper" in answer["warning"]) == ("ACTIVE", True)
    assert story.left == {"paper": ({}, [40])}


@pytest.mark.parametrize("seconds", [5, 25])
def test_a_kill_of_the_second_path_is_closed_a_second_after_it_is_stored(seconds: int) -> None:
    """F41: it waited for the next round of the sweep."""
    story = Story()
    story.hold(10)
    story.run(3)
    story.set_store(is_down=True)
    story.kill()
    story.run(seconds)
    story.set_store(is_down=False)
    story.run(12)
    [(stored, _)] = story.told("trading_state", "critical")
    assert (story.closes(), story.left) == ([stored + 1], {})


@pytest.mark.parametrize("seconds", [40, 180])
def test_an_adapter_whose_clock_is_ahead_closes_as_fast_as_any(seconds: int) -> None:
    """F35: every close had expired before it came."""
    story = Story(wrong_clocks={"paper": seconds})
    story.hold(10)
    story.run(45)
    story.kill()
    story.run(60)
    assert (story.closed(), story.left) == ([47], {})
