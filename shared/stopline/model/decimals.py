"""Exact decimal numbers: one grammar on the wire, one context for arithmetic, one way back to text."""

import decimal
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, getcontext, setcontext
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

ZERO = Decimal(0)

# Sums and products of wire numbers fit in 100 digits; a rounding would be a bug, so it raises.
EXACT = decimal.Context(
    prec=100,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
# Divisions (averages, ratios, pro-rata shares) are rounded, on purpose and only here.
ROUNDED = decimal.Context(prec=34, rounding=decimal.ROUND_HALF_EVEN)

_GRAMMAR = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,12})?")


def parse_decimal(value: Any) -> Decimal:
    """Read a wire number: an ASCII string of up to 18 digits, and up to 12 more behind a point.

    JSON numbers, exponents, signs other than a leading minus, minus zero, spaces, underscores and other
    alphabets' digits raise ValueError: money never passes through a double, and never means two things.
    """
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str):
        was = type(value).__name__
        raise ValueError(f'must be a decimal string such as "1.25", was {was}')  # noqa: TRY004 - pydantic's
    if len(value) > 32 or not _GRAMMAR.fullmatch(value):
        raise ValueError(f'must be a plain decimal string such as "1.25", was {value[:40]!r}')
    number = Decimal(value)
    if not number and value.startswith("-"):
        raise ValueError("must not be minus zero")
    return number


def decimal_text(value: Decimal) -> str:
    """Write the one text of a number: no exponent, no trailing zeros, no minus zero (`1.50` -> `1.5`)."""
    if not value:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def price_text(value: Decimal) -> str:
    """Write a price for people: six decimals, and six digits of one that begins behind them."""
    return decimal_text(round(value, min(max(6, 5 - value.adjusted()), 12)))


@contextmanager
def exactly() -> Iterator[None]:
    """Have this thread compute exactly, for a fold of many fills."""
    before = getcontext()
    setcontext(EXACT)
    try:
        yield
    finally:
        setcontext(before)


def divide(numerator: Decimal, denominator: Decimal, places: int = 12) -> Decimal:
    """Divide, rounded half-even to `places` decimals. The denominator must not be zero."""
    quotient = ROUNDED.divide(numerator, denominator)
    return quotient.quantize(Decimal(1).scaleb(-places), context=EXACT_QUANTIZE)


EXACT_QUANTIZE = decimal.Context(prec=100, rounding=decimal.ROUND_HALF_EVEN)

DecimalText = Annotated[
    Decimal,
    BeforeValidator(parse_decimal),
    PlainSerializer(decimal_text, return_type=str, when_used="always"),
]
