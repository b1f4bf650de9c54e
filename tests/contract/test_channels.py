"""The real channels against services that misbehave: what is tried again, what is given up, what is kept."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from typing import Any

import pytest

from emulators.fakes import (
    DiscordFake,
    Fault,
    SmtpFake,
    TwilioFake,
    cut_off,
    fails,
    fails_after_accepting,
    gone,
    hangs,
    rate_limited,
)
from stopline.adapters.discord import DiscordChannel
from stopline.adapters.email import EmailChannel, Tls
from stopline.adapters.outbox_channel import RecordingChannel
from stopline.adapters.sms import SmsChannel
from stopline.model.messages import Alert, Severity
from stopline.ports import Channel, ChannelBusy, ChannelRefused, Receipt
from stopline.rules.alerting.texts import discord_payload, email_parts, sms_text
from stopline.runtime.google import mail_tls
from stopline.runtime.settings import read_settings

ZONE = "America/New_York"
PHONE, MAILBOX, SENDER = "+14155550100", "trader@example.com", "+15005550006"
TOKEN = "test-webhook-token"  # the fake's
HOOK = f"https://discord.com/api/webhooks/1000000000000000001/{TOKEN}"
ALERT = Alert(
    alert_id="1f2e3d4c5b6a79880011223344556677",
    account="demo",
    kind="max_daily_loss",
    object="account",
    severity=Severity.CRITICAL,
    summary="Loss of the day is 3.24%, limit 3%: breached",
    action="Trading is now reduce-only. Café – naïve ✓",
    raised_at=datetime(2026, 11, 20, 15, 2, 11, tzinfo=UTC),
)


@dataclass(frozen=True)
class Service:
    """A channel wired to its fake."""

    channel: Channel
    address: str
    fake: Any

    def send(self, alert: Alert = ALERT) -> Receipt:
        return self.channel.send(self.address, alert, ZONE)


def _sms(fake: TwilioFake, **changes: Any) -> SmsChannel:
    usual: dict[str, Any] = {
        "account_sid": fake.account,
        "auth_token": fake.token,
        "sender": SENDER,
        "timeout_s": 0.5,
    }
    return SmsChannel(base_url=fake.url, **(usual | changes))


def _email(fake: SmtpFake, **changes: Any) -> EmailChannel:
    return EmailChannel(
        fake.host, "Desk <desk@example.com>", port=fake.port, **({"timeout_s": 0.5, "tls": "none"} | changes)
    )


@pytest.fixture(params=["sms", "email", "discord"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    match request.param:
        case "sms":
            with TwilioFake() as twilio:
                yield Service(_sms(twilio), PHONE, twilio)
        case "email":
            with SmtpFake() as smtp:
                yield Service(_email(smtp), MAILBOX, smtp)
        case _:
            with DiscordFake() as discord:
                ticks = count(step=60.0).__next__
                yield Service(DiscordChannel(base_url=discord.url, timeout_s=0.5, ticks=ticks), HOOK, discord)


# --- every channel ---


def test_a_message_is_sent_once_and_the_provider_id_proves_it(service: Service) -> None:
    """R6.1, R7.4"""
    receipt = service.send()
    assert receipt.provider_id
    assert receipt.status
    assert len(service.fake.received) == len(service.fake.accepted) == 1


def test_the_name_is_the_routes_word() -> None:
    """R6.1"""
    names = [SmsChannel.name, EmailChannel.name, DiscordChannel.name, RecordingChannel("sms").name]
    assert names == ["sms", "email", "discord", "sms"]


@pytest.mark.parametrize(
    "fault",
    [
        rate_limited(2),
        fails(500),
        fails(503),
        fails_after_accepting(500),
        hangs(accepted=True),
        cut_off(),
    ],
    ids=["429", "500", "503", "500 after accepting", "hang", "half an answer"],
)
def test_what_may_pass_is_busy_and_the_next_try_works(service: Service, fault: Fault) -> None:
    """R6.1: a time-out is no success and no refusal. One try is one request: nothing is repeated inside."""
    service.fake.misbehave(fault)
    with pytest.raises(ChannelBusy):
        service.send()
    assert len(service.fake.received) == 1
    assert service.send().provider_id


def test_what_is_gone_is_refused(service: Service) -> None:
    """F21, R6.1: a deleted webhook, a mailbox that does not exist: no try will help."""
    service.fake.misbehave(gone())
    with pytest.raises(ChannelRefused):
        service.send()


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        (SmsChannel("AC" + "0" * 32, "t", SENDER, base_url="http://127.0.0.1:9"), PHONE),
        (EmailChannel("127.0.0.1", "desk@example.com", port=9), MAILBOX),
        (DiscordChannel(base_url="http://127.0.0.1:9"), HOOK),
    ],
)
def test_a_service_that_is_not_there_is_busy(channel: Channel, address: str) -> None:
    """R6.1"""
    with pytest.raises(ChannelBusy):
        channel.send(address, ALERT, ZONE)


@pytest.mark.parametrize("fault", [rate_limited(), fails(), gone(), hangs(), cut_off()])
def test_no_secret_and_no_address_is_in_an_error_or_a_log_line(
    service: Service, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """R8.3: with every logger at its most talkative."""
    caplog.set_level(logging.DEBUG)
    service.fake.misbehave(fault)
    with pytest.raises((ChannelBusy, ChannelRefused)) as caught:
        service.send()
    chain: list[BaseException] = [caught.value]
    while chain[-1].__context__ and not chain[-1].__suppress_context__:
        chain.append(chain[-1].__context__)
    lines = [r.getMessage() for r in caplog.records if r.name != "mail.log"]  # the fake's own
    told = "\n".join([*lines, *(f"{e!r} {e}" for e in chain), repr(service.channel)])
    assert TOKEN not in told
    assert "test-token" not in told
    assert PHONE not in told
    assert MAILBOX not in told


def test_threads_share_a_channel(service: Service) -> None:
    """R8.5: the function serves several messages at once."""
    threads = [threading.Thread(target=service.send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(service.fake.accepted) == 4


# --- SMS ---


def test_the_sms_is_the_short_text(twilio: TwilioFake) -> None:
    """R6.1"""
    receipt = _sms(twilio).send(PHONE, ALERT, ZONE)
    (one,) = twilio.accepted
    assert one.form == {"To": PHONE, "From": SENDER, "Body": sms_text(ALERT, ZONE)}
    assert receipt == Receipt(f"SM{1:032x}", "queued")


def test_a_messaging_service_can_send(twilio: TwilioFake) -> None:
    """R6.1"""
    service = "MG" + "1" * 32
    _sms(twilio, sender=service).send(PHONE, ALERT, ZONE)
    assert twilio.accepted[0].form["MessagingServiceSid"] == service


def test_a_number_that_is_none_and_a_wrong_token_are_refused_with_twilios_code(twilio: TwilioFake) -> None:
    """R6.1"""
    with pytest.raises(ChannelRefused, match="21211"):
        _sms(twilio).send("12", ALERT, ZONE)
    with pytest.raises(ChannelRefused, match="20003"):
        _sms(twilio, auth_token="wrong").send(PHONE, ALERT, ZONE)


def _answers(status: int, body: bytes, headers: dict[str, str] | None = None) -> Callable[[], Any]:
    """A service that gives one answer to everything, in a thread; `with` ends it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.server.paths.append(self.path)  # type: ignore[attr-defined]
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    def start() -> HTTPServer:
        server = HTTPServer(("127.0.0.1", 0), Handler)
        server.paths = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    return start


