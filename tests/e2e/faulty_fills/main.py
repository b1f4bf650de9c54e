"""The fills function with a world that fails: one call in ten before its effect, one in ten after, some far too late."""

import os
import random
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import flask
import functions_framework

from stopline.ports import Bus, Outgoing, Store, Unavailable, Write
from stopline.runtime import google
from stopline.runtime.app import App, Ports
from stopline.runtime.push import Answer, push

RATE = float(os.environ.get("FAULT_RATE", "0.1"))
LATE_RATE = float(os.environ.get("LATE_RATE", "0"))  # deliveries that outlive their deadline
LATE_SECONDS = 12.0
_random = random.Random(os.getpid())


def _faulty(call: Callable[[], Any]) -> Any:
    if _random.random() < RATE:
        raise Unavailable("injected before the effect")
    result = call()
    if _random.random() < RATE:
        raise Unavailable("injected after the effect")
    return result


class FaultyStore:
    """Commits that fail before or after they are applied; reads pass through."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, writes: Sequence[Write]) -> list[Any]:
        if _random.random() < LATE_RATE:
            time.sleep(LATE_SECONDS)  # Pub/Sub has given the message to somebody else by then
        return _faulty(lambda: self._store.commit(writes))


class FaultyBus:
    """Publishing that fails before or after the broker has the messages."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        return _faulty(lambda: self._bus.publish(messages))


@cache
def app() -> App:
    base = google.app()
    return App(Ports(FaultyStore(base.store), FaultyBus(base.ports.bus), base.clock))


@functions_framework.http
def on_fills(request: flask.Request) -> Answer:
    """Take one message of topic `fills`, unless a fault is injected."""
    return push(request, "fills", app)
