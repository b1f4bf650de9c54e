"""Exact decimals: one grammar in, one text out, nothing rounded in between."""

from __future__ import annotations

import decimal
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stopline.model.decimals import EXACT, decimal_text, divide, parse_decimal, price_text
from stopline.model.messages import Figure
from stopline.model.wire import validate

BAD: dict[str, list[Any]] = {
    "B14": [[], {}, None, b"1", ("1",)],
    "B15": ["NaN", "sNaN", "nan", "-NaN", float("nan")],
    "B16": ["Infinity", "-Infinity", "inf", "1e400", float("inf")],
    "B21": ["1E+999999", "1E-999999", "1e5", "1E5", "1e-5"],
    "B22": ["9" * 4001, "9" * 50_000, "1" * 19, "0." + "1" * 13, "0." + "0" * 50_000],
    "B23": ["1_000", " 1 ", " 1", "1 ", "1\n", "+1", "-0", "-0.0", "-0.000000000000", ""],
    "B24": ["１２", "١٢", "१२", "1２"],
    "B25": ["0x10", "1,5", "1.5.2", "½", "1.", ".5", "-", "--1", "1-", "−1", "$1", "1 000"],
    "B26": [0.1, 1.0, 1, 10**30],
    "B30": [True, False],
}


@pytest.mark.parametrize(("row", "value"), [(row, value) for row, values in BAD.items() for value in values])
def test_what_is_no_plain_decimal_string_is_refused(row: str, value: Any) -> None:
    """B14-B16, B21-B26, B30."""
    with pytest.raises(ValueError, match="decimal|minus zero") as refused:
        parse_decimal(value)
    assert len(str(refused.value)) < 200


@given(st.from_regex(re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,12})?", re.ASCII), fullmatch=True))
@example("999999999999999999.999999999999")
@example("-999999999999999999.999999999999")
@example("0.000000000001")
@example("007.50")
def test_a_wire_number_is_read_exactly(text: str) -> None:
    """B21-B23. The oracle is rational arithmetic."""
    if text.startswith("-") and not Fraction(text):
        with pytest.raises(ValueError, match="minus zero"):
            parse_decimal(text)
        return
    assert Fraction(parse_decimal(text)) == Fraction(text)


numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**17), max_value=10**17, places=12)
any_scale = st.builds(lambda n, e: Decimal(n).scaleb(e), st.integers(-(10**12), 10**12), st.integers(-12, 5))


@given(numbers | any_scale)
def test_writing_and_reading_gives_the_same_number(number: Decimal) -> None:
    """Round trip of every number that the wire can carry."""
    assert parse_decimal(decimal_text(number)) == number


@given(any_scale, st.integers(0, 10))
def test_equal_numbers_have_one_text(number: Decimal, zeros: int) -> None:
    """B37: `1.0` and `1.00` are one content; no exponent, no trailing zero, no minus zero."""
    same = number.quantize(
        Decimal(1).scaleb(number.as_tuple().exponent - zeros), context=decimal.Context(prec=60)
    )
    text = decimal_text(number)
    assert decimal_text(same) == text
    assert re.fullmatch(r"0|-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", text)
    assert text != "-0"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1.50", "1.5"),
        ("100", "100"),
        ("1E+3", "1000"),
        ("-0", "0"),
        ("0E+9", "0"),
        ("1E-12", "0.000000000001"),
    ],
)
def test_the_text_of_a_number(number: str, text: str) -> None:
    assert decimal_text(Decimal(number)) == text


@given(numbers, numbers, numbers)
def test_sums_and_products_of_wire_numbers_are_exact(a: Decimal, b: Decimal, c: Decimal) -> None:
    """B28: the context has room for quantity x price x multiplier, and would raise rather than round."""
    product = EXACT.multiply(EXACT.multiply(a, b), c)
    assert Fraction(product) == Fraction(a) * Fraction(b) * Fraction(c)
    assert Fraction(EXACT.add(a, product)) == Fraction(a) + Fraction(product)


def test_a_rounding_in_exact_arithmetic_raises() -> None:
    """B28."""
    with pytest.raises(decimal.Inexact):
        EXACT.divide(Decimal(1), Decimal(3))
    with pytest.raises(decimal.InvalidOperation):
        EXACT.add(Decimal("sNaN"), Decimal(1))


@given(numbers, numbers.filter(bool))
def test_a_division_is_rounded_half_even_to_its_places(a: Decimal, b: Decimal) -> None:
    quotient = divide(a, b)
    exact = Fraction(a) / Fraction(b)
    if abs(exact) < 10**20:
        assert abs(Fraction(quotient) - exact) <= Fraction(1, 2 * 10**12)
    assert quotient.as_tuple().exponent == -12


def test_a_division_ends_exactly_in_the_middle_at_the_even_digit() -> None:
    assert divide(Decimal("0.5"), Decimal(1), places=0) == 0
    assert divide(Decimal("1.5"), Decimal(1), places=0) == 2


@pytest.mark.parametrize(
    ("price", "text"),
    [
        ("97.123456789", "97.123457"),
        ("0.0000026220000", "0.000002622"),
        ("0.00000262212345", "0.00000262212"),
        ("0.0000000000001", "0"),
        ("0", "0"),
        ("-65012.5", "-65012.5"),
    ],
)
def test_a_price_for_people_has_six_decimals_or_six_digits(price: str, text: str) -> None:
    assert price_text(Decimal(price)) == text


def test_the_number_of_an_alert_is_one_that_the_wire_takes_whatever_it_was_worked_out_from() -> None:
    """R3.1: money times a rate has more than the 12 decimals that a message may have: its reader refused the alert."""
    figure = Figure(current=Decimal("-5419.52143710492303"), limit=Decimal("0.1234567890125") / 3, unit="USD")
    assert figure.model_dump(mode="json") == {
        "current": "-5419.521437104923",
        "limit": "0.041152263004",
        "unit": "USD",
    }
    assert validate(Figure, figure.model_dump(mode="json")) == figure
