"""Rows of brokers that an older version read otherwise: what it has booked is the same row, whatever its form is now."""

from datetime import datetime, time
from zoneinfo import ZoneInfo

from stopline.ledger.bookings import names_row
from stopline.model.fill import Fill, FillKind
from stopline.model.times import utc_text
from stopline.model.wire import validate

_PAYMENTS = {FillKind.DIVIDEND, FillKind.FLOW}
_NEW_YORK = ZoneInfo("America/New_York")


def is_former(booked: Fill, fill: Fill) -> bool:
    """Tell whether a booked fill is what an older version made of a fill's row.

    Alpaca's payments of a day counted from 16:00 in New York, until 22 November 2026; they count from midnight now. The
    booked one stays as it is: it is money of the same session, and the time of neither was told. A bust of a Flex statement
    named the execution until then, where the statement had it, and names the trade now.
    """
    if fill.kind is FillKind.BUST and names_row(fill):
        return validate(Fill, {**fill.model_dump(mode="json"), "ref": booked.ref}).hash == booked.hash
    if fill.kind not in _PAYMENTS:
        return False
    begins = fill.executed_at.astimezone(_NEW_YORK)
    close = datetime.combine(begins.date(), time(16), _NEW_YORK)
    if begins.time() != time(0) or booked.executed_at != close:
        return False
    moved = {**fill.model_dump(mode="json"), "executed_at": utc_text(booked.executed_at)}
    return validate(Fill, moved).hash == booked.hash
