"""Closing after a halt: begun once an epoch, carried on by whoever comes by, and ended only by the fills."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stopline.model.closing import CloseRequest
from stopline.model.closing_state import RequestStatus
from stopline.model.control import Closing, ClosingStatus, ControlRequest
from stopline.model.errors import Unreadable
from stopline.model.ids import short_id
from stopline.model.messages import ExecutionReport, Sweep, SweepKind
from stopline.model.settings.closing import ClosingSettings
from stopline.model.statement import Statement
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.ports import Unavailable, Update
from stopline.rules.closing.sent import GRACE
from stopline.runtime.app import App
from stopline.service.documents.outbox import Unpublished

from ..make import NOON, account, equity, option, trade
from .world import World

SCOPE = "account:demo"
NEXT = ClosingSettings().valid_s + GRACE.total_seconds()


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account()
    app, _ = made.instance()
    app.recorder.record(
        [trade(1, -2, 10, instrument=option(6000)), trade(2, 2, 8, instrument=option(5990))], "m-1"
    )
    made.bus.messages.clear()
    return made


def act(app: App, action: str, request_id: str, scope: str = SCOPE, **more: Any) -> None:
    facts = {
        "request_id": request_id,
        "scope": scope,
        "action": action,
        "actor": "ann",
        "reason": "t",
        **more,
    }
    app.trading.set(ControlRequest.model_validate(facts))


def advance(app: App) -> Closing:
    closing = app.closer.advance("demo")
    assert closing is not None
    return closing


def flatten(world: World, number: int = 10) -> None:
    """Let the broker execute what was commanded, and what is commanded then, until nothing is left."""
    app, _ = world.instance()
    world.wait(1)
    for leg, signed in ((6000, 2), (5990, -2)):
        command = world.bus.bodies("orders")[-1]["command_id"] if world.bus.bodies("orders") else None
        more = {"instrument": option(leg), "executed_at": world.clock.now(), "order_id": command}
        app.recorder.record([trade(number + leg, signed, 9, **more)], f"m-{number}-{leg}")
        app.closer.advance("demo")


@pytest.mark.parametrize("action", ["pause", None])
def test_without_a_halt_nothing_is_closed(world: World, action: str | None) -> None:
    """R5.1."""
    app, _ = world.instance()
    if action:
        act(app, action, "r-1")
    assert app.closer.advance("demo") is None
    assert [o["action"] for o in world.bus.bodies("orders")] == (["cancel_adding"] if action else [])


def test_a_halt_without_flatten_closes_nothing(world: World) -> None:
    """R5.1."""
    app, _ = world.instance()
    act(app, "kill", "r-1", flatten=False)
    assert app.closer.advance("demo") is None
    assert [o["action"] for o in world.bus.bodies("orders")] == ["cancel_all"]


@pytest.mark.parametrize("scope", [SCOPE, "global"])
def test_a_halt_with_flatten_sends_cancel_and_closes_in_order(world: World, scope: str) -> None:
    """R4.5, R5.1, I4: as effects of the control and the closings, so that none is lost; the cancel waits for no close."""
    app, _ = world.instance()
    act(app, "kill", "r-1", scope)
    closing = advance(app)
    assert closing.status is ClosingStatus.CLOSING
    orders = world.bus.bodies("orders")
    assert [(o["action"], o.get("side")) for o in orders] == [
        ("cancel_all", None),
        ("close", "BUY"),
    ]  # the long leg protects until the fills have bought the short one back
    assert {o["epoch"] for o in orders} == {1}
    due = (*world.outbox("controls", SCOPE), *world.outbox("closings", "demo"))
    assert [e.id for e in due if e.topic == "orders"] == [o["command_id"] for o in orders]


def test_many_callers_send_the_commands_once(world: World) -> None:
    """F44, I5: kill switch, fills and sweeps on several instances advance the same closing."""
    act(world.instance()[0], "kill", "r-1")
    for _ in range(4):
        advance(world.instance()[0])
        world.wait(5)
    assert len({o["command_id"] for o in world.bus.bodies("orders")}) == 2


def test_flat_is_said_when_the_fills_are_in_the_book_and_once(world: World) -> None:
    """Domain case 16, R6.2."""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    advance(app)
    world.wait(5)
    assert advance(app).status is ClosingStatus.CLOSING
    flatten(world)
    sent = len(world.bus.bodies("orders"))
    for _ in range(3):
        assert advance(app).status is ClosingStatus.FLAT
    alerts = [a for a in world.bus.bodies("alerts") if a["kind"] == "flat"]
    assert len({a["alert_id"] for a in alerts}) == 1
    assert "6 s after the halt" in alerts[0]["summary"]
    rows = [
        row["row"] for body in world.bus.bodies("history") for row in body["rows"] if row["table"] == "audit"
    ]
    assert {row["event"] for row in rows} == {"account_created", "kill", "flat"}
    assert len(world.bus.bodies("orders")) == sent


def flats(world: World) -> list[tuple[str, str]]:
    """Return what was said to be flat, each alert once: what is published may come again."""
    found = {a["alert_id"]: a for a in world.bus.bodies("alerts") if a["kind"] == "flat"}
    return [(a["object"], a["summary"].partition(":")[0]) for a in found.values()]


def test_who_is_flat_hears_it_once_a_kill_and_how_long_it_took_whatever_else_is_stopped(world: World) -> None:
    """R6.2: each limit that stopped another strategy told it again, "0 s after the halt": it moves the epoch."""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    advance(app)
    world.wait(4)
    act(app, "pause", "r-2", "strategy:demo:other")
    advance(app)
    world.wait(3)
    flatten(world)
    advance(app)
    for number in range(3):
        world.wait(60)
        act(app, "pause", f"r-{number + 3}", f"strategy:demo:other-{number}")
        assert advance(app).status is ClosingStatus.FLAT
    told = {a["alert_id"]: a["summary"] for a in world.bus.bodies("alerts") if a["kind"] == "flat"}
    assert list(told.values()) == ["Account demo is flat: the fills prove it, 8 s after the halt"]


def test_a_strategy_or_underlying_that_was_killed_is_flat_by_itself(world: World) -> None:
    """R5.1, R6.3: the account is not, and nobody says so; each is told once, whatever else changes the epoch."""
    app, _ = world.instance()
    fills = [trade(3, 5, 100, strategy="swing"), trade(4, 1, 100, instrument=equity("QQQ"), strategy="swing")]
    app.recorder.record(fills, "m-2")
    strategy, underlying = "strategy:demo:swing", "underlying:demo:SPXW"
    act(app, "kill", "r-1", strategy)
    advance(app)
    act(app, "kill", "r-2", underlying)
    advance(app)
    assert flats(world) == []
    world.wait(1)
    for number, sold in ((5, equity("SPY")), (6, equity("QQQ"))):
        units = {"SPY": -5, "QQQ": -1}[sold.symbol]
        more = {"instrument": sold, "strategy": "swing", "executed_at": world.clock.now()}
        app.recorder.record([trade(number, units, 99, **more)], f"m-{number}")
        assert advance(app).status is ClosingStatus.CLOSING
    assert flats(world) == [(strategy, "Strategy swing of account demo is flat")]
    flatten(world)
    assert advance(app).status is ClosingStatus.FLAT
    world.wait(1)
    act(app, "pause", "r-3")
    assert advance(app).status is ClosingStatus.FLAT
    assert flats(world) == [
        (strategy, "Strategy swing of account demo is flat"),
        (underlying, "Underlying SPXW of account demo is flat"),
    ]
    rows = [r["row"] for b in world.bus.bodies("history") for r in b["rows"] if r["table"] == "audit"]
    assert {r["scope"] for r in rows if r["event"] == "flat"} == {strategy, underlying}


def test_a_kill_of_a_name_that_nobody_holds_is_told_as_that_and_is_never_flat(world: World) -> None:
    """R5.1, R0.4: a mistyped stop proves nothing. When something of that name comes, it is closed, and then it is flat."""
    app, _ = world.instance()
    scope = "strategy:demo:swing"
    act(app, "kill", "r-1", scope)
    for _ in range(2):
        assert advance(app).status is ClosingStatus.NOTHING_HELD
    assert flats(world) == []
    alerts = {a["alert_id"]: a for a in world.bus.bodies("alerts") if a["kind"] == "not_flat"}.values()
    assert [(a["object"], a["severity"]) for a in alerts] == [(scope, "critical")]
    assert next(iter(alerts))["summary"].endswith(
        "nothing is known by the name swing in account demo; held are default"
    )
    world.wait(1)
    app.recorder.record([trade(3, 5, 100, strategy="swing")], "m-2")
    assert advance(app).status is ClosingStatus.CLOSING
    world.wait(1)
    sold = trade(4, -5, 99, strategy="swing", executed_at=world.clock.now())
    app.recorder.record([sold], "m-3")
    assert advance(app).status is ClosingStatus.FLAT
    assert flats(world) == [(scope, "Strategy swing of account demo is flat")]


def test_a_halt_that_was_flat_before_scopes_were_told_by_themselves_is_not_told_again(world: World) -> None:
    """R0.3"""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    advance(app)
    flatten(world)
    advance(app)
    [stored] = world.shared.query("closings")
    state = json.loads(stored.data["state"])
    assert state["halt"].pop("flat") == {SCOPE: 1}
    world.shared.commit([Update(stored.path, {"state": json.dumps(state)}, stored.version)])
    for _ in range(2):
        world.wait(1)
        assert advance(world.instance()[0]).status is ClosingStatus.FLAT
    assert len(flats(world)) == 1


def test_positions_that_stay_open_are_told_again_and_then_to_people(world: World) -> None:
    """F43: retried, and the rest alerted; the state is CLOSING, never CLOSED."""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    world.bus.messages.clear()
    rounds = []
    for _ in range(4):
        assert advance(app).status is ClosingStatus.CLOSING
        rounds.append(len([a for a in world.bus.bodies("alerts") if a["kind"] == "closing_stuck"]))
        world.wait(NEXT)
    assert rounds == [0, 0, 1, 2]
    [first, second] = [a for a in world.bus.bodies("alerts") if a["kind"] == "closing_stuck"]
    assert first["severity"] == "critical"
    assert "SPXW261118P06000000" in first["summary"]
    assert first["alert_id"] != second["alert_id"]


def test_a_store_that_cannot_be_read_is_not_flat(world: World) -> None:
    """Domain case 16, I7."""
    app, store = world.instance()
    act(app, "kill", "r-1")
    store.down = True
    with pytest.raises(Unavailable):
        app.closer.advance("demo")
    store.down = False
    assert advance(app).status is ClosingStatus.CLOSING


@pytest.mark.parametrize("applied", [False, True])
def test_a_commit_of_unknown_outcome_sends_each_command_under_one_id(world: World, applied: bool) -> None:
    """F11, F12, F44."""
    app, store = world.instance()
    act(app, "kill", "r-1")
    store.faults = [store.applied_but_lost if applied else store.lost]
    with pytest.raises(Unavailable):
        app.closer.advance("demo")
    advance(app)
    assert len({o["command_id"] for o in world.bus.bodies("orders")}) == 2


def test_commands_that_could_not_go_out_go_out_with_the_next_advance(world: World) -> None:
    """F17, F40."""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    world.bus.down = True
    with pytest.raises(Unpublished):
        app.closer.advance("demo")
    world.bus.down = False
    advance(world.instance()[0])
    assert len(world.bus.bodies("orders")) == 2


def test_a_resume_ends_the_closing_and_a_new_kill_begins_anew(world: World) -> None:
    """F39: other ids, a newer epoch, a cancel first."""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    advance(app)
    world.resume(app, "r-2", 1)
    assert app.closer.advance("demo") is None
    old = {o["command_id"] for o in world.bus.bodies("orders")}
    world.bus.messages.clear()
    act(app, "kill", "r-3")
    assert advance(app).epoch == 3
    orders = world.bus.bodies("orders")
    assert orders[0]["action"] == "cancel_all"
    assert {o["epoch"] for o in orders} == {3}
    assert old.isdisjoint({o["command_id"] for o in orders})


def test_an_account_without_a_book_is_flat(world: World) -> None:
    world.open_account(account("empty"))
    app, _ = world.instance()
    act(app, "kill", "r-1", "account:empty")
    closing = app.closer.advance("empty")
    assert closing is not None
    assert closing.status is ClosingStatus.FLAT


def test_each_kill_of_a_flat_account_is_confirmed(world: World) -> None:
    """R5.1, R6.2: whoever kills a second time must hear of flat a second time."""
    flatten(world)
    app, _ = world.instance()
    act(app, "kill", "r-1")
    advance(app)
    world.resume(app, "r-2", 1)
    world.wait(60)
    act(app, "kill", "r-3")
    assert advance(app).status is ClosingStatus.FLAT
    assert len([a for a in world.bus.bodies("alerts") if a["kind"] == "flat"]) == 2


def test_a_resume_in_the_middle_of_an_advance_stops_it(world: World) -> None:
    """F39, I6: nothing is closed under the epoch of a state that was ACTIVE again when it was decided."""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    other, _ = world.instance()
    read = app.books.read

    def slow(name: str) -> Any:
        world.resume(other, "r-2", 1)
        return read(name)

    app.books.read = slow  # type: ignore[method-assign]
    app.closer.advance("demo")
    assert {o["action"] for o in world.bus.bodies("orders")} == {"cancel_all"}


def test_a_fill_that_arrives_after_flat_is_closed_under_the_same_epoch(world: World) -> None:
    """F37."""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    advance(app)
    flatten(world)
    assert advance(app).status is ClosingStatus.FLAT
    world.bus.messages.clear()
    world.wait(2)
    other, _ = world.instance()
    other.recorder.record([trade(90, -1, 9, instrument=option(6000), executed_at=world.clock.now())], "m-90")
    assert advance(app).status is ClosingStatus.CLOSING
    [order] = world.bus.bodies("orders")
    assert (order["side"], order["quantity"], order["epoch"]) == ("BUY", "1", 1)


def report(command_id: str, **more: Any) -> ExecutionReport:
    facts = {
        "command_id": command_id,
        "account": "demo",
        "broker": "paper",
        "status": "rejected",
        "filled": "0",
    }
    return ExecutionReport.model_validate({**facts, "reported_at": NOON.isoformat(), **more})


def test_a_report_is_recorded_and_wakes_the_closing(world: World) -> None:
    """F43, R8.4: an instance that has looked before there was a closing sees it too."""
    recorder, _ = world.instance()
    assert not recorder.closer.report(report("unknown"))
    app, _ = world.instance()
    act(app, "kill", "r-1")
    advance(app)
    first = [o["command_id"] for o in world.bus.bodies("orders")]
    assert recorder.closer.report(report(first[-1], reason="no liquidity"))
    assert [sweep["account"] for sweep in world.bus.bodies("sweeps")] == ["demo"]
    world.wait(4)
    advance(app)
    assert {o["command_id"] for o in world.bus.bodies("orders")} == set(first)
    world.wait(1)
    advance(app)
    [again] = [o for o in world.bus.bodies("orders") if o["command_id"] not in first]
    assert again["quantity"] == "2"
    rows = [r for body in world.bus.bodies("history") for r in body["rows"] if r["table"] == "executions"]
    assert {(r["row"]["status"], r["row"]["error"]) for r in rows} == {("rejected", "no liquidity")}


def test_a_price_batch_sends_the_retry_that_is_due(world: World) -> None:
    """R8.4: nobody waits for the next sweep."""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    advance(app)
    app.closer.report(report(world.bus.bodies("orders")[-1]["command_id"]))
    advance(app)
    world.bus.messages.clear()
    prices, _ = world.instance()
    assert prices.closer.advance_due() == 0
    world.wait(6)
    assert prices.closer.advance_due() == 1
    assert len(world.bus.bodies("orders")) == 1


def test_one_account_s_trouble_keeps_no_other_s_retry_from_being_sent(world: World) -> None:
    """R8.4, I7: the last problem is raised, behind all that could be done."""
    for name in ("aaa", "zzz"):
        world.open_account(account(name))
        world.instance()[0].recorder.record([trade(1, 10, 100, account=name)], f"m-{name}")
    app, _ = world.instance()
    for name in ("demo", "aaa", "zzz"):
        act(app, "kill", f"k-{name}", f"account:{name}")
        app.closer.advance(name)
    for name in ("aaa", "zzz"):
        [stored] = [d for d in world.shared.query("closings") if d.data["account"] == name]
        world.shared.commit([Update(stored.path, {"state": "{"}, stored.version)])
    world.bus.messages.clear()
    world.wait(NEXT)
    with pytest.raises(Unreadable, match="closings/zzz"):
        world.instance()[0].closer.advance_due()
    assert {o["account"] for o in world.bus.bodies("orders") if o["action"] == "close"} == {"demo"}


def test_a_statement_that_still_shows_units_keeps_a_kill_from_being_flat(world: World) -> None:
    """Issue 6.4: flat by the fills, and by the broker's word where there is one."""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    advance(app)
    flatten(world)
    assert advance(app).status is ClosingStatus.FLAT
    statement(world, app, [{"symbol": "SPY", "quantity": "3"}], 90)
    sweep(world, app, 31)  # it is compared when no fill can be on its way any more
    assert advance(app).status is ClosingStatus.CLOSING
    [told] = [a for a in world.bus.bodies("alerts") if a["kind"] == "not_flat"]
    assert (told["severity"], "the broker holds 3, we none" in told["summary"]) == ("critical", True)
    for _ in range(2):
        statement(world, app, [], 31)
        sweep(world, app, 31)
    again = advance(world.instance()[0])
    assert again.status is ClosingStatus.FLAT
    assert again.flat_at is not None
    assert again.confirmed_at is not None
    assert again.confirmed_at > again.flat_at


