"""Position statements in brokers' own words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest

from stopline.brokers import decode, parse, read_statement
from stopline.model.errors import Rejected
from stopline.model.statement import Statement

AS_OF = "2026-11-20T20:00:00Z"
NATIVE = {
    "type": "stopline.statement.v1",
    "statement_id": "S-1",
    "broker": "paper",
    "account": "demo",
    "as_of": AS_OF,
    "positions": [{"symbol": "SPY", "quantity": "90", "average_price": "600.25"}],
    "currency": "USD",
    "equity": "100000",
}
ALPACA: dict[str, Any] = {
    "as_of": AS_OF,
    "account": {
        "account_number": "PA123",
        "currency": "USD",
        "equity": "103820.56",
        "initial_margin": "63480.38",
    },
    "positions": [
        {
            "asset_id": "904837e3-3b76-47ec-b432-046db621571b",
            "symbol": "AAPL",
            "exchange": "NASDAQ",
            "asset_class": "us_equity",
            "avg_entry_price": "100.0",
            "qty": "5",
            "side": "long",
            "market_value": "600.0",
            "cost_basis": "500.0",
        },
        {
            "symbol": "SPY260320P00455000",
            "asset_class": "us_option",
            "avg_entry_price": "3.10",
            "qty": "-2",
            "side": "short",
        },
        {
            "symbol": "BTCUSD",
            "asset_class": "crypto",
            "avg_entry_price": "65000",
            "qty": "0.5",
            "side": "long",
        },
    ],
}
FLEX = b"""<FlexQueryResponse queryName="positions" type="AF"><FlexStatements count="1">
<FlexStatement accountId="U123456" fromDate="2026-11-20" toDate="2026-11-20" whenGenerated="2026-11-21;001500">
<OpenPositions>
<OpenPosition accountId="U123456" currency="USD" assetCategory="STK" symbol="TSLA" position="50" multiplier="1"
  costBasisPrice="155.00" costBasisMoney="7750.00" levelOfDetail="SUMMARY" />
<OpenPosition accountId="U123456" currency="USD" assetCategory="STK" symbol="TSLA" position="50" multiplier="1"
  costBasisPrice="155.00" levelOfDetail="LOT" />
<OpenPosition accountId="U123456" currency="USD" assetCategory="OPT" symbol="SPXW  261120P05900000" multiplier="100"
  underlyingSymbol="SPX" expiry="2026-11-20" strike="5900" putCall="P" position="-3" costBasisPrice="1.25" />
</OpenPositions></FlexStatement></FlexStatements></FlexQueryResponse>"""
TWS = {
    "account": "U123456",
    "as_of": AS_OF,
    "positions": [
        {
            "account": "U123456",
            "contract": {
                "secType": "OPT",
                "symbol": "SPX",
                "tradingClass": "SPXW",
                "currency": "USD",
                "multiplier": "100",
                "strike": 5900.0,
                "right": "P",
                "lastTradeDateOrContractMonth": "20261120",
            },
            "position": -3.0,
            "avgCost": 124.35,
        }
    ],
}


def read(value: dict[str, Any] | bytes, **attributes: str) -> Statement:
    data = value if isinstance(value, bytes) else orjson.dumps(value)
    message = decode(data, attributes)
    assert parse(message, attributes) == []
    found = read_statement(message, attributes)
    assert found is not None
    return found


def held(found: Statement) -> dict[str, tuple[Decimal, Decimal | None]]:
    return {h.symbol: (h.quantity, h.average_price) for h in found.positions}


def test_a_native_statement_is_taken_as_it_is() -> None:
    found = read(NATIVE, account="demo", broker="paper")
    assert held(found) == {"SPY": (Decimal(90), Decimal("600.25"))}
    assert found.tells_all


def test_positions_of_alpaca() -> None:
    """R1.8: quantity by side, OCC symbols and pairs as the fills have them; equity and margin are the broker's."""
    found = read(ALPACA, broker="alpaca", account="demo")
    assert held(found) == {
        "AAPL": (Decimal(5), Decimal(100)),
        "SPY260320P00455000": (Decimal(-2), Decimal("3.1")),
        "BTC-USD": (Decimal("0.5"), Decimal(65000)),
    }
    assert (found.equity, found.margin, found.currency) == (Decimal("103820.56"), Decimal("63480.38"), "USD")


