"""stopline restored: after a restore of the database, stop what it has forgotten to be stopped, and say what that is."""

from typing import Any

import click

from stopline.cli.failures import BadInput, Failure
from stopline.cli.show import console, print_json, table
from stopline.cli.world import actor, app_of
from stopline.model.errors import Rejected
from stopline.model.times import parse_utc, utc_text
from stopline.ports import Unavailable
from stopline.service.fills.adjustments import checked_reason

HEADS = ("at", "what", "of", "by", "said")


@click.command()
@click.option(
    "--since", required=True, metavar="TIME", help="RFC 3339: before the moment that it was restored to."
)
@click.option("--reason", required=True, help="Why: it goes on record.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def restored(ctx: click.Context, since: str, reason: str, as_json: bool) -> None:
    """Stop everything after a restore, until two people resume it, and list what was forgotten.

    What was killed or paused since TIME and not resumed is stopped again, out of the audit trail in BigQuery. The same
    command again changes nothing. Exit code 1 where something could not be stopped again, or BigQuery not be asked.
    """
    try:
        moment = parse_utc(since)
    except ValueError as problem:
        raise Rejected("BAD_SINCE", f"--since {problem}") from None
    app = app_of(ctx)
    if moment > app.clock.now():
        raise BadInput(f"--since is in the future: {since}")
    said = checked_reason(reason)
    app.set_back.hold(f"{utc_text(moment)} {said}", said, actor())
    history = app.ports.history
    if history is None:
        raise Failure("everything is REDUCING; what was stopped since is not known without BigQuery")
    try:
        found = app.set_back.forgotten(history, moment)
    except Unavailable as problem:
        raise Failure(f"everything is REDUCING; what was stopped since is not known: {problem}") from None
    done = app.set_back.stop_again(found, app.clock.now())
    rows = [_change(row) for row in done.audit] + [_told(row) for row in done.alerts]
    if as_json:
        print_json({"forgotten": rows, "stopped": done.stopped, "refused": dict(done.refused)})
    else:
        if rows:
            console().print(table("forgotten", HEADS, [[row[head] for head in HEADS] for row in rows]))
        click.echo(f"{len(rows)} forgotten; everything is REDUCING until two people resume it")
        click.echo(f"stopped again: {', '.join(done.stopped) or 'nothing'}")
    if done.refused:
        raise Failure(
            "; ".join(f"{scope} was not stopped again: {why}" for scope, why in done.refused.items())
        )


def _change(row: Any) -> dict[str, str]:
    what = row["event"] + (f" to {row['to_state']}" if row["to_state"] else "")
    return _shown(row["decided_at"], what, row["scope"], row["actor"], row["reason"])


def _told(row: Any) -> dict[str, str]:
    return _shown(row["raised_at"], f"alert {row['kind']}", row["account"], row["object"], row["summary"])


def _shown(at: Any, *texts: Any) -> dict[str, str]:
    return dict(zip(HEADS, (utc_text(at), *(str(text or "") for text in texts)), strict=True))
