"""stopline replay: a past day out of CSV files, through the services that run in production."""

import copy
import re
import time
from collections.abc import Callable, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import click

from stopline.cli.account_file import make_account, read_account_file, read_limits
from stopline.cli.accounts import positions_table
from stopline.cli.failures import one_line
from stopline.cli.show import cell, console, print_json, table
from stopline.model.account import Account
from stopline.model.calendars import calendar as calendar_of
from stopline.model.decimals import decimal_text
from stopline.model.errors import Rejected
from stopline.model.ids import is_symbol
from stopline.model.messages import Alert
from stopline.replay.engine import Replay
from stopline.replay.instruments import plain_symbol
from stopline.replay.result import AccountResult, ReplayResult, StateChange
from stopline.replay.rows import FILL_HEADS, PRICE_HEADS, FillFile, PriceFile, Reading
from stopline.replay.what_if import only_telling

DEFAULT_ACCOUNT = "replay"
PRICE_MAX_AGE_S = 300  # files of minutes have gaps that feeds do not have
KINDS = {"prices": PRICE_HEADS, "quotes": PRICE_HEADS, "fills": FILL_HEADS}
_UNITS = {"s": 1, "m": 60, "h": 3600}
_SPAN = re.compile(r"([0-9]{1,6})([smh])")
_MAP = re.compile(r"(?:(prices|quotes|fills)\.)?([a-z_]+)=(.+)")


@dataclass(frozen=True)
class Options:
    """What the command line says, as texts."""

    prices: Sequence[Path] = ()
    quotes: Sequence[Path] = ()
    fills: Path | None = None
    accounts: Sequence[Path] = ()
    speed: str = "max"
    calendar: str | None = None
    zone: str | None = None
    capital: str | None = None
    currency: str | None = None
    profile: str | None = None
    limits: Sequence[str] = ()
    price_max_age: int | None = None
    maps: Sequence[str] = ()
    symbol: str | None = None
    bar: str = "1m"
    bar_time: Literal["start", "end"] | None = None
    sweep_every: str = "1m"
    exits: Sequence[str] = ()


