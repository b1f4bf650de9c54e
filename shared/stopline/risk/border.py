"""The border between the two number worlds: Decimal for money, float64 for risk.

Source: the shortest decimal text that reads back as the same float.
"""

import math
from decimal import Decimal


def to_decimal(value: float, places: int = 6) -> Decimal | None:
    """Return a float as Decimal, rounded half-even to `places`; NaN and infinities are UNKNOWN: None."""
    if not math.isfinite(value):
        return None
    return Decimal(repr(round(float(value), places) + 0.0))
