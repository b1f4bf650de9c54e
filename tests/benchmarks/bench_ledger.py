"""Speed of the ledger's fold beside its floor, a bare FIFO on a deque of Decimals: ratios of one interleaved run.

    .venv/bin/python tests/benchmarks/bench_ledger.py [--fills 100000] [--rounds 7] [--json]

The floor keeps (quantity, price) pairs per symbol and sums realised P&L, and does nothing else: no fees, no times, no
contract, no check of the order. It and the fold fill by fill are handed the symbol beside each fill. gc is off, seconds
are of the processor, every round takes all candidates in turn, and a ratio is the median of the ratios of the rounds:
other load hits both sides of it. nautilus_trader is timed where it is installed; where not, its line says so.
`--fills 1000000` takes 4 GB.
"""

import argparse
import gc
import json
import os
import random
import statistics
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from stopline.ledger.book import Book
from stopline.ledger.bulk import fold_all
from stopline.ledger.encoding import decode_book, encode_book
from stopline.ledger.position import Position
from stopline.model.decimals import exactly
from stopline.model.fill import Fill, Side
from stopline.model.instrument import Instrument
from stopline.model.times import utc_text

START = datetime(2026, 11, 18, 14, 30, tzinfo=UTC)


def make_fills(count: int, positions: int, seed: int = 1) -> list[Fill]:
    """Return fills in time order over equity positions, buys and sells alike."""
    gc.disable()  # it would look at millions of objects again and again
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
        fill.terms, fill.position_key  # noqa: B018 - worked out once, where a fill is read
        made.append(fill)
    gc.enable()
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


def single(rows: list[tuple[str, Fill]]) -> dict[str, Position]:
    """Fold fill by fill through the public `Position.apply`."""
    positions: dict[str, Position] = {}
    with exactly():
        for symbol, fill in rows:
            position = positions.get(symbol)
            if position is None:
                position = positions[symbol] = Position(fill.instrument, fill.strategy)
            position.apply(fill)
    return positions


def nautilus_fold(ours: list[Fill]) -> Callable[[], object] | None:
    """Return nautilus_trader's fold of the same fills, or None where it is not installed.

    Its position forgets closed quantities when it is flat and cannot be given another instrument's fills: one position a
    symbol, netting, as ours.
    """
    try:
        from nautilus_trader.model import events, identifiers, instruments, objects, position
        from nautilus_trader.model.currencies import USD
        from nautilus_trader.model.enums import LiquiditySide, OrderSide, OrderType
    except ImportError:
        return None
    from nautilus_trader.core.uuid import UUID4

    venue = identifiers.Venue("XNYS")
    trader, strategy = identifiers.TraderId("T-1"), identifiers.StrategyId("S-1")
    account = identifiers.AccountId("XNYS-1")
    contracts = {
        name: instruments.Equity(
            instrument_id=identifiers.InstrumentId(identifiers.Symbol(name), venue),
            raw_symbol=identifiers.Symbol(name),
            currency=USD,
            price_precision=2,
            price_increment=objects.Price.from_str("0.01"),
            lot_size=objects.Quantity.from_int(1),
            ts_event=0,
            ts_init=0,
        )
        for name in sorted({fill.instrument.symbol for fill in ours})
    }
    fills = [
        events.OrderFilled(
            trader_id=trader,
            strategy_id=strategy,
            instrument_id=contracts[fill.instrument.symbol].id,
            client_order_id=identifiers.ClientOrderId(f"O-{number}"),
            venue_order_id=identifiers.VenueOrderId(f"V-{number}"),
            account_id=account,
            trade_id=identifiers.TradeId(f"E-{number}"),
            position_id=identifiers.PositionId(f"P-{fill.instrument.symbol}"),
            order_side=OrderSide.BUY if fill.side is Side.BUY else OrderSide.SELL,
            order_type=OrderType.MARKET,
            last_qty=objects.Quantity.from_int(int(fill.quantity)),
            last_px=objects.Price.from_str(format(fill.price, ".2f")),
            currency=USD,
            commission=objects.Money("0.35", USD),
            liquidity_side=LiquiditySide.TAKER,
            event_id=UUID4(),
            ts_event=number,
            ts_init=number,
        )
        for number, fill in enumerate(ours)
    ]

    def work() -> object:
        found: dict[str, Any] = {}
        for fill in fills:
            name = fill.instrument_id.symbol.value
            held = found.get(name)
            if held is None:
                found[name] = position.Position(contracts[name], fill)
            else:
                held.apply(fill)
        return found

    return work


