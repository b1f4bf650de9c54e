"""How the tests of the check before an order make a desk, and orders for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from stopline.ledger.book import Book
from stopline.model.control import Effective, TradingState
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.order import Order
from stopline.rules.limits.figures import Market, Valued, figures
from stopline.rules.orders.decision import Decision, Desk

from ..make import NOON, account, equity, trade

LATER = NOON + timedelta(minutes=1)
ACTIVE = Effective(TradingState.ACTIVE, 3, Decimal(1), False)
MARKS = {"SPY": "100", "QQQ": "50"}


def desk(
    fills: Sequence[Fill] = (),
    marks: Mapping[str, str] | None = None,
    state: Effective = ACTIVE,
    blocked: Mapping[str, str] | None = None,
    market: Market | None = None,
    **more: Any,
) -> Desk:
    made = account(**more)
    known = {s: Decimal(p) for s, p in (MARKS | dict(marks or {})).items()}
    book = Book("demo").with_fills(fills, made.sessions.session_of, lambda *_: [], LATER)
    valued = []
    for p in book.open_positions():
        mark = known.get(p.instrument.symbol)
        value = None if mark is None else p.quantity * mark * p.instrument.multiplier
        valued.append(Valued(p, mark, value, None if value is None else value - p.cost))
    numbers = figures(made, book, valued, lambda _: Decimal(1), None, None, LATER, market=market or Market())
    return Desk(numbers, known, lambda _: Decimal(1), state, blocked or {})


def leg(contract: Instrument, signed: int = 1, price: str | None = None) -> dict[str, Any]:
    return {
        "instrument": contract.model_dump(mode="json", exclude_none=True),
        "side": "BUY" if signed > 0 else "SELL",
        "ratio": str(abs(signed)),
        **({"limit_price": price} if price else {}),
    }


def order(*legs: dict[str, Any], quantity: str | int = 1, **more: Any) -> Order:
    return Order.model_validate({"legs": list(legs), "quantity": str(quantity), **more})


def buy(units: str | int, symbol: str = "SPY", price: str | None = "100", **more: Any) -> Order:
    return order(leg(equity(symbol), 1, price), quantity=units, **{"stop": "99", **more})


def sell(units: str | int, symbol: str = "SPY", **more: Any) -> Order:
    return order(leg(equity(symbol), -1), quantity=units, **more)


def codes(decision: Decision) -> set[str]:
    return {reason.code for reason in decision.reasons}


def held_long(units: int = 5) -> list[Fill]:
    return [trade(1, units, "100")]
