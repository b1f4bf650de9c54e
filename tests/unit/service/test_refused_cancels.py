"""A broker that refused the cancel and lists no orders keeps nothing from being flat, nor from being resumed: it is said."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.control import TradingState
from stopline.model.messages import ReportStatus
from stopline.ports import Put, Unavailable
from stopline.runtime.app import App
from stopline.service.accounts.reader import account_path

from ..make import account, trade
from .resume_calls import ask
from .test_cancels_by_scope import MINE, A, B, put, refusal
from .test_orders_working import SCOPE, cancels, kill, statement, status, world
from .world import World

__all__ = ["world"]
SAID = "a cancel was refused by other"
UNKNOWN = "whether a broker refused a cancel cannot be read"


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


def ends(world: World) -> list[dict[str, Any]]:
    ended = [one for one in world.bus.bodies("alerts") if one["kind"] == "orders_working"]
    return [one for one in ended if one["severity"] == "info"]


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


def test_a_refusal_stands_until_its_broker_takes_a_later_cancel_or_lists_its_orders(
    world: World, app: App
) -> None:
    """Domain 2.4: the later one went, and nobody heard it: a refusal is mostly a lost connection."""
    kill(app)
    refused(world, app, "other")
    taken = refusal(world, cancels(world)[0]["command_id"]).model_copy(
        update={"broker": "other", "status": ReportStatus.ACCEPTED}
    )
    app.cancel_watcher.report(taken)  # of the one that it has refused since
    world.wait(25)
    app.closer.advance("demo")
    assert (len(cancels(world)), app.cancel_watcher.refused(SCOPE)) == (2, SAID)
    again = taken.model_copy(update={"command_id": cancels(world)[-1]["command_id"]})
    assert app.cancel_watcher.report(again)
    assert app.cancel_watcher.refused(SCOPE) == ""
    refused(world, app, "paper")
    assert app.cancel_watcher.refused(SCOPE) == "a cancel was refused by paper"
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
    assert app.cancel_watcher.refused(A) == SAID, "its cancel went anew, and nobody knows that it was heard"


def test_what_was_refused_before_people_resumed_is_not_said_of_a_later_kill(world: World, app: App) -> None:
    kill(app)
    refused(world, app, "other")
    filled(world, app)
    world.wait(120)
    assert ask(app, "resume", "r-1", SCOPE).state is TradingState.ACTIVE
    world.wait(120)
    kill(app, "k-2")
    assert app.cancel_watcher.refused(SCOPE) == ""


def test_nothing_is_over_before_who_refused_has_listed_its_orders_whatever_went_and_was_stopped_since(
    world: World, app: App
) -> None:
    """R5.1: the list of the other broker ended it all, and its critical alert, while an order worked."""
    kill(app)
    refused(world, app, "other")
    world.wait(25)
    app.closer.advance("demo")
    kill(app, "k-2", scope=A)
    for _ in range(4):
        statement(world, app, 60, [])
    assert ends(world) == []
    statement(world, app, 60, [], broker="other", statement_id="O-1")
    assert len(ends(world)) == 1


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


def test_flat_that_another_stop_proves_anew_says_who_refused_before(world: World, app: App) -> None:
    """Its epoch begins the halt anew, and what was refused under the one before is doubted still."""
    kill(app)
    refused(world, app, "other")
    world.wait(60)
    app.recorder.record([trade(2, -10, 99, executed_at=world.clock.now())], "m-2")
    ask(app, "pause", "p-1", scope=A)
    app.closer.advance("demo")
    assert [SAID in one["summary"] for one in flat(world)] == [True]


def test_a_kill_that_finds_all_flat_asks_nobody_who_has_refused_what_it_cancels_just_then(
    world: World, app: App
) -> None:
    """R5.1: a kill of the whole has six seconds, and most accounts hold nothing."""
    world.wait(1)
    app.recorder.record([trade(2, -10, 99, executed_at=world.clock.now())], "m-2")
    app, store = world.instance()
    get, read = store.store.get, list[str]()

    def noting(path: Any) -> Any:
        read.append(path.collection)
        return get(path)

    store.store.get = noting  # type: ignore[method-assign]
    assert kill(app) == {"demo": "FLAT"}
    assert ("cancels" in read, len(flat(world))) == (False, 1)
