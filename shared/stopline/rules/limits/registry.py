"""Limits as data: a registry of named limits, and what the figures say to each.

To add a limit: one entry in LIMITS' families (`limit_exposure`, `limit_loss`, `limit_market`) and one pure function
from figures to what is measured; then its line in docs/limits.md.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from stopline.model.account import Account
from stopline.model.settings.limit_override import Action, LimitOverride
from stopline.rules.limits.exposure import EXPOSURE_LIMITS
from stopline.rules.limits.figures import Figures
from stopline.rules.limits.limit import (
    CLEAR_BELOW,
    WARN_AT,
    Gate,
    Level,
    Limit,
    Measure,
    Reading,
    Scope,
    Unit,
    level_of,
)
from stopline.rules.limits.loss import LOSS_LIMITS
from stopline.rules.limits.market import MARKET_LIMITS

__all__ = [
    "CLEAR_BELOW",
    "LIMITS",
    "WARN_AT",
    "Action",
    "Gate",
    "Level",
    "Limit",
    "Measure",
    "Reading",
    "Scope",
    "Unit",
    "check_overrides",
    "in_force",
    "level_of",
    "readings",
]

LIMITS: Mapping[str, Limit] = {
    limit.name: limit for limit in (*EXPOSURE_LIMITS, *LOSS_LIMITS, *MARKET_LIMITS)
}

# The most that a setting may be, so that a slip of the keyboard is no switch-off by accident.
MOST_ALLOWED: Mapping[Unit, Decimal] = {
    Unit.PERCENT: Decimal(1000),
    Unit.MONEY: Decimal(10) ** 12,
    Unit.TIMES: Decimal(100),
    Unit.COUNT: Decimal(10_000),
    Unit.HOURS: Decimal(24 * 366),
    Unit.UNITS: Decimal(10) ** 12,
    Unit.CORRELATION: Decimal(1),
}


def check_overrides(account: Account) -> list[str]:
    """Return what is wrong with an account's limit settings, one line each."""
    faults = [
        f"limits.{name}: there is no such limit; there are {', '.join(LIMITS)}"
        for name in account.limits
        if name not in LIMITS
    ]
    for name, override in account.limits.items():
        limit = LIMITS.get(name)
        if limit is None:
            continue
        most, unit = MOST_ALLOWED[limit.unit], limit.unit.value
        if override.limit is not None and not 0 < override.limit <= most:
            faults.append(
                f"limits.{name}.limit: must be above 0 and at most {most:f} {unit}, was {override.limit}"
            )
        if override.action is Action.PAUSE_STRATEGY and limit.scope is not Scope.STRATEGY:
            faults.append(f"limits.{name}.action: only a limit on strategies can pause one")
    return faults


InForce = tuple[Limit, Decimal, Action | None]


def in_force(account: Account) -> Sequence[InForce]:
    """Return every limit that is on for an account, its threshold, and the account's own action, if any."""
    return _in_force(account.profile, tuple(account.limits.items()))


@lru_cache(maxsize=1024)
def _in_force(profile: str, overrides: tuple[tuple[str, LimitOverride], ...]) -> tuple[InForce, ...]:
    """Remembered, because an account is read far more often than its settings change."""
    own = dict(overrides)
    result = []
    for limit in LIMITS.values():
        override = own.get(limit.name)
        threshold = limit.defaults[profile]
        if override is not None:
            if not override.enabled:
                continue
            threshold = override.limit if override.limit is not None else threshold
        if threshold is not None:
            result.append((limit, threshold, override.action if override else None))
    return tuple(result)


def readings(f: Figures, previous: Mapping[str, Level]) -> list[Reading]:
    """Read every limit that is on for the account. `previous` levels, by reading key, give the hysteresis."""
    result = []
    for limit, threshold, action in in_force(f.account):
        for measure in limit.measure(f):
            before = previous.get(f"{limit.name}|{measure.object}", Level.OK)
            current, is_bound = measure.current, False
            if current is None and _is_breached(limit, threshold, measure.at_least):
                current, is_bound = measure.at_least, True
            level = level_of(current, threshold, limit.inclusive, before, limit.unit)
            if measure.settling and level is not Level.UNKNOWN and level.rank > before.rank:
                level = before
            result.append(
                Reading(
                    limit, measure.object, current, threshold, level, f.account.currency, action, is_bound
                )
            )
    return result


def _is_breached(limit: Limit, threshold: Decimal, number: Decimal | None) -> bool:
    return level_of(number, threshold, limit.inclusive, Level.OK, limit.unit) is Level.BREACH
