"""stopline dead-letters: what it says that it did, it did; whatever breaks in between."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stopline.adapters.dead_letters import DeadLetters
from stopline.cli import dead_letters
from stopline.cli.main import main
from stopline.ports import Outgoing, Unavailable
from stopline.runtime.embedded import Embedded

from ..make import NOON


class Subscriber:
    """Pub/Sub's side: what is pulled is held until its deadline, and what is acknowledged after it comes again."""

    def __init__(self, count: int) -> None:
        self.now = 0.0
        self.letters = [str(n) for n in range(count)]
        self.held: dict[str, float] = {}
        self.empty = 0  # pulls that give nothing, though there is something

    def pull(self, request: dict[str, Any], timeout: float) -> Any:
        self.empty -= 1
        free = [id_ for id_ in self.letters if self.held.get(id_, 0) <= self.now]
        if not request["subscription"].endswith("/fills-dead-pull") or self.empty >= 0:
            free = []
        some = free[: min(request["max_messages"], 400)]
        self.held |= dict.fromkeys(some, self.now + 10)
        return SimpleNamespace(received_messages=[self._received(id_) for id_ in some])

    def _received(self, id_: str) -> Any:
        message = SimpleNamespace(
            message_id=id_, data=b"{}", attributes={}, publish_time=datetime(2026, 11, 18, tzinfo=UTC)
        )
        return SimpleNamespace(message=message, ack_id=id_)

    def modify_ack_deadline(self, request: dict[str, Any], timeout: float) -> None:
        for id_ in request["ack_ids"]:
            if self.held.get(id_, 0) > self.now:
                self.held[id_] = self.now + request["ack_deadline_seconds"]

    def acknowledge(self, request: dict[str, Any], timeout: float) -> None:
        valid = [id_ for id_ in request["ack_ids"] if self.held.get(id_, 0) > self.now]
        self.letters = [id_ for id_ in self.letters if id_ not in valid]


class Slow:
    """A bus that takes its time for each message, and then fails."""

    def __init__(self, subscriber: Subscriber, seconds: float, works: int = 10_000) -> None:
        self.subscriber, self.seconds, self.works = subscriber, seconds, works
        self.sent: list[str] = []

    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        self.subscriber.now += self.seconds
        for message in messages:
            if message.topic != "fills":
                continue
            if len(self.sent) == self.works:
                raise Unavailable("Pub/Sub is down")
            self.sent.append(message.topic)
        return ["m"] * len(messages)


def stopline(monkeypatch: pytest.MonkeyPatch, subscriber: Subscriber, bus: Slow, *given: str) -> Result:
    world = Embedded(NOON)
    box = DeadLetters("p", client=lambda: subscriber)  # type: ignore[arg-type,return-value]
    monkeypatch.setattr(dead_letters, "_box", lambda: box)
    monkeypatch.setattr(world.bus, "publish", bus.publish)
    return CliRunner().invoke(main, ["dead-letters", *given], obj=lambda: world.app)


def test_all_that_is_redriven_is_off_the_list_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """F27: 600 letters at a fifth of a second each are longer than what was taken is held."""
    subscriber = Subscriber(600)
    bus = Slow(subscriber, 0.2)
    result = stopline(monkeypatch, subscriber, bus, "redrive", "fills", "--all")
    assert (result.exit_code, result.output) == (0, "600 redriven, 0 left\n")
    assert (len(bus.sent), subscriber.letters) == (600, [])


def test_what_was_done_before_it_failed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """F27: those are off the list, and the others stay on it, free for the next try."""
    subscriber = Subscriber(5)
    bus = Slow(subscriber, 0.01, works=3)
    result = stopline(monkeypatch, subscriber, bus, "redrive", "fills", "--all")
    assert result.exit_code == 1
    assert "3 redriven, 2 left" in result.output
    assert "Pub/Sub is down" in result.output
    assert subscriber.letters == ["3", "4"]
    assert all(subscriber.held[id_] <= subscriber.now for id_ in subscriber.letters)


def test_an_id_that_is_named_twice_is_redriven_once(monkeypatch: pytest.MonkeyPatch) -> None:
    subscriber = Subscriber(2)
    bus = Slow(subscriber, 0.01)
    result = stopline(monkeypatch, subscriber, bus, "redrive", "fills", "1", "1")
    assert (result.exit_code, result.output, len(bus.sent)) == (0, "1 redriven, 1 left\n", 1)


@pytest.mark.parametrize("command", ["redrive fills --all", "drop fills --all --reason x"])
def test_more_than_are_taken_at_once_are_not_said_to_be_gone(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A thousand are done; that none is left would be a claim about those that were not looked at."""
    subscriber = Subscriber(1003)
    result = stopline(monkeypatch, subscriber, Slow(subscriber, 0), *command.split())
    assert result.exit_code == 0
    assert "there may be more" in result.output
    assert len(subscriber.letters) == 3


def test_a_list_that_is_cut_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    subscriber = Subscriber(1003)
    result = stopline(monkeypatch, subscriber, Slow(subscriber, 0), "list", "--topic", "fills")
    assert "there may be more of fills" in result.output
    subscriber = Subscriber(2)
    result = stopline(monkeypatch, subscriber, Slow(subscriber, 0), "list")
    assert "there may be more" not in result.output


def test_one_empty_answer_is_not_taken_for_an_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pub/Sub may answer a pull with nothing while there is something."""
    subscriber = Subscriber(2)
    subscriber.empty = 2
    result = stopline(monkeypatch, subscriber, Slow(subscriber, 0), "list", "--topic", "fills", "--json")
    assert [one["id"] for one in json.loads(result.output)] == ["0", "1"]
