"""Prices that an account asked to be told of: which are reached, and what people read then."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from stopline.ledger.lifecycle import SpotOf
from stopline.model.ids import digest
from stopline.model.messages import Alert, Figure
from stopline.model.settings.levels import PriceLevel
from stopline.rules.alerting.text_parts import amount

BACK = Decimal("0.005")  # of the level: so far a price must go back before it can come again


def followed_levels(
    account: str,
    levels: Sequence[PriceLevel],
    price_of: SpotOf,
    before: Mapping[str, datetime],
    cause: str,
    now: datetime,
) -> tuple[dict[str, datetime], list[Alert]]:
    """Return the levels that are reached, each since when, and the alerts of those that are new.

    Without a usable price nothing changes: what is not seen is neither reached nor left.
    """
    standing, alerts = {}, []
    for level in levels:
        price, since = price_of(level.symbol), before.get(level.key)
        if price is None:
            if since is not None:
                standing[level.key] = since
            continue
        beyond = price - level.price if level.side == "above" else level.price - price
        if since is not None and beyond > -BACK * level.price:
            standing[level.key] = since
        elif since is None and beyond >= 0:
            standing[level.key] = now
            alerts.append(_alert(account, level, price, cause, now))
    return standing, alerts


def _alert(account: str, level: PriceLevel, price: Decimal, cause: str, now: datetime) -> Alert:
    note = f": {level.note}" if level.note else ""
    return Alert(
        alert_id=digest("opportunity", account, level.key, cause),
        account=account,
        kind="opportunity",
        object=level.name,
        severity=level.severity,
        summary=f"{level.symbol} is {amount(price, '')}, at or {level.side} {amount(level.price, '')}{note}"[
            :500
        ],
        action="Nothing was traded.",
        figure=Figure(current=price, limit=level.price, unit="points"),
        cause=cause,
        raised_at=now,
    )
