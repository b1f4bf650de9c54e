"""Drawdown: how far wealth lies below its highest level so far, for how long, and when it came back.

Sign: positive, a part of the peak, within [0, 1]; shape (n,). Returns compound, and the starting wealth counts as a peak.
Less than 1e-12 is the rounding of compounding: it is 0, or a recovered loss would last for ever. NaN and returns below
-100 % are Rejected. Source: Magdon-Ismail, Atiya: Maximum drawdown (2004).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stopline.model.errors import Rejected
from stopline.risk.returns import Convention, FloatArray, compounded, return_series, series

ROUNDING = 1e-12  # part of the peak


@dataclass(frozen=True, slots=True)
class Spell:
    """One drawdown: from a peak, through a trough, to the first level that reaches the peak again.

    `peak`, `trough` and `recovery` are indices into wealth: 0 is the start, i is after the i-th return.
    `recovery` is None while wealth is still below the peak.
    """

    peak: int
    trough: int
    recovery: int | None
    depth: float  # part of the peak, (0, 1]
    length: int  # periods from the peak to the recovery, or to the end of the series

    @property
    def to_trough(self) -> int:
        """Return the periods from the peak to the trough."""
        return self.trough - self.peak

    @property
    def to_recovery(self) -> int | None:
        """Return the periods from the trough to the recovery; None while there is none."""
        return None if self.recovery is None else self.recovery - self.trough


def drawdowns(returns: npt.ArrayLike) -> FloatArray:
    """Return the drawdown after each return, 1 - W(t) / max(W(0) .. W(t)), shape (n,) for returns (n,), n >= 0."""
    return _felt(below_peak(return_series(returns, 0)))


def drawdowns_of(levels: npt.ArrayLike) -> FloatArray:
    """Return the drawdown at each level of equity, 1 - E(t) / max(E(0) .. E(t)), shape (n,), n >= 1.

    Equity in money: the first level is the start, and must be above 0. Equity below zero is a drawdown of more
    than 1: an account can owe money.
    """
    array = series(levels, 1, "levels of equity")
    if array[0] <= 0:
        raise Rejected("BAD_PRICE", f"levels of equity: the first was {array[0]:g}, and must be above 0")
    peak = np.maximum.accumulate(array)
    return np.asarray((peak - array) / peak, dtype=np.float64)


def current_drawdown(returns: npt.ArrayLike) -> float:
    """Return the drawdown after the last return; 0 at a peak. Minimum sample 1."""
    return float(_felt(below_peak(return_series(returns, 1))[-1:])[0])


def max_drawdown(returns: npt.ArrayLike, convention: Convention = "stopline") -> float:
    """Return the largest drawdown, within [0, 1]; 0 where wealth never fell. Minimum sample 1.

    empyrical has the same number with the sign turned: `convention="empyrical"`.
    """
    worst = deepest(return_series(returns, 1))
    return -worst if convention == "empyrical" else worst


def spells(returns: npt.ArrayLike) -> list[Spell]:
    """Return every drawdown in the order of time; none for an empty, flat or rising series.

    The trough is the first lowest level of a spell. At most the last spell has no recovery.
    """
    down = np.concatenate(([0.0], drawdowns(returns)))
    under = down > 0.0
    edges = np.diff(under.astype(np.int8))
    starts = np.flatnonzero(edges == 1)
    ends: list[int | None] = [int(end) + 1 for end in np.flatnonzero(edges == -1)]
    if len(ends) < len(starts):
        ends.append(None)
    result = []
    for peak, recovery in zip(starts.tolist(), ends, strict=True):
        stop = down.size - 1 if recovery is None else recovery
        trough = peak + int(np.argmax(down[peak : stop + 1]))
        result.append(Spell(peak, trough, recovery, float(down[trough]), stop - peak))
    return result


def worst_spell(returns: npt.ArrayLike) -> Spell | None:
    """Return the deepest drawdown, the first of equals; None where wealth never fell. Minimum sample 1."""
    return max(spells(return_series(returns, 1)), key=lambda spell: spell.depth, default=None)


def longest_duration(returns: npt.ArrayLike) -> int:
    """Return the most periods spent below a peak, one that still lasts included; 0 where wealth never fell."""
    return max((spell.length for spell in spells(return_series(returns, 1))), default=0)


def below_peak(returns: FloatArray, level: FloatArray | None = None) -> FloatArray:
    """Return the drawdown along the last axis for checked returns, with its rounding; their compounded `level` is
    overwritten.
    """
    level = compounded(returns) if level is None else level
    peak = np.maximum.accumulate(level, axis=-1)
    np.maximum(peak, 1.0, out=peak)
    np.divide(level, peak, out=level)
    return np.asarray(np.subtract(1.0, level, out=level), dtype=np.float64)


def deepest(returns: FloatArray, level: FloatArray | None = None) -> float:
    """Return the largest drawdown of one checked series, shape (n,), n >= 1; its compounded `level` is overwritten."""
    level = compounded(returns) if level is None else level
    peak = np.maximum.accumulate(level)
    np.maximum(peak, 1.0, out=peak)
    np.divide(level, peak, out=level)
    worst = 1.0 - float(np.minimum.reduce(level))  # the same as of `below_peak`: rounding keeps the order
    return worst if worst >= ROUNDING else 0.0


def _felt(down: FloatArray) -> FloatArray:
    """Take what is only rounding off, in place."""
    down[down < ROUNDING] = 0.0
    return down
