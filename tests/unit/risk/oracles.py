"""Option prices in 60 digits, and by a binomial tree: what the tests of option maths measure against."""

import functools

import mpmath as mp
import numpy as np

mp.mp.dps = 60


def exact_price(
    is_call: bool, spot: float, strike: float, years: float, volatility: float, rate: float, dividend: float
) -> mp.mpf:
    """Return the Black-Scholes-Merton price of these very doubles."""
    s, k, t, v, r, q = (mp.mpf(float(x)) for x in (spot, strike, years, volatility, rate, dividend))
    return formula(is_call, s, k, t, v, r, q)


def formula(is_call: bool, s: mp.mpf, k: mp.mpf, t: mp.mpf, v: mp.mpf, r: mp.mpf, q: mp.mpf) -> mp.mpf:
    deviation = v * mp.sqrt(t)
    d1 = (mp.log(s / k) + (r - q) * t) / deviation + deviation / 2
    w = 1 if is_call else -1
    asset, bond = s * mp.exp(-q * t), k * mp.exp(-r * t)
    return w * (asset * mp.ncdf(w * d1) - bond * mp.ncdf(w * (d1 - deviation)))


def exact_volatility(
    is_call: bool, price: float, spot: float, strike: float, years: float, rate: float, dividend: float,
    near: float,
) -> mp.mpf:  # fmt: skip
    """Return the volatility whose exact price is this very double, by Newton on the logarithm of the price."""
    s, k, t, r, q = (mp.mpf(float(x)) for x in (spot, strike, years, rate, dividend))
    target, v = mp.mpf(float(price)), mp.mpf(float(near))
    for _ in range(12):
        deviation = v * mp.sqrt(t)
        d1 = (mp.log(s / k) + (r - q) * t) / deviation + deviation / 2
        value = formula(is_call, s, k, t, v, r, q)
        step = mp.log(value / target) * value / (s * mp.exp(-q * t) * mp.npdf(d1) * mp.sqrt(t))
        v -= max(min(step, v / 2), -v / 2)
        if abs(step) < v * mp.mpf(10) ** -30:
            break
    return v


@functools.cache
def tree_price(
    is_call: bool, spot: float, strike: float, years: float, volatility: float, rate: float, dividend: float,
    steps: int = 1500,
) -> float:  # fmt: skip
    """Return the American price by the mean of Cox-Ross-Rubinstein trees of n and n + 1 steps."""
    w, prices = (1.0 if is_call else -1.0), []
    for n in (steps, steps + 1):
        dt = years / n
        up = np.exp(volatility * np.sqrt(dt))
        chance = (np.exp((rate - dividend) * dt) - 1 / up) / (up - 1 / up)
        discount = np.exp(-rate * dt)
        levels = spot * up ** np.arange(-n, n + 1, dtype=np.float64)
        exercise = w * (levels - strike)
        value = np.maximum(exercise[::2], 0.0)
        for i in range(n - 1, -1, -1):
            value = discount * (chance * value[1:] + (1 - chance) * value[:-1])
            value = np.maximum(value, exercise[n - i : n + i + 1 : 2])
        prices.append(float(value[0]))
    return sum(prices) / 2
