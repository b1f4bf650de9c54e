"""The messages between functions: sweeps, alerts, commands, history rows. Fills and prices have modules of
their own.
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from stopline.model.control import ControlRequest
from stopline.model.decimals import DecimalText, decimal_text, divide
from stopline.model.ids import Id, Name, Symbol, short_id
from stopline.model.instrument import Instrument
from stopline.model.scopes import ScopeText, scope_of
from stopline.model.text import Text
from stopline.model.times import UtcText
from stopline.model.wire import Message

SWEEP_TYPE: Final = "stopline.sweep.v1"
ALERT_TYPE: Final = "stopline.alert.v1"
COMMAND_TYPE: Final = "stopline.command.v1"
HISTORY_TYPE: Final = "stopline.history.v1"
HALT_TYPE: Final = "stopline.halt.v1"
CONTROL_TYPE: Final = "stopline.control.v1"
REPORT_TYPE: Final = "stopline.report.v1"

HALT_CANCEL_VALID: Final = timedelta(
    days=7
)  # a halt's cancel, however late: once trading goes on its epoch is over


class SweepKind(StrEnum):
    RISK = "risk"  # every account: outboxes, stale prices, limits, closings, heartbeat
    ACCOUNT = "account"  # one account, right after a fill
    SESSION_OPEN = "session_open"
    SESSION_CLOSE = "session_close"
    END_OF_DAY = "end_of_day"
    RECONCILE = "reconcile"  # books against fills and statements: all accounts, or one whose statement came


class Sweep(Message):
    """A scheduled or caused risk check. `account` is set for kinds `account` and `reconcile` only; `fills` are the keys of
    those that caused it.
    """

    type: Literal["stopline.sweep.v1"] = SWEEP_TYPE
    kind: SweepKind
    account: Name | None = None
    fills: tuple[str, ...] = ()


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


WIRE_PLACES: Final = 12


def _rounded(value: Any) -> Any:
    """Round what has more decimals than the wire takes: an alert that nobody can read tells nothing."""
    if not isinstance(value, Decimal) or len(decimal_text(value).partition(".")[2]) <= WIRE_PLACES:
        return value
    return divide(value, Decimal(1), WIRE_PLACES)


FigureText = Annotated[DecimalText, BeforeValidator(_rounded)]


class Figure(Message):
    """One number of an alert: `current` against `limit`, both in `unit` (a currency code, `%`, `units` or
    `s`).
    """

    current: FigureText | None  # None: UNKNOWN
    limit: FigureText | None = None
    unit: str = Field(max_length=16)


TREND: Final = 24  # readings of a small chart


class TrendPoint(Message):
    """One earlier reading of an alert's number, in the unit of its figure."""

    at: UtcText
    current: FigureText


MOOT: Final = "moot"  # the cause of an end that is no recovery: nothing hangs on it any more


class Alert(Message):
    """Something a person must know: what happened, to what, how much, what Stopline did, what to do.

    `trend`: the readings that led to the figure, oldest first, it being the last; empty where none are kept. `settings`: the
    version of the account's settings that it was decided by; None where none had a say.
    """

    type: Literal["stopline.alert.v1"] = ALERT_TYPE
    alert_id: Id
    account: Name | None = None  # None: for the operator
    kind: Name
    object: Text
    severity: Severity
    summary: Text
    action: Text = ""
    figure: Figure | None = None
    trend: tuple[TrendPoint, ...] = Field(default=(), max_length=TREND)
    cause: Text = ""  # id of the fill, batch, sweep or request that caused it
    settings: int | None = None
    raised_at: UtcText
    resolved: bool = False


class CommandAction(StrEnum):
    CANCEL_ALL = "cancel_all"
    CANCEL_ADDING = "cancel_adding"  # of working orders those that may add risk
    CLOSE = "close"


class CommandLeg(Message):
    """One leg of a command that closes several positions as a unit: `ratio` units of it for each unit. `group_id`, where
    given, belongs into its fills, in place of the command's.
    """

    instrument: Instrument
    side: Literal["BUY", "SELL"]
    ratio: DecimalText
    group_id: Id | None = None


