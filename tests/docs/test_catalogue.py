"""The catalogues of bad input (B01 to B77) and of faults (F01 to F60): each row has tests that prove it, and they exist.

That they were run, and have passed, is seen at the end of a whole run: tests/proved.py.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from docs.proofs import PROOFS
from proved import unproved

TESTS = Path(__file__).parents[1]
CATALOGUE = [f"B{n:02}" for n in range(1, 78)] + [f"F{n:02}" for n in range(1, 61)]
NUMBERS = re.compile(r"\b([BF])([0-9]{2})(?:-\1([0-9]{2}))?\b")
# What no test proves, and why. An entry that a test names after all must go.
EXCEPTIONS = {
    "B58": "fills carry no sequence numbers, because no dialect has them; what a broker never sent is found by "
    "comparing with its statement (F55)",
}
ASSERTS = re.compile(r"\b(assert|raises|check|fails?|run|verify|tell)\w*\b")


def numbers(text: str) -> Iterator[str]:
    for kind, first, last in NUMBERS.findall(text):
        for number in range(int(first), int(last or first) + 1):
            yield f"{kind}{number:02}"


@cache
def written(file: str) -> tuple[str, dict[str, ast.FunctionDef]]:
    """Return the docstring of a file of tests, and its tests by name."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    tests = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
    return ast.get_docstring(tree) or "", {test.name: test for test in tests}


def proofs() -> list[tuple[str, str]]:
    return [(number, test) for number, tests in PROOFS.items() for test in tests]


def test_every_row_of_the_catalogues_has_proofs_or_says_why_not() -> None:
    """B01-B77, F01-F60."""
    assert sorted(PROOFS.keys() | EXCEPTIONS.keys()) == sorted(CATALOGUE)
    assert not PROOFS.keys() & EXCEPTIONS.keys()
    assert [number for number, tests in PROOFS.items() if not tests or len(set(tests)) < len(tests)] == []


@pytest.mark.parametrize(("number", "test"), proofs(), ids=[f"{number} {test}" for number, test in proofs()])
def test_a_proof_is_a_test_that_is_collected_and_says_so(number: str, test: str) -> None:
    """A name that has changed, a test that nobody collects, that is skipped for good, or that asserts nothing."""
    file, _, name = test.partition("::")
    assert Path(file).name.startswith("test_")
    says, tests = written(file)
    assert name in tests, "there is no such test any more"
    found = tests[name]
    marks = [ast.unparse(mark) for mark in found.decorator_list]
    assert not [mark for mark in marks if re.search(r"\b(skip|xfail)\b", mark)]
    assert ASSERTS.search("\n".join(ast.unparse(part) for part in found.body[1:]))
    assert number in {*numbers(ast.get_docstring(found) or ""), *numbers(says)}


def test_no_test_names_a_row_that_the_catalogues_do_not_have() -> None:
    named = {
        number
        for path in TESTS.rglob("test_*.py")
        if path.parent.name != "fuzz" and path != Path(__file__)
        for number in numbers(path.read_text(encoding="utf-8"))
    }
    assert named <= set(CATALOGUE)
    assert not named & EXCEPTIONS.keys()


def test_a_proof_that_did_not_run_is_none() -> None:
    """Passed is passed; skipped for want of an emulator is told; anything else is missing."""
    table = {"F01": ["a.py::one", "a.py::two"], "F02": ["b.py::three"], "F03": ["c.py::four", "a.py::one"]}
    outcomes = {
        "tests/a.py::one": {"passed"},
        "tests/a.py::two": {"passed", "skipped"},
        "tests/c.py::four": {"skipped"},
    }
    assert unproved(table, outcomes) == (["F02: b.py::three"], ["F03: c.py::four"])
    assert unproved(table, outcomes | {"tests/b.py::three": {"failed"}})[0] == ["F02: b.py::three"]
    assert unproved({}, outcomes) == ([], [])
