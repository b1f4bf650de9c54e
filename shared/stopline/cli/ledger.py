"""stopline ledger: native fills in, positions, lots and realised P&L out."""

from codecs import BOM_UTF8 as BOM
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import click

from stopline.cli.failures import BadInput, one_line
from stopline.cli.show import console, print_json, table
from stopline.ledger.amend import check_day
from stopline.ledger.book import Book
from stopline.ledger.days import Day
from stopline.ledger.position import METHODS, Position
from stopline.model.calendars import calendar
from stopline.model.decimals import decimal_text
from stopline.model.errors import Rejected
from stopline.model.fill import FILLS_TYPE, Fill
from stopline.model.times import utc_text
from stopline.model.wire import MAX_BYTES, decode_object, validate


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="fifo",
    show_default=True,
    help="Which lots a fill closes.",
)
@click.option("--calendar", "calendar_name", default="XNYS", show_default=True, help="Bounds the sessions.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/ledger.md).")
def ledger(file: Any, method: str, calendar_name: str, as_json: bool) -> None:
    """Account for native fills, one JSON message a line (`-`: standard input).

    Fills may come in any order and more than once; busts, corrections and late fees count.
    """
    fills, duplicates = _read(file)
    accounts: dict[str, list[Fill]] = {}
    for fill in fills:
        accounts.setdefault(fill.account, []).append(fill)
    sessions = calendar(calendar_name)
    found = [_account(name, accounts[name], method, sessions.session_of) for name in sorted(accounts)]
    result = {"method": method, "fills": len(fills), "duplicates": duplicates, "accounts": found}
    if as_json:
        print_json(result)
    else:
        _show(result)


def _read(file: Any) -> tuple[list[Fill], int]:
    """Return the distinct fills of a file, and how many came again. Raises BadInput with the line."""
    fills: dict[str, Fill] = {}
    duplicates = 0
    name = file_name(file)
    lines = iter(partial(file.readline, MAX_BYTES + 1), b"")  # of an endless one no more than can be refused
    for number, raw in enumerate(lines, 1):
        raw = raw.removeprefix(BOM) if number == 1 else raw
        if not raw.strip():
            continue
        try:
            for fill in _messages(raw):
                first = fills.setdefault(fill.key, fill)
                if first is not fill:
                    duplicates += 1
                    if first.hash != fill.hash:
                        raise Rejected("CONFLICT", f"fill {fill.fill_id} came before with other content")
        except Rejected as refused:
            raise BadInput(one_line(f"{name}, line {number}: {refused.detail}")) from None
    if not fills:
        raise BadInput(f"{name} has no fills")
    return list(fills.values()), duplicates


def read_object(file: Any) -> dict[str, Any]:
    """Return the JSON object that an open file holds. Raises Rejected."""
    raw = file.read(MAX_BYTES + 1).removeprefix(BOM)
    if not raw.strip():
        raise Rejected("EMPTY", "there is nothing in it")
    return decode_object(raw)


def file_name(file: Any) -> str:
    """Return what to call an open file in a message to its user."""
    name = str(getattr(file, "name", "-"))
    return "standard input" if name in ("-", "0") or name.startswith("<") else name


def _messages(raw: bytes) -> Iterator[Fill]:
    message = decode_object(raw)
    if message.get("type") != FILLS_TYPE:
        yield validate(Fill, message)
        return
    listed = message.get("fills")
    if not isinstance(listed, list):
        raise Rejected("BAD_MESSAGE", "fills must be a list")
    for item in listed:
        yield validate(Fill, item)


def _account(name: str, fills: list[Fill], method: str, session_of: Any) -> dict[str, Any]:
    last: datetime = max(fill.executed_at for fill in fills)
    try:
        fills = [check_day(fill, fills) for fill in fills]
    except Rejected as refused:
        raise BadInput(one_line(f"account {name}: {refused.detail}")) from None
    book = Book(name, method=method).with_fills(fills, session_of, lambda *_: [], last)
    return {
        "account": name,
        "positions": [_position(book.positions[key]) for key in sorted(book.positions)],
        "days": [
            {"session": session.isoformat(), "currency": currency, **_day(day)}
            for (session, currency), day in sorted(book.days.items())
        ],
        "totals": {currency: _day(day) for currency, day in sorted(book.totals.items())},
        "unmatched": sorted(fill.fill_id for held in book.held.values() for fill in held),
    }


def _position(position: Position) -> dict[str, Any]:
    average = position.average_price
    return {
        "strategy": position.strategy,
        "symbol": position.instrument.symbol,
        "currency": position.instrument.currency,
        "quantity": decimal_text(position.quantity),
        "average_price": None if average is None else decimal_text(average),
        "cost": decimal_text(position.cost),
        "realised": decimal_text(position.realised),
        "fees": decimal_text(position.fees),
        "income": decimal_text(position.income),
        "net": decimal_text(position.net),
        "other_fees": {c: decimal_text(fee) for c, fee in sorted(position.other_fees.items()) if fee},
        "opened_at": utc_text(position.opened_at) if position.opened_at else None,
        "lots": [
            {
                "quantity": decimal_text(lot.quantity),
                "price": decimal_text(lot.price),
                "opened_at": utc_text(lot.opened_at),
                "fill": lot.fill_key,
            }
            for lot in position.lots
        ],
    }


def _day(day: Day) -> dict[str, str]:
    names = ("realised", "fees", "income", "net", "flow")
    return {name: decimal_text(getattr(day, name)) for name in names}


def _show(result: dict[str, Any]) -> None:
    out = console()
    heads = ("strategy", "symbol", "quantity", "average price", "realised", "fees", "net", "lots")
    for account in result["accounts"]:
        rows = [
            (
                p["strategy"],
                p["symbol"],
                p["quantity"],
                "-" if p["average_price"] is None else p["average_price"],
                p["realised"],
                p["fees"],
                p["net"],
                ", ".join(f"{lot['quantity']} @ {lot['price']}" for lot in p["lots"]) or "-",
            )
            for p in account["positions"]
        ]
        out.print(table(f"{account['account']}, {result['method']}", heads, rows, heads[2:7]))
        for currency, total in account["totals"].items():
            click.echo(f"{currency}: realised {total['realised']}, fees {total['fees']}, net {total['net']}")
        if account["unmatched"]:
            click.echo(f"about fills that are not there: {', '.join(account['unmatched'])}")
