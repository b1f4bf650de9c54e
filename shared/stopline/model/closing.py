"""A wish to close a trade, or all trades of a strategy: what an exit that triggered asks for."""

from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, model_validator

from stopline.model.decimals import ZERO, DecimalText
from stopline.model.ids import Id, Name
from stopline.model.text import Text
from stopline.model.times import UtcText
from stopline.model.wire import Message

CLOSE_REQUEST_TYPE: Final = "stopline.close_request.v1"
CLOSINGS_TOPIC: Final = "closings"  # of effects: carried out where they are committed, see service/outbox.py

Urgency = Literal["normal", "urgent"]
"""`normal` may wait for a limit price within the collar; `urgent` takes the market when that has failed."""


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise ValueError(f"must be 0 or more, was {value}")
    return value


class CloseRequest(Message):
    """Close a trade down to `leave` units, or, where no trade is named, all open trades of the strategy.

    `leave` is a level and no amount to sell: a request that comes twice or late closes nothing twice. It counts
    in units of the trade (spreads, shares, contracts; each leg keeps its part) and is 0 or more; of a whole
    strategy it is 0. `rule` is the exit that triggered, `cause` the id of the batch, sweep or person behind it.
    The same request has the same `request_id` for ever.
    """

    type: Literal["stopline.close_request.v1"] = CLOSE_REQUEST_TYPE
    request_id: Id
    account: Name
    strategy: Name
    trade_id: Id | None = None
    leave: Annotated[DecimalText, AfterValidator(_not_negative)] = ZERO
    urgency: Urgency = "normal"
    rule: Name
    reason: Text
    cause: Text
    requested_at: UtcText

    @model_validator(mode="after")
    def _strategies_close_whole(self) -> "CloseRequest":
        if self.trade_id is None and self.leave:
            raise ValueError("a whole strategy is closed to 0: name the trade to leave a part of it open")
        return self

    @property
    def scope(self) -> Literal["trade", "strategy"]:
        """What is closed."""
        return "strategy" if self.trade_id is None else "trade"
