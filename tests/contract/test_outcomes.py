"""Every channel against every way in which its service misbehaves: the table in docs/alerts.md is what is tested."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from emulators.fakes import (
    DiscordFake,
    Fault,
    SmtpFake,
    TelegramFake,
    TwilioFake,
    cut_off,
    drips,
    fails,
    fails_after_accepting,
    gone,
    hangs,
    rate_limited,
)
from emulators.fakes.http import HttpFake, Reply
from stopline.adapters.apprise import AppriseChannel
from stopline.adapters.deadline import InTime
from stopline.adapters.discord import DiscordChannel
from stopline.adapters.email import EmailChannel
from stopline.adapters.sms import SmsChannel, VoiceChannel
from stopline.adapters.telegram import TelegramChannel
from stopline.model.messages import Alert
from stopline.model.wire import validate
from stopline.ports import Channel, ChannelBusy, ChannelRefused
from stopline.rules.alerting.texts import call_twiml, telegram_payload

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:apprise")  # of its own imports
ZONE = "America/New_York"
PHONE, MAILBOX, CHAT, SENDER = "+14155550100", "trader@example.com", "123456789", "+15005550006"
HOOK = "https://discord.com/api/webhooks/1000000000000000001/test-webhook-token"
WAIT_S, SEND_S = 0.3, 0.6
ALERT = validate(
    Alert,
    {
        "alert_id": "1f2e3d4c5b6a79880011223344556677",
        "account": "demo",
        "kind": "max_daily_loss",
        "object": "account",
        "severity": "critical",
        "summary": "Loss of the day is 3.24%, limit 3%: breached",
        "action": "Trading is now reduce-only. <b>&amp; Café</b>",
        "raised_at": "2026-11-20T15:02:11Z",
    },
)
FAULTS: dict[str, Fault] = {
    "429, come back in 2 s": rate_limited(2),
    "429, come back in an hour": rate_limited(3600),
    "500 or 503, nothing taken": fails(503),
    "500 after it was taken": fails_after_accepting(500),
    "404: deleted, unknown": gone(),
    "no answer": hangs(accepted=True),
    "half an answer": cut_off(accepted=True),
    "a byte a second, for ever": drips(),
    "opted out, blocked": Fault(status=403),
}


class _OptedOut(TwilioFake):
    """A number whose owner has sent STOP."""

    def failure(self, fault: Fault) -> Reply:
        if fault.status != 403:
            return super().failure(fault)
        return Reply(
            400, {"code": 21610, "message": "Attempt to send to unsubscribed recipient", "status": 400}
        )


class _AnyJson(HttpFake):
    """Any service behind Apprise."""

    def decode(self, body: bytes) -> dict[str, Any]:
        return {"body": body.decode()}

    def usual(self, path: str, headers: Any, form: dict[str, Any]) -> Reply:
        return Reply(200, {"ok": True})

    def failure(self, fault: Fault) -> Reply:
        return Reply(fault.status, {"error": "no"})


Wired = tuple[Channel, str, Any]


@contextlib.contextmanager
def _wired(name: str) -> Iterator[Wired]:
    """Start the fake of a channel; return the channel, an address and the fake."""
    match name:
        case "sms" | "voice":
            kind = SmsChannel if name == "sms" else VoiceChannel
            with _OptedOut() as twilio:
                channel = kind(twilio.account, twilio.token, SENDER, base_url=twilio.url, timeout_s=WAIT_S)
                yield channel, PHONE, twilio
        case "e-mail":
            with SmtpFake() as smtp:
                yield (
                    EmailChannel(smtp.host, "d@example.com", port=smtp.port, tls="none", timeout_s=WAIT_S),
                    MAILBOX,
                    smtp,
                )
        case "Discord":
            with DiscordFake() as discord:
                after = count(step=4000.0).__next__  # each look at the clock is an hour later
                yield DiscordChannel(base_url=discord.url, timeout_s=WAIT_S, ticks=after), HOOK, discord
        case "Telegram":
            with TelegramFake() as telegram:
                channel = TelegramChannel(telegram.token, base_url=telegram.url, timeout_s=WAIT_S)
                yield channel, CHAT, telegram
        case _:
            apprise = pytest.importorskip("apprise", reason="the extra apprise is not installed")
            with _AnyJson() as other:
                address = f"json://127.0.0.1:{other.port}/"
                apprise.Apprise.instantiate(address)  # the first one loads all services: no part of a send
                yield AppriseChannel(timeout_s=WAIT_S), address, other


def _table() -> list[tuple[str, str, str]]:
    """Return (channel, fault, outcome) of each cell of the table in the documentation."""
    lines = Path(__file__, "../../../docs/alerts.md").resolve().read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| what the service does |"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    head, _, *body = rows
    assert {row[0] for row in body} == set(FAULTS)
    return [(head[at], row[0], cell) for row in body for at, cell in enumerate(row) if at and cell != "-"]


CELLS = _table()


def test_the_table_has_every_channel() -> None:
    """R6.1: two cells are empty: a call cannot be opted out of, and a mail server has no such word."""
    assert {channel for channel, _, _ in CELLS} == {"SMS", "call", "e-mail", "Discord", "Telegram", "Apprise"}


NAMES = {"SMS": "sms", "call": "voice"}


@pytest.mark.parametrize(("channel", "fault", "outcome"), CELLS, ids=lambda cell: re.sub(r"\W+", "-", cell))
def test_each_cell_of_the_table_is_so(channel: str, fault: str, outcome: str) -> None:
    """R6.1, F20, F21: `later` is tried again, `never` goes to the next channel, `maybe twice` is told as such."""
    with _wired(NAMES.get(channel, channel)) as (one, address, fake):
        fake.misbehave(FAULTS[fault])
        expected = ChannelRefused if outcome == "never" else ChannelBusy
        in_time = InTime(one, SEND_S) if FAULTS[fault].drip_seconds else one
        with pytest.raises(expected) as caught:
            in_time.send(address, ALERT, ZONE)
        assert len(fake.received) == 1  # one try is one request: nothing is repeated inside
        if outcome == "never":
            return
        waits = (isinstance(caught.value, ChannelBusy) and caught.value.retry_after_s) or 0
        assert (waits > 30) == (outcome == "too late")
        assert one.send(address, ALERT, ZONE).provider_id
        assert len(fake.accepted) == (2 if outcome == "maybe twice" else 1)


def test_telegram_and_the_call_carry_the_texts() -> None:
    """R6.1: as the golden files have them; HTML that Telegram would refuse is refused by the fake."""
    with _wired("Telegram") as (channel, address, fake):
        receipt = channel.send(address, ALERT, ZONE)
        (one,) = fake.accepted
        assert (receipt.provider_id, one.form) == ("1", telegram_payload(ALERT, ZONE, CHAT))
        hostile = ALERT.model_copy(update={"summary": "<b>x</i> & <script>", "object": "a<b>c"})
        channel.send(address, hostile, ZONE)
        assert len(fake.accepted) == 2
    with _wired("voice") as (channel, address, fake):
        assert channel.send(address, ALERT, ZONE).provider_id.startswith("CA")
        assert fake.accepted[0].form["Twiml"] == call_twiml(ALERT, ZONE)
        assert fake.accepted[0].path.endswith("/Calls.json")


@pytest.mark.parametrize("token", ["", "bot", "123:short", "123456789:AA/../../x-of-a-bot-that-is-none"])
def test_a_token_that_is_none_is_not_called(token: str) -> None:
    """R8.3: what stands in the address must not lead elsewhere."""
    with TelegramFake() as fake, pytest.raises(ChannelRefused, match="token"):
        TelegramChannel(token, base_url=fake.url).send(CHAT, ALERT, ZONE)
    assert fake.received == []


def test_no_secret_of_these_is_in_an_error_or_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """R8.3: with every logger at its most talkative."""
    caplog.set_level("DEBUG")
    told = ""
    for name in ("voice", "Telegram"):
        with _wired(name) as (channel, address, fake):
            for fault in (rate_limited(), fails(), gone(), hangs(), cut_off()):
                fake.misbehave(fault)
                with pytest.raises((ChannelBusy, ChannelRefused)) as caught:
                    channel.send(address, ALERT, ZONE)
                told += f"{caught.value!r} {channel!r}"
            told += "\n".join(r.getMessage() for r in caplog.records)
            assert fake.token not in told
            assert PHONE not in told
