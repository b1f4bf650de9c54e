"""Speed of the exits: one batch of prices against 1,000, 10,000 and 100,000 trades.

    PYTHONPATH=shared python tests/benchmarks/bench_exits.py [--rounds 15] [--json]

Each trade is a spread of two legs among 500 symbols, with a stop, a target and a trailing stop. In every batch all
symbols move a little; one trade in a hundred makes a new best or comes near its stop and is worked out exactly.
Beside it the floor: bare numpy that reads the marks, sums the legs, and compares with two bounds. The time
includes bringing the table to the new states. gc is off, figures are medians; ratios are of one interleaved run.
"""

import argparse
import gc
import json
import statistics
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from stopline.model.settings.exits import ExitSettings
from stopline.rules.exits.plan import plan_of
from stopline.rules.exits.state import ExitState, Held
from stopline.rules.exits.table import ExitTable, Seen, Watch

START = datetime(2026, 11, 18, 15, 0, tzinfo=UTC)
SYMBOLS = 500
SIZES = (1_000, 10_000, 100_000)
MOVED = 100  # one in so many trades is worked out exactly in a batch
SETTINGS = {
    "stop_loss": "50%",
    "target": "90%",
    "trail": {"by": "giveback", "amount": "30%", "activation": "1%"},
}


class Desk:
    """A table of so many trades, and the batches that come."""

    def __init__(self, size: int) -> None:
        source = np.random.default_rng(7)
        plan = plan_of(ExitSettings.model_validate({"trades": SETTINGS}), "default")
        self.base = np.round(source.uniform(5, 50, SYMBOLS), 2)
        pairs = source.integers(0, SYMBOLS, (size, 2))
        pairs[:, 1] = np.where(pairs[:, 1] == pairs[:, 0], (pairs[:, 0] + 1) % SYMBOLS, pairs[:, 1])
        watched = []
        for number, (one, other) in enumerate(pairs):
            legs = ((f"S{one}", Decimal(1)), (f"S{other}", Decimal(2)))
            entry = Decimal(str(round(float(self.base[one] + 2 * self.base[other]), 2)))
            held = Held(f"T{number}", "default", "X", 1, Decimal(5), entry, START)
            watched.append(Watch(held, plan, (), legs))
        self.table = ExitTable(watched, {}, START)
        self.states: dict[str, ExitState] = {}
        self.number = 0
        self.exact = 0
        rows = {symbol: row for row, symbol in enumerate(self.table.symbols)}
        self.rows = np.array([[rows[s] for s, _ in w.legs] for w in watched]).ravel()
        self.weights = np.tile([1.0, 2.0], size)
        self.starts = np.arange(0, 2 * size, 2)
        entries = np.array([float(w.held.entry) for w in watched])
        self.low, self.high = entries * 0.5, entries * 1.01
        self.marks: dict[str, Seen] = {}
        for _ in range(3):
            self.next_batch()
            self.step()

    def next_batch(self) -> None:
        """Move all prices by up to half a percent, and a few of them by more."""
        self.number += 1
        source = np.random.default_rng(self.number)
        move = 1 + source.uniform(-0.001, 0.001, SYMBOLS)
        few = source.integers(0, SYMBOLS, max(SYMBOLS // MOVED // 2, 1))
        move[few] += 0.05
        at = (START + timedelta(seconds=self.number)).timestamp()
        prices = self.base * move
        self.marks = {f"S{i}": Seen(float(price), at) for i, price in enumerate(prices)}

    def step(self) -> None:
        now = START + timedelta(seconds=self.number)
        changed, _ = self.table.steps(self.marks, now)
        self.exact = len(changed)
        for w, step in changed:
            self.states[w.held.trade_id] = step.state
        self.table.sync(self.states, now)

    def floor(self) -> Any:
        prices = np.array([self.marks[s].price for s in self.table.symbols])
        values = np.add.reduceat(self.weights * prices[self.rows], self.starts)
        return np.flatnonzero((values <= self.low) | (values >= self.high))


def measure(rounds: int) -> list[dict[str, Any]]:
    desks = {size: Desk(size) for size in SIZES}
    times: dict[tuple[int, str], list[float]] = {}
    exact: dict[int, list[int]] = {size: [] for size in SIZES}
    for _ in range(rounds):
        for size, desk in desks.items():
            desk.next_batch()
            for name, work in (("floor", desk.floor), ("ours", desk.step)):
                start = time.perf_counter()
                work()
                times.setdefault((size, name), []).append(time.perf_counter() - start)
            exact[size].append(desk.exact)
    result = []
    for size in SIZES:
        ours, floor = (statistics.median(times[size, name]) for name in ("ours", "floor"))
        result.append(
            {
                "trades": size,
                "ours_ms": round(ours * 1e3, 3),
                "us_a_trade": round(ours / size * 1e6, 3),
                "floor_ms": round(floor * 1e3, 3),
                "times_floor": round(ours / floor, 1),
                "exact": round(statistics.median(exact[size])),
            }
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    gc.disable()
    result = measure(given.rounds)
    if given.json:
        print(json.dumps(result, indent=1))
        return
    for line in result:
        print("  ".join(f"{name} {value}" for name, value in line.items()))


if __name__ == "__main__":
    main()
