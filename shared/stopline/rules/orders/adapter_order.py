"""An order as a broker adapter knows it before it sends it: what is held, what works, and what is held beside.

Whether it reduces is judged by the very rule of the check: without a lease nobody sells the long leg of a spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from stopline.model.instrument import Instrument, Kind
from stopline.model.working import Working, same_side
from stopline.rules.orders.reducing import Held, gets_no_worse


class Beside(NamedTuple):
    """Another position of the account in the same underlying, in any strategy: `units`, signed."""

    instrument: Instrument
    units: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """What must be known of an order. `held`: the position now, signed; `after`: when this order and all working ones of
    its side are filled (`of` works it out). `automatic`: a program's, not a person's. `beside`: everything else that the
    account holds in the underlying; empty: nothing; None: unknown, and then the sale of a long option adds risk, because a
    short one may be left naked.
    """

    strategy: str
    instrument: Instrument
    held: Decimal
    after: Decimal
    automatic: bool = True
    beside: tuple[Beside, ...] | None = None

    @classmethod
    def of(
        cls,
        strategy: str,
        instrument: Instrument,
        held: Decimal,
        units: Decimal,
        working: Sequence[Working],
        beside: Sequence[Beside] | None = None,
    ) -> "Order":
        """Return an order of `units`, signed, beside those that work for the same position."""
        after = held + units + same_side(units, working)
        return cls(strategy, instrument, held, after, beside=None if beside is None else tuple(beside))

    @property
    def reduces(self) -> bool:
        """Tell whether it only makes the position smaller, never through zero, and what can be lost no larger."""
        if abs(self.after) >= abs(self.held) or self.after * self.held < 0:
            return False
        if self.beside is None:
            return self.held < 0 or self.instrument.kind is not Kind.OPTION
        mine = Held("", self.instrument, self.held)
        others = [Held(str(n), other.instrument, other.units) for n, other in enumerate(self.beside)]
        return gets_no_worse([mine, *others], {"": self.after - self.held}, self.instrument.underlying)
