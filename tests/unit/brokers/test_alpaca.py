"""Alpaca: trade updates, legs, activities, busts and corrections, option events, fees."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind

from ..ledger.test_amend import booked
from ..make import equity, fill
from .samples import SAMPLES, changed, fills_of, refusal

UPDATE = SAMPLES["alpaca trade update"].message
MLEG = SAMPLES["alpaca multi-leg"].message
ACTIVITY = SAMPLES["alpaca fill activity"].message
ASSIGNMENT = SAMPLES["alpaca assignment"].message


def read(message: dict[str, Any], **more: str) -> list[Fill]:
    return fills_of(message, broker="alpaca", **{"account": "demo", **more})


def refused(message: dict[str, Any], **more: str) -> str:
    return refusal(message, broker="alpaca", **{"account": "demo", **more})


def test_quantity_and_price_are_the_execution_s_not_the_order_s() -> None:
    message = changed(changed(UPDATE, "data", "qty", "10"), "data", "order", "filled_avg_price", "99")
    [fill] = read(message)
    assert (fill.quantity, fill.price, fill.side) == (Decimal(10), Decimal("105.8988475"), "SELL")
    assert fill.fill_id == "2f63ea93-423d-4169-b3f6-3fdafc10c418"


@pytest.mark.parametrize(
    ("symbol", "asset_class", "expected", "kind"),
    [
        ("SOLUSD", "crypto", "SOL-USD", "crypto"),
        ("SOL/USD", "crypto", "SOL-USD", "crypto"),
        ("ETHUSDT", "crypto", "ETH-USDT", "crypto"),
        ("ETHBTC", "crypto", "ETH-BTC", "crypto"),
        ("BRK.B", "us_equity", "BRK.B", "equity"),
        ("SPXW261120P06000000", "us_option", "SPXW261120P06000000", "option"),
    ],
)
def test_the_contract_is_read_from_symbol_and_class(
    symbol: str, asset_class: str, expected: str, kind: str
) -> None:
    order = {**UPDATE["data"]["order"], "symbol": symbol, "asset_class": asset_class}
    [fill] = read(changed(UPDATE, "data", "order", order))
    assert (fill.instrument.symbol, fill.instrument.kind) == (expected, kind)
    if kind == "option":
        assert (fill.instrument.underlying, fill.instrument.multiplier) == ("SPX", 100)


@pytest.mark.parametrize(
    ("symbol", "asset_class", "reason"),
    [
        ("SOLXYZ", "crypto", "MISSING_ATTRIBUTE"),
        ("SPY1261120P06000000", "us_option", "MISSING_ATTRIBUTE"),  # adjusted: its size is not standard
        ("SPY269920P06000000", "us_option", "BAD_MESSAGE"),
        ("AAPL", "bond", "UNSUPPORTED"),
    ],
)
def test_a_contract_that_cannot_be_read_is_refused(symbol: str, asset_class: str, reason: str) -> None:
    order = {**UPDATE["data"]["order"], "symbol": symbol, "asset_class": asset_class}
    assert refused(changed(UPDATE, "data", "order", order)) == reason


def test_an_adjusted_option_and_an_odd_pair_are_told_by_attributes() -> None:
    order = {**UPDATE["data"]["order"], "symbol": "SPY1261120P06000000", "asset_class": "us_option"}
    [fill] = read(changed(UPDATE, "data", "order", order), multiplier="150", underlying="SPY")
    assert (fill.instrument.multiplier, fill.instrument.underlying) == (150, "SPY")
    order = {**UPDATE["data"]["order"], "symbol": "SOLXYZ"}
    assert read(changed(UPDATE, "data", "order", order), quote="XYZ")[0].instrument.currency == "XYZ"


def test_each_leg_is_a_fill_with_the_side_of_its_own_order() -> None:
    fills = read(MLEG)
    assert [(f.fill_id, f.side, f.price, f.order_id, f.group_id) for f in fills] == [
        ("e1", "SELL", Decimal("3.10"), "l1", "p"),
        ("e2", "BUY", Decimal("1.85"), "l2", "p"),
    ]


def test_a_multi_leg_order_without_its_legs_is_refused_and_not_booked_as_one() -> None:
    assert refused(changed(MLEG, "data", "legs", None)) == "BAD_MESSAGE"
    assert refused(changed(MLEG, "data", "legs", 1, "order_id", "other")) == "BAD_MESSAGE"


@pytest.mark.parametrize("stream", ["authorization", "listening"])
def test_what_the_stream_says_of_itself_is_no_fill(stream: str) -> None:
    assert read({"stream": stream, "data": {"status": "authorized"}}) == []


def test_an_activity_is_known_by_its_execution() -> None:
    [fill] = read(ACTIVITY)
    assert fill.fill_id == "88b5f678-fef5-447b-af15-f21e367e6d8c"
    [other] = read({**ACTIVITY, "execution_id": "x-1"})
    assert other.fill_id == "x-1"


@pytest.mark.parametrize(
    ("type_", "kind"), [("trade_bust", FillKind.BUST), ("trade_correct", FillKind.CORRECT)]
)
def test_an_activity_can_take_back_or_replace_an_execution(type_: str, kind: FillKind) -> None:
    row = {**ACTIVITY, "execution_type": type_, "previous_execution_id": "e-0"}
    [fill] = read(row)
    assert (fill.kind, fill.ref) == (kind, "e-0")
    assert refused({**ACTIVITY, "type": type_}) == "BAD_MESSAGE"


def test_an_assignment_closes_the_short_option_and_delivers_the_shares() -> None:
    option, shares = read(ASSIGNMENT)
    assert (option.kind, option.side, option.quantity, option.price) == (FillKind.ASSIGN, "BUY", 2, 0)
    assert (shares.kind, shares.side, shares.quantity, shares.price) == (FillKind.ASSIGN, "SELL", 200, 150)
    assert option.key != shares.key
    assert option.group_id == shares.group_id
    assert option.executed_at.isoformat() == "2023-07-01T20:00:00+00:00"


def test_the_documented_exercise_has_a_price_that_its_amount_contradicts() -> None:
    rows = [
        {**ASSIGNMENT["activities"][0], "activity_type": "OPEXC", "qty": "-2"},
        {**ASSIGNMENT["activities"][1], "qty": "200", "price": "90", "net_amount": "-30000"},
    ]
    assert refused({"activities": rows}) == "CONTRADICTION"
    rows[1]["price"] = "150"
    option, shares = read({"activities": rows})
    assert (option.kind, option.side) == (FillKind.EXERCISE, "SELL")
    assert (shares.kind, shares.side) == (FillKind.EXERCISE, "BUY")


@pytest.mark.parametrize(("quantity", "side", "amount"), [("2", "BUY", "-2470"), ("-2", "SELL", "2470")])
def test_a_cash_settlement_closes_at_the_amount_by_unit(quantity: str, side: str, amount: str) -> None:
    row = {**ASSIGNMENT["activities"][0], "activity_type": "OPCSH", "qty": quantity, "net_amount": amount}
    [fill] = read(row)
    assert (fill.kind, fill.side, fill.price) == (FillKind.SETTLE, side, Decimal("12.35"))
    assert (
        refused({**row, "net_amount": amount.removeprefix("-") if side == "BUY" else "-1"}) == "CONTRADICTION"
    )


def test_an_expiry_is_at_nothing() -> None:
    [fill] = read({**ASSIGNMENT["activities"][0], "activity_type": "OPEXP", "qty": "-3"})
    assert (fill.kind, fill.side, fill.quantity, fill.price) == (FillKind.EXPIRE, "SELL", 3, 0)


def test_a_fee_of_a_day_is_money_of_no_fill() -> None:
    row = {
        "activity_type": "FEE",
        "id": "1::2",
        "date": "2026-11-20",
        "net_amount": "-1.02",
        "description": "TAF fee",
    }
    [fee] = read(row)
    assert (fee.kind, fee.ref, fee.fee, fee.fee_currency) == (FillKind.FEE, None, Decimal("1.02"), "USD")
    assert fee.instrument.kind == "cash"


def test_a_crypto_fee_is_in_units_of_the_coin() -> None:
    row = {
        "activity_type": "CFEE", "id": "1::3", "date": "2026-11-20", "net_amount": "0", "symbol": "ETHUSD",
        "asset_class": "crypto", "qty": "-0.00025", "price": "3000",
    }  # fmt: skip
    [fee] = read(row)
    assert (fee.fee, fee.fee_currency, fee.instrument.symbol) == (Decimal("0.00025"), "ETH", "ETH-USD")
    assert fee.price == 3000
    assert read({**row, "asset_class": None})[0].hash == fee.hash, "as documented: it is a fee of a coin"


@pytest.mark.parametrize("price", [None, "", "0", "-1"])
def test_a_crypto_fee_whose_coins_have_no_price_is_refused(price: str | None) -> None:
    """Domain 3.8: what they were worth is not guessed."""
    row = {
        "activity_type": "CFEE", "id": "1::3", "date": "2026-11-20", "net_amount": "0", "symbol": "ETHUSD",
        "qty": "-0.00025", "price": price,
    }  # fmt: skip
    assert refused(row) == "BAD_MESSAGE"


@pytest.mark.parametrize("more", [{}, {"symbol": "SPY", "qty": "10"}])
def test_a_fee_without_its_amount_is_refused(more: dict[str, str]) -> None:
    """Money that is not told is not nothing; shares are no coins."""
    row = {"activity_type": "FEE", "id": "1::2", "date": "2026-11-20", **more}
    assert refused(row) == "BAD_MESSAGE"
    [fee] = read({**row, "net_amount": "-0.02"})
    assert (fee.fee, fee.fee_currency) == (Decimal("0.02"), "USD")


@pytest.mark.parametrize(
    ("type_", "amount", "kind", "symbol"),
    [
        ("DIV", "1.02", FillKind.DIVIDEND, "T"),
        ("DIVNRA", "-0.15", FillKind.DIVIDEND, "T"),
        ("CSD", "5000", FillKind.FLOW, "USD"),
        ("CSW", "-5000", FillKind.FLOW, "USD"),
    ],
)
def test_dividends_and_deposits_are_money_that_came_or_went(
    type_: str, amount: str, kind: FillKind, symbol: str
) -> None:
    """Issue 4.1; the documented dividend activity has the shares in `qty`, no money in `price`."""
    row = {
        "activity_type": type_, "id": "20190801011955195::5f596936", "date": "2019-08-01",
        "net_amount": amount, "symbol": "T", "qty": "2", "per_share_amount": "0.51",
    }  # fmt: skip
    [paid] = read(row)
    assert (paid.kind, paid.fee, paid.quantity) == (kind, -Decimal(amount), 0)
    assert paid.instrument.symbol == symbol
    assert paid.fill_id == f"{type_}:20190801011955195::5f596936"
    assert paid.executed_at.isoformat() == "2019-08-01T04:00:00+00:00", (
        "told at noon, it is not of the future"
    )


@pytest.mark.parametrize("kind", ["JNLC", "SPLIT", "SPIN", "MA", "NEVER_HEARD_OF"])
def test_any_other_activity_is_refused_and_says_what_to_do(kind: str) -> None:
    assert refused({**ACTIVITY, "activity_type": kind}) == "UNSUPPORTED"
    with pytest.raises(
        Rejected, match=f"{kind} of .* kind SPLIT, DIVIDEND or FLOW, or use `stopline adjust`"
    ):
        read({**ACTIVITY, "activity_type": kind})


SPLIT: dict[str, Any] = {
    "account_id": "a", "event_id": "e-1", "ref_id": "r-1", "activity_type": "SPLIT", "activity_subtype": "RSPLIT",
    "qty": "-33", "price": "7", "currency": "USD", "net_amount": "0", "status": "executed",
    "executed_at": "2026-02-27T05:00:00Z", "settle_date": "2026-02-27",
    "details": {
        "ca_id": "ca-7", "symbol": "XRPT", "old_qty": "33", "new_qty": "1.65", "old_rate": "20", "new_rate": "1",
        "ex_date": "2026-02-27",
    },
}  # fmt: skip


def test_a_split_that_says_its_rates_is_one_event_from_its_ex_date_on() -> None:
    """Issue 4.1 and 4.6; as documented for the activity stream: told by what goes and by what comes."""
    [out] = read(SPLIT)
    assert (out.kind, out.instrument.symbol, out.quantity, out.price) == (FillKind.SPLIT, "XRPT", 1, 20)
    assert out.executed_at.isoformat() == "2026-02-27T05:00:00+00:00", "midnight in New York"
    came = {**SPLIT, "event_id": "e-2", "ref_id": "r-2", "qty": "1.65", "price": "140"}
    [in_] = read(came)
    assert (in_.key, in_.hash) == (out.key, out.hash)
    swing = read(SPLIT, strategy="swing")
    assert swing[0].key != out.key, "of each strategy that holds it"
    bought = fill("B", "BUY", 33, 7, out.executed_at - timedelta(days=1), equity("XRPT"), broker="alpaca")
    book = booked([[bought], [out]])
    [position] = book.positions.values()
    assert (position.quantity, position.cost) == (Decimal("1.65"), 231)


@pytest.mark.parametrize(
    ("old_rate", "new_rate", "held", "holds"),
    [
        ("3", "1", "10", "3.333333333"),
        ("10", "1", "15", "1"),
        ("10", "1", "-15", "-2"),
        ("3", "4", "10", "13"),
    ],
)
def test_a_split_is_its_ratio_where_what_is_held_after_it_is_rounded(
    old_rate: str, new_rate: str, held: str, holds: str
) -> None:
    """Brokers round to their decimals, and pay cash for a fraction or round it up."""
    told = {"old_rate": old_rate, "new_rate": new_rate, "old_qty": held, "new_qty": holds}
    [out] = read({**SPLIT, "details": {**SPLIT["details"], **told}})
    assert (out.quantity, out.price) == (Decimal(new_rate), Decimal(old_rate))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"activity_subtype": "USPLIT"}, "UNSUPPORTED"),
        ({"activity_subtype": None}, "UNSUPPORTED"),
        ({"details": None}, "UNSUPPORTED"),
        ({"status": "canceled"}, "UNKNOWN_STATUS"),
        ({"status": "correct"}, "UNKNOWN_STATUS"),
        ({"details": {**SPLIT["details"], "new_qty": "2.65"}}, "CONTRADICTION"),
        ({"details": {**SPLIT["details"], "new_qty": None}}, "CONTRADICTION"),
        ({"details": {**SPLIT["details"], "old_rate": "0", "old_qty": "0"}}, "BAD_MESSAGE"),
        ({"details": {**SPLIT["details"], "ex_date": ""}}, "BAD_MESSAGE"),
        ({"details": {**SPLIT["details"], "ca_id": ""}}, "BAD_MESSAGE"),
    ],
)
def test_a_split_that_is_not_told_in_full_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert refused({**SPLIT, **changes}) == reason


def test_an_activity_that_is_not_executed_is_refused() -> None:
    row = {**ASSIGNMENT["activities"][0], "status": "pending"}
    assert refused(row) == "UNKNOWN_STATUS"
