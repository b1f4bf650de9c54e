"""The parts of a message to people: numbers, times and free text, each harmless where it is shown.

Free text of an alert comes from outside: it is one line here, it cannot change the direction of reading, and it can
address nobody.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import datetime
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

from stopline.model.decimals import decimal_text
from stopline.model.messages import MOOT, Alert, Figure, Severity
from stopline.model.scopes import parse_scope, scope_of
from stopline.rules.alerting.advice import to_do

ONE_SMS = 160  # septets of the GSM alphabet that fit in one message
TWO_SMS = 306  # and in two: each part carries a header
UNKNOWN = "unknown"
TRADE = "trade "

_WORD = {Severity.CRITICAL: "CRITICAL", Severity.WARNING: "WARNING", Severity.INFO: "INFO"}
_COLOUR = {Severity.CRITICAL: 0xC62828, Severity.WARNING: 0xB26A00, Severity.INFO: 0x1565C0}
_RESOLVED_COLOUR, _ENDED_COLOUR = 0x2E7D32, 0x546E7A
_MARK = {
    Severity.CRITICAL: "\U0001f534",
    Severity.WARNING: "\U0001f7e1",
    Severity.INFO: "\U0001f535",
}  # circles
_RESOLVED_MARK, _ENDED_MARK = "\u2705", "\u26aa"

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_DOUBLE = frozenset("^{}\\[~]|€")
_PLAIN = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "•": "-", "‘": "'", "’": "'", "`": "'", "“": '"', "”": '"', "…": "..."}
    | {"→": "->", "≥": ">=", "≤": "<=", "×": "x", "₹": "INR ", "₿": "BTC "}
)
CLAUSE = re.compile(r"[.:;] ")
# they reorder what a person reads, or are no text at all
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffe\uffff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ADDRESS = re.compile(r"(:|\bwww)(//|\.)", re.IGNORECASE)
_MARKDOWN = re.compile(r"([\\*_~`|<>\[\]#])")
_CENTS = frozenset(
    {"AUD", "CAD", "CHF", "CNY", "EUR", "GBP", "HKD", "INR", "NZD", "SEK", "SGD", "USD", "USDC", "USDT"}
)


def short_id(alert: Alert) -> str:
    """Return the start of an alert's id: enough to find it by."""
    return alert.alert_id[:8]


def trade_name(trade_id: str) -> str:
    """Return how alerts name a trade as their object, all alike: its closing ends what was told of it."""
    return f"{TRADE}{trade_id[:8]}"


def amount(value: Decimal | None, unit: str) -> str:
    """Write a number with its unit: `3,240.50 USD`, `3.24%`, `150 units`, `12 min 5 s`, `unknown`."""
    if value is None:
        return UNKNOWN
    return _with_unit(value, unit, exact=False)


SHORT = frozenset({"Now", "Limit"})
# Kinds whose number is bad when it is small, or when it crosses a level: there is no share of a limit.
FLOORS = frozenset({"pin_risk", "health_degraded", "exit", "strategy_stopped", "opportunity"})


def fact_rows(alert: Alert, zone: str) -> list[tuple[str, str]]:
    """Return what the long forms list, in the order in which a trader asks."""
    rows = [("Account", owner_of(alert))]
    if alert.figure:
        current, limit = _figure(alert.figure)
        share = _share(alert)
        rows.append(("Now", f"{current} ({share} of the limit)" if share else current))
        if limit:
            rows.append(("Limit", limit))
    if _object(alert):
        rows.append(("Concerns", _object(alert)))
    if one_line(alert.action):
        rows.append(("Stopline", one_line(alert.action)))
    if advice := to_do(alert):
        rows.append(("To do", advice))
    rows.append(("When", _moment(alert.raised_at, zone)))
    rows.append(("Rule", _kind(alert)))
    rows.append(("Alert", alert.alert_id))
    return rows


def status_word(alert: Alert) -> str:
    """Return how bad it is; what ends though nothing got well is not called resolved."""
    if alert.resolved:
        return "ENDED" if alert.cause == MOOT else "RESOLVED"
    return _WORD[alert.severity]


def mark_of(alert: Alert) -> str:
    """Return the sign before a chat message."""
    if alert.resolved:
        return _ENDED_MARK if alert.cause == MOOT else _RESOLVED_MARK
    return _MARK[alert.severity]


def colour_of(alert: Alert) -> int:
    if alert.resolved:
        return _ENDED_COLOUR if alert.cause == MOOT else _RESOLVED_COLOUR
    return _COLOUR[alert.severity]


def owner_of(alert: Alert) -> str:
    return alert.account or "operator"


def _kind(alert: Alert) -> str:
    return alert.kind.replace("_", " ").capitalize()


def headline(alert: Alert) -> str:
    return one_line(alert.summary) or _kind(alert)


