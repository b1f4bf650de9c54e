"""What an account says about its risk measures: the index it is compared with, confidence, and when to be told."""

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

from stopline.model.decimals import ZERO, DecimalText
from stopline.model.ids import Name, Symbol
from stopline.model.times import DateText
from stopline.model.wire import Message


def _between(low: str, high: str) -> AfterValidator:
    def check(value: Decimal) -> Decimal:
        if not Decimal(low) <= value <= Decimal(high):
            raise ValueError(f"must be between {low} and {high}, was {value}")
        return value

    return AfterValidator(check)


def _paths(value: int) -> int:
    if value and (not 1000 <= value <= 20_000 or value % 2):
        raise ValueError(f"must be 0, or even and between 1000 and 20000, was {value}")
    return value


class MeasureSettings(Message):
    """Settings of the measures. Percentages are of equity: 25 is 25 %.

    `index`: beta-weighted delta is in its money; without one it is UNKNOWN. `volatility_index` moves the implied
    volatilities in historical scenarios and tells the regime. `rate` is the yearly interest rate for options (0.04 is
    4 %), `dividend_yields` those of underlyings, by symbol (0.013 is 1.3 %), 0 where none is named. `futures`: underlyings
    that are futures, beside those that are held or look like one (`ESZ6`): options on them are priced by Black-76.
    `window`: sessions of history. `horizon`: sessions that VaR and ES look ahead. `paths`: simulated ones of a Monte Carlo
    figure beside the others; 0: none. `days`: names of sessions that stress is played by, however long ago. `spike`: a move
    of the day is a volatility spike from so many daily deviations on. `exposure_warning`: told when the near stress (5 % of
    spot) would lose that much of equity.
    """

    index: Symbol | None = None
    volatility_index: Symbol | None = "VIX"
    rate: Annotated[DecimalText, _between("-0.1", "0.5")] = ZERO
    dividend_yields: dict[Symbol, Annotated[DecimalText, _between("-0.1", "0.5")]] = Field(
        default_factory=dict, max_length=500
    )
    futures: tuple[Symbol, ...] = Field(default=(), max_length=500)
    confidence: Annotated[DecimalText, _between("0.9", "0.995")] = Decimal("0.95")
    window: Annotated[int, Field(ge=20, le=500)] = 500
    horizon: Annotated[int, Field(ge=1, le=20)] = 1
    paths: Annotated[int, AfterValidator(_paths)] = 0
    spike: Annotated[DecimalText, _between("1", "20")] = Decimal(4)
    days: dict[Name, DateText] = Field(default_factory=dict, max_length=20)
    exposure_warning: Annotated[DecimalText, _between("1", "1000")] = Decimal(25)
