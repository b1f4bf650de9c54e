"""The health of an open trade: one number from 0 (about to be stopped out) to 100, and what it is made of.

score = 100 x sum(weight x part) / sum(weight), over the parts that are known, rounded half-even. A part is from 0 to 1:

- stop (40): how much of the way from the stop to the entry is left, 1 at the entry or better.
- time (20): time left until the first time exit or the expiry, as a share of the time since the opening to it.
- greeks (15): the smaller of two. 1 - |delta of the short option legs| per short unit, twice: 1 at a delta of 0, 0 from 0.5
  on. And 1 - what a move of one standard deviation against it would cost (`move_cost`, of the net delta, gamma and theta of
  all legs, until the first time exit or expiry, for a day at most) / one R (without a stop, what it was opened at).
- liquidity (15): 1 - (quoted spread of the legs / 10 % of the price of a unit), not below 0.
- data (10): 1 - age of the oldest price / the age at which it is too old.

A part that does not apply (no stop, no end, no option) is left out. One that cannot be known is UNKNOWN: it is named,
and its weight goes to the others. Without a usable price the score is UNKNOWN itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext

from stopline.model.decimals import EXACT, ROUNDED, ZERO, divide

WEIGHTS: Mapping[str, int] = {"stop": 40, "time": 20, "greeks": 15, "liquidity": 15, "data": 10}
WIDE = Decimal("0.1")  # of the price: a quoted spread at which nothing is left of the part
CLEAR_BY = 5  # points above its limit before a degraded trade counts as recovered
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Vitals:
    """What is known of a trade now; None is UNKNOWN. Oriented prices (higher is better); times in seconds.

    `applies`: the parts that this trade has. `short_delta`: the largest size of the delta of a short option leg, per
    unit; 0 where none is short. `at_risk`: what a move against it would cost, as a share of one R.
    """

    applies: frozenset[str]

    price: Decimal | None
    entry: Decimal
    stop: Decimal | None
    time_left: Decimal | None
    time_whole: Decimal | None
    short_delta: Decimal | None
    at_risk: Decimal | None
    quoted: Decimal | None  # ask less bid of a unit
    age: Decimal | None
    max_age: Decimal


@dataclass(frozen=True, slots=True)
class Health:
    """`parts` in the order of the weights; None is UNKNOWN."""

    score: int | None
    parts: Mapping[str, Decimal | None]

    @property
    def unknown(self) -> list[str]:
        return [name for name, part in self.parts.items() if part is None]

    @property
    def worst(self) -> str:
        """The part that costs most, for people."""
        known = {name: WEIGHTS[name] * (ONE - part) for name, part in self.parts.items() if part is not None}
        return max(known, key=lambda name: known[name], default="")


def health(v: Vitals) -> Health:
    """Work a trade's health out."""
    parts = {
        "stop": _stop(v),
        "time": _share(v.time_left, v.time_whole),
        "greeks": _greeks(v),
        "liquidity": _liquidity(v),
        "data": None if v.age is None else _clamped(ONE - divide(v.age, v.max_age)),
    }
    parts = {name: part for name, part in parts.items() if name in v.applies}
    known = {name: part for name, part in parts.items() if part is not None}
    if v.price is None or not known:
        return Health(None, parts)
    total = sum((WEIGHTS[name] * part for name, part in known.items()), ZERO)
    return Health(round(divide(100 * total, Decimal(sum(WEIGHTS[name] for name in known)))), parts)


def move_cost(delta: Decimal, gamma: Decimal, theta: Decimal, volatility: Decimal, days: Decimal) -> Decimal:
    """Return what a position loses where its underlying moves one standard deviation against it within some days: money, 0
    or more.

    The move is m = 100 x volatility x sqrt(days / 365) percent, up or down, whichever is worse: delta x m / 100 +
    gamma x m^2 / 200; theta x days is added where time costs. `delta`: money; `gamma`: its change by a rise of 1 %; `theta`:
    money a day (`NetGreeks`); `volatility` of a year, 1 is 100 %.
    """
    with localcontext(ROUNDED):
        move = 100 * volatility * (days / 365).sqrt()
        curve = gamma * move * move / 200
        worst = min(delta * move / 100, -delta * move / 100) + curve
        return max(-worst - min(theta * days, ZERO), ZERO)


def _greeks(v: Vitals) -> Decimal | None:
    if v.short_delta is None or v.at_risk is None:
        return None
    return min(_clamped(ONE - 2 * v.short_delta), _clamped(ONE - v.at_risk))


def _stop(v: Vitals) -> Decimal | None:
    if v.price is None or v.stop is None:
        return None
    way = EXACT.subtract(v.entry, v.stop)
    if way <= 0:  # the stop is in profit: what matters is not to be below it
        return ONE if v.price > v.stop else ZERO
    return _clamped(divide(EXACT.subtract(v.price, v.stop), way))


def _liquidity(v: Vitals) -> Decimal | None:
    if v.quoted is None or not v.price:
        return None
    return _clamped(ONE - divide(v.quoted, abs(v.price) * WIDE))


def _share(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    if part is None or not whole or whole < 0:
        return None
    return _clamped(divide(part, whole))


def _clamped(value: Decimal) -> Decimal:
    return min(max(value, ZERO), ONE)
