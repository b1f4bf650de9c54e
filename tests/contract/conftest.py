"""Every port over every adapter: in memory, and on the emulators."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from emulators.stack import Emulators, Stack
from stopline.adapters.bigquery import BigQueryHistory
from stopline.adapters.firestore import FirestoreStore
from stopline.adapters.memory import MemoryBus, MemoryHistory, MemoryStore
from stopline.adapters.pubsub import PubSubBus
from stopline.ports import Bus, History, Outgoing, Store

MEMORY = "memory"
EMULATED = pytest.mark.emulators


@pytest.fixture(params=[MEMORY, pytest.param("firestore", marks=EMULATED)])
def adapter(request: pytest.FixtureRequest) -> str:
    """The name of the store's adapter."""
    name: str = request.param
    return name


@pytest.fixture
def store(adapter: str, request: pytest.FixtureRequest) -> Store:
    """An empty store."""
    return MemoryStore() if adapter == MEMORY else request.getfixturevalue("firestore_store")


@pytest.fixture
def firestore_store(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Iterator[FirestoreStore]:
    """An empty Firestore: a project of its own on the emulator."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulators.firestore_host)
    store = FirestoreStore(f"contract-{secrets.token_hex(4)}")
    yield store
    store.close()


@pytest.fixture(scope="session")
def contract_stack(emulators: Emulators) -> Iterator[Stack]:
    """A project without functions, whose subscriptions can be pulled."""
    with Stack(emulators=emulators) as stack:
        yield stack.up(functions=())


class BusWorld(Protocol):
    """A bus and what its subscribers get. `orders` keeps the order of a key, `alerts` promises none."""

    name: str

    @property
    def bus(self) -> Bus:
        """The bus under test."""

    def pull(self, topic: str, count: int) -> list[Outgoing]:
        """Return the next messages of a topic: `count` of them, fewer where no more come."""


@dataclass
class MemoryBusWorld:
    name: str = MEMORY
    bus: MemoryBus = field(default_factory=MemoryBus)
    received: dict[str, list[Outgoing]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for topic in ("orders", "alerts"):
            self.bus.subscribe(
                topic, lambda message, _id, _attempt: self.received[message.topic].append(message)
            )

    def pull(self, topic: str, count: int) -> list[Outgoing]:
        self.bus.run()
        taken, self.received[topic] = self.received[topic][:count], self.received[topic][count:]
        return taken


@dataclass
class PubSubWorld:
    stack: Stack
    bus: PubSubBus
    name: str = "pubsub"

    def pull(self, topic: str, count: int) -> list[Outgoing]:
        subscription = {"orders": "orders-broker", "alerts": "alerts-push"}[topic]
        found = self.stack.pull(subscription, count)
        return [Outgoing(topic, message.data, message.attributes, message.ordering_key) for message in found]


@pytest.fixture(params=[MEMORY, pytest.param("pubsub", marks=EMULATED)])
def world(request: pytest.FixtureRequest) -> Iterator[BusWorld]:
    """A bus with subscribers and nothing in it."""
    if request.param == MEMORY:
        yield MemoryBusWorld()
        return
    stack: Stack = request.getfixturevalue("contract_stack")
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", stack.emulators.pubsub_host)
    bus = PubSubBus(stack.project)
    yield PubSubWorld(stack, bus)
    bus.close()


@dataclass
class HistoryWorld:
    """A history and the rows its `_latest` views show, by event id."""

    name: str
    history: History
    latest: Callable[[str], Sequence[dict[str, Any]]]


@pytest.fixture(params=[MEMORY, pytest.param("bigquery", marks=EMULATED)])
def past(request: pytest.FixtureRequest) -> HistoryWorld:
    """An empty history."""
    if request.param == MEMORY:
        memory = MemoryHistory()
        return HistoryWorld(MEMORY, memory, memory.latest)
    history: BigQueryHistory = request.getfixturevalue("bigquery_history")
    return HistoryWorld(
        "bigquery", history, lambda table: history.query(f"SELECT * FROM `{{dataset}}.{table}_latest`")
    )


@pytest.fixture
def bigquery_history(
    emulators: Emulators, needs_bigquery: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BigQueryHistory]:
    """An empty dataset with the product's tables and views."""
    from emulators import bootstrap
    from emulators.topology import load

    url = emulators.bigquery_url or ""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", url)
    project = f"contract-{secrets.token_hex(4)}"
    rest = bootstrap.Rest(url.removeprefix("http://"), "/bigquery/v2")
    bootstrap.bigquery(rest, project, load().dataset)
    rest.close()
    history = BigQueryHistory(load().dataset, project)
    yield history
    history.close()
