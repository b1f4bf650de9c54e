"""Orders that work on although a halt has cancelled them: nothing is flat meanwhile, they are cancelled again, and told."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.control import Closing, ControlRequest, TradingState
from stopline.model.errors import Rejected
from stopline.model.fill import DEFAULT_STRATEGY
from stopline.model.messages import ExecutionReport, Sweep, SweepKind
from stopline.model.statement import Statement
from stopline.model.times import utc_text
from stopline.model.wire import canonical, validate
from stopline.ports import Document, Path, Unavailable
from stopline.rules.alerting.kinds import ENDED_BY
from stopline.rules.trading.cancels import MOST
from stopline.runtime.app import App
from stopline.runtime.envelope import Envelope
from stopline.runtime.handlers import on_fills

from ..make import equity, trade
from .resume_calls import ask
from .world import World

SCOPE = "account:demo"
STRATEGY = DEFAULT_STRATEGY


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account()
    app, _ = made.instance()
    app.recorder.record([trade(1, 10, 100)], "m-1")
    made.bus.messages.clear()
    return made


def order(**more: Any) -> dict[str, Any]:
    facts = {"order_id": "B-7", "strategy": STRATEGY, "side": "BUY", "quantity": "40"}
    return {**facts, "instrument": equity("SPY").model_dump(mode="json", exclude_none=True), **more}


def statement(world: World, app: App, after: float, working: Any = (), **more: Any) -> Closing | None:
    """Take a statement of a flat account that lists orders, and the sweep that it causes."""
    now = world.wait(after)
    facts = {"statement_id": f"S-{now:%H%M%S}", "broker": "paper", "account": "demo", "as_of": utc_text(now)}
    listed = {} if working is None else {"working": list(working)}
    app.statement_recorder.record(validate(Statement, {**facts, **listed, **more}))
    app.sweeper.run(Sweep(kind=SweepKind.RECONCILE, account="demo"), now, "m-s")
    return app.closer.halt_of("demo")


def kill(app: App, id_: str = "k-1", scope: str = SCOPE, **more: Any) -> dict[str, str | None]:
    facts = {"request_id": id_, "scope": scope, "action": "kill", "actor": "ann", "reason": "t", **more}
    return app.halts.advance(app.trading.set(ControlRequest.model_validate(facts)))


def killed_and_filled(world: World, app: App, scope: str = SCOPE) -> None:
    kill(app, scope=scope)
    world.wait(1)
    app.recorder.record([trade(2, -10, 99, executed_at=world.clock.now())], "m-2")
    app.closer.advance("demo")


def cancels(world: World) -> list[dict[str, Any]]:
    found = {o["command_id"]: o for o in world.bus.bodies("orders") if o["action"].startswith("cancel")}
    return list(found.values())


def told(world: World) -> list[dict[str, Any]]:
    return list(
        {a["alert_id"]: a for a in world.bus.bodies("alerts") if a["kind"] == "orders_working"}.values()
    )


def status(found: Closing | None) -> str:
    assert found is not None
    return found.status.value


def test_a_kill_is_not_flat_while_a_newer_list_names_an_order(world: World) -> None:
    """Issue 6.4, domain 2.4: "flat" while resting limits refill."""
    app, _ = world.instance()
    killed_and_filled(world, app)
    assert status(app.closer.halt_of("demo")) == "FLAT"
    found = statement(world, app, 30, [order()])
    assert found is not None
    assert (status(found), found.confirmed_at, found.flat) == ("CLOSING", None, {})
    for _ in range(3):
        found = statement(world, app, 60, None)  # a list that is old is the last word, and no silence
        assert (status(found), found and found.confirmed_at) == ("CLOSING", None)
    statement(world, app, 60)
    found = statement(world, app, 60)
    assert (status(found), found and found.flat) == ("FLAT", {SCOPE: 1})
    assert found is not None
    assert found.confirmed_by == f"paper S-{world.clock.now():%H%M%S}"


@pytest.mark.parametrize("collection", ["statements", "fills", "reconciliations"])
def test_what_cannot_be_read_of_brokers_keeps_nothing_from_being_closed_and_nothing_new_is_called_flat(
    world: World, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Domain 2.4, F21: open for reductions; flat is said when it is known, and stays said."""
    app, _ = world.instance()
    held = [{"symbol": "SPY", "quantity": "10"}, {"symbol": "QQQ", "quantity": "5"}]
    statement(world, app, 5, [order(), order(order_id="B-8", strategy="swing")], positions=held)
    world.wait(1)
    more = {"instrument": equity("QQQ"), "strategy": "swing", "executed_at": world.clock.now()}
    app.recorder.record([trade(3, 5, 100, **more), trade(4, 1, 100, executed_at=world.clock.now())], "m-3")
    blind, store = world.instance()
    is_down, get, query = True, store.get, store.query

    def failing_get(path: Path) -> Document | None:
        if is_down and path.collection == collection:
            raise Unavailable("down")
        return get(path)

    def failing_query(name: str, *args: Any, **more: Any) -> list[Document]:
        if is_down and name == collection:
            raise Unavailable("down")
        return query(name, *args, **more)

    monkeypatch.setattr(store, "get", failing_get)
    monkeypatch.setattr(store, "query", failing_query)
    for strategy in (STRATEGY, "swing"):
        kill(blind, f"k-{strategy}", f"strategy:demo:{strategy}")
    closes = [o for o in world.bus.bodies("orders") if o["action"] == "close"]
    assert {(o["strategy"], o["quantity"]) for o in closes} == {(STRATEGY, "11"), ("swing", "5")}
    world.wait(1)
    fill = trade(5, -11, 99, executed_at=world.clock.now(), order_id=closes[0]["command_id"])
    app.recorder.record([fill], "m-5")
    is_down = False
    if collection == "fills":  # what the commands have executed must be known: else too much is closed
        return
    is_down = True
    found = blind.halt_closer.advance("demo")
    assert (status(found), found and found.flat) == ("CLOSING", {})
    world.wait(1)
    more = {"instrument": equity("QQQ"), "strategy": "swing", "order_id": closes[1]["command_id"]}
    app.recorder.record([trade(6, -5, 99, executed_at=world.clock.now(), **more)], "m-6")
    found = blind.halt_closer.advance("demo")
    assert (status(found), found and found.flat) == ("CLOSING", {})
    is_down = False
    found = blind.halt_closer.advance("demo")
    assert (status(found), sorted(found.flat if found else ())) == (
        "FLAT",
        [f"strategy:demo:{name}" for name in sorted((STRATEGY, "swing"))],
    )
    is_down = True
    assert status(blind.halt_closer.advance("demo")) == "FLAT"
    flats = {a["alert_id"]: a for a in world.bus.bodies("alerts") if a["kind"] == "flat"}
    assert len(flats) == 2
    assert "not_flat" not in {a["kind"] for a in world.bus.bodies("alerts")}


