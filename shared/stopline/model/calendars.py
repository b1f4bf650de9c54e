"""Trading calendars: which session a moment belongs to, and whether the market is open.

The facts (zone, hours, holidays, early closes) are data in `calendars.json`, made by
`tools/make_calendars.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from stopline.model.errors import Rejected


@dataclass(frozen=True, slots=True)
class Calendar:
    """Sessions of one market.

    A session is named by its date. It begins when the previous one ends: at `roll` on the day before for
    markets that roll in the evening, at local midnight otherwise. Regular trading is from `opens` to `closes`
    local time; a market that rolls opens on the evening before.
    """

    name: str
    zone: ZoneInfo
    opens: time
    closes: time
    roll: time | None
    every_day: bool
    holidays: frozenset[date]
    early_closes: Mapping[date, time]

    def is_session(self, day: date) -> bool:
        """Tell whether the market trades on a date."""
        return self.every_day or (day.weekday() < 5 and day not in self.holidays)

    def session_of(self, at: datetime) -> date:
        """Return the session that a moment counts for; a moment on a weekend or holiday counts for the next
        session.
        """
        local = at.astimezone(self.zone)
        day = local.date()
        if self.roll is not None and local.time() >= self.roll:
            day += timedelta(days=1)
        while not self.is_session(day):
            day += timedelta(days=1)
        return day

    def previous_session(self, session: date) -> date:
        """Return the session before one."""
        day = session - timedelta(days=1)
        while not self.is_session(day):
            day -= timedelta(days=1)
        return day

    def session_start(self, session: date) -> datetime:
        """Return the first moment, in UTC, that counts for a session."""
        first = self.previous_session(session)
        if self.roll is not None:
            return datetime.combine(first, self.roll, self.zone).astimezone(UTC)
        return datetime.combine(first + timedelta(days=1), time(0), self.zone).astimezone(UTC)

    def next_start(self, at: datetime) -> datetime:
        """Return the first moment, in UTC, of the session after the one that a moment counts for."""
        day = self.session_of(at) + timedelta(days=1)
        while not self.is_session(day):
            day += timedelta(days=1)
        return self.session_start(day)

    def open_of(self, session: date) -> datetime:
        """Return the start of regular trading of a session in UTC: on the evening before (a Sunday for a Monday) where
        the market rolls.
        """
        day = session if self.roll is None else session - timedelta(days=1)
        return datetime.combine(day, self.opens, self.zone).astimezone(UTC)

    def close_of(self, session: date) -> datetime:
        """Return the end of regular trading of a session in UTC, early closes included."""
        return datetime.combine(session, self.early_closes.get(session, self.closes), self.zone).astimezone(
            UTC
        )

    def is_open(self, at: datetime) -> bool:
        """Tell whether regular trading is on."""
        if self.every_day:
            return True
        session = self.session_of(at)
        return self.open_of(session) <= at < self.close_of(session)

    def awaits_prices(self, at: datetime, max_age: timedelta) -> bool:
        """Tell whether a price may be called missing: trading has been on for as long as one may be old. The first
        prices of a day take a moment, and the last ones of the day before are no reason for an alarm at each opening.
        """
        return self.is_open(at) and self.is_open(at - max_age)


@cache
def calendar(name: str) -> Calendar:
    """Return a calendar by name (`XNYS`, `XBOM`, `CMES`, `24/7`, ...). An unknown name is Rejected with those
    that exist.
    """
    table = _table()
    if name not in table:
        raise Rejected("UNKNOWN_CALENDAR", f"calendar {name!r} is not one of {', '.join(sorted(table))}")
    facts = table[name]
    return Calendar(
        name=name,
        zone=ZoneInfo(facts["zone"]),
        opens=time.fromisoformat(facts["opens"]),
        closes=time.fromisoformat(facts["closes"]),
        roll=time.fromisoformat(facts["roll"]) if facts["roll"] else None,
        every_day=facts["every_day"],
        holidays=frozenset(map(date.fromisoformat, facts["holidays"])),
        early_closes={date.fromisoformat(d): time.fromisoformat(t) for d, t in facts["early_closes"].items()},
    )


@cache
def _table() -> dict[str, dict[str, Any]]:
    return json.loads(files("stopline.model").joinpath("calendars.json").read_text("utf-8"))  # type: ignore[no-any-return]
