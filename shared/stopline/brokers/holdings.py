"""Position statements: from a broker's rows to what an account holds there, and which orders still work."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from stopline.brokers.dialect import Context
from stopline.brokers.row import Row, number_text
from stopline.ledger.leg_name import client_id
from stopline.model.decimals import ZERO, divide
from stopline.model.errors import Rejected
from stopline.model.ids import digest
from stopline.model.order import WorkingOrder
from stopline.model.statement import MAX_HOLDINGS, MAX_WORKING, Statement
from stopline.model.wire import canonical, validate


class Line(NamedTuple):
    """One row: the contract as plain data, signed units, and the average price of one where the broker tells it."""

    contract: dict[str, Any]
    quantity: Decimal
    price: Decimal | None


class Open(NamedTuple):
    """What is left of one leg of an order at the broker; no `price` where it is no limit of this leg alone. `own`: the id
    that the order was sent under, as the broker hands it back.
    """

    order_id: str
    contract: dict[str, Any]
    side: str
    left: Decimal
    price: Decimal | None = None
    own: object = None


Orders = tuple[Row, Callable[[Row], Iterable[Open]]]
"""A message that may have `orders`, and what one of them leaves open: nothing where it is over."""


def statement_of(
    rows: Iterable[Row],
    read: Callable[[Row], Line | None],
    context: Context,
    account: str | None,
    as_of: str,
    orders: Orders,
    **facts: Any,
) -> Statement:
    """Return the statement of a broker's rows. A row that cannot be read is named in `unread`, so that nothing is
    called flat for it; several rows of one contract are added up. With an order that cannot be read it is not known what
    works: then the list is not taken. The id follows from the content.
    """
    lines: dict[str, list[Line]] = {}
    unread = []
    for number, row in enumerate(rows):
        if number >= MAX_HOLDINGS:
            raise Rejected("TOO_LARGE", f"the statement has more than {MAX_HOLDINGS} positions")
        try:
            line = read(row)
        except Rejected as refused:
            unread.append(_told(row, refused))
            continue
        if line is not None:
            lines.setdefault(line.contract["symbol"], []).append(line)
    working, odd = _working(*orders, context)
    unread += odd
    body = {
        "broker": context.broker,
        "account": context.account(account),
        "as_of": as_of,
        "positions": [_holding(symbol, of) for symbol, of in sorted(lines.items())],
        "unread": unread[:100],
        **({} if working is None else {"working": working}),
        **{name: value for name, value in facts.items() if value is not None},
    }
    return validate(Statement, {"statement_id": digest("statement", canonical(body).decode()), **body})


def _working(
    message: Row, read: Callable[[Row], Iterable[Open]], context: Context
) -> tuple[list[dict[str, Any]] | None, list[str]]:
    """Return the orders that may still be executed, None where that is not told or not known, and what cannot be read."""
    if message.value.get("orders") is None:
        return None, []
    found: list[dict[str, Any]] = []
    odd: list[str] = []
    for row in message.rows("orders"):
        try:
            found += [_order(each, context) for each in read(row) if each.left > 0]
        except Rejected as refused:
            odd.append(_told(row, refused))
        if len(found) > MAX_WORKING:
            raise Rejected("TOO_LARGE", f"the statement has more than {MAX_WORKING} working orders")
    return None if odd else found, odd


def _order(each: Open, context: Context) -> dict[str, Any]:
    facts = {
        "order_id": each.order_id,
        "client_order_id": client_id(each.own),
        "strategy": context.strategy,
        "strategy_told": context.get("strategy") is not None,
        "instrument": each.contract,
        "side": each.side,
        "quantity": number_text(each.left),
        "limit_price": None if each.price is None else number_text(each.price),
    }
    return validate(WorkingOrder, facts).model_dump(mode="json", exclude_none=True)


def _told(row: Row, refused: Rejected) -> str:
    return _printable(f"{row.value.get('symbol', row.name)}: {refused.detail}")


def _holding(symbol: str, lines: list[Line]) -> dict[str, Any]:
    units = sum((line.quantity for line in lines), ZERO)
    prices = [line.price for line in lines if line.price is not None]
    price = None
    if units and len(prices) == len(lines):
        price = divide(sum((line.quantity * (line.price or ZERO) for line in lines), ZERO), units)
    contract = lines[0].contract
    return {
        "symbol": symbol,
        "quantity": number_text(units),
        "average_price": number_text(price) if price is not None else None,
        "currency": contract["currency"],
        "multiplier": contract.get("multiplier", "1"),
    }


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)[:200]
