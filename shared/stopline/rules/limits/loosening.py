"""Which changes of an account's settings let so much more through that a second person must agree."""

from collections.abc import Mapping
from decimal import Decimal

from stopline.model.account import Account
from stopline.model.decimals import decimal_text
from stopline.model.settings.limit_override import Action
from stopline.rules.limits.registry import in_force
from stopline.rules.trading.breakers import BREAKERS, threshold_of

AT_MOST = 2  # times as much: what one person may loosen a threshold to, from where it stood a day ago
_STRICTNESS = (Action.WARN, Action.PAUSE_STRATEGY, Action.REDUCE_ONLY, Action.HALT)

Thresholds = Mapping[str, Decimal]
"""What is held against the account, by the setting's name (`limits.NAME`, `trading.breakers.NAME`, ...); what is off is
not there.
"""


def thresholds(account: Account) -> dict[str, Decimal]:
    """Return every threshold that is in force for an account."""
    found = {f"limits.{limit.name}": threshold for limit, threshold, _ in in_force(account)}
    for name, breaker in BREAKERS.items():
        threshold = threshold_of(breaker, account.trading)
        if threshold is not None:
            found[f"trading.breakers.{name}"] = threshold
    found["price_max_age_s"] = Decimal(
        account.price_max_age_s
    )  # an old price taken for a fresh one hides a loss
    return found


def loosened(before: Account, after: Account, base: Thresholds) -> list[str]:
    """Return what a change switches off, raises beyond twice what it was, or makes act less, one line each.

    `base`: thresholds as they stood before what was loosened lately, so that many small steps are one large one.
    """
    known, wanted, found = thresholds(before), thresholds(after), []
    for name, threshold in known.items():
        start = min(threshold, base.get(name, threshold))
        if name not in wanted:
            found.append(f"{name} is switched off")
        elif wanted[name] > threshold and wanted[name] > start * AT_MOST:
            found.append(f"{name} goes from {decimal_text(start)} to {decimal_text(wanted[name])}")
    actions = {limit.name: action or limit.action for limit, _, action in in_force(after)}
    for limit, _, action in in_force(before):
        was, new = action or limit.action, actions.get(limit.name)
        if new is not None and _STRICTNESS.index(new) < _STRICTNESS.index(was):
            found.append(f"limits.{limit.name} does {new.value} instead of {was.value}")
    return found


def raised(before: Account, after: Account) -> dict[str, Decimal]:
    """Return the thresholds that a change raises, as they were."""
    wanted = thresholds(after)
    return {
        name: threshold
        for name, threshold in thresholds(before).items()
        if name in wanted and wanted[name] > threshold
    }
