"""A kill that people repeat: its answer says that the cancel is out only when it is, and what goes along with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from stopline.model.control import ControlRequest
from stopline.model.errors import Rejected
from stopline.model.messages import ExecutionReport, Sweep, SweepKind
from stopline.model.times import utc_text
from stopline.ports import Unavailable, Write
from stopline.rules.trading.cancels import MOST
from stopline.runtime.app import App

from ..make import account, trade
from .test_orders_working import (
    SCOPE,
    STRATEGY,
    cancels,
    kill,
    killed_and_filled,
    order,
    statement,
    told,
    world,
)
from .world import FaultyStore, World

__all__ = ["world"]
HELD = [{"symbol": "SPY", "quantity": "10"}]


def refuses_cancels(store: FaultyStore) -> None:
    """Have the store take nothing of the cancels that go again."""
    commit = store.store.commit

    def refusing(writes: Sequence[Write]) -> object:
        if any(write.path.collection == "cancels" for write in writes):
            raise Unavailable("cancels are down")
        return commit(writes)

    store.commit = refusing  # type: ignore[assignment]


def closes(world: World) -> set[str]:
    return {o["command_id"] for o in world.bus.bodies("orders") if o["action"] == "close"}


def request(id_: str, flatten: bool) -> ControlRequest:
    facts = {"request_id": id_, "scope": SCOPE, "action": "kill", "actor": "ann", "reason": "t"}
    return ControlRequest.model_validate({**facts, "flatten": flatten})


@pytest.mark.parametrize("flatten", [True, False])
def test_a_kill_said_again_is_pending_where_its_cancel_is_not_stored(world: World, flatten: bool) -> None:
    """R5.1: the answer never claims what was not stored; what has to go is closed all the same."""
    app, _ = world.instance()
    kill(app, flatten=flatten)
    world.wait(60)
    app, store = world.instance()
    refuses_cancels(store)
    before = closes(world)
    assert kill(app, "k-2", flatten=flatten) == {"demo": None}
    assert len(cancels(world)) == 1
    assert len(closes(world) - before) == (1 if flatten else 0)


@pytest.mark.parametrize("flatten", [True, False])
def test_a_kill_said_again_is_pending_while_its_cancel_is_not_published_and_the_next_one_sends_it(
    world: World, flatten: bool
) -> None:
    """R5.1: who asks again need not wait half a minute for the sweep."""
    app, _ = world.instance()
    kill(app, flatten=flatten)
    world.wait(5)
    standing = app.trading.set(request("k-2", flatten))
    world.bus.down = True
    assert app.halts.advance(standing) == {"demo": None}
    world.bus.down = False
    how = kill(app, "k-2", flatten=flatten)
    assert how == {"demo": "CLOSING" if flatten else "CANCELLING"}
    assert len(cancels(world)) == 2


def test_a_close_that_the_cancel_took_along_goes_again_at_once(world: World) -> None:
    """R5.1: a resting close was waited for although its adapter had cancelled it."""
    app, _ = world.instance()
    kill(app)
    world.wait(2)
    kill(app, "k-2")
    world.wait(6)
    app.closer.advance("demo")
    assert len(closes(world)) == 2


def stop_by_hand(**more: Any) -> dict[str, Any]:
    return order(**{"order_id": "HAND-1", "side": "SELL", "quantity": "10", **more})


def resumes(app: App, id_: str = "r-1") -> str:
    """Ask for a resume as a person does; return what speaks against it."""
    facts = {"request_id": id_, "scope": SCOPE, "action": "resume", "actor": "ida", "reason": "t"}
    told = {"confirm": f"RESUME {SCOPE}", "expected_epoch": app.trading.standing(SCOPE).epoch}
    try:
        app.trading.set(ControlRequest.model_validate({**facts, **told}))
    except Rejected as problem:
        return problem.detail
    return ""


def test_a_halt_that_closes_nothing_leaves_a_stop_that_people_place_by_hand(world: World) -> None:
    """R5.1: their protection was cancelled up to five times, and no resume went through while it rested."""
    app, _ = world.instance()
    kill(app, flatten=False)
    world.wait(600)
    for _ in range(5):
        statement(world, app, 60, [stop_by_hand()], positions=HELD)
    assert (len(cancels(world)), told(world)) == (1, [])
    assert "HAND-1" not in resumes(app)
    statement(world, app, 60, [stop_by_hand(), order()], positions=HELD)
    assert [c["action"] for c in cancels(world)] == ["cancel_all", "cancel_adding"]
    assert cancels(world)[1]["reason"] == "account:demo is halted"
    [alert] = told(world)
    assert alert["summary"].endswith("1 order still works: BUY 40 SPY (order B-7 at paper)")
    why = resumes(app, "r-2")
    assert "1 order still works: BUY 40 SPY (order B-7 at paper), listed at 2026" in why
    assert "cancel them at the broker by hand, and have a newer list without them sent" in why
    statement(world, app, 60, [stop_by_hand(quantity="11")], positions=HELD)
    assert "SELL 11 SPY" in resumes(app, "r-3")


def test_a_stop_whose_strategy_nobody_told_reduces_what_is_held_in_all(world: World) -> None:
    """R5.1: the lists of brokers' own dialects know no strategies; the position is in `core`."""
    app, _ = world.instance()
    app.recorder.record([trade(2, -10, 100), trade(3, 10, 100, strategy="core")], "m-2")
    kill(app, flatten=False)
    for _ in range(3):
        statement(world, app, 60, [stop_by_hand(strategy_told=False)], positions=HELD)
    assert (len(cancels(world)), told(world)) == (1, [])
    assert "HAND-1" not in resumes(app)
    statement(world, app, 60, [stop_by_hand()], positions=HELD)
    assert "HAND-1" in resumes(app, "r-2"), "told to be of another strategy it would open a position there"


