"""stopline adapters: the broker adapters of an account, and the end of one that was taken away."""

import click

from stopline.cli.failures import BadInput, Failure
from stopline.cli.show import console, print_json, table
from stopline.cli.world import actor, app_of
from stopline.model.errors import Rejected, Transient
from stopline.model.times import utc_text
from stopline.service.trading.retire_adapter import adapters as known_adapters
from stopline.service.trading.retire_adapter import retire_adapter


@click.group()
def adapters() -> None:
    """See the broker adapters of an account, and say that one was taken away."""


@adapters.command(name="list")
@click.argument("account")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_(ctx: click.Context, account: str, as_json: bool) -> None:
    """List the adapters of ACCOUNT that had a lease."""
    app = app_of(ctx)
    now, name = app.clock.now(), app.accounts.require(account).account
    found = [
        {
            "adapter": known.name,
            "state": "leased" if known.leased_until > now else "silent",
            "leased_until": utc_text(known.leased_until),
            "broker": "ok" if known.broker_ok else "not ok",
        }
        for known in known_adapters(app.store, name)
    ]
    if as_json:
        print_json(found)
    elif not found:
        click.echo(f"no adapter of {name} ever had a lease")
    else:
        heads = ("adapter", "state", "leased_until", "broker")
        console().print(table("adapters", heads, [[f[head] for head in heads] for f in found]))


@adapters.command()
@click.argument("account")
@click.argument("adapter")
@click.option("--reason", required=True, help="Why nobody misses it: it goes on record.")
@click.pass_context
def retire(ctx: click.Context, account: str, adapter: str, reason: str) -> None:
    """Say that ADAPTER of ACCOUNT was taken away for good.

    Its silence is over with the next sweep, and a stop that only its last bad word holds may be lifted. One that asks for a
    lease again is watched again.
    """
    app = app_of(ctx)
    name = app.accounts.require(account).account
    try:
        retire_adapter(app.store, app.journals, app.clock, name, adapter, actor(), reason)
    except Rejected as refused:
        raise BadInput(refused.detail) from None
    except Transient as problem:
        raise Failure(str(problem)) from None
    click.echo(f"{adapter} of {name} is retired: nobody misses it any more")
