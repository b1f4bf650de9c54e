"""What Pub/Sub's adapter sends, and what it makes of failures."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core import exceptions

from emulators.processes import HOST, free_port
from stopline.adapters.pubsub import BRIEF_S, FOR_S, MAX_REQUEST_BYTES, PubSubBus
from stopline.ports import Outgoing, Unavailable

from .differences import differs


class Publisher:
    """Stands in for the API client: writes down requests, fails where told to."""

    def __init__(self, *failing: tuple[str, str]) -> None:
        self.requests: list[tuple[str, str, list[bytes]]] = []
        self.timeouts: list[float] = []
        self.failing = set(failing)

    def publish(self, *, topic: str, messages: Sequence[Any], retry: Any, timeout: float) -> Any:
        assert retry is not None
        assert retry.timeout <= 5
        self.timeouts.append(timeout)
        name = topic.removeprefix("projects/p/topics/")
        [key] = {message.ordering_key for message in messages}
        if (name, key) in self.failing:
            raise exceptions.ServiceUnavailable("down")
        self.requests.append((name, key, [message.data for message in messages]))
        return SimpleNamespace(message_ids=[f"{name}/{key}/{message.data!r}" for message in messages])


def bus(publisher: Publisher, prefix: str = "") -> PubSubBus:
    return PubSubBus("p", prefix, client=lambda: publisher)  # type: ignore[arg-type,return-value]


def test_one_request_carries_all_messages_of_one_topic_and_key() -> None:
    """Pub/Sub refuses a request that mixes ordering keys; the emulator does not."""
    publisher = Publisher()
    messages = [Outgoing("orders", bytes([n]), key=key) for n in range(3) for key in ("a", "b", "")]
    messages.append(Outgoing("alerts", b"x", key="a"))
    ids = bus(publisher).publish(messages)
    assert sorted(publisher.requests) == [
        ("alerts", "a", [b"x"]),
        ("orders", "", [b"\0", b"\1", b"\2"]),
        ("orders", "a", [b"\0", b"\1", b"\2"]),
        ("orders", "b", [b"\0", b"\1", b"\2"]),
    ]
    assert ids == [f"{m.topic}/{m.key}/{m.data!r}" for m in messages]


def test_the_prefix_of_the_environment_stands_before_every_topic() -> None:
    """Development and production with topic prefixes: R8.2."""
    publisher = Publisher()
    bus(publisher, "dev-").publish([Outgoing("alerts", b"x")])
    assert [topic for topic, _, _ in publisher.requests] == ["dev-alerts"]


def test_a_request_stays_under_1000_messages_and_9_megabytes() -> None:
    publisher = Publisher()
    bus(publisher).publish([Outgoing("alerts", b"x") for _ in range(2_500)])
    assert [len(data) for _, _, data in publisher.requests] == [999, 999, 502]
    publisher.requests.clear()
    bus(publisher).publish([Outgoing("alerts", b"x" * 2_500_000) for _ in range(7)])
    assert [len(data) for _, _, data in publisher.requests] == [3, 3, 1]
    assert all(sum(map(len, data)) < MAX_REQUEST_BYTES for _, _, data in publisher.requests)


def test_a_topic_that_fails_holds_up_no_other_and_is_named() -> None:
    """A command to close positions does not wait for the alert about it: R5.1."""
    publisher = Publisher(("alerts", "demo"))
    with pytest.raises(Unavailable, match=r"1 of 2 .*\(alerts\)") as caught:
        bus(publisher).publish([Outgoing("alerts", b"1", key="demo"), Outgoing("orders", b"2", key="demo")])
    assert isinstance(caught.value.__cause__, exceptions.ServiceUnavailable)
    assert publisher.requests == [("orders", "demo", [b"2"])]
    assert caught.value.published == {1}, "the caller knows what is out"


def test_a_key_that_fails_holds_up_no_other_key_and_no_later_call() -> None:
    """F18."""
    publisher = Publisher(("orders", "a"))
    messages = [Outgoing("orders", b"1", key="a"), Outgoing("orders", b"2", key="b")]
    with pytest.raises(Unavailable):
        bus(publisher).publish(messages)
    publisher.failing.clear()
    bus(publisher).publish(messages)
    first, *again = publisher.requests
    assert first == ("orders", "b", [b"2"])
    assert sorted(again) == [("orders", "a", [b"1"]), ("orders", "b", [b"2"])]


def test_within_one_call_nothing_of_a_key_is_sent_past_its_failure() -> None:
    """Or a later command would overtake an earlier one."""
    publisher = Publisher(("orders", "a"))
    with pytest.raises(Unavailable, match="1500 of 1500"):
        bus(publisher).publish([Outgoing("orders", b"x", key="a") for _ in range(1_500)])
    assert len(publisher.timeouts) == 1


def test_each_request_of_a_call_has_all_the_time() -> None:
    """An order does not wait for an alert that hangs: R5.1."""
    publisher = Publisher()
    bus(publisher).publish([Outgoing("orders", b"x", key=str(n)) for n in range(5)])
    assert publisher.timeouts == pytest.approx([5] * 5, abs=0.2)


def test_the_first_topic_of_a_call_waits_for_no_thread() -> None:
    """All threads may be waiting for a topic that hangs, of other messages, while an order is to go."""
    publisher = Publisher()
    one = bus(publisher)
    queue = list[Callable[[], object]]()

    class Busy:
        def submit(self, call: Callable[..., object], *args: object) -> Future[object]:
            done = Future[object]()
            queue.append(lambda: done.set_result(call(*args)))
            threading.Timer(0.05, lambda: [later() for later in queue]).start()
            return done

    one._threads = Busy  # type: ignore[assignment]
    one.publish([Outgoing("orders", b"x"), Outgoing("alerts", b"x")])
    assert [topic for topic, _, _ in publisher.requests] == ["orders", "alerts"]


def test_nothing_is_published_without_a_request() -> None:
    publisher = Publisher()
    assert bus(publisher).publish([]) == []
    assert not publisher.timeouts


class Hanging(Publisher):
    """Each request to what fails takes all the time that it has; an answer of what is `slow` takes its seconds. Requests of
    one call go side by side, so each thread has a time of its own, from `clock` on.
    """

    def __init__(self, *failing: tuple[str, str], slow: float = 0.0) -> None:
        super().__init__(*failing)
        self.slow = slow
        self.clock = self.latest = 0.0
        self.own = threading.local()

    def now(self) -> float:
        return self.clock + getattr(self.own, "passed", 0.0)

    def settle(self) -> None:
        """Let all threads go on from where the last of them is."""
        self.clock, self.own = self.latest, threading.local()

    def publish(self, *, topic: str, messages: Sequence[Any], retry: Any, timeout: float) -> Any:
        hangs = (topic.removeprefix("projects/p/topics/"), "") in self.failing
        takes = timeout if hangs else min(timeout, self.slow)
        self.own.passed = getattr(self.own, "passed", 0.0) + takes
        self.latest = max(self.latest, self.now())
        if self.slow >= timeout:
            raise exceptions.DeadlineExceeded("slow")
        return super().publish(topic=topic, messages=messages, retry=retry, timeout=timeout)


class ThreadEach:
    """Runs each call in a thread of its own, which has waited for nothing yet."""

    def submit(self, call: Callable[..., Any], *args: object) -> Future[Any]:
        future = Future[Any]()
        threading.Thread(target=lambda: future.set_result(call(*args))).start()
        return future


def hanging(publisher: Hanging) -> PubSubBus:
    bus = PubSubBus("p", client=lambda: publisher, now=publisher.now)  # type: ignore[arg-type,return-value]
    bus._threads = ThreadEach  # type: ignore[assignment]
    return bus


def waited(bus: PubSubBus, publisher: Hanging, *topics: str) -> float:
    """Return how long a call takes that publishes to some topics."""
    begun = publisher.clock
    with suppress(Unavailable):
        bus.publish([Outgoing(topic, b"x") for topic in topics])
    publisher.settle()
    return publisher.clock - begun


def test_a_topic_that_hangs_is_waited_for_long_once_and_then_briefly() -> None:
    """F40: a stop of trading publishes several times in a row, and a function of 20 s was gone in the second of them."""
    publisher = Hanging(("alerts", ""))
    hung = hanging(publisher)
    assert [waited(hung, publisher, "alerts") for _ in range(4)] == [5, BRIEF_S, BRIEF_S, BRIEF_S]
    assert [waited(hung, publisher, "orders") for _ in range(2)] == [0, 0]
    assert publisher.timeouts[-2:] == [BRIEF_S, 5], "what has answered since has all the time again"
    publisher.clock += FOR_S
    publisher.latest = publisher.clock
    assert [waited(hung, publisher, "alerts") for _ in range(2)] == [5, BRIEF_S], (
        "now and then it has its chance"
    )
    publisher.failing.clear()
    assert [waited(hung, publisher, "alerts") for _ in range(2)] == [0, 0]
    assert publisher.timeouts[-2:] == [BRIEF_S, 5]


@pytest.mark.parametrize(
    "first",
    [["history", "alerts"], ["orders", "history", "alerts"], ["orders", "history", "alerts", "sweeps"]],
)
def test_where_all_of_pubsub_hangs_a_stop_fits_into_the_time_of_a_function(first: list[str]) -> None:
    """F40: its state, its cancel and its close publish one after another, and a close begins in the first 6 s or later."""
    publisher = Hanging(*((topic, "") for topic in ("history", "alerts", "orders", "sweeps")))
    hung = hanging(publisher)
    assert waited(hung, publisher, *first) == 5
    assert [waited(hung, publisher, "orders", "history", "alerts") for _ in range(2)] == [BRIEF_S, BRIEF_S]
    assert publisher.clock < 20


def test_a_topic_that_is_slow_gets_through_after_one_that_hung() -> None:
    """F40: a kill's close waited a minute for the sweep, because an answer of 1.5 s was none."""
    publisher = Hanging(("alerts", ""), slow=1.5)
    hung = hanging(publisher)
    waited(hung, publisher, "alerts")
    for _ in range(3):
        hung.publish([Outgoing("orders", b"x"), Outgoing("history", b"x")])
        publisher.settle()