@click.command()
@click.option(
    "--prices",
    multiple=True,
    type=click.Path(path_type=Path),
    help="CSV of trades, quotes or bars; may repeat.",
)
@click.option(
    "--option-quotes", "quotes", multiple=True, type=click.Path(path_type=Path), help="CSV of option quotes."
)
@click.option("--fills", type=click.Path(path_type=Path), help="CSV of fills.")
@click.option(
    "--account", "accounts", multiple=True, type=click.Path(path_type=Path), help="Account settings in YAML."
)
@click.option(
    "--speed", default="max", show_default=True, help="max, or how many times faster than the clock."
)
@click.option("--calendar", help="Exchange calendar (default: XNYS).")
@click.option("--zone", help="Time zone of times without one (default: the calendar's).")
@click.option("--capital", help="Capital of the account (default: 100000).")
@click.option("--currency", help="Currency of the account (default: USD).")
@click.option("--profile", help="Limits to start from: zero_dte (default), general, conservative.")
@click.option("--limit", "limits", multiple=True, metavar="NAME=NUMBER", help="Change a limit, or name=off.")
@click.option(
    "--price-max-age",
    type=click.IntRange(1, 86_400),
    metavar="SECONDS",
    help="Older prices are UNKNOWN in open hours (default: 300).",
)
@click.option(
    "--map", "maps", multiple=True, metavar="COLUMN=HEAD", help="Which column is which: [prices.]bid=BidPx."
)
@click.option("--symbol", help="Symbol of price files that have no such column.")
@click.option("--bar", default="1m", show_default=True, help="Length of a bar: 30s, 1m, 1h.")
@click.option(
    "--bar-time", type=click.Choice(["start", "end"]), help="What a bar's time is (default: its start)."
)
@click.option("--sweep-every", default="1m", show_default=True, help="How often the risk sweep runs.")
@click.option("--what-if", "what_if", is_flag=True, help="Twice: without exits, and with exits that close.")
@click.option(
    "--exit",
    "exits",
    multiple=True,
    metavar="SETTING=VALUE",
    help="Change an exit, such as trades.stop_loss=2% or strategies.condors.giveback=30.",
)
@click.option(
    "--vary",
    metavar="SETTING=VALUE,VALUE",
    help="With --what-if: once for each value of an exit, such as trades.trail.amount=1%,2%.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.pass_context
def replay(ctx: click.Context, /, as_json: bool, what_if: bool, vary: str | None, **given: Any) -> None:
    """Run a past day out of CSV files through the risk desk; docs/replay.md says which files it takes.

    Exits with 1 when a published fill is not accounted for at the end.
    """
    options = Options(**given)
    if vary is not None and not what_if:
        raise Rejected("BAD_OPTION", "--vary needs --what-if: without it no exit is executed")
    if what_if:
        from stopline.cli.what_if import run_what_if

        ctx.exit(run_what_if(options, vary, as_json))
    result = run_replay(options, None if as_json else live, adapt=only_telling)
    if as_json:
        print_json(result.plain())
    else:
        show(result)
    ctx.exit(0 if result.conservation.closes and not result.faults else 1)


def run_replay(
    options: Options,
    watcher: Any = None,
    engine_type: type[Replay] = Replay,
    adapt: Callable[[Account], Account] = lambda account: account,
) -> ReplayResult:
    """Do what the command line says. Raises Rejected with file and line for what cannot be read.

    `engine_type`, and `adapt` for the settings of its accounts, make the runs that are compared.
    """
    if not options.prices and not options.quotes and options.fills is None:
        raise Rejected("BAD_OPTION", "there is nothing to replay: give --fills, --prices or --option-quotes")
    accounts, defaults = _accounts(options)
    accounts, defaults = [adapt(account) for account in accounts], adapt(defaults) if defaults else None
    first = defaults or accounts[0]
    reading = Reading(
        zone=_zone(options.zone) if options.zone else first.sessions.zone,
        sessions=first.sessions,
        bar_time=options.bar_time,
        bar=_span(options.bar, "--bar"),
        symbol=_symbol(options.symbol),
    )
    maps = _maps(options.maps)
    engine = engine_type(
        accounts,
        defaults,
        sweep_every=_span(options.sweep_every, "--sweep-every"),
        watcher=watcher,
        wait=_waiter(options.speed),
    )
    with ExitStack() as opened:
        prices, fills = [], None
        for kind, paths in (("prices", options.prices), ("quotes", options.quotes)):
            for path in paths:
                prices.append(PriceFile(path, reading, maps[kind]))
                opened.callback(prices[-1].table.close)
        if options.fills is not None:
            fills = FillFile(options.fills, reading, maps["fills"], first.account)
            opened.callback(fills.table.close)
        _check_maps(options.maps, [file.table for file in prices] + ([fills.table] if fills else []))
        result = engine.run(prices, fills)
        _check_strategies(options.exits, engine.strategies())
        return result


def _accounts(options: Options) -> tuple[list[Account], Account | None]:
    """Return the accounts of the files given, or the settings that every account of the fills gets."""
    flags: dict[str, Any] = {}
    if options.calendar is not None:
        flags |= {"calendar": options.calendar, "time_zone": calendar_of(options.calendar).zone.key}
    for name, value in (
        ("capital", options.capital),
        ("currency", options.currency),
        ("profile", options.profile),
        ("price_max_age_s", options.price_max_age),
    ):
        if value is not None:
            flags[name] = value
    limits = read_limits(options.limits)
    found = []
    for path in options.accounts or (None,):
        facts: dict[str, Any] = dict.fromkeys(("account", "owner"), DEFAULT_ACCOUNT)
        facts |= {
            "currency": "USD",
            "capital": "100000",
            "price_max_age_s": PRICE_MAX_AGE_S,
            **(read_account_file(path) if path else {}),
            **flags,
        }
        for text in options.exits:
            _set_exit(facts, text)
        if limits:
            before = facts.get("limits")
            facts["limits"] = {**(before if isinstance(before, dict) else {}), **limits}
        found.append(make_account(facts, str(path) if path else "account"))
    names = [account.account for account in found]
    if len(set(names)) < len(names):
        raise Rejected("BAD_ACCOUNT", f"two --account files are of one account: {', '.join(sorted(names))}")
    return ([], found[0]) if not options.accounts else (found, None)


def _set_exit(facts: dict[str, Any], text: str) -> None:
    """Change one exit setting of an account's facts: `trades.trail.by=percent`."""
    path, equals, value = text.partition("=")
    *parents, name = path.split(".")
    if not equals or not parents or not all(path.split(".")):
        raise Rejected(
            "BAD_OPTION", f"--exit takes SETTING=VALUE such as trades.stop_loss=2%, was {text[:60]!r}"
        )
    here = facts["exits"] = copy.deepcopy(facts.get("exits") or {})
    for parent in parents:
        inner = here.get(parent)
        here[parent] = inner if isinstance(inner, dict) else {}
        here = here[parent]
    here[name] = {"true": True, "false": False}.get(value, value)


def _check_strategies(texts: Sequence[str], known: Set[str]) -> None:
    """Refuse an exit of a strategy that no fill is of: it would change nothing."""
    for text in texts:
        kind, _, rest = text.partition("=")[0].partition(".")
        name = rest.partition(".")[0]
        if kind == "strategies" and name not in known:
            there = f"there are {', '.join(sorted(known))}" if known else "there are no fills"
            raise Rejected("BAD_OPTION", f"--exit {text[:60]}: no fill is of strategy {name[:40]!r}; {there}")


def _maps(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    maps: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    for text in texts:
        match = _MAP.fullmatch(text)
        kinds = [match[1]] if match and match[1] else list(KINDS)
        named = [kind for kind in kinds if match and match[2] in KINDS[kind]]
        if match is None or not named:
            columns = ", ".join(dict.fromkeys(name for kind in kinds for name in KINDS[kind]))
            form = "[prices.|quotes.|fills.]COLUMN=HEAD"
            raise Rejected("BAD_OPTION", f"--map takes {form}, was {text[:60]!r}; columns: {columns}")
        for kind in named:
            maps[kind][match[2]] = match[3]
    return maps


def _check_maps(texts: Sequence[str], tables: Sequence[Any]) -> None:
    for text in texts:
        head = text.partition("=")[2]
        if not any(one.knows(head) for one in tables):
            raise Rejected("BAD_OPTION", f"--map {text[:60]}: no file has a column {head[:60]!r}")


def _waiter(speed: str) -> Any:
    if speed == "max":
        return None
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", speed) or not float(speed):
        raise Rejected("BAD_OPTION", f"--speed takes max or a number above 0, was {speed[:20]!r}")
    factor = float(speed)
    return lambda span: time.sleep(span.total_seconds() / factor)


def _span(text: str, option: str) -> timedelta:
    match = _SPAN.fullmatch(text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= 86_400:
        raise Rejected(
            "BAD_OPTION", f"{option} takes a time such as 30s, 1m or 1h, up to 24h, was {text[:20]!r}"
        )
    return timedelta(seconds=seconds)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Rejected(
            "BAD_OPTION", f"--zone takes a zone such as America/New_York, was {name[:40]!r}"
        ) from None


def _symbol(text: str | None) -> str | None:
    if text is None:
        return None
    symbol = plain_symbol(text)
    if not is_symbol(symbol):
        raise Rejected("BAD_OPTION", f"--symbol takes a symbol such as SPY, was {text[:40]!r}")
    return symbol


def live(event: Alert | StateChange) -> None:
    """Print an alert or a trading state as it comes."""
    if isinstance(event, StateChange):
        what = f"{event.scope} is {event.state}, epoch {event.epoch}, by {event.actor}"
        click.echo(one_line(f"{_clock(event.at)} STATE {what}: {event.reason}"))
    else:
        whose = event.account or "operator"
        click.echo(one_line(f"{_clock(event.raised_at)} {event.severity.upper():8} {whose}: {event.summary}"))


def show(result: ReplayResult) -> None:
    """Print the result for a person."""
    out = console()
    for account in result.accounts:
        _show_account(account)
    for source, reason, count in result.refused:
        out.print(one_line(f"quarantine: {count} on {source}, the first: {reason}"))
    for fault in result.faults[:5]:
        out.print(one_line(f"failed delivery: {fault}"))
    span = f"{_clock(result.started)} to {_clock(result.ended)}" if result.started else ""
    out.print(
        f"replayed {span} UTC: {result.price_rows} price rows ({result.unpriced_rows} without a price), "
        f"{result.batches} batches, {result.sweeps} sweeps, {len(result.alerts)} alerts"
    )
    closes = result.conservation.closes
    out.print(f"{result.conservation}{'' if closes else '  DOES NOT CLOSE'}")


def _show_account(a: AccountResult) -> None:
    out, status = console(), a.status
    out.print(
        f"\naccount {a.account.account}: trading state {status['trading_state']}, {status['fills']} fills"
    )
    if status["positions"]:
        out.print(positions_table(status["positions"], a.account.currency))
    else:
        out.print("no open positions")
    if a.sessions:
        heads = ("session", "realised", "fees", "P&L of the day", "known at (UTC)")
        rows = [
            (
                s.session,
                _text(s.realised),
                _text(s.fees),
                _text(s.pnl_day),
                (_clock(s.known_at) if s.known_at else "never") + ("" if s.is_known else ", then unknown"),
            )
            for s in a.sessions
        ]
        out.print(table("sessions", heads, rows, heads[1:4]))
    risk = status["risk"] or {}
    realised, fees, cash = (cell(_text(number)) for number in (a.realised, a.fees, a.cash))
    unrealised, equity = cell(risk.get("unrealised")), cell(risk.get("equity"))
    out.print(f"realised {realised}, fees {fees}, unrealised {unrealised}, cash {cash}, equity {equity}")


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)


def _clock(moment: Any) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S") if moment else ""
