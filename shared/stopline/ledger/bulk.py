"""The bulk fold of a replay: the same positions as fill by fill, in half the time, without what each fill booked.

First in, first out, what is open is what was opened last. So the newest fills say the lots, and the sums of all say what
was made: cash + cost - realised = 0.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import accumulate
from operator import mul, not_

from stopline.ledger.position import FIFO, Open, Position, exactly
from stopline.model.decimals import ZERO
from stopline.model.fill import Fill, Terms


def fold_all(fills: Iterable[Fill], method: str = FIFO) -> dict[str, Position]:
    """Fold the distinct fills of many positions, given in any order, from nothing; quickest in fold order."""
    fills = list(fills)
    groups: dict[str, list[Terms]] = {}
    homes: dict[str, Fill] = {}
    if not fills:
        return {}
    last = fills[0].order
    for fill in fills:  # each is looked at once: they lie all over the memory
        terms = fill.terms
        place = terms[0]
        if place[0] <= last[0] and place < last:
            return fold_all(sorted(fills, key=lambda fill: fill.order), method)
        last = place
        key = terms[5]
        group = groups.get(key)
        if group is None:
            groups[key], homes[key] = [terms], fill
        else:
            group.append(terms)
    positions = {key: Position(home.instrument, home.strategy, method=method) for key, home in homes.items()}
    with exactly():
        special = {key for key, position in positions.items() if not _fold_trades(position, groups[key])}
        if special:
            for fill in fills:
                if fill.position_key in special:
                    positions[fill.position_key].apply(fill)
    return positions


def _fold_trades(position: Position, terms: list[Terms]) -> bool:
    """Fold plain trades first in, first out onto a new position; False, and nothing is done, where some are not."""
    places, units, prices, fees, plain, _ = zip(*terms, strict=True)
    if not (position.is_plain and all(plain)):
        return False
    held = list(accumulate(units))
    quantity = position.units = held[-1]
    position.open, spent = _newest(quantity, terms)
    multiplier = position.instrument.multiplier
    position.spent = spent * multiplier
    position.realised = (spent - sum(map(mul, units, prices), ZERO)) * multiplier
    position.fees = sum(fees, ZERO)
    position.fills, position.last, position.last_price = len(terms), places[-1], prices[-1]
    begun = bytes(map(not_, held)).rfind(1, 0, -1) + 1  # behind the last time that it was flat
    position.cycle = places[begun]
    if quantity:
        other = not quantity.is_signed()
        flipped = bytes(map(Decimal.is_signed, held)).rfind(other, begun, -1) + 1
        position.opened_at = places[flipped or begun][0]
    return True


def _newest(left: Decimal, terms: Sequence[Terms]) -> tuple[deque[Open], Decimal]:
    """Return the lots that `left` open units are of, and what they were bought for, a multiplier of 1."""
    lots: deque[Open] = deque()
    spent, short = ZERO, left.is_signed()
    newest = reversed(terms)
    while left:
        place, size, price, *_ = next(newest)
        if size.is_signed() is not short:
            continue
        rest = left - size
        if rest and rest.is_signed() is not short:  # only the last part of this fill is open
            size, rest = left, ZERO
        lots.appendleft((size, price, place))
        spent += size * price
        left = rest
    return lots, spent
