"""stopline reconcile and stopline adjust, over the whole of Stopline in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main
from stopline.model.messages import SweepKind
from stopline.runtime.embedded import Embedded
from stopline.service.fills.books import read_fill

from ..make import NOON, account, raw_fill

Stopline = Callable[..., Result]


@pytest.fixture
def world() -> Embedded:
    made = Embedded(NOON)
    made.app.account_writer.create(account(), "ann")
    made.publish("fills", raw_fill("E-1", quantity=90, executed_at=NOON - timedelta(minutes=10)))
    made.run()
    return made


@pytest.fixture
def stopline(world: Embedded) -> Stopline:
    def run(*args: str, stdin: bytes | None = None) -> Result:
        result = CliRunner().invoke(main, [str(arg) for arg in args], obj=lambda: world.app, input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


def statement(units: str, **more: Any) -> bytes:
    held = [{"symbol": "SPY", "quantity": units}]
    facts = {"statement_id": "S-1", "broker": "paper", "account": "demo", "as_of": "2026-11-18T16:59:00Z"}
    return orjson.dumps({"type": "stopline.statement.v1", **facts, "positions": held, **more})


def pass_minutes(world: Embedded, count: int) -> None:
    for _ in range(count):
        world.clock.set(world.clock.now() + timedelta(minutes=1))
        world.sweep()
        world.run()


def rows(world: Embedded, table: str) -> list[dict[str, Any]]:
    return world.history.latest(table)


def test_a_statement_that_agrees_answers_0(stopline: Stopline, tmp_path: Path) -> None:
    """R1.8."""
    file = tmp_path / "positions.json"
    file.write_bytes(statement("90"))
    result = stopline("reconcile", "demo", str(file))
    assert result.exit_code == 0, result.stderr
    assert "agrees" in result.stdout


def test_a_break_is_found_at_once_and_confirmed_by_the_sweeps(stopline: Stopline, world: Embedded) -> None:
    """R1.8: what the command hands in goes the way of any statement."""
    result = stopline("reconcile", "demo", "-", stdin=statement("100"))
    assert result.exit_code == 1
    assert "we hold 90, the broker 100" in result.stdout
    world.run()
    pass_minutes(world, 1)
    shown = json.loads(stopline("reconcile", "demo", "--json").stdout)
    [item] = shown["breaks"]
    assert (item["symbol"], item["kind"], item["stage"], item["blocks"]) == (
        "SPY",
        "quantity",
        "confirmed",
        True,
    )
    human = stopline("reconcile", "demo")
    assert human.exit_code == 1
    assert "confirmed" in human.stdout


def test_a_dry_run_hands_nothing_in(stopline: Stopline, world: Embedded) -> None:
    result = stopline("reconcile", "demo", "-", "--dry-run", "--json", stdin=statement("100"))
    assert result.exit_code == 1
    [found] = json.loads(result.stdout)
    assert (found["symbol"], found["result"], found["ours"], found["theirs"]) == (
        "SPY",
        "quantity",
        "90",
        "100",
    )
    world.run()
    assert "never compared" in stopline("reconcile", "demo").stdout


def test_a_brokers_own_words_are_read(stopline: Stopline) -> None:
    told = {
        "as_of": "2026-11-18T16:59:00Z",
        "positions": [{"symbol": "SPY", "asset_class": "us_equity", "avg_entry_price": "100", "qty": "90", "side": "long"}],
    }  # fmt: skip
    result = stopline("reconcile", "demo", "-", "--attribute", "dialect=alpaca", stdin=orjson.dumps(told))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("stdin", "says"),
    [
        (statement("1", account="other"), "attribute account 'demo' is not the body's 'other'"),
        (orjson.dumps(raw_fill()), "tells no positions"),
        (b"[]", "must be a JSON object"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(stopline: Stopline, stdin: bytes, says: str) -> None:
    result = stopline("reconcile", "demo", "-", stdin=stdin)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_broker_numbers_are_shown_as_the_brokers(stopline: Stopline, world: Embedded) -> None:
    """Domain 2.2: they stand beside our margin and never replace it."""
    stopline("reconcile", "demo", "-", stdin=statement("90", currency="USD", equity="100500", margin="4000"))
    world.run()
    shown = stopline("reconcile", "demo")
    assert shown.exit_code == 0
    assert "equity 100500 USD, margin 4000 USD" in shown.stdout


# --- adjust ------------------------------------------------------------------------------------------------------


def adjust(stopline: Stopline, *more: str) -> Result:
    return stopline(
        "adjust", "demo", "SPY", "--units", "10", "--price", "101", "--reference", "T-1", "--reason", "missed fill", *more
    )  # fmt: skip


def units(world: Embedded) -> str:
    book = world.app.books.read("demo")
    assert book is not None
    return str(book.net_quantity("SPY"))


def test_an_adjustment_is_booked_once_explains_the_break_and_is_on_record(
    stopline: Stopline, world: Embedded
) -> None:
    """R8.6, R7.4: by a person, with a reference, in the audit trail."""
    stopline("reconcile", "demo", "-", stdin=statement("100"))
    world.run()
    pass_minutes(world, 1)
    for _ in range(2):
        result = adjust(stopline, "--at", "2026-11-18T16:50:00Z", "--order", "4711")
        assert result.exit_code == 0, result.stderr
        world.run()
    assert units(world) == "100"
    pass_minutes(world, 1)
    assert stopline("reconcile", "demo").exit_code == 0
    [row] = [row for row in rows(world, "audit") if row["event"] == "position_adjusted"]
    assert row["reason"] == "missed fill"
    assert row["actor"].startswith("cli:")
    [booked] = [d for d in world.store.query("fills") if "adjust-T-1" in d.path.id]
    assert read_fill(booked).order_id == "4711"


def test_an_adjustment_can_be_taken_back(stopline: Stopline, world: Embedded) -> None:
    """R8.6: reversible."""
    adjust(stopline)
    world.run()
    assert units(world) == "100"
    result = stopline("adjust", "demo", "--undo", "T-1", "--reason", "the broker was wrong")
    assert result.exit_code == 0, result.stderr
    world.run()
    assert units(world) == "90"
    assert [row["event"] for row in rows(world, "audit")][-1] == "adjustment_reversed"
    again = stopline("adjust", "demo", "--undo", "T-1", "--reason", "the broker was wrong")
    assert (again.exit_code, again.stdout) == (
        0,
        "reference T-1 is taken back already: nothing is published\n",
    )
    world.sweep(SweepKind.RECONCILE)
    world.run()
    state = world.app.reconciliations.read("demo")
    assert state is not None
    assert state.ledger == ()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("SPY", "--units", "0", "--price", "1", "--reference", "R"), "units must not be 0"),
        (
            ("SPY", "--units", "1e5", "--price", "1", "--reference", "R"),
            "--units must be a plain decimal string",
        ),
        (("SPY", "--units", "1"), "needs SYMBOL, --units, --price and --reference"),
        (
            ("SPY", "--units", "5", "--price", "-1000", "--reference", "R"),
            "price -1000 is impossible for SPY",
        ),
        (("--undo", "R-404"), "has no adjustment 'R-404'"),
        (("SPY", "--units", "1", "--price", "1", "--reference", "R", "--broker", "x"), "not one of paper"),
    ],
)
def test_an_adjustment_that_makes_no_sense_is_refused(
    stopline: Stopline, args: tuple[str, ...], says: str
) -> None:
    result = stopline("adjust", "demo", *args, "--reason", "x")
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("", "needs a reason"),
        (" ", "needs a reason"),
        ("a\nb", "control characters"),
        ("x" * 501, "at most 500"),
    ],
)
def test_an_adjustment_needs_a_reason_that_can_go_on_record(
    stopline: Stopline, reason: str, says: str
) -> None:
    terms = ("adjust", "demo", "SPY", "--units", "1", "--price", "1", "--reference", "R")
    result = stopline(*terms, "--reason", reason)
    assert (result.exit_code, says in result.stderr) == (2, True), result.stderr


def test_a_reference_is_booked_once_and_says_so(stopline: Stopline, world: Embedded) -> None:
    """Issue 4: it said that it was published, and nothing was booked."""
    adjust(stopline)
    world.run()
    world.clock.set(NOON + timedelta(minutes=1))
    assert "is booked already" in adjust(stopline).stdout
    assert "use a new one" in adjust(stopline, "--price", "102").stderr
    stopline("adjust", "demo", "--undo", "T-1", "--reason", "oops")
    world.run()
    again = adjust(stopline)
    assert (again.exit_code, units(world)) == (2, "90")
    assert "was taken back" in again.stderr


def test_shares_that_cost_nothing_are_booked_at_nothing(stopline: Stopline, world: Embedded) -> None:
    """What a spin-off brings."""
    assert adjust(stopline, "--price", "0").exit_code == 0
    world.run()
    assert units(world) == "100"


def test_an_instrument_that_the_book_does_not_hold_must_be_told(stopline: Stopline, world: Embedded) -> None:
    base = ("adjust", "demo", "QQQ", "--units", "-3", "--price", "50", "--reference", "R", "--reason", "x")
    assert "--instrument" in stopline(*base).stderr
    told = '{"symbol": "QQQ", "kind": "equity", "currency": "USD"}'
    assert stopline(*base, "--instrument", told).exit_code == 0
    world.run()
    book = world.app.books.read("demo")
    assert book is not None
    assert book.net_quantity("QQQ") == -3
