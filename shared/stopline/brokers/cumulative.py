"""What brokers tell of an order beside or instead of an execution: how much of it is filled so far."""

from collections.abc import Sequence
from decimal import Decimal

from stopline.brokers.row import Row, number_text
from stopline.model.decimals import EXACT, divide
from stopline.model.errors import Rejected

Execution = tuple[Decimal, Decimal]  # quantity and price


def increments(cum: Decimal, avg: Decimal, applied: Sequence[Execution]) -> Execution | None:
    """Return the execution that brings what is applied to `cum` units at `avg`, or None when there is none.

    A message that comes late, with no more than what is applied, adds nothing. The price is rounded to 12
    decimals: an average was rounded before. Raises Rejected when the numbers cannot be: no average yet (ask for
    the order's trades), or an average that makes the difference cost less than nothing.
    """
    done = sum((quantity for quantity, _ in applied), Decimal(0))
    if cum <= done:
        return None
    if avg <= 0:
        raise Rejected("CUMULATIVE", f"{cum} units are filled and there is no average price yet")
    paid = Decimal(0)
    for quantity, price in applied:
        paid = EXACT.add(paid, EXACT.multiply(quantity, price))
    price = divide(EXACT.subtract(EXACT.multiply(cum, avg), paid), cum - done)
    if price < 0:
        raise Rejected("CUMULATIVE", f"{cum} units at {avg} on average cost less than the {done} applied")
    return cum - done, price


def filled(row: Row, field: str) -> str | None:
    """Return how much of its order is filled with an execution, as a text, where its message says that. It is kept beside
    the fill and checked later: what is wrong with it takes nothing from the execution.
    """
    try:
        told = row.decimal(field)
    except Rejected:
        return None
    return number_text(told) if told >= 0 else None
