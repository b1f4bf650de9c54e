"""Return series: what is accepted, and the ways from prices to returns to wealth.

Every function of `risk` that takes a series takes it through `series` or `matrix`: NaN and infinities are
errors, never skipped, because a skipped day shifts every later one.
Shape (n,), or (n, k) of k assets; parts of 1 (0.01 is 1 %) per period. Source: Tsay, Analysis of financial time series, 1.1.
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from stopline.model.errors import InsufficientData, Rejected

FloatArray = npt.NDArray[np.float64]
Convention = Literal["stopline", "empyrical"]

FLAT = 1e-14  # a standard deviation of less than this part of the mean is rounding of a flat series


def series(values: npt.ArrayLike, least: int = 1, what: str = "values") -> FloatArray:
    """Return values as float64, shape (n,).

    Raise Rejected for another shape, NaN or an infinity, and InsufficientData where n < `least`.
    """
    array = _numbers(values, what)
    if array.ndim != 1:
        raise Rejected("BAD_SHAPE", f"{what} must be one series, and the shape was {array.shape}")
    _check_finite(array, what)
    if array.size < least:
        raise InsufficientData(f"{what}: at least {least} are needed, and there were {array.size}")
    return array


def matrix(values: npt.ArrayLike, least: int = 1, what: str = "values") -> FloatArray:
    """Return values as float64, shape (n, k): a row per time or scenario, a column per asset. Errors as `series`."""
    array = _numbers(values, what)
    if array.ndim != 2 or not array.shape[1]:
        raise Rejected("BAD_SHAPE", f"{what} must be rows x columns, and the shape was {array.shape}")
    _check_finite(array, what)
    if array.shape[0] < least:
        raise InsufficientData(f"{what}: at least {least} rows are needed, and there were {array.shape[0]}")
    return array


def return_series(values: npt.ArrayLike, least: int = 1) -> FloatArray:
    """Return simple returns as float64, shape (n,); 0.01 is 1 %.

    As `series`, and a return below -1 (-100 %) is Rejected: nobody loses more than all of it, so the numbers
    are percent, prices or P&L. Exactly -1 is accepted: wealth is 0 from then on.
    """
    array = series(values, least, "returns")
    _check_possible(array)
    return array


def return_matrix(values: npt.ArrayLike, least: int = 1) -> FloatArray:
    """Return simple returns as float64, shape (n, k). Errors as `return_series`."""
    array = matrix(values, least, "returns")
    _check_possible(array)
    return array


def price_series(values: npt.ArrayLike, least: int = 1, what: str = "prices") -> FloatArray:
    """Return prices as float64, shape (n,). As `series`, and a price of 0 or below is Rejected."""
    array = series(values, least, what)
    if array.size and array.min() <= 0:
        row = int(np.argmax(array <= 0))
        raise Rejected("BAD_PRICE", f"{what}: number {row + 1} was {array[row]:g}, and must be above 0")
    return array


def simple_returns(prices: npt.ArrayLike) -> FloatArray:
    """Return P(t) / P(t-1) - 1, shape (n-1,), of prices, shape (n,) with n >= 2. NaN and P <= 0: Rejected."""
    array = price_series(prices, 2)
    return array[1:] / array[:-1] - 1.0


def log_returns(prices: npt.ArrayLike) -> FloatArray:
    """Return ln(P(t) / P(t-1)), shape (n-1,), of prices, shape (n,) with n >= 2. NaN and P <= 0: Rejected."""
    return np.asarray(np.diff(np.log(price_series(prices, 2))), dtype=np.float64)


def wealth(returns: npt.ArrayLike) -> FloatArray:
    """Return the growth of 1: (1, 1+r1, (1+r1)(1+r2), ...), shape (n+1,), of returns, shape (n,) with n >= 0.

    The first element is the starting wealth, so that a loss on the first day is a drawdown.
    NaN and returns below -100 %: Rejected. Empty: (1,).
    """
    array = return_series(returns, 0)
    result = np.empty(array.size + 1)
    result[0] = 1.0
    compounded(array, out=result[1:])
    return result


def compounded(returns: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """Return the running product of 1 + r along the last axis: `wealth` without its start, for checked returns."""
    result = np.empty(returns.shape) if out is None else out
    with np.errstate(over="ignore"):
        np.add(returns, 1.0, out=result)
        np.multiply.accumulate(result, axis=-1, out=result)
    final = result[..., -1] if result.size else 0.0
    if not (math.isfinite(final) if result.ndim == 1 else np.isfinite(final).all()):
        raise Rejected(
            "OVERFLOW", "returns compound to more than a float holds: they may be percent or prices"
        )
    return result


def overlapping(values: FloatArray, horizon: int) -> FloatArray:
    """Return the sums of every `horizon` consecutive values, along the first axis, shape (n - horizon + 1, ...)."""
    if horizon == 1:
        return values
    total = np.cumsum(values, axis=0)
    result = total[horizon - 1 :].copy()
    result[1:] -= total[:-horizon]
    return result


def between(value: float, name: str, low: float, high: float) -> float:
    """Return a setting that must lie strictly between two bounds; Rejected otherwise, NaN too."""
    if not low < value < high:
        raise Rejected("BAD_SETTING", f"{name} was {value!r}, and must lie between {low:g} and {high:g}")
    return value


def _numbers(values: npt.ArrayLike, what: str) -> FloatArray:
    try:
        return np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise Rejected("NOT_A_NUMBER", f"{what} must be numbers: {problem}") from None


def _check_finite(array: FloatArray, what: str) -> None:
    """Refuse NaN, infinities, and numbers whose squares add up to more than a float holds."""
    flat = array.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        good = math.isfinite(flat @ flat)
    if not good:
        size = np.abs(array)
        bad = ~np.isfinite(array)
        large = "" if bad.any() else ", too large to measure"
        place = np.argwhere(size == size.max() if large else bad)[0]
        where = f"number {place[0] + 1}" + (f" of column {place[1] + 1}" if place.size > 1 else "")
        raise Rejected("NOT_A_NUMBER", f"{what}: {where} was {array[tuple(place)]}{large}")


def _check_possible(array: FloatArray) -> None:
    if array.size and np.minimum.reduce(array, axis=None) < -1.0:
        place = np.argwhere(array < -1.0)[0]
        where = f"number {place[0] + 1}" + (f" of column {place[1] + 1}" if place.size > 1 else "")
        raise Rejected("IMPOSSIBLE_RETURN", f"returns: {where} was {array[tuple(place)]:g}, below -100 %")
