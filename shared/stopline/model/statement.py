"""Statements: what a broker says an account holds, and what it says the account is worth and binds."""

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from stopline.model.decimals import DecimalText
from stopline.model.ids import Currency, Id, Name, Symbol
from stopline.model.order import WorkingOrder
from stopline.model.text import Text
from stopline.model.times import UtcText
from stopline.model.wire import Message

STATEMENT_TYPE: Final = "stopline.statement.v1"
MAX_HOLDINGS = 2_000
MAX_WORKING = 500


class Holding(Message):
    """One line of a statement. `quantity` is signed: negative when short.

    `average_price` is a unit's, in the instrument's currency, without the multiplier; None where the broker tells
    none. `currency` and `multiplier` say what contract the broker means, where it says so.
    """

    symbol: Symbol
    quantity: DecimalText
    average_price: DecimalText | None = None
    currency: Currency | None = None
    multiplier: DecimalText | None = None


class Statement(Message):
    """The positions of one account at one broker at `as_of`.

    `complete`: every open position is in it, so that what is missing is flat there. A read that failed, or gave a
    part, is sent with `complete` false and why in `problem`: it never says that anything is flat. `unread` are lines
    that name no instrument that could be read. `equity` and `margin` (bound now) are the broker's own numbers, in
    `currency`: they are shown beside ours and never replace them. `working`: every order that may still be executed there;
    None where that was not asked; one of several legs is in it leg by leg. `working_as_of`: when it was, if not at `as_of`.
    """

    type: Literal["stopline.statement.v1"] = STATEMENT_TYPE
    statement_id: Id
    broker: Name
    account: Name
    as_of: UtcText
    complete: Annotated[bool, Field(strict=True)] = True
    positions: tuple[Holding, ...] = Field(default=(), max_length=MAX_HOLDINGS)
    unread: tuple[Text, ...] = Field(default=(), max_length=100)
    problem: Text = ""
    currency: Currency | None = None
    equity: DecimalText | None = None
    margin: DecimalText | None = None
    working: Annotated[tuple[WorkingOrder, ...], Field(max_length=MAX_WORKING)] | None = None
    working_as_of: UtcText | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if len({holding.symbol for holding in self.positions}) != len(self.positions):
            raise ValueError("positions names a symbol twice: add them up")
        if self.currency is None and not (self.equity is None and self.margin is None):
            raise ValueError("equity and margin need the currency that they are in")
        legs = [
            (o.order_id, o.instrument.symbol, o.side) for o in self.working or () if o.order_id is not None
        ]
        if len(set(legs)) != len(legs):
            raise ValueError("working names a leg of an order twice")
        return self

    @property
    def orders_at(self) -> datetime | None:
        """When its working orders were asked for; None where they were not."""
        return None if self.working is None else self.working_as_of or self.as_of

    @property
    def tells_all(self) -> bool:
        """Whether what is not in it is flat at the broker."""
        return self.complete and not self.unread
