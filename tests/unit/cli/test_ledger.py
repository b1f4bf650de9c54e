"""stopline ledger and stopline margin: files in, exact numbers out, one line when the input is bad."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stopline.cli.ledger import ledger
from stopline.cli.main import main
from stopline.cli.margin import margin
from stopline.model.fill import Fill

from ..make import at, fill, trade


def run(command: Any, *arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(command, list(arguments), input=stdin)


def lines(path: Path, fills: list[Fill]) -> str:
    path.write_text("\n".join(f.model_dump_json(exclude_none=True) for f in fills) + "\n\n")
    return str(path)


THREE = [trade(3, -15, 120), trade(1, 10, 100), trade(2, 10, 110)]


@pytest.mark.parametrize(
    ("method", "realised", "left"),
    [("fifo", "250", "110"), ("lifo", "200", "100"), ("average", "225", "105")],
)
def test_fills_in_positions_out(tmp_path: Path, method: str, realised: str, left: str) -> None:
    """R1.4, domain case 1; the fills come out of order."""
    result = run(ledger, lines(tmp_path / "f.jsonl", THREE), "--method", method, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    [account] = found["accounts"]
    [position] = account["positions"]
    assert (position["quantity"], position["average_price"], position["realised"]) == ("5", left, realised)
    assert account["totals"]["USD"]["net"] == realised
    assert (found["fills"], found["duplicates"]) == (3, 0)


def test_people_get_a_table(tmp_path: Path) -> None:
    output = run(ledger, lines(tmp_path / "f.jsonl", THREE)).output
    assert "5 @ 110" in output
    assert "USD: realised 250, fees 0, net 250" in output


def test_busts_count_and_what_is_about_nothing_is_named(tmp_path: Path) -> None:
    busts = [fill(f"B-{ref}", kind="BUST", ref=ref, executed_at=at(9)) for ref in ("E-3", "E-77")]
    result = run(ledger, lines(tmp_path / "f.jsonl", [busts[0], *THREE, *THREE, busts[1]]), "--json")
    found = json.loads(result.output)
    assert found["accounts"][0]["positions"][0]["quantity"] == "20"
    assert found["accounts"][0]["unmatched"] == ["B-E-77"]
    assert found["duplicates"] == 3


def test_a_cancel_that_names_no_day_finds_its_fill_of_an_earlier_day(tmp_path: Path) -> None:
    """Domain 3.7: as a FIX report is normalised that does not say of which day the trade was."""
    fills = [
        fill("SPY:20261116:EX1", executed_at=at(0), order_id="O"),
        fill(
            "SPY:20261118:EX9",
            kind="BUST",
            ref="SPY:20261118:EX1",
            ref_day="assumed",
            executed_at=at(99),
            order_id="O",
        ),
    ]
    for some in (fills, fills[::-1]):
        found = json.loads(run(ledger, lines(tmp_path / "f.jsonl", some), "--json").output)
        assert found["accounts"][0]["positions"][0]["quantity"] == "0"
        assert found["accounts"][0]["unmatched"] == []
    again = fill("SPY:20261117:EX1", executed_at=at(1), order_id="O")
    refused = run(ledger, lines(tmp_path / "f.jsonl", [*fills, again]))
    assert refused.exit_code == 2
    assert "account demo: BUST SPY:20261118:EX9 may be about any of" in refused.output


def test_a_file_of_a_year_shows_all_its_sessions(tmp_path: Path) -> None:
    """Issue 4.8: a book forgets sessions of long ago, a command over a file has nothing to forget."""
    fills = [trade(n * 86400 * 3, 1 if n % 2 else -1, 100 + n) for n in range(120)]
    found = json.loads(run(ledger, lines(tmp_path / "f.jsonl", fills), "--json").output)
    [account] = found["accounts"]
    days = {day["session"]: Decimal(day["realised"]) for day in account["days"]}
    assert len(days) > 100
    assert sum(days.values()) == Decimal(account["totals"]["USD"]["realised"])


def test_standard_input() -> None:
    result = run(ledger, "-", "--json", stdin=trade(1, 10, 100).model_dump_json(exclude_none=True))
    assert json.loads(result.output)["fills"] == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no fills"),
        ("nonsense", "line 1"),
        ('{"type": "stopline.fill.v1"}', "line 1"),
        ('{"type": "stopline.fills.v1", "fills": 3}', "fills must be a list"),
        ("[1]", "line 1"),
    ],
)
def test_bad_input_is_one_line_and_two(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "f.jsonl").write_text(text)
    result = run(main, "ledger", str(tmp_path / "f.jsonl"))
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_fill_with_other_content_stops_the_command(tmp_path: Path) -> None:
    result = run(main, "ledger", lines(tmp_path / "f.jsonl", [trade(1, 1, 1), trade(1, 2, 1)]))
    assert result.exit_code == 2
    assert "line 2" in result.stderr


def leg(quantity: int, right: str, strike: str, price: str | None = None) -> dict[str, Any]:
    return {"right": right, "strike": strike, "quantity": str(quantity), "price": price}


def asked(path: Path, legs: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    path.write_text(json.dumps({"legs": legs, **more}))
    result = run(margin, str(path), "--json")
    assert result.exit_code == 0, result.output
    facts: dict[str, Any] = json.loads(result.output)
    return facts


def test_a_condor_with_unequal_wings(tmp_path: Path) -> None:
    """Domain case 4: 32,000."""
    legs = [
        leg(-2, "P", "7185", "4"),
        leg(2, "P", "7135", "2"),
        leg(-2, "C", "7500", "3"),
        leg(2, "C", "7660", "1"),
    ]
    found = asked(tmp_path / "m.json", legs)
    assert (found["margin"], found["net_credit"], found["max_loss"], found["max_profit"]) == (
        "32000",
        "800",
        "31200",
        "800",
    )
    assert found["breakevens"] == ["7181", "7504"]


def test_ten_wide_times_fifty(tmp_path: Path) -> None:
    """Domain case 5: max loss 40,000; the margin is another number, 50,000."""
    found = asked(tmp_path / "m.json", [leg(-50, "P", "6000", "3"), leg(50, "P", "5990", "1")])
    assert (found["max_loss"], found["margin"]) == ("40000", "50000")


@pytest.mark.parametrize(("style", "bound"), [("equity", "2200"), ("index", "1700")])
def test_a_naked_call_by_the_rule(tmp_path: Path, style: str, bound: str) -> None:
    """Premium 2.00 + 20% (15%) of 100 at the money: 2,200 (1,700)."""
    found = asked(tmp_path / "m.json", [leg(-1, "C", "100", "2")], spot="100", style=style)
    assert (found["margin"], found["max_loss"], found["loss_unbounded"]) == (bound, None, True)
    assert (found["max_profit"], found["breakevens"]) == ("200", ["102"])


def test_far_out_of_the_money_the_floor_of_ten_percent_holds(tmp_path: Path) -> None:
    assert asked(tmp_path / "m.json", [leg(-1, "C", "150", "1")], spot="100")["margin"] == "1100"


def test_what_is_not_told_is_unknown(tmp_path: Path) -> None:
    found = asked(tmp_path / "m.json", [leg(-1, "C", "100")])
    assert (found["margin"], found["max_loss"], found["max_profit"]) == (None, None, None)
    assert (found["net_credit"], found["breakevens"]) == (None, None), "0 would be a number"
    text = run(margin, str(tmp_path / "m.json")).output
    assert text.startswith("net credit  unknown: a leg has no price")
    assert "needs `spot`" in text
    assert "unbounded" in text


def test_a_long_call_has_no_bound_above(tmp_path: Path) -> None:
    found = asked(tmp_path / "m.json", [leg(1, "C", "100", "2")])
    assert (found["margin"], found["max_loss"], found["profit_unbounded"]) == ("0", "200", True)
    assert found["breakevens"] == ["102"]


@pytest.mark.parametrize("text", ["", "[]", '{"legs": []}', '{"legs": [{"right": "X"}]}'])
def test_bad_legs_are_one_line_and_two(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    result = run(main, "margin", str(tmp_path / "m.json"))
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


HUGE = {"quantity": "-" + "9" * 18, "multiplier": "9" * 18}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"spot": "-5"}, "spot must be above 0, was -5"),
        ({"spot": "0"}, "spot must be above 0, was 0"),
        ({"legs": [leg(-1, "C", "100", "-2")]}, "price must be 0 or above, was -2"),
        ({"legs": [{"right": "X"}]}, "legs.0.right: must be 'C' or 'P'"),
        (
            {"legs": [leg(-1, "C", "9" * 18, "9" * 18) | HUGE], "spot": "9" * 18},
            "beyond what can be computed",
        ),
        ({"legs": []}, "legs: must have at least 1 item"),
    ],
)
def test_numbers_that_cannot_be_are_told_alone(tmp_path: Path, more: dict[str, Any], told: str) -> None:
    """Issue 4.8; of a leg that is wrong it is not said besides that there is no leg."""
    (tmp_path / "m.json").write_text(json.dumps({"legs": [leg(-1, "C", "100", "2")], **more}))
    result = run(main, "margin", str(tmp_path / "m.json"))
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert "has 0" not in result.stderr or more == {"legs": []}


@pytest.mark.parametrize("command", [ledger, margin])
def test_an_endless_file_is_refused_by_what_can_be_read_of_a_message(command: Any) -> None:
    result = run(command, "/dev/zero")
    assert (result.exit_code, "message has 1048577 bytes" in result.stderr) == (2, True)


def test_an_empty_file_says_so_and_a_mark_of_the_byte_order_is_no_fault(tmp_path: Path) -> None:
    """As editors of Windows write files."""
    (tmp_path / "empty").write_text(" \n")
    assert "there is nothing in it" in run(margin, str(tmp_path / "empty")).stderr
    marked = tmp_path / "marked"
    marked.write_bytes(
        b"\xef\xbb\xbf" + trade(1, 10, 100).model_dump_json(exclude_none=True).encode() + b"\r\n"
    )
    assert run(ledger, str(marked)).exit_code == 0
