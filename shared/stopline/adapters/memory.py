"""The ports in memory: for the embedded mode, replay and the simulator.

Held to Firestore's, Pub/Sub's and BigQuery's behaviour by the contract suite; what still differs stands in
tests/contract/differences.py.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from stopline.adapters.checks import (
    check_batch,
    check_data,
    check_message,
    check_path,
    check_query,
    sort_fields,
)
from stopline.adapters.schemas import check_condition, record, typed
from stopline.model.messages import HistoryRow
from stopline.model.wire import content_hash
from stopline.ports import (
    SERVER_TIME,
    AlreadyExists,
    Conflict,
    Create,
    Data,
    Delete,
    Document,
    Kept,
    Outgoing,
    Path,
    RowFault,
    Update,
    Version,
    Where,
    Write,
)

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_OPS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class MemoryStore:
    """Documents with versions, in a dict, that refuses what Firestore refuses.

    As in production a write that changes nothing keeps the version, and SERVER_TIME has milliseconds, so that
    two commits may carry the same.
    """

    def __init__(self) -> None:
        self._documents: dict[str, dict[str, tuple[Data, int]]] = defaultdict(dict)
        self._commits = 0
        self._lock = threading.RLock()

    def get(self, path: Path) -> Document | None:
        check_path(path)
        with self._lock:
            found = self._documents[path.collection].get(path.id)
            return Document(path, dict(found[0]), found[1]) if found else None

    def get_all(self, paths: Sequence[Path]) -> list[Document | None]:
        with self._lock:
            return [self.get(path) for path in paths]

    def commit(self, writes: Sequence[Write]) -> list[Version]:
        check_batch(writes)
        with self._lock:
            for write in writes:
                self._check_precondition(write)
            self._commits += 1
            moment = _EPOCH + timedelta(milliseconds=self._commits // 2)
            return [self._apply(write, moment) for write in writes]

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        order_by: Sequence[str] = (),
        limit: int | None = None,
    ) -> list[Document]:
        check_query(collection, where, order_by, limit)
        if not self._documents[collection]:
            return []
        fields = sort_fields(where, order_by)
        with self._lock:
            found = [
                Document(Path(collection, id_), dict(data), version)
                for id_, (data, version) in self._candidates(collection, where)
                if all(_matches(data, condition) for condition in where)
                and all(name.removeprefix("-") in data for name in fields)
            ]
        _sort(found, fields)
        return found[:limit]

    def _candidates(self, collection: str, where: Sequence[Where]) -> list[tuple[str, tuple[Data, int]]]:
        """Return the documents that have a value where the first condition asks for one: mostly few of many."""
        documents = self._documents[collection].items()
        if not where or where[0].value is None:
            return list(documents)
        name = where[0].field
        return [item for item in documents if item[1][0].get(name) is not None]

    def _check_precondition(self, write: Write) -> None:
        found = self._documents[write.path.collection].get(write.path.id)
        match write:
            case Create() if found:
                raise AlreadyExists(str(write.path))
            case Update(version=version) if not found or found[1] != version:
                raise Conflict(f"{write.path} is not at version {version}")
            case Update(data=data) if found:
                check_data({**found[0], **data}, write.path)
            case Delete(version=version) if version is not None and (not found or found[1] != version):
                raise Conflict(f"{write.path} is not at version {version}")

    def _apply(self, write: Write, moment: datetime) -> Version:
        documents = self._documents[write.path.collection]
        if isinstance(write, Delete):
            documents.pop(write.path.id, None)
            return None
        data = {name: moment if value is SERVER_TIME else value for name, value in write.data.items()}
        before, version = documents.get(write.path.id, (None, 0))
        if isinstance(write, Update):
            data = {**(before or {}), **data}
        if data != before:
            version = self._commits
            documents[write.path.id] = (data, version)
        return version


def _sort(found: list[Document], fields: Sequence[str]) -> None:
    """Order documents by fields and then by id; by one with a minus the other way round, by the id as by the last field."""
    if not any(name.startswith("-") for name in fields):
        found.sort(key=lambda d: (*((_rank(d.data[name]), d.data[name]) for name in fields), d.path.id))
        return
    found.sort(key=lambda d: d.path.id, reverse=fields[-1].startswith("-"))
    for name in reversed(fields):
        field = itemgetter(name.removeprefix("-"))
        found.sort(
            key=lambda d, field=field: (_rank(field(d.data)), field(d.data)),  # type: ignore[misc]
            reverse=name.startswith("-"),
        )


def _matches(data: Data, condition: Where) -> bool:
    """Compare as Firestore does: only values of one type, and a missing field matches nothing."""
    if condition.field not in data:
        return False
    value = data[condition.field]
    return _rank(value) == _rank(condition.value) and _OPS[condition.op](value, condition.value)


def matching(table: str, rows: Iterable[Mapping[str, Any]], where: Sequence[Where]) -> list[dict[str, Any]]:
    """Return those rows of a history table that match all conditions, with the types of its columns."""
    for condition in where:
        check_condition(table, condition)
    found = [typed(table, row) for row in rows]
    return [
        row
        for row in found
        if all(row[c.field] is not None and _OPS[c.op](row[c.field], c.value) for c in where)
    ]


def _rank(value: Any) -> int:
    """Return where a value's type stands in Firestore's order of types."""
    match value:
        case None:
            return 0
        case bool():
            return 1
        case int():
            return 2
        case datetime():
            return 3
    return 4


class MemoryBus:
    """Topics that hand messages to subscribers, in the order of publishing, when `run` is called."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Callable[[Outgoing, str, int], None]]] = defaultdict(list)
        self._queue: deque[tuple[Outgoing, str, int, Callable[[Outgoing, str, int], None]]] = deque()
        self._ids = 0
        self.dead: list[tuple[Outgoing, str]] = []
        self.published: dict[str, int] = defaultdict(int)
        self._lock = threading.RLock()
        self.attempts = 5
        self.faults: list[Exception] = []  # why deliveries were not acknowledged

    def subscribe(self, topic: str, handler: Callable[[Outgoing, str, int], None]) -> None:
        """Call `handler(message, id, attempt)` for each message of a topic; an exception is a nack."""
        self._subscribers[topic].append(handler)

    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        ids = []
        for message in messages:
            check_message(message)
        with self._lock:
            for message in messages:
                self._ids += 1
                ids.append(str(self._ids))
                self.published[message.topic] += 1
                for handler in self._subscribers[message.topic]:
                    self._queue.append((message, str(self._ids), 1, handler))
        return ids

    def pending(self, topic: str) -> int:
        """Return how many deliveries of a topic are still to be made."""
        with self._lock:
            return sum(1 for message, *_ in self._queue if message.topic == topic)

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
            except Exception as problem:  # noqa: BLE001 - as Pub/Sub: whatever went wrong, deliver again, then the dead letter
                self.faults.append(problem)
                if attempt >= self.attempts:
                    self.dead.append((message, id_))
                else:
                    self._queue.append((message, id_, attempt + 1, handler))


