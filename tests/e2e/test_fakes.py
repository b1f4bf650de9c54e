"""The fakes behave as the services do, told by the services' own clients, and misbehave when told to."""

from __future__ import annotations

import smtplib
import ssl
import time
from collections.abc import Callable
from email.message import EmailMessage

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

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

TO, FROM = "+15005550010", "+15005550006"


def twilio_client(fake: TwilioFake, timeout: float = 5) -> Client:
    client = Client(fake.account, fake.token, http_client=TwilioHttpClient(timeout=timeout))
    client.api.base_url = fake.url
    return client


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "desk@example.com", "trader@example.com", "Limit"
    message.set_content("Drawdown 12 % — limit 10 %")
    return message


def test_twilio_takes_messages_and_calls(twilio: TwilioFake) -> None:
    client = twilio_client(twilio)
    message = client.messages.create(to=TO, from_=FROM, body="Drawdown 12 %")
    call = client.calls.create(to=TO, from_=FROM, twiml="<Response><Say>Halted</Say></Response>")
    assert (message.status, message.sid[:2], len(message.sid)) == ("queued", "SM", 34)
    assert (call.status, call.sid[:2], len(call.sid)) == ("queued", "CA", 34)
    first, second = twilio.wait(2)
    assert first.form == {"To": TO, "From": FROM, "Body": "Drawdown 12 %"}
    assert first.path.endswith("/Messages.json")
    assert second.path.endswith("/Calls.json")
    assert first.at <= second.at


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [(rate_limited(2), 429, 20429), (fails(503), 503, 20503), (gone(), 404, 20404)],
)
def test_twilio_says_what_is_wrong(twilio: TwilioFake, fault: Fault, status: int, code: int) -> None:
    twilio.misbehave(fault)
    with pytest.raises(TwilioRestException) as caught:
        twilio_client(twilio).messages.create(to=TO, from_=FROM, body="x")
    assert (caught.value.status, caught.value.code) == (status, code)
    assert (len(twilio.received), twilio.accepted) == (1, [])
    twilio_client(twilio).messages.create(to=TO, from_=FROM, body="x")
    assert len(twilio.accepted) == 1


def test_twilio_refuses_a_wrong_token_and_a_wrong_number(twilio: TwilioFake) -> None:
    stranger = Client(twilio.account, "wrong", http_client=TwilioHttpClient(timeout=5))
    stranger.api.base_url = twilio.url
    with pytest.raises(TwilioRestException) as caught:
        stranger.messages.create(to=TO, from_=FROM, body="x")
    assert caught.value.code == 20003
    with pytest.raises(TwilioRestException) as caught:
        twilio_client(twilio).messages.create(to="12", from_=FROM, body="x")
    assert caught.value.code == 21211
    assert twilio.accepted == []


def test_a_message_that_was_taken_although_the_answer_says_no(twilio: TwilioFake) -> None:
    twilio.misbehave(fails_after_accepting())
    with pytest.raises(TwilioRestException):
        twilio_client(twilio).messages.create(to=TO, from_=FROM, body="x")
    assert len(twilio.accepted) == 1


def test_discord_answers_with_the_message(discord: DiscordFake) -> None:
    embed = {"title": "Drawdown", "fields": [{"name": "limit", "value": "10 %"}]}
    answer = requests.post(f"{discord.webhook}?wait=true", json={"embeds": [embed]}, timeout=5)
    assert answer.status_code == 200
    assert answer.json()["id"].isdigit()
    assert discord.wait()[0].form == {"embeds": [embed]}
    assert requests.post(discord.webhook, json={"content": "x"}, timeout=5).status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": "x" * 2001},
        {"embeds": [{"title": "x"}] * 11},
        {"embeds": [{"title": "x" * 257}]},
        {"embeds": [{"description": "x" * 4097}]},
        {"embeds": [{"fields": [{"name": "x", "value": "x"}] * 26}]},
        {"embeds": [{"fields": [{"name": "x", "value": "x" * 1025}]}]},
        {"embeds": [{"description": "x" * 3001}] * 2},
    ],
)
def test_discord_refuses_what_is_too_long(discord: DiscordFake, body: dict[str, object]) -> None:
    assert requests.post(discord.webhook, json=body, timeout=5).status_code == 400
    assert discord.accepted == []