def _object(alert: Alert) -> str:
    """Return what the alert is about, or nothing where that is the account as a whole."""
    thing = one_line(alert.object)
    return "" if thing in ("account", alert.account, f"account:{alert.account}") else thing


def statement(alert: Alert) -> str:
    """Return the summary, preceded by the object unless it (of a list each item) is named there already, or is a trade: its
    id says nothing.
    """
    summary, thing = headline(alert), _object(alert)
    scope = parse_scope(thing)
    names = [scope.name] if scope and scope.is_part else thing.split(", ")
    named = all(name.casefold() in summary.casefold() for name in names)
    return summary if thing.startswith(TRADE) or named else f"{cut(thing, 60)}: {summary}"


def news_of(alert: Alert) -> str:
    """Return the numbers that the summary does not hold already, as they would be written: `3,240.50 USD, limit 3,000 USD`,
    `Limit 25%`, or nothing.
    """
    if alert.figure is None:
        return ""
    current, limit = _figure(alert.figure)
    if _holds(alert, current):
        return f"Limit {limit}" if limit and not _holds(alert, limit) else ""
    shown = f"Value {current}" if alert.figure.current is None else current
    return f"{shown}, limit {limit}" if limit else shown


def _holds(alert: Alert, number: str) -> bool:
    """Tell whether the summary holds a number. Prices are written without `points` there."""
    written = re.escape(number.removesuffix(" points"))
    return bool(re.search(rf"(?<![\w.,-]){written}(?![\w%]|[.,][0-9])", one_line(alert.summary)))


def _figure(figure: Figure) -> tuple[str, str]:
    """Return current and limit as text; with all digits where rounding would make two numbers look equal."""
    current, limit = figure.current, figure.limit
    texts = [amount(current, figure.unit), amount(limit, figure.unit) if limit is not None else ""]
    if current is not None and limit is not None and current != limit and texts[0] == texts[1]:
        texts = [_with_unit(x, figure.unit, exact=True) for x in (current, limit)]
    return texts[0], texts[1]


def part_of_limit(alert: Alert) -> Decimal | None:
    """Return how much of its limit a number is, 1 being all of it; None where there is no such share."""
    figure = alert.figure
    if figure is None or figure.current is None or not figure.limit or figure.limit < 0 or figure.current < 0:
        return None
    if alert.kind in FLOORS:
        return None
    return min(figure.current / figure.limit, Decimal(100))


def _share(alert: Alert) -> str:
    """Return current as a percentage of the limit, rounded down: what is below it is never called 100%."""
    share = part_of_limit(alert)
    if share is None or (alert.figure and alert.figure.unit == "%"):
        return ""
    return f"{(share * 100).quantize(Decimal(1), rounding=ROUND_FLOOR):,}%"


def _with_unit(value: Decimal, unit: str, exact: bool) -> str:
    unit = one_line(unit)
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


def clock_text(moment: datetime, zone: str) -> str:
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%H:%M} {_zone_name(local)}"


def minute_text(moment: datetime, zone: str) -> str:
    """Write a time for a list: `2026-11-20 10:02 EST`."""
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M} {_zone_name(local)}"


def _moment(moment: datetime, zone: str) -> str:
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M:%S} {_zone_name(local)}"


def _zone_name(local: datetime) -> str:
    name = local.tzname() or ""
    return f"UTC{name}" if name[:1] in "+-" else name


# --- harmless text ----------------------------------------------------------------------------------------


def one_line(text: str) -> str:
    """Return text on one line, without characters that change the direction of reading, and without an address that
    a phone would make a link of.
    """
    return " ".join(_ADDRESS.sub("\\1\u200b\\2", _UNSEEN.sub("", text)).split())


def sentence(text: str) -> str:
    line = one_line(text)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def gsm(text: str) -> str:
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


def septets(text: str) -> int:
    return len(text) + sum(c in _GSM_DOUBLE for c in text)


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def cut(text: str, most: int, size: Callable[[str], int] = len) -> str:
    """Shorten text to `most` units, with three dots where something is missing."""
    if size(text) <= most:
        return text
    kept = text[: max(most - 3, 0)]
    while kept and size(kept) > most - 3:
        kept = kept[:-1]
    return kept.rstrip() + "..."


def markdown(text: str, most: int) -> str:
    """Write text so that Discord shows it as it is: no style, no hidden link, no mention, not too long."""
    line = one_line(text)

    def shown(raw: str) -> str:
        return _MARKDOWN.sub(r"\\\1", raw).replace("@", "@\u200b")

    if utf16(shown(line)) <= most:
        return shown(line)
    while line and utf16(shown(line)) > most - 3:
        line = line[:-1]
    return shown(line.rstrip()) + "..."


def whose(scope: str) -> str:
    """Name what is halted: `Account demo`, `Strategy condors of account demo`."""
    kind, account, name = scope_of(scope)
    return f"{kind.capitalize()} {name} of account {account}" if name else f"Account {account}"
