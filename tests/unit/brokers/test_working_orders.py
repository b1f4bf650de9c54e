"""What a broker's answers say of positions and of orders that still work."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from stopline.model.errors import Rejected
from stopline.model.statement import Statement

from .test_statements import ALPACA, AS_OF, NATIVE, TWS, held, read

Order = dict[str, Any]
ALPACA_LIMIT: Order = {
    "id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
    "symbol": "AAPL",
    "asset_class": "us_equity",
    "qty": "10",
    "filled_qty": "4",
    "order_class": "",
    "type": "limit",
    "side": "sell",
    "limit_price": "110.5",
    "status": "partially_filled",
    "legs": None,
}
ALPACA_SPREAD: Order = {
    "id": "a5be8f5e",
    "symbol": "",
    "order_class": "mleg",
    "qty": "3",
    "filled_qty": "1",
    "type": "limit",
    "limit_price": "-1.10",
    "status": "partially_filled",
    "legs": [
        {
            "id": "leg-1",
            "symbol": "SPY260320P00455000",
            "asset_class": "us_option",
            "side": "sell",
            "ratio_qty": "1",
            "filled_qty": "1",
            "status": "partially_filled",
        },
        {
            "id": "leg-2",
            "symbol": "SPY260320P00450000",
            "asset_class": "us_option",
            "side": "buy",
            "qty": "3",
            "filled_qty": "1",
            "status": "partially_filled",
        },
    ],
}
ALPACA_BRACKET: Order = {
    **ALPACA_LIMIT,
    "id": "parent",
    "order_class": "bracket",
    "status": "filled",
    "legs": [
        {**ALPACA_LIMIT, "id": "target", "status": "new", "filled_qty": "0"},
        {
            **ALPACA_LIMIT,
            "id": "stop",
            "status": "held",
            "filled_qty": "0",
            "type": "stop",
            "limit_price": None,
        },
    ],
}
TWS_STOCK = {"secType": "STK", "symbol": "SPY", "currency": "USD"}
TWS_ORDER: Order = {
    "contract": TWS_STOCK,
    "order": {
        "permId": 1234567890,
        "action": "SELL",
        "totalQuantity": 100,
        "orderType": "LMT",
        "lmtPrice": 610.5,
    },
    "orderStatus": {"status": "Submitted", "filled": 40, "remaining": 60},
}
UNSET = 1.7976931348623157e308
TWS_STOP: Order = {
    "contract": TWS_STOCK,
    "order": {
        "permId": 77,
        "action": "SELL",
        "totalQuantity": 60,
        "orderType": "STP",
        "lmtPrice": UNSET,
        "auxPrice": 550,
    },
    "orderStatus": {"status": "PreSubmitted"},
}
TASTYTRADE: dict[str, Any] = {
    "as_of": AS_OF,
    "positions": [
        {
            "account-number": "5WT00000",
            "symbol": "SPY   260320P00455000",
            "instrument-type": "Equity Option",
            "underlying-symbol": "SPY",
            "quantity": 2,
            "quantity-direction": "Short",
            "average-open-price": "3.10",
            "multiplier": 100,
        },
        {
            "account-number": "5WT00000",
            "symbol": "SPY",
            "instrument-type": "Equity",
            "underlying-symbol": "SPY",
            "quantity": "40",
            "quantity-direction": "Long",
            "average-open-price": "600.25",
        },
    ],
    "orders": [
        {
            "id": 12,
            "account-number": "5WT00000",
            "status": "Live",
            "order-type": "Limit",
            "price": "1.20",
            "price-effect": "Debit",
            "underlying-symbol": "SPY",
            "legs": [
                {
                    "instrument-type": "Equity Option",
                    "symbol": "SPY   260320P00455000",
                    "action": "Buy to Close",
                    "quantity": "2",
                    "remaining-quantity": "2",
                    "fills": [],
                },
                {
                    "instrument-type": "Equity Option",
                    "symbol": "SPY   260320P00450000",
                    "action": "Sell to Close",
                    "quantity": "2",
                    "remaining-quantity": "2",
                    "fills": [],
                },
            ],
        },
        {
            "id": 13,
            "status": "Cancelled",
            "legs": [
                {
                    "instrument-type": "Equity",
                    "symbol": "SPY",
                    "action": "Sell to Close",
                    "remaining-quantity": "40",
                }
            ],
        },
    ],
}
BINANCE: dict[str, Any] = {
    "as_of": AS_OF,
    "positions": [
        {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "-0.250", "entryPrice": "60000.5"},
        {"symbol": "ETHUSDT", "positionSide": "BOTH", "positionAmt": "0.000", "entryPrice": "0.0"},
    ],
    "orders": [
        {
            "orderId": 1917641,
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "price": "50000",
            "origQty": "0.250",
            "executedQty": "0.050",
            "status": "PARTIALLY_FILLED",
            "positionSide": "BOTH",
        },
        {
            "orderId": 1917642,
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "STOP_MARKET",
            "price": "0",
            "origQty": "0.200",
            "executedQty": "0",
            "status": "NEW",
            "positionSide": "BOTH",
        },
    ],
}
KITE: dict[str, Any] = {
    "user_id": "AB1234",
    "as_of": AS_OF,
    "positions": [
        {
            "tradingsymbol": "NIFTY26N2424000PE",
            "exchange": "NFO",
            "quantity": -75,
            "average_price": 88.5,
            "multiplier": 1,
        },
        {"tradingsymbol": "SBIN", "exchange": "NSE", "quantity": 0, "average_price": 0, "multiplier": 1},
    ],
    "holdings": [
        {
            "tradingsymbol": "INFY",
            "exchange": "NSE",
            "quantity": 4,
            "t1_quantity": 1,
            "average_price": 1450.5,
        }
    ],
    "orders": [
        {
            "order_id": "220303000308932",
            "exchange": "NFO",
            "tradingsymbol": "NIFTY26N2424000PE",
            "status": "TRIGGER PENDING",
            "transaction_type": "BUY",
            "order_type": "SL",
            "price": 120,
            "trigger_price": 118,
            "quantity": 75,
            "pending_quantity": 75,
        },
        {
            "order_id": "220303000308931",
            "exchange": "NSE",
            "tradingsymbol": "SBIN",
            "status": "COMPLETE",
            "transaction_type": "BUY",
            "order_type": "MARKET",
            "price": 0,
            "pending_quantity": 0,
        },
    ],
}


def works(found: Statement) -> list[tuple[str | None, str, Decimal, Decimal | None]]:
    assert found.working is not None
    return [(o.order_id, o.instrument.symbol, o.signed, o.limit_price) for o in found.working]


D = Decimal


def test_what_works_at_alpaca() -> None:
    """R2.6: what is left of each order; a leg of a spread has no limit of its own, a bracket's exits are orders."""
    found = read(
        {**ALPACA, "orders": [ALPACA_LIMIT, ALPACA_SPREAD, ALPACA_BRACKET]}, broker="alpaca", account="demo"
    )
    assert works(found) == [
        ("61e69015-8549-4bfd-b9c3-01e75843f47d", "AAPL", D(-6), D("110.5")),
        ("leg-1", "SPY260320P00455000", D(-2), None),
        ("leg-2", "SPY260320P00450000", D(2), None),
        ("target", "AAPL", D(-10), D("110.5")),
        ("stop", "AAPL", D(-10), None),
    ]
    assert found.orders_at == found.as_of
    assert found.tells_all


