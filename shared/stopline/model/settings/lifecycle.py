"""What an account says about options near their expiry: when it wants to be told."""

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

from stopline.model.decimals import DecimalText
from stopline.model.wire import Message


def _percent(value: Decimal) -> Decimal:
    if not 0 <= value <= 20:
        raise ValueError(f"must be between 0 and 20, was {value}")
    return value


class LifecycleSettings(Message):
    """`pin_minutes`: pin risk is watched in the last minutes of trading, for short strikes within `pin_percent` of the
    underlying (0.5 is 0.5 %). `orphan_seconds`: a spread whose closing is younger is not called broken.
    `unsettled_minutes`: how long after its end an option may wait for the broker's fill before people are told.
    """

    pin_minutes: Annotated[int, Field(ge=0, le=390)] = 60
    pin_percent: Annotated[DecimalText, AfterValidator(_percent)] = Decimal("0.5")
    orphan_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    unsettled_minutes: Annotated[int, Field(ge=0, le=4320)] = 30
