"""The legs that trades are made of: the fills of one position, told apart by what they were opened under.

A leg is what one position opened under one group id, else one order id, else since the leg was last flat; a
closing fill closes the leg that it names first (`ledger/leg_name.py`), then all others in the lot order of the
account. So legs are a fold of the same fills as their position, and nothing of them depends on the order of arrival.

Signs and money are those of `ledger/position.py`. Each leg keeps its own lots: `realised` is against the prices
at which this leg was opened. Over the legs of a position, realised - cost of what is open is always the
position's; realised alone is the position's too, unless a closing fill named a leg that was not next in lot
order, or the account books average cost (legs then close first in, first out).

A fee, and a payment such as funding, is shared pro rata among the legs that it touches, rounded to 12
decimals; the last one takes the rest. A payment while nothing is open belongs to no trade; a fee of an ending that
finds nothing to end is of what was closed last. Coins that a fee takes before they were bought are owed: what is opened
by the buy that pays them back bears them, and they make no trade of their own.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import NamedTuple

from stopline.ledger.amend import Effective
from stopline.ledger.leg_name import name_of, naming, tag_of
from stopline.ledger.position import FIFO, HIFO, LIFO, Lot, is_in_kind
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.fill import ENDINGS, TRADES, Fill, FillKind
from stopline.model.instrument import Instrument

MATCHED_WITHIN = timedelta(seconds=5)  # legs of one spread without a common id are executed this close
OWED = "order:"  # the tag of coins that a fee took before they were bought: of an order without an id
UNSPLIT = (Decimal(1), Decimal(1))
KNOWN_FILLS = 24  # of a leg, so that a fee that comes later finds it without the fill log
MOST_STEPS = 8  # of a leg; beyond them the oldest two count as the larger of them


class Step(NamedTuple):
    """What was open of a leg from a moment on: signed units and their cost; and what it had realised by then."""

    at: datetime
    units: Decimal
    cost: Decimal
    realised: Decimal


@dataclass(slots=True)
class TradeLeg:
    """Units of one instrument that were opened together. Mutated only while it is folded; `copy` before that.

    `tag`: `group:ID`, `order:ID`, or empty. `start`: place of the first opening fill. Signed units: `opened` in
    all, `most` the most held at once, `first` within 5 s of the start. `entry_worth` and `exit_worth`: signed
    units x worth of their price, opened and closed. `exit_at`: when units were last closed; `ended`: by what,
    where that was no trade (an assignment, an expiry). `split`: the splits since the start, one by the other: every
    `split[1]` units became `split[0]`.
    """

    instrument: Instrument
    strategy: str
    tag: str
    start: tuple[datetime, str]
    lots: deque[Lot] = field(default_factory=deque)
    opened: Decimal = ZERO
    most: Decimal = ZERO
    first: Decimal = ZERO
    entry_worth: Decimal = ZERO
    exit_worth: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    income: Decimal = ZERO
    other_fees: dict[str, Decimal] = field(default_factory=dict)
    exit_at: datetime | None = None
    ended: FillKind | None = None
    known: tuple[str, ...] = ()  # keys of its newest fills that are of no other leg
    split: tuple[Decimal, Decimal] = UNSPLIT
    steps: tuple[Step, ...] = ()

    @property
    def quantity(self) -> Decimal:
        """Units open, signed."""
        with localcontext(EXACT):
            return sum((lot.quantity for lot in self.lots), ZERO)

    @property
    def is_open(self) -> bool:
        return bool(self.lots)

    @property
    def cost(self) -> Decimal:
        """What the open units were bought for (negative: what a short received)."""
        worth = self.instrument.worth
        with localcontext(EXACT):
            return sum((lot.quantity * worth(lot.price) for lot in self.lots), ZERO)

    @property
    def entry_price(self) -> Decimal | None:
        """Average price of all units opened, rounded to 12 decimals."""
        return average_price(self.instrument, self.opened, self.entry_worth)

    @property
    def exit_price(self) -> Decimal | None:
        """Average price of the units closed, rounded to 12 decimals; None while none is."""
        return average_price(self.instrument, EXACT.subtract(self.opened, self.quantity), self.exit_worth)

    @property
    def history(self) -> tuple[Step, ...]:
        """What was open after each change, in today's units."""
        return self.steps or _steps_of(self.lots, self.instrument)

    def copy(self) -> "TradeLeg":
        """Return a copy that can be folded further without touching this one."""
        return TradeLeg(
            self.instrument,
            self.strategy,
            self.tag,
            self.start,
            self.lots.copy(),
            self.opened,
            self.most,
            self.first,
            self.entry_worth,
            self.exit_worth,
            self.realised,
            self.fees,
            self.income,
            self.other_fees.copy(),
            self.exit_at,
            self.ended,
            self.known,
            self.split,
            self.steps,
        )


