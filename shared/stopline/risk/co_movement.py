"""How much underlyings move, and how much together, out of their daily returns."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stopline.model.errors import InsufficientData
from stopline.risk.correlation import correlation
from stopline.risk.factors import Factors

LEAST = 20  # sessions; with fewer nothing is said
WINDOW = 60


@dataclass(frozen=True, slots=True)
class CoMovement:
    """`volatilities`: yearly (0.2 is 20 %), by symbol; `correlations`, by two symbols in order. Missing: UNKNOWN."""

    volatilities: dict[str, float] = field(default_factory=dict)
    correlations: dict[tuple[str, str], float] = field(default_factory=dict)


def co_movement(factors: Factors, symbols: Sequence[str], window: int = WINDOW) -> CoMovement:
    """Return volatilities (standard deviation with n - 1, times the root of 252) and Pearson's correlations of the
    symbols' returns over the last `window` sessions. A symbol with few returns, or flat ones, is left out.
    """
    moves = factors.moves(sorted(symbols), window)
    if len(moves.returns) < LEAST:
        return CoMovement()
    deviations = moves.returns.std(axis=0, ddof=1) * np.sqrt(252.0)
    volatilities = dict(zip(moves.symbols, deviations.tolist(), strict=True))
    try:
        table = correlation(moves.returns)
    except InsufficientData:  # a flat column is correlated with nothing
        return CoMovement(volatilities)
    pairs = {
        (one, other): float(table[i, i + 1 + j])
        for i, one in enumerate(moves.symbols)
        for j, other in enumerate(moves.symbols[i + 1 :])
    }
    return CoMovement(volatilities, pairs)
