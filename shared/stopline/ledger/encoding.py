"""A book as JSON text and back, exactly."""

from collections import deque
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from typing import Any

import orjson

from stopline.ledger.book import Book, Day
from stopline.ledger.position import FIFO, Lot, Position
from stopline.ledger.trade_table import decode_legs
from stopline.model.decimals import EXACT, decimal_text
from stopline.model.errors import Transient
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.times import utc_text

SCHEMA = 3  # 1 had no method, income, flows, and amendments: it is read as FIFO without any; 2 had no trades


def encode_book(book: Book) -> str:
    """Write a book as JSON text; equal books give equal text."""
    state = {
        "schema": SCHEMA,
        "account": book.account,
        "revision": book.revision,
        "fills": book.fills,
        "positions": [_position(book.positions[key]) for key in sorted(book.positions)],
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
    }
    return orjson.dumps(state).decode()


def decode_book(text: str) -> Book:
    """Read what `encode_book` wrote. A book by a newer Stopline raises Transient: an old writer must not
    change it.
    """
    state = orjson.loads(text)
    if state["schema"] > SCHEMA:
        raise Transient(
            f"book {state['account']} has schema {state['schema']}, this version writes {SCHEMA}: deploy it"
        )
    method = state.get("method", FIFO)
    positions = {p.key: p for p in (_read_position(item, method) for item in state["positions"])}
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
        held={
            key: tuple(Fill.model_validate(item) for item in fills) for key, fills in state.get("held", ())
        },
        strategies={(name, c): _read_day(r, f, 0, *more) for name, c, r, f, *more in state["strategies"]}
        if "strategies" in state
        else _strategies_of(positions.values()),
        legs=decode_legs(state.get("legs"), positions),
    )


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


def _position(p: Position) -> dict[str, Any]:
    return {
        "instrument": p.instrument.model_dump(mode="json"),
        "strategy": p.strategy,
        "quantity": _text(p.quantity),
        "cost": _text(p.cost),
        "realised": _text(p.realised),
        "fees": _text(p.fees),
        "other_fees": {name: _text(amount) for name, amount in sorted(p.other_fees.items())},
        "fills": p.fills,
        "last": _place(p.last),
        "cycle": _place(p.cycle),
        "opened_at": utc_text(p.opened_at) if p.opened_at else None,
        "last_price": _text(p.last_price),
        "income": _text(p.income),
        "amended": p.amended,
        "lots": [
            [_text(lot.quantity), _text(lot.price), utc_text(lot.opened_at), lot.fill_key] for lot in p.lots
        ],
    }


def _read_position(item: dict[str, Any], method: str) -> Position:
    return Position(
        instrument=Instrument.model_validate(item["instrument"]),
        strategy=item["strategy"],
        lots=deque(Lot(Decimal(q), Decimal(p), _moment(at), key) for q, p, at, key in item["lots"]),
        quantity=Decimal(item["quantity"]),
        cost=Decimal(item["cost"]),
        realised=Decimal(item["realised"]),
        fees=Decimal(item["fees"]),
        other_fees={name: Decimal(amount) for name, amount in item["other_fees"].items()},
        fills=item["fills"],
        last=_read_place(item["last"]),
        cycle=_read_place(item["cycle"]),
        opened_at=_moment(item["opened_at"]) if item["opened_at"] else None,
        last_price=Decimal(item["last_price"]),
        income=Decimal(item.get("income", "0")),
        method=method,
        amended=item.get("amended", False),
    )


def _place(place: tuple[datetime, str] | None) -> list[str] | None:
    return [utc_text(place[0]), place[1]] if place else None


def _read_place(place: list[str] | None) -> tuple[datetime, str] | None:
    return (_moment(place[0]), place[1]) if place else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


_text = decimal_text