@pytest.fixture
def answering() -> Iterator[Callable[..., tuple[str, list[str]]]]:
    servers: list[HTTPServer] = []

    def start(status: int, body: bytes, headers: dict[str, str] | None = None) -> tuple[str, list[str]]:
        server = _answers(status, body, headers)()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", server.paths

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


Answering = Callable[..., tuple[str, list[str]]]


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (400, b'{"code": 21610, "message": "x", "status": 400}', ChannelRefused, "opted out"),
        (400, b'{"code": 21614, "message": "x", "status": 400}', ChannelRefused, "not a mobile"),
        (400, b'{"code": 20429, "message": "x", "status": 400}', ChannelBusy, "asks to wait"),
        (
            400,
            b'{"code": 21610, "status": 400, "title": "x", "type": "https://twilio.com/x"}',
            ChannelRefused,
            "opted out",
        ),
        (502, b"<html>bad gateway</html>", ChannelBusy, "may have been sent"),
        (201, b"<html>hello</html>", ChannelBusy, "may have been sent"),
        (201, b"{}", ChannelBusy, "without an id"),
        (201, b'{"sid": "SM1", "status": "failed", "error_code": 30007}', ChannelRefused, "30007"),
        (307, b"", ChannelBusy, "307"),
    ],
)
def test_twilios_answers_are_sorted_into_later_and_never(
    answering: Answering, status: int, body: bytes, error: type[Exception], words: str
) -> None:
    """F20, R6.1: opted out and impossible numbers fail over at once; where nobody knows, it says so."""
    url, _ = answering(status, body, {"Location": "http://127.0.0.1:9/"} if status == 307 else None)
    with pytest.raises(error, match=words):
        SmsChannel("AC" + "0" * 32, "t", SENDER, base_url=url).send(PHONE, ALERT, ZONE)


# --- e-mail ---


