"""A trading state that a hand outside Stopline deleted or put back: it can be stopped again, and lets nothing in."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.control import ControlRequest, TradingState
from stopline.model.errors import Contended
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Sweep, SweepKind
from stopline.ports import Delete, Document, Put
from stopline.rules.trading.state import AHEAD
from stopline.runtime.app import App
from stopline.service.audit.chain import stored_faults

from ..make import account, fill
from .world import World

SCOPES = ("account:demo", "global")


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account()
    app, _ = made.instance()
    app.recorder.record([fill()], "m-1")
    app.sweeper.run(Sweep(kind=SweepKind.RISK), made.clock.now(), "s-1")
    return made


def asked(scope: str, id_: str = "k", **more: Any) -> ControlRequest:
    facts = {"request_id": id_, "scope": scope, "action": "kill", "actor": "ann", "reason": "test", **more}
    return ControlRequest.model_validate(facts)


def stored(world: World, app: App, scope: str) -> Document:
    found = world.shared.get(app.controls.path(scope))
    assert found is not None
    return found


def lose(world: World, app: App, scope: str, back_to: Document | None) -> None:
    """Delete the document, or put it back as it was."""
    path = app.controls.path(scope)
    world.shared.commit([Put(path, back_to.data) if back_to else Delete(path)])
    world.bus.messages.clear()


@pytest.mark.parametrize("is_deleted", [True, False])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_state_that_was_lost_is_killed_again_under_a_later_epoch(
    world: World, scope: str, is_deleted: bool
) -> None:
    """R5.1, I5, I6: the audit trail's next row was there already, so no kill could ever be stored."""
    app, _ = world.instance()
    app.trading.set(asked(scope, "p", action="pause"))
    paused = stored(world, app, scope)
    app.trading.set(asked(scope))
    lose(world, app, scope, None if is_deleted else paused)
    app, _ = world.instance()
    standing = app.trading.set(asked(scope, "k-2"))
    assert (standing.state, standing.epoch) == (TradingState.HALTED, 2 + AHEAD + 1)
    assert app.halts.advance(standing) == {"demo": "CLOSING"}
    assert [(o["action"], o["epoch"]) for o in world.bus.bodies("orders")][-2:] == [
        ("cancel_all", standing.epoch),
        ("close", standing.epoch),
    ]
    assert stored_faults(world.shared)[1] == []


def test_a_kill_of_the_second_path_is_stored_too(world: World) -> None:
    """F41."""
    app, _ = world.instance()
    app.trading.set(asked("account:demo"))
    lose(world, app, "account:demo", None)
    app, _ = world.instance()
    assert (
        app.trading.store_halt(asked("account:demo", "k-2"), "h-1", world.clock.now()).state
        is TradingState.HALTED
    )


def test_a_lost_state_that_only_cancels_were_noted_in_since_is_killed_too(world: World) -> None:
    """R5.1: the note made the document anew, without its place in the audit trail."""
    app, _ = world.instance()
    app.trading.set(asked("account:demo"))
    lose(world, app, "account:demo", None)
    app, _ = world.instance()
    app.halts.advance(app.trading.set(asked("global")))
    assert stored(world, app, "account:demo").data["epoch"] == 0
    assert app.trading.set(asked("account:demo", "k-2")).state is TradingState.HALTED


@pytest.mark.parametrize("scope", SCOPES)
def test_no_adapter_gets_a_lease_of_an_epoch_before_its_last_one(world: World, scope: str) -> None:
    """I5, I7: it was started anew, knows of no halt, and the state says ACTIVE."""
    app, _ = world.instance()
    app.trading.set(asked(scope))
    assert app.leases.grant(account(), LeaseRequest(adapter="a")).state is TradingState.HALTED
    lose(world, app, scope, None)
    app, _ = world.instance()
    with pytest.raises(Contended, match="later epoch"):
        app.leases.grant(account(), LeaseRequest(adapter="a"))
    app.trading.set(asked(scope, "k-2"))
    assert app.leases.grant(account(), LeaseRequest(adapter="a")).state is TradingState.HALTED


def test_who_loses_to_others_without_end_is_told_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    app, _ = world.instance()

    def lost(*_: object) -> None:
        raise Contended("12 tries lost to other writers")

    monkeypatch.setattr(app.controls, "change", lost)
    with pytest.raises(Contended):
        app.trading.set(asked("account:demo"))
