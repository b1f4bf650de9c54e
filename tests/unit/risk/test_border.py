"""The border of the two number worlds: a float becomes the number that was meant, and what is no number is UNKNOWN."""

from __future__ import annotations

from decimal import Decimal

import pytest

from stopline.risk.border import to_decimal


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.00001255, "0.00001255"),
        (0.00000044, "0.00000044"),
        (4.4123e-7, "0.00000044123"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.3"),
        ((50000.1 + 50000.2) / 2, "50000.15"),  # the middle of a quote, 50000.149999999994 as a float
        (65012.37 * 3.5, "227543.295"),
        (1e17, "100000000000000000"),
        (-0.0, "0"),
        (-1e-13, "0"),
    ],
)
def test_a_float_is_the_decimal_that_was_meant(number: float, text: str) -> None:
    """R1.3: with the 12 decimals of a number on the wire, and no more digits than a float surely has: 15."""
    assert to_decimal(number) == Decimal(text)
    assert not str(to_decimal(number)).startswith("-0")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_unknown(number: float) -> None:
    """I7."""
    assert to_decimal(number) is None


def test_fewer_places_are_a_matter_of_who_asks() -> None:
    assert to_decimal(2.0000015, 6) == Decimal("2.000002")
    assert to_decimal(-0.004, 2) == 0
