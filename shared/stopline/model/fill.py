"""Fills: what a broker executed, in Stopline's own words."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from sys import intern
from typing import Final, Literal, Self

import orjson
from pydantic import ConfigDict, Field, model_validator

from stopline.model.decimals import EXACT, ZERO, DecimalText
from stopline.model.ids import Asset, Id, Name, document_id, position_key
from stopline.model.instrument import Instrument, Kind
from stopline.model.times import UtcText, utc_text
from stopline.model.wire import Message, canonical, content_hash

FILL_TYPE: Final = "stopline.fill.v1"
FILLS_TYPE = "stopline.fills.v1"
MAX_NOTIONAL = Decimal(10) ** 15
MAX_EXTRAS = 16
_SINCE_KINDS = {"kind": "TRADE", "ref": None, "provisional": False}
_SINCE_INVERSE = {"inverse": False, "base": None}
DEFAULT_STRATEGY = "default"
ASSUMED = (
    "assumed"  # extra `ref_day` of a fill: the day in its `ref` is not the broker's, who names a number alone
)
CUMULATIVE = "cumulative"  # extra `order_tells` of a fill: its broker tells what an order has filled so far
ORDER_FILLED = (
    "order_filled"  # extra of a fill: how many units of its order are filled with it, as its broker says
)
ENDS = "ends"  # extra of an EXPIRE or SETTLE, `held`: it ends what is held, whichever way that is, and opens nothing
HELD = "held"
Place = tuple[datetime, str]  # in the fold: execution time, key
Terms = tuple[Place, Decimal, Decimal, Decimal, bool, str]


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class FillKind(StrEnum):
    """What happened. `TRADES` change a position by quantity and price; the rest change another fill, or money.

    CORRECT replaces the fill `ref` by this quantity, price and fee (0: the fee stays) at the original's place, BUST
    removes it, FEE adds a fee that came later (to `ref`, or to the account without one); FUNDING, DIVIDEND, FLOW (a
    deposit or withdrawal: capital, never P&L), ADJUST and SPLIT stand for themselves. FEE, FUNDING, DIVIDEND and
    FLOW say the amount in `fee` (negative: received); a FEE of its own that was taken in the traded asset says in `price`
    what a unit was worth, and takes them out of the position. A SPLIT turns every `price` units into `quantity` units.
    An ADJUST by hand is booked like a trade, or like a fee where its quantity is 0; a BUST of it takes it back.
    """

    TRADE = "TRADE"
    LIQUIDATION = "LIQUIDATION"
    ASSIGN = "ASSIGN"
    EXERCISE = "EXERCISE"
    EXPIRE = "EXPIRE"
    SETTLE = "SETTLE"
    CORRECT = "CORRECT"
    BUST = "BUST"
    FEE = "FEE"
    FUNDING = "FUNDING"
    ADJUST = "ADJUST"
    DIVIDEND = "DIVIDEND"
    SPLIT = "SPLIT"
    FLOW = "FLOW"


TRADES = frozenset(
    {
        FillKind.TRADE,
        FillKind.LIQUIDATION,
        FillKind.ASSIGN,
        FillKind.EXERCISE,
        FillKind.EXPIRE,
        FillKind.SETTLE,
    }
)
NEEDS_REF = frozenset({FillKind.CORRECT, FillKind.BUST})
EXECUTIONS = TRADES | {FillKind.CORRECT}
_PAYMENTS = frozenset({FillKind.FEE, FillKind.FUNDING, FillKind.DIVIDEND, FillKind.FLOW})
ENDINGS = frozenset({FillKind.EXPIRE, FillKind.SETTLE})
_MONEY = frozenset({FillKind.FEE, FillKind.FUNDING, FillKind.ADJUST, FillKind.DIVIDEND, FillKind.FLOW})


class Fill(Message):
    """One execution: `quantity` units (above 0, the side gives the sign) at `price` each.

    `fee` is money paid (negative: a rebate) in `fee_currency`, by default the instrument's. `fill_id` is the
    venue's id of the execution and, with broker and account, identifies it for ever. `kind` says what else
    than a trade it is; `ref` is then the venue's id of the fill that it is about, of the same broker and
    account. `provisional`: the broker announced that it will still correct it. Unknown fields are kept in
    `model_extra` (up to 16), are stored, and do not take part in the content hash.
    """

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)
    __slots__ = (
        "_terms",
    )  # not among the fields: to look into those of a million fills is a quarter of a fold

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
    fee_currency: Asset = Field(default="", validate_default=False)
    executed_at: UtcText
    order_id: Id | None = None
    group_id: Id | None = None
    kind: FillKind = FillKind.TRADE
    ref: Id | None = None
    provisional: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.kind in EXECUTIONS:
            if self.quantity <= 0:
                raise ValueError(f"quantity must be above 0 (the side gives the sign), was {self.quantity}")
            if not self.instrument.allows_price(self.price):
                raise ValueError(f"price {self.price} is impossible for kind {self.instrument.kind.value}")
        elif self.quantity < 0:
            raise ValueError(f"quantity must be 0 or above, was {self.quantity}")
        if self.instrument.kind is Kind.CASH and self.kind not in _MONEY:
            raise ValueError(f"a fill of kind {self.kind.value} cannot be in cash")
        if self.kind is FillKind.SPLIT and not (self.quantity > 0 and self.price > 0):
            raise ValueError("a split turns every `price` units into `quantity` units: both above 0")
        if self.kind is FillKind.SPLIT and self.instrument.inverse:
            raise ValueError("an inverse contract cannot be split")
        if self.ref is None and self.kind in NEEDS_REF:
            raise ValueError(f"ref must name the fill that this {self.kind.value} is about")
        if self.ref == self.fill_id:
            raise ValueError("ref must name another fill, was its own fill_id")
        notional = EXACT.multiply(EXACT.multiply(self.quantity, abs(self.price)), self.instrument.multiplier)
        if notional > MAX_NOTIONAL:
            raise ValueError(f"quantity x price x multiplier is beyond {MAX_NOTIONAL:E}")
        if abs(self.fee) > MAX_NOTIONAL:
            raise ValueError(f"fee is beyond {MAX_NOTIONAL:E}")
        if self.kind not in _MONEY:
            self._check_fee(notional)
        extras = self.model_extra or {}
        if len(extras) > MAX_EXTRAS or len(canonical(extras)) > 2048:
            raise ValueError(f"has more than {MAX_EXTRAS} unknown fields or 2048 bytes of them")
        if not self.fee_currency:
            object.__setattr__(self, "fee_currency", self.instrument.currency)
        return self

    def _check_fee(self, notional: Decimal) -> None:
        """Refuse a fee that cannot be one. In a currency that is neither side of the contract any amount may be: what it
        is worth is not known here.
        """
        contract = self.instrument
        if self.fee_currency in ("", contract.currency):
            if self.fee > max(notional, 100 + 5 * self.quantity):  # options at 0.00 still cost a fee each
                raise ValueError(f"fee {self.fee} is above the fill's notional")
        elif self.fee_currency == contract.base and self.fee > self.quantity:
            raise ValueError(f"fee {self.fee} {contract.base} is above the units of the fill")

    @cached_property
    def key(self) -> str:
        """The document id of the fill: broker, account and the venue's id."""
        return document_id(self.broker, self.account, self.fill_id)

    @cached_property
    def text(self) -> str:
        """The fill as it is stored: canonical JSON, unknown fields included."""
        return canonical(self.model_dump(mode="json")).decode()

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the known fields in canonical form: equal for `1.0` and `1.00`, other for any other
        content.
        """
        fields = type(self).model_fields
        known = {name: value for name, value in orjson.loads(self.text).items() if name in fields}
        for name, usual in _SINCE_KINDS.items():  # a plain trade has the hash that it had without them
            if known[name] == usual:
                del known[name]
        for name, usual in _SINCE_INVERSE.items():
            if known["instrument"][name] == usual:
                del known["instrument"][name]
        return content_hash(known)

    @cached_property
    def signed_quantity(self) -> Decimal:
        """Units bought, negative when sold."""
        return self.quantity if self.side is Side.BUY else -self.quantity

    @property
    def is_payment(self) -> bool:
        """Tell whether it is money alone, and moves no units."""
        if self.kind is not FillKind.FEE:
            return self.kind in _PAYMENTS
        contract = self.instrument
        return not (self.price and self.fee_currency == contract.base != contract.currency)

    def moves(self, held: Decimal) -> Decimal:
        """Return the units, signed, by which the fill moves a position of `held` units: not always to its own side, where it
        ends what is held.
        """
        if self.kind not in ENDINGS or (self.model_extra or {}).get(ENDS) != HELD:
            return self.signed_quantity
        return -min(abs(held), self.quantity).copy_sign(held)

    @cached_property
    def order(self) -> Place:
        """The place of the fill in the fold: execution time, then key."""
        return (self.executed_at, self.key)

    @cached_property
    def position_key(self) -> str:
        """The key of the position that the fill is of."""
        return intern(position_key(self.strategy, self.instrument.symbol))  # one text for all fills of it

    @property
    def terms(self) -> Terms:
        """What the fold reads, in one look-up: place, signed units, price, fee, whether it is a plain trade (in an ordinary
        contract, with its fee in the settlement currency), and the key of its position.
        """
        try:
            return self._terms  # type: ignore[attr-defined, no-any-return]
        except AttributeError:
            contract = self.instrument
            plain = (
                self.kind is FillKind.TRADE
                and self.fee_currency == contract.currency
                and not contract.inverse
                and contract.base is None
            )
            terms = (self.order, self.signed_quantity, self.price, self.fee, plain, self.position_key)
            object.__setattr__(self, "_terms", terms)
            return terms

    def __repr__(self) -> str:
        kind = "" if self.kind is FillKind.TRADE else f"{self.kind} "
        what = f"{kind}{self.side} {self.quantity} {self.instrument.symbol} @ {self.price}"
        return f"Fill({self.key} {what} {utc_text(self.executed_at)})"
