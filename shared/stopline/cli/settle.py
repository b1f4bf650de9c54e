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

    Options in the money end at their intrinsic value, the others at 0, by fills of the broker's account. The command says
    the id of each: a fill of kind BUST that names it takes it back, then settle again.
    """
    try:
        day, number = parse_date(expiry), parse_decimal(price)
    except ValueError as problem:
        raise BadInput(f"--expiry and --price: {problem}") from None
    fills = app_of(ctx).settler.settle(account, root, day, number, broker, actor(), reason)
    for symbol, id_ in fills:
        click.echo(f"{symbol} {id_}")
    click.echo(
        f"published {len(fills)} at {decimal_text(number)}: `stopline accounts show {account}` holds none of them when they "
        "are booked, `stopline quarantine list` has what is refused"
    )
