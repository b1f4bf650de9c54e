"""What a trader reads on the phone. Golden files hold the texts: read them as their reader would.

After a change that is meant: `UPDATE_GOLDEN=1 pytest tests/unit/rules/test_texts.py`, then look at the diff.
"""

from __future__ import annotations

import json
import os
import re
from decimal import Decimal
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emulators.samples import NEW_YORK, SAMPLES, alert
from emulators.story_samples import AT
from stopline.model.messages import MOOT, Severity
from stopline.rules.alerting.ack_links import AckLinks
from stopline.rules.alerting.text_parts import amount
from stopline.rules.alerting.texts import (
    Around,
    call_twiml,
    discord_payload,
    email_parts,
    sms_text,
    telegram_payload,
)

GOLDEN = Path(__file__).parent / "golden"
GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€"
)


CASES = {case: (one, zone) for case, (one, zone, _) in SAMPLES.items()}


def written(case: str) -> dict[str, str]:
    one, zone, around = SAMPLES[case]
    subject, text, html = email_parts(one, zone, around)
    return {
        "sms.txt": sms_text(one, zone, around) + "\n",
        "email.txt": f"Subject: {subject}\n\n{text}",
        "email.html": html,
        "discord.json": _json(discord_payload(one, zone, around)),
        "telegram.json": _json(telegram_payload(one, zone, "123456789", around)),
        "call.xml": call_twiml(one, zone, around) + "\n",
    }


def _json(payload: dict[str, object]) -> str:
    return json.dumps(payload, indent=2, ensure_ascii=False) + "\n"


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


def test_what_ends_though_nothing_came_back_is_not_called_resolved() -> None:
    """R6.2: a silence over which nothing is held any more."""
    ended, back = (alert(resolved=True, cause=cause) for cause in (MOOT, "batch-7"))
    assert sms_text(ended, NEW_YORK).startswith("ENDED demo: ")
    assert email_parts(ended, NEW_YORK)[0].startswith("[ENDED] demo: ")
    chats = [discord_payload(one, NEW_YORK) for one in (ended, back)]
    assert chats[0]["embeds"][0]["color"] != chats[1]["embeds"][0]["color"]  # type: ignore[index]
    assert "RESOLVED" not in str(chats[0]) + str(telegram_payload(ended, NEW_YORK, "1"))


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


HTML = email_parts(alert(), NEW_YORK)[2]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize("case", CASES)
def test_the_html_loads_nothing_and_runs_nothing(case: str) -> None:
    """R6.1, B69: free text is escaped, and no picture tells a stranger that the mail was read."""
    tags = _Tags()
    html = email_parts(*SAMPLES[case])[2]
    tags.feed(html)
    style = html[html.index("<style>") : html.index("</style>")]
    assert style == HTML[HTML.index("<style>") : HTML.index("</style>")]  # the same whatever the text
    assert not re.search(r"url|@import|expression", style)
    links = [attributes.pop("href") for tag, attributes in tags.seen if tag == "a"]
    assert links == ([SAMPLES[case][2].ack_url] if SAMPLES[case][2].ack_url else [])
    assert [tag for tag, _ in tags.seen].count("style") == 1
    for tag, attributes in tags.seen:
        assert tag not in ("script", "img", "link", "iframe", "form")
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


@example("", "", "", "", {"current": None, "limit": "0", "unit": "\x1b"}, False, "info")
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
    chat: Any = telegram_payload(one, NEW_YORK, "1", Around(lines=(summary, thing)))
    parsed = _Tags()
    parsed.feed(chat["text"])
    assert {tag for tag, _ in parsed.seen} <= {"b"}
    assert len(unescape(re.sub("<[^>]*>", "", chat["text"])).encode("utf-16-le")) // 2 <= 4096
    assert "@" not in chat["text"].replace("@\u200b", "")
    said = list(ElementTree.fromstring(call_twiml(one, NEW_YORK)))
    assert [part.tag for part in said] == ["Say", "Pause", "Say"]
    assert not [part for part in said if len(part)]
    for shown_text in (text, email_parts(one, NEW_YORK)[1], chat["text"], payload["content"]):
        assert "://" not in shown_text  # no phone makes a link of it


@pytest.mark.parametrize("others", [1, 3])
def test_an_escalation_of_several_names_the_first_and_counts_the_rest(others: int) -> None:
    """R6.3: nothing is said twice, by SMS or by call."""
    one = CASES["breach"][0].model_copy(
        update={"kind": "max_daily_loss", "summary": "Loss is 3.2%, limit 3%", "figure": None}
    )
    rest = [f"CRITICAL Margin {number} is 101%, limit 100%" for number in range(others)]
    around = Around(lines=("CRITICAL Loss is 3.2%, limit 3%", *rest))
    text = sms_text(one, NEW_YORK, around)
    assert text.count("Loss is 3.2%") == 1
    assert f"And {others} more: CRITICAL Margin 0 is 101%, limit 100%." in text
    long = one.model_copy(update={"summary": "Loss is 3.2%, limit 3% " + "x" * 70})
    assert f"And {others} more" in sms_text(long, NEW_YORK, around)
    assert septets(sms_text(long, NEW_YORK, around)) <= 306
    spoken = call_twiml(one, NEW_YORK, around)
    assert spoken.count("Loss is 3.2%") == 2  # all of it is said twice
    assert f"And {others} more. CRITICAL Margin 0 is 101%" in spoken


def test_a_message_of_fifty_says_fifty_on_every_channel() -> None:
    """R6.2: twenty have a line; the others are counted, not forgotten."""
    around = Around("", tuple(f"CRITICAL Trade T{n} lost a leg" for n in range(20)), "", 50)
    called = alert(summary="Trade T0 lost a leg (nobody has acknowledged it for 2 min)")
    assert "And 49 more: CRITICAL Trade T1" in sms_text(called, "UTC", around)
    assert "And 49 more." in call_twiml(called, "UTC", around)
    _, plain, html = email_parts(called, "UTC", around)
    assert "- and 30 more" in plain
    assert "and 30 more" in html
    fields = discord_payload(called, "UTC", around)["embeds"][0]["fields"]  # type: ignore[index]
    named = fields[0]["value"].split("\n")
    assert named[-1] == f"and {50 - len(named) + 1} more"
    chat = str(telegram_payload(called, "UTC", "1", around)["text"])
    assert f"and {50 - chat.count('•')} more" in chat


@pytest.mark.parametrize(
    ("base", "id_", "fits"),
    [
        ("https://api-abcdefghij-uc.a.run.app", "a" * 32, True),
        ("https://stopline-api-123456789012.northamerica-northeast1.run.app", "a" * 32, True),
        ("https://europe-west1-stopline-prod-123456.cloudfunctions.net/api", "a" * 32, True),
        (
            "https://api-abcdefghij-uc.a.run.app",
            "client-strategy7:limit-breach:2026-11-20T10:02:11Z-000123",
            True,
        ),
        ("https://api-abcdefghij-uc.a.run.app", "a" * 128, False),
    ],
)
def test_a_link_is_in_the_sms_where_two_have_room_for_it(base: str, id_: str, fits: bool) -> None:
    """R6.3: the address of a function is long; what happened keeps its place, and nothing is cut off a link."""
    url = AckLinks(base, "s" * 40).url(id_, "0" * 16, AT)
    for summary in ("Loss of the day is 3.2%, limit 3%: breached", "s" * 500):
        text = sms_text(
            alert(alert_id=id_, summary=summary, action="a" * 200), "America/New_York", Around(url)
        )
        assert (url in text) is fits
        assert septets(text) <= 306
        assert summary[:20] in text
