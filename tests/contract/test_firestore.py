"""What Firestore's adapter makes of the service's failures: nothing is lost, nothing is guessed."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError
from google.cloud import firestore

from emulators.processes import HOST, free_port
from stopline.adapters.firestore import FirestoreStore
from stopline.ports import (
    AlreadyExists,
    Conflict,
    Create,
    Delete,
    Path,
    Put,
    Store,
    Unavailable,
    Update,
    Where,
)

from .differences import differs

HERE = Path("books", "demo")
FAR = "2020-01-01T00:00:00Z"

CALLS: dict[str, Callable[[Store], object]] = {
    "get": lambda store: store.get(HERE),
    "get_all": lambda store: store.get_all([HERE, Path("books", "other")]),
    "query": lambda store: store.query("books", [Where("n", ">", 1)], ["n"]),
    "create": lambda store: store.commit([Create(HERE, {"n": 1})]),
    "update": lambda store: store.commit([Update(HERE, {"n": 1}, FAR)]),
    "put": lambda store: store.commit([Put(HERE, {"n": 1})]),
    "delete": lambda store: store.commit([Delete(HERE)]),
}


@pytest.fixture(params=["closed", "silent"])
def lost(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FirestoreStore]:
    """A Firestore that refuses connections, or takes them and says nothing."""
    with socket.socket() as listener:
        if request.param == "silent":
            listener.bind((HOST, 0))
            listener.listen()
            port = listener.getsockname()[1]
        else:
            port = free_port()
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"{HOST}:{port}")
        store = FirestoreStore("nowhere", timeout_s=0.6)
        yield store
        store.close()


@pytest.mark.parametrize("call", CALLS)
def test_an_outage_is_unavailable_in_time_and_never_an_answer(lost: FirestoreStore, call: str) -> None:
    """A failed read is not a missing document, a failed commit not a refused one: R0.3, R8.5."""
    assert not differs("outage", "firestore")
    begun = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        CALLS[call](lost)
    assert time.monotonic() - begun < 2.5
    assert caught.value.__cause__ is not None


class Scripted:
    """A client whose commits follow a script, one step a try: fail before or after being applied, or work."""

    def __init__(self, client: firestore.Client, *script: Exception | tuple[str, Exception] | None) -> None:
        self._client = client
        self._script = list(script)
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def batch(self) -> Any:
        batch = self._client.batch()
        really = batch.commit

        def commit(retry: Any = "default", timeout: float | None = None) -> Any:
            assert retry is None, "the client's own retry hides whether a try was applied"
            assert timeout is not None
            assert timeout <= 10
            self.tries += 1
            step = self._script.pop(0) if self._script else None
            if isinstance(step, tuple):
                writes = list(batch._write_pbs)
                really(retry=None, timeout=timeout)
                batch._write_pbs = writes
                raise step[1]
            if step is not None:
                raise step
            return really(retry=None, timeout=timeout)

        vars(batch)["commit"] = commit
        return batch


Play = Callable[..., tuple[FirestoreStore, Scripted]]
GONE = exceptions.ServiceUnavailable("Socket closed")


@pytest.fixture
def play(firestore_store: FirestoreStore) -> Play:
    """Make a store whose commits follow a script."""

    def scripted(*script: Any) -> tuple[FirestoreStore, Scripted]:
        client = Scripted(firestore_store._client(), *script)
        return FirestoreStore(client=lambda: client), client  # type: ignore[arg-type,return-value]

    return scripted


@pytest.mark.emulators
def test_a_commit_that_never_arrived_is_sent_again(play: Play) -> None:
    """A connection that broke while the instance slept costs no redelivery."""
    store, client = play(GONE, GONE)
    versions = store.commit([Create(HERE, {"n": 1})])
    found = store.get(HERE)
    assert client.tries == 3
    assert found is not None
    assert versions == [found.version]


@pytest.mark.emulators
def test_a_create_whose_answer_was_lost_is_unknown_not_existing(play: Play) -> None:
    """Its second try meets its own first: whoever said `AlreadyExists` then would say `not mine`. R0.3"""
    store, client = play(("applied", GONE))
    with pytest.raises(Unavailable):
        store.commit([Create(HERE, {"n": 1})])
    assert client.tries == 2
    assert store.get(HERE) is not None
    with pytest.raises(AlreadyExists):
        store.commit([Create(HERE, {"n": 1})])


@pytest.mark.emulators
def test_an_update_whose_answer_was_lost_is_unknown_not_a_conflict(play: Play) -> None:
    """A conflict says that nothing was written: the caller would apply its change twice."""
    store, _ = play(None, ("applied", GONE))
    [version] = store.commit([Create(HERE, {"n": 1})])
    with pytest.raises(Unavailable):
        store.commit([Update(HERE, {"n": 2}, version)])
    found = store.get(HERE)
    assert found is not None
    assert found.data == {"n": 2}


@pytest.mark.emulators
def test_a_put_whose_answer_was_lost_is_simply_repeated(play: Play) -> None:
    store, _ = play(("applied", GONE))
    versions = store.commit([Put(HERE, {"n": 1})])
    found = store.get(HERE)
    assert found is not None
    assert versions == [found.version]


@pytest.mark.emulators
def test_a_refusal_after_an_exhausted_try_is_believed(play: Play) -> None:
    """RESOURCE_EXHAUSTED is said before anything is applied."""
    store, _ = play(None, exceptions.ResourceExhausted("quota"))
    store.commit([Create(HERE, {"n": 1})])
    with pytest.raises(AlreadyExists):
        store.commit([Create(HERE, {"n": 2})])


@pytest.mark.emulators
def test_a_service_that_stays_away_is_tried_a_few_times_only(play: Play) -> None:
    store, client = play(*[GONE] * 20)
    with pytest.raises(Unavailable):
        store.commit([Create(HERE, {"n": 1})])
    assert 2 <= client.tries <= 5


@pytest.mark.emulators
@pytest.mark.parametrize(
    "problem",
    [
        exceptions.DeadlineExceeded("late"),
        exceptions.InternalServerError("oops"),
        exceptions.Unknown("?"),
        exceptions.Cancelled("gone"),
        exceptions.InvalidArgument("Transaction is invalid or closed."),
        exceptions.PermissionDenied("no"),
        exceptions.Unauthenticated("who"),
        exceptions.RetryError("late", GONE),
        RefreshError("metadata server"),
        ValueError("The transaction has no transaction ID, so it cannot be rolled back."),
        OSError("reset"),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_every_other_failure_of_a_commit_is_unknown_and_keeps_its_cause(
    play: Play, problem: Exception
) -> None:
    """F12: the client raises even ValueError in an outage: no error class means `bad input`. R8.5"""
    store, client = play(problem)
    with pytest.raises(Unavailable, match="outcome unknown") as caught:
        store.commit([Create(HERE, {"n": 1})])
    assert caught.value.__cause__ is problem
    assert client.tries == 1


@pytest.mark.emulators
@pytest.mark.parametrize(
    "problem",
    [
        exceptions.Aborted("Too much contention on these documents."),
        exceptions.FailedPrecondition("version"),
        exceptions.NotFound("No document to update"),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_contention_and_missing_documents_are_conflicts(play: Play, problem: Exception) -> None:
    store, client = play(problem)
    with pytest.raises(Conflict) as caught:
        store.commit([Create(HERE, {"n": 1})])
    assert caught.value.__cause__ is problem
    assert client.tries == 1


@pytest.mark.emulators
def test_our_own_mistake_is_not_taken_for_an_outage(play: Play) -> None:
    store, _ = play(TypeError("unexpected argument"))
    with pytest.raises(TypeError, match="unexpected"):
        store.commit([Create(HERE, {"n": 1})])


@pytest.mark.emulators
@pytest.mark.parametrize("call", ["get", "query"])
def test_a_read_is_repeated_as_a_whole_until_it_works(
    firestore_store: FirestoreStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Firestore answers in a stream, which may break after the first documents."""
    tries = 0

    def breaking(really: Callable[..., Any]) -> Callable[..., Any]:
        def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
            nonlocal tries
            tries += 1
            assert kwargs["timeout"] <= 10
            yield from really(*args, **kwargs)
            if tries < 3:
                raise exceptions.ServiceUnavailable("stream")

        return stream

    monkeypatch.setattr(firestore.Client, "get_all", breaking(firestore.Client.get_all))
    monkeypatch.setattr(firestore.Query, "stream", breaking(firestore.Query.stream))
    firestore_store.commit([Create(HERE, {"n": 2})])
    found = (
        [firestore_store.get(HERE)]
        if call == "get"
        else [*firestore_store.query("books", [Where("n", ">", 1)])]
    )
    assert [document and document.data for document in found] == [{"n": 2}]
    assert tries == 3


@pytest.mark.emulators
def test_a_query_that_keeps_breaking_ends_as_unavailable(
    firestore_store: FirestoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's own retry goes on for as long as the error does."""

    def broken(*_: Any, **__: Any) -> Iterator[Any]:
        yield from ()
        raise exceptions.ServiceUnavailable("stream")

    client = firestore_store._client()
    monkeypatch.setattr(firestore.Query, "stream", broken)
    store = FirestoreStore(client=lambda: client, timeout_s=0.5)
    with pytest.raises(Unavailable):
        store.query("books", [Where("n", ">", 1)])


def test_the_google_client_is_imported_at_the_first_call_only() -> None:
    """Importing it takes a third of a second, and gunicorn forks after main.py is imported."""
    code = (
        "import sys\n"
        "from stopline.adapters.firestore import FirestoreStore\n"
        "from stopline.adapters.pubsub import PubSubBus\n"
        "from stopline.adapters.bigquery import BigQueryHistory\n"
        "FirestoreStore('p'), PubSubBus('p'), BigQueryHistory('d', 'p')\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in {'google', 'grpc', 'requests'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Some installations declare the namespace packages at the start without importing anything.
    assert set(ast.literal_eval(out.stdout)) <= {"google", "google.cloud", "google.logging"}
