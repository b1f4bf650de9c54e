"""A broker that does as it likes: rejects, fills late, in parts and twice, is deaf to cancels. It checks nothing: that is
the adapter's part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from random import Random

from stopline.model.decimals import ZERO
from stopline.model.instrument import Instrument

Key = tuple[str, str]
"""Strategy and symbol: what a position is of."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """An order at the broker: `left` units, signed. `adds`: it may add risk; `epoch`: of the trading state that let it
    through.
    """

    id: str
    strategy: str
    instrument: Instrument
    left: Decimal
    epoch: int
    adds: bool = False
    group_id: str | None = None
    expires_at: datetime | None = None

    @property
    def key(self) -> Key:
        return self.strategy, self.instrument.symbol

    @property
    def order(self) -> str:
        """The order that it is, or that it is a leg of."""
        return self.id.partition("~")[0]


@dataclass(frozen=True, slots=True)
class Manners:
    """How bad a broker is, each as a chance."""

    reject: float = 0.0
    late: float = 0.0  # an order works for a while before it is filled
    part: float = 0.0  # only a part of it is filled at first
    twice: float = 0.0  # an execution is reported once more, under the same id
    deaf: float = 0.0  # a cancel is ignored
    silent: float = 0.0  # nothing is said about an order
    nameless: float = 0.0  # a fill does not say which order it is of
    groupless: float = 0.0  # a fill does not say which spread it is of
    apart: float = 0.0  # of a spread the leg that protects is sold first, and the rest works for a while

    @staticmethod
    def draw(rng: Random) -> "Manners":
        """Switch each kind on or off by the seed."""

        def maybe(most: float) -> float:
            return rng.uniform(0.05, most) if rng.random() < 0.4 else 0.0

        return Manners(
            reject=maybe(0.4),
            late=maybe(0.7),
            part=maybe(0.6),
            twice=maybe(0.5),
            deaf=maybe(0.5),
            silent=maybe(0.6),
            nameless=maybe(0.4),
            groupless=maybe(0.5),
        )


GOOD = Manners()
Executed = Callable[[Ticket, Decimal, str], None]
"""Told of an execution: the order as it was, the units, signed, and the id of the execution."""


@dataclass
class Venue:
    """One account's positions and working orders. `turned` names orders that took a position through zero or made it larger
    although they must not.
    """

    rng: Random
    manners: Manners
    executed: Executed
    positions: dict[Key, Decimal] = field(default_factory=dict)
    working: dict[str, Ticket] = field(default_factory=dict)
    turned: list[str] = field(default_factory=list)
    deaf: bool = False  # it has ignored a cancel
    _serial: int = 0

    def held(self, strategy: str, symbol: str) -> Decimal:
        """Return a position, signed."""
        return self.positions.get((strategy, symbol), ZERO)

    def works(self, strategy: str, symbol: str, sign: int) -> Decimal:
        """Return the units, 0 or more, that working orders of one side may still execute."""
        left = (t.left for t in self.working.values() if t.key == (strategy, symbol))
        return sum((abs(units) for units in left if (units > 0) == (sign > 0)), ZERO)

    def send(self, ticket: Ticket) -> str:
        """Take an order; return `rejected`, `accepted`, `partially_filled` or `filled`."""
        if self._chance(self.manners.reject):
            return "rejected"
        if self._chance(self.manners.late):
            self.working[ticket.id] = ticket
            return "accepted"
        if abs(ticket.left) > 1 and self._chance(self.manners.part):
            part = Decimal(int(ticket.left / 2)) or ticket.left
            self.working[ticket.id] = replace(ticket, left=ticket.left - part)
            self._execute(ticket, part)
            return "partially_filled"
        self._execute(ticket, ticket.left)
        return "filled"

    def send_together(self, legs: Sequence[Ticket]) -> str:
        """Take the legs of a spread as one order, all or none; return what `send` returns."""
        if self._chance(self.manners.reject):
            return "rejected"
        is_apart, is_late = self._chance(self.manners.apart), self._chance(self.manners.late)
        waits = [leg for leg in legs if is_late or (is_apart and leg.left > 0)]
        self.working |= {leg.id: leg for leg in waits}
        for leg in legs:
            if leg not in waits:
                self._execute(leg, leg.left)
        if not waits:
            return "filled"
        return "accepted" if len(waits) == len(legs) else "partially_filled"

    def mix(self, adding: Ticket) -> None:
        """Note that a program's orders of one side stand for each other: whichever is filled last is the one that adds."""
        for id_, ticket in self.working.items():
            same = ticket.key == adding.key and (ticket.left > 0) == (adding.left > 0)
            if same and ticket.expires_at is None:  # a command's order has an end, and never adds
                self.working[id_] = replace(ticket, adds=True)

    def cancel(self, ids: list[str]) -> list[Ticket]:
        """Cancel working orders; return those that were. It may be deaf."""
        if ids and self._chance(self.manners.deaf):
            self.deaf = True
            return []
        return [self.working.pop(id_) for id_ in ids]

    def move(self) -> None:
        """Fill one of the working orders, some of it or all."""
        if not self.working:
            return
        ticket = self.working.pop(self.rng.choice(list(self.working)))
        part = ticket.left
        if abs(part) > 1 and self._chance(self.manners.part):
            part = Decimal(int(part / 2)) or part
            self.working[ticket.id] = replace(ticket, left=ticket.left - part)
        self._execute(ticket, part)

    def _execute(self, ticket: Ticket, units: Decimal) -> None:
        self._serial += 1
        before = self.positions.get(ticket.key, ZERO)
        after = self.positions[ticket.key] = before + units
        if not ticket.adds and (before * after < 0 or abs(after) > abs(before)):
            self.turned.append(f"{ticket.id}: {before} to {after} {ticket.key}")
        self.executed(ticket, units, f"X{self._serial}")

    def _chance(self, chance: float) -> bool:
        return chance > 0 and self.rng.random() < chance
