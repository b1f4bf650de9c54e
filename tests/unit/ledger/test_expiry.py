"""The clock of options, product by product."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from stopline.ledger.expiry import Settlement, expiry_clock, product_of
from stopline.model.calendars import calendar
from stopline.model.instrument import Instrument
from stopline.model.times import utc_text

from ..make import option

XNYS, XNSE, CRYPTO = calendar("XNYS"), calendar("XNSE"), calendar("24/7")


def clock(contract: Instrument, market: str = "XNYS") -> tuple[str, str, str, str]:
    found = expiry_clock(contract, calendar(market))
    moments = (found.trades_until, found.settles_at, found.decided_at)
    trades, settles, decides = (utc_text(moment) for moment in moments)
    return found.settlement.value, trades, settles, decides


def test_a_weekly_of_the_sp500_is_settled_in_cash_at_the_close() -> None:
    """Issue 4.5: SPX PM, 16:00 in New York."""
    contract = option(6000, expiry=date(2026, 11, 18))
    assert clock(contract) == ("cash", *["2026-11-18T21:00:00Z"] * 3)


@pytest.mark.parametrize(
    ("day", "close"),
    [(date(2026, 11, 27), "2026-11-27T18:00:00Z"), (date(2026, 12, 24), "2026-12-24T18:00:00Z")],
)
def test_an_expiry_on_an_early_close_day_settles_at_the_early_close(day: date, close: str) -> None:
    """Domain 4b.19: 13:00 in New York on the day after Thanksgiving and on Christmas Eve."""
    assert clock(option(6000, expiry=day)) == ("cash", close, close, close)


def test_a_monthly_of_the_sp500_settles_at_the_opening_and_trades_until_the_day_before() -> None:
    """Issue 4.5: SPX AM, the third Friday."""
    contract = option(6000, expiry=date(2026, 11, 20), root="SPX")
    opening = "2026-11-20T14:30:00Z"
    assert clock(contract) == ("cash", "2026-11-19T21:00:00Z", opening, opening)


@pytest.mark.parametrize("root", ["SPX", "NDX", "RUT", "DJX"])
@pytest.mark.parametrize(
    ("day", "at_open"),
    [
        pytest.param(date(2026, 11, 20), True, id="third Friday"),
        pytest.param(date(2026, 6, 18), True, id="Thursday: Juneteenth is the third Friday"),
        pytest.param(date(2026, 6, 19), True, id="the holiday itself, in symbols"),
        pytest.param(date(2014, 6, 21), True, id="Saturday, as symbols were before 2015"),
        pytest.param(date(2026, 11, 27), False, id="fourth Friday"),
        pytest.param(date(2026, 11, 13), False, id="second Friday"),
        pytest.param(date(2026, 11, 18), False, id="Wednesday"),
        pytest.param(date(2026, 11, 19), False, id="Thursday before a third Friday"),
        pytest.param(date(2026, 12, 31), False, id="end of month"),
    ],
)
def test_only_the_standard_monthly_of_an_index_settles_at_the_opening(
    root: str, day: date, at_open: bool
) -> None:
    """Issue 4.5: Cboe and Nasdaq specifications; what else carries the root settles at the close."""
    contract = option(6000, expiry=day, root=root)
    assert product_of(contract).at_open is at_open
    clock = expiry_clock(contract, XNYS)
    assert (clock.settles_at > clock.trades_until) is at_open


@pytest.mark.parametrize("root", ["SPXW", "NDXP", "RUTW", "XSP", "MRUT", "XND"])
def test_weekly_roots_settle_at_the_close_on_a_third_friday_too(root: str) -> None:
    """Issue 4.5: Cboe and Nasdaq specifications."""
    assert not product_of(option(6000, expiry=date(2026, 11, 20), root=root)).at_open


@pytest.mark.parametrize("root", ["VIX", "VIXW"])
def test_volatility_options_settle_at_the_opening_of_their_wednesday(root: str) -> None:
    contract = option(20, expiry=date(2026, 11, 18), root=root)
    assert clock(contract)[:3] == ("cash", "2026-11-17T21:00:00Z", "2026-11-18T14:30:00Z")


def test_an_option_on_a_share_may_be_exercised_until_half_past_five() -> None:
    """Issue 4.5: the decision is after the close; 17:30 on early-close days too."""
    assert clock(option(200, expiry=date(2026, 11, 20), root="AAPL")) == (
        "delivery",
        "2026-11-20T21:00:00Z",
        "2026-11-20T21:00:00Z",
        "2026-11-20T22:30:00Z",
    )
    assert clock(option(200, expiry=date(2026, 11, 27), root="AAPL"))[3] == "2026-11-27T22:30:00Z"


def test_options_on_the_large_funds_trade_a_quarter_of_an_hour_longer() -> None:
    assert clock(option(600, expiry=date(2026, 11, 20), root="SPY"))[1] == "2026-11-20T21:15:00Z"


def test_summer_time_moves_the_clock() -> None:
    assert clock(option(6000, expiry=date(2026, 7, 15)))[1] == "2026-07-15T20:00:00Z"


@pytest.mark.parametrize(
    ("root", "day", "until", "settled", "settlement"),
    [
        ("CRUDEOILM", date(2026, 7, 16), "23:30", "23:30", "delivery"),
        ("CRUDEOILM", date(2026, 11, 17), "23:55", "23:55", "delivery"),
        ("USDINR", date(2026, 11, 26), "12:30", "13:30", "cash"),
    ],
)
def test_commodities_and_currencies_in_india_end_at_hours_of_their_own(
    root: str, day: date, until: str, settled: str, settlement: str
) -> None:
    """MCX trades into the evening, by New York's daylight; currency options end at 12:30 on their last day."""
    contract = option(5000, expiry=day, root=root).model_copy(update={"currency": "INR"})
    clock = expiry_clock(contract, XNSE)
    told = [
        moment.astimezone(XNSE.zone).strftime("%H:%M") for moment in (clock.trades_until, clock.settles_at)
    ]
    assert (told, clock.settlement.value) == ([until, settled], settlement)
    assert clock.decided_at == clock.settles_at