def test_a_part_that_is_closed_in_an_account_that_is_only_halted_is_cancelled_whole(world: World) -> None:
    """R5.1: each scope by its own halt."""
    app, _ = world.instance()
    kill(app, "k-1", f"strategy:demo:{STRATEGY}")
    kill(app, "k-2", flatten=False)
    statement(world, app, 60, [stop_by_hand()], positions=HELD)
    again = cancels(world)[2:]
    assert [(c["action"], c["strategy"]) for c in again] == [("cancel_all", STRATEGY)]
    assert [a["object"] for a in told(world)] == [f"strategy:demo:{STRATEGY}"]


def test_a_kill_of_before_there_was_a_note_of_cancels_is_owed_none(world: World) -> None:
    """R5.1: the first sweep after a deployment would have taken off what people had placed since."""
    app, _ = world.instance()
    kill(app, flatten=False)
    world.wait(60)
    app.trading.set(request("k-2", flatten=False))  # as an older version took it
    world.wait(86400)
    app, _ = world.instance()
    for _ in range(2):
        app.sweeper.run(Sweep(kind=SweepKind.RISK), world.wait(60), "m-d")
    assert len(cancels(world)) == 1
    kill(app, "k-3", flatten=False)
    assert len(cancels(world)) == 2


def test_another_stop_of_the_account_sends_no_cancel_again_that_was_asked_for_before(world: World) -> None:
    """R5.1: each request counts once."""
    app, _ = world.instance()
    kill(app, flatten=False)
    world.wait(5)
    kill(app, "k-2", flatten=False)
    world.wait(5)
    kill(app, "k-3", f"strategy:demo:{STRATEGY}", flatten=False)
    world.wait(5)
    app.closer.advance("demo")
    assert [c["epoch"] for c in cancels(world)] == [1, 1, 2]


