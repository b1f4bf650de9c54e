"""What open positions can gain at most: the best that the P&L may be where prices are missing, so that a loss which is sure
already stops trading.

What is priced counts at its price. What is not counts at the best price it may have: a short share or coin at 0; options at
the highest payoff at expiry of all calls, or all puts, of one underlying and settlement. That bounds what they are worth
together at any moment: the prices of calls, and of puts, are convex in the strike and change by no more than it does
(Merton, 1973, "Theory of rational option pricing"; of American ones too, at rates of 0 or above). Calls and puts are not
set off against each other: an American box may be exercised on both sides. A long share, coin or call alone has no bound,
nor has a long put on what is known as a future: a future may be below 0.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from stopline.ledger.expiry import Settles, settles
from stopline.ledger.futures import is_on_future
from stopline.ledger.position import Position
from stopline.model.decimals import EXACT, ZERO
from stopline.model.instrument import Kind
from stopline.rules.orders.open_risk import Rate, Valued, add, converted, option_leg, shape_of

Side = tuple[str, Settles, str]
"""Options whose prices bound each other: of one underlying, settled together, all calls or all puts."""


def known_futures(positions: Iterable[Valued]) -> set[str]:
    """Return what futures that are held, and what they are on, are called."""
    held = (v.position.instrument for v in positions)
    futures = [contract for contract in held if contract.kind is Kind.FUTURE and not contract.inverse]
    return {name for contract in futures for name in (contract.symbol, contract.underlying)}


def best_unrealised(positions: Iterable[Valued], rate: Rate, futures: Collection[str] = ()) -> Decimal | None:
    """Return what positions have gained at most, in the account's currency: below 0 it is a sure loss. Where all have a
    price it is what they have gained. None: something has no bound, or no rate. `futures`: underlyings that are known to
    be futures beside those that are called like one (`ESZ6`).
    """
    parts: list[Decimal | None] = []
    sides: dict[Side, list[Valued]] = {}
    for v in positions:
        contract = v.position.instrument
        if contract.kind is Kind.OPTION:
            key = contract.underlying, settles(contract), contract.right or ""
            sides.setdefault(key, []).append(v)
        else:
            gain = _best_of_linear(v.position) if v.unrealised is None else v.unrealised
            parts.append(converted(gain, contract.currency, rate))
    for (underlying, end, right), legs in sides.items():
        below_zero = right == "P" and (underlying in futures or is_on_future(legs[0].position.instrument))
        parts.append(converted(_best_of_side(legs, below_zero), end.currency, rate))
    return add(parts)


def _best_of_linear(position: Position) -> Decimal | None:
    """Return what a position that is no option gains at its best price: the debt of a short one is 0 at best, and so is that
    of a long inverse contract. A future may have any price.
    """
    contract = position.instrument
    is_debt = position.quantity > 0 if contract.inverse else position.quantity < 0
    if not is_debt or (contract.kind is Kind.FUTURE and not contract.inverse):
        return None
    return EXACT.minus(position.cost)


def _best_of_side(legs: Sequence[Valued], below_zero: bool) -> Decimal | None:
    """Return the better-known of two bounds: of all legs by their payoff, and of the unpriced ones beside the prices of the
    rest. `below_zero`: they are puts on what may have a price below 0.
    """
    unpriced = [v for v in legs if v.unrealised is None]
    known = add(v.unrealised for v in legs if v.unrealised is not None)
    if not unpriced:
        return known
    bounds = [_best_payoff(legs, below_zero), add([known, _best_payoff(unpriced, below_zero)])]
    return min((bound for bound in bounds if bound is not None), default=None)


def _best_payoff(legs: Sequence[Valued], below_zero: bool) -> Decimal | None:
    """Return what calls, or puts, gain at the price at expiry that is best for them together; None: without bound."""
    opposite = tuple(replace(leg, quantity=-leg.quantity) for leg in (option_leg(v.position) for v in legs))
    shape = shape_of(opposite)  # the best of legs is the worst of their opposite
    if shape.slope < 0 or (below_zero and sum((leg.quantity * leg.multiplier for leg in opposite), ZERO) < 0):
        return None
    return EXACT.subtract(EXACT.minus(shape.worst), add(v.position.cost for v in legs) or ZERO)
