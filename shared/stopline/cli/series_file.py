"""One column of numbers out of a CSV file, for the commands that measure a series."""

import csv
import io
import math
import sys
from collections.abc import Iterator
from typing import NamedTuple, TextIO

from stopline.cli.failures import BadInput

MOST_ROWS = 1_000_000
_NAMES = ("returns", "return", "ret", "pnl", "p&l", "profit", "r")


class Series(NamedTuple):
    """Numbers, and the head they were under."""

    column: str
    values: list[float]
    lines: list[int]  # of each value


def read_series(path: str, column: str | None) -> Series:
    """Return the numbers of one column of a CSV file, '-' for standard input.

    `column` is a head, or a number from 1. Without it: the only column, or the only one whose head says returns
    or P&L. A file of numbers alone needs no head. An empty cell, text and NaN are bad input, with the line: in a file of
    one column an empty cell is an empty line before the last number.
    """
    name = "standard input" if path == "-" else path
    try:
        if path == "-":
            return _read(io.StringIO(sys.stdin.buffer.read().decode("utf-8-sig"), newline=""), name, column)
        with open(path, encoding="utf-8-sig", newline="") as stream:
            return _read(stream, name, column)
    except OSError as problem:
        raise BadInput(f"{name}: {problem.strerror or problem}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{name}: not UTF-8 text") from None


def _read(stream: TextIO, name: str, column: str | None) -> Series:
    rows = _rows(stream, name)
    first = next(rows, None)
    if first is None:
        raise BadInput(f"{name}: the file is empty")
    line, head = first
    bare = all(_number(cell) is not None for cell in head)
    heads = [str(place + 1) for place in range(len(head))] if bare else [cell.strip() for cell in head]
    place = _place(heads, column, f"{name}, line {line}")
    result = Series(heads[place], [], [])
    if bare:
        _take(result, line, head, place, name)
    for line, cells in rows:
        _take(result, line, cells, place, name)
        if len(result.values) > MOST_ROWS:
            raise BadInput(f"{name}: more than {MOST_ROWS} rows")
    return result


def _rows(stream: TextIO, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that hold something, with their lines, and empty ones between those."""
    reader = csv.reader(stream)
    empty: list[tuple[int, list[str]]] = []
    begun = False
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                empty += [(reader.line_num, cells)] if begun else []
                continue
            yield from empty
            yield reader.line_num, cells
            empty, begun = [], True
    except csv.Error as problem:
        raise BadInput(f"{name}, line {reader.line_num}: {problem}") from None


def _take(series: Series, line: int, cells: list[str], place: int, name: str) -> None:
    text = cells[place].strip() if place < len(cells) else ""
    value = _number(text)
    if value is None or not math.isfinite(value):
        what = f"{text!r} is not a number" if text else "there is no number"
        raise BadInput(f"{name}, line {line}, column {series.column!r}: {what}")
    series.values.append(value)
    series.lines.append(line)


def _number(text: str) -> float | None:
    """Return what a cell says; '1.5%' is 0.015, and '1_000' and '' say nothing."""
    text = text.strip()
    percent = text.endswith("%")
    try:
        value = float(text[:-1] if percent else text) if "_" not in text else None
    except ValueError:
        return None
    return value / 100.0 if percent and value is not None else value


def _place(heads: list[str], column: str | None, where: str) -> int:
    lowered = [head.lower() for head in heads]
    have = ", ".join(heads)[:300]
    if column is None:
        if len(heads) == 1:
            return 0
        named = [place for place, head in enumerate(lowered) if head in _NAMES]
        if len(named) == 1:
            return named[0]
        raise BadInput(f"{where}: say which column with --column; there are {have}")
    matches = [place for place, head in enumerate(lowered) if head == column.strip().lower()]
    if len(matches) > 1:
        raise BadInput(
            f"{where}: there are {len(matches)} columns {column!r}; say which by its number, from 1"
        )
    if matches:
        return matches[0]
    if column.isascii() and column.isdigit() and 1 <= int(column) <= len(heads):
        return int(column) - 1
    raise BadInput(f"{where}: there is no column {column!r}; there are {have}")
