"""What a person reads: an alert as SMS, e-mail and Discord message, understood at a glance on a phone.

Every text says in this order: how bad and whose, what happened, how much against which limit, what Stopline
did, when (in the account's time zone), and the short id to ask about it. Free text of an alert comes from
outside: it is one line here, escaped for the place where it is shown, and it can address nobody.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import datetime
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from html import escape
from zoneinfo import ZoneInfo

from stopline.model.decimals import decimal_text
from stopline.model.messages import Alert, Figure, Severity

ONE_SMS = 160  # septets of the GSM alphabet that fit in one message
TWO_SMS = 306  # and in two: each part carries a header
UNKNOWN = "unknown"

_WORD = {Severity.CRITICAL: "CRITICAL", Severity.WARNING: "WARNING", Severity.INFO: "INFO"}
_COLOUR = {Severity.CRITICAL: 0xC62828, Severity.WARNING: 0xB26A00, Severity.INFO: 0x1565C0}
_RESOLVED_COLOUR = 0x2E7D32
_MARK = {
    Severity.CRITICAL: "\U0001f534",
    Severity.WARNING: "\U0001f7e1",
    Severity.INFO: "\U0001f535",
}  # circles
_RESOLVED_MARK = "\u2705"

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_DOUBLE = frozenset("^{}\\[~]|€")
_PLAIN = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "•": "-", "‘": "'", "’": "'", "`": "'", "“": '"', "”": '"', "…": "..."}
    | {"→": "->", "≥": ">=", "≤": "<=", "×": "x", "₹": "INR ", "₿": "BTC "}
)
_CLAUSE = re.compile(r"[.:;] ")
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # they reorder what a person reads
_MARKDOWN = re.compile(r"([\\*_~`|<>\[\]#])")
_CENTS = frozenset(
    {"AUD", "CAD", "CHF", "CNY", "EUR", "GBP", "HKD", "INR", "NZD", "SEK", "SGD", "USD", "USDC", "USDT"}
)


def sms_text(alert: Alert, zone: str) -> str:
    """Return an alert as one SMS where it fits, as two at most. Words are cut, numbers never.

    CRITICAL demo: Daily loss limit. 3,240.50 USD, limit 3,000 USD. New orders refused. 10:02 EST #1f2e3d4c
    """
    head = _gsm(f"{_word(alert)} {_whose(alert)}: ")
    body = _gsm(_sentence(_what(alert)))
    figure = _gsm(f" {_sentence(_figure_line(alert.figure))}") if alert.figure and not _told(alert) else ""
    action = _gsm(f" {_sentence(alert.action)}") if _line(alert.action) else ""
    clause = _gsm(f" {_sentence(_CLAUSE.split(_line(alert.action), maxsplit=1)[0])}") if action else ""
    id_ = f" #{short_id(alert)}"
    clock = _gsm(f" {_clock(alert.raised_at, zone)}")
    for shorter in (action + clock, action, clause + clock, clause):
        text = head + body + figure + shorter + id_
        if _septets(text) <= ONE_SMS:
            return text
    fixed = TWO_SMS - _septets(head + figure + clock + id_)
    action = _cut(action, max(fixed // 2, fixed - _septets(body)), _septets)
    return head + _cut(body, fixed - _septets(action), _septets) + figure + action + clock + id_


def email_parts(alert: Alert, zone: str) -> tuple[str, str, str]:
    """Return subject, plain text and HTML of an alert's mail. The HTML loads nothing and fits a phone."""
    subject = _cut(f"[{_word(alert)}] {_whose(alert)}: {_title(alert)}", 120)
    rows = _rows(alert, zone)
    width = max(len(name) for name, _ in rows) + 2
    lines = [
        f"{_word(alert)}: {_title(alert)}",
        "",
        *(f"{name + ':':<{width}}{value}" for name, value in rows),
    ]
    text = "\n".join([*lines, ""])
    return subject, text, _html(alert, rows)


def discord_payload(alert: Alert, zone: str) -> dict[str, object]:
    """Return the body of a webhook call: a line for the notification, one embed, and nobody is mentioned."""
    mark = _RESOLVED_MARK if alert.resolved else _MARK[alert.severity]
    line = f"{mark} **{_word(alert)}** {_markdown(_whose(alert), 200)}: {_markdown(_title(alert), 1000)}"
    if alert.figure and not _told(alert):
        line += f" ({_markdown(_figure_line(alert.figure), 400)})"
    fields = [
        {"name": name, "value": _markdown(value, 1024), "inline": name in _SHORT}
        for name, value in _rows(alert, zone)
        if name not in ("Account", "Alert")
    ]
    embed: dict[str, object] = {
        "color": _RESOLVED_COLOUR if alert.resolved else _COLOUR[alert.severity],
        "fields": fields,
        "footer": {"text": f"Stopline  #{short_id(alert)}"},
    }
    return {"content": line, "embeds": [embed], "allowed_mentions": {"parse": []}}


