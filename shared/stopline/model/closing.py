"""A wish to close something: what an exit that triggered, a breaker or a person asks for."""

from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, model_validator

from stopline.model.decimals import ZERO, DecimalText
from stopline.model.ids import Id, Name, Symbol
from stopline.model.settings.closing import By
from stopline.model.text import Text
from stopline.model.times import UtcText
from stopline.model.wire import Message

CLOSE_REQUEST_TYPE: Final = "stopline.close_request.v1"
REDUCTIONS_TOPIC: Final = "reductions"  # the same, for what is to be reduced
CLOSINGS_TOPIC: Final = (
    "closings"  # of effects: carried out where they are committed, see service/documents/outbox.py
)

Urgency = Literal["normal", "urgent", "now"]
"""`normal` waits for a limit price within the collar, which widens; `urgent` takes the market when that has failed;
`now` takes it at once.
"""
URGENCIES: Final[tuple[Urgency, ...]] = ("normal", "urgent", "now")


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise ValueError(f"must be 0 or more, was {value}")
    return value


class CloseRequest(Message):
    """Close what is named: a trade, a position (a symbol, of a strategy or of all), an underlying, a strategy, or,
    where nothing is named, the whole account.

    `leave` is a level and no amount to sell: a request that comes twice or late closes nothing twice. It counts
    in units of the trade (spreads, shares, contracts; each leg keeps its part) or of the position, and is 0 or more;
    anything else is closed to 0. `rule` is the exit that triggered, `cause` the id of the batch, sweep or person
    behind it. The same request has the same `request_id` for ever. `until_resume`: it ends when people resume what it names;
    what an exit or a breaker asks for, and no person. `after`: the id of the request that goes before it in a plan.
    """

    type: Literal["stopline.close_request.v1"] = CLOSE_REQUEST_TYPE
    request_id: Id
    account: Name
    strategy: Name | None = None
    underlying: Symbol | None = None
    symbol: Symbol | None = None
    trade_id: Id | None = None
    leave: Annotated[DecimalText, AfterValidator(_not_negative)] = ZERO
    urgency: Urgency = "normal"
    rule: Name
    reason: Text
    cause: Text
    requested_at: UtcText
    until_resume: bool = False
    after: Id | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> "CloseRequest":
        if self.leave and self.trade_id is None and (self.symbol is None or self.strategy is None):
            raise ValueError(
                f"all of {self.scope} is closed to 0: name the trade, or strategy and symbol, to leave a part open"
            )
        if self.trade_id is not None and (self.symbol or self.underlying):
            raise ValueError("a trade is closed with all its legs: leave out symbol and underlying")
        return self

    @property
    def scope(self) -> Literal["trade", "position", "underlying", "strategy", "account"]:
        """What is closed: the narrowest thing that is named."""
        if self.trade_id is not None:
            return "trade"
        if self.symbol is not None:
            return "position"
        if self.underlying is not None:
            return "underlying"
        return "account" if self.strategy is None else "strategy"

    @property
    def object(self) -> str:
        """What is closed, for people."""
        parts = (self.trade_id, self.symbol, self.underlying, self.strategy)
        return next((part for part in parts if part), self.account)


class ReductionRequest(Message):
    """A wish to reduce an account now. `name`: the limit or breaker that asks; `target` in money of the account."""

    type: Literal["stopline.reduction.v1"] = "stopline.reduction.v1"
    request_id: Id
    account: Name
    name: Name
    by: By
    target: DecimalText
    reason: Text
    cause: Text
