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

LATE = "X-Late"  # what the failing functions read: where to sleep, and for how long
LATE_S, SHORT_S = 3.0, 1.5  # how long a late delivery sleeps, and how long it is waited for
SOON = 3  # deliveries after short pauses; each later pause is twice as long, as Pub/Sub's are
MOST_DOUBLED = 5
Due = tuple[float, int, dict[str, Any], str, int]
"""When a message may be delivered, its number, the request, where its next delivery is to be late (empty: nowhere), and how
many deliveries came before.
"""


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

    def send(self, body: dict[str, Any], late: str = "") -> None:
        """Deliver a message, sooner or later. `late`: its first delivery outlives its deadline, `before` or `after` its
        commit.
        """
        with self._changed:
            self._numbers += 1
            message = {
                "data": base64.b64encode(canonical(body)).decode(),
                "messageId": f"courier-{self._numbers}",
                "publishTime": datetime.now(UTC).isoformat(),
                "attributes": {},
            }
            self._left += 1
            heapq.heappush(self._due, (0.0, self._numbers, {"message": message}, late, 0))
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
                how = self._deliver(session, due[2], due[3])
                with self._changed:
                    self.done[how] += 1
                    if how == "acknowledged":
                        self._left -= 1
                        continue
                    tries = due[4] + 1
                    pause = self._rng.uniform(0.1, 1.0) * 2.0 ** min(max(tries - SOON, 0), MOST_DOUBLED)
                    heapq.heappush(self._due, (time.monotonic() + pause, due[1], due[2], "", tries))
                    self._changed.notify()

    def _next(self) -> Due | None:
        with self._changed:
            while not self._stopped:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)
                self._changed.wait(wait)
        return None

    def _deliver(self, session: requests.Session, request: dict[str, Any], late: str) -> str:
        headers = {LATE: f"{late} {LATE_S}"} if late else {}
        deadline = SHORT_S if late else self._deadline_s
        try:
            answer = session.post(self._url, json=request, headers=headers, timeout=deadline)
        except requests.Timeout:
            return "late"
        except requests.ConnectionError:
            return "broken off"
        return "acknowledged" if answer.ok else "refused"
