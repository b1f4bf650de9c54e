"""Accounting done again, the slow and obvious way: unit by unit, in fractions, from all fills at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from stopline.model.fill import Fill

UNIT = Fraction(1, 4)  # the test's quantities are multiples of this


@dataclass
class Naive:
    """One position. `units` is a queue of single units: (sign, price)."""

    units: list[tuple[int, Fraction]] = field(default_factory=list)
    realised: Fraction = Fraction(0)
    fees: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    cash: Fraction = Fraction(0)
    multiplier: Fraction = Fraction(1)

    @property
    def quantity(self) -> Fraction:
        return sum((sign * UNIT for sign, _ in self.units), Fraction(0))

    @property
    def cost(self) -> Fraction:
        return sum((sign * UNIT * price * self.multiplier for sign, price in self.units), Fraction(0))

    def take(self, fill: Fill) -> Fraction:
        """Take one fill; return what it realised."""
        self.multiplier = Fraction(fill.instrument.multiplier)
        sign, price = (1, Fraction(fill.price)) if fill.side == "BUY" else (-1, Fraction(fill.price))
        made = Fraction(0)
        count = Fraction(fill.quantity) / UNIT
        assert count.denominator == 1
        for _ in range(count.numerator):
            if self.units and self.units[0][0] != sign:
                opened, entry = self.units.pop(0)
                made += opened * UNIT * (price - entry) * self.multiplier
            else:
                self.units.append((sign, price))
            self.cash -= sign * UNIT * price * self.multiplier
        self.realised += made
        self.fees[fill.fee_currency] += Fraction(fill.fee)
        return made


@dataclass
class NaiveBook:
    positions: dict[tuple[str, str], Naive] = field(default_factory=lambda: defaultdict(Naive))
    days: dict[tuple[date, str], list[Fraction]] = field(
        default_factory=lambda: defaultdict(lambda: [Fraction(0), Fraction(0)])
    )
    totals: dict[str, list[Fraction]] = field(
        default_factory=lambda: defaultdict(lambda: [Fraction(0), Fraction(0)])
    )


def account_for(fills: Iterable[Fill], session_of: Callable[[datetime], date]) -> NaiveBook:
    """Return the truth about distinct fills: sorted by execution time and key, each taken once."""
    book = NaiveBook()
    distinct = {fill.key: fill for fill in fills}.values()
    for fill in sorted(distinct, key=lambda f: (f.executed_at, f.key)):
        position = book.positions[fill.strategy, fill.instrument.symbol]
        made = position.take(fill)
        session, currency = session_of(fill.executed_at), fill.instrument.currency
        for sums in (book.days[session, currency], book.totals[currency]):
            sums[0] += made
        for sums in (book.days[session, fill.fee_currency], book.totals[fill.fee_currency]):
            sums[1] += Fraction(fill.fee)
    return book


def nonzero(sums: dict[Any, Any]) -> dict[Any, tuple[Fraction, Fraction]]:
    """Return sums without those that are zero, for comparison."""
    pairs = {key: (Fraction(value[0]), Fraction(value[1])) for key, value in sums.items()}
    return {key: pair for key, pair in pairs.items() if any(pair)}
