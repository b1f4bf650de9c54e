"""The check before an order: every reason against it at once, each with current, limit and after, and the largest
size that passes.

An order is held against the limits as if it and all working orders that add were filled, a spread counted once by its
payoff, and against the loss limits as if it were stopped out as well. What is UNKNOWN refuses: it fails closed. What
truly reduces always passes: it fails open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from stopline.ledger.expiry import expiry_clock
from stopline.ledger.position import Position
from stopline.model.account import Account
from stopline.model.control import Effective, TradingState
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.ids import position_key
from stopline.model.instrument import Instrument, Kind
from stopline.model.order import Order, OrderLeg, WorkingOrder
from stopline.rules.limits.exposure import position_name
from stopline.rules.limits.figures import Figures
from stopline.rules.limits.limit import ACCOUNT, Gate, Level, Reading, Scope, level_of
from stopline.rules.limits.registry import readings
from stopline.rules.orders.open_risk import Rate, Valued, converted, open_risks
from stopline.rules.orders.reducing import truly_reduces
from stopline.rules.orders.risk import OrderRisk, leg_price, order_risk
from stopline.rules.orders.steps import off_steps

MOST_LOTS = (
    1 << 50
)  # how far the largest size is looked for: a coin of 0.00001 is bought by the thousand million

TERMS = ("kind", "currency", "multiplier", "underlying", "expiry", "strike", "right", "inverse")

# What an order must bring, by profile, unless the account says otherwise (R2.6). Spreads sold for a credit risk more
# than they make, and a person who trades by hand has no signal: neither is asked for in zero_dte.
MIN_RISK_REWARD: Mapping[str, Decimal] = {
    "zero_dte": ZERO,
    "general": Decimal("1.5"),
    "conservative": Decimal(2),
}
MIN_CONFIDENCE: Mapping[str, Decimal] = {
    "zero_dte": ZERO,
    "general": Decimal("0.70"),
    "conservative": Decimal("0.80"),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason against an order. `code`: a limit's name, or another of docs/pretrade.md. None: UNKNOWN."""

    code: str
    object: str
    detail: str
    current: Decimal | None = None
    limit: Decimal | None = None
    after: Decimal | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Desk:
    """What an order is judged by. `marks`: usable prices only; `blocked`: instruments whose book is in doubt, and
    why; `rate` turns money into the account's currency. `silent`: brokers whose working orders must be known, and are not.
    """

    figures: Figures
    marks: Mapping[str, Decimal]
    rate: Rate
    state: Effective
    blocked: Mapping[str, str]
    silent: Sequence[str] = ()

    @property
    def account(self) -> Account:
        return self.figures.account

    @property
    def now(self) -> datetime:
        return self.figures.at


@dataclass(frozen=True, slots=True)
class Decision:
    """`largest`: the largest quantity that passes, 0 where none does. `loss`, `reward`: of the whole order at its stop
    and target, in the account's currency; None: UNKNOWN or without bound.
    """

    order: Order
    reducing: bool
    reasons: tuple[Reason, ...]
    largest: Decimal
    loss: Decimal | None
    reward: Decimal | None

    @property
    def approved(self) -> bool:
        return not self.reasons


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
    reasons = _refusals(order, desk)
    risk = risk_of(order, desk)
    if risk is None:
        missing = [x.instrument.symbol for x in order.legs if x.instrument.symbol not in desk.marks]
        reasons += [Reason("no_price", symbol, "there is no usable price") for symbol in missing]
        return reasons + _confidence(order, desk) + _spent(order, desk)
    if risk.loss is None:
        reasons.append(Reason("no_stop", _name(order), risk.fault))
    reasons += _reward(order, desk, risk) + _confidence(order, desk)
    return reasons + _against_limits(order, desk, risk)


def _reduces(order: Order, desk: Desk) -> bool:
    return truly_reduces(order, (v.position for v in desk.figures.positions))


def _name(order: Order) -> str:
    return "+".join(leg.instrument.symbol for leg in order.legs)


