"""The README of the dialects: its commands print what it says, and its dialect works."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

import stopline.brokers
from stopline.brokers import DIALECTS
from stopline.cli.main import main
from stopline.model.fill import Fill
from stopline.model.wire import validate

README = (Path(stopline.brokers.__file__).parent / "README.md").read_text()
COMMANDS = re.findall(r"```sh\n(.+?) <<'END'\n(.+?)\nEND\n```\n```json\n(.+?)\n```", README, re.S)


def test_there_are_examples() -> None:
    assert len(COMMANDS) == README.count("```sh")


@pytest.mark.parametrize(("command", "message", "printed"), COMMANDS)
def test_an_example_prints_what_it_says(command: str, message: str, printed: str) -> None:
    result = CliRunner().invoke(main, command.split()[1:], input=message)
    assert result.exit_code == 0, result.stderr
    assert validate(Fill, json.loads(result.stdout)) == validate(Fill, json.loads(printed))


def test_every_dialect_has_a_row_of_the_table() -> None:
    assert set(re.findall(r"^\| `([a-z]+)` \|", README, re.M)) >= set(DIALECTS)


def test_a_dialect_is_one_module_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.+?)```", README, re.S)
    module = ModuleType("acme")
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, "acme", module)
    monkeypatch.setattr(stopline.brokers, "DIALECTS", {**DIALECTS, "acme": module.DIALECT})
    message = {
        "what": "FILL", "acct": "DEMO", "exec": "7", "sym": "SPY", "bs": "S", "qty": 3, "px": "600.25",
        "at": "2026-11-20 09:02:11",
    }  # fmt: skip
    [item] = stopline.brokers.parse(message, {"broker": "acme"})
    assert item.fill is not None
    assert (item.fill.account, item.fill.signed_quantity) == ("demo", -3)
    assert item.fill.executed_at.hour == 15
    assert stopline.brokers.parse({**message, "what": "ACK"}, {"broker": "acme"}) == []
    [item] = stopline.brokers.parse({**message, "what": "?"}, {"broker": "acme"})
    assert item.refused is not None
    assert item.refused.reason == "UNKNOWN_STATUS"