def book_candidates(fills: list[Fill]) -> dict[str, Callable[[], object]]:
    """Return what it takes to book one fill into a stored book of all these positions, beside orjson's own decode and
    encode of the document.
    """
    book = Book("bench").with_fills(fills, lambda at: at.date(), lambda *_: (), fills[-1].executed_at)
    text = encode_book(book)
    last = fills[-1]
    later = {"fill_id": "later", "executed_at": utc_text(last.executed_at + timedelta(seconds=1))}
    one = Fill.model_validate({**last.model_dump(mode="json"), **later})

    def whole() -> object:
        stored = decode_book(text)
        return encode_book(
            stored.with_fills([one], lambda at: at.date(), lambda *_: (), one.executed_at, lambda _: None)
        )

    return {"orjson": lambda: orjson.dumps(orjson.loads(text)).decode(), "book": whole}


def bytes_a_lot(count: int = 20_000) -> float:
    """Return what an open lot takes in memory beside the numbers of its fill: to be the same for any count."""
    buys = [fill for fill in make_fills(3 * count, 1) if fill.signed_quantity > 0][:count]
    position = Position(buys[0].instrument, buys[0].strategy)
    tracemalloc.start()
    with exactly():
        for fill in buys:
            position.apply(fill)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(position.open) == len(buys)
    return used / len(buys)


def timed(work: Callable[[], object]) -> float:
    """Return the processor seconds that a call takes, without the collector."""
    gc.collect()
    gc.disable()
    started = time.process_time()
    work()
    seconds = time.process_time() - started
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
    pairs = [(f.instrument.symbol, f) for f in fills]
    truth, found = bare(rows), single(pairs)
    assert truth == {symbol: p.realised for symbol, p in found.items()}
    bulk = {p.instrument.symbol: p for p in fold_all(fills).values()}
    assert found == bulk
    assert [p.cost for p in found.values()] == [bulk[symbol].cost for symbol in found]
    candidates: dict[str, Callable[[], object]] = {
        "bare deque": lambda: bare(rows),
        "Position.apply": lambda: single(pairs),
        "fold_all": lambda: fold_all(fills),
    }
    other = nautilus_fold(fills)
    if other is not None:
        candidates["nautilus_trader"] = other
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
    books = book_candidates(fills[:20_000])
    taken_each = [(timed(books["orjson"]), timed(books["book"])) for _ in range(options.rounds)]
    times_orjson = statistics.median(taken / floor for floor, taken in taken_each)
    lots = {count: round(bytes_a_lot(count)) for count in (2_000, 20_000)}
    facts = {"book_times_orjson": round(times_orjson, 1), "bytes_a_lot": lots, "load": os.getloadavg()[0]}
    if options.json:
        print(json.dumps({"fills": len(fills), "rounds": options.rounds, "results": result, **facts}))
        return
    print(f"{len(fills)} fills, {options.positions} positions, {options.rounds} rounds")
    for name, numbers in result.items():
        print(
            f"{name:<16}{numbers['us_a_fill']:>8.3f} us a fill   {numbers['rate_of_bare']:.2f} of the bare rate"
        )
    if other is None:
        print("nautilus_trader   is not installed, so it is not timed")
    else:
        times = seconds["nautilus_trader"], seconds["Position.apply"]
        ratio = statistics.median(theirs / ours for theirs, ours in zip(*times, strict=True))
        print(f"Position.apply is {ratio:.1f} times nautilus_trader's")
    print(f"a book of these positions: decode, one fill, encode in {times_orjson:.1f} times orjson's own")
    print(f"memory of an open lot: {', '.join(f'{size} bytes at {count}' for count, size in lots.items())}")
    print(f"load average {facts['load']:.1f}")


if __name__ == "__main__":
    main()
