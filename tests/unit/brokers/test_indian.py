"""Kite and Upstox: trades of an order, cumulative messages that are triggers, checksums, contract names."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from stopline.brokers import parse
from stopline.brokers.kite import checksum
from stopline.model.errors import Rejected
from stopline.model.fill import Fill

from ..ledger.test_amend import booked
from .samples import SAMPLES, changed, fills_of, refusal

POSTBACK = {**SAMPLES["kite postback"].message, "status": "COMPLETE", "filled_quantity": 3, "quantity": 3}
KITE = {
    **SAMPLES["kite trade"].message,
    "exchange": "NSE",
    "tradingsymbol": "SBIN",
    "average_price": 470.05,
    "order_id": POSTBACK["order_id"],
}
UPSTOX = SAMPLES["upstox trades"].message
UPDATE = SAMPLES["upstox order"].message


def read(message: dict[str, Any], broker: str = "kite", **more: str) -> list[Fill]:
    return fills_of(message, broker=broker, **{"account": "demo", **more})


def refused(message: dict[str, Any], broker: str = "kite", **more: str) -> str:
    return refusal(message, broker=broker, **{"account": "demo", **more})


def test_a_trade_is_known_by_exchange_day_and_number_in_kolkata_time() -> None:
    [fill] = read(KITE)
    assert fill.fill_id == "NSE:20210531:10000000"
    assert fill.executed_at.isoformat() == "2021-05-31T10:30:36+00:00"
    assert (fill.price, fill.instrument.currency) == (Decimal("470.05"), "INR")


@pytest.mark.parametrize("wrap", ["trades", "data"])
def test_the_answer_of_the_api_is_taken_as_it_is(wrap: str) -> None:
    trades = [KITE, {**KITE, "trade_id": "10000001"}]
    assert len(read({"status": "success", wrap: trades})) == 2
    assert refused({"status": "error", wrap: trades, "message": "x"}) in ("UNKNOWN_MESSAGE", "UNKNOWN_STATUS")


@pytest.mark.parametrize("status", ["COMPLETE", "UPDATE", "CANCELLED", "OPEN"])
def test_a_cumulative_postback_is_refused_and_says_what_to_send(status: str) -> None:
    with pytest.raises(Rejected, match="send the order's trades") as problem:
        parse({**POSTBACK, "status": status}, {"broker": "kite"})
    assert problem.value.reason == "CUMULATIVE"


def test_a_postback_with_its_trades_is_booked() -> None:
    trades = [KITE, {**KITE, "trade_id": "10000001", "quantity": 2}]
    fills = read({**POSTBACK, "trades": trades})
    assert [f.quantity for f in fills] == [1, 2]


def test_a_postback_with_too_few_trades_books_them_and_tells_a_person() -> None:
    items = parse({**POSTBACK, "trades": [KITE]}, {"broker": "kite", "account": "demo"})
    assert [item.refused and item.refused.reason for item in items] == [None, "CUMULATIVE"]
    assert "trades" not in items[1].raw


def test_a_trade_of_another_order_is_refused_and_the_order_s_own_are_booked() -> None:
    """Issue 4.6: nothing is guessed; the order is then short of a trade."""
    other = {**KITE, "trade_id": "10000001", "quantity": 2, "order_id": "999"}
    items = parse({**POSTBACK, "trades": [KITE, other]}, {"broker": "kite", "account": "demo"})
    assert [item.refused and item.refused.reason for item in items] == [None, "CONTRADICTION", "CUMULATIVE"]
    assert items[1].raw == other
    foreign = {**UPSTOX["data"][0], "order_id": "999"}
    message = {**UPDATE, "status": "complete", "filled_quantity": 1, "trades": [foreign]}
    assert refused(message, "upstox") == "CONTRADICTION"


def test_case_8_without_the_trades_what_is_not_published_yet_is_provisional() -> None:
    """Domain 3.5 and 4b.8: cum 40 @ 10.00, then cum 100 @ 10.30 is 60 @ 10.50; a late cum 40 adds nothing."""
    part = {**POSTBACK, "status": "UPDATE", "filled_quantity": 40, "average_price": 10.0, "applied": []}
    whole = {**part, "status": "COMPLETE", "filled_quantity": 100, "average_price": 10.3}
    first = {"quantity": "40", "price": "10"}
    [one], [two] = read(part), read({**whole, "applied": [first]})
    assert (one.quantity, one.price, one.provisional) == (40, 10, True)
    assert (two.quantity, two.price, two.provisional) == (60, Decimal("10.5"), True)
    assert [one.fill_id, two.fill_id] == [f"{POSTBACK['order_id']}#40", f"{POSTBACK['order_id']}#100"]
    published = [first, {"quantity": "60", "price": "10.5"}]
    assert read({**part, "applied": published}) == []
    assert refused({**part, "average_price": 0}) == "CUMULATIVE"
    assert refused({**part, "applied": [{"quantity": "0", "price": "1"}]}) == "BAD_MESSAGE"


def test_case_8_trades_take_the_place_of_what_was_provisional() -> None:
    """Domain 3.5: in any order of arrival the book has the trades alone."""
    part = {**POSTBACK, "status": "UPDATE", "filled_quantity": 40, "average_price": 10.0, "applied": []}
    trades = [{**KITE, "quantity": 100, "average_price": 10.31}]
    applied = [{"quantity": "40", "price": "10"}]
    whole = {**part, "status": "COMPLETE", "filled_quantity": 100, "applied": applied, "trades": trades}
    provisional, final = read(part), read(whole)
    assert [f.kind.value for f in final] == ["TRADE", "BUST"]
    for some in permutations([*provisional, *final]):
        book = booked([[one] for one in some])
        [position] = book.positions.values()
        assert (position.quantity, position.cost, dict(book.held)) == (100, Decimal("1031"), {})


def test_trades_that_are_not_all_there_count_for_nothing_beside_what_was_published() -> None:
    """Domain 3.5: 100 are filled, and 100 are booked; with nothing published they are booked as provisional."""
    part = {**POSTBACK, "filled_quantity": 100, "average_price": 10.0, "trades": [{**KITE, "quantity": 40}]}
    assert read({**part, "applied": [{"quantity": "100", "price": "10"}]}) == []
    [one] = read({**part, "applied": []})
    assert (one.quantity, one.provisional) == (100, True)


def test_a_postback_is_checked_where_the_secret_is_given() -> None:
    message = {**POSTBACK, "status": "REJECTED", "filled_quantity": 0}
    good = checksum(message["order_id"], message["order_timestamp"], "s3cret")
    assert len(good) == 64
    assert parse({**message, "checksum": good}, {"broker": "kite"}, {"kite": "s3cret"}) == []
    assert parse(message, {"broker": "kite"}, {"other": "s3cret"}) == []
    for bad in ("2011845d", good[:-1] + "0" if good[-1] != "0" else good[:-1] + "1", "é"):
        with pytest.raises(Rejected) as problem:
            parse({**message, "checksum": bad}, {"broker": "kite"}, {"kite": "s3cret"})
        assert problem.value.reason == "BAD_CHECKSUM"
        assert "s3cret" not in str(problem.value)


@pytest.mark.parametrize(
    ("exchange", "symbol", "attributes", "kind", "underlying", "expiry", "multiplier"),
    [
        ("NSE", "M&M", {}, "equity", "M&M", None, 1),
        ("NFO", "NIFTY2430722500CE", {}, "option", "NIFTY", "2024-03-07", 1),
        ("NFO", "NIFTY24O0322500PE", {}, "option", "NIFTY", "2024-10-03", 1),
        ("NFO", "NIFTY24MAR22500CE", {"expiry": "2024-03-28"}, "option", "NIFTY", "2024-03-28", 1),
        ("NFO", "NIFTYNXT5024APR60000CE", {"expiry": "2024-04-26"}, "option", "NIFTYNXT50", "2024-04-26", 1),
        ("NFO", "BANKNIFTY24MARFUT", {}, "future", "BANKNIFTY", None, 1),
        ("BFO", "SENSEX2430874000CE", {}, "option", "SENSEX", "2024-03-08", 1),
        ("MCX", "GOLDPETAL21JUNFUT", {"multiplier": "1"}, "future", "GOLDPETAL", None, 1),
        ("CDS", "USDINR24APRFUT", {"multiplier": "1000"}, "future", "USDINR", None, 1000),
    ],
)
def test_the_name_of_a_contract_says_its_terms(
    exchange: str, symbol: str, attributes: dict[str, str], kind: str, underlying: str, expiry: str | None, multiplier: int
) -> None:  # fmt: skip
    [fill] = read({**KITE, "exchange": exchange, "tradingsymbol": symbol}, **attributes)
    contract = fill.instrument
    assert (contract.symbol, contract.kind, contract.underlying) == (symbol, kind, underlying)
    assert (contract.expiry and contract.expiry.isoformat(), contract.multiplier) == (expiry, multiplier)


@pytest.mark.parametrize(
    ("exchange", "symbol", "attributes", "reason"),
    [
        ("NFO", "NIFTY24MAR22500CE", {}, "MISSING_ATTRIBUTE"),  # a month has no day of expiry
        ("NFO", "NIFTY24MAR22500CE", {"expiry": "2024-04-25"}, "CONTRADICTION"),
        ("NFO", "NIFTY2433922500CE", {}, "BAD_MESSAGE"),
        ("NFO", "3MINDIA24MARFUT", {}, "MISSING_ATTRIBUTE"),  # a root with digits reads in two ways
        ("MCX", "GOLDPETAL21JUNFUT", {}, "MISSING_ATTRIBUTE"),
        ("LSE", "VOD", {}, "UNSUPPORTED"),
    ],
)
def test_a_contract_whose_terms_are_not_all_there_is_refused(
    exchange: str, symbol: str, attributes: dict[str, str], reason: str
) -> None:
    assert refused({**KITE, "exchange": exchange, "tradingsymbol": symbol}, **attributes) == reason


def test_what_cannot_be_read_can_be_told() -> None:
    told = json.dumps(
        {"symbol": "3MINDIA24MARFUT", "kind": "future", "currency": "INR", "underlying": "3MINDIA"}
    )
    [fill] = read({**KITE, "exchange": "NFO", "tradingsymbol": "3MINDIA24MARFUT"}, instrument=told)
    assert fill.instrument.underlying == "3MINDIA"


def test_upstox_trades_have_another_form_of_time_and_name() -> None:
    [fill] = read(UPSTOX, "upstox")
    assert (fill.instrument.symbol, fill.price) == ("GMRINFRA", Decimal("299.4"))
    assert fill.fill_id == "NSE:20170803:50091502"
    assert fill.executed_at.isoformat() == "2017-08-03T09:33:42+00:00"


@pytest.mark.parametrize(
    ("symbol", "expected", "expiry"),
    [
        ("NIFTY 22500 CE 25 APR 24", "NIFTY22500CE25APR24", "2024-04-25"),
        ("NIFTY FUT 25 APR 24", "NIFTYFUT25APR24", "2024-04-25"),
        ("NIFTY2442522500CE", "NIFTY2442522500CE", "2024-04-25"),
    ],
)
def test_upstox_contracts_name_their_day(symbol: str, expected: str, expiry: str) -> None:
    trade = {**UPSTOX["data"][0], "trading_symbol": symbol, "instrument_token": "NSE_FO|1234"}
    [fill] = read(trade, "upstox")
    assert (fill.instrument.symbol, str(fill.instrument.expiry)) == (expected, expiry)


@pytest.mark.parametrize("average", [0, None, 82.5])
def test_a_cumulative_upstox_update_is_refused_whatever_its_average(average: float | None) -> None:
    message = {**UPDATE, "status": "complete", "filled_quantity": 1, "average_price": average}
    assert refused(message, "upstox") == "CUMULATIVE"
    trade = {**UPSTOX["data"][0], "order_id": UPDATE["order_id"]}
    assert len(read({**message, "trades": [trade]}, "upstox")) == 1


def test_a_gtt_order_is_no_fill() -> None:
    assert read({**UPDATE, "update_type": "gtt_order", "status": "anything"}, "upstox") == []
    assert refused(changed(UPDATE, "update_type", "position"), "upstox") == "UNKNOWN_STATUS"
