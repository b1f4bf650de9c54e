"""What an order costs, and what it loses at its stop and makes at its target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from stopline.ledger.expiry import settles
from stopline.ledger.payoff import margin_of
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.instrument import Kind
from stopline.model.order import Order, OrderLeg
from stopline.rules.orders.open_risk import option_leg_of

HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class OrderRisk:
    """One unit of an order, in its currency. `entry`: money paid for it (below 0: a credit). `loss` at the stop, else
    the most that its options can lose; None: there is no stop and no bound. `reward` at the target, else the most that
    its options can make; None: unknown or without bound. `fault`: what is wrong with the stop.
    """

    entry: Decimal
    loss: Decimal | None
    reward: Decimal | None
    fault: str = ""


def leg_price(leg: OrderLeg, marks: Mapping[str, Decimal], collar: Decimal) -> Decimal | None:
    """Return what a leg is executed at: its limit, else its mark and the collar (in percent) to the worse side."""
    if leg.limit_price is not None:
        return leg.limit_price
    mark = marks.get(leg.instrument.symbol)
    if mark is None:
        return None
    beyond = divide(EXACT.multiply(abs(mark), collar), HUNDRED)
    return mark + beyond if leg.side == "BUY" else max(mark - beyond, ZERO) if mark >= 0 else mark - beyond


def order_risk(order: Order, prices: Sequence[Decimal]) -> OrderRisk:
    """Return the risk of one unit of an order whose legs are executed at `prices`."""
    entry = ZERO
    for leg, price in zip(order.legs, prices, strict=True):
        entry = EXACT.add(entry, EXACT.multiply(leg.signed, leg.instrument.worth(price)))
    loss, fault = _at_stop(order, prices, entry)
    reward = None
    if order.target is not None:
        at_target = _quoted(order, prices, order.target)
        reward = None if at_target is None else max(EXACT.subtract(at_target, entry), ZERO)
    elif _has_payoff(order):
        reward = _bounds(order, prices)[1]
    return OrderRisk(entry, loss, reward, fault)


def _at_stop(order: Order, prices: Sequence[Decimal], entry: Decimal) -> tuple[Decimal | None, str]:
    bound = _bounds(order, prices)[0] if _has_payoff(order) else None
    if order.stop is None:
        return bound, "" if bound is not None else "the order has no stop, and its loss has no bound"
    at_stop = _quoted(order, prices, order.stop)
    if at_stop is None:
        return None, f"the stop is no price of {order.legs[0].instrument.symbol}"
    loss = EXACT.subtract(entry, at_stop)
    if loss <= 0:
        return None, "the stop is not on the losing side of the price"
    return loss if bound is None else min(loss, bound), ""


def _quoted(order: Order, prices: Sequence[Decimal], price: Decimal) -> Decimal | None:
    """Return the money that one unit stands for at a price of the whole, as it is quoted: without a sign. None: an inverse
    contract has no such price.
    """
    first = order.legs[0]
    if len(order.legs) == 1:
        if first.instrument.inverse and price <= 0:
            return None
        return EXACT.multiply(first.signed, first.instrument.worth(price))
    net = sum(
        (leg.signed * leg.instrument.multiplier * p for leg, p in zip(order.legs, prices, strict=True)), ZERO
    )
    units = first.instrument.multiplier
    if len({leg.instrument.multiplier for leg in order.legs}) > 1:
        units = EXACT.multiply(units, first.ratio)  # of shares and contracts: as many units of each
    worth = EXACT.multiply(price, units)
    return worth if net >= 0 else -worth


def _has_payoff(order: Order) -> bool:
    """Tell whether one price says what all legs are worth in the end: options that settle together, with or without shares
    of their underlying.
    """
    contracts = [leg.instrument for leg in order.legs]
    options = [contract for contract in contracts if contract.kind is Kind.OPTION]
    if len({(contract.underlying, settles(contract)) for contract in options}) != 1:
        return False
    on = options[0].underlying
    return all(c in options or (c.kind is Kind.EQUITY and c.symbol == on) for c in contracts)


def _bounds(order: Order, prices: Sequence[Decimal]) -> tuple[Decimal | None, Decimal | None]:
    """Return the most that one unit of an order of options, and of shares beside them, can lose and make; None: without
    bound. A share pays like a call struck at zero.
    """
    legs = [option_leg_of(leg.instrument, leg.signed) for leg in order.legs]
    found = margin_of(legs, list(prices))
    return found.max_loss, found.max_profit
