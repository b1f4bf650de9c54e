"""What open positions can lose and bind, by underlying: exposure, open max loss and model margin.

Options count with the worst payoff at expiry of all legs that one price settles: a spread once, at its width; short ones
that shares or futures cover not at all, beside what covers them; one that a long option of a later expiry covers with that
(`ledger/cover.py`, as in a trade). None is UNKNOWN: a price, a rate or, for naked calls, the
underlying's price is missing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from stopline.ledger.cover import covering
from stopline.ledger.expiry import Settles, product_of, settles
from stopline.ledger.payoff import Leg, Payoff, model_margin, payoff, worst_loss
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
    value = add(converted(_sided(v), v.position.instrument.currency, rate) for v in linear)
    held = None if value is None else abs(value)
    bound = add(_linear_margin(v, rate, rates) for v in linear)
    exposures, losses, margins = [held], [held], [bound]
    for end, (exposure, loss, margin) in _settled(group, linear, spot):
        exposures.append(converted(exposure, end.currency, rate))
        losses.append(converted(loss, end.currency, rate))
        margins.append(converted(margin, end.currency, rate))
    return OpenRisk(add(exposures), add(losses), add(margins))


def options_margin(group: Sequence[Valued], rate: Rate, spot: Decimal | None) -> Decimal | None:
    """Return what the options on one underlying bind, beside what is held of it."""
    linear = [v for v in group if v.position.instrument.kind is not Kind.OPTION]
    found = _settled(group, linear, spot)
    return add(converted(margin, end.currency, rate) for end, (_, _, margin) in found)


def _settled(
    group: Sequence[Valued], linear: Sequence[Valued], spot: Decimal | None
) -> Iterator[tuple[Settles, tuple[Decimal, Decimal, Decimal | None]]]:
    """Yield exposure, max loss and margin of the options of each settlement, the earliest first."""
    settlements = sorted(_by_settlement(group).items())
    covers = _covers([[option.leg for option in options] for _, options in settlements], _units(linear))
    for (end, options), cover in zip(settlements, covers, strict=True):
        yield end, _options(options, cover, spot)


def _sided(valued: Valued) -> Decimal | None:
    """Return a position's value, above 0 where it is long: what is owed on an inverse contract is a long one's."""
    if valued.value is None or not valued.position.instrument.inverse:
        return valued.value
    return EXACT.minus(valued.value)


def _units(linear: Sequence[Valued]) -> Decimal:
    """Return the units that may be delivered, below 0: taken. Inverse contracts have none: their multiplier is money, and
    how many coins that is moves with the price.
    """
    contracts = [(v.position.quantity, v.position.instrument) for v in linear]
    return sum((units * contract.multiplier for units, contract in contracts if not contract.inverse), ZERO)


def exposure(group: Sequence[Valued], rate: Rate) -> Decimal | None:
    """Return the exposure of positions on one underlying."""
    return _open_risk(group, rate, MarginRates(), None).exposure


class _Option(NamedTuple):
    """Units of an option, what they cost in all, and their mark; `style` of what is naked: of a share or an index."""

    leg: Leg
    cost: Decimal
    mark: Decimal | None
    style: str


def _by_settlement(group: Sequence[Valued]) -> dict[Settles, list[_Option]]:
    """Return the options by what settles them, with what of later long ones covers short ones of before beside those."""
    settlements: dict[Settles, list[_Option]] = {}
    for v in group:
        contract = v.position.instrument
        if contract.kind is Kind.OPTION:
            option = _Option(option_leg(v.position), v.position.cost, v.mark, product_of(contract).style)
            settlements.setdefault(settles(contract), []).append(option)
    for currency in sorted({end.currency for end in settlements}) if len(settlements) > 1 else ():
        _set_beside([settlements[end] for end in sorted(settlements) if end.currency == currency])
    return {end: options for end, options in settlements.items() if options}


def _set_beside(parts: Sequence[list[_Option]]) -> None:
    for early, late, index, units in covering(tuple(tuple(one.leg for one in part) for part in parts)):
        option = parts[late].pop(index)
        had = option.leg.quantity
        taken = divide(EXACT.multiply(option.cost, units), had)
        if units != had:
            rest = replace(option.leg, quantity=EXACT.subtract(had, units))
            left = option._replace(leg=rest, cost=EXACT.subtract(option.cost, taken))
            parts[late].insert(index, left)
        parts[early].append(option._replace(leg=replace(option.leg, quantity=units), cost=taken))


def _linear_margin(valued: Valued, rate: Rate, rates: MarginRates) -> Decimal | None:
    contract = valued.position.instrument
    value = converted(valued.value, contract.currency, rate)
    if value is None or contract.kind is Kind.CASH:
        return value if value is None else ZERO
    percent = {Kind.EQUITY: rates.equity, Kind.FUTURE: rates.future, Kind.CRYPTO: rates.crypto}[contract.kind]
    return divide(EXACT.multiply(abs(value), percent), Decimal(100))


def _options(
    group: Sequence[_Option], cover: Sequence[Leg], spot: Decimal | None
) -> tuple[Decimal, Decimal, Decimal | None]:
    """Return exposure, max loss and margin of the legs of one settlement, with the options that what is held is to them."""
    legs = (*(option.leg for option in group), *cover)
    premiums = [*(option.mark for option in group), *(ZERO for _ in cover)]
    paid = add(option.cost for option in group) or ZERO  # below 0: a credit
    shape = shape_of(legs)
    worst = worst_of(legs)
    exposure = EXACT.add(worst, max(paid, ZERO))  # a credit does not make it safer
    loss = EXACT.add(worst, max(paid, ZERO) if shape.slope < 0 else paid)
    margin = model_margin(shape, legs, premiums, spot, group[0].style)
    return exposure, max(loss, ZERO), margin


def _covers(settlements: Sequence[Sequence[Leg]], units: Decimal) -> list[list[Leg]]:
    """Return the options that units held (calls), or short (puts), are to the short ones of each settlement: first to those
    that no long one covers, the earliest first, then to the rest. A unit covers once.
    """
    right, left = ("C", units) if units > 0 else ("P", -units)
    found: list[list[Leg]] = [[] for _ in settlements]
    for alone in (True, False):
        for legs, cover in zip(settlements, found, strict=True):
            ours = [leg for leg in legs if leg.right == right and (alone or leg.quantity < 0)]
            taken = min(left, -sum((leg.quantity * leg.multiplier for leg in (*ours, *cover)), ZERO))
            if taken > 0:
                cover += _at_strikes(ours, cover, taken)
                left -= taken
    return found


def _at_strikes(ours: Sequence[Leg], cover: Sequence[Leg], units: Decimal) -> list[Leg]:
    """Return units as options at the strikes of short ones that are not covered yet, at the one that costs most first."""
    short: dict[Decimal, Decimal] = {}
    for leg in (*(leg for leg in ours if leg.quantity < 0), *cover):
        short[leg.strike] = short.get(leg.strike, ZERO) - leg.quantity * leg.multiplier
    right, found = ours[0].right, list[Leg]()
    for strike in sorted(short, reverse=right == "P"):
        taken = min(units, short[strike])
        if taken > 0:
            found.append(Leg(right, strike, taken, Decimal(1)))
            units -= taken
    return found


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


@lru_cache(maxsize=4096)
def worst_of(legs: tuple[Leg, ...]) -> Decimal:
    """Return the worst loss at expiry where a short call that stays naked loses its strike; remembered as well. Bought calls
    so far out that beside them more would be lost count as not there, the farthest first.
    """
    found = worst_loss(shape_of(legs), legs)
    calls = [leg for leg in legs if leg.right == "C"]
    near = min((leg.strike for leg in calls if leg.quantity < 0), default=None)
    far = sorted(
        {leg.strike for leg in calls if leg.quantity > 0 and near is not None and leg.strike > 2 * near}
    )
    for strike in reversed(far):
        legs = tuple(leg for leg in legs if leg.right == "P" or leg.quantity < 0 or leg.strike < strike)
        found = min(found, worst_loss(shape_of(legs), legs))
    return found
