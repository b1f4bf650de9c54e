"""American options: the modified quadratic approximation of Ju and Zhong on arrays.

Below the critical price S* of a call (above that of a put) the price is

    V = V_E(S) + A (S / S*)^lambda / (1 - b ln(S/S*)^2 - c ln(S/S*))        A = w (S* - K) - V_E(S*)

and beyond it w (S - K). V_E is the European price, lambda and S* are those of Barone-Adesi and Whaley (1987),
b and c correct what their approximation leaves out. Prices are off by at most 0.3 % up to 91 days, 0.8 % at half a
year, 2.1 % at a year and 4 % at three years, and by a tenth of that for most (docs/options.md).

Where waiting is never wrong (a call with q <= 0 and q <= r, a put with r <= 0 and r <= q) the European price is
the answer. With r < q < 0 (a call) or q < r < 0 (a put) exercise pays between two prices: such contracts are
outside the approximation, and NaN.

Source: Ju and Zhong, "An approximate formula for pricing American options", Journal of Derivatives 7 (1999);
Barone-Adesi and Whaley, "Efficient analytic approximation of American option values", Journal of Finance 42
(1987). Units, signs, shapes and broadcasting as in `options`; futures are the case q = r.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from stopline.risk.implied_vol import ImpliedVolatility, IvStatus, implied_volatility
from stopline.risk.normal import cdf, pdf
from stopline.risk.options import DAYS_PER_YEAR, PER_CENT, Greeks, black_scholes_price, not_negative, signs

FloatArray = npt.NDArray[np.float64]

_ROUNDS = 100
_NO_RATE = 1e-9  # a smaller interest rate is none: the formula divides by it
_FLAT = 1e-8  # with a smaller sigma sqrt(T) the path is certain
_WILD, _WILDEST = 2.0, 1e3  # where a volatility is looked for from, and up to


def american_price(
    is_call: npt.ArrayLike,
    spot: npt.ArrayLike,
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    volatility: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
    dividend_yield: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Return prices of options that may be exercised at any time, by Ju and Zhong (1999).

    Per unit of the underlying, in the shape of the inputs broadcast. Never below the European price nor the
    intrinsic value. At expiry it is the intrinsic value; without volatility the best moment of the certain path.
    NaN in, NaN out; negative spot, strike, time or volatility, and exercise between two prices (see the
    module), are NaN.
    """
    given = _flat(is_call, spot, strike, years, volatility, rate, dividend_yield)
    return _prices(*given[1:]).reshape(given[0])


def american(
    is_call: npt.ArrayLike,
    spot: npt.ArrayLike,
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    volatility: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
    dividend_yield: npt.ArrayLike = 0.0,
) -> Greeks:
    """Return prices and Greeks of options that may be exercised at any time.

    Price as `american_price`; the Greeks are its central differences: spot by 2 % of sigma sqrt(T) (at most
    1 %), volatility and time by 0.1 % of themselves, the rate by 1 basis point. Units as in `Greeks`: theta per
    calendar day, vega per 1 %, rho per 1 %. Where the option should be exercised now delta is w and the rest 0.
    At expiry and without volatility gamma and vega are 0. Edges and NaN as `american_price`.
    """
    shape, *given = _flat(is_call, spot, strike, years, volatility, rate, dividend_yield)
    table = np.repeat(np.array(given)[:, None, :], 9, axis=1)  # the price and both ends of four differences
    _, s, _, t, v, _, _ = given
    with np.errstate(all="ignore"):
        deviation = v * np.sqrt(t)
        move = s * np.where(deviation < _FLAT, 1e-4, np.clip(0.02 * deviation, 1e-6, 0.01))
        wide, late = 1e-3 * v, 1e-3 * t
        for place, (term, size) in enumerate(((1, move), (4, wide), (3, late), (5, 1e-4))):
            table[term, 2 * place + 1] += size
            table[term, 2 * place + 2] -= size
        found = _prices(*table.reshape(7, -1)).reshape(9, -1)
        price, up, down, wilder, calmer, later, sooner, dearer, cheaper = found
        vega, theta, rho = wilder - calmer, sooner - later, dearer - cheaper
        flat = deviation < _FLAT
        parts = (
            price,
            (up - down) / (2.0 * move),
            np.where(flat, 0.0 * price, (up - 2.0 * price + down) / (move * move)),
            np.where(t == 0.0, 0.0 * price, theta / (2.0 * late * DAYS_PER_YEAR)),
            np.where(flat, 0.0 * price, vega / (2.0 * wide) * PER_CENT),
            rho / 2e-4 * PER_CENT,
        )
    return Greeks(*(part.reshape(shape) for part in parts))


