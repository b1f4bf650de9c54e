"""One position: open lots and what closed ones made, folded from fills.

A position is the fold of its distinct fills by (execution time, fill key); nothing of it depends on the order
in which they arrived. Signs: quantities are positive when long, negative when short; `cost` is what the open
lots were bought for (negative: the premium that a short received); realised P&L is gross of fees and positive
when money was made; fees are positive when paid, income (funding, dividends) when received. Money is in the
instrument's currency.

Methods say which lot a fill closes: `fifo` the oldest, `lifo` the newest, `hifo` the one that gains least,
`average` an equal part of all. Only `average` divides: the cost that leaves is rounded to 12 decimals, what was
rounded stays in `cost`, and the last unit takes all of it along.

For any sequence of fills: cash + cost - realised + fees - income = 0, exactly, where cash is
-(signed quantity x worth of its price) - fees paid in the settlement currency + income, and a fee taken in
the traded asset counts as fees at the fill's price. One that comes by itself moves units where it says its price: out of
what is held, or, where that is gone already, it is owed.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal, getcontext, localcontext
from typing import NamedTuple

from stopline.model.decimals import EXACT, ZERO, divide, exactly
from stopline.model.fill import TRADES, Fill, FillKind, Place
from stopline.model.ids import position_key
from stopline.model.instrument import Instrument

FIFO, LIFO, HIFO, AVERAGE = METHODS = ("fifo", "lifo", "hifo", "average")
_TRADE = FillKind.TRADE


class Lot(NamedTuple):
    """Units opened by one fill and not closed yet; `quantity` is signed."""

    quantity: Decimal
    price: Decimal
    opened_at: datetime
    fill_key: str


Open = tuple[Decimal, Decimal, Place]
"""A lot as the fold keeps it: signed quantity, price, place of the fill that opened it."""


class Aside(NamedTuple):
    """What a fill booked besides: a fee in another currency, income in the instrument's or another, and `flow`: money that
    came into the account or left it, never P&L.
    """

    other_fee: tuple[str, Decimal] | None = None
    income: Decimal = ZERO
    flow: tuple[str, Decimal] | None = None
    other_income: tuple[str, Decimal] | None = None


Booked = tuple[datetime, Decimal, Decimal, datetime | None, Aside | None]
"""What one fill did: the time it counts for, realised P&L (gross) and fee in the instrument's currency, when the oldest
lot that it closed was opened, and what else it booked. Plain tuples, these and `Open`: a named one takes four times as
long to make.
"""


@dataclass(slots=True)
class Position:
    """A position in one instrument by one strategy. Mutated only while it is folded; `copy` before that."""

    instrument: Instrument
    strategy: str
    open: deque[Open] = field(default_factory=deque)  # its lots, oldest first
    units: Decimal | None = field(default=ZERO, repr=False, compare=False)  # None: as many as its lots have
    spent: Decimal | None = field(default=ZERO, repr=False, compare=False)  # None: what its lots cost
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    other_fees: dict[str, Decimal] = field(default_factory=dict)
    fills: int = 0
    last: tuple[datetime, str] | None = None  # place of the newest fill folded
    cycle: tuple[datetime, str] | None = None  # place of the first fill since it was flat: to fold again from
    opened_at: datetime | None = None  # when it was opened from flat or flipped; None when flat
    last_price: Decimal = ZERO
    income: Decimal = ZERO
    method: str = FIFO
    amended: bool = False  # a bust or correction was folded: what comes late folds from the very first fill
    amended_until: Place | None = (
        None  # of the newest fill that is amended: a fee of a newer one only adds; None: not known
    )
    undated_until: datetime | None = None  # what is executed until then one that says no day may be about
    split_at: datetime | None = None  # of its last split: an older price is one of the old units
    priced_at: datetime | None = None  # of its newest execution: how old `last_price` is
    is_plain: bool = field(init=False, repr=False, compare=False)  # its trades are folded the short way
    _multiplier: Decimal | None = field(init=False, repr=False, compare=False)  # None: 1

    def __post_init__(self) -> None:
        contract = self.instrument
        self._multiplier = contract.multiplier if contract.multiplier != 1 else None
        self.is_plain = self.method == FIFO and not contract.inverse and contract.base is None

    @property
    def key(self) -> str:
        """Strategy and symbol: what identifies the position in its book."""
        return position_key(self.strategy, self.instrument.symbol)

    @property
    def lots(self) -> deque[Lot]:
        """The open lots, oldest first; made anew for who asks."""
        return deque(Lot(quantity, price, *place) for quantity, price, place in self.open)

    @property
    def quantity(self) -> Decimal:
        """Units held, signed. Summed when asked for, once."""
        if self.units is None:
            with exactly():
                self.units = sum((quantity for quantity, _, _ in self.open), ZERO)
        return self.units

    @property
    def cost(self) -> Decimal:
        """What the open lots were bought for. Summed when asked for, once."""
        if self.spent is None:
            with exactly():
                self.spent = self._cost_of_lots()
        return self.spent

    def in_currency_of(self, contract: Instrument) -> "Position":
        """Return a position of which nothing but payments has come as one in the same contract in another currency."""
        other = {**self.other_fees, self.instrument.currency: EXACT.subtract(self.fees, self.income)}
        kept = {name: paid for name, paid in other.items() if paid and name != contract.currency}
        made = EXACT.minus(other.get(contract.currency, ZERO))
        return replace(self, instrument=contract, open=deque(), fees=ZERO, income=made, other_fees=kept)

    @property
    def is_flat(self) -> bool:
        return not (self.open or self.units)

    @property
    def net(self) -> Decimal:
        """Realised P&L after fees and with income."""
        return EXACT.add(EXACT.subtract(self.realised, self.fees), self.income)

    @property
    def average_price(self) -> Decimal | None:
        """Average price of the open lots, rounded to 12 decimals; None when flat.

        Of an inverse contract it is the harmonic one: the price whose worth is the lots' average worth.
        """
        if not self.quantity:
            return None
        units = EXACT.multiply(self.quantity, self.instrument.multiplier)
        return divide(-units, self.cost) if self.instrument.inverse else divide(self.cost, units)

    def is_priced_since(self, moment: datetime) -> bool:
        """Tell whether `last_price` is of this moment or later, and of after its last split. What is paid says no price."""
        at, split_at = self.priced_at, self.split_at
        return at is not None and at >= moment and (split_at is None or at > split_at)

    def copy(self) -> "Position":
        """Return a copy that can be folded further without touching this one."""
        return Position(
            self.instrument,
            self.strategy,
            self.open.copy(),
            self.units,
            self.spent,
            self.realised,
            self.fees,
            self.other_fees.copy(),
            self.fills,
            self.last,
            self.cycle,
            self.opened_at,
            self.last_price,
            self.income,
            self.method,
            self.amended,
            self.amended_until,
            self.undated_until,
            self.split_at,
            self.priced_at,
        )

    def apply(self, fill: Fill) -> Booked:
        """Fold one fill, which must come after every fill folded so far.

        Inside `exactly()`, as where many are folded, it is faster: the context need not be changed for each. A trade
        first in, first out, with nothing special about it, is folded here: what `_exchange` does, in half the time.
        """
        if getcontext() is not EXACT:
            with exactly():
                return self.apply(fill)
        place, left, price, fee, plain, _ = fill.terms
        at, last = place[0], self.last
        if last is not None and at <= last[0] and place <= last:
            raise ValueError(f"fill {fill.key} is not after {last[1]}: fold from the fill log")
        if not (plain and self.is_plain):
            return self._apply_other(fill, place)
        self.units = self.spent = None
        self.fills += 1
        self.last = place
        self.priced_at = at
        self.last_price = price
        self.fees += fee
        lots = self.open
        if not lots:
            self.cycle, self.opened_at = place, at
            lots.append((left, price, place))
            return at, ZERO, fee, None, None
        size, entry, opened = lots[0]
        sells = left.is_signed()
        if size.is_signed() is sells:
            lots.append((left, price, place))
            return at, ZERO, fee, None, None
        oldest, realised = opened[0], ZERO
        while True:
            rest = size + left
            if rest and rest.is_signed() is not sells:  # the lot outlasts the fill
                realised += left * (entry - price)
                lots[0] = (rest, entry, opened)
                break
            realised += size * (price - entry)
            lots.popleft()
            left = rest
            if not left:
                if not lots:
                    self.opened_at = None
                break
            if not lots:
                self.opened_at = at
                lots.append((left, price, place))
                break
            size, entry, opened = lots[0]
        if self._multiplier is not None:
            realised *= self._multiplier
        self.realised += realised
        return at, realised, fee, oldest, None

    def add_late_fee(self, fee: Fill, of: Fill) -> Booked:
        """Fold a fee that came after its fill: it counts for the fill's moment."""
        with localcontext(EXACT):
            trade = of.kind in TRADES or of.kind is FillKind.ADJUST
            moved = -fee.fee if trade and is_in_kind(fee.fee_currency, self.instrument) else ZERO
            realised, oldest = self._exchange(moved, of.price, of) if moved else (ZERO, None)
            return self._book_fee(fee, of.executed_at, of.price if trade else None, realised, oldest)

    def _apply_other(self, fill: Fill, place: tuple[datetime, str]) -> Booked:
        kind = fill.kind
        if kind is not _TRADE and kind not in TRADES and (kind is not FillKind.ADJUST or not fill.quantity):
            self.fills += 1
            self.last = place
            return self._apply_event(fill)
        moved = fill.moves(self.quantity)
        price = fill.price
        if not self.open and (moved or self.cycle is None):  # what ends nothing begins nothing
            self.cycle = place
        base = self.instrument.base
        if base is not None and fill.fee_currency == base and base != self.instrument.currency:
            moved -= fill.fee
        realised, oldest = self._exchange(moved, price, fill)
        self.fills += 1
        self.last = place
        self.priced_at = place[0]
        self.last_price = price
        if fill.fee_currency == self.instrument.currency:  # the usual case, without a call
            self.fees += fill.fee
            return fill.executed_at, realised, fill.fee, oldest, None
        return self._book_fee(fill, fill.executed_at, price, realised, oldest)

    def _exchange(self, left: Decimal, price: Decimal, fill: Fill) -> tuple[Decimal, datetime | None]:
        """Move units at a price: close what stands against them, open lots for the rest.

        Returns what closing realised, and when the oldest lot that was touched was opened.
        """
        contract = self.instrument
        multiplier = contract.multiplier
        inverse = contract.inverse
        worth = contract.worth(price) if inverse else price * multiplier
        realised, oldest = ZERO, None
        held = self.quantity
        self.units, self.spent = held + left, self.cost
        lots = self.open
        if held and held.is_signed() != left.is_signed():
            if self.method == AVERAGE:
                realised, left = self._close_average(left, worth, held)
                oldest = self.opened_at
            else:
                fifo = self.method == FIFO
                while left and lots:
                    index = 0 if fifo else self._next()
                    size, bought, opened = lots[index]
                    closed = size if abs(size) <= abs(left) else -left  # signed like the lot
                    entry = contract.worth(bought) if inverse else bought * multiplier
                    realised += closed * (worth - entry)
                    self.spent -= closed * entry
                    left += closed
                    if oldest is None or opened[0] < oldest:
                        oldest = opened[0]
                    if closed != size:
                        lots[index] = (size - closed, bought, opened)
                    elif fifo:
                        lots.popleft()
                    else:
                        del lots[index]
            self.realised += realised
        if left:
            self.spent += left * worth
            if not lots:
                self.opened_at = fill.executed_at  # from flat, or flipped through zero
            elif self.method == AVERAGE:
                _, _, first = lots.pop()
                average = self.average_price
                assert average is not None  # it may be 0
                lots.append((self.quantity, average, first))
                return realised, oldest
            lots.append((left, price, fill.order))
        elif not lots:
            self.opened_at = None
        return realised, oldest

    def _next(self) -> int:
        """Return the index of the lot to close next."""
        if self.method == LIFO:
            return len(self.open) - 1
        dear = -1 if self.open[0][0] > 0 else 1  # long: highest entry first; short: lowest
        return min(range(len(self.open)), key=lambda i: (dear * self.open[i][1], i))

    def _close_average(self, left: Decimal, worth: Decimal, held: Decimal) -> tuple[Decimal, Decimal]:
        closed = held if abs(left) >= abs(held) else -left
        released = self.cost if closed == held else divide(self.cost * closed, held)
        self.spent = self.cost - released
        _, price, first = self.open.pop()
        if closed != held:
            self.open.append((held - closed, price, first))
        return closed * worth - released, left + closed

    def _apply_event(self, fill: Fill) -> Booked:
        """Fold what is no trade: money that is paid or comes in, or a split."""
        if fill.kind is FillKind.SPLIT:
            return self._split(fill)
        if fill.kind is FillKind.FLOW:
            return fill.executed_at, ZERO, ZERO, None, Aside(flow=(fill.fee_currency, -fill.fee))
        if fill.kind in (FillKind.FUNDING, FillKind.DIVIDEND):
            if fill.fee_currency == self.instrument.currency:
                self.income -= fill.fee
                return fill.executed_at, ZERO, ZERO, None, Aside(income=-fill.fee)
            self._add_other(fill)
            return fill.executed_at, ZERO, ZERO, None, Aside(other_income=(fill.fee_currency, -fill.fee))
        if not (fill.price and fill.fee and is_in_kind(fill.fee_currency, self.instrument)):
            return self._book_fee(fill, fill.executed_at, None, ZERO, None)
        if not self.open:
            self.cycle = fill.order
        realised, oldest = self._exchange(-fill.fee, fill.price, fill)
        return self._book_fee(fill, fill.executed_at, fill.price, realised, oldest)

    def _split(self, fill: Fill) -> Booked:
        """Turn every `price` units into `quantity` units. Quantities and prices are rounded to 12 decimals where
        they must be, and the cost that this loses or makes is realised.
        """
        new, old, before = fill.quantity, fill.price, self.cost
        self.open = deque(
            (divide(quantity * new, old), divide(price * old, new), place)
            for quantity, price, place in self.open
        )
        self.units = None
        self.split_at = fill.executed_at
        self.last_price = divide(self.last_price * old, new)
        realised = ZERO
        if self.method != AVERAGE:
            cost = self._cost_of_lots()
            realised = cost - before
            self.spent = cost
        self.realised += realised
        return fill.executed_at, realised, ZERO, None, None

    def _cost_of_lots(self) -> Decimal:
        worth = self.instrument.worth
        return sum((quantity * worth(price) for quantity, price, _ in self.open), ZERO)

    def _book_fee(
        self, fill: Fill, at: datetime, price: Decimal | None, realised: Decimal, oldest: datetime | None
    ) -> Booked:
        contract = self.instrument
        if fill.fee_currency == contract.currency:
            self.fees += fill.fee
            return at, realised, fill.fee, oldest, None
        if price is not None and is_in_kind(fill.fee_currency, contract):
            fee = fill.fee * contract.worth(price)
            self.fees += fee
            return at, realised, fee, oldest, None
        self._add_other(fill)
        return at, realised, ZERO, oldest, Aside((fill.fee_currency, fill.fee))

    def _add_other(self, fill: Fill) -> None:
        """Note what was paid in another currency: fees, less what came in."""
        paid = self.other_fees.pop(fill.fee_currency, ZERO) + fill.fee
        if paid:  # what came back in full is as what never was
            self.other_fees[fill.fee_currency] = paid


def is_in_kind(currency: str, contract: Instrument) -> bool:
    """Tell whether a fee in a currency is taken out of the traded units."""
    return currency == contract.base and currency != contract.currency
