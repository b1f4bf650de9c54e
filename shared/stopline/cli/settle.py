"""stopline settle: end expired options that no broker's fill has ended."""

import click

from stopline.cli.failures import BadInput
from stopline.cli.world import actor, app_of
from stopline.model.decimals import decimal_text, parse_decimal
from stopline.model.times import parse_date


@click.command()
@click.argument("account")
@click.option("--root", required=True, help="Root of the options: SPXW, NDXP, NIFTY.")
@click.option("--expiry", required=True, metavar="DATE", help="Their day of expiry: 2026-11-20.")
@click.option("--price", required=True, help="The settlement price, as the exchange published it.")
@click.option("--broker", help="Of several brokers, the one that holds them.")
@click.option("--reason", required=True, help="Where the price is from: it goes on record.")
@click.pass_context
def settle(
    ctx: click.Context, account: str, root: str, expiry: str, price: str, broker: str | None, reason: str
) -> None:
    """Settle cash-settled options of ACCOUNT at a price.

    Options in the money end at their intrinsic value, the others at 0, by fills of the broker's account. Where the
    broker tells the same later, bust one of the two: the id of each fill here is settle:STRATEGY:SYMBOL.
    """
    try:
        day, number = parse_date(expiry), parse_decimal(price)
    except ValueError as problem:
        raise BadInput(f"--expiry and --price: {problem}") from None
    symbols = app_of(ctx).settler.settle(account, root, day, number, broker, actor(), reason)
    click.echo(f"{len(symbols)} settled at {decimal_text(number)}: {', '.join(symbols)}")
