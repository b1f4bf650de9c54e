"""Moments: RFC 3339 with a zone in, UTC inside, never a naive one, never an epoch number."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.times import parse_date, parse_utc, utc_text

BAD: dict[str, list[Any]] = {
    "B31": ["2026-11-20T15:02:11", "2026-11-20", datetime(2026, 11, 20)],
    "B32": [1795186931, 253402300800, 1795186931.5, "1795186931", "1795186931000", True, None, [], {}],
    "B33": [
        "2026-02-30T00:00:00Z",
        "2026-11-20T15:02:60Z",
        "2026-11-20T24:00:00Z",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "2026-11-20T15:02:11+24:00",
        "2026-11-20T15:02:11+99:99",
    ],
    "format": [
        "",
        "2026-11-20t15:02:11z",
        "2026-11-20 15:02:11Z",
        " 2026-11-20T15:02:11Z",
        "2026-11-20T15:02:11Z\n",
        "2026-11-20T15:02Z",
        "20261120T150211Z",
        "2026-W47-5T15:02:11Z",
        "2026-11-20T15:02:11+0000",
        "2026-11-20T15:02:11.Z",
        "2026-11-20T15:02:11.0000000001Z",
        "２０２６-11-20T15:02:11Z",
        "2026-11-20T15:02:11,5Z",
        "2026-11-20T15:02:11Z" + " " * 1000,
    ],
}


@pytest.mark.parametrize(("row", "value"), [(row, value) for row, values in BAD.items() for value in values])
def test_what_is_no_rfc_3339_time_with_a_zone_is_refused(row: str, value: Any) -> None:
    """B31-B33."""
    with pytest.raises(ValueError, match="RFC 3339|not a real time|time zone"):
        parse_utc(value)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T15:02:11Z", datetime(2026, 11, 20, 15, 2, 11, tzinfo=UTC)),
        ("2026-11-20T15:02:11+00:00", datetime(2026, 11, 20, 15, 2, 11, tzinfo=UTC)),
        ("2026-11-20T10:02:11-05:00", datetime(2026, 11, 20, 15, 2, 11, tzinfo=UTC)),
        ("2026-11-20T20:32:11+05:30", datetime(2026, 11, 20, 15, 2, 11, tzinfo=UTC)),
        ("2026-11-20T15:02:11.5Z", datetime(2026, 11, 20, 15, 2, 11, 500_000, tzinfo=UTC)),
        ("2026-11-20T15:02:11.000001Z", datetime(2026, 11, 20, 15, 2, 11, 1, tzinfo=UTC)),
        ("2028-02-29T00:00:00Z", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_time_in_any_zone_is_read_into_utc(text: str, moment: datetime) -> None:
    """B31."""
    read = parse_utc(text)
    assert read == moment
    assert read.tzinfo is UTC


def test_nanoseconds_are_cut_and_not_rounded() -> None:
    """Brokers publish nine digits: .999999999 must not become the next second, which may be the next
    session.
    """
    assert parse_utc("2026-11-20T23:59:59.999999999Z") == datetime(
        2026, 11, 20, 23, 59, 59, 999_999, tzinfo=UTC
    )


@given(
    st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
)
def test_writing_and_reading_gives_the_same_moment(naive: datetime, offset_minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    text = utc_text(moment)
    assert text.endswith("Z")
    assert parse_utc(text) == moment
    assert utc_text(parse_utc(text)) == text
    assert parse_utc(moment.isoformat()) == moment


@given(st.dates(date(1970, 1, 1), date(2199, 12, 31)))
def test_a_date_is_read_as_it_is_written(day: date) -> None:
    assert parse_date(day.isoformat()) == day


@pytest.mark.parametrize(
    "value",
    ["2026-02-30", "20261120", "2026-11-20T00:00:00Z", "", "26-11-20", 20261120, None, datetime(2026, 1, 1)],
)
def test_what_is_no_date_is_refused(value: Any) -> None:
    """B33."""
    with pytest.raises(ValueError, match=r".+"):
        parse_date(value)


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)
def test_a_year_that_sums_would_overflow_with_is_refused(text: str) -> None:
    """B33: a batch of the year 1 must not end in an error that comes back forever."""
    with pytest.raises(ValueError, match="must be in the years 1970 to 2199"):
        parse_utc(text)
    with pytest.raises(ValueError, match="must be in the years 1970 to 2199"):
        parse_date(text[:10])
