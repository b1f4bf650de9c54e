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
    helpless: set[tuple[int, int]] = set()
    while (move := _next(parts, helpless)) is not None:
        parts = moved(parts, move)
        helpless -= {pair for pair in helpless if move.early in pair or move.late in pair}
        made.append(move)
    return tuple(made)


def _next(parts: Parts, helpless: set[tuple[int, int]]) -> Move | None:
    """Return the first move that helps: those that cover best are tried first, so that a large book takes few tries. Pairs
    of parts between which none does are noted in `helpless`: they are not tried again while both are as they are.
    """
    for early, late in combinations(range(len(parts)), 2):
        if (early, late) not in helpless:
            before = None
            for move in moves(parts, early, late):
                before = before or _standing(parts, early, late)
                if _standing(moved(parts, move), early, late) > before:
                    return move
            helpless.add((early, late))
    return None


def moves(parts: Parts, early: int, late: int) -> Iterator[Move]:
    """Yield the moves between two parts that may help, those first that cover best."""
    for right in ("C", "P"):
        units = -sum((one.quantity * one.multiplier for one in parts[early] if one.right == right), ZERO)
        long = [
            (leg.strike, index)
            for index, leg in enumerate(parts[late])
            if leg.right == right and leg.quantity > 0
        ]
        for _, index in sorted(long, reverse=right == "P") if units > 0 else ():
            leg = parts[late][index]
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


def _standing(parts: Parts, *some: int) -> tuple[Decimal, Decimal]:
    """Return how much is naked in some parts and what they can lose, both 0 or below: the greater, the better."""
    shapes = [_shape(parts[number]) for number in some]
    return sum((min(shape.slope, ZERO) for shape in shapes), ZERO), sum(
        (shape.worst for shape in shapes), ZERO
    )


@lru_cache(maxsize=4096)
def _shape(legs: tuple[Leg, ...]) -> Payoff:
    return payoff(legs)
