"""Implied volatility on arrays, to the last digits that the price holds; a status where there is none.

The out-of-the-money option of the same strike is solved in the variables of Jäckel, "Let's Be Rational" (2015):
x = -|ln(S exp(-qT) / (K exp(-rT)))|, s = sigma sqrt(T), h = |x| / s, t = s / 2, and prices as fractions of the
largest that the option can have. With Mills' ratio M(z) = Phi(-z) / phi(z):

    price share          b(s)     = phi(h - t) (M(h - t) - M(h + t))
    what is left of 1    1 - b(s) = phi(h - t) (M(t - h) + M(t + h))

Below one half ln b is solved, above one half ln(1 - b): both sides keep all digits of the price, and both
functions are nearly straight in the right variable. Where s is small the difference of two Mills' ratios is
their Taylor series about h. The guess is the Bachelier volatility of the price (below) or a normal quantile
(above); Householder's method of third order takes 2 or 3 rounds from there, only on contracts that still
move, inside a bracket that closes with every round.

Status instead of a guess: a value is NaN exactly where its status is not OK.
Units, shapes and NaN as in `options`. Source: Jäckel, "Let's Be Rational", 2015; the code and the guesses are our own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from stopline.risk.normal import ROOT_TWO_PI, mills
from stopline.risk.options import signs

FloatArray = npt.NDArray[np.float64]
StatusArray = npt.NDArray[np.int8]

_SETTLED = 2e-5  # the error after a round is of the fourth power of its relative step
_ROUNDS = 60
_NOTHING = 3e-308  # of the largest price: doubles below it have lost digits
_BLOCK = 8192


class IvStatus(IntEnum):
    """Why a contract has an implied volatility, or none."""

    OK = 0
    NOT_FINITE = 1  # an input is NaN or infinite, or overflows
    BAD_TERMS = 2  # spot or strike is not above zero
    NO_TIME = 3  # at or after expiry: every volatility gives the same price
    BELOW_INTRINSIC = 4  # less than the discounted intrinsic value: an arbitrage, or a stale quote
    AT_INTRINSIC = 5  # no time value that a double can hold: every small volatility gives this price
    ABOVE_MAXIMUM = 6  # not below S exp(-qT) of a call, K exp(-rT) of a put: no volatility gives it
    NOT_FOUND = 7  # the search did not settle; never seen


@dataclass(frozen=True, slots=True)
class ImpliedVolatility:
    """Implied volatilities and their status; both arrays have the same shape."""

    value: FloatArray  # per year, as a fraction; NaN exactly where status is not OK
    status: StatusArray  # IvStatus


def implied_volatility(
    is_call: npt.ArrayLike,
    price: npt.ArrayLike,
    spot: npt.ArrayLike,
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
    dividend_yield: npt.ArrayLike = 0.0,
) -> ImpliedVolatility:
    """Return the volatilities at which Black-Scholes-Merton gives these prices.

    Units as in `options`: prices per unit of the underlying, T in years, rates and the result per year as
    fractions (0.2 is 20 %). Inputs are broadcast. A NaN input gives NaN with status NOT_FINITE; prices outside
    the no-arbitrage bounds max(0, w (S exp(-qT) - K exp(-rT))) < price < S exp(-qT) or K exp(-rT) have a status
    too. Relative error below 1e-12 for out-of-the-money options of every depth and expiry; of an
    in-the-money option only the digits of its time value can be known. Source: see the module.
    """
    years = np.asarray(years, dtype=np.float64)
    rate, dividend = np.asarray(rate, dtype=np.float64), np.asarray(dividend_yield, dtype=np.float64)
    with np.errstate(all="ignore"):
        growth, discount = np.exp(-dividend * years), np.exp(-rate * years)
        carry = (rate - dividend) * years
    return _implied(is_call, price, spot, strike, years, growth, discount, carry)


def implied_volatility_black76(
    is_call: npt.ArrayLike,
    price: npt.ArrayLike,
    future: npt.ArrayLike,
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
) -> ImpliedVolatility:
    """Return the volatilities at which Black-76 gives these prices of options on futures.

    As `implied_volatility` with q = r and the future's price in the place of the spot.
    """
    years, rate = np.asarray(years, dtype=np.float64), np.asarray(rate, dtype=np.float64)
    with np.errstate(all="ignore"):
        discount = np.exp(-rate * years)
    return _implied(is_call, price, future, strike, years, discount, discount, rate * 0.0)


def _implied(
    is_call: npt.ArrayLike,
    price: npt.ArrayLike,
    spot: npt.ArrayLike,
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    growth: npt.ArrayLike,
    discount: npt.ArrayLike,
    carry: npt.ArrayLike,
) -> ImpliedVolatility:
    arrays = [signs(is_call)] + [
        np.asarray(given, dtype=np.float64) for given in (price, spot, strike, years, growth, discount, carry)
    ]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    flat = [np.broadcast_to(array, shape).reshape(-1) for array in arrays]
    value = np.empty(flat[0].size)
    status = np.empty(value.size, dtype=np.int8)
    with np.errstate(all="ignore"):
        for start in range(0, value.size, _BLOCK):
            part = slice(start, start + _BLOCK)
            value[part], status[part] = _block(*(array[part] for array in flat))
    return ImpliedVolatility(value.reshape(shape), status.reshape(shape))


def _block(
    sign: FloatArray,
    price: FloatArray,
    spot: FloatArray,
    strike: FloatArray,
    years: FloatArray,
    growth: FloatArray,
    discount: FloatArray,
    carry: FloatArray,
) -> tuple[FloatArray, StatusArray]:
    """Return volatilities and status of one block, shape (n,)."""
    asset, bond = spot * growth, strike * discount
    ratio = spot / strike
    near = (ratio > 0.5) & (ratio < 2.0)  # here spot - strike is exact, and the logarithm keeps small digits
    moneyness = np.where(near, np.log1p((spot - strike) / strike), np.log(ratio)) + carry
    forward = sign * (asset - bond)  # what exercise would be worth
    value_of_time = np.where(forward > 0.0, sign * (sign * price - asset + bond), price)
    largest = np.minimum(asset, bond)  # of the out-of-the-money option of the same strike
    room = np.where(sign > 0.0, asset, bond) - price

    status = np.zeros(price.size, dtype=np.int8)
    finite = np.isfinite(price + spot + strike + years + moneyness) & np.isfinite(asset + bond)
    for code, wrong in (  # the first that is wrong is the status
        (IvStatus.NOT_FINITE, ~np.isfinite(price + spot + strike + years + growth + discount + carry)),
        (IvStatus.BAD_TERMS, ~((spot > 0.0) & (strike > 0.0))),
        (IvStatus.NOT_FINITE, ~finite | ~(largest > 0.0)),
        (IvStatus.NO_TIME, ~(years > 0.0)),
        (IvStatus.BELOW_INTRINSIC, value_of_time < 0.0),
        (IvStatus.AT_INTRINSIC, value_of_time / largest < _NOTHING),
        (IvStatus.ABOVE_MAXIMUM, room <= 0.0),
    ):
        if wrong.any():
            status[wrong & (status == IvStatus.OK)] = code

    deviation = np.full(price.size, np.nan)
    depth = np.abs(moneyness)
    low = value_of_time <= 0.5 * largest
    for solve, share, chosen in ((_from_below, value_of_time, low), (_from_above, room, ~low)):
        rows = np.flatnonzero(chosen & (status == IvStatus.OK))
        if rows.size:
            deviation[rows] = solve(depth[rows], share[rows] / largest[rows])
    result = deviation / np.sqrt(years)
    lost = (status == IvStatus.OK) & ~np.isfinite(result)
    if lost.any():
        status[lost] = IvStatus.NOT_FOUND
    return np.where(status == IvStatus.OK, result, np.nan), status


def _from_below(depth: FloatArray, share: FloatArray) -> FloatArray:
    """Return s where b(s) is `share`, at most one half."""
    inflection = np.sqrt(2.0 * depth)
    return _solve(
        depth,
        np.log(share),
        _guess_below(depth, share),
        low=np.zeros_like(depth),
        high=inflection + 1.36,  # b is above one half there
        rising=True,
        ratio=_ratio_below,
    )


def _from_above(depth: FloatArray, rest: FloatArray) -> FloatArray:
    """Return s where 1 - b(s) is `rest`, below one half."""
    inflection = np.sqrt(2.0 * depth)
    return _solve(
        depth,
        np.log(rest),
        _guess_above(depth, rest),
        low=inflection,
        high=inflection + 80.0,  # 1 - b is no double any more there
        rising=False,
        ratio=_ratio_above,
    )


def _solve(
    depth: FloatArray,
    target: FloatArray,
    guess: FloatArray,
    *,
    low: FloatArray,
    high: FloatArray,
    rising: bool,
    ratio: Callable[[FloatArray, FloatArray], FloatArray],
) -> FloatArray:
    """Return the roots s of ln(b(s)) = target, or of ln(1 - b(s)) = target where not `rising`.

    `ratio(h, t)` is b / b', or (1 - b) / (1 - b)': the derivatives of higher order follow from it, because
    b'' / b' and b''' / b' are rational in s.
    """
    result = np.full(depth.size, np.nan)
    rows = np.arange(depth.size)
    s = np.where((guess > low) & (guess < high), guess, 0.5 * (low + high))
    for _ in range(_ROUNDS):
        h, t = depth / s, 0.5 * s
        r = ratio(h, t)
        below = h - t
        miss = np.log(np.abs(r) / ROOT_TWO_PI) - 0.5 * below * below - target
        step = -miss * r
        # b'' / b' is k = h^2 / s - s / 4, b''' / b' is k^2 - 3 (h / s)^2 - 1/4: here times the step and its
        # square, so that nothing overflows however small s is.
        curve = (h * h / s - 0.25 * s) * step
        slant = h / s * step
        bend = curve + miss
        turn = curve * curve - 3.0 * slant * slant - 0.25 * step * step + miss * (2.0 * miss + 3.0 * curve)
        better = s + step * (1.0 + 0.5 * bend) / (1.0 + bend + turn / 6.0)
        short = (miss < 0.0) == rising  # the root is above s
        low, high = np.where(short, s, low), np.where(short, high, s)
        inside = (better >= low) & (better <= high)
        settled = np.abs(better - s) <= _SETTLED * s
        tight = high - low <= 4e-16 * high
        better = np.where(inside | settled, better, 0.5 * (low + high))
        done = settled | tight | np.isnan(miss)
        result[rows[done]] = np.where(np.isnan(miss), np.nan, better)[done]
        if done.all():
            break
        moving = np.flatnonzero(~done)
        rows, s, depth, target = rows[moving], better[moving], depth[moving], target[moving]
        low, high = low[moving], high[moving]
    return result


def _ratio_below(h: FloatArray, t: FloatArray) -> FloatArray:
    """Return b / b' = M(h - t) - M(h + t)."""
    near = h - t
    inner = mills(np.abs(near))
    inside = near < 0.0
    if inside.any():
        inner = np.where(inside, ROOT_TWO_PI * np.exp(0.5 * near * near) - inner, inner)
    result = inner - mills(h + t)
    small = np.flatnonzero(t < 0.1)
    if small.size:
        result[small] = _series(h[small], t[small])
    return result


