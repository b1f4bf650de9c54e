"""Prices that are missing stop trading in the hours of the market that is silent, and only then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from stopline.model.instrument import Instrument
from stopline.model.messages import Sweep, SweepKind
from stopline.rules.trading.breaker_facts import unpriced_now
from stopline.runtime.app import App

from ..make import account, equity, fill
from .valuing import prices
from .world import World

EVENING = datetime(2026, 11, 18, 23, 0, tzinfo=UTC)  # 18:00 in New York
OPENING = datetime(2026, 11, 19, 14, 30, tzinfo=UTC)
BTC = Instrument.model_validate({"symbol": "BTC", "kind": "crypto", "currency": "USD"})
SPY = equity()


def state_after(world: World, app: App, rounds: int = 1) -> str:
    """Let the sweep run, a minute apart; return the trading state."""
    for _ in range(rounds):
        world.wait(61)
        now = world.clock.now()
        app.sweeper.run(Sweep(kind=SweepKind.RISK), now, f"s{now.timestamp()}")
    return str(app.trading.read("account:demo").state)


def holding(instrument: Instrument, at: datetime) -> tuple[World, App]:
    world = World()
    world.clock.set(at)
    world.open_account(account())
    app, _ = world.instance()
    app.recorder.record([fill(instrument=instrument, executed_at=at)], "m")
    return world, app


def test_a_fill_after_hours_without_a_price_stops_nothing_before_the_market_opens() -> None:
    """R5.3, fail table (60 s equity in hours): and then it does, if the feed is silent."""
    world, app = holding(SPY, EVENING)
    assert state_after(world, app, 3) == "ACTIVE"
    assert app.risk_states.read("demo").unpriced == ("SPY",)  # type: ignore[union-attr]
    world.clock.set(OPENING - timedelta(seconds=60))
    assert state_after(world, app) == "ACTIVE", "the first prices of a day take a moment"
    assert state_after(world, app) == "REDUCING"


def test_what_tripped_in_hours_is_not_cleared_by_the_close() -> None:
    """Domain 2.4: good readings clear it, and none is taken while the market is closed."""
    world, app = holding(SPY, OPENING.replace(hour=20, minute=56))  # four minutes before the close
    assert state_after(world, app, 2) == "REDUCING"
    assert state_after(world, app, 5) == "REDUCING"
    world.clock.set(OPENING + timedelta(days=1, minutes=2))
    for expected in ("REDUCING", "ACTIVE"):
        prices(app, world.clock.now() + timedelta(seconds=60), SPY=100.0)
        assert state_after(world, app) == expected


def test_crypto_is_stale_at_night_too() -> None:
    """R5.3: in an account whose own market is closed, with a last price that would do for a share."""
    world, app = holding(BTC, EVENING)
    prices(app, EVENING, BTC=100.0)
    assert state_after(world, app, 2) == "REDUCING"


@pytest.mark.parametrize(
    ("held", "unpriced", "found"),
    [
        ([], [], 0),
        ([SPY], ["SPY"], None),
        ([SPY], [], None),
        ([SPY, BTC], ["SPY"], None),
        ([SPY, BTC], ["SPY", "BTC"], 1),
        ([SPY, BTC], [], None),
        ([BTC], [], 0),
    ],
)
def test_of_a_closed_market_nothing_is_known(
    held: Sequence[Instrument], unpriced: Sequence[str], found: int | None
) -> None:
    """R5.3: what is UNKNOWN neither trips nor clears."""
    known = unpriced_now(account(), held, unpriced, EVENING)
    assert known == (None if found is None else Decimal(found))