class MemoryHistory:
    """Rows in lists by table, with the view that keeps one row per event id.

    With `keep` only about the last so many rows of a table stay: for runs that are long.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def append(self, rows: Sequence[HistoryRow], at: datetime) -> list[RowFault]:
        faults = []
        for row in rows:
            found = record(row, at)
            if isinstance(found, RowFault):
                faults.append(found)
            else:
                kept = self.rows[row.table]
                kept.append({"event_id": row.event_id, "ingested_at": at, **row.row})
                if self._keep and len(kept) > 2 * self._keep:
                    del kept[: -self._keep]
        return faults

    def read(self, table: str, where: Sequence[Where]) -> list[dict[str, Any]]:
        return matching(table, self.latest(table), where)

    def kept(self, table: str, where: Sequence[Where]) -> list[Kept]:
        found: dict[str, list[str]] = defaultdict(list)
        for row in self.rows[table]:
            if matching(table, [row], where):
                said = {name: value for name, value in row.items() if name != "ingested_at"}
                found[row["event_id"]].append(content_hash(said))
        return [Kept(id_, len(hashes), len(set(hashes))) for id_, hashes in found.items()]

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        raise NotImplementedError("the embedded mode keeps rows but has no SQL: use `latest`")

    def latest(self, table: str) -> list[dict[str, Any]]:
        """Return one row per event id, the last one appended."""
        return list({row["event_id"]: row for row in self.rows[table]}.values())
