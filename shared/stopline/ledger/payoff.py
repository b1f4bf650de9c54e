"""What a set of option legs can lose at expiry, from its payoff: no strategy names, no special cases.

The payoff at expiry is piecewise linear in the underlying's price S, so its worst value over S >= 0 is at 0
or at a strike, unless it falls for ever on the right: then the loss is unbounded and `slope` says how fast.
Source: the general rule behind exchange risk-based margin; an unequal-winged iron condor comes out at its
wider side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from stopline.model.decimals import EXACT, ZERO


@dataclass(frozen=True, slots=True)
class Leg:
    """`quantity` contracts (negative: short), each on `multiplier` units; right `C` or `P`."""

    right: str
    strike: Decimal
    quantity: Decimal
    multiplier: Decimal


@dataclass(frozen=True, slots=True)
class Payoff:
    """`worst`: the lowest value at expiry over {0, every strike} (0 or negative where it can lose), before
    premiums.

    `slope`: money per point far on the right; below 0 means naked short calls and no bound to the loss.
    """

    worst: Decimal
    slope: Decimal


def payoff(legs: Sequence[Leg]) -> Payoff:
    """Return the worst expiry value and the right-hand slope of legs on one underlying and expiry."""
    with localcontext(EXACT):
        points = [ZERO, *(leg.strike for leg in legs)]
        worst = min((sum((_value(leg, s) for leg in legs), ZERO) for s in points), default=ZERO)
        slope = sum((leg.quantity * leg.multiplier for leg in legs if leg.right == "C"), ZERO)
        return Payoff(min(worst, ZERO), slope)


def _value(leg: Leg, price: Decimal) -> Decimal:
    intrinsic = price - leg.strike if leg.right == "C" else leg.strike - price
    return max(intrinsic, ZERO) * leg.quantity * leg.multiplier
