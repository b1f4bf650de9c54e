"""One JSON object of a broker, read field by field: what is missing, unknown or impossible is refused by name."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from stopline.model.decimals import EXACT_QUANTIZE, ZERO, decimal_text
from stopline.model.errors import Rejected

T = TypeVar("T")
LIMIT = Decimal(10) ** 18
PLACES = Decimal(1).scaleb(-12)  # as many decimals as a wire number has
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_ID_UNSAFE = re.compile(r"[^A-Za-z0-9._:#@+~-]")


class Row:
    """A JSON object under the name that messages about it use."""

    def __init__(self, value: Any, name: str) -> None:
        if not isinstance(value, dict):
            raise Rejected("BAD_MESSAGE", f"{name} must be an object, was {type(value).__name__}")
        self.value: dict[str, Any] = value
        self.name = name

    def __contains__(self, field: str) -> bool:
        return self.value.get(field) not in (None, "")

    def text(self, field: str) -> str:
        """Return a text, or a whole number as one. Missing or empty: refused."""
        text = self.text_or(field)
        if text is None:
            raise self.bad(field, "is missing")
        return text

    def text_or(self, field: str, default: str | None = None) -> str | None:
        """Return a text, or a whole number as one, or the default where it is missing or empty."""
        value = self.value.get(field)
        if value is None or value == "":
            return default
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or len(value) > 200:
            raise self.bad(field, f"must be a text, was {shown(value)}")
        return value

    def decimal(self, field: str) -> Decimal:
        """Return a number, given as a text or as a JSON number."""
        if field not in self:
            raise self.bad(field, "is missing")
        try:
            return decimal_of(self.value[field])
        except ValueError:
            raise self.bad(field, f"must be a number, was {shown(self.value[field])}") from None

    def decimal_or(self, field: str, default: Decimal = ZERO) -> Decimal:
        """Return a number, or the default where it is missing or empty."""
        return self.decimal(field) if field in self else default

    def one_of(self, field: str, table: Mapping[str, T], reason: str = "UNKNOWN_STATUS") -> T:
        """Return what a text means by a table; a text that is not in it is refused, never guessed."""
        text = self.text(field)
        if text not in table:
            raise Rejected(reason, f"{self.name}.{field} {text[:40]!r} is not known: nothing is guessed")
        return table[text]

    def row(self, field: str) -> "Row":
        return Row(self.value.get(field), f"{self.name}.{field}")

    def rows(self, field: str) -> Iterator["Row"]:
        """Yield the objects of a list."""
        value = self.value.get(field)
        if not isinstance(value, list):
            raise self.bad(field, f"must be a list, was {type(value).__name__}")
        for index, item in enumerate(value):
            yield Row(item, f"{self.name}.{field}[{index}]")

    def bad(self, field: str, what: str) -> Rejected:
        return Rejected("BAD_MESSAGE", f"{self.name}.{field} {what}")


def decimal_of(value: Any) -> Decimal:
    """Read a broker's number; raises ValueError for anything else.

    A text is exact. A JSON number is the shortest decimal of its double, rounded to 12 decimals: brokers that
    send numbers compute in doubles.
    """
    if isinstance(value, bool):
        raise ValueError("not a number")  # noqa: TRY004 - one error for whatever is wrong
    if isinstance(value, int | float):
        number = Decimal(repr(value))
        if abs(number) < LIMIT:
            return Decimal(decimal_text(number.quantize(PLACES, context=EXACT_QUANTIZE)))
    elif isinstance(value, str) and len(value) <= 40 and _NUMBER.fullmatch(value):
        number = Decimal(value)
        if abs(number) < LIMIT and number == number.quantize(PLACES, context=EXACT_QUANTIZE):
            return number
    raise ValueError("not a number, or not one of 18 digits and 12 decimals")


def number_text(value: Decimal) -> str:
    """Write a number as it goes on the wire."""
    return decimal_text(value)


def id_of(*parts: str) -> str:
    """Join a broker's ids into one of ours; what our grammar does not hold is written as =XX."""
    return ":".join(
        _ID_UNSAFE.sub(lambda m: "".join(f"={b:02X}" for b in m[0].encode()), part) for part in parts
    )


def shown(value: Any) -> str:
    """Return a value as a refusal shows it: short, on one line."""
    if isinstance(value, dict | list):
        return f"a {'list' if isinstance(value, list) else 'object'}"
    return ascii(value)[:60]
