"""Resuming: a kill needs one word, a resume needs everything."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from stopline.model.errors import Rejected
from stopline.model.messages import Sweep, SweepKind
from stopline.model.statement import Statement
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.ports import Conflict, Delete, Document, Path, Put
from stopline.rules.trading.resuming import TooEarly
from stopline.runtime.app import App

from ..make import account, at, equity, fill, trade
from .resume_calls import ACTIVE, DEMO, HALTED, ask, events, forget_settings, refused
from .valuing import prices
from .world import World


@pytest.mark.parametrize(
    "typed", ["", "RESUME", "resume account:demo", "RESUME global", "RESUME account:demo "]
)
def test_a_resume_must_be_typed_out(world: World, typed: str) -> None:
    """Issue 6: typed confirmation."""
    app, _ = world.instance()
    ask(app, "kill", "k")
    world.wait(60)
    assert refused(app, "r", confirm=typed) == "NOT_CONFIRMED"


def test_a_resume_waits_for_the_minimum_hold(world: World) -> None:
    """Issue 6: and says how long."""
    app, _ = world.instance()
    ask(app, "kill", "k")
    world.wait(59)
    with pytest.raises(TooEarly) as found:
        ask(app, "resume", "r")
    assert (found.value.reason, found.value.after_s) == ("TOO_EARLY", 2)
    world.wait(1)
    assert ask(app, "resume", "r-2").state is ACTIVE


def test_a_second_kill_starts_no_new_hold_but_a_stricter_one_does(world: World) -> None:
    app, _ = world.instance()
    ask(app, "pause", "p")
    world.wait(50)
    ask(app, "pause", "p-2")
    world.wait(10)
    ask(app, "kill", "k")
    assert refused(app, "r") == "TOO_EARLY"


def test_a_resume_needs_prices_for_what_is_open(world: World) -> None:
    """I7: UNKNOWN is no ground to go on."""
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100, executed_at=at(-300))], "m-1")
    ask(app, "kill", "k")
    world.wait(60)
    assert refused(app, "r") == "NOT_READY"
    prices(app, world.clock.now(), SPY=100.0)
    assert ask(app, "resume", "r-2").state is ACTIVE


def test_a_valuation_of_long_ago_is_no_valuation(world: World) -> None:
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100)], "m-1")
    prices(app, world.clock.now(), SPY=100.0)
    ask(app, "kill", "k")
    world.wait(181)
    assert refused(app, "r") == "NOT_READY"


def test_a_price_is_judged_at_the_moment_of_the_resume(world: World) -> None:
    """Issue 6: the valuation is a minute old, the price that it used two; an account takes prices of a minute at most."""
    app, _ = world.instance()
    app.recorder.record([trade(-1, 10, 100, executed_at=at(-300))], "m-1")
    prices(app, world.clock.now(), SPY=100.0)
    ask(app, "kill", "k", flatten=False)
    app.desk.refresh()
    app.marker.evaluate({"demo"}, world.wait(59), "sweep", True)
    world.wait(59)
    with pytest.raises(Rejected, match="no usable price for SPY"):
        ask(app, "resume", "r")
    prices(app, world.clock.now(), SPY=100.0)
    assert ask(app, "resume", "r-2").state is ACTIVE


def test_a_dividend_of_a_moment_ago_prices_no_position_at_a_resume(world: World) -> None:
    """I7: it says not what a share is worth."""
    app, _ = world.instance()
    app.recorder.record([trade(-1, 10, 100, executed_at=at(-300))], "m-1")
    ask(app, "kill", "k", flatten=False)
    prices(app, world.wait(50), SPY=100.0)
    now = world.wait(50)
    paid = fill("D-1", "BUY", 0, 0, now, kind="DIVIDEND", fee="-5", fee_currency="USD")
    app.recorder.record([paid], "m-2")
    app.desk.refresh()
    app.marker.evaluate({"demo"}, world.wait(5), "sweep", True)
    world.wait(10)
    with pytest.raises(Rejected, match="no usable price for SPY"):
        ask(app, "resume", "r")


def test_a_book_that_has_changed_since_it_was_valued_is_a_doubt(world: World) -> None:
    """Issue 6: what came is priced by its own fill, and no limit has seen it."""
    app, _ = world.instance()
    app.recorder.record([trade(-9, 10, 100)], "m-1")
    ask(app, "kill", "k", flatten=False)
    prices(app, world.wait(61), SPY=100.0)
    app.recorder.record([trade(2, 5, 100, executed_at=world.clock.now(), instrument=equity("QQQ"))], "m-2")
    with pytest.raises(Rejected, match="has changed since it was last valued"):
        ask(app, "resume", "r")
    prices(app, world.wait(1), SPY=100.0, QQQ=100.0)
    assert ask(app, "resume", "r-2").state is ACTIVE


def test_one_account_in_doubt_holds_up_the_whole_until_it_is_stopped_itself(world: World) -> None:
    """No way out is a trap: the desk can go on without that account."""
    world.open_account(account("other"))
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100, executed_at=at(-300))], "m-1")
    ask(app, "kill", "k", "global")
    world.wait(60)
    assert refused(app, "r", "global") == "NOT_READY"
    ask(app, "kill", "k-2")
    ask(app, "resume", "r-2", "global")
    assert ask(app, "resume", "r-3", "global", "bob").state is ACTIVE
    assert app.trading.for_account("demo")[0] is HALTED


@pytest.mark.parametrize("scope", [DEMO, "global"])
def test_a_kill_waits_for_no_look_of_a_resume(
    world: World, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    """I6: in the same instance; and the resume, which was written before it, lifts nothing of it."""
    app, store = world.instance()
    app.recorder.record([trade(1, 10, 100, executed_at=at(-300))], "m-1")
    prices(app, world.clock.now(), SPY=100.0)
    paused = ask(app, "pause", "p", scope)
    prices(app, world.wait(60), SPY=100.0)
    is_looking, goes_on, get_all = Event(), Event(), store.get_all

    def slow(paths: Sequence[Path]) -> list[Document | None]:
        if any(path.collection == "risk" for path in paths):
            is_looking.set()
            assert goes_on.wait(60)
        return get_all(paths)

    monkeypatch.setattr(store, "get_all", slow)
    with ThreadPoolExecutor(2) as threads:
        try:
            resumed = threads.submit(ask, app, "resume", "r", scope, expected_epoch=paused.epoch, lifts=[])
            assert is_looking.wait(60)
            assert threads.submit(ask, app, "kill", "k", scope).result(10).state is HALTED
        finally:
            goes_on.set()
        with pytest.raises(Rejected) as found:
            resumed.result(60)
    assert found.value.reason == "STALE_RESUME"
    assert app.trading.standing(scope).state is HALTED


def test_a_resume_that_was_refused_before_the_look_is_refused_however_the_commit_ends(world: World) -> None:
    """I7: its minute is over by the second try, and nobody has looked at what speaks against it."""
    app, store = world.instance()
    app.recorder.record([trade(1, 10, 100, executed_at=at(-300))], "m-1")
    ask(app, "kill", "k")
    world.wait(59)

    def slower(_: object) -> None:
        world.wait(1)
        raise Conflict("somebody was faster")

    store.faults = [slower]
    assert refused(app, "r") == "TOO_EARLY"
    assert refused(app, "r-2") == "NOT_READY"


def test_a_refused_resume_is_on_record(world: World) -> None:
    """F45."""
    app, _ = world.instance()
    ask(app, "kill", "k")
    refused(app, "r")
    assert events(world) == ["kill", "resume_refused"]
    assert app.trading.read(DEMO).epoch == 1


def test_a_deleted_account_that_still_holds_something_is_not_resumed(world: World) -> None:
    """R5.1, I7: no limit is watched there, and no lease can be had."""
    app, _ = world.instance()
    app.recorder.record([trade(1, 100, 100)], "m-1")
    ask(app, "kill", "k")
    was = forget_settings(world)
    world.wait(61)
    app, _ = world.instance()
    assert refused(app, "r") == "NOT_READY"
    world.shared.commit([was])
    app, _ = world.instance()
    prices(app, world.clock.now(), SPY=100.0)
    assert ask(app, "resume", "r-2").state is ACTIVE


def test_closings_that_cannot_be_read_keep_an_account_from_being_resumed(world: World) -> None:
    """R5.1: the next stop would close nothing."""
    app, _ = world.instance()
    ask(app, "kill", "k")
    was = world.shared.get(Path("closings", "demo"))
    world.shared.commit([Put(Path("closings", "demo"), {"account": "demo", "state": "{"})])
    world.wait(61)
    app, _ = world.instance()
    assert refused(app, "r") == "NOT_READY"
    world.shared.commit([Delete(Path("closings", "demo")) if was is None else Put(was.path, was.data)])
    assert ask(world.instance()[0], "resume", "r-2").state is ACTIVE


def stated(world: World, app: App, quantity: int, statement_id: str) -> None:
    """Take a complete statement of this moment, and the round that it causes."""
    body = {
        "statement_id": statement_id,
        "broker": "paper",
        "account": "demo",
        "as_of": utc_text(world.clock.now()),
    }
    held = [{"symbol": "SPY", "quantity": str(quantity)}]
    app.statement_recorder.record(validate(Statement, {**body, "positions": held}))
    app.sweeper.run(Sweep(kind=SweepKind.RECONCILE, account="demo"), world.clock.now(), statement_id)


def test_a_statement_of_a_moment_ago_that_shows_other_quantities_is_a_doubt(world: World) -> None:
    """Issue 6, I7: fills may be on their way, or it is a break: within the quiet time nobody knows."""
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100, executed_at=at(-300))], "m-1")
    ask(app, "pause", "p")
    prices(app, world.wait(61), SPY=100.0)
    stated(world, app, 25, "S-1")
    with pytest.raises(Rejected, match="SPY: we hold 10, the broker 25; fills may be on their way"):
        ask(app, "resume", "r")
    world.wait(5)
    stated(world, app, 10, "S-2")
    assert ask(app, "resume", "r-2").state is ACTIVE


def test_a_fill_that_a_statement_cannot_know_is_no_doubt(world: World) -> None:
    """No way out is a trap: where statements come once a day, each fill after one would keep the account stopped."""
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100, executed_at=at(-300))], "m-1")
    ask(app, "pause", "p")
    stated(world, app, 10, "S-1")
    app.recorder.record([trade(2, 5, 100, executed_at=world.wait(1))], "m-2")
    world.wait(10)
    app.sweeper.run(Sweep(kind=SweepKind.RECONCILE, account="demo"), world.clock.now(), "later")
    prices(app, world.wait(61), SPY=100.0)
    assert ask(app, "resume", "r").state is ACTIVE
