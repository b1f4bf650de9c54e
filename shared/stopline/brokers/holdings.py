"""Position statements: from a broker's rows to what an account holds there."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from stopline.brokers.dialect import Context
from stopline.brokers.row import Row, number_text
from stopline.model.decimals import ZERO, divide
from stopline.model.errors import Rejected
from stopline.model.ids import digest
from stopline.model.statement import MAX_HOLDINGS, Statement
from stopline.model.wire import canonical, validate


class Line(NamedTuple):
    """One row: the contract as plain data, signed units, and the average price of one where the broker tells it."""

    contract: dict[str, Any]
    quantity: Decimal
    price: Decimal | None


def statement_of(
    rows: Iterable[Row],
    read: Callable[[Row], Line | None],
    context: Context,
    account: str | None,
    as_of: str,
    **facts: Any,
) -> Statement:
    """Return the statement of a broker's rows. A row that cannot be read is named in `unread`, so that nothing is
    called flat for it; several rows of one contract are added up. The id follows from the content.
    """
    lines: dict[str, list[Line]] = {}
    unread = []
    for number, row in enumerate(rows):
        if number >= MAX_HOLDINGS:
            raise Rejected("TOO_LARGE", f"the statement has more than {MAX_HOLDINGS} positions")
        try:
            line = read(row)
        except Rejected as refused:
            unread.append(_printable(f"{row.value.get('symbol', row.name)}: {refused.detail}"))
            continue
        if line is not None:
            lines.setdefault(line.contract["symbol"], []).append(line)
    body = {
        "broker": context.broker,
        "account": context.account(account),
        "as_of": as_of,
        "positions": [_holding(symbol, of) for symbol, of in sorted(lines.items())],
        "unread": unread[:100],
        **{name: value for name, value in facts.items() if value is not None},
    }
    return validate(Statement, {"statement_id": digest("statement", canonical(body).decode()), **body})


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
