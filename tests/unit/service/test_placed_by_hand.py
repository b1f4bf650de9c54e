"""What people place by hand in a halt that closes nothing: where the epoch of something else takes it off, they are told."""

from __future__ import annotations

import pytest

from stopline.model.messages import Alert
from stopline.rules.alerting.texts import sms_text
from stopline.service.documents.outbox import decode_outbox

from .test_cancels_by_scope import MINE, A, B, said, sent
from .test_orders_working import SCOPE, kill, world
from .world import World

__all__ = ["world"]


def told(world: World) -> list[tuple[str, str]]:
    """Return of what people were told that everything was cancelled once more, and how loudly; each alert once."""
    found = {one["alert_id"]: one for one in world.bus.bodies("alerts") if one["kind"] == "resting_cancelled"}
    return [(one["object"], one["severity"]) for one in found.values()]


def test_who_killed_twice_is_told_that_a_limit_takes_their_stop_off(world: World) -> None:
    """R5.1, "loud always": pressing twice is the usual way to press; the position was bare, and nobody knew."""
    app, _ = world.instance()
    kill(app, flatten=False)
    world.wait(5)
    kill(app, "k-2", flatten=False)
    world.wait(240)
    assert told(world) == []
    said(app, "pause", "p-1", A, actor="limit:daily_loss")
    assert sent(world)[-1] == ("cancel_all", None)
    assert told(world) == [(SCOPE, "critical")]
    [alert] = [one for one in world.bus.bodies("alerts") if one["kind"] == "resting_cancelled"]
    assert (
        alert["summary"]
        == "Account demo is halted, and all its orders are cancelled again: another stop came or went"
    )
    assert alert["action"] == "Orders that you placed there by hand are cancelled too: place them again."
    assert len(sms_text(Alert.model_validate(alert), "America/New_York")) <= 306
    world.wait(5)
    said(app, "pause", "p-2", B, actor="limit:daily_loss")
    assert told(world) == [(SCOPE, "critical")] * 2, "each time it goes"
    world.wait(601)
    said(app, "pause", "p-3", MINE, actor="limit:daily_loss")
    assert (sent(world)[-1], len(told(world))) == (("cancel_adding", None), 2)


def test_what_another_stop_takes_off_within_a_minute_of_the_kill_is_told_too(world: World) -> None:
    app, _ = world.instance()
    kill(app, "k-1", A, flatten=False)
    world.wait(30)
    kill(app, "k-2", B, flatten=False)
    assert sent(world, 1) == [("cancel_all", "a"), ("cancel_all", "b")]
    assert told(world) == [(A, "critical")]


def test_it_is_told_in_the_commit_that_cancels(world: World) -> None:
    """A crash between the two left it silent."""
    app, _ = world.instance()
    kill(app, flatten=False)
    world.wait(5)
    world.bus.down = True
    said(app, "pause", "p-1", A)
    due = decode_outbox(world.document("controls", SCOPE) or {})
    epochs = {
        one.topic: one for one in due if one.topic == "orders" or one.body.get("kind") == "resting_cancelled"
    }
    assert (set(epochs), told(world)) == ({"orders", "alerts"}, [])
    world.bus.down = False
    for _ in range(2):
        app.closer.advance("demo")
        world.instance()[0].closer.advance("demo")
    assert told(world) == [(SCOPE, "critical")]


@pytest.mark.parametrize("flatten", [True, False])
def test_what_people_cancel_by_the_kill_itself_is_told_by_nothing_more(world: World, flatten: bool) -> None:
    """A kill, one said again, a wider one, one that begins to close, and each cancel of a halt that closes: they know."""
    app, _ = world.instance()
    kill(app, "k-1", A, flatten=False)
    world.wait(600)
    kill(app, "k-2", A, flatten=False)
    kill(app, "k-3", flatten=flatten)
    world.wait(5)
    kill(app, "k-4")
    world.wait(5)
    said(app, "pause", "p-1", B)
    assert sent(world)[-1] == ("cancel_all", None)
    assert told(world) == []