def pays_early(
    is_call: npt.ArrayLike, rate: npt.ArrayLike, dividend_yield: npt.ArrayLike
) -> npt.NDArray[np.bool_]:
    """Tell where early exercise may ever pay; elsewhere an American option is worth what a European one is."""
    r, q = np.asarray(rate, dtype=np.float64), np.asarray(dividend_yield, dtype=np.float64)
    waits = np.where(signs(is_call) > 0.0, (q <= 0.0) & (q <= r), (r <= 0.0) & (r <= q))
    return np.asarray(~waits)


def american_volatility(
    is_call: npt.ArrayLike,
    price: npt.ArrayLike,
    spot: npt.ArrayLike,
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
    dividend_yield: npt.ArrayLike = 0.0,
) -> ImpliedVolatility:
    """Return the volatilities at which `american_price` gives these prices, in the shape of the inputs broadcast.

    Units and status as `implied_volatility`, whose answer it is where early exercise never pays. Elsewhere a price is
    AT_INTRINSIC or BELOW_INTRINSIC by what the best exercise brings without volatility, and ABOVE_MAXIMUM from S (a
    call) or K (a put) on. Relative error 1e-9. The European volatility is an upper bound, from where secants go down
    inside a bracket.
    """
    shape, *terms = _flat(is_call, spot, strike, years, 0.0, rate, dividend_yield)
    paid = np.broadcast_to(np.asarray(price, dtype=np.float64), shape).reshape(-1)
    sign, s, k, t, _, r, q = terms
    european = implied_volatility(sign > 0.0, paid, s, k, t, r, q)
    value, status = european.value.copy(), european.status.copy()
    least = _prices(*terms)
    usable = ~np.isin(status, (IvStatus.NOT_FINITE, IvStatus.BAD_TERMS, IvStatus.NO_TIME))
    rows = np.flatnonzero(pays_early(sign > 0.0, r, q) & usable & np.isfinite(least))
    most = np.where(sign > 0.0, s, k)[rows]
    low, sought = least[rows], paid[rows]
    value[rows] = np.nan
    status[rows] = np.where(sought > low, IvStatus.NOT_FOUND, IvStatus.BELOW_INTRINSIC)
    status[rows[np.abs(sought - low) <= 1e-14 * np.maximum(most, low)]] = IvStatus.AT_INTRINSIC
    status[rows[sought >= most]] = IvStatus.ABOVE_MAXIMUM
    rows = rows[status[rows] == IvStatus.NOT_FOUND]
    if rows.size:
        start = np.where(np.isfinite(european.value[rows]), european.value[rows], _WILD)
        found = _volatility(paid[rows], least[rows], start, [term[rows] for term in terms])
        value[rows] = found
        status[rows[np.isfinite(found)]] = IvStatus.OK
    return ImpliedVolatility(value.reshape(shape), status.reshape(shape))