def fold_legs(
    steps: Iterable[Effective], method: str = FIFO, before: Sequence[TradeLeg] = ()
) -> list[TradeLeg]:
    """Fold fills of one position, in fold order, onto its legs; `before` is left as it is."""
    folding = _Folding([leg.copy() if leg.is_open else leg for leg in before], method)
    with localcontext(EXACT):
        for step in steps:
            folding.apply(step.fill)
            for fee in step.late_fees:
                folding.add_late_fee(fee, step.fill)
    return folding.legs


def add_late_fee(legs: Sequence[TradeLeg], fee: Fill, of: Fill) -> list[TradeLeg] | None:
    """Return the legs with a fee that came after its fill; None where the fill log must say whose it is."""
    owners = [leg for leg in legs if of.key in leg.known]
    if len(owners) != 1:
        return None
    with localcontext(EXACT):
        charged = owners[0].copy()
        _charge([(charged, Decimal(1))], fee.fee_currency, fee.fee)
    return [charged if leg is owners[0] else leg for leg in legs]


Parts = list[tuple[TradeLeg, Decimal]]
"""Legs that a fill touches, with the units that it opened or closed of each."""


@dataclass(slots=True)
class _Folding:
    legs: list[TradeLeg]
    method: str
    parts: Parts = field(default_factory=list)  # of the fill that was folded last
    open: list[TradeLeg] = field(init=False)

    def __post_init__(self) -> None:
        self.open = [leg for leg in self.legs if leg.lots]

    def apply(self, fill: Fill) -> None:
        kind, contract = fill.kind, fill.instrument
        if kind not in TRADES and (kind is not FillKind.ADJUST or not fill.quantity):
            self._apply_event(fill)
            return
        in_kind = is_in_kind(fill.fee_currency, contract)
        held = sum((leg.quantity for leg in self.open), ZERO) if kind in ENDINGS else ZERO
        moved = fill.moves(held) - (fill.fee if in_kind else ZERO)
        parts = self._exchange(moved, fill)
        self.parts = parts or self._held() or self._closed_last()
        _charge(self.parts, *_settled(fill.fee_currency, fill.fee, contract, fill.price))
        if len(parts) == 1:
            leg = parts[0][0]
            leg.known = (*leg.known, fill.key)[-KNOWN_FILLS:]

    def add_late_fee(self, fee: Fill, of: Fill) -> None:
        """Fold a fee of the fill folded last that is not in the fill's own. What comes for a payment is shared like it."""
        if of.kind not in TRADES and of.kind is not FillKind.ADJUST:
            if of.kind is not FillKind.FLOW:
                _charge(self._held(), fee.fee_currency, fee.fee)
            return
        contract = of.instrument
        in_kind = is_in_kind(fee.fee_currency, contract)
        parts = self._exchange(-fee.fee, of) if in_kind else self.parts
        _charge(parts, *_settled(fee.fee_currency, fee.fee, contract, of.price))

    def _held(self) -> Parts:
        return [(leg, abs(leg.quantity)) for leg in self.open]

    def _closed_last(self) -> Parts:
        closed = [(leg.exit_at, leg) for leg in self.legs if leg.exit_at is not None]
        last = max((at for at, _ in closed), default=None)
        return [(leg, abs(leg.opened)) for at, leg in closed if at == last]

    def _exchange(self, left: Decimal, fill: Fill) -> Parts:
        """Move units at a fill's price: close what stands against them, open a leg for the rest."""
        parts: Parts = []
        if not left:
            return parts
        held = self.open
        if held and held[0].lots[0].quantity.is_signed() is not left.is_signed():
            named = naming(fill)
            own = [leg for leg in held if named(name_of(leg.tag))] if named else []
            for several in (own, held):
                left = self._close(several, left, fill, parts)
            self.open = [leg for leg in held if leg.lots]
        if left:
            leg = self._open(left, fill)
            parts = [*self._paid_back(leg, parts), (leg, abs(left))]
        return parts

    def _paid_back(self, by: TradeLeg, parts: Parts) -> Parts:
        """Have a leg bear what coins cost that were owed before it; return the other parts."""
        owed = [leg for leg, _ in parts if leg.tag == OWED]
        for leg in owed:
            by.realised += leg.realised
            by.exit_worth += leg.realised  # so that what is open of it costs what was paid for it
            by.fees += leg.fees
            by.income += leg.income
            for name, paid in leg.other_fees.items():
                by.other_fees[name] = by.other_fees.get(name, ZERO) + paid
        if owed:
            by.steps = (Step(by.start[0], by.quantity, by.cost, by.realised),)
            self.legs = [leg for leg in self.legs if not any(leg is one for one in owed)]
        return [(leg, units) for leg, units in parts if leg.tag != OWED]

    def _close(self, legs: Sequence[TradeLeg], left: Decimal, fill: Fill, parts: Parts) -> Decimal:
        """Close units of legs in lot order; return what is left to do, and add what was closed to `parts`."""
        closed: dict[int, Decimal] = {}
        contract = fill.instrument
        worth = contract.worth(fill.price)
        while left:
            candidates = [leg for leg in legs if leg.lots]
            if not candidates:
                break
            leg, index = _next(candidates, self.method)
            leg.steps = leg.history
            lot = leg.lots[index]
            units = lot.quantity if abs(lot.quantity) <= abs(left) else -left
            leg.realised += units * (worth - contract.worth(lot.price))
            leg.exit_worth += units * worth
            leg.exit_at = fill.executed_at
            leg.ended = None if fill.kind in (FillKind.TRADE, FillKind.FEE) else fill.kind
            left += units
            if units == lot.quantity:
                del leg.lots[index]
            else:
                leg.lots[index] = lot._replace(quantity=lot.quantity - units)
            closed[id(leg)] = closed.get(id(leg), ZERO) + units
        for leg in legs:
            if units_closed := closed.get(id(leg)):
                parts.append((leg, abs(units_closed)))
                _step(leg, fill.executed_at, -units_closed)
        return left

    def _open(self, units: Decimal, fill: Fill) -> TradeLeg:
        tag = OWED if fill.kind is FillKind.FEE and units < 0 else tag_of(fill)
        place = fill.order
        leg = next((leg for leg in self.open if leg.tag == tag), None)
        if leg is None:
            leg = TradeLeg(fill.instrument, fill.strategy, tag, place)
            self.legs.append(leg)
            self.open.append(leg)
        leg.lots.append(Lot(units, fill.price, fill.executed_at, fill.key))
        leg.opened += units
        leg.entry_worth += units * fill.instrument.worth(fill.price)
        leg.most = max(leg.most, leg.quantity, key=abs)
        if leg.steps:
            _step(leg, fill.executed_at, units)
        if fill.executed_at - leg.start[0] <= MATCHED_WITHIN:
            leg.first += units
        return leg

    def _apply_event(self, fill: Fill) -> None:
        """Fold what is no trade: money that is paid or comes in, or a split."""
        if fill.kind is FillKind.SPLIT:
            for leg in self.open:
                _split(leg, fill.quantity, fill.price)
        elif fill.kind is FillKind.FLOW:
            return
        elif fill.kind in (FillKind.FUNDING, FillKind.DIVIDEND):
            for leg, share in _shares(self._held(), -fill.fee):
                if fill.fee_currency == leg.instrument.currency:
                    leg.income += share
                else:
                    leg.other_fees[fill.fee_currency] = leg.other_fees.get(fill.fee_currency, ZERO) - share
        elif fill.price and is_in_kind(fill.fee_currency, fill.instrument):
            parts = self._exchange(-fill.fee, fill)
            _charge(parts, *_settled(fill.fee_currency, fill.fee, fill.instrument, fill.price))
        else:
            _charge(self._held(), fill.fee_currency, fill.fee)