def test_what_works_at_interactive_brokers() -> None:
    """The permanent id is what executions name; the largest double is no price; what is over is left out."""
    over = {**TWS_ORDER, "orderStatus": {"status": "Filled", "remaining": 0}}
    found = read({**TWS, "orders": [TWS_ORDER, TWS_STOP, over]}, broker="ibkr", account="demo")
    assert works(found) == [("1234567890", "SPY", D(-60), D("610.5")), ("77", "SPY", D(-60), None)]


def test_positions_and_orders_of_tastytrade() -> None:
    """R1.8: an order of two legs is in it leg by leg, under the id that the fills of both name."""
    found = read(TASTYTRADE, broker="tastytrade", account="demo")
    assert held(found) == {"SPY260320P00455000": (D(-2), D("3.1")), "SPY": (D(40), D("600.25"))}
    assert works(found) == [
        ("12", "SPY260320P00455000", D(2), None),
        ("12", "SPY260320P00450000", D(-2), None),
    ]


def test_positions_and_orders_of_binance_futures() -> None:
    found = read(BINANCE, broker="binance", account="demo")
    assert held(found) == {"BTCUSDT": (D("-0.25"), D("60000.5"))}
    assert works(found) == [
        ("1917641", "BTCUSDT", D("0.2"), D(50000)),
        ("1917642", "BTCUSDT", D("0.2"), None),
    ]