def _refusals(order: Order, desk: Desk) -> list[Reason]:
    """Return what refuses any order that adds risk."""
    reasons = []
    if order.reduce_only:
        reasons.append(
            Reason("not_reducing", _name(order), "it does more than reduce what is held, or adds to its risk")
        )
    state = desk.state
    if state.state is not TradingState.ACTIVE:
        reasons.append(Reason("trading_state", ACCOUNT, f"trading is {state.state.value}"))
    if order.epoch is not None and order.epoch != state.epoch:
        reasons.append(
            Reason(
                "stale_epoch",
                ACCOUNT,
                "the trading state has changed since the sender looked",
                current=Decimal(order.epoch),
                limit=Decimal(state.epoch),
            )
        )
    for leg in order.legs:
        symbol = leg.instrument.symbol
        if symbol in desk.blocked:
            reasons.append(Reason("blocked_instrument", symbol, desk.blocked[symbol]))
        if _is_over(leg.instrument, desk):
            reasons.append(Reason("expired", symbol, f"it expired on {leg.instrument.expiry}"))
        if (told := _other_terms(leg.instrument, desk)) is not None:
            reasons.append(Reason("other_terms", symbol, told))
    for broker in desk.silent:
        reasons.append(
            Reason("working_unknown", broker, "its working orders are not known, or were told too long ago")
        )
    for symbol, what, given, step in off_steps(order, desk.account.increments):
        detail = f"the {what} is not a multiple of {step:f}"
        reasons.append(Reason("off_step", symbol, detail, current=given, limit=step, unit=what))
    return reasons


def _other_terms(contract: Instrument, desk: Desk) -> str | None:
    """Tell how a contract is not the one of its symbol that the book holds: what it risks would be another's."""
    held = next(
        (
            v.position.instrument
            for v in desk.figures.positions
            if v.position.instrument.symbol == contract.symbol
        ),
        contract,
    )
    names = [name for name in TERMS if getattr(held, name) != getattr(contract, name)]
    told = ", ".join(f"{name} {getattr(held, name)}, not {getattr(contract, name)}" for name in names)
    return f"the book holds it with {told}" if names else None


def _is_over(contract: Instrument, desk: Desk) -> bool:
    """Tell whether a contract trades no more."""
    if contract.expiry is None:
        return False
    if contract.kind is Kind.OPTION:
        return desk.now >= expiry_clock(contract, desk.account.sessions).trades_until
    return desk.figures.session > contract.expiry


def _prices(order: Order, desk: Desk) -> list[Decimal] | None:
    """Return the legs' prices; None where an instrument has no usable mark, whatever its limit price."""
    collar = desk.account.risk.market_collar
    prices = [leg_price(leg, desk.marks, collar) for leg in order.legs]
    known = [price for price in prices if price is not None]
    marked = all(leg.instrument.symbol in desk.marks for leg in order.legs)
    return known if marked and len(known) == len(prices) else None


def risk_of(order: Order, desk: Desk) -> OrderRisk | None:
    """Return the risk of one unit of an order; None without a usable price."""
    prices = _prices(order, desk)
    return None if prices is None else order_risk(order, prices)


def _reward(order: Order, desk: Desk, risk: OrderRisk) -> list[Reason]:
    """Return whether the order makes too little for what it risks."""
    account = desk.account
    least = account.risk.min_risk_reward
    least = MIN_RISK_REWARD[account.profile] if least is None else least
    ratio = None if risk.loss is None or risk.reward is None else divide(risk.reward, risk.loss or Decimal(1))
    if least and (ratio is None or ratio < least):
        unknown = "the order has no target, or no stop, that its reward could be measured by"
        text = unknown if ratio is None else "it makes too little for what it risks"
        return [Reason("risk_reward", _name(order), text, limit=least, after=ratio, unit="x")]
    return []


def _confidence(order: Order, desk: Desk) -> list[Reason]:
    """Return whether the order's signal is too weak, or does not say how strong it is."""
    account = desk.account
    sure = account.risk.min_confidence
    sure = MIN_CONFIDENCE[account.profile] if sure is None else sure
    if sure and (order.confidence is None or order.confidence < sure):
        text = (
            "the signal's confidence is not given" if order.confidence is None else "the signal is too weak"
        )
        return [Reason("confidence", order.strategy, text, limit=sure, after=order.confidence)]
    return []