def _series(h: FloatArray, t: FloatArray) -> FloatArray:
    """Return M(h - t) - M(h + t) for small t: -2 times the odd terms of Taylor's series of M about h.

    M' = h M - 1, and M^(n+1) = h M^(n) + n M^(n-1). Six terms are enough below t = 0.1.
    """
    before = -mills(h)
    here = 1.0 + h * before  # -M'
    square = t * t
    power, total = t + t, (t + t) * here
    for order in range(1, 11, 2):
        before = h * here + order * before  # -M^(n), n even
        here = h * before + (order + 1) * here  # -M^(n), n odd
        power = power * square / ((order + 1) * (order + 2))
        total = total + power * here
    return total


def _ratio_above(h: FloatArray, t: FloatArray) -> FloatArray:
    """Return (1 - b) / (1 - b)' = -(M(t - h) + M(t + h))."""
    return -(mills(np.maximum(t - h, 0.0)) + mills(t + h))


# The Bachelier volatility: depth / s as a function of ln(b / depth), for guesses. Where s is small, b is
# phi(h) s (1 - h M(h)).
_H = np.concatenate([np.geomspace(1e-3, 0.5, 100), np.linspace(0.5, 40.0, 400)[1:]])
_LOG_B = np.log((1.0 - _H * mills(_H)) / (_H * ROOT_TWO_PI)) - 0.5 * _H * _H


