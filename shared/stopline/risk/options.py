"""European options: Black-Scholes-Merton and Black-76 prices and Greeks on arrays.

    d1 = (ln(S/K) + (r - q) T) / (sigma sqrt(T)) + sigma sqrt(T) / 2        d2 = d1 - sigma sqrt(T)
    price = w (S exp(-qT) Phi(w d1) - K exp(-rT) Phi(w d2))                 w = +1 for a call, -1 for a put

Black-76 is the same with a future F in the place of S and q = r.

Units: T in years; sigma, r and q per year as fractions (0.2 is 20 %), r and q continuously compounded; prices
and Greeks per unit of the underlying (times quantity and multiplier for a position). Signs are those of a long
option. Every input may be a scalar or an array; they are broadcast, and the results have the common shape.

Edges, where the formula itself would divide zero by zero, have the limits:
- sigma sqrt(T) = 0 (at expiry, or no volatility): the price is the discounted intrinsic value, delta is all or
  nothing, gamma is 0; theta and rho are those of the certain cash flows, vega is 0.
- The same, exactly at the strike (S exp(-qT) = K exp(-rT)): price 0, delta half of all. Gamma and the theta of
  time value have no finite limit there and are 0; vega with sigma = 0 and T > 0 is its limit
  S exp(-qT) sqrt(T) / sqrt(2 pi).
- S = 0 or K = 0: the limits, gamma 0. Both zero: NaN.
NaN in, NaN out. A negative spot, strike, time or volatility is NaN; an infinite input gives its limit or NaN.

Source: Hull, "Options, Futures, and Other Derivatives", chapters 15, 18 and 19; Haug, "The Complete Guide to
Option Pricing Formulas", chapters 1 and 2. The tails are taken through R(t) = exp(t^2/2) Phi(-t), with
K exp(-rT) phi(d2) = S exp(-qT) phi(d1): one exponential serves both legs and all Greeks, and what is left of a
far option keeps its digits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from types import EllipsisType
from typing import Any

import numpy as np
import numpy.typing as npt

from stopline.risk.normal import FAR, ROOT_TWO_PI, quick_tail

FloatArray = npt.NDArray[np.float64]
_Block = tuple[int | slice | EllipsisType, ...]

DAYS_PER_YEAR = 365.0
PER_CENT = 0.01
_FLAT = 1e-300  # a smaller sigma sqrt(T) is none
_NO_DEVIATION = 1.0 / _FLAT
_WIDE = 64
_BLOCK = 32_768  # contracts at a time: their arrays stay near the core, and calls are few


@dataclass(frozen=True, slots=True)
class Greeks:
    """Price and sensitivities of long options per unit of the underlying; every array has the same shape."""

    price: FloatArray  # money
    delta: FloatArray  # per 1 of the underlying; calls 0 to 1, puts -1 to 0
    gamma: FloatArray  # of delta, per 1 of the underlying
    theta: FloatArray  # per calendar day (1/365 of a year) that passes; mostly negative
    vega: FloatArray  # per 1 % (0.01) of volatility
    rho: FloatArray  # per 1 % (0.01) of the interest rate


def black_scholes(
    is_call: npt.ArrayLike,
    spot: npt.ArrayLike,
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    volatility: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
    dividend_yield: npt.ArrayLike = 0.0,
) -> Greeks:
    """Return Black-Scholes-Merton prices and Greeks of options on an asset with a continuous yield.

    delta = w exp(-qT) Phi(w d1)                    gamma = exp(-qT) phi(d1) / (S sigma sqrt(T))
    vega  = S exp(-qT) phi(d1) sqrt(T) / 100        rho   = w K T exp(-rT) Phi(w d2) / 100
    theta = (-S exp(-qT) phi(d1) sigma / (2 sqrt(T)) + w (q S exp(-qT) Phi(w d1) - r K exp(-rT) Phi(w d2))) / 365

    Units, signs, edges and NaN: see the module. Source: Hull, chapters 15 and 19; Merton (1973).
    """
    return _Contracts(is_call, spot, strike, years, volatility, rate, dividend_yield).greeks()


def black76(
    is_call: npt.ArrayLike,
    future: npt.ArrayLike,
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    volatility: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
) -> Greeks:
    """Return Black-76 prices and Greeks of options on futures; delta and gamma are by the future's price.

    As `black_scholes` with q = r, but for rho = -T price / 100: the future's price does not move with the rate.
    theta = (-F exp(-rT) phi(d1) sigma / (2 sqrt(T)) + r price) / 365

    Units, signs, edges and NaN: see the module. Source: Hull, chapter 18; Black (1976).
    """
    return _Contracts(is_call, future, strike, years, volatility, rate, None).greeks()


def black_scholes_price(
    is_call: npt.ArrayLike,
    spot: npt.ArrayLike,
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    volatility: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
    dividend_yield: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Return only the prices of `black_scholes`, for revaluation: the same numbers in half of the time.

    Scenarios in rows and legs in columns (spot of shape (m, 1), strike of shape (n,)) give shape (m, n), without
    copies of the broadcast inputs.
    """
    return _Contracts(is_call, spot, strike, years, volatility, rate, dividend_yield).prices()


