"""What becomes of a fill that comes in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from stopline.model.errors import Rejected
from stopline.model.fill import Fill


class Result(StrEnum):
    APPLIED = "applied"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one fill. A refused one carries why, and must be quarantined by the caller."""

    fill: Fill
    result: Result
    refused: Rejected | None = None


def conflicting(fill: Fill) -> Outcome:
    """Return the outcome of a fill whose id has been booked with other content."""
    refused = Rejected(
        "CONFLICTING_DUPLICATE",
        f"fill {fill.key} is booked with other content: the first one stands, nothing was changed",
    )
    return Outcome(fill, Result.REFUSED, refused)


def refusals(fills: Iterable[Fill], refused: Mapping[str, Rejected]) -> dict[str, Outcome]:
    """Return the outcomes of those of some fills that are refused, by key."""
    return {
        fill.key: Outcome(fill, Result.REFUSED, refused[fill.key]) for fill in fills if fill.key in refused
    }
