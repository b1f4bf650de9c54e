"""The status of an account shows its trades, and its figures at every level."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from stopline.model.control import GLOBAL, account_scope
from stopline.model.messages import Sweep, SweepKind
from stopline.model.prices import PriceBatch, Quote
from stopline.runtime.app import App
from stopline.service.accounts.status import account_status

from ..make import account, at, equity, fill, option
from .world import World

SHORT, LONG = option(6000), option(5990)


def status(app: App) -> dict[str, Any]:
    scopes = (GLOBAL, account_scope("demo"))
    everywhere, own = (app.trading.read(scope) for scope in scopes)
    return account_status(account(), app.books.read("demo"), app.risk_states.read("demo"), everywhere, own)


def desk() -> tuple[World, App]:
    world = World()
    world.open_account()
    app, _ = world.instance()
    app.recorder.record(
        [
            fill("E-1", "SELL", 2, "3", at(-60), SHORT, group_id="G", strategy="condors"),
            fill("E-2", "BUY", 2, "2", at(-60), LONG, group_id="G", strategy="condors"),
            fill("E-3", "BUY", 10, "50", at(-30), equity("SAP", currency="EUR")),
        ],
        "m-1",
    )
    return world, app


def test_the_status_shows_each_trade_with_what_prices_say() -> None:
    """R1.2 R1.9: total P&L, extremes, VIX, legs."""
    world, app = desk()
    quotes = {SHORT.symbol: Quote(2.5), LONG.symbol: Quote(2.0), "SPXW": Quote(6100.0), "VIX": Quote(18.5)}
    app.marker.mark(PriceBatch("feed", world.clock.now(), quotes, ()))
    spread, shares = status(app)["trades"]
    legs = spread.pop("legs")
    assert [leg["quantity"] for leg in legs] == ["-2", "2"]
    assert {name: spread[name] for name in ("structure", "status", "quantity", "net_credit", "max_loss")} == {
        "structure": "put_credit_vertical",
        "status": "OPEN",
        "quantity": "2",
        "net_credit": "200",
        "max_loss": "1800",
    }
    assert (spread["total_pnl"], spread["mae"], spread["mfe"]) == ("100", "100", "100")
    assert (spread["vix_entry"], spread["vix_exit"], spread["seconds_in_trade"]) == ("18.5", None, 60)
    assert (shares["structure"], shares["max_loss"]) == ("single", "500")


def test_the_levels_stand_in_the_account_s_currency_and_know_what_they_do_not_know() -> None:
    """R1.1 R1.5: without a rate the euros are UNKNOWN, with one they count."""
    world, app = desk()
    quotes = {SHORT.symbol: Quote(2.5), LONG.symbol: Quote(2.0), "SAP": Quote(51.0)}
    app.marker.mark(PriceBatch("feed", world.clock.now(), quotes, ()))
    levels = status(app)["levels"]
    spx, sap = (next(part for part in levels["parts"] if part["name"] == name) for name in ("SPXW", "SAP"))
    assert (spx["net"], spx["margin"], spx["exposure"]) == ("100", "2000", "2000")
    assert (sap["net"], levels["net"], levels["exposure"]) == (None, None, None)
    world.clock.set(at(2))
    app.marker.mark(PriceBatch("fx", at(2), {"EURUSD": Quote(1.1)}, ()))
    levels = status(app)["levels"]
    assert (levels["net"], levels["exposure"], levels["open_trades"]) == ("111", "2561", 2)
    assert [part["concentration"] for part in levels["parts"]] == ["21.9055", "78.0945"]
    assert levels["parts"][1]["parts"][0]["parts"][0]["name"] == status(app)["trades"][0]["trade_id"]


def test_before_the_first_evaluation_nothing_is_called_zero() -> None:
    """R1.2: UNKNOWN."""
    _, app = desk()
    shown = status(app)
    assert [trade["total_pnl"] for trade in shown["trades"]] == [None, None]
    assert [trade["seconds_in_trade"] for trade in shown["trades"]] == [None, None]
    assert (shown["levels"]["unrealised"], shown["levels"]["exposure"]) == (None, None)


def test_closed_trades_stay_in_the_status_for_a_day() -> None:
    """R1.9: open and closed ones."""
    world, app = desk()
    app.recorder.record([fill("X-3", "SELL", 10, "52", at(0), equity("SAP", currency="EUR"))], "m-2")
    assert [trade["status"] for trade in status(app)["trades"]] == ["OPEN", "CLOSED"]
    world.clock.set(at(0) + timedelta(days=1, seconds=1))
    app.recorder.record([fill("Z", executed_at=world.clock.now())], "m-3")
    app.sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "s-1")
    assert [trade["underlying"] for trade in status(app)["trades"]] == ["SPXW", "SPY"]