def black76_price(
    is_call: npt.ArrayLike,
    future: npt.ArrayLike,
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    volatility: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Return only the prices of `black76`: the same numbers in half of the time."""
    return _Contracts(is_call, future, strike, years, volatility, rate, None).prices()


def signs(is_call: npt.ArrayLike) -> FloatArray:
    """Return w: +1.0 where an option is a call, -1.0 where it is a put. Takes booleans only."""
    return _sign(_flags(is_call))


def _flags(is_call: npt.ArrayLike) -> npt.NDArray[Any]:
    flags = np.asarray(is_call)
    if flags.dtype != np.bool_:
        raise TypeError(f"is_call must be boolean, was {flags.dtype}")
    return flags


def _sign(flags: npt.NDArray[Any]) -> FloatArray:
    return np.asarray(flags * 2.0 - 1.0)


def not_negative(values: npt.ArrayLike) -> FloatArray:
    """Return values as float64, with NaN in the place of what is below zero."""
    array = np.asarray(values, dtype=np.float64)
    if array.min(initial=0.0) >= 0.0:
        return array
    return np.where(array < 0.0, np.nan, array)  # a NaN, which is no less than zero, stays one


class _Contracts:
    """Options as they were given, each input in its own shape."""

    def __init__(
        self,
        is_call: npt.ArrayLike,
        spot: npt.ArrayLike,
        strike: npt.ArrayLike,
        years: npt.ArrayLike,
        volatility: npt.ArrayLike,
        rate: npt.ArrayLike,
        dividend_yield: npt.ArrayLike | None,
    ) -> None:
        self.on_future = dividend_yield is None
        self.given = (
            _flags(is_call),
            not_negative(spot),
            not_negative(strike),
            not_negative(years),
            not_negative(volatility),
            np.asarray(rate, dtype=np.float64),
            np.asarray(rate if dividend_yield is None else dividend_yield, dtype=np.float64),
        )
        self.shape = np.broadcast_shapes(*(array.shape for array in self.given))
        self.size = prod(self.shape)

    def prices(self) -> FloatArray:
        """Return the prices."""
        out = np.empty(self.shape)
        work = np.empty(10 * min(_BLOCK, self.size))
        with np.errstate(all="ignore"):
            for given, terms, (price,) in self._parts([out]):
                _legs(given, terms, work, price)
        return out

    def greeks(self) -> Greeks:
        """Return prices and Greeks."""
        out = np.empty((6, *self.shape))
        rows = [out[index, ...] for index in range(6)]  # views, also of scalars
        work = np.empty(10 * min(_BLOCK, self.size))
        with np.errstate(all="ignore"):
            for given, terms, parts in self._parts(rows):
                self._part(given, terms, work, parts)
        spot, strike = self.given[1:3]
        if (spot == 0.0).any():
            gone = (spot == 0.0) & (strike > 0.0) & ~np.isnan(rows[0])
            rows[2][np.broadcast_to(gone, self.shape)] = 0.0
        return Greeks(*rows)

    def _parts(
        self, out: list[FloatArray]
    ) -> Iterator[tuple[list[FloatArray], list[FloatArray], list[FloatArray]]]:
        """Yield (inputs, what follows from them, views of `out`) of each block.

        What follows is calculated once where few inputs make many contracts, else block by block: temporary
        arrays of the size of the whole cost more than the calculation.
        """
        given, shape = self.given, self.shape
        by_time = by_volatility = None
        if max(given[index].size for index in (2, 3, 5, 6)) * 2 <= self.size:
            by_time = _by_time(given, self.on_future)
            if max(given[0].size, given[4].size, by_time[0].size) * 2 <= self.size:
                by_volatility = _by_volatility([_sign(given[0]), *given[1:]], by_time[0])
        wide = len(shape) > 1 and shape[-1] >= _WIDE  # rows long enough to broadcast without a copy
        blocks = list(_blocks(shape))
        whole = wide and len(blocks) == 1  # then nothing is cut, and what is not broadcast yet will be
        by_block = [_spread(terms, shape, whole) for terms in (given, by_time or (), by_volatility or ())]
        for block in blocks:
            part, first, second = (_cut(terms, block, wide, whole) for terms in by_block)
            part[0] = _sign(part[0])
            first = first or _by_time(part, self.on_future)
            second = second or _by_volatility(part, first[0])
            yield part, first + second, [array[block] if wide else array[block].reshape(-1) for array in out]

    def _part(
        self, given: list[FloatArray], terms: list[FloatArray], work: FloatArray, out: list[FloatArray]
    ) -> None:
        """Write price, delta, gamma, theta, vega and rho of one block."""
        sign, spot, _, years, volatility, rate, dividend = given
        root, inverse = terms[0], np.multiply(terms[4], sign)
        price, delta, gamma, theta, vega, rho = out
        asset, bond, share, bell, spread = _legs(given, terms, work, price)
        np.multiply(sign, share, out=delta)
        np.multiply(bell, inverse, out=gamma)
        np.divide(gamma, spot, out=gamma)
        np.multiply(gamma, 1.0 / ROOT_TWO_PI, out=gamma)
        np.multiply(spread, root, out=vega)
        np.multiply(vega, PER_CENT / ROOT_TWO_PI, out=vega)
        if self.on_future:
            np.multiply(price, years, out=rho)
            np.multiply(rho, -PER_CENT, out=rho)
        else:
            np.multiply(bond, years, out=rho)
            np.multiply(rho, sign, out=rho)
            np.multiply(rho, PER_CENT, out=rho)
        np.multiply(asset, dividend, out=asset)
        np.multiply(bond, rate, out=bond)
        np.subtract(asset, bond, out=theta)
        np.multiply(theta, sign, out=theta)
        np.multiply(spread, volatility, out=spread)
        np.divide(spread, root, out=spread)
        np.multiply(spread, 0.5 / ROOT_TWO_PI, out=spread)
        if not np.max(inverse, initial=0.0) < _NO_DEVIATION:  # one NaN must not hide the others
            flat = (inverse >= _NO_DEVIATION) & ~np.isnan(price)
            np.copyto(gamma, 0.0, where=flat)
            np.copyto(spread, 0.0, where=flat)
        np.subtract(theta, spread, out=theta)
        np.multiply(theta, 1.0 / DAYS_PER_YEAR, out=theta)


def _by_time(given: Sequence[FloatArray], on_future: bool) -> list[FloatArray]:
    """Return sqrt(T), (r - q) T, exp(-qT) and K exp(-rT)."""
    _, _, strike, years, _, rate, dividend = given
    with np.errstate(all="ignore"):
        growth = np.exp(-dividend * years)
        discount = growth if on_future else np.exp(-rate * years)
        carry = dividend * 0.0 if on_future else (rate - dividend) * years
        terms = (np.sqrt(years), carry, growth, strike * discount)
    return [np.asarray(term) for term in terms]


def _by_volatility(given: Sequence[FloatArray], root: FloatArray) -> list[FloatArray]:
    """Return w / (sigma sqrt(T)) and w sigma sqrt(T) / 2."""
    sign, volatility = given[0], given[4]
    with np.errstate(all="ignore"):
        deviation = volatility * root
        terms = (sign / np.maximum(deviation, _FLAT), deviation * (sign * 0.5))
    return [np.asarray(term) for term in terms]


def _legs(
    given: list[FloatArray], terms: list[FloatArray], work: FloatArray, price: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Write the prices of one block. `work` has room for 10 blocks.

    Return, as views of `work`: S exp(-qT) Phi(w d1), K exp(-rT) Phi(w d2), exp(-qT) Phi(w d1), and
    exp(-qT) exp(-d1^2 / 2) without and with the factor S.
    """
    spot, strike = given[1:3]
    _, carry, growth, bond, inverse, half = terms
    depth, tail, under, legs, (bell, spread) = work[: 10 * price.size].reshape(5, 2, *price.shape)
    # w d1 and w d2 in the two halves of `depth`
    np.divide(spot, strike, out=bell)
    np.log(bell, out=bell)
    np.add(bell, carry, out=bell)
    np.multiply(bell, inverse, out=bell)
    np.add(bell, half, out=depth[0])
    np.subtract(bell, half, out=depth[1])
    np.greater_equal(depth, 0.0, out=legs)
    np.multiply(depth[0], depth[0], out=bell)
    np.multiply(bell, -0.5, out=bell)
    np.exp(bell, out=bell)
    np.multiply(bell, growth, out=bell)
    np.multiply(bell, spot, out=spread)
    np.abs(depth, out=depth)
    if not np.max(depth, initial=0.0) <= FAR:
        np.minimum(depth, FAR, out=depth)
    quick_tail(depth, tail, under)
    # Phi is the tail below zero and 1 - tail above: |0 - tail| or |1 - tail|, and so each leg of the price.
    np.multiply(tail[0], bell, out=tail[0])
    np.multiply(tail[1], spread, out=tail[1])
    np.multiply(legs[0], growth, out=legs[0])
    np.multiply(legs[1], bond, out=legs[1])
    np.subtract(legs, tail, out=legs)
    np.abs(legs, out=legs)
    share = legs[0]
    asset = np.multiply(share, spot, out=under[0])
    np.subtract(asset, legs[1], out=price)
    np.abs(price, out=price)  # it is w (asset - bond), and not negative but by rounding
    return asset, legs[1], share, bell, spread


def _blocks(shape: tuple[int, ...]) -> Iterator[_Block]:
    """Yield indices of contiguous parts of an array, none with more elements than a block."""
    axis, row = len(shape), 1
    while axis and row * shape[axis - 1] <= _BLOCK:
        axis -= 1
        row *= shape[axis]
    if axis == 0:
        if row:
            yield (...,)
        return
    length, step = shape[axis - 1], max(1, _BLOCK // max(row, 1))
    for lead in np.ndindex(*shape[: axis - 1]):
        for start in range(0, length, step):
            yield (*lead, slice(start, start + step))


def _spread(terms: Sequence[FloatArray], shape: tuple[int, ...], whole: bool) -> list[FloatArray]:
    """Return every term as a scalar where it is one for all contracts, else as it is (`whole`) or in the common shape."""
    return [
        term.reshape(()) if term.size == 1 else term if whole else np.broadcast_to(term, shape)
        for term in terms
    ]


def _cut(terms: Sequence[FloatArray], block: _Block, wide: bool, whole: bool) -> list[FloatArray]:
    """Return one block of every term: scalars as they are, others in the block's shape where its rows are `wide`, else
    as (n,).
    """
    if whole:
        return list(terms)
    parts = (term[block] if term.ndim else term for term in terms)
    return [part if wide or not part.ndim else part.reshape(-1) for part in parts]
