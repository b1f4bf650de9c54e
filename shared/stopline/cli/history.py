"""stopline history: whether BigQuery has what Firestore has."""

import sys
from datetime import timedelta

import click

from stopline.cli.failures import Failure
from stopline.cli.show import console, print_json, table
from stopline.cli.world import app_of
from stopline.model.errors import Rejected
from stopline.model.times import parse_utc
from stopline.ports import Unavailable
from stopline.service.history.verify import Findings

MOST = timedelta(days=400)
HEADS = ("table", "day", "store", "history", "digest", "more rows", "missing", "extra")


@click.group()
def history() -> None:
    """Check that the history is whole."""


@history.command()
@click.option("--since", metavar="TIME", help="RFC 3339; two days ago by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(ctx: click.Context, since: str | None, as_json: bool) -> None:
    """Compare the ids of fills and of the audit trail in BigQuery with Firestore's, by day, from TIME on.

    And list the ids of any table that have rows with different contents. What is younger than an hour may be on its way.
    Exit code 1 when something differs.
    """
    app = app_of(ctx)
    now, verifier = app.clock.now(), app.sweep.history_verifier
    try:
        begin = parse_utc(since) if since else now - timedelta(days=2)
    except ValueError as problem:
        raise Rejected("BAD_SINCE", f"--since {problem}") from None
    if not timedelta(0) < now - begin < MOST:
        raise Rejected("BAD_SINCE", f"--since must be within the last {MOST.days} days")
    if verifier is None:
        raise Failure("there is no history to compare with")
    try:
        found = verifier.compare(begin, now, now)
    except Unavailable as problem:
        raise Failure(f"not compared, try again: {problem}") from None
    if as_json:
        print_json(_plain(found))
    else:
        _show(found)
    sys.exit(1 if found.differs else 0)


def _show(found: Findings) -> None:
    rows = [
        [
            t.table,
            t.day.isoformat(),
            str(t.stored),
            str(t.kept),
            t.kept_digest
            if t.kept_digest == t.stored_digest
            else f"{t.kept_digest}, store {t.stored_digest}",
            str(t.copies),
            str(len(t.missing)),
            str(len(t.extra)),
        ]
        for t in found.tallies
    ]
    console().print(table("history", HEADS, rows))
    for t in found.tallies:
        for ids, what in ((t.missing, "not in the history"), (t.extra, "not in the store")):
            for id_ in ids:
                click.echo(f"{t.table} {id_} is {what}")
    for name, ids in found.conflicts.items():
        for id_ in ids:
            click.echo(f"{name} {id_} has rows that say different things")
    click.echo("something differs" if found.differs else "the history is whole")


def _plain(found: Findings) -> dict[str, object]:
    days = [
        {
            "table": t.table,
            "day": t.day.isoformat(),
            "store": {"ids": t.stored, "digest": t.stored_digest},
            "history": {"ids": t.kept, "digest": t.kept_digest, "more_rows": t.copies},
            "missing": list(t.missing),
            "extra": list(t.extra),
        }
        for t in found.tallies
    ]
    return {"days": days, "conflicts": {name: list(ids) for name, ids in found.conflicts.items() if ids}}
