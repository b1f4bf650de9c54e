"""Zerodha Kite: the trades of an order, and postbacks that carry them.

A postback says what is filled so far: it is a trigger to ask for the order's trades, which are booked. It is
signed: SHA-256 of order id, order time and the API secret, checked where the secret is given.
"""

import hashlib
import hmac
from typing import Any

from stopline.brokers.dialect import Context, Dialect, Item, of_any
from stopline.brokers.indian import order_state, trades_of
from stopline.brokers.row import Row
from stopline.model.errors import Rejected

STATUSES = dict.fromkeys(
    [
        "COMPLETE",
        "CANCELLED",
        "REJECTED",
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
TIMES = ("fill_timestamp", "exchange_timestamp")


def parse(value: dict[str, Any], context: Context) -> list[Item]:
    """Read a trade, the answer to a request for trades (`data` or `trades`), or a postback with its `trades`."""
    message = Row(value, "message")
    if "trade_id" in message:
        return _trades([message], context)
    if "order_id" in message and "status" in message:
        _check(message, context.secret)
        trades = _trades(message.rows("trades"), context) if "trades" in message else None
        return order_state(message, STATUSES, trades)
    for field in ("trades", "data"):
        if field in message and message.text_or("status", "success") == "success":
            return _trades(message.rows(field), context)
    raise of_any(("a trade (`trade_id`)", "trades (`trades`, `data`)", "a postback (`order_id`, `status`)"))


def _trades(rows: Any, context: Context) -> list[Item]:
    return trades_of(rows, context, "tradingsymbol", lambda row: row.text("exchange"), TIMES)


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


DIALECT = Dialect(parse)
