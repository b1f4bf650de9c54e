"""stopline factors: files of closes as people have them, and one line for what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main
from stopline.model.messages import SweepKind
from stopline.runtime.embedded import Embedded

from ..make import account, raw_fill

START = datetime(2026, 11, 18, 21, 5, tzinfo=UTC)


@pytest.fixture
def desk() -> Embedded:
    return Embedded(START)


def run(desk: Embedded, *args: Any) -> Result:
    return CliRunner().invoke(main, ["factors", *map(str, args)], obj=lambda: desk.app)


def write(folder: Path, text: str) -> Path:
    path = folder / "closes.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "date,symbol,close\n2026-11-16,SPY,600.5\n2026-11-17,SPY,601\n2026-11-17,VIX,17\n",
        "Date,SPY,VIX\n2026-11-16,600.5,\n2026-11-17,601,17\n",
        "timestamp,ticker,adj_close,close\n2026-11-16 00:00:00,SPY,600.5,9\n2026-11-17,SPY,601,9\n2026-11-17,VIX,17,9\n",
    ],
    ids=["long", "wide", "adjusted"],
)
def test_closes_are_loaded_from_long_and_wide_files(desk: Embedded, tmp_path: Path, text: str) -> None:
    """R2.9."""
    done = run(desk, "load", write(tmp_path, text))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("3 closes of 2 symbols, 2026-11-16 to 2026-11-17")
    found = {(row["symbol"], row["session"]): row["close"] for row in desk.history.read("closes", [])}
    assert found == {
        ("SPY", date(2026, 11, 16)): Decimal("600.5"),
        ("SPY", date(2026, 11, 17)): 601,
        ("VIX", date(2026, 11, 17)): 17,
    }


def test_a_file_of_one_symbol_names_it_on_the_command_line(desk: Embedded, tmp_path: Path) -> None:
    text = "Date,Open,Close\n2026-11-17,599,601\n"
    assert run(desk, "load", write(tmp_path, text), "--symbol", "SPY").exit_code == 0
    [row] = desk.history.read("closes", [])
    assert (row["symbol"], row["close"]) == ("SPY", 601)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("date,symbol,close\n2026-11-15,SPY,600\n", "line 2: date: 2026-11-15 is no session of XNYS"),
        ("date,symbol,close\n2026-11-17,SPY,0\n", "line 2: close: must be a price above 0, was '0'"),
        ("date,symbol,close\n2026-11-17,SPY,\n", "line 2: close: must be a price above 0, was ''"),
        ("date,symbol,close\n2026-11-17,spy,1\n", "line 2: date: 'spy' is no symbol"),
        ("date,SPY\n2026-11-17,1\n2026-11-17,2\n", "line 3: date: SPY has a close of 2026-11-17 already"),
        ("date,SPY\nyesterday,1\n", "line 2: date: must be a date such as 2026-11-20, was 'yesterday'"),
        ("SPY\n1\n", "line 1: there is no column 'date'"),
        ("date,SPY\n", "there are no closes in it"),
        ("", "line 1: the file is empty"),
    ],
)
def test_a_bad_file_is_one_line_with_its_place_and_nothing_is_loaded(
    desk: Embedded, tmp_path: Path, text: str, problem: str
) -> None:
    done = run(desk, "load", write(tmp_path, text))
    assert done.exit_code == 2
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert desk.history.read("closes", []) == []


def test_what_is_known_is_shown_after_the_end_of_day(desk: Embedded, tmp_path: Path) -> None:
    assert run(desk, "show").exit_code == 1
    desk.app.account_writer.create(account(), "ann")
    desk.publish("fills", raw_fill())
    desk.run()
    text = "date,SPY\n2026-11-16,600\n2026-11-17,606\n2026-11-18,600\n"
    run(desk, "load", write(tmp_path, text))
    desk.sweep(SweepKind.END_OF_DAY)
    desk.run()
    desk.clock.set(START + timedelta(minutes=11))
    shown = json.loads(run(desk, "show", "--json").stdout)
    assert (shown["from"], shown["to"]) == ("2026-11-17", "2026-11-18")
    assert shown["symbols"]["SPY"]["returns"] == 2
    assert "SPY" in run(desk, "show").stdout
