"""Speed and accuracy of the option maths beside their peers: ratios of one interleaved run.

    .venv/bin/python tests/benchmarks/bench_options.py [--rounds 7] [--json]

The peers are in the dependency group `oracles`: QuantLib (a loop over its calculator) and vollib (LetsBeRational in
Python). One that is not installed is left out and named. A peer takes its turn on the first contracts of the same
book. Times are of the processor (waiting for a core is not in them), per contract. gc is off, every round takes all
candidates in turn, and a ratio is the median of the ratios of the rounds: other load hits both sides of it.
"""

import argparse
import gc
import importlib.util
import json
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np  # noqa: E402
from unit.risk.oracles import exact_price, exact_volatility  # noqa: E402

from stopline.risk.american import american_price  # noqa: E402
from stopline.risk.implied_vol import implied_volatility, implied_volatility_black76  # noqa: E402
from stopline.risk.options import black76_price, black_scholes, black_scholes_price  # noqa: E402
from stopline.risk.revaluation import Legs, option_pricer, scenario_pnl  # noqa: E402

warnings.filterwarnings("ignore", category=DeprecationWarning)
HAS = {name: importlib.util.find_spec(name) is not None for name in ("QuantLib", "vollib")}
Work = Callable[[], Any]
Row = tuple[bool, float, float, float, float, float, float]
QUANTLIB_ROWS, VOLLIB_ROWS, LEAST_S = 2_000, 200, 0.005


