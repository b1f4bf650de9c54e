"""The dead letters of a project: messages that were given up, waiting in the pull subscription of each dead topic."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stopline.adapters.lazy import Lazy
from stopline.ports import Unavailable

if TYPE_CHECKING:
    from google.pubsub_v1 import SubscriberClient

OURS = "CloudPubSubDeadLetter"  # what Pub/Sub's own attributes begin with
HOLD_S = 60
EMPTY = 3  # so many pulls that bring nothing new are the end: Pub/Sub may answer one with nothing while there is something


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that was given up. `attempts` is how often it was delivered, 0 where Pub/Sub does not say."""

    id: str
    topic: str
    data: bytes
    attributes: Mapping[str, str]
    attempts: int
    published_at: datetime
    ack_id: str


class DeadLetters:
    """Reads, releases and removes dead letters. What is read is held for a minute, so that nobody else takes it."""

    def __init__(
        self,
        project: str,
        prefix: str = "",
        *,
        client: Callable[[], SubscriberClient] | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._subscriptions = f"projects/{project}/subscriptions/{prefix}"
        self._client = Lazy(client or connect)
        self._timeout_s = timeout_s

    def take(self, topic: str, limit: int = 100) -> list[DeadLetter]:
        """Take up to `limit` dead letters of a topic, oldest first; release or remove each of them afterwards."""
        found: dict[str, DeadLetter] = {}
        empty = 0
        while len(found) < limit and empty < EMPTY:
            part = self._pull(topic, limit - len(found))
            empty = 0 if any(letter.id not in found for letter in part) else empty + 1
            found |= {letter.id: letter for letter in part}
        return sorted(found.values(), key=lambda letter: (letter.published_at, letter.id))

    def hold(self, letters: Sequence[DeadLetter]) -> None:
        """Hold letters that were taken for another minute."""
        self._set_deadline(letters, HOLD_S)

    def release(self, letters: Sequence[DeadLetter]) -> None:
        """Give letters back: they stay dead letters."""
        self._set_deadline(letters, 0)

    def remove(self, letters: Sequence[DeadLetter]) -> None:
        """Remove letters for good."""
        for topic in {letter.topic for letter in letters}:
            ids = [letter.ack_id for letter in letters if letter.topic == topic]
            self._call("acknowledge", topic, {"ack_ids": ids})

    def _pull(self, topic: str, limit: int) -> list[DeadLetter]:
        with warnings.catch_warnings():  # deprecated for workers that poll; a person wants an answer now
            warnings.simplefilter("ignore", DeprecationWarning)
            answer = self._call("pull", topic, {"max_messages": limit, "return_immediately": True})
        letters = [_letter(topic, received) for received in answer.received_messages]
        self.hold(letters)
        return letters

    def _set_deadline(self, letters: Sequence[DeadLetter], seconds: int) -> None:
        for topic in {letter.topic for letter in letters}:
            ids = [letter.ack_id for letter in letters if letter.topic == topic]
            self._call("modify_ack_deadline", topic, {"ack_ids": ids, "ack_deadline_seconds": seconds})

    def _call(self, method: str, topic: str, request: dict[str, object]) -> Any:
        from google.api_core import exceptions

        name = f"{self._subscriptions}{topic}-dead-pull"
        try:
            return getattr(self._client(), method)(
                request={"subscription": name, **request}, timeout=self._timeout_s
            )
        except (exceptions.GoogleAPIError, ValueError) as problem:
            raise Unavailable(f"dead letters of {topic}: {type(problem).__name__}: {problem}") from problem


def _letter(topic: str, received: Any) -> DeadLetter:
    message = received.message
    attributes = dict(message.attributes)
    attempts = attributes.get(f"{OURS}SourceDeliveryCount", "0")
    return DeadLetter(
        id=message.message_id,
        topic=topic,
        data=bytes(message.data),
        attributes={name: value for name, value in attributes.items() if not name.startswith(OURS)},
        attempts=int(attempts) if attempts.isdigit() else 0,
        published_at=datetime.fromtimestamp(message.publish_time.timestamp(), UTC),
        ack_id=received.ack_id,
    )


def connect() -> SubscriberClient:
    """Return a client of Pub/Sub, or of its emulator where the environment names one."""
    from google.pubsub_v1 import SubscriberClient

    host = os.environ.get("PUBSUB_EMULATOR_HOST")
    if not host:
        return SubscriberClient()
    import grpc  # type: ignore[import-untyped]
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    return SubscriberClient(transport=SubscriberGrpcTransport(channel=grpc.insecure_channel(host)))
