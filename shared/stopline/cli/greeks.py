"""stopline greeks: price and sensitivities of the option contracts of a CSV file."""

from pathlib import Path

import click

from stopline.cli.option_file import read_option_file, takes_option_file, write_option_file
from stopline.risk.american import american
from stopline.risk.options import black76, black_scholes


@click.command()
@takes_option_file
def greeks(
    file: Path, rate: float, dividend_yield: float, is_american: bool, maps: tuple[str, ...], as_json: bool
) -> None:
    """Add price, delta, gamma, theta, vega and rho to a CSV file of option contracts (`-`: standard input).

    Columns: right, spot or future, strike, years or days, volatility; rate and dividend_yield if there are
    any. Theta is per calendar day, vega and rho per 1 %. docs/options.md says more.
    """
    contracts = read_option_file(file, "volatility", rate, dividend_yield, maps)
    given = (contracts.is_call, contracts.underlying, contracts.strike, contracts.years, contracts.measured)
    if is_american:
        model = "ju_zhong"  # a future's price grows as a spot with q = r does
        dividend = contracts.rate if contracts.on_future else contracts.dividend_yield
        result = american(*given, contracts.rate, dividend)
    elif contracts.on_future:
        model, result = "black_76", black76(*given, contracts.rate)
    else:
        model = "black_scholes_merton"
        result = black_scholes(*given, contracts.rate, contracts.dividend_yield)
    added = {name: getattr(result, name) for name in ("price", "delta", "gamma", "theta", "vega", "rho")}
    write_option_file(contracts, added, model, as_json)
