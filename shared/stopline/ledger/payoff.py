"""What a set of option legs can lose at expiry, from its payoff: no strategy names, no special cases.

The payoff at expiry is piecewise linear in the underlying's price S, so its worst value over S >= 0 is at 0
or at a strike, unless it falls for ever on the right: then the loss is unbounded and `slope` says how fast.
Source: the general rule behind exchange risk-based margin; an unequal-winged iron condor comes out at its
wider side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from itertools import pairwise

from stopline.model.decimals import EXACT, ZERO, divide


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
        turns: dict[Decimal, Decimal] = {ZERO: ZERO}  # by how much the payoff is steeper behind each point
        for leg in legs:
            turns[leg.strike] = turns.get(leg.strike, ZERO) + leg.quantity * leg.multiplier
        at, *points = sorted(turns)
        worst = value = sum((_value(leg, at) for leg in legs), ZERO)
        slope = turns[at] - sum((leg.quantity * leg.multiplier for leg in legs if leg.right == "P"), ZERO)
        for point in points:
            value += slope * (point - at)
            worst = min(worst, value)
            slope += turns[point]
            at = point
        return Payoff(min(worst, ZERO), slope)


def _value(leg: Leg, price: Decimal) -> Decimal:
    intrinsic = price - leg.strike if leg.right == "C" else leg.strike - price
    return max(intrinsic, ZERO) * leg.quantity * leg.multiplier


@dataclass(frozen=True, slots=True)
class Margin:
    """What legs on one underlying and expiry bind and can make, in money.

    `margin`: by the model, before premiums: the worst expiry value, or the rule for what no leg covers; `rule` says
    which. `max_loss`: the worst value with the premiums and fees (None: unbounded); `max_profit` likewise.
    `breakevens`: prices at expiry at which nothing is made or lost. `net_credit`: what was received less what was paid
    (None: a leg has no premium, and neither loss, profit nor breakevens are known).
    `naked`: no leg covers some option, so the price of the underlying has a say in the margin.
    """

    net_credit: Decimal | None
    margin: Decimal | None
    rule: str
    max_loss: Decimal | None
    max_profit: Decimal | None
    breakevens: tuple[Decimal, ...]
    worst: Decimal
    slope: Decimal
    naked: bool = False


NAKED = {"equity": (Decimal("0.20"), Decimal("0.10")), "index": (Decimal("0.15"), Decimal("0.10"))}


def margin_of(
    legs: Sequence[Leg],
    premiums: Sequence[Decimal | None],
    fees: Decimal = ZERO,
    spot: Decimal | None = None,
    style: str = "equity",
) -> Margin:
    """Return margin, max loss, max profit and breakevens of legs, each with its premium a unit.

    `spot`, the price of the underlying, is for options that no other leg covers: see `model_margin`.
    """
    with localcontext(EXACT):
        shape = payoff(legs)
        paid = [p for p in premiums if p is not None]
        credit = -sum(
            (
                leg.quantity * leg.multiplier * p
                for leg, p in zip(legs, premiums, strict=True)
                if p is not None
            ),
            ZERO,
        )
        known = len(paid) == len(premiums)
        start = credit - fees
        values = [_total(legs, s) for s in sorted({ZERO, *(leg.strike for leg in legs)})]
        margin, rule, naked = _margin(shape, legs, premiums, spot, style)
        return Margin(
            net_credit=credit if known else None,
            margin=margin,
            rule=rule,
            max_loss=max(-(min(values) + start), ZERO) if shape.slope >= 0 and known else None,
            max_profit=max(values) + start if shape.slope <= 0 and known else None,
            breakevens=_breakevens(legs, start, shape.slope) if known else (),
            worst=shape.worst,
            slope=shape.slope,
            naked=naked,
        )


def model_margin(
    shape: Payoff,
    legs: Sequence[Leg],
    premiums: Sequence[Decimal | None],
    spot: Decimal | None = None,
    style: str = "equity",
) -> Decimal | None:
    """Return the margin of legs whose payoff is known: the worst value at expiry, but the rule for what is naked.

    An option that no other leg covers binds, by Regulation T and Cboe's margin manual, its premium + the greater of
    20% of the underlying less what it is out of the money, and 10% of the underlying (a put: of its strike); 15% and
    10% on an index. Of naked calls and puts together the greater side counts, and of the other its premium. Without
    `spot` or a premium a naked put binds its strike, and the margin of a naked call is None. The calls that stay naked
    are those of the lowest strikes, the puts those of the highest, so that it is rather too high than too low; what
    the other legs can lose is added.
    """
    with localcontext(EXACT):
        return _margin(shape, legs, premiums, spot, style)[0]


def _margin(
    shape: Payoff, legs: Sequence[Leg], premiums: Sequence[Decimal | None], spot: Decimal | None, style: str
) -> tuple[Decimal | None, str, bool]:
    """Return the margin, the name of its rule, and whether something is naked."""
    priced = list(zip(legs, premiums, strict=True))
    calls, puts = _naked(priced, "C"), _naked(priced, "P")
    sides = "call and put" if calls and puts else "call" if calls else "put"
    rule = f"payoff + naked {sides}, {style}"
    if not (calls or puts):
        return -shape.worst, "payoff", False
    if spot is None or any(premium is None for _, premium in (*calls, *puts)):
        return (None, rule, True) if calls else (-shape.worst, "payoff", True)
    covered = payoff([*legs, *(replace(leg, quantity=-leg.quantity) for leg, _ in (*calls, *puts))])
    naked = max(_required(calls, spot, style) + _worth(puts), _required(puts, spot, style) + _worth(calls))
    total = naked - covered.worst
    return (total, rule, True) if calls or total < -shape.worst else (-shape.worst, "payoff", True)


def worst_loss(shape: Payoff, legs: Sequence[Leg]) -> Decimal:
    """Return the worst loss at expiry of legs whose payoff is known, before premiums, 0 or above. Calls that stay naked,
    those of the lowest strikes, lose their strike each, and what the other legs can lose is added: no less than the
    legs lose together up to twice the lowest strike.
    """
    with localcontext(EXACT):
        naked = [leg for leg, _ in _naked([(leg, ZERO) for leg in legs], "C")]
        if not naked:
            return -shape.worst
        covered = payoff([*legs, *(replace(leg, quantity=-leg.quantity) for leg in naked)])
        return -sum((leg.quantity * leg.strike for leg in naked), ZERO) - covered.worst


Priced = Sequence[tuple[Leg, Decimal | None]]
"""Legs, each with its premium a unit."""


def _naked(priced: Priced, right: str) -> list[tuple[Leg, Decimal | None]]:
    """Return the short units of a right that no long ones cover, those first that are deepest in the money."""
    ours = [(leg, premium) for leg, premium in priced if leg.right == right]
    left = -sum((leg.quantity * leg.multiplier for leg, _ in ours), ZERO)
    found = []
    for leg, premium in sorted(ours, key=lambda pair: pair[0].strike, reverse=right == "P"):
        if left > 0 and leg.quantity < 0:
            units = min(left, -leg.quantity * leg.multiplier)
            left -= units
            found.append((Leg(right, leg.strike, -units, Decimal(1)), premium))
    return found


def _required(naked: Priced, spot: Decimal, style: str) -> Decimal:
    much, least = NAKED[style]
    total = _worth(naked)
    for leg, _ in naked:
        out = leg.strike - spot if leg.right == "C" else spot - leg.strike
        floor = least * (spot if leg.right == "C" else leg.strike)
        total -= leg.quantity * max(much * spot - max(out, ZERO), floor)
    return total


def _worth(naked: Priced) -> Decimal:
    """Return what buying naked units back costs."""
    return -sum((leg.quantity * (premium or ZERO) for leg, premium in naked), ZERO)


def _total(legs: Sequence[Leg], price: Decimal) -> Decimal:
    return sum((_value(leg, price) for leg in legs), ZERO)


def _breakevens(legs: Sequence[Leg], start: Decimal, slope: Decimal) -> tuple[Decimal, ...]:
    """Return where the payoff and the premiums cancel, rounded to 12 decimals, in rising order."""
    points = sorted({ZERO, *(leg.strike for leg in legs)})
    values = [_total(legs, s) + start for s in points]
    found = {p for p, v in zip(points, values, strict=True) if not v and p}
    for (low, a), (high, b) in pairwise(zip(points, values, strict=True)):
        if a * b < 0:
            found.add(divide(low * b - high * a, b - a))
    if slope and values[-1] and (values[-1] < 0) == (slope > 0):
        found.add(divide(points[-1] * slope - values[-1], slope))
    return tuple(sorted(found))
