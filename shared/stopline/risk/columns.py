"""Open positions of many accounts as columns, marked in one pass.

Shapes: n positions, m accounts. Money is in each instrument's currency; quantities are signed units. NaN is the
mark of a symbol without a price, and everything that hangs on it is NaN: never zero.
Source: marking to market, quantity x multiplier x price; an inverse contract is worth -multiplier / price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stopline.ledger.book import Book
from stopline.ledger.position import Position

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Columns:
    """Positions in the order of their accounts; `slices` gives each account its rows."""

    positions: Sequence[Position]
    symbols: Sequence[str]
    money_per_point: FloatArray  # (n,) signed quantity x multiplier
    cost: FloatArray  # (n,) signed cost of the open lots
    symbol_rows: IntArray  # (n,) row of each position's symbol in `symbols`
    slices: Mapping[str, slice]
    inverse: npt.NDArray[np.bool_]  # (n,) worth -multiplier / mark a unit, instead of multiplier x mark

    def mark(self, marks: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (value, unrealised P&L) of each position, shape (n,), for `marks` of the symbols."""
        at = marks[self.symbol_rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            value = self.money_per_point * np.where(self.inverse, -1.0 / np.where(at > 0, at, np.nan), at)
        return value, value - self.cost


def columns(books: Mapping[str, Book]) -> Columns:
    """Lay out the open positions of books."""
    positions: list[Position] = []
    slices: dict[str, slice] = {}
    rows: dict[str, int] = {}
    for account in sorted(books):
        start = len(positions)
        positions += books[account].open_positions()
        slices[account] = slice(start, len(positions))
    symbol_rows = [rows.setdefault(p.instrument.symbol, len(rows)) for p in positions]
    return Columns(
        positions,
        list(rows),
        np.array([float(p.quantity * p.instrument.multiplier) for p in positions], dtype=np.float64),
        np.array([float(p.cost) for p in positions], dtype=np.float64),
        np.array(symbol_rows, dtype=np.int64),
        slices,
        np.array([p.instrument.inverse for p in positions], dtype=np.bool_),
    )
