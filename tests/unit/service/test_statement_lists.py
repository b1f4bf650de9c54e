"""What counts as a broker's list of orders, and from when on: a read that failed clears nothing, and a clock that is ahead
makes no list newer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from stopline.brokers import read_statement
from stopline.model.control import ControlRequest
from stopline.model.errors import Rejected, Transient, Unreadable
from stopline.model.messages import Sweep, SweepKind
from stopline.model.statement import Statement
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.ports import Data, Delete, Put
from stopline.runtime.app import App
from stopline.service.accounts.reader import account_path
from stopline.service.fills.statements import StatementCodec, statement_name

from ..make import account, trade
from .test_damaged_documents import bare, cut, damage, mistyped, shaped, unsent
from .test_orders_working import (
    SCOPE,
    cancels,
    kill,
    killed_and_filled,
    order,
    statement,
    status,
    told,
    world,
)
from .world import World

__all__ = ["world"]
FAILED: dict[str, Any] = {"complete": False, "problem": "HTTP 500"}
HELD = [{"symbol": "SPY", "quantity": "10"}]


def names(app: App, broker: str = "paper") -> list[str | None] | None:
    """Return the orders that are kept as a broker's."""
    kept = app.statements.read(statement_name("demo", broker))
    assert kept is not None
    return None if kept.working is None else [one.order_id for one in kept.working]


def resume(app: App, number: int, scope: str = SCOPE) -> str:
    """Ask to resume the account, or a part of it; return why not."""
    facts: dict[str, Any] = {"request_id": f"r-{number}", "confirm": f"RESUME {scope}", "action": "resume"}
    facts |= {"scope": scope, "actor": "ida", "reason": "t"}
    facts |= {"expected_epoch": app.trading.standing(scope).epoch}
    try:
        app.trading.set(ControlRequest.model_validate(facts))
    except Rejected as refused:
        return refused.detail
    return ""


def test_a_read_that_failed_lists_no_orders_and_clears_none(world: World) -> None:
    """Domain 2.4: an empty list from a failed broker call cleared the halt."""
    app, _ = world.instance()
    killed_and_filled(world, app)
    statement(world, app, 60, [order()])
    for _ in range(2):
        assert status(statement(world, app, 60, [], **FAILED)) == "CLOSING"
    assert [a["resolved"] for a in told(world)] == [False] * len(told(world))
    assert "1 order still works" in resume(app, 1)
    statement(world, app, 60)
    assert status(statement(world, app, 60)) == "FLAT"
    assert resume(app, 2) == ""


def test_an_empty_list_of_a_failed_read_is_no_list(world: World) -> None:
    """What is not known is not claimed."""
    app, _ = world.instance()
    killed_and_filled(world, app)
    statement(world, app, 60, [], **FAILED)
    assert names(app) is None
    found = statement(world, app, 60, None)
    assert found is not None
    assert found.confirmed_by.endswith(" (positions only)")


def test_a_failed_read_may_name_more_orders_and_one_that_says_when_it_asked_for_them_counts(
    world: World,
) -> None:
    """The orders may have been read where the positions were not."""
    app, _ = world.instance()
    statement(world, app, 1, [order()], **FAILED)
    assert names(app) == ["B-7"]
    statement(world, app, 1, [order(order_id="B-8"), order()], **FAILED)
    assert names(app) == ["B-8", "B-7"]
    statement(world, app, 1, [order(order_id="B-9")], **FAILED)
    assert names(app) == ["B-8", "B-7"]
    asked = utc_text(world.clock.now())
    statement(world, app, 1, [order(order_id="B-9")], **FAILED, working_as_of=asked)
    assert names(app) == ["B-9"]
    statement(world, app, 1, [], **FAILED, working_as_of=utc_text(world.clock.now()))
    assert names(app) == []


def test_the_orders_that_a_dialect_could_not_ask_for_clear_none() -> None:
    """Domain 2.4: the orders of Alpaca came as an empty list beside `complete: false`."""
    world = World()
    world.open_account(account(brokers=["alpaca"]))
    app, _ = world.instance()
    row = {"id": "g-1", "symbol": "SPY", "asset_class": "us_equity", "side": "buy", "qty": "5"}
    row |= {"filled_qty": "0", "type": "limit", "limit_price": "80", "status": "new", "order_class": ""}
    for orders, more in (([row], {}), ([], FAILED)):
        message = {"as_of": utc_text(world.wait(30)), "positions": [], "orders": orders, **more}
        found = read_statement(message, {"broker": "alpaca", "account": "demo"})
        assert app.statement_recorder.record(found)
    assert names(app, "alpaca") == ["g-1"]


