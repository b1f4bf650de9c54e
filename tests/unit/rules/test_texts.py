"""What a trader reads on the phone. Golden files hold the texts: read them as their reader would.

After a change that is meant: `UPDATE_GOLDEN=1 pytest tests/unit/rules/test_texts.py`, then look at the diff.
"""

from __future__ import annotations

import json
import os
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.messages import Alert, Severity
from stopline.model.times import parse_utc
from stopline.model.wire import validate
from stopline.rules.market_watch import (
    DayMove,
    Pair,
    correlation_notices,
    exposure_notices,
    notices_alerts,
    volatility_spikes,
)
from stopline.rules.text_parts import amount
from stopline.rules.texts import discord_payload, email_parts, sms_text

GOLDEN = Path(__file__).parent / "golden"
NEW_YORK = "America/New_York"
GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€"
)


def alert(**changes: Any) -> Alert:
    usual = {
        "alert_id": "1f2e3d4c5b6a79880011223344556677",
        "account": "demo",
        "kind": "max_daily_loss",
        "object": "account",
        "severity": "critical",
        "summary": "Daily loss limit breached",
        "action": "Trading is now reduce-only: nothing that adds risk is let through until a person resumes.",
        "figure": {"current": "3240.5", "limit": "3000", "unit": "USD"},
        "cause": "fill-77",
        "raised_at": "2026-11-20T15:02:11.123Z",
    }
    return validate(Alert, usual | changes)


NOTICES, _ = notices_alerts(
    "demo",
    [
        *volatility_spikes([DayMove("SPX", -0.041, 0.008)], Decimal(4)),
        *correlation_notices([Pair("SPX", "TLT", -0.41, 0.52)]),
        *exposure_notices(Decimal(31200), Decimal(100_000), Decimal(25), "Spot -5% with volatility x1.5"),
    ],
    {},
    (),
    "sweep-77",
    parse_utc("2026-11-20T15:02:11Z"),
)
CASES = {
    "breach": (alert(), NEW_YORK),
    "resolved": (
        alert(
            severity="info",
            resolved=True,
            summary="Daily loss is back within its limit",
            action="",
            figure={"current": "2100", "limit": "3000", "unit": "USD"},
        ),
        NEW_YORK,
    ),
    "numbers_told_in_the_summary": (
        alert(
            summary="Loss of the day is 3.24%, limit 3%: breached",
            figure={"current": "3.2405", "limit": "3", "unit": "%"},
        ),
        NEW_YORK,
    ),
    "unknown": (
        alert(
            kind="stale_price",
            object="SPXW261120P05850000",
            severity="warning",
            summary="No price since 10:00",
            action="Limits of this position are unknown; new orders are refused.",
            figure={"current": None, "limit": "60", "unit": "s"},
        ),
        "Asia/Kolkata",
    ),
    "exit": (
        alert(
            kind="exit",
            object="SPXW put credit vertical",
            summary="Stop loss of SPXW put credit vertical (condors): price 3.1 reached 3",
            action="Closing all of 5.",
            figure={"current": "3.1", "limit": "3", "unit": "points"},
        ),
        NEW_YORK,
    ),
    "operator": (
        alert(
            account=None,
            kind="dead_letters",
            object="fills-dead",
            summary="3 messages in fills-dead",
            action="Run `stopline dead-letters list`.",
            figure=None,
            cause="",
        ),
        "UTC",
    ),
    "orphan": (
        alert(
            kind="orphan_leg",
            object="trade 0d5c1f2e",
            summary="Trade 0d5c1f2e (put credit vertical in SPX) lost SPXW261120P05990000 (closed): "
            "-2 SPXW261120P06000000 left",
            action="Nothing was closed. What is short is not covered any more.",
            figure=None,
        ),
        NEW_YORK,
    ),
    "pin": (
        alert(
            kind="pin_risk",
            object="condors:SPXW261120P06000000",
            severity="warning",
            summary="Pin risk: short 2 condors:SPXW261120P06000000 is 0.1% from SPX 30 min before its last trade",
            action="Nothing was closed. It is settled in cash.",
            figure={"current": "0.0999", "limit": "0.5", "unit": "%"},
        ),
        NEW_YORK,
    ),
    "unsettled": (
        alert(
            kind="expired_unsettled",
            object="SPX 2026-11-20",
            severity="warning",
            summary="Expired and still in the book, SPX 2026-11-20: -2 SPXW261120P06000000",
            action="Nothing is settled: the broker's fill or a settlement price (`stopline settle`) is awaited.",
            figure=None,
        ),
        NEW_YORK,
    ),
    **{notice.kind: (notice, NEW_YORK) for notice in NOTICES},
    "hostile": (
        alert(
            object="<script>alert(1)</script> @everyone",
            severity="info",
            summary="@here <@123> <@&4> [refund](https://evil.example) **now** `x` #general \u202egnol",
            action='"><img src=https://evil.example/x.png> & co',
            figure={"current": "1", "limit": "2", "unit": "<b>@</b>"},
        ),
        "America/Sao_Paulo",
    ),
    "long": (alert(summary="s" * 500, action="a" * 500, object="o" * 500, cause="c" * 500), NEW_YORK),
}