def test_a_list_of_before_the_halt_proves_nothing_and_one_without_orders_is_named_as_that(
    world: World,
) -> None:
    """Issue 6.4: what is not known is neither denied nor claimed."""
    app, _ = world.instance()
    statement(world, app, 1, [order()], positions=[{"symbol": "SPY", "quantity": "10"}])
    world.wait(5)
    killed_and_filled(world, app)
    found = statement(world, app, 60, None)
    assert found is not None
    assert status(found) == "FLAT"
    assert found.confirmed_by == f"paper S-{world.clock.now():%H%M%S} (positions only)"
    assert told(world) == []


@pytest.mark.parametrize("flatten", [True, False])
def test_an_order_that_stays_is_cancelled_again_under_new_ids_so_often_and_told(
    world: World, flatten: bool
) -> None:
    """Issue 6.4: retried, then escalated, in words that a phone shows."""
    app, _ = world.instance()
    kill(app, flatten=flatten)
    for _ in range(40):
        statement(world, app, 60, [order()], positions=[{"symbol": "SPY", "quantity": "10"}])
    again, kind = cancels(world), "cancel_all" if flatten else "cancel_adding"
    assert [c["action"] for c in again] == ["cancel_all", *[kind] * MOST]
    assert {c["epoch"] for c in again} == {1}
    alerts = told(world)
    assert len(alerts) == MOST + 1
    assert {(a["severity"], a["object"], a["resolved"]) for a in alerts} == {("critical", SCOPE, False)}
    words = "Account demo is halted, and 1 order still works: BUY 40 SPY (order B-7 at paper)"
    assert {a["summary"] for a in alerts} == {words}
    assert alerts[0]["action"].startswith("The cancel was sent again (1 of 5)")
    assert "no more go before a new kill" in alerts[-1]["action"]
    world.wait(30)
    statement(world, app, 60)
    assert [(a["severity"], a["resolved"]) for a in told(world)[len(alerts) :]] == [("info", True)]


