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

import numpy as np
import numpy.typing as npt

from stopline.risk.normal import FAR, ROOT_TWO_PI, scaled_tail

FloatArray = npt.NDArray[np.float64]
_Block = tuple[int | slice | EllipsisType, ...]

DAYS_PER_YEAR = 365.0
PER_CENT = 0.01
_FLAT = 1e-300  # a smaller sigma sqrt(T) is none
_NO_DEVIATION = 1.0 / _FLAT
_BLOCK = 8192  # contracts at a time: a block's arrays stay in the second-level cache


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
    flags = np.asarray(is_call)
    if flags.dtype != np.bool_:
        raise TypeError(f"is_call must be boolean, was {flags.dtype}")
    return np.where(flags, 1.0, -1.0)


def not_negative(values: npt.ArrayLike) -> FloatArray:
    """Return values as float64, with NaN in the place of what is below zero."""
    array = np.asarray(values, dtype=np.float64)
    below = array < 0.0
    return np.where(below, np.nan, array) if below.any() else array


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
            signs(is_call),
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
        work = np.empty((6, 2, min(_BLOCK, self.size)))
        with np.errstate(all="ignore"):
            for block, given, terms in self._parts():
                price = out[block].reshape(-1)
                _legs(*given[:3], *terms, work=work[:, :, : price.size], price=price)
        return out

    def greeks(self) -> Greeks:
        """Return prices and Greeks."""
        out = np.empty((6, *self.shape))
        rows = [out[index, ...] for index in range(6)]  # views, also of scalars
        work = np.empty((6, 2, min(_BLOCK, self.size)))
        with np.errstate(all="ignore"):
            for block, given, terms in self._parts():
                parts = [row[block].reshape(-1) for row in rows]
                self._part(given, terms, work[:, :, : parts[0].size], parts)
        spot, strike = self.given[1:3]
        if (spot == 0.0).any():
            gone = (spot == 0.0) & (strike > 0.0) & ~np.isnan(rows[0])
            rows[2][np.broadcast_to(gone, self.shape)] = 0.0
        return Greeks(*rows)

    def _parts(self) -> Iterator[tuple[_Block, list[FloatArray], list[FloatArray]]]:
        """Yield (index, inputs, what follows from them) of each block.

        What follows is calculated once where few inputs make many contracts, else block by block: temporary
        arrays of the size of the whole cost more than the calculation.
        """
        once = None
        if max(array.size for array in self.given) * 2 <= self.size:
            once = _terms(self.given, self.on_future)
        for block in _blocks(self.shape):
            given = _flat(self.given, self.shape, block)
            yield block, given, _flat(once, self.shape, block) if once else _terms(given, self.on_future)

    def _part(
        self, given: list[FloatArray], terms: list[FloatArray], work: FloatArray, out: list[FloatArray]
    ) -> None:
        """Write price, delta, gamma, theta, vega and rho of one block."""
        sign, spot, _, years, volatility, rate, dividend = given
        inverse = terms[1]
        price, delta, gamma, theta, vega, rho = out
        asset, bond, share, bell = _legs(*given[:3], *terms, work=work, price=price)
        np.multiply(bell, 1.0 / ROOT_TWO_PI, out=bell)  # exp(-qT) phi(d1)
        np.multiply(sign, share, out=delta)
        np.multiply(bell, inverse, out=gamma)
        np.divide(gamma, spot, out=gamma)
        np.multiply(bell, spot, out=bell)
        root = np.sqrt(years)
        np.multiply(bell, root, out=vega)
        np.multiply(vega, PER_CENT, out=vega)
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
        np.multiply(bell, volatility, out=bell)
        np.divide(bell, np.multiply(root, 2.0), out=bell)
        flat = inverse == _NO_DEVIATION
        if flat.any():
            gamma[...] = np.where(flat & ~np.isnan(price), 0.0, gamma)
            bell[...] = np.where(flat & ~np.isnan(price), 0.0, bell)
        np.subtract(theta, bell, out=theta)
        np.multiply(theta, 1.0 / DAYS_PER_YEAR, out=theta)


def _terms(given: Sequence[FloatArray], on_future: bool) -> list[FloatArray]:
    """Return (r - q) T, 1 / (sigma sqrt(T)), sigma sqrt(T) / 2, exp(-qT) and K exp(-rT)."""
    _, _, strike, years, volatility, rate, dividend = given
    with np.errstate(all="ignore"):
        deviation = volatility * np.sqrt(years)
        growth = np.exp(-dividend * years)
        discount = growth if on_future else np.exp(-rate * years)
        carry = dividend * 0.0 if on_future else (rate - dividend) * years
        terms = (carry, 1.0 / np.maximum(deviation, _FLAT), deviation * 0.5, growth, strike * discount)
    return [np.asarray(term) for term in terms]


def _legs(
    sign: FloatArray,
    spot: FloatArray,
    strike: FloatArray,
    carry: FloatArray,
    inverse: FloatArray,
    half: FloatArray,
    growth: FloatArray,
    bond: FloatArray,
    *,
    work: FloatArray,
    price: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Write the prices of one block, shape (n,); work has shape (6, 2, n).

    Return S exp(-qT) Phi(w d1), K exp(-rT) Phi(w d2), exp(-qT) Phi(w d1) and exp(-qT) exp(-d1^2 / 2), which
    live in `work`.
    """
    depth, tail, under, side, whole = work[:5]  # (2, n) each: row 0 is of d1, row 1 of d2
    bell, share = work[5]
    np.divide(spot, strike, out=bell)
    np.log(bell, out=bell)
    np.add(bell, carry, out=bell)
    np.multiply(bell, inverse, out=bell)
    np.add(bell, half, out=depth[0])
    np.subtract(bell, half, out=depth[1])
    np.multiply(depth, sign, out=depth)
    np.copysign(1.0, depth, out=side)
    np.multiply(depth[0], depth[0], out=bell)
    np.multiply(bell, -0.5, out=bell)
    np.exp(bell, out=bell)
    np.multiply(bell, growth, out=bell)
    np.abs(depth, out=depth)
    if not depth.max(initial=0.0) <= FAR:
        np.minimum(depth, FAR, out=depth)
    scaled_tail(depth, tail, under)
    # Phi(w d) is the tail where w d < 0, else 1 - tail: (side + 1) / 2 - side * tail, exact in both cases.
    np.multiply(tail, bell, out=tail)
    np.multiply(tail, side, out=tail)
    np.multiply(side, 0.5, out=whole)
    np.add(whole, 0.5, out=whole)
    asset, bond_leg = whole
    np.multiply(asset, growth, out=share)
    np.subtract(share, tail[0], out=share)
    np.multiply(tail[1], spot, out=under[1])
    np.multiply(bond_leg, bond, out=bond_leg)
    np.subtract(bond_leg, under[1], out=bond_leg)
    np.multiply(share, spot, out=asset)
    np.subtract(asset, bond_leg, out=price)
    np.multiply(price, sign, out=price)
    np.maximum(price, 0.0, out=price)  # rounding may leave less than nothing of a far option
    return asset, bond_leg, share, bell


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


def _flat(terms: Sequence[FloatArray], shape: tuple[int, ...], block: _Block) -> list[FloatArray]:
    """Return one block of every term as (n,), or as a scalar where it is one for all contracts."""
    return [
        term.reshape(()) if term.size == 1 else np.broadcast_to(term, shape)[block].reshape(-1)
        for term in terms
    ]
