"""How much of which book fits in its document: open positions and lots at the sizes where people are told, and where it is
full.

    .venv/bin/python tests/benchmarks/bench_book_size.py
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from stopline.ledger.book import Book
from stopline.model.fill import Fill
from stopline.model.times import utc_text
from stopline.service.fills.book_size import FULL, KIB, TOLD_FROM, book_size

START = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
EXPIRIES = ("2026-11-20", "2026-11-23", "2026-12-18", "2027-01-15")
Terms = dict[str, Any]


def option(number: int, right: str, strike: int) -> Terms:
    expiry = EXPIRIES[number % len(EXPIRIES)]
    symbol = f"SPXW{expiry[2:].replace('-', '')}{right}{strike * 1000:08d}"
    terms = {
        "expiry": expiry,
        "strike": str(strike),
        "right": right,
        "underlying": "SPX",
        "multiplier": "100",
    }
    return {"instrument": {"symbol": symbol, "kind": "option", "currency": "USD", **terms}, "price": "2.35"}


def condors() -> Iterator[Terms]:
    """A day trader's: iron condors of today, four legs an order, over 40 strikes each side."""
    for n in range(10**6):
        order = {"group_id": f"condor-{n}", "order_id": str(987654000 + n), "strategy": "condors"}
        wings = [("P", 5900, "SELL"), ("P", 5880, "BUY"), ("C", 6100, "SELL"), ("C", 6120, "BUY")]
        for right, strike, side in wings:
            away = 5 * (n % 40) * (1 if right == "C" else -1)
            yield {**option(0, right, strike + away), **order, "side": side, "quantity": "2"}


def option_maker() -> Iterator[Terms]:
    """A maker's in options: ever more contracts, three lots of each."""
    for n in range(10**6):
        side = "BUY" if n // 3 % 2 else "SELL"
        yield {**option(n // 3, "PC"[n // 3 % 2], 3000 + 5 * (n // 12)), "side": side, "quantity": "5"}


def share_maker() -> Iterator[Terms]:
    """A maker's in 50 shares, one way: ever more lots of each."""
    for n in range(10**6):
        contract = {"symbol": f"S{n % 50}", "kind": "equity", "currency": "USD"}
        yield {
            "instrument": contract,
            "side": "BUY",
            "quantity": str(n % 97 + 1),
            "price": f"{100 + n % 89}.25",
        }


def book_of(make: Callable[[], Iterator[Terms]], count: int) -> Book:
    """Return the book of so many fills, as it is stored after the last."""
    fills = [
        Fill.model_validate(
            {
                "fill_id": f"0000e0d5.6580d36a.{number:06d}.01",
                "broker": "ibkr",
                "account": "bench",
                "fee": "1.32",
                "executed_at": utc_text(START + timedelta(seconds=number, microseconds=123456)),
                **terms,
            }
        )
        for number, terms in enumerate(islice(make(), count))
    ]
    now = fills[-1].executed_at
    return Book("bench").with_fills(fills, lambda at: at.date(), lambda *_: (), now).pruned(now)


def largest(make: Callable[[], Iterator[Terms]], limit: int) -> tuple[int, Book]:
    """Return the most fills whose book stays below a size, to 1 in 50, and that book."""
    low, high = 1, 2
    while book_size(book_of(make, high)) < limit:
        low, high = high, high * 2
    while high - low > max(low // 50, 1):
        middle = (low + high) // 2
        low, high = (middle, high) if book_size(book_of(make, middle)) < limit else (low, middle)
    return low, book_of(make, low)


def main() -> None:
    for make in (condors, option_maker, share_maker):
        for limit in (TOLD_FROM, FULL):
            fills, book = largest(make, limit)
            print(
                f"{make.__name__:<14}{limit // KIB:>5} KiB: {fills:>6} fills, {len(book.positions):>5} positions, "
                f"{book.count_lots():>6} lots"
            )


if __name__ == "__main__":
    main()
