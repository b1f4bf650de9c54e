"""One state document with its outbox, changed by compare-and-set: the commit protocol of every writer.

    read (or the cached copy) -> decide -> commit {creates + state at the version read} -> publish the outbox

The version that the commit demands proves the cached copy, so a warm instance needs one RPC. When another
writer was faster the copy is dropped, read again, and decided again; after bounded tries the caller gives up
and does not acknowledge. A commit whose outcome is unknown is not repeated here: the message comes again and
finds what is there.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Generic, Protocol, TypeVar

from stopline.model.errors import Contended, Rejected, Unreadable
from stopline.model.ids import document_id
from stopline.model.messages import Effect
from stopline.ports import (
    SERVER_TIME,
    AlreadyExists,
    Clock,
    Conflict,
    Create,
    Data,
    Document,
    Path,
    Store,
    Unavailable,
    Update,
    Version,
    Where,
)
from stopline.service.documents.outbox import ORDERED, Relay, decode_outbox, encode_outbox, outbox_fields

S = TypeVar("S")
log = logging.getLogger("stopline")
TRIES = 12
_CACHED = 2_000
CARRIED = 256 * 1024
"""Bytes of earlier effects that a commit carries along at most, if they can be published: others may have published them
already, but an instance knows only of its own, and a document must not grow with the number of instances.
"""
TAKEN_OVER = timedelta(seconds=50)  # before people may have resumed, who wait a minute
DAMAGED = (Rejected, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""What decoding raises where a document is not what any version wrote: no JSON, a part missing, another type."""

WRITER = 3
"""The version of what this code keeps in state documents. To be raised with a field that an older version would lose or not
understand: from the first document written by the newer one on, the older one leaves that document alone.
"""


class Due(Enum):
    """What becomes of much that is due in a document, where the next commit would carry it along."""

    FIRST = "first"  # it is published before, where that can be
    AFTER = "after"  # it is carried along: the commit waits for nothing
    OUT = "out"  # without it being out nothing is committed


class Codec(Protocol[S]):
    """How a state becomes a document's fields and back."""

    collection: str

    def encode(self, state: S) -> Data: ...

    def decode(self, data: Data) -> S: ...


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """A state as read or committed. `version` is None when there is no document yet."""

    state: S | None
    outbox: tuple[Effect, ...]
    outbox_at: datetime | None
    version: Version | None


@dataclass(frozen=True, slots=True)
class Change(Generic[S]):
    """What to commit: the new state, its effects, documents that must not exist yet, and changes of others that only the
    writer of this state makes.
    """

    state: S
    effects: Sequence[Effect] = ()
    creates: Sequence[Create] = field(default=())
    updates: Sequence[Update] = field(default=())


Decide = Callable[[S | None, int], Change[S] | None]
"""Given the state (None: no document) and the number of failed tries, return the change, or None for nothing
to do.

On try 1 and later somebody else wrote in between, or one of the `creates` exists already: look again.
"""


