"""From what a broker calls a contract to an instrument, as plain data."""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from stopline.brokers.dialect import Context
from stopline.brokers.row import id_of
from stopline.model.decimals import decimal_text, divide
from stopline.model.errors import Rejected
from stopline.model.fill import DEFAULT_STRATEGY
from stopline.model.instrument import option_symbol
from stopline.model.times import parse_date

Contract = dict[str, Any]

# Roots whose options are on something else than the root says. Attribute `underlying` goes before it.
UNDERLYINGS = {
    "SPXW": "SPX",
    "SPXPM": "SPX",
    "XSPW": "XSP",
    "NDXP": "NDX",
    "RUTW": "RUT",
    "VIXW": "VIX",
    "MRUTW": "MRUT",
    "BRKB": "BRK.B",
}
_OCC = re.compile(r"([A-Z][A-Z0-9.]{0,5}) *([0-9]{2})([0-9]{2})([0-9]{2})([CP])([0-9]{8})")


def event_by_hand(what: str) -> Rejected:
    """Return the refusal of an event of an account or a contract that no dialect books."""
    return Rejected(
        "UNSUPPORTED",
        f"{what[:160]} is not booked by itself. See what it did to positions and cash at the broker; then publish a "
        "native fill of kind SPLIT, DIVIDEND or FLOW, or use `stopline adjust`",
    )


def split_id(context: Context, action: str) -> str:
    """Return the id of a split by the broker's number of the corporate action; in another strategy than the usual one it is
    an event of its own.
    """
    strategy = () if context.strategy == DEFAULT_STRATEGY else (context.strategy,)
    return id_of("split", action, *strategy)


def equity(symbol: str, currency: str) -> Contract:
    """Return a share, fund or index share; `BRK B` and `BRK/B` are `BRK.B`."""
    return {"symbol": re.sub(r"[ /]", ".", symbol.strip()), "kind": "equity", "currency": currency}


def option(
    root: str,
    expiry: date,
    right: str,
    strike: Decimal,
    currency: str,
    multiplier: str,
    underlying: str | None = None,
    symbol: str | None = None,
) -> Contract:
    """Return an option by its terms."""
    if not (0 < strike < 10**8) or strike * 1000 != int(strike * 1000):
        raise Rejected("BAD_MESSAGE", f"strike {strike} is not above 0 with up to three decimals")
    return {
        "symbol": symbol or option_symbol(root, expiry, right, strike),
        "kind": "option",
        "currency": currency,
        "multiplier": multiplier,
        "underlying": underlying or UNDERLYINGS.get(root, root),
        "expiry": expiry.isoformat(),
        "strike": decimal_text(strike),
        "right": right,
    }


def is_occ(symbol: str) -> bool:
    return _OCC.fullmatch(symbol.strip()) is not None


def occ_option(
    symbol: str, context: Context, multiplier: str | None = None, underlying: str | None = None
) -> Contract:
    """Return the option of an OCC symbol, padded or not. It is in dollars and of 100 units unless told otherwise;
    adjusted contracts, whose root ends with a digit, are of no standard size and must be told.
    """
    match = _OCC.fullmatch(symbol.strip())
    if match is None:
        raise Rejected("BAD_MESSAGE", f"{symbol[:40]!a} is not an OCC option symbol")
    root, year, month, day, right, strike = match.groups()
    try:
        expiry = date(2000 + int(year), int(month), int(day))
    except ValueError:
        raise Rejected("BAD_MESSAGE", f"option symbol {symbol[:40]!a} has no real expiry date") from None
    size = multiplier or context.get("multiplier")
    if size is None:
        if root[-1].isdigit():
            raise Rejected(
                "MISSING_ATTRIBUTE",
                f"option {symbol[:40]!a} is adjusted: attribute `multiplier` must say its size",
            )
        size = "100"
    told = context.get("underlying") or (None if root in UNDERLYINGS else underlying)
    return option(root, expiry, right, Decimal(strike) / 1000, context.word("currency", "USD"), size, told)


def future(
    symbol: str, currency: str, multiplier: str, underlying: str | None, expiry: str | None = None
) -> Contract:
    """Return a future or a perpetual contract."""
    contract = {"symbol": symbol, "kind": "future", "currency": currency, "multiplier": multiplier}
    if underlying:
        contract["underlying"] = underlying
    if expiry:
        contract["expiry"] = expiry
    return contract


def crypto(base: str, quote: str) -> Contract:
    """Return a spot pair: units of `base`, priced in `quote`."""
    return {"symbol": f"{base}-{quote}", "kind": "crypto", "currency": quote, "base": base}


def cash(currency: str) -> Contract:
    """Return money itself: the contract of fees and payments that belong to none."""
    return {"symbol": currency, "kind": "cash", "currency": currency}


def pair(symbol: str, context: Context, quotes: Sequence[str]) -> tuple[str, str]:
    """Split a pair into base and quote: at `/` or `-`, by attribute `quote`, or by the longest known quote."""
    for joint in "/-":
        if joint in symbol:
            base, _, quote = symbol.partition(joint)
            return base, quote
    told = context.get("quote")
    known = [told] if told else sorted(quotes, key=len, reverse=True)
    for quote in known:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol.removesuffix(quote), quote
    raise Rejected(
        "MISSING_ATTRIBUTE", f"pair {symbol[:40]!a} ends with no known currency: attribute `quote`"
    )


def settlement_price(paid: Decimal, quantity: Decimal, contract: Contract) -> Decimal:
    """Return the price at which a cash settlement closes: the money paid (negative: received) by unit bought
    (negative: sold).
    """
    units = quantity * Decimal(str(contract.get("multiplier", "1")))
    if not units:
        raise Rejected("BAD_MESSAGE", "a settlement of nothing has no price")
    price = divide(paid, units)
    if price < 0:
        raise Rejected("CONTRADICTION", "a settlement pays the long side: quantity and amount disagree")
    return price


def a_date(text: str) -> date:
    """Read 2026-11-20 or 20261120."""
    plain = f"{text[:4]}-{text[4:6]}-{text[6:]}" if re.fullmatch(r"[0-9]{8}", text) else text
    try:
        return parse_date(plain)
    except ValueError:
        raise Rejected("BAD_MESSAGE", f"{text[:40]!a} is not a date") from None
