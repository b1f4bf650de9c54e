"""The audit chain: nothing can be removed, altered or moved unnoticed (I8)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.chain import COLUMNS, Head, entry_hash, faults

ROWS = 30


def chain(count: int = ROWS) -> tuple[list[dict[str, Any]], Head]:
    rows: list[dict[str, Any]] = []
    last = ""
    for seq in range(1, count + 1):
        row: dict[str, Any] = {name: f"{name} {seq}" for name in COLUMNS}
        row |= {"epoch": seq, "seq": seq, "previous_hash": last, "chain": "global"}
        last = row["hash"] = entry_hash(row)
        rows.append(row)
    return rows, Head(count, last)


@given(st.permutations(range(ROWS)))
def test_a_whole_chain_verifies_in_any_order_of_its_rows(order: list[int]) -> None:
    rows, head = chain()
    assert faults("global", [rows[i] for i in order], head) == []


@pytest.mark.parametrize("column", [*COLUMNS, "hash"])
@pytest.mark.parametrize("at", [0, 14, ROWS - 1])
def test_one_altered_character_anywhere_is_found(column: str, at: int) -> None:
    """F57, I8: any change of any column."""
    rows, head = chain()
    value = rows[at][column]
    rows[at][column] = value + 1 if isinstance(value, int) else f"{value}x"
    assert faults("global", rows, head)


@pytest.mark.parametrize("at", range(ROWS))
def test_a_removed_row_is_found_wherever_it_was(at: int) -> None:
    """I8: at the end too, where the control document knows better."""
    rows, head = chain()
    del rows[at]
    assert faults("global", rows, head)


@settings(max_examples=50)
@given(st.integers(0, ROWS - 1), st.integers(0, ROWS - 1))
def test_two_rows_that_changed_places_are_found(one: int, other: int) -> None:
    """I8: also when whoever moved them gave them new numbers and hashes."""
    rows, head = chain()
    if one == other:
        return
    rows[one]["seq"], rows[other]["seq"] = rows[other]["seq"], rows[one]["seq"]
    for index in (one, other):
        rows[index]["hash"] = entry_hash(rows[index])
    assert faults("global", rows, head)


def test_a_chain_that_was_forged_anew_from_one_row_on_has_another_end() -> None:
    """I8: a consistent forgery needs the control document as well."""
    rows, head = chain()
    rows[10]["reason"] = "nothing happened"
    last = rows[9]["hash"]
    for row in rows[10:]:
        row["previous_hash"] = last
        last = row["hash"] = entry_hash(row)
    assert faults("global", rows) == []
    [fault] = faults("global", rows, head)
    assert "the control says" in fault


def test_a_row_that_is_there_twice_is_found() -> None:
    rows, head = chain(3)
    assert any("twice" in fault for fault in faults("global", [*rows, rows[1]], head))


def test_an_empty_chain_must_be_empty() -> None:
    assert faults("global", [], Head()) == []
    assert faults("global", [], Head(1, "x"))


@pytest.fixture(scope="module")
def long() -> tuple[list[dict[str, Any]], Head]:
    return chain(10_000)


def test_a_chain_of_ten_thousand_rows_is_whole(long: tuple[list[dict[str, Any]], Head]) -> None:
    """F57, I8."""
    rows, head = long
    assert faults("global", rows, head) == []


@pytest.mark.parametrize("harm", ["changed", "missing", "swapped", "doubled", "truncated"])
@pytest.mark.parametrize("at", [0, 6_173, 9_999])
def test_one_of_ten_thousand_rows_is_found_and_named(
    long: tuple[list[dict[str, Any]], Head], harm: str, at: int
) -> None:
    """F57, I8: at the first, in the middle, at the last; all others are as they were."""
    rows, head = [*long[0]], long[1]
    row, other = rows[at], rows[at - 1]
    match harm:
        case "changed":
            rows[at] = {**row, "reason": row["reason"].replace("r", "R", 1)}
        case "missing":
            del rows[at]
        case "swapped":
            rows[at], rows[at - 1] = ({**other, "seq": row["seq"]}, {**row, "seq": other["seq"]})
        case "doubled":
            rows.insert(at, {**row})
        case "truncated":
            rows[at] = {**row, "detail": row["detail"][:-1]}
    found = faults("global", rows, head)
    assert 1 <= len(found) <= 6
    places = {at + 1, at + 2, at, 10_000} if harm != "doubled" else {at + 1}
    assert all(
        any(f"row {place} " in fault or f"row is {place} " in fault for place in places) for fault in found
    )


def harmed(row: dict[str, Any], column: str) -> dict[str, Any]:
    """Return a row with one bit of one column turned round."""
    value = row[column]
    other = value ^ 1 if isinstance(value, int) else value[:-1] + chr(ord(value[-1]) ^ 1)
    return {**row, column: other}


def test_each_of_ten_thousand_rows_is_found_changed_removed_or_moved(
    long: tuple[list[dict[str, Any]], Head],
) -> None:
    """F57, I8: every one of them, one bit, each column in its turn, by the rows around it: as a sweep follows the trail,
    from where it was found whole.
    """
    rows, columns = long[0], [*COLUMNS, "hash"]
    seen = 0
    for at, row in enumerate(rows):
        first = max(0, at - 1)
        after = Head(first, rows[first - 1]["hash"]) if first else Head()
        around = rows[first : at + 2]
        head = Head(first + len(around), around[-1]["hash"])
        assert faults("global", around, head, after) == []
        others = [one for one in around if one is not row]
        moved = [{**others[-1], "seq": row["seq"]}, {**row, "seq": others[-1]["seq"]}]
        for one in moved:
            one["hash"] = entry_hash(one)
        for wrong in ([harmed(row, columns[at % len(columns)]), *others], others, [*others[:-1], *moved]):
            assert faults("global", wrong, head, after), f"row {at + 1}"
            seen += 1
    assert seen == 30_000
