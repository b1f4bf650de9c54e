"""An account as if an order, and orders that work beside it, were filled; and as if the order were then stopped out."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from stopline.ledger.position import Position
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.ids import position_key
from stopline.model.instrument import Instrument
from stopline.model.order import Order, OrderLeg, WorkingOrder
from stopline.rules.limits.figures import Figures
from stopline.rules.orders.decision import Desk
from stopline.rules.orders.open_risk import Valued, converted, open_risks
from stopline.rules.orders.risk import OrderRisk, leg_price, order_risk


def risk_of(order: Order, desk: Desk) -> OrderRisk | None:
    """Return the risk of one unit of an order; None without a usable price."""
    prices = _prices(order, desk)
    return None if prices is None else order_risk(order, prices)


def _prices(order: Order, desk: Desk) -> list[Decimal] | None:
    """Return the legs' prices; None where an instrument has no usable mark, whatever its limit price."""
    collar = desk.account.risk.market_collar
    prices = [leg_price(leg, desk.marks, collar) for leg in order.legs]
    known = [price for price in prices if price is not None]
    marked = all(leg.instrument.symbol in desk.marks for leg in order.legs)
    return known if marked and len(known) == len(prices) else None


def worst_cases(order: Order, desk: Desk) -> list[tuple[WorkingOrder, ...]]:
    """Return which working orders may be filled before the order: none, those that add (all, and those of each side: of an
    entry and its opposite one may be filled alone), those that go the order's way (with a close that works already it
    may pass zero), and all (a close may take the long leg of a spread away).
    """
    held = {v.position.key: v.position.quantity for v in desk.figures.positions}
    ways = {position_key(order.strategy, leg.instrument.symbol): leg.signed > 0 for leg in order.legs}

    def adds(working: WorkingOrder) -> bool:
        return held.get(_key(working), ZERO) * working.signed >= 0

    def goes_along(working: WorkingOrder) -> bool:
        way = ways.get(_key(working))
        return adds(working) if way is None else way is (working.signed > 0)

    every = order.working
    more = tuple(filter(adds, every))
    sides = [tuple(w for w in more if (w.signed > 0) is buys) for buys in (True, False)]
    cases = [(), more, *sides, tuple(filter(goes_along, every)), every]
    return list(dict.fromkeys(cases))


def _key(working: WorkingOrder) -> str:
    return position_key(working.strategy, working.instrument.symbol)


def filled(order: Order, desk: Desk, working: Sequence[WorkingOrder]) -> tuple[Figures, list[str]]:
    """Return the figures as if the order and working ones were filled, and those of them that cannot be valued."""
    f = desk.figures
    held = {v.position.key: v for v in f.positions}
    unpriced = []
    for one in working:
        leg = OrderLeg(instrument=one.instrument, side=one.side, limit_price=one.limit_price)
        price = leg_price(leg, desk.marks, desk.account.risk.market_collar)
        if price is None or one.instrument.symbol not in desk.marks:
            unpriced.append(one.instrument.symbol)
        else:
            _add(held, one.strategy, one.instrument, one.signed, price, desk)
    for leg, price in zip(order.legs, _prices(order, desk) or (), strict=True):
        change = EXACT.multiply(leg.signed, order.quantity)
        _add(held, order.strategy, leg.instrument, change, price, desk)
    positions = [v for _, v in sorted(held.items()) if not v.position.is_flat]
    account, rate = desk.account, desk.rate
    risks = open_risks(positions, rate, account.risk.margin_rates, f.market.spots)
    after = replace(
        f,
        positions=positions,
        position_values={
            v.position.key: converted(
                None if v.value is None else abs(v.value), v.position.instrument.currency, rate
            )
            for v in positions
        },
        exposures={underlying: risk.exposure for underlying, risk in risks.items()},
        risks=risks,
    )
    return after, unpriced


def _add(
    held: dict[str, Valued], strategy: str, contract: Instrument, change: Decimal, price: Decimal, desk: Desk
) -> None:
    """Book a change of a position: the average cost of what is left, the order's price for what is new."""
    key = position_key(strategy, contract.symbol)
    known = held.get(key)
    quantity, cost = (known.position.quantity, known.position.cost) if known else (ZERO, ZERO)
    opened = known.position.opened_at if known else desk.now
    after = EXACT.add(quantity, change)
    bought = EXACT.multiply(change, contract.worth(price))
    if not quantity or (quantity > 0) == (change > 0):
        cost = EXACT.add(cost, bought)
    elif after * quantity > 0:
        cost = divide(EXACT.multiply(cost, after), quantity)
    else:
        cost, opened = EXACT.multiply(after, contract.worth(price)), desk.now
    position = Position(contract, strategy, units=after, spent=cost, opened_at=opened if after else None)
    mark = known.mark if known else desk.marks.get(contract.symbol)
    value = None if mark is None else EXACT.multiply(after, contract.worth(mark))
    held[key] = Valued(position, mark, value, None if value is None else EXACT.subtract(value, cost))


def stopped_out(f: Figures, order: Order, lost: Decimal | None) -> Figures:
    """Return the figures after the order was stopped out; UNKNOWN without a stop."""

    def less(amount: Decimal | None) -> Decimal | None:
        return None if amount is None or lost is None else EXACT.subtract(amount, lost)

    return replace(
        f,
        total=less(f.total),
        pnl_day=less(f.pnl_day),
        strategies={**f.strategies, order.strategy: less(f.strategies.get(order.strategy, ZERO))},
    )


def legs_of(order: Order) -> Sequence[Instrument]:
    """Return the contracts of an order and of the working orders beside it."""
    return [leg.instrument for leg in order.legs] + [w.instrument for w in order.working]
