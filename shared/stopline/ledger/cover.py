"""Options of a later expiry, or shares, that cover short ones of an earlier: one rule for a trade and for an account.

Each expiry has a price of its own, so what both can lose is added up. A later long option of the same right may stand beside
an earlier short one instead: at the earlier expiry it brings what it is in the money, or more. A unit covers once.
"""

from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from stopline.ledger.payoff import Leg, Payoff, payoff
from stopline.model.decimals import ZERO, divide

LEAST = Decimal("1E-12")  # what `divide` rounds to


class Move(NamedTuple):
    """`units` of leg number `leg` of the part `late` are set beside the legs of the part `early`, behind its last one."""

    early: int
    late: int
    leg: int
    units: Decimal


Parts = tuple[tuple[Leg, ...], ...]
"""The legs that settle together, those that settle first in front."""


@lru_cache(maxsize=1024)
def covering(parts: Parts) -> tuple[Move, ...]:
    """Return what of later long legs to set beside earlier short ones, one move after another, while less is naked or can
    be lost so.
    """
    made: list[Move] = []
    while (move := _next(parts)) is not None:
        parts = moved(parts, move)
        made.append(move)
    return tuple(made)


def _next(parts: Parts) -> Move | None:
    """Return the first move that helps: those that cover best are tried first, so that a large book takes few tries."""
    return next((move for move in _moves(parts) if _helps(parts, move)), None)


def _helps(parts: Parts, move: Move) -> bool:
    """Tell whether less is naked or can be lost after a move: only two parts change."""
    before = parts[move.early], parts[move.late]
    after = moved(parts, move)
    return _standing((after[move.early], after[move.late])) > _standing(before)


def _moves(parts: Parts) -> Iterator[Move]:
    for (early, firsts), (late, seconds) in combinations(enumerate(parts), 2):
        for right in ("C", "P"):
            units = -sum((one.quantity * one.multiplier for one in firsts if one.right == right), ZERO)
            long = [
                (leg.strike, index)
                for index, leg in enumerate(seconds)
                if leg.right == right and leg.quantity > 0
            ]
            for _, index in sorted(long, reverse=right == "P") if units > 0 else ():
                leg = seconds[index]
                yield Move(early, late, index, min(leg.quantity, _up(units, leg.multiplier)))


def _up(units: Decimal, multiplier: Decimal) -> Decimal:
    """Return how many contracts are so many units or more: what falls short by a rounding would stay naked."""
    contracts = divide(units, multiplier)
    return contracts if contracts * multiplier >= units else contracts + LEAST


def moved(parts: Parts, move: Move) -> Parts:
    """Return the parts after one move."""
    leg = parts[move.late][move.leg]
    rest = Leg(leg.right, leg.strike, leg.quantity - move.units, leg.multiplier)
    found = list(parts)
    found[move.early] = (*parts[move.early], Leg(leg.right, leg.strike, move.units, leg.multiplier))
    left = (rest,) if rest.quantity else ()
    found[move.late] = (*parts[move.late][: move.leg], *left, *parts[move.late][move.leg + 1 :])
    return tuple(found)


def _standing(parts: Parts) -> tuple[Decimal, Decimal]:
    """Return how much is naked and what can be lost, both 0 or below: the greater, the better."""
    shapes = [_shape(part) for part in parts]
    return sum((min(shape.slope, ZERO) for shape in shapes), ZERO), sum(
        (shape.worst for shape in shapes), ZERO
    )


@lru_cache(maxsize=4096)
def _shape(legs: tuple[Leg, ...]) -> Payoff:
    return payoff(legs)
