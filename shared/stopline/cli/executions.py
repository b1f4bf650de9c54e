"""stopline executions: how close commands were executed."""

from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import click

from stopline.cli.show import console, print_json, table
from stopline.cli.world import app_of
from stopline.model.decimals import decimal_text
from stopline.model.times import utc_text
from stopline.rules.closing.execution_statistics import By, Row, Statistics, statistics
from stopline.service.closing.executions import ExecutionLog

SHOWN = 50  # rows of the log, the newest
UNSHOWN = frozenset({"detail", "ingested_at"})


@click.command()
@click.argument("account", required=False)
@click.option(
    "--by", type=click.Choice([by.value for by in By]), multiple=True, help="Sum up; may be given twice."
)
@click.option("--days", type=click.IntRange(1, 3660), default=30, show_default=True, help="How far back.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; without --by the whole log.")
@click.pass_context
def executions(
    ctx: click.Context, account: str | None, by: tuple[str, ...], days: int, as_json: bool
) -> None:
    """Show how the close commands of ACCOUNT, or of all accounts, were executed: the newest 50, or summed up.

    Slippage is against the mark when the command was made: positive is worse. Hours are in the account's zone, UTC for
    all accounts. What is not known is "unknown".
    """
    app = app_of(ctx)
    known = app.accounts.require(account) if account else None
    rows = ExecutionLog(app.history).read(account, app.clock.now() - timedelta(days=days))
    zone = known.zone if known else ZoneInfo("UTC")
    if by:
        chosen = [By(one) for one in dict.fromkeys(by)]
        found = statistics(rows, chosen, zone)
        if as_json:
            print_json([_facts(one, chosen) for one in found])
        else:
            _show(found, chosen, days, str(zone))
    elif as_json:
        print_json([{n: _plain(v) for n, v in row.items() if n not in UNSHOWN} for row in rows])
    else:
        _list(rows, days, zone)


def _facts(one: Statistics, by: list[By]) -> dict[str, Any]:
    facts = {name: _plain(value) for name, value in asdict(one).items() if name != "key"}
    return {**dict(zip(by, one.key, strict=True)), **facts}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return decimal_text(value)
    return utc_text(value) if hasattr(value, "astimezone") else value


def _show(found: list[Statistics], by: list[By], days: int, zone: str) -> None:
    heads = (
        *by, "currency", "closes", "filled", "rejected", "filled %", "slippage", "bps", "worst", "delay s", "retries",
        "fees",
    )  # fmt: skip
    rows = [
        (
            *one.key,
            one.currency,
            one.commands,
            one.filled,
            one.rejected,
            _number(one.filled_pct, 0),
            _number(one.slippage_money, 2),
            _number(one.slippage_bps, 1),
            _number(one.worst_slippage_bps, 1),
            _number(one.delay_s, 1),
            _number(one.retries, 1),
            _number(one.fees, 2),
        )
        for one in found
    ]
    title = f"executions of {days} days" + (f", hours in {zone}" if By.HOUR in by else "")
    console().print(table(title, heads, rows, heads[len(by) + 1 :]))


def _list(rows: list[Row], days: int, zone: ZoneInfo) -> None:
    heads = (
        "closed at", "symbol", "side", "asked", "filled", "at mark", "price", "slippage", "bps", "delay s", "retries",
        "status",
    )  # fmt: skip
    shown = [
        (
            f"{(row['issued_at'] or row['ended_at']).astimezone(zone):%m-%d %H:%M:%S}",
            row["symbol"],
            row["side"],
            _number(row["requested_quantity"]),
            _number(row["filled_quantity"]),
            _number(row["requested_price"]),
            _number(row["filled_price"]),
            _number(row["slippage_money"], 2),
            _number(row["slippage_bps"], 1),
            _number(row["delay_s"], 1),
            row["retries"],
            row["status"] if not row["error"] else f"{row['status']}: {row['error']}",
        )
        for row in rows[-SHOWN:]
    ]
    out = console()
    out.print(table(f"executions of {days} days, times in {zone}", heads, shown, heads[3:11]))
    if len(rows) > SHOWN:
        out.print(f"{len(rows) - SHOWN} older ones are not shown: --json has all")


def _number(value: Decimal | None, places: int | None = None) -> str | None:
    if value is None:
        return None
    return decimal_text(value) if places is None else f"{value:,.{places}f}"
