"""Binance: spot `executionReport`, futures `ORDER_TRADE_UPDATE` (USD-M, COIN-M), funding of `ACCOUNT_UPDATE`, open
positions and orders of futures.

No message names the account. Trade ids count by symbol, apart on spot, USD-M and COIN-M. A liquidation is execution
type CALCULATED or an order named `autoclose-...`; auto-deleveraging is `adl_autoclose`, a delivery
`settlement_autoclose-...`. In hedge mode the long and the short bucket of a contract are positions of two strategies:
`default-long`, `default-short`.
"""

from collections.abc import Iterator
from typing import Any

from stopline.brokers import contracts
from stopline.brokers.cumulative import filled
from stopline.brokers.dialect import Context, Dialect, Item, each, of_any
from stopline.brokers.holdings import Line, Open, statement_of
from stopline.brokers.moments import epoch_ms, rfc3339
from stopline.brokers.row import Row, id_of, number_text
from stopline.ledger.leg_name import client_id, if_marked
from stopline.model.errors import Rejected
from stopline.model.fill import ORDER_FILLED, Fill, FillKind
from stopline.model.statement import Statement

QUOTES = [
    "USDT",
    "USDC",
    "FDUSD",
    "TUSD",
    "BUSD",
    "USDP",
    "DAI",
    "USD1",
    "BTC",
    "ETH",
    "BNB",
    "SOL",
    "XRP",
    "TRX",
    "DOGE",
    "DOT",
    "EUR",
    "GBP",
    "AUD",
    "BRL",
    "TRY",
    "JPY",
    "MXN",
    "PLN",
    "RON",
    "ZAR",
    "ARS",
    "COP",
    "CZK",
    "UAH",
    "RUB",
    "NGN",
    "IDR",
    "IDRT",
    "BIDR",
    "BKRW",
    "VAI",
    "AEUR",
    "EURI",
    "PAX",
    "USDS",
    "UST",
]
SIDES = {"BUY": "BUY", "SELL": "SELL"}
SPOT = dict.fromkeys(["NEW", "CANCELED", "REPLACED", "REJECTED", "EXPIRED", "TRADE_PREVENTION"], False) | {
    "TRADE": True
}
FUTURES: dict[str, FillKind | None] = {
    **dict.fromkeys(("NEW", "CANCELED", "EXPIRED", "AMENDMENT")),
    "TRADE": FillKind.TRADE,
    "CALCULATED": FillKind.LIQUIDATION,
}
WORKS = {  # whether an order of this status may still be executed
    **dict.fromkeys(("NEW", "PARTIALLY_FILLED", "PENDING_NEW", "PENDING_CANCEL"), True),
    **dict.fromkeys(
        ("NEW_ADL", "NEW_INSURANCE"), True
    ),  # of forced orders: the counterparty's, the insurance fund's
    **dict.fromkeys(("FILLED", "CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH"), False),
}
LIMITED = ("LIMIT", "STOP", "TAKE_PROFIT")
FORCED = {
    "autoclose-": (FillKind.LIQUIDATION, "liquidation"),
    "adl_autoclose": (FillKind.LIQUIDATION, "adl"),
    "settlement_autoclose-": (FillKind.SETTLE, "delivery"),
}
POSITION_SIDES = dict.fromkeys(("BOTH", "LONG", "SHORT"), True)
NO_FILLS = {
    "TRADE_LITE",
    "outboundAccountPosition",
    "listStatus",
    "listenKeyExpired",
    "eventStreamTerminated",
    "MARGIN_CALL",
    "ACCOUNT_CONFIG_UPDATE",
    "STRATEGY_UPDATE",
    "GRID_UPDATE",
    "CONDITIONAL_ORDER_TRIGGER_REJECT",
    "ALGO_UPDATE",
}
# Why a futures balance changed: an order's own change comes with its ORDER_TRADE_UPDATE.
BALANCES = {"FUNDING_FEE": True, "ORDER": False, "MARGIN_TYPE_CHANGE": False}


