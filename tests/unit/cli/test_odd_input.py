"""What nobody should give to the ledger's commands: one clear line and exit code 2, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.cli.main import main

from ..make import raw_fill

FILL: dict[str, Any] = raw_fill(quantity="7", price="13")
LEG = {"right": "C", "strike": "7", "quantity": "-13", "price": "1"}
LEGS: dict[str, Any] = {"legs": [LEG], "spot": "9", "fees": "1"}
COMMANDS = {
    "ledger": (["ledger", "-"], FILL),
    "margin": (["margin", "-"], LEGS),
    "normalise": (["normalise", "--broker", "paper", "-"], FILL),
}


def raws(good: bytes) -> dict[str, bytes]:
    """Return texts that are no good input, made of one that is."""
    return {
        "empty": b"",
        "blank lines": b"\n \n\t\n",
        "utf-16": good.decode().encode("utf-16"),
        "not text": b"\xff\xfe\x00",
        "control characters": b"\x1b[31m\x00",
        "cut": good[: len(good) // 2],
        "garbage behind": good + b"x",
        "no object": b"[]",
        "null": b"null",
        "deep": b"[" * 100_000,
        "deep objects": b'{"a":' * 300 + b"1" + b"}" * 300,
        "NaN": good.replace(b'"7"', b"NaN"),
        "Infinity": good.replace(b'"7"', b"-Infinity"),
        "1e400": good.replace(b'"7"', b"1e400"),
        "a huge exponent": good.replace(b'"7"', b'"1E+999999"'),
        "a double": good.replace(b'"7"', b"7.5"),
        "digits of another alphabet": good.replace(b'"7"', '"٧"'.encode()),
        "full width": good.replace(b'"7"', '"７"'.encode()),
        "many digits": good.replace(b'"7"', b'"' + b"7" * 5000 + b'"'),
        "a key twice": good.replace(b"{", b'{"type":"x","type":"x",', 1),
        "a number for the text": b"9" * 100_000,
        "markup": b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>",
    }


def check(arguments: list[str], data: bytes) -> int:
    """Run a command; whatever comes out is an answer in JSON or one line."""
    result = CliRunner().invoke(main, [*arguments, "--json"], input=data)
    assert result.exit_code in (0, 2), result.output
    if result.exit_code == 2:
        assert result.stdout == ""
        [line] = result.stderr.splitlines()
        assert line.isprintable()
        assert len(line) < 1200
    return result.exit_code


@pytest.mark.parametrize("command", COMMANDS)
def test_a_text_that_is_no_input_is_one_line_and_two(command: str) -> None:
    """B02, B05-B08, B15, B16, B21, B22, B24, B26."""
    arguments, good = COMMANDS[command]
    assert check(arguments, json.dumps(good).encode()) == 0
    assert check(arguments, json.dumps(good).encode() + b"\r\n") == 0
    for name, data in raws(json.dumps(good, ensure_ascii=False).encode()).items():
        assert check(arguments, data) == 2, name


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_may_begin_with_a_byte_order_mark_and_a_message_not(command: str) -> None:
    """B07: what `normalise` reads are messages, which the functions refuse too."""
    arguments, good = COMMANDS[command]
    data = b"\xef\xbb\xbf" + json.dumps(good).encode()
    assert check(arguments, data) == (2 if command == "normalise" else 0)


ODD = [
    None,
    True,
    [],
    {},
    "",
    "NaN",
    "-1",
    "0",
    "-0",
    "1,5",
    "½",
    0.1,
    -5,
    2**70,
    "usd",
    "\u0000",
    "\ud800",
    "../x",
]


@pytest.mark.parametrize("command", COMMANDS)
@settings(max_examples=20)
@given(data=st.data())
def test_a_field_that_is_odd_is_answered_or_one_line_and_two(command: str, data: st.DataObject) -> None:
    """B12, B14, B17, B18, B23, B30."""
    arguments, good = COMMANDS[command]
    changed = json.loads(json.dumps(good))
    holder = data.draw(st.sampled_from([changed, *(v for v in changed.values() if isinstance(v, dict))]))
    holder[data.draw(st.sampled_from([*sorted(holder), "unknown"]))] = data.draw(st.sampled_from(ODD))
    check(arguments, json.dumps(changed).encode())


def test_one_id_with_two_contents_is_told_by_its_line() -> None:
    """B36."""
    lines = [json.dumps(FILL), json.dumps(FILL | {"quantity": "8"})]
    result = CliRunner().invoke(main, ["ledger", "-"], input="\n".join(lines))
    assert result.exit_code == 2
    assert "standard input, line 2: fill E-1 came before with other content" in result.stderr
