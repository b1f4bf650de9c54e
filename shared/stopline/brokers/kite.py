"""Zerodha Kite: the trades of an order, postbacks that carry them, open positions and orders.

A postback says what is filled so far: it is a trigger to ask for the order's trades, which are booked. It is
signed: SHA-256 of order id, order time and the API secret, checked where the secret is given.
"""

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

from stopline.brokers.dialect import Context, Dialect, Item, of_any
from stopline.brokers.holdings import Line, Open, statement_of
from stopline.brokers.indian import SIDES, Words, instrument_of, order_state, trades_of
from stopline.brokers.moments import rfc3339
from stopline.brokers.row import Row, id_of
from stopline.model.decimals import ZERO
from stopline.model.errors import Rejected
from stopline.model.statement import Statement

OVER = ("COMPLETE", "CANCELLED", "REJECTED")
STATUSES = dict.fromkeys(
    [
        *OVER,
        "UPDATE",
        "OPEN",
        "MODIFIED",
        "TRIGGER PENDING",
        "PUT ORDER REQ RECEIVED",
        "VALIDATION PENDING",
        "OPEN PENDING",
        "MODIFY VALIDATION PENDING",
        "MODIFY PENDING",
        "CANCEL PENDING",
        "AMO REQ RECEIVED",
    ],
    True,
)
WORDS = Words(
    "tradingsymbol",
    lambda row: row.text("exchange"),
    ("fill_timestamp", "exchange_timestamp", "order_timestamp"),
)


def parse(value: dict[str, Any], context: Context) -> list[Item]:
    """Read a trade, the answer to a request for trades (`data` or `trades`), or a postback with its `trades`."""
    message = Row(value, "message")
    if "trade_id" in message:
        return trades_of([message], context, WORDS)
    if "positions" in message:
        return []
    if "order_id" in message and "status" in message:
        _check(message, context.secret)
        return order_state(message, STATUSES, context, WORDS)
    for field in ("trades", "data"):
        if field in message and message.text_or("status", "success") == "success":
            return trades_of(message.rows(field), context, WORDS)
    raise of_any(
        (
            "a trade (`trade_id`)",
            "trades (`trades`, `data`)",
            "a postback (`order_id`, `status`)",
            "`positions`",
        )
    )


def checksum(order_id: str, order_timestamp: str, secret: str) -> str:
    """Return the checksum that Zerodha puts on a postback."""
    return hashlib.sha256(f"{order_id}{order_timestamp}{secret}".encode()).hexdigest()


def _check(message: Row, secret: str) -> None:
    if not secret:
        return
    expected = checksum(message.text("order_id"), message.text("order_timestamp"), secret)
    if not hmac.compare_digest(expected.encode(), message.text("checksum").lower().encode()):
        raise Rejected(
            "BAD_CHECKSUM", "the postback is not signed with the API secret: nothing is taken from it"
        )


# --- positions ---


def statement(value: dict[str, Any], context: Context) -> Statement | None:
    """Read `{"as_of": ..., "positions": [...], "holdings": [...], "orders": [...]}`: what the API answers to positions
    (`net`), holdings and orders, and when it was asked, all at one time. Shares that were delivered are holdings.
    """
    message = Row(value, "message")
    if "positions" not in message:
        return None
    rows = [(row, _position) for row in message.rows("positions")]
    rows += [(row, _holding) for row in message.rows("holdings")] if "holdings" in message else []
    read = {id(row): how for row, how in rows}
    return statement_of(
        [row for row, _ in rows],
        lambda row: read[id(row)](row, context),
        context,
        message.text_or("user_id"),
        rfc3339(message, "as_of"),
        (message, lambda row: _open(row, context)),
        complete=message.value.get("complete", True),
        problem=message.text_or("problem"),
    )


def _position(row: Row, context: Context) -> Line | None:
    """Return a position. What is sold of a holding is negative here: its price is that of the sale, of no lot."""
    units, sold = row.decimal("quantity"), row.text_or("product") == "CNC"
    price = None if sold and units < 0 else row.decimal("average_price")
    return Line(_listed(row, context), units, price) if units else None


def _holding(row: Row, context: Context) -> Line | None:
    """Return a holding as it was before today's sales, which are positions: `quantity` is without what is sold today, bought
    and not delivered yet, or pledged.
    """
    apart = ("used_quantity", "t1_quantity", "collateral_quantity")
    units = row.decimal("quantity") + sum((row.decimal_or(name) for name in apart), ZERO)
    return Line(_listed(row, context), units, row.decimal("average_price")) if units else None


def _open(row: Row, context: Context) -> Iterator[Open]:
    row.one_of("status", STATUSES)
    if row.text("status") not in OVER:
        yield Open(
            id_of(row.text("order_id")),
            _listed(row, context),
            row.one_of("transaction_type", SIDES, "UNKNOWN_SIDE"),
            row.decimal("pending_quantity"),
            row.decimal("price") if row.text_or("order_type") in ("LIMIT", "SL") else None,
            row.value.get("tag"),
        )


def _listed(row: Row, context: Context) -> dict[str, Any]:
    symbol = row.text("tradingsymbol")
    return context.instrument(symbol, lambda: instrument_of(symbol, row.text("exchange"), context))


DIALECT = Dialect(parse, statement=statement)
