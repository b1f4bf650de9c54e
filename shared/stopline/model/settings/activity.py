"""What is unusual in an account, and which of it stops trading (R5.4)."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from stopline.model.decimals import DecimalText
from stopline.model.wire import Message

Detector = Literal["order_rate", "fill_rate", "fill_size", "price_away", "repeats", "loss_velocity"]


class ActivitySettings(Message):
    """Thresholds of the detectors in rules/watching/activity.py; null switches one off. `pauses` names those that also
    trip the breaker `unusual_activity`: a program that runs away is stopped, the others only tell.

    `orders_per_minute` (as adapters tell with their leases), `fills_per_minute` and `repeats_per_minute`: in any minute,
    fills of one order once.
    `size_times`: of the usual size. `price_away_pct`: from the mark, options by `option_price_away_pct`. `loss_pct` of the
    capital within `loss_minutes`.
    """

    orders_per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = 240
    fills_per_minute: Annotated[int, Field(ge=1, le=10_000)] | None = 120
    size_times: Annotated[DecimalText, Field(gt=1, le=10_000)] | None = Decimal(10)
    price_away_pct: Annotated[DecimalText, Field(gt=0, le=1000)] | None = Decimal(10)
    option_price_away_pct: Annotated[DecimalText, Field(gt=0, le=1000)] | None = Decimal(50)
    repeats_per_minute: Annotated[int, Field(ge=1, le=10_000)] | None = 20
    loss_pct: Annotated[DecimalText, Field(gt=0, le=100)] | None = Decimal(3)
    loss_minutes: Annotated[int, Field(ge=1, le=10)] = 5
    pauses: tuple[Detector, ...] = Field(default=("order_rate", "fill_rate", "repeats"), max_length=6)
