"""stopline accounts: create, list, show, change."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click
from rich.table import Table

from stopline.cli.account_file import make_account, override, read_account_file, read_limits
from stopline.cli.exit_tables import closings, strategy_exits, trade_exits
from stopline.cli.failures import Failure
from stopline.cli.show import cell, console, print_json, table
from stopline.cli.world import actor, app_of
from stopline.model.account import Account
from stopline.model.control import GLOBAL, account_scope
from stopline.model.errors import Rejected
from stopline.model.ids import Name
from stopline.model.rights import Right
from stopline.model.settings.recipients import Recipients
from stopline.ports import AlreadyExists
from stopline.runtime.app import App
from stopline.service.accounts.settings import SettingsPatch
from stopline.service.accounts.status import account_status

MASK = "https://discord.com/api/webhooks/..."


@click.group()
def accounts() -> None:
    """Create, list, show and change trading accounts."""


@accounts.command()
@click.argument("name")
@click.option(
    "--from", "file", type=click.Path(path_type=Path), help="Settings in YAML; flags go before them."
)
@click.option("--owner", help="Who the account belongs to (default: the account's name).")
@click.option("--currency", help="Currency of capital and limits (default: USD).")
@click.option("--calendar", help="Exchange calendar of the trading day (default: XNYS).")
@click.option("--zone", help="IANA time zone that people read times in (default: America/New_York).")
@click.option("--capital", help="Equity that P&L is added to.")
@click.option("--profile", help="Limits to start from: zero_dte (default), general, conservative.")
@click.option("--limit", "limits", multiple=True, metavar="NAME=NUMBER", help="Change a limit, or name=off.")
@click.option("--sms", multiple=True, metavar="+14155550100", help="Who gets critical alerts by SMS.")
@click.option("--email", multiple=True, help="Who gets alerts by e-mail.")
@click.option("--discord", multiple=True, metavar="URL", help="Discord webhook that gets alerts.")
@click.option("--telegram", multiple=True, metavar="CHAT", help="Telegram chat that gets alerts.")
@click.option("--broker", "brokers", multiple=True, help="Broker whose fills are booked (default: paper).")
@click.option("--price-max-age", type=int, metavar="SECONDS", help="Older prices are UNKNOWN in open hours.")
@click.option("--note", help="One line for people.")
@click.option("--json", "as_json", is_flag=True, help="Print the account as JSON.")
@click.pass_context
def create(ctx: click.Context, /, name: str, file: Path | None, as_json: bool, **flags: Any) -> None:
    """Create the account NAME from flags, a YAML file, or both."""
    account = account_from(name, file, flags)
    create_account(app_of(ctx), account)
    if as_json:
        print_json(account_facts(account))
    else:
        money = f"{account.capital} {account.currency}"
        click.echo(f"created account {account.account}: {money}, {account.profile} limits")


@accounts.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List all accounts."""
    everyone = app_of(ctx).accounts.all()
    if as_json:
        print_json([account_facts(account) for account in everyone])
    elif not everyone:
        click.echo("there are no accounts: create one with `stopline accounts create NAME --capital 100000`")
    else:
        heads = ("account", "owner", "currency", "capital", "calendar", "zone", "profile", "version")
        rows = [
            (a.account, a.owner, a.currency, a.capital, a.calendar, a.time_zone, a.profile, a.version)
            for a in everyone
        ]
        console().print(table("accounts", heads, rows, ("capital", "version")))