def test_positions_of_binance_in_their_coin_are_inverse_contracts() -> None:
    row = {"symbol": "BTCUSD_PERP", "positionAmt": "3", "entryPrice": "60000"}
    found = read({"as_of": AS_OF, "positions": [row]}, broker="binance", account="demo", multiplier="100")
    assert [(h.symbol, h.currency, h.multiplier) for h in found.positions] == [("BTCUSD_PERP", "BTC", D(100))]
    assert found.working is None


def test_positions_holdings_and_orders_of_kite() -> None:
    """Shares that were delivered, or will be tomorrow, are held too."""
    found = read(KITE, broker="kite", account="demo")
    assert held(found) == {"NIFTY26N2424000PE": (D(-75), D("88.5")), "INFY": (D(5), D("1450.5"))}
    assert works(found) == [("220303000308932", "NIFTY26N2424000PE", D(75), D(120))]


def of_shares(position: int, **holding: int) -> dict[str, Any]:
    """Return what Kite answers of a share at 400, of which `position` units were traded today at 470."""
    row = {"tradingsymbol": "SBIN", "exchange": "NSE", "product": "CNC"}
    return {
        "user_id": "AB1234",
        "as_of": AS_OF,
        "positions": [{**row, "quantity": position, "average_price": 470}],
        "holdings": [{**row, "average_price": 400, **holding}] if holding else [],
    }


@pytest.mark.parametrize(
    ("answer", "units", "price"),
    [
        (
            of_shares(
                -5, quantity=5, used_quantity=5, t1_quantity=0, realised_quantity=10, opening_quantity=10
            ),
            5,
            None,
        ),
        (of_shares(-10, quantity=0, used_quantity=10, t1_quantity=0), 0, None),
        (of_shares(0, quantity=10, used_quantity=0), 10, "400"),
        (of_shares(10, quantity=10, used_quantity=0), 20, "435"),
        (of_shares(0, quantity=0, used_quantity=0, t1_quantity=3, collateral_quantity=100), 103, "400"),
        (of_shares(10), 10, "470"),
    ],
    ids=["sold in part", "sold whole", "kept", "bought more", "pledged", "bought today"],
)
def test_what_was_sold_today_of_a_holding_of_kite_is_taken_off_once(
    answer: dict[str, Any], units: int, price: str | None
) -> None:
    """Issue 4: Kite takes it off the holding (`used_quantity`) and shows it as a negative position too."""
    [[quantity, average]] = held(read(answer, broker="kite", account="demo")).values()
    assert (quantity, average) == (units, None if price is None else D(price))


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "alpaca": (ALPACA, {**ALPACA_LIMIT, "status": "dancing"}),
    "ibkr": (TWS, {**TWS_ORDER, "contract": {"secType": "BAG", "symbol": "SPX", "currency": "USD"}}),
    "tastytrade": (TASTYTRADE, {**TASTYTRADE["orders"][0], "status": "Dancing"}),
    "binance": (BINANCE, {**BINANCE["orders"][0], "side": "BOTH"}),
    "kite": (KITE, {**KITE["orders"][0], "pending_quantity": None}),
}


