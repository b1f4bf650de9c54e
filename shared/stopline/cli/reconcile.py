"""stopline reconcile: what a broker says an account holds, beside the book."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from stopline.brokers import decode, read_statement
from stopline.cli.normalise import attributes_of, read_input
from stopline.cli.show import console, print_json, table
from stopline.cli.world import app_of
from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.decimals import decimal_text
from stopline.model.errors import Rejected
from stopline.model.statement import Statement
from stopline.ports import Outgoing
from stopline.rules.watching.compare import compare
from stopline.rules.watching.finding import Finding, words
from stopline.runtime.app import App
from stopline.service.reconciliation.reconciliations import describe


@click.command()
@click.argument("account", metavar="ACCOUNT")
@click.argument("file", metavar="[FILE]", required=False)
@click.option(
    "--broker", metavar="NAME", help="The broker, and its dialect; default: the account's, where it has one."
)
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="NAME=VALUE",
    help="An attribute of the message: dialect=ibkr; may repeat.",
)
@click.option("--dry-run", is_flag=True, help="Compare only: hand nothing in.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def reconcile(
    ctx: click.Context,
    account: str,
    file: str | None,
    broker: str | None,
    attributes: Sequence[str],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compare the book of ACCOUNT with the position statement in FILE (`-`: standard input), and hand it in.

    Without FILE: show which breaks stand. Exit code 1 when something differs.
    """
    app = app_of(ctx)
    owner = app.accounts.require(account)
    if file is None:
        ctx.exit(_show(app, account, as_json))
    data = read_input(file)
    given = {"account": account, **_broker(owner, broker), **attributes_of(attributes)}
    statement = read_statement(decode(data, given), given)
    if statement is None:
        raise Rejected("BAD_FILE", f"{file}: tells no positions; fills are read by `stopline normalise`")
    if statement.account != account or statement.broker not in owner.brokers:
        raise Rejected(
            "BAD_FILE",
            f"{file}: is of account {statement.account} at {statement.broker}, which {account} is not",
        )
    found = compared(app, owner, statement)
    if not dry_run:
        app.ports.bus.publish([Outgoing("fills", data, given, account)])
    if as_json:
        print_json([finding_facts(finding) for finding in found])
    else:
        _print(found, statement, dry_run)
    ctx.exit(int(any(finding.kind for finding in found)))


def compared(app: App, account: Account, statement: Statement) -> list[Finding]:
    """Compare the book as it stands with a statement, and with the newest ones of the account's other brokers."""
    told = {**app.reconciler.newest(account), statement.broker: statement}
    book = app.books.read(account.account) or Book(account.account)
    return compare(account, book, told, app.clock.now())


def finding_facts(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain data. `result` is `agrees`, `waits` or the kind of the break."""
    result = finding.kind.value if finding.kind else "waits" if finding.waits else "agrees"
    numbers = {name: getattr(finding, name) for name in ("ours", "theirs", "our_price", "their_price")}
    return {
        "symbol": finding.symbol,
        "result": result,
        "what": words(finding),
        **{name: None if value is None else decimal_text(value) for name, value in numbers.items()},
    }


def _print(found: Sequence[Finding], statement: Statement, dry_run: bool) -> None:
    rows = [
        [facts[name] for name in ("symbol", "result", "ours", "theirs", "what")]
        for facts in map(finding_facts, found)
        if facts["ours"] != "0" or facts["theirs"] != "0"
    ]
    heads = ("symbol", "result", "ours", "theirs", "what")
    if rows:
        console().print(table(f"{statement.account} at {statement.broker}", heads, rows, heads[2:4]))
    else:
        click.echo("both hold nothing")
    if not statement.tells_all:
        click.echo("The statement does not tell all: what is missing in it is not called flat.")
    if not dry_run:
        click.echo(f"Handed in. `stopline reconcile {statement.account}` shows what stands.")


def _show(app: App, account: str, as_json: bool) -> int:
    facts = describe(app.reconciliations.read(account))
    if as_json:
        print_json(facts)
    else:
        _print_standing(account, facts)
    return int(bool(facts["breaks"] or facts["ledger"]))


def _print_standing(account: str, facts: Mapping[str, Any]) -> None:
    out = console()
    if facts["as_of"] is None:
        out.print(f"{account} was never compared: no statement came")
        return
    heads = ("symbol", "kind", "stage", "since", "ours", "theirs", "blocks")
    rows = [[item[name] for name in heads] for item in facts["breaks"]]
    out.print(table(f"breaks of {account}", heads, rows, heads[4:6]) if rows else f"{account}: no breaks")
    for symbol, why in facts["waits"].items():
        out.print(f"{symbol} was not compared: {why}")
    for broker, told in facts["reported"].items():
        numbers = ", ".join(
            f"{name} {told[name]} {told['currency']}"
            for name in ("equity", "margin")
            if told[name] is not None
        )
        out.print(f"{broker} as of {told['as_of']}: " + (numbers or "no equity or margin") + _problem(told))
    for broker in facts["overdue"]:
        out.print(f"statements of {broker} are overdue")
    for fault in facts["ledger"]:
        out.print(f"the book is not its fills: {fault}")


def _problem(told: Mapping[str, Any]) -> str:
    return f"; not complete: {told['problem']}" if told["problem"] else ""


def _broker(account: Account, told: str | None) -> dict[str, str]:
    if told is not None:
        return {"broker": told}
    return {"broker": account.brokers[0]} if len(account.brokers) == 1 else {}
