"""Group commit: threads that come for the same key while one of them works are served together by the next.

One commit a message holds a hot account to one commit's round trip each. Here whoever gets the key's lock takes all
that waits and serves it in one go; the others find their work done when they get the lock.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

W = TypeVar("W")


@dataclass(slots=True)
class _Line(Generic[W]):
    """Who waits for one key."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: deque["_Ticket[W]"] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class _Ticket(Generic[W]):
    work: W
    done: bool = False
    error: BaseException | None = None


class Batcher(Generic[W]):
    """Serves works in batches by key.

    `serve(works)` does all of them, or raises: then each of them raises that error. `joins(works, work)` tells whether
    one more fits into a batch.
    """

    def __init__(self, serve: Callable[[list[W]], None], joins: Callable[[list[W], W], bool]) -> None:
        self._serve = serve
        self._joins = joins
        self._lines: dict[str, _Line[W]] = {}
        self._guard = threading.Lock()

    def run(self, key: str, work: W) -> None:
        """Return when the work is done, by this thread or by another; raise what its batch raised."""
        ticket = _Ticket(work)
        with self._guard:
            line = self._lines.setdefault(key, _Line())
            line.waiting.append(ticket)
        with line.lock:
            while not ticket.done:
                self._serve_batch(line)
        if ticket.error is not None:
            raise ticket.error

    def _serve_batch(self, line: _Line[W]) -> None:
        batch = [line.waiting.popleft()]
        while line.waiting and self._joins([t.work for t in batch], line.waiting[0].work):
            batch.append(line.waiting.popleft())
        try:
            self._serve([ticket.work for ticket in batch])
        except BaseException as problem:  # noqa: BLE001 - handed to every thread whose work it was
            for ticket in batch:
                ticket.error = problem
        for ticket in batch:
            ticket.done = True