def statement(world: World, app: App, held: list[dict[str, str]], after: float) -> None:
    """Take a broker's statement, and the sweep that it causes."""
    now = world.wait(after)
    facts = {"statement_id": f"S-{now:%H%M%S}", "broker": "paper", "account": "demo"}
    app.statement_recorder.record(validate(Statement, {**facts, "as_of": utc_text(now), "positions": held}))
    app.sweeper.run(Sweep(kind=SweepKind.RECONCILE, account="demo"), now, "m-s")


def sweep(world: World, app: App, after: float) -> None:
    app.sweeper.run(Sweep(kind=SweepKind.RISK), world.wait(after).replace(second=0, microsecond=0), "m-r")


def test_the_next_statement_that_agrees_is_in_the_record_beside_the_proof_by_fills(world: World) -> None:
    """Issue 7.3, R1.8: of the kill, and in the audit trail, once."""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    advance(app)
    flatten(world)
    flat = advance(app)
    assert (flat.status, flat.confirmed_at) == (ClosingStatus.FLAT, None)
    statement(world, app, [], 30)
    found = app.closer.halt_of("demo")
    assert found is not None
    assert (found.flat_at, found.confirmed_at) == (flat.flat_at, world.clock.now())
    assert found.confirmed_by == f"paper S-{world.clock.now():%H%M%S} (positions only)"
    statement(world, app, [], 30)
    again = app.closer.halt_of("demo")
    assert again is not None
    assert again.confirmed_at == found.confirmed_at
    rows = [r for body in world.bus.bodies("history") for r in body["rows"] if r["table"] == "audit"]
    assert [r["row"]["event"] for r in rows].count("close_confirmed") == 1