@pytest.mark.parametrize("more", [{}, {"ahead": 50.0}], ids=["as_of", "working_as_of"])
def test_a_list_of_before_the_kill_stays_that_where_the_adapter_s_clock_is_ahead(
    world: World, more: dict[str, float]
) -> None:
    """Domain 6: a clock may be 60 s ahead; a list is never of after it came."""
    app, _ = world.instance()
    now = world.clock.now()
    facts = {"statement_id": "S-1", "broker": "paper", "account": "demo", "positions": HELD}
    times = {"as_of": utc_text(now + timedelta(seconds=0 if more else 50))}
    if more:
        times["working_as_of"] = utc_text(now + timedelta(seconds=more["ahead"]))
    app.statement_recorder.record(validate(Statement, {**facts, **times, "working": [order()]}))
    world.wait(1)
    killed_and_filled(world, app)
    world.wait(60)
    assert status(app.closer.advance("demo")) == "FLAT"
    assert told(world) == []
    found = statement(world, app, 5, None)
    assert found is not None
    assert found.confirmed_by.endswith(" (positions only)")


@pytest.mark.parametrize("how", [cut, shaped, mistyped, bare, unsent], ids=lambda how: how.__name__)
def test_the_next_statement_is_taken_where_the_one_that_is_kept_is_damaged(
    world: World, how: Callable[..., Data]
) -> None:
    """F53: a kill waited for hands that mend the document, whatever brokers said."""
    app, _ = world.instance()
    statement(world, app, 5, [], positions=HELD)
    damage(world, "statements", how)
    app, _ = world.instance()
    kill(app)
    world.wait(1)
    app.recorder.record([trade(2, -10, 99, executed_at=world.clock.now())], "m-2")
    assert status(app.closer.advance("demo")) == "CLOSING"
    assert "not_flat" in {a["kind"] for a in world.bus.bodies("alerts")}
    world.wait(60)
    with suppress(Transient):  # the reconciliation says that it cannot be read
        app.sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "m-r")
    assert status(app.closer.halt_of("demo")) == "CLOSING"
    found = statement(world, app, 60)
    assert status(found) == "FLAT"
    assert resume(app, 1) == ""


def flats(world: World) -> list[dict[str, Any]]:
    return list({a["alert_id"]: a for a in world.bus.bodies("alerts") if a["kind"] == "flat"}.values())


def test_flat_is_told_once_however_often_orders_come_and_go(world: World) -> None:
    """Issue 6.4: an alert with each list is read by nobody."""
    app, _ = world.instance()
    killed_and_filled(world, app)
    for number in range(6):
        found = statement(world, app, 60, [] if number % 2 else [order(order_id=f"B-{number}")])
        assert status(found) == ("FLAT" if number % 2 else "CLOSING")
    assert len(flats(world)) == 1
    kill(app, "k-2", "global")  # another kill is told anew
    app.closer.advance("demo")
    statement(world, app, 60)
    assert len(flats(world)) == 2


def test_an_order_that_filled_after_all_is_closed_and_flat_is_told_again(world: World) -> None:
    """F37: it was not flat meanwhile."""
    app, _ = world.instance()
    killed_and_filled(world, app)
    statement(world, app, 60, [order()])
    world.wait(1)
    app.recorder.record([trade(3, 40, 99, executed_at=world.clock.now(), order_id="B-7")], "m-3")
    assert status(app.closer.advance("demo")) == "CLOSING"
    world.wait(1)
    app.recorder.record([trade(4, -40, 99, executed_at=world.clock.now())], "m-4")
    app.closer.advance("demo")
    assert status(statement(world, app, 60)) == "FLAT"
    assert len(flats(world)) == 2


def test_a_list_that_was_asked_for_earlier_takes_no_newer_one_s_place(world: World) -> None:
    """Domain 2.4: a slow call, told in a newer statement, cleared the halt; and one with orders brought them back."""
    app, _ = world.instance()
    began = world.clock.now()
    killed_and_filled(world, app)
    statement(world, app, 60, [order()])
    listed_at = world.clock.now()
    late = {"working_as_of": utc_text(began - timedelta(seconds=30))}
    assert status(statement(world, app, 10, [], **late)) == "CLOSING"
    kept = app.statements.read(statement_name("demo", "paper"))
    assert kept is not None
    assert (kept.as_of, kept.orders_at, names(app)) == (world.clock.now(), listed_at, ["B-7"])
    assert "1 order still works" in resume(app, 1)
    statement(world, app, 60)
    assert status(statement(world, app, 60)) == "FLAT"
    assert status(statement(world, app, 10, [order()], working_as_of=utc_text(listed_at))) == "FLAT"
    assert names(app) == []


def damaged_fills(world: World) -> None:
    for document in world.shared.query("fills"):
        world.shared.commit([Put(document.path, {**document.data, "fill": "{"})])


def closed(world: World) -> list[str]:
    return [o["quantity"] for o in world.bus.bodies("orders") if o["action"] == "close"]


def test_of_a_list_of_before_the_halt_no_fill_is_read(world: World) -> None:
    """Domain 2.4, F53: it counts for nothing, and a damaged fill behind it kept a kill from closing."""
    app, _ = world.instance()
    statement(world, app, 1, [order()], positions=HELD)
    world.wait(1)
    app.recorder.record([trade(3, 1, 100, executed_at=world.clock.now())], "m-3")
    damaged_fills(world)
    world.wait(1)
    kill(world.instance()[0])
    assert closed(world) == ["11"]
    assert "not_flat" not in {a["kind"] for a in world.bus.bodies("alerts")}


