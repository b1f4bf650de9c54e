"""stopline normalise: any broker's messages in, fills out, one clear line about what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main

FIX = "8=FIX.4.4|35=8|1=A|37=O|17=E{0}|150=F|55=SPY|167=CS|15=USD|54=1|32=4|31=600|60=20261120-15:0{0}:00|"
KITE = {
    "trade_id": "1", "order_id": "2", "exchange": "NSE", "tradingsymbol": "SBIN", "average_price": 470.05,
    "quantity": 1, "transaction_type": "BUY", "fill_timestamp": "2021-05-31 16:00:36",
}  # fmt: skip
FLEX = (
    '<FlexQueryResponse>\n<Trades>\n<Trade accountId="U1" currency="USD" assetCategory="STK" symbol="SPY" tradeID="1" '
    'dateTime="20260717;120440" transactionType="ExchTrade" quantity="2" tradePrice="600" ibCommission="-1" '
    'ibCommissionCurrency="USD" buySell="BUY" levelOfDetail="EXECUTION" />\n</Trades></FlexQueryResponse>\n'
)


def run(*args: str, given: str | bytes = "") -> Result:
    return CliRunner().invoke(main, ["normalise", *args], input=given)


def fills(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def refused(result: Result) -> str:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.mark.parametrize(
    ("broker", "given", "count"),
    [
        ("kite", json.dumps(KITE), 1),
        ("kite", json.dumps(KITE, indent=2), 1),
        ("kite", json.dumps(KITE) + "\n\n" + json.dumps({**KITE, "trade_id": "2"}) + "\r\n", 2),
        ("kite", json.dumps({"trades": [KITE] * 300}), 300),
        ("fix", FIX.format(1), 1),
        ("fix", FIX.format(1) + "\n" + FIX.format(2).replace("|", "\x01") + "\n", 2),
        ("ibkr", FLEX, 1),
    ],
)
def test_any_form_is_read_from_a_file_and_from_standard_input(
    tmp_path: Path, broker: str, given: str, count: int
) -> None:
    path = tmp_path / "messages"
    path.write_bytes(given.encode())
    args = ("--broker", broker, "--attribute", "account=demo", "--json")
    assert len(fills(run(*args, str(path)))) == count
    assert fills(run(*args, "-", given=given)) == fills(run(*args, str(path)))


def test_what_is_printed_can_be_normalised_again() -> None:
    args = ("--broker", "kite", "--json", "-")
    first = run("--attribute", "account=demo", *args, given=json.dumps(KITE))
    again = run(*args, given=first.stdout)
    assert fills(first) == fills(again)


def test_a_person_gets_a_table_or_is_told_that_there_are_no_fills() -> None:
    result = run("--broker", "fix", "-", given=FIX.format(1))
    assert result.exit_code == 0
    assert "SPY:20261120:E1" in result.stdout
    result = run("--broker", "fix", "-", given="8=FIX.4.4|35=0|")
    assert result.stdout == "no fills: 1 message tells of no execution\n"
    assert fills(run("--broker", "fix", "--json", "-", given="8=FIX.4.4|35=0|")) == []


@pytest.mark.parametrize(
    ("broker", "given", "about"),
    [
        ("kite", json.dumps(KITE), "attribute `account`"),
        ("kite", "{", "BAD_JSON"),
        ("kite", '{"a":1,\n"b"}', "BAD_JSON"),
        ("kite", "[1]", "must be a JSON object"),
        ("kite", "", "no message"),
        ("kite", " \n\n", "no message"),
        ("kite", b"\xff\xfe", "UTF-8"),
        ("fix", FIX.format(1) + "\nhello", "line 2: BAD_FIX"),
        ("native", '{"type":"stopline.fill.v1"}\n{}', "line 1: BAD_MESSAGE"),
        ("ibkr", "<a>", "BAD_XML"),
        ("paper", '{"x":1}', "UNKNOWN_TYPE"),
        ("binance", '{"e":"executionReport","x":"WHAT"}', "UNKNOWN_STATUS"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(broker: str, given: str | bytes, about: str) -> None:
    assert about in refused(run("--broker", broker, "-", given=given))


@pytest.mark.parametrize("attribute", ["account", "=x", "a b=c", ""])
def test_an_attribute_is_a_name_and_a_value(attribute: str) -> None:
    assert "NAME=VALUE" in refused(run("--broker", "fix", "--attribute", attribute, "-", given="x"))


def test_a_dialect_or_file_that_is_not_there() -> None:
    assert "not one of" in refused(run("--broker", "x", "--attribute", "dialect=nope", "-", given="{}"))
    assert "No such file" in refused(run("--broker", "fix", "/no/such/file"))
    assert "directory" in refused(run("--broker", "fix", "/"))


def test_a_postback_is_checked_with_the_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    postback = json.dumps({"order_id": "1", "status": "REJECTED", "order_timestamp": "t", "checksum": "00"})
    assert run("--broker", "kite", "-", given=postback).exit_code == 0
    monkeypatch.setenv("STOPLINE_KITE_SECRET", "s3cret")
    assert "BAD_CHECKSUM" in refused(run("--broker", "kite", "-", given=postback))
