"""stopline stress: what positions make or lose if spot and volatility move, from a file or of an account."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from stopline.cli.failures import Failure
from stopline.cli.show import console, print_json, table
from stopline.cli.stress_file import read_days, read_positions, scenarios
from stopline.cli.world import app_of
from stopline.model.errors import InsufficientData, Rejected
from stopline.risk.book_stress import play
from stopline.risk.stress import Grid, grid


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--account", metavar="NAME", help="The last stress of an account instead of a file.")
@click.option("--rate", type=float, default=0.0, show_default=True, help="Interest rate a year: 0.05 is 5 %.")
@click.option("--dividend-yield", type=float, default=0.0, show_default=True, help="Dividend yield a year.")
@click.option("--american", "is_american", is_flag=True, help="Options may be exercised at any time.")
@click.option("--days-later", type=float, default=0.0, show_default=True, help="Calendar days that pass.")
@click.option(
    "--days",
    "past",
    type=click.Path(path_type=Path),
    help="CSV of past days: day, volatility, a column a symbol.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def stress(
    ctx: click.Context,
    file: Path | None,
    account: str | None,
    rate: float,
    dividend_yield: float,
    is_american: bool,
    days_later: float,
    past: Path | None,
    as_json: bool,
) -> None:
    """Play spot and volatility shocks on positions: from a CSV file, or those of an account's last sweep.

    FILE has a row a position: quantity (negative: short), spot; for an option also right, strike, days and
    volatility (0.2 is 20 %), and multiplier 100 unless it says otherwise; beta scales its move; underlying names what
    days move, close what a gap goes back to. Options are European without --american, and priced again, not
    approximated. Margin and limits are told of accounts only.
    """
    if (file is None) == (account is None):
        raise Rejected("BAD_OPTION", "give a file of positions, or --account NAME")
    if account is not None:
        app = app_of(ctx)
        app.accounts.require(account)
        state = app.measured.read(account)
        if state is None or state.shown["stress"]["grid"] is None:
            raise Failure(f"no sweep has stressed {account} yet, or none of its positions has a price")
        if past is not None:
            raise Rejected("BAD_OPTION", "--days is for a file: an account names its days in its settings")
        show(state.shown["stress"]["grid"], as_json, state.shown["stress"]["scenarios"])
        _show_together(state.shown["correlation"]["deviation"], as_json)
        return
    assert file is not None
    for name, value in (("--rate", rate), ("--dividend-yield", dividend_yield)):
        if not abs(value) < 10:
            raise Rejected("BAD_OPTION", f"{name} is a fraction such as 0.05, was {value:g}")
    if not 0 <= days_later <= 36_500:
        raise Rejected("BAD_OPTION", f"--days-later is from 0 to 36500, was {days_later:g}")
    held = read_positions(file, rate, dividend_yield, is_american)
    days = read_days(past) if past is not None else {}
    try:
        found = grid(held.book.legs, betas=held.betas, elapsed=days_later / 365)
        played = play(held.book, scenarios(held, days))
    except InsufficientData as problem:
        raise Failure(f"{file}: {problem}") from None
    show(plain(found), as_json, [{"name": one.name, "pnl": f"{one.pnl:.2f}"} for one in played])


def _show_together(deviation: dict[str, str] | None, as_json: bool) -> None:
    """Say what a day's deviation would be if all correlations were one."""
    if deviation is not None and not as_json:
        now, one, against = (f"{float(deviation[name]):,.2f}" for name in ("now", "one", "against"))
        click.echo(
            f"deviation of a day: {now}; if all correlations were one {one}; if all went against it {against}"
        )


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


def show(found: dict[str, Any], as_json: bool, played: Sequence[dict[str, Any]]) -> None:
    """Print a grid, and the scenarios that were played with it."""
    if as_json:
        print_json({**found, "scenarios": list(played)} if played else found)
        return
    heads = ["spot", *(f"vol x{factor:g}" for factor in found["volatility"])]
    rows = [
        (f"{shock:+.0%}" if shock else "0%", *(f"{float(x):,.2f}" if x is not None else None for x in row))
        for shock, row in zip(found["spot"], found["pnl"], strict=True)
    ]
    console().print(table("P&L if spot and volatility move", heads, rows, heads))
    if played:
        judged = any("margin_after" in one for one in played)
        lines = [
            (one["name"], f"{float(one['pnl']):,.2f}", *(_after(one) if judged else ())) for one in played
        ]
        heads = ["scenario", "P&L", *(("margin after", "limits that would breach") if judged else ())]
        console().print(table("Scenarios", heads, lines, ("P&L", "margin after")))
    if found["excluded"]:
        click.echo(f"left out, no price: {', '.join(found['excluded'])}")


def _after(one: dict[str, Any]) -> tuple[str, str]:
    margin = f"{float(one['margin_after']):,.2f}" if one.get("margin_after") else "unknown"
    return margin, ", ".join(one["breaches"]) or "none" if "breaches" in one else ""
