"""stopline metrics: the performance of a series of returns."""

from collections.abc import Callable
from typing import Any

import click

from stopline.cli.failures import BadInput
from stopline.cli.series_file import Series, read_series
from stopline.cli.show import always_json, print_json
from stopline.model.errors import InsufficientData
from stopline.risk import performance
from stopline.risk.drawdown import current_drawdown, longest_duration, worst_spell
from stopline.risk.returns import FloatArray, return_series, simple_returns
from stopline.risk.summary import summary
from stopline.risk.volatility import average_true_range, ewma_volatility, parkinson


@click.command()
@click.argument("file")
@click.option("--column", metavar="C", help="Head of the column, or its number from 1.")
@click.option(
    "--rf", type=float, default=0.0, show_default=True, metavar="X", help="Risk-free return a year."
)
@click.option(
    "--periods", type=float, default=252.0, show_default=True, metavar="N", help="Returns a year has."
)
@click.option("--confidence", type=float, default=0.95, show_default=True, metavar="P", help="Of VaR and ES.")
@click.option(
    "--bars", is_flag=True, help="FILE has bars (high, low, close): measure the closes, and the ranges."
)
@always_json
def metrics(file: str, column: str | None, rf: float, periods: float, confidence: float, bars: bool) -> None:
    """Measure a series of returns: returns in, JSON out.

    FILE is CSV (`-`: standard input): one simple return a line (0.01 or 1% is 1 %), oldest first. VaR, ES and
    drawdown are positive losses over one period. A measure that has no answer is null, and "unknown" says why.

    With --bars a line is a bar instead, and to the returns of its closes come EWMA and Parkinson's volatility a year,
    and Wilder's average true range of 14 bars in price units.
    """
    if bars and (column is not None or file == "-"):
        raise BadInput("--bars takes the columns high, low and close of a file")
    returns, ranges = bar_measures(file, periods) if bars else (read_series(file, column), None)
    array = checked_returns(returns, file)
    if not periods > 0:
        raise BadInput(f"--periods was {periods:g}, and must be above 0")
    if not -1 < rf < 10:
        raise BadInput(f"--rf was {rf:g}, a return a year such as 0.04")
    period_rate = (1.0 + rf) ** (1.0 / periods) - 1.0
    found = summary(array, periods=periods, risk_free=period_rate, confidence=confidence)
    values: dict[str, Any] = dict(found.values)
    unknown = dict(found.unknown)
    more: dict[str, Callable[[FloatArray], float]] = {
        "current_drawdown": current_drawdown,
        "longest_drawdown_periods": longest_duration,
        "skewness": performance.skewness,
        "excess_kurtosis": performance.excess_kurtosis,
        "win_rate": performance.win_rate,
        "profit_factor": performance.profit_factor,
        "expectancy": performance.expectancy,
    }
    for name, measure in (more | (ranges or {})).items():
        try:
            values[name] = measure(array)
        except InsufficientData as problem:
            values[name], unknown[name] = None, str(problem)
    worst = worst_spell(array)
    print_json(
        {
            "column": returns.column,
            "n": found.n,
            "periods_per_year": periods,
            "risk_free_per_year": rf,
            "confidence": confidence,
            "measures": values,
            "worst_drawdown": worst
            and {
                "depth": worst.depth,
                "peak_line": _line(returns, worst.peak),
                "trough_line": _line(returns, worst.trough),
                "recovery_line": None if worst.recovery is None else _line(returns, worst.recovery),
                "length_periods": worst.length,
            },
            "unknown": unknown,
        }
    )


def bar_measures(file: str, periods: float) -> tuple[Series, dict[str, Callable[[FloatArray], float]]]:
    """Return the returns of a file's closes, and what its highs and lows tell as well."""
    high, low, close = (read_series(file, head) for head in ("high", "low", "close"))
    try:
        changes = simple_returns(close.values).tolist()
    except InsufficientData as problem:
        raise BadInput(f"{file}: {problem}") from None
    ranges: dict[str, Callable[[FloatArray], float]] = {
        "ewma_volatility": lambda returns: ewma_volatility(returns, periods=periods),
        "parkinson_volatility": lambda _: parkinson(high.values, low.values, periods),
        "average_true_range": lambda _: float(average_true_range(high.values, low.values, close.values)[-1]),
    }
    return Series("close", changes, close.lines[1:]), ranges


def checked_returns(returns: Series, file: str) -> FloatArray:
    """Return a series as an array; a return below -100 % is bad input, with its line."""
    low = [place for place, value in enumerate(returns.values) if value < -1.0]
    if low:
        value = returns.values[low[0]]
        raise BadInput(
            f"{file}, line {returns.lines[low[0]]}: the return {value:g} is below -100 %:"
            " are these percent (write 1.5%), prices or P&L?"
        )
    try:
        return return_series(returns.values)
    except InsufficientData:
        raise BadInput(f"{file}: there are no returns under the head") from None


def _line(returns: Series, moment: int) -> int | None:
    """Return the line of the return that led to a level of wealth; None for the start."""
    return None if moment == 0 else returns.lines[moment - 1]