def short_id(alert: Alert) -> str:
    """Return the start of an alert's id: enough to find it by."""
    return alert.alert_id[:8]


def amount(value: Decimal | None, unit: str) -> str:
    """Write a number with its unit: `3,240.50 USD`, `3.24%`, `150 units`, `12 min 5 s`, `unknown`."""
    if value is None:
        return UNKNOWN
    return _with_unit(value, unit, exact=False)


# --- parts ------------------------------------------------------------------------------------------------

_SHORT = frozenset({"Now", "Limit"})


def _rows(alert: Alert, zone: str) -> list[tuple[str, str]]:
    """Return what the long forms list, in the order in which a trader asks."""
    rows = [("Account", _whose(alert))]
    if alert.figure:
        current, limit = _figure(alert.figure)
        share = _share(alert.figure)
        rows.append(("Now", f"{current} ({share} of the limit)" if share else current))
        if limit:
            rows.append(("Limit", limit))
    if _object(alert):
        rows.append(("Concerns", _object(alert)))
    if _line(alert.action):
        rows.append(("Stopline", _line(alert.action)))
    rows.append(("When", _moment(alert.raised_at, zone)))
    rows.append(("Rule", _kind(alert)))
    rows.append(("Alert", alert.alert_id))
    return rows


def _word(alert: Alert) -> str:
    return "RESOLVED" if alert.resolved else _WORD[alert.severity]


def _whose(alert: Alert) -> str:
    return alert.account or "operator"


def _kind(alert: Alert) -> str:
    return alert.kind.replace("_", " ").capitalize()


def _title(alert: Alert) -> str:
    return _line(alert.summary) or _kind(alert)


def _object(alert: Alert) -> str:
    """Return what the alert is about, or nothing where that is the account as a whole."""
    thing = _line(alert.object)
    return "" if thing in ("account", alert.account, f"account:{alert.account}") else thing


def _what(alert: Alert) -> str:
    """Return the summary, preceded by the object unless it is named there already."""
    summary, thing = _title(alert), _object(alert)
    return summary if thing.casefold() in summary.casefold() else f"{_cut(thing, 60)}: {summary}"


def _told(alert: Alert) -> bool:
    """Tell whether the summary holds the numbers of the figure already, as they would be written here."""
    assert alert.figure
    parts = [part for part in _figure(alert.figure) if part]
    return all(re.search(rf"(?<![\w.,-]){re.escape(part)}(?!\w)", _line(alert.summary)) for part in parts)


def _figure_line(figure: Figure) -> str:
    current, limit = _figure(figure)
    shown = f"Value {current}" if figure.current is None else current
    return f"{shown}, limit {limit}" if limit else shown


def _figure(figure: Figure) -> tuple[str, str]:
    """Return current and limit as text; with all digits where rounding would make two numbers look equal."""
    current, limit = figure.current, figure.limit
    texts = [amount(current, figure.unit), amount(limit, figure.unit) if limit is not None else ""]
    if current is not None and limit is not None and current != limit and texts[0] == texts[1]:
        texts = [_with_unit(x, figure.unit, exact=True) for x in (current, limit)]
    return texts[0], texts[1]


def _share(figure: Figure) -> str:
    """Return current as a percentage of the limit, rounded down: what is below it is never called 100%."""
    current, limit = figure.current, figure.limit
    if current is None or limit is None or limit <= 0 or current < 0 or figure.unit == "%":
        return ""
    return f"{(current / limit * 100).quantize(Decimal(1), rounding=ROUND_FLOOR):,}%"


def _with_unit(value: Decimal, unit: str, exact: bool) -> str:
    unit = _line(unit)
    if unit == "%":
        return f"{_digits(value, 0, 12 if exact else 2)}%"
    if unit == "s" and not exact:
        return _duration(value)
    if unit in _CENTS:
        # cents are the habit; what is worth less than a cent keeps its first digits
        most = 12 if exact else 2 if abs(value) >= Decimal("0.01") or not value else 8
        return f"{_digits(value, 2, most)} {unit}"
    text = _digits(value, 0, 12 if exact else max(2, 8 - 2 * max(value.adjusted(), 0)))
    return text + unit if unit == "x" else f"{text} {unit}".rstrip()


