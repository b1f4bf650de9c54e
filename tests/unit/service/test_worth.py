"""What an account is worth at one moment is worked out once, and again as soon as anything it is made of is another."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from stopline.model.messages import Sweep, SweepKind
from stopline.model.prices import PriceBatch, Quote
from stopline.runtime.app import App
from stopline.service.prices import mark_prices

from ..make import fill
from .world import World


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account()
    app, _ = made.instance()
    app.recorder.record([fill()], "m-1")
    return made


def price(app: App, last: float) -> None:
    app.marker.mark(PriceBatch("feed", app.clock.now(), {"SPY": Quote(last)}, ()))


def worth(app: App) -> Any:
    app.desk.refresh()
    account = app.desk.accounts["demo"]
    return app.marker.worth([account], app.clock.now())["demo"]


def test_the_sweep_and_its_measures_value_an_account_once(world: World) -> None:
    """R1.6, R9.1: one valuation for the price batch, the limits and the measures of one moment."""
    app, _ = world.instance()
    with patch.object(mark_prices, "value_positions", wraps=mark_prices.value_positions) as valuations:
        price(app, 600)
        app.sweeper.run(Sweep(kind=SweepKind.RISK), app.clock.now(), "m-2")
        assert app.measured.read("demo") is not None
        assert valuations.call_count == 1
        world.wait(60)
        app.sweeper.run(Sweep(kind=SweepKind.RISK), app.clock.now(), "m-3")
        assert valuations.call_count == 2


def test_what_is_kept_is_what_a_fresh_instance_works_out(world: World) -> None:
    """Another price, moment, book or setting is another worth; and each is that of an instance that keeps nothing."""
    app, _ = world.instance()
    price(app, 600)
    seen = [worth(app)]
    assert worth(app) is seen[0]

    def differs() -> None:
        found, fresh = worth(app), worth(world.instance()[0])
        assert found is not seen[-1]
        assert found.positions == fresh.positions
        assert found.greeks.shown() == fresh.greeks.shown()
        seen.append(found)

    world.wait(1)
    price(app, 610)
    differs()
    other, _ = world.instance()
    world.wait(1)
    price(other, 620)  # the first instance hears of it from the store
    differs()
    app.recorder.record([fill("E-2")], "m-2")
    differs()
    app.account_writer.change("demo", lambda a: a.model_copy(update={"price_max_age_s": 30}), "ann")
    app.accounts.forget("demo")
    differs()
    world.wait(90)
    app.desk.refresh()
    differs()
    assert seen[-1].positions[0].mark is None
