"""Orders before they are sent: what is asked about, not what is executed."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stopline.model.decimals import DecimalText
from stopline.model.fill import DEFAULT_STRATEGY
from stopline.model.ids import Id, Name
from stopline.model.instrument import Instrument, Kind
from stopline.model.wire import Message

Positive = Annotated[DecimalText, Field(gt=0)]
Side = Literal["BUY", "SELL"]


class OrderLeg(Message):
    """One contract of an order: `ratio` units of it for each unit of the order. Without a limit price it is a
    market order.
    """

    instrument: Instrument
    side: Side
    ratio: Positive = Decimal(1)
    limit_price: DecimalText | None = None

    @property
    def signed(self) -> Decimal:
        """Units for one unit of the order, negative when sold."""
        return self.ratio if self.side == "BUY" else -self.ratio


class WorkingOrder(Message):
    """An order that is at the broker already and may still be filled: `quantity` is what is left of it, `order_id` the
    name that the broker's fills give it, `client_order_id` the one it was sent under where that may be a command's. A stop
    order that waits for its price is one too. `strategy_told`: whoever listed it said whose it is; else it counts as of
    `strategy`, and nothing that speaks of one strategy alone is said by it.
    """

    order_id: Id | None = None
    client_order_id: Id | None = None
    strategy: Name = DEFAULT_STRATEGY
    strategy_told: Annotated[bool, Field(strict=True)] = True
    instrument: Instrument
    side: Side
    quantity: Positive
    limit_price: DecimalText | None = None

    @property
    def signed(self) -> Decimal:
        return self.quantity if self.side == "BUY" else -self.quantity


class Order(Message):
    """An order of `quantity` units, each of all legs, in steps of `lot`.

    `stop` and `target` are prices of the whole as it is quoted: of one leg its own price; of a spread that was sold
    for 2.00, 4.00 is where it has lost 2.00; of 100 shares (a `ratio` of 100) against a call it is their price less the
    call's. A price that a contract cannot have is refused; 0 is the stop of who may lose
    all. `confidence` is of the signal, from 0 to 1. `reduce_only`: refused where
    it would do more. `epoch`: the trading state's that the sender has seen. `working` are the account's other orders,
    beside those that the store knows: one with the `order_id` of one of those counts in its place. `order_id`: the
    order's own, where it is at the broker already and asked about again: then it is not counted beside itself.
    """

    strategy: Name = DEFAULT_STRATEGY
    legs: Annotated[tuple[OrderLeg, ...], Field(min_length=1, max_length=20)]
    quantity: Positive = Decimal(1)
    lot: Positive = Decimal(1)
    stop: DecimalText | None = None
    target: DecimalText | None = None
    confidence: Annotated[DecimalText, Field(ge=0, le=1)] | None = None
    reduce_only: bool = False
    epoch: int | None = Field(default=None, ge=0)
    order_id: Id | None = None
    working: Annotated[tuple[WorkingOrder, ...], Field(max_length=200)] = ()

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        contracts = [leg.instrument for leg in self.legs]
        if len({c.symbol for c in contracts}) != len(contracts):
            raise ValueError("legs must be of different instruments")
        if any(c.kind is Kind.CASH for c in contracts):
            raise ValueError("cash is not ordered")
        if len({(c.currency, c.inverse) for c in contracts}) > 1:
            raise ValueError("legs must have the same currency")
        if len({c.multiplier for c in contracts}) > 1:
            if len({c.kind for c in contracts}) == 1:
                raise ValueError("legs of one kind must have the same multiplier")
            has_price = len({leg.ratio * leg.instrument.multiplier for leg in self.legs}) == 1
            if not has_price and (self.stop is not None or self.target is not None):
                raise ValueError(
                    "a stop or target needs legs of as many units each, such as 100 shares to a contract"
                )
        if len(contracts) > 1 and contracts[0].inverse:
            raise ValueError("inverse contracts are ordered one by one")
        for leg in self.legs:
            if leg.limit_price is not None and not leg.instrument.allows_price(leg.limit_price):
                raise ValueError(
                    f"limit_price: {leg.instrument.symbol} cannot be traded at {leg.limit_price}"
                )
        only = contracts[0] if len(contracts) == 1 else None
        for name, price in (("stop", self.stop), ("target", self.target)):
            if only is not None and price and not only.allows_price(price):
                raise ValueError(f"{name}: {only.symbol} is never at {price}")
        if self.quantity % self.lot:
            raise ValueError(f"quantity must be a multiple of the lot, {self.lot}")
        return self

    def sized(self, quantity: Decimal) -> "Order":
        """Return the order with another quantity."""
        return self.model_copy(update={"quantity": quantity})
