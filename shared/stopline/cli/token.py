"""stopline token: a token for somebody on the Stopline of this machine."""

import os
from datetime import timedelta

import click

from stopline.cli.failures import Failure
from stopline.cli.show import print_json
from stopline.model.wire import validate
from stopline.runtime.auth import Principal
from stopline.runtime.dev_tokens import LONGEST, issue

RIGHTS = ("view", "trade", "risk", "kill", "resume", "admin")


@click.command()
@click.argument("name")
@click.option(
    "--right", "rights", multiple=True, type=click.Choice(RIGHTS), help="May be given several times."
)
@click.option(
    "--account", "accounts", multiple=True, help="Where they hold (default: everywhere, and global)."
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0.01, max=LONGEST.total_seconds() / 3600),
    default=8.0,
    show_default=True,
    help="How long it is good for.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def token(name: str, rights: tuple[str, ...], accounts: tuple[str, ...], hours: float, as_json: bool) -> None:
    """Make a token for NAME, for the Stopline that `stopline up` runs; no other one takes it.

    Two people are needed to resume everything: make a second one to try it.
    """
    from stopline.adapters.clock import SystemClock

    key = os.environ.get("STOPLINE_DEV_KEY", "")
    if not key:
        raise Failure("STOPLINE_DEV_KEY is not set: it is in what `stopline up` prints, for other terminals")
    facts = {"name": name, "rights": list(rights), "accounts": list(accounts) or ["*"]}
    made = issue(key, validate(Principal, facts), SystemClock().now(), timedelta(hours=hours))
    if as_json:
        print_json({**facts, "token": made, "hours": hours})
    else:
        click.echo(made)