def test_a_statement_of_before_the_fills_confirms_nothing(world: World) -> None:
    """One that was made while the positions were open says nothing about their end."""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    advance(app)
    flatten(world)
    flat = advance(app)
    now = world.clock.now()
    facts = {
        "statement_id": "S-0",
        "broker": "paper",
        "account": "demo",
        "as_of": utc_text(now),
        "positions": [],
    }
    app.statement_recorder.record(validate(Statement, facts))
    app.sweeper.run(Sweep(kind=SweepKind.RECONCILE, account="demo"), now, "m-s")
    assert flat.flat_at == now
    assert advance(app).confirmed_at is None


def test_a_closed_request_is_confirmed_too_while_the_account_trades_on(world: World) -> None:
    """Issue 7.3: what an exit has closed."""
    app, _ = world.instance()
    app.recorder.record([trade(40, 5, 100)], "m-40")
    facts = {
        "request_id": "x",
        "account": "demo",
        "symbol": "SPY",
        "urgency": "now",
        "rule": "stop_loss",
        "reason": "x",
    }
    now = world.clock.now()
    app.closer.ask(validate(CloseRequest, {**facts, "cause": "c", "requested_at": utc_text(now)}))
    [close] = [o for o in world.bus.bodies("orders") if o["action"] == "close"]
    sold = {"executed_at": world.wait(1), "order_id": close["command_id"]}
    app.recorder.record([trade(41, -5, 99, **sold)], "m-41")
    app.closer.advance("demo")
    held = [
        {"symbol": option(6000).symbol, "quantity": "-2"},
        {"symbol": option(5990).symbol, "quantity": "2"},
    ]
    statement(world, app, held, 30)
    [asked] = app.closer.read("demo").asked.values()
    assert (asked.status, asked.confirmed_at) == (RequestStatus.CLOSED, world.clock.now())


