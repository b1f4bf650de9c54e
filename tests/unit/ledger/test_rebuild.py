"""The drill of a rebuild: a book that is made anew out of the log of its fills is the live one, byte by byte."""

from __future__ import annotations

import os
import random
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from stopline.ledger.book import Book
from stopline.ledger.encoding import encode_book
from stopline.ledger.position import Position
from stopline.model.calendars import calendar
from stopline.model.fill import Fill

from ..make import NOON, equity, fill

FILLS = int(os.environ.get("STOPLINE_REBUILD", "2000"))
SPAN = timedelta(days=30) * FILLS / 4000
SESSION_OF = calendar("XNYS").session_of


class Log:
    """The fills that were booked, of each position in the order of their execution."""

    def __init__(self) -> None:
        self.of: defaultdict[str, list[Fill]] = defaultdict(list)
        self.asked = 0

    def add(self, fills: Sequence[Fill]) -> None:
        for one in fills:
            insort(self.of[one.position_key], one, key=lambda f: f.order)

    def __call__(self, position: Position | None, late: Fill) -> Sequence[Fill]:
        self.asked += 1
        own = self.of[late.position_key]
        if position and position.cycle and late.order >= position.cycle:
            return own[bisect_left(own, position.cycle[0], key=lambda f: f.executed_at) :]
        return own


def trading(rng: random.Random) -> list[Fill]:
    """Return months of trading in 40 positions, each flat again and again."""
    held: Counter[tuple[str, str]] = Counter()
    fills = []
    for n in range(FILLS):
        key = (f"S{rng.randrange(20)}", rng.choice(("core", "trend")))
        units = rng.choice((-3, -2, -1, 1, 2, 3)) if abs(held[key]) < 6 else -held[key]
        held[key] += units
        facts = {"instrument": equity(key[0]), "strategy": key[1], "fee": f"0.{rng.randint(0, 9)}"}
        price = f"{rng.randint(90, 110)}.{rng.randint(0, 99):02}"
        moment = NOON - SPAN + n * SPAN / FILLS
        fills.append(fill(f"E-{n}", "BUY" if units > 0 else "SELL", abs(units), price, moment, **facts))
    return fills


def messages(rng: random.Random, fills: Sequence[Fill], most: int) -> Iterator[Sequence[Fill]]:
    at = 0
    while at < len(fills):
        size = rng.randint(1, most)
        yield fills[at : at + size]
        at += size


def booked(came: Iterator[Sequence[Fill]]) -> tuple[str, Log]:
    """Book messages as they come; return the book as stored two days later, when no closed trade is left, and its log."""
    book, log = Book("demo"), Log()
    for message in came:
        now = max(one.executed_at for one in message) + timedelta(hours=1)
        book = book.with_fills(message, SESSION_OF, log, now).pruned(now)
        log.add(message)
    assert book.fills == FILLS
    return encode_book(book.pruned(NOON + timedelta(days=2)).at_revision(0)), log


@pytest.mark.timeout(3600)
def test_a_book_that_is_rebuilt_from_its_log_is_the_live_one_byte_by_byte() -> None:
    """I1, I12, F54: a twentieth of the fills came late, in messages of up to 20; they come again in order, by hundreds."""
    rng = random.Random(54)
    fills = trading(rng)
    arrival = sorted(range(FILLS), key=lambda n: n + (rng.randint(1, 400) if rng.random() < 0.05 else 0))
    live, log = booked(messages(rng, [fills[n] for n in arrival], 20))
    again, calm = booked(messages(rng, fills, 500))
    assert again == live
    assert log.asked > FILLS / 200
    assert calm.asked == 0
    print(f"{FILLS} fills, {log.asked} looks into the log, {len(live)} bytes")