def test_a_topic_that_is_slow_gets_through_beside_others() -> None:
    """Three topics shared the time of a call: an answer of 3.5 s was too late for them, and in time for one."""
    publisher = Hanging(slow=3.5)
    hanging(publisher).publish([Outgoing(topic, b"x") for topic in ("orders", "history", "alerts")])
    assert publisher.latest == 3.5


def test_the_requests_of_one_key_share_the_time_of_the_call() -> None:
    """More than one request takes are sent one after the other; what is out of them is told."""
    publisher = Hanging(slow=3)
    slow = hanging(publisher)
    with pytest.raises(Unavailable, match="501 of 1500") as caught:
        slow.publish([Outgoing("orders", b"x", key="a") for _ in range(1_500)])
    assert publisher.latest == 5
    assert caught.value.published == set(range(999))


def test_a_request_that_was_lost_says_nothing_of_a_topic_that_answered_another_meanwhile() -> None:
    """F40: instances serve several messages at a time, and one lost connection is no hang of the topic."""
    publisher = Hanging(("orders", ""))
    one = hanging(publisher)
    publish = publisher.publish

    def beside(**request: Any) -> Any:
        """Answer another request of the topic, which began later, before this one is given up."""
        publisher.publish = publish  # type: ignore[method-assign]
        publisher.failing.clear()
        publisher.clock += 1
        one.publish([Outgoing("orders", b"y")])
        publisher.failing.add(("orders", ""))
        return publish(**request)

    publisher.publish = beside  # type: ignore[method-assign]
    assert waited(one, publisher, "orders") == 6
    waited(one, publisher, "alerts")
    assert publisher.timeouts[-1] == 5


