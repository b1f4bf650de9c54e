"""stopline normalise: any broker's messages in, normalised fills out."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from stopline.brokers import DIALECTS, dialect_of, parse
from stopline.cli.show import console, table
from stopline.model.decimals import decimal_text
from stopline.model.errors import Rejected
from stopline.model.fill import Fill
from stopline.model.times import utc_text
from stopline.model.wire import canonical

MAX_FILE = 64 * 1024 * 1024
HEADS = ("executed at", "account", "kind", "side", "quantity", "symbol", "price", "fee", "fill id", "ref")


@click.command()
@click.option(
    "--broker", required=True, metavar="NAME", help="The broker, as in the fills; also its dialect."
)
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="NAME=VALUE",
    help="An attribute of the messages: account=demo, dialect=fix; may repeat.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one fill a line, ready to be published.")
@click.argument("file", metavar="FILE")
def normalise(broker: str, attributes: Sequence[str], as_json: bool, file: str) -> None:
    """Turn the broker messages in FILE (`-`: standard input) into normalised fills.

    FILE holds a JSON object, JSON lines, XML, or FIX messages one a line. Messages about the state of an
    order give no fill. Nothing is printed when one of them is refused.
    """
    given = {"broker": broker, **attributes_of(attributes)}
    fills, count = normalised(read_input(file), given, "" if file == "-" else file)
    if as_json:
        for fill in fills:
            click.echo(canonical(fill.model_dump(mode="json", exclude_none=True)))
    elif fills:
        console().print(table(f"fills of {broker}", HEADS, map(_cells, fills), HEADS[4:8:2]))
    else:
        click.echo(f"no fills: {count} {'message tells' if count == 1 else 'messages tell'} of no execution")


def normalised(data: bytes, attributes: Mapping[str, str], name: str = "") -> tuple[list[Fill], int]:
    """Return the fills of the messages in a text, and how many messages there are.

    Raises Rejected for the first thing that cannot be used, with its line where there are several.
    """
    fills: list[Fill] = []
    secrets = {"kite": os.environ.get("STOPLINE_KITE_SECRET", "")}
    count = 0
    for where, value in _messages(data, attributes):
        count += 1
        try:
            for item in parse(value(), attributes, secrets, limit=None):
                if item.refused is not None:
                    raise item.refused
                if item.fill is not None:
                    fills.append(item.fill)
        except Rejected as refused:
            at = ": ".join(part for part in (name, where) if part)
            raise Rejected(
                refused.reason, f"{at + ': ' if at else ''}{refused.reason}: {refused.detail}"
            ) from None
    return fills, count


def _messages(data: bytes, attributes: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield where a message stands and what decodes it: the whole file, or each of its lines."""
    decode = DIALECTS[dialect_of(attributes)].decode
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    if not lines:
        raise Rejected("EMPTY", "there is no message in it")
    first = lines[0][1].strip()
    if len(lines) == 1 or first[:1] == b"<" or (first[:1] == b"{" and not _is_whole(first)):
        yield "", lambda: decode(data)
        return
    for number, line in lines:
        yield f"line {number}", lambda line=line: decode(line)


def _is_whole(line: bytes) -> bool:
    """Tell whether a line is a JSON object by itself: then the file holds one on each."""
    from stopline.model.wire import decode_object

    try:
        decode_object(line)
    except Rejected as refused:
        return refused.reason not in ("BAD_JSON", "NOT_AN_OBJECT")
    return True


def attributes_of(texts: Sequence[str]) -> dict[str, str]:
    """Return what NAME=VALUE options say."""
    found: dict[str, str] = {}
    for text in texts:
        name, is_there, value = text.partition("=")
        if not is_there or not name.isidentifier():
            raise Rejected("BAD_OPTION", f"--attribute takes NAME=VALUE, was {text[:60]!r}")
        found[name] = value
    return found


def read_input(file: str) -> bytes:
    """Return what is in a file, or comes on standard input where it is `-`."""
    try:
        data = sys.stdin.buffer.read(MAX_FILE + 1) if file == "-" else _file(file)
    except OSError as problem:
        raise Rejected("BAD_FILE", f"{file}: {problem.strerror}") from None
    if len(data) > MAX_FILE:
        raise Rejected("TOO_LARGE", f"{file}: is larger than {MAX_FILE // 2**20} MiB")
    return data


def _file(path: str) -> bytes:
    with Path(path).open("rb") as opened:
        return opened.read(MAX_FILE + 1)


def _cells(fill: Fill) -> tuple[str, ...]:
    return (
        utc_text(fill.executed_at),
        fill.account,
        fill.kind.value + (" (provisional)" if fill.provisional else ""),
        fill.side.value,
        decimal_text(fill.quantity),
        fill.instrument.symbol,
        decimal_text(fill.price),
        f"{decimal_text(fill.fee)} {fill.fee_currency}",
        fill.fill_id,
        fill.ref or "",
    )
