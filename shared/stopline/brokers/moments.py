"""Times as brokers write them, in RFC 3339 UTC. A time without a zone is read in the zone that is named."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from stopline.brokers.row import Row
from stopline.model.errors import Rejected
from stopline.model.times import parse_utc, utc_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEW_YORK = "America/New_York"
CLOSE = time(16)
MONTHS = {
    name: number
    for number, name in enumerate(
        ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), 1
    )
}
_PLAIN = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})(?:[-T;, ] *)([0-9]{2}):?([0-9]{2}):?([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?: +([A-Za-z][A-Za-z0-9_+/-]{1,40}))?"
)
_UTC_BY_FORM = re.compile(r"[0-9]{8}-[0-9]{2}:")  # 20261120-15:02:11 is UTC at FIX and IBKR
_NAMED_MONTH = re.compile(r"([0-9]{2})-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2})")


def rfc3339(row: Row, field: str) -> str:
    """Read a time that says its zone."""
    try:
        return utc_text(parse_utc(row.text(field)))
    except ValueError as problem:
        raise row.bad(field, str(problem)[:120]) from None


def at_close(day: date) -> str:
    """Return 16:00 in New York: when something of a day counts whose time is not told."""
    return utc_text(datetime.combine(day, CLOSE, ZoneInfo(NEW_YORK)))


def at_midnight(day: date) -> str:
    """Return when a day begins in New York: from then on what is traded is of after a split that it is the ex-date of."""
    return utc_text(datetime.combine(day, time(0), ZoneInfo(NEW_YORK)))


def epoch_ms(row: Row, field: str) -> str:
    """Read milliseconds since 1970."""
    value = row.value.get(field)
    if isinstance(value, bool) or not isinstance(value, int):
        raise row.bad(field, "must be milliseconds since 1970")
    try:
        return utc_text(EPOCH + timedelta(milliseconds=value))
    except OverflowError:
        raise row.bad(field, "is not a real time") from None


def local_time(row: Row, field: str, zone: ZoneInfo | None) -> str:
    """Read `2026-11-20 15:02:11`, `20261120;150211` or `20-Nov-2026 15:02:11`, with a zone behind it or else in
    `zone`. An hour that comes twice, in autumn, is the first one. RFC 3339 is taken too.
    """
    text = row.text(field)
    if "T" in text and text[-1:] in "Z0123456789" and ("Z" in text or "+" in text or text.count("-") > 2):
        return rfc3339(row, field)
    return from_text(text, zone, lambda what: row.bad(field, what))


def from_text(text: str, zone: ZoneInfo | None, bad: Any) -> str:
    """Read a time without an offset; `bad` makes the refusal."""
    named = _NAMED_MONTH.fullmatch(text)
    plain = _PLAIN.fullmatch(text)
    if named and named[2].upper() in MONTHS:
        numbers = [int(named[3]), MONTHS[named[2].upper()], *(int(named[n]) for n in (1, 4, 5, 6))]
        micros = 0
    elif plain:
        numbers = [int(plain[n]) for n in range(1, 7)]
        micros = int((plain[7] or "0")[:6].ljust(6, "0"))
        zone = zone_of(plain[8]) if plain[8] else zone
    else:
        raise bad(f"must be a time such as 2026-11-20 15:02:11, was {text[:40]!a}")
    if _UTC_BY_FORM.match(text):
        zone = zone_of("UTC")
    if zone is None:
        raise Rejected("MISSING_ATTRIBUTE", f"time {text!r} has no zone: attribute `zone` must name it")
    try:
        return utc_text(datetime(*numbers, micros, tzinfo=zone))  # type: ignore[misc, arg-type] # six numbers
    except (ValueError, OverflowError):
        raise bad(f"is not a real time: {text!a}") from None


def zone_of(name: str) -> ZoneInfo:
    """Return the zone of a name such as America/New_York."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Rejected("BAD_ATTRIBUTE", f"zone {name[:40]!a} is not known") from None