def test_a_halt_of_a_strategy_closes_that_strategy(world: World) -> None:
    """R5.1."""
    app, _ = world.instance()
    app.recorder.record([trade(30, 4, 100, strategy="trend")], "m-30")
    act(app, "kill", "r-1", "strategy:demo:trend")
    assert advance(app).status is ClosingStatus.CLOSING
    closes = [o for o in world.bus.bodies("orders") if o["action"] == "close"]
    assert [(o["strategy"], o["quantity"]) for o in closes] == [("trend", "4")]


def test_an_older_book_takes_nothing_back(world: World) -> None:
    """I6: a slow sweep that read the book before its last fill neither undoes FLAT nor closes once more."""
    app, _ = world.instance()
    act(app, "kill", "r-1")
    older = app.books.read("demo")
    assert older is not None
    assert len(older.open_positions()) >= 2
    advance(app)
    world.wait(1)
    for number, position in enumerate(older.open_positions()):
        fill_ = trade(
            1000 + number,
            -position.quantity,
            9,
            instrument=position.instrument,
            strategy=position.strategy,
            executed_at=world.clock.now(),
        )
        app.recorder.record([fill_], f"m-{position.key}")
    assert advance(app).status is ClosingStatus.FLAT
    sent = len(world.bus.bodies("orders"))
    slow, _ = world.instance()
    read, looks = slow.books.read, [older]
    slow.books.read = lambda name: looks.pop() if looks else read(name)  # type: ignore[method-assign]
    assert advance(slow).status is ClosingStatus.FLAT
    assert len(world.bus.bodies("orders")) == sent


