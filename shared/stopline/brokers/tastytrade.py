"""tastytrade: order messages of the account streamer, transactions, open positions and orders.

An order message sends all fills of the order again, each time: a fill is known by order, leg and fill id. Orders
have no fees; the transaction of a trade has them, and names the same execution.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any

from stopline.brokers import contracts
from stopline.brokers.dialect import Context, Dialect, Item, each, of_any
from stopline.brokers.holdings import Line, Open, statement_of
from stopline.brokers.moments import rfc3339
from stopline.brokers.row import Row, id_of, number_text
from stopline.ledger.leg_name import client_id
from stopline.model.decimals import ZERO
from stopline.model.errors import Rejected
from stopline.model.fill import ENDS, HELD, Fill, FillKind
from stopline.model.statement import Statement

ACTIONS = {
    "Buy to Open": "BUY",
    "Buy to Close": "BUY",
    "Buy": "BUY",
    "Sell to Open": "SELL",
    "Sell to Close": "SELL",
    "Sell": "SELL",
}
STATUSES = {  # whether an order of this status may still be executed
    **dict.fromkeys(
        (
            "Received",
            "Routed",
            "In Flight",
            "Live",
            "Cancel Requested",
            "Replace Requested",
            "Contingent",
            "Partially Removed",
        ),
        True,
    ),
    **dict.fromkeys(("Filled", "Cancelled", "Expired", "Rejected", "Removed"), False),
}
NO_FILLS = {
    "AccountBalance",
    "CurrentPosition",
    "TradingStatus",
    "UnderlyingYearGainSummary",
    "PublicWatchlists",
    "QuoteAlert",
}
QUOTES = ("USD",)
FEES = (
    "commission",
    "clearing-fees",
    "regulatory-fees",
    "proprietary-index-option-fees",
    "other-charge",
    "currency-conversion-fees",
)
EFFECTS = {"None": ZERO, "Debit": Decimal(1), "Credit": Decimal(-1)}  # of money: what is paid is positive
DELIVERIES = {
    "Assignment": (FillKind.ASSIGN, "BUY"),
    "Exercise": (FillKind.EXERCISE, "SELL"),
    "Expiration": (FillKind.EXPIRE, None),
    "Cash Settled Assignment": (FillKind.SETTLE, "BUY"),
    "Cash Settled Exercise": (FillKind.SETTLE, "SELL"),
    **{action: (FillKind.ASSIGN, side) for action, side in ACTIONS.items()},  # the shares that come with it
}
_FUTURE_OPTION = re.compile(r"\./([A-Z0-9]{1,8}) +([A-Z0-9]{1,8}) +([0-9]{6})([CP])([0-9]+(?:\.[0-9]+)?)")


def parse(value: dict[str, Any], context: Context) -> list[Item]:
    """Read an `Order` message, or a transaction (bare, or `{"transactions": [...]}`)."""
    message = Row(value, "message")
    if "transaction-type" in message:
        return each([message], lambda row: _transaction(row, context))
    if "transactions" in message:
        return each(message.rows("transactions"), lambda row: _transaction(row, context))
    if "positions" in message:
        return []
    kind = message.text_or("type")
    if kind == "Order":
        return _order(message.row("data"), context)
    if kind == "ComplexOrder":
        return [item for order in message.row("data").rows("orders") for item in _order(order, context)]
    if kind == "Transaction":
        return each([message.row("data")], lambda row: _transaction(row, context))
    if kind in NO_FILLS or (kind is None and "action" in message and "status" in message):
        return []
    raise of_any(
        ("a message of the account streamer (`type`)", "a transaction", "`transactions`", "`positions`")
    )


def _order(order: Row, context: Context) -> list[Item]:
    order.one_of("status", STATUSES)
    legs = list(order.rows("legs"))
    several = len(legs) > 1
    items: list[Item] = []
    for leg in legs:
        if leg.value.get("fills"):
            items += each(leg.rows("fills"), partial(_fill, leg, order, several, context))
    return items


def _fill(leg: Row, order: Row, several: bool, context: Context, row: Row) -> Fill:
    symbol, number = leg.text("symbol"), order.text("id")
    return context.fill(
        order.text("account-number"),
        fill_id=_fill_id(number, symbol, row.text("fill-id")),
        instrument=_instrument(leg, order.text_or("underlying-symbol"), context),
        side=leg.one_of("action", ACTIONS, "UNKNOWN_SIDE"),
        quantity=number_text(row.decimal("quantity")),
        price=number_text(row.decimal("fill-price")),
        executed_at=rfc3339(row, "filled-at"),
        order_id=id_of(number),
        group_id=id_of(number) if several else None,
        client_order_id=client_id(order.value.get("external-identifier")),
    )


def _fill_id(order: str, symbol: str, fill: str) -> str:
    return id_of(order, symbol.replace(" ", ""), fill)


def _transaction(row: Row, context: Context) -> Fill | list[Fill] | None:
    kind = row.text("transaction-type")
    if "reverses-id" in row:
        return _reversal(row, kind, context)
    if kind == "Trade":
        return _trade(row, context)
    if kind == "Receive Deliver":
        return _delivery(row, context)
    raise contracts.event_by_hand(
        f"transaction {kind[:40]} ({row.text_or('transaction-sub-type') or 'no sub-type'})"
    )


def _trade(row: Row, context: Context) -> Fill:
    """Return the fees of a trade, or the trade with them where attribute `transactions` is `trades`."""
    ref = _fill_id(row.text("order-id"), row.text("symbol"), row.text("exec-id"))
    facts = _common(row, context) | {
        "side": row.one_of("action" if "action" in row else "transaction-sub-type", ACTIONS, "UNKNOWN_SIDE"),
        "order_id": id_of(row.text("order-id")),
        "fee": number_text(_fees(row)),
        "provisional": row.value.get("is-estimated-fee") is True,
    }
    what = context.get("transactions", "fees")
    if what == "fees":
        id_ = id_of("transaction", row.text("id"))
        return context.fill(
            row.text("account-number"),
            fill_id=id_,
            ref=ref,
            kind=FillKind.FEE,
            quantity="0",
            price="0",
            **facts,
        )
    if what != "trades":
        raise Rejected(
            "BAD_ATTRIBUTE", f"attribute transactions must be fees or trades, was {str(what)[:20]!a}"
        )
    return context.fill(
        row.text("account-number"),
        fill_id=ref,
        quantity=number_text(row.decimal("quantity")),
        price=number_text(row.decimal("price")),
        **facts,
    )


def _delivery(row: Row, context: Context) -> Fill:
    """Return one row of an assignment, exercise, expiry or cash settlement. An expiry without action ends what is held."""
    kind, side = row.one_of("transaction-sub-type", DELIVERIES)
    facts = _common(row, context)
    if side is None and "action" in row:
        side = row.one_of("action", ACTIONS, "UNKNOWN_SIDE")
    elif side is None:
        side, facts[ENDS] = "BUY", HELD
    quantity, price = row.decimal("quantity"), row.decimal_or("price")
    if kind is FillKind.SETTLE:
        paid = _money(row, "value")
        price = contracts.settlement_price(
            paid, quantity if side == "BUY" else -quantity, facts["instrument"]
        )
    return context.fill(
        row.text("account-number"),
        fill_id=id_of("transaction", row.text("id")),
        side=side,
        quantity=number_text(quantity),
        price=number_text(price),
        fee=number_text(_fees(row)),
        kind=kind,
        **facts,
    )


def _reversal(row: Row, kind: str, context: Context) -> Fill:
    """Return the reversal of a transaction as a bust. A trade that is taken back is known by its execution."""
    if kind == "Trade" and "exec-id" in row and "order-id" in row:
        ref = _fill_id(row.text("order-id"), row.text("symbol"), row.text("exec-id"))
    else:
        ref = id_of("transaction", row.text("reverses-id"))
    table = {name: side or "BUY" for name, (_, side) in DELIVERIES.items()}
    return context.fill(
        row.text("account-number"),
        fill_id=id_of("transaction", row.text("id")),
        side=row.one_of("action", ACTIONS, "UNKNOWN_SIDE")
        if "action" in row
        else row.one_of("transaction-sub-type", table),
        quantity=number_text(abs(row.decimal_or("quantity"))),
        price=number_text(row.decimal_or("price")),
        kind=FillKind.BUST,
        ref=ref,
        **_common(row, context),
    )


def _common(row: Row, context: Context) -> dict[str, Any]:
    return {
        "instrument": _instrument(row, row.text_or("underlying-symbol"), context),
        "executed_at": rfc3339(row, "executed-at"),
    }


def _fees(row: Row) -> Decimal:
    return sum((_money(row, name) for name in FEES), ZERO)


def _money(row: Row, name: str) -> Decimal:
    """Return an amount, positive when paid. Its effect says which way; a fee without one is paid."""
    amount = row.decimal_or(name)
    effect = row.one_of(f"{name}-effect", EFFECTS) if f"{name}-effect" in row else Decimal(1)
    return amount * effect


def _instrument(row: Row, underlying: str | None, context: Context) -> dict[str, Any]:
    kind, symbol = row.text("instrument-type"), row.text("symbol")

    def read() -> dict[str, Any]:
        currency = context.word("currency", "USD")
        if kind == "Equity":
            return contracts.equity(symbol, currency)
        if kind == "Equity Option":
            return contracts.occ_option(symbol, context, underlying=underlying)
        if kind == "Cryptocurrency":
            return contracts.crypto(*contracts.pair(symbol, context, QUOTES))
        if kind not in ("Future", "Future Option"):
            raise Rejected("UNSUPPORTED", f"instruments of type {kind[:40]!a} are not booked")
        size = context.need("multiplier", f"{symbol[:40]!a} does not say its multiplier")
        if kind == "Future":
            return contracts.future(symbol.removeprefix("/"), currency, size, context.get("underlying"))
        match = _FUTURE_OPTION.fullmatch(symbol)
        if match is None:
            raise row.bad("symbol", f"is not an option on a future: {symbol[:40]!a}")
        on, root, expiry, right, strike = match.groups()
        return contracts.option(
            root, contracts.a_date(f"20{expiry}"), right, Decimal(strike), currency, size, on
        )

    return context.instrument(symbol, read)


# --- positions ---


def statement(value: dict[str, Any], context: Context) -> Statement | None:
    """Read `{"as_of": ..., "positions": [...], "orders": [...]}`: the `items` of what the API answers to positions and
    live orders, and when it was asked.
    """
    message = Row(value, "message")
    if "positions" not in message:
        return None
    rows = list(message.rows("positions"))
    accounts = {row.text("account-number") for row in rows}
    accounts |= {message.text("account")} if "account" in message else set()
    if len(accounts) > 1:
        raise Rejected("CONTRADICTION", f"the statement is of {len(accounts)} accounts: send one of each")
    return statement_of(
        rows,
        lambda row: _position(row, context),
        context,
        next(iter(accounts), None),
        rfc3339(message, "as_of"),
        (message, lambda row: _open(row, context)),
        complete=message.value.get("complete", True),
        problem=message.text_or("problem"),
    )


def _position(row: Row, context: Context) -> Line:
    way = row.one_of("quantity-direction", {"Long": 1, "Short": -1, "Zero": 0}, "UNKNOWN_SIDE")
    contract = _instrument(row, row.text_or("underlying-symbol"), context)
    price = row.decimal("average-open-price") if "average-open-price" in row else None
    return Line(contract, abs(row.decimal("quantity")) * way, price)


def _open(order: Row, context: Context) -> Iterator[Open]:
    """Yield what is left of each leg. The price of several legs is of them all, and no leg's limit."""
    if not order.one_of("status", STATUSES):
        return
    legs = list(order.rows("legs"))
    for leg in legs:
        yield Open(
            id_of(order.text("id")),
            _instrument(leg, order.text_or("underlying-symbol"), context),
            leg.one_of("action", ACTIONS, "UNKNOWN_SIDE"),
            leg.decimal("remaining-quantity"),
            order.decimal("price") if len(legs) == 1 and "price" in order else None,
            order.value.get("external-identifier"),
        )


DIALECT = Dialect(parse, statement=statement)
