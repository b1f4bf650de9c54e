"""What open positions can lose and bind, by underlying: exposure, open max loss and model margin.

Options count with the worst payoff at expiry of all legs of an expiry: a spread once, at its width. None is
UNKNOWN: a price, a rate or, for naked calls, the underlying's price is missing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache

from stopline.ledger.payoff import Leg, Payoff, model_margin, payoff
from stopline.ledger.position import Position
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.instrument import Instrument, Kind
from stopline.model.settings.risk import MarginRates

Rate = Callable[[str], Decimal | None]
"""Money of the account's currency for one unit of another currency; None: unknown."""


@dataclass(frozen=True, slots=True)
class Valued:
    """A position at its mark; `mark`, `value` and `unrealised` are None without a usable price."""

    position: Position
    mark: Decimal | None
    value: Decimal | None
    unrealised: Decimal | None


@dataclass(frozen=True, slots=True)
class OpenRisk:
    """One underlying's risk in the account's currency, each 0 or above; None: UNKNOWN.

    `exposure`: shares, coins and futures with the size of their net value, options with their worst payoff and
    what was paid for them. `max_loss`: the same with the credits that were received taken off. `margin`: shares,
    coins and futures by the account's rates, options by their worst payoff, naked calls by Regulation T.
    """

    exposure: Decimal | None
    max_loss: Decimal | None
    margin: Decimal | None


def add(parts: Iterable[Decimal | None]) -> Decimal | None:
    """Sum exactly; unknown if a part is."""
    total = ZERO
    for part in parts:
        if part is None:
            return None
        total = EXACT.add(total, part)
    return total


def converted(amount: Decimal | None, currency: str, rate: Rate) -> Decimal | None:
    """Return an amount in the account's currency; nothing needs no rate."""
    if amount is None:
        return None
    if not amount:
        return ZERO
    factor = rate(currency)
    return None if factor is None else EXACT.multiply(amount, factor)


def open_risks(
    positions: Sequence[Valued], rate: Rate, rates: MarginRates, spots: Mapping[str, Decimal]
) -> dict[str, OpenRisk]:
    """Return the risk of each underlying. `spots` are prices of underlyings, where they are known."""
    groups: dict[str, list[Valued]] = {}
    for valued in positions:
        groups.setdefault(valued.position.instrument.underlying, []).append(valued)
    return {
        underlying: _open_risk(group, rate, rates, spots.get(underlying))
        for underlying, group in sorted(groups.items())
    }


def _open_risk(group: Sequence[Valued], rate: Rate, rates: MarginRates, spot: Decimal | None) -> OpenRisk:
    linear = [v for v in group if v.position.instrument.kind is not Kind.OPTION]
    value = add(converted(v.value, v.position.instrument.currency, rate) for v in linear)
    held = None if value is None else abs(value)
    bound = add(_linear_margin(v, rate, rates) for v in linear)
    cover = sum((v.position.quantity * v.position.instrument.multiplier for v in linear), ZERO)
    exposures, losses, margins = [held], [held], [bound]
    for (_, currency), legs in sorted(_by_expiry(group).items(), key=lambda item: str(item[0])):
        exposure, loss, margin, covered = _options(legs, max(cover, ZERO), spot)
        cover -= covered
        exposures.append(converted(exposure, currency, rate))
        losses.append(converted(loss, currency, rate))
        margins.append(converted(margin, currency, rate))
    return OpenRisk(add(exposures), add(losses), add(margins))


def exposure(group: Sequence[Valued], rate: Rate) -> Decimal | None:
    """Return the exposure of positions on one underlying."""
    return _open_risk(group, rate, MarginRates(), None).exposure


def _by_expiry(group: Sequence[Valued]) -> dict[tuple[date | None, str], list[Valued]]:
    expiries: dict[tuple[date | None, str], list[Valued]] = {}
    for v in group:
        contract = v.position.instrument
        if contract.kind is Kind.OPTION:
            expiries.setdefault((contract.expiry, contract.currency), []).append(v)
    return expiries


def _linear_margin(valued: Valued, rate: Rate, rates: MarginRates) -> Decimal | None:
    contract = valued.position.instrument
    value = converted(valued.value, contract.currency, rate)
    if value is None or contract.kind is Kind.CASH:
        return value if value is None else ZERO
    percent = {Kind.EQUITY: rates.equity, Kind.FUTURE: rates.future, Kind.CRYPTO: rates.crypto}[contract.kind]
    return divide(EXACT.multiply(abs(value), percent), Decimal(100))


def _options(
    group: Sequence[Valued], cover: Decimal, spot: Decimal | None
) -> tuple[Decimal, Decimal, Decimal | None, Decimal]:
    """Return exposure, max loss and margin of the legs of one expiry, and how many units of `cover` their short
    calls took: calls that are covered by shares have no loss beyond that of the shares.
    """
    legs = tuple(option_leg(v.position) for v in group)
    paid = add(v.position.cost for v in group) or ZERO  # below 0: a credit
    shape = shape_of(legs)
    exposure = EXACT.add(_worst(shape, legs), max(paid, ZERO))  # a credit does not make it safer
    covered = min(cover, max(-shape.slope, ZERO))
    if covered:
        lowest = min(leg.strike for leg in legs if leg.right == "C" and leg.quantity < 0)
        legs = (*legs, Leg("C", lowest, covered, Decimal(1)))
        shape = shape_of(legs)
    worst = _worst(shape, legs)
    loss = EXACT.add(worst, max(paid, ZERO) if shape.slope < 0 else paid)
    premiums = [v.mark for v in group] + ([ZERO] if covered else [])
    margin = model_margin(shape, legs, premiums, spot)
    return exposure, max(loss, ZERO), margin, covered


def option_leg(position: Position) -> Leg:
    """Return an option position as a leg of a payoff."""
    return option_leg_of(position.instrument, position.quantity)


def option_leg_of(contract: Instrument, quantity: Decimal) -> Leg:
    """Return units of an option as a leg of a payoff."""
    return Leg(contract.right or "C", contract.strike or ZERO, quantity, contract.multiplier)


@lru_cache(maxsize=4096)
def shape_of(legs: tuple[Leg, ...]) -> Payoff:
    """Return the payoff of legs; remembered, because a book is valued far more often than it changes."""
    return payoff(legs)


def _worst(shape: Payoff, legs: Sequence[Leg]) -> Decimal:
    """Return the worst loss at expiry; where it has no bound, the value of the units short."""
    worst = EXACT.minus(shape.worst)
    if shape.slope < 0:
        worst = max(worst, EXACT.multiply(-shape.slope, max(leg.strike for leg in legs)))
    return worst
