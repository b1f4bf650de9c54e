"""Upstox: the trades of an order, and order updates that carry them.

An update says what is filled so far, sometimes without an average, and nobody signs it: it is a trigger to ask
for the order's trades, which are booked.
"""

from typing import Any

from stopline.brokers.dialect import Context, Dialect, Item, of_any
from stopline.brokers.indian import Words, order_state, trades_of
from stopline.brokers.row import Row

STATUSES = dict.fromkeys(
    [
        "complete",
        "cancelled",
        "rejected",
        "open",
        "put order req received",
        "validation pending",
        "open pending",
        "modify validation pending",
        "modify pending",
        "modified",
        "not modified",
        "trigger pending",
        "cancel pending",
        "not cancelled",
        "after market order req received",
        "modify after market order req received",
        "cancelled after market order",
    ],
    True,
)
UPDATES = {"order": True, "gtt_order": False}


def parse(value: dict[str, Any], context: Context) -> list[Item]:
    """Read a trade, the answer to a request for trades, or an order update with its `trades`."""
    message = Row(value, "message")
    if "trade_id" in message:
        return trades_of([message], context, WORDS)
    if "update_type" in message and not message.one_of("update_type", UPDATES):
        return []
    if "order_id" in message and "status" in message:
        return order_state(message, STATUSES, context, WORDS)
    for field in ("trades", "data"):
        if field in message and message.text_or("status", "success") == "success":
            return trades_of(message.rows(field), context, WORDS)
    raise of_any(("a trade (`trade_id`)", "trades (`trades`, `data`)", "an order update (`update_type`)"))


def _segment(row: Row) -> str:
    """Return the segment, which the instrument's key names; older trades have a number there."""
    key = row.text_or("instrument_token") or ""
    return key.partition("|")[0] if "|" in key else row.text("exchange")


WORDS = Words("trading_symbol", _segment, ("exchange_timestamp", "order_timestamp"))
DIALECT = Dialect(parse)
