"""The border between the two number worlds: Decimal for money, float64 for risk.

Source: the decimal text of 15 digits, which is as many as a float surely has: 0.1 is 0.1, and what arithmetic adds behind
them (the middle of two prices) is left out.
"""

import math
from decimal import Decimal


def to_decimal(value: float, places: int = 12) -> Decimal | None:
    """Return a float as Decimal, rounded half-even to `places`, those of a number on the wire, and to 15 digits; NaN and
    infinities are UNKNOWN: None.
    """
    if not math.isfinite(value):
        return None
    return Decimal(f"{round(float(value), places) + 0.0:.15g}")