class Group:
    """Candidates that do the same work on so many contracts; the first is ours."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.work: dict[str, tuple[Work, int, int, float | None]] = {}
        self.times: dict[str, list[float]] = {}

    def add(self, name: str, work: Work, contracts: int, goal: float | None = None) -> None:
        work()  # imports, caches
        start = time.process_time()
        work()
        repeat = max(1, int(LEAST_S / max(time.process_time() - start, 1e-9)))
        self.work[name] = (work, repeat, contracts, goal)
        self.times[name] = []

    def round(self) -> None:
        for name, (work, repeat, contracts, _) in self.work.items():
            start = time.process_time()
            for _ in range(repeat):
                work()
            self.times[name].append((time.process_time() - start) / repeat / contracts)

    def result(self) -> dict[str, Any]:
        (_, ours), *peers = self.times.items()
        ratios = {
            name: {
                "times_ours": float(
                    f"{statistics.median(b / a for a, b in zip(ours, times, strict=True)):.3g}"
                ),
                "goal": self.work[name][3],
            }
            for name, times in peers
        }
        return {"what": self.name, "ours_ns": round(statistics.median(ours) * 1e9, 1), "peers": ratios}


def book(n: int) -> tuple[np.ndarray, ...]:
    """Return is_call, spot, strike, years, volatility, rate, dividend of n contracts from a day to two years."""
    random = np.random.default_rng(20261120)
    years = np.exp(random.uniform(np.log(1 / 365), np.log(2), n))
    volatility = random.uniform(0.1, 0.6, n)
    spot = random.uniform(80, 120, n)
    strike = spot * np.exp(random.normal(0, 1, n) * volatility * np.sqrt(years))
    return (
        random.random(n) < 0.5,
        spot,
        strike,
        years,
        volatility,
        random.uniform(0, 0.05, n),
        random.uniform(0, 0.03, n),
    )


def rows(columns: Sequence[np.ndarray], n: int) -> list[Any]:
    return list(zip(*(column[:n].tolist() for column in columns), strict=True))


def quantlib_calculators(columns: Sequence[np.ndarray], greeks: bool) -> Work:
    """Price, or price and the 5 Greeks, of each contract by a BlackCalculator, from the same inputs as ours."""
    import QuantLib as ql  # noqa: N813 - as its own examples do

    given = [(ql.Option.Call if row[0] else ql.Option.Put, *row[1:]) for row in rows(columns, QUANTLIB_ROWS)]

    def one(kind: int, s: float, k: float, t: float, v: float, r: float, q: float) -> Any:
        payoff = ql.PlainVanillaPayoff(kind, k)
        return ql.BlackCalculator(payoff, s * math.exp((r - q) * t), v * math.sqrt(t), math.exp(-r * t))

    def prices() -> list[Any]:
        return [one(*row).value() for row in given]

    def everything() -> list[Any]:
        out = []
        for row in given:
            c, s, t = one(*row), row[1], row[3]
            out.append((c.value(), c.delta(s), c.gamma(s), c.theta(s, t), c.vega(t), c.rho(t)))
        return out

    return everything if greeks else prices


def vollib_greeks(columns: Sequence[np.ndarray]) -> Work:
    from vollib.black_scholes_merton import black_scholes_merton as price
    from vollib.black_scholes_merton.greeks import analytical as g

    given = [("c" if row[0] else "p", *row[1:]) for row in rows(columns, VOLLIB_ROWS)]
    measures = (g.delta, g.gamma, g.theta, g.vega, g.rho)

    def work() -> list[Any]:
        return [
            (price(c, s, k, t, r, v, q), *(measure(c, s, k, t, r, v, q) for measure in measures))
            for c, s, k, t, v, r, q in given
        ]

    return work


def quantlib_volatilities(
    contracts: Sequence[tuple[bool, float, float, float, float]],
) -> Callable[[], list[float]]:
    """`contracts` are (is_call, undiscounted price, forward, strike, years)."""
    import QuantLib as ql  # noqa: N813 - as its own examples do

    def one(call: bool, price: float, forward: float, strike: float, years: float) -> float:
        kind = ql.Option.Call if call else ql.Option.Put
        try:
            return (
                ql.blackFormulaImpliedStdDevLiRS(kind, strike, forward, price, 1.0, 0.0, NULL, 1.0, 1e-12)
                / years**0.5
            )
        except RuntimeError:
            return float("nan")

    NULL = ql.nullDouble()  # noqa: N806
    return lambda: [one(*contract) for contract in contracts]


def vollib_volatilities(
    contracts: Sequence[tuple[bool, float, float, float, float]],
) -> Callable[[], list[float]]:
    from vollib.black.implied_volatility import implied_volatility as peer

    def one(call: bool, price: float, forward: float, strike: float, years: float) -> float:
        try:
            return float(peer(price, forward, strike, 0.0, years, "c" if call else "p"))
        except Exception:  # noqa: BLE001 - its own tree of errors
            return float("nan")

    return lambda: [one(*contract) for contract in contracts]


def groups() -> list[Group]:
    made = []
    for n in (10_000, 100_000):
        columns = book(n)
        greeks = Group(f"price + 5 Greeks, {n:,} contracts")
        greeks.add("ours", lambda columns=columns: black_scholes(*columns), n)
        if HAS["QuantLib"]:
            greeks.add("QuantLib calculator", quantlib_calculators(columns, True), QUANTLIB_ROWS, 90)
        if HAS["vollib"]:
            greeks.add("vollib", vollib_greeks(columns), VOLLIB_ROWS, 200)
        made.append(greeks)

        calls, forward, strike, years, volatility, _, _ = columns
        price = black76_price(calls, forward, strike, years, volatility)
        solve = Group(f"implied volatility, {n:,} contracts")
        solve.add(
            "ours",
            lambda c=calls, p=price, f=forward, k=strike, t=years: implied_volatility_black76(c, p, f, k, t),
            n,
        )
        contracts = rows((calls, price, forward, strike, years), QUANTLIB_ROWS)
        if HAS["QuantLib"]:
            solve.add("QuantLib (Li, 1e-12)", quantlib_volatilities(contracts), QUANTLIB_ROWS, 2)
        if HAS["vollib"]:
            solve.add(
                "vollib (LetsBeRational)", vollib_volatilities(contracts[:VOLLIB_ROWS]), VOLLIB_ROWS, 20
            )
        made.append(solve)

    calls, spot, strike, years, volatility, rate, dividend = book(200)
    moves = np.random.default_rng(1).normal(0, 0.02, (10_000, 1))
    held = Legs(
        [str(n) for n in range(200)],
        np.full(200, 100.0),
        np.zeros(200, dtype=np.int64),
        np.array([100.0]),
        volatility,
        option_pricer(True, calls, strike * 100.0 / spot, years, rate, dividend),
    )
    revalue = Group("full revaluation, 200 legs x 10,000 scenarios, per price")
    revalue.add("ours, to P&L by leg", lambda: scenario_pnl(held, moves, moves), 200 * 10_000)
    if HAS["QuantLib"]:
        revalue.add("QuantLib calculator", quantlib_calculators(book(10_000), False), QUANTLIB_ROWS, 120)
    made.append(revalue)

    columns = book(10_000)
    early = Group("American price, 10,000 contracts")
    early.add("ours (Ju and Zhong)", lambda: american_price(*columns), 10_000)
    if HAS["QuantLib"]:
        early.add("QuantLib, the same formula", quantlib_american(columns), QUANTLIB_ROWS)
    made.append(early)
    return made


def quantlib_american(columns: Sequence[np.ndarray]) -> Work:
    import QuantLib as ql  # noqa: N813 - as its own examples do

    today, count = ql.Date(2, 1, 2026), ql.Actual365Fixed()
    ql.Settings.instance().evaluationDate = today
    quotes = [ql.SimpleQuote(1.0) for _ in range(4)]
    handles = [ql.QuoteHandle(quote) for quote in quotes]
    process = ql.BlackScholesMertonProcess(
        handles[0],
        ql.YieldTermStructureHandle(ql.FlatForward(today, handles[1], count)),
        ql.YieldTermStructureHandle(ql.FlatForward(today, handles[2], count)),
        ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), handles[3], count)),
    )
    engine = ql.JuQuadraticApproximationEngine(process)
    options = []
    for call, s, k, t, v, r, q in rows(columns, QUANTLIB_ROWS):
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, k)
        option = ql.VanillaOption(payoff, ql.AmericanExercise(today, today + max(1, round(t * 365))))
        option.setPricingEngine(engine)
        options.append((option, (s, q, r, v)))

    def work() -> list[float]:
        out = []
        for option, values in options:
            for quote, value in zip(quotes, values, strict=True):
                quote.setValue(value)
            out.append(option.NPV())
        return out

    return work


def accuracy() -> dict[str, Any]:
    """Return largest errors: prices against 60 digits, volatilities on the hard grid of the tests."""
    from unit.risk.test_implied_vol import hard_grid
    from unit.risk.test_options import hard_grid as price_grid

    grid = price_grid()
    prices = black_scholes_price(*map(np.array, zip(*grid, strict=True)))
    worst = max(
        abs(float(float(price) - exact_price(*row))) / max(row[1:3])
        for price, row in zip(prices, grid, strict=True)
    )
    hard = [row for row in hard_grid() if row[3] < 30]
    contracts = [(call, price, 100.0, strike, years) for call, price, strike, years, _ in hard]
    exact = [
        float(exact_volatility(call, price, 100.0, strike, years, 0.0, 0.0, near))
        for call, price, strike, years, near in hard
    ]
    calls, price, forward, strike, years = map(np.array, zip(*contracts, strict=True))
    found: dict[str, Any] = {"ours": implied_volatility(calls, price, forward, strike, years).value}
    if HAS["QuantLib"]:
        found["QuantLib (Li, 1e-12)"] = quantlib_volatilities(contracts)()
    if HAS["vollib"]:
        found["vollib (LetsBeRational)"] = vollib_volatilities(contracts)()
    result: dict[str, Any] = {
        "price, largest error / max(S, K), 1 s to 30 years": float(f"{worst:.2g}"),
        "hard grid, contracts": len(hard),
    }
    for name, values in found.items():
        with np.errstate(all="ignore"):
            errors = np.abs(np.array(values, dtype=np.float64) / exact - 1)
        result[f"volatility, {name}"] = {
            "largest relative error": float(f"{np.nanmax(errors):.2g}"),
            "worse than 1e-12": int((~(errors <= 1e-12)).sum()),
            "no answer": int(np.isnan(errors).sum()),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    absent = [name for name, there in HAS.items() if not there]
    if absent:
        print("not installed, left out:", ", ".join(absent), file=sys.stderr)
    precise = accuracy()
    lanes = groups()
    gc.disable()
    for _ in range(max(5, args.rounds)):
        for group in lanes:
            group.round()
    gc.enable()
    results = [group.result() for group in lanes]
    if args.json:
        print(json.dumps({"speed": results, "accuracy": precise}, indent=2))
        return
    for result in results:
        print(f"{result['what']}: {result['ours_ns']} ns each")
        for name, peer in result["peers"].items():
            goal = f" (goal {peer['goal']:g})" if peer["goal"] else ""
            print(f"    {name}: {peer['times_ours']:g} times ours{goal}")
    for name, value in precise.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