def test_the_mail_has_both_parts_and_an_id_that_follows_from_the_alert(smtp: SmtpFake) -> None:
    """R6.1: sent twice it is one mail in the reader's thread; a next alert of the rule joins the thread."""
    channel = _email(smtp)
    first, again = (channel.send(MAILBOX, ALERT, ZONE) for _ in range(2))
    channel.send(MAILBOX, ALERT.model_copy(update={"alert_id": "other", "resolved": True}), ZONE)
    mails = [m.message for m in smtp.wait(3)]
    assert first == again
    assert mails[0]["Message-ID"] == mails[1]["Message-ID"] == first.provider_id
    assert mails[2]["Message-ID"] != first.provider_id
    assert len({m["References"] for m in mails}) == 1
    subject, text, html = email_parts(ALERT, ZONE)
    mail = mails[0]
    assert (mail["Subject"], mail["From"], mail["To"]) == (subject, "Desk <desk@example.com>", MAILBOX)
    assert mail["X-Priority"] == "1"
    assert mails[2]["X-Priority"] is None
    plain, rich = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert plain.get_content().replace("\r\n", "\n") == text
    assert rich.get_content().replace("\r\n", "\n") == html
    assert smtp.accepted[0].sender == "desk@example.com"
    assert smtp.accepted[0].recipients == (MAILBOX,)


@pytest.mark.parametrize("nasty", ["x\u2028Bcc: evil@example.com", "x\u2029y", "=?utf-8?q?x?=", "é" * 400])
def test_free_text_adds_no_header_to_a_mail(smtp: SmtpFake, nasty: str) -> None:
    """R6.1"""
    _email(smtp).send(MAILBOX, ALERT.model_copy(update={"summary": nasty, "object": nasty}), ZONE)
    (mail,) = smtp.accepted
    assert mail.recipients == (MAILBOX,)
    assert mail.message["Bcc"] is None
    assert mail.message["Subject"].startswith("[CRITICAL] demo: ")


def test_mail_is_encrypted_and_the_login_is_used() -> None:
    """R6.1: STARTTLS."""
    with SmtpFake(starttls=True, user="desk", password="secret") as fake:
        trust = ssl.create_default_context(cafile=str(fake.certificate))
        login = {"username": "desk", "password": "secret", "tls": "starttls"}
        _email(fake, context=trust, **login).send(MAILBOX, ALERT, ZONE)
        (mail,) = fake.accepted
        assert mail.encrypted
        assert mail.user == "desk"
        with pytest.raises(ChannelRefused, match="535"):
            _email(fake, context=trust, **login | {"password": "wrong"}).send(MAILBOX, ALERT, ZONE)
        with pytest.raises(ChannelRefused, match="certificate"):
            _email(fake, **login).send(MAILBOX, ALERT, ZONE)
        assert len(fake.accepted) == 1


@pytest.mark.parametrize(
    ("tls", "login", "words"),
    [
        ("starttls", {}, "no mail is sent in clear text"),
        ("starttls", {"username": "desk"}, "no mail is sent in clear text"),
        ("none", {"username": "desk"}, "no password is sent"),
    ],
)
def test_without_encryption_nothing_secret_is_sent(
    smtp: SmtpFake, tls: Tls, login: dict[str, str], words: str
) -> None:
    """R6.1"""
    with pytest.raises(ChannelRefused, match=words):
        _email(smtp, tls=tls, **login).send(MAILBOX, ALERT, ZONE)
    assert smtp.received == []


def test_mail_in_clear_text_is_a_setting_of_its_own() -> None:
    """R6.1: with or without a log-in, encryption is demanded unless the settings say otherwise."""
    mail = {"SMTP_HOST": "localhost", "SMTP_FROM": "d@example.com", "GOOGLE_CLOUD_PROJECT": "p"}
    asked = [{}, {"SMTP_USER": "desk"}, {"SMTP_PORT": "465"}, {"SMTP_STARTTLS": "0"}]
    settings = [read_settings(mail | more) for more in asked]
    assert [mail_tls(chosen) for chosen in settings] == ["starttls", "starttls", "implicit", "none"]


# --- Discord ---


def test_discord_gets_the_embed_and_waits_for_the_id(discord: DiscordFake) -> None:
    """R6.1"""
    receipt = DiscordChannel(base_url=discord.url).send(HOOK, ALERT, ZONE)
    (one,) = discord.accepted
    assert one.path.endswith("?wait=true")
    assert one.form == discord_payload(ALERT, ZONE)
    assert receipt.provider_id.isdigit()


def test_the_longest_alert_is_within_discords_limits(discord: DiscordFake) -> None:
    """R6.1"""
    long = dict.fromkeys(("summary", "object", "action", "cause"), "*_" * 250)
    DiscordChannel(base_url=discord.url).send(HOOK, ALERT.model_copy(update=long), ZONE)
    assert len(discord.accepted) == 1


