"""Flex rows that take back a trade by its number, where that trade may be one that was booked without its number."""

from collections.abc import Callable, Iterable, Sequence

from stopline.ledger.bookings import is_row_bust, named, names_row, number_of, same_terms
from stopline.model.errors import Rejected
from stopline.model.fill import EXECUTIONS, Fill


def unplaced(fills: Sequence[Fill], known: Callable[[Fill], Iterable[Fill]]) -> dict[str, Rejected]:
    """Return, by key, why new fills cannot be booked: what they take back may be booked, by TWS or an older version, which
    said no number of a trade. Such a row would wait for ever, and nobody would know.

    `known` gives the booked fills of a fill's position. A statement that has the trade's row too says which it is.
    """
    refused: dict[str, Rejected] = {}
    for bust in fills:
        if not (is_row_bust(bust) and names_row(bust)):
            continue
        beside = [*known(bust), *(one for one in fills if one.position_key == bust.position_key)]
        if named(bust, beside) is None and any(_may_be_meant(one, bust) for one in beside):
            refused[bust.key] = Rejected(
                "UNPLACED_ROW",
                f"BUST {bust.fill_id} of {bust.position_key} takes back {bust.ref}, and the order has fills without such a "
                "number: publish the statement of the month to date, which has the trade too",
            )
    return refused


def _may_be_meant(fill: Fill, bust: Fill) -> bool:
    return (
        fill.kind in EXECUTIONS
        and number_of(fill) is None
        and (bust.fill_id.endswith(":original") or same_terms(fill, bust))
        and (fill.broker, fill.side) == (bust.broker, bust.side)
        and (fill.order_id is None or bust.order_id is None or fill.order_id == bust.order_id)
    )
