"""stopline rewind: have fills or history rows delivered again from a moment on."""

import os

import click

from stopline.adapters.rewind import seek
from stopline.cli.world import actor, app_of
from stopline.model.errors import Rejected
from stopline.model.times import parse_utc, utc_text
from stopline.runtime.settings import read_settings
from stopline.service.fills.redrive import Redriver


@click.command()
@click.argument("topic", type=click.Choice(("fills", "history")))
@click.option("--since", required=True, metavar="TIME", help="RFC 3339, at most 7 days ago.")
@click.option("--reason", required=True, help="Why: it goes on record.")
@click.pass_context
def rewind(ctx: click.Context, topic: str, since: str, reason: str) -> None:
    """Deliver the messages of TOPIC again that were published since TIME, as after a restore of the database.

    What is known already counts as a duplicate: nothing is booked twice.
    """
    try:
        moment = parse_utc(since)
    except ValueError as problem:
        raise Rejected("BAD_SINCE", f"--since {problem}") from None
    app, chosen = app_of(ctx), read_settings(os.environ)
    redriver = Redriver(app.store, app.ports.bus, app.relay, app.clock)
    begin = redriver.rewind(
        topic, moment, actor(), reason, lambda now: seek(chosen.project, chosen.prefix, topic, moment, now)
    )
    click.echo(f"{topic} are delivered again from {utc_text(begin)} on")
    if begin < moment:
        click.echo("earlier than asked for: what was published since then may be not delivered yet")