@pytest.mark.parametrize("broker", CASES)
def test_with_an_order_that_cannot_be_read_it_is_not_known_what_works(broker: str) -> None:
    """Never guessed, and no shorter list that looks whole; the positions are taken all the same."""
    message, odd = CASES[broker]
    found = read({**message, "orders": [odd]}, broker=broker, account="demo")
    assert found.working is None
    assert len(found.unread) == 1
    assert found.positions


@pytest.mark.parametrize("broker", CASES)
def test_no_orders_at_all_and_orders_that_were_not_asked_for_are_two_things(broker: str) -> None:
    message, _ = CASES[broker]
    assert read({**message, "orders": []}, broker=broker, account="demo").working == ()
    unasked = {name: value for name, value in message.items() if name != "orders"}
    assert read(unasked, broker=broker, account="demo").working is None


def test_a_leg_of_an_order_twice_is_refused() -> None:
    leg = {
        "order_id": "O-1",
        "instrument": {"symbol": "SPY", "kind": "equity", "currency": "USD"},
        "side": "BUY",
        "quantity": "1",
    }
    other = {**leg, "instrument": {**leg["instrument"], "symbol": "QQQ"}}  # type: ignore[dict-item]
    assert len(read({**NATIVE, "working": [leg, other]}, account="demo").working or ()) == 2
    with pytest.raises(Rejected, match="twice"):
        read({**NATIVE, "working": [leg, leg]}, account="demo")


def test_too_many_orders_are_refused() -> None:
    many = [{**ALPACA_LIMIT, "id": str(n)} for n in range(501)]
    with pytest.raises(Rejected, match="TOO_LARGE"):
        read({**ALPACA, "orders": many}, broker="alpaca", account="demo")


COMMAND = "0123456789abcdef0123456-01234567"
OWN: list[tuple[str, dict[str, Any]]] = [
    ("alpaca", {**ALPACA, "orders": [{**ALPACA_SPREAD, "client_order_id": COMMAND}]}),
    ("ibkr", {**TWS, "orders": [{**TWS_ORDER, "order": {**TWS_ORDER["order"], "orderRef": COMMAND}}]}),
    ("tastytrade", {**TASTYTRADE, "orders": [{**TASTYTRADE["orders"][0], "external-identifier": COMMAND}]}),
    ("binance", {**BINANCE, "orders": [{**BINANCE["orders"][0], "clientOrderId": COMMAND}]}),
    ("kite", {**KITE, "orders": [{**KITE["orders"][0], "tag": "0123456789ax01234567"}]}),
]


@pytest.mark.parametrize(("broker", "message"), OWN, ids=[name for name, _ in OWN])
def test_an_order_of_a_command_is_known_by_the_id_that_it_was_sent_under(
    broker: str, message: dict[str, Any]
) -> None:
    """R2.6: where no report has said how the broker calls it; ids that are no command's are not kept."""
    names = {one.client_order_id for one in read(message, broker=broker, account="demo").working or ()}
    assert names == {"0123456789ax01234567" if broker == "kite" else COMMAND}
    fields = ("client_order_id", "external-identifier", "clientOrderId", "tag")
    [order] = message["orders"]
    other = {name: "mine-7" if name in fields else value for name, value in order.items()}
    if broker == "ibkr":
        other["order"] = {**order["order"], "orderRef": "mine-7"}
    found = read({**message, "orders": [other]}, broker=broker, account="demo").working
    assert {one.client_order_id for one in found or ()} == {None}
