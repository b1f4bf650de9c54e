"""A broker that holds positions and orders and errs when told to, and its adapter: that of docs/client.md, as it stands
there, which also says what becomes of commands (docs/closing.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from unit.make import equity, raw_fill

from stopline.client import Client
from stopline.model.fill import DEFAULT_STRATEGY
from stopline.model.instrument import Instrument
from stopline.model.messages import REPORT_TYPE, Command
from stopline.model.statement import STATEMENT_TYPE
from stopline.model.times import utc_text
from stopline.ports import Clock

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
Key = tuple[str, str]
"""A strategy, and a symbol."""


class Refused(Exception):
    """The broker does not do what it was asked for."""


@dataclass(eq=False)
class Resting:
    """An order that works, of signed units. `name`: the client order id of a close of Stopline's."""

    id: str
    strategy: str
    instrument: Instrument
    units: Decimal
    sent_at: datetime
    name: str | None = None
    until: datetime | None = None

    @property
    def key(self) -> Key:
        return self.strategy, self.instrument.symbol


@dataclass
class Broker:
    """Executes closes after `fills_after` seconds (None: never) at 100, other orders when `fill` is called. `lists`: its
    statements name what works. `takes_names`: an order may have a client order id. `reports`: its adapter says what becomes
    of commands. `said`: reports, fills and statements that nobody has handed on yet.
    """

    name: str
    clock: Clock
    fills_after: int | None = 1
    lists: bool = True
    takes_names: bool = True
    reports: bool = True
    refuses_closes: bool = False
    refuses_cancels: bool = False
    held: dict[Key, Decimal] = field(default_factory=dict)
    orders: list[Resting] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    filled_at: list[datetime] = field(default_factory=list)  # closes of Stopline's
    _orders: int = 0
    _fills: int = 0

    # --- what the adapter calls ---

    def is_connected(self) -> bool:
        return True

    def position(self, strategy: str, symbol: str) -> Decimal:
        return self.held.get((strategy, symbol), Decimal(0))

    def working_orders(self) -> list[Resting]:
        return list(self.orders)

    def cancel(self, id_: str) -> None:
        if self.refuses_cancels:
            raise Refused(f"{self.name} cancels nothing")
        [order] = [one for one in self.orders if one.id == id_]
        self._end(order, "cancelled")

    def send(
        self,
        strategy: str,
        instrument: Instrument,
        side: str,
        quantity: Decimal,
        limit_price: Decimal | None = None,
        until: datetime | None = None,
        id_: str | None = None,
    ) -> None:
        if self.refuses_closes and id_:
            raise Refused(f"{self.name} takes no orders")
        units = quantity if side == "BUY" else -quantity
        order = self._rest(strategy, instrument, units, id_, until)
        self.report(order.name, "accepted", order_id=order.id)

    # --- what happens there ---

    def place(self, units: int, strategy: str = DEFAULT_STRATEGY, symbol: str = "SPY") -> Resting:
        """Place an order by hand, or as a program that asks nobody."""
        return self._rest(strategy, equity(symbol), Decimal(units))

    def fill(self, order: Resting) -> None:
        """Execute an order."""
        self.orders.remove(order)
        self.book(order.units, order.strategy, order.instrument.symbol, self._order_id(order))
        if order.name:
            self.filled_at.append(self.clock.now())
            self.report(order.name, "filled", order_id=order.id, filled=str(abs(order.units)))

    def book(self, units: Decimal, strategy: str, symbol: str, order_id: str = "by-hand") -> None:
        """Hold so many units more, and say so."""
        key = strategy, symbol
        self.held[key] = self.held.get(key, Decimal(0)) + units
        self._fills += 1
        side, instrument, now = "BUY" if units > 0 else "SELL", equity(symbol), self.clock.now()
        more = {"strategy": strategy, "broker": self.name, "order_id": order_id}
        fill_id = f"{self.name}-{self._fills}"
        self.said.append(raw_fill(fill_id, side, abs(units), 100, now, instrument, **more))

    def pass_second(self) -> None:
        """Execute, or end, the closes whose time has come."""
        now = self.clock.now()
        for order in [one for one in self.orders if one.name]:
            age = (now - order.sent_at).total_seconds()
            if self.fills_after is not None and age >= self.fills_after:
                self.fill(order)
            elif order.until and now >= order.until:
                self._end(order, "expired")

    def state(self) -> None:
        """Say what is held and, where it lists that, what works."""
        now, sums = self.clock.now(), dict[str, Decimal]()
        for (_, symbol), units in self.held.items():
            sums[symbol] = sums.get(symbol, Decimal(0)) + units
        facts = {
            "type": STATEMENT_TYPE,
            "statement_id": f"{self.name}-{now:%H%M%S}",
            "broker": self.name,
            "account": "demo",
            "as_of": utc_text(now),
            "positions": [{"symbol": name, "quantity": str(units)} for name, units in sums.items() if units],
        }
        working = {"working": [self._listed(one) for one in self.orders]} if self.lists else {}
        self.said.append({**facts, **working})

    def report(self, command_id: str | None, status: str, **more: str) -> None:
        """Say what becomes of a command; of an order of somebody else nobody asks."""
        if command_id and self.reports:
            facts = {"type": REPORT_TYPE, "command_id": command_id, "account": "demo", "broker": self.name}
            self.said.append({**facts, "status": status, "reported_at": utc_text(self.clock.now()), **more})

    @property
    def left(self) -> tuple[dict[Key, int], list[int]]:
        """What is held and what works, in units."""
        held = {key: int(units) for key, units in self.held.items() if units}
        return held, [int(one.units) for one in self.orders]

    # --- inside ---

    def _rest(
        self,
        strategy: str,
        instrument: Instrument,
        units: Decimal,
        name: str | None = None,
        until: datetime | None = None,
    ) -> Resting:
        self._orders += 1
        id_, now = f"{self.name}-o{self._orders}", self.clock.now()
        order = Resting(id_, strategy, instrument, units, now, name, until)
        self.orders.append(order)
        return order

    def _end(self, order: Resting, how: str) -> None:
        self.orders.remove(order)
        self.report(order.name, how, order_id=order.id, filled="0")

    def _order_id(self, order: Resting) -> str:
        return order.name if order.name and self.takes_names else order.id

    def _listed(self, order: Resting) -> dict[str, Any]:
        named = {"client_order_id": order.name} if order.name and self.takes_names else {}
        return {
            "order_id": order.id,
            "strategy": order.strategy,
            "side": "BUY" if order.units > 0 else "SELL",
            "quantity": str(abs(order.units)),
            "instrument": order.instrument.model_dump(mode="json", exclude_none=True),
            **named,
        }


def adapter_of_the_page() -> Any:
    """Return the class that docs/client.md shows."""
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["Adapter"]


PageAdapter: Any = adapter_of_the_page()


class Adapter(PageAdapter):  # type: ignore[misc]
    """Says besides what its broker refuses. `taken`: what it was told to do, and when. `tidies`: it cancels with each lease
    what adds where nothing may.
    """

    def __init__(self, broker: Broker, client: Callable[[], Client]) -> None:
        super().__init__(client(), broker)
        self._client = client
        self.desk = broker
        self.is_on = True
        self.tidies = True
        self.taken: list[tuple[datetime, Command]] = []

    def restart(self) -> None:
        """Begin as a new process: it knows what its first lease says."""
        self.client = self._client()
        self.is_on = True
        self.renew()

    def renew(self) -> None:
        with suppress(Refused):
            if self.tidies:
                self.every_20_seconds()
            else:
                self.client.renew()

    def carry_out(self, command: Command) -> str:
        self.taken.append((self.desk.clock.now(), command))
        try:
            said: str = super().carry_out(command)
        except Refused as refused:
            said = "refused"
            self.desk.report(command.command_id, "rejected", reason=str(refused))
        return said
