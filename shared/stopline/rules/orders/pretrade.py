"""The check before an order: every reason against it at once, each with current, limit and after, and the largest
size that passes.

An order is held against the limits as if it and all working orders that add were filled, a spread counted once by its
payoff, and against the loss limits as if it were stopped out as well. What is UNKNOWN refuses: it fails closed. What
truly reduces always passes: it fails open.
"""

from dataclasses import replace
from decimal import Decimal

from stopline.model.decimals import EXACT, ZERO
from stopline.model.ids import position_key
from stopline.model.order import Order
from stopline.rules.limits.exposure import position_name
from stopline.rules.limits.limit import ACCOUNT, Gate, Level, Reading, Scope, level_of
from stopline.rules.limits.registry import readings
from stopline.rules.limits.stops import furthest, is_worse
from stopline.rules.orders.decision import Decision, Desk, Reason
from stopline.rules.orders.filled import filled, risk_of, stopped_out, worst_cases
from stopline.rules.orders.open_risk import converted
from stopline.rules.orders.reducing import truly_reduces
from stopline.rules.orders.refusals import name_of, refusals, too_little, too_weak, without_rate
from stopline.rules.orders.risk import OrderRisk

MOST_LOTS = (
    1 << 50
)  # how far the largest size is looked for: a coin of 0.00001 is bought by the thousand million


def check(order: Order, desk: Desk) -> Decision:
    """Return the decision on an order, with every reason against it and the largest size that passes."""
    reasons = reasons_against(order, desk)
    risk = risk_of(order, desk)
    currency = order.legs[0].instrument.currency

    def money(amount: Decimal | None) -> Decimal | None:
        whole = None if amount is None else EXACT.multiply(amount, order.quantity)
        return converted(whole, currency, desk.rate)

    return Decision(
        order,
        _reduces(order, desk),
        tuple(reasons),
        largest(order, desk),
        money(risk.loss if risk else None),
        money(risk.reward if risk else None),
    )


def largest(order: Order, desk: Desk) -> Decimal:
    """Return the largest quantity, in lots, that passes; at most MOST_LOTS. The answer itself was checked, and one
    lot more is refused.
    """

    def passes(lots: int) -> bool:
        return not reasons_against(order.sized(order.lot * lots), desk)

    if not passes(1):
        return ZERO
    low, high = 1, 2
    while high <= MOST_LOTS and passes(high):
        low, high = high, high * 2
    high = min(high, MOST_LOTS + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return EXACT.multiply(order.lot, Decimal(low))


def reasons_against(order: Order, desk: Desk) -> list[Reason]:
    """Return every reason against an order; none: it may be sent."""
    if _reduces(order, desk):
        return []
    reasons = [*refusals(order, desk), *without_rate(order, desk)]
    risk = risk_of(order, desk)
    if risk is None:
        missing = [x.instrument.symbol for x in order.legs if x.instrument.symbol not in desk.marks]
        reasons += [Reason("no_price", symbol, "there is no usable price") for symbol in missing]
        return reasons + too_weak(order, desk) + _spent(order, desk)
    if risk.loss is None:
        reasons.append(Reason("no_stop", name_of(order), risk.fault))
    reasons += too_little(order, desk, risk) + too_weak(order, desk)
    return reasons + _against_limits(order, desk, risk)


def _reduces(order: Order, desk: Desk) -> bool:
    return truly_reduces(order, (v.position for v in desk.figures.positions))


def _spent(order: Order, desk: Desk) -> list[Reason]:
    """Return what refuses an order whatever it costs: losses that are beyond their limit already, or unknown."""
    involved = _involved(order)
    found = [
        _reason(reading, reading, desk)
        for reading in readings(desk.figures, {})
        if reading.limit.gate is Gate.BUDGET and reading.object in involved
    ]
    return [replace(reason, after=None) for reason in found if reason]


def _against_limits(order: Order, desk: Desk, risk: OrderRisk) -> list[Reason]:
    """Hold the account against its limits with the order filled: alone, and with what works in `worst_cases`."""
    before = {r.key: r for r in readings(desk.figures, {})}
    involved = _involved(order)
    found: dict[str, Reason] = {}
    for working in worst_cases(order, desk):
        after, unpriced = filled(order, desk, working)
        for symbol in unpriced:
            found[symbol] = Reason("no_price", symbol, "a working order has no usable price")
        lost = converted(  # without a stop the order is refused for that alone
            EXACT.multiply(risk.loss or ZERO, order.quantity),
            order.legs[0].instrument.currency,
            desk.rate,
        )
        stopped = {r.key: r for r in readings(stopped_out(after, order, lost), {})}
        for reading in readings(after, {}):
            if reading.object not in involved and not involved & set(reading.object.split("/")):
                continue
            last = stopped[reading.key] if reading.limit.gate is Gate.BUDGET else reading
            reason = _reason(last, before.get(reading.key), desk)
            if reason:
                found[reading.key] = reason
    return list(found.values())


def _involved(order: Order) -> set[str]:
    names = {ACCOUNT, order.strategy}
    for leg in order.legs:
        symbol = leg.instrument.symbol
        names |= {symbol, leg.instrument.underlying, position_name(position_key(order.strategy, symbol))}
    return names


def _reason(after: Reading, before: Reading | None, desk: Desk) -> Reason | None:
    size, limit = desk.state.size, after.limit
    current, threshold = before.current if before else ZERO, after.threshold
    lifted = desk.lifted.get(after.key) if limit.gate is Gate.BUDGET else None
    if limit.gate is Gate.SIZE and limit.scope is Scope.INSTRUMENT and size:
        threshold = EXACT.multiply(threshold, size)  # half-open: a share of the usual size
    facts = {"current": current, "limit": threshold, "after": after.current, "unit": after.unit}
    if after.current is None:
        detail = f"{limit.what} is unknown; to trade without it switch {limit.name} off by name"
        return Reason(limit.name, after.object, detail, **facts)  # type: ignore[arg-type]
    breached = level_of(after.current, threshold, limit.inclusive, Level.OK) is Level.BREACH
    if lifted is not None:
        breached = is_worse(lifted, after)
        facts["limit"] = furthest(lifted, after)
    elif limit.gate is Gate.BUDGET:
        breached = breached or (before is not None and before.level is Level.BREACH)
    elif limit.gate is Gate.SIZE and current is not None and after.current <= current:
        breached = False  # no worse by this order
    if not breached:
        return None
    return Reason(limit.name, after.object, f"{limit.what} would be beyond its limit", **facts)  # type: ignore[arg-type]
