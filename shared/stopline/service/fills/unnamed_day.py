"""Amendments of brokers that number executions anew each day and do not say of which day the one is: FIX without tag 75."""

from collections.abc import Sequence

from stopline.ledger.amend import check_day, says_no_day, with_ref
from stopline.model.errors import Rejected
from stopline.model.fill import Fill
from stopline.service.fills.books import FillLog


def on_their_days(fills: Sequence[Fill], log: FillLog) -> tuple[list[Fill], dict[str, Rejected]]:
    """Return fills with each `ref` on the day of the fill that it is about, and why others cannot be booked, by key.

    What is booked already is a duplicate, whatever has come since: it keeps the day that it was booked with. Which fill
    it counts for follows from the log (`ledger/amend.py`).
    """
    found: list[Fill] = []
    refused: dict[str, Rejected] = {}
    for fill in fills:
        if not says_no_day(fill):
            found.append(fill)
        elif (stored := log.find(fill.key)) is not None:
            found.append(with_ref(fill, stored.ref or ""))
        else:
            booked = log.of(fill.account, fill.strategy, fill.instrument.symbol)
            beside = [other for other in fills if other.position_key == fill.position_key]
            try:
                found.append(check_day(fill, [*booked, *beside]))
            except Rejected as problem:
                refused[fill.key] = problem
    return found, refused