class Command(Message):
    """An order to the broker adapter of an account. It never increases risk: `close` is reduce-only.

    `cancel_all` cancels the account's working orders; with `strategy`, `underlying` or `instrument` only that part's.
    `cancel_adding` cancels those of them that may make a position larger or turn it round; what can only reduce stays.

    The adapter drops a command whose `epoch` is below the account's, whose `command_id` it has executed, or
    whose `expires_at` has passed; and it never lets a close pass through zero. With `legs` the close is one order of
    `quantity` units, all legs or none: `instrument` and `side` are None, and `limit_price` is what a unit may cost at
    most (negative: must bring at least). `group_id`, where given, belongs into the fills: by it
    they are booked on the trade that is closed.
    """

    type: Literal["stopline.command.v1"] = COMMAND_TYPE
    command_id: Id
    account: Name
    action: CommandAction
    epoch: int = Field(ge=0, lt=2**53)
    strategy: Name | None = None
    underlying: Symbol | None = None
    instrument: Instrument | None = None
    side: Literal["BUY", "SELL"] | None = None
    quantity: DecimalText | None = None
    legs: tuple[CommandLeg, ...] = Field(default=(), max_length=16)
    order_type: Literal["MARKET", "LIMIT"] = "MARKET"
    limit_price: DecimalText | None = None
    reduce_only: Literal[True] = True
    group_id: Id | None = None
    reason: Text = ""
    issued_at: UtcText
    expires_at: UtcText

    def covers(self, strategy: str, instrument: Instrument) -> bool:
        """Tell whether a cancel is for an order of the account: each part that it names must be the order's."""
        return (
            self.strategy in (None, strategy)
            and self.underlying in (None, instrument.underlying)
            and (self.instrument is None or self.instrument.symbol == instrument.symbol)
        )

    @property
    def short_id(self) -> str:
        """The command's id in 20 letters and digits, for brokers whose tag of an order takes no more."""
        return short_id(self.command_id)

    def group_of(self, symbol: str) -> str | None:
        """Return the group id that belongs into the fills of an instrument."""
        own = (leg.group_id for leg in self.legs if leg.instrument.symbol == symbol and leg.group_id)
        return next(own, self.group_id)


class Halt(Message):
    """A kill that could not be stored, on the topic `orders`: the state is down, so it goes to the adapters directly.

    It has no epoch and is never fenced. An adapter of the scope adds no risk and cancels what works there, until a lease
    has shown it the scope HALTED (the kill is stored by then) or a person starts it anew.
    """

    type: Literal["stopline.halt.v1"] = HALT_TYPE
    halt_id: Id
    scope: ScopeText
    actor: Id
    reason: Text
    issued_at: UtcText

    def covers(self, strategy: str, instrument: Instrument) -> bool:
        """Tell whether it is for an order of one of its accounts."""
        scope = scope_of(self.scope)
        name = {"strategy": strategy, "underlying": instrument.underlying}.get(scope.kind)
        return name is None or name == scope.name


class ControlMessage(Message):
    """A change of the trading state on the topic `sweeps`, for when it could not be stored at once."""

    type: Literal["stopline.control.v1"] = CONTROL_TYPE
    request: ControlRequest


class ReportStatus(StrEnum):
    """What became of a command. After one of `FINAL` the broker does nothing more about it."""

    ACCEPTED = "accepted"
    PARTIAL = "partially_filled"
    FILLED = "filled"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FINAL: Final = frozenset(
    {ReportStatus.FILLED, ReportStatus.REJECTED, ReportStatus.CANCELLED, ReportStatus.EXPIRED}
)


class ExecutionReport(Message):
    """What a broker adapter says about a command, on the topic `fills`. Positions follow from fills alone.

    `filled`: units executed so far (of a command with legs: units of the whole); None where it is not known.
    `order_id`: the broker's order, where its fills name that instead of the command.
    """

    type: Literal["stopline.report.v1"] = REPORT_TYPE
    command_id: Id
    account: Name
    broker: Name
    status: ReportStatus
    reason: Text = ""
    order_id: Id | None = None
    filled: DecimalText | None = None
    reported_at: UtcText


class HistoryRow(Message):
    """One row for BigQuery: `event_id` is what the de-duplicating views keep one of."""

    table: Name
    event_id: Id
    row: dict[str, Any]


class History(Message):
    """Rows for BigQuery, at most 500."""

    type: Literal["stopline.history.v1"] = HISTORY_TYPE
    rows: tuple[HistoryRow, ...] = Field(min_length=1, max_length=500)


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to publish that is part of a committed document until it is known to be published.

    `topic` is one of our Pub/Sub topics; `body` is the message as plain JSON data. The id is deterministic,
    so that consumers can act once.
    """

    id: str
    topic: str
    account: str
    body: dict[str, Any]


def alert_effect(alert: Alert) -> Effect:
    """Return an alert as what publishes it."""
    return Effect(alert.alert_id, "alerts", alert.account or "", alert.model_dump(mode="json"))
