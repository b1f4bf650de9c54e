"""The store on Firestore: single-RPC batches with preconditions, no transactions.

A transaction on a hot document waits for locks, retries without a pause and reports exhaustion as ValueError;
its second try after an ambiguous first looks like a permanent error. A batch says what it expects.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from stopline.adapters.checks import check_batch, check_path, check_query, sort_fields
from stopline.adapters.lazy import Lazy
from stopline.ports import (
    SERVER_TIME,
    AlreadyExists,
    Conflict,
    Create,
    Data,
    Delete,
    Document,
    Path,
    Put,
    Unavailable,
    Update,
    Version,
    Where,
    Write,
)

if TYPE_CHECKING:
    from google.cloud.firestore import Client, DocumentReference, DocumentSnapshot, WriteBatch

T = TypeVar("T")
_TRIES = 4


class FirestoreStore:
    """Documents in one Firestore database. A version is a document's update time, as text with nanoseconds.

    Every call ends within `timeout_s`, tries included, so that a handler can answer before its message comes
    again. Without FIRESTORE_EMULATOR_HOST in the environment it needs Google credentials.
    """

    def __init__(
        self,
        project: str | None = None,
        database: str | None = None,
        *,
        client: Callable[[], Client] | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._client = Lazy(client or (lambda: _connect(project, database)))
        self.timeout_s = timeout_s

    def get(self, path: Path) -> Document | None:
        return self.get_all([path])[0]

    def get_all(self, paths: Sequence[Path]) -> list[Document | None]:
        for path in paths:
            check_path(path)
        if not paths:
            return []
        client = self._client()
        references = [_reference(client, path) for path in dict.fromkeys(paths)]

        # One stream of documents is of one moment: none has changed before the last one was read (BatchGetDocuments).
        def read(timeout_s: float) -> list[DocumentSnapshot[Any]]:
            return list(client.get_all(references, retry=_never(), timeout=timeout_s))

        found = [_document(snapshot) for snapshot in self._read(str(paths[0]), read)]
        by_path = {document.path: document for document in found if document}
        return [by_path.get(path) for path in paths]

    def commit(self, writes: Sequence[Write]) -> list[Version]:
        check_batch(writes)
        client = self._client()
        batch = client.batch()
        for write in writes:
            _add(client, batch, write)
        results = self._send(batch, ", ".join(str(write.path) for write in writes[:3]))
        return [
            None if isinstance(write, Delete) else result.update_time.rfc3339()
            for write, result in zip(writes, results, strict=True)
        ]

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        order_by: Sequence[str] = (),
        limit: int | None = None,
    ) -> list[Document]:
        from google.cloud.firestore import FieldFilter

        check_query(collection, where, order_by, limit)
        query: Any = self._client().collection(collection)
        for condition in where:
            query = query.where(filter=FieldFilter(condition.field, condition.op, condition.value))
        for name in sort_fields(where, order_by):
            way = "DESCENDING" if name.startswith("-") else "ASCENDING"
            query = query.order_by(name.removeprefix("-"), direction=way)
        if limit is not None:
            query = query.limit(limit)

        def read(timeout_s: float) -> list[DocumentSnapshot[Any]]:
            return list(query.stream(retry=_never(), timeout=timeout_s))

        found = [_document(snapshot) for snapshot in self._read(collection, read)]
        return [document for document in found if document]

    def close(self) -> None:
        """Close the connection."""
        self._client().close()

    def _read(self, what: str, read: Callable[[float], T]) -> T:
        """Run a whole read and, where it failed for now, run it again."""
        from google.api_core import exceptions, retry

        again = retry.Retry(
            predicate=retry.if_exception_type(
                exceptions.ServiceUnavailable,
                exceptions.InternalServerError,
                exceptions.Unknown,
                exceptions.Aborted,
                exceptions.ResourceExhausted,
                exceptions.DeadlineExceeded,
            ),
            initial=0.05,
            maximum=1.0,
            multiplier=2.0,
            timeout=self.timeout_s / 2,
        )
        try:
            return again(read)(self.timeout_s / 2)
        except _failures() as problem:
            raise Unavailable(f"Firestore did not read {what}: {_describe(problem)}") from problem

    def _send(self, batch: WriteBatch, what: str) -> Sequence[Any]:
        """Commit, again where the server was not there; a later refusal may be our own first try."""
        from google.api_core import exceptions

        deadline = time.monotonic() + self.timeout_s
        maybe_applied = False
        for attempt in range(_TRIES):
            try:
                return batch.commit(retry=None, timeout=max(deadline - time.monotonic(), 0.1))
            except (exceptions.Conflict, exceptions.FailedPrecondition, exceptions.NotFound) as problem:
                if maybe_applied:
                    raise Unavailable(f"second try on {what} was refused: {_describe(problem)}") from problem
                if isinstance(problem, exceptions.AlreadyExists):
                    raise AlreadyExists(f"{what}: {_describe(problem)}") from problem
                raise Conflict(f"{what}: {_describe(problem)}") from problem
            except _failures() as problem:
                pause = random.uniform(0, 0.1 * 2**attempt)  # noqa: S311 - jitter, not a secret
                late = time.monotonic() + pause > deadline or attempt == _TRIES - 1
                exhausted = isinstance(problem, exceptions.ResourceExhausted)  # refused before it was applied
                if late or not (exhausted or isinstance(problem, exceptions.ServiceUnavailable)):
                    raise Unavailable(f"commit of {what}, outcome unknown: {_describe(problem)}") from problem
                maybe_applied = maybe_applied or not exhausted
                time.sleep(pause)
        raise AssertionError("unreachable")


def _connect(project: str | None, database: str | None) -> Client:
    from google.cloud import firestore

    return firestore.Client(project=project, database=database)


def _reference(client: Client, path: Path) -> DocumentReference:
    return client.collection(path.collection).document(path.id)


def _add(client: Client, batch: WriteBatch, write: Write) -> None:
    reference = _reference(client, write.path)
    match write:
        case Create(data=data):
            batch.create(reference, _fields(data))
        case Update(data=data, version=version):
            batch.update(reference, _fields(data), option=_at(client, version))
        case Put(data=data):
            batch.set(reference, _fields(data))
        case Delete(version=None):
            batch.delete(reference)
        case Delete(version=version):
            batch.delete(reference, option=_at(client, version))


def _at(client: Client, version: Version) -> Any:
    from google.api_core.datetime_helpers import DatetimeWithNanoseconds

    return client.write_option(last_update_time=DatetimeWithNanoseconds.from_rfc3339(version).timestamp_pb())


def _fields(data: Data) -> Data:
    from google.cloud.firestore import SERVER_TIMESTAMP

    return {name: SERVER_TIMESTAMP if value is SERVER_TIME else value for name, value in data.items()}


def _document(snapshot: DocumentSnapshot[Any]) -> Document | None:
    if not snapshot.exists:
        return None
    data = {name: _plain(value) for name, value in (snapshot.to_dict() or {}).items()}
    return Document(Path(snapshot.reference.parent.id, snapshot.id), data, snapshot.update_time.rfc3339())


def _plain(value: Any) -> Any:
    """Return a time as the plain type: the client's own subclass is refused by JSON encoders."""
    return datetime.combine(value.date(), value.timetz()) if isinstance(value, datetime) else value


def _never() -> Any:
    """No retry inside the client: its own resumes a query without end. (`None` breaks its error handling.)"""
    from google.api_core import retry

    return retry.Retry(predicate=lambda _: False)


def _failures() -> tuple[type[Exception], ...]:
    """What an outage raises, ValueError too; what our own mistakes raise was checked for before."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    return (GoogleAPIError, GoogleAuthError, OSError, ValueError)


def _describe(problem: Exception) -> str:
    return f"{type(problem).__name__}: {str(problem)[:200]}"
