"""Price batches: columns of float64 as a feed publishes them, checked item by item."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from stopline.model.errors import Rejected
from stopline.model.ids import Name, is_symbol
from stopline.model.instrument import is_option_symbol
from stopline.model.times import UtcText
from stopline.model.wire import Message, validate

PRICES_TYPE = "stopline.prices.v1"
MAX_ITEMS = 5000
NAN = math.nan


class _Columns(Message):
    type: Literal["stopline.prices.v1"]
    source: Name = "feed"
    as_of: UtcText
    symbols: list[Any] = Field(min_length=1, max_length=MAX_ITEMS)
    last: list[Any]
    bid: list[Any] | None = None
    ask: list[Any] | None = None
    iv: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """One symbol's prices, NaN where the feed gave none. `iv` is a yearly volatility (0.2 = 20 %)."""

    last: float
    bid: float = NAN
    ask: float = NAN
    iv: float = NAN

    @property
    def mark(self) -> float:
        """The price to value at: the middle of a two-sided quote, else the last trade, else NaN."""
        if self.ask > 0 and self.bid >= 0:
            return (self.bid + self.ask) / 2
        return self.last


@dataclass(frozen=True, slots=True)
class PriceBatch:
    """The good items of one batch, and the bad ones with their reasons."""

    source: str
    as_of: datetime
    quotes: dict[str, Quote]
    refused: tuple[tuple[str, str], ...]  # (symbol as published, reason)


def parse_price_batch(value: Any) -> PriceBatch:
    """Check a decoded price message.

    A batch whose envelope is wrong (type, time, number of items, columns of unequal length) is Rejected
    whole. A bad item (symbol, bid above ask, negative volatility, text, boolean, no price at all) is refused
    alone and the others stand. Of a symbol that stands twice the later item wins. Prices are JSON numbers or
    null: market data, not money.
    """
    columns = validate(_Columns, value)
    size = len(columns.symbols)
    empty: list[Any] = [None] * size
    table = {name: getattr(columns, name) or empty for name in ("last", "bid", "ask", "iv")}
    for name, column in table.items():
        if len(column) != size:
            raise Rejected("UNEQUAL_COLUMNS", f"{name} has {len(column)} items, symbols has {size}")
    quotes: dict[str, Quote] = {}
    refused: list[tuple[str, str]] = []
    for symbol, *raw in zip(
        columns.symbols, table["last"], table["bid"], table["ask"], table["iv"], strict=True
    ):
        if raw[1] is None and raw[2] is not None and is_option_symbol(str(symbol)):
            raw[1] = 0.0  # an option that nobody bids for is worth between nothing and the ask
        fault = _fault(symbol, raw)
        if fault:
            refused.append((str(symbol)[:40], fault))
            continue
        quotes[symbol] = Quote(*(NAN if x is None else float(x) for x in raw))
    return PriceBatch(columns.source, columns.as_of, quotes, tuple(refused))


def _fault(symbol: object, raw: list[Any]) -> str | None:
    """Say what is wrong with one item, or None."""
    if not is_symbol(symbol):
        return "bad symbol"
    for value in raw:
        if value is None:
            continue
        if type(value) is not float and type(value) is not int:
            return f"price must be a number, was {type(value).__name__}"
        if not -1e12 < value < 1e12:
            return "price is beyond 1e12"
    last, bid, ask, iv = raw
    if last is None and (bid is None or ask is None):
        return "no price"
    if bid is not None and ask is not None and bid > ask:
        return f"crossed: bid {bid} above ask {ask}"
    if iv is not None and iv < 0:
        return f"negative volatility {iv}"
    return None
