"""What open positions can lose and bind, by underlying: exposure, open max loss and model margin.

Options count with the worst payoff at expiry of all legs that one price settles: a spread once, at its width; short ones
that shares or futures cover not at all, beside what covers them. None is UNKNOWN: a price, a rate or, for naked calls, the
underlying's price is missing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache

from stopline.ledger.expiry import Settles, product_of, settles
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
    coins and futures by the account's rates, options by `ledger/payoff.py`.
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
    held_units = sum((v.position.quantity * v.position.instrument.multiplier for v in linear), ZERO)
    cover = {"C": max(held_units, ZERO), "P": max(-held_units, ZERO)}
    exposures, losses, margins = [held], [held], [bound]
    for end, legs in sorted(_by_settlement(group).items()):
        exposure, loss, margin = _options(legs, cover, spot)
        exposures.append(converted(exposure, end.currency, rate))
        losses.append(converted(loss, end.currency, rate))
        margins.append(converted(margin, end.currency, rate))
    return OpenRisk(add(exposures), add(losses), add(margins))


def exposure(group: Sequence[Valued], rate: Rate) -> Decimal | None:
    """Return the exposure of positions on one underlying."""
    return _open_risk(group, rate, MarginRates(), None).exposure


def _by_settlement(group: Sequence[Valued]) -> dict[Settles, list[Valued]]:
    settlements: dict[Settles, list[Valued]] = {}
    for v in group:
        if v.position.instrument.kind is Kind.OPTION:
            settlements.setdefault(settles(v.position.instrument), []).append(v)
    return settlements


def _linear_margin(valued: Valued, rate: Rate, rates: MarginRates) -> Decimal | None:
    contract = valued.position.instrument
    value = converted(valued.value, contract.currency, rate)
    if value is None or contract.kind is Kind.CASH:
        return value if value is None else ZERO
    percent = {Kind.EQUITY: rates.equity, Kind.FUTURE: rates.future, Kind.CRYPTO: rates.crypto}[contract.kind]
    return divide(EXACT.multiply(abs(value), percent), Decimal(100))


def _options(
    group: Sequence[Valued], cover: dict[str, Decimal], spot: Decimal | None
) -> tuple[Decimal, Decimal, Decimal | None]:
    """Return exposure, max loss and margin of the legs of one settlement. `cover`: units held that short calls may be met
    with, and units short that short puts may; what the legs take of them is taken off.
    """
    legs = tuple(option_leg(v.position) for v in group)
    premiums = [v.mark for v in group]
    for right in ("C", "P"):
        covered = _covered(legs, right, cover[right])
        if covered is not None:
            legs, premiums = (*legs, covered), [*premiums, ZERO]
            cover[right] -= covered.quantity
    paid = add(v.position.cost for v in group) or ZERO  # below 0: a credit
    shape = shape_of(legs)
    worst = _worst(shape, legs)
    exposure = EXACT.add(worst, max(paid, ZERO))  # a credit does not make it safer
    loss = EXACT.add(worst, max(paid, ZERO) if shape.slope < 0 else paid)
    margin = model_margin(shape, legs, premiums, spot, product_of(group[0].position.instrument).style)
    return exposure, max(loss, ZERO), margin


def _covered(legs: Sequence[Leg], right: str, units: Decimal) -> Leg | None:
    """Return the option that so many units held (of puts: short) are to the short ones that no long one covers: bought at
    the worst of their strikes, so that what stays naked is rather too much than too little.
    """
    ours = [leg for leg in legs if leg.right == right]
    taken = min(units, -sum((leg.quantity * leg.multiplier for leg in ours), ZERO))
    if taken <= 0:
        return None
    strikes = [leg.strike for leg in ours if leg.quantity < 0]
    return Leg(right, min(strikes) if right == "C" else max(strikes), taken, Decimal(1))


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
    """Return the worst loss at expiry; where it has no bound, what is lost at the highest strike and the value there of the
    units short.
    """
    worst = EXACT.minus(shape.worst)
    if shape.slope >= 0:
        return worst
    last = max(leg.strike for leg in legs)
    with localcontext(EXACT):
        calls = (leg.quantity * leg.multiplier * (last - leg.strike) for leg in legs if leg.right == "C")
        return max(worst, max(-sum(calls, ZERO), ZERO) - shape.slope * last)
