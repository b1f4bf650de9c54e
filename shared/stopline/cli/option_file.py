"""CSV files of option contracts: read as columns, written back with columns added."""

import csv
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
import numpy.typing as npt

from stopline.cli.failures import one_line
from stopline.cli.show import print_json
from stopline.model.errors import Rejected
from stopline.replay.tables import Table

F = TypeVar("F", bound=Callable[..., object])
FloatArray = npt.NDArray[np.float64]

DAYS_PER_YEAR = 365.0
HEADS: Mapping[str, Sequence[str]] = {
    "right": ("right", "option_type", "put_call", "call_put", "cp", "type"),
    "spot": ("spot", "underlying_price", "s"),
    "future": ("future", "forward", "future_price", "forward_price", "f"),
    "strike": ("strike", "strike_price", "k"),
    "years": ("years", "time_to_expiry", "t"),
    "days": ("days", "days_to_expiry", "dte"),
    "rate": ("rate", "interest_rate", "risk_free_rate", "r"),
    "dividend_yield": ("dividend_yield", "dividend", "q"),
    "volatility": ("volatility", "vol", "sigma", "implied_volatility", "iv"),
    "price": ("price", "option_price", "premium", "mid"),
}
_RIGHTS = {"c": True, "call": True, "ce": True, "p": False, "put": False, "pe": False}


@dataclass(frozen=True)
class OptionFile:
    """The contracts of a file as columns of shape (n,); NaN is an empty cell."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    is_call: npt.NDArray[np.bool_]
    underlying: FloatArray  # spot, or the future's price
    on_future: bool
    strike: FloatArray
    years: FloatArray
    measured: FloatArray  # the column that was asked for: volatility, or price
    rate: FloatArray
    dividend_yield: FloatArray


def takes_option_file(command: F) -> F:
    """Give a command the file, and the options that say how it is read and what is printed."""
    parameters = (
        click.argument("file", type=click.Path(path_type=Path)),
        click.option(
            "--rate", type=float, default=0.0, help="Interest rate where the file has none (0.05 is 5 %)."
        ),
        click.option(
            "--dividend-yield", type=float, default=0.0, help="Dividend yield where the file has none."
        ),
        click.option(
            "--american", "is_american", is_flag=True, help="Contracts may be exercised at any time."
        ),
        click.option("--map", "maps", multiple=True, metavar="COLUMN=HEAD", help="Which column is which."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    )
    for parameter in reversed(parameters):  # as a column of decorators is applied
        command = parameter(command)
    return command


def read_option_file(
    path: Path, measured: str, rate: float, dividend_yield: float, maps: Sequence[str] = ()
) -> OptionFile:
    """Read a file; `rate` and `dividend_yield` are for files without such columns.

    `maps` says which column is which: `strike=K2`. Raises Rejected with file, line and column.
    """
    for name, value in (("--rate", rate), ("--dividend-yield", dividend_yield)):
        if not abs(value) < 10.0:
            raise Rejected("BAD_OPTION", f"{name} is a fraction (0.05 is 5 %), was {value}")
    renamed = {}
    for text in maps:
        name, _, head = text.partition("=")
        if name not in HEADS or not head:
            raise Rejected(
                "BAD_OPTION", f"--map takes COLUMN=HEAD, was {text[:60]!r}; columns: {', '.join(HEADS)}"
            )
        renamed[name] = head
    table = Table(path, HEADS, renamed)
    try:
        for head in renamed.values():
            if not table.knows(head):
                raise Rejected("BAD_FILE", f"{path} line 1: there is no column {head[:60]!r} (--map)")
        table.need("right", "strike", measured)
        on_future = _one_of(table, "spot", "future") == "future"
        time = _one_of(table, "years", "days")
        if on_future and (table.has("dividend_yield") or dividend_yield):
            raise Rejected("BAD_FILE", f"{path}: options on futures (Black-76) have no dividend yield")
        names = ["future" if on_future else "spot", "strike", time, measured]
        names += [name for name in ("rate", "dividend_yield") if table.has(name)]
        rows: list[Sequence[str]] = []
        calls: list[bool] = []
        columns: dict[str, list[float]] = {name: [] for name in names}
        for line, cells in table.rows():
            text = cells[table.index("right")].strip().lower()
            if text not in _RIGHTS:
                raise table.fault(line, "right", f"must be C, P, CALL, PUT, CE or PE, was {text[:20]!r}")
            calls.append(_RIGHTS[text])
            for name in names:
                columns[name].append(_number(table, line, name, cells[table.index(name)].strip()))
            rows.append(cells)
    finally:
        table.close()
    arrays = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
    return OptionFile(
        table.head,
        rows,
        np.array(calls, dtype=np.bool_),
        arrays["future" if on_future else "spot"],
        on_future,
        arrays["strike"],
        arrays[time] / (DAYS_PER_YEAR if time == "days" else 1.0),
        arrays[measured],
        arrays.get("rate", np.full(len(rows), rate)),
        arrays.get("dividend_yield", np.full(len(rows), dividend_yield)),
    )


def write_option_file(
    file: OptionFile, added: Mapping[str, Sequence[Any] | FloatArray], model: str, as_json: bool
) -> None:
    """Print the rows with columns added; where the file has such a column the new one begins with `model_`."""
    heads = [f"model_{name}" if name.lower() in map(str.lower, file.head) else name for name in added]
    columns = [[_plain(value) for value in values] for values in added.values()]
    new = list(zip(*columns, strict=True))
    if as_json:
        rows = [
            dict(zip(file.head, map(str.strip, cells), strict=True)) | dict(zip(heads, values, strict=True))
            for cells, values in zip(file.rows, new, strict=True)
        ]
        print_json({"model": model, "contracts": rows})
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*map(_safe, file.head), *heads])
    for cells, values in zip(file.rows, new, strict=True):
        writer.writerow([*map(_safe, cells), *("" if value is None else value for value in values)])


def _safe(cell: str) -> str:
    """Return a cell of the file as it was, or with a `'` before it where a spreadsheet would run it as a formula."""
    text = one_line(cell)
    if not text.startswith(("=", "+", "-", "@")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def _plain(value: Any) -> Any:
    """Return a cell's value: what is not known is None."""
    if isinstance(value, str):
        return value
    return float(value) + 0.0 if math.isfinite(value) else None  # no -0.0


def _one_of(table: Table, first: str, second: str) -> str:
    if table.has(first) == table.has(second):
        problem = "has both" if table.has(first) else "needs one of"
        raise Rejected("BAD_FILE", f"{table.path} line 1: {problem} the columns {first!r} and {second!r}")
    return first if table.has(first) else second


def _number(table: Table, line: int, name: str, text: str) -> float:
    """Return a cell as a number; an empty one is NaN: not known."""
    if not text:
        return math.nan
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise table.fault(line, name, f"must be a number, was {text[:40]!r}")
    if number < 0.0 and name not in ("rate", "dividend_yield", "price"):
        raise table.fault(line, name, f"must not be below zero, was {text[:40]!r}")
    return number
