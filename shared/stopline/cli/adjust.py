"""stopline adjust: change a book by hand, on record, and take it back."""

from datetime import datetime
from decimal import Decimal

import click

from stopline.cli.failures import BadInput
from stopline.cli.world import actor, app_of
from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.decimals import parse_decimal
from stopline.model.errors import Rejected
from stopline.model.fill import DEFAULT_STRATEGY, Fill
from stopline.model.instrument import Instrument
from stopline.model.times import parse_utc
from stopline.model.wire import canonical, decode_object, validate
from stopline.ports import Outgoing
from stopline.runtime.app import App
from stopline.service.fills.adjustments import adjustment, is_booked, reversal
from stopline.service.fills.books import FillLog


@click.command()
@click.argument("account", metavar="ACCOUNT")
@click.argument("symbol", metavar="[SYMBOL]", required=False)
@click.option("--units", help="Units to add, negative to take away: 10, -2.")
@click.option("--price", help="At which price a unit is booked.")
@click.option("--reference", help="What it is known by: a ticket, a broker's case. It is booked once.")
@click.option("--undo", metavar="REFERENCE", help="Take the adjustment of this reference back.")
@click.option("--reason", required=True, help="Why: it goes on record.")
@click.option("--strategy", default=DEFAULT_STRATEGY, show_default=True, help="Whose position it is.")
@click.option("--broker", help="The broker, where the account has several.")
@click.option(
    "--at", "moment", metavar="TIME", help="When it counts, such as 2026-11-20T15:02:11Z; default: now."
)
@click.option("--order", metavar="ID", help="The order of which a fill never came: its fills add up with it.")
@click.option("--instrument", metavar="JSON", help="The contract, where the book does not hold it.")
@click.pass_context
def adjust(
    ctx: click.Context,
    account: str,
    symbol: str | None,
    units: str | None,
    price: str | None,
    reference: str | None,
    undo: str | None,
    reason: str,
    strategy: str,
    broker: str | None,
    moment: str | None,
    order: str | None,
    instrument: str | None,
) -> None:
    """Change the position of ACCOUNT in SYMBOL by hand.

    It is booked as a fill of kind ADJUST with a reference, and stands in the audit trail. `--undo` takes it back.
    """
    app = app_of(ctx)
    owner = app.accounts.require(account)
    chosen, log = _broker(owner, broker), FillLog(app.store)
    if undo is not None:
        fill = reversal(log, account, chosen, undo, reason, actor())
        if log.has(fill.key):
            click.echo(f"reference {undo} is taken back already: nothing is published")
            return
    else:
        if not (symbol and units and price and reference):
            raise Rejected("BAD_OPTION", "an adjustment needs SYMBOL, --units, --price and --reference")
        fill = adjustment(
            account,
            chosen,
            strategy,
            _contract(app.books.read(account), symbol, instrument),
            _number("--units", units),
            _number("--price", price),
            reference,
            reason,
            actor(),
            _time(moment) if moment else app.clock.now(),
            order,
        )
        if is_booked(log, fill, moment is not None):
            click.echo(f"reference {reference} is booked already: nothing is published")
            return
    publish(app, fill)
    click.echo(f"published {fill!r}: `stopline accounts show {account}` shows it when it is booked")


def publish(app: App, fill: Fill) -> None:
    """Send a fill the way that a broker would."""
    attributes = {"account": fill.account, "broker": fill.broker, "dialect": "native"}
    body = canonical(fill.model_dump(mode="json"))
    app.ports.bus.publish([Outgoing("fills", body, attributes, fill.account)])


def _broker(account: Account, told: str | None) -> str:
    if told is None and len(account.brokers) > 1:
        raise Rejected(
            "BAD_OPTION", f"the account has brokers {', '.join(account.brokers)}: --broker says which"
        )
    chosen = told or account.brokers[0]
    if chosen not in account.brokers:
        raise Rejected("BAD_OPTION", f"--broker {chosen[:64]!r} is not one of {', '.join(account.brokers)}")
    return chosen


def _contract(book: Book | None, symbol: str, told: str | None) -> Instrument:
    if told is not None:
        contract = validate(Instrument, decode_object(told.encode()))
        if contract.symbol != symbol:
            raise Rejected("BAD_OPTION", f"--instrument is {contract.symbol}, not {symbol[:40]}")
        return contract
    for position in book.positions.values() if book else ():
        if position.instrument.symbol == symbol:
            return position.instrument
    raise BadInput(f"the book has no {symbol[:40]}: --instrument says what contract it is")


def _number(name: str, text: str) -> Decimal:
    try:
        return parse_decimal(text)
    except ValueError as problem:
        raise Rejected("BAD_OPTION", f"{name} {problem}") from None


def _time(text: str) -> datetime:
    try:
        return parse_utc(text)
    except ValueError as problem:
        raise Rejected("BAD_OPTION", f"--at {problem}") from None
