"""One position: open lots and what closed ones made, folded from fills first in, first out.

A position is the fold of its distinct fills by (execution time, fill key); nothing of it depends on the order
in which they arrived. Signs: quantities are positive when long, negative when short; `cost` is what the open
lots were bought for (negative: the premium that a short received); realised P&L is gross of fees and positive
when money was made; fees are positive when paid. Money is in the instrument's currency.

For any sequence of fills: cash + cost - realised = 0, where cash is -(signed quantity x price x multiplier)
summed.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, localcontext

from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument


@dataclass(frozen=True, slots=True)
class Lot:
    """Units opened by one fill and not closed yet; `quantity` is signed."""

    quantity: Decimal
    price: Decimal
    opened_at: datetime
    fill_key: str


@dataclass(frozen=True, slots=True)
class Booked:
    """What one fill did: realised P&L (gross), fee in the instrument's currency, and the session time it
    counts for.
    """

    at: datetime
    realised: Decimal
    fee: Decimal
    other_fee: tuple[str, Decimal] | None = None  # a fee in another currency, kept apart
    oldest: datetime | None = None  # when the oldest lot that it closed was opened


@dataclass(slots=True)
class Position:
    """A position in one instrument by one strategy. Mutated only while it is folded; `copy` before that."""

    instrument: Instrument
    strategy: str
    lots: deque[Lot] = field(default_factory=deque)
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    other_fees: dict[str, Decimal] = field(default_factory=dict)
    fills: int = 0
    last: tuple[datetime, str] | None = None  # place of the newest fill folded
    cycle: tuple[datetime, str] | None = (
        None  # place of the first fill since it was last flat: where to fold again from
    )
    opened_at: datetime | None = None  # when it was opened from flat or flipped; None when flat
    last_price: Decimal = ZERO

    @property
    def key(self) -> str:
        """Strategy and symbol: what identifies the position in its book."""
        return position_key(self.strategy, self.instrument.symbol)

    @property
    def is_flat(self) -> bool:
        return not self.quantity

    @property
    def average_price(self) -> Decimal | None:
        """Average price of the open lots, rounded to 12 decimals; None when flat."""
        return divide(self.cost, self.quantity * self.instrument.multiplier) if self.quantity else None

    def copy(self) -> "Position":
        """Return a copy that can be folded further without touching this one."""
        return Position(
            self.instrument,
            self.strategy,
            self.lots.copy(),
            self.quantity,
            self.cost,
            self.realised,
            self.fees,
            self.other_fees.copy(),
            self.fills,
            self.last,
            self.cycle,
            self.opened_at,
            self.last_price,
        )

    def apply(self, fill: Fill) -> Booked:
        """Fold one fill, which must come after every fill folded so far."""
        place = fill.order
        if self.last is not None and place <= self.last:
            raise ValueError(f"fill {fill.key} is not after {self.last[1]}: fold from the fill log")
        with localcontext(EXACT):
            return self._apply(fill, place)

    def _apply(self, fill: Fill, place: tuple[datetime, str]) -> Booked:
        multiplier = self.instrument.multiplier
        if not self.quantity:
            self.cycle, self.opened_at = place, fill.executed_at
        realised = ZERO
        left = fill.signed_quantity
        price = fill.price
        oldest = self.lots[0].opened_at if self.lots and (self.quantity > 0) != (left > 0) else None
        while left and self.lots and (self.lots[0].quantity > 0) != (left > 0):
            lot = self.lots.popleft()
            closed = -left if abs(left) < abs(lot.quantity) else lot.quantity  # signed like the lot
            realised += closed * (price - lot.price) * multiplier
            self.cost -= closed * lot.price * multiplier
            left += closed
            if closed != lot.quantity:
                self.lots.appendleft(Lot(lot.quantity - closed, lot.price, lot.opened_at, lot.fill_key))
        if left:
            if not self.lots:
                self.opened_at = fill.executed_at  # from flat, or flipped through zero
            self.lots.append(Lot(left, price, fill.executed_at, fill.key))
            self.cost += left * price * multiplier
        self.quantity += fill.signed_quantity
        if not self.quantity:
            self.opened_at = None
        self.realised += realised
        self.fills += 1
        self.last = place
        self.last_price = price
        return self._book_fee(fill, realised, oldest)

    def _book_fee(self, fill: Fill, realised: Decimal, oldest: datetime | None) -> Booked:
        if fill.fee_currency == self.instrument.currency:
            self.fees += fill.fee
            return Booked(fill.executed_at, realised, fill.fee, oldest=oldest)
        if fill.fee:
            self.other_fees[fill.fee_currency] = self.other_fees.get(fill.fee_currency, ZERO) + fill.fee
        return Booked(fill.executed_at, realised, ZERO, (fill.fee_currency, fill.fee), oldest)


def position_key(strategy: str, symbol: str) -> str:
    """Return the key of a position in its book."""
    return f"{strategy}:{symbol}"


def fold(fills: Iterable[Fill]) -> tuple[Position, list[Booked]]:
    """Fold the fills of one position, given in any order, from nothing. At least one fill."""
    ordered = sorted(fills, key=lambda f: f.order)
    position = Position(ordered[0].instrument, ordered[0].strategy)
    return position, [position.apply(fill) for fill in ordered]
