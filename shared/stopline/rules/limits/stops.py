"""The stops that limits have asked for: one on the way into a breach, and after its end another one wherever it gets worse.

What has ended is a cool-down, or what people have lifted, while the limit is still in breach. From the value of then on one
more (of what is counted), or `FURTHER` of the limit, stops again; till then the check of orders lets pass what adds risk. A
number of a period begins anew with the next one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from stopline.model.decimals import EXACT, ZERO
from stopline.model.ids import digest
from stopline.rules.limits.limit import Unit, level_of
from stopline.rules.limits.registry import LIMITS, Action, Level, Reading
from stopline.rules.limits.watch import Watched
from stopline.rules.trading.reset import FURTHER, Reset


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop of a limit that is in breach. `request_id`: what asked for it; empty: not known. `level`: the last value that
    was read while it held. `ended`: it holds no more. `asked_at`: when it was asked for; None: not known.
    """

    request_id: str = ""
    level: Decimal | None = None
    ended: bool = False
    asked_at: datetime | None = None


OVER = Stop(ended=True)  # of a period that is over: any breach stops anew


def stops_after(
    readings: Sequence[Reading],
    watched: Mapping[str, Watched],
    before: Mapping[str, Stop],
    ended: Collection[str] | None,
    sessions: tuple[date | None, date],
    account: str,
    cause: str,
    now: datetime,
) -> tuple[dict[str, Stop], list[Reading]]:
    """Return the stops of limits in breach after a reading, and the readings that ask for one. `watched`: the levels before;
    `ended`: keys of stops that hold no more, None: nobody has looked; `sessions`: of the reading before and of this one.
    """
    after: dict[str, Stop] = {}
    asked: list[Reading] = []
    for reading in readings:
        known, was = before.get(reading.key), watched.get(reading.key)
        if known is not None and _has_begun_anew(reading.limit.ends.reset, *sessions):
            known = OVER
        if reading.current is None and known is not None:
            after[reading.key] = known
        if reading.level is not Level.BREACH or reading.action is Action.WARN or reading.current is None:
            continue
        if was is not None and was.level is Level.BREACH and known != OVER:
            known = _looked_at(known or Stop(), reading, ended)
            if not is_worse(known, reading):
                after[reading.key] = known
                continue
        asked.append(reading)
        after[reading.key] = Stop(request_of(account, reading, cause), reading.current, asked_at=now)
    return after, asked


def request_of(account: str, reading: Reading, cause: str) -> str:
    """Return the id of the request by which a reading asks for its stop."""
    return digest("limit_action", account, reading.key, cause)


def lifted(
    stops: Mapping[str, Stop], ended: Collection[str], sessions: tuple[date | None, date]
) -> dict[str, Stop]:
    """Return the stops, by key, that hold no more while their limit is in breach: of `ended`, that nobody may have looked at
    yet. `sessions`: of the reading that they are of, and of now.
    """
    return {
        key: replace(stops[key], ended=True)
        for key in ended
        if stops[key].level is not None and not _has_begun_anew(_reset(key), *sessions)
    }


def _reset(key: str) -> Reset | None:
    limit = LIMITS.get(key.partition("|")[0])
    return limit.ends.reset if limit else None


def _looked_at(known: Stop, reading: Reading, ended: Collection[str] | None) -> Stop:
    if ended is None:
        return known
    if reading.key not in ended:
        return replace(known, level=reading.current, ended=False)
    return replace(known, level=reading.current if known.level is None else known.level, ended=True)


def is_worse(known: Stop, reading: Reading) -> bool:
    """Tell whether a reading goes further than the one at which a stop has ended, so that it stops again."""
    if not known.ended or known.level is None or reading.current is None:
        return False
    return _breaches(reading.current, reading) and (
        not _breaches(known.level, reading) or reading.current > furthest(known, reading)
    )


def furthest(known: Stop, reading: Reading) -> Decimal:
    """Return the number up to which nothing stops again after the end of a stop."""
    if known.level is None or not _breaches(known.level, reading):
        return reading.threshold
    step = ZERO if reading.limit.unit is Unit.COUNT else EXACT.multiply(reading.threshold, FURTHER)
    return EXACT.add(known.level, step)


def _breaches(number: Decimal, reading: Reading) -> bool:
    limit = reading.limit
    return level_of(number, reading.threshold, limit.inclusive, Level.OK, limit.unit) is Level.BREACH


def _has_begun_anew(reset: Reset | None, before: date | None, now: date) -> bool:
    """Tell whether the period that ends a stop is another one than at the reading before."""
    if before is None:
        return False
    match reset:
        case Reset.SESSION:
            return before != now
        case Reset.WEEK:
            return before.isocalendar()[:2] != now.isocalendar()[:2]
        case Reset.MONTH:
            return (before.year, before.month) != (now.year, now.month)
    return False