@accounts.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show the account NAME: positions, P&L, limits, trading state."""
    account, status = account_and_status(app_of(ctx), name)
    if as_json:
        print_json({"settings": account_facts(account), **status})
    else:
        show_account(account, status)


@accounts.command()
@click.argument("name")
@click.argument("who")
@click.option(
    "--right", "rights", multiple=True, type=click.Choice(get_args(Right)), help="May be given several times."
)
@click.pass_context
def grant(ctx: click.Context, name: str, who: str, rights: tuple[Right, ...]) -> None:
    """Give WHO exactly these rights on the account NAME; without --right none are left.

    WHO is a principal's name, or the e-mail address of a Google identity.
    """

    def edit(before: Account) -> Account:
        kept = {known: held for known, held in before.grants.items() if known != who}
        return before.model_copy(update={"grants": {**kept, **({who: rights} if rights else {})}})

    after = app_of(ctx).account_writer.change(_name(name), edit, actor())
    click.echo(f"account {name}: {who} may {', '.join(after.grants.get(who, ())) or 'do nothing'}")


@accounts.command(name="set")
@click.argument("name")
@click.argument("changes", nargs=-1, required=True, metavar="SETTING=VALUE...")
@click.pass_context
def set_(ctx: click.Context, name: str, changes: tuple[str, ...]) -> None:
    """Change settings of the account NAME, such as limits.max_daily_loss=2 or trading.auto_trading=false.

    VALUE is JSON, or plain text; null takes a setting back to its default. What loosens much waits for a second person, who
    sends the same over the API or from another login.
    """
    app = app_of(ctx)
    account = app.accounts.require(_name(name))
    settings: dict[str, Any] = {}
    for text in changes:
        _put(settings, text)
    patch = SettingsPatch(expected_version=account.version, settings=settings)
    change = app.account_settings.change(name, patch, actor())
    for what in change.waits_for:
        click.echo(f"not changed yet, a second person must send the same: {what}")
    if not change.waits_for:
        click.echo(f"account {name} is at version {change.account.version}")


def _put(settings: dict[str, Any], text: str) -> None:
    """Put `a.b=value` into the nested mapping that a merge patch is."""
    path, equals, value = text.partition("=")
    if not equals or not all(path.split(".")):
        raise Rejected("BAD_SETTINGS", f"{text[:100]}: must be SETTING=VALUE, such as price_max_age_s=30")
    try:
        found = json.loads(value, parse_float=str, parse_int=str)  # numbers are text: exact
    except ValueError:
        found = value
    *groups, last = path.split(".")
    for group in groups:
        settings = settings.setdefault(group, {})
        if not isinstance(settings, dict):
            raise Rejected("BAD_SETTINGS", f"{text[:100]}: {group} is given a value of its own already")
    settings[last] = override(found) if groups == ["limits"] else found


def account_from(name: str, file: Path | None, flags: dict[str, Any]) -> Account:
    """Return the account of a command line. Raises Rejected that names what is wrong."""
    facts = read_account_file(file) if file else {}
    if facts.get("account", name) != name:
        raise Rejected("BAD_ACCOUNT", f"{file}: account is {facts['account']!r}, the command says {name!r}")
    facts["account"] = name
    plain = {"zone": "time_zone", "price_max_age": "price_max_age_s"}
    for flag in ("owner", "currency", "calendar", "zone", "capital", "profile", "price_max_age", "note"):
        if flags.get(flag) is not None:
            facts[plain.get(flag, flag)] = flags[flag]
    if flags.get("limits"):
        facts["limits"] = {**_mapping(facts, "limits"), **read_limits(flags["limits"])}
    people = {
        channel: list(flags[channel])
        for channel in ("sms", "email", "discord", "telegram")
        if flags.get(channel)
    }
    if people:
        facts["recipients"] = {**_mapping(facts, "recipients"), **people}
    if flags.get("brokers"):
        facts["brokers"] = list(flags["brokers"])
    if "capital" not in facts:
        raise Rejected(
            "BAD_ACCOUNT", "capital is missing: --capital 100000, or `capital: 100000` in the file"
        )
    facts.setdefault("owner", name)
    facts.setdefault("currency", "USD")
    return make_account(facts, str(file) if file else f"account {name[:64]}")


def create_account(app: App, account: Account) -> None:
    """Write a new account. Raises Failure when there is one of that name."""
    try:
        app.account_writer.create(account, actor())
    except AlreadyExists:
        raise Failure(
            f"account {account.account} exists already: `stopline accounts show {account.account}`"
        ) from None


def account_and_status(app: App, name: str) -> tuple[Account, dict[str, Any]]:
    """Return an account and where it stands. Raises Rejected when there is none of that name."""
    account = app.accounts.require(_name(name))
    controls = app.trading.read(GLOBAL), app.trading.read(account_scope(name))
    status = account_status(
        account, app.books.read(name), app.risk_states.read(name), *controls, app.closer.read(name)
    )
    return account, status


def account_facts(account: Account) -> dict[str, Any]:
    """Return an account's settings as plain data without its secrets."""
    facts = account.model_dump(mode="json")
    facts["recipients"] = _masked(account.recipients)
    for person, shown in zip(account.alerting.people, facts["alerting"]["people"], strict=True):
        shown["recipients"] = _masked(person.recipients)
    return facts


