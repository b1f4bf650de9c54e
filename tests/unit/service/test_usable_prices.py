"""Which price a position may be valued at: how old, of which session, before or after a split."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from stopline.model.instrument import Instrument, Kind
from stopline.model.prices import PriceBatch, Quote
from stopline.rules.limits.registry import Level
from stopline.service.accounts.levels import shown_levels, shown_trades
from stopline.service.prices.marks import Mark, is_usable

from ..make import NOON, account, at, equity, fill, option, trade
from .valuing import book_fills, prices, risk, sweep
from .world import World


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


def test_the_last_price_of_yesterday_ages_from_the_opening() -> None:
    """R1.7, F32: at the bell there is no new price yet; a minute later there has to be one."""
    desk = account()
    mark = Mark(Quote(90.0), datetime(2026, 11, 19, 20, 59, tzinfo=UTC))
    opening = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
    assert is_usable(mark, desk, opening - timedelta(seconds=1))
    assert is_usable(mark, desk, opening + timedelta(seconds=60))
    assert not is_usable(mark, desk, opening + timedelta(seconds=61))
