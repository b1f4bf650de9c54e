"""B75: every function with every secret that the settings know, in success and in failure: no line of its log shows one.

The functions are what is deployed, down to the handler that writes the log; only Google's services are in memory, and
nothing outside this machine has an address.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from emulators.fakes.discord import DiscordFake
from emulators.fakes.telegram import TelegramFake
from emulators.fakes.twilio import TwilioFake
from stopline.model.account import Account
from stopline.model.times import utc_text
from stopline.ports import ChannelBusy, ChannelRefused, Unavailable
from stopline.runtime import google, logs, settings
from stopline.runtime.settings import Settings

from .conftest import ENTRY_POINTS
from .deployed import (
    GOOD,
    HASH,
    HEARTBEAT,
    SECRETS,
    TELEGRAM,
    TOKEN,
    Breaks,
    Deployed,
    apprise,
    made,
    webhook,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Apprise's own

SIGNED = made("signed")  # of nobody that the settings know: found by the words around it
NEEDLES = {secret for each in SECRETS.values() for secret in each}
TEXT = " ".join(  # as errors show them: in addresses, in paths and bare
    [
        *(made(name) for name in ("developer", "twilio", "acknowledge", "kite", 'it\'s\\a "mail" password%')),
        *(HASH, f"/bot{TELEGRAM}/sendMessage", HEARTBEAT),
        *(f"{webhook(name)}?wait=true" for name in ("webhook", "hook2")),
        *(f"cannot reach {apprise(name)}, it says" for name in ("sent", "duty")),
        *(f"Authorization: Bearer {SIGNED}", f"api_key={SIGNED}"),
    ]
)


class Broken:
    """A channel of which every send fails."""

    def __init__(self, name: str, fault: Exception) -> None:
        self.name, self._fault = name, fault

    def send(self, *_: object) -> Any:
        raise self._fault


def use(deployed: Deployed, name: str) -> int:
    """Use a function as it is meant to be, and otherwise; return the status that answers the former."""
    client, now = deployed.serve(name), utc_text(datetime.now(UTC))
    if name in GOOD:
        good = deployed.push(client, json.dumps(GOOD[name](now)).encode())
        for bad in (TEXT.encode(), json.dumps({"type": TEXT, "api_key": SIGNED, TEXT: "x"}).encode()):
            deployed.push(client, bad, {"account": SIGNED, "dialect": f"Bearer {SIGNED}"})
        client.post("/", data=TEXT)
        client.post("/", json={"message": {"data": "e30="}, "subscription": webhook("webhook")})
        return good.status_code
    ours, scope = {"Authorization": f"Bearer {TOKEN}"}, {"scope": "account:demo", "reason": "x"}
    if name == "kill_switch":
        good = client.post("/kill", json={"request_id": f"r-{now}", **scope}, headers=ours)
        client.post("/kill", json={"request_id": SIGNED, "scope": TEXT, "reason": TEXT}, headers=ours)
        client.post("/kill", json=scope, headers={"Authorization": f"Bearer {SIGNED}"})
        client.post("/kill", json=scope, headers={"Authorization": f"Bearer dev.{SIGNED}.x"})
        client.get(f"/{made('twilio')}/{HASH}", headers=ours)
        return good.status_code
    good = client.get("/v1/accounts/demo", headers=ours)
    client.get(f"/v1/accounts/{made('twilio')}", headers=ours)
    client.get("/v1/accounts/demo", headers={"Authorization": f"Bearer {SIGNED}"})
    client.patch("/v1/accounts/demo/settings", json={"changes": {"x": TEXT}}, headers=ours)
    client.get("/v1/ack", query_string={"t": f"a.{SIGNED}"})
    return good.status_code


def use_broken(deployed: Deployed, name: str, broken: Breaks, fault: Exception) -> None:
    broken.fault = fault
    use(deployed, name)
    broken.fault = None


def use_all_ways(deployed: Deployed, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a function while all is well, and while each thing that it needs fails in each way, in words that hold secrets."""
    opened = Account.model_validate({"account": "demo", "owner": "ann", "currency": "USD", "capital": "1000"})
    google.app().account_writer.create(opened, "ann")
    services = [TwilioFake(token=made("twilio")), DiscordFake(token=made("webhook")), TelegramFake(TELEGRAM)]
    names = ("STOPLINE_TWILIO_URL", "STOPLINE_DISCORD_URL", "STOPLINE_TELEGRAM_URL")
    with monkeypatch.context() as there:
        for variable, service in zip(names, services, strict=True):
            there.setenv(variable, service.url)
        status = use(deployed, name)
    told = [len(service.accepted) for service in services]
    for service in services:
        service.close()
    if name == "alerts":  # mail and Slack cannot be reached: it comes again, and these three know it
        assert (status, told) == (503, [1, 1, 1])
    else:
        assert status in (200, 204)
    google._alerts_app.cache_clear()  # from here on no provider is there
    use(deployed, name)
    for broken in (deployed.store, deployed.bus, deployed.history):
        for fault in (RuntimeError(TEXT), KeyError(TEXT), Unavailable(TEXT)):
            use_broken(deployed, name, broken, fault)
    if name == "alerts":
        for fault in (RuntimeError(TEXT), ChannelBusy(TEXT), ChannelRefused(TEXT)):
            every = {
                kind: Broken(kind, fault)
                for kind in ("sms", "voice", "email", "discord", "telegram", "apprise")
            }
            google._alerts_app.cache_clear()
            with monkeypatch.context() as there:
                there.setattr(google, "channels", lambda _, every=every: every)
                use(deployed, name)


