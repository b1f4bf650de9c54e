"""stopline audit: check that the audit trail is whole."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import click
import orjson

from stopline.cli.failures import BadInput
from stopline.cli.show import print_json
from stopline.cli.world import app_of
from stopline.service.audit.chain import exported_faults, stored_faults


@click.group()
def audit() -> None:
    """Check the audit trail."""


@audit.command()
@click.option(
    "--export",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows of audit_latest as JSON, one object a line, as `bq query --format=json` or an export writes them.",
)
@click.option("--offline", is_flag=True, help="Check the export alone: its end is then not checked.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(ctx: click.Context, export: Path | None, offline: bool, as_json: bool) -> None:
    """Follow every hash chain from its first row to its last.

    In the store, or in an export. Says which row was removed, altered or moved. Exit code 1 when there is one.
    """
    if offline and export is None:
        raise BadInput("--offline needs --export: there is nothing else to check")
    if export is None:
        count, faults = stored_faults(app_of(ctx).store)
    else:
        with export.open(encoding="utf-8") as file:
            rows = list(_rows(file))
        if not any(row.get("chain") for row in rows):
            raise BadInput(f"{export} holds no row of a hash chain: there is nothing to check")
        count, faults = exported_faults(None if offline else app_of(ctx).store, rows)
    if as_json:
        print_json({"rows": count, "faults": faults})
    else:
        for fault in faults:
            click.echo(fault)
        click.echo(f"{count} rows: {'every chain is whole' if not faults else f'{len(faults)} faults'}")
    sys.exit(1 if faults else 0)


def _rows(file: TextIO) -> Iterator[dict[str, Any]]:
    """Yield rows of a file that holds one JSON object a line, or one JSON list."""
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as problem:
            raise BadInput(f"line {number} is not JSON: {problem}") from None
        for row in value if isinstance(value, list) else [value]:
            if not isinstance(row, dict):
                raise BadInput(f"line {number} holds no object")
            if row.get("chain") and not {"seq", "hash", "previous_hash"} <= row.keys():
                raise BadInput(f"line {number} lacks seq, hash or previous_hash: export all columns")
            yield _as_stored(row)


def _as_stored(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as it was hashed: exports write whole numbers as text, and times in a way of their own."""
    whole = {name: int(row[name]) for name in ("seq", "epoch") if row.get(name) is not None}
    return {**row, **whole, **({"decided_at": _moment(row["decided_at"])} if row.get("decided_at") else {})}


def _moment(text: str) -> str:
    from stopline.model.times import parse_utc, utc_text

    plain = str(text).replace(" UTC", "Z").replace(" ", "T", 1)
    try:
        return utc_text(parse_utc(plain if plain.endswith("Z") or "+" in plain[10:] else f"{plain}Z"))
    except ValueError:
        return str(text)  # no time at all: its hash will not be right either