def test_open_positions_of_a_flex_statement_are_of_the_end_of_its_day() -> None:
    """Lots are not counted beside their sum; what is traded after 20:00 in New York counts for the next day."""
    found = read(FLEX, broker="ibkr", account="demo")
    assert held(found) == {
        "TSLA": (Decimal(50), Decimal(155)),
        "SPXW261120P05900000": (Decimal(-3), Decimal("1.25")),
    }
    assert found.as_of.isoformat() == "2026-11-21T01:00:00+00:00"


def test_positions_of_tws_tell_the_cost_of_a_contract() -> None:
    found = read(TWS, broker="ibkr")
    assert found.account == "u123456"
    assert held(found) == {"SPXW261120P05900000": (Decimal(-3), Decimal("1.2435"))}


def test_the_same_answer_has_the_same_id() -> None:
    assert read(ALPACA, broker="alpaca", account="demo") == read(ALPACA, broker="alpaca", account="demo")
    later = {**ALPACA, "as_of": "2026-11-20T20:01:00Z"}
    assert (
        read(later, broker="alpaca", account="demo").statement_id
        != read(ALPACA, broker="alpaca", account="demo").statement_id
    )


def test_a_row_that_cannot_be_read_is_named_and_the_rest_is_used() -> None:
    """Never flat by accident: the statement then does not tell all."""
    odd = {
        **ALPACA,
        "positions": [*ALPACA["positions"], {"symbol": "X1", "asset_class": "us_bond", "side": "long"}],
    }
    found = read(odd, broker="alpaca", account="demo")
    assert len(found.positions) == 3
    assert not found.tells_all
    assert found.unread[0].startswith("X1: ")


def test_a_read_that_failed_says_so() -> None:
    found = read(
        {"as_of": AS_OF, "positions": [], "complete": False, "problem": "HTTP 503"},
        broker="alpaca",
        account="demo",
    )
    assert (found.complete, found.problem) == (False, "HTTP 503")


def test_rows_of_one_contract_are_added_up() -> None:
    """A broker with one row a tax lot, or a long and a short side."""
    row = ALPACA["positions"][0]
    two = {**ALPACA, "positions": [row, {**row, "qty": "15", "avg_entry_price": "120"}]}
    assert held(read(two, broker="alpaca", account="demo")) == {"AAPL": (Decimal(20), Decimal(115))}


BAD: dict[str, tuple[dict[str, Any] | bytes, dict[str, str], str]] = {
    "a contradiction of attribute and body": (NATIVE, {"account": "other"}, "CONTRADICTION"),
    "no time of reading": ({"positions": []}, {"broker": "alpaca", "account": "demo"}, "BAD_MESSAGE"),
    "a symbol twice": ({**NATIVE, "positions": NATIVE["positions"] * 2}, {}, "BAD_MESSAGE"),  # type: ignore[operator]
    "a number": ({**NATIVE, "positions": [{"symbol": "SPY", "quantity": 90}]}, {}, "BAD_MESSAGE"),
    "equity in no currency": ({**NATIVE, "currency": None}, {}, "BAD_MESSAGE"),
    "a truth that is none": ({**NATIVE, "complete": "yes"}, {}, "BAD_MESSAGE"),
    "two accounts": (
        {**TWS, "positions": [*TWS["positions"], {**TWS["positions"][0], "account": "U9"}]},  # type: ignore[misc, dict-item, index]
        {"broker": "ibkr"},
        "CONTRADICTION",
    ),
    "a flex file of two accounts": (
        FLEX.replace(b"<OpenPositions>", b'</FlexStatement><FlexStatement accountId="U9"><OpenPositions>'),
        {"broker": "ibkr"},
        "UNSUPPORTED",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_statement_that_cannot_be_right_is_refused(case: str) -> None:
    """B14, B26, B60."""
    value, attributes, reason = BAD[case]
    data = value if isinstance(value, bytes) else orjson.dumps(value)
    with pytest.raises(Rejected) as refused:
        read_statement(decode(data, attributes), attributes)
    assert refused.value.reason == reason


def test_a_message_about_fills_is_no_statement() -> None:
    flex = FLEX.replace(b"OpenPositions", b"Trades").replace(b"OpenPosition ", b"Nothing ")
    attributes = {"broker": "ibkr", "account": "demo"}
    assert read_statement(decode(flex, attributes), attributes) is None
