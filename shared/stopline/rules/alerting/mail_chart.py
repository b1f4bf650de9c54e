"""The small chart of a mail: how a limit's number came to where it is, against the warning and the limit.

It is made of table cells, one column a minute, because pictures are blocked or listed as attachments by many mail
programs. Grey columns are far from the limit, amber ones from 80 % of it on, red ones at or above it. A minute that nobody
could see is an empty place, never a zero.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from html import escape
from zoneinfo import ZoneInfo

from stopline.model.messages import TREND, Alert
from stopline.rules.alerting.text_parts import amount, part_of_limit

FEWEST = 3  # readings; fewer tell no story, and the bar says how much it is
WARN = Decimal("0.8")
_HEIGHT = 96  # px of the whole
_TOP = Decimal("1.25")  # of the limit at least: the limit is never at the edge
_HIGHEST = Decimal(4)  # what is beyond is cut off there
_FAR, _NEAR, _OVER = "#9aa0a6", "#b26a00", "#c62828"
_LABEL = 96  # px


@dataclass(frozen=True, slots=True)
class Chart:
    """Parts of the limit, 1 being all of it, in equal steps of time; None where there is no reading."""

    shares: tuple[Decimal | None, ...]
    limit: str
    first: str
    last: str

    @property
    def words(self) -> str:
        """What it shows, for who does not see it."""
        seen = [share for share in self.shares if share is not None]
        return f"From {_percent(seen[0])} of the limit at {self.first} to {_percent(seen[-1])} at {self.last}"


def chart_of(alert: Alert, zone: str) -> Chart | None:
    """Return the chart of an alert's readings, or None where they are too few or have no limit to be drawn against."""
    points, figure = alert.trend, alert.figure
    if len(points) < FEWEST or figure is None or not figure.limit or part_of_limit(alert) is None:
        return None
    first, last = points[0].at, points[-1].at
    if last <= first:
        return None
    step = max(timedelta(minutes=1), (last - first) / (TREND - 1))
    slots: list[Decimal | None] = [None] * (1 + round((last - first) / step))
    for point in points:
        slots[round((point.at - first) / step)] = max(point.current / figure.limit, Decimal(0))
    return Chart(tuple(slots), amount(figure.limit, figure.unit), _clock(first, zone), _clock(last, zone))


def chart_html(chart: Chart) -> str:
    """Return it as a table: what is over the limit, between warning and limit, below; then the times."""
    top = min(max([_TOP, *(share for share in chart.shares if share is not None)]), _HIGHEST)
    bands = ((Decimal(1), top, "limit"), (WARN, Decimal(1), "warn"), (Decimal(0), WARN, ""))
    rows = "".join(_band(chart, low, high, top, name) for low, high, name in bands)
    count = len(chart.shares)
    style = 'class="label" style="font-size:12px;color:#5f6368;padding:2px 0 0 0"'
    left = max(count // 2, 1)
    times = (
        f'<tr><td {style} colspan="{left}">{escape(chart.first)}</td>'
        f'<td {style} colspan="{count - left}" align="right">{escape(chart.last)}</td><td></td></tr>'
    )
    return f"""<table role="img" aria-label="{escape(chart.words)}" cellspacing="0" cellpadding="0"
style="width:100%;border-collapse:collapse;table-layout:fixed;margin-bottom:8px">
{rows}{times}
</table>
"""


def _band(chart: Chart, low: Decimal, high: Decimal, top: Decimal, name: str) -> str:
    """Return the part of all columns between two heights, with the line at its foot and what the line is."""
    height = _pixels(high - low, top)
    line = {"limit": "2px solid #202124", "warn": "1px dashed #9aa0a6"}.get(name, "1px solid #dadce0")
    cells = "".join(
        f'<td valign="bottom" class="{name or "foot"}" '
        f'style="height:{height}px;padding:0 1px;border-bottom:{line};font-size:1px;line-height:1px">'
        f"{_column(share, low, high, top)}</td>"
        for share in chart.shares
    )
    said = {"limit": f"limit {chart.limit}", "warn": "80%" if height >= 14 else ""}.get(name, "")
    label = (
        f'<td valign="bottom" class="label" width="{_LABEL}" style="width:{_LABEL}px;padding:0 0 0 6px;'
        f'font-size:12px;line-height:12px;color:#5f6368">{escape(said)}</td>'
    )
    return f"<tr>{cells}{label}</tr>\n"


def _column(share: Decimal | None, low: Decimal, high: Decimal, top: Decimal) -> str:
    height = 0 if share is None else _pixels(min(max(share, low), high) - low, top)
    if not height or share is None:
        return ""
    colour = _OVER if share >= 1 else _NEAR if share >= WARN else _FAR
    return f'<div style="height:{height}px;background:{colour}"></div>'


def _pixels(part: Decimal, top: Decimal) -> int:
    return round(part / top * _HEIGHT)


def _percent(share: Decimal) -> str:
    return f"{int(share * 100)}%"


def _clock(moment: datetime, zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%H:%M}"
