"""Whether an order truly reduces: in quantity, beside what is working already, and in what can be lost.

An order that is larger than the position flips it; one that closes the long leg of a spread leaves a naked short.
Neither reduces. Prices are not needed, so that closing is possible when data are missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from stopline.ledger.expiry import settles
from stopline.ledger.payoff import Leg, Payoff
from stopline.ledger.position import Position
from stopline.model.decimals import ZERO
from stopline.model.ids import position_key
from stopline.model.instrument import Instrument, Kind
from stopline.model.order import Order, WorkingOrder
from stopline.rules.orders.open_risk import option_leg_of, shape_of


class Held(NamedTuple):
    """A position as far as its payoff goes: `quantity`, signed."""

    key: str
    instrument: Instrument
    quantity: Decimal


def truly_reduces(order: Order, positions: Iterable[Position]) -> bool:
    """Tell whether every leg makes its position smaller without crossing zero, even when the working orders that
    close it too are filled first, and the payoff of each underlying gets no worse by it.
    """
    held = {p.key: p for p in positions}
    changes: dict[str, Decimal] = {}
    for leg in order.legs:
        key = position_key(order.strategy, leg.instrument.symbol)
        change = leg.signed * order.quantity
        left = _left(held.get(key), order.working)
        if not left or (left > 0) == (change > 0) or abs(change) > abs(left):
            return False
        changes[key] = change
    underlyings = {held[key].instrument.underlying for key in changes}
    group = [Held(p.key, p.instrument, p.quantity) for p in held.values()]
    return all(gets_no_worse(group, changes, underlying) for underlying in underlyings)


def _left(position: Position | None, working: Sequence[WorkingOrder]) -> Decimal:
    """Return what is left of a position when all working orders that close it are filled; 0 where none is."""
    if position is None:
        return ZERO
    left = position.quantity
    for order in working:
        same = position_key(order.strategy, order.instrument.symbol) == position.key
        if same and (order.signed > 0) != (position.quantity > 0):
            left += order.signed
    return left if left * position.quantity > 0 else ZERO


def gets_no_worse(positions: Iterable[Held], changes: Mapping[str, Decimal], underlying: str) -> bool:
    """Tell whether the payoff of an underlying gets no worse by changes of quantities, by key. Options of each settlement
    are judged alone, and together with later ones, which are worth what they would pay then or more: the long leg of a
    calendar covers its short one.
    """
    group = [p for p in positions if p.instrument.underlying == underlying]
    rest = [p for p in group if p.instrument.kind is not Kind.OPTION]
    options = [(settles(p.instrument), p) for p in group if p.instrument.kind is Kind.OPTION]
    for end in {at for at, _ in options}:
        alone = [p for at, p in options if at == end]
        with_later = [p for at, p in options if at >= end]
        if _is_worse([*rest, *alone], changes) or _is_worse([*rest, *with_later], changes):
            return False
    return bool(options) or not _is_worse(rest, changes)


_COINS = (Decimal("1e-12"), Decimal("1e12"))  # that a unit of money may be: less and more than at any price


def _is_worse(group: Sequence[Held], changes: Mapping[str, Decimal]) -> bool:
    """Judge what is inverse as very few coins and as very many: how many it is hangs on a price."""
    for coins in _COINS if any(p.instrument.inverse for p in group) else (Decimal(1),):
        before, after = _shape(group, {}, coins), _shape(group, changes, coins)
        if after.worst < before.worst or min(after.slope, ZERO) < min(before.slope, ZERO):
            return True
    return False


def _shape(group: Sequence[Held], changes: Mapping[str, Decimal], coins: Decimal) -> Payoff:
    """Return the payoff of an underlying's positions of one expiry: what is no option pays its price."""
    legs = []
    for p in group:
        quantity = p.quantity + changes.get(p.key, ZERO)
        leg = option_leg_of(p.instrument, quantity)
        if p.instrument.kind is not Kind.OPTION:
            size = p.instrument.multiplier
            leg = Leg("C", ZERO, quantity, size * coins if p.instrument.inverse else size)
        legs.append(Leg(leg.right, leg.strike, quantity, leg.multiplier))
    return shape_of(tuple(legs))
