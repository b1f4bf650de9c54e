"""tastytrade: orders that repeat their fills, fees by transaction, deliveries and reversals."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from stopline.model.fill import Fill, FillKind

from .samples import SAMPLES, changed, fills_of, refusal

ORDER = SAMPLES["tastytrade order"].message
TRADE = SAMPLES["tastytrade transaction"].message
LEG = ORDER["data"]["legs"][0]
DELIVERY = {
    "id": 31, "account-number": "5WT00000", "transaction-type": "Receive Deliver",
    "transaction-sub-type": "Assignment", "instrument-type": "Equity Option", "symbol": "SPY   260320P00455000",
    "underlying-symbol": "SPY", "executed-at": "2026-03-20T21:00:00.000Z", "quantity": "1.0", "price": None,
    "value": "0.0", "value-effect": "None",
}  # fmt: skip


def read(message: dict[str, Any], **more: str) -> list[Fill]:
    return fills_of(message, broker="tastytrade", **more)


def refused(message: dict[str, Any], **more: str) -> str:
    return refusal(message, broker="tastytrade", **more)


def leg(message: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return changed(message, "data", "legs", 0, {**LEG, **changes})


@pytest.mark.parametrize(
    ("action", "side"),
    [
        ("Sell to Open", "SELL"),
        ("Sell to Close", "SELL"),
        ("Buy to Open", "BUY"),
        ("Buy to Close", "BUY"),
        ("Buy", "BUY"),
    ],
)
def test_the_action_is_the_side(action: str, side: str) -> None:
    assert read(leg(ORDER, action=action))[0].side == side
    assert refused(leg(ORDER, action="Hold")) == "UNKNOWN_SIDE"


def test_a_later_message_has_the_old_fills_and_the_new_one() -> None:
    more = [*LEG["fills"], {**LEG["fills"][0], "fill-id": "15_TW::TW0002"}]
    [before], after = read(ORDER), read(leg(ORDER, fills=more))
    assert next(f.key for f in after) == before.key
    assert after[0].hash == before.hash
    assert len({f.key for f in after}) == 2


def test_legs_share_a_group() -> None:
    two = changed(
        ORDER, "data", "legs", [LEG, {**LEG, "symbol": "SPY   260320P00450000", "action": "Buy to Open"}]
    )
    short, long = read(two)
    assert short.group_id == long.group_id == "1"
    assert short.key != long.key
    assert read(ORDER)[0].group_id is None


@pytest.mark.parametrize(
    ("type_", "symbol", "attributes", "expected"),
    [
        ("Equity", "BRK/B", {}, "BRK.B"),
        ("Cryptocurrency", "BTC/USD", {}, "BTC-USD"),
        ("Future", "/ESZ6", {"multiplier": "50"}, "ESZ6"),
        ("Future Option", "./ESZ6 EW3X6 261120P6000", {"multiplier": "50"}, "EW3X6261120P06000000"),
    ],
)
def test_every_kind_of_instrument_is_read(
    type_: str, symbol: str, attributes: dict[str, str], expected: str
) -> None:
    message = leg(ORDER, **{"instrument-type": type_, "symbol": symbol})
    assert read(message, **attributes)[0].instrument.symbol == expected
    if attributes:
        assert refused(message) == "MISSING_ATTRIBUTE"


def test_an_index_weekly_is_on_its_index() -> None:
    message = changed(leg(ORDER, symbol="SPXW  260320P04550000"), "data", "underlying-symbol", "SPX")
    assert read(message)[0].instrument.underlying == "SPX"


@pytest.mark.parametrize("kind", ["AccountBalance", "CurrentPosition", "TradingStatus"])
def test_other_messages_of_the_streamer_are_no_fills(kind: str) -> None:
    assert read({"type": kind, "data": {}, "timestamp": 1}) == []
    assert read({"status": "ok", "action": "heartbeat", "request-id": 1}) == []
    assert refused({"type": "NeverHeardOf", "data": {}}) == "UNKNOWN_MESSAGE"


def test_a_complex_order_is_its_orders() -> None:
    message = {"type": "ComplexOrder", "data": {"id": 9, "orders": [ORDER["data"]]}}
    assert [f.key for f in read(message)] == [f.key for f in read(ORDER)]


def test_a_trade_of_the_transactions_is_the_same_fill_with_its_fees() -> None:
    [fill] = read(TRADE, transactions="trades")
    assert (fill.kind, fill.fill_id) == (FillKind.TRADE, read(ORDER)[0].fill_id)
    assert (fill.quantity, fill.price, fill.fee) == (40, Decimal("0.47"), Decimal("40.442"))
    assert refused(TRADE, transactions="both") == "BAD_ATTRIBUTE"


def test_a_credit_is_a_rebate_and_none_is_nothing() -> None:
    row = {**TRADE, "commission-effect": "Credit", "clearing-fees-effect": "None"}
    assert read(row)[0].fee == Decimal("-39.958")
    assert refused({**TRADE, "commission-effect": "Sideways"}) == "UNKNOWN_STATUS"


def test_an_assignment_is_two_rows() -> None:
    shares = {
        **DELIVERY, "id": 32, "transaction-sub-type": "Buy to Open", "action": "Buy to Open",
        "instrument-type": "Equity", "symbol": "SPY", "quantity": "100", "price": "455.00", "commission": "5.0",
        "commission-effect": "Debit",
    }  # fmt: skip
    option, stock = read({"transactions": [DELIVERY, shares]})
    assert (option.kind, option.side, option.price) == (FillKind.ASSIGN, "BUY", 0)
    assert (stock.kind, stock.side, stock.quantity, stock.price, stock.fee) == (
        FillKind.ASSIGN,
        "BUY",
        100,
        455,
        5,
    )


def test_an_expiry_ends_what_is_held_where_it_has_no_action_and_an_exercise_has_a_side() -> None:
    """Issue 4: rows of `Expiration` come without one; of a day of 0DTE each leg out of the money has one."""
    row = {**DELIVERY, "transaction-sub-type": "Expiration"}
    [fill] = read(row)
    assert (fill.kind, fill.quantity, fill.price, (fill.model_extra or {})["ends"]) == (
        FillKind.EXPIRE,
        1,
        0,
        "held",
    )
    assert [fill.moves(Decimal(units)) for units in (3, -3, 0)] == [-1, 1, 0]
    told = read({**row, "action": "Buy to Close"})[0]
    assert (told.kind, told.side, told.moves(Decimal(3))) == (FillKind.EXPIRE, "BUY", 1)
    assert refused({**row, "action": "Sold"}) == "UNKNOWN_SIDE"
    assert read({**DELIVERY, "transaction-sub-type": "Exercise"})[0].side == "SELL"


@pytest.mark.parametrize(
    ("sub", "effect", "side"),
    [("Cash Settled Assignment", "Debit", "BUY"), ("Cash Settled Exercise", "Credit", "SELL")],
)
def test_a_cash_settlement_closes_at_the_amount_by_unit(sub: str, effect: str, side: str) -> None:
    row = {**DELIVERY, "transaction-sub-type": sub, "value": "1235.0", "value-effect": effect}
    [fill] = read(row)
    assert (fill.kind, fill.side, fill.price) == (FillKind.SETTLE, side, Decimal("12.35"))


def test_a_reversal_takes_back_what_it_names() -> None:
    [option] = read(DELIVERY)
    [bust] = read({**DELIVERY, "id": 40, "reverses-id": 31})
    assert (bust.kind, bust.ref) == (FillKind.BUST, option.fill_id)


@pytest.mark.parametrize("kind", ["Money Movement", "NeverHeardOf"])
def test_another_transaction_is_refused_and_not_dropped(kind: str) -> None:
    assert refused({**TRADE, "transaction-type": kind}) == "UNSUPPORTED"
    assert refused({**DELIVERY, "transaction-sub-type": "Symbol Change"}) == "UNKNOWN_STATUS"
