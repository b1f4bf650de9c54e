"""How a limit's number got where it is: its last readings, for the small chart of a message.

Of the account's own limits only, from half of the limit on, one reading a minute; a minute that nobody could see has none.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from stopline.model.messages import TREND, TrendPoint
from stopline.rules.limits.registry import Reading

EVERY = timedelta(minutes=1)
FROM = Decimal("0.5")  # of the limit: what is far from it needs no chart
FORGET = timedelta(hours=1)  # without a reading: what comes after is another story

Trend = tuple[TrendPoint, ...]
"""Readings, oldest first."""


def followed(readings: Iterable[Reading], before: Mapping[str, Trend], now: datetime) -> dict[str, Trend]:
    """Return the trends after one more evaluation, by limit. An UNKNOWN reading adds nothing and forgets nothing."""
    result = {}
    for reading in readings:
        if reading.object != "account" or reading.threshold <= 0:
            continue
        known = before.get(reading.key, ())
        if known and now - known[-1].at > FORGET:
            known = ()
        if reading.current is None:
            kept = known
        elif reading.current < FROM * reading.threshold:
            kept = ()
        elif known and now - known[-1].at < EVERY:
            kept = known
        else:
            kept = (*known, TrendPoint(at=now, current=reading.current))[-TREND:]
        if kept:
            result[reading.key] = kept
    return result


def until_now(trend: Trend, reading: Reading, now: datetime) -> Trend:
    """Return a trend that ends with the reading that an alert tells."""
    if reading.current is None or reading.object != "account":
        return ()
    last = TrendPoint(at=now, current=reading.current)
    earlier = tuple(point for point in trend if point.at < now)
    return (*earlier, last)[-TREND:]