def _next(legs: Sequence[TradeLeg], method: str) -> tuple[TradeLeg, int]:
    """Return the leg and the index of the lot to close next."""
    if method == LIFO:
        leg = max(legs, key=lambda leg: _place(leg.lots[-1]))
        return leg, len(leg.lots) - 1
    if method == HIFO:
        dear = -1 if legs[0].lots[0].quantity > 0 else 1  # long: highest entry first; short: lowest
        choices = ((leg, index, lot) for leg in legs for index, lot in enumerate(leg.lots))
        leg, index, _ = min(choices, key=lambda choice: (dear * choice[2].price, _place(choice[2])))
        return leg, index
    return min(legs, key=lambda leg: _place(leg.lots[0])), 0


def _place(lot: Lot) -> tuple[datetime, str]:
    return (lot.opened_at, lot.fill_key)


def _steps_of(lots: Iterable[Lot], contract: Instrument) -> tuple[Step, ...]:
    """Return the steps of a leg of which nothing has been closed."""
    steps: tuple[Step, ...] = ()
    units = cost = ZERO
    with localcontext(EXACT):
        for lot in lots:
            units += lot.quantity
            cost += lot.quantity * contract.worth(lot.price)
            steps = _and_step(steps, Step(lot.opened_at, units, cost, ZERO))
    return steps