@pytest.mark.parametrize(
    "resting",
    [
        "SELL 100",
        "SELL 50",
        "BUY 100",
        "ours",
        "ours by its own id",
        "ours by its tag",
        "other strategy",
        "old",
    ],
)
def test_before_a_part_goes_orders_that_would_sell_more_than_is_left_are_cancelled(resting: str) -> None:
    """R5.1, domain 2.4: the statement says what rests; half of 100 shares is to go."""
    world = World()
    world.open_account(account())
    app, _ = world.instance()
    app.recorder.record([trade(-9, 100, 100, order_id="O-1")], "m-1")
    book = world.book()
    assert book is not None
    [trade_id] = [t.trade_id for t in book.open_trades()]
    facts = {
        "account": "demo",
        "strategy": "default",
        "trade_id": trade_id,
        "leave": "50",
        "rule": "scale_out",
    }
    facts |= {"urgency": "now", "reason": "x", "cause": "c", "requested_at": utc_text(NOON)}
    side, units = resting.split() if resting[-1] == "0" else ("SELL", "100")
    order = {
        "order_id": "B-1",
        "strategy": "other" if resting == "other strategy" else "default",
        "instrument": equity().model_dump(mode="json", exclude_none=True),
        "side": side,
        "quantity": units,
    }
    if resting.startswith("ours"):  # what a first command, refused since, was
        app.closer.ask(validate(CloseRequest, {**facts, "request_id": "R-0"}))
        id_ = world.bus.bodies("orders")[-1]["command_id"]
        names = {"ours": {"order_id": id_}, "ours by its own id": {"client_order_id": id_}}
        order |= names.get(resting, {"client_order_id": short_id(id_)})
        world.bus.messages.clear()
        world.wait(NEXT)
    told = {"statement_id": "S-1", "broker": "paper", "account": "demo", "as_of": utc_text(world.clock.now())}
    told |= {"positions": [{"symbol": "SPY", "quantity": "100"}], "working": [order]}
    app.statement_recorder.record(validate(Statement, told))
    world.wait(901 if resting == "old" else 1)
    app.closer.ask(validate(CloseRequest, {**facts, "request_id": "R-1"}))
    sent = [(o["action"], o["instrument"]["symbol"], o["quantity"]) for o in world.bus.bodies("orders")]
    cancel = [("cancel_all", "SPY", None)] if resting == "SELL 100" else []
    assert sent == [*cancel, ("close", "SPY", "50")]
    kinds = [a["kind"] for a in world.bus.bodies("alerts")]
    assert kinds.count("resting_cancelled") == len(cancel)


def test_a_command_that_no_report_named_is_counted_once_beside_what_brokers_tell() -> None:
    """R2.6: the broker lists it under a number of its own, with the command's id as client order id."""
    world = World()
    world.open_account(account())
    app, _ = world.instance()
    app.recorder.record([trade(-9, 100, 100)], "m-1")
    act(app, "kill", "k-1", flatten=True)
    app.closer.advance("demo")
    id_ = world.bus.bodies("orders")[-1]["command_id"]
    contract = equity().model_dump(mode="json", exclude_none=True)
    order = {
        "order_id": "B-1",
        "client_order_id": id_,
        "instrument": contract,
        "side": "SELL",
        "quantity": "100",
    }
    told = {"statement_id": "S-1", "broker": "paper", "account": "demo", "as_of": utc_text(world.clock.now())}
    told |= {"positions": [{"symbol": "SPY", "quantity": "100"}], "working": [order]}
    app.statement_recorder.record(validate(Statement, told))
    book = world.book()
    assert book is not None
    working = app.working_orders.of(app.accounts.require("demo"), book, world.clock.now())
    assert [(one.order_id, one.quantity) for one in working.orders] == [(id_, 100)]
