"""Exits when something changes under them: how P&L is counted, the sign of a price, the market's hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from stopline.model.control import Standing
from stopline.model.instrument import Instrument, Kind
from stopline.service.evaluation.evaluate import Evaluator
from stopline.service.evaluation.risk_state import RiskCodec
from stopline.service.exits.desk import ExitPatch
from stopline.service.exits.watch_exits import ExitWatcher
from stopline.service.prices.mark_prices import PriceMarker

from ..make import account, trade
from .test_watch_exits import alerts, asked, book, bought, opened, requests, risk, sweep, tick
from .world import World

DAY = 86_400
ATR = {"atr_bar_s": 10, "atr_bars": 3}
TRAIL = {"by": "atr", "amount": "2atr", "activation": "0%"}
SATURDAY = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)


def paid_yesterday(day: str, **settings: object) -> World:
    """Return a world with a strategy that made nothing yesterday, but for 3000 of fees, and 10 of P&L today."""
    world = opened({"strategies": {"s": {"max_loss": "1000", "day": day, "fees": False, **settings}}})
    fees = {"strategy": "s", "fee": "1500"}
    book(world, trade(-DAY, 100, 100, **fees), trade(60 - DAY, -100, 100, **fees))
    book(world, trade(0, 10, 100, strategy="s", fee="1"))
    for price in (101, 101):
        tick(world, SPY=price)
    return world


@pytest.mark.parametrize("day", ["session", "carry"])
def test_fees_that_begin_to_count_do_so_from_then_on(day: str) -> None:
    """R4.1: what was paid before closes nothing, and the preview shows what then happens."""
    world = paid_yesterday(day)
    app, _ = world.instance()
    patch = ExitPatch(expected_version=1, strategy="s", exits={"fees": True})
    answer = app.exit_desk.change("demo", patch, "ann")
    world.wait(60)
    for price in (101, 101):
        tick(world, SPY=price)
    sweep(world)
    assert requests(world) == []
    shown = risk(world).shown["exits"]["strategies"]["s"]
    assert (shown["mtm"], shown["peak"]) == (answer["strategies"]["s"]["mtm"], "10") == ("10", "10")
    book(world, trade(120, -10, 101, strategy="s", fee="4"))
    sweep(world, cause="paid")
    assert risk(world).shown["exits"]["strategies"]["s"]["mtm"] == "6"


def test_a_night_after_the_change_begins_at_the_last_number_as_it_counts_now() -> None:
    world = paid_yesterday("session")
    app, _ = world.instance()
    app.exit_desk.change("demo", ExitPatch(expected_version=1, strategy="s", exits={"fees": True}), "ann")
    world.wait(DAY)
    for price in (102, 102):
        tick(world, SPY=price)
    sweep(world)
    assert risk(world).shown["exits"]["strategies"]["s"]["mtm"] == "10"


def test_a_strategy_remembered_before_its_counting_was_goes_on_as_it_stood() -> None:
    """Documents of earlier versions decode; the first reading notes how it counts."""
    world = paid_yesterday("session")
    document = world.document("risk", "demo")
    assert document
    body = orjson.loads(document["state"])
    assert body["exits"]["strategies"]["s"].pop("counts") == [False, True]
    state = RiskCodec().decode({**document, "state": orjson.dumps(body).decode()}).exits.strategies["s"]
    assert (state.counts, state.last, state.peak) == (None, 10, 10)


def test_a_future_below_zero_triggers_its_stop() -> None:
    """Domain: oil at -37; only what cannot be negative is no price then."""
    oil = Instrument(
        symbol="CLK20", kind=Kind.FUTURE, underlying="CL", multiplier=Decimal(1000), currency="USD"
    )
    world = opened({"trades": {"stop_loss": "@5"}}, limits={}, capital="10000000")
    book(world, trade(0, 2, 18, instrument=oil))
    for price in (18, -40, -40, -40):  # a jump itself must be seen again
        tick(world, CLK20=price)
    assert asked(world) == [("stop_loss", "0", "urgent")]
    assert alerts(world, "exits_paused") == []


def test_a_share_below_zero_has_no_price() -> None:
    world = bought({"stop_loss": "@5"})
    for price in (18, -40, -40, -40):
        tick(world, SPY=price)
    assert requests(world) == []


def test_nothing_is_stuck_while_its_market_is_closed() -> None:
    """R4.5: it waits, and says so; the minute begins when the market opens."""
    world = bought({"max_age_s": 3 * DAY})
    world.clock.set(SATURDAY)
    for minute in range(4):
        sweep(world, cause=f"saturday {minute}")
        world.wait(61)
    assert asked(world) == [("max_age", "0", "normal")]
    assert [a["summary"] for a in alerts(world, "closing_waits")] != []
    assert alerts(world, "exit_stuck") == []
    world.clock.set(datetime(2026, 11, 23, 14, 30, 5, tzinfo=UTC))  # Monday 09:30:05 in New York
    sweep(world, cause="the bell")
    assert alerts(world, "exit_stuck") == []
    world.wait(61)
    sweep(world, cause="a minute later")
    [told] = alerts(world, "exit_stuck")
    assert (
        told["summary"] == "SPY (default) has 9 open: 61 s were not enough for its max age, which asked for 0"
    )


def test_what_trades_around_the_clock_is_stuck_on_a_saturday_too() -> None:
    world = opened({"trades": {"max_age_s": 3 * DAY}})
    fill = trade(0, 9, 100)
    book(
        world,
        fill.model_copy(update={"instrument": fill.instrument.model_copy(update={"kind": Kind.CRYPTO})}),
    )
    world.clock.set(SATURDAY)
    sweep(world)
    world.wait(61)
    sweep(world, cause="a minute later")
    assert len(alerts(world, "exit_stuck")) == 1


def test_that_trading_was_active_before_the_stop_is_no_resume() -> None:
    """R4.1: the pause is carried out after the commit that asks for it; only what a person says later counts."""
    world = opened({"strategies": {"s": {"max_loss": "50", "confirm": 1}}})
    book(world, trade(0, 10, 100, strategy="s"))
    tick(world, SPY=90)
    stopped = risk(world).exits.strategies["s"].stopped
    assert stopped
    for seconds, is_stopped in ((-1, True), (0, True), (1, False)):
        since = stopped.at + timedelta(seconds=seconds)
        app, _ = world.instance()
        watcher = ExitWatcher(
            lambda scope, since=since: Standing(scope=scope, since=since),  # type: ignore[misc]
            app.closer.read,
        )
        app.desk.refresh()
        marker = PriceMarker(
            world.clock,
            app.desk,
            Evaluator(app.risk_states, watcher, app.lifted, app.ended, app.books.read, lambda name: False),
            app.factors,
        )
        marker.evaluate({"demo"}, world.clock.now(), f"sweep {seconds}", force=True)
        assert (risk(world).exits.strategies["s"].stopped is not None) is is_stopped


@pytest.mark.parametrize("rule", [{"stop_loss": "3atr"}, {"trail": TRAIL}])
def test_a_trade_whose_only_stop_waits_for_bars_is_told_by_name_until_the_stop_is_there(
    rule: dict[str, Any],
) -> None:
    """R4.2, R4.7: a stop by average true range is not there for `atr_bars` bars; nobody else says so."""
    world = bought({**rule, **ATR})
    for n in range(12):
        tick(world, SPY=100 + n % 2)
    [told] = alerts(world, "exits_paused")
    what = "SPY (no stop until 3 bars of 10 s have given its range; its other exits go on)"
    assert told["summary"] == f"Exits on price are paused, {what}"
    assert world.instance()[0].exit_desk.facts(account())["paused"] == [what]
    for n in range(8):
        tick(world, SPY=100 + n % 2)
    [state] = risk(world).exits.trades.values()
    assert state.stop is not None
    assert [a["resolved"] for a in alerts(world, "exits_paused")] == [False, True]


@pytest.mark.parametrize(
    "rules",
    [
        {"stop_loss": "3atr", "excessive_loss": "5%"},
        {"stop_loss": "2%", "trail": TRAIL},
        {"trail": {**TRAIL, "activation": "2%"}},  # not to be there yet
        {"stop_loss": "2%", "target": "3atr"},
    ],
)
def test_a_trade_that_has_another_stop_or_is_to_have_none_yet_waits_for_no_bars(
    rules: dict[str, Any],
) -> None:
    world = bought({**rules, **ATR})
    for _ in range(3):
        tick(world, SPY=100)
    assert alerts(world, "exits_paused") == []
