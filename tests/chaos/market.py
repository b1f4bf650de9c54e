"""What goes on beside the fills: prices, the scheduler's sweeps, and alerts of which each must reach a person."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from emulators.bootstrap import Refused
from emulators.stack import Stack

SYMBOLS = ("AAPL", "BTC-USD", "ESZ6", "SPXW991231P02600000")


@dataclass
class Pace:
    """Seconds between two of each."""

    prices: float
    sweeps: float
    alerts: float


class Market(threading.Thread):
    """Publishes until it is told to stop. `alerts` are the words of those that it has published, of one account each;
    `counts` the messages of each topic.
    """

    def __init__(self, stack: Stack, pace: Pace, accounts: list[str]) -> None:
        super().__init__(daemon=True)
        self._stack = stack
        self._accounts = accounts
        self._rng = random.Random(11)
        self._stopped = threading.Event()
        self._calm = threading.Event()  # no more news
        self._every = {"prices": pace.prices, "sweeps": pace.sweeps, "alerts": pace.alerts}
        self._bodies: dict[str, Callable[[], Any]] = {
            "prices": self._prices,
            "sweeps": lambda: {"type": "stopline.sweep.v1", "kind": "risk"},
            "alerts": self._alert,
        }
        self.alerts: list[str] = []
        self.counts = dict.fromkeys(self._every, 0)

    def run(self) -> None:
        due = dict.fromkeys(self._every, time.monotonic())
        while not self._stopped.wait(max(0.0, min(due.values()) - time.monotonic())):
            topic = min(due, key=lambda name: due[name])
            due[topic] = time.monotonic() + self._every[topic]
            if self._calm.is_set() and topic != "sweeps":
                continue
            if topic == "alerts" and len(self.alerts) == len(self._accounts):
                continue  # one each: several of one account would wait for each other
            body = self._bodies[topic]()
            while not self._published(topic, body):
                if self._stopped.wait(0.5):
                    break
            self.counts[topic] += 1

    def stop(self) -> None:
        """Publish no more."""
        self._stopped.set()
        self.join()

    def quiet(self) -> None:
        """Bring no more news; sweeps go on."""
        self._calm.set()

    def _published(self, topic: str, body: Any) -> bool:
        """Publish a message; an emulator that is frozen or gone is asked again, under the same id of the alert."""
        try:
            self._stack.publish(topic, body)
        except (requests.RequestException, Refused):
            return False
        return True

    def _prices(self) -> dict[str, Any]:
        """Return a price of every symbol, a little off the last one."""
        return {
            "type": "stopline.prices.v1",
            "as_of": datetime.now(UTC).isoformat(),
            "symbols": list(SYMBOLS),
            "last": [round(self._rng.uniform(98, 102), 2) for _ in SYMBOLS],
        }

    def _alert(self) -> dict[str, Any]:
        """Return an alert whose words no other has."""
        number = len(self.alerts)
        words = f"watch number {number:06d}"
        self.alerts.append(words)
        return {
            "type": "stopline.alert.v1",
            "alert_id": f"watch-{number:06d}",
            "account": self._accounts[number],
            "kind": "chaos_watch",
            "object": f"watch {number}",
            "severity": "critical",
            "summary": words,
            "raised_at": datetime.now(UTC).isoformat(),
        }
