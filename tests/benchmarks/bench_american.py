"""How far fast formulas for American options are off, against QuantLib's fixed-point method of high precision.

    .venv/bin/python tests/benchmarks/bench_american.py [--json]

Strikes 85 to 115 of a spot of 100, volatilities 15 and 40 %, rates and yields of 0, 3, 6 and 10 % in every pair, calls and
puts; of prices above 0.5 % of the spot, in per cent of the price. The reference (Andersen, Lake and Offengenden, "High
performance American option pricing", 2016) agrees with a tree of 600 steps; QuantLib is in the dependency group `oracles`.
It takes half a minute, which is the reference's.
"""

import argparse
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import QuantLib as ql  # noqa: N813 - as its own examples do

from stopline.risk.american import american_price

DAYS = (1, 7, 30, 91, 182, 365, 1095)
STRIKES = (85.0, 90.0, 95.0, 100.0, 105.0, 110.0, 115.0)
RATES = (0.0, 0.03, 0.06, 0.1)
GRID = tuple(itertools.product((True, False), STRIKES, (0.15, 0.4), RATES, RATES))
SPOT, LEAST = 100.0, 0.5
ENGINES: Mapping[str, Callable[[Any], Any]] = {
    "reference": lambda p: ql.QdFpAmericanEngine(p, ql.QdFpAmericanEngine.highPrecisionScheme()),
    "Barone-Adesi and Whaley 1987": ql.BaroneAdesiWhaleyApproximationEngine,
    "Bjerksund and Stensland": ql.BjerksundStenslandApproximationEngine,
    "QD+ (Li 2009)": ql.QdPlusAmericanEngine,
}


def quantlib_prices(days: int) -> dict[str, np.ndarray]:
    """Return the grid's prices by each of QuantLib's engines."""
    today, count = ql.Date(2, 1, 2026), ql.Actual365Fixed()
    ql.Settings.instance().evaluationDate = today
    found: dict[str, list[float]] = {name: [] for name in ENGINES}
    for call, strike, volatility, rate, dividend in GRID:
        process = ql.BlackScholesMertonProcess(
            ql.QuoteHandle(ql.SimpleQuote(SPOT)),
            ql.YieldTermStructureHandle(ql.FlatForward(today, dividend, count)),
            ql.YieldTermStructureHandle(ql.FlatForward(today, rate, count)),
            ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), volatility, count)),
        )
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, strike)
        option = ql.VanillaOption(payoff, ql.AmericanExercise(today, today + days))
        for name, engine in ENGINES.items():
            option.setPricingEngine(engine(process))
            found[name].append(option.NPV())
    return {name: np.array(prices) for name, prices in found.items()}


def errors(days: int) -> dict[str, dict[str, float]]:
    """Return the median and the largest error of each formula, in per cent of the price."""
    call, strike, volatility, rate, dividend = (np.array(column) for column in zip(*GRID, strict=True))
    prices = quantlib_prices(days)
    exact = prices.pop("reference")
    dear = exact > LEAST
    ours = american_price(call, SPOT, strike, days / 365, volatility, rate, dividend)
    result = {}
    for name, found in {"ours (Ju and Zhong 1999)": ours, **prices}.items():
        off = 100 * np.abs(found[dear] / exact[dear] - 1)
        result[name] = {"median": float(f"{np.median(off):.2g}"), "largest": float(f"{off.max():.2g}")}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = {days: errors(days) for days in DAYS}
    if args.json:
        print(json.dumps(found, indent=2))
        return
    for days, formulas in found.items():
        print(f"{days} days to expiry: per cent of the price")
        for name, off in formulas.items():
            print(f"    {name}: median {off['median']:g}, largest {off['largest']:g}")


if __name__ == "__main__":
    main()
