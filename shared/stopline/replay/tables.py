"""CSV files, row by row: plain or gzip, columns by name, every fault with its file and line."""

import csv
import gzip
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NoReturn, TypeVar, cast
from zoneinfo import ZoneInfo

from stopline.model.calendars import Calendar
from stopline.model.errors import Rejected
from stopline.model.times import parse_utc

MAX_LINE = 1_000_000
_GZIP = b"\x1f\x8b"
_LOCAL = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PLAIN = re.compile(r"[^a-z0-9]+")

Cells = Sequence[str]
T = TypeVar("T")


class Table:
    """One CSV file with a head. `names` says which column is which, by our own names."""

    def __init__(self, path: Path, heads: Mapping[str, Sequence[str]], renamed: Mapping[str, str]) -> None:
        """Open a file and read its head.

        `heads` gives the heads that each of our names is known by (`x*`: all that begin with x); `renamed` is
        what the user said, our name -> his head, and it goes before.
        """
        self.path = path
        self._raw, self._stream = _open(path)
        self._reader = csv.reader(self._lines())
        self._width = 0
        try:
            self.head = [cell.strip() for cell in next(self._rows(), (0, []))[1]]
            if not any(self.head):
                self._fault_at(1, "the file is empty: its first line must name the columns")
            self.names = self._named(heads, renamed)
        except BaseException:
            self.close()
            raise
        self._width = len(self.head)

    def has(self, name: str) -> bool:
        """Tell whether the file has a column."""
        return name in self.names

    def need(self, *names: str) -> None:
        """Refuse a file without one of the columns."""
        missing = [name for name in names if name not in self.names]
        if missing:
            have = ", ".join(self.head)[:300]
            hint = f"--map {missing[0]}=HEAD says which it is"
            self._fault_at(1, f"there is no column {missing[0]!r}; there are {have} ({hint})")

    def index(self, name: str) -> int:
        """Return where a column is, or -1."""
        return self.names.get(name, -1)

    def rows(self) -> Iterator[tuple[int, Cells]]:
        """Yield (line, cells) of every row; empty lines are passed over. The file is closed at the end."""
        try:
            for line, cells in self._rows():
                if not cells:
                    continue
                if len(cells) != self._width:
                    self._fault_at(line, f"has {len(cells)} cells, the head has {self._width}")
                yield line, cells
        finally:
            self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()

    def fault(self, line: int, name: str, problem: str) -> Rejected:
        """Return the fault of one cell, to raise."""
        index = self.names.get(name)
        column = self.head[index] if index is not None else name
        return Rejected("BAD_FILE", f"{self.path} line {line}: {column}: {problem}")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        reader = self._reader
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as problem:
                self._fault_at(reader.line_num, f"is not CSV: {problem}")
            except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
                self._fault_at(reader.line_num, f"the gzip data is damaged or cut off here: {problem}")
            yield reader.line_num, cells

    def _lines(self) -> Iterator[str]:
        """Yield the file's lines as text. Line by line, so that a fault has its line."""
        number = 0
        while raw := self._stream.readline(MAX_LINE + 1):
            number += 1
            if len(raw) > MAX_LINE:
                self._fault_at(number, f"has more than {MAX_LINE} bytes")
            try:
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                self._fault_at(number, "is not UTF-8 text")

    def _named(self, heads: Mapping[str, Sequence[str]], renamed: Mapping[str, str]) -> dict[str, int]:
        known: dict[str, int] = {}
        for index, head in enumerate(self.head):
            plain = _plain(head)
            if plain and plain in known:
                self._fault_at(1, f"column {head!r} is there twice")
            known[plain] = index
        names: dict[str, int] = {}
        for name, aliases in heads.items():
            told = renamed.get(name)
            for alias in [told] if told is not None and _plain(told) in known else aliases:
                found = [i for plain, i in known.items() if _stands_for(alias, plain)]
                if found:
                    names[name] = found[0]
                    break
        return names

    def knows(self, head: str) -> bool:
        """Tell whether the file has a column of that head."""
        return _plain(head) in map(_plain, self.head)

    def _fault_at(self, line: int, problem: str) -> NoReturn:
        raise Rejected("BAD_FILE", f"{self.path} line {line}: {problem}") from None


class Times:
    """Reads the times of one file, whose rows must not go back in time."""

    def __init__(self, table: Table, zone: ZoneInfo, sessions: Calendar) -> None:
        self._table = table
        self._zone = zone
        self._sessions = sessions
        self._index = table.index("time")
        self._text = ""
        self._moment = datetime.min.replace(tzinfo=UTC)

    def read(self, line: int, cells: Cells) -> datetime:
        """Return a row's moment in UTC: RFC 3339, local in the zone, or a date (the close of its session)."""
        text = cells[self._index].strip()
        if text == self._text:  # many rows in a row have the same
            return self._moment
        try:
            moment = self._parsed(text)
        except ValueError as problem:
            raise self._table.fault(line, "time", str(problem)) from None
        if moment < self._moment:
            raise self._table.fault(
                line, "time", f"{text!r} is before the row above it: the file must be in the order of time"
            )
        self._text, self._moment = text, moment
        return moment

    def _parsed(self, text: str) -> datetime:
        match = _LOCAL.fullmatch(text)
        if match is None:
            if _DAY.fullmatch(text):
                return self._sessions.close_of(_real(text, date.fromisoformat))
            if len(text) > 10 and text[10] == " ":
                text = text.replace(" ", "T", 1)
            try:
                return parse_utc(text)
            except ValueError:
                raise ValueError(
                    f"must be a time such as 2026-11-20T15:02:11Z or 2026-11-20 15:02, was {text[:40]!r}"
                ) from None
        day, minute, second, fraction = match.groups()
        exact = f"{day}T{minute}:{second or '00'}.{(fraction or '')[:6].ljust(6, '0')}"
        local = _real(exact, datetime.fromisoformat).replace(tzinfo=self._zone)
        moment = local.astimezone(UTC)
        if moment < self._moment:  # the hour that comes twice when clocks are set back
            again = local.replace(fold=1).astimezone(UTC)
            moment = again if again >= self._moment else moment
        if moment.astimezone(self._zone).replace(tzinfo=None, fold=0) != local.replace(tzinfo=None, fold=0):
            raise ValueError(f"{text!r} does not exist in {self._zone.key}: clocks were set forward over it")
        return moment


def _real(text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a real time") from None


def _open(path: Path) -> tuple[BinaryIO, BinaryIO]:
    """Return the file and what to read from it: itself, or its unpacked content. `-` is standard input."""
    try:
        raw = cast(BinaryIO, BytesIO(sys.stdin.buffer.read())) if str(path) == "-" else path.open("rb")
    except OSError as problem:
        raise Rejected("BAD_FILE", f"{path}: cannot be read: {problem.strerror}") from None
    try:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        return raw, cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
    except OSError as problem:
        raw.close()
        raise Rejected("BAD_FILE", f"{path}: cannot be read: {problem.strerror}") from None


def _plain(head: str) -> str:
    return _PLAIN.sub("_", head.strip().lower()).strip("_")


def _stands_for(alias: str, plain: str) -> bool:
    return plain.startswith(alias[:-1]) if alias.endswith("*") else plain == _plain(alias)
