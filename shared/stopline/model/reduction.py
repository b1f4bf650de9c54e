"""Reductions that run by themselves: what an account wants closed when a limit is breached or a breaker trips."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator

from stopline.model.decimals import DecimalText
from stopline.model.ids import Id, Name
from stopline.model.text import Text
from stopline.model.wire import Message

REDUCTIONS_TOPIC: Final = (
    "reductions"  # of effects: carried out where they are committed, see service/outbox.py
)

By = Literal["margin", "exposure", "heat"]


def _share(value: DecimalText) -> DecimalText:
    if not 0 <= value <= 1000:
        raise ValueError(f"must be from 0 to 1000, in % of the equity, was {value}")
    return value


class Reduction(Message):
    """Close trades until the measure `by` is at most `to` percent of the equity; 0 closes all that it counts."""

    by: By = "margin"
    to: Annotated[DecimalText, AfterValidator(_share)]


class ReductionRequest(Message):
    """A wish to reduce an account now. `name`: the limit or breaker that asks; `target` in money of the account."""

    type: Literal["stopline.reduction.v1"] = "stopline.reduction.v1"
    request_id: Id
    account: Name
    name: Name
    by: By
    target: DecimalText
    reason: Text
    cause: Text