def parse(value: dict[str, Any], context: Context) -> list[Item]:
    """Read one event of a user data stream, bare or wrapped in `event` or `data`."""
    message = Row(value, "message")
    for wrap in ("event", "data"):
        if isinstance(message.value.get(wrap), dict):
            message = message.row(wrap)
    if "positions" in message:
        return []
    if "e" not in message:
        raise of_any(("an event of a user data stream (`e`)", "`positions`"))
    event = message.text("e")
    if event in NO_FILLS:
        return []
    if event == "executionReport":
        return each([message], lambda row: _spot(row, context))
    if event == "ORDER_TRADE_UPDATE":
        return each([message], lambda row: _futures(row, context))
    if event == "ACCOUNT_UPDATE":
        return _balances(message, context)
    raise Rejected("UNSUPPORTED", f"event {event[:40]!a} is not booked: nothing is guessed")


def _spot(row: Row, context: Context) -> Fill | None:
    is_fill = row.one_of("x", SPOT)
    row.one_of("X", WORKS)
    if not is_fill:
        return None
    base, quote = contracts.pair(row.text("s"), context, QUOTES)
    if row.decimal("t") < 0:
        raise row.bad("t", "is no trade id, but the event is a trade")
    return context.fill(
        None,
        fill_id=id_of(row.text("s"), row.text("t")),
        instrument=context.instrument(row.text("s"), lambda: contracts.crypto(base, quote)),
        order_id=id_of(row.text("i")),
        group_id=if_marked(row.text_or("c")),
        client_order_id=client_id(row.text_or("c")),
        executed_at=epoch_ms(row, "T"),
        **_execution(row),
    )


def _futures(message: Row, context: Context) -> Fill | None:
    row = message.row("o")
    kind = row.one_of("x", FUTURES)
    row.one_of("X", WORKS)
    if kind is None:
        return None
    symbol = row.text("s")
    market = _market(message, row)
    cause = None
    for prefix, (forced, name) in FORCED.items():
        if (row.text_or("c") or "").startswith(prefix):
            kind, cause = forced, name
    bucket = _bucket(row)
    trade = row.decimal("t")
    if trade > 0:
        id_ = id_of(market, symbol, row.text("t"))
    elif kind is FillKind.TRADE:
        raise row.bad("t", "is no trade id, but the event is a trade")
    else:  # a liquidation without a trade id is known by its order and how much of it is filled
        id_ = id_of(market, symbol, row.text("i"), number_text(row.decimal("z")))
    return context.fill(
        None,
        fill_id=id_,
        instrument=context.instrument(symbol, lambda: _perpetual(symbol, market, context)),
        order_id=id_of(row.text("i")),
        group_id=if_marked(row.text_or("c")),
        client_order_id=client_id(row.text_or("c")),
        executed_at=epoch_ms(row, "T"),
        kind=kind,
        cause=cause,
        position_side=bucket,
        strategy=_strategy(bucket, context),
        **_execution(row),
    )


def _bucket(row: Row) -> str | None:
    """Return which of the two positions of hedge mode a row is of, None where there is one."""
    bucket = row.text_or("ps", "BOTH")
    if bucket not in POSITION_SIDES:
        raise Rejected("UNKNOWN_SIDE", f"position side {str(bucket)[:20]!a} is not known")
    return None if bucket == "BOTH" else bucket


def _strategy(bucket: str | None, context: Context) -> str | None:
    return None if bucket is None else f"{context.strategy}-{bucket.lower()}"


def _execution(row: Row) -> dict[str, Any]:
    """Return what spot and futures have in common: the last fill, never the cumulative one."""
    fee = row.decimal_or("n")
    return {
        "side": row.one_of("S", SIDES, "UNKNOWN_SIDE"),
        "quantity": number_text(row.decimal("l")),
        "price": number_text(row.decimal("L")),
        "fee": number_text(fee),
        "fee_currency": row.text("N") if fee else None,
        ORDER_FILLED: filled(row, "z"),
    }


