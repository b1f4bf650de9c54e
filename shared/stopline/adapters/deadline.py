"""An end to every call to a service outside, whatever the service does.

A client's time-outs are for one connect and one read: a service that drips a byte a second never meets them. So the
call runs in a thread of its own, and whoever waits for it gives up in time.
"""

import contextvars
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from stopline.model.messages import Alert
from stopline.ports import Channel, ChannelBusy, Receipt
from stopline.rules.alerting.around import ALONE, Around

SEND_S = 10.0  # one message, all in all; `service/alerting/dispatch_alert.py` says what must be longer
READ_S = 5.0  # one connect and one read of it
STUCK = 32  # calls to one service that may hang at a time; the function takes far fewer messages at once

T = TypeVar("T")


class TooManyStuck(Exception):
    """So many earlier calls hang that no further one is begun."""


class Deadline:
    """Makes calls that end after `seconds`. Safe between threads.

    A call that was given up goes on in its thread until the service lets go of it; `stuck` of them are borne.
    """

    def __init__(self, seconds: float, stuck: int = STUCK) -> None:
        self._seconds = seconds
        self._room = threading.BoundedSemaphore(stuck)

    def call(self, function: Callable[[], T]) -> T:
        """Return what a function returns, or raise what it raises. Raises TimeoutError, TooManyStuck."""
        if not self._room.acquire(blocking=False):
            raise TooManyStuck
        outcome: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
        context = contextvars.copy_context()

        def run() -> None:
            value, fault = None, None
            try:
                value = context.run(function)
            except BaseException as problem:  # noqa: BLE001 - raised where it was called
                fault = problem
            self._room.release()  # before anybody who waits goes on
            outcome.put((value, fault))

        threading.Thread(target=run, name="deadline", daemon=True).start()
        try:
            value, fault = outcome.get(timeout=self._seconds)
        except Empty:
            raise TimeoutError from None
        if fault is not None:
            raise fault
        return value  # type: ignore[return-value]  # the function's own


class InTime:
    """A channel of which every send ends in time."""

    def __init__(self, channel: Channel, seconds: float = SEND_S, stuck: int = STUCK) -> None:
        self.name = channel.name
        self.seconds = seconds
        self._channel = channel
        self._deadline = Deadline(seconds, stuck)

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        """Send by the channel. What is not done in time is ChannelBusy: it may have been sent."""
        try:
            return self._deadline.call(lambda: self._channel.send(address, alert, zone, around))
        except TimeoutError:
            raise ChannelBusy(f"no end after {self.seconds:g} s: it may have been sent") from None
        except TooManyStuck:
            raise ChannelBusy("too many earlier messages still hang there") from None