def test_a_list_of_just_after_the_cancel_sends_none_again(world: World) -> None:
    """The order was on its way out when the broker was asked."""
    app, _ = world.instance()
    kill(app)
    statement(world, app, 2, [order()], positions=[{"symbol": "SPY", "quantity": "10"}])
    world.wait(60)
    app.closer.advance("demo")
    assert (len(cancels(world)), told(world)) == (1, [])


@pytest.mark.parametrize("flatten", [True, False])
def test_a_kill_that_people_repeat_cancels_again_whatever_is_known(world: World, flatten: bool) -> None:
    """Issue 6.4: who kills again sees something work."""
    app, _ = world.instance()
    kill(app, flatten=flatten)
    world.wait(5)
    kill(app, flatten=flatten)  # the same request: the answer was lost
    assert len(cancels(world)) == 1
    how = kill(app, "k-2", flatten=flatten)
    assert how == {"demo": "CLOSING" if flatten else "CANCELLING"}
    for _ in range(3):
        kill(world.instance()[0], "k-2", flatten=flatten)
        app.closer.advance("demo")
    assert len(cancels(world)) == 2
    world.wait(5)
    kill(app, "k-3", flatten=flatten)
    assert len(cancels(world)) == 3
    assert app.trading.standing(SCOPE).epoch == 1


@pytest.mark.parametrize("action", ["kill", "pause"])
def test_a_refused_cancel_is_told_and_sent_again(world: World, action: str) -> None:
    """Issue 6.4: partial rejects are retried."""
    app, _ = world.instance()
    app.halts.advance(ask(app, action, "r-1"))
    [first] = cancels(world)
    reason = "too late to cancel, 40 working"
    facts = {"command_id": first["command_id"], "account": "demo", "broker": "paper", "status": "rejected"}
    report = ExecutionReport.model_validate(
        {**facts, "reason": reason, "reported_at": utc_text(world.wait(1))}
    )
    for _ in range(2):
        assert app.cancel_watcher.report(report)
    [alert] = told(world)
    assert (alert["severity"], reason in alert["summary"]) == ("critical", True)
    world.wait(60)
    app.closer.advance("demo")
    _, again = cancels(world)
    assert again["action"] == first["action"]
    assert app.cancel_watcher.report(report.model_copy(update={"command_id": again["command_id"]}))
    assert len(told(world)) == 2
    assert not app.cancel_watcher.report(report.model_copy(update={"command_id": "other"}))


def test_a_halt_of_a_part_looks_at_the_orders_of_that_part(world: World) -> None:
    """R5.1: an order of another strategy, or on another underlying, works on by right."""
    app, _ = world.instance()
    scope = f"strategy:demo:{STRATEGY}"
    killed_and_filled(world, app, scope)
    found = statement(world, app, 60, [order(strategy="swing")])
    assert (found and found.flat, len(cancels(world)), told(world)) == ({scope: 1}, 1, [])
    found = statement(world, app, 60, [order(strategy="swing"), order(order_id="B-8")])
    assert (status(found), found and found.flat) == ("CLOSING", {})
    [alert] = told(world)
    assert "1 order still works: BUY 40 SPY (order B-8 at paper)" in alert["summary"]
    assert [c["strategy"] for c in cancels(world)] == [STRATEGY] * 2


