"""Calendars: every moment counts for one session, and the tables say what the exchanges say."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stopline.model.calendars import calendar
from stopline.model.errors import Rejected

NAMES = ["XNYS", "XNSE", "CMES", "XLON", "XEUR", "24/7"]
NEW_YORK = ZoneInfo("America/New_York")
CHICAGO = ZoneInfo("America/Chicago")
moments = st.datetimes(datetime(2015, 1, 1), datetime(2026, 12, 20), timezones=st.just(UTC))


def new_york(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=NEW_YORK)  # type: ignore[misc]


@pytest.fixture(scope="module")
def oracle() -> Iterator[dict[str, Any]]:
    """The exchange-calendars package: never imported by the product."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import exchange_calendars

        yield {
            ours: exchange_calendars.get_calendar(theirs, start="2015-01-01", end="2026-12-31")
            for ours, theirs in (("XNYS", "XNYS"), ("XLON", "XLON"), ("CMES", "CMES"))
        }


@pytest.mark.parametrize("name", ["XNYS", "XLON", "CMES"])
def test_sessions_are_those_of_the_exchange(name: str, oracle: dict[str, Any]) -> None:
    """F36: eleven years, every day."""
    theirs = {day.date() for day in oracle[name].sessions}
    ours = calendar(name)
    days = [date(2015, 1, 1) + timedelta(days=n) for n in range(4383)]
    assert [day for day in days if ours.is_session(day)] == sorted(theirs)


@pytest.mark.parametrize("name", ["XNYS", "XLON"])
def test_opens_and_closes_are_those_of_the_exchange(name: str, oracle: dict[str, Any]) -> None:
    """F36: early closes and daylight saving time included."""
    ours = calendar(name)
    wrong = []
    for session, close in oracle[name].closes.items():
        day, end = session.date(), close.to_pydatetime()
        start = oracle[name].opens[session].to_pydatetime()
        around = [
            ours.is_open(m) for m in (start - timedelta(seconds=1), start, end - timedelta(seconds=1), end)
        ]
        if ours.close_of(day) != end or around != [False, True, True, False]:
            wrong.append((day, end, ours.close_of(day), around))
    assert wrong == []


def test_the_day_after_thanksgiving_closes_at_one_in_the_afternoon() -> None:
    """F36: 27 November 2026, 13:00 in New York is 18:00 UTC."""
    xnys = calendar("XNYS")
    day = date(2026, 11, 27)
    assert xnys.close_of(day) == datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
    assert xnys.is_open(datetime(2026, 11, 27, 17, 59, 59, tzinfo=UTC))
    assert not xnys.is_open(datetime(2026, 11, 27, 18, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("day", "close"),
    [
        (date(2026, 3, 6), "2026-03-06T21:00:00"),  # Friday before the clocks go forward
        (date(2026, 3, 9), "2026-03-09T20:00:00"),  # and the Monday after
        (date(2026, 10, 30), "2026-10-30T20:00:00"),
        (date(2026, 11, 2), "2026-11-02T21:00:00"),
    ],
)
def test_the_close_follows_daylight_saving_time(day: date, close: str) -> None:
    """F36."""
    assert calendar("XNYS").close_of(day) == datetime.fromisoformat(close).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "session"),
    [
        (new_york(2026, 11, 18, 0, 0), date(2026, 11, 18)),  # the first moment of a day
        (new_york(2026, 11, 17, 23, 59, 59), date(2026, 11, 17)),
        (new_york(2026, 11, 20, 20, 0), date(2026, 11, 20)),  # Friday evening is still Friday
        (new_york(2026, 11, 21, 0, 0), date(2026, 11, 23)),  # Saturday counts for Monday
        (new_york(2026, 11, 22, 23, 0), date(2026, 11, 23)),
        (new_york(2026, 11, 26, 12, 0), date(2026, 11, 27)),  # Thanksgiving counts for the day after
        (new_york(2026, 12, 25, 12, 0), date(2026, 12, 28)),  # Christmas on a Friday
        (
            datetime(2026, 11, 18, 4, 30, tzinfo=UTC),
            date(2026, 11, 17),
        ),  # half past four in UTC is yesterday there
        (new_york(2026, 3, 8, 3, 0), date(2026, 3, 9)),  # the Sunday on which an hour is missing
    ],
)
def test_a_moment_counts_for_the_session_of_its_local_day(at: datetime, session: date) -> None:
    """F36."""
    assert calendar("XNYS").session_of(at) == session


