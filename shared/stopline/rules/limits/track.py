"""What an account's risk document remembers to judge losses by: starts of periods, peaks, a losing streak.

All amounts are P&L since the account began (realised + unrealised - fees), in its currency; after a deposit or withdrawal
the P&L that losses are measured from so that no percentage moves (`flows.py`). What is UNKNOWN leaves what is remembered
as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from stopline.ledger.book import Book
from stopline.model.calendars import Calendar
from stopline.model.decimals import EXACT, ZERO
from stopline.rules.limits.streak import Streak

HOURLY_FOR = timedelta(hours=25)  # samples of the rolling guards: one an hour, after that one in six hours
SPARSE = timedelta(hours=6)
KEPT = timedelta(days=7)
RECENT_FOR = timedelta(minutes=10)
RECENT_EVERY = timedelta(seconds=30)
HOLDS = 3  # complete valuations in a row that a peak must hold: one bad price makes none


@dataclass(frozen=True, slots=True)
class DayStart:
    """The P&L since the account began, as it stood when a period's first session began, and where that number
    is from. `moved`: what flows since have added to it where percentages are of it.
    """

    session: date
    total: Decimal
    source: str
    moved: Decimal = ZERO

    @property
    def basis(self) -> Decimal:
        """The P&L that percentages of the period are measured from."""
        return EXACT.add(self.total, self.moved)


class Sample(NamedTuple):
    """The P&L since the account began at a moment; `moved` as of a `DayStart`; `flown`: deposits less withdrawals since."""

    at: datetime
    total: Decimal
    moved: Decimal = ZERO
    flown: Decimal = ZERO

    @property
    def basis(self) -> Decimal:
        return EXACT.add(self.total, self.moved)


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest P&L so far; the start, 0, counts. `seen`: the last complete valuations, oldest first."""

    top: Decimal = ZERO
    seen: tuple[Decimal, ...] = ()

    def after(self, value: Decimal | None) -> "Peak":
        """Return the peak after one more valuation; None leaves it."""
        if value is None:
            return self
        seen = (*self.seen, value)[-HOLDS:]
        return Peak(max(self.top, min(seen)) if len(seen) == HOLDS else self.top, seen)


@dataclass(frozen=True, slots=True)
class Track:
    """`peak` is of every valuation, `day_peak` of those at which sessions began; `samples` are oldest first. `streak` is
    None in a document by a version that counted none. `flows`: deposits less withdrawals by currency at the last complete
    valuation; None: there was none.
    """

    week: DayStart | None = None
    month: DayStart | None = None
    peak: Peak = field(default_factory=Peak)
    day_peak: Decimal = ZERO
    strategies: Mapping[str, Peak] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    streak: Streak | None = field(default_factory=Streak)
    peaks_since: datetime | None = None
    recent: tuple[tuple[datetime, Decimal], ...] = ()  # (moment, P&L) of the last minutes
    flows: Mapping[str, Decimal] | None = None

    def base(self, now: datetime, window: timedelta) -> Decimal | None:
        """Return the P&L when a rolling window began: the newest sample that is old enough, else the first one."""
        older = [sample for sample in self.samples if sample.at <= now - window]
        found = older[-1:] or self.samples[:1]
        return found[0].basis if found else None


NEW = Track()


def first_session(sessions: Calendar, session: date, period: str) -> date:
    """Return the first session of a session's `week` (from Monday) or `month`."""
    day = session - timedelta(days=session.weekday()) if period == "week" else session.replace(day=1)
    while not sessions.is_session(day):
        day += timedelta(days=1)
    return day


def period_start(
    sessions: Calendar,
    first: date,
    book: Book,
    realised: Decimal | None,
    realised_since: Decimal | None,
    stored: DayStart | None,
    last_total: tuple[datetime, Decimal] | None,
) -> DayStart | None:
    """Return the start of the period whose first session is `first`: exact where nothing was held over; else as
    stored; else the last valuation, if it is of the session before. None: UNKNOWN.
    """
    begins = sessions.session_start(first)
    if not _carried_into(book, first, begins):
        if realised is None or realised_since is None:
            return None
        exact = EXACT.subtract(realised, realised_since)  # each time: a late fill may restate an earlier day
        flown = stored.moved if stored is not None and stored.session == first else ZERO
        return DayStart(first, exact, "ledger: nothing was held over the start", flown)
    if stored is not None and stored.session == first:
        return stored
    fresh = sessions.session_start(sessions.previous_session(first))
    if last_total is not None and fresh <= last_total[0] < begins:
        return DayStart(
            first, last_total[1], f"last complete valuation, {last_total[0].isoformat(timespec='seconds')}"
        )
    return None


def _carried_into(book: Book, first: date, begins: datetime) -> bool:
    """Tell whether something may have been held when the period began. Of a longer one, a fill that closed units of
    an earlier session counts, though that session may be in the period: then what was stored holds.
    """
    return any(day.carried for (of, _), day in book.days.items() if of > first) or book.carried_into(
        first, begins
    )


def peaks(
    before: Track,
    total: Decimal | None,
    day_start: DayStart | None,
    strategies: Mapping[str, Decimal | None],
    since: datetime | None,
) -> Track:
    """Return the track with its peaks after one more valuation. A new `since` is a reset: what is, is the peak."""
    if since != before.peaks_since and total is not None:
        return replace(
            before,
            peak=Peak(total),
            day_peak=total,
            strategies={name: Peak(pnl) for name, pnl in strategies.items() if pnl is not None},
            peaks_since=since,
        )
    return replace(
        before,
        peak=before.peak.after(total),
        day_peak=max(before.day_peak, day_start.basis) if day_start else before.day_peak,
        strategies={
            **before.strategies,
            **{name: before.strategies.get(name, Peak()).after(pnl) for name, pnl in strategies.items()},
        },
    )


def sampled(
    samples: tuple[Sample, ...],
    now: datetime,
    total: Decimal | None,
    born: datetime | None = None,
) -> tuple[Sample, ...]:
    """Return the samples with this valuation, if an hour has passed, and without what no window needs. `born`: when the
    account's first session began, where that is known: one that is younger than a day has begun with a P&L of 0.
    """
    if total is None or (samples and now - samples[-1].at < timedelta(hours=1)):
        return samples
    if not samples and born is not None and now - timedelta(days=1) <= born < now:
        samples = (Sample(born, ZERO),)
    kept: list[Sample] = []
    for sample in samples:
        if kept and now - sample.at > HOURLY_FOR and sample.at - kept[-1].at < SPARSE:
            continue
        kept.append(sample)
    while len(kept) > 1 and now - kept[1].at >= KEPT:  # one that is older than the longest window stays
        kept.pop(0)
    return (*kept, Sample(now, total))


def recent(
    samples: tuple[tuple[datetime, Decimal], ...], now: datetime, total: Decimal | None
) -> tuple[tuple[datetime, Decimal], ...]:
    """Return the samples of the last minutes with this valuation, if half a minute has passed."""
    if total is None or (samples and now - samples[-1][0] < RECENT_EVERY):
        return samples
    return (*(sample for sample in samples if now - sample[0] <= RECENT_FOR), (now, total))
