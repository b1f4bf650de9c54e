"""How large an order should be: four methods, and what makes the size larger or smaller from there.

Money and fractions are Decimal: a size is a quantity of an order, and is rounded down to whole lots, never up. A
fraction of 0.01 is 1 % of equity. What cannot be sized is 0 with a reason, never a guess.
Sources: Kelly, A new interpretation of information rate (1956); Thorp, The Kelly criterion (2006); fixed fractional:
Vince, The mathematics of money management (1992).
Decimals are finite: NaN is refused where messages are read, and nothing here is None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from stopline.model.decimals import ROUNDED, ZERO, divide

ONE = Decimal(1)
KELLY_LEAST, KELLY_MOST = Decimal("0.01"), Decimal("0.05")  # of equity (R3.1)
SIGNAL_LEAST, SIGNAL_MOST = Decimal("0.5"), Decimal(2)  # R3.2
CALM_MOST, WILD_LEAST = Decimal("1.5"), Decimal("0.25")  # of what volatility makes of the size
LOSING_LEAST, WINNING_MOST = Decimal("0.5"), Decimal("1.25")  # of what recent performance makes of it
FEWEST_TRADES = 10  # before that recent performance says nothing
SESSIONS_A_YEAR = Decimal(252)


@dataclass(frozen=True, slots=True)
class Step:
    """One factor of a size, by name."""

    name: str
    factor: Decimal


@dataclass(frozen=True, slots=True)
class Size:
    """`quantity`: whole lots. `steps`: what made it larger or smaller, in order. `reason`: why it is 0. `capped_by`: the
    cap that made it smaller, if one did.
    """

    quantity: Decimal
    steps: tuple[Step, ...] = ()
    reason: str = ""
    capped_by: str = ""


def kelly(win_rate: Decimal, payoff: Decimal) -> Decimal:
    """Return the Kelly fraction p - (1 - p) / b, for a win rate p in [0, 1] and average win / average loss b > 0.

    0 or below: there is no edge.
    """
    return win_rate - divide(ONE - win_rate, payoff)


def half_kelly(win_rate: Decimal, payoff: Decimal) -> Decimal:
    """Return half the Kelly fraction, at least 1 % and at most 5 % of equity; 0 without an edge, never 1 %."""
    whole = kelly(win_rate, payoff)
    return ZERO if whole <= 0 else min(max(whole / 2, KELLY_LEAST), KELLY_MOST)


def by_risk(equity: Decimal, fraction: Decimal, loss: Decimal) -> Decimal:
    """Return the units that lose a fraction of equity at their stop; `loss` is of one unit, above 0. 0 without
    equity.
    """
    return divide(max(equity, ZERO) * fraction, loss)


def by_volatility(equity: Decimal, fraction: Decimal, value: Decimal, yearly: Decimal) -> Decimal:
    """Return the units that move a fraction of equity on an ordinary day, so that every position moves alike (risk
    parity). `value` is of one unit, `yearly` its volatility (0.2 is 20 %), both above 0; a year has 252 days.
    """
    daily = divide(yearly, ROUNDED.sqrt(SESSIONS_A_YEAR))
    return divide(max(equity, ZERO) * fraction, value * daily)


def by_amount(amount: Decimal, value: Decimal) -> Decimal:
    """Return the units that an amount of money buys, at `value` above 0 each."""
    return divide(max(amount, ZERO), value)


def signal_factor(strength: Decimal) -> Decimal:
    """Return what a signal's strength makes of the size: itself, from 0.5 to 2.0 (R3.2)."""
    return min(max(strength, SIGNAL_LEAST), SIGNAL_MOST)


def volatility_factor(now: Decimal, usual: Decimal) -> Decimal:
    """Return usual / present volatility, from 0.25 to 1.5: twice as wild, half the size. 1 where one of them is 0."""
    if now <= 0 or usual <= 0:
        return ONE
    return min(max(divide(usual, now), WILD_LEAST), CALM_MOST)


def performance_factor(results: Sequence[Decimal]) -> Decimal:
    """Return what the last trades (P&L each, in money, oldest first) make of the size: 1 + what was made for each unit of
    money won or lost, from 0.5 to 1.25. 1 with fewer than 10 trades: they say nothing.
    """
    moved = sum((abs(r) for r in results), ZERO)
    if len(results) < FEWEST_TRADES or not moved:
        return ONE
    return min(max(ONE + divide(sum(results, ZERO), moved), LOSING_LEAST), WINNING_MOST)


def sized(base: Decimal, steps: Sequence[Step], caps: Mapping[str, Decimal], lot: Decimal) -> Size:
    """Return a size: the base times every factor, at most the lowest of the caps (by name), rounded down to whole lots.

    A factor of 0 (a breaker that is open) makes it 0. Factors and caps below 0 are taken as 0.
    """
    quantity = max(base, ZERO)
    for step in steps:
        quantity *= max(step.factor, ZERO)
    name, cap = min(caps.items(), key=lambda item: item[1], default=("", quantity))
    capped_by = name if cap < quantity else ""
    whole = whole_lots(min(quantity, max(cap, ZERO)), lot)
    if whole:
        return Size(whole, tuple(steps), capped_by=capped_by)
    stopping = next((f"{s.name} is 0" for s in steps if s.factor <= 0), "")
    none = "nothing to size by" if base <= 0 else f"less than one lot of {lot:f}"
    if capped_by and whole_lots(quantity, lot):
        none += f", by {capped_by}"
    return Size(ZERO, tuple(steps), stopping or none, capped_by)


def whole_lots(quantity: Decimal, lot: Decimal) -> Decimal:
    """Return a quantity rounded down to whole lots, 0 for one below 0."""
    return max((quantity / lot).to_integral_value(ROUND_FLOOR), ZERO) * lot
