"""What refuses an order whatever the account holds: its state, its terms, its reward and its signal."""

from collections.abc import Mapping
from decimal import Decimal

from stopline.ledger.expiry import expiry_clock
from stopline.model.control import TradingState
from stopline.model.decimals import ZERO, divide
from stopline.model.instrument import Instrument, Kind
from stopline.model.order import Order
from stopline.rules.limits.limit import ACCOUNT
from stopline.rules.orders.decision import Desk, Reason
from stopline.rules.orders.risk import OrderRisk
from stopline.rules.orders.steps import off_steps
from stopline.rules.watching.breaks import EVERY

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


def name_of(order: Order) -> str:
    return "+".join(leg.instrument.symbol for leg in order.legs)


def refusals(order: Order, desk: Desk) -> list[Reason]:
    """Return what refuses any order that adds risk."""
    reasons = []
    if order.reduce_only:
        reasons.append(
            Reason(
                "not_reducing", name_of(order), "it does more than reduce what is held, or adds to its risk"
            )
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
        reasons += [
            Reason("blocked_instrument", what, desk.blocked[what])
            for what in (symbol, EVERY)
            if what in desk.blocked
        ]
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


def without_rate(order: Order, desk: Desk) -> list[Reason]:
    """Return the exchange rates that are missing: of what is ordered, and of what the account has money in."""
    own = desk.account.currency
    ordered = {leg.instrument.currency for leg in order.legs} - {own}
    pairs = {f"{currency}{own}" for currency in ordered if desk.rate(currency) is None}
    detail = "there is no usable exchange rate: a feed must send a price of that symbol"
    return [Reason("no_rate", pair, detail) for pair in sorted(pairs | set(desk.figures.unrated))]


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


def too_little(order: Order, desk: Desk, risk: OrderRisk) -> list[Reason]:
    """Return whether the order makes too little for what it risks."""
    account = desk.account
    least = account.risk.min_risk_reward
    least = MIN_RISK_REWARD[account.profile] if least is None else least
    ratio = None if risk.loss is None or risk.reward is None else divide(risk.reward, risk.loss or Decimal(1))
    if least and (ratio is None or ratio < least):
        unknown = "the order has no target, or no stop, that its reward could be measured by"
        text = unknown if ratio is None else "it makes too little for what it risks"
        return [Reason("risk_reward", name_of(order), text, limit=least, after=ratio, unit="x")]
    return []


def too_weak(order: Order, desk: Desk) -> list[Reason]:
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
