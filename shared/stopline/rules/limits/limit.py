"""What a limit is: its unit, basis, defaults and action, and the level of a number against it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from stopline.model.messages import Severity
from stopline.model.settings.limit_override import Action
from stopline.rules.limits.figures import Figures
from stopline.rules.trading.reset import BY_A_PERSON, PERIODS, ResetRule

WARN_AT = Decimal("0.80")  # of any limit (R2.2)
CLEAR_BELOW = Decimal(
    "0.05"
)  # a level is left only this far (of the limit) below where it began: no flapping
ACCOUNT = "account"  # the object of a limit on the account as a whole


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    BREACH = "breach"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """OK 0, UNKNOWN 1, WARN 2, BREACH 3: of several levels the highest is shown."""
        return (Level.OK, Level.UNKNOWN, Level.WARN, Level.BREACH).index(self)


class Scope(StrEnum):
    """What a limit is held against, one reading for each."""

    ACCOUNT = "account"
    STRATEGY = "strategy"
    UNDERLYING = "underlying"
    INSTRUMENT = "instrument"


class Gate(StrEnum):
    """How a limit is held against an order before it is sent (rules/orders/pretrade.py)."""

    SIZE = "size"  # refused beyond the limit, unless the order makes the number no worse
    BUDGET = "budget"  # what was lost or counted: once breached, nothing may add risk
    QUALITY = "quality"  # of what is ordered, whatever its size


class Unit(StrEnum):
    PERCENT = "%"
    MONEY = "money"  # in the account's currency, whose code readings carry
    TIMES = "x"
    COUNT = "count"
    HOURS = "hours"
    UNITS = "units"  # of an instrument: shares, contracts, coins
    CORRELATION = "correlation"


@dataclass(frozen=True, slots=True)
class Measure:
    """What is held against a limit: of which object, how much; None is UNKNOWN. `at_least`: where it is, no less than this
    for sure: that is enough for a breach, and for nothing else.
    """

    object: str
    current: Decimal | None
    settling: bool = False  # legs are still being booked: a worse level waits for the next reading
    at_least: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """One named limit. `defaults` by profile, in `unit` (None: off there); `inclusive`: reaching it is a breach.

    `gate`: how it is held against an order. `ends`: what ends the stop that a breach brings.
    """

    name: str
    unit: Unit
    basis: str  # what the number is of, for people
    scope: Scope
    defaults: Mapping[str, Decimal | None]
    measure: Callable[[Figures], Iterable[Measure]]
    action: Action
    what: str  # for people: "{what} of {object}"
    falls: str = ""  # for people: when the level comes down; empty: with the period of `ends`
    ends: ResetRule = BY_A_PERSON
    inclusive: bool = False
    gate: Gate = Gate.SIZE
    severity: Severity = Severity.CRITICAL  # of a breach

    @property
    def comes_down(self) -> str:
        """When the level comes down, for people."""
        return self.falls or PERIODS[self.ends.reset]


@dataclass(frozen=True, slots=True)
class Reading:
    """One limit read for one object. `chosen`: the account's own action instead of the limit's. `at_least`: the number is a
    bound, because a price is missing.
    """

    limit: Limit
    object: str
    current: Decimal | None
    threshold: Decimal
    level: Level
    currency: str = ""
    chosen: Action | None = None
    at_least: bool = False

    @property
    def key(self) -> str:
        return f"{self.limit.name}|{self.object}"

    @property
    def action(self) -> Action:
        return self.chosen or self.limit.action

    @property
    def unit(self) -> str:
        """The unit for people and alerts: money by its currency, nothing for plain numbers."""
        unit = self.limit.unit
        if unit is Unit.MONEY:
            return self.currency
        return "" if unit in (Unit.COUNT, Unit.CORRELATION) else unit.value


def by_profile(
    zero_dte: str | None, general: str | None, conservative: str | None
) -> dict[str, Decimal | None]:
    """Return the defaults of the profiles from numbers as text; None: off."""
    numbers = {"zero_dte": zero_dte, "general": general, "conservative": conservative}
    return {profile: None if text is None else Decimal(text) for profile, text in numbers.items()}


def level_of(
    current: Decimal | None, threshold: Decimal, inclusive: bool, before: Level, unit: Unit = Unit.PERCENT
) -> Level:
    """Return the level of a number against its limit, staying at a level until the number is clear of it. A count has no
    such band: it moves by whole ones when somebody trades, and of a limit of 5 the fifth is allowed.
    """
    band = Decimal(0) if unit is Unit.COUNT else CLEAR_BELOW
    if current is None:
        return Level.UNKNOWN
    if current > threshold or (inclusive and current == threshold):
        return Level.BREACH
    if before is Level.BREACH and current > threshold * (1 - band):
        return Level.BREACH
    if current >= threshold * WARN_AT:
        return Level.WARN
    if before in (Level.WARN, Level.BREACH) and current > threshold * (WARN_AT - band):
        return Level.WARN
    return Level.OK
