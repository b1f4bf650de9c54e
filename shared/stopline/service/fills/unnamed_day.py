"""Amendments of brokers that number executions anew each day and do not say of which day the one is: FIX without tag 75."""

from collections.abc import Sequence

from stopline.ledger.amend import is_amendment, on_its_day, with_ref
from stopline.model.errors import Rejected
from stopline.model.fill import Fill
from stopline.service.fills.books import FillLog


def on_their_days(fills: Sequence[Fill], log: FillLog) -> tuple[list[Fill], dict[str, Rejected]]:
    """Return fills with each `ref` on the day of the fill that it is about, and why others cannot be booked, by key.

    What is booked already keeps the day that it was booked with, whatever has come since.
    """
    found: list[Fill] = []
    refused: dict[str, Rejected] = {}
    for fill in fills:
        if not is_amendment(fill) or "ref_day" not in (fill.model_extra or {}):
            found.append(fill)
        elif (stored := log.find(fill.key)) is not None:
            found.append(with_ref(fill, stored.ref or ""))
        else:
            booked = log.of(fill.account, fill.strategy, fill.instrument.symbol)
            beside = [other for other in fills if other.position_key == fill.position_key]
            try:
                found.append(on_its_day(fill, [*booked, *beside]))
            except Rejected as problem:
                refused[fill.key] = problem
    return found, refused
