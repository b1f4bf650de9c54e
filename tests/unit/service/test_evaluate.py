"""Evaluating accounts: prices that may be used, alerts once, and nothing newer overwritten by anything older."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pytest

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.control import TradingState
from stopline.model.instrument import Instrument, Kind
from stopline.model.messages import Sweep, SweepKind
from stopline.model.order import Order
from stopline.model.prices import PriceBatch, Quote
from stopline.ports import Delete, Put, Unavailable
from stopline.risk.columns import columns
from stopline.risk.factors import Factors
from stopline.rules.limits.registry import Level
from stopline.rules.limits.track import Track
from stopline.runtime.app import App
from stopline.service.accounts.levels import shown_levels, shown_trades
from stopline.service.accounts.reader import account_path
from stopline.service.documents.aggregate import Change
from stopline.service.documents.outbox import Unpublished
from stopline.service.evaluation.evaluate import value_positions
from stopline.service.evaluation.risk_state import RiskCodec, RiskState
from stopline.service.prices.market import market_of
from stopline.service.prices.marks import Mark, is_usable

from ..make import NOON, account, at, equity, fill, option, trade
from .world import World

SCOPE = "account:demo"


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account()
    return made


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


# --- which price may be used ---


def test_a_position_is_valued_at_the_latest_price(world: World) -> None:
    """R1.6, R1.7."""
    book_fills(world, trade(-1, 100, 100))
    prices(world.instance()[0], NOON, SPY=101.5)
    shown = risk(world).shown
    assert (shown["unrealised"], shown["equity"], shown["pnl_day"]) == ("150", "100150", "150")
    assert shown["positions"] == {"default:SPY": {"mark": "101.5", "value": "10150", "unrealised": "150"}}


@pytest.mark.parametrize(
    ("entry", "last", "mark", "value", "made"),
    [
        ("0.0000121", 0.00001255, "0.00001255", "12550", "450"),
        ("0.00000061", 0.00000044, "0.00000044", "440", "-170"),
    ],
)
def test_a_coin_of_less_than_a_thousandth_of_a_cent_has_its_price(
    world: World, entry: str, last: float, mark: str, value: str, made: str
) -> None:
    """R1.3, R1.6: with six decimals one of them had another P&L by trade than by account, the other no price at all."""
    coin = Instrument.model_validate({"symbol": "SHIB-USD", "kind": "crypto", "currency": "USD"})
    book_fills(world, trade(-1, 10**9, entry, instrument=coin))
    app, _ = world.instance()
    prices(app, NOON, **{"SHIB-USD": last})
    book = app.books.read("demo")
    assert book is not None
    state = risk(world)
    assert state.shown["positions"] == {
        "default:SHIB-USD": {"mark": mark, "value": value, "unrealised": made}
    }
    assert (state.shown["unrealised"], state.shown["exposures"]) == (made, {"SHIB-USD": value})
    levels = shown_levels("demo", book, state.shown)
    assert (levels["unrealised"], levels["exposure"]) == (made, value)
    [told] = shown_trades(book, state.shown, state.trades, NOON)
    assert (told["total_pnl"], told["mae"], told["mfe"]) == (made, made, made)


def test_what_an_inverse_contract_makes_is_the_same_for_the_account_and_for_its_trade(world: World) -> None:
    """R1.3: of small money, here a few satoshi, all digits count."""
    perpetual = {"symbol": "BTCUSD_PERP", "kind": "future", "currency": "BTC", "underlying": "BTC-USD"}
    contract = Instrument.model_validate({**perpetual, "multiplier": "1", "inverse": True})
    book_fills(world, trade(-1, 1, "65012.5", instrument=contract))
    app, _ = world.instance()
    prices(app, NOON, BTCUSD_PERP=65013.7, BTCUSD=65013.0)
    state, book = risk(world), app.books.read("demo")
    assert book is not None
    [told] = shown_trades(book, state.shown, state.trades, NOON)
    made = contract.worth(Decimal("65013.7")) - contract.worth(Decimal("65012.5"))
    assert made > 0
    assert (
        Decimal(told["total_pnl"])
        == Decimal(state.shown["positions"]["default:BTCUSD_PERP"]["unrealised"])
        == made
    )


@pytest.mark.parametrize(("new", "old"), [(1, 10), (2, 1)])
def test_a_price_of_before_a_split_values_nothing_in_the_new_units(world: World, new: int, old: int) -> None:
    """R1.6, R2.4: ten times a tenth of the units would be a loss of nine tenths, told and acted upon."""
    book_fills(world, trade(-1, 100, 100))
    prices(world.instance()[0], NOON, SPY=100)
    world.clock.set(at(1))
    book_fills(world, fill("S-1", "BUY", new, old, at(1), kind="SPLIT"))
    app = world.instance()[0]
    sweep(app, force=True)
    assert risk(world).shown["positions"]["default:SPY"]["mark"] is None
    assert risk(world).shown["pnl_day"] is None
    for second in (60, 61):  # a price so far off the last one needs a second reading
        world.clock.set(at(second))
        prices(app, at(second), SPY=100 * old / new)
    sweep(app, force=True)
    assert risk(world).shown["pnl_day"] == "0"
    assert risk(world).shown["positions"]["default:SPY"]["value"] == "10000"


@pytest.mark.parametrize("kind", ["DIVIDEND", "FUNDING", "FEE"])
def test_a_payment_makes_no_old_price_fresh(world: World, kind: str) -> None:
    """I7, R1.6: the price of an execution is as old as that; a dividend says no other."""
    book_fills(world, trade(-600, 100, 100))
    world.clock.set(at(1))
    book_fills(world, fill("D-1", "BUY", 0, 0, at(1), kind=kind, fee="-5", fee_currency="USD"))
    sweep(world.instance()[0])
    state = risk(world)
    assert state.shown["positions"]["default:SPY"]["mark"] is None
    assert (state.shown["equity"], state.unpriced) == (None, ("SPY",))
    world.clock.set(at(3))
    book_fills(world, trade(2, 1, 101))
    sweep(world.instance()[0])
    assert risk(world).shown["positions"]["default:SPY"]["mark"] == "101"


def test_a_payment_after_a_split_makes_no_price_of_before_it_fresh(world: World) -> None:
    """I7, R1.6."""
    book_fills(world, trade(-1, 100, 100))
    world.clock.set(at(2))
    book_fills(world, fill("S-1", "BUY", 2, 1, at(1), kind="SPLIT"))
    book_fills(world, fill("D-1", "BUY", 0, 0, at(2), kind="DIVIDEND", fee="-5", fee_currency="USD"))
    sweep(world.instance()[0])
    assert risk(world).shown["positions"]["default:SPY"]["mark"] is None


def test_a_stale_price_in_open_hours_is_unknown_and_told_once(world: World) -> None:
    """F32, I7, R5.3."""
    book_fills(world, trade(-1, 50, 100))
    app, _ = world.instance()
    prices(app, NOON, SPY=101)
    world.wait(61)
    for n in range(3):
        sweep(app, f"sweep-{n}")
        world.wait(60)
    state = risk(world)
    assert (state.shown["equity"], state.shown["pnl_day"]) == (None, None)
    assert state.unpriced == ("SPY",)
    assert state.level is Level.UNKNOWN
    alerts = [a for a in world.bus.bodies("alerts") if a["kind"] == "stale_prices"]
    assert len(alerts) == 1
    assert "SPY" in alerts[0]["summary"]


def test_prices_that_are_back_are_told_once(world: World) -> None:
    """F32."""
    book_fills(world, trade(-1, 100, 100))
    app, _ = world.instance()
    prices(app, NOON, SPY=101)
    world.wait(61)
    sweep(app)
    for _ in range(5):
        prices(app, world.wait(30), SPY=102.5)
    assert [a["resolved"] for a in world.bus.bodies("alerts") if a["kind"] == "stale_prices"] == [False, True]
    assert risk(world).shown["equity"] == "100250"


@pytest.mark.parametrize(("age", "known"), [(60, True), (60.001, False)])
def test_the_age_at_which_a_price_is_stale_is_the_account_s(world: World, age: float, known: bool) -> None:
    """I7, R2.11."""
    book_fills(world, trade(-600, 100, 100))
    app, _ = world.instance()
    prices(app, NOON, SPY=101)
    world.wait(age)
    sweep(app)
    assert (risk(world).shown["equity"] is not None) == known


def test_while_the_market_is_closed_the_last_price_holds(world: World) -> None:
    """F32: quiet out of hours."""
    book_fills(world, trade(-1, 100, 100))
    app, _ = world.instance()
    prices(app, NOON, SPY=101)
    world.clock.set(datetime(2026, 11, 18, 21, 0, tzinfo=UTC))  # 16:00 in New York
    sweep(app)
    assert risk(world).shown["equity"] == "100100"


def test_an_account_that_never_closes_needs_fresh_prices_at_midnight(world: World) -> None:
    """F32, R1.5."""
    world.open_account(account("coins", calendar="24/7"))
    coin = equity("BTC-USD").model_copy(update={"kind": Kind.CRYPTO})
    app, _ = world.instance()
    app.recorder.record([fill(account="coins", quantity="1", instrument=coin)], "m-1")
    app.marker.mark(PriceBatch("feed", NOON, {"BTC-USD": Quote(101.0)}, ()))
    world.clock.set(datetime(2026, 11, 19, 3, 0, tzinfo=UTC))
    app.marker.evaluate({"coins"}, world.clock.now(), "sweep", True)
    assert risk(world, "coins").shown["equity"] is None


def test_a_fresh_fill_is_a_price_until_the_feed_has_one(world: World) -> None:
    """A position opened a second ago is not unknown: somebody has just traded it at its price."""
    book_fills(world, trade(-1, 100, 100))
    app, _ = world.instance()
    sweep(app)
    assert risk(world).shown["equity"] == "100000"
    world.wait(61)
    sweep(app, "later")
    assert risk(world).shown["equity"] is None


def test_a_price_that_cannot_be_one_is_none(world: World) -> None:
    """F34, B20: a share at 0 is no price, an option at 0 is one."""
    book_fills(world, trade(-100, 100, 100), trade(-99, 1, 2, instrument=option()))
    app, _ = world.instance()
    prices(app, NOON, SPY=0.0, **{option().symbol: 0.0})
    state = risk(world)
    assert state.unpriced == ("SPY",)
    assert state.shown["positions"][f"default:{option().symbol}"]["unrealised"] == "-200"


# --- limits ---


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


# --- several writers ---


def test_an_older_evaluation_never_overwrites_a_newer_one(world: World) -> None:
    """F33, I12: by the book, then by the prices; clocks are not asked."""
    book_fills(world, trade(-2, 10, 100))
    slow, _ = world.instance()
    prices(slow, NOON, SPY=100.0)
    old_book = slow.desk.books["demo"]
    old_marks = dict(slow.desk.marks.marks)
    book_fills(world, trade(0, 10, 100))
    prices(world.instance()[0], world.wait(2), SPY=105.0)
    newest = risk(world)
    assert newest.shown["unrealised"] == "100"
    one = slow.desk.accounts["demo"]
    valued = value_positions(columns({"demo": old_book}), old_marks, [one], at(100))["demo"]
    other, _ = world.instance()
    other.evaluator.evaluate(one, old_book, valued, old_marks, at(100), "late", force=True)
    assert risk(world) == newest
    book = other.books.read("demo")
    assert book is not None
    valued = value_positions(columns({"demo": book}), old_marks, [one], at(100))["demo"]
    other.evaluator.evaluate(one, book, valued, old_marks, at(100), "late", force=True)
    assert risk(world) == newest


LIMITS = {"max_position_value": {"limit": "4"}}


def test_settings_that_change_in_the_middle_decide_at_once_and_older_ones_never_again(world: World) -> None:
    """F48, I12: an instance keeps settings for 30 s; what newer ones decide meanwhile stands."""
    book_fills(world, trade(0, 50, 100))
    slow, _ = world.instance()
    prices(slow, NOON, SPY=100.0)
    assert (risk(world).settings, risk(world).level) == (1, Level.OK)
    fast, _ = world.instance()
    fast.account_writer.change("demo", lambda a: a.model_copy(update={"limits": tightened(a)}), "ann")
    prices(fast, world.wait(2), SPY=100.0)
    assert (risk(world).settings, risk(world).level) == (2, Level.BREACH)
    assert slow.desk.accounts["demo"].version == 1, "it keeps them still"
    sweep(slow)
    assert (risk(world).settings, risk(world).level) == (2, Level.BREACH)
    told = {(a["kind"], a["resolved"], a["settings"]) for a in world.bus.bodies("alerts")}
    assert told == {("max_position_value", False, 2)}
    assert risk(world).shown["settings"] == 2
    rows = [r for m in world.bus.bodies("history") for r in m["rows"] if r["table"] == "account_snapshots"]
    assert [orjson.loads(r["row"]["detail"])["settings"] for r in rows][-2:] == [2, 2]


def test_newer_settings_that_are_damaged_since_leave_what_was_read_last(world: World) -> None:
    """F48, F49: it is watched by the settings that this instance knows, and is not left out."""
    book_fills(world, trade(0, 50, 100))
    slow, _ = world.instance()
    prices(slow, NOON, SPY=100.0)
    fast, _ = world.instance()
    fast.account_writer.change("demo", lambda a: a, "ann")
    prices(fast, world.wait(2), SPY=101.0)
    document = world.shared.get(account_path("demo"))
    assert document is not None
    world.shared.commit([Put(document.path, {**document.data, "account": "{"})])
    revision = risk(world).revision
    for last in (102.0, 103.0):
        prices(slow, world.wait(1), SPY=last)
        assert risk(world).settings == 2, "who knows the newer ones is at work"
        prices(fast, world.wait(1), SPY=last)
    revision = risk(world).revision
    world.wait(200)
    sweep(slow)
    assert (risk(world).settings, risk(world).revision) == (1, revision + 1)


def test_an_account_that_was_made_anew_is_watched_although_its_version_is_lower(world: World) -> None:
    """F48, F54: what the store has counts, not the highest number ever seen."""
    book_fills(world, trade(0, 100, 100))
    for _ in range(3):
        world.instance()[0].account_writer.change("demo", lambda a: a, "ann")
    sweep(world.instance()[0])
    assert risk(world).settings == 4
    world.shared.commit([Delete(account_path("demo"))])
    world.open_account()
    revision = risk(world).revision
    sweep(world.instance()[0])
    assert (risk(world).settings, risk(world).revision) == (1, revision + 1)


def tightened(one: Account) -> Any:
    return one.model_validate({**one.model_dump(mode="json"), "limits": LIMITS}).limits


def test_risk_is_written_at_most_once_an_interval_unless_something_changes(world: World) -> None:
    """R1.7, design: conflated."""
    world.open_account(account("slow", risk_interval_s=10))
    app, _ = world.instance()
    app.recorder.record([fill(account="slow", quantity="10", executed_at=at(-1))], "m-1")
    for n in range(30):
        app.marker.mark(PriceBatch("feed", at(n), {"SPY": Quote(100 + n / 100)}, ()))
        world.clock.set(at(n + 1))
    assert risk(world, "slow").revision in (3, 4)
    assert risk(world, "slow").revision == app.risk_states.read("slow").revision  # type: ignore[union-attr]


def test_a_level_that_changes_is_written_at_once(world: World) -> None:
    """R1.7, R2.12."""
    world.open_account(account("slow", risk_interval_s=3600))
    app, _ = world.instance()
    app.recorder.record([fill(account="slow", quantity="1000", executed_at=at(-1))], "m-1")
    app.marker.mark(PriceBatch("feed", NOON, {"SPY": Quote(100.0)}, ()))
    world.bus.messages.clear()
    world.wait(1)
    app.marker.mark(PriceBatch("feed", at(1), {"SPY": Quote(96.0)}, ()))
    assert "max_daily_loss" in {a["kind"] for a in world.bus.bodies("alerts")}


@pytest.mark.parametrize("applied", [False, True])
def test_a_breach_survives_a_commit_of_unknown_outcome(world: World, applied: bool) -> None:
    """F11, F12, I4: the batch comes again; the alert is published, under one id."""
    book_fills(world, trade(-1, 1000, 100))
    app, store = world.instance()
    prices(app, NOON, SPY=100.0)
    world.bus.messages.clear()
    world.wait(2)
    store.faults = [None, store.applied_but_lost if applied else store.lost]  # the marks, then the risk
    with pytest.raises(Unavailable):
        prices(app, at(2), SPY=96.0)
    sweep(world.instance()[0], "after")
    ids = {a["alert_id"] for a in world.bus.bodies("alerts") if a["kind"] == "max_daily_loss"}
    assert len(ids) == 1
    assert app.trading.read(SCOPE).state is TradingState.REDUCING


def test_an_alert_that_could_not_go_out_goes_out_with_the_next_evaluation(world: World) -> None:
    """F17, I4."""
    book_fills(world, trade(-1, 1000, 100))
    app, _ = world.instance()
    prices(app, NOON, SPY=100.0)
    world.wait(2)
    world.bus.down = True
    with pytest.raises(Unpublished):
        prices(app, at(2), SPY=96.0)
    world.bus.down = False
    sweep(world.instance()[0], "after")
    assert "max_daily_loss" in {a["kind"] for a in world.bus.bodies("alerts")}
    assert app.trading.read(SCOPE).state is TradingState.REDUCING


# --- currencies ---


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


def test_a_risk_document_of_an_earlier_version_is_read(world: World) -> None:
    """F46: it remembers no peaks and counts no trades that ended before."""
    book_fills(world, trade(-1, 10, 100))
    sweep(world.instance()[0])
    codec = RiskCodec()
    data = codec.encode(risk(world))
    body = orjson.loads(data["state"])
    del body["track"]
    old = codec.decode({**data, "state": orjson.dumps(body).decode()})
    assert old.track == Track(streak=None)
    assert old.day_start == risk(world).day_start


def test_the_state_reads_back_as_it_was_written(world: World) -> None:
    book_fills(world, trade(-1, 1000, 100), trade(0, 1, 5, instrument=equity("QQQ")))
    app, _ = world.instance()
    prices(app, NOON, SPY=97.0)
    world.wait(61)
    prices(app, world.clock.now(), SPY=97.0)
    state = risk(world)
    assert state.unpriced == ("QQQ",)
    codec = RiskCodec()
    assert codec.decode(codec.encode(state)) == state


def test_the_day_starts_with_the_last_valuation_of_the_day_before(world: World) -> None:
    """R2.4, F36: overnight, through the stored state."""
    book_fills(world, trade(-1, 100, 100))
    app, _ = world.instance()
    world.clock.set(datetime(2026, 11, 18, 20, 59, tzinfo=UTC))
    prices(app, world.clock.now(), SPY=104.0)
    tomorrow = datetime(2026, 11, 19, 15, 0, tzinfo=UTC)
    world.clock.set(tomorrow)
    prices(world.instance()[0], tomorrow, SPY=103.0)
    shown = risk(world).shown
    assert (shown["pnl_day"], shown["total"], shown["session"]) == ("-100", "300", "2026-11-19")
    assert shown["day_start"].startswith("last complete valuation")


def test_an_empty_book_needs_no_price() -> None:
    world = World()
    world.open_account()
    app, _ = world.instance()
    app.evaluator.evaluate(account(), Book("demo"), [], {}, NOON, "first")
    assert risk(world).shown["equity"] == "100000"
    assert risk(world).as_of == NOON


def test_the_last_price_of_yesterday_ages_from_the_opening() -> None:
    """R1.7, F32: at the bell there is no new price yet; a minute later there has to be one."""
    desk = account()
    mark = Mark(Quote(90.0), datetime(2026, 11, 19, 20, 59, tzinfo=UTC))
    opening = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
    assert is_usable(mark, desk, opening - timedelta(seconds=1))
    assert is_usable(mark, desk, opening + timedelta(seconds=60))
    assert not is_usable(mark, desk, opening + timedelta(seconds=61))


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


@pytest.mark.parametrize("is_begun_anew", [True, False])
def test_a_book_that_came_back_at_an_earlier_revision_is_valued(is_begun_anew: bool) -> None:
    """I7, R0.4: deleted and folded again, or put back by hand: its limits were blind until it had as many commits."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    for number in range(1, 7):
        app.recorder.record([trade(number, 10, 100)], f"m-{number}")
    prices(app, world.wait(5), SPY=100.0)
    sweep = Sweep(kind=SweepKind.RISK)
    app.sweeper.run(sweep, world.clock.now(), "s-1")
    before = app.risk_states.read("demo")
    for collection in ("books", "fills"):
        world.shared.commit([Delete(d.path) for d in world.shared.query(collection)])
    world.wait(60)
    app, _ = world.instance()
    app.recorder.record([trade(number, 1000, 100) for number in range(1, 7)], "again")
    if not is_begun_anew:
        app.books.change("demo", lambda book, attempt: Change(replace(book, revision=1)) if book else None)
    prices(app, world.wait(5), SPY=60.0)
    world.instance()[0].sweeper.run(sweep, world.clock.now(), "s-2")
    book, after = app.books.read("demo"), app.risk_states.read("demo")
    assert before is not None
    assert after is not None
    assert book is not None
    assert (book.revision > before.book_revision) is is_begun_anew
    assert (after.book_revision, after.as_of) == (book.revision, world.clock.now())
    assert app.trading.standing("account:demo").state is not TradingState.ACTIVE, (
        "its daily loss is over the limit"
    )
