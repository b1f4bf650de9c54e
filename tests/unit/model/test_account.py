"""Accounts, recipients and free text: what is configured once and trusted ever after is checked on the way
in.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from stopline.model.account import check_capital
from stopline.model.errors import Rejected
from stopline.model.settings.recipients import Email, Phone, Recipients, Webhook
from stopline.model.text import Text, clean_text

from ..make import account

HOOK = "https://discord.com/api/webhooks/123456789/abcdefghij_KLMNOP-0123"


def test_an_account_has_safe_defaults() -> None:
    """R2.11."""
    made = account()
    assert (made.calendar, made.time_zone, made.method, made.profile) == (
        "XNYS",
        "America/New_York",
        "fifo",
        "zero_dte",
    )
    assert (made.price_max_age_s, made.risk_interval_s, made.version) == (60, 1, 1)
    assert made.zone == ZoneInfo("America/New_York")
    assert made.sessions.name == "XNYS"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"calendar": "NYSE"}, "XNYS"),
        ({"calendar": ""}, "XNYS"),
        ({"time_zone": "Mars/Olympus"}, "IANA"),
        ({"time_zone": "EST5EDT4,M3.2.0"}, "IANA"),
        ({"time_zone": "../../etc/passwd"}, "IANA"),
        ({"time_zone": None}, "IANA"),
        ({"time_zone": ["UTC"]}, "IANA"),
        ({"capital": 100_000}, "decimal string"),
        ({"capital": "NaN"}, "decimal string"),
        ({"currency": "usd"}, "currency"),
        ({"account": "Demo"}, "lower-case"),
        ({"account": "__x__"}, "lower-case"),
        ({"account": "a/b"}, "lower-case"),
        ({"brokers": []}, "brokers"),
        ({"brokers": ["Paper"]}, "lower-case"),
        ({"profile": "yolo"}, "profile"),
        ({"method": "filo"}, "method"),
        ({"price_max_age_s": 0}, "price_max_age_s"),
        ({"price_max_age_s": 86_401}, "price_max_age_s"),
        ({"risk_interval_s": 0}, "risk_interval_s"),
        ({"version": 2**53}, "version"),
        ({"limits": {"max_daily_loss": {"limit": "NaN"}}}, "decimal string"),
        ({"limits": {"max_daily_loss": {"limit": 3}}}, "decimal string"),
        ({"limits": {"max_daily_loss": {"limit": "1e30"}}}, "decimal string"),
        ({"limits": {"max_daily_loss": {"off": True}}}, "limits.max_daily_loss.off"),
        ({"limits": {"Max Loss": {}}}, "lower-case"),
        ({"grants": ["me"]}, "grants"),
        ({"role": "admin"}, "role"),
        ({"note": "x" * 501}, "500"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    """B12, B15, B39, B42, B47, B65, B73."""
    with pytest.raises(ValidationError) as refused:
        account(**change)
    [fault] = refused.value.errors()[:1]
    assert named in f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


@pytest.mark.parametrize("capital", ["0", "-1", "1000000000000.01"])
def test_capital_of_which_no_share_can_be_taken_is_refused(capital: str) -> None:
    """B73."""
    with pytest.raises(Rejected, match="capital"):
        check_capital(account(capital=capital))


@pytest.mark.parametrize("capital", ["0.01", "1000000000000"])
def test_capital_up_to_a_million_millions_is_taken(capital: str) -> None:
    check_capital(account(capital=capital))
    assert account(capital=capital).capital == Decimal(capital)


# --- recipients ---

BAD_WEBHOOKS = [
    "http://discord.com/api/webhooks/123456789/abcdefghij",  # not encrypted
    "http://169.254.169.254/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "file:///etc/passwd",
    "https://[::1]/api/webhooks/123456789/abcdefghij",
    "https://2130706433/api/webhooks/123456789/abcdefghij",
    "https://discord.com.evil.example/api/webhooks/123456789/abcdefghij",
    "https://discord.com@evil.example/api/webhooks/123456789/abcdefghij",
    "https://evil.example/discord.com/api/webhooks/123456789/abcdefghij",
    "https://discord.com:8443/api/webhooks/123456789/abcdefghij",
    "https://discord.com/api/webhooks/123456789/../../../users",
    "https://discord.com/api/webhooks/123456789/abcdefghij?wait=true",
    "https://discord.com/api/webhooks/123456789/abcdefghij#x",
    "https://discord.com/api/webhooks/123456789/abcdefghij\r\nHost: evil",
    "https://discord.com/api/webhooks/123456789/abcdefghij\n",
    "HTTPS://DISCORD.COM/api/webhooks/123456789/abcdefghij",
    "https://discordXcom/api/webhooks/123456789/abcdefghij",
    "",
    None,
    1,
]
BAD_PHONES = [
    "+1",
    "+",
    "4155550100",
    "+0155550100",
    "+" + "1" * 40,
    "+1 415 555 0100",
    "+1415555010a",
    "+14155550100\n",
    "+１4155550100",
    14155550100,
    None,
]
BAD_EMAILS = [
    "desk",
    "desk@",
    "@example.com",
    "desk@example",
    "desk@example.com\r\nBcc: all@example.com",
    "desk@example.com\n",
    "desk@example.com,other@example.com",
    "desk@example.com;other@example.com",
    "Desk <desk@example.com>",
    '"desk"@example.com',
    "desk@exa mple.com",
    "desk@-example.com",
    "desk@example..com",
    "desk@.example.com",
    "desk@mail.-example.com",
    "desk@example-.com",
    "desk@127.0.0.1",
    "desk@[127.0.0.1]",
    "dësk@example.com",
    "d" * 65 + "@example.com",
    None,
    1,
]


@pytest.mark.parametrize("value", BAD_WEBHOOKS, ids=repr)
def test_an_address_that_is_no_discord_webhook_is_refused(value: Any) -> None:
    """B71."""
    with pytest.raises(ValidationError):
        TypeAdapter(Webhook).validate_python(value)


@pytest.mark.parametrize("value", BAD_PHONES, ids=repr)
def test_a_phone_number_that_is_not_e164_is_refused(value: Any) -> None:
    """B72."""
    with pytest.raises(ValidationError):
        TypeAdapter(Phone).validate_python(value)


@pytest.mark.parametrize("value", BAD_EMAILS, ids=repr)
def test_an_e_mail_address_that_could_carry_more_than_one_is_refused(value: Any) -> None:
    """B72."""
    with pytest.raises(ValidationError):
        TypeAdapter(Email).validate_python(value)


def test_ordinary_addresses_are_taken() -> None:
    people = Recipients.model_validate(
        {
            "sms": ["+14155550100", "+919876543210"],
            "email": ["desk@example.com", "a.b+risk@mail.example-desk.co.uk"],
            "discord": [HOOK, HOOK.replace("discord.com", "discordapp.com")],
        }
    )
    assert (len(people.sms), len(people.email), len(people.discord)) == (2, 2, 2)


def test_webhooks_are_not_shown() -> None:
    """B75: the address of a webhook is its password."""
    assert "abcdefghij" not in repr(Recipients(discord=(HOOK,)))


def test_eleven_addresses_of_a_channel_are_refused() -> None:
    """F23."""
    with pytest.raises(ValidationError):
        Recipients(sms=tuple(f"+14155550{n:03}" for n in range(11)))


# --- text ---

BAD_TEXT = [
    "x" * 501,
    "x" * 10**6,
    "a\nb",
    "a\rb",
    "\x1b[31mred",
    "a\x00b",
    "tab\tbed",
    "\x7f",
    "\x85",
    "\ud800",
    None,
    1,
    ["a"],
]


@pytest.mark.parametrize("value", BAD_TEXT, ids=range(len(BAD_TEXT)))
def test_text_of_several_lines_or_with_control_characters_is_refused(value: Any) -> None:
    """B08, B09, B68."""
    with pytest.raises(ValidationError):
        TypeAdapter(Text).validate_python(value)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=500))
def test_any_other_line_of_500_characters_is_kept_as_it_is(line: str) -> None:
    """B68, B69: escaping belongs to where it is shown."""
    assert clean_text(line) == line
