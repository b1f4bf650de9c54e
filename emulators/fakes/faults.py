"""The ways in which a service misbehaves, and the record of what reached it in spite of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar


@dataclass(frozen=True)
class Fault:
    """One way to misbehave; made by the functions below, which say what each is for.

    `accepted` tells whether the service took the message although its client cannot know.
    """

    status: int = 200
    accepted: bool = False
    retry_after: float | None = None
    hang_seconds: float = 0
    cut: bool = False
    drip_seconds: float = 0


def rate_limited(retry_after: float = 1.0) -> Fault:
    """Too many requests: come back after so many seconds."""
    return Fault(status=429, retry_after=retry_after)


def fails(status: int = 500) -> Fault:
    """The service has a bad moment and takes nothing."""
    return Fault(status=status)


def fails_after_accepting(status: int = 500) -> Fault:
    """The service took the message, and says that it did not: a second try arrives twice."""
    return Fault(status=status, accepted=True)


def gone() -> Fault:
    """The webhook was deleted, the account is unknown, the mailbox does not exist."""
    return Fault(status=404)


def hangs(seconds: float = 3600, *, accepted: bool = True) -> Fault:
    """No answer for so long; then the usual one, or none where nothing was taken."""
    return Fault(hang_seconds=seconds, accepted=accepted)


def cut_off(*, accepted: bool = True) -> Fault:
    """The connection ends in the middle of the answer."""
    return Fault(cut=True, accepted=accepted)


def drips(every: float = 0.02, *, accepted: bool = True) -> Fault:
    """An answer that never ends, a byte at a time: each read is in time, the whole is not."""
    return Fault(drip_seconds=every, accepted=accepted)


class Timed(Protocol):
    """What a fake records."""

    @property
    def accepted(self) -> bool: ...


T = TypeVar("T", bound=Timed)


class Recorder(Generic[T]):
    """The record of a fake and the faults that wait for the next requests. Safe between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._received: list[T] = []
        self._next: list[Fault] = []
        self._always: Fault | None = None
        self.closing = threading.Event()

    def close(self) -> None:
        """Stop, at once even where a client hangs."""
        self.closing.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def received(self) -> list[T]:
        """Everything that arrived, in order, accepted or not."""
        with self._changed:
            return list(self._received)

    @property
    def accepted(self) -> list[T]:
        """What the service took: what a person would have got."""
        return [one for one in self.received if one.accepted]

    def misbehave(self, *faults: Fault) -> None:
        """Answer the next requests with these faults, one each; then as usual again."""
        with self._changed:
            self._next += faults

    def always(self, fault: Fault | None) -> None:
        """Answer every request with this fault, until told otherwise; None ends it."""
        with self._changed:
            self._always = fault

    def clear(self) -> None:
        """Forget what arrived and every fault."""
        with self._changed:
            self._received.clear()
            self._next.clear()
            self._always = None

    def wait(self, count: int = 1, seconds: float = 10) -> list[T]:
        """Return what was accepted as soon as it is `count` or more; raise TimeoutError after `seconds`."""

        def accepted() -> list[T]:
            return [one for one in self._received if one.accepted]

        with self._changed:
            if not self._changed.wait_for(lambda: len(accepted()) >= count, seconds):
                arrived = f"{len(accepted())} of {count} accepted, {len(self._received)} received"
                raise TimeoutError(f"{arrived} after {seconds:g} s")
            return accepted()

    def _record(self, one: T) -> None:
        with self._changed:
            self._received.append(one)
            self._changed.notify_all()

    def _take_fault(self) -> Fault | None:
        with self._changed:
            return self._next.pop(0) if self._next else self._always
