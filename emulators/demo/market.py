"""The market of the demo's day, minute by minute: two indices, an index fund and the options on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import ceil, floor
from typing import Any
from zoneinfo import ZoneInfo

from emulators.demo import facts
from emulators.demo.bridge import Shape, bridge
from emulators.demo.pricing import black_scholes
from stopline.model.instrument import Instrument, Kind, option_symbol
from stopline.model.prices import PRICES_TYPE, Quote

DAY = date(2018, 2, 5)
ZONE = ZoneInfo("America/New_York")
OPENS = datetime(2018, 2, 5, 9, 30, tzinfo=ZONE)
MINUTES = 390
SEED = 20180205
# The index rose for an hour and fell through the afternoon, ever faster; the VIX mirrored it to the end.
SPX_SHAPE = Shape(high_at=65, low_at=340, bend=2.2, noise=0.06)
VIX_SHAPE = Shape(high_at=384, low_at=62, bend=2.6, noise=0.05)

SPY = Instrument(symbol="SPY", kind=Kind.EQUITY, currency="USD")


def spxw(right: str, strike: int) -> Instrument:
    """Return the SPXW option of the day, which ends with it."""
    return Instrument(
        symbol=option_symbol("SPXW", DAY, right, Decimal(strike)),
        kind=Kind.OPTION,
        currency="USD",
        multiplier=Decimal(100),
        underlying="SPX",
        expiry=DAY,
        strike=Decimal(strike),
        right="C" if right == "C" else "P",
    )


@dataclass(frozen=True, slots=True)
class Minute:
    """The prices of one minute."""

    at: datetime
    spx: float
    vix: float
    quotes: Mapping[str, Quote]

    def message(self) -> dict[str, Any]:
        """Return the minute as a price batch, as a feed publishes it."""
        columns = [(symbol, quote.last, quote.bid, quote.ask) for symbol, quote in self.quotes.items()]
        symbols, last, bid, ask = (list(column) for column in zip(*columns, strict=True))
        return {
            "type": PRICES_TYPE,
            "source": "demo-feed",
            "as_of": self.at.astimezone(ZoneInfo("UTC")).isoformat().replace("+00:00", "Z"),
            "symbols": symbols,
            "last": last,
            "bid": [None if price != price else price for price in bid],
            "ask": [None if price != price else price for price in ask],
        }


class Market:
    """The reconstructed day: 391 minutes from the opening to the close."""

    def __init__(self, options: list[Instrument]) -> None:
        self._options = options
        self._spx = bridge(facts.SPX[DAY], MINUTES, SPX_SHAPE, SEED)
        self._vix = bridge(facts.VIX[DAY], MINUTES, VIX_SHAPE, SEED + 1)

    def minute(self, number: int) -> Minute:
        """Return the prices `number` minutes after the opening."""
        spx, vix = float(self._spx[number]), float(self._vix[number])
        quotes = {"SPX": Quote(spx), "VIX": Quote(vix), SPY.symbol: _spy(spx)}
        for option in self._options:
            assert option.strike is not None
            assert option.right is not None
            value = black_scholes(option.right, spx, float(option.strike), MINUTES - number, vix / 100)
            quotes[option.symbol] = _option(value)
        return Minute(OPENS + timedelta(minutes=number), spx, vix, quotes)

    def last(self) -> Minute:
        """Return the minute of the close."""
        return self.minute(MINUTES)

    @property
    def yesterday(self) -> float:
        """The close of the day before."""
        return facts.SPX[max(day for day in facts.SPX if day < DAY)].close


def _spy(spx: float) -> Quote:
    """The fund is a tenth of the index here: its own prices of the day are not among the facts."""
    last = round(spx / 10, 2)
    return Quote(last, round(last - 0.01, 2), round(last + 0.01, 2))


def _option(value: float) -> Quote:
    """Quote around the value, in ticks of 0.05, wider where the option is worth more."""
    half = max(0.025, 0.01 * value)
    bid, ask = floor((value - half) * 20) / 20, ceil((value + half) * 20) / 20
    return Quote(round(value, 2), round(max(bid, 0.0), 2), round(ask, 2))
