"""What an account changes of a limit: another number, another action, or off."""

from enum import StrEnum

from stopline.model.decimals import DecimalText
from stopline.model.wire import Message


class Action(StrEnum):
    """What a breach does, beside telling people. What stops trading stands until a person resumes."""

    WARN = "warn"
    REDUCE_ONLY = "reduce_only"  # nothing is let through that increases the account's risk
    PAUSE_STRATEGY = "pause_strategy"  # the same for one strategy
    HALT = "halt"  # nothing is let through; positions stay as they are


class LimitOverride(Message):
    """A limit of the profile, changed: another number or action, or switched off by name and on purpose.

    A limit that is off in the profile is on with a `limit` of its own.
    """

    limit: DecimalText | None = None
    enabled: bool = True
    action: Action | None = None
