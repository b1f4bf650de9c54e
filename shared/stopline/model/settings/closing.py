"""How an account's positions are closed: order types, collar, retries, and when slippage is worth an alert."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from stopline.model.decimals import DecimalText
from stopline.model.wire import Message

By = Literal["margin", "exposure", "heat"]  # what a reduction brings down: rules/reduction/plan.py
Percent = Annotated[DecimalText, Field(gt=0, le=100)]


class ClosingSettings(Message):
    """Settings of closings.

    `collar_pct`: how far beyond the far side of the quote a limit price may be, in per cent of the mark, but
    `collar_min` at least; doubled with each retry up to `collar_max_pct` (and `collar_min`). `halt_order`: what a kill
    closes with; `exit_order`: what exits and requests close with, LIMIT as long as their urgency lets it. `multi_leg`:
    the account's broker takes a spread as one order. `valid_s`: how long a command is worked on. `slippage_bps` and
    `slippage_money`: slippage beyond both is told to people.
    """

    collar_pct: Percent = Decimal(1)
    collar_min: Annotated[DecimalText, Field(ge=0)] = Decimal("0.05")
    collar_max_pct: Percent = Decimal(20)
    halt_order: Literal["MARKET", "LIMIT"] = "MARKET"
    exit_order: Literal["MARKET", "LIMIT"] = "LIMIT"
    multi_leg: bool = False
    valid_s: Annotated[int, Field(ge=5, le=600)] = 30
    slippage_bps: Annotated[DecimalText, Field(ge=0)] = Decimal(100)
    slippage_money: Annotated[DecimalText, Field(ge=0)] = Decimal(50)


class Reduction(Message):
    """Close trades until the measure `by` is at most `to` percent of the equity; 0 closes all that it counts."""

    by: By = "margin"
    to: Annotated[DecimalText, Field(ge=0, le=1000)]