def _masked(people: Recipients) -> dict[str, Any]:
    """Return addresses as plain data; of the secret ones only which service."""
    plain = people.model_dump(mode="json")
    plain["discord"] = [MASK for _ in people.discord]
    plain["apprise"] = [f"{url.partition(':')[0]}://..." for url in people.apprise]
    return plain


def show_account(account: Account, status: dict[str, Any]) -> None:
    """Print an account for a person."""
    out, own = console(), account.currency
    people = account.recipients
    shown = _masked(people)
    told = [address for channel in shown for address in shown[channel]]
    out.print(
        f"account {account.account} of {account.owner}, {account.capital} {own}, {account.profile} limits"
    )
    out.print(f"calendar {account.calendar}, zone {account.time_zone}, brokers {', '.join(account.brokers)}")
    out.print(f"alerts go to {', '.join(told) or 'nobody: add --email, --sms or --discord'}")
    scopes = ", ".join(f"{scope} {state}" for scope, state in status["scopes"].items())
    out.print(f"trading state {status['trading_state']}, epoch {status['epoch']} ({scopes})")
    if status["closing"]:
        out.print(f"closing: {status['closing']}")
    show_status(status, own)


def show_status(status: dict[str, Any], currency: str) -> None:
    """Print positions, P&L and limits."""
    out = console()
    if status["positions"]:
        out.print(positions_table(status["positions"], currency))
    else:
        out.print("no open positions")
    if status["trades"]:
        out.print(trades_table(status["trades"]))
    risk = status["risk"]
    exits = (risk or {}).get("exits") or {}
    for found in (trade_exits(exits), strategy_exits(exits), closings(status["closings"])):
        if found is not None:
            out.print(found)
    if risk is None:
        out.print("P&L and limits: nothing was evaluated yet")
        return
    numbers = ("pnl_day", "realised_day", "unrealised", "equity")
    day, realised, unrealised, equity = (cell(risk[name]) for name in numbers)
    out.print(f"session {risk['session']}, as of {risk['as_of']}, in {currency}:")
    out.print(f"P&L of the day {day}, realised {realised}, unrealised {unrealised}, equity {equity}")
    names = ("limit", "object", "current", "threshold", "unit", "level")
    rows = [[_cell(one, name) for name in names] for one in risk["limits"]]
    out.print(table("limits", names, rows, ("current", "threshold")))


def _cell(limit: dict[str, Any], name: str) -> Any:
    return f"at least {limit[name]}" if name == "current" and limit.get("at_least") else limit[name]


def positions_table(positions: Sequence[dict[str, Any]], currency: str) -> Table:
    """Return the open positions as a table."""
    names = (
        "strategy",
        "symbol",
        "quantity",
        "average_price",
        "mark",
        "value",
        "unrealised",
        "realised",
        "fees",
    )
    heads = [name.replace("_", " ") for name in names]
    rows = [[position[name] for name in names] for position in positions]
    return table(f"open positions (money in {currency})", heads, rows, heads[2:])


def trades_table(trades: Sequence[dict[str, Any]]) -> Table:
    """Return the open trades, and those closed within a day, as a table."""
    names = (
        "status",
        "strategy",
        "underlying",
        "structure",
        "quantity",
        "net_credit",
        "max_loss",
        "total_pnl",
        "mae",
        "mfe",
        "entered_at",
    )
    heads = [name.replace("_", " ") for name in names]
    rows = [[trade[name] for name in names] for trade in trades]
    return table("trades", heads, rows, heads[4:-1])


def _mapping(facts: dict[str, Any], name: str) -> dict[str, Any]:
    value = facts.get(name) or {}
    if not isinstance(value, dict):
        raise Rejected("BAD_ACCOUNT", f"{name}: must hold `name: value` lines")
    return value


def _name(text: str) -> str:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Name).validate_python(text)
    except ValidationError as problem:
        raise Rejected("BAD_NAME", problem.errors()[0]["msg"].removeprefix("Value error, ")) from None
