"""The closings of an account as they stand: what was asked for, and which commands are out. One document."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, model_validator

from stopline.model.closing import CloseRequest
from stopline.model.control import Closing
from stopline.model.decimals import ZERO, DecimalText, decimal_text, divide
from stopline.model.ids import Id, Name, digest, short_id
from stopline.model.instrument import Instrument
from stopline.model.messages import FINAL, ReportStatus
from stopline.model.text import Text
from stopline.model.times import UtcText
from stopline.model.wire import Message

OrderId = tuple[Text, Id]
"""A broker, and what it calls an order. Of what older versions stored the broker may be empty: nobody said."""


class RequestStatus(StrEnum):
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"  # the fills have proven it
    REFUSED = "REFUSED"  # what it names is not known
    ASTRAY = "ASTRAY"  # its commands were executed, and the book counts that for other trades
    RESUMED = "RESUMED"  # people have resumed what it was to close: it ends with what is open


def part_key(key: str, trade_id: str | None) -> str:
    """Return the key of what a command closes: a position, or what a trade has of it."""
    return key if trade_id is None else f"{key} {trade_id}"


class LegSplit(Message):
    """An open leg of the book, by the key of its first fill, and what all its splits have made of it: so many units (`new`)
    of so many (`old`). Numbers are texts of any length.
    """

    leg: str
    new: str = "1"
    old: str = "1"


class Asked(Message):
    """A close request, and how far it is. `waits`: why nothing can be sent now; empty when something can.

    `confirmed_at`: the moment of the brokers' statements, later than `ended_at`, that agree with what the fills have
    proven; `confirmed_by` names them. `turn_at`: when the turn of one came that goes after another.

    `request.leave`, `units` and `done` are in the units of the legs `splits`, by position key: as the book has them now.

    Of a trade: `units` had to go of each position when it was asked for, beside what commands that are kept had executed for
    the trade by then; the trade had `opened` so many, splits left out (what it opens later has to go as well), and
    `done` were executed by commands that are no longer kept.
    """

    request: CloseRequest
    status: RequestStatus = RequestStatus.CLOSING
    since: UtcText
    ended_at: UtcText | None = None
    confirmed_at: UtcText | None = None
    confirmed_by: Text = ""
    waits: Text = ""
    turn_at: UtcText | None = None
    units: dict[str, DecimalText] = Field(default_factory=dict)
    opened: dict[str, DecimalText] = Field(default_factory=dict)
    done: dict[str, DecimalText] = Field(default_factory=dict)
    splits: dict[str, LegSplit] = Field(default_factory=dict)

    @property
    def has_turn(self) -> bool:
        """Tell whether it waits for no other request."""
        return self.request.after is None or self.turn_at is not None

    @property
    def began_at(self) -> datetime:
        return self.turn_at or self.since


class SentLeg(Message):
    """One position in a command: how much was asked for, at which prices, and what the fills say. Where it is what a trade
    has of the position: `trade_id`, and the `group_id` by which fills name that.

    `mark` is the middle of the quote when the command was made; it, `bid`, `ask` and `iv` are None where there was no
    usable price; `quoted_at` says of when that price was. `worth`: sum of quantity x price of the fills, in points.
    Units and prices are those of now: since the command was issued, `split[0]` units became of `split[1]`.
    """

    key: str
    instrument: Instrument
    side: Literal["BUY", "SELL"]
    quantity: DecimalText
    bid: DecimalText | None = None
    ask: DecimalText | None = None
    mark: DecimalText | None = None
    iv: DecimalText | None = None
    quoted_at: UtcText | None = None
    filled: DecimalText = ZERO
    worth: DecimalText = ZERO
    fees: DecimalText = ZERO
    fills: int = 0
    first_fill_at: UtcText | None = None
    last_fill_at: UtcText | None = None
    trade_id: Id | None = None
    group_id: Id | None = None
    astray: bool = False  # a fill of it did not name the trade: the book may count it for another
    split: tuple[str, str] = ("1", "1")

    @property
    def part(self) -> str:
        """The key of what the command closes of it."""
        return part_key(self.key, self.trade_id)


class _Named(Message):
    """An order of ours, and what brokers have called it: each broker of an account may carry out a command, under one number
    or more.
    """

    order_ids: tuple[OrderId, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_the_last_broker(cls, data: Any) -> Any:
        """Read what a version stored that kept one number, of the broker that had told one last."""
        if not isinstance(data, dict) or "order_id" not in data:
            return data
        known = {name: value for name, value in data.items() if name in cls.model_fields}
        id_, broker = data["order_id"], data.get("broker") or ""
        return {**known, "order_ids": [(broker, id_)] if id_ else []}

    def names(self, command_id: str, broker: str | None = None) -> set[str]:
        """Return what brokers may call the order of a command, or one of them: what it was sent under, and the numbers."""
        numbers = {id_ for where, id_ in self.order_ids if broker is None or where in ("", broker)}
        return {command_id, short_id(command_id)} | numbers


class Sent(_Named):
    """A close command that went out. `status` is the broker's last word (None: none yet), `ended_at` when it was over.

    `next_at`: when the next may go where it fails; None: not noted, after the usual time.
    `cancelled_at`: when a halt's `cancel_all` that covers all its legs went out; None: none has.
    `trading`: whether the account's market was open then; None: not noted. `logged`: fills that its row of
    the execution log knows; -1 before there is one; `logged_as`: what that row says of them; `revision`: rows so far.
    """

    command_id: Id
    requests: tuple[str, ...] = ()  # ids of what asked for it; empty: only a halt
    halted: bool = False  # a halt was among what wanted it
    strategy: Name
    epoch: int
    round: int
    units: DecimalText
    legs: tuple[SentLeg, ...]
    order_type: Literal["MARKET", "LIMIT"]
    limit_price: DecimalText | None = None
    group_id: Id | None = None
    reason: Text = ""
    trading: bool | None = None
    issued_at: UtcText
    expires_at: UtcText
    next_at: UtcText | None = None
    cancelled_at: UtcText | None = None
    status: ReportStatus | None = None
    error: Text = ""
    broker: Name | None = None  # of the last report or fill
    reported: DecimalText | None = None  # units that the broker says it has executed
    reported_at: UtcText | None = None
    ended_at: UtcText | None = None
    logged: int = -1
    logged_as: str = ""
    revision: int = 0

    @property
    def known_as(self) -> set[str]:
        """The names under which brokers may list its order, and fills may name it."""
        return self.names(self.command_id)

    @property
    def is_final(self) -> bool:
        """Tell whether the broker has said that it does nothing more about it."""
        return self.status in FINAL

    @property
    def is_filled(self) -> bool:
        """Tell whether the fills have executed all of it."""
        return all(leg.filled >= leg.quantity for leg in self.legs)

    @property
    def fills(self) -> int:
        return sum(leg.fills for leg in self.legs)

    @property
    def executed(self) -> str:
        """Return a text that changes with what the fills say: a correction changes no number of fills."""
        parts = ((str(leg.fills), *map(decimal_text, (leg.filled, leg.worth, leg.fees))) for leg in self.legs)
        return digest(*(text for part in parts for text in part))

    def told(self, leg: SentLeg) -> Decimal:
        """Return how many units of a leg the broker says it has executed, 0 where it says nothing."""
        return ZERO if self.reported is None else divide(self.reported * leg.quantity, self.units)


class Over(_Named):
    """A close command that is over and forgotten but for its names. `until`: an order that a broker lists under them, asked
    for no later than that, is this one's.
    """

    until: UtcText


class Tries(Message):
    """Commands for one position that did not close it, and when the next may go."""

    count: int
    next_at: UtcText
    error: Text = ""


class ClosingState(Message):
    """All closings of one account. `halt` is the flatten of its trading state, if there ever was one.

    `stuck`: people were told that positions stay open although they were told to close, and not that this is over.
    """

    account: Name
    halt: Closing | None = None
    asked: dict[str, Asked] = Field(default_factory=dict)  # by request id
    sent: dict[str, Sent] = Field(
        default_factory=dict
    )  # by command id: those out, and those over for a short time
    over: dict[str, Over] = Field(default_factory=dict)  # by command id: the newest of those before
    tries: dict[str, Tries] = Field(default_factory=dict)  # by position, or what a trade has of it
    told: dict[str, UtcText] = Field(default_factory=dict)  # what people were told, so that it is told once
    serial: int = 0  # of commands
    stuck: bool = False
    book_revision: int = 0  # of the book that it was worked out from: an older one has nothing to say

    @property
    def open_requests(self) -> list[Asked]:
        return [asked for asked in self.asked.values() if asked.status is RequestStatus.CLOSING]

    @property
    def astray(self) -> list[Asked]:
        """The requests that end when the book comes to show what was executed."""
        return [asked for asked in self.asked.values() if asked.status is RequestStatus.ASTRAY]

    @property
    def unconfirmed(self) -> list[Asked]:
        """The requests that the fills have closed, and no statement of the brokers since."""
        closed = (asked for asked in self.asked.values() if asked.status is RequestStatus.CLOSED)
        return [asked for asked in closed if asked.confirmed_at is None]
