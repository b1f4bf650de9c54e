"""A kill that people repeat: its answer says that the cancel is out only when it is, and what goes along with it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stopline.model.control import ControlRequest
from stopline.ports import Unavailable, Write

from .test_orders_working import SCOPE, cancels, kill, world
from .world import FaultyStore, World

__all__ = ["world"]


def refuses_cancels(store: FaultyStore) -> None:
    """Have the store take nothing of the cancels that go again."""
    commit = store.store.commit

    def refusing(writes: Sequence[Write]) -> object:
        if any(write.path.collection == "cancels" for write in writes):
            raise Unavailable("cancels are down")
        return commit(writes)

    store.commit = refusing  # type: ignore[assignment]


def closes(world: World) -> set[str]:
    return {o["command_id"] for o in world.bus.bodies("orders") if o["action"] == "close"}


def request(id_: str, flatten: bool) -> ControlRequest:
    facts = {"request_id": id_, "scope": SCOPE, "action": "kill", "actor": "ann", "reason": "t"}
    return ControlRequest.model_validate({**facts, "flatten": flatten})


@pytest.mark.parametrize("flatten", [True, False])
def test_a_kill_said_again_is_pending_where_its_cancel_is_not_stored(world: World, flatten: bool) -> None:
    """R5.1: the answer never claims what was not stored; what has to go is closed all the same."""
    app, _ = world.instance()
    kill(app, flatten=flatten)
    world.wait(60)
    app, store = world.instance()
    refuses_cancels(store)
    before = closes(world)
    assert kill(app, "k-2", flatten=flatten) == {"demo": None}
    assert len(cancels(world)) == 1
    assert len(closes(world) - before) == (1 if flatten else 0)


@pytest.mark.parametrize("flatten", [True, False])
def test_a_kill_said_again_is_pending_while_its_cancel_is_not_published_and_the_next_one_sends_it(
    world: World, flatten: bool
) -> None:
    """R5.1: who asks again need not wait half a minute for the sweep."""
    app, _ = world.instance()
    kill(app, flatten=flatten)
    world.wait(5)
    standing = app.trading.set(request("k-2", flatten))
    world.bus.down = True
    assert app.halts.advance(standing) == {"demo": None}
    world.bus.down = False
    how = kill(app, "k-2", flatten=flatten)
    assert how == {"demo": "CLOSING" if flatten else "CANCELLING"}
    assert len(cancels(world)) == 2


def test_a_close_that_the_cancel_took_along_goes_again_at_once(world: World) -> None:
    """R5.1: a resting close was waited for although its adapter had cancelled it."""
    app, _ = world.instance()
    kill(app)
    world.wait(2)
    kill(app, "k-2")
    world.wait(6)
    app.closer.advance("demo")
    assert len(closes(world)) == 2
