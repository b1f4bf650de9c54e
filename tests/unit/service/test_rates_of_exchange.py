"""Valuing money of other currencies: at the feed's rate, and unknown without one."""

from __future__ import annotations

from typing import Any

from stopline.model.order import Order

from ..make import NOON, account, equity, trade
from .valuing import book_fills, prices, risk, sweep
from .world import World


def test_an_account_in_dollars_holds_euros_at_the_rate_of_the_feed(world: World) -> None:
    """R1.5, B53."""
    book_fills(world, trade(-100, 10, 100, instrument=equity("SAP", "EUR")))
    app, _ = world.instance()
    prices(app, NOON, SAP=103.0, EURUSD=1.1)
    assert risk(world).shown["unrealised"] == "33"


def test_without_a_fresh_rate_the_account_is_unknown(world: World) -> None:
    """B53, I7."""
    book_fills(world, trade(-100, 10, 100, instrument=equity("SAP", "EUR")))
    app, _ = world.instance()
    prices(app, NOON, SAP=103.0)
    assert risk(world).shown["equity"] is None
    prices(app, world.wait(2), EURUSD=1.1)
    assert risk(world).shown["equity"] == "100033"


def test_a_missing_exchange_rate_is_told_by_its_name_and_its_return_too(world: World) -> None:
    """I7: every position has a price, and yet the account is blind: loud, not silent."""
    book_fills(world, trade(-100, 10, 100, instrument=equity("SAP", "EUR")))
    app, _ = world.instance()
    prices(app, NOON, SAP=103.0)
    told = [a for a in world.bus.bodies("alerts") if a["kind"] == "stale_prices"]
    assert [a["summary"] for a in told] == ["No usable price for EURUSD: P&L and limits are unknown"]
    order = {"legs": [leg_of("SAP", "EUR")], "quantity": "1", "stop": "90"}
    found = app.order_desk.check("demo", Order.model_validate(order))["reasons"]
    assert ("no_rate", "EURUSD") in [(one["code"], one["object"]) for one in found]
    found = app.reporter.report(account())
    assert (found["portfolio"]["unpriced"], found["portfolio"]["unrated"]) == ([], ["EURUSD"])
    assert {(one["position"], one["action"]) for one in found["recommendations"]} == {
        ("EURUSD", "Check the price feed")
    }
    for _ in range(8):
        prices(app, world.wait(20), SAP=103.0, EURUSD=1.1)
    told = [a for a in world.bus.bodies("alerts") if a["kind"] == "stale_prices"]
    assert [a["resolved"] for a in told] == [False, True]
    found = app.order_desk.check("demo", Order.model_validate(order))["reasons"]
    assert [one["code"] for one in found] == []


def test_money_of_another_currency_that_was_made_long_ago_needs_its_rate_too(world: World) -> None:
    """I7: nothing is held, and what was made in euros is part of the equity."""
    euros = equity("SAP", "EUR")
    book_fills(world, trade(-100, 10, 100, instrument=euros), trade(-90, -10, 101, instrument=euros))
    app, _ = world.instance()
    sweep(app)
    assert risk(world).shown["equity"] is None
    [told] = [a for a in world.bus.bodies("alerts") if a["kind"] == "stale_prices"]
    assert "EURUSD" in told["summary"]


def leg_of(symbol: str, currency: str) -> dict[str, Any]:
    return {"instrument": {"symbol": symbol, "kind": "equity", "currency": currency}, "side": "BUY"}
