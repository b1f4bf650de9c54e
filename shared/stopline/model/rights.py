"""The rights that people and programs have, on an account or everywhere."""

from typing import Annotated, Literal

from pydantic import Field

Right = Literal["view", "trade", "risk", "kill", "resume", "admin"]
Rights = Annotated[tuple[Right, ...], Field(max_length=6)]
