"""How the tests of valuations book fills, give prices, and read what was found."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from stopline.model.prices import PriceBatch, Quote
from stopline.runtime.app import App
from stopline.service.evaluation.risk_state import RiskState

from .world import World

SCOPE = "account:demo"


def book_fills(world: World, *fills: Any) -> None:
    world.instance()[0].recorder.record(list(fills), f"m-{fills[0].fill_id}")
    world.bus.messages.clear()


def prices(app: App, moment: datetime, **quotes: float) -> None:
    batch = PriceBatch("feed", moment, {symbol: Quote(price) for symbol, price in quotes.items()}, ())
    app.marker.mark(batch)


def sweep(app: App, cause: str = "sweep", force: bool = True) -> None:
    app.desk.refresh()
    app.marker.evaluate({"demo"}, app.clock.now(), cause, force)


def risk(world: World, name: str = "demo") -> RiskState:
    state = world.instance()[0].risk_states.read(name)
    assert state is not None
    return state


def shown_limit(world: World, limit: str, object_: str = "account") -> dict[str, Any]:
    [found] = [x for x in risk(world).shown["limits"] if (x["limit"], x["object"]) == (limit, object_)]
    return found  # type: ignore[no-any-return]