class Aggregates(Generic[S]):
    """All state documents of one collection."""

    def __init__(
        self,
        store: Store,
        relay: Relay,
        clock: Clock,
        codec: Codec[S],
        writer: int = WRITER,
        carried: int = CARRIED,
        anew: Callable[[str], S] | None = None,
    ) -> None:
        """`anew`: what a damaged document of a name counts as, with an empty outbox, until its next commit; None: it is
        Unreadable. One of a newer version always is.
        """
        self._carried = carried
        self._anew = anew
        self._writer = writer
        self._store = store
        self._relay = relay
        self._clock = clock
        self._codec = codec
        self._cache: OrderedDict[str, Loaded[S]] = OrderedDict()
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def path(self, name: str) -> Path:
        """Return where the document of a name is."""
        return Path(self._codec.collection, document_id(name))

    def read(self, name: str) -> S | None:
        """Return the state as the store has it now, or None."""
        return self._load(name).state

    def read_all(self, *names: str) -> list[S | None]:
        """Return states as the store had them at one moment, in the order of the names."""
        documents = self._store.get_all([self.path(name) for name in names])
        return [self.adopt(name, document) for name, document in zip(names, documents, strict=True)]

    def peek(self, name: str) -> S | None:
        """Return the cached state, else read it. It may be behind."""
        cached = self._cache.get(name)
        return cached.state if cached else self._load(name).state

    def is_out(self, name: str) -> bool:
        """Tell whether every effect of a document, as it was last read here, is known to be published."""
        return self.due(name) == ()

    def due(self, name: str) -> Sequence[Effect] | None:
        """Return the effects of a document, as it was last read here, that are not known to be published; None: unread."""
        cached = self._cache.get(name)
        return self._relay.unpublished(cached.outbox) if cached else None

    def orders_are_out(self, name: str) -> bool:
        """Tell whether no order of a document, as it was last read here, is due, whatever else is; False: it is unread."""
        due = self.due(name)
        return due is not None and not any(effect.topic in ORDERED for effect in due)

    def send(self, name: str, topic: str) -> None:
        """Publish what of a topic is due in a document, as it was last read here. Raises Unpublished."""
        cached = self._cache.get(name)
        if cached:
            self._relay.publish([effect for effect in cached.outbox if effect.topic == topic])

    def take_over(self, name: str) -> None:
        """Carry out what stops trading and another instance may have left behind in a document, as last read here. What is
        old is the sweep's, which reads it anew: people may have resumed since, and the stop may be forgotten.
        """
        cached = self._cache.get(name)
        if cached and cached.outbox_at and self._clock.now() - cached.outbox_at < TAKEN_OVER:
            self._relay.take_over(cached.outbox)

    def query(self, where: Sequence[Where], limit: int = 200) -> list[Document]:
        """Return the documents whose native fields match."""
        return self._store.query(self._codec.collection, where, limit=limit)

    def adopt(self, name: str, document: Document | None) -> S | None:
        """Keep a document that somebody else read, and return its state."""
        return self._taken(name, document).state

    def is_crowded(self, name: str) -> bool:
        """Tell whether much is due in a document, as it was last read here."""
        cached = self._cache.get(name)
        return cached is not None and self._is_crowded(cached)

    def change(self, name: str, decide: Decide[S], due: Due = Due.FIRST) -> S | None:
        """Decide and commit, then publish what the outbox holds. Returns the state that stands.

        Raises Contended or Unavailable: not acknowledged, the outcome may be either.
        """
        with self._lock(name):
            loaded, crowded = self._committed(name, decide, bounded=due is not Due.AFTER)
        rounds = 0
        while crowded:
            rounds += 1
            out = self._relieved(loaded)
            if not out and due is Due.OUT:
                raise Unavailable(f"{self.path(name)}: too much of it cannot be published, try again")
            with self._lock(name):  # what cannot go out now the change does not wait for
                loaded, crowded = self._committed(name, decide, bounded=out and rounds < TRIES)
        self._relay.publish(loaded.outbox)
        return loaded.state

    def _relieved(self, crowded: Loaded[S]) -> bool:
        """Publish what is due before a commit would carry it along; tell whether it is out. Not under the document's lock:
        what is carried out here changes other documents.
        """
        try:
            self._relay.publish(crowded.outbox)
        except Exception:  # told after the commit, which must not fail for it
            log.exception("an outbox cannot be published before the next commit")
            return False
        return True

    def _is_crowded(self, loaded: Loaded[S]) -> bool:
        due = self._relay.unpublished(loaded.outbox)
        return bool(due) and len(encode_outbox(due).encode()) > self._carried

    def _committed(self, name: str, decide: Decide[S], bounded: bool) -> tuple[Loaded[S], bool]:
        """Return what stands after the commit; or, if `bounded`, what stands and True where it would carry too much along:
        then nothing was decided.
        """
        loaded = self._cache.get(name)
        just_read = loaded is None
        for attempt in range(TRIES):
            loaded = loaded or self._load(name)
            if bounded and self._is_crowded(loaded):
                return loaded, True
            try:
                change = decide(loaded.state, attempt)
            except Exception:
                self._forget(name)
                if just_read:
                    raise
                loaded, just_read = None, True  # the copy may be of another world, as after a restore
                continue
            if change is None and just_read:
                return loaded, False
            if change is None:  # nothing to do, by a copy that may be behind: look once at what stands
                stands = self._load(name)
                if stands is loaded:
                    return loaded, False
                loaded, just_read = stands, True
                continue
            try:
                return self._commit(name, loaded, change), False
            except (AlreadyExists, Conflict):
                self._forget(name)
                loaded, just_read = None, True
                self._clock.pause(attempt)
            except BaseException:
                self._forget(name)
                raise
        raise Contended(f"{self.path(name)}: {TRIES} tries lost to other writers")

    def _commit(self, name: str, loaded: Loaded[S], change: Change[S]) -> Loaded[S]:
        now = self._clock.now()
        due = (*self._relay.unpublished(loaded.outbox), *change.effects)
        since = loaded.outbox_at if loaded.outbox_at and len(due) > len(change.effects) else now
        fields = {**self._codec.encode(change.state), **outbox_fields(due, since), "changed_at": SERVER_TIME}
        fields["writer"] = self._writer
        path = self.path(name)
        head: Create | Update
        head = Create(path, fields) if loaded.version is None else Update(path, fields, loaded.version)
        versions = self._store.commit([*change.creates, *change.updates, head])
        fresh = Loaded(change.state, due, since if due else None, versions[-1])
        self._keep(name, fresh)
        return fresh

    def _load(self, name: str) -> Loaded[S]:
        return self._taken(name, self._store.get(self.path(name)))

    def _taken(self, name: str, document: Document | None) -> Loaded[S]:
        """Keep what was read. A version that is known is not decoded again: it is what it was."""
        cached = self._cache.get(name)
        if cached and cached.version == (document.version if document else None):
            return cached
        loaded = self._decoded(name, document)
        self._keep(name, loaded)
        return loaded

    def _decoded(self, name: str, document: Document | None) -> Loaded[S]:
        if document is None:
            return Loaded(None, (), None, None)
        data = document.data
        try:
            writer = data.get("writer", 0)
            if writer > self._writer:
                raise Unreadable(
                    f"{document.path} is of writer {writer}, this version is {self._writer}: deploy it"
                )
            state, outbox = self._codec.decode(data), decode_outbox(data)
        except DAMAGED as problem:
            if self._anew is None:
                raise Unreadable(f"{document.path} cannot be read: {problem!r}"[:500]) from problem
            log.exception(
                "a document cannot be read: it is begun anew", extra={"document": str(document.path)}
            )
            return Loaded(self._anew(name), (), None, document.version)
        return Loaded(state, outbox, data.get("outbox_at"), document.version)

    def _keep(self, name: str, loaded: Loaded[S]) -> None:
        with self._guard:
            self._cache[name] = loaded
            self._cache.move_to_end(name)
            while len(self._cache) > _CACHED:
                self._cache.popitem(last=False)

    def _forget(self, name: str) -> None:
        with self._guard:
            self._cache.pop(name, None)

    def _lock(self, name: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(name, threading.Lock())
