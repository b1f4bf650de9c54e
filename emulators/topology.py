"""infra/topology.json as values: what the emulators, the tests and the tools read of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent
TOPOLOGY = ROOT / "infra" / "topology.json"


@dataclass(frozen=True)
class Topic:
    about: str
    key: str | None


@dataclass(frozen=True)
class Subscription:
    """A subscription; `function` is None where a program outside Stopline pulls. `retain_acked`: what was acknowledged is
    kept too, so that `stopline rewind` can deliver it again. `filter`: which messages it gets, for Pub/Sub; empty: all.
    """

    topic: str
    function: str | None
    ack_seconds: int
    attempts: int
    ordered: bool
    retry_min_seconds: int
    retry_max_seconds: int
    retention_days: int
    expiration: Literal["never"]
    retain_acked: bool = False
    filter: str = ""


@dataclass(frozen=True)
class DeadLetters:
    """What becomes of a message that was given up: it is kept, and pushed to the function `told_by`, which tells people."""

    topic_suffix: str
    subscription_suffix: str
    told_by: str
    ack_seconds: int
    retention_days: int
    expiration: Literal["never"]

    def topic(self, topic: str) -> str:
        """Return the name of the topic that takes what `topic` could not deliver."""
        return topic + self.topic_suffix

    def subscription(self, topic: str) -> str:
        """Return the name of the subscription that keeps it."""
        return topic + self.subscription_suffix

    def telling(self, topic: str) -> str:
        """Return the name of the subscription that pushes it to the function that tells people."""
        return f"{self.told_by}-dead-{topic}"


@dataclass(frozen=True)
class Function:
    folder: str
    entry_point: str
    kind: Literal["push", "http"]
    publishes: tuple[str, ...]
    uses: tuple[str, ...]
    timeout_seconds: int
    memory_mb: int
    concurrency: int
    min_instances: int
    max_instances: int


@dataclass(frozen=True)
class Schedule:
    about: str
    cron: str
    zone: str
    message: dict[str, str]


@dataclass(frozen=True)
class Collection:
    writers: tuple[str, ...]
    holds: str


@dataclass(frozen=True)
class Index:
    collection: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class TimeToLive:
    collection: str
    field: str


@dataclass(frozen=True)
class Topology:
    topics: dict[str, Topic]
    subscriptions: dict[str, Subscription]
    dead_letters: DeadLetters
    functions: dict[str, Function]
    schedules: dict[str, Schedule]
    collections: dict[str, Collection]
    indexes: tuple[Index, ...]
    ttl: tuple[TimeToLive, ...]
    dataset: str


def load(path: Path = TOPOLOGY) -> Topology:
    """Read the topology. A field that is missing or that nothing knows raises TypeError."""
    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    firestore = raw["firestore"]
    return Topology(
        topics={name: Topic(**entry) for name, entry in raw["topics"].items()},
        subscriptions={
            **{name: Subscription(**entry) for name, entry in raw["subscriptions"].items()},
            **_of_adapters(**raw["adapters"]),
        },
        dead_letters=DeadLetters(**raw["dead_letters"]),
        functions={name: Function(**_tuples(entry)) for name, entry in raw["functions"].items()},
        schedules={name: Schedule(**entry) for name, entry in raw["schedules"].items()},
        collections={name: Collection(**_tuples(entry)) for name, entry in firestore["collections"].items()},
        indexes=tuple(Index(**_tuples(entry)) for entry in firestore["indexes"]),
        ttl=tuple(TimeToLive(**entry) for entry in firestore["ttl"]),
        dataset=raw["bigquery"]["dataset"],
    )


def _of_adapters(accounts: dict[str, str | None], subscription: dict[str, Any]) -> dict[str, Subscription]:
    """Return the subscription of each broker adapter, `orders-NAME`, by its name and its account; None: it gets everything,
    which is for one adapter alone. What is for the whole names no account and goes to each.
    """
    topic = subscription["topic"]
    filters = {name: own_filter(account) if account else "" for name, account in accounts.items()}
    return {
        f"{topic}-{name}": Subscription(**subscription, filter=chosen) for name, chosen in filters.items()
    }


def own_filter(account: str) -> str:
    """Return the filter of a subscription that gets what is for one account, and for all of them."""
    return f'attributes.account = "{account}" OR NOT attributes:account'


def _tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