def _volatility(
    price: FloatArray, least: FloatArray, start: FloatArray, terms: list[FloatArray]
) -> FloatArray:
    """Return the volatilities of prices above `least`, the price without any; NaN where the search does not settle."""
    result = np.full(price.size, np.nan)
    low, under = np.zeros(price.size), least - price  # price without volatility less the one sought: below 0
    x, last, beyond = start.copy(), low.copy(), under.copy()
    high = np.full(price.size, np.inf)
    moving = np.arange(price.size)
    for _ in range(_ROUNDS):
        given = [term[moving] for term in terms]
        given[4] = x[moving]
        miss = _prices(*given) - price[moving]
        here = x[moving]
        above = miss >= 0.0
        high[moving] = np.where(above, here, high[moving])
        low[moving] = np.where(above, low[moving], here)
        with np.errstate(all="ignore"):
            step = miss * (here - last[moving]) / (miss - beyond[moving])
        bottom, top = low[moving], high[moving]
        better = here - step
        middle = np.where(np.isfinite(top), 0.5 * (bottom + top), 2.0 * here)
        good = (better > bottom) & (better < top)
        done = (miss == 0.0) | (np.abs(step) <= 1e-10 * here) | (top - bottom <= 1e-10 * top)
        result[moving[done]] = np.where(good, better, here)[done]
        last[moving], beyond[moving] = here, miss
        x[moving] = np.where(good, better, middle)
        moving = moving[~done & (here < _WILDEST)]
        if not moving.size:
            break
    return result


def _flat(is_call: npt.ArrayLike, *given: npt.ArrayLike) -> tuple[Any, ...]:
    """Return the common shape, then all inputs as (n,)."""
    numbers = [not_negative(values) for values in given[:4]]
    numbers += [np.asarray(values, dtype=np.float64) for values in given[4:]]
    arrays = np.broadcast_arrays(signs(is_call), *numbers)
    return (arrays[0].shape, *(array.reshape(-1) for array in arrays))


def _prices(
    sign: FloatArray,
    spot: FloatArray,
    strike: FloatArray,
    years: FloatArray,
    volatility: FloatArray,
    rate: FloatArray,
    dividend: FloatArray,
) -> FloatArray:
    """Return prices; all arrays have the shape (n,)."""
    call = sign > 0.0
    with np.errstate(all="ignore"):
        european = black_scholes_price(call, spot, strike, years, volatility, rate, dividend)
        now = sign * (spot - strike)
        wait = ~pays_early(call, rate, dividend)
        two_prices = np.where(call, (rate < dividend) & (dividend < 0.0), (dividend < rate) & (rate < 0.0))
        result = np.where(wait, european, np.maximum(european, now))
        result = np.where(two_prices, np.nan, result)
        flat = volatility * np.sqrt(years) < _FLAT
        known = np.isfinite(european) & (spot > 0.0) & (strike > 0.0) & ~wait & ~two_prices
        rows = np.flatnonzero(known & flat & (years > 0.0))
        if rows.size:
            certain = _certain(*(a[rows] for a in (sign, spot, strike, years, rate, dividend)))
            result[rows] = np.maximum(result[rows], certain)
        rows = np.flatnonzero(known & ~flat)
        if rows.size:
            parts = (sign, spot, strike, years, volatility, rate, dividend, european)
            result[rows] = np.fmax(_ju_zhong(*(a[rows] for a in parts)), result[rows])
    return result + 0.0  # no -0


def _certain(
    sign: FloatArray,
    spot: FloatArray,
    strike: FloatArray,
    years: FloatArray,
    rate: FloatArray,
    dividend: FloatArray,
) -> FloatArray:
    """Return what exercise at the best moment of a path without volatility is worth, at least 0."""
    carry = rate - dividend
    turn = np.log(rate * strike / (dividend * spot)) / carry  # d/dt of what exercise is worth is 0
    moment = np.clip(np.nan_to_num(turn, nan=0.0), 0.0, years)
    worth = sign * (spot * np.exp(-dividend * moment) - strike * np.exp(-rate * moment))
    return np.maximum(worth, 0.0)


