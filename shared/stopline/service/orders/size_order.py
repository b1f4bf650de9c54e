"""How large an order should be: the account's method, what makes it larger or smaller, and what the check lets pass."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from stopline.model.decimals import EXACT, ZERO, DecimalText, divide
from stopline.model.errors import Rejected
from stopline.model.instrument import Kind
from stopline.model.order import Order
from stopline.model.settings.sizing import Method, SizingSettings
from stopline.model.wire import Message
from stopline.risk import sizing
from stopline.risk.sizing import Size, Step
from stopline.rules.limits.registry import in_force
from stopline.rules.orders.decision import Desk
from stopline.rules.orders.filled import risk_of
from stopline.rules.orders.pretrade import check
from stopline.rules.orders.risk import OrderRisk
from stopline.service.orders.desk import OrderDesk, decision_facts, text
from stopline.service.orders.exposure import moved_value

HUNDRED = Decimal(100)
Positive = Annotated[DecimalText, Field(gt=0)]


class SizeRequest(Message):
    """An order whose `quantity` is to be found, and what the methods need to know.

    `win_rate` (0 to 1) and `payoff` (average win / average loss) are for `kelly`. `volatility`: of the underlying,
    yearly (0.2 is 20 %); without it the daily returns' is taken. `usual_volatility` is what the present one is compared
    with. `signal`: its strength, 1 is ordinary. `results`: P&L of the last trades, oldest first. `volume`: units of the
    least traded leg that change hands on an ordinary day.
    """

    order: Order
    method: Method | None = None
    win_rate: Annotated[DecimalText, Field(ge=0, le=1)] | None = None
    payoff: Positive | None = None
    signal: Annotated[DecimalText, Field(ge=0, le=10)] | None = None
    volatility: Positive | None = None
    usual_volatility: Positive | None = None
    volume: Annotated[DecimalText, Field(ge=0)] | None = None
    results: Annotated[tuple[DecimalText, ...], Field(max_length=1000)] = ()


class OrderSizer:
    """Sizes orders by what is stored now. It changes nothing."""

    def __init__(self, desk: OrderDesk) -> None:
        self._desk = desk

    def size(self, name: str, request: SizeRequest) -> dict[str, Any]:
        """Return the size as plain data, with the check of an order of that size. Raises Rejected when the method
        lacks a number that it needs, and as the check does.
        """
        order, desk, versions = self._desk.prepare(name, request.order, returns=True)
        order = order.sized(order.lot)
        chosen = size_of(request, order, desk)
        wanted = chosen.quantity
        decision = check(order.sized(wanted) if wanted else order, desk)
        quantity = min(wanted, decision.largest)
        if wanted and quantity < wanted and quantity:
            decision = check(order.sized(quantity), desk)
        reason = chosen.reason or ("" if quantity else "the check refuses even one lot")
        if decision.reducing and not quantity:
            reason = f"it reduces what is held, and needs no size: up to {decision.largest:f} pass"
        return {
            "account": name,
            "method": request.method or desk.account.sizing.method,
            "quantity": text(quantity),
            "wanted": text(wanted),
            "lot": text(order.lot),
            "capped_by": chosen.capped_by or None,
            "capped_by_check": bool(wanted) and quantity < wanted,
            "steps": [{"name": step.name, "factor": text(round(step.factor, 6))} for step in chosen.steps],
            "reason": reason,
            "check": decision_facts(decision, desk, versions),
        }


def size_of(request: SizeRequest, order: Order, desk: Desk) -> Size:
    """Return the size by the account's method and steps, capped by its limit on a position's value and by liquidity."""
    settings = desk.account.sizing
    risk = risk_of(order, desk)
    if risk is None:
        return Size(ZERO, reason="an instrument has no usable price")
    rate = desk.rate(order.legs[0].instrument.currency)
    equity = desk.figures.equity
    if equity is None or rate is None:
        return Size(ZERO, reason="equity is unknown: a price or a rate is missing or stale")
    value = EXACT.multiply(abs(risk.entry), rate)
    base = _base(request, settings, desk, equity, value, risk, rate)
    if isinstance(base, str):
        return Size(ZERO, reason=base)
    caps = {"max_position_value": _value_cap(desk, equity, value), "volume": _volume_cap(request, settings)}
    known = {name: cap for name, cap in caps.items() if cap is not None}
    return sizing.sized(base, _steps(request, settings, order, desk), known, order.lot)


def _base(
    request: SizeRequest,
    settings: SizingSettings,
    desk: Desk,
    equity: Decimal,
    value: Decimal,
    risk: OrderRisk,
    rate: Decimal,
) -> Decimal | str:
    """Return the units by the method, or why there are none."""
    method = request.method or settings.method
    loss = None if risk.loss is None else EXACT.multiply(risk.loss, rate)
    if method in ("kelly", "fixed_fractional"):
        fraction = settings.risk / HUNDRED
        if method == "kelly":
            fraction = sizing.half_kelly(
                _given(request.win_rate, "win_rate"), _given(request.payoff, "payoff")
            )
            if not fraction:
                return "there is no edge: what is won does not pay for what is lost"
        if loss is None:
            return risk.fault
        return sizing.by_risk(equity, fraction, loss) if loss else "one unit can lose nothing"
    if method == "risk_parity" and any(leg.instrument.kind is Kind.OPTION for leg in request.order.legs):
        moves = moved_value(request.order, desk)  # a premium moves many times as much as what it is on
        if isinstance(moves, str):
            return moves
        value = EXACT.multiply(moves, rate)
    if not value:
        return "one unit costs nothing: size it by its risk"
    if method == "fixed_amount":
        return sizing.by_amount(_given(settings.amount, "sizing.amount, in the account's settings,"), value)
    yearly = _volatility(request, desk)
    if yearly is None:
        return "the volatility is unknown: give `volatility`, or load closes"
    return sizing.by_volatility(equity, settings.volatility / HUNDRED, value, yearly)


def _steps(request: SizeRequest, settings: SizingSettings, order: Order, desk: Desk) -> list[Step]:
    """Return what makes the size larger or smaller; the trading state's share is always among it (R3.3)."""
    steps = []
    if settings.dynamic:
        if request.signal is not None:
            steps.append(Step("signal", sizing.signal_factor(request.signal)))
        now, usual = _volatility(request, desk), request.usual_volatility
        if now is not None and usual is not None:
            steps.append(Step("volatility", sizing.volatility_factor(now, usual)))
        if request.results:
            steps.append(Step("performance", sizing.performance_factor(request.results)))
    return [*steps, Step("trading state", desk.state.size)]


def _volatility(request: SizeRequest, desk: Desk) -> Decimal | None:
    if request.volatility is not None:
        return request.volatility
    known = desk.figures.market.volatilities.get(request.order.legs[0].instrument.underlying)
    return known if known else None


def _value_cap(desk: Desk, equity: Decimal, value: Decimal) -> Decimal | None:
    """Return the units that the limit on a position's value lets through, of this order alone."""
    share = next((t for limit, t, _ in in_force(desk.account) if limit.name == "max_position_value"), None)
    if share is None or not value:
        return None
    return divide(max(equity, ZERO) * share / HUNDRED, value)


def _volume_cap(request: SizeRequest, settings: SizingSettings) -> Decimal | None:
    """Return the units that are the account's share of an ordinary day's volume; None where that is not told."""
    if request.volume is None:
        return None
    most = max(leg.ratio for leg in request.order.legs)
    return divide(request.volume * settings.volume_share / HUNDRED, most)


def _given(value: Decimal | None, name: str) -> Decimal:
    if value is None:
        raise Rejected("MISSING_NUMBER", f"{name} is needed by this method")
    return value
