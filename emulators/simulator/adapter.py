"""A broker adapter as users write it: the real `stopline.client` between Stopline and a broker that does as it likes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from emulators.simulator.ports import SimClock
from emulators.simulator.venue import Ticket, Venue
from emulators.simulator.world import Delivery, Instance, World
from stopline.client import Beside, Client, Order
from stopline.model.instrument import Instrument
from stopline.model.messages import COMMAND_TYPE, Command, CommandAction, Halt
from stopline.model.working import Working, adding
from stopline.ports import Bus

Post = Callable[[str, Mapping[str, Any]], tuple[int, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Sent:
    """An order that was let through: under which epoch, and what the adapter had heard of by then."""

    at: datetime
    ticket: Ticket
    heard: int  # the highest epoch of any message or lease that had come to this process
    asked_at: datetime  # when its lease was asked for
    halted: Mapping[str, str]  # scopes of halts that had come to this process, by id


class SimAdapter:
    """One account's adapter. `watch` is told of each order that adds risk, `obeyed` of each command that is carried out."""

    def __init__(
        self,
        world: World,
        instance: Instance,
        account: str,
        post: Post,
        venue: Venue,
        watch: Callable[[Sent], None],
        obeyed: Callable[[Command, int], None],
        report: Callable[[str, str, str], None] | None = None,
        bus: Bus | None = None,
    ) -> None:
        self._world = world
        self._instance = instance
        self.account = account
        self._post = post
        self.venue = venue
        self._watch = watch
        self._obeyed = obeyed
        self._report = report
        self._bus = bus
        self._orders = 0
        self._contracts: dict[str, Instrument] = {}  # by symbol: what the broker can say of what it holds
        self.start()

    def start(self) -> None:
        """Begin as a new process: nothing is known but what the broker says."""
        self.client = Client(
            self.account, "sim", self._post, SimClock(self._world, self._instance), self._bus
        )
        self.heard = 0
        self.asked_at = self._world.now
        self.halted: dict[str, str] = {}  # id of a halt -> its scope
        self.is_behind = False  # a whole cancel came when its epoch was over
        self._started = object()

    def renew(self, instance: Instance, delivery: Delivery) -> None:
        """Ask for a lease."""
        client, asked_at = self.client, self._world.now
        if client.renew() and client is self.client and client.lease is not None:
            self.heard = max(self.heard, client.lease.epoch)
            self.asked_at = asked_at
        if not client.is_leased():
            self.venue.cancel([id_ for id_, ticket in self.venue.working.items() if ticket.adds])

    def take(self, instance: Instance, delivery: Delivery) -> None:
        """Take a message of the topic `orders` as docs/client.md says."""
        data = delivery.message.data
        value = orjson.loads(data)
        if value["type"] == COMMAND_TYPE and value["account"] == self.account:
            before, self.heard = self.heard, max(self.heard, value["epoch"])
        taken = self.client.take(data)
        if taken.dropped.startswith("epoch") and value["action"] == CommandAction.CANCEL_ALL:
            self.is_behind = True
        if taken.halt is not None:
            self.halted[taken.halt.halt_id] = taken.halt.scope
            self._cancel(taken.halt)
        if taken.command is None:
            return
        self._obeyed(taken.command, before)
        match taken.command.action:
            case CommandAction.CANCEL_ALL:
                self._cancel(taken.command)
            case CommandAction.CANCEL_ADDING:
                self._cancel(taken.command, self.adding())
            case CommandAction.CLOSE:
                self._close(taken.command)

    def trade(
        self, strategy: str, instrument: Instrument, units: Decimal, group_id: str | None = None
    ) -> str | None:
        """Send an order of a program, signed units, unless it must not be; return why it was not sent."""
        held = self.venue.held(strategy, instrument.symbol)
        working = self.venue.works(strategy, instrument.symbol, 1 if units > 0 else -1)
        after = held + units + (working if units > 0 else -working)
        self._contracts[instrument.symbol] = instrument
        order = Order(strategy, instrument, held, after, beside=self._beside((strategy, instrument.symbol)))
        refused = self.client.refusal(order)
        if refused is None:
            self._orders += 1
            epoch, adds = self.client.epoch, not order.reduces
            ticket = Ticket(f"O{self._orders}", strategy, instrument, units, epoch, adds, group_id)
            if adds:
                halted = dict(self.halted)
                self._watch(Sent(self._world.now, ticket, self.heard, self.asked_at, halted))
                self.venue.mix(ticket)
            self.venue.send(ticket)
        return refused

    def _beside(self, key: tuple[str, str]) -> tuple[Beside, ...] | None:
        """Return what is held besides a position, None where a contract of it is not known."""
        others = {other: units for other, units in self.venue.positions.items() if other != key and units}
        if not {symbol for _, symbol in others} <= self._contracts.keys():
            return None
        return tuple(Beside(self._contracts[symbol], units) for (_, symbol), units in others.items())

    def tick(self) -> None:
        """Cancel what has run out."""
        now, working = self._world.now, self.venue.working
        late = [id_ for id_, ticket in working.items() if ticket.expires_at and now >= ticket.expires_at]
        for ticket in self.venue.cancel(late):
            self._tell(ticket.order, "expired", "")

    def is_closing(self, strategy: str, symbol: str) -> bool:
        """Tell whether a command works on a position: who waits for it trades nothing there."""
        return any(t.key == (strategy, symbol) and not t.adds for t in self.venue.working.values())

    def adding(self) -> set[str]:
        """Return the working orders that may add risk, as docs/client.md finds them."""
        found: set[str] = set()
        for key in {ticket.key for ticket in self.venue.working.values()}:
            orders = [
                Working(id_, ticket.left, reduce_only=ticket.expires_at is not None)
                for id_, ticket in self.venue.working.items()
                if ticket.key == key
            ]
            found.update(adding(self.venue.held(*key), orders))
        return found

    def _cancel(self, said: Command | Halt, only: Collection[str] | None = None) -> None:
        """Cancel what works and is meant; of that only some, where they are named."""

        def meant(ticket: Ticket) -> bool:
            if only is not None and ticket.id not in only:
                return False
            return said.covers(ticket.strategy, ticket.instrument)

        for ticket in self.venue.cancel([id_ for id_, t in self.venue.working.items() if meant(t)]):
            if ticket.expires_at is not None:
                self._tell(ticket.order, "cancelled", "")

    def _close(self, command: Command) -> None:
        if command.legs:
            self._close_together(command)
            return
        assert command.instrument is not None
        ticket = self._ticket(command, command.instrument, command.command_id)
        status = self.venue.send(ticket) if ticket.left else "rejected"
        self._tell(command.command_id, status, "" if ticket.left else "nothing to close")

    def _close_together(self, command: Command) -> None:
        """Close the legs of a spread as one order, if each of them may be closed as far as is wanted."""
        assert command.quantity is not None
        legs, wanted = [], []
        for number, leg in enumerate(command.legs):
            quantity = leg.ratio * command.quantity
            part = command.model_copy(update={"side": leg.side, "quantity": quantity, "legs": ()})
            legs.append(self._ticket(part, leg.instrument, f"{command.command_id}~{number}"))
            wanted.append(quantity)
        is_whole = [abs(leg.left) for leg in legs] == wanted
        status = self.venue.send_together(legs) if is_whole else "rejected"
        self._tell(command.command_id, status, "" if is_whole else "not all of it is there to be closed")

    def _ticket(self, command: Command, instrument: Instrument, id_: str) -> Ticket:
        """Return the order for one position, of as many units as may be closed."""
        strategy = command.strategy or "default"
        sign = 1 if command.side == "BUY" else -1
        works = [Working("", sign * self.venue.works(strategy, instrument.symbol, sign))]
        units = self.client.closable(command, self.venue.held(strategy, instrument.symbol), works)
        group, end = command.group_id, command.expires_at
        return Ticket(id_, strategy, instrument, sign * units, command.epoch, group_id=group, expires_at=end)

    def _tell(self, command_id: str, status: str, reason: str) -> None:
        if self._report is not None:
            self._report(command_id, status, reason)
