"""stopline iv: implied volatilities of the option contracts of a CSV file."""

from pathlib import Path

import click

from stopline.cli.option_file import read_option_file, takes_option_file, write_option_file
from stopline.risk.american import american_volatility
from stopline.risk.implied_vol import IvStatus, implied_volatility, implied_volatility_black76


@click.command()
@takes_option_file
def iv(
    file: Path, rate: float, dividend_yield: float, is_american: bool, maps: tuple[str, ...], as_json: bool
) -> None:
    """Add iv and iv_status to a CSV file of option contracts with prices (`-`: standard input).

    Columns: right, spot or future, strike, years or days, price; rate and dividend_yield if there are any. The
    iv of a price outside the no-arbitrage bounds is empty and its status says why; docs/options.md says more.
    """
    contracts = read_option_file(file, "price", rate, dividend_yield, maps)
    given = (contracts.is_call, contracts.measured, contracts.underlying, contracts.strike, contracts.years)
    if is_american:
        model = "ju_zhong"  # a future's price grows as a spot with q = r does
        dividend = contracts.rate if contracts.on_future else contracts.dividend_yield
        result = american_volatility(*given, contracts.rate, dividend)
    elif contracts.on_future:
        model, result = "black_76", implied_volatility_black76(*given, contracts.rate)
    else:
        model = "black_scholes_merton"
        result = implied_volatility(*given, contracts.rate, contracts.dividend_yield)
    names = [IvStatus(code).name for code in result.status]
    write_option_file(contracts, {"iv": result.value, "iv_status": names}, model, as_json)
