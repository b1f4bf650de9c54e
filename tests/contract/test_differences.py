"""The list of differences names only tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .differences import KNOWN, SHOWN

TESTS = Path(__file__).resolve().parents[1]
FILES = sorted(TESTS.rglob("test_*.py"))
THERE = {path.stem for path in FILES} | {
    name for path in FILES for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.M)
}


@pytest.mark.parametrize("name", sorted({**SHOWN, **KNOWN}))
def test_a_test_that_a_difference_names_is_there(name: str) -> None:
    assert {**SHOWN, **KNOWN}[name].proof
    assert set(re.findall(r"\btest_\w+", {**SHOWN, **KNOWN}[name].proof)) <= THERE
