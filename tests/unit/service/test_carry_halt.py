"""A halt is carried through where it was said; what there is no time for is handed to the sweep."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from stopline.adapters.threads import Threads
from stopline.model.control import ControlRequest, account_scope
from stopline.model.messages import Sweep, SweepKind
from stopline.ports import Delete, Outgoing, Unavailable
from stopline.runtime.app import App
from stopline.runtime.ports import Ports
from stopline.service.documents.outbox import Unpublished
from stopline.service.trading import cancel_orders

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


class Slow:
    """The store and the bus, of which each call takes its time."""

    def __init__(self, world: World, seconds: float) -> None:
        self._world = world
        self._takes = timedelta(seconds=seconds)
        self.calls = 0

    def of(self, port: Any, *names: str) -> Any:
        """Return a port whose calls of these names are slow."""
        slow = SimpleNamespace(**{name: self._slow(getattr(port, name)) for name in names})
        return slow

    def _slow(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def late(*args: Any, **more: Any) -> Any:
            self.calls += 1
            self._world.clock.set(self._world.clock.now() + self._takes)
            return call(*args, **more)

        return late


@pytest.fixture
def many() -> tuple[World, Slow, App]:
    """Twenty accounts that hold something and one that was deleted, where a kill has time for thirty calls."""
    world = World()
    for number in range(21):
        name = f"a{number:02}"
        world.open_account(account(name))
        world.instance()[0].recorder.record([fill(account=name)], name)
    [gone] = [d for d in world.shared.query("accounts") if d.path.id == "a20"]
    world.shared.commit([Delete(gone.path, gone.version)])
    world.bus.messages.clear()
    slow = Slow(world, 0.2)
    store = slow.of(world.shared, "get", "get_all", "query", "commit")
    return world, slow, App(Ports(store, slow.of(world.bus, "publish"), world.clock))


def test_a_kill_that_is_repeated_goes_on_where_it_ended(
    many: tuple[World, Slow, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5.1: who is done costs no call again, so that the last of the alphabet get their turn too."""
    monkeypatch.setattr(cancel_orders, "PAGE", 7)
    world, slow, app = many
    standing = app.trading.set(ControlRequest.model_validate(KILL))

    def done(action: str) -> list[str]:
        return sorted({o["account"] for o in world.bus.bodies("orders") if o["action"] == action})

    everybody = [f"a{number:02}" for number in range(20)]
    app.halts.advance(standing)
    assert len(done("cancel_all")) >= 12
    app.halts.advance(standing)
    assert done("cancel_all")[:20] == everybody
    closed = -1
    while closed < len(done("close")) < 20:
        closed = len(done("close"))
        app.halts.advance(standing)
    assert done("close")[:20] == everybody
    before = slow.calls
    other = App(Ports(app.ports.store, app.ports.bus, world.clock))
    world.bus.messages.clear()
    other.halts.advance(other.trading.standing("global"))
    assert slow.calls - before <= 40
    handed = [body["account"] for body in world.bus.bodies("sweeps")]
    assert len(handed) == len(set(handed))


def test_what_there_is_no_time_for_is_handed_over_once(many: tuple[World, Slow, App]) -> None:
    """R5.1: a sweep of each account waits in Pub/Sub already; who was deleted is not forgotten for lack of time."""
    world, _, app = many
    standing = app.trading.set(ControlRequest.model_validate(KILL))
    app.halts.advance(standing)
    first = [body["account"] for body in world.bus.bodies("sweeps")]
    assert sorted(first) == [f"a{number:02}" for number in range(21)]
    for _ in range(3):
        app.halts.advance(standing)
    assert [body["account"] for body in world.bus.bodies("sweeps")] == first


def test_a_cancel_that_is_stored_and_not_out_goes_out_with_the_next_kill(world: World) -> None:
    """F40: that it was noted proves nothing; who knows it to be out asks nobody."""
    app, store = world.instance()
    world.bus.down = True
    with pytest.raises(Unpublished):
        app.trading.set(ControlRequest.model_validate({**KILL, "flatten": False}))
    app.halts.advance(app.trading.standing("global"))
    world.bus.down = False
    assert set(app.halts.advance(app.trading.standing("global")).values()) == {"HALTED"}
    assert sorted(body["account"] for body in world.bus.bodies("orders")) == ["a1", "a2", "a3", "a4"]
    calls = store.reads
    app.halts.advance(app.trading.standing("global"))
    assert store.reads - calls <= 4


def test_threads_cancel_everywhere_before_the_first_book_is_closed(world: World) -> None:
    """R5.1: as one after the other does, of four accounts four at once."""
    at_once = threading.Barrier(4, timeout=5)

    class Bus:
        def publish(self, messages: Sequence[Outgoing]) -> list[str]:
            if any(m.topic == "orders" for m in messages):
                at_once.wait()
            return world.bus.publish(messages)

    app = App(Ports(FaultyStore(world.shared), Bus(), world.clock, each=Threads(4)))
    told = app.halts.advance(app.trading.set(ControlRequest.model_validate(KILL)))
    assert told == dict.fromkeys(("a1", "a2", "a3", "a4"), "CLOSING")
    actions = [o["action"] for o in world.bus.bodies("orders")]
    assert actions == ["cancel_all"] * 4 + ["close"] * 4


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
    assert app.halts.advance(standing) == dict.fromkeys(("a1", "a2", "a3", "a4"), "CANCELLING")
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
