"""A dialect's list of orders does not say of which strategy they are: for the halt of a strategy they are UNKNOWN."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.brokers import read_statement
from stopline.model.fill import DEFAULT_STRATEGY
from stopline.model.messages import Sweep, SweepKind
from stopline.model.times import utc_text
from stopline.runtime.app import App

from ..make import account, trade
from .test_orders_working import SCOPE, cancels, kill, status, told
from .test_statement_lists import resume
from .valuing import prices
from .world import World

OTHERS = {DEFAULT_STRATEGY: "swing", "swing": DEFAULT_STRATEGY}


@pytest.fixture
def world() -> World:
    """Two strategies hold the same, at a broker whose own words are read."""
    made = World()
    made.open_account(account(brokers=["alpaca"]))
    app, _ = made.instance()
    fills = [trade(n, 10, 100, broker="alpaca", strategy=name) for n, name in enumerate(OTHERS, 1)]
    app.recorder.record(fills, "m-1")
    made.bus.messages.clear()
    return made


def listed(world: World, app: App, units: int, after: float = 60, **more: Any) -> None:
    """Take what Alpaca answers, with a buy order of 5 units, and the sweep that it causes."""
    now = world.wait(after)
    held = {"symbol": "SPY", "asset_class": "us_equity", "qty": str(units), "side": "long"}
    row = {
        "id": "g-1",
        "symbol": "SPY",
        "asset_class": "us_equity",
        "side": "buy",
        "qty": "5",
        "order_class": "",
    }
    row |= {"filled_qty": "0", "type": "limit", "limit_price": "80", "status": "new"}
    positions = [{**held, "avg_entry_price": "100"}] if units else []
    message = {"as_of": utc_text(now), "positions": positions, "orders": [row]}
    app.statement_recorder.record(read_statement(message, {"broker": "alpaca", "account": "demo", **more}))
    app.sweeper.run(Sweep(kind=SweepKind.RECONCILE, account="demo"), now, "m-s")


def closed(world: World, app: App, strategy: str, number: int = 3) -> None:
    world.wait(1)
    more = {"broker": "alpaca", "strategy": strategy, "executed_at": world.clock.now()}
    app.recorder.record([trade(number, -10, 99, **more)], f"m-{number}")
    app.closer.advance("demo")


@pytest.mark.parametrize("strategy", OTHERS)
def test_an_order_of_a_strategy_that_is_not_told_neither_denies_nor_proves(
    world: World, strategy: str
) -> None:
    """R5.1, domain 2.4: the order of another strategy kept one from being flat for ever, and its own one did not."""
    app, _ = world.instance()
    scope = f"strategy:demo:{strategy}"
    kill(app, scope=scope)
    closed(world, app, strategy)
    for _ in range(3):
        listed(world, app, 10)
    found = app.closer.halt_of("demo")
    assert (status(found), len(cancels(world)), told(world)) == ("FLAT", 1, [])
    assert found is not None
    assert found.confirmed_by.endswith(" (positions only)")
    prices(app, world.clock.now(), SPY=100.0)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "m-r")
    assert resume(app, 1, scope) == ""


@pytest.mark.parametrize("scope", [SCOPE, "underlying:demo:SPY"])
def test_it_counts_for_all_that_is_stopped_whatever_the_strategy(world: World, scope: str) -> None:
    """Issue 6.4: an account or an underlying has orders of all strategies."""
    app, _ = world.instance()
    kill(app, scope=scope)
    for number, strategy in enumerate(OTHERS, 3):
        closed(world, app, strategy, number)
    listed(world, app, 0)
    assert (status(app.closer.halt_of("demo")), len(told(world))) == ("CLOSING", 1)


def test_an_adapter_that_says_the_strategy_is_taken_at_its_word(world: World) -> None:
    """The attribute is of all that the message says."""
    app, _ = world.instance()
    kill(app, scope="strategy:demo:swing")
    closed(world, app, "swing")
    listed(world, app, 10, strategy="swing")
    assert (status(app.closer.halt_of("demo")), len(told(world))) == ("CLOSING", 1)


def test_an_order_that_was_filled_since_is_gone_whatever_strategy_its_fill_names(world: World) -> None:
    """The list says no strategy, the fill does."""
    app, _ = world.instance()
    kill(app)
    listed(world, app, 20, after=2)
    world.wait(1)
    more = {"broker": "alpaca", "strategy": "swing", "executed_at": world.clock.now()}
    app.recorder.record([trade(9, 5, 80, order_id="g-1", **more)], "m-9")
    closes = {(o["strategy"], o["quantity"]) for o in world.bus.bodies("orders") if o["action"] == "close"}
    assert closes == {(name, "10") for name in OTHERS}
    world.wait(1)
    fills = [
        trade(n, -units, 99, broker="alpaca", strategy=name, executed_at=world.clock.now())
        for n, (name, units) in enumerate(((DEFAULT_STRATEGY, 10), ("swing", 15)), 10)
    ]
    app.recorder.record(fills, "m-10")
    app.closer.advance("demo")
    assert (status(app.closer.halt_of("demo")), told(world)) == ("FLAT", [])
