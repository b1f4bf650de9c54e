"""stopline accounts: what a person may write, and what the answer to a mistake is."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import COMMANDS, main
from stopline.cli.show import console, table
from stopline.model.times import parse_utc
from stopline.runtime.app import App
from stopline.runtime.embedded import Embedded

START = parse_utc("2026-11-20T15:00:00Z")
WEBHOOK = "https://discord.com/api/webhooks/123456789/secret-token-of-a-webhook"
Stopline = Callable[..., Result]


@pytest.fixture
def world() -> Embedded:
    return Embedded(START)


@pytest.fixture
def stopline(world: Embedded) -> Stopline:
    """The command line over a Stopline in memory."""

    def run(*args: str) -> Result:
        return CliRunner().invoke(main, [str(arg) for arg in args], obj=lambda: world.app)

    return run


def write(folder: Path, text: str) -> Path:
    path = folder / "account.yaml"
    path.write_text(text, "utf-8")
    return path


def one_line(result: Result) -> str:
    """Return the one line on standard error."""
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr.strip()


def test_an_account_of_flags_is_created_listed_and_shown(stopline: Stopline, world: Embedded) -> None:
    """R2.11 R1.5: the settings are those given, the rest are safe defaults."""
    made = stopline(
        "accounts", "create", "desk", "--capital", "50000.50", "--currency", "USD", "--limit", "max_daily_loss=2.5",
        "--limit", "max_position_value=off", "--sms", "+14155550100", "--email", "a@example.com",
        "--discord", WEBHOOK, "--broker", "ibkr", "--broker", "paper", "--zone", "Europe/London",
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    account = world.app.accounts.require("desk")
    assert str(account.capital) == "50000.5"
    assert account.limits["max_daily_loss"].limit is not None
    assert not account.limits["max_position_value"].enabled
    assert account.brokers == ("ibkr", "paper")
    assert account.time_zone == "Europe/London"
    listed = stopline("accounts", "list")
    assert "desk" in listed.stdout
    shown = stopline("accounts", "show", "desk")
    assert shown.exit_code == 0
    assert "trading state ACTIVE" in shown.stdout
    assert "no open positions" in shown.stdout


def test_a_webhook_is_never_shown(stopline: Stopline) -> None:
    """R6.1: a Discord webhook is a secret."""
    stopline("accounts", "create", "desk", "--capital", "1", "--discord", WEBHOOK)
    for args in (["show", "desk"], ["show", "desk", "--json"], ["list", "--json"], ["list"]):
        shown = stopline("accounts", *args)
        assert shown.exit_code == 0
        assert "secret" not in shown.output
    made = stopline("accounts", "create", "desk2", "--capital", "1", "--discord", WEBHOOK, "--json")
    assert json.loads(made.stdout)["recipients"]["discord"] == ["https://discord.com/api/webhooks/..."]


def test_positions_and_limits_are_shown_as_the_sweep_left_them(stopline: Stopline, world: Embedded) -> None:
    """R1.9 R2.1: an account with a position shows its mark, its P&L and every limit."""
    stopline("accounts", "create", "desk", "--capital", "100000")
    fill = {
        "type": "stopline.fill.v1", "fill_id": "E1", "broker": "paper", "account": "desk", "side": "BUY",
        "instrument": {"symbol": "SPY", "kind": "equity", "currency": "USD"}, "quantity": "10", "price": "600",
        "executed_at": "2026-11-20T15:00:00Z",
    }  # fmt: skip
    world.publish("fills", fill)
    world.run()
    status = json.loads(stopline("accounts", "show", "desk", "--json").stdout)
    assert status["positions"][0]["symbol"] == "SPY"
    assert status["settings"]["capital"] == "100000"
    text = stopline("accounts", "show", "desk").stdout
    assert "SPY" in text
    assert "max_daily_loss" in text


def test_a_yaml_file_is_read_exactly_and_flags_go_before_it(
    stopline: Stopline, world: Embedded, tmp_path: Path
) -> None:
    """R2.11: numbers keep every digit, and an unquoted phone number stays one."""
    path = write(
        tmp_path,
        "owner: ann\ncurrency: INR\ncapital: 1000000.123456789012\ncalendar: XNSE\ntime_zone: Asia/Kolkata\n"
        "profile: general\nlimits:\n  max_daily_loss: 2\n  max_position_value: off\n"
        "recipients:\n  sms: [+919876543210]\n  email: [ann@example.com]\nprice_max_age_s: 120\n",
    )
    made = stopline(
        "accounts", "create", "nifty", "--from", path, "--owner", "bob", "--limit", "max_daily_loss=3"
    )
    assert made.exit_code == 0, made.stderr
    account = world.app.accounts.require("nifty")
    assert str(account.capital) == "1000000.123456789012"
    assert account.owner == "bob"
    assert account.recipients.sms == ("+919876543210",)
    assert str(account.limits["max_daily_loss"].limit) == "3"
    assert not account.limits["max_position_value"].enabled
    assert account.price_max_age_s == 120


def test_a_name_that_is_taken_is_a_failure_and_changes_nothing(stopline: Stopline, world: Embedded) -> None:
    """R2.11: exit code 1."""
    assert stopline("accounts", "create", "desk", "--capital", "1").exit_code == 0
    again = stopline("accounts", "create", "desk", "--capital", "2")
    assert again.exit_code == 1
    assert "exists already" in one_line(again)
    assert world.app.accounts.require("desk").capital == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--capital", "1e5"], ["capital", "decimal"]),
        (["--capital", "-5"], ["capital", "above 0"]),
        ([], ["capital is missing"]),
        (["--capital", "1", "--calendar", "XXXX"], ["calendar", "XXXX", "XNYS"]),
        (["--capital", "1", "--zone", "Mars/Base"], ["time_zone", "IANA"]),
        (["--capital", "1", "--currency", "usd"], ["currency"]),
        (["--capital", "1", "--profile", "wild"], ["profile", "zero_dte"]),
        (["--capital", "1", "--limit", "max_typo=3"], ["max_typo", "max_daily_loss"]),
        (["--capital", "1", "--limit", "max_daily_loss=x"], ["max_daily_loss", "decimal"]),
        (["--capital", "1", "--limit", "max_daily_loss"], ["name=number"]),
        (["--capital", "1", "--limit", "max_daily_loss=-1"], ["max_daily_loss", "above 0"]),
        (["--capital", "1", "--sms", "555"], ["recipients.sms", "E.164"]),
        (["--capital", "1", "--email", "nobody"], ["recipients.email"]),
        (["--capital", "1", "--discord", "https://evil.example/api/webhooks/1/x"], ["recipients.discord"]),
        (["--capital", "1", "--broker", "Bad Broker"], ["brokers"]),
        (["--capital", "1", "--from", "/nowhere.yaml"], ["/nowhere.yaml", "No such file"]),
        (["--capital", "1", "--colour", "red"], ["--colour"]),
    ],
)
def test_a_bad_setting_is_one_line_that_names_the_field(
    stopline: Stopline, args: list[str], words: list[str]
) -> None:
    """R2.11: exit code 2, and nothing is created."""
    result = stopline("accounts", "create", "desk", *args)
    assert result.exit_code == 2
    line = one_line(result)
    for word in words:
        assert word in line
    assert stopline("accounts", "list", "--json").stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("capital: 1\nlimit: 3\n", ["limit"]),
        ("capital: 1\ncapital: 2\n", ["line 2", "twice"]),
        ("capital: [1\n", ["line 2"]),
        ("a: &a [x]\nb: *a\n", ["line 2", "aliases"]),
        ("capital: !!python/object/apply:os.system ['true']\n", ["line 1"]),
        ("- capital\n", ["name: value"]),
        ("[" * 5000, ["line 1", "deep"]),
        ("capital: 1\nlimits: 3\n", ["limits"]),
        ("capital: 1\nrecipients: 3\n", ["recipients"]),
        ("account: other\ncapital: 1\n", ["other", "desk"]),
        ("capital: 2024-01-01\n", ["capital"]),
        ("capital: 1_000\n", ["capital"]),
        ("1: 2\n", ["capital"]),
        ("? [a, b]\n: 1\n", ["line"]),
        ("x" * 70_000, ["65536 bytes"]),
        ("capital: 1\x00\n", ["YAML"]),
        ("", ["name: value"]),
    ],
)
def test_a_bad_file_is_one_line_that_names_the_place(
    stopline: Stopline, tmp_path: Path, text: str, words: list[str]
) -> None:
    """R2.11: exit code 2."""
    result = stopline("accounts", "create", "desk", "--from", write(tmp_path, text))
    assert result.exit_code == 2, result.output
    line = one_line(result)
    for word in words:
        assert word in line


def test_an_account_that_is_not_there_is_a_failure(stopline: Stopline) -> None:
    """R1.9: exit code 2, with what to do."""
    result = stopline("accounts", "show", "nobody")
    assert result.exit_code == 2
    assert "stopline accounts create" in one_line(result)
    assert stopline("accounts", "show", "Bad Name").exit_code == 2


@pytest.mark.parametrize("arguments", [[], ["accounts"]])
def test_without_a_command_the_help_is_shown_as_it_is(arguments: list[str]) -> None:
    """Exit code 2: nothing was done. And it is no one line."""
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == CliRunner().invoke(main, [*arguments, "--help"]).stdout


def test_a_terminal_without_a_character_shows_a_mark_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Latin-1 or ASCII terminal, as with LC_ALL=C."""
    terminal = TextIOWrapper(BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    with pytest.raises(SystemExit):
        main(["--version"])
    print("\N{LARGE YELLOW CIRCLE}", file=terminal, flush=True)
    assert terminal.buffer.getvalue().endswith(b"?\n")  # type: ignore[attr-defined]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full here")
def test_a_full_disk_is_one_line() -> None:
    """Exit code 1."""
    with Path("/dev/full").open("w") as full:
        code = "from stopline.cli.main import main; main(['var', '--help'])"
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "stopline: No space left on device\n")


