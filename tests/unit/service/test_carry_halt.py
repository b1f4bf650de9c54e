"""A halt is carried through where it was said; what there is no time for is handed to the sweep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from stopline.model.control import ControlRequest, account_scope
from stopline.model.messages import Sweep, SweepKind
from stopline.ports import Delete, Outgoing, Unavailable
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
    """A bus on which each command takes its time."""

    def __init__(self, world: World, seconds: float) -> None:
        self._world = world
        self._takes = timedelta(seconds=seconds)

    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        if any(m.topic == "orders" for m in messages):
            self._world.clock.set(self._world.clock.now() + self._takes)
        return self._world.bus.publish(messages)


def test_a_halt_of_all_hands_over_what_there_is_no_time_for(world: World) -> None:
    """R5.1: the caller is answered, and the sweep does the rest at once, account by account. Every account's orders are
    cancelled before the first book is closed.
    """
    store = FaultyStore(world.shared)
    app = App(Ports(store, SlowOrders(world, 1), world.clock))
    standing = app.trading.set(ControlRequest.model_validate(KILL))
    told = app.halts.advance(standing)
    assert told == {"a1": "CLOSING", "a2": "CLOSING", "a3": "CLOSING", "a4": None}
    sent = [(body["action"], body["account"]) for body in world.bus.bodies("orders")]
    assert sent == [("cancel_all", f"a{n}") for n in (1, 2, 3, 4)] + [("close", f"a{n}") for n in (1, 2, 3)]
    handed = [(body["kind"], body["account"]) for body in world.bus.bodies("sweeps")]
    assert handed == [("account", "a4")]


def test_a_halt_of_all_hands_over_what_is_not_even_cancelled(world: World) -> None:
    """R5.1: by four sweeps at once the others wait for nobody."""
    app = App(Ports(FaultyStore(world.shared), SlowOrders(world, 4), world.clock))
    told = app.halts.advance(app.trading.set(ControlRequest.model_validate(KILL)))
    assert told == dict.fromkeys(("a1", "a2", "a3", "a4"))
    assert [body["account"] for body in world.bus.bodies("orders")] == ["a1", "a2"]
    handed = [(body["kind"], body["account"]) for body in world.bus.bodies("sweeps")]
    assert sorted(handed) == [("account", f"a{n}") for n in (1, 2, 3, 4)]


def test_no_kill_waits_for_whoever_was_deleted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """R5.1: their books are many megabytes to read, and may not be there to read."""
    app, _ = world.instance()

    def away() -> list[str]:
        orders = [o["action"] for o in world.bus.bodies("orders")]
        assert orders.count("close") == 4, "everybody else comes first"
        raise Unavailable("Firestore did not answer")

    monkeypatch.setattr(app.accounts, "with_positions", away)
    standing = app.trading.set(ControlRequest.model_validate(KILL))
    told = app.halts.advance(standing)
    assert set(told) == {"a1", "a2", "a3", "a4"}
    sweep = Sweep(kind=SweepKind.RISK)
    [left] = [d for d in world.shared.query("accounts") if d.path.id == "a1"]
    world.shared.commit([Delete(left.path, left.version)])
    other, _ = world.instance()
    other.sweeper.run(sweep, world.wait(40), "s-1")
    assert [o["account"] for o in world.bus.bodies("orders") if o["action"] == "close"].count("a1") >= 2


def test_where_the_bus_is_down_every_cancel_is_stored_and_due_and_the_closing_follows_it(
    world: World,
) -> None:
    """F40, I4: the state and the cancels are in the store; a cancel that comes after a close would end that."""
    app, _ = world.instance()
    world.bus.down = True
    with pytest.raises(Unpublished):
        app.trading.set(ControlRequest.model_validate(KILL))
    told = app.halts.advance(app.trading.standing("global"))
    assert set(told.values()) == {None}
    for name in told:
        due = [e.body["action"] for e in world.outbox("controls", account_scope(name)) if e.topic == "orders"]
        assert (due, world.outbox("closings", name)) == (["cancel_all"], ())
    world.bus.down = False
    world.wait(60)
    world.instance()[0].sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "m-1")
    for name in told:
        sent = {o["command_id"]: o["action"] for o in world.bus.bodies("orders") if o["account"] == name}
        assert list(sent.values()) == ["cancel_all", "close"]


def test_a_pause_cancels_in_every_account_and_closes_nothing(world: World) -> None:
    app, _ = world.instance()
    standing = app.trading.set(ControlRequest.model_validate({**KILL, "action": "pause"}))
    assert app.halts.advance(standing) == dict.fromkeys(("a1", "a2", "a3", "a4"), "CANCELLED")
    assert {c["action"] for c in world.bus.bodies("orders")} == {"cancel_adding"}
    assert set(app.halts.advance(standing).values()) == {"REDUCING"}


def test_what_is_handed_over_is_cancelled_by_the_accounts_own_sweep(world: World) -> None:
    """R5.1: a kill without flatten too, not only with the next round."""
    app, _ = world.instance()
    app.trading.set(ControlRequest.model_validate({**KILL, "flatten": False}))
    app.sweeper.run(Sweep(kind=SweepKind.ACCOUNT, account="a3"), world.clock.now(), "m-1")
    assert [(c["account"], c["action"]) for c in world.bus.bodies("orders")] == [("a3", "cancel_all")]


def test_nothing_is_carried_through_where_trading_goes_on(world: World) -> None:
    app, _ = world.instance()
    assert app.halts.advance(app.trading.standing("global")) == {}
