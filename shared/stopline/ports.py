"""What the services need from the world. One contract suite holds every adapter to these words."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Protocol

from stopline.model.errors import StoplineError, Transient
from stopline.model.messages import Alert, HistoryRow
from stopline.rules.alerting.around import ALONE, Around

# --- store
# -------------------------------------------------------------------------------------------------------

Data = dict[str, Any]  # str, int, bool, None and aware datetimes; money and nested state travel as JSON text
Version = Any  # opaque; equal when nothing was written in between


class _ServerTime:
    def __repr__(self) -> str:
        return "SERVER_TIME"


SERVER_TIME: Final = _ServerTime()  # as a field's value: the moment of the commit, by the store's clock


@dataclass(frozen=True, slots=True)
class Path:
    """Where a document is. `id` may be any text made by `document_id`."""

    collection: str
    id: str

    def __str__(self) -> str:
        return f"{self.collection}/{self.id}"


@dataclass(frozen=True, slots=True)
class Document:
    path: Path
    data: Data
    version: Version


@dataclass(frozen=True, slots=True)
class Create:
    """Write a document that must not exist."""

    path: Path
    data: Data


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the given fields of a document that is still at `version`."""

    path: Path
    data: Data
    version: Version


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole document, whatever was there. For records whose content the id determines."""

    path: Path
    data: Data


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a document, if it is still at `version` where one is given."""

    path: Path
    version: Version | None = None


Write = Create | Update | Put | Delete


@dataclass(frozen=True, slots=True)
class Where:
    """One condition of a query. Documents without the field, or with None in it, match no inequality."""

    field: str
    op: Literal["==", "<", "<=", ">", ">="]
    value: Any


class AlreadyExists(StoplineError):
    """A Create found its document there: nothing of the batch was written."""


class Conflict(Transient):
    """An Update or Delete found another version, or any write too much contention: nothing of the batch was written."""


class Unavailable(Transient):
    """The dependency did not answer. For a commit or publish the outcome is unknown: only a replay resolves
    it. `published`: by their indices, the messages of a publish that are out all the same.
    """

    def __init__(self, *why: object, published: Iterable[int] = ()) -> None:
        super().__init__(*why)
        self.published = frozenset(published)


class Store(Protocol):
    """Documents with versions and atomic batches."""

    def get(self, path: Path) -> Document | None:
        """Read one document; None when it does not exist. Raises Unavailable, never returns None for a failed
        read.
        """

    def get_all(self, paths: Sequence[Path]) -> list[Document | None]:
        """Read many documents as they were at one moment, in the order of the paths."""

    def commit(self, writes: Sequence[Write]) -> list[Version]:
        """Apply all writes or none; return the new version of each (None for a Delete).

        Raises AlreadyExists or Conflict (nothing was written) or Unavailable (outcome unknown). At most 500
        writes and 3 MiB.
        """

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        order_by: Sequence[str] = (),
        limit: int | None = None,
    ) -> list[Document]:
        """Return the documents that match all conditions, ordered by the fields and then by id. `-field`: the other way
        round, and what comes after it by default too.
        """


# --- bus
# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish. `key` orders messages of one account where the topic is ordered."""

    topic: str
    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    key: str = ""


class Bus(Protocol):
    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        """Publish all and wait until the broker has them; return their message ids. Raises Unavailable if any
        failed.
        """


# --- history
# -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row that the history refused for what it is; it would be refused again."""

    event_id: str
    table: str
    reason: str


class Kept(NamedTuple):
    """How many rows a history has of one event, and with how many different contents. More rows are usual, more contents
    are not.
    """

    event_id: str
    rows: int
    contents: int


class History(Protocol):
    def append(self, rows: Sequence[HistoryRow], at: datetime) -> list[RowFault]:
        """Append rows, at least once; return those refused for their content. Raises Unavailable when none
        can be told.
        """

    def read(self, table: str, where: Sequence[Where]) -> list[dict[str, Any]]:
        """Return the rows of a table that match all conditions, one per event id, the last one appended.

        Columns as Decimal, date, UTC datetime, int or str; None where a row has none. Raises Unavailable.
        """

    def kept(self, table: str, where: Sequence[Where]) -> list[Kept]:
        """Return what a table has of each event whose rows match all conditions. Raises Unavailable."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a query; `{dataset}` in the text stands for the dataset."""


# --- channels
# ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a provider took a message: its id and its word."""

    provider_id: str
    status: str


class ChannelRefused(StoplineError):
    """The provider will not take this message for this address, now or later (opted out, webhook deleted)."""


class ChannelBusy(Transient):
    """The provider asked to wait, or failed before it took the message."""

    def __init__(self, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Channel(Protocol):
    name: str

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        """Hand one alert to one address. Raises ChannelRefused or ChannelBusy; a time-out is ChannelBusy."""


# --- beacon


class Beacon(Protocol):
    def beat(self, ok: bool) -> None:
        """Show somebody outside that the round was run. Never raises."""


# --- time
# --------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, in UTC."""

    def ticks(self) -> float:
        """Seconds since some moment, which only grow, also where the clock is set back: for how long something holds."""

    def pause(self, attempt: int) -> None:
        """Wait before try `attempt` + 1 (0-based): exponential with full jitter, at most a second or so."""


# --- many at once
# --------------------------------------------------------------------------------------------------------


class Each(Protocol):
    def __call__(self, work: Callable[[str], None], names: Sequence[str], /) -> None:
        """Call with each name, begin in their order, and return when all calls have ended."""


def in_turn(work: Callable[[str], None], names: Sequence[str], /) -> None:
    """Call with one name after the other."""
    for name in names:
        work(name)
