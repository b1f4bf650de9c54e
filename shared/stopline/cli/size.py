"""stopline size: how large should this order be?"""

from typing import Any

import click

from stopline.cli.order_file import read_order, show_decision
from stopline.cli.show import print_json
from stopline.cli.world import app_of
from stopline.service.orders.size_order import SizeRequest


@click.command()
@click.argument("account")
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/pretrade.md).")
@click.pass_context
def size(ctx: click.Context, account: str, file: Any, as_json: bool) -> None:
    """Size the order in FILE (JSON; `-`: standard input) for ACCOUNT, and check it at that size.

    Exit code 1 when the size is 0.
    """
    facts = app_of(ctx).order_sizer.size(account, read_order(file, SizeRequest))
    if as_json:
        print_json(facts)
    else:
        steps = "".join(f", {step['name']} x {step['factor']}" for step in facts["steps"])
        click.echo(f"size {facts['quantity']} by {facts['method']}{steps}")
        if facts["reason"]:
            click.echo(facts["reason"])
        show_decision(facts["check"])
    if facts["quantity"] == "0":
        ctx.exit(1)