def test_a_new_order_is_cancelled_and_told_however_many_went_for_another(world: World) -> None:
    """Issue 6.4: after six cancels of one order another one worked for hours, and nobody knew."""
    app, _ = world.instance()
    killed_and_filled(world, app)
    for _ in range(40):
        statement(world, app, 60, [order()])
    before, known = len(cancels(world)), len(told(world))
    assert (before, known) == (1 + MOST, MOST + 1)
    for _ in range(80):
        statement(world, app, 60, [order(), order(order_id="B-99", quantity="500")])
    assert (len(cancels(world)) - before, len(told(world)) - known) == (MOST, MOST + 1)
    first = told(world)[known]
    assert first["summary"].endswith("BUY 500 SPY (order B-99 at paper), BUY 40 SPY (order B-7 at paper)")
    assert "(1 of 5)" in first["action"]
    for _ in range(2):
        statement(world, app, 60)
    statement(world, app, 12 * 3600, [order()])  # by now it is another one: nobody lists an order twice
    assert len(cancels(world)) == before + MOST + 1


def test_who_places_orders_on_and_on_makes_no_storm(world: World) -> None:
    """Issue 1: one alert in ten minutes at most, after the first of them."""
    app, _ = world.instance()
    killed_and_filled(world, app)
    for number in range(180):
        statement(world, app, 60, [order(order_id=f"B-{number}")])
    assert 15 <= len(told(world)) <= 25
    assert len(cancels(world)) == 1 + len(told(world))
    ids = {c["command_id"] for c in cancels(world)}
    assert len(ids) == len(cancels(world))


def test_a_list_of_just_after_the_kill_that_no_newer_one_follows_is_told(world: World) -> None:
    """Issue 6.4: it held the account for hours, without a word and without another cancel."""
    app, _ = world.instance()
    kill(app)
    statement(world, app, 5, [order()], positions=HELD)
    world.wait(1)
    app.recorder.record([trade(2, -10, 99, executed_at=world.clock.now())], "m-2")
    for _ in range(30):
        world.wait(60)
        app.closer.advance("demo")
    assert len(cancels(world)) == 2
    [alert] = told(world)
    assert alert["severity"] == "critical"
    assert "(order B-7 at paper), listed at 2026-11-18T17:00:05Z, no newer list since" in alert["summary"]
    assert "listed at 2026-11-18T17:00:05Z" in resumes(app)
    statement(world, app, 60)
    assert [a["resolved"] for a in told(world)] == [False, True]


def refuse_all(world: World, app: App) -> None:
    """Refuse each cancel that is out."""
    for one in cancels(world):
        facts = {"command_id": one["command_id"], "account": "demo", "broker": "paper", "status": "rejected"}
        told_at = {"reason": "no orders", "reported_at": utc_text(world.clock.now())}
        app.cancel_watcher.report(ExecutionReport.model_validate({**facts, **told_at}))


def test_the_last_refusal_says_that_no_more_cancels_go(world: World) -> None:
    """R6.3: of a broker that lists nothing people were told to the end that another one goes."""
    app, _ = world.instance()
    kill(app)
    for _ in range(90):
        refuse_all(world, app)
        world.wait(20)
        app.closer.advance("demo")
    assert len(cancels(world)) == 1 + MOST
    alerts = told(world)
    assert len(alerts) == 1 + MOST
    assert all(alert["action"].startswith("The cancel is sent again") for alert in alerts[:-1])
    assert "it refused 6 cancels, no more go before a new kill" in alerts[-1]["action"]


def test_what_is_over_at_the_brokers_that_list_is_told_as_over() -> None:
    """R6.1: one of two lists no orders, and the alert stood for ever."""
    world = World()
    world.open_account(account(brokers=["paper", "other"]))
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100)], "m-1")
    world.bus.messages.clear()
    killed_and_filled(world, app)
    statement(world, app, 60, [order()])
    for number in range(3):
        statement(world, app, 60)
        statement(world, app, 1, None, broker="other", statement_id=f"O-{number}")
    assert [a["resolved"] for a in told(world)] == [False, True]
