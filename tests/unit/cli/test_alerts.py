"""stopline alerts: what stands, who has it, who would be told."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main
from stopline.model.settings.operator import OperatorAlerts
from stopline.model.settings.recipients import Recipients
from stopline.model.times import parse_utc
from stopline.model.wire import validate
from stopline.runtime.embedded import Embedded

START = parse_utc("2026-11-20T15:00:00Z")  # a Friday, 10:00 in New York
Stopline = Callable[..., Result]
SETTINGS = """
capital: 100000
recipients:
  sms: ["+14155550100"]
  email: [ann@example.com]
alerting:
  people:
    - name: bob
      recipients: {sms: ["+14155550122"], telegram: ["123456789"]}
  routes:
    - severities: [warning]
      kinds: [stale_prices]
      hours: {start: "09:00", end: "17:00", days: [mon, tue, wed, thu, fri]}
      channels: [telegram]
      people: [bob]
  quiet: {start: "22:00", end: "07:00"}
  escalate_to: [bob]
"""


@pytest.fixture
def world(tmp_path: Path) -> Embedded:
    made = Embedded(START, Recipients(email=("operator@example.com",)))
    file = tmp_path / "demo.yaml"
    file.write_text(SETTINGS, "utf-8")
    result = CliRunner().invoke(
        main, ["accounts", "create", "demo", "--from", str(file)], obj=lambda: made.app
    )
    assert result.exit_code == 0, result.stderr
    return made


@pytest.fixture
def stopline(world: Embedded) -> Stopline:
    return lambda *args: CliRunner().invoke(main, list(args), obj=lambda: world.app)


def breach(world: Embedded, id_: str = "1f2e3d4c5b6a7988", **changes: Any) -> None:
    usual = {
        "type": "stopline.alert.v1",
        "alert_id": id_,
        "account": "demo",
        "kind": "max_daily_loss",
        "object": "account",
        "severity": "critical",
        "summary": "Loss of the day is 3.24%, limit 3%: breached",
        "raised_at": "2026-11-20T15:00:00Z",
    }
    world.publish("alerts", usual | changes)
    world.run()


def test_what_stands_is_listed_and_acknowledged_by_the_id_of_the_message(
    stopline: Stopline, world: Embedded
) -> None:
    """R6.3"""
    assert stopline("alerts", "list").stdout == "no alerts stand\n"
    breach(world)
    (found,) = json.loads(stopline("alerts", "list", "--json").stdout)
    assert (found["account"], found["state"], found["severity"]) == ("demo", "firing", "critical")
    shown = " ".join(stopline("alerts", "list", "demo").stdout.split())
    assert "1f2e3d4c" in shown
    assert "2026-11-20 10:00 EST" in shown  # a trader's clock
    done = stopline("alerts", "ack", "demo", "#1f2e3d4c")
    assert done.stdout == "acknowledged 1f2e3d4c: Loss of the day is 3.24%, limit 3%: breached\n"
    (found,) = json.loads(stopline("alerts", "list", "demo", "--json").stdout)
    assert found["state"] == "acknowledged"
    assert found["acknowledged_by"].startswith("cli:")
    again = stopline("alerts", "ack", "demo", "--all")
    assert (again.exit_code, "nothing to acknowledge" in again.stderr) == (1, True)
    taken = stopline("alerts", "ack", "demo", "1f2e")
    assert (taken.exit_code, "has it since 2026-11-20 10:00 EST: Loss of the day" in taken.stderr) == (
        1,
        True,
    )


def test_what_became_of_a_message_is_shown_address_by_address(stopline: Stopline, world: Embedded) -> None:
    """R6.1: whether the provider took it, and its word."""
    breach(world)
    found = json.loads(stopline("alerts", "show", "demo", "#1f2e3d4c", "--json").stdout)
    assert [(f["channel"], f["address"], f["status"], f["provider_says"]) for f in found] == [
        ("sms", "...0100", "SENT", "recorded"),
        ("email", "a...@example.com", "SENT", "recorded"),
    ]
    shown = stopline("alerts", "show", "demo", "1f2e3d4c").stdout
    assert "recorded" in shown
    assert "2026-11-20 10:00 EST" in " ".join(shown.split())
    assert stopline("alerts", "show", "operator", "1f2e3d4c").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ack", "demo"], 2, "name an alert, or say --all"),
        (["ack", "demo", "x", "--all"], 2, "name an alert, or say --all"),
        (["ack", "demo", "#1f2e3d4c"], 2, "nothing that stands is named by '#1f2e3d4c'"),
        (["ack", "demo", "#"], 2, "nothing that stands is named by '#'"),
        (["ack", "demo", "m"], 2, "must be 4 characters or more of an id or a whole kind"),
        (["show", "demo", "#1f2e3d4c"], 2, "no message of demo has an id that begins with '#1f2e3d4c'"),
        (["list", "ghost"], 2, "there is no account 'ghost'"),
        (["routes", "demo", "--at", "noon"], 2, "RFC 3339"),
        (["routes", "demo", "--kind", "[]"], 2, "kind: must be a lower-case name"),
        (["list", "\udc80"], 2, "UTF-8"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    stopline: Stopline, arguments: list[str], code: int, words: str
) -> None:
    result = stopline("alerts", *arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_routes_shows_who_would_be_told_stage_by_stage(stopline: Stopline) -> None:
    """R6.1, R6.3: no message goes out, and no address is shown whole."""
    rows = json.loads(stopline("alerts", "routes", "demo", "--severity", "critical", "--json").stdout)
    assert [(r["after_s"], r["channel"], r["address"]) for r in rows] == [
        (0, "sms", "...0100"),
        (0, "email", "a...@example.com"),
        (120, "sms", "...0122"),
        (120, "telegram", "...6789"),
        (300, "email", "o...@example.com"),
        (900, "email", "o...@example.com"),
    ]
    assert "+14155550100" not in stopline("alerts", "routes", "demo").stdout
    assert "quiet from 22:00 to 07:00" in stopline("alerts", "routes", "demo").stdout
    night = stopline("alerts", "routes", "demo", "--at", "2026-11-21T04:00:00Z").stdout
    assert "it is quiet at that time, the rest waits until 07:00" in " ".join(night.split())
    assert [r["who"] for r in rows] == ["demo", "demo", "bob", "bob", "operator", "operator"]


def test_routes_shows_an_accounts_own_routes_and_what_comes_where_a_channel_fails(stopline: Stopline) -> None:
    """R6.1: a call is in place of an SMS where calls are set up."""
    asked = ("alerts", "routes", "demo", "--kind", "stale_prices")
    rows = json.loads(stopline(*asked, "--json").stdout)
    by = {(r["severity"], r["who"], r["channel"]): (r["route"], r["if_it_fails"]) for r in rows}
    assert by["critical", "demo", "sms"] == ("", "voice (TWILIO_VOICE=1)")  # the mail goes out anyway
    assert by["critical", "bob", "telegram"] == ("", "")
    assert by["warning", "demo", "telegram"] == (1, "sms")
    shown = stopline(*asked).stdout
    assert "routes of demo: the first that fits decides" in shown
    for cell in ("warning", "stale_prices", "09:00-17:00", "mon,tue,wed,thu,fri", "telegram", "bob"):
        assert cell in "".join(shown.split())


def test_the_operator_is_shown_as_an_account_is_in_the_operators_zone() -> None:
    """R6.1, R6.3"""
    duty = {
        "time_zone": "Asia/Kolkata",
        "quiet": {"start": "20:00", "end": "07:00"},
        "people": [{"name": "eva", "recipients": {"sms": ["+4915155550100"]}}],
        "escalate_to": ["eva"],
        "escalate_after_s": [60, 600],
    }
    operator = Recipients(email=("operator@example.com",))
    world = Embedded(START, operator, operator_alerts=validate(OperatorAlerts, duty))
    breach(world, account=None, kind="dead_letters", severity="critical")

    def stopline(*args: str) -> str:
        return CliRunner().invoke(main, ["alerts", *args], obj=lambda: world.app).stdout

    assert "2026-11-20 20:30 IST" in " ".join(stopline("list").split())
    rows = json.loads(stopline("routes", "operator", "--severity", "critical", "--json"))
    assert [(r["after_s"], r["who"], r["channel"]) for r in rows] == [
        (0, "operator", "email"),
        (60, "eva", "sms"),
        (600, "operator", "email"),
    ]
    shown = " ".join(stopline("routes", "operator").split())
    assert "quiet from 20:00 to 07:00" in shown
    assert "in Asia/Kolkata" in shown
    assert "it is quiet at that time" in shown


@pytest.mark.parametrize(
    ("kind", "at", "channel"),
    [
        ("stale_prices", "2026-11-20T15:00:00Z", "telegram"),
        ("stale_prices", "2026-11-20T23:00:00Z", "email"),  # 18:00 in New York
        ("stale_prices", "2026-11-21T15:00:00Z", "email"),  # a Saturday
        ("max_daily_loss", "2026-11-20T15:00:00Z", "email"),
    ],
)
def test_a_route_holds_for_its_kind_and_hours(stopline: Stopline, kind: str, at: str, channel: str) -> None:
    """R6.1: severity, kind, time of day and people."""
    rows = json.loads(
        stopline(
            "alerts", "routes", "demo", "--severity", "warning", "--kind", kind, "--at", at, "--json"
        ).stdout
    )
    assert [r["channel"] for r in rows] == [channel]


def test_a_test_message_takes_the_real_way(stopline: Stopline, world: Embedded) -> None:
    """R6.1"""
    assert "to 2 addresses" in stopline("alerts", "test", "demo", "--severity", "critical").stdout
    world.run()
    (message,) = world.channels["sms"].sent
    assert message.address == "+14155550100"
    assert "Test message by cli:" in message.text
    assert stopline("alerts", "list").stdout == "no alerts stand\n"  # it is no condition
    world.clock.set(START + timedelta(seconds=1))
    stopline("alerts", "test", "demo", "--severity", "critical", "--stage", "1")
    world.run()
    assert world.channels["sms"].sent[-1].address == "+14155550122"


def test_the_operator_can_be_tested_too(stopline: Stopline, world: Embedded) -> None:
    """R6.2"""
    stopline("alerts", "test", "operator")
    world.run()
    assert [m.address for m in world.channels["email"].sent] == ["operator@example.com"]
