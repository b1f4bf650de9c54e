"""Output: tables for people, JSON for machines."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stopline.cli.failures import one_line

UNKNOWN = "unknown"
NARROWEST = 160


# For commands that print JSON whatever is said: `--json` works everywhere.
always_json = click.option(
    "--json", is_flag=True, expose_value=False, help="JSON is what it prints without it too."
)


def console() -> Console:
    """Return a console on standard output that interprets nothing, and is never so narrow that a number would be cut: the
    terminal wraps the line.
    """
    out = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
    out.width = max(out.width, NARROWEST)
    return out


def table(
    title: str, heads: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[str] = ()
) -> Table:
    """Return a table; `numbers` names the heads of right-aligned columns."""
    result = Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
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
