"""stopline var: value at risk and expected shortfall of a series of P&L or returns."""

from dataclasses import asdict

import click

from stopline.cli.failures import BadInput
from stopline.cli.series_file import read_series
from stopline.cli.show import always_json, print_json
from stopline.model.errors import InsufficientData
from stopline.risk import var as risk

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
@always_json
def var(
    file: str, column: str | None, confidence: tuple[float, ...], horizon: int, methods: tuple[str, ...]
) -> None:
    """Measure VaR and ES of a series of P&L or returns: CSV in, JSON out.

    FILE is CSV (`-`: standard input): the P&L (money or returns, positive when money is made) of one period a
    line, oldest first. It must be that of the positions held now. VaR and ES are positive losses in the same
    unit. A figure that has no answer is null, and "unknown" says why.
    """
    for level in confidence:
        if not 0 < level < 1:
            raise BadInput(f"--confidence was {level:g}, and must lie between 0 and 1, such as 0.99")
    if horizon < 1:
        raise BadInput(f"--horizon was {horizon}, and must be at least 1")
    pnl = read_series(file, column)
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
    print_json({"column": pnl.column, "n": len(pnl.values), "figures": figures})
