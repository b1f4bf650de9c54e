"""Cash transactions of Flex statements: what each type is in the book, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from stopline.brokers import read as read_bytes
from stopline.brokers.dialect import Item
from stopline.brokers.flex_cash import TYPES
from stopline.ledger.check import differences
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind

from ..ledger.test_amend import LATER, SESSION_OF, booked
from ..make import equity, fill
from .samples import changed, fills_of, refusal
from .test_ibkr import ORIGINAL, statement

SPY = {
    "accountId": "U123456", "currency": "USD", "assetCategory": "STK", "symbol": "SPY", "conid": "756733",
    "description": "SPY(US78462F1030) CASH DIVIDEND USD 1.583 PER SHARE (Ordinary Dividend)",
    "dateTime": "20261031;202000", "settleDate": "20261031", "reportDate": "20261102", "amount": "158.3",
    "type": "Dividends", "tradeID": "", "code": "", "transactionID": "2381339440", "levelOfDetail": "DETAIL",
}  # fmt: skip
ACCOUNT = {**SPY, "assetCategory": "", "symbol": "", "conid": ""}

# type, amount, of a holding: kind, symbol; income, fees and flow of the day
TABLE: dict[tuple[str, str, bool], tuple[FillKind, str, str, str, str]] = {
    ("Dividends", "158.3", True): (FillKind.DIVIDEND, "SPY", "158.3", "0", "0"),
    ("Dividends", "-158.3", True): (FillKind.DIVIDEND, "SPY", "-158.3", "0", "0"),  # reversed, or held short
    ("Payment In Lieu Of Dividends", "-15", True): (FillKind.DIVIDEND, "SPY", "-15", "0", "0"),
    ("Withholding Tax", "-23.75", True): (FillKind.DIVIDEND, "SPY", "-23.75", "0", "0"),
    ("Withholding Tax", "-2.1", False): (FillKind.DIVIDEND, "USD", "-2.1", "0", "0"),  # of interest
    ("871(m) Withholding", "-3", True): (FillKind.DIVIDEND, "SPY", "-3", "0", "0"),
    ("Broker Interest Paid", "-0.58", False): (FillKind.FUNDING, "USD", "-0.58", "0", "0"),
    ("Broker Interest Received", "11.41", False): (FillKind.FUNDING, "USD", "11.41", "0", "0"),
    ("Bond Interest Paid", "-4", False): (FillKind.FUNDING, "USD", "-4", "0", "0"),
    ("Bond Interest Received", "41.25", False): (FillKind.FUNDING, "USD", "41.25", "0", "0"),
    ("Other Fees", "-1.5", False): (FillKind.FEE, "USD", "0", "1.5", "0"),
    ("Other Fees", "-0.02", True): (FillKind.FEE, "SPY", "0", "0.02", "0"),  # of an ADR
    ("Broker Fees", "-10", False): (FillKind.FEE, "USD", "0", "10", "0"),
    ("Advisor Fees", "-100", False): (FillKind.FEE, "USD", "0", "100", "0"),
    ("Commission Adjustments", "0.33225725", True): (FillKind.FEE, "SPY", "0", "-0.33225725", "0"),
    ("Deposits/Withdrawals", "1500", False): (FillKind.FLOW, "USD", "0", "0", "1500"),
    ("Deposits & Withdrawals", "-700", False): (FillKind.FLOW, "USD", "0", "0", "-700"),
}


def section(*rows: dict[str, str]) -> str:
    escaped = [{k: v.replace("&", "&amp;") for k, v in row.items()} for row in rows]
    told = (" ".join(f'{k}="{v}"' for k, v in row.items()) for row in escaped)
    return f"<CashTransactions>{''.join(f'<CashTransaction {one} />' for one in told)}</CashTransactions>"


def read(*rows: dict[str, str]) -> list[Fill]:
    items = read_items(*rows)
    assert not [item.refused for item in items if item.refused]
    return [item.fill for item in items if item.fill]


def read_items(*rows: dict[str, str]) -> list[Item]:
    return read_bytes(statement(extra=section(*rows)), {"broker": "ibkr", "account": "demo"})


def refused(row: dict[str, str]) -> str:
    return refusal({"cash_transactions": [row]}, broker="ibkr", account="demo")


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_each_type_is_the_event_that_it_says(case: tuple[str, str, bool]) -> None:
    """R1, issue 4.1 and 4.6."""
    type_, amount, of_holding = case
    kind, symbol, income, fees, flow = TABLE[case]
    [fill] = read({**(SPY if of_holding else ACCOUNT), "type": type_, "amount": amount})
    assert (fill.kind, fill.instrument.symbol, fill.fee) == (kind, symbol, -Decimal(amount))
    assert (fill.fill_id, fill.fee_currency) == ("cash:2381339440", "USD")
    total = booked([[fill]]).total("USD")
    assert (total.income, total.fees, total.flow) == tuple(map(Decimal, (income, fees, flow)))
    assert total.realised == 0


def test_every_type_that_is_read_has_its_row() -> None:
    assert {type_ for type_, _, _ in TABLE} == TYPES.keys()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "Price Adjustments"}, "UNKNOWN_STATUS"),
        ({"type": ""}, "BAD_MESSAGE"),
        ({"type": "dividends"}, "UNKNOWN_STATUS"),
        ({"amount": ""}, "BAD_MESSAGE"),
        ({"amount": "1,5"}, "BAD_MESSAGE"),
        ({"currency": ""}, "BAD_MESSAGE"),
        ({"currency": "BASE_SUMMARY"}, "BAD_MESSAGE"),
        ({"transactionID": ""}, "BAD_MESSAGE"),
        ({"dateTime": "", "reportDate": "", "settleDate": ""}, "BAD_MESSAGE"),
        ({"dateTime": "soon"}, "BAD_MESSAGE"),
        ({"levelOfDetail": "SOME"}, "UNKNOWN_STATUS"),
        ({"levelOfDetail": "SUMMARY"}, "UNSUPPORTED"),
        ({"assetCategory": "BOND", "type": "Bond Interest Received"}, "UNSUPPORTED"),
    ],
    ids=str,
)
def test_what_is_not_known_is_refused_alone(changes: dict[str, str], reason: str) -> None:
    assert refused({**SPY, **changes}) == reason
    good = {**ACCOUNT, "transactionID": "9"}
    assert [item.fill is not None for item in read_items({**SPY, **changes}, good)] in (
        [False, True],
        [True],  # a sum beside its rows is nothing of its own
    )


@pytest.mark.parametrize(
    ("told", "moment"),
    [
        ({}, "2026-11-01T00:20:00+00:00"),
        ({"dateTime": "2026-10-31, 20:20:00"}, "2026-11-01T00:20:00+00:00"),
        ({"dateTime": "20261031"}, "2026-10-31T20:00:00+00:00"),
        ({"dateTime": ""}, "2026-11-02T21:00:00+00:00"),
        ({"dateTime": "", "reportDate": ""}, "2026-10-31T20:00:00+00:00"),
    ],
)
def test_times_are_of_new_york_and_a_date_alone_is_its_close(told: dict[str, str], moment: str) -> None:
    [fill] = read({**SPY, **told})
    assert fill.executed_at.isoformat() == moment


def test_trades_and_cash_of_a_statement_are_booked_and_a_second_statement_adds_nothing() -> None:
    data = statement(ORIGINAL, extra=section(SPY, {**ACCOUNT, "type": "Other Fees", "transactionID": "2"}))
    items = read_bytes(data, {"broker": "ibkr", "account": "demo"})
    assert [item.fill.kind.value for item in items if item.fill] == ["TRADE", "DIVIDEND", "FEE"]
    again = read_bytes(data, {"broker": "ibkr", "account": "demo"})
    assert [f.fill and (f.fill.key, f.fill.hash) for f in items] == [
        f.fill and (f.fill.key, f.fill.hash) for f in again
    ]


def test_a_dividend_its_tax_and_its_reversal_in_any_order() -> None:
    rows = [
        SPY,
        {**SPY, "type": "Withholding Tax", "amount": "-23.75", "transactionID": "2"},
        {**SPY, "amount": "-158.3", "transactionID": "3"},
        {**SPY, "amount": "160", "transactionID": "4"},
    ]
    fills = read(*rows)
    for some in permutations(fills):
        book = booked([[one] for one in some])
        assert book.total("USD").income == Decimal("136.25")
        assert book.positions["default:SPY"].is_flat


def test_one_section_as_json() -> None:
    message: dict[str, Any] = {"cash_transactions": [SPY]}
    [fill] = fills_of(message, broker="ibkr")
    assert fill.account == "u123456"
    assert fills_of(changed(message, "cash_transactions", []), broker="ibkr") == []


def test_a_transfer_of_a_statement_is_refused_and_says_what_to_do() -> None:
    """A position that came from elsewhere is never overlooked."""
    transfer = '<Transfers><Transfer type="ACATS" direction="IN" symbol="NVDA" quantity="90" /></Transfers>'
    [item] = read_bytes(statement(extra=transfer), {"broker": "ibkr", "account": "demo"})
    assert item.refused is not None
    assert "transfer ACATS of NVDA" in item.refused.detail


def test_a_dividend_in_another_currency_than_the_holding_s_is_income_in_its_own() -> None:
    """R1.5, issue 4.1: the row names the currency that was paid, and the holding was bought in dollars."""
    paid = {**SPY, "currency": "EUR", "amount": "100"}
    tax = {**paid, "type": "Withholding Tax", "amount": "-15", "transactionID": "2"}
    moment = read(SPY)[0].executed_at
    bought = fill("B", "BUY", 10, 600, moment - timedelta(days=3), broker="ibkr")
    sold = fill("S", "SELL", 4, 610, moment + timedelta(days=1), broker="ibkr")
    events = [bought, *read(paid, tax), sold]
    ends = [booked([[event] for event in some]) for some in permutations(events)]
    for end in ends:
        assert end.total("EUR").income == 85
        assert (end.total("EUR").fees, end.total("EUR").realised) == (0, 0)
        assert (end.total("USD").realised, end.total("USD").income, end.total("USD").fees) == (40, 0, 0)
        position = end.positions["default:SPY"]
        assert (position.instrument.currency, position.quantity, position.other_fees) == (
            "USD",
            6,
            {"EUR": -85},
        )
        assert (position.income, position.fees) == (0, 0)
        assert differences(end, events, SESSION_OF, LATER) == []
        [trade] = end.trades()
        assert trade.legs[0].other_fees == ends[0].trades()[0].legs[0].other_fees


def test_a_dividend_alone_is_in_its_currency_and_another_contract_stays_refused() -> None:
    [paid] = read({**SPY, "currency": "EUR", "amount": "100"})
    end = booked([[paid]])
    assert end.total("EUR").income == 100
    assert end.positions["default:SPY"].income == 100
    in_dollars = fill("B", "BUY", 10, 600, paid.executed_at, broker="ibkr")
    in_pounds = fill("C", "BUY", 10, 600, paid.executed_at, equity("SPY", "GBP"), broker="ibkr")
    with pytest.raises(Rejected, match="CONTRACT_CHANGED"):
        booked([[paid], [in_dollars], [in_pounds]])


def test_fees_and_dividends_of_several_currencies_before_the_first_trade_stay_apart() -> None:
    rows = [
        {**SPY, "currency": "EUR", "amount": "100"},
        {**SPY, "currency": "GBP", "amount": "7", "transactionID": "2"},
        {**SPY, "type": "Other Fees", "amount": "-3", "transactionID": "3"},
        {**SPY, "amount": "11", "transactionID": "4"},
    ]
    paid = read(*rows)
    events = [*paid, fill("B", "BUY", 10, 600, paid[0].executed_at + timedelta(days=1), broker="ibkr")]
    for some in permutations(events):
        end = booked([[event] for event in some])
        assert (end.total("EUR").income, end.total("GBP").income) == (100, 7)
        assert (end.total("USD").income, end.total("USD").fees) == (11, 3)
        position = end.positions["default:SPY"]
        assert (position.fees, position.income, position.other_fees) == (3, 11, {"EUR": -100, "GBP": -7})
        assert differences(end, events, SESSION_OF, LATER) == []
