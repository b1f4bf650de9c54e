"""Speed of the risk measures beside their peers: ratios of one interleaved run.

    PYTHONPATH=shared python tests/benchmarks/bench_measures.py [--rounds 15] [--json]

Run it with a Python that has numpy and, for each comparison, the peer: empyrical-reloaded, quantstats, riskfolio-lib.
A peer that is not installed is left out and named. BLAS has one thread, gc is off, times are of the processor (waiting
for a core is not in them), every round takes all candidates in turn, and a ratio is the median of the ratios of the
rounds: other load hits both sides of it.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402

from stopline.risk.contributions import (  # noqa: E402
    es_contributions,
    portfolio_pnl,
    volatility_contributions,
)
from stopline.risk.correlation import correlation, covariance  # noqa: E402
from stopline.risk.options import black_scholes_price  # noqa: E402
from stopline.risk.revaluation import Legs, full_revaluation, option_pricer  # noqa: E402
from stopline.risk.summary import summaries, summary  # noqa: E402
from stopline.risk.var import historical  # noqa: E402

Work = Callable[[], Any]
DAYS, ASSETS = 2_500, 500
LEAST_S = 0.002  # a measurement repeats its work until it takes this long
SLOW_S = 0.05  # what takes longer does not notice cold caches


class Group:
    """Candidates that do the same work; the first is ours."""

    def __init__(self, name: str, goals: dict[str, str] | None = None) -> None:
        self.name = name
        self.goals = goals or {}
        self.work: dict[str, tuple[Work, int]] = {}
        self.times: dict[str, list[float]] = {}

    def add(self, name: str, work: Work) -> None:
        work()  # imports
        alone = min(_timed(work) for _ in range(3))
        repeat = max(1, int(LEAST_S / alone))
        self.work[name] = (work, repeat)
        self.times[name] = []

    def round(self) -> None:
        for name, (work, repeat) in self.work.items():
            if statistics.median(self.times[name] or [0.0]) < SLOW_S:
                work()  # what ran before has the caches: nobody pays for going first
            start = time.process_time()
            for _ in range(repeat):
                work()
            self.times[name].append((time.process_time() - start) / repeat)

    def result(self) -> dict[str, Any]:
        (_, ours), *peers = self.times.items()
        return {
            "what": self.name,
            "ours_us": round(statistics.median(ours) * 1e6, 1),
            "peers": {
                name: {
                    "times_ours": float(
                        f"{statistics.median(b / a for a, b in zip(ours, times, strict=True)):.3g}"
                    ),
                    "goal": self.goals.get(name),
                }
                for name, times in peers
            },
        }


def _timed(work: Work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def groups(left_out: list[str]) -> list[Group]:
    source = np.random.default_rng(20)
    returns = source.standard_t(5, DAYS) * 0.008 + 0.0004
    table = source.standard_t(5, (DAYS, ASSETS)) * 0.008 + 0.0004
    exposures = source.normal(0, 10_000, ASSETS)
    weights = np.abs(exposures) / np.abs(exposures).sum()
    cov = covariance(table)

    one = Group("11 measures of 2,500 returns", {"empyrical on Series": ">= 8", "quantstats": ">= 100"})
    one.add("ours", lambda: summary(returns))
    many = Group("11 measures of 2,500 x 500 returns", {"empyrical on columns": ">= 5"})
    many.add("ours", lambda: summaries(table))
    tail = Group("historical VaR and ES of 500 assets x 2,500 days", {"matrix-vector product": ">= 0.333"})
    tail.add("ours", lambda: historical(portfolio_pnl(table, exposures)))
    tail.add("matrix-vector product", lambda: table @ exposures)
    spread = Group("risk contributions, variance, 500 assets", {"riskfolio": ">= 1000"})
    spread.add("ours", lambda: volatility_contributions(weights, cov))
    short = Group("risk contributions, CVaR, 500 assets x 2,500 days", {"riskfolio": ">= 500"})
    short.add("ours", lambda: es_contributions(table, weights))
    pairs = Group("correlation of 500 assets x 2,500 days")
    pairs.add("ours", lambda: correlation(table))
    pairs.add("numpy.corrcoef", lambda: np.corrcoef(table.T))
    result = [one, many, tail, spread, short, pairs, revaluation(source)]

    try:
        import empyrical
        import pandas as pd

        series, frame = pd.Series(returns), pd.DataFrame(table)
        one.add("empyrical on Series", lambda: eleven(empyrical, series))
        one.add("empyrical on arrays", lambda: eleven(empyrical, returns))
        many.add("empyrical on columns", lambda: [eleven(empyrical, frame[c]) for c in frame.columns])
        pairs.add("pandas", frame.corr)
        check(eleven(empyrical, returns), returns)
    except ImportError:
        left_out.append("empyrical-reloaded")
    try:
        import pandas as pd
        import quantstats.stats as qs

        dated = pd.Series(returns, pd.bdate_range("2015-01-01", periods=DAYS))
        names = "comp cagr volatility sharpe sortino calmar omega max_drawdown value_at_risk cvar tail_ratio"
        one.add("quantstats", lambda: [getattr(qs, name)(dated) for name in names.split()])
    except ImportError:
        left_out.append("quantstats")
    try:
        import pandas as pd
        import riskfolio as rp

        frame = pd.DataFrame(table)
        w, c = pd.DataFrame(weights), pd.DataFrame(cov)
        spread.add("riskfolio", lambda: rp.Risk_Contribution(w, frame, cov=c, rm="MV"))
        short.add("riskfolio", lambda: rp.Risk_Contribution(w, frame, cov=c, rm="CVaR", alpha=0.05))
    except ImportError:
        left_out.append("riskfolio-lib")
    return result


def revaluation(source: np.random.Generator) -> Group:
    """200 option legs on 4 underlyings in 10,000 scenarios, beside the bare prices of the same."""
    legs, scenarios = 200, 10_000
    call = source.random(legs) < 0.5
    strike = source.uniform(80, 120, legs)
    years = source.uniform(0.5, 60, legs) / 365
    volatility = source.uniform(0.1, 0.6, legs)
    underlying = source.integers(0, 4, legs)
    book = Legs(
        [str(i) for i in range(legs)],
        source.normal(0, 100, legs),
        underlying,
        np.full(4, 100.0),
        volatility,
        option_pricer(True, call, strike, years),
    )
    moves, volatility_moves = source.normal(0, 0.02, (scenarios, 4)), source.normal(0, 0.05, (scenarios, 4))
    spots = (100 * (1 + moves))[:, underlying]
    volatilities = (1 + volatility_moves)[:, underlying] * volatility
    group = Group("VaR by full revaluation, 200 legs x 10,000 scenarios", {"bare prices": ">= 0.333"})
    group.add("ours", lambda: full_revaluation(book, moves, volatility_moves))
    group.add("bare prices", lambda: black_scholes_price(call, spots, strike, years, volatilities))
    return group


def eleven(ep: Any, returns: Any) -> list[float]:
    """Return the 11 measures in the order of `summary.MEASURES`."""
    return [
        ep.cum_returns_final(returns),
        ep.annual_return(returns),
        ep.annual_volatility(returns),
        ep.sharpe_ratio(returns),
        ep.sortino_ratio(returns),
        ep.calmar_ratio(returns),
        ep.omega_ratio(returns),
        ep.max_drawdown(returns),
        ep.downside_risk(returns),
        ep.value_at_risk(returns),
        ep.conditional_value_at_risk(returns),
    ]


def check(theirs: list[float], returns: Any) -> None:
    """Refuse to compare the speed of different numbers."""
    ours = summary(returns, convention="empyrical").values
    for (name, mine), other in zip(ours.items(), theirs, strict=True):
        if mine is None or abs(mine - other) > 1e-12 * abs(other):
            sys.exit(f"{name}: ours is {mine!r}, empyrical's {other!r}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    warnings.simplefilter("ignore")
    left_out: list[str] = []
    found = groups(left_out)
    gc.disable()
    for _ in range(chosen.rounds):
        for group in found:
            group.round()
    results = [group.result() for group in found]
    if chosen.json:
        print(json.dumps({"numpy": np.__version__, "not_installed": left_out, "results": results}, indent=2))
        return
    for result in results:
        print(f"{result['what']}: {result['ours_us']} us")
        for name, peer in result["peers"].items():
            print(f"    {name}: x{peer['times_ours']}" + (f" (goal {peer['goal']})" if peer["goal"] else ""))
    print("not installed, left out:", ", ".join(left_out) or "nothing")


if __name__ == "__main__":
    main()