def _digits(value: Decimal, least: int, most: int) -> str:
    """Write a number with thousands separators and up to `most` decimals; a fraction has `least` or more."""
    text = decimal_text(value.quantize(Decimal(1).scaleb(-most), rounding=ROUND_HALF_EVEN))
    whole, _, fraction = text.partition(".")
    if fraction:
        fraction = fraction.ljust(least, "0")
    sign = "-" if whole.startswith("-") else ""
    grouped = f"{int(whole.lstrip('-')):,}"
    return f"{sign}{grouped}.{fraction}" if fraction else f"{sign}{grouped}"


def _duration(seconds: Decimal) -> str:
    if not 120 <= seconds < 10**9:
        return f"{_digits(seconds, 0, 2)} s"
    rest = int(seconds)
    parts = []
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if rest >= size:
            parts.append(f"{rest // size:,} {name}")
            rest %= size
    return " ".join(parts[:2])


def _clock(moment: datetime, zone: str) -> str:
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%H:%M} {_zone_name(local)}"


def _moment(moment: datetime, zone: str) -> str:
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M:%S} {_zone_name(local)}"


def _zone_name(local: datetime) -> str:
    name = local.tzname() or ""
    return f"UTC{name}" if name[:1] in "+-" else name


# --- harmless text ----------------------------------------------------------------------------------------


def _line(text: str) -> str:
    """Return text on one line, without characters that change the direction of reading."""
    return " ".join(_DIRECTION.sub("", text).split())


def _sentence(text: str) -> str:
    line = _line(text)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _gsm(text: str) -> str:
    """Write text in the GSM alphabet, because one other character halves the room of an SMS."""
    out = []
    for char in text.translate(_PLAIN):
        if char in _GSM or char in _GSM_DOUBLE:
            out.append(char)
            continue
        base = [c for c in unicodedata.normalize("NFKD", char) if c in _GSM]
        out.append("".join(base) or ("?" if unicodedata.category(char)[0] in "LN" else " "))
    joined = "".join(out)
    lead, tail = joined[: len(joined) - len(joined.lstrip())], joined[len(joined.rstrip()) :]
    return lead + " ".join(joined.split()) + tail


def _septets(text: str) -> int:
    return len(text) + sum(c in _GSM_DOUBLE for c in text)


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _cut(text: str, most: int, size: Callable[[str], int] = len) -> str:
    """Shorten text to `most` units, with three dots where something is missing."""
    if size(text) <= most:
        return text
    kept = text[: max(most - 3, 0)]
    while kept and size(kept) > most - 3:
        kept = kept[:-1]
    return kept.rstrip() + "..."


def _markdown(text: str, most: int) -> str:
    """Write text so that Discord shows it as it is: no style, no hidden link, no mention, not too long."""
    line = _line(text)

    def shown(raw: str) -> str:
        escaped = _MARKDOWN.sub(r"\\\1", raw)
        return escaped.replace("@", "@\u200b").replace("://", ":\u200b//")

    if _utf16(shown(line)) <= most:
        return shown(line)
    while line and _utf16(shown(line)) > most - 3:
        line = line[:-1]
    return shown(line.rstrip()) + "..."


_FONTS = "-apple-system,'Segoe UI',Roboto,Arial,sans-serif"


def _html(alert: Alert, rows: list[tuple[str, str]]) -> str:
    colour = f"#{_RESOLVED_COLOUR if alert.resolved else _COLOUR[alert.severity]:06x}"
    label = 'style="width:84px;padding:6px 8px 6px 0;color:#5f6368;vertical-align:top"'
    cell = 'style="padding:6px 0;vertical-align:top;overflow-wrap:break-word"'
    table = "\n".join(
        f"<tr><td {label}>{escape(name)}</td><td {cell}>{_emphasis(name, escape(value))}</td></tr>"
        for name, value in rows
    )
    title = escape(_title(alert))
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
{_word(alert)} &middot; {escape(_whose(alert))}</div>
<div style="padding:14px 16px">
<div style="font-size:20px;font-weight:bold;line-height:1.3;margin-bottom:8px;overflow-wrap:break-word">
{title}</div>
<table role="presentation" cellspacing="0" cellpadding="0"
style="border-collapse:collapse;table-layout:fixed;width:100%">
{table}
</table>
</div>
</div>
</body>
</html>
"""


def _emphasis(name: str, value: str) -> str:
    return f"<b>{value}</b>" if name in ("Now", "Stopline") else value
