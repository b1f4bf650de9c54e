"""A broker that refused the cancel and lists no orders keeps nothing from being flat, nor from being resumed: it is said."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.ports import Put, Unavailable
from stopline.runtime.app import App
from stopline.service.accounts.reader import account_path

from ..make import account, trade
from .resume_calls import ask
from .test_cancels_by_scope import MINE, A, B, put, refusal
from .test_orders_working import SCOPE, cancels, kill, statement, status, world
from .world import World

__all__ = ["world"]
SAID = "the last cancel was refused by other"
UNKNOWN = "whether a broker refused the last cancel cannot be read"


@pytest.fixture
def app(world: World) -> App:
    """An account at two brokers, of which `other` lists no orders."""
    brokers = account(brokers=["paper", "other"]).model_dump_json()
    world.shared.commit([Put(account_path("demo"), {"account": brokers})])
    return world.instance()[0]


def refused(world: World, app: App, *brokers: str, cancel: int = -1) -> None:
    report = refusal(world, cancels(world)[cancel]["command_id"])
    for broker in brokers:
        assert app.cancel_watcher.report(report.model_copy(update={"broker": broker}))


def filled(world: World, app: App) -> None:
    world.wait(1)
    app.recorder.record([trade(2, -10, 99, executed_at=world.clock.now())], "m-2")
    app.closer.advance("demo")


def flat(world: World) -> list[dict[str, Any]]:
    return [one for one in world.bus.bodies("alerts") if one["kind"] == "flat"]


def test_flat_says_who_refused_the_cancel(world: World, app: App) -> None:
    """R5.1: "flat" and "(positions only)" were all that people heard, while an order worked there."""
    kill(app)
    refused(world, app, "other", "paper")
    filled(world, app)
    [one] = flat(world)
    assert one["summary"].endswith(f"after the halt, but {SAID}, paper")
    assert (
        one["action"] == "Orders may work there and open positions again: cancel them at the broker by hand."
    )
    assert status(app.closer.halt_of("demo")) == "FLAT"


def test_flat_says_nothing_of_a_refusal_that_another_cancel_or_a_list_has_ended(
    world: World, app: App
) -> None:
    kill(app)
    refused(world, app, "other")
    world.wait(25)
    app.closer.advance("demo")
    assert (len(cancels(world)), app.cancel_watcher.refused(SCOPE)) == (2, "")
    refused(world, app, "paper")
    assert app.cancel_watcher.refused(SCOPE) == "the last cancel was refused by paper"
    statement(world, app, 15, [], positions=[{"symbol": "SPY", "quantity": "10"}])
    filled(world, app)
    assert [one["summary"].endswith("after the halt") for one in flat(world)] == [True]


def test_what_was_refused_elsewhere_or_under_an_earlier_stop_is_not_said(world: World, app: App) -> None:
    kill(app, scope=A, flatten=False)
    refused(world, app, "other")
    assert [app.cancel_watcher.refused(scope) for scope in (A, B, SCOPE)] == [SAID, "", SAID]
    assert app.cancel_watcher.refused("underlying:demo:SPY") == SAID, "an order may belong to both"
    world.wait(1)
    kill(app, "k-2", scope=MINE)
    filled(world, app)
    assert [one["summary"].endswith("after the halt") for one in flat(world)] == [True]
    assert app.cancel_watcher.refused(A) == "", "its cancel went anew"


def test_of_the_whole_each_account_is_named(world: World, app: App) -> None:
    world.open_account(account("prop"))
    ask(app, "kill", "k-1", "global", flatten=False)
    for name in ("demo", "prop"):
        app.closer.advance(name)
    refused(world, app, "other", cancel=0)
    assert app.cancel_watcher.refused("global") == f"{SAID} (demo)"
    report = refusal(world, cancels(world)[1]["command_id"])
    assert app.cancel_watcher.report(report.model_copy(update={"account": "prop"}))
    assert app.cancel_watcher.refused("global") == f"{SAID} (demo), paper (prop)"


@pytest.mark.parametrize("how", ["newer", "down"])
def test_flat_says_where_nobody_can_read_who_refused(world: World, app: App, how: str) -> None:
    """Domain 2.4: what is missing is unknown, and keeps nobody from hearing that the book is flat."""
    kill(app)
    refused(world, app, "other")
    if how == "newer":
        put(world, "cancels", "demo", writer=99)
    app, store = world.instance()
    if how == "down":
        get = store.store.get

        def failing(path: Any) -> Any:
            if path.collection == "cancels":
                raise Unavailable("no answer")
            return get(path)

        store.store.get = failing  # type: ignore[method-assign]
    filled(world, app)
    assert [one["summary"].partition(", but ")[2] for one in flat(world)] == [UNKNOWN]