def test_our_own_close_that_works_is_no_foreign_order_until_it_is_over(world: World) -> None:
    """Beside what brokers list a close command of ours is counted once, and one that ran out works by no right."""
    app, _ = world.instance()
    kill(app)
    [close] = [o for o in world.bus.bodies("orders") if o["action"] == "close"]
    mine = order(order_id="B-9", client_order_id=close["command_id"], side="SELL", quantity="10")
    held = [{"symbol": "SPY", "quantity": "10"}]
    statement(world, app, 25, [mine], positions=held)
    assert (len(cancels(world)), told(world)) == (1, [])
    for _ in range(3):
        statement(world, app, 60, [mine], positions=held)
    assert len(cancels(world)) > 1
    assert "SELL 10 SPY (order B-9 at paper)" in told(world)[0]["summary"]


def test_a_report_on_a_cancel_comes_in_by_the_topic_of_fills(world: World) -> None:
    """The rejected cancel of an adapter was dropped without a word."""
    app, _ = world.instance()
    kill(app)
    [first] = cancels(world)
    body = {
        "type": "stopline.report.v1",
        "command_id": first["command_id"],
        "account": "demo",
        "broker": "paper",
        "status": "rejected",
        "reason": "no",
        "reported_at": utc_text(world.clock.now()),
    }
    counts = on_fills(app, Envelope(canonical(body), "m-9"))
    assert counts == {"reports": 1, "unknown": 0}
    assert len(told(world)) == 1
    assert app.trading.standing(SCOPE).state is TradingState.HALTED


def test_nobody_resumes_while_orders_of_the_halt_work(world: World) -> None:
    """Issue 6.4: the order would fill under a trading state that lets it."""
    app, _ = world.instance()
    killed_and_filled(world, app)
    statement(world, app, 90, [order(), order(order_id="B-8", side="SELL", quantity="5")])
    asked: dict[str, Any] = {"request_id": "r-1", "confirm": f"RESUME {SCOPE}"}
    facts = {**asked, "scope": SCOPE, "action": "resume", "actor": "ida", "reason": "t", "expected_epoch": 1}
    with pytest.raises(Rejected, match="demo: 2 orders still work: BUY 40 SPY .*, SELL 5 SPY") as found:
        app.trading.set(ControlRequest.model_validate(facts))
    assert found.value.reason == "NOT_READY"
    statement(world, app, 60)
    statement(world, app, 60)
    resumed = app.trading.set(ControlRequest.model_validate({**facts, "request_id": "r-2"}))
    assert resumed.state is TradingState.ACTIVE


def test_a_refusal_ends_with_a_list_that_names_no_order_and_not_with_flat(world: World) -> None:
    """A broker may refuse to cancel because there is nothing to cancel: only its list tells."""
    app, _ = world.instance()
    kill(app)
    [first] = cancels(world)
    facts = {"command_id": first["command_id"], "account": "demo", "broker": "paper", "status": "rejected"}
    app.cancel_watcher.report(
        ExecutionReport.model_validate({**facts, "reported_at": utc_text(world.clock.now())})
    )
    world.wait(1)
    app.recorder.record([trade(2, -10, 99, executed_at=world.clock.now())], "m-2")
    app.closer.advance("demo")
    assert "orders_working" not in [kind for kind, by in ENDED_BY.items() if "flat" in by]
    assert status(statement(world, app, 60)) == "FLAT"
    assert [a["resolved"] for a in told(world)] == [False, True]
    for _ in range(3):
        statement(world, app, 60)
    assert len(cancels(world)) == 1
