"""How much underlyings move, and how much together, out of their daily returns.

Per day, or a year where it says so; what the returns do not say is left out, never NaN. Sources: those of `correlation`
and `factors`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stopline.risk.correlation import covariance
from stopline.risk.factors import Factors

LEAST = 20  # sessions; with fewer nothing is said
WINDOW = 60
FLAT = 1e-12  # a smaller daily deviation is none


@dataclass(frozen=True, slots=True)
class CoMovement:
    """`volatilities`: yearly (0.2 is 20 %), by symbol; `correlations`, by two symbols in order. Missing: UNKNOWN."""

    volatilities: dict[str, float] = field(default_factory=dict)
    correlations: dict[tuple[str, str], float] = field(default_factory=dict)


def co_movement(factors: Factors, symbols: Sequence[str], window: int = WINDOW) -> CoMovement:
    """Return volatilities (standard deviation with n - 1, times the root of 252) and Pearson's correlations of the
    symbols' returns over the last `window` sessions, out of the stored covariance where that is of the same sessions. A
    symbol with few returns is left out; with a flat one among them there are no correlations.
    """
    known = factors.covariance
    whole = known is not None and known.window == window and known.dropped == 0  # nobody's hole shortens it
    if known is not None and whole and set(symbols) <= set(known.symbols):
        names = tuple(sorted(set(symbols)))
        places = [known.symbols.index(name) for name in names]
        spread, n = known.matrix[np.ix_(places, places)], known.n
    else:
        moves = factors.moves(sorted(symbols), window)
        names, n = moves.symbols, len(moves.returns)
        spread = covariance(moves.returns) if n >= LEAST else np.empty((0, 0))
    if n < LEAST or not names:
        return CoMovement()
    deviations = np.sqrt(np.diag(spread))
    volatilities = dict(zip(names, (deviations * np.sqrt(252.0)).tolist(), strict=True))
    if not (deviations > FLAT).all():  # a flat column is correlated with nothing
        return CoMovement(volatilities)
    table = np.clip(spread / np.outer(deviations, deviations), -1.0, 1.0)
    pairs = {
        (one, other): float(table[i, i + 1 + j])
        for i, one in enumerate(names)
        for j, other in enumerate(names[i + 1 :])
    }
    return CoMovement(volatilities, pairs)
