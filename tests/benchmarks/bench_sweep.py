"""One account's sweep of 200 option positions beside the bare prices of the same scenarios, interleaved.

    PYTHONPATH=shared python tests/benchmarks/bench_sweep.py [--rounds 15] [--json]

The sweep is everything but storage: valuing, net Greeks with solved volatilities, VaR and ES by full revaluation over
500 sessions (as they were, and at today's volatility), the stress grid, figures and every limit. The bare lane prices
the same legs in the same scenarios, and nothing else. Times are of the processor; the ratio is the median of
those of the rounds.
"""

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402

from stopline.ledger.book import Book  # noqa: E402
from stopline.model.account import Account  # noqa: E402
from stopline.model.fill import Fill  # noqa: E402
from stopline.model.instrument import option_symbol  # noqa: E402
from stopline.model.prices import Quote  # noqa: E402
from stopline.risk.book_risk import tail  # noqa: E402
from stopline.risk.book_stress import spot_grid  # noqa: E402
from stopline.risk.columns import columns  # noqa: E402
from stopline.risk.factors import Factors, at_todays_volatility  # noqa: E402
from stopline.risk.options import black_scholes_price  # noqa: E402
from stopline.risk.stress import SPOT_SHOCKS, VOLATILITY_FACTORS  # noqa: E402
from stopline.rules.limits.figures import figures  # noqa: E402
from stopline.rules.limits.registry import readings  # noqa: E402
from stopline.service.evaluation.evaluate import exchange_rate, value_positions  # noqa: E402
from stopline.service.prices.greeks import Watched, net_greeks, option_terms  # noqa: E402
from stopline.service.prices.legs import book_of  # noqa: E402
from stopline.service.prices.marks import Mark  # noqa: E402

NOW = datetime(2026, 11, 18, 17, tzinfo=UTC)
EXPIRIES = [date(2026, 11, 18), date(2026, 11, 20), date(2026, 12, 18), date(2027, 3, 19)]
SPOTS = {"SPX": 6050.0, "NDX": 21000.0, "RUT": 2300.0, "SPY": 605.0}
LEGS, SESSIONS = 200, 500


def account_book() -> tuple[Account, Book, dict[str, Mark]]:
    """Return an account with 200 option positions on 4 underlyings and 4 expiries, and its marks."""
    account = Account.model_validate(
        {
            "account": "bench",
            "owner": "bench",
            "currency": "USD",
            "capital": "1000000",
            "measures": {"index": "SPX"},
        }
    )
    fills, marks = [], {symbol: Mark(Quote(spot), NOW) for symbol, spot in SPOTS.items()}
    for n in range(LEGS):
        underlying = list(SPOTS)[n % 4]
        spot, right, expiry = SPOTS[underlying], "CP"[n // 2 % 2], EXPIRIES[n // 4 % 4]
        strike = Decimal(round(spot * (0.9 + 0.2 * n / LEGS)))
        symbol = option_symbol(f"{underlying}W", expiry, right, strike)
        years = max((account.sessions.close_of(expiry) - NOW).total_seconds() / 86400 / 365, 0)
        price = float(black_scholes_price(right == "C", spot, float(strike), years, 0.2))
        marks[symbol] = Mark(Quote(round(price, 6)), NOW)
        fills.append(
            Fill.model_validate(
                {
                    "type": "stopline.fill.v1",
                    "fill_id": f"E-{n}",
                    "broker": "paper",
                    "account": "bench",
                    "instrument": {
                        "symbol": symbol,
                        "kind": "option",
                        "currency": "USD",
                        "multiplier": "100",
                        "underlying": underlying,
                        "expiry": expiry.isoformat(),
                        "strike": str(strike),
                        "right": right,
                    },
                    "side": "SELL" if n % 2 else "BUY",
                    "quantity": "2",
                    "price": "1",
                    "executed_at": "2026-11-18T15:00:00Z",
                }
            )
        )
    book = Book("bench").with_fills(fills, account.sessions.session_of, lambda _p, _f: [], NOW)
    return account, book, marks


def lanes() -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return (the sweep, the bare prices)."""
    account, book, marks = account_book()
    source = np.random.default_rng(1)
    common = source.normal(0, 0.01, SESSIONS)
    returns = np.column_stack([common + source.normal(0, 0.003, SESSIONS) for _ in SPOTS] + [-4 * common])
    days = tuple(NOW.date() - timedelta(days=n + 1) for n in range(SESSIONS))[::-1]
    factors = Factors("XNYS", days, (*SPOTS, "VIX"), returns)
    table = columns({"bench": book})
    laid_out = option_terms(table, {"bench": account})
    betas = factors.betas("SPX", SESSIONS)

    def sweep() -> Any:
        positions = value_positions(table, marks, [account], NOW)["bench"]
        rate = exchange_rate(account, marks, NOW)
        each = Watched(account, positions, lambda s: marks[s].quote if s in marks else None, rate, betas, NOW)
        priced = net_greeks(table, laid_out, [each], NOW)["bench"]
        legs = book_of(table, laid_out, each, priced.volatility, dict.fromkeys(factors.symbols), NOW)
        moves = factors.moves([*legs.symbols, "SPX", "VIX"], SESSIONS)
        risk = tail(legs, moves, "VIX", 0.95, "SPX", 1.0)
        shocks = spot_grid(legs, betas)
        numbers = figures(account, book, positions, rate, None, None, NOW)
        return priced.greeks, risk, shocks, readings(numbers, {})

    contracts = [position.instrument for position in table.positions]
    call = np.array([contract.right == "C" for contract in contracts])
    strike = np.array([float(contract.strike or 0) for contract in contracts])
    years = np.array(
        [
            max((account.sessions.close_of(c.expiry) - NOW).total_seconds() / 86400 / 365, 0.0)
            for c in contracts
            if c.expiry
        ]
    )
    spot = np.array([SPOTS[contract.underlying] for contract in contracts])
    where = np.array([list(SPOTS).index(contract.underlying) for contract in contracts])
    scenarios = []
    for moves in (returns, at_todays_volatility(returns)):
        moved = np.maximum(1.0 + moves[:, [4]], 0.01)
        scenarios.append((spot * (1.0 + moves[:, where]), 0.2 * np.broadcast_to(moved, (len(moves), LEGS))))
    grid = [(1.0 + shock, factor) for shock in SPOT_SHOCKS for factor in VOLATILITY_FACTORS]
    up, factor = (np.array(column)[:, None] for column in zip(*grid, strict=True))
    scenarios.append((up * spot, np.broadcast_to(factor * 0.2, (len(grid), LEGS))))

    def bare() -> Any:
        return [black_scholes_price(call, spots, strike, years, sigma) for spots, sigma in scenarios]

    return sweep, bare


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    sweep, bare = lanes()
    sweep(), bare()
    gc.disable()
    ratios, ours, theirs = [], [], []
    for _ in range(chosen.rounds):
        start = time.process_time()
        sweep()
        middle = time.process_time()
        bare()
        end = time.process_time()
        ours.append(1e3 * (middle - start))
        theirs.append(1e3 * (end - middle))
        ratios.append((middle - start) / (end - middle))
    result = {
        "sweep_ms": round(statistics.median(ours), 2),
        "bare_prices_ms": round(statistics.median(theirs), 2),
        "times": round(statistics.median(ratios), 2),
        "goal": "<= 3",
    }
    print(json.dumps(result) if chosen.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
