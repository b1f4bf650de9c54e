"""The steps that an order's quantity and prices come in: those that it asks for, and those of its contracts."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from math import lcm

from stopline.model.decimals import EXACT
from stopline.model.increments import Increments, increments_of, is_multiple
from stopline.model.order import Order


def with_lot(order: Order, known: Mapping[str, Increments]) -> Order:
    """Return an order whose lot is the least quantity that is whole in its own lot, if it names one, and in those of all
    its legs.
    """
    steps = [
        Fraction(lot) / Fraction(leg.ratio)
        for leg in order.legs
        if (lot := increments_of(known, leg.instrument).lot) is not None
    ]
    if "lot" in order.model_fields_set or len(steps) < len(order.legs):
        steps.append(Fraction(order.lot))
    whole = steps[0]
    for step in steps[1:]:
        whole = Fraction(
            lcm(whole.numerator * step.denominator, step.numerator * whole.denominator),
            whole.denominator * step.denominator,
        )
    parts = whole.denominator
    for factor in (2, 5):
        while parts % factor == 0:
            parts //= factor
    whole *= parts  # thirds are no decimals: three of them are
    lot = EXACT.divide(Decimal(whole.numerator), Decimal(whole.denominator))
    return order if lot == order.lot else order.model_copy(update={"lot": lot})


def off_steps(order: Order, known: Mapping[str, Increments]) -> Iterator[tuple[str, str, Decimal, Decimal]]:
    """Yield (symbol, what, number, step) of every quantity and limit price that is no whole number of steps."""
    for leg in order.legs:
        steps, quantity = increments_of(known, leg.instrument), EXACT.multiply(leg.ratio, order.quantity)
        if steps.lot is not None and not is_multiple(quantity, steps.lot):
            yield leg.instrument.symbol, "quantity", quantity, steps.lot
        price = leg.limit_price
        if steps.tick is not None and price is not None and not is_multiple(price, steps.tick):
            yield leg.instrument.symbol, "limit price", price, steps.tick