def test_no_number_is_cut_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """R1.9: the terminal wraps the line; a digit on the next line would be another number."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    heads = ("symbol", *(f"number {n}" for n in range(9)))
    console().print(table("wide", heads, [("SPXW261118P05900000", *["-123456.789"] * 9)], heads[1:]))
    assert capsys.readouterr().out.count("-123456.789") == 9


def test_without_a_project_one_line_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """R8.2: exit code 2."""
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    result = CliRunner().invoke(main, ["accounts", "list"])
    assert result.exit_code == 2
    assert "GOOGLE_CLOUD_PROJECT" in one_line(result)


def test_refused_messages_are_listed_and_shown_as_they_came(stopline: Stopline, world: Embedded) -> None:
    """R8.6: what was refused is kept with its reason, and its bytes cannot drive the terminal."""
    assert "nothing" in stopline("quarantine", "list").stdout
    world.bus.publish([_raw(b'{"type":"\x1b[31m\xc2\x9b"}')])
    world.bus.publish([_raw(b"\xff\xfe"), _raw(b"\xff" * 70_000)])
    world.run()
    found = json.loads(stopline("quarantine", "list", "--json").stdout)
    assert {f["source"] for f in found} == {"fills"}
    listed = stopline("quarantine", "list")
    assert "\x1b" not in listed.stdout
    for one in found:
        shown = stopline("quarantine", "show", one["id"])
        assert shown.exit_code == 0
        assert "\x1b" not in shown.stdout
        assert one["reason"] in shown.stdout
    cut = "70000 bytes, cut: the first 65536 are kept"
    assert [cut in stopline("quarantine", "show", one["id"]).stdout for one in found].count(True) == 1
    missing = stopline("quarantine", "show", "nothing")
    assert missing.exit_code == 2
    one_line(missing)
    assert stopline("quarantine", "show", "a/b").exit_code == 2


def _raw(data: bytes) -> Any:
    from stopline.ports import Outgoing

    return Outgoing("fills", data)


def test_help_names_every_command_and_imports_none_of_them() -> None:
    """R8.5: `stopline --help` must answer at once."""
    code = (
        "import sys\nfrom stopline.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = [m for m in ('yaml', 'rich', 'pydantic', 'numpy', 'google.cloud.firestore', 'grpc') if m in sys.modules]\n"
        "assert heavy == [], heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout


def test_a_command_of_a_package_that_is_not_installed_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R8.2: demo and up come with a checkout."""
    for name in [name for name in sys.modules if name.split(".")[0] == "emulators"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "emulators", None)
    for command in ("demo", "up"):
        result = CliRunner().invoke(main, [command])
        assert result.exit_code == 1
        assert "make setup" in one_line(result)