@pytest.mark.parametrize("scope", [SCOPE, "global"])
def test_orders_stand_as_listed_where_a_fill_since_cannot_be_read(world: World, scope: str) -> None:
    """F53: what is not known to be executed works, until a newer list says otherwise; and who resumes gets words."""
    app, _ = world.instance()
    killed_and_filled(world, app, scope)
    statement(world, app, 90, [order()])
    world.wait(1)
    fills = [trade(3, 40, 99, executed_at=world.clock.now(), order_id="B-7")]
    app.recorder.record([*fills, trade(4, -40, 99, executed_at=world.clock.now())], "m-3")
    damaged_fills(world)
    cold, _ = world.instance()
    assert "demo: 1 order still works: BUY 40 SPY" in resume(cold, 1, scope)


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_without_settings_the_brokers_are_those_of_the_statements(world: World, how: str) -> None:
    """R5.1, I7: flat was said although a newer list named an order, and no cancel went again."""
    app, _ = world.instance()
    kill(app)
    statement(world, app, 60, [order()], positions=HELD)
    world.wait(1)
    app.recorder.record([trade(2, -10, 99, executed_at=world.clock.now())], "m-2")
    path = account_path("demo")
    world.shared.commit([Put(path, {"account": "{"}) if how == "damaged" else Delete(path)])
    for went in (3, 4):
        kept = app.statements.read(statement_name("demo", "paper"))
        assert kept is not None
        now = world.wait(120)
        newest = StatementCodec().encode(kept.model_copy(update={"as_of": now}))
        world.shared.commit([Put(app.statements.path(statement_name("demo", "paper")), newest)])
        cold, _ = world.instance()
        assert status(cold.closer.advance("demo")) == "CLOSING"
        assert len(cancels(world)) == went
    assert len(told(world)) == 3


@pytest.mark.parametrize("named", [True, False])
def test_a_fill_that_names_an_order_takes_nothing_off_one_without_a_name(world: World, named: bool) -> None:
    """Domain 2.4: a fill of our own close ate an order of others, and nobody asked before a resume."""
    app, _ = world.instance()
    kill(app)
    [close] = [o for o in world.bus.bodies("orders") if o["action"] == "close"]
    unnamed = order(side="SELL", quantity="10", order_id=None)
    statement(world, app, 60, [unnamed], positions=HELD)
    world.wait(1)
    more = {"order_id": close["command_id"]} if named else {}
    app.recorder.record([trade(2, -10, 99, executed_at=world.clock.now(), **more)], "m-2")
    assert status(app.closer.advance("demo")) == ("CLOSING" if named else "FLAT")
    assert ("1 order still works" in resume(app, 1)) is named


def test_of_two_brokers_the_list_of_one_counts_where_the_other_s_cannot_be_read() -> None:
    """Domain 2.4, F53: nothing is called flat, and what the one lists is cancelled again and told."""
    world = World()
    world.open_account(account(brokers=["paper", "other"]))
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100)], "m-1")
    statement(world, app, 1, [], broker="other", statement_id="O-1")
    kill(app)
    damage(world, "statements", cut, "demo.other")
    with suppress(Transient):
        statement(world, app, 60, [order(quantity="500")], positions=HELD)
    cold, _ = world.instance()
    with suppress(Transient):
        cold.closer.advance("demo")
    assert len(cancels(world)) == 2
    assert "BUY 500 SPY" in told(world)[0]["summary"]
    why = resume(cold, 1)
    assert "1 order still works: BUY 500 SPY" in why
    assert "demo: statements/demo.other cannot be read" in why
    world.wait(1)
    app.recorder.record([trade(2, -10, 99, executed_at=world.clock.now())], "m-2")
    with suppress(Transient):
        statement(world, app, 60)
    with suppress(Transient):
        statement(world, app, 60)
    assert status(world.instance()[0].closer.advance("demo")) == "CLOSING"
    assert [a["resolved"] for a in told(world)] == [False], "what the other lists is not known"


def test_of_an_account_that_is_gone_nobody_resumes_while_an_order_of_the_halt_works(world: World) -> None:
    """Issue 6.4: without settings nobody asked what brokers list."""
    app, _ = world.instance()
    killed_and_filled(world, app)
    statement(world, app, 90, [order()])
    world.shared.commit([Delete(account_path("demo"))])
    assert "demo: 1 order still works: BUY 40 SPY" in resume(world.instance()[0], 1)


def test_a_new_fill_waits_where_the_one_that_is_booked_cannot_be_read(world: World) -> None:
    """I1, F53: it was refused for good, as if it were to blame."""
    app, _ = world.instance()
    for document in world.shared.query("fills"):
        world.shared.commit([Put(document.path, {**document.data, "fill": '{"a":1}'})])
    late = trade(3, 1, 100, executed_at=world.clock.now() - timedelta(days=1))
    with pytest.raises(Unreadable):
        app.recorder.record([late], "m-3")