def shown(text: str) -> set[str]:
    """Return the secrets that stand in a text, however their odd characters are written."""
    return {secret for secret in (*NEEDLES, SIGNED) if secret[-24:] in text}


def test_every_secret_of_the_settings_is_looked_for(deployed: Deployed) -> None:
    """B75: a new one must be named here; and what is read of this environment is what is looked for."""
    chosen = settings.settings()
    assert {field.name for field in fields(Settings) if not field.repr} == SECRETS.keys()
    for name, secrets in SECRETS.items():
        held = getattr(chosen, name)
        text = held.model_dump_json() if hasattr(held, "model_dump_json") else str(held)
        assert all(secret in text for secret in secrets), name
    assert shown(TEXT) == NEEDLES | {SIGNED}
    assert shown(repr(chosen)) == set()


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_no_function_logs_any_secret_whatever_fails(
    deployed: Deployed, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """B75, R8.3: each line is JSON, nothing is written beside the log, and 0 lines show a secret."""
    use_all_ways(deployed, name, monkeypatch)
    out, err = capsys.readouterr()
    assert [(line[:2000], found) for line in out.splitlines() if (found := shown(line))] == []
    assert err == ""
    severities = {json.loads(line)["severity"] for line in out.splitlines()}
    assert severities & {"ERROR", "WARNING"}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_without_redaction_the_same_requests_show_every_secret(
    deployed: Deployed, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """B75: the test above can fail: for each function, and for each secret."""
    monkeypatch.setattr(logs.JsonFormatter, "_redacted", lambda _, text: text)
    use_broken(deployed, name, deployed.store, RuntimeError(TEXT))
    assert shown(capsys.readouterr().out) == NEEDLES | {SIGNED}


def test_a_secret_that_has_rotated_in_is_taken_out_too(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """B75, F60: the newest version is in a file, and no variable has it."""
    new = made("rotated")
    (tmp_path / "token").write_text(new)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN_FILE", str(tmp_path / "token"))
    google.alerts_app()
    logging.getLogger("stopline").error("%s and %s", new, made("twilio"))
    out = capsys.readouterr().out
    assert "[redacted] and [redacted]" in out
    assert new not in out
    assert shown(out) == set()


BAD_SETTINGS: Mapping[str, str] = {
    "SMTP_PORT": made("port"),
    "STOPLINE_OPERATOR": json.dumps({"discord": [webhook("webhook") + "/x"]}),
    "STOPLINE_HEARTBEAT_URL": HEARTBEAT + "?x",
    "STOPLINE_ACK_SECRET": made("acknowledge")[:20],
    "STOPLINE_PRINCIPALS": json.dumps({TOKEN: {"name": "ann", "rights": ["admin"], "accounts": ["*"]}}),
}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_settings_that_are_refused_are_one_line_of_json_without_what_they_hold(
    deployed: Deployed, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """B75, R8.3: before the level of the log is known, too."""
    for variable, value in BAD_SETTINGS.items():
        with monkeypatch.context() as there:
            there.setenv(variable, value)
            client = deployed.serve(name)
            answer = client.post("/kill", json={}) if name not in GOOD else deployed.push(client, b"{}")
        out, err = capsys.readouterr()
        assert (answer.status_code, err) == (500, "")
        [line] = [json.loads(line) for line in out.splitlines()]
        assert line["severity"] == "ERROR"
        assert f"BAD_SETTING: {variable}" in line["exception"]
        assert shown(out) == set()
        assert not any(part in out for part in (made("port"), TOKEN, made("acknowledge")[:20]))