def test_a_share_in_new_york_that_is_named_like_a_commodity_is_a_share() -> None:
    assert clock(option(40, expiry=date(2026, 11, 20), root="GOLD"))[:2] == (
        "delivery",
        "2026-11-20T21:00:00Z",
    )


@pytest.mark.parametrize(("root", "settlement"), [("NIFTY", "cash"), ("RELIANCE", "delivery")])
def test_indian_index_options_settle_in_cash_and_share_options_by_delivery(
    root: str, settlement: str
) -> None:
    """Issue 4.5: at 15:30 in Mumbai, whatever the account's own calendar."""
    contract = option(26000, expiry=date(2026, 12, 1), root=root).model_copy(update={"currency": "INR"})
    assert clock(contract) == (settlement, *["2026-12-01T10:00:00Z"] * 3)


def test_an_expiry_on_a_holiday_counts_for_the_session_before() -> None:
    """Good Friday 2026: symbols may carry the Friday."""
    assert clock(option(6000, expiry=date(2026, 4, 3)))[1] == "2026-04-02T20:00:00Z"


def test_an_option_on_a_coin_ends_at_eight_utc() -> None:
    contract = option(100000, "C", date(2026, 11, 27), "BTC")
    assert clock(contract, "24/7") == ("cash", *["2026-11-27T08:00:00Z"] * 3)
    assert clock(option(6000, expiry=date(2026, 11, 18)), "24/7")[1] == "2026-11-18T21:00:00Z"


def test_what_is_not_in_the_table_is_settled_by_delivery_in_the_account_s_market() -> None:
    contract = option(100, expiry=date(2026, 11, 20), root="SAP").model_copy(update={"currency": "EUR"})
    assert product_of(contract).settlement is Settlement.DELIVERY
    assert expiry_clock(contract, calendar("XEUR")).settles_at == calendar("XEUR").close_of(
        date(2026, 11, 20)
    )


def test_every_moment_has_a_zone() -> None:
    found = expiry_clock(option(6000), XNYS)
    moments: list[datetime] = [found.trades_until, found.settles_at, found.decided_at]
    assert all(moment.tzinfo is not None for moment in moments)