@pytest.mark.parametrize(
    ("at", "session"),
    [
        (datetime(2026, 11, 17, 16, 59, 59, tzinfo=CHICAGO), date(2026, 11, 17)),
        (datetime(2026, 11, 17, 17, 0, tzinfo=CHICAGO), date(2026, 11, 18)),  # 17:00 belongs to tomorrow
        (datetime(2026, 11, 20, 17, 0, tzinfo=CHICAGO), date(2026, 11, 23)),  # Friday evening to Monday
        (datetime(2026, 11, 22, 18, 0, tzinfo=CHICAGO), date(2026, 11, 23)),  # Sunday evening to Monday
    ],
)
def test_futures_roll_in_the_evening(at: datetime, session: date) -> None:
    """F36: the CME's trading day."""
    assert calendar("CMES").session_of(at) == session


def test_the_cme_session_begins_at_the_roll_of_the_day_before() -> None:
    assert calendar("CMES").session_start(date(2026, 11, 18)) == datetime(2026, 11, 17, 23, 0, tzinfo=UTC)
    assert calendar("CMES").session_start(date(2026, 11, 23)) == datetime(2026, 11, 20, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        (datetime(2026, 11, 15, 16, 59, 59, tzinfo=CHICAGO), False),  # Sunday
        (datetime(2026, 11, 15, 17, 0, tzinfo=CHICAGO), True),
        (datetime(2026, 11, 17, 3, 0, tzinfo=CHICAGO), True),
        (datetime(2026, 11, 17, 15, 59, 59, tzinfo=CHICAGO), True),
        (datetime(2026, 11, 17, 16, 30, tzinfo=CHICAGO), False),  # the daily rest
        (datetime(2026, 11, 17, 17, 0, tzinfo=CHICAGO), True),
        (datetime(2026, 11, 20, 15, 59, tzinfo=CHICAGO), True),
        (datetime(2026, 11, 20, 17, 0, tzinfo=CHICAGO), False),  # Friday evening
        (datetime(2026, 11, 27, 12, 0, tzinfo=CHICAGO), False),  # the day after Thanksgiving
        (datetime(2026, 12, 24, 17, 0, tzinfo=CHICAGO), False),  # Christmas Eve
        (datetime(2026, 12, 27, 17, 0, tzinfo=CHICAGO), True),
    ],
)
def test_the_cme_trades_through_the_night_and_rests_an_hour_a_day(at: datetime, is_open: bool) -> None:
    """F36, R1.5: what is closed there must not be called stale, and what trades must not be left unwatched."""
    assert calendar("CMES").is_open(at) == is_open


@pytest.mark.parametrize("name", NAMES)
@given(at=moments)
@example(at=datetime(2026, 3, 8, 7, 0, tzinfo=UTC))
@example(at=datetime(2026, 11, 1, 5, 30, tzinfo=UTC))
@example(at=datetime(2026, 11, 1, 6, 30, tzinfo=UTC))
def test_a_moment_lies_between_the_start_of_its_session_and_the_start_of_the_next(
    name: str, at: datetime
) -> None:
    """F36: no moment counts twice and none is lost."""
    sessions = calendar(name)
    session = sessions.session_of(at)
    assert sessions.is_session(session)
    assert sessions.session_start(session) <= at
    following = session + timedelta(days=1)
    while not sessions.is_session(following):
        following += timedelta(days=1)
    assert at < sessions.session_start(following)
    assert sessions.previous_session(following) == session


@pytest.mark.parametrize("name", NAMES)
@given(at=moments)
def test_a_session_starts_with_its_first_moment(name: str, at: datetime) -> None:
    """F36."""
    sessions = calendar(name)
    session = sessions.session_of(at)
    start = sessions.session_start(session)
    assert sessions.session_of(start) == session
    assert sessions.session_of(start - timedelta(microseconds=1)) == sessions.previous_session(session)
    assert start < sessions.close_of(session) or name == "24/7"


@pytest.mark.parametrize("name", NAMES)
@given(one=moments, other=moments)
def test_a_later_moment_never_counts_for_an_earlier_session(
    name: str, one: datetime, other: datetime
) -> None:
    """F36."""
    sessions = calendar(name)
    assert (sessions.session_of(min(one, other))) <= sessions.session_of(max(one, other))


@given(moments)
def test_crypto_is_always_open_and_its_day_is_that_of_utc(at: datetime) -> None:
    """R1.5."""
    assert calendar("24/7").is_open(at)
    assert calendar("24/7").session_of(at) == at.date()


@given(moments)
def test_an_open_market_has_the_session_of_that_day(at: datetime) -> None:
    """F32: a stale price is told from a closed market."""
    xnys = calendar("XNYS")
    if xnys.is_open(at):
        assert xnys.session_of(at) == at.astimezone(NEW_YORK).date()


def test_an_unknown_calendar_is_refused_with_those_there_are() -> None:
    with pytest.raises(Rejected, match="XNYS") as refused:
        calendar("NYSE")
    assert refused.value.reason == "UNKNOWN_CALENDAR"