def _step(leg: TradeLeg, at: datetime, moved: Decimal) -> None:
    """Note what is open of a leg since a change by signed units."""
    cost = leg.entry_worth - leg.exit_worth + leg.realised
    leg.steps = _and_step(leg.steps, Step(at, leg.steps[-1].units + moved, cost, leg.realised))


def _and_step(steps: tuple[Step, ...], step: Step) -> tuple[Step, ...]:
    if steps and steps[-1].at == step.at:
        return (*steps[:-1], step)
    if len(steps) < MOST_STEPS:
        return (*steps, step)
    larger = max(steps[:2], key=lambda one: abs(one.units))
    return (larger._replace(at=steps[0].at), *steps[2:], step)


def _split(leg: TradeLeg, new: Decimal, old: Decimal) -> None:
    """Turn every `old` units into `new` units; what rounding to 12 decimals changes of the cost is realised."""
    before = leg.cost
    leg.lots = deque(
        lot._replace(quantity=divide(lot.quantity * new, old), price=divide(lot.price * old, new))
        for lot in leg.lots
    )
    leg.realised += leg.cost - before
    leg.split = (leg.split[0] * new, leg.split[1] * old)
    leg.steps = tuple(step._replace(units=divide(step.units * new, old)) for step in leg.steps)
    if leg.steps and leg.lots:
        leg.steps = (*leg.steps[:-1], leg.steps[-1]._replace(units=leg.quantity))
    for name in ("opened", "most", "first"):
        setattr(leg, name, divide(getattr(leg, name) * new, old))


def _shares(parts: Parts, amount: Decimal) -> Parts:
    """Share an amount by units; the last takes what rounding left."""
    total = sum((units for _, units in parts), ZERO)
    shared, left = [], amount
    for index, (leg, units) in enumerate(parts):
        share = left if index == len(parts) - 1 else divide(amount * units, total)
        left -= share
        shared.append((leg, share))
    return shared


def _charge(parts: Parts, currency: str, amount: Decimal) -> None:
    if not amount:
        return
    for leg, share in _shares(parts, amount):
        if currency == leg.instrument.currency:
            leg.fees += share
        else:
            leg.other_fees[currency] = leg.other_fees.get(currency, ZERO) + share


def _settled(currency: str, fee: Decimal, contract: Instrument, price: Decimal) -> tuple[str, Decimal]:
    """Return a fee in money: one that was taken in the traded units is worth them."""
    if is_in_kind(currency, contract):
        return contract.currency, fee * contract.worth(price)
    return currency, fee


def average_price(contract: Instrument, units: Decimal, worth: Decimal) -> Decimal | None:
    """Return the average price of signed units of some worth, rounded to 12 decimals; None of no units."""
    if not units or not worth:
        return None if not units else ZERO
    size = EXACT.multiply(units, contract.multiplier)
    return divide(-size, worth) if contract.inverse else divide(worth, size)
