"""The broker of the focus `kill`: it trades for a trader, and carries out close commands or does not; and fills as brokers
tell them.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from emulators.simulator.world import Delivery, Instance, World
from stopline.model.messages import Command, CommandAction
from stopline.model.times import utc_text
from stopline.model.wire import canonical, decode_object, validate
from stopline.ports import Outgoing


class SimBroker:
    """A broker that holds positions, executes close commands, and misbehaves: rejects, fills in parts, fills late."""

    def __init__(self, world: World, publish: Callable[[dict[str, Any]], None]) -> None:
        self._world = world
        self._publish = publish
        self.positions: dict[tuple[str, str], Decimal] = {}
        self.contracts: dict[str, dict[str, Any]] = {}
        self.executed: set[str] = set()
        self.epochs: dict[str, int] = {}
        self.flips: list[str] = []

    def trade(self, fill: dict[str, Any]) -> None:
        """Note an execution that a trader made."""
        key = (fill["account"], fill["instrument"]["symbol"])
        signed = Decimal(fill["quantity"]) * (1 if fill["side"] == "BUY" else -1)
        self.positions[key] = self.positions.get(key, Decimal(0)) + signed
        self.contracts[key[1]] = fill["instrument"]

    def _reject(self, command: Command) -> None:
        report = {
            "type": "stopline.report.v1",
            "command_id": command.command_id,
            "account": command.account,
            "broker": "paper",
            "status": "rejected",
            "reported_at": utc_text(self._world.now),
        }
        self._world.accept(Outgoing("fills", canonical(report)))

    def handle(self, instance: Instance, delivery: Delivery) -> None:
        """Take one command as an adapter must: once, not stale, never through zero."""
        command = validate(Command, decode_object(delivery.message.data))
        latest = self.epochs.get(command.account, 0)
        self.epochs[command.account] = max(latest, command.epoch)
        if command.action is not CommandAction.CLOSE or command.command_id in self.executed:
            return
        if command.epoch < latest or self._world.now > command.expires_at or command.instrument is None:
            return
        self.executed.add(command.command_id)
        if self._world.rng.random() < 0.1:  # rejected by the venue, which says so, or does not
            if self._world.rng.random() < 0.5:
                self._reject(command)
            return
        key = (command.account, command.instrument.symbol)
        held = self.positions.get(key, Decimal(0))
        wanted = command.quantity or Decimal(0)
        direction = 1 if command.side == "BUY" else -1
        if not held or (held > 0) == (direction > 0):
            return  # reduce-only: there is nothing to reduce
        quantity = min(abs(held), wanted)
        if quantity > 1 and self._world.rng.random() < 0.3:
            quantity = Decimal(int(quantity / 2)) or quantity
        before, after = held, held + direction * quantity
        if before * after < 0 or abs(after) > abs(before):
            self.flips.append(command.command_id)
        fill = make_fill(
            command.command_id, key[0], self.contracts[key[1]], direction, quantity, Decimal(100), self._world
        )
        self.trade(fill)
        if self._world.rng.random() < 0.7:  # else nobody can tell which command it is of
            fill["order_id"] = command.command_id
        self._publish(fill)


def make_fill(
    id_: str,
    account: str,
    contract: dict[str, Any],
    sign: int,
    quantity: Decimal,
    price: Decimal,
    world: World,
) -> dict[str, Any]:
    """Return a native fill, executed now."""
    return {
        "type": "stopline.fill.v1",
        "fill_id": id_,
        "broker": "paper",
        "account": account,
        "instrument": contract,
        "side": "BUY" if sign > 0 else "SELL",
        "quantity": str(quantity),
        "price": str(price),
        "fee": "0.25",
        "executed_at": utc_text(world.now),
    }


def of_alpaca(fill: dict[str, Any]) -> Outgoing:
    """Return a trade as Alpaca tells it: what it is, and whose, stands in the attributes."""
    order = {"id": "O1", "symbol": fill["instrument"]["symbol"], "asset_class": "us_equity"}
    update = {
        "event": "fill",
        "execution_id": fill["fill_id"],
        "timestamp": fill["executed_at"],
        "qty": fill["quantity"],
        "price": fill["price"],
        "order": {**order, "side": fill["side"].lower()},
    }
    attributes = {"dialect": "alpaca", "broker": fill["broker"], "account": fill["account"]}
    return Outgoing("fills", canonical(update), attributes)
