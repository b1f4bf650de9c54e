"""Output: tables for people, JSON for machines."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from stopline.cli.failures import one_line

UNKNOWN = "unknown"
PIPED = 160  # columns where there is no terminal: nobody wraps a file


# For commands that print JSON whatever is said: `--json` works everywhere.
always_json = click.option(
    "--json", is_flag=True, expose_value=False, help="JSON is what it prints without it too."
)


def console() -> Console:
    """Return a console on standard output that interprets nothing: as wide as the terminal, or PIPED."""
    out = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
    if not out.is_terminal:
        out.width = max(out.width, PIPED)
    return out


class Fitting(Table):
    """A table that cuts no number and no word: where its columns do not fit, they move together, and where that is not
    enough each row is its cells one after another, with their heads.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for padding in (1, 0):
            widths = self._widths(options.max_width - (len(self.columns) - 1) * (1 + 2 * padding) - 2)
            if widths:
                self.padding = (0, padding)
                for column, width in zip(self.columns, widths, strict=True):
                    column.width = width
                yield from super().__rich_console__(console, options)
                return
        yield self.title if isinstance(self.title, Text) else Text("")
        for cells in zip(*(column.cells for column in self.columns), strict=True):
            line = Text("- ")
            for column, cell_ in zip(self.columns, cells, strict=True):
                if not str(cell_):
                    continue
                pair = Text.assemble((f"{column.header} ", "dim"), str(cell_))
                if line.cell_len + pair.cell_len + 3 > options.max_width:
                    yield line
                    line = Text("  ")
                elif line.cell_len > 2:
                    line.append(" | ")
                line.append(pair)
            yield line

    def _widths(self, room: int) -> list[int]:
        """Return a width for each column in which no word is cut, the widest narrowed first; none where they need more."""
        texts = [[str(column.header), *map(str, column.cells)] for column in self.columns]
        widths = [max(map(cell_len, column)) for column in texts]
        least = [
            width if column.no_wrap else max(cell_len(word) for text in own for word in text.split() or [""])
            for column, own, width in zip(self.columns, texts, widths, strict=True)
        ]
        while sum(widths) > room:
            widest = max(range(len(widths)), key=lambda n: widths[n] - least[n])
            if widths[widest] == least[widest]:
                return []
            widths[widest] -= 1
        return widths


def table(
    title: str, heads: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[str] = ()
) -> Table:
    """Return a table; `numbers` names the heads of right-aligned columns."""
    result = Fitting(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        is_number = head in numbers
        result.add_column(head, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for row in rows:
        result.add_row(*(Text(cell(value)) for value in row))
    return result


def cell(value: object) -> str:
    """Return the text of a cell: None is UNKNOWN, and nothing unprintable gets to the terminal."""
    return UNKNOWN if value is None else one_line(str(value))


def print_json(value: Any) -> None:
    """Print plain data as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True))
