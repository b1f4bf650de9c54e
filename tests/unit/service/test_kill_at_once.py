"""What a kill closes waits for no pause of before: none of an exit's, none of a broker that is back, none that our own
cancels made.
"""

from __future__ import annotations

from typing import Any

from stopline.model.closing import CloseRequest
from stopline.model.messages import ExecutionReport
from stopline.model.times import utc_text
from stopline.runtime.app import App

from .test_cancels_by_scope import A, said
from .test_orders_working import STRATEGY, kill, world
from .world import World

__all__ = ["world"]


def closes(world: World) -> list[dict[str, Any]]:
    found = {one["command_id"]: one for one in world.bus.bodies("orders") if one["action"] == "close"}
    return list(found.values())


def refuse(world: World, app: App, seconds: int) -> None:
    """Look each second for some time, while the broker refuses each close."""
    refused: set[str] = set()
    for _ in range(seconds):
        at = utc_text(world.wait(1))
        for one in closes(world):
            if one["command_id"] not in refused:
                refused.add(one["command_id"])
                facts = {"command_id": one["command_id"], "account": "demo", "broker": "paper"}
                said = {"status": "rejected", "reason": "no", "reported_at": at}
                app.closer.report(ExecutionReport.model_validate({**facts, **said}))
        app.closer.advance("demo")


def test_the_first_kill_after_an_exit_that_a_broker_refused_is_at_the_broker_at_once(world: World) -> None:
    """R5.1: it waited for the exit's own pause, up to two minutes, or an hour where an exit sets its own."""
    app, _ = world.instance()
    facts = {
        "request_id": "x-1",
        "account": "demo",
        "strategy": STRATEGY,
        "symbol": "SPY",
        "urgency": "urgent",
    }
    why = {"reason": "a stop", "rule": "stop", "cause": "c", "requested_at": utc_text(world.clock.now())}
    app.closer.ask(CloseRequest.model_validate({**facts, **why}))
    refuse(world, app, 100)
    before = len(closes(world))
    world.wait(1)
    app.closer.advance("demo")
    assert len(closes(world)) == before, "no pause is on"
    kill(app)
    assert len(closes(world)) == before + 1


def test_who_kills_again_has_it_tried_now(world: World) -> None:
    """R5.1: the broker is back, and people know it."""
    app, _ = world.instance()
    kill(app, "k-1")
    refuse(world, app, 100)
    before = len(closes(world))
    kill(app, "k-2")
    assert len(closes(world)) == before + 1
    refuse(world, app, 30)
    assert len(closes(world)) <= before + 2, "each refusal makes the next pause longer"


def test_a_close_that_another_stop_s_cancel_took_along_goes_again_when_that_is_sure(world: World) -> None:
    """R5.1: limits that stop strategies one after another left nothing at the broker for minutes."""
    app, _ = world.instance()
    kill(app)
    for number in range(6):
        world.wait(10)
        said(app, "pause", f"p-{number}", f"{A}{number}")
        before = len(closes(world))
        for _ in range(7):
            world.wait(1)
            app.closer.advance("demo")
        assert len(closes(world)) == before + 1
