"""The rights that people and programs have, on an account or everywhere."""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field

Right = Literal["view", "trade", "risk", "kill", "resume", "admin"]
Rights = Annotated[tuple[Right, ...], Field(max_length=6)]

STOPS: frozenset[Right] = frozenset({"trade", "risk", "kill", "resume"})


def gives(rights: Collection[Right], right: Right) -> bool:
    """Tell whether rights give one: each itself, `admin` all, and whoever may trade, set limits or resume may stop too."""
    return right in rights or "admin" in rights or (right == "kill" and not STOPS.isdisjoint(rights))