def written(case: str) -> dict[str, str]:
    one, zone = CASES[case]
    subject, text, html = email_parts(one, zone)
    payload = json.dumps(discord_payload(one, zone), indent=2, ensure_ascii=False)
    return {
        "sms.txt": sms_text(one, zone) + "\n",
        "email.txt": f"Subject: {subject}\n\n{text}",
        "email.html": html,
        "discord.json": payload + "\n",
    }


@pytest.mark.parametrize("case", CASES)
def test_every_text_reads_as_its_golden_file(case: str) -> None:
    """R6.1, R2.1: violations carry severity, what, current and limit, on each channel."""
    for suffix, text in written(case).items():
        file = GOLDEN / f"{case}.{suffix}"
        if os.environ.get("UPDATE_GOLDEN"):
            file.write_text(text, "utf-8")
        assert text == file.read_text("utf-8"), file.name


def septets(text: str) -> int:
    return len(text) + sum(c in "^{}\\[~]|€" for c in text)


@pytest.mark.parametrize("case", [c for c in CASES if c not in ("hostile", "long")])
def test_an_ordinary_alert_fits_in_one_sms(case: str) -> None:
    """R6.1"""
    one, zone = CASES[case]
    text = sms_text(one, zone)
    assert septets(text) <= 160
    assert set(text) <= GSM


def test_a_long_sms_is_two_parts_at_most_and_keeps_numbers_and_id() -> None:
    """R6.1: what is cut is words, never the number, the limit, the account or the id."""
    text = sms_text(*CASES["long"])
    assert septets(text) <= 306
    assert text.startswith("CRITICAL demo: ")
    assert "3,240.50 USD, limit 3,000 USD." in text
    assert text.endswith("10:02 EST #1f2e3d4c")


def test_an_unknown_number_is_never_shown_as_zero() -> None:
    """R2.12: missing data is unknown."""
    texts = written("unknown")
    assert "Value unknown, limit 60 s." in texts["sms.txt"]
    assert "Now:      unknown\n" in texts["email.txt"]
    assert "<b>unknown</b>" in texts["email.html"]
    assert '"value": "unknown"' in texts["discord.json"]
    assert amount(None, "USD") == "unknown"


@pytest.mark.parametrize("severity", list(Severity))
def test_a_resolved_alert_looks_resolved_whatever_its_severity(severity: Severity) -> None:
    """R6.2: the all-clear is not another alarm."""
    clear, alarm = (alert(severity=severity.value, resolved=flag) for flag in (True, False))
    assert sms_text(clear, NEW_YORK).startswith("RESOLVED demo: ")
    assert sms_text(alarm, NEW_YORK).startswith(f"{severity.value.upper()} demo: ")
    assert email_parts(clear, NEW_YORK)[0].startswith("[RESOLVED] demo: ")
    colours = {discord_payload(one, NEW_YORK)["embeds"][0]["color"] for one in (clear, alarm)}  # type: ignore[index]
    assert len(colours) == 2


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        ("3240.5", "USD", "3,240.50 USD"),
        ("3000", "USD", "3,000 USD"),
        ("-1234567.891", "EUR", "-1,234,567.89 EUR"),
        ("-0.004", "USD", "-0.004 USD"),
        ("0", "USD", "0 USD"),
        ("0.00045", "BTC", "0.00045 BTC"),
        ("12.345678", "BTC", "12.345678 BTC"),
        ("123456.789", "JPY", "123,456.79 JPY"),
        ("3.2405", "%", "3.24%"),
        ("3", "%", "3%"),
        ("5.25", "x", "5.25x"),
        ("150", "units", "150 units"),
        ("75", "s", "75 s"),
        ("725", "s", "12 min 5 s"),
        ("5400", "s", "1 h 30 min"),
        ("180000", "s", "2 d 2 h"),
    ],
)
def test_numbers_have_separators_and_a_unit(value: str, unit: str, shown: str) -> None:
    """R2.1"""
    assert amount(Decimal(value), unit) == shown


