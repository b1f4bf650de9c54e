"""What a trade can lose: the payoff of the legs that were open together, at the worst of its moments.

A moment counts if it lasted a minute, or is the present: legs that are opened, closed or rolled one after another, seconds
apart, are not seen as naked in between. Where none lasted that long, it is the longest that something was closed after.
What closed legs have realised by then is part of what can be lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import NamedTuple

from stopline.ledger.cover import covering, moved
from stopline.ledger.expiry import Settles, settles
from stopline.ledger.payoff import Leg, Margin, margin_of
from stopline.ledger.trade_leg import Step, TradeLeg, average_price
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.instrument import Instrument, Kind

PASSING = timedelta(minutes=1)
_PAYING = (Kind.OPTION, Kind.EQUITY, Kind.CRYPTO)  # a future's price may fall below zero: no bound is known


@dataclass(frozen=True, slots=True)
class TradeRisk:
    """Margin by the model (before premiums), max loss and max profit (with premiums and fees), and break-even
    prices at expiry; None where the product or a second expiry leaves it unknown, or where it has no bound. `naked`: at
    some moment no leg covered some option, so that the margin is another with another price of the underlying.
    """

    margin: Decimal | None
    max_loss: Decimal | None
    max_profit: Decimal | None
    breakevens: tuple[Decimal, ...]
    loss_unbounded: bool = False
    profit_unbounded: bool = False
    naked: bool = False

    @property
    def return_on_risk(self) -> Decimal | None:
        """Max profit as a fraction of max loss, rounded to 6 decimals."""
        if self.max_loss is None or self.max_profit is None or not self.max_loss:
            return None
        return divide(self.max_profit, self.max_loss, 6)


UNKNOWN_RISK = TradeRisk(None, None, None, ())


def worst_risk(legs: Sequence[TradeLeg], spot: Decimal | None, style: str) -> TradeRisk:
    """Return the risk of the moment at which legs could lose most, with the largest margin of all moments.

    `spot` and `style` are for naked options: see `payoff.margin_of`. Fees are those of all legs to date.
    """
    sized = [leg for leg in legs if leg.most]
    contracts = [leg.instrument for leg in sized]
    if not sized or any(c.kind not in _PAYING or c.inverse or c.is_in_its_asset for c in contracts):
        return UNKNOWN_RISK
    with localcontext(EXACT):
        fees = sum((leg.fees for leg in legs), ZERO)
        risks = [_risk(held, fees - realised, spot, style) for held, realised in _moments(legs)]
        if not risks:  # opened and closed in one instant
            risks = [_risk([_at_most(leg) for leg in sized], fees, spot, style)]
    worst = max(risks, key=lambda risk: (risk.loss_unbounded, risk.max_loss or ZERO))
    margins = [risk.margin for risk in risks if risk.margin is not None]
    margin = max(margins) if len(margins) == len(risks) else None
    return replace(worst, margin=margin, naked=any(risk.naked for risk in risks))


def is_bared(legs: Sequence[TradeLeg], standing: Sequence[TradeLeg]) -> bool:
    """Tell whether a larger part of what is short stands uncovered than at the best of the moments that count: a strangle is
    uncovered as it was meant, a vertical that lost its wing is not.
    """
    with localcontext(EXACT):
        now = _uncovered([(leg.instrument, leg.quantity) for leg in standing])
        past = [_uncovered([(one.instrument, one.units) for one in held]) for held, _ in _moments(legs)]
    return any(
        part > min(then[right] for then in [now, *past] if right in then) for right, part in now.items()
    )


def _uncovered(held: Sequence[tuple[Instrument, Decimal]]) -> dict[str, Decimal]:
    """Return which part of the short calls (with what is sold short itself) and puts no long ones cover, those that settle
    later helping.
    """
    options = [contract for contract, _ in held if contract.kind is Kind.OPTION]
    last = max((settles(contract) for contract in options), default=None)
    ends: dict[Settles | None, list[Leg]] = {}
    for contract, units in held:
        end = settles(contract) if contract.kind is Kind.OPTION else last  # shares stay to the last
        ends.setdefault(end, []).append(_leg(contract, units))
    parts = tuple(tuple(legs) for _, legs in sorted(ends.items()))
    for move in covering(parts):
        parts = moved(parts, move)
    found = {}
    for right in ("C", "P"):
        sums = [[leg.quantity * leg.multiplier for leg in part if leg.right == right] for part in parts]
        short = -sum((units for part in sums for units in part if units < 0), ZERO)
        if short:
            found[right] = divide(sum((max(-sum(part, ZERO), ZERO) for part in sums), ZERO), short)
    return found


class _Held(NamedTuple):
    """Units of an instrument that are open at a moment, and what they cost."""

    instrument: Instrument
    units: Decimal
    cost: Decimal


def _at_most(leg: TradeLeg) -> _Held:
    return _Held(leg.instrument, leg.most, divide(leg.entry_worth * leg.most, leg.opened))


class _Moment(NamedTuple):
    """What each leg was from a change on, and the units of each symbol."""

    since: datetime
    steps: Sequence[Step | None]
    units: Mapping[str, Decimal]


def _moments(legs: Sequence[TradeLeg]) -> Iterator[tuple[list[_Held], Decimal]]:
    """Yield what was open at the moments that count, and what had been realised by then."""
    past = _past(legs)
    counted = [moment for moment, after in pairwise(past) if after.since - moment.since >= PASSING]
    counted = [moment for moment in (*counted, *past[-1:]) if any(moment.units.values())]
    if not counted:
        tops = [
            (after.since - moment.since, moment) for moment, after in pairwise(past) if _fell(moment, after)
        ]
        counted = [max(tops, key=lambda top: top[0])[1]] if tops else []
    for moment in counted:
        open_now = [(leg, step) for leg, step in zip(legs, moment.steps, strict=True) if step and step.units]
        held = [_Held(leg.instrument, step.units, step.cost) for leg, step in open_now]
        yield held, sum((step.realised for step in moment.steps if step), ZERO)


def _past(legs: Sequence[TradeLeg]) -> list[_Moment]:
    """Return all moments in their order: changes of one instant are one change."""
    changes: dict[datetime, dict[int, Step]] = {}
    for index, leg in enumerate(legs):
        for step in leg.history:
            changes.setdefault(step.at, {})[index] = step
    now: list[Step | None] = [None] * len(legs)
    found = []
    for at in sorted(changes):
        for index, step in changes[at].items():
            now[index] = step
        units: dict[str, Decimal] = {}
        for leg, there in zip(legs, now, strict=True):
            if there is not None:
                units[leg.instrument.symbol] = units.get(leg.instrument.symbol, ZERO) + there.units
        found.append(_Moment(at, tuple(now), units))
    return found


def _fell(moment: _Moment, after: _Moment) -> bool:
    """Tell whether less was held of a symbol after a change than before it, or the other side of it."""
    return any(
        abs(after.units[symbol]) < abs(n) or after.units[symbol] * n < 0 for symbol, n in moment.units.items()
    )


def _risk(legs: Sequence[_Held], fees: Decimal, spot: Decimal | None, style: str) -> TradeRisk:
    options = [leg for leg in legs if leg.instrument.kind is Kind.OPTION]
    ends = sorted({settles(leg.instrument) for leg in options})
    now = _margin(legs, fees, spot, style)
    if len(ends) < 2:
        naked_shares = now.slope < 0 and len(options) < len(legs)
        margin = now.margin if options and not naked_shares else None
        profit = now.max_profit, now.breakevens
        return TradeRisk(margin, now.max_loss, *profit, now.slope < 0, now.slope > 0, now.naked)
    # each expiry has a price of its own, and what the later option is worth at the first is not in its payoff
    parts = [
        _margin(part, ZERO, spot, style) for part in _covered([_ending(legs, end, ends[-1]) for end in ends])
    ]
    unbounded = any(part.slope < 0 for part in parts)
    margins = [part.margin for part in parts if part.margin is not None]
    known = len(margins) == len(parts) and not (unbounded and len(options) < len(legs))
    worst = sum((part.worst for part in parts), ZERO)
    is_known = not unbounded and now.net_credit is not None
    loss = max(fees - worst - (now.net_credit or ZERO), ZERO) if is_known else None
    naked = any(part.naked for part in parts)
    return TradeRisk(sum(margins, ZERO) if known else None, loss, None, (), unbounded, now.slope > 0, naked)


def _ending(legs: Sequence[_Held], end: Settles, last: Settles) -> list[_Held]:
    """Return the options that settle at `end`; shares stay to the last."""
    return [leg for leg in legs if (settles(leg.instrument) if leg.instrument.expiry else last) == end]


def _covered(parts: list[list[_Held]]) -> list[list[_Held]]:
    """Return what settles together, the earliest first, with what of later parts covers short legs beside those."""
    for early, late, index, units in covering(tuple(tuple(_sizes(part)) for part in parts)):
        contract, had, cost = parts[late].pop(index)
        taken = divide(cost * units, had)
        if units != had:
            parts[late].insert(index, _Held(contract, had - units, cost - taken))
        parts[early].append(_Held(contract, units, taken))
    return parts


def _sizes(legs: Sequence[_Held]) -> list[Leg]:
    """Return legs of a payoff; a share pays like a call struck at zero."""
    return [_leg(leg.instrument, leg.units) for leg in legs]


def _leg(contract: Instrument, units: Decimal) -> Leg:
    return Leg(contract.right or "C", contract.strike or ZERO, units, contract.multiplier)


def _margin(legs: Sequence[_Held], fees: Decimal, spot: Decimal | None, style: str) -> Margin:
    prices = [average_price(leg.instrument, leg.units, leg.cost) for leg in legs]
    return margin_of(_sizes(legs), prices, fees, spot, style)
