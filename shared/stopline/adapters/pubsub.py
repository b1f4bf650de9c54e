"""The bus on Pub/Sub: the plain API client, one request per topic and ordering key, waited for.

The batching client waits 10 ms for company, publishes in the background, and refuses an ordering key for good
after one failure; none of that suits a function that must know the outcome before it answers.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from stopline.adapters.checks import check_message
from stopline.adapters.lazy import Lazy
from stopline.ports import Outgoing, Unavailable

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from google.pubsub_v1 import PublisherClient

MAX_REQUEST_MESSAGES = 999
MAX_REQUEST_BYTES = 9_000_000
LONG_S = 4.0  # what fails after more than this has hung
FOR_S = 30.0  # after it began, no topic that has not answered since is waited for that long: a function has 20 s in all
BRIEF_S = 2.0  # but this long
MOST_AT_ONCE = 64  # requests of all calls: 16 messages at a time, each with some topics
_ENVELOPE_BYTES = 64  # of each message and attribute in a request, on the safe side

Call = tuple[str, str, Sequence[tuple[int, Outgoing, int]], float, dict[int, str]]
"""A topic, a key, what goes there (its place in the call, the message, its size), when the call ends, and the ids so far."""


class PubSubBus:
    """Publishes to the topics of one project, each name with the environment's `prefix` before it.

    A call ends within `timeout_s`. Topics and keys do not stand in each other's way: their requests go side by side, each
    with all the time, and where one fails Unavailable is raised once all have ended. Within one key nothing of the call is
    sent past a failure, so order holds; the next call starts afresh. One stop of trading publishes several times in a row:
    where Pub/Sub hangs only the first of them waits for it long.
    """

    def __init__(
        self,
        project: str,
        prefix: str = "",
        *,
        client: Callable[[], PublisherClient] | None = None,
        timeout_s: float = 5.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics = f"projects/{project}/topics/{prefix}"
        self._client = Lazy(client or _connect)
        self._threads = Lazy(_threads)
        self.timeout_s = timeout_s
        self._now = now
        self._hung = -math.inf  # when the last request began that hung
        self._answered = dict[str, float]()  # topics, and when they last did

    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        groups: dict[tuple[str, str], list[tuple[int, Outgoing, int]]] = {}
        for index, message in enumerate(messages):
            groups.setdefault((message.topic, message.key), []).append(
                (index, message, check_message(message))
            )
        if not messages:
            return []
        ids: dict[int, str] = {}
        ends = self._now() + self.timeout_s
        first, *others = [(*names, group, ends, ids) for names, group in groups.items()]
        beside = [self._threads().submit(self._publish, call) for call in others]
        problems = [self._publish(first), *(one.result() for one in beside)]  # the first needs no thread
        failures = [problem for problem in problems if problem is not None]
        if failures:
            topics = ", ".join(sorted({m.topic for index, m in enumerate(messages) if index not in ids}))
            cause = failures[0]
            raise Unavailable(
                f"{len(messages) - len(ids)} of {len(messages)} messages are not known to be published "
                f"({topics}): {type(cause).__name__}: {str(cause)[:200]}",
                published=ids,
            ) from cause
        return [ids[index] for index in range(len(messages))]

    def close(self) -> None:
        """Close the connection."""
        self._client().transport.close()

    def _publish(self, call: Call) -> Exception | None:
        """Send what is of one topic and key, and note its ids; return what failed."""
        topic, key, group, ends, ids = call
        begun = self._now()
        most = max(ends - begun, 0.1)
        if begun - self._hung < FOR_S and self._answered.get(topic, -math.inf) < self._hung:
            most = min(most, BRIEF_S)
        try:
            for chunk in _chunks(group):
                left = max(begun + most - self._now(), 0.1)
                published = self._send(topic, key, [message for _, message in chunk], left)
                ids.update(zip((index for index, _ in chunk), published, strict=True))
            self._answered[topic] = self._now()
        except _failures() as problem:
            if self._now() - begun > LONG_S and self._answered.get(topic, -math.inf) < begun:
                self._hung = begun
            return problem
        return None

    def _send(self, topic: str, key: str, messages: Sequence[Outgoing], timeout_s: float) -> Sequence[str]:
        from google.api_core import exceptions, retry
        from google.pubsub_v1.types import PubsubMessage

        again = retry.Retry(
            predicate=retry.if_exception_type(
                exceptions.Aborted,
                exceptions.Cancelled,
                exceptions.InternalServerError,
                exceptions.ResourceExhausted,
                exceptions.ServiceUnavailable,
                exceptions.Unknown,
            ),
            initial=0.1,
            maximum=1.0,
            multiplier=2.0,
            timeout=timeout_s,
        )
        bodies = [
            PubsubMessage(data=message.data, attributes=dict(message.attributes), ordering_key=key)
            for message in messages
        ]
        answer = self._client().publish(
            topic=self._topics + topic, messages=bodies, retry=again, timeout=timeout_s
        )
        return list(answer.message_ids)


def _chunks(group: Sequence[tuple[int, Outgoing, int]]) -> Iterator[list[tuple[int, Outgoing]]]:
    """Cut messages into requests that Pub/Sub takes, in their order."""
    chunk: list[tuple[int, Outgoing]] = []
    total = 0
    for index, message, size in group:
        size += _ENVELOPE_BYTES * (1 + len(message.attributes))
        if chunk and (len(chunk) == MAX_REQUEST_MESSAGES or total + size > MAX_REQUEST_BYTES):
            yield chunk
            chunk, total = [], 0
        chunk.append((index, message))
        total += size
    if chunk:
        yield chunk


def _threads() -> Executor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="pubsub")


def _connect() -> PublisherClient:
    from google.pubsub_v1 import PublisherClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    host = os.environ.get("PUBSUB_EMULATOR_HOST")
    if not host:
        return PublisherClient()
    import grpc  # type: ignore[import-untyped]

    return PublisherClient(transport=PublisherGrpcTransport(host=host, channel=grpc.insecure_channel(host)))


def _failures() -> tuple[type[Exception], ...]:
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    return (GoogleAPIError, GoogleAuthError, OSError, ValueError)
