"""Builders that the unit tests share: say what matters, the rest has a sensible value."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from stopline.ledger.position import FIFO, Booked, Position
from stopline.model.account import Account
from stopline.model.decimals import decimal_text, exactly
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument, option_symbol
from stopline.model.times import utc_text

NOON = datetime(2026, 11, 18, 17, 0, tzinfo=UTC)  # a Wednesday, 12:00 in New York, markets open
BEGUN = int(NOON.timestamp())  # the revision that a book of then counts on from


def at(seconds: float = 0, base: datetime = NOON) -> datetime:
    """Return a moment some seconds after noon."""
    return base + timedelta(seconds=seconds)


def equity(symbol: str = "SPY", currency: str = "USD") -> Instrument:
    return Instrument.model_validate({"symbol": symbol, "kind": "equity", "currency": currency})


def option(
    strike: str | int = 6000, right: str = "P", expiry: date = date(2026, 11, 18), root: str = "SPXW"
) -> Instrument:
    return Instrument.model_validate(
        {
            "symbol": option_symbol(root, expiry, right, Decimal(strike)),
            "kind": "option",
            "currency": "USD",
            "multiplier": "100",
            "underlying": root,
            "expiry": expiry.isoformat(),
            "strike": str(strike),
            "right": right,
        }
    )


def raw_fill(
    fill_id: str = "E-1",
    side: str = "BUY",
    quantity: str | int | Decimal = 10,
    price: str | int | Decimal = 100,
    executed_at: datetime | str = NOON,
    instrument: Instrument | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a fill as a broker publishes it."""
    moment = executed_at if isinstance(executed_at, str) else utc_text(executed_at)
    return {
        "type": "stopline.fill.v1",
        "fill_id": fill_id,
        "broker": "paper",
        "account": "demo",
        "instrument": (instrument or equity()).model_dump(mode="json", exclude_none=True),
        "side": side,
        "quantity": quantity if isinstance(quantity, str) else decimal_text(Decimal(quantity)),
        "price": price if isinstance(price, str) else decimal_text(Decimal(price)),
        "executed_at": moment,
        **more,
    }


def fill(*args: Any, **more: Any) -> Fill:
    return Fill.model_validate(raw_fill(*args, **more))


def trade(number: int, signed: int | Decimal, price: str | int | Decimal, **more: Any) -> Fill:
    """Return the fill number `number` of a sequence, `number` seconds after noon; negative units are sold."""
    side = "BUY" if signed > 0 else "SELL"
    more.setdefault("executed_at", at(number))
    return fill(f"E-{number}", side, abs(signed), price, **more)


def account(name: str = "demo", **more: Any) -> Account:
    facts = {"account": name, "owner": "ann", "currency": "USD", "capital": "100000", **more}
    return Account.model_validate(facts)


def fold(fills: Iterable[Fill], method: str = FIFO) -> tuple[Position, list[Booked]]:
    """Fold the fills of one position, given in any order, from nothing. At least one fill."""
    ordered = sorted(fills, key=lambda fill: fill.order)
    position = Position(ordered[0].instrument, ordered[0].strategy, method=method)
    with exactly():
        booked = [position.apply(fill) for fill in ordered]
    return position, booked
