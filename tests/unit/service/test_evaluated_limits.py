"""What a valuation does about limits: who is stopped and told, and once."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from stopline.model.control import TradingState
from stopline.model.prices import PriceBatch, Quote
from stopline.risk.factors import Factors
from stopline.rules.limits.registry import Level
from stopline.service.prices.market import market_of
from stopline.service.prices.marks import Mark

from ..make import NOON, account, at, equity, fill, option, trade
from .valuing import SCOPE, book_fills, prices, risk, shown_limit, sweep
from .world import World


def test_a_loss_at_the_limit_pauses_the_account_and_tells_people_once(world: World) -> None:
    """R1.6, R2.1, R2.4, I4: in one commit with the state; the trading state is set, not only announced."""
    book_fills(world, trade(-1, 1000, 100))
    app, _ = world.instance()
    for n, price in enumerate((99.0, 97.6, 97.0, 96.5, 96.0)):
        prices(app, world.wait(1) if n else NOON, SPY=price)
    loss = [a for a in world.bus.bodies("alerts") if a["kind"] == "max_daily_loss"]
    assert [a["severity"] for a in loss] == [
        "warning",
        "critical",
        "critical",
        "critical",
    ]  # each a tenth worse
    assert loss[1]["summary"] == "Loss of the day is 3%, limit 3%: breached"
    control = world.instance()[0].trading.read(SCOPE)
    assert (control.state, control.epoch, control.actor) == (TradingState.REDUCING, 1, "limit:max_daily_loss")
    assert risk(world).level is Level.BREACH


def test_a_redelivered_batch_tells_nothing_twice(world: World) -> None:
    """F01, I5."""
    book_fills(world, trade(-1, 1000, 100))
    for _ in range(3):
        prices(world.instance()[0], NOON, SPY=96.0)
    ids = [a["alert_id"] for a in world.bus.bodies("alerts")]
    assert len(set(ids)) == len({(a["kind"], a["object"]) for a in world.bus.bodies("alerts")})
    assert world.instance()[0].trading.read(SCOPE).epoch == 1


def test_a_person_who_resumes_in_a_breach_is_not_paused_again_by_the_same_breach(world: World) -> None:
    """R5.2 (fix): humans resume, and know why: two of them before the session is over (domain 2.4)."""
    book_fills(world, trade(-1, 1000, 100))
    app, _ = world.instance()
    prices(app, NOON, SPY=96.0)
    assert world.resume(app, "r-1", 1).state is TradingState.REDUCING
    world.resume(app, "r-2", 1, actor="bob")
    prices(app, world.clock.now(), SPY=96.0)
    prices(app, world.wait(1), SPY=95.9)
    assert world.instance()[0].trading.read(SCOPE).state is TradingState.ACTIVE


def test_unknown_never_ends_a_breach(world: World) -> None:
    """I7."""
    book_fills(world, trade(-1, 1000, 100))
    app, _ = world.instance()
    prices(app, NOON, SPY=96.0)
    world.wait(61)
    sweep(app)
    assert shown_limit(world, "max_daily_loss")["level"] == "unknown"
    assert risk(world).watched["max_daily_loss|account"].level is Level.BREACH
    assert risk(world).level is Level.BREACH


def test_a_closed_position_ends_its_breach(world: World) -> None:
    """R2.12."""
    book_fills(world, trade(-2, 1000, 100))
    app, _ = world.instance()
    prices(app, NOON, SPY=100.0)
    assert "max_position_value|SPY" in risk(world).watched
    book_fills(world, trade(0, -1000, 100))
    sweep(app)
    assert "max_position_value|SPY" not in risk(world).watched


def test_a_strategy_that_falls_too_far_is_paused_and_the_account_is_not(world: World) -> None:
    """R2.3, R2.4: the effect names the strategy's own scope."""
    world.open_account(account("desk", limits={"max_strategy_drawdown": {"limit": "2"}}))
    app, _ = world.instance()
    bought = fill(account="desk", quantity="1000", executed_at=at(-1), strategy="trend")
    app.recorder.record([bought], "m-1")
    app.marker.mark(PriceBatch("feed", NOON, {"SPY": Quote(97.5)}, ()))
    assert app.trading.standing("strategy:desk:trend").state is TradingState.REDUCING
    assert app.trading.standing("account:desk").state is TradingState.ACTIVE


def test_an_account_may_choose_to_be_halted_by_a_limit(world: World) -> None:
    """R2.11: a halt by a limit closes nothing."""
    world.open_account(account("desk", limits={"max_position_value": {"limit": "50", "action": "halt"}}))
    app, _ = world.instance()
    app.recorder.record([fill(account="desk", quantity="600", executed_at=at(-1))], "m-1")
    app.marker.mark(PriceBatch("feed", NOON, {"SPY": Quote(100.0)}, ()))
    control = app.trading.standing("account:desk")
    assert (control.state, control.flatten) == (TradingState.HALTED, False)


def test_quotes_give_spreads_and_prices_of_underlyings() -> None:
    """R2.2: a stale or one-sided quote says nothing."""
    held = [option()]
    marks = {
        option().symbol: Mark(Quote(5.0, 4.0, 6.0), NOON),
        "SPXW": Mark(Quote(6000.0), NOON),
    }
    market = market_of(held, marks, account(), NOON)
    assert (market.spreads, market.spots) == ({option().symbol: 40}, {"SPXW": 6000})
    assert market_of(held, marks, account(), at(61)).spots == {}


def test_daily_returns_make_correlations_known(world: World) -> None:
    """R2.2, R2.7: 40 sessions in step; without factors the reading is UNKNOWN."""
    steps = np.array([0.01, -0.01] * 20)
    sessions = tuple(date(2026, 9, 1) + timedelta(days=n) for n in range(40))
    table = np.column_stack([steps, steps * 2])
    factors = Factors("XNYS", sessions, ("QQQ", "SPY"), table)
    market = market_of([equity("SPY"), equity("QQQ")], {}, account(), NOON, factors)
    assert market.correlations == {("QQQ", "SPY"): 1}
    assert float(market.volatilities["SPY"]) == pytest.approx(2 * float(market.volatilities["QQQ"]), abs=1e-5)
    assert float(market.volatilities["QQQ"]) == pytest.approx(0.01 * (252 * 40 / 39) ** 0.5, abs=1e-6)
    short = Factors("XNYS", sessions[:19], ("QQQ", "SPY"), table[:19])
    assert market_of([equity("SPY"), equity("QQQ")], {}, account(), NOON, short).correlations == {}


def test_an_emergency_loss_pauses_first_and_closes_when_a_second_price_agrees(world: World) -> None:
    """R5.3: daily loss above 15 %."""
    book_fills(world, trade(-1, 1000, 100))
    app, _ = world.instance()
    prices(app, NOON, SPY=84.0)
    state = world.instance()[0].trading.read(SCOPE)
    assert state.state is TradingState.REDUCING
    assert {"breaker:loss", "breaker:emergency_daily_loss"} <= set(state.holds)
    prices(app, world.wait(5), SPY=83.0)
    after = world.instance()[0].trading.read(SCOPE)
    assert (after.state, after.flatten) == (TradingState.HALTED, True)
    assert {a["object"] for a in world.bus.bodies("alerts") if a["kind"] == "breaker"} == {
        "loss",
        "emergency_daily_loss",
    }
