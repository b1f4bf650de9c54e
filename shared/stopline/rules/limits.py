"""Limits as data: a registry of named limits, and what the figures say to each.

To add a limit: one entry in LIMITS and one pure function from figures to what is measured.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from stopline.model.account import Account
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.fill import DEFAULT_STRATEGY
from stopline.model.instrument import Kind
from stopline.rules.figures import Figures

WARN_AT = Decimal("0.80")  # of any limit (R2.2)
CLEAR_BELOW = Decimal(
    "0.05"
)  # a level is left only this far (of the limit) below where it began: no flapping
HUNDRED = Decimal(100)
SETTLING = timedelta(seconds=5)  # how long the legs of a spread may come one after another
MOST = Decimal(10) ** 6  # %: more is told as this much


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    BREACH = "breach"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """OK 0, UNKNOWN 1, WARN 2, BREACH 3: of several levels the highest is shown."""
        return (Level.OK, Level.UNKNOWN, Level.WARN, Level.BREACH).index(self)


class Action(StrEnum):
    WARN = "warn"  # tell people
    REDUCE_ONLY = "reduce_only"  # and let nothing through that increases risk, until a person resumes


@dataclass(frozen=True, slots=True)
class Measure:
    """What is held against a limit: of which object, how much; None is UNKNOWN."""

    object: str
    current: Decimal | None
    settling: bool = False  # legs are still being booked: a worse level waits for the next reading


@dataclass(frozen=True, slots=True)
class Limit:
    """One named limit. `defaults` by profile, in `unit`; `inclusive`: reaching it is a breach already."""

    name: str
    unit: str  # "%" of equity, or "money" in the account's currency
    defaults: Mapping[str, Decimal]
    measure: Callable[[Figures], Iterable[Measure]]
    action: Action
    inclusive: bool
    what: str  # for people: "{what} of {object}"


@dataclass(frozen=True, slots=True)
class Reading:
    """One limit read for one object."""

    limit: Limit
    object: str
    current: Decimal | None
    threshold: Decimal
    level: Level

    @property
    def key(self) -> str:
        return f"{self.limit.name}|{self.object}"


def _share(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """Return part as percent of whole; unknown without either. With nothing left of the whole any part is all
    of it.
    """
    if part is None or whole is None:
        return None
    if whole <= 0:
        return MOST if part else ZERO
    return min(divide(EXACT.multiply(part, HUNDRED), whole, places=6), MOST)


def _position_values(f: Figures) -> Iterable[Measure]:
    return (Measure(_position_name(key), _share(value, f.equity)) for key, value in f.position_values.items())


def _position_name(key: str) -> str:
    """Name a position by its symbol, and by its strategy too where that is not the default."""
    strategy, symbol = key.split(":", 1)
    return symbol if strategy == DEFAULT_STRATEGY else f"{symbol} ({strategy})"


def _symbol_exposures(f: Figures) -> Iterable[Measure]:
    return (
        Measure(underlying, _share(value, f.equity), _is_settling(f, underlying))
        for underlying, value in f.exposures.items()
    )


def _is_settling(f: Figures, underlying: str) -> bool:
    """Tell whether an option leg was executed just now: until its spread's other legs are booked too, the account
    looks as if it were naked short, which nobody must be woken for.
    """
    return any(
        v.position.instrument.kind is Kind.OPTION
        and v.position.instrument.underlying == underlying
        and v.position.last is not None
        and abs(f.at - v.position.last[0]) < SETTLING
        for v in f.positions
    )


def _daily_loss(f: Figures) -> Iterable[Measure]:
    loss = None if f.pnl_day is None else max(-f.pnl_day, ZERO)
    return [Measure("account", _share(loss, f.day_start_equity))]


LIMITS: Mapping[str, Limit] = {
    limit.name: limit
    for limit in (
        Limit(
            "max_position_value",
            "%",
            {"zero_dte": Decimal(10), "general": Decimal(10)},
            _position_values,
            Action.WARN,
            inclusive=False,
            what="position value",
        ),
        Limit(
            "max_symbol_exposure",
            "%",
            {"zero_dte": Decimal(20), "general": Decimal(25)},
            _symbol_exposures,
            Action.WARN,
            inclusive=False,
            what="exposure",
        ),
        Limit(
            "max_daily_loss",
            "%",
            {"zero_dte": Decimal(3), "general": Decimal(5)},
            _daily_loss,
            Action.REDUCE_ONLY,
            inclusive=True,
            what="loss of the day",
        ),
    )
}


def check_overrides(account: Account) -> list[str]:
    """Return what is wrong with an account's limit settings, one line each."""
    faults = [
        f"limits.{name}: there is no such limit; there are {', '.join(LIMITS)}"
        for name in account.limits
        if name not in LIMITS
    ]
    for name, override in account.limits.items():
        if override.limit is not None and not 0 < override.limit <= 1000:
            faults.append(f"limits.{name}.limit: must be above 0 and at most 1000 %, was {override.limit}")
    return faults


def readings(f: Figures, previous: Mapping[str, Level]) -> list[Reading]:
    """Read every limit that is on for the account. `previous` levels, by reading key, give the hysteresis."""
    result = []
    for limit in LIMITS.values():
        override = f.account.limits.get(limit.name)
        if override is not None and not override.enabled:
            continue
        threshold = limit.defaults[f.account.profile]
        if override is not None and override.limit is not None:
            threshold = override.limit
        for measure in limit.measure(f):
            before = previous.get(f"{limit.name}|{measure.object}", Level.OK)
            level = level_of(measure.current, threshold, limit.inclusive, before)
            if measure.settling and level.rank > before.rank:
                level = before
            result.append(Reading(limit, measure.object, measure.current, threshold, level))
    return result


def level_of(current: Decimal | None, threshold: Decimal, inclusive: bool, before: Level) -> Level:
    """Return the level of a number against its limit, staying at a level until the number is clear of it."""
    if current is None:
        return Level.UNKNOWN
    if current > threshold or (inclusive and current == threshold):
        return Level.BREACH
    if before is Level.BREACH and current > threshold * (1 - CLEAR_BELOW):
        return Level.BREACH
    if current >= threshold * WARN_AT:
        return Level.WARN
    if before in (Level.WARN, Level.BREACH) and current > threshold * (WARN_AT - CLEAR_BELOW):
        return Level.WARN
    return Level.OK
