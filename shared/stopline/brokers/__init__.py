"""Broker dialects: one module each, from the broker's own message to normalised fills.

A dialect is a function from (decoded JSON object, message attributes) to fills; it raises Rejected for what
it does not know, and never guesses. To add one: a module, and a line in DIALECTS. A broker without a line
speaks the native format.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stopline.brokers import native
from stopline.model.errors import Rejected

Parsed = Sequence["native.Item"]
Dialect = Callable[[dict[str, Any], Mapping[str, str]], Parsed]

DIALECTS: Mapping[str, Dialect] = {"native": native.parse}


def parse(value: dict[str, Any], attributes: Mapping[str, str]) -> Parsed:
    """Return the items of a message on topic `fills`, by its attribute `dialect` (default: native)."""
    name = attributes.get("dialect", "native")
    dialect = DIALECTS.get(name)
    if dialect is None:
        raise Rejected(
            "UNKNOWN_DIALECT", f"attribute dialect {name[:40]!r} is not one of {', '.join(sorted(DIALECTS))}"
        )
    return dialect(value, attributes)
