"""How the tests of stops and resumes ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.control import ControlRequest, Standing, TradingState
from stopline.model.errors import Rejected
from stopline.ports import Delete, Put
from stopline.runtime.app import App

from .world import World

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED
DEMO = "account:demo"


def ask(app: App, action: str, id_: str, scope: str = DEMO, actor: str = "ann", **more: Any) -> Standing:
    facts = {"request_id": id_, "scope": scope, "action": action, "actor": actor, "reason": "test"}
    if action == "resume":
        more.setdefault("confirm", f"RESUME {scope}")
        seen = app.trading.standing(scope)
        more.setdefault("expected_epoch", seen.epoch)
        more.setdefault("lifts", [hold.request_id for hold in seen.holds.values()])
    return app.trading.set(ControlRequest.model_validate({**facts, **more}))


def refused(app: App, *args: Any, **more: Any) -> str:
    with pytest.raises(Rejected) as found:
        ask(app, "resume", *args, **more)
    return found.value.reason


def events(world: World) -> list[str]:
    return [r["row"]["event"] for body in world.bus.bodies("history") for r in body["rows"]]


def halted_everywhere(world: World) -> App:
    app, _ = world.instance()
    ask(app, "kill", "k", "global")
    world.wait(60)
    return app


def told(world: World) -> tuple[str, str]:
    """Return the summary and the action of the last alert."""
    last = world.bus.bodies("alerts")[-1]
    return last["summary"], last["action"]


def forget_settings(world: World) -> Put:
    """Delete the account; return what puts it back."""
    [stored] = [d for d in world.shared.query("accounts") if d.path.id == "demo"]
    world.shared.commit([Delete(stored.path, stored.version)])
    return Put(stored.path, stored.data)
