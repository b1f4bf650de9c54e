"""Speed of the ledger's fold beside its floor, a bare FIFO on a deque of Decimals: ratios of one interleaved run.

    .venv/bin/python tests/benchmarks/bench_ledger.py [--fills 100000] [--rounds 7] [--json]

The floor keeps (quantity, price) pairs per symbol and sums realised P&L, and does nothing else: no fees, no times, no
contract, no check of the order. gc is off, every round takes all candidates in turn, and a ratio is the median of the
ratios of the rounds: other load hits both sides of it. nautilus_trader is timed where it is installed.
"""

import argparse
import gc
import json
import random
import statistics
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from stopline.ledger.position import Position, fold_all
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.times import utc_text

START = datetime(2026, 11, 18, 14, 30, tzinfo=UTC)


def make_fills(count: int, positions: int, seed: int = 1) -> list[Fill]:
    """Return fills in time order over equity positions, buys and sells alike."""
    rng = random.Random(seed)
    contracts = [
        Instrument.model_validate({"symbol": f"S{n}", "kind": "equity", "currency": "USD"})
        for n in range(positions)
    ]
    base = {"broker": "paper", "account": "bench"}
    made = []
    for number in range(count):
        fill = Fill.model_validate(
            {
                **base,
                "fill_id": f"E-{number}",
                "instrument": contracts[rng.randrange(positions)],
                "side": rng.choice(["BUY", "SELL"]),
                "quantity": str(rng.randint(1, 100)),
                "price": f"{rng.randint(9000, 11000) / 100}",
                "fee": "0.35",
                "executed_at": utc_text(START + timedelta(microseconds=100 * number)),
            }
        )
        fill.order, fill.signed_quantity  # noqa: B018 - worked out once, where a fill is read
        made.append(fill)
    return made


def bare(rows: list[tuple[str, Decimal, Decimal]]) -> dict[str, Decimal]:
    """Fold by the floor: realised P&L by symbol."""
    books: dict[str, deque[tuple[Decimal, Decimal]]] = {}
    realised: dict[str, Decimal] = {}
    for symbol, left, price in rows:
        lots = books.get(symbol)
        if lots is None:
            lots = books[symbol] = deque()
            realised[symbol] = Decimal(0)
        while left and lots and (lots[0][0] > 0) != (left > 0):
            quantity, entry = lots[0]
            if abs(quantity) <= abs(left):
                realised[symbol] += quantity * (price - entry)
                left += quantity
                lots.popleft()
            else:
                realised[symbol] -= left * (price - entry)
                lots[0] = (quantity + left, entry)
                left = Decimal(0)
        if left:
            lots.append((left, price))
    return realised


def single(fills: list[Fill]) -> dict[str, Position]:
    """Fold fill by fill through the public `Position.apply`."""
    positions: dict[str, Position] = {}
    for fill in fills:
        symbol = fill.instrument.symbol
        position = positions.get(symbol)
        if position is None:
            position = positions[symbol] = Position(fill.instrument, fill.strategy)
        position.apply(fill)
    return positions


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes, without the collector."""
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    gc.enable()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the ledger's fold beside its floor.")
    parser.add_argument("--fills", type=int, default=100_000)
    parser.add_argument("--positions", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    fills = make_fills(options.fills, options.positions)
    rows = [(f.instrument.symbol, f.signed_quantity, f.price) for f in fills]
    truth, found = bare(rows), single(fills)
    assert truth == {symbol: p.realised for symbol, p in found.items()}
    assert found == {p.instrument.symbol: p for p in fold_all(fills).values()}
    candidates: dict[str, Callable[[], object]] = {
        "bare deque": lambda: bare(rows),
        "Position.apply": lambda: single(fills),
        "fold_all": lambda: fold_all(fills),
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(options.rounds):
        for name, work in candidates.items():
            seconds[name].append(timed(work))
    result = {
        name: {
            "us_a_fill": round(statistics.median(taken) / len(fills) * 1e6, 3),
            "rate_of_bare": round(
                statistics.median(b / t for b, t in zip(seconds["bare deque"], taken, strict=True)), 3
            ),
        }
        for name, taken in seconds.items()
    }
    if options.json:
        print(json.dumps({"fills": len(fills), "rounds": options.rounds, "results": result}))
        return
    print(f"{len(fills)} fills, {options.positions} positions, {options.rounds} rounds")
    for name, numbers in result.items():
        print(
            f"{name:<16}{numbers['us_a_fill']:>8.3f} us a fill   {numbers['rate_of_bare']:.2f} of the bare rate"
        )


if __name__ == "__main__":
    main()
