"""A channel that keeps what it is given: for the embedded mode, replay and tests."""

import threading
from collections import deque
from dataclasses import dataclass

from stopline.model.messages import Alert
from stopline.ports import Receipt
from stopline.rules.alerting.around import ALONE, Around
from stopline.rules.alerting.texts import sms_text

_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that a person would have got; `text` is its short form."""

    channel: str
    address: str
    alert: Alert
    text: str


class RecordingChannel:
    """Takes every alert and remembers the last ones, oldest first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._sent: deque[Sent] = deque(maxlen=_KEPT)
        self._count = 0
        self._lock = threading.Lock()

    @property
    def sent(self) -> list[Sent]:
        """What was sent, in order."""
        with self._lock:
            return list(self._sent)

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        """Remember the message."""
        message = Sent(self.name, address, alert, sms_text(alert, zone, around))
        with self._lock:
            self._count += 1
            self._sent.append(message)
            return Receipt(f"{self.name}-{self._count}", "recorded")
