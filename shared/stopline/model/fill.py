"""Fills: what a broker executed, in Stopline's own words."""

from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from stopline.model.decimals import EXACT, ZERO, DecimalText
from stopline.model.ids import Currency, Id, Name, document_id
from stopline.model.instrument import Instrument
from stopline.model.times import UtcText, utc_text
from stopline.model.wire import Message, canonical, content_hash

FILL_TYPE: Final = "stopline.fill.v1"
FILLS_TYPE = "stopline.fills.v1"
MAX_NOTIONAL = Decimal(10) ** 15
MAX_EXTRAS = 16
DEFAULT_STRATEGY = "default"


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class Fill(Message):
    """One execution: `quantity` units (above 0, the side gives the sign) at `price` each.

    `fee` is money paid (negative: a rebate) in `fee_currency`, by default the instrument's. `fill_id` is the
    venue's id of the execution and, with broker and account, identifies it for ever. Unknown fields are kept
    in `model_extra` (up to 16), are stored, and do not take part in the content hash.
    """

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    type: Literal["stopline.fill.v1"] = FILL_TYPE
    fill_id: Id
    broker: Name
    account: Name
    strategy: Name = DEFAULT_STRATEGY
    instrument: Instrument
    side: Side
    quantity: DecimalText
    price: DecimalText
    fee: DecimalText = ZERO
    fee_currency: Currency = Field(default="", validate_default=False)
    executed_at: UtcText
    order_id: Id | None = None
    group_id: Id | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.quantity <= 0:
            raise ValueError(f"quantity must be above 0 (the side gives the sign), was {self.quantity}")
        if not self.instrument.allows_price(self.price):
            raise ValueError(f"price {self.price} is impossible for kind {self.instrument.kind.value}")
        notional = EXACT.multiply(EXACT.multiply(self.quantity, abs(self.price)), self.instrument.multiplier)
        if notional > MAX_NOTIONAL:
            raise ValueError(f"quantity x price x multiplier is beyond {MAX_NOTIONAL:E}")
        if self.fee > max(notional, Decimal(100)):
            raise ValueError(f"fee {self.fee} is above the fill's notional")
        extras = self.model_extra or {}
        if len(extras) > MAX_EXTRAS or len(canonical(extras)) > 2048:
            raise ValueError(f"has more than {MAX_EXTRAS} unknown fields or 2048 bytes of them")
        if not self.fee_currency:
            object.__setattr__(self, "fee_currency", self.instrument.currency)
        return self

    @cached_property
    def key(self) -> str:
        """The document id of the fill: broker, account and the venue's id."""
        return document_id(self.broker, self.account, self.fill_id)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the known fields in canonical form: equal for `1.0` and `1.00`, other for any other
        content.
        """
        known = set(type(self).model_fields)
        return content_hash(self.model_dump(mode="json", include=known))

    @cached_property
    def signed_quantity(self) -> Decimal:
        """Units bought, negative when sold."""
        return self.quantity if self.side is Side.BUY else -self.quantity

    @property
    def order(self) -> tuple[Any, str]:
        """The place of the fill in the fold: execution time, then key."""
        return (self.executed_at, self.key)

    def __repr__(self) -> str:
        what = f"{self.side} {self.quantity} {self.instrument.symbol} @ {self.price}"
        return f"Fill({self.key} {what} {utc_text(self.executed_at)})"
