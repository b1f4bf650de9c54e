"""How an account sizes its orders. Percentages are of equity: 1 is 1 %."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from stopline.model.decimals import DecimalText
from stopline.model.wire import Message

Method = Literal["fixed_fractional", "kelly", "risk_parity", "fixed_amount"]
Percent = Annotated[DecimalText, Field(gt=0, le=100)]


class SizingSettings(Message):
    """`risk`: what an order may lose at its stop, by `fixed_fractional`. `amount`: money put into an order, by
    `fixed_amount`. `volatility`: what an order may move on an ordinary day, by `risk_parity`. `dynamic`: the size
    follows signal strength, volatility and recent performance. `volume_share`: the most of an ordinary day's volume that an
    order may be, where the volume is told.
    """

    method: Method = "fixed_fractional"
    risk: Percent = Decimal(1)
    amount: Annotated[DecimalText, Field(gt=0)] | None = None
    volatility: Percent = Decimal("0.5")
    dynamic: bool = True
    volume_share: Percent = Decimal(1)
