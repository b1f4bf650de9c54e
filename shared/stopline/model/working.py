"""Orders that are at the broker already: which of them may make a position larger, or turn it round."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from stopline.model.decimals import ZERO


class Working(NamedTuple):
    """What an order of one position may still execute: `units`, signed. `one_of`: the same text in orders of which one
    cancels the others as it fills (a stop and a target). `reduce_only`: the broker itself never lets it do more.
    """

    id: str
    units: Decimal
    one_of: str = ""
    reduce_only: bool = False


def same_side(units: Decimal, working: Sequence[Working]) -> Decimal:
    """Return what orders of the side of `units` may still execute, signed like it; those of the other side do not count.

    Of orders of which one cancels the others the largest counts.
    """
    groups: dict[str, Decimal] = {}
    alone = ZERO
    for order in working:
        if (order.units > 0) is not (units > 0):
            continue
        if order.one_of:
            groups[order.one_of] = max(groups.get(order.one_of, ZERO), order.units, key=abs)
        else:
            alone += order.units
    return alone + sum(groups.values(), ZERO)


def adding(held: Decimal, working: Sequence[Working]) -> list[str]:
    """Return the ids of the orders that may add risk to a position of `held` units, signed, in the order given.

    What stays can be filled wholly, in any order, and the position only gets smaller. Reduce-only orders stay, then those
    that come first; of orders of which one cancels the others the largest counts.
    """
    room = abs(held)
    counted: dict[str, Decimal] = {}
    found = set()
    for order in sorted(working, key=lambda one: not one.reduce_only):
        units = abs(order.units)
        more = max(units - counted.get(order.one_of, ZERO), ZERO) if order.one_of else units
        goes_on = bool(held) and (order.units > 0) is (held > 0)
        if not order.reduce_only and (goes_on or more > room):
            found.add(order.id)
            continue
        if not goes_on:
            room = max(room - more, ZERO)
            if order.one_of:
                counted[order.one_of] = max(counted.get(order.one_of, ZERO), units)
    return [order.id for order in working if order.id in found]
