"""What the risk document remembers of losses, as plain JSON data and back."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from stopline.model.decimals import decimal_text
from stopline.model.times import utc_text
from stopline.rules.limits.round_trips import Part
from stopline.rules.limits.streak import Closed, Streak
from stopline.rules.limits.track import DayStart, Peak, Sample, Track


def encode_start(start: DayStart | None) -> list[str] | None:
    """Write the start of a period."""
    if start is None:
        return None
    flown = [decimal_text(start.moved)] if start.moved else []
    return [start.session.isoformat(), decimal_text(start.total), start.source, *flown]


def decode_start(item: list[str] | None) -> DayStart | None:
    """Read what `encode_start` wrote."""
    if item is None:
        return None
    session, total, source, *flown = item
    return DayStart(date.fromisoformat(session), Decimal(total), source, Decimal(flown[0] if flown else 0))


def encode_track(track: Track) -> dict[str, Any]:
    """Write a track."""
    return {
        "week": encode_start(track.week),
        "month": encode_start(track.month),
        "peak": _peak(track.peak),
        "day_peak": decimal_text(track.day_peak),
        "strategies": {name: _peak(peak) for name, peak in sorted(track.strategies.items())},
        "samples": [
            [utc_text(at), decimal_text(total), *(map(decimal_text, flowed) if any(flowed) else ())]
            for at, total, *flowed in track.samples
        ],
        "recent": [[utc_text(at), decimal_text(total)] for at, total in track.recent],
        "streak": _streak(track.streak),
        "flows": track.flows
        and {currency: decimal_text(amount) for currency, amount in sorted(track.flows.items())},
        "peaks_since": utc_text(track.peaks_since) if track.peaks_since else None,
    }


def decode_track(item: dict[str, Any] | None) -> Track:
    """Read a track. A document by a version without one has no peaks yet, and its past trades do not count."""
    if item is None:
        return Track(streak=None)
    since = item["peaks_since"]
    return Track(
        week=decode_start(item["week"]),
        month=decode_start(item["month"]),
        peak=_read_peak(item["peak"]),
        day_peak=Decimal(item["day_peak"]),
        strategies={name: _read_peak(peak) for name, peak in item["strategies"].items()},
        samples=tuple(Sample(_moment(at), *map(Decimal, numbers)) for at, *numbers in item["samples"]),
        recent=tuple((_moment(at), Decimal(total)) for at, total in item.get("recent", [])),
        streak=_read_streak(item["streak"]),
        peaks_since=_moment(since) if since else None,
        flows=None
        if item.get("flows") is None
        else {currency: Decimal(amount) for currency, amount in item["flows"].items()},
    )


def _peak(peak: Peak) -> list[Any]:
    return [decimal_text(peak.top), [decimal_text(value) for value in peak.seen]]


def _read_peak(item: list[Any]) -> Peak:
    return Peak(Decimal(item[0]), tuple(Decimal(value) for value in item[1]))


def _streak(streak: Streak | None) -> dict[str, Any] | None:
    if streak is None:
        return None
    return {
        "earlier": streak.earlier,
        "until": [utc_text(streak.until[0]), streak.until[1]] if streak.until else None,
        "closed": [[utc_text(each.at), each.trade, each.sign] for each in streak.closed],
        "carried": [_part(part) for part in streak.carried],
        "parts": [_part(part) for part in streak.parts],
    }


def _part(part: Part) -> list[Any]:
    times = [utc_text(part.entered), utc_text(part.at)]
    fees = {currency: decimal_text(amount) for currency, amount in part.other}
    return [part.of, *times, part.trade, part.currency, decimal_text(part.net), fees]


def _read_streak(item: dict[str, Any] | list[Any] | None) -> Streak | None:
    if item is None:
        return None
    if isinstance(item, list):  # of a version that counted by strategy and underlying
        return Streak(item[0], None)
    until = item["until"]
    return Streak(
        item["earlier"],
        (_moment(until[0]), until[1]) if until else None,
        tuple(Closed(_moment(at), trade, sign) for at, trade, sign in item["closed"]),
        tuple(map(_read_part, item.get("carried", []))),
        tuple(map(_read_part, item.get("parts", []))),
    )


def _read_part(item: list[Any]) -> Part:
    of, entered, at, trade, currency, net, other = item
    fees = tuple((name, Decimal(amount)) for name, amount in other.items())
    return Part(of, _moment(entered), _moment(at), trade, currency, Decimal(net), fees)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
