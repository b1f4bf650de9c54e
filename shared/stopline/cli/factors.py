"""stopline factors: closes of past sessions out of a file into the history, and what is known now."""

from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click
import numpy as np

from stopline.cli.failures import Failure
from stopline.cli.show import console, print_json, table
from stopline.cli.world import app_of
from stopline.model.calendars import Calendar, calendar
from stopline.model.errors import Rejected
from stopline.model.ids import is_symbol
from stopline.model.times import parse_date
from stopline.replay.tables import Table
from stopline.service.history.load_closes import load_closes

HEADS = {
    "date": ("date", "session", "day", "timestamp"),
    "symbol": ("symbol", "ticker", "instrument"),
    "close": ("adj_close", "adjclose", "adjusted_close", "close", "price", "last"),
}


@click.group()
def factors() -> None:
    """Daily returns that VaR, correlation and historical days are made of."""


@factors.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--calendar", "name", default="XNYS", show_default=True, help="Whose sessions the dates are.")
@click.option("--symbol", help="For a file of one symbol, without a column of symbols.")
@click.pass_context
def load(ctx: click.Context, file: Path, name: str, symbol: str | None) -> None:
    """Load closes of past sessions from a CSV file.

    One row a close (date, symbol, close), or one a date with a column for each symbol. Closes must be adjusted for
    splits. They go before the closes that Stopline noted itself; the next end-of-day sweep works them in.
    """
    closes = read_closes(file, calendar(name), symbol)
    app = app_of(ctx)
    faults = load_closes(app.history, app.clock, name, closes)
    if faults:
        raise Failure(f"{len(faults)} of {len(closes)} closes were refused: {faults[0].reason}")
    symbols = sorted({of for of, _ in closes})
    days = sorted({day for _, day in closes})
    click.echo(
        f"{len(closes)} closes of {len(symbols)} symbols, {days[0]} to {days[-1]}: "
        "the next end-of-day sweep works them in"
    )


@factors.command()
@click.option("--calendar", "name", default="XNYS", show_default=True, help="Whose sessions they are of.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show the newest factors: how many returns, and their deviation."""
    calendar(name)
    found = app_of(ctx).factors.latest(name)
    if found is None or not found.sessions:
        raise Failure(f"there are no factors of {name}: they are made at the end of a session")
    counts = np.isfinite(found.returns).sum(axis=0).tolist()
    with np.errstate(invalid="ignore"):
        spread = [
            float(np.nanstd(column, ddof=1)) if count > 1 else None
            for column, count in zip(found.returns.T, counts, strict=True)
        ]
    if as_json:
        print_json(
            {
                "calendar": name,
                "from": found.sessions[0].isoformat(),
                "to": found.sessions[-1].isoformat(),
                "symbols": {
                    symbol: {"returns": count, "deviation": deviation}
                    for symbol, count, deviation in zip(found.symbols, counts, spread, strict=True)
                },
                "days": {day.isoformat(): dict(moves) for day, moves in found.days.items()},
                "left_out": list(found.left_out),
            }
        )
        return
    rows = [
        (symbol, count, None if deviation is None else f"{100 * deviation:.2f} %")
        for symbol, count, deviation in zip(found.symbols, counts, spread, strict=True)
    ]
    title = f"{name}: sessions {found.sessions[0]} to {found.sessions[-1]}"
    console().print(
        table(title, ("symbol", "returns", "deviation a day"), rows, ("returns", "deviation a day"))
    )


def read_closes(path: Path, sessions: Calendar, symbol: str | None = None) -> dict[tuple[str, date], Decimal]:
    """Read closes by (symbol, session). Raises Rejected with the line: no session, no price above 0, twice."""
    if symbol is not None and not is_symbol(symbol):
        raise Rejected("BAD_OPTION", f"--symbol must be an upper-case symbol, was {symbol[:40]!r}")
    file = Table(path, HEADS, {})
    closes: dict[tuple[str, date], Decimal] = {}
    try:
        file.need("date")
        columns = _columns(file, symbol)
        for line, cells in file.rows():
            day = _session(file, line, cells[file.index("date")].strip(), sessions)
            own = cells[file.index("symbol")].strip() if file.has("symbol") and symbol is None else None
            for name, place in columns:
                text = cells[place].strip()
                if not text and own is None and symbol is None:
                    continue  # a wide table has holes
                key = _symbol(file, line, own or name), day
                if key in closes:
                    raise file.fault(line, "date", f"{key[0]} has a close of {day} already")
                closes[key] = _price(file, line, text)
    finally:
        file.close()
    if not closes:
        raise Rejected("BAD_FILE", f"{path}: there are no closes in it")
    return closes


def _columns(file: Table, symbol: str | None) -> list[tuple[str, int]]:
    """Return (symbol, place) of the columns with closes: the one of a long file, or all others of a wide one."""
    if file.has("close") and (file.has("symbol") or symbol is not None):
        return [(symbol or "", file.index("close"))]
    if symbol is not None:
        file.need("close")
    date_at = file.index("date")
    return [(head, place) for place, head in enumerate(file.head) if place != date_at and head]


def _session(file: Table, line: int, text: str, sessions: Calendar) -> date:
    try:
        day = parse_date(text[:10])
    except ValueError:
        raise file.fault(line, "date", f"must be a date such as 2026-11-20, was {text[:40]!r}") from None
    if not sessions.is_session(day):
        raise file.fault(line, "date", f"{day} is no session of {sessions.name}")
    return day


def _symbol(file: Table, line: int, text: str) -> str:
    if not is_symbol(text):
        raise file.fault(line, "date", f"{text[:40]!r} is no symbol: upper case, up to 32 characters")
    return text


def _price(file: Table, line: int, text: str) -> Decimal:
    try:
        price = Decimal(text) if text.isascii() and "_" not in text else Decimal("nan")
    except InvalidOperation:
        price = Decimal("nan")
    if not price.is_finite() or not 0 < price < Decimal(10) ** 12:
        raise file.fault(line, "close", f"must be a price above 0, was {text[:40]!r}")
    return round(price, 9)