def _spent(order: Order, desk: Desk) -> list[Reason]:
    """Return what refuses an order whatever it costs: losses that are beyond their limit already, or unknown."""
    involved = _involved(order)
    found = [
        _reason(reading, reading, desk.state.size)
        for reading in readings(desk.figures, {})
        if reading.limit.gate is Gate.BUDGET and reading.object in involved
    ]
    return [replace(reason, after=None) for reason in found if reason]


def _against_limits(order: Order, desk: Desk, risk: OrderRisk) -> list[Reason]:
    """Hold the account against its limits with the order filled: alone, and with what works in `_worst_cases`."""
    before = {r.key: r for r in readings(desk.figures, {})}
    involved = _involved(order)
    found: dict[str, Reason] = {}
    for working in _worst_cases(order, desk):
        after, unpriced = _filled(order, desk, working)
        for symbol in unpriced:
            found[symbol] = Reason("no_price", symbol, "a working order has no usable price")
        lost = converted(  # without a stop the order is refused for that alone
            EXACT.multiply(risk.loss or ZERO, order.quantity),
            order.legs[0].instrument.currency,
            desk.rate,
        )
        stopped = {r.key: r for r in readings(_stopped(after, order, lost), {})}
        for reading in readings(after, {}):
            if reading.object not in involved and not involved & set(reading.object.split("/")):
                continue
            last = stopped[reading.key] if reading.limit.gate is Gate.BUDGET else reading
            reason = _reason(last, before.get(reading.key), desk.state.size)
            if reason:
                found[reading.key] = reason
    return list(found.values())


def _involved(order: Order) -> set[str]:
    names = {ACCOUNT, order.strategy}
    for leg in order.legs:
        symbol = leg.instrument.symbol
        names |= {symbol, leg.instrument.underlying, position_name(position_key(order.strategy, symbol))}
    return names


def _reason(after: Reading, before: Reading | None, size: Decimal) -> Reason | None:
    limit, current = after.limit, before.current if before else ZERO
    threshold = after.threshold
    if limit.gate is Gate.SIZE and limit.scope is Scope.INSTRUMENT and size:
        threshold = EXACT.multiply(threshold, size)  # half-open: a share of the usual size
    facts = {"current": current, "limit": threshold, "after": after.current, "unit": after.unit}
    if after.current is None:
        detail = f"{limit.what} is unknown; to trade without it switch {limit.name} off by name"
        return Reason(limit.name, after.object, detail, **facts)  # type: ignore[arg-type]
    breached = level_of(after.current, threshold, limit.inclusive, Level.OK) is Level.BREACH
    if limit.gate is Gate.BUDGET:
        breached = breached or (before is not None and before.level is Level.BREACH)
    elif limit.gate is Gate.SIZE and current is not None and after.current <= current:
        breached = False  # no worse by this order
    if not breached:
        return None
    return Reason(limit.name, after.object, f"{limit.what} would be beyond its limit", **facts)  # type: ignore[arg-type]


def _stopped(f: Figures, order: Order, lost: Decimal | None) -> Figures:
    """Return the figures after the order was stopped out; UNKNOWN without a stop."""

    def less(amount: Decimal | None) -> Decimal | None:
        return None if amount is None or lost is None else EXACT.subtract(amount, lost)

    return replace(
        f,
        total=less(f.total),
        pnl_day=less(f.pnl_day),
        strategies={**f.strategies, order.strategy: less(f.strategies.get(order.strategy, ZERO))},
    )


def _worst_cases(order: Order, desk: Desk) -> list[tuple[WorkingOrder, ...]]:
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


def _filled(order: Order, desk: Desk, working: Sequence[WorkingOrder]) -> tuple[Figures, list[str]]:
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


def legs_of(order: Order) -> Sequence[Instrument]:
    """Return the contracts of an order and of the working orders beside it."""
    return [leg.instrument for leg in order.legs] + [w.instrument for w in order.working]
