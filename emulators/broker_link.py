"""Between the paper broker and the topics: commands come in from `orders`, fills and reports go out."""

import base64
import threading
from collections.abc import Callable

from emulators.bootstrap import Rest
from emulators.paper_broker import PaperBroker, TradingStateOf
from stopline.adapters.memory import MemoryBus
from stopline.client import Client
from stopline.model.control import TradingState
from stopline.model.fill import Fill
from stopline.model.messages import ExecutionReport
from stopline.ports import Clock, Outgoing, Unavailable


def leased(client: Client) -> TradingStateOf:
    """Return the trading state out of the lease of one account, asked for anew when it has run out. Without one the state
    cannot be read.
    """

    def state(account: str, strategy: str, underlying: str) -> TradingState:
        if account != client.account:
            raise Unavailable(f"the lease is of {client.account}, not of {account}")
        if not client.is_leased() and not client.renew():
            raise Unavailable(f"there is no lease: {client.fault}")
        if client.size(strategy, underlying) > 0:
            return TradingState.ACTIVE
        is_halted = client.lease is not None and client.lease.state is TradingState.HALTED
        return TradingState.HALTED if is_halted else TradingState.REDUCING

    return state


def hand_out(broker: PaperBroker, clock: Clock, publish: Callable[[Fill | ExecutionReport], object]) -> None:
    """Publish the fills that are due, then what is to be said about commands; what fails stays due."""
    broker.flush(clock.now(), publish)
    while broker.told:
        publish(broker.told[0])
        broker.told.popleft()


def serve_embedded(
    broker: PaperBroker, bus: MemoryBus, clock: Clock, publish: Callable[[Fill | ExecutionReport], object]
) -> None:
    """Carry out what is published on `orders` of an embedded bus, and publish the fills and reports."""

    def handle(message: Outgoing, message_id: str, attempt: int) -> None:
        broker.message(message.data, clock.now())
        hand_out(broker, clock, publish)

    bus.subscribe("orders", handle)


class PullLoop:
    """Carries out what the subscription `orders-broker` of a Pub/Sub emulator holds, until closed.

    A message is acknowledged when its fills are published: one that comes again finds its report, and only
    what is not published yet goes out.
    """

    def __init__(
        self,
        broker: PaperBroker,
        host: str,
        project: str,
        clock: Clock,
        publish: Callable[[Fill | ExecutionReport], object],
        every_s: float = 0.1,
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._publish = publish
        self._every_s = every_s
        self._path = f"/v1/projects/{project}/subscriptions/orders-broker"
        self._rest = Rest(host)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="paper-broker", daemon=True)
        self.faults: list[Exception] = []  # what kept it from pulling or publishing, for a look afterwards
        self._thread.start()

    def close(self) -> None:
        """End the loop."""
        self._closing.set()
        self._thread.join()
        self._rest.close()

    def _run(self) -> None:
        while not self._closing.wait(self._every_s):
            try:
                self._pull()
            except Exception as problem:  # noqa: BLE001 - not acknowledged: the messages come again
                if not self._closing.is_set():
                    self.faults.append(problem)

    def _pull(self) -> None:
        body = {"maxMessages": 50, "returnImmediately": True}
        received = self._rest.call("POST", f"{self._path}:pull", body, seconds=5).get("receivedMessages", [])
        for one in received:
            self._broker.message(base64.b64decode(one["message"].get("data", "")), self._clock.now())
        hand_out(self._broker, self._clock, self._publish)
        if received:
            ids = [one["ackId"] for one in received]
            self._rest.call("POST", f"{self._path}:acknowledge", {"ackIds": ids})
