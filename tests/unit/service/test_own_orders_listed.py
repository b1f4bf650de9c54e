"""Orders of our own closes that a broker's list names: no alarm, no cancel and no doubt, as long as that list counts."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.closing_state import ClosingState, Over
from stopline.model.ids import short_id
from stopline.model.messages import ExecutionReport
from stopline.model.times import utc_text
from stopline.rules.closing.sent import MOST_OVER, ended, own_names
from stopline.runtime.app import App

from ..make import NOON, trade
from .test_orders_working import cancels, kill, order, statement, status, told, world
from .test_statement_lists import HELD, resume
from .world import World

__all__ = ["world"]


def closes(world: World) -> list[dict[str, Any]]:
    found = {o["command_id"]: o for o in world.bus.bodies("orders") if o["action"] == "close"}
    return list(found.values())


def fill(world: World, app: App, number: int, order_id: str) -> None:
    app.recorder.record(
        [trade(number, -10, 99, executed_at=world.clock.now(), order_id=order_id)], f"m-{number}"
    )
    app.closer.advance("demo")


def stays_flat(world: World, app: App, minutes: int = 18) -> None:
    """Look each minute, by statements that list nothing."""
    for _ in range(minutes):
        assert status(statement(world, app, 60, None)) == "FLAT"
    assert (len(cancels(world)), told(world)) == (1, [])
    assert resume(app, 1) == ""


@pytest.mark.parametrize("listed", ["whole", "short", "reported"])
@pytest.mark.parametrize("filled", ["command", "short", "broker"])
def test_our_close_that_was_listed_and_then_filled_is_no_order_that_works(
    world: World, listed: str, filled: str
) -> None:
    """Domain 2.4: an alarm that is false, and a resume that nobody gets; for a quarter of an hour nobody saw it."""
    app, _ = world.instance()
    kill(app)
    [close] = closes(world)
    id_ = close["command_id"]
    own = {"whole": {"client_order_id": id_}, "short": {"client_order_id": short_id(id_)}}.get(listed, {})
    statement(world, app, 15, [order(order_id="B-9", side="SELL", quantity="10", **own)], positions=HELD)
    if listed == "reported":
        facts = {"command_id": id_, "account": "demo", "broker": "paper", "status": "accepted"}
        at = utc_text(world.wait(1))
        app.closer.report(ExecutionReport.model_validate({**facts, "order_id": "B-9", "reported_at": at}))
    world.wait(1)
    fill(world, app, 2, {"command": id_, "short": short_id(id_), "broker": "B-9"}[filled])
    stays_flat(world, app)


def test_a_list_of_just_after_the_fill_may_name_the_order_still(world: World) -> None:
    """A broker's list may be some seconds behind its fills."""
    app, _ = world.instance()
    kill(app)
    [close] = closes(world)
    world.wait(20)
    fill(world, app, 2, close["command_id"])
    late = order(order_id="B-9", client_order_id=close["command_id"], side="SELL", quantity="10")
    assert status(statement(world, app, 2, [late])) == "FLAT"
    stays_flat(world, app)


def test_a_close_that_the_broker_ended_is_ours_as_long_as_the_list_that_names_it_counts(world: World) -> None:
    """Its name was forgotten a quarter of an hour later, and the list was not."""
    app, _ = world.instance()
    kill(app)
    [first] = closes(world)
    mine = order(order_id="B-9", client_order_id=first["command_id"], side="SELL", quantity="10")
    statement(world, app, 5, [mine], positions=HELD)
    facts = {"command_id": first["command_id"], "account": "demo", "broker": "paper", "status": "cancelled"}
    at = utc_text(world.wait(1))
    app.closer.report(ExecutionReport.model_validate({**facts, "filled": "0", "reported_at": at}))
    world.wait(10)
    app.closer.advance("demo")
    _, second = closes(world)
    world.wait(1)
    fill(world, app, 2, second["command_id"])
    stays_flat(world, app)


def test_of_commands_that_are_forgotten_the_newest_names_are_kept() -> None:
    """A document has no room for all of them."""
    many = {f"C-{n}": Over(until=NOON) for n in range(MOST_OVER + 9)}
    found = ended(ClosingState(account="demo", over=many), NOON)
    assert list(found.over) == list(many)[9:]
    assert own_names(found, NOON) >= {f"C-{MOST_OVER + 8}"}
