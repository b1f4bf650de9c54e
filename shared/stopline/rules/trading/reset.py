"""How stops end: by themselves, and by whom. Limits and breakers name their rule; words for people come from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

QUARTER = Decimal("0.25")
FURTHER = Decimal("0.1")  # of the threshold: so much worse than when its stop ended stops again
ONE = Decimal(1)


class Reset(StrEnum):
    """What ends a stop. A person may end any; where its rule says so, two must."""

    SESSION = "session"  # the next session begins; before that two people
    WEEK = "week"
    MONTH = "month"
    TIME = "time"  # a cool-down is over, at a quarter of the size for as long again
    PERSON = "person"
    TWO_PEOPLE = "two people"
    READINGS = "readings"  # enough good readings in a row


@dataclass(frozen=True, slots=True)
class ResetRule:
    """How a stop ends: `people` who must agree to lift it by hand, and the share of the size it reopens with."""

    reset: Reset
    people: int = 1
    reopen: Decimal = ONE


BY_A_PERSON = ResetRule(Reset.PERSON)
MONEY = ResetRule(Reset.PERSON, 1, QUARTER)
DRAWDOWN = ResetRule(Reset.TWO_PEOPLE, 2, QUARTER)
GOOD_DATA = ResetRule(Reset.READINGS)

_BY_ITSELF: Mapping[Reset, str] = {
    Reset.SESSION: "until the next session",
    Reset.WEEK: "until next week",
    Reset.MONTH: "until next month",
    Reset.TIME: "until a cool-down is over",
    Reset.READINGS: "until good readings are back",
}
PERIODS: Mapping[Reset, str] = {  # what a number of a period does as the next one begins
    Reset.SESSION: "with the next session",
    Reset.WEEK: "with the next week's first session",
    Reset.MONTH: "with the next month's first session",
}


def until(rule: ResetRule) -> str:
    """Say what ends a stop: time where its rule has one, and always people."""
    people = "two people resume" if rule.people > 1 else "a person resumes"
    own = _BY_ITSELF.get(rule.reset)
    return f"{own}, or {people}" if own else f"until {people}"
