"""A halt is carried through where it was said; what there is no time for is handed to the sweep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from stopline.model.control import ControlRequest
from stopline.ports import Outgoing
from stopline.runtime.app import App, Ports
from stopline.service.documents.outbox import Unpublished

from ..make import account, fill
from .world import FaultyStore, World

KILL = {"request_id": "k", "scope": "global", "action": "kill", "actor": "ann", "reason": "enough"}


@pytest.fixture
def world() -> World:
    world = World()
    for name in ("a1", "a2", "a3", "a4"):
        world.open_account(account(name))
        world.instance()[0].recorder.record([fill(account=name)], name)
    world.bus.messages.clear()
    return world


class SlowOrders:
    """A bus on which each command takes five seconds."""

    def __init__(self, world: World) -> None:
        self._world = world

    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        if any(m.topic == "orders" for m in messages):
            self._world.clock.set(self._world.clock.now() + timedelta(seconds=5))
        return self._world.bus.publish(messages)


def test_a_halt_of_all_hands_over_what_there_is_no_time_for(world: World) -> None:
    """R5.1: the caller is answered, and the sweep closes the rest at once, account by account."""
    store = FaultyStore(world.shared)
    app = App(Ports(store, SlowOrders(world), world.clock))
    standing = app.trading.set(ControlRequest.model_validate(KILL))
    told = app.halts.advance(standing)
    assert told == {"a1": "CLOSING", "a2": "CLOSING", "a3": None, "a4": None}
    handed = [(body["kind"], body["account"]) for body in world.bus.bodies("sweeps")]
    assert handed == [("account", "a3"), ("account", "a4")]


def test_where_the_bus_is_down_every_closing_is_stored_and_due(world: World) -> None:
    """F40: the state and the commands are in the store; the sweep publishes them."""
    app, _ = world.instance()
    world.bus.down = True
    with pytest.raises(Unpublished):
        app.trading.set(ControlRequest.model_validate(KILL))
    told = app.halts.advance(app.trading.standing("global"))
    assert set(told.values()) == {None}
    for name in told:
        assert [e.body["action"] for e in world.outbox("closings", name)] == ["cancel_all", "close"]


def test_nothing_is_carried_through_without_a_halt(world: World) -> None:
    app, _ = world.instance()
    standing = app.trading.set(ControlRequest.model_validate({**KILL, "action": "pause"}))
    assert app.halts.advance(standing) == {}