def test_discord_limits_the_rate_and_forgets_webhooks(discord: DiscordFake) -> None:
    discord.misbehave(rate_limited(0.75), gone())
    limited = requests.post(discord.webhook, json={"content": "x"}, timeout=5)
    assert (limited.status_code, limited.json()["retry_after"]) == (429, 0.75)
    assert limited.headers["Retry-After"] == "0.75"
    assert requests.post(discord.webhook, json={"content": "x"}, timeout=5).json()["code"] == 10015
    wrong = discord.webhook.replace("test-webhook-token", "other")
    assert requests.post(wrong, json={"content": "x"}, timeout=5).status_code == 401


def test_an_answer_that_ends_half_way(discord: DiscordFake) -> None:
    discord.misbehave(cut_off())
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.post(f"{discord.webhook}?wait=true", json={"content": "x"}, timeout=5).json()
    assert len(discord.accepted) == 1


@pytest.mark.parametrize("fake", [DiscordFake, TwilioFake, SmtpFake])
def test_closing_a_fake_ends_a_hanging_answer(
    fake: Callable[[], DiscordFake | TwilioFake | SmtpFake],
) -> None:
    service = fake()
    service.always(hangs())
    with pytest.raises((requests.Timeout, smtplib.SMTPServerDisconnected)):
        _send(service, timeout=0.3)
    started = time.monotonic()
    service.close()
    assert time.monotonic() - started < 2
    assert len(service.accepted) == 1


def _send(service: DiscordFake | TwilioFake | SmtpFake, timeout: float) -> None:
    match service:
        case DiscordFake():
            requests.post(service.webhook, json={"content": "x"}, timeout=timeout)
        case TwilioFake():
            twilio_client(service, timeout).messages.create(to=TO, from_=FROM, body="x")
        case SmtpFake():
            client = smtplib.SMTP(service.host, service.port, timeout=timeout)
            try:
                client.send_message(mail())
            finally:
                client.close()


def test_mail_arrives(smtp: SmtpFake) -> None:
    with smtplib.SMTP(smtp.host, smtp.port, timeout=5) as client:
        client.send_message(mail())
        client.send_message(mail())
    first, second = smtp.wait(2)
    assert (first.sender, first.recipients) == ("desk@example.com", ("trader@example.com",))
    assert first.message["Subject"] == "Limit"
    assert first.message.get_content().strip() == "Drawdown 12 % — limit 10 %"
    assert not first.encrypted
    assert first.at <= second.at


def test_mail_goes_encrypted_and_after_a_login_where_the_server_wants_that() -> None:
    with SmtpFake(starttls=True, user="desk", password="secret") as fake:
        with smtplib.SMTP("localhost", fake.port, timeout=5) as client:
            with pytest.raises(smtplib.SMTPResponseException) as caught:
                client.send_message(mail())
            assert caught.value.smtp_code == 530
        with smtplib.SMTP("localhost", fake.port, timeout=5) as client:
            client.starttls(context=ssl.create_default_context(cafile=str(fake.certificate)))
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("desk", "wrong")
            client.login("desk", "secret")
            client.send_message(mail())
        (received,) = fake.wait()
        assert received.encrypted
        assert received.user == "desk"


@pytest.mark.parametrize(
    ("fault", "code", "accepted"),
    [(rate_limited(), 450, 0), (fails(), 451, 0), (fails_after_accepting(), 451, 1)],
)
def test_mail_that_the_server_puts_off(smtp: SmtpFake, fault: Fault, code: int, accepted: int) -> None:
    smtp.misbehave(fault)
    with smtplib.SMTP(smtp.host, smtp.port, timeout=5) as client:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.send_message(mail())
        assert caught.value.smtp_code == code
        assert len(smtp.accepted) == accepted
        client.send_message(mail())
    assert len(smtp.accepted) == accepted + 1


def test_mail_to_nobody_and_mail_cut_off(smtp: SmtpFake) -> None:
    smtp.misbehave(gone(), cut_off())
    with smtplib.SMTP(smtp.host, smtp.port, timeout=5) as client:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            client.send_message(mail())
        assert caught.value.recipients["trader@example.com"][0] == 550
        assert smtp.accepted == []
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.send_message(mail())
    assert len(smtp.accepted) == 1


def test_waiting_says_what_came_instead(discord: DiscordFake) -> None:
    discord.misbehave(fails())
    requests.post(discord.webhook, json={"content": "x"}, timeout=5)
    with pytest.raises(TimeoutError, match=r"0 of 1 accepted, 1 received after 0\.05 s"):
        discord.wait(seconds=0.05)
