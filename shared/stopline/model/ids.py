"""Ids: a strict ASCII grammar, an own encoder for document ids, and deterministic hashes."""

import hashlib
import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:#@+=~-]{0,127}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.&_:-]{0,31}")
_CURRENCY = re.compile(r"[A-Z][A-Z0-9]{2,7}")
_ASSET = re.compile(r"[A-Z0-9]{1,12}")
_SAFE = re.compile(r"[^A-Za-z0-9._-]")


def _grammar(pattern: re.Pattern[str], what: str, example: str) -> BeforeValidator:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"must be {what} such as {example!r}, was {str(value)[:40]!r}")
        return value

    return BeforeValidator(check)


# An id that somebody else gave (fill, order, request): up to 128 ASCII characters, no slash, starts with a
# letter or digit.
Id = Annotated[str, _grammar(_ID, "an id of up to 128 letters, digits and ._:#@+=~-", "E-1")]
# A name that we or our user gave (account, strategy, broker, owner): lower case.
Name = Annotated[str, _grammar(_NAME, "a lower-case name of up to 64 letters, digits, _ and -", "demo")]
Symbol = Annotated[
    str, _grammar(_SYMBOL, "an upper-case symbol of up to 32 characters", "SPXW180205P02600000")
]
Currency = Annotated[str, _grammar(_CURRENCY, "a currency code", "USD")]


# What a fee is paid in: a currency, or a coin (`1INCH`, `W`).
Asset = Annotated[str, _grammar(_ASSET, "a currency or coin", "USD")]


def is_id(value: object) -> bool:
    """Tell whether a value fits the grammar of ids that others give."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def is_symbol(value: object) -> bool:
    """Tell whether a value fits the symbol grammar."""
    return isinstance(value, str) and _SYMBOL.fullmatch(value) is not None


def document_id(*parts: str) -> str:
    """Join parts into one document id. Injective: every character outside [A-Za-z0-9._-] is written as =XX,
    the joint is a colon.

    The result holds no slash, is never `.`, `..` or `__x__`, and reads in the console.
    """
    encoded = ":".join([part if _SAFE.search(part) is None else _SAFE.sub(_escape, part) for part in parts])
    reserved = not encoded.strip("._") or encoded[:2] == encoded[-2:] == "__"
    return f"={encoded}" if reserved else encoded


def _escape(unsafe: re.Match[str]) -> str:
    return "".join(f"={byte:02X}" for byte in unsafe[0].encode())


def digest(*parts: str) -> str:
    """Return 32 hex digits that identify the parts in their order; the same parts give the same digest for
    ever.
    """
    joined = "\x1f".join(parts).encode()
    return hashlib.sha256(joined).hexdigest()[:32]


def short_id(id_: str) -> str:
    """Return 20 letters and digits that identify a command, for orders whose tag takes no more."""
    return f"{id_[:11]}x{id_[-8:]}"


def position_key(strategy: str, symbol: str) -> str:
    """Return the key of a position in its book."""
    return f"{strategy}:{symbol}"
