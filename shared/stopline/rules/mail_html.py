"""The HTML of a mail: tables and inline styles only, because that is what every mail program shows.

The chart is a bar out of table cells, not a picture: pictures are blocked or shown as attachments by many programs,
and a cell's background is drawn by all of them, in dark mode too.
"""

from collections.abc import Sequence
from decimal import Decimal
from html import escape

_FONTS = "-apple-system,'Segoe UI',Roboto,Arial,sans-serif"
_LIMIT_AT = 80  # % of the bar's width at which the limit is
_EMPHASISED = ("Now", "To do")


def mail_html(
    banner: str,
    title: str,
    colour: str,
    share: Decimal | None,
    rows: Sequence[tuple[str, str]],
    lines: Sequence[str],
    ack_url: str,
) -> str:
    """Return the document. `colour` is a CSS colour, `share` the part of the limit, 1 being all of it."""
    label = 'style="width:84px;padding:6px 8px 6px 0;color:#5f6368;vertical-align:top"'
    cell = 'style="padding:6px 0;vertical-align:top;overflow-wrap:break-word"'
    table = "\n".join(
        f"<tr><td {label}>{escape(name)}</td><td {cell}>{_emphasis(name, escape(value))}</td></tr>"
        for name, value in rows
    )
    title = escape(title)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>{title}</title>
</head>
<body style="margin:0;padding:12px;background:#f1f3f4;font:16px/1.4 {_FONTS}">
<div style="max-width:560px;margin:0 auto;background:#ffffff;border-radius:8px;overflow:hidden;color:#202124">
<div style="background:{colour};color:#ffffff;padding:10px 16px;font-weight:bold">
{escape(banner)}</div>
<div style="padding:14px 16px">
<div style="font-size:20px;font-weight:bold;line-height:1.3;margin-bottom:8px;overflow-wrap:break-word">
{title}</div>
{_bar(share, colour)}{_list(lines)}{_button(ack_url, colour)}<table role="presentation" cellspacing="0" cellpadding="0"
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
        (below, colour),
        (_LIMIT_AT - below, "#e8eaed"),
        (0, "#202124"),
        (above, colour),
        (100 - _LIMIT_AT - above, "#e8eaed"),
    ]
    drawn = "".join(_segment(width, fill) for width, fill in cells if width or fill == "#202124")
    words = f"{int(share * 100)}% of the limit"
    return f"""<table role="img" aria-label="{words}" cellspacing="0" cellpadding="0"
style="width:100%;border-collapse:collapse;margin-bottom:2px"><tr>{drawn}</tr></table>
<div style="font-size:13px;color:#5f6368;margin-bottom:8px">{words}</div>
"""


def _segment(width: int, fill: str) -> str:
    size = f"{width}%" if width else "3px"
    height = 14 if width else 20
    style = f"background:{fill};height:{height}px;line-height:{height}px;font-size:1px"
    return f'<td width="{size}" bgcolor="{fill}" style="{style}">&nbsp;</td>'


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
