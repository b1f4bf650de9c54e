"""The HTML of a mail: tables and inline styles only, because that is what every mail program shows.

The bar, where there is no chart (`mail_chart.py`), is made of table cells too.
The one style block is for programs that follow the phone's dark mode; those that strip it invert the colours themselves.
"""

from collections.abc import Sequence
from decimal import Decimal
from html import escape

from stopline.rules.alerting.mail_chart import Chart, chart_html

_FONTS = "-apple-system,'Segoe UI',Roboto,Arial,sans-serif"
_LIMIT_AT = 80  # % of the bar's width at which the limit is
_TITLE = 200  # characters; the rest of a longer one follows below what must be seen at once
_EMPHASISED = ("Now", "To do")
_DARK = (
    "@media (prefers-color-scheme: dark) {\n"
    ".page { background: #000000 !important } .card { background: #1f1f1f !important; color: #e8eaed !important }\n"
    ".label { color: #9aa0a6 !important } .rest { background: #3c4043 !important }\n"
    ".limit { border-color: #e8eaed !important } .foot { border-color: #5f6368 !important }\n"
    "}"
)


def mail_html(
    banner: str,
    title: str,
    colour: str,
    share: Decimal | None,
    rows: Sequence[tuple[str, str]],
    lines: Sequence[str],
    ack_url: str,
    chart: Chart | None = None,
) -> str:
    """Return the document. `colour` is a CSS colour, `share` the part of the limit, 1 being all of it: a bar, where no
    chart says more.
    """
    label = 'class="label" style="width:72px;padding:6px 8px 6px 0;color:#5f6368;vertical-align:top"'
    cell = 'style="padding:6px 0;vertical-align:top;overflow-wrap:break-word"'
    shown = title if len(title) <= _TITLE else f"{title[: _TITLE - 3].rstrip()}..."
    rest = [] if shown == title else [("In full", title)]
    table = "\n".join(
        f"<tr><td {label}>{escape(name)}</td><td {cell}>{_emphasis(name, escape(value))}</td></tr>"
        for name, value in [*rows, *rest]
    )
    title = escape(shown)
    picture = chart_html(chart) if chart else _bar(share, colour)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{title}</title>
<style>
{_DARK}
</style>
</head>
<body class="page" style="margin:0;padding:12px;background:#f1f3f4;font:16px/1.4 {_FONTS}">
<div class="card" style="max-width:560px;margin:0 auto;background:#ffffff;border-radius:8px;overflow:hidden;color:#202124">
<div style="background:{colour};color:#ffffff;padding:10px 16px;font-weight:bold">
{escape(banner)}</div>
<div style="padding:14px 16px">
<div style="font-size:20px;font-weight:bold;line-height:1.3;margin-bottom:8px;overflow-wrap:break-word">
{title}</div>
{picture}{_list(lines)}{_button(ack_url, colour)}<table role="presentation" cellspacing="0" cellpadding="0"
style="border-collapse:collapse;table-layout:fixed;width:100%">
{table}
</table>
</div>
</div>
</body>
</html>
"""


def _emphasis(name: str, value: str) -> str:
    return f"<b>{value}</b>" if name in _EMPHASISED else value


def _bar(share: Decimal | None, colour: str) -> str:
    """Draw how much of the limit is used: full up to there, a dark line at the limit, what is beyond in colour too."""
    if share is None:
        return ""
    filled = round(min(share, Decimal("1.25")) * _LIMIT_AT)
    below, above = min(filled, _LIMIT_AT), max(filled - _LIMIT_AT, 0)
    cells = [
        _segment(below, colour),
        _segment(_LIMIT_AT - below, ""),
        _segment(above, colour, limit=True),
        _segment(100 - _LIMIT_AT - above, "", limit=not above),
    ]
    words = f"{int(share * 100)}% of the limit"
    return f"""<table role="img" aria-label="{words}" cellspacing="0" cellpadding="0"
style="width:100%;border-collapse:collapse;table-layout:fixed;margin-bottom:8px"><tr>{"".join(cells)}</tr></table>
"""


def _segment(width: int, fill: str, limit: bool = False) -> str:
    """Return a part of the bar, empty where it has no colour; `limit`: it begins at the limit."""
    if not width:
        return ""
    line = ";border-left:4px solid #202124" if limit else ""
    names = " ".join([*(["rest"] if not fill else []), *(["limit"] if limit else [])])
    shown = f' class="{names}"' if names else ""
    fill = fill or "#dadce0"
    style = f"background:{fill};height:16px;line-height:16px;font-size:1px{line}"
    return f'<td{shown} width="{width}%" bgcolor="{fill}" style="{style}">&nbsp;</td>'


def _list(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "".join(f'<li style="margin:0 0 4px 0">{escape(line)}</li>' for line in lines)
    return f'<ul style="margin:0 0 10px 0;padding-left:20px;overflow-wrap:break-word">{items}</ul>\n'


def _button(url: str, colour: str) -> str:
    if not url:
        return ""
    style = "display:block;padding:12px 16px;color:#ffffff;font-weight:bold;text-align:center;text-decoration:none"
    return f"""<table role="presentation" cellspacing="0" cellpadding="0" style="width:100%;margin:4px 0 10px 0"><tr>
<td bgcolor="{colour}" style="background:{colour};border-radius:6px"><a href="{escape(url)}" style="{style}">
Acknowledge: I have it</a></td></tr></table>
"""
