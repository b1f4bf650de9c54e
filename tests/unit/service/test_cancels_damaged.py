"""A damaged note of which cancels went again: a kill of people cancels all the same, it is told, and written anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stopline.ports import Data, Put

from .resume_calls import ask
from .test_damaged_documents import bare, cut, damage, mistyped, shaped, unsent
from .test_orders_working import SCOPE, cancels, kill, order, statement, told, world
from .world import World

__all__ = ["world"]
HELD = [{"symbol": "SPY", "quantity": "10"}]


@pytest.fixture
def halted(world: World) -> World:
    """Halted by two kills, of which the second has sent a cancel again."""
    app, _ = world.instance()
    kill(app)
    world.wait(30)
    kill(app, "k-2")
    assert len(cancels(world)) == 2
    world.wait(30)
    return world


@pytest.mark.parametrize("how", [cut, shaped, mistyped, bare, unsent], ids=lambda how: how.__name__)
@pytest.mark.parametrize("flatten", [True, False])
def test_a_new_kill_cancels_again_and_people_are_told_of_the_damage(
    halted: World, how: Callable[..., Data], flatten: bool
) -> None:
    """R5.1, issue 6.4: who kills again sees something work, and it went on for nobody."""
    damage(halted, "cancels", how)
    app, _ = halted.instance()
    kill(app, "k-3", flatten=flatten)
    assert len(cancels(halted)) == 3
    [alert] = told(halted)
    assert (alert["severity"], alert["object"]) == ("critical", SCOPE)
    assert "which cancels went again cannot be read" in alert["summary"]
    for _ in range(3):
        halted.wait(1)
        kill(halted.instance()[0], "k-3", flatten=flatten)
    assert (len(cancels(halted)), len(told(halted))) == (3, 1)
    statement(halted, app, 60, positions=HELD)
    assert [a["resolved"] for a in told(halted)] == [False, True]


def test_the_sweep_takes_it_up_and_what_goes_again_has_ids_that_no_adapter_knows(halted: World) -> None:
    """I1: an adapter drops a command whose id it has seen."""
    app, _ = halted.instance()
    for _ in range(2):
        statement(halted, app, 60, [order()], positions=HELD)
    damage(halted, "cancels", cut)
    before = len(cancels(halted))
    app, _ = halted.instance()
    for _ in range(3):
        statement(halted, app, 60, [order()], positions=HELD)
    assert len(cancels(halted)) == before + 3


def test_a_damaged_note_of_a_pause_is_told_too(world: World) -> None:
    """R5.1: what was refused, or asked for, nobody knows any more."""
    app, _ = world.instance()
    app.halts.advance(ask(app, "pause", "p"))
    damage(world, "cancels", cut)
    world.wait(30)
    app, _ = world.instance()
    for _ in range(2):
        app.closer.advance("demo")
    assert [(a["object"], a["resolved"]) for a in told(world)] == [(SCOPE, False)]
    assert [c["action"] for c in cancels(world)] == ["cancel_adding"] * 2


def test_a_note_of_a_newer_version_is_left_alone_and_a_new_kill_cancels_by_it_all_the_same(
    halted: World,
) -> None:
    """I13: nothing of what a later version knows is lost; the same kill again sends the same command."""
    [found] = halted.shared.query("cancels")
    newer: dict[str, Any] = {**found.data, "writer": 99}
    halted.shared.commit([Put(found.path, newer)])
    for _ in range(2):
        kill(halted.instance()[0], "k-3")
    assert len(cancels(halted)) == 3
    [left] = halted.shared.query("cancels")
    assert left.data == newer
