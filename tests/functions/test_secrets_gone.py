"""F60: secrets that rotate cannot be read, or an old version is revoked. A kill goes its whole way; people hear of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from emulators.fakes.discord import DiscordFake
from emulators.fakes.twilio import TwilioFake
from stopline.adapters.clock import ManualClock
from stopline.model.account import Account
from stopline.model.errors import Transient
from stopline.model.fill import Fill
from stopline.ports import Outgoing
from stopline.runtime import google, identity
from stopline.runtime.rotation import KEPT, NAMES

from .conftest import NOON, raw_fill
from .deployed import TOKEN, Deployed, made, webhook

OPERATOR = {"sms": ["+14155550100"], "telegram": ["123456"], "discord": [webhook("webhook")]}


class Desk:
    """A deployment whose secrets are files, as Secret Manager mounts them; Twilio knows one version of its token."""

    def __init__(self, deployed: Deployed, folder: Path, clock: ManualClock) -> None:
        self.deployed, self.folder, self.clock = deployed, folder, clock
        self.twilio, self.discord = TwilioFake(token=made("twilio")), DiscordFake(token=made("webhook"))
        self.out: list[Outgoing] = []
        for topic in ("alerts", "orders"):
            deployed.bus.subscribe(topic, lambda message, id_, attempt: self.out.append(message))

    def open(self, *names: str) -> None:
        """Open accounts that hold ten shares each, which nobody has been told of."""
        app = google.app()
        for name in names:
            facts = {"account": name, "owner": "ann", "currency": "USD", "capital": "100000"}
            app.account_writer.create(Account.model_validate(facts), "ann")
            bought = raw_fill(f"E-{name}", account=name, executed_at=self.clock.now().isoformat())
            app.recorder.record([Fill.model_validate(bought)], f"m-{name}")
        self.deployed.bus.run()
        self.out.clear()

    def kill(self, name: str) -> list[str]:
        """Kill an account as a person does; return the actions of the commands that went out."""
        self.out.clear()
        body = {"request_id": f"kill-{name}", "scope": f"account:{name}", "reason": "now", "flatten": True}
        client = self.deployed.serve("kill_switch")
        answer = client.post("/kill", json=body, headers={"Authorization": f"Bearer {TOKEN}"})
        assert (answer.status_code, answer.get_json()["state"]) == (200, "HALTED")
        assert answer.get_json()["delivery"] == "published"
        control = google.app().trading.read(f"account:{name}")
        assert (control.state.value, control.request_id) == ("HALTED", f"kill-{name}")
        self.deployed.bus.run()
        return [json.loads(m.data)["action"] for m in self.out if m.topic == "orders"]

    def tell(self) -> dict[str, int]:
        """Hand what is to be told to the function that tells; return how many messages each service took of it."""
        client = self.deployed.serve("alerts")
        before = len(self.twilio.accepted), len(self.discord.accepted)
        told, self.out = [m for m in self.out if m.topic == "alerts"], []
        assert told
        for message in told:
            assert self.deployed.push(client, message.data).status_code == 204
        self.deployed.bus.run()
        return {
            "sms": len(self.twilio.accepted) - before[0],
            "discord": len(self.discord.accepted) - before[1],
        }

    def kinds(self) -> list[str]:
        return [json.loads(m.data)["kind"] for m in self.out if m.topic == "alerts"]


@pytest.fixture
def desk(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Desk]:
    clock = ManualClock(NOON)
    made_ = Desk(deployed, tmp_path, clock)
    for name in NAMES:
        monkeypatch.delenv(name)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    monkeypatch.setenv("STOPLINE_OPERATOR", json.dumps(OPERATOR))
    monkeypatch.delenv("STOPLINE_OPERATOR_ALERTS")
    monkeypatch.setenv("TWILIO_VOICE", "0")
    monkeypatch.setenv("STOPLINE_TWILIO_URL", made_.twilio.url)
    monkeypatch.setenv("STOPLINE_DISCORD_URL", made_.discord.url)
    monkeypatch.setattr(google, "clock", lambda _: clock)
    yield made_
    made_.twilio.close()
    made_.discord.close()


def test_a_kill_goes_its_whole_way_where_no_secret_was_ever_to_be_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F60, I4, I6: Secret Manager is not there, and Google's own keys are not either, which tokens of ours do not need. The
    switch asks for no secret of a channel; the commands are out, and the channel that needs none tells of it.
    """

    def gone() -> dict[str, str]:
        raise Transient("Google's certificates cannot be had")

    monkeypatch.setattr(identity, "fetch_certificates", gone)
    monkeypatch.setenv("STOPLINE_AUDIENCE", "https://kill.example.com")
    desk.open("demo")
    assert desk.kill("demo") == ["cancel_all", "close"]
    assert google._alerts_app.cache_info().currsize == 0, "nothing that rotates is built by the switch"
    assert desk.tell() == {"sms": 0, "discord": 1}
    assert desk.kinds() == ["channel_failed"] * 2


def test_a_secret_that_goes_away_is_used_for_five_minutes_more_and_no_kill_waits_for_it(desk: Desk) -> None:
    """F60, I4, I6: before, in and after the five minutes a kill is stored, its commands are out, and people are told."""
    file = desk.folder / "TWILIO_AUTH_TOKEN"
    file.write_text(made("twilio"))
    desk.open("a", "b", "c", "d")
    for name, wait, found in (
        ("a", timedelta(0), {"sms": 1, "discord": 1}),
        ("b", KEPT - timedelta(seconds=1), {"sms": 1, "discord": 1}),
        ("c", 2 * KEPT, {"sms": 0, "discord": 1}),
    ):
        desk.clock.set(desk.clock.now() + wait)
        assert desk.kill(name) == ["cancel_all", "close"]
        assert desk.tell() == found, name
        file.unlink(missing_ok=True)
    file.write_text(made("twilio"))
    desk.clock.set(desk.clock.now() + KEPT)
    assert desk.kill("d") == ["cancel_all", "close"]
    assert desk.tell() == {"sms": 1, "discord": 1}


def test_a_version_that_was_revoked_before_the_new_one_is_read_costs_no_kill_and_no_word(desk: Desk) -> None:
    """F60: Twilio refuses the old token; the new one is in the file, and is read within five minutes."""
    file = desk.folder / "TWILIO_AUTH_TOKEN"
    file.write_text(made("revoked"))
    desk.open("a", "b")
    assert desk.kill("a") == ["cancel_all", "close"]
    assert desk.tell() == {"sms": 0, "discord": 1}
    file.write_text(made("twilio"))
    desk.clock.set(desk.clock.now() + KEPT)
    assert desk.kill("b") == ["cancel_all", "close"]
    assert desk.tell() == {"sms": 1, "discord": 1}
