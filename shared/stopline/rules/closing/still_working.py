"""Orders of others that a broker lists although a halt has cancelled them: an account is not flat before a newer list names
none. What a list of before the halt names proves nothing; a broker that lists no orders is UNKNOWN, not without any.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from stopline.model.decimals import decimal_text
from stopline.model.order import WorkingOrder
from stopline.model.scopes import scope_of

SHOWN = 3  # orders that a text names


@dataclass(frozen=True, slots=True)
class Listed:
    """An order of a broker's newest list, which was asked for at `at`. `adds`: it may do more than reduce what is held."""

    broker: str
    at: datetime
    order: WorkingOrder
    adds: bool = True

    def __str__(self) -> str:
        one = self.order
        name = f"order {one.order_id} at {self.broker}" if one.order_id else f"at {self.broker}"
        return f"{one.side} {decimal_text(one.quantity)} {one.instrument.symbol} ({name})"


@dataclass(frozen=True, slots=True)
class Lists:
    """What the newest lists of an account's brokers name, our own close commands left out. `told_at`: when each broker was
    asked for its list; None: it has told none. `unread`: why what a broker told cannot be read; nobody knows then what
    works there, nor since when.
    """

    told_at: Mapping[str, datetime | None]
    orders: Sequence[Listed] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    def working(self, scope: str, since: datetime) -> list[Listed]:
        """Return the orders of a scope that worked after a moment. Of a strategy those that are told to be its own."""
        named = scope_of(scope)
        return [
            one
            for one in self.orders
            if one.at > since
            and named.covers(one.order.strategy, one.order.instrument.underlying)
            and (one.order.strategy_told or named.kind != "strategy")
        ]

    def is_told(self, broker: str, since: datetime) -> bool:
        """Tell whether a broker has listed its orders after a moment."""
        at = self.told_at.get(broker)
        return at is not None and at > since

    def silent(self, halted: Mapping[str, datetime]) -> set[str]:
        """Return the brokers that have not listed the orders of all scopes after their halts, or not whose they are."""
        untold = {one.broker for one in self.orders if not one.order.strategy_told}
        return {
            broker
            for broker in self.told_at
            for scope, since in halted.items()
            if not self.is_told(broker, since) or (broker in untold and scope_of(scope).kind == "strategy")
        }


NO_LISTS = Lists({})


def shown(orders: Sequence[Listed]) -> str:
    """Name orders for people: how many, and the first of them."""
    more = f" and {len(orders) - SHOWN} more" if len(orders) > SHOWN else ""
    count = "1 order still works" if len(orders) == 1 else f"{len(orders)} orders still work"
    return f"{count}: {', '.join(map(str, orders[:SHOWN]))}{more}"


def adds(order: WorkingOrder, held: Decimal) -> bool:
    """Tell whether an order may do more than reduce a position of `held` units, signed. Each by itself: of a stop and a
    target one cancels the other.
    """
    return (order.signed > 0) is (held > 0) or order.quantity > abs(held)