def test_a_topic_that_refuses_at_once_is_not_one_that_hangs() -> None:
    publisher = Publisher(("alerts", ""))
    refused = bus(publisher)
    for _ in range(2):
        with pytest.raises(Unavailable):
            refused.publish([Outgoing("alerts", b"x")])
    assert publisher.timeouts == pytest.approx([5, 5], abs=0.1)


@pytest.fixture(params=["closed", "silent"])
def lost(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[PubSubBus]:
    """A Pub/Sub that refuses connections, or takes them and says nothing."""
    with socket.socket() as listener:
        port = free_port()
        if request.param == "silent":
            listener.bind((HOST, port))
            listener.listen()
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"{HOST}:{port}")
        bus = PubSubBus("nowhere", timeout_s=0.6)
        yield bus
        bus.close()


def test_an_outage_is_unavailable_in_time(lost: PubSubBus) -> None:
    """F17, F19: the client's own retry would take ten minutes: R8.5."""
    assert not differs("outage", "pubsub")
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="1 of 1"):
        lost.publish([Outgoing("alerts", b"x")])
    assert time.monotonic() - begun < 2.5


class Refusing:
    """Stands in for the API client where a service refuses each try, or hangs for as long as a try may take."""

    def __init__(self, problem: exceptions.GoogleAPICallError) -> None:
        self.problem = problem
        self.tries = 0

    def publish(self, *, topic: str, messages: Sequence[Any], retry: Any, timeout: float) -> Any:
        def once() -> None:
            self.tries += 1
            if isinstance(self.problem, exceptions.DeadlineExceeded):
                time.sleep(timeout)
            raise self.problem

        return retry(once)()


@pytest.mark.parametrize(
    ("problem", "is_tried_again"),
    [
        (exceptions.NotFound("gone"), False),
        (exceptions.PermissionDenied("not yours"), False),
        (exceptions.ResourceExhausted("over the quota"), True),
        (exceptions.DeadlineExceeded("hung"), False),
    ],
    ids=str,
)
def test_a_topic_that_is_gone_forbidden_over_its_quota_or_hangs_is_unavailable_in_time(
    problem: exceptions.GoogleAPICallError, is_tried_again: bool
) -> None:
    """F17: only what may be over in a moment is tried again, and none of it takes longer than a call may."""
    client, begun = Refusing(problem), time.monotonic()
    refused = PubSubBus("p", client=lambda: client, timeout_s=0.4)  # type: ignore[arg-type,return-value]
    with pytest.raises(Unavailable, match=f"1 of 1 .*{problem.message}"):
        refused.publish([Outgoing("alerts", b"x")])
    assert time.monotonic() - begun < 2
    assert (client.tries > 1) is is_tried_again
