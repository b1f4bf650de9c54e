"""stopline var: value at risk and expected shortfall of a series of P&L or returns."""

from collections.abc import Sequence
from dataclasses import asdict

import click
import numpy as np

from stopline.cli.failures import BadInput
from stopline.cli.series_file import Series, read_series
from stopline.cli.show import always_json, print_json
from stopline.model.errors import InsufficientData
from stopline.risk import backtest, contributions
from stopline.risk import var as risk

MOST_WINDOW = 5000
METHODS = {
    "historical": risk.historical,
    "normal": risk.normal,
    "cornish-fisher": risk.cornish_fisher,
    "filtered": risk.filtered,
}


@click.command()
@click.argument("file")
@click.option("--column", metavar="C", help="Head of the column, or its number from 1.")
@click.option(
    "--part",
    "parts",
    multiple=True,
    metavar="C",
    help="Column of one position, at least two: measure their sum, and what each adds to it.",
)
@click.option(
    "--confidence",
    type=float,
    multiple=True,
    default=(0.95, 0.99),
    show_default=True,
    metavar="P",
    help="May be given several times.",
)
@click.option("--horizon", type=int, default=1, show_default=True, metavar="H", help="Periods.")
@click.option(
    "--method",
    "methods",
    type=click.Choice(list(METHODS)),
    multiple=True,
    help="May be given several times. [default: all]",
)
@click.option(
    "--backtest",
    "window",
    type=int,
    metavar="N",
    help="Forecast each day from the N before it, and test how often it was exceeded.",
)
@always_json
def var(
    file: str,
    column: str | None,
    parts: tuple[str, ...],
    confidence: tuple[float, ...],
    horizon: int,
    methods: tuple[str, ...],
    window: int | None,
) -> None:
    """Measure VaR and ES of a series of P&L or returns: CSV in, JSON out.

    FILE is CSV (`-`: standard input): the P&L (money or returns, positive when money is made) of one period a
    line, oldest first. It must be that of the positions held now. VaR and ES are positive losses in the same
    unit. A figure that has no answer is null, and "unknown" says why.

    With --part, each column is the P&L of one position in money. `component` figures (historical) add up to the whole,
    `marginal` is what 1 % more of the position adds, `incremental` what goes away without it; negative: it hedges.

    A backtest counts the days that lost more than their forecast: Kupiec's test of their number, Christoffersen's of
    their bunching and of both (a p-value under 0.05 speaks against the method), and the Basel zone.
    """
    for level in confidence:
        if not 0 < level < 1:
            raise BadInput(f"--confidence was {level:g}, and must lie between 0 and 1, such as 0.99")
    if horizon < 1:
        raise BadInput(f"--horizon was {horizon}, and must be at least 1")
    if window is not None and (horizon != 1 or not 1 <= window <= MOST_WINDOW):
        raise BadInput(f"--backtest takes 1 to {MOST_WINDOW} days, and forecasts one: leave --horizon at 1")
    if parts and (len(parts) == 1 or column is not None or file == "-" or horizon != 1):
        raise BadInput("--part is given twice or more, of a file, without --column and for a horizon of 1")
    columns = [read_series(file, part) for part in parts]
    if len({one.column for one in columns}) < len(columns):
        raise BadInput("--part names a column twice")
    pnl = _sum(columns) if parts else read_series(file, column)
    if not pnl.values:
        raise BadInput(f"{file}: there are no numbers under the head")
    figures: list[dict[str, object]] = []
    for level in confidence:
        for name in methods or METHODS:
            try:
                figures.append({**asdict(METHODS[name](pnl.values, level, horizon)), "unknown": None})
            except InsufficientData as problem:
                asked = {"method": name, "confidence": level, "horizon": horizon, "n": len(pnl.values)}
                figures.append({"var": None, "es": None, **asked, "unknown": str(problem)})
    found: dict[str, object] = {"column": pnl.column, "n": len(pnl.values), "figures": figures}
    if parts:
        found["parts"] = [_parts(columns, level) for level in confidence]
    if window is not None:
        chosen = methods or tuple(METHODS)
        found["backtests"] = [
            _backtest(pnl.values, name, level, window) for level in confidence for name in chosen
        ]
    print_json(found)


def _sum(columns: Sequence[Series]) -> Series:
    """Return the P&L of all positions together."""
    values = [sum(row) for row in zip(*(one.values for one in columns), strict=True)]
    return Series(" + ".join(one.column for one in columns), values, columns[0].lines)


def _parts(columns: Sequence[Series], level: float) -> dict[str, object]:
    """Return what each position adds to the historical VaR and ES; None: no answer, and why."""
    table = np.column_stack([one.values for one in columns])
    facts: dict[str, object] = {"confidence": level}
    try:
        at_var = contributions.var_contributions(table, confidence=level).component
        at_es = contributions.es_contributions(table, confidence=level).component
        less_var, less_es = contributions.incremental(table, confidence=level)
    except InsufficientData as problem:
        return {**facts, "columns": {}, "unknown": str(problem)}
    names = (
        "component_var",
        "component_es",
        "marginal_var",
        "marginal_es",
        "incremental_var",
        "incremental_es",
    )
    rows = np.array([at_var, at_es, at_var / 100, at_es / 100, less_var, less_es]).T.tolist()
    found = {one.column: dict(zip(names, row, strict=True)) for one, row in zip(columns, rows, strict=True)}
    return {**facts, "columns": found, "unknown": None}


def _backtest(pnl: Sequence[float], name: str, level: float, window: int) -> dict[str, object]:
    """Return how often a method's forecasts were exceeded, and what the tests say of it; None: no answer, and why."""
    facts: dict[str, object] = {"method": name, "confidence": level, "window": window}
    try:
        hits = backtest.rolling(pnl, lambda before: METHODS[name](before, level).var, window)
    except InsufficientData as problem:
        return {**facts, "days": 0, "exceptions": None, "unknown": str(problem)}
    count, days = int(hits.sum()), hits.size
    facts |= {
        "days": days,
        "exceptions": count,
        "expected": round(days * (1 - level), 6),
        "basel_zone": backtest.basel_zone(count, days, level).value,
        "kupiec": asdict(backtest.kupiec(count, days, level)),
        "unknown": None,
    }
    try:
        facts["independence"] = asdict(backtest.independence(hits))
        facts["conditional_coverage"] = asdict(backtest.conditional_coverage(hits, level))
    except InsufficientData as problem:
        facts |= {"independence": None, "conditional_coverage": None, "unknown": str(problem)}
    return facts
