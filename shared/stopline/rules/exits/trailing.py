"""Trailing stops: where the stop is, given the best price so far. Each algorithm is one function.

All prices here are oriented: higher is better, for long and short alike (a short's prices are negated). A stop
that an algorithm gives is a wish; that it never falls is seen to by the caller, for all of them at once.

To add an algorithm: one function, and its entry in ALGORITHMS.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from stopline.model.decimals import EXACT, divide
from stopline.model.settings.exits import Distance, Trail, Unit

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Ride:
    """Where a trade came from and how far it got. `atr` is None until it is known."""

    entry: Decimal
    best: Decimal
    atr: Decimal | None


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What the amount may be in, and the stop; a stop of None is UNKNOWN: the old one stands."""

    units: frozenset[Unit]
    stop: Callable[[Ride, Distance], Decimal | None]
    what: str


def part(whole: Decimal, percent: Decimal) -> Decimal:
    """Return so many percent of a number's size."""
    return EXACT.multiply(abs(whole), EXACT.multiply(percent, CENT))


def _percent(ride: Ride, amount: Distance) -> Decimal | None:
    if not ride.best:
        return None  # a percentage of a price of 0
    return EXACT.subtract(ride.best, part(ride.best, amount.value))


def _giveback(ride: Ride, amount: Distance) -> Decimal:
    profit = EXACT.subtract(ride.best, ride.entry)
    return EXACT.subtract(ride.best, part(profit, amount.value))


def _atr(ride: Ride, amount: Distance) -> Decimal | None:
    return None if ride.atr is None else EXACT.subtract(ride.best, EXACT.multiply(amount.value, ride.atr))


def _step(ride: Ride, amount: Distance) -> Decimal | None:
    step = part(ride.entry, amount.value) if amount.unit is Unit.PERCENT else amount.value
    if not step:
        return None  # a percentage of an entry at 0
    whole = EXACT.divide_int(EXACT.subtract(ride.best, ride.entry), step)
    return EXACT.add(ride.entry, EXACT.multiply(whole - 1, step))


ALGORITHMS: Mapping[str, Algorithm] = {
    "percent": Algorithm(frozenset({Unit.PERCENT}), _percent, "so many percent of the best price behind it"),
    "giveback": Algorithm(
        frozenset({Unit.PERCENT}), _giveback, "gives back so many percent of the best profit"
    ),
    "atr": Algorithm(frozenset({Unit.ATR}), _atr, "so many average true ranges behind the best price"),
    "step": Algorithm(
        frozenset({Unit.POINTS, Unit.PERCENT}), _step, "one step behind the last whole step of profit"
    ),
}


def check_trail(trail: Trail) -> str | None:
    """Return what is wrong with the settings of a trailing stop, or None."""
    algorithm = ALGORITHMS.get(trail.by)
    if algorithm is None:
        return f"by: there is no algorithm {trail.by!r}; there are {', '.join(ALGORITHMS)}"
    amount = trail.amount
    if amount.unit not in algorithm.units:
        forms = " or ".join(sorted(str(Distance(Decimal(2), unit)) for unit in algorithm.units))
        return f"amount: {trail.by} takes {forms}, was {amount}"
    if amount.value <= 0 or (trail.by in ("percent", "giveback") and amount.value > 100):
        return f"amount: must be above 0 and at most 100 %, was {amount}"
    return None


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars made of readings, and the average true range of the finished ones (Wilder's).

    `atr` is the mean of the first true ranges while there are fewer than wanted (`count`); `known` tells.
    The true range of the first bar is high - low. A time without readings makes no bar.
    """

    start: datetime
    high: Decimal
    low: Decimal
    close: Decimal
    before: Decimal | None = None  # the close of the bar before
    count: int = 0
    atr: Decimal = Decimal(0)

    def known(self, bars: int) -> Decimal | None:
        """Return the ATR once that many bars are finished."""
        return self.atr if self.count >= bars else None


def with_reading(bars: Bars | None, price: Decimal, at: datetime, length: timedelta, wanted: int) -> Bars:
    """Return the bars after a reading. A bar is finished by the first reading behind it."""
    start = at - (at - datetime.min.replace(tzinfo=at.tzinfo)) % length
    if bars is None:
        return Bars(start, price, price, price)
    if start <= bars.start:
        return replace(bars, high=max(bars.high, price), low=min(bars.low, price), close=price)
    top = bars.high if bars.before is None else max(bars.high, bars.before)
    bottom = bars.low if bars.before is None else min(bars.low, bars.before)
    span = EXACT.subtract(top, bottom)
    n = min(bars.count + 1, wanted)
    atr = divide(EXACT.add(EXACT.multiply(bars.atr, Decimal(n - 1)), span), Decimal(n))
    return Bars(start, price, price, price, before=bars.close, count=n, atr=atr)
