"""The trading state of a scope: ACTIVE, REDUCING or HALTED, with an epoch that only grows."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from stopline.model.decimals import DecimalText
from stopline.model.ids import Id, Name
from stopline.model.text import Text
from stopline.model.times import UtcText
from stopline.model.wire import Message

GLOBAL = "global"


class TradingState(StrEnum):
    ACTIVE = "ACTIVE"  # everything within limits
    REDUCING = "REDUCING"  # only what reduces risk
    HALTED = "HALTED"  # nothing but cancels and our own closes

    @property
    def rank(self) -> int:
        """0 for ACTIVE to 2 for HALTED: of several scopes the highest rank holds."""
        return list(TradingState).index(self)


class ClosingStatus(StrEnum):
    CLOSING = "CLOSING"
    FLAT = "FLAT"


class CloseOrder(Message):
    """The close command that is out for one position."""

    command_id: Id
    round: int
    quantity: DecimalText
    expires_at: UtcText


class Closing(Message):
    """A flatten under way: it is FLAT only when the fills have made it so."""

    epoch: int
    status: ClosingStatus
    since: UtcText
    flat_at: UtcText | None = None
    book_revision: int = 0  # of the book that it was worked out from: an older one has nothing to say
    sent: int = 0  # close commands so far: their serial number, which no reopened position starts again
    orders: dict[str, CloseOrder] = Field(default_factory=dict)  # by position key


class Seen(Message):
    """A request that was carried out: the same id with the same content answers the same again."""

    hash: str
    epoch: int
    at: UtcText


class Control(Message):
    """The trading state of one scope (`global` or `account:NAME`)."""

    scope: Id
    state: TradingState = TradingState.ACTIVE
    epoch: int = 0
    previous: TradingState = TradingState.ACTIVE
    actor: Id = "nobody"
    reason: Text = ""
    request_id: Id = "none"
    since: UtcText | None = None
    flatten: bool = False
    closing: Closing | None = None
    seen: dict[str, Seen] = Field(default_factory=dict)


class ControlRequest(Message):
    """A wish to change the trading state. `request_id` makes it idempotent; the same id with other content is
    refused.
    """

    request_id: Id
    scope: Id
    action: Literal["kill", "pause", "resume"]
    flatten: bool = True  # kill only: cancel and close what is open
    actor: Id
    reason: Text = Field(min_length=1)
    expected_epoch: int | None = None  # resume: refused when the state has moved on


def account_scope(account: Name) -> str:
    """Return the scope of one account."""
    return f"account:{account}"


def effective(*controls: Control) -> tuple[TradingState, int]:
    """Return the state that holds under all scopes, and the epoch that commands carry: the sum, which only
    grows.
    """
    state = max((c.state for c in controls), key=lambda s: s.rank, default=TradingState.ACTIVE)
    return state, sum(c.epoch for c in controls)