def test_rounding_never_makes_a_breach_look_like_its_limit() -> None:
    """R2.1: 3,000.004 against 3,000 is shown with all digits."""
    close = alert(figure={"current": "3000.004", "limit": "3000", "unit": "USD"})
    assert "3,000.004 USD, limit 3,000 USD" in sms_text(close, NEW_YORK)
    almost = alert(figure={"current": "2999.99", "limit": "3000", "unit": "USD"})
    assert "99% of the limit" in email_parts(almost, NEW_YORK)[1]


def test_a_number_inside_another_number_is_not_taken_as_told() -> None:
    """R2.1"""
    one = alert(summary="Order 13% of 33%", figure={"current": "3", "limit": "33", "unit": "%"})
    assert "3%, limit 33%" in sms_text(one, NEW_YORK).replace("13% of 33%", "")


def test_times_are_in_the_zone_of_the_account() -> None:
    """R2.12"""
    assert "2026-11-20 10:02:11 EST" in email_parts(alert(), NEW_YORK)[1]
    assert "2026-11-20 20:32:11 IST" in email_parts(alert(), "Asia/Kolkata")[1]
    assert "2026-11-20 12:02:11 UTC-03" in email_parts(alert(), "America/Sao_Paulo")[1]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize("case", CASES)
def test_the_html_loads_nothing_and_runs_nothing(case: str) -> None:
    """R6.1: free text is escaped, and no picture tells a stranger that the mail was read."""
    tags = _Tags()
    tags.feed(email_parts(*CASES[case])[2])
    for tag, attributes in tags.seen:
        assert tag not in ("script", "img", "link", "iframe", "a", "style", "form")
        assert not {"src", "href", "background", "onload", "onclick"} & attributes.keys()
        assert "url(" not in (attributes.get("style") or "")


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=500)
FIGURE = st.none() | st.fixed_dictionaries(
    {
        "current": st.none()
        | st.decimals(-(10**18) + 1, 10**18 - 1, places=12).map(lambda d: format(d, "f")),
        "limit": st.none() | st.integers(-(10**18) + 1, 10**18 - 1).map(str),
        "unit": st.sampled_from(["USD", "%", "s", "units", "BTC", "x", ""]) | st.text(max_size=16),
    }
)


@given(TEXT, TEXT, TEXT, TEXT, FIGURE, st.booleans(), st.sampled_from(["info", "warning", "critical"]))
def test_no_alert_can_break_a_channel(
    summary: str,
    action: str,
    thing: str,
    cause: str,
    figure: dict[str, Any] | None,
    resolved: bool,
    severity: str,
) -> None:
    """R6.1, R0.3: whatever text arrives, each channel's limits hold and nobody is mentioned."""
    if figure and figure["current"] and Decimal(figure["current"]) == 0:
        figure["current"] = "0"
    one = alert(
        summary=summary,
        action=action,
        object=thing,
        cause=cause,
        figure=figure,
        resolved=resolved,
        severity=severity,
    )
    text = sms_text(one, NEW_YORK)
    assert septets(text) <= 306
    assert set(text) <= GSM - {"\n", "\r"}
    subject, _, _ = email_parts(one, NEW_YORK)
    assert len(subject) <= 120
    assert len(subject.splitlines()) == 1
    payload: Any = discord_payload(one, NEW_YORK)
    embed = payload["embeds"][0]
    total = 0
    for field in embed["fields"]:
        assert field["value"].strip()
        assert len(field["value"].encode("utf-16-le")) // 2 <= 1024
        total += len(field["name"] + field["value"])
    assert total + len(embed["footer"]["text"]) <= 6000
    assert len(payload["content"].encode("utf-16-le")) // 2 <= 2000
    shown = json.dumps(payload, ensure_ascii=False)
    assert "@" not in shown.replace("@\u200b", "")
    assert payload["allowed_mentions"] == {"parse": []}
