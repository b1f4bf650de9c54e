"""A strategy that a person resumes is watched anew, and nothing of before sells what it buys then (R4.1, R4.5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from stopline.model.closing_state import RequestStatus
from stopline.model.control import Control, ControlRequest
from stopline.model.times import utc_text
from stopline.runtime.app import App
from stopline.service.exits.desk import ExitPatch
from stopline.service.trading.control_documents import ControlCodec

from ..make import trade
from .test_watch_exits import alerts, book, opened, risk, sweep, tick
from .world import World

SCOPE = "strategy:demo:condors"


def stopped() -> World:
    """Return a world in which a max loss stopped a strategy two minutes ago, and the broker fills nothing."""
    world = opened({"strategies": {"condors": {"max_loss": "500", "confirm": 1}}})
    book(world, trade(0, 100, 100, strategy="condors"))
    tick(world, SPY=94)
    world.wait(120)
    tick(world, SPY=94)
    assert len(alerts(world, "exit_stuck")) == 1
    world.wait(1)
    return world


def control(app: App, action: str, **more: Any) -> None:
    epoch = app.trading.standing(SCOPE).epoch
    facts = {"request_id": f"R-{action}", "scope": SCOPE, "action": action, "actor": "ann", "reason": "seen"}
    confirm = {"expected_epoch": epoch, "confirm": f"RESUME {SCOPE}"} if action == "resume" else {}
    request = ControlRequest.model_validate({**facts, **confirm, **more})
    app.halts.advance(app.trading.set(request))


def sent(world: World, after: datetime) -> list[str]:
    """Return what was sent after a moment, each command once."""
    found = {o["command_id"]: o for o in world.bus.bodies("orders") if o["issued_at"] > utc_text(after)}
    return [order["action"] for order in found.values()]


@pytest.mark.parametrize("again", [False, True], ids=["", "a limit stops it again before anybody looks"])
def test_after_a_resume_what_is_bought_anew_is_not_sold(again: bool) -> None:
    """R4.1, R4.5: the closing of its stop ends, its commands are cancelled, people hear it once."""
    world = stopped()
    before, (app, _) = world.clock.now() - timedelta(seconds=1), world.instance()
    if again:
        app.closer.advance = lambda account, cancelled=(): None  # type: ignore[method-assign]
    control(app, "resume")
    if again:
        control(app, "pause", actor="limit:max_orders", request_id="L-1")
        app, _ = world.instance()
        app.closer.advance("demo")
    else:
        assert sent(world, before) == ["cancel_all"], "at once, and not with the next fill"
    requests = app.closer.read("demo").asked.values()
    assert [one.status for one in requests] == [RequestStatus.RESUMED] * 2
    book(world, trade(130, 100, 94, strategy="condors"))
    for seconds in (5, 61):
        world.wait(seconds)
        tick(world, SPY=94)
        sweep(world, cause=f"after {seconds}")
    assert "close" not in sent(world, before)
    assert [a for a in alerts(world, "exit_stuck") if a["raised_at"] > utc_text(before)] == []
    state = risk(world).exits.strategies["condors"]
    assert (state.stopped, state.base) == (None, -600)
    assert [one.status for one in app.closer.read("demo").asked.values()] == [RequestStatus.RESUMED] * 2


def test_what_is_open_is_told_once_and_the_strategy_is_watched_anew() -> None:
    """R4.1: from where it stood."""
    world = stopped()
    app, _ = world.instance()
    control(app, "resume")
    app.closer.advance("demo")
    [told] = alerts(world, "closing_ended")
    assert told["summary"].endswith("(max loss) ends with 100 SPY open")
    world.wait(61)
    sweep(world)
    before = world.clock.now()
    tick(world, SPY=89.1)
    assert sent(world, before) == []
    tick(world, SPY=88.9)
    assert "close" in sent(world, before), "watched anew, from where it stood"
    assert len(alerts(world, "strategy_stopped")) == 2


@pytest.mark.parametrize(
    "end", ["closed by hand", "another day", "no rule any more", "auto_close on, and no loss"]
)
def test_a_strategy_that_people_were_only_told_of_has_an_end(end: str) -> None:
    """R6.3: with `auto_close` off nobody resumes it, so nothing else would ever end the alert."""
    exits = {"max_loss": "500", "confirm": 1, "auto_close": False}
    world = opened({"strategies": {"condors": exits}})
    book(world, trade(0, 100, 100, strategy="condors"))
    tick(world, SPY=94)
    tick(world, SPY=94)
    assert [a.get("resolved", False) for a in alerts(world, "strategy_stopped")] == [False]
    if end == "closed by hand":
        book(world, trade(10, -100, 94, strategy="condors"))
    elif end == "another day":
        world.wait(86_400)
        tick(world, SPY=100)
    else:
        changed = {"max_loss": None} if end[0] == "n" else {"auto_close": True}
        tick(world, SPY=100)
        patch = ExitPatch(expected_version=1, strategy="condors", exits=changed)
        world.instance()[0].exit_desk.change("demo", patch, "ann")
        world.wait(31)
        tick(world, SPY=100)
    for cause in ("one", "two"):
        world.wait(3)
        sweep(world, cause=cause)
    assert [a["resolved"] for a in alerts(world, "strategy_stopped")] == [False, True]


def test_with_carry_what_people_have_closed_by_hand_is_watched_anew() -> None:
    """R4.1: else they were told once in the life of a strategy."""
    world = opened(
        {"strategies": {"condors": {"max_loss": "500", "confirm": 1, "auto_close": False, "day": "carry"}}}
    )
    for minute, price in ((0, 100), (60, 94)):
        book(world, trade(minute, 100, price, strategy="condors"))
        tick(world, SPY=price - 6)
        world.wait(20)
        book(world, trade(minute + 25, -100, price - 6, strategy="condors"))
        sweep(world, cause=f"closed {minute}")
        world.wait(30)
    assert [a["resolved"] for a in alerts(world, "strategy_stopped")] == [False, True] * 2


def test_that_limits_let_go_again_is_no_resume() -> None:
    """R5.4: only people lift what an exit holds."""
    world = stopped()
    app, _ = world.instance()
    for action in ("pause", "release"):
        control(app, action, actor="limit:max_orders")
    assert app.trading.standing(SCOPE).last_resume is None
    assert RequestStatus.RESUMED not in [one.status for one in app.closer.read("demo").asked.values()]


def test_a_state_of_before_resumes_were_noted_is_read() -> None:
    """Stored state stays readable."""
    world = stopped()
    app, _ = world.instance()
    control(app, "resume")
    held = app.trading.read("account:demo")
    raw = held.model_dump(mode="json")
    for standing in (raw, *raw["parts"].values()):
        del standing["resumed_at"]
    part = ControlCodec().decode({"state": Control.model_validate(raw).model_dump_json()}).standing(SCOPE)
    assert (part.resumed_at, part.last_resume) == (None, held.standing(SCOPE).since)