def _market(message: Row, order: Row | None = None) -> str:
    """Return `um` for contracts in dollars and `cm` for those in their coin; the stream says which it is."""
    margin_in_coin = order is not None and "ma" in order
    return (
        message.one_of("fs", {"UM": "um", "CM": "cm"})
        if "fs" in message
        else "cm"
        if margin_in_coin
        else "um"
    )


def _perpetual(symbol: str, market: str, context: Context) -> dict[str, Any]:
    """Return a perpetual or delivery contract. One of COIN-M is inverse, and its size is told by nobody."""
    name, _, delivery = symbol.partition("_")
    base, quote = contracts.pair(name, context, ("USD",) if market == "cm" else QUOTES)
    expiry = contracts.a_date(f"20{delivery}").isoformat() if delivery and delivery != "PERP" else None
    underlying = f"{base}-{quote}"
    if market == "um":
        return contracts.future(symbol, quote, context.word("multiplier", "1"), underlying, expiry)
    size = context.need("multiplier", f"{symbol[:40]!a} does not say what one contract is worth")
    return {**contracts.future(symbol, base, size, underlying, expiry), "inverse": True}


def _balances(message: Row, context: Context) -> list[Item]:
    update = message.row("a")
    if not update.one_of("m", BALANCES):
        return []
    positions = list(update.rows("P")) if update.value.get("P") else []
    held = {(row.text("s"), _bucket(row)) for row in positions}
    told = any(_is_of_coin(symbol) for symbol, _ in held) and "fs" not in message
    market = "cm" if told else _market(message)
    symbol, bucket = held.pop() if len(held) == 1 else (None, None)

    def funding(row: Row) -> Fill | None:
        """Return the payment: what came in is negative, as fees are."""
        change, asset = row.decimal("bc"), row.text("a")
        if not change:
            return None
        contract = contracts.cash(asset) if symbol is None else _perpetual(symbol, market, context)
        return context.fill(
            None,
            fill_id=id_of(market, "funding", asset, message.text("T"), number_text(row.decimal("wb"))),
            instrument=contract,
            side="BUY",
            quantity="0",
            price="0",
            fee=number_text(-change),
            fee_currency=asset,
            executed_at=epoch_ms(message, "T"),
            kind=FillKind.FUNDING,
            strategy=_strategy(bucket, context),
        )

    return each(update.rows("B"), funding)


# --- positions ---


def statement(value: dict[str, Any], context: Context) -> Statement | None:
    """Read `{"as_of": ..., "positions": [...], "orders": [...]}`: what the futures API answers to position risk and open
    orders, and when it was asked. A long and a short bucket of one contract are added up.
    """
    message = Row(value, "message")
    if "positions" not in message:
        return None
    return statement_of(
        message.rows("positions"),
        lambda row: _position(row, context),
        context,
        None,
        rfc3339(message, "as_of"),
        (message, lambda row: _open(row, context)),
        complete=message.value.get("complete", True),
        problem=message.text_or("problem"),
    )


def _position(row: Row, context: Context) -> Line | None:
    units = row.decimal("positionAmt")
    return Line(_listed(row, context), units, row.decimal("entryPrice")) if units else None


def _open(row: Row, context: Context) -> Iterator[Open]:
    if row.one_of("status", WORKS):
        yield Open(
            id_of(row.text("orderId")),
            _listed(row, context),
            row.one_of("side", SIDES, "UNKNOWN_SIDE"),
            row.decimal("origQty") - row.decimal_or("executedQty"),
            row.decimal("price") if row.text("type") in LIMITED else None,
            row.value.get("clientOrderId"),
        )


def _is_of_coin(symbol: str) -> bool:
    """Tell whether a contract is one in its coin: those are named by the dollar, BTCUSD_PERP."""
    return symbol.partition("_")[0].endswith("USD")


def _listed(row: Row, context: Context) -> dict[str, Any]:
    """Return the contract of an answer."""
    symbol = row.text("symbol")
    market = "cm" if _is_of_coin(symbol) else "um"
    return context.instrument(symbol, lambda: _perpetual(symbol, market, context))


DIALECT = Dialect(parse, statement=statement)
