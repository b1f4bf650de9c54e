"""How an account's positions are closed: order types, collar, retries, and when slippage is worth an alert."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from stopline.model.decimals import DecimalText
from stopline.model.wire import Message

By = Literal["margin", "exposure", "heat"]  # what a reduction brings down: rules/reduction/plan.py
Percent = Annotated[DecimalText, Field(gt=0, le=100)]
NotNegative = Annotated[DecimalText, Field(ge=0)]
OrderType = Literal["MARKET", "LIMIT"]
ValidSeconds = Annotated[int, Field(ge=5, le=600)]
RetrySeconds = Annotated[int, Field(ge=1, le=3600)]


class OwnClosing(Message):
    """What exits say of how their trades are closed: what is set goes over `ClosingSettings`; None: as it is elsewhere."""

    collar_pct: Percent | None = None
    collar_min: NotNegative | None = None
    collar_max_pct: Percent | None = None
    halt_order: OrderType | None = None
    exit_order: OrderType | None = None
    multi_leg: bool | None = None
    valid_s: ValidSeconds | None = None
    retry_s: RetrySeconds | None = None
    retry_max_s: RetrySeconds | None = None
    slippage_bps: NotNegative | None = None
    slippage_money: NotNegative | None = None

    @property
    def said(self) -> dict[str, Any]:
        """What is set, by name."""
        return {name: value for name, value in self if value is not None}


class ClosingSettings(Message):
    """Settings of closings.

    `collar_pct`: how far beyond the far side of the quote a limit price may be, in per cent of the mark, but
    `collar_min` at least; doubled with each retry up to `collar_max_pct` (and `collar_min`). `halt_order`: what a kill
    closes with; `exit_order`: what exits and requests close with, LIMIT as long as their urgency lets it. `multi_leg`:
    the account's broker takes a spread as one order. `valid_s`: how long a command is worked on. `retry_s`: how long after a
    command that failed the next may go, doubled with each up to `retry_max_s`. `slippage_bps` and `slippage_money`: slippage
    beyond both is told to people.
    """

    collar_pct: Percent = Decimal(1)
    collar_min: NotNegative = Decimal("0.05")
    collar_max_pct: Percent = Decimal(20)
    halt_order: OrderType = "MARKET"
    exit_order: OrderType = "LIMIT"
    multi_leg: bool = False
    valid_s: ValidSeconds = 30
    retry_s: RetrySeconds = 5
    retry_max_s: RetrySeconds = 120
    slippage_bps: NotNegative = Decimal(100)
    slippage_money: NotNegative = Decimal(50)

    def with_own(self, own: OwnClosing) -> "ClosingSettings":
        """Return these settings with what a strategy or a trade says itself."""
        said = own.said
        return self.model_copy(update=said) if said else self


class Reduction(Message):
    """Close trades until the measure `by` is at most `to` percent of the equity; 0 closes all that it counts."""

    by: By = "margin"
    to: Annotated[DecimalText, Field(ge=0, le=1000)]
