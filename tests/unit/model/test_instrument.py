"""Instruments: whole, or refused."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from stopline.model.instrument import Instrument, is_option_symbol, option_symbol

from ..make import equity, option


@pytest.mark.parametrize("missing", ["underlying", "expiry", "strike", "right"])
def test_an_option_needs_underlying_expiry_strike_and_right(missing: str) -> None:
    """R1.2: without one of them neither its risk nor its end is known."""
    facts = option().model_dump(mode="json")
    del facts[missing]
    with pytest.raises(ValidationError, match="an option needs"):
        Instrument.model_validate(facts)


@pytest.mark.parametrize(
    "change",
    [
        {"strike": "5"},
        {"right": "C"},
        {"multiplier": "0"},
        {"multiplier": "-1"},
        {"multiplier": "1000000.1"},
        {"multiplier": 1},
        {"currency": "usd"},
        {"currency": ""},
        {"kind": "bond"},
        {"expiry": "2026-02-30"},
        {"expiry": "never"},
    ],
    ids=str,
)
def test_a_share_with_impossible_terms_is_refused(change: dict[str, Any]) -> None:
    """B14, B26, B53."""
    with pytest.raises(ValidationError):
        Instrument.model_validate({**equity().model_dump(mode="json", exclude_none=True), **change})


@pytest.mark.parametrize("strike", ["0", "-1"])
def test_a_strike_is_above_zero(strike: str) -> None:
    with pytest.raises(ValidationError, match="strike"):
        Instrument.model_validate({**option().model_dump(mode="json"), "strike": strike})


def test_without_another_underlying_an_instrument_hangs_on_itself() -> None:
    """R1.1: exposure is grouped by underlying."""
    assert equity("SPY").underlying == "SPY"
    assert option(root="SPXW").underlying == "SPXW"


def test_equal_terms_are_the_same_contract_however_they_are_written() -> None:
    one = Instrument.model_validate({**option(6000).model_dump(mode="json"), "strike": "6000.00"})
    assert one == option(6000)
    assert hash(one) == hash(option(6000))


def test_the_symbol_of_an_option() -> None:
    assert option_symbol("SPXW", date(2018, 2, 5), "P", Decimal(2600)) == "SPXW180205P02600000"
    assert option_symbol("SPY", date(2026, 11, 18), "C", Decimal("600.5")) == "SPY261118C00600500"
    assert is_option_symbol("SPY261118C00600500")
    assert not is_option_symbol("SPY")
    assert not is_option_symbol("SPY261118X00600500")


@pytest.mark.parametrize(
    ("underlying", "currency", "own"),
    [
        ("BTC-USD", "BTC", True),
        ("BTC", "BTC", True),
        ("ETHUSD", "ETH", True),
        ("BTC_USDT", "BTC", True),
        ("BTC-27NOV26", "BTC", True),
        ("EURUSD", "EUR", False),
        ("GBPUSD", "GBP", False),
        ("BTC-USD", "USD", False),
        ("BTC-USDC", "USDC", False),
        ("ETH-BTC", "BTC", False),
        ("EURUSD", "USD", False),
        ("USD", "USD", False),  # a fund of that name
        ("USDU", "USD", False),
        ("EURN", "EUR", False),
        ("USDINR", "INR", False),
    ],
)
def test_an_option_that_is_paid_in_what_it_is_on_is_known_as_such(
    underlying: str, currency: str, own: bool
) -> None:
    """R1.5: its strike is in another money than its price."""
    terms = {**option().model_dump(mode="json"), "underlying": underlying, "currency": currency}
    assert Instrument.model_validate(terms).is_in_its_coin == own


def test_an_option_on_a_pair_in_the_money_of_the_pair_is_in_its_asset_and_in_no_coin() -> None:
    """R1.5: it is booked, and what it can lose is UNKNOWN."""
    terms = option().model_dump(mode="json")
    euro = Instrument.model_validate({**terms, "underlying": "EURUSD", "currency": "EUR"})
    assert euro.is_in_its_asset
    assert not euro.is_in_its_coin
    assert not Instrument.model_validate({**terms, "underlying": "EURUSD"}).is_in_its_asset


def test_only_options_are_paid_in_their_own_coin() -> None:
    """R1.5: an inverse contract is, and its worth says so."""
    perpetual = {"symbol": "BTCUSD_PERP", "kind": "future", "currency": "BTC", "underlying": "BTC-USD"}
    assert not Instrument.model_validate({**perpetual, "inverse": True}).is_in_its_coin
