"""A store, a bus and a clock that fail when told to, and instances of Stopline over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from stopline.adapters.clock import ManualClock
from stopline.adapters.memory import MemoryHistory, MemoryStore
from stopline.ledger.book import Book
from stopline.ledger.encoding import decode_book
from stopline.model.account import Account
from stopline.model.control import ControlRequest, Standing
from stopline.model.ids import document_id
from stopline.model.messages import Effect
from stopline.ports import Document, Outgoing, Path, Unavailable, Where, Write
from stopline.rules.trading.resuming import MINIMUM_HOLD
from stopline.runtime.app import App
from stopline.runtime.ports import Ports
from stopline.service.documents.outbox import decode_outbox

from ..make import NOON, account


class FaultyStore:
    """One instance's way to the shared store. `faults` are taken one a commit: what to do instead of it."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.faults: list[Callable[[Sequence[Write]], None] | None] = []
        self.commits = 0
        self.reads = 0
        self.down = False

    def get(self, path: Path) -> Document | None:
        self._read()
        return self.store.get(path)

    def get_all(self, paths: Sequence[Path]) -> list[Document | None]:
        self._read()
        return self.store.get_all(paths)

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        order_by: Sequence[str] = (),
        limit: int | None = None,
    ) -> list[Document]:
        self._read()
        return self.store.query(collection, where, order_by, limit)

    def commit(self, writes: Sequence[Write]) -> list[Any]:
        if self.down:
            raise Unavailable("the store is down")
        self.commits += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault:
            fault(writes)
        return self.store.commit(writes)

    def _read(self) -> None:
        self.reads += 1
        if self.down:
            raise Unavailable("the store is down")

    # faults

    def lost(self, writes: Sequence[Write]) -> None:
        """The commit did not happen, and nobody knows."""
        raise Unavailable("deadline exceeded")

    def applied_but_lost(self, writes: Sequence[Write]) -> None:
        """The commit happened, and nobody knows."""
        self.store.commit(writes)
        raise Unavailable("deadline exceeded")

    def raises(self, problem: Exception) -> Callable[[Sequence[Write]], None]:
        def fault(writes: Sequence[Write]) -> None:
            raise problem

        return fault


class RecordingBus:
    """Remembers what was published. While `down` it takes nothing, and nothing of the topics that are `deaf`; `ambiguous`:
    takes it and says it did not. `tries`: how often it was called.
    """

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []
        self.down = False
        self.ambiguous = False
        self.deaf: set[str] = set()
        self.tries = 0

    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        self.tries += 1
        if self.down:
            raise Unavailable("the bus is down")
        taken = {index: message for index, message in enumerate(messages) if message.topic not in self.deaf}
        self.messages += taken.values()
        if len(taken) < len(messages):
            raise Unavailable(f"{', '.join(sorted(self.deaf))} takes nothing", published=taken)
        if self.ambiguous:
            raise Unavailable("no answer")
        return [str(len(self.messages))] * len(messages)

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        return [orjson.loads(m.data) for m in self.messages if m.topic == topic]

    def ids(self, topic: str | None = None) -> list[str]:
        return [m.attributes["effect_id"] for m in self.messages if topic in (None, m.topic)]


@dataclass
class World:
    """Everything that instances share."""

    shared: MemoryStore = field(default_factory=MemoryStore)
    bus: RecordingBus = field(default_factory=RecordingBus)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    history: MemoryHistory = field(default_factory=MemoryHistory)

    def instance(self) -> tuple[App, FaultyStore]:
        """Start one more instance, with caches of its own."""
        store = FaultyStore(self.shared)
        return App(Ports(store, self.bus, self.clock, self.history)), store

    def open_account(self, made: Account | None = None) -> Account:
        made = made or account()
        app, _ = self.instance()
        app.account_writer.create(made, "ann")
        self.bus.messages.clear()
        return made

    def document(self, collection: str, *parts: str) -> dict[str, Any] | None:
        found = self.shared.get(Path(collection, document_id(*parts)))
        return found.data if found else None

    def book(self, name: str = "demo") -> Book | None:
        data = self.document("books", name)
        return decode_book(data["state"]) if data else None

    def outbox(self, collection: str, *parts: str) -> tuple[Effect, ...]:
        data = self.document(collection, *parts)
        return decode_outbox(data) if data else ()

    def count(self, collection: str) -> int:
        return len(self.shared.query(collection))

    def resume(
        self, app: App, request_id: str, epoch: int, scope: str = "account:demo", **more: Any
    ) -> Standing:
        """Resume as the rules want it: a minute later, confirmed, with nothing in doubt."""
        self.wait(MINIMUM_HOLD.total_seconds())
        app.trading._doubts = lambda scope: []
        facts = {
            "request_id": request_id,
            "scope": scope,
            "action": "resume",
            "actor": "ann",
            "reason": "seen",
        }
        confirmed = {"expected_epoch": epoch, "confirm": f"RESUME {scope}"}
        return app.trading.set(ControlRequest.model_validate({**facts, **confirmed, **more}))

    def wait(self, seconds: float) -> datetime:
        from datetime import timedelta

        self.clock.set(self.clock.now() + timedelta(seconds=seconds))
        return self.clock.now()
