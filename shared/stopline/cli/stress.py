"""stopline stress: what positions make or lose if spot and volatility move, from a file or of an account."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from stopline.cli.failures import Failure
from stopline.cli.show import console, print_json, table
from stopline.cli.world import app_of
from stopline.model.errors import InsufficientData, Rejected
from stopline.replay.tables import Table
from stopline.risk.revaluation import Legs, option_pricer
from stopline.risk.stress import Grid, grid

HEADS = {
    "quantity": ("quantity", "qty", "contracts", "position"),
    "multiplier": ("multiplier", "mult"),
    "right": ("right", "option_type", "put_call", "cp", "type"),
    "spot": ("spot", "underlying_price", "s"),
    "strike": ("strike", "strike_price", "k"),
    "days": ("days", "days_to_expiry", "dte"),
    "volatility": ("volatility", "vol", "sigma", "implied_volatility", "iv"),
    "beta": ("beta",),
    "name": ("name", "symbol", "leg"),
}
RIGHTS = {"c": True, "call": True, "ce": True, "p": False, "put": False, "pe": False}
MOST = 10_000
LARGEST = 1e12  # of any number in a file: products of two stay exact enough to add


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--account", metavar="NAME", help="The last stress of an account instead of a file.")
@click.option("--rate", type=float, default=0.0, show_default=True, help="Interest rate a year: 0.05 is 5 %.")
@click.option("--days-later", type=float, default=0.0, show_default=True, help="Calendar days that pass.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def stress(
    ctx: click.Context, file: Path | None, account: str | None, rate: float, days_later: float, as_json: bool
) -> None:
    """Play spot and volatility shocks on positions: from a CSV file, or those of an account's last sweep.

    FILE has a row a position: quantity (negative: short), spot; for an option also right, strike, days and
    volatility (0.2 is 20 %), and multiplier 100 unless it says otherwise; beta scales its move. Moves are of every
    spot at once; options are priced again, not approximated.
    """
    if (file is None) == (account is None):
        raise Rejected("BAD_OPTION", "give a file of positions, or --account NAME")
    if account is not None:
        app = app_of(ctx)
        app.accounts.require(account)
        state = app.measured.read(account)
        if state is None or state.shown["stress"]["grid"] is None:
            raise Failure(f"no sweep has stressed {account} yet, or none of its positions has a price")
        show(state.shown["stress"]["grid"], as_json, state.shown["stress"]["scenarios"])
        return
    assert file is not None
    if not abs(rate) < 10 or not 0 <= days_later <= 36_500:
        raise Rejected(
            "BAD_OPTION", "--rate is a fraction such as 0.05, and --days-later must not be below 0"
        )
    legs, betas = read_legs(file, rate)
    try:
        found = grid(legs, betas=betas, elapsed=days_later / 365)
    except InsufficientData as problem:
        raise Failure(f"{file}: {problem}") from None
    show(plain(found), as_json, [])


def read_legs(path: Path, rate: float) -> tuple[Legs, np.ndarray[Any, np.dtype[np.float64]]]:
    """Read positions as legs with the betas of their spots. Raises Rejected with line and column."""
    file = Table(path, HEADS, {})
    columns: dict[str, list[float]] = {
        n: [] for n in ("quantity", "multiplier", "spot", "strike", "days", "volatility", "beta")
    }
    names: list[str] = []
    options: list[bool] = []
    calls: list[bool] = []
    try:
        file.need("quantity", "spot")
        for line, cells in file.rows():
            text = cells[file.index("right")].strip().lower() if file.has("right") else ""
            if text and text not in RIGHTS:
                raise file.fault(
                    line, "right", f"must be C, P or empty (a share or future), was {text[:20]!r}"
                )
            option = bool(text)
            options.append(option)
            calls.append(RIGHTS.get(text, False))
            defaults = {"multiplier": 100.0 if option else 1.0, "beta": 1.0}
            for name, values in columns.items():
                needed = name in ("quantity", "spot") or (option and name in ("strike", "days", "volatility"))
                values.append(_number(file, line, cells, name, needed, defaults.get(name, math.nan)))
            name = cells[file.index("name")].strip() if file.has("name") else ""
            names.append(name or f"line {line}")
            if len(names) > MOST:
                raise Rejected("BAD_FILE", f"{path}: more than {MOST} positions")
    finally:
        file.close()
    if not names:
        raise Rejected("BAD_FILE", f"{path}: there are no positions in it")
    arrays = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
    is_option = np.array(options)
    pricer = option_pricer(is_option, np.array(calls), arrays["strike"], arrays["days"] / 365, rate)
    money = arrays["quantity"] * arrays["multiplier"]
    legs = Legs(names, money, np.arange(len(names)), arrays["spot"], arrays["volatility"], pricer)
    return legs, arrays["beta"]


def _number(file: Table, line: int, cells: Sequence[str], name: str, needed: bool, default: float) -> float:
    text = cells[file.index(name)].strip() if file.has(name) else ""
    if not text:
        if needed:
            raise file.fault(line, name, "is missing")
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise file.fault(line, name, f"must be a number, was {text[:40]!r}")
    if number < 0 and name not in ("quantity", "beta"):
        raise file.fault(line, name, f"must not be below 0, was {text[:40]!r}")
    if abs(number) > LARGEST:
        raise file.fault(line, name, f"must be at most {LARGEST:g}, was {text[:40]!r}")
    return number


def plain(found: Grid) -> dict[str, Any]:
    """Return a grid as the sweep's documents hold it."""
    worst = found.worst()
    return {
        "spot": list(found.spot_shocks),
        "volatility": list(found.volatility_factors),
        "pnl": [[f"{x:.2f}" for x in row] for row in found.pnl.tolist()],
        "worst": {"spot": worst[0], "volatility": worst[1], "pnl": f"{worst[2]:.2f}"},
        "excluded": list(found.excluded),
    }


def show(found: dict[str, Any], as_json: bool, scenarios: Sequence[dict[str, Any]]) -> None:
    """Print a grid, and the scenarios that were played with it."""
    if as_json:
        print_json({**found, "scenarios": list(scenarios)} if scenarios else found)
        return
    heads = ["spot", *(f"vol x{factor:g}" for factor in found["volatility"])]
    rows = [
        (f"{shock:+.0%}", *(f"{float(x):,.2f}" if x is not None else None for x in row))
        for shock, row in zip(found["spot"], found["pnl"], strict=True)
    ]
    console().print(table("P&L if spot and volatility move", heads, rows, heads))
    if scenarios:
        lines = [
            (
                one["name"],
                f"{float(one['pnl']):,.2f}",
                f"{float(one['margin_after']):,.2f}" if one.get("margin_after") else "unknown",
                ", ".join(one["breaches"]) or "none" if "breaches" in one else "",
            )
            for one in scenarios
        ]
        heads = ["scenario", "P&L", "margin after", "limits that would breach"]
        console().print(table("Scenarios", heads, lines, ("P&L", "margin after")))
    if found["excluded"]:
        click.echo(f"left out, no price: {', '.join(found['excluded'])}")
