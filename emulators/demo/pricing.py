"""Option prices for the demo: Black and Scholes (1973), no interest, the minute's VIX for every strike.

Simple on purpose: no smile and no jump. The product's own prices come from feeds, not from here.
"""

from math import erf, log, sqrt

MINUTES_A_YEAR = 252 * 390


def black_scholes(right: str, spot: float, strike: float, minutes: float, volatility: float) -> float:
    """Return the value of a European option in points. `volatility` is a year's (0.2 = 20 %)."""
    call = max(spot - strike, 0.0)
    deviation = volatility * sqrt(max(minutes, 0.0) / MINUTES_A_YEAR)
    if deviation > 0:
        d1 = log(spot / strike) / deviation + deviation / 2
        call = spot * _normal(d1) - strike * _normal(d1 - deviation)
    return max(call if right == "C" else call - spot + strike, 0.0)


def _normal(x: float) -> float:
    return (1 + erf(x / sqrt(2))) / 2
