"""Moments: RFC 3339 in UTC on the wire, timezone-aware datetimes inside, never a naive one."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # of what began or was told at a moment that nobody noted
YEARS = range(1970, 2200)  # others are a sender's mistake, and sums with them overflow


def parse_utc(value: Any) -> datetime:
    """Read an RFC 3339 time with a zone into UTC. Digits behind the microsecond are cut. Epoch numbers raise
    ValueError.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("must have a time zone")
        return value.astimezone(UTC)
    if not isinstance(value, str) or len(value) > 40 or not _RFC3339.fullmatch(value):
        raise ValueError(f'must be an RFC 3339 time such as "2026-11-20T15:02:11Z", was {str(value)[:40]!r}')
    try:
        moment = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError) as problem:
        raise ValueError(f"is not a real time: {value!r}") from problem
    _check_year(moment)
    return moment


def utc_text(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC, with microseconds only where there are some."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_date(value: Any) -> date:
    """Read an ISO date (`2026-11-20`)."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError(f'must be a date such as "2026-11-20", was {str(value)[:40]!r}')
    day = date.fromisoformat(value)
    _check_year(day)
    return day


def _check_year(day: date) -> None:
    if day.year not in YEARS:
        raise ValueError(f"must be in the years {YEARS[0]} to {YEARS[-1]}, was {day.year}")


UtcText = Annotated[datetime, BeforeValidator(parse_utc), PlainSerializer(utc_text, return_type=str)]
DateText = Annotated[
    date, BeforeValidator(parse_date), PlainSerializer(lambda day: day.isoformat(), return_type=str)
]
