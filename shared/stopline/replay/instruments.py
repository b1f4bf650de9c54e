"""From what a file says of a contract to an instrument."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from stopline.model.decimals import decimal_text, parse_decimal
from stopline.model.instrument import option_symbol
from stopline.model.times import parse_date

_OPTION = re.compile(r"([A-Z][A-Z0-9.&]{0,15})([0-9]{2})([0-9]{2})([0-9]{2})([CP])([0-9]{8})")
_RIGHTS = {"C": "C", "CALL": "C", "CE": "C", "P": "P", "PUT": "P", "PE": "P"}
OPTION_MULTIPLIER = "100"


class Terms(NamedTuple):
    """The terms of an option: `root` begins its symbol (SPXW) and is not always its underlying (SPX)."""

    root: str
    expiry: date
    right: str
    strike: Decimal

    @property
    def symbol(self) -> str:
        return option_symbol(*self)


def plain_symbol(text: str) -> str:
    """Return a symbol as we write it: upper case, without the padding of OCC symbols."""
    return text.replace(" ", "").upper()


def terms_of(symbol: str) -> Terms | None:
    """Read an OCC option symbol without padding; None for another symbol. Raises ValueError."""
    match = _OPTION.fullmatch(symbol)
    if match is None:
        return None
    root, year, month, day, right, strike = match.groups()
    try:
        expiry = date(2000 + int(year), int(month), int(day))
    except ValueError:
        raise ValueError(f"option symbol {symbol} has no real expiry date") from None
    return Terms(root, expiry, right, Decimal(strike) / 1000)


def terms_from(root: str, expiry: str, right: str, strike: str) -> Terms:
    """Read the terms of an option out of four cells. Raises ValueError."""
    side = _RIGHTS.get(right.strip().upper())
    if side is None:
        raise ValueError(f"right must be C or P, was {right[:20]!r}")
    number = parse_decimal(strike.strip())
    if number <= 0 or number * 1000 != int(number * 1000) or number >= 100_000:
        raise ValueError(
            f"strike must be above 0 and below 100000 with up to three decimals, was {strike[:20]!r}"
        )
    return Terms(plain_symbol(root), parse_date(expiry.strip()), side, number)


def instrument_of(cells: Mapping[str, str], currency: str) -> dict[str, Any]:
    """Return the instrument of a fill as plain data, from its cells (empty ones left out). Raises ValueError.

    An option is told by its symbol (`SPXW210106C03700000`) or by root or underlying, expiry, right and
    strike; everything else is an equity unless `kind` says so. An option's multiplier is 100 unless told.
    """
    terms = _terms(cells)
    kind = cells.get("kind", "option" if terms else "equity").strip().lower()
    symbol = plain_symbol(cells.get("symbol", "")) or (terms.symbol if terms else "")
    if not symbol:
        raise ValueError("a fill needs a symbol, or underlying, expiry, right and strike")
    facts: dict[str, Any] = {
        "symbol": symbol,
        "kind": kind,
        "currency": cells.get("currency", currency).upper(),
    }
    if kind == "option" and terms:
        facts |= {
            "expiry": terms.expiry.isoformat(),
            "right": terms.right,
            "strike": decimal_text(terms.strike),
        }
        facts["underlying"] = terms.root
        facts["multiplier"] = OPTION_MULTIPLIER
    elif "expiry" in cells:
        facts["expiry"] = cells["expiry"]
    if "underlying" in cells:
        facts["underlying"] = plain_symbol(cells["underlying"])
    if "multiplier" in cells:
        facts["multiplier"] = cells["multiplier"]
    return facts


def _terms(cells: Mapping[str, str]) -> Terms | None:
    root = cells.get("root") or cells.get("underlying")
    if root and all(name in cells for name in ("expiry", "right", "strike")):
        return terms_from(root, cells["expiry"], cells["right"], cells["strike"])
    return terms_of(plain_symbol(cells.get("symbol", "")))
