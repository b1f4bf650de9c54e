"""docs/guarantees.md: every command is written out and runs what is there, and what can be counted is counted."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from functions.test_matrix import HOLDERS, endpoints
from simulation import seeded_control_bugs, seeded_exit_bugs  # noqa: F401 - they register more
from simulation.seeded_bugs import BUGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


class Row(NamedTuple):
    """One row of the table of promises."""

    promise: str
    how: str
    command: str
    figure: str


def rows() -> list[Row]:
    table = PAGE[PAGE.index("| promise | how") : PAGE.index("## What the schedules are")]
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    return [Row(*(cell.strip() for cell in line[1:-1].split(" | "))) for line in lines]


ROWS = rows()


def commands(row: Row) -> list[str]:
    return re.findall(r"`([^`]+)`", row.command)


def names_in(path: Path) -> set[str]:
    files = [path] if path.is_file() else sorted(path.rglob("test_*.py"))
    return {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.M)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.promise[:40]} {row.how[:20]}")
def test_a_command_is_written_out_and_runs_tests_that_are_there(row: Row) -> None:
    """No `same`: rows move. Each path, each test that `-k` picks and each target of make is there."""
    found = commands(row)
    assert found
    assert not re.match(r"\W*same\b", row.command)
    for command in found:
        words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
        program = words[0] if words else ""  # a variable alone: more of the command before it
        assert program in ("", ".venv/bin/pytest", ".venv/bin/python", ".venv/bin/stopline", "make")
        if program == "make":
            assert words[1] in TARGETS
        paths = [ROOT / word for word in words if word.startswith(("tests/", "tools/"))]
        assert [path for path in paths if not path.exists()] == []
        if "-k" in words:
            [path] = paths
            picked = words[words.index("-k") + 1]
            assert any(picked in name for name in names_in(path)), f"no test of {path} is named {picked}"
        assert paths or not program.endswith(("pytest", "python"))


def test_every_path_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"\b((?:tests|tools|emulators)/[\w/]+(?:\.py)?)", PAGE))
    assert len(named) > 30
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def figure(of: str) -> str:
    """Return the figure of the row whose command runs this path."""
    [found] = [row.figure for row in ROWS if any(of in shlex.split(command) for command in commands(row))]
    return found


def test_the_matrix_has_as_many_requests_as_the_page_says() -> None:
    """I9: each endpoint, for each right and for none, by two sources of rights on three accounts."""
    count = len([*endpoints()]) * len(HOLDERS) * 6
    assert figure("tests/functions/test_matrix.py").startswith(f"{count:,} requests")


def test_as_many_seeded_bugs_are_looked_for_as_the_page_says() -> None:
    assert figure("tests/simulation/test_harness.py").startswith(f"{len(BUGS)} of {len(BUGS)} found")


def test_cells_and_stories_are_as_many_as_the_page_says() -> None:
    """R6.1: counted as pytest does, with its parameters."""
    paths = ["tests/contract/test_outcomes.py", "tests/stories"]
    arguments = ["-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *paths]
    listed = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100, check=True
    ).stdout.splitlines()
    cells = sum("::test_each_cell_of_the_table_is_so[" in line for line in listed)
    stories = sum(line.startswith("tests/stories/") for line in listed)
    assert figure("tests/contract/test_outcomes.py").startswith(f"{cells} cells")
    assert figure("tests/stories").startswith(f"{stories} stories")
