"""Ticks and lots: the steps that prices and quantities of a contract come in."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from stopline.model.decimals import EXACT, DecimalText
from stopline.model.fill import EXECUTIONS, Fill, FillKind
from stopline.model.ids import is_symbol
from stopline.model.instrument import Instrument, Kind
from stopline.model.wire import Message

_CONTRACTS = re.compile(f"({'|'.join(kind.value for kind in Kind)}):(.+)")
_AT_A_MARKET_PRICE = frozenset({FillKind.TRADE, FillKind.LIQUIDATION, FillKind.CORRECT})

Step = Annotated[DecimalText, Field(gt=0)]


class Increments(Message):
    """`tick`: every price is a multiple of it; `lot`: every quantity is. None where it is not known: then any may be."""

    tick: Step | None = None
    lot: Step | None = None


UNKNOWN = Increments.model_construct()  # and not built by the import: see wire.Message


def _contracts(value: Any) -> str:
    found = _CONTRACTS.fullmatch(value) if isinstance(value, str) else None
    if found is None or not is_symbol(found[2]):
        raise ValueError(f"must be a kind and a symbol such as 'option:SPX', was {str(value)[:40]!r}")
    return found[0]


# Contracts of a kind: one by its symbol, or all on an underlying (`option:SPX`, `future:NIFTY`).
Contracts = Annotated[str, BeforeValidator(_contracts)]


def increments_of(known: Mapping[str, Increments], contract: Instrument) -> Increments:
    """Return a contract's steps: what is known of its symbol, else of its underlying's contracts of that kind."""
    kind = contract.kind.value
    own = known.get(f"{kind}:{contract.symbol}")
    return own or known.get(f"{kind}:{contract.underlying}") or UNKNOWN


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Tell whether a value is a whole number of steps, exactly."""
    return not EXACT.remainder(value, step)


def round_down(value: Decimal, step: Decimal) -> Decimal:
    """Return the greatest multiple of a step that is not above a value: what a buy may pay, what may be sold."""
    rest = EXACT.remainder(value, step)  # signed like the value
    whole = EXACT.subtract(value, rest)
    return EXACT.subtract(whole, step) if rest < 0 else whole


def round_up(value: Decimal, step: Decimal) -> Decimal:
    """Return the least multiple of a step that is not below a value: what a sale must bring."""
    return EXACT.minus(round_down(EXACT.minus(value), step))


def off_step(fill: Fill, steps: Increments) -> str | None:
    """Say which step a fill is off, or None. Money and changes by hand have no steps, nor has the price of an
    assignment, expiry or settlement, which no market made.
    """
    if fill.kind not in EXECUTIONS:
        return None
    if steps.lot is not None and not is_multiple(fill.quantity, steps.lot):
        return f"quantity {fill.quantity} is not a multiple of the lot, {steps.lot}"
    at_market = fill.kind in _AT_A_MARKET_PRICE
    if at_market and steps.tick is not None and not is_multiple(fill.price, steps.tick):
        return f"price {fill.price} is not on the tick, {steps.tick}"
    return None
