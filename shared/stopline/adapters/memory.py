"""The ports in memory: for the embedded mode, replay and the simulator. Faithful to Firestore where it matters."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from stopline.model.errors import Rejected, Transient
from stopline.model.messages import HistoryRow
from stopline.ports import (
    SERVER_TIME,
    AlreadyExists,
    Conflict,
    Create,
    Data,
    Delete,
    Document,
    Outgoing,
    Path,
    Put,
    RowFault,
    Update,
    Version,
    Where,
    Write,
)

MAX_WRITES = 500
MAX_COMMIT_BYTES = 3 * 1024 * 1024
MAX_DOCUMENT_BYTES = 1024 * 1024 - 89
_OPS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class MemoryStore:
    """Documents with versions, in a dict. Checks what Firestore checks: ids, field types, sizes, preconditions."""

    def __init__(self) -> None:
        self._documents: dict[str, dict[str, tuple[Data, int]]] = defaultdict(dict)
        self._commits = 0
        self._lock = threading.RLock()

    def get(self, path: Path) -> Document | None:
        with self._lock:
            found = self._documents[path.collection].get(path.id)
            return Document(path, dict(found[0]), found[1]) if found else None

    def get_all(self, paths: Sequence[Path]) -> list[Document | None]:
        with self._lock:
            return [self.get(path) for path in paths]

    def commit(self, writes: Sequence[Write]) -> list[Version]:
        _check_batch(writes)
        with self._lock:
            for write in writes:
                self._check_precondition(write)
            self._commits += 1
            moment = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=self._commits)
            return [self._apply(write, moment) for write in writes]

    def query(
        self, collection: str, where: Sequence[Where] = (), order_by: Sequence[str] = (), limit: int | None = None
    ) -> list[Document]:
        with self._lock:
            found = [
                Document(Path(collection, id_), dict(data), version)
                for id_, (data, version) in self._documents[collection].items()
                if all(_matches(data, condition) for condition in where)
                and all(data.get(name) is not None for name in order_by)
            ]
        found.sort(key=lambda d: (*(d.data[name] for name in order_by), d.path.id))
        return found[:limit]

    def _check_precondition(self, write: Write) -> None:
        found = self._documents[write.path.collection].get(write.path.id)
        match write:
            case Create() if found:
                raise AlreadyExists(str(write.path))
            case Update(version=version) if not found or found[1] != version:
                raise Conflict(f"{write.path} is not at version {version}")
            case Delete(version=version) if version is not None and (not found or found[1] != version):
                raise Conflict(f"{write.path} is not at version {version}")

    def _apply(self, write: Write, moment: datetime) -> Version:
        documents = self._documents[write.path.collection]
        if isinstance(write, Delete):
            documents.pop(write.path.id, None)
            return None
        data = {name: moment if value is SERVER_TIME else value for name, value in write.data.items()}
        if isinstance(write, Update):
            data = {**documents[write.path.id][0], **data}
        documents[write.path.id] = (data, self._commits)
        return self._commits


def _matches(data: Data, condition: Where) -> bool:
    value = data.get(condition.field)
    if condition.op == "==":
        return condition.field in data and value == condition.value
    return value is not None and _OPS[condition.op](value, condition.value)


def _check_batch(writes: Sequence[Write]) -> None:
    """Refuse what Firestore would refuse, so that a test in memory cannot pass what production fails."""
    if not 0 < len(writes) <= MAX_WRITES:
        raise ValueError(f"a commit takes 1 to {MAX_WRITES} writes, was {len(writes)}")
    total = 0
    for write in writes:
        check_path(write.path)
        if not isinstance(write, Delete):
            size = check_data(write.data, write.path)
            total += size
    if total > MAX_COMMIT_BYTES:
        raise Transient(f"commit of {total} bytes is above {MAX_COMMIT_BYTES}")


def check_path(path: Path) -> None:
    """Refuse ids that Firestore refuses, or that would land in a nested document."""
    for part in (path.collection, path.id):
        size = len(part.encode("utf-8"))
        if not part or "/" in part or part in (".", "..") or size > 1500 or (part[:2] == part[-2:] == "__"):
            raise Rejected("BAD_DOCUMENT_ID", f"{part[:60]!r} cannot be a document id")


def check_data(data: Data, path: Path) -> int:
    """Refuse field values that Firestore cannot hold or that we never store; return the size in bytes."""
    size = 0
    for name, value in data.items():
        if isinstance(value, str):
            length = len(value.encode("utf-8"))
        elif isinstance(value, bool) or value is None or value is SERVER_TIME:
            length = 1
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise ValueError(f"{path}.{name} is beyond 64 bits")
            length = 8
        elif isinstance(value, datetime):
            if value.tzinfo is None:
                raise TypeError(f"{path}.{name} is a time without a zone")
            length = 8
        else:
            raise TypeError(f"{path}.{name} cannot hold {type(value).__name__}")
        size += len(name) + 1 + length
    if size > MAX_DOCUMENT_BYTES:
        raise Transient(f"{path} would have {size} bytes, the most is {MAX_DOCUMENT_BYTES}")
    return size


class MemoryBus:
    """Topics that hand messages to subscribers one after another, in the order of publishing, when `run` is called."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Callable[[Outgoing, str, int], None]]] = defaultdict(list)
        self._queue: deque[tuple[Outgoing, str, int, Callable[[Outgoing, str, int], None]]] = deque()
        self._ids = 0
        self.dead: list[tuple[Outgoing, str]] = []
        self.published: dict[str, int] = defaultdict(int)
        self._lock = threading.RLock()
        self.attempts = 5

    def subscribe(self, topic: str, handler: Callable[[Outgoing, str, int], None]) -> None:
        """Call `handler(message, message id, delivery attempt)` for each message of a topic; an exception is a nack."""
        self._subscribers[topic].append(handler)

    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        ids = []
        with self._lock:
            for message in messages:
                self._ids += 1
                ids.append(str(self._ids))
                self.published[message.topic] += 1
                for handler in self._subscribers[message.topic]:
                    self._queue.append((message, str(self._ids), 1, handler))
        return ids

    def run(self) -> int:
        """Deliver until nothing is left; return the number of deliveries."""
        deliveries = 0
        while True:
            with self._lock:
                if not self._queue:
                    return deliveries
                message, id_, attempt, handler = self._queue.popleft()
            deliveries += 1
            try:
                handler(message, id_, attempt)
            except Exception:  # noqa: BLE001 - as Pub/Sub: whatever went wrong, deliver again, then the dead letter
                if attempt >= self.attempts:
                    self.dead.append((message, id_))
                else:
                    self._queue.append((message, id_, attempt + 1, handler))


class MemoryHistory:
    """Rows in lists by table, with the view that keeps one row per event id."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def append(self, rows: Sequence[HistoryRow], at: datetime) -> list[RowFault]:
        for row in rows:
            self.rows[row.table].append({"event_id": row.event_id, "ingested_at": at, **row.row})
        return []

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        raise NotImplementedError("the embedded mode keeps rows but has no SQL: use `latest`")

    def latest(self, table: str) -> list[dict[str, Any]]:
        """Return one row per event id, the last one appended."""
        return list({row["event_id"]: row for row in self.rows[table]}.values())
