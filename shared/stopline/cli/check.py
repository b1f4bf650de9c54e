"""stopline check: would this order be let through?"""

from typing import Any

import click

from stopline.cli.order_file import read_order, show_decision
from stopline.cli.show import print_json
from stopline.cli.world import app_of
from stopline.model.order import Order


@click.command()
@click.argument("account")
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/pretrade.md).")
@click.pass_context
def check(ctx: click.Context, account: str, file: Any, as_json: bool) -> None:
    """Check the order in FILE (JSON; `-`: standard input) against ACCOUNT: every reason at once.

    Exit code 1 when it is refused.
    """
    facts = app_of(ctx).order_desk.check(account, read_order(file, Order))
    if as_json:
        print_json(facts)
    else:
        show_decision(facts)
    if not facts["approved"]:
        ctx.exit(1)
