"""Broker dialects: one module each, from the broker's own message to normalised fills and position statements.

To add one: a module with a DIALECT, and its name here. README.md shows how, and which attributes each takes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import DecimalException, localcontext
from typing import Any

from stopline.brokers import alpaca, binance, fix, ibkr, kite, native, tastytrade, upstox
from stopline.brokers.dialect import Context, Dialect, Item
from stopline.model.decimals import EXACT
from stopline.model.errors import Rejected
from stopline.model.statement import Statement

DIALECTS: Mapping[str, Dialect] = {
    "alpaca": alpaca.DIALECT,
    "binance": binance.DIALECT,
    "fix": fix.DIALECT,
    "ibkr": ibkr.DIALECT,
    "kite": kite.DIALECT,
    "native": native.DIALECT,
    "tastytrade": tastytrade.DIALECT,
    "upstox": upstox.DIALECT,
}
NATIVE = "native"
MAX_ITEMS = 5000  # of one message: what a function books in its time, 200 a commit


def read(data: bytes, attributes: Mapping[str, str], secrets: Mapping[str, str] | None = None) -> list[Item]:
    """Return the items of a message as it came. `secrets` are what brokers sign their messages with, by
    dialect.
    """
    return parse(decode(data, attributes), attributes, secrets)


def decode(data: bytes, attributes: Mapping[str, str]) -> dict[str, Any]:
    """Return a message as plain data."""
    return DIALECTS[dialect_of(attributes)].decode(data)


def parse(
    value: dict[str, Any],
    attributes: Mapping[str, str],
    secrets: Mapping[str, str] | None = None,
    limit: int | None = MAX_ITEMS,
) -> list[Item]:
    """Return the items of a decoded message. Raises Rejected when nothing of it can be read."""
    name = _spoken(value, attributes)
    with _exactly():
        items = DIALECTS[name].parse(value, Context(name, attributes, secrets))
    if limit is not None and len(items) > limit:
        raise Rejected("TOO_MANY_FILLS", f"the message has {len(items)} fills, the most is {limit}: split it")
    return items


def read_statement(value: dict[str, Any], attributes: Mapping[str, str]) -> Statement | None:
    """Return what a decoded message says that an account holds, or None. Raises Rejected when that cannot be read."""
    name = _spoken(value, attributes)
    with _exactly():
        return DIALECTS[name].statement(value, Context(name, attributes))


def _spoken(value: Mapping[str, Any], attributes: Mapping[str, str]) -> str:
    if "dialect" not in attributes and str(value.get("type")).startswith("stopline."):
        return NATIVE  # a broker of ours that speaks our own format
    return dialect_of(attributes)


@contextmanager
def _exactly() -> Iterator[None]:
    try:
        with localcontext(EXACT):
            yield
    except DecimalException:
        raise Rejected("BAD_MESSAGE", "the message has numbers beyond what can be computed exactly") from None


def dialect_of(attributes: Mapping[str, str]) -> str:
    """Return the dialect of a message: attribute `dialect`, else the broker's where there is one, else ours."""
    name = attributes.get("dialect")
    if name is None:
        broker = attributes.get("broker", "")
        return broker if broker in DIALECTS else NATIVE
    if name not in DIALECTS:
        known = ", ".join(sorted(DIALECTS))
        raise Rejected("UNKNOWN_DIALECT", f"attribute dialect {name[:40]!r} is not one of {known}")
    return name
