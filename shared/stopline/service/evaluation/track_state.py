"""What the risk document remembers of losses, as plain JSON data and back."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from stopline.model.decimals import decimal_text
from stopline.model.times import utc_text
from stopline.rules.limits.track import DayStart, Peak, Streak, Track


def encode_start(start: DayStart | None) -> list[str] | None:
    """Write the start of a period."""
    return [start.session.isoformat(), decimal_text(start.total), start.source] if start else None


def decode_start(item: list[str] | None) -> DayStart | None:
    """Read what `encode_start` wrote."""
    return DayStart(date.fromisoformat(item[0]), Decimal(item[1]), item[2]) if item else None


def encode_track(track: Track) -> dict[str, Any]:
    """Write a track."""
    streak = track.streak
    return {
        "week": encode_start(track.week),
        "month": encode_start(track.month),
        "peak": _peak(track.peak),
        "day_peak": decimal_text(track.day_peak),
        "strategies": {name: _peak(peak) for name, peak in sorted(track.strategies.items())},
        "samples": [[utc_text(at), decimal_text(total)] for at, total in track.samples],
        "recent": [[utc_text(at), decimal_text(total)] for at, total in track.recent],
        "streak": streak
        and [
            streak.losses,
            {key: [fill, decimal_text(net)] for key, (fill, net) in sorted(streak.ended.items())},
        ],
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
        samples=_samples(item["samples"]),
        recent=_samples(item.get("recent", [])),
        streak=_read_streak(item["streak"]),
        peaks_since=_moment(since) if since else None,
    )


def _samples(items: list[list[str]]) -> tuple[tuple[datetime, Decimal], ...]:
    return tuple((_moment(at), Decimal(total)) for at, total in items)


def _peak(peak: Peak) -> list[Any]:
    return [decimal_text(peak.top), [decimal_text(value) for value in peak.seen]]


def _read_peak(item: list[Any]) -> Peak:
    return Peak(Decimal(item[0]), tuple(Decimal(value) for value in item[1]))


def _read_streak(item: list[Any] | None) -> Streak | None:
    if item is None:
        return None
    return Streak(item[0], {key: (fill, Decimal(net)) for key, (fill, net) in item[1].items()})


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