def test_discords_wait_is_passed_on(discord: DiscordFake, answering: Answering) -> None:
    """R6.1: retry_after of the body, else the header."""
    discord.misbehave(rate_limited(0.75))
    with pytest.raises(ChannelBusy) as caught:
        DiscordChannel(base_url=discord.url).send(HOOK, ALERT, ZONE)
    assert caught.value.retry_after_s == 0.75
    url, _ = answering(429, b"slow down", {"Retry-After": "3600"})
    with pytest.raises(ChannelBusy) as caught:
        DiscordChannel(base_url=url).send(HOOK, ALERT, ZONE)
    assert caught.value.retry_after_s == 3600


OTHER = HOOK.replace("1000000000000000001", "1000000000000000002")
ROOMY = {"X-RateLimit-Remaining": "3", "X-RateLimit-Reset-After": "2"}
LAST = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "1.5"}


def test_a_webhook_without_room_is_left_alone_until_it_has_some(answering: Answering) -> None:
    """R6.1, F21: after the fifth message in 2 s Discord is not asked for a sixth; another webhook is."""
    now = [100.0]
    url, paths = answering(200, b'{"id": "1"}', LAST)
    channel = DiscordChannel(base_url=url, ticks=lambda: now[0])
    channel.send(HOOK, ALERT, ZONE)
    with pytest.raises(ChannelBusy, match="has asked to wait") as caught:
        channel.send(HOOK, ALERT, ZONE)
    assert caught.value.retry_after_s == 1.5
    assert len(paths) == 1
    channel.send(OTHER, ALERT, ZONE)
    now[0] += 1.5
    channel.send(HOOK, ALERT, ZONE)
    assert len(paths) == 3
    url, paths = answering(200, b'{"id": "1"}', ROOMY)
    channel = DiscordChannel(base_url=url, ticks=lambda: now[0])
    for _ in range(2):
        channel.send(HOOK, ALERT, ZONE)
    assert len(paths) == 2


@pytest.mark.parametrize(("scope", "asked"), [("false", 2), ("true", 1)])
def test_a_webhook_that_was_refused_is_left_alone_and_all_where_it_says_so(
    answering: Answering, scope: str, asked: int
) -> None:
    """R6.1, F21"""
    url, paths = answering(429, b'{"retry_after": 7.5, "global": %s}' % scope.encode())
    channel = DiscordChannel(base_url=url, ticks=lambda: 100.0)
    for address in (HOOK, HOOK, OTHER, OTHER):
        with pytest.raises(ChannelBusy) as caught:
            channel.send(address, ALERT, ZONE)
        assert caught.value.retry_after_s == 7.5
    assert len(paths) == asked


@pytest.mark.parametrize(
    "address",
    [
        "http://discord.com/api/webhooks/1000000000000000001/test-webhook-token",
        "https://discord.com.evil.example/api/webhooks/1000000000000000001/test-webhook-token",
        "https://evil.example/api/webhooks/1000000000000000001/test-webhook-token",
        "https://discord.com@evil.example/api/webhooks/1000000000000000001/test-webhook-token",
        "https://discord.com:8443/api/webhooks/1000000000000000001/test-webhook-token",
        "https://discord.com/api/webhooks/1000000000000000001/test-webhook-token/../../x",
        "http://169.254.169.254/computeMetadata/v1/",
    ],
)
def test_only_webhooks_of_discord_are_called(discord: DiscordFake, address: str) -> None:
    """R6.1: an address in the settings is no way into our network."""
    with pytest.raises(ChannelRefused, match="not a Discord webhook"):
        DiscordChannel(base_url=discord.url).send(address, ALERT, ZONE)
    assert discord.received == []


def test_a_redirect_is_not_followed(discord: DiscordFake, answering: Answering) -> None:
    """R6.1"""
    url, paths = answering(307, b"", {"Location": f"{discord.url}/api/webhooks/1000000000000000001/{TOKEN}"})
    with pytest.raises(ChannelRefused, match="307"):
        DiscordChannel(base_url=url).send(HOOK, ALERT, ZONE)
    assert len(paths) == 1
    assert discord.received == []


# --- the recording channel ---


def test_the_recording_channel_keeps_what_it_is_given() -> None:
    """R8.2: the embedded mode shows alerts without a provider."""
    channel = RecordingChannel("sms")
    assert channel.send(PHONE, ALERT, ZONE) == Receipt("sms-1", "recorded")
    (sent,) = channel.sent
    assert (sent.channel, sent.address, sent.alert, sent.text) == ("sms", PHONE, ALERT, sms_text(ALERT, ZONE))
