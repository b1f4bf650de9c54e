"""A book as JSON text and back, exactly."""

from collections import deque
from collections.abc import Iterable
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

import orjson

from stopline.ledger.book import Book
from stopline.ledger.days import Day
from stopline.ledger.position import FIFO, Position
from stopline.ledger.position_table import PositionTable, decode_positions
from stopline.ledger.trade_table import decode_legs
from stopline.model.decimals import EXACT, decimal_text
from stopline.model.errors import Transient
from stopline.model.fill import Fill
from stopline.model.times import parse_utc, utc_text

SCHEMA = 3  # 1 had no method, income, flows, and amendments: it is read as FIFO without any; 2 had no trades


_latest: deque[tuple[Book, str]] = deque(maxlen=1)


def encode_book(book: Book) -> str:
    """Write a book as JSON text; equal books give equal text. The last one is remembered: who writes it has asked for
    its size before.
    """
    for known, text in tuple(_latest):
        if known is book:
            return text
    text = _encoded(book)
    _latest.append((book, text))
    return text


def _encoded(book: Book) -> str:
    state = {
        "schema": SCHEMA,
        "account": book.account,
        "revision": book.revision,
        "fills": book.fills,
        "positions": PositionTable.of(book.positions).encode(),
        "days": [
            [s.isoformat(), c, _text(d.realised), _text(d.fees), d.carried, _text(d.income), _text(d.flow)]
            for (s, c), d in sorted(book.days.items())
        ],
        "totals": [
            [c, _text(d.realised), _text(d.fees), _text(d.income), _text(d.flow)]
            for c, d in sorted(book.totals.items())
        ],
        "strategies": [
            [name, c, _text(d.realised), _text(d.fees), _text(d.income), _text(d.flow)]
            for (name, c), d in sorted(book.strategies.items())
        ],
        "method": book.method,
        "held": [
            [key, [fill.model_dump(mode="json") for fill in book.held[key]]] for key in sorted(book.held)
        ],
        "legs": book.legs.encode(book.positions),
        **({"since": utc_text(book.since)} if book.since else {}),
        **({"orders_named": utc_text(book.orders_named)} if book.orders_named else {}),
    }
    return orjson.dumps(state).decode()


def decode_book(text: str, whole: bool = False) -> Book:
    """Read what `encode_book` wrote; positions when they are asked for, or all now (`whole`): faster for who wants
    them all, and the JSON data is not kept. A book by a newer Stopline raises Transient: an old writer must not
    change it.
    """
    state = orjson.loads(text)
    if state["schema"] > SCHEMA:
        raise Transient(
            f"book {state['account']} has schema {state['schema']}, this version writes {SCHEMA}: deploy it"
        )
    method = state.get("method", FIFO)
    positions = decode_positions(state["positions"], method, whole or state["schema"] < SCHEMA)
    return Book(
        account=state["account"],
        revision=state["revision"],
        fills=state["fills"],
        positions=positions,
        days={
            (date.fromisoformat(s), c): _read_day(r, f, n, *more) for s, c, r, f, n, *more in state["days"]
        },
        totals={c: _read_day(r, f, 0, *more) for c, r, f, *more in state["totals"]},
        method=method,
        held=_read_held(state.get("held", ())),
        strategies={(name, c): _read_day(r, f, 0, *more) for name, c, r, f, *more in state["strategies"]}
        if "strategies" in state
        else _strategies_of(positions.values()),
        legs=decode_legs(state.get("legs"), positions),
        since=parse_utc(state["since"]) if "since" in state else None,
        orders_named=parse_utc(state["orders_named"]) if "orders_named" in state else None,
    )


def _read_held(items: Iterable[tuple[str, list[dict[str, Any]]]]) -> dict[str, tuple[Fill, ...]]:
    """Read amendments that wait. Those that an older version had under the key of a day are healed by the next commit."""
    return {key: tuple(map(Fill.model_validate, fills)) for key, fills in items}


def _strategies_of(positions: Iterable[Position]) -> dict[tuple[str, str], Day]:
    """Return what strategies made, for a book that was written without: by the positions that it still knows."""
    result: dict[tuple[str, str], Day] = {}
    with localcontext(EXACT):
        for p in positions:
            key = (p.strategy, p.instrument.currency)
            day = result.get(key, Day())
            result[key] = Day(
                day.realised + p.realised, day.fees + p.fees, income=day.income + p.income, flow=day.flow
            )
    return result


def _read_day(realised: str, fees: str, carried: int, income: str = "0", flow: str = "0") -> Day:
    return Day(Decimal(realised), Decimal(fees), carried, Decimal(income), Decimal(flow))


_text = decimal_text
