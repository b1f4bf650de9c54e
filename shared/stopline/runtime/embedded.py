"""The whole of Stopline in one process over memory: for replay, tests, and the demo where there are no
emulators.

The same use cases and handlers as in the functions; only the ports differ. Messages are delivered when `run`
is called, one after another, so a run is repeatable.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from stopline.adapters.clock import ManualClock
from stopline.adapters.memory import MemoryBus, MemoryHistory, MemoryStore
from stopline.adapters.outbox_channel import RecordingChannel
from stopline.model.messages import Sweep, SweepKind
from stopline.model.settings.operator import OperatorAlerts
from stopline.model.settings.recipients import Recipients
from stopline.model.wire import canonical
from stopline.ports import Outgoing
from stopline.runtime.app import App
from stopline.runtime.envelope import Envelope
from stopline.runtime.handlers import HANDLERS, receive
from stopline.runtime.ports import Ports

CHANNELS = ("sms", "email", "discord")


class Embedded:
    """A Stopline of its own. `channels` record what people would have been told."""

    def __init__(
        self,
        start: datetime,
        operator: Recipients | None = None,
        keep_rows: int | None = None,
        operator_alerts: OperatorAlerts | None = None,
    ) -> None:
        """Start at a moment; `keep_rows`: how many rows of each history table to keep, about."""
        self.clock = ManualClock(start)
        self.store = MemoryStore()
        self.bus = MemoryBus()
        self.history = MemoryHistory(keep_rows)
        self.channels = {name: RecordingChannel(name) for name in CHANNELS}
        people = operator or Recipients(email=("operator@example.com",))
        duty = operator_alerts or OperatorAlerts()
        self.app = App(
            Ports(
                self.store,
                self.bus,
                self.clock,
                self.history,
                self.channels,
                people,
                operator_alerts=duty,
            )
        )
        for topic in HANDLERS:
            self.bus.subscribe(topic, self._deliver(topic))

    def publish(
        self, topic: str, body: Mapping[str, Any], attributes: Mapping[str, str] | None = None
    ) -> str:
        """Publish one message, as a broker, a feed or the scheduler would; return its id."""
        return self.bus.publish([Outgoing(topic, canonical(dict(body)), attributes or {})])[0]

    def sweep(self, kind: SweepKind = SweepKind.RISK) -> None:
        """Publish a scheduled sweep."""
        self.publish("sweeps", Sweep(kind=kind).model_dump(mode="json"))

    def run(self) -> int:
        """Deliver all messages, and those that follow from them; return the number of deliveries."""
        return self.bus.run()

    def _deliver(self, topic: str) -> Any:
        def handle(message: Outgoing, message_id: str, attempt: int) -> None:
            envelope = Envelope(
                message.data, message_id, message.attributes, self.clock.now(), topic, attempt
            )
            receive(self.app, topic, envelope)

        return handle
