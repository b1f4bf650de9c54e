"""The catalogues of bad input (B01 to B77) and of faults (F01 to F60): each number is named by the test that proves it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
CATALOGUE = [f"B{n:02}" for n in range(1, 78)] + [f"F{n:02}" for n in range(1, 61)]
NUMBERS = re.compile(r"\b([BF])([0-9]{2})(?:-\1([0-9]{2}))?\b")
# What no test proves, and why. An entry that a test names after all must go.
EXCEPTIONS = {
    "B58": "fills carry no sequence numbers, because no dialect has them; what a broker never sent is found by "
    "comparing with its statement (F55)",
}


def named() -> Iterator[str]:
    """Yield every number that a test names. Fuzzing does not count: chance proves no single row."""
    for path in TESTS.rglob("*.py"):
        if path.parent.name == "fuzz" or path == Path(__file__):
            continue
        for kind, first, last in NUMBERS.findall(path.read_text(encoding="utf-8")):
            for number in range(int(first), int(last or first) + 1):
                yield f"{kind}{number:02}"


def test_every_number_of_the_catalogues_is_proved_by_a_test_or_says_why_not() -> None:
    """B01-B77, F01-F60."""
    found = set(named())
    assert found <= set(CATALOGUE), "a number that the catalogues do not have"
    assert sorted(set(CATALOGUE) - found) == sorted(EXCEPTIONS)