def _guess_below(depth: FloatArray, share: FloatArray) -> FloatArray:
    """Return s within some per cent, from the Bachelier volatility with the first terms of what it leaves out."""
    plain = share * np.exp(-0.5 * depth)
    level = plain / depth
    at_money = plain * ROOT_TWO_PI + 1.2533141373155 * depth
    log_level = np.log(share) - 0.5 * depth - np.log(depth)
    h = np.interp(-log_level, -_LOG_B, _H)
    s = np.where(level > 100.0, at_money, depth / h)
    for _ in range(2):
        h = depth / s
        lift = s * s * (0.125 - 0.25 / (3.0 + h * h))
        h = np.interp(-log_level - lift, -_LOG_B, _H)
        s = np.where(level > 100.0, at_money * (1.0 + s * s / 24.0), depth / h)
    return s


def _guess_above(depth: FloatArray, rest: FloatArray) -> FloatArray:
    """Return s within some per cent, from 1 - b = Phi(-d) (1 + M(e) / M(d)) with d = t - h, e = t + h."""
    weight = 0.5 * np.ones_like(rest)
    d = e = weight
    for _ in range(2):
        d = _quantile(rest * weight)
        e = np.sqrt(d * d + 2.0 * depth)
        inner, outer = mills(np.maximum(d, 0.0)), mills(e)
        weight = inner / (inner + outer)
    return d + np.sqrt(d * d + 2.0 * depth)


def _quantile(p: FloatArray) -> FloatArray:
    """Return z >= 0 with Phi(-z) about p <= 1/2, to 4.5e-4: Abramowitz and Stegun, 26.2.23."""
    u = np.sqrt(-2.0 * np.log(p))
    over = 2.515517 + u * (0.802853 + u * 0.010328)
    under = 1.0 + u * (1.432788 + u * (0.189269 + u * 0.001308))
    return np.asarray(np.maximum(u - over / under, 0.0))
