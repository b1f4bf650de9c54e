"""Deliveries as Pub/Sub makes them, without its emulator, which has two messages of a subscription under way and no more."""

from __future__ import annotations

import base64
import heapq
import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import requests

from stopline.model.wire import canonical

Due = tuple[float, int, dict[str, Any]]
"""When a message may be delivered, its number, the request."""


class Courier:
    """Posts messages to a function until each is acknowledged. What is answered after the deadline is delivered again while
    the first delivery may still be at work. `done` counts the deliveries by how they ended.
    """

    def __init__(self, url: str, lanes: int, deadline_s: float, seed: int) -> None:
        self._url = url
        self._deadline_s = deadline_s
        self._rng = random.Random(seed)
        self._due: list[Due] = []
        self._left = 0  # messages that are not acknowledged
        self._numbers = 0
        self._stopped = False
        self._changed = threading.Condition()
        self.done: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(lanes)]
        for thread in self._threads:
            thread.start()

    def send(self, body: dict[str, Any]) -> None:
        """Deliver a message, sooner or later."""
        with self._changed:
            self._numbers += 1
            message = {
                "data": base64.b64encode(canonical(body)).decode(),
                "messageId": f"courier-{self._numbers}",
                "publishTime": datetime.now(UTC).isoformat(),
                "attributes": {},
            }
            self._left += 1
            heapq.heappush(self._due, (0.0, self._numbers, {"message": message}))
            self._changed.notify()

    @property
    def left(self) -> int:
        """How many messages are not acknowledged yet."""
        return self._left

    def stop(self) -> None:
        """Deliver nothing any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while (due := self._next()) is not None:
                how = self._deliver(session, due[2])
                with self._changed:
                    self.done[how] += 1
                    if how == "acknowledged":
                        self._left -= 1
                        continue
                    again = time.monotonic() + self._rng.uniform(0.1, 1.0)
                    heapq.heappush(self._due, (again, due[1], due[2]))
                    self._changed.notify()

    def _next(self) -> Due | None:
        with self._changed:
            while not self._stopped:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)
                self._changed.wait(wait)
        return None

    def _deliver(self, session: requests.Session, request: dict[str, Any]) -> str:
        try:
            answer = session.post(self._url, json=request, timeout=self._deadline_s)
        except requests.Timeout:
            return "late"
        except requests.ConnectionError:
            return "broken off"
        return "acknowledged" if answer.ok else "refused"
