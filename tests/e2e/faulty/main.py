"""The functions in a world that fails: one call in ten before its effect, one in ten after, some far too late.

All that they use is imported before the server forks: a worker that is killed is back in a tenth of a second, so that
a run is about what a kill loses and not about imports.
"""

import importlib
import os
import pkgutil
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import flask
import functions_framework
from google.cloud import firestore  # noqa: F401
from google.pubsub_v1.services import publisher  # noqa: F401

from stopline import service
from stopline.ports import Bus, Outgoing, Store, Unavailable, Write
from stopline.runtime import google
from stopline.runtime.app import App
from stopline.runtime.push import Answer, push
from stopline.service.alerting import dispatch_alert
from stopline.service.sweep import flush_outboxes

RATE = float(os.environ.get("FAULT_RATE", "0.1"))
LATE_RATE = float(os.environ.get("LATE_RATE", "0"))  # commits that outlive the deadline of their delivery
LATE_SECONDS = 12.0
LATE = (
    "X-Late"  # a request with it, "before" or "after" its first commit, is late by as many seconds as it says
)
_random = random.Random(os.getpid())
os.register_at_fork(after_in_child=lambda: _random.seed(os.getpid()))

_USED = {
    "fills": ("fills", "documents"),
    "prices": ("prices", "evaluation", "closing", "exits"),
    "alerts": ("alerting", "documents"),
}
for _package in _USED.get(os.environ.get("K_SERVICE", ""), ()) or os.listdir(service.__path__[0]):
    if not _package.startswith("_"):
        for _module in pkgutil.iter_modules([f"{service.__path__[0]}/{_package}"]):
            importlib.import_module(f"stopline.service.{_package}.{_module.name}")
if os.environ.get("HASTE"):  # a run of seconds cannot wait for what a dead instance holds for a minute
    dispatch_alert.LEASE = timedelta(seconds=6)
    flush_outboxes.OUTBOX_AGE = timedelta(seconds=3)


def _faulty(call: Callable[[], Any]) -> Any:
    if _random.random() < RATE:
        raise Unavailable("injected before the effect")
    result = call()
    if _random.random() < RATE:
        raise Unavailable("injected after the effect")
    return result


def _sleep_late(when: str) -> None:
    """Sleep where the request says so, once: whoever delivered it has given the message to somebody else by then."""
    if flask.has_request_context() and (asked := flask.request.headers.get(LATE)):
        position, seconds = asked.split()
        if position == when and not flask.g.get("was_late"):
            flask.g.was_late = True
            time.sleep(float(seconds))


class FaultyStore:
    """Commits that fail before or after they are applied, or take too long; reads pass through."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, writes: Sequence[Write]) -> list[Any]:
        if _random.random() < LATE_RATE:
            time.sleep(LATE_SECONDS)
        _sleep_late("before")
        result: list[Any] = _faulty(lambda: self._store.commit(writes))
        _sleep_late("after")
        return result


class FaultyBus:
    """Publishing that fails before or after the broker has the messages."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        result: list[str] = _faulty(lambda: self._bus.publish(messages))
        return result


@cache
def faulty(world: Callable[[], App]) -> App:
    """Return a function's app over ports that fail."""
    ports = world().ports
    return App(replace(ports, store=FaultyStore(ports.store), bus=FaultyBus(ports.bus)))


@functions_framework.http
def on_fills(request: flask.Request) -> Answer:
    """Take one message of topic `fills`, unless a fault is injected."""
    return push(request, "fills", lambda: faulty(google.app))


@functions_framework.http
def on_prices(request: flask.Request) -> Answer:
    """Take one message of topic `prices`, unless a fault is injected."""
    return push(request, "prices", lambda: faulty(google.app))


@functions_framework.http
def on_sweep(request: flask.Request) -> Answer:
    """Take one message of topic `sweeps`, unless a fault is injected."""
    return push(request, "sweeps", lambda: faulty(google.history_app))


@functions_framework.http
def on_alert(request: flask.Request) -> Answer:
    """Take one message of topic `alerts`, unless a fault is injected."""
    return push(request, "alerts", lambda: faulty(google.alerts_app))
