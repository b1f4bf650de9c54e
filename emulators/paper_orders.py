"""What the paper broker works on: orders and commands as tickets, what became of them, and how it may misbehave."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from stopline.model.fill import DEFAULT_STRATEGY, Fill, Side
from stopline.model.instrument import Instrument
from stopline.model.messages import Command
from stopline.model.scopes import Scope


class Status(StrEnum):
    FILLED = "filled"
    WORKING = "working"  # all or a part waits for a price
    REFUSED = "refused"
    DROPPED = "dropped"  # a command that must not be executed, or not any more
    DUPLICATE = "duplicate"  # seen before: nothing was done
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Order:
    """What a trader sends. `limit` None: at the market. `order_id` is never executed twice."""

    order_id: str
    account: str
    instrument: Instrument
    side: Side
    quantity: Decimal
    strategy: str = DEFAULT_STRATEGY
    limit: Decimal | None = None
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an order or command so far, with the reason in one line and its executions."""

    id: str
    status: Status
    reason: str = ""
    fills: tuple[Fill, ...] = ()


@dataclass(slots=True)
class Misbehaviour:
    """Ways to be a bad broker, for tests. Each counter runs down as it is used."""

    reject: int = 0  # refuse so many orders or commands
    twice: int = 0  # report so many fills twice
    renamed: int = 0  # report so many fills once more, under another id
    late: timedelta = timedelta(0)  # report fills so much after their execution
    most: Decimal | None = None  # fill at most so many units a price: the rest waits for the next one
    deaf: int = 0  # ignore so many cancels
    overdue: bool = False  # go on with commands that have expired
    apart: int = 0  # execute so many spreads leg by leg, the long leg first, the rest at the next price
    silent: bool = False  # report nothing about commands


@dataclass(frozen=True, slots=True)
class Ticket:
    """What is left of an order, or of a command: that is reduce-only and asks for no trading state."""

    id: str
    account: str
    strategy: str
    instrument: Instrument
    side: Side
    left: Decimal
    limit: Decimal | None
    group_id: str | None = None
    expires_at: datetime | None = None
    command: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """The position that it changes."""
        return self.account, self.strategy, self.instrument.symbol

    def is_meant_by(self, command: Command) -> bool:
        """Tell whether a cancel is for it."""
        return self.account == command.account and command.covers(self.strategy, self.instrument)

    def is_in(self, scope: Scope) -> bool:
        """Tell whether a scope of the trading state has it."""
        parts = {"strategy": self.strategy, "underlying": self.instrument.underlying}
        return scope.account in ("", self.account) and scope.name in ("", parts.get(scope.kind, ""))


@dataclass(frozen=True, slots=True)
class Due:
    """A fill to publish, not before a moment."""

    fill: Fill
    release_at: datetime
