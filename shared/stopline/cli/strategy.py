"""stopline strategy: what a strategy made, and where its exits stand."""

from datetime import timedelta
from typing import Any

import click

from stopline.cli.exit_tables import last_known
from stopline.cli.failures import BadInput
from stopline.cli.show import cell, console, print_json, table
from stopline.cli.world import app_of
from stopline.ledger.book import Book
from stopline.model.errors import Transient
from stopline.model.scopes import strategy_scope
from stopline.runtime.app import App
from stopline.service.exits.strategy_summary import is_known, strategy_summary
from stopline.service.exits.trade_log import TradeLog

SHOWN = 50  # trades, the last closed and the open ones


@click.command()
@click.argument("name")
@click.option("--account", "owner", help="The account, where there are several.")
@click.option("--days", type=click.IntRange(1, 36600), help="Trades closed in so many days (default: all).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def strategy(ctx: click.Context, name: str, owner: str | None, days: int | None, as_json: bool) -> None:
    """Show the strategy NAME: P&L, peak, trailing stop, and its trades with how they came out.

    Closed trades are those of the history; where it does not answer, those of the last day, and it says so.
    """
    app = app_of(ctx)
    since = app.clock.now() - timedelta(days=days) if days else None
    accounts = [app.accounts.require(owner)] if owner else app.accounts.all()
    found: list[dict[str, Any]] = []
    for account in accounts:
        book = app.books.read(account.account) or Book(account.account)
        if is_known(account, name, book):
            standing = app.trading.standing(strategy_scope(account.account, name))
            risk, logged = app.risk_states.read(account.account), _logged(app, account.account, name)
            found.append(strategy_summary(account, name, book, risk, standing, logged, since))
    if not found:
        where = f"account {owner}" if owner else "any account"
        raise BadInput(f"there is no strategy {name[:64]!r} in {where}: its name is that in the fills")
    if as_json:
        print_json(found[0] if owner else found)
        return
    for summary in found:
        _show(summary)


def _show(s: dict[str, Any]) -> None:
    out = console()
    state = "active" if s["active"] else f"not active ({s['trading_state']})"
    out.print(f"strategy {s['strategy']} of account {s['account']}: {state}, as of {s['as_of'] or 'never'}")
    if s["stopped"]:
        stopped = s["stopped"]
        out.print(
            f"stopped at {stopped['at']} by its {stopped['rule']}: MTM {stopped['mtm']}, stop {stopped['level']}"
        )
    total, realised, unrealised = (cell(s[key]) for key in ("total", "realised", "unrealised"))
    out.print(f"P&L {total} {s['currency']}: realised {realised}, unrealised {unrealised}")
    if not s["has_exits"]:
        out.print("exits: none on its MTM, or nothing was evaluated since they were set")
    else:
        stop = "none" if s["trailing_stop"] is None else cell(s["trailing_stop"])
        by = f" by {s['stop_rule'].replace('_', ' ')}" if s["stop_rule"] else ""
        out.print(f"exits: MTM {cell(s['mtm'])}, peak {cell(s['peak'])}, stop {stop}{by}")
    if s["paused"]:
        last = {"last": s["last_mtm"], "last_at": s["last_mtm_at"]}
        out.print(f"exits are paused, no fresh price of all its positions: {last_known(last)}")
    when = f"since {s['since']}" if s["since"] else "ever"
    said = when if s["complete"] else "of the last day only, the history does not answer"
    out.print(f"trades: {s['open_trades']} open, {s['closed_trades']} closed, {said}")
    if s["closed_trades"]:
        rate, net, best, worst = (cell(s[name]) for name in ("win_rate_pct", "net", "best", "worst"))
        won = f"{s['wins']} won, {s['losses']} lost, {rate} % won"
        out.print(f"{won}; {net} {s['currency']} in all, best {best}, worst {worst}")
    heads = ("trade_id", "underlying", "structure", "status", "total_pnl", "mae", "mfe")
    rows = [[trade.get(head) for head in heads] for trade in s["trades"][-SHOWN:]]
    if rows:
        out.print(
            table("trades", [head.replace("_", " ") for head in heads], rows, ("total pnl", "mae", "mfe"))
        )
    if len(s["trades"]) > SHOWN:
        out.print(f"{len(s['trades']) - SHOWN} closed before are not shown: --json has all")


def _logged(app: App, account: str, name: str) -> list[dict[str, Any]] | None:
    """Return the closed trades of the history; None where it does not answer."""
    try:
        return TradeLog(app.history).closed(account, name)
    except Transient:
        return None