def test_up_says_what_to_install_where_java_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """R8.2: one line, exit code 1."""
    from emulators import google

    monkeypatch.setattr(google, "missing", lambda: [google.NO_JAVA])
    result = CliRunner().invoke(main, ["up"])
    assert result.exit_code == 1
    assert "Java" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_command_and_no_command_are_told_apart() -> None:
    """R8.5: exit code 2 for a mistake."""
    result = CliRunner().invoke(main, ["acounts"])
    assert result.exit_code == 2
    assert "acounts" in one_line(result)
    assert CliRunner().invoke(main, ["--version"]).stdout.startswith("stopline ")


def test_an_unexpected_error_is_one_line_and_its_traceback_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R8.5: exit code 1."""

    def broken() -> App:
        raise RuntimeError("disk on fire")

    result = CliRunner().invoke(main, ["accounts", "list"], obj=broken)
    assert result.exit_code == 1
    assert "disk on fire" in one_line(result)
    monkeypatch.setenv("STOPLINE_DEBUG", "1")
    assert isinstance(CliRunner().invoke(main, ["accounts", "list"], obj=broken).exception, RuntimeError)


def test_rights_are_granted_on_an_account_and_taken_away(stopline: Stopline, world: Embedded) -> None:
    """R5.1, B65: exactly what is said holds, each change is a version on record, and nonsense is refused."""
    stopline("accounts", "create", "demo", "--capital", "100000")
    given = stopline("accounts", "grant", "demo", "bob@example.com", "--right", "view", "--right", "kill")
    assert given.stdout == "account demo: bob@example.com may view, kill\n"
    assert world.app.accounts.all()[0].grants == {"bob@example.com": ("view", "kill")}
    assert "do nothing" in stopline("accounts", "grant", "demo", "bob@example.com").stdout
    assert world.app.accounts.all()[0].grants == {}
    assert world.app.accounts.all()[0].version == 3
    assert stopline("accounts", "grant", "demo", "bob", "--right", "root").exit_code == 2
    assert stopline("accounts", "grant", "demo", "b/b", "--right", "view").exit_code == 2
    assert stopline("accounts", "grant", "nobody", "bob", "--right", "view").exit_code == 2


def test_a_token_is_made_for_the_stopline_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """R8.2: with the key that `stopline up` shows; without it, it says where the key is."""
    from stopline.runtime.dev_tokens import read

    monkeypatch.delenv("STOPLINE_DEV_KEY", raising=False)
    refused = CliRunner().invoke(main, ["token", "bob"])
    assert refused.exit_code == 1
    monkeypatch.setenv("STOPLINE_DEV_KEY", "k" * 32)
    asked = ["token", "bob", "--right", "resume", "--account", "demo", "--json"]
    made = json.loads(CliRunner().invoke(main, asked).stdout)
    bob = read("k" * 32, made["token"], START)
    assert (bob.name, bob.rights, bob.accounts) == ("bob", ("resume",), ("demo",))