def _ju_zhong(
    sign: FloatArray,
    spot: FloatArray,
    strike: FloatArray,
    years: FloatArray,
    volatility: FloatArray,
    rate: FloatArray,
    dividend: FloatArray,
    european: FloatArray,
) -> FloatArray:
    """Return the approximation where volatility and time are above zero and exercise may pay."""
    rate = np.where(np.abs(rate) < _NO_RATE, _NO_RATE, rate)
    variance = volatility * volatility
    elapsed = -np.expm1(-rate * years)  # h = 1 - exp(-rT)
    alpha = 2.0 * rate / variance
    beta = 2.0 * (rate - dividend) / variance
    root = np.sqrt((beta - 1.0) ** 2 + 4.0 * alpha / elapsed)
    # The root of a quadratic whose other form would lose its digits.
    power = np.where(
        sign * (1.0 - beta) >= 0.0,
        0.5 * (1.0 - beta + sign * root),
        2.0 * alpha / elapsed / (beta - 1.0 + sign * root),
    )
    critical = _critical(sign, strike, years, volatility, rate, dividend, power)

    call = sign > 0.0
    at_critical = black_scholes_price(call, critical, strike, years, volatility, rate, dividend)
    gain = sign * (critical - strike) - at_critical
    deviation = volatility * np.sqrt(years)
    d1 = (np.log(critical / strike) + (rate - dividend) * years) / deviation + 0.5 * deviation
    left = 1.0 - elapsed
    grown = critical * np.exp((rate - dividend) * years)
    by_time = (  # of the European price at S*, by h
        grown * pdf(d1) * volatility / (2.0 * rate * np.sqrt(years))
        - sign * dividend * grown * cdf(sign * d1) / rate
        + sign * strike * cdf(sign * (d1 - deviation))
    )
    by_elapsed = -sign * alpha / (elapsed * elapsed * root)  # of lambda, by h
    slope = 2.0 * power + beta - 1.0
    second = left * alpha * by_elapsed / (2.0 * slope)
    first = -left * alpha / slope * (by_time / gain + 1.0 / elapsed + by_elapsed / slope)
    distance = np.log(spot / critical)
    chi = distance * (second * distance + first)
    premium = gain * np.exp(power * distance) / (1.0 - chi)
    waits = sign * (critical - spot) > 0.0
    usable = (gain > 0.0) & (chi < 1.0)
    return np.where(waits, np.where(usable, european + premium, european), sign * (spot - strike))


def _critical(
    sign: FloatArray,
    strike: FloatArray,
    years: FloatArray,
    volatility: FloatArray,
    rate: FloatArray,
    dividend: FloatArray,
    power: FloatArray,
) -> FloatArray:
    """Return S*, where w (S - K) = V_E(S) + w (1 - exp(-qT) Phi(w d1)) S / lambda: Newton inside a bracket.

    The search is in units of the strike. A call's S* is above max(1, r/q), a put's below min(1, r/q).
    """
    deviation = volatility * np.sqrt(years)
    drift = (rate - dividend) * years
    growth, bond = np.exp(-dividend * years), np.exp(-rate * years)
    with_rate = np.where(dividend > 0.0, rate / dividend, np.where(sign > 0.0, 1.0, np.inf))
    edge = np.where(sign > 0.0, np.maximum(1.0, with_rate), np.minimum(1.0, np.maximum(with_rate, 0.0)))
    start = np.where(edge > 0.0, edge, 0.5)
    s = start * np.exp(sign * deviation)
    low = np.where(sign > 0.0, 1.0, 0.0)
    high = np.where(sign > 0.0, np.inf, 1.0)
    moving = np.arange(s.size)
    for _ in range(_ROUNDS):
        w, x, dev = sign[moving], s[moving], deviation[moving]
        g, lam = growth[moving], power[moving]
        d1 = (np.log(x) + drift[moving]) / dev + 0.5 * dev
        share = g * cdf(w * d1)
        european = w * (x * share - bond[moving] * cdf(w * (d1 - dev)))
        miss = w * (x - 1.0) - european - w * (1.0 - share) * x / lam
        slope = w * (1.0 - share) * (1.0 - 1.0 / lam) + g * pdf(d1) / (dev * lam)
        better = x - miss / slope
        settled = np.abs(better - x) <= 1e-11 * x  # so near rounding may lead out of the bracket
        early = (miss < 0.0) == (w > 0.0)  # the root is above x
        low[moving] = np.where(early, x, low[moving])
        high[moving] = np.where(early, high[moving], x)
        bottom, top = low[moving], high[moving]
        middle = np.where(np.isfinite(top), 0.5 * (bottom + top), 2.0 * x)
        s[moving] = np.where(settled | ((better > bottom) & (better < top)), better, middle)
        moving = moving[~settled]
        if not moving.size:
            break
    return s * strike
