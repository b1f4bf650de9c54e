"""The messages that brokers document, with what a broker's adapter sets beside them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from stopline.brokers import parse
from stopline.brokers.dialect import Item
from stopline.model.errors import Rejected
from stopline.model.fill import Fill


class Sample(NamedTuple):
    """A documented message; `path` leads to its status, which is `known` where it is a fill."""

    broker: str
    attributes: dict[str, str]
    text: str
    fills: int
    path: tuple[str | int, ...]

    @property
    def message(self) -> dict[str, Any]:
        value = json.loads(self.text)
        assert isinstance(value, dict)
        return value

    def read(self, message: dict[str, Any] | None = None, **attributes: str) -> list[Item]:
        given = {"broker": self.broker, **self.attributes, **attributes}
        return parse(self.message if message is None else message, given)


def changed(message: dict[str, Any], *path: Any) -> dict[str, Any]:
    """Return a copy with the value at a path replaced: the last of `path` is the new value."""
    copy = json.loads(json.dumps(message))
    *way, last, value = path
    place = copy
    for step in way:
        place = place[step]
    place[last] = value
    assert isinstance(copy, dict)
    return copy


def fills_of(message: dict[str, Any], **attributes: str) -> list[Fill]:
    """Return the fills of a message of which nothing is refused."""
    items = parse(message, attributes)
    for item in items:
        if item.refused:
            raise item.refused
    return [item.fill for item in items if item.fill]


def refusal(message: dict[str, Any], **attributes: str) -> str:
    """Return why a message, or the first refused row of it, is refused."""
    try:
        items = parse(message, attributes)
    except Rejected as refused:
        return refused.reason
    reasons = [item.refused.reason for item in items if item.refused]
    assert reasons, "nothing was refused"
    return reasons[0]


CONTRACT = (
    '{"conId":1,"secType":"OPT","symbol":"SPX","lastTradeDateOrContractMonth":"20261120","strike":6000.0,'
    '"right":"P","multiplier":"100","exchange":"CBOE","currency":"USD","localSymbol":"SPXW  261120P06000000",'
    '"tradingClass":"SPXW"}'
)
SPX_LEG = json.dumps(
    {
        "symbol": "SPXW261120P06000000",
        "kind": "option",
        "currency": "USD",
        "multiplier": "100",
        "underlying": "SPX",
        "expiry": "2026-11-20",
        "strike": "6000",
        "right": "P",
    }
)

SAMPLES = {
    "alpaca trade update": Sample(
        "alpaca",
        {"account": "demo"},
        """{"stream":"trade_updates","data":{"event":"fill",
        "execution_id":"2f63ea93-423d-4169-b3f6-3fdafc10c418","price":"105.8988475","qty":"1790.86",
        "position_qty":"0","timestamp":"2022-04-19T17:45:05.024916716Z","order":{"id":"a5be8f5e-0000",
        "client_order_id":"4642fd68-0000","symbol":"SOLUSD","asset_class":"crypto","side":"sell",
        "order_class":"","qty":"1790.86","filled_qty":"1790.86","filled_avg_price":"105.8988475",
        "status":"filled","legs":null}}}""",
        1,
        ("data", "event"),
    ),
    "alpaca multi-leg": Sample(
        "alpaca",
        {"account": "demo"},
        """{"stream":"trade_updates","data":{"event":"fill","execution_id":"parent","price":"1.25","qty":"2",
        "timestamp":"2026-11-20T15:02:11Z","legs":[
        {"execution_id":"e1","qty":"2","price":"3.10","order_id":"l1","symbol":"SPY261120P00600000",
        "timestamp":"2026-11-20T15:02:11Z"},
        {"execution_id":"e2","qty":"2","price":"1.85","order_id":"l2","symbol":"SPY261120P00590000",
        "timestamp":"2026-11-20T15:02:11Z"}],
        "order":{"id":"p","symbol":"","order_class":"mleg","side":"","qty":"2","filled_qty":"2","legs":[
        {"id":"l1","symbol":"SPY261120P00600000","asset_class":"us_option","side":"sell"},
        {"id":"l2","symbol":"SPY261120P00590000","asset_class":"us_option","side":"buy"}]}}}""",
        2,
        ("data", "event"),
    ),
    "alpaca fill activity": Sample(
        "alpaca",
        {"account": "demo"},
        """{"id":"20210510100104650::88b5f678-fef5-447b-af15-f21e367e6d8c",
        "account_id":"c8f1ef5d-edc0-4f23-9ee4-378f19cb92a4","activity_type":"FILL",
        "transaction_time":"2021-05-10T14:01:04.650275Z","type":"fill","price":"128.33","qty":"0.38962051",
        "side":"buy","symbol":"AAPL","leaves_qty":"0","order_id":"fe060a1b-5b45-4eba-ba46-c3a3345d8255",
        "cum_qty":"0.38962051","order_status":"filled"}""",
        1,
        ("type",),
    ),
    "alpaca assignment": Sample(
        "alpaca",
        {"account": "demo"},
        """{"activities":[{"id":"20190801011955195::5f596936","activity_type":"OPASN","date":"2023-07-01",
        "net_amount":"0","description":"Option Assignment","symbol":"AAPL230721C00150000","qty":"2",
        "status":"executed"},{"activity_type":"OPTRD","id":"20190801011955195::5f596936","date":"2023-07-01",
        "net_amount":"30000","description":"Option Trade","symbol":"AAPL","qty":"-200","price":"150",
        "status":"executed"}]}""",
        2,
        ("activities", 0, "activity_type"),
    ),
    "ibkr execution": Sample(
        "ibkr",
        {},
        """{"contract":"""
        + CONTRACT
        + """,
        "execution":{"execId":"0000e0d5.6580d36a.01.01","time":"2026-11-20T15:02:11Z","acctNumber":"U123456",
        "exchange":"CBOE","side":"SLD","shares":5,"price":1.25,"permId":1234567890,"clientId":1,"orderId":42,
        "liquidation":0,"cumQty":5,"avgPrice":1.25,"orderRef":"","evMultiplier":0,"modelCode":"",
        "lastLiquidity":2,"pendingPriceRevision":false},"commissionReport":{"execId":"0000e0d5.6580d36a.01.01",
        "commission":3.25,"currency":"USD","realizedPNL":1.7976931348623157E308,"yield_":0,
        "yieldRedemptionDate":0}}""",
        1,
        ("execution", "side"),
    ),
    "ibkr flex assignment": Sample(
        "ibkr",
        {"currency": "USD"},
        """{"accountId":"U123456","assetCategory":"OPT","symbol":"VXX   110917C00005000","conid":"83615386",
        "multiplier":"100","strike":"5","expiry":"2011-09-17","putCall":"C","tradeID":"594763148",
        "tradeDate":"2011-08-11","tradeTime":"162000","transactionType":"BookTrade","quantity":"3",
        "tradePrice":"0","ibCommission":"0","ibCommissionCurrency":"USD","openCloseIndicator":"C","notes":"A",
        "transactionID":"2381339439","buySell":"BUY","ibOrderID":"2381339439","ibExecID":"","origTradeID":"",
        "levelOfDetail":"EXECUTION"}""",
        1,
        ("transactionType",),
    ),
    "ibkr flex cash": Sample(
        "ibkr",
        {},
        """{"cash_transactions":[{"accountId":"U123456","currency":"USD","assetCategory":"STK","symbol":"SPY",
        "description":"SPY(US78462F1030) CASH DIVIDEND USD 1.583 PER SHARE (Ordinary Dividend)","conid":"756733",
        "dateTime":"20261031;202000","settleDate":"20261031","reportDate":"20261102","amount":"158.3",
        "type":"Dividends","tradeID":"","code":"","transactionID":"2381339440","levelOfDetail":"DETAIL"}]}""",
        1,
        ("cash_transactions", 0, "type"),
    ),
    "binance futures": Sample(
        "binance",
        {"account": "demo"},
        """{"e":"ORDER_TRADE_UPDATE","E":1699564800010,"T":1699564800000,"o":{"s":"BTCUSDT","c":"x-abc",
        "S":"SELL","o":"MARKET","f":"GTC","q":"0.01","p":"0","ap":"45000.0","sp":"0","x":"TRADE","X":"FILLED",
        "i":123456789,"l":"0.01","z":"0.01","L":"45000.0","n":"0.00045","N":"USDT","T":1699564800000,
        "t":987654321,"m":false,"R":false,"ot":"MARKET","ps":"BOTH","cp":false,"rp":"10.5"}}""",
        1,
        ("o", "x"),
    ),
    "binance spot": Sample(
        "binance",
        {"account": "demo"},
        """{"subscriptionId":0,"event":{"e":"executionReport","E":1499405658658,"s":"ETHBTC",
        "c":"mUvoqJxFIILMdfAW5iGSOW","S":"BUY","o":"LIMIT","f":"GTC","q":"1.00000000","p":"0.10264410",
        "x":"TRADE","X":"PARTIALLY_FILLED","r":"NONE","i":4293153,"l":"0.40000000","z":"0.40000000",
        "L":"0.10264410","n":"0.0004","N":"ETH","T":1499405658657,"t":77,"I":8641984,"m":false,
        "Z":"0.04105764","Y":"0.04105764"}}""",
        1,
        ("event", "x"),
    ),
    "tastytrade order": Sample(
        "tastytrade",
        {},
        """{"type":"Order","timestamp":1772461800000,"data":{"id":1,"account-number":"5WT00000",
        "status":"Filled","order-type":"Limit","price":"2.50","price-effect":"Credit",
        "underlying-symbol":"SPY","legs":[{"instrument-type":"Equity Option",
        "symbol":"SPY   260320P00455000","action":"Sell to Open","quantity":"1","remaining-quantity":"0",
        "fills":[{"fill-id":"14_TW::TW0001","quantity":"1","fill-price":"3.10",
        "filled-at":"2026-03-02T14:30:00.000Z","destination-venue":"CBOE","ext-exec-id":"E1",
        "ext-group-fill-id":"G1"}]}]}}""",
        1,
        ("data", "status"),
    ),
    "tastytrade transaction": Sample(
        "tastytrade",
        {},
        """{"id":2455333333,"account-number":"5WT00000","transaction-type":"Trade",
        "transaction-sub-type":"Sell to Open","action":"Sell to Open","instrument-type":"Equity Option",
        "symbol":"SPY   260320P00455000","underlying-symbol":"SPY","executed-at":"2026-03-02T14:30:00.000Z",
        "quantity":"40.0","price":"0.47","value":"1880.0","value-effect":"Credit","regulatory-fees":"0.042",
        "regulatory-fees-effect":"Debit","clearing-fees":"0.40","clearing-fees-effect":"Debit",
        "commission":"40.0","commission-effect":"Debit","is-estimated-fee":true,"exec-id":"14_TW::TW0001",
        "order-id":1}""",
        1,
        ("transaction-type",),
    ),
    "kite postback": Sample(
        "kite",
        {},
        """{"user_id":"AB1234","order_id":"220303000308932","exchange_order_id":"1000000001482421",
        "checksum":"2011845d","status":"REJECTED","order_timestamp":"2022-03-03 09:24:25",
        "exchange_timestamp":"2022-03-03 09:24:25","exchange":"NSE","tradingsymbol":"SBIN",
        "instrument_token":779521,"transaction_type":"BUY","product":"CNC","quantity":1,"filled_quantity":0,
        "pending_quantity":0,"cancelled_quantity":0,"unfilled_quantity":0,"average_price":0,"tag":null,
        "guid":"XXXXXX"}""",
        0,
        ("status",),
    ),
    "kite trade": Sample(
        "kite",
        {"account": "demo", "multiplier": "1"},
        """{"trade_id":"10000000","order_id":"200000000000000","exchange":"MCX",
        "tradingsymbol":"GOLDPETAL21JUNFUT","average_price":4852,"quantity":1,"transaction_type":"BUY",
        "fill_timestamp":"2021-05-31 16:00:36"}""",
        1,
        ("transaction_type",),
    ),
    "upstox order": Sample(
        "upstox",
        {"account": "demo"},
        """{"update_type":"order","user_id":"******","exchange":"NSE","instrument_token":"NSE_EQ|INE848E01016",
        "instrument_key":"NSE_EQ|INE848E01016","trading_symbol":"NHPC-EQ","product":"D","order_type":"MARKET",
        "average_price":0,"price":0,"quantity":1,"filled_quantity":0,"pending_quantity":1,
        "transaction_type":"BUY","order_ref_id":"GTT-1","order_id":"240221025997024","exchange_order_id":"",
        "status":"put order req received","order_timestamp":"2024-02-21 14:40:02","exchange_timestamp":null,
        "guid":null}""",
        0,
        ("status",),
    ),
    "upstox trades": Sample(
        "upstox",
        {"account": "demo"},
        """{"status":"success","data":[{"exchange":"NSE","product":"D","trading_symbol":"GMRINFRA-EQ",
        "tradingsymbol":"GMRINFRA-EQ","instrument_token":"151064324","order_type":"MARKET",
        "transaction_type":"BUY","quantity":1,"exchange_order_id":"221013001021540",
        "order_id":"221013001021539","exchange_timestamp":"03-Aug-2017 15:03:42","average_price":299.4,
        "trade_id":"50091502","order_ref_id":"udapi-aqwsed14356","order_timestamp":"23-Apr-2021 14:22:06"}]}""",
        1,
        ("data", 0, "transaction_type"),
    ),
    "fix": Sample(
        "fix",
        {"instrument": SPX_LEG},
        """{"35":"8","1":"ACC1","37":"ORD9","11":"CL7","17":"EX123","19":"EX122","150":"F","39":"1","55":"SPX",
        "54":"2","38":"10","32":"4","31":"1.25","14":"4","151":"6","6":"1.25","12":"2.60","13":"3","136":"1",
        "137":"0.40","60":"20261120-15:02:11.123","442":"2","43":"N"}""",
        1,
        ("150",),
    ),
}
