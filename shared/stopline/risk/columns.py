"""Open positions of many accounts as columns, for what is worked out of all of them in one pass.

Shapes: n positions. Money is in each instrument's currency; quantities are signed units. Nothing here needs a price, so
nothing is NaN.
Source: marking to market, quantity x multiplier x price; an inverse contract is worth -multiplier / price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stopline.ledger.book import Book
from stopline.ledger.position import Position

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Columns:
    """Positions in the order of their accounts; `slices` gives each account its rows."""

    positions: Sequence[Position]
    money_per_point: FloatArray  # (n,) signed quantity x multiplier
    slices: Mapping[str, slice]
    inverse: npt.NDArray[np.bool_]  # (n,) worth -multiplier / mark a unit, instead of multiplier x mark


def columns(books: Mapping[str, Book]) -> Columns:
    """Lay out the open positions of books."""
    positions: list[Position] = []
    slices: dict[str, slice] = {}
    for account in sorted(books):
        start = len(positions)
        positions += books[account].open_positions()
        slices[account] = slice(start, len(positions))
    return Columns(
        positions,
        np.array([float(p.quantity * p.instrument.multiplier) for p in positions], dtype=np.float64),
        slices,
        np.array([p.instrument.inverse for p in positions], dtype=np.bool_),
    )
