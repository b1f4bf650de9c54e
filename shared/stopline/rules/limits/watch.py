"""From readings to notices: what changed its level since it was last written, in words for people."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from stopline.model.account import Account
from stopline.model.decimals import divide
from stopline.model.ids import digest
from stopline.model.messages import Alert, Figure, Severity
from stopline.rules.alerting.text_parts import amount
from stopline.rules.limits.registry import Action, Level, Reading
from stopline.rules.limits.trend import Trend, until_now
from stopline.rules.trading.reset import until

NO_TRENDS: Mapping[str, Trend] = {}
MOVED = Decimal("0.1")  # of what people were told: a breach that grew by so much is told again


@dataclass(frozen=True, slots=True)
class Watched:
    """A limit that is not OK: its level, since when, and the number when people were last told."""

    level: Level
    since: datetime
    current: Decimal | None


def watch(readings: Sequence[Reading], before: Mapping[str, Watched], now: datetime) -> dict[str, Watched]:
    """Return the limits that are not OK now; the ones whose level stands keep their time.

    A breach that has grown by a tenth since people were told takes the new number: it is told again.
    An UNKNOWN reading keeps a WARN or BREACH standing: nothing is called better that cannot be seen.
    """
    result: dict[str, Watched] = {}
    for reading in readings:
        known = before.get(reading.key)
        if (reading.level is Level.UNKNOWN and known and known.level in (Level.WARN, Level.BREACH)) or (
            known and known.level is reading.level
        ):
            result[reading.key] = replace(known, current=reading.current) if _grew(known, reading) else known
        elif reading.level is not Level.OK:
            result[reading.key] = Watched(reading.level, now, reading.current)
    return result


def _grew(known: Watched, reading: Reading) -> bool:
    """Tell whether a breach is worse by a tenth than what people were told."""
    if reading.level is not Level.BREACH or reading.current is None or known.current is None:
        return False
    return reading.current - known.current >= abs(known.current) * MOVED and reading.current != known.current


def limit_alerts(
    account: str,
    readings: Sequence[Reading],
    before: Mapping[str, Watched],
    after: Mapping[str, Watched],
    cause: str,
    now: datetime,
    trends: Mapping[str, Trend] = NO_TRENDS,
) -> list[Alert]:
    """Return the alerts for limits that went up or came down, and for breaches that grew.

    UNKNOWN is told by the data alerts, once for all limits.
    """
    alerts = []
    for reading in readings:
        old = before[reading.key].level if reading.key in before else Level.OK
        new = after[reading.key].level if reading.key in after else Level.OK
        if old is new and new is Level.BREACH and after[reading.key] != before[reading.key]:
            alerts.append(_alert(account, reading, old, new, cause, now, trends.get(reading.key, ())))
        if old is new or (Level.UNKNOWN in (old, new) and max(old.rank, new.rank) <= Level.UNKNOWN.rank):
            continue
        if new is Level.UNKNOWN:
            continue
        alerts.append(_alert(account, reading, old, new, cause, now, trends.get(reading.key, ())))
    return alerts


def gone_alerts(
    account: Account, readings: Sequence[Reading], before: Mapping[str, Watched], cause: str, now: datetime
) -> list[Alert]:
    """Return the alerts for limits that are not read any more: the position was closed, or the limit switched off."""
    present = {reading.key for reading in readings}
    alerts = []
    for key, watched in before.items():
        if key in present or watched.level not in (Level.WARN, Level.BREACH):
            continue
        name, object_ = key.split("|", 1)
        override = account.limits.get(name)
        whose = "" if object_ == "account" else f" of {object_}"
        switched_off = override is not None and not override.enabled
        what = name.replace("_", " ")
        alerts.append(
            Alert(
                alert_id=digest("limit", account.account, key, "gone", cause),
                account=account.account,
                kind=name,
                object=object_,
                severity=Severity.WARNING if watched.level is Level.BREACH else Severity.INFO,
                summary=f"{what}{whose}: the limit was switched off, nobody watches it"
                if switched_off
                else f"{what}: {object_} is closed",
                cause=cause,
                raised_at=now,
                resolved=True,
            )
        )
    return alerts


def _alert(
    account: str, reading: Reading, old: Level, new: Level, cause: str, now: datetime, trend: Trend
) -> Alert:
    limit = reading.limit
    whose = "" if reading.object == "account" else f" of {reading.object}"
    number = ("at least " if reading.at_least else "") + amount(reading.current, reading.unit)
    threshold = amount(reading.threshold, reading.unit)
    better = new.rank < old.rank
    match new:
        case Level.BREACH:
            state = "still breached" if old is new else "breached"
            summary = f"{limit.what}{whose} is {number}, limit {threshold}: {state}"
            severity = limit.severity
        case Level.WARN if better:
            summary = f"{limit.what}{whose} is back to {number}, limit {threshold}"
            severity = Severity.WARNING  # whoever was told of the breach is told of its end
        case Level.WARN:
            summary = f"{limit.what}{whose} is {number}, {_share(reading)} of its limit {threshold}"
            severity = Severity.WARNING
        case _:
            summary = f"{limit.what}{whose} is {number}, limit {threshold}: clear"
            alarmed = old is Level.BREACH and limit.severity is Severity.CRITICAL
            severity = Severity.WARNING if alarmed else Severity.INFO
    return Alert(
        alert_id=digest("limit", account, reading.key, new.value, cause),
        account=account,
        kind=limit.name,
        object=reading.object,
        severity=severity,
        summary=summary[0].upper() + summary[1:],
        action=_action(reading, new),
        figure=Figure(current=reading.current, limit=reading.threshold, unit=reading.unit),
        trend=until_now(trend, reading, now),
        cause=cause,
        raised_at=now,
        resolved=new is Level.OK,
    )


def _action(reading: Reading, level: Level) -> str:
    if level is not Level.BREACH:
        return ""
    stop = until(reading.limit.ends)
    match reading.action:
        case Action.REDUCE_ONLY:
            return f"Orders that add risk are refused: by this limit {stop}."
        case Action.PAUSE_STRATEGY:
            return (
                f"The strategy's orders that add risk are refused: by this limit {stop}. It stops no other."
            )
        case Action.HALT:
            return (
                f"All orders are refused: by this limit {stop}. It closes nothing: close positions, or kill."
            )
        case _:
            return "Nothing was stopped by this limit. Reduce the position, or pull the kill switch."


def _share(reading: Reading) -> str:
    """Say how much of its limit a number is; of a limit of zero there is no share."""
    if reading.current is None or not reading.threshold:
        return "all"
    return f"{divide(reading.current * 100, reading.threshold, places=0)}%"


def blind_spots(
    unpriced: Sequence[str],
    needed: Collection[str],
    before: Mapping[str, datetime],
    max_age_s: int,
    now: datetime,
) -> dict[str, datetime]:
    """Return the symbols without a dependable price, of those that are `needed`, and when each was last without one.

    One that has a price again counts as seen only when it had one all through twice the age that a price may have: a
    feed as slow as that age would otherwise raise and end an alert with every price.
    """
    clear = timedelta(seconds=2 * max_age_s)
    kept = {symbol: at for symbol, at in before.items() if symbol in needed and now - at < clear}
    return kept | dict.fromkeys(unpriced, now)


def data_alert(
    account: str, unpriced: Sequence[str], known: Sequence[str], cause: str, now: datetime
) -> Alert | None:
    """Return the alert about positions that cannot be valued, when their set has changed; None when it has
    not. `unpriced` and `known` are blind spots, now and before.
    """
    if sorted(unpriced) == sorted(known):
        return None
    shown = ", ".join(unpriced[:5]) + (f" and {len(unpriced) - 5} more" if len(unpriced) > 5 else "")
    return Alert(
        alert_id=digest("data", account, *unpriced, "cause", cause),
        account=account,
        kind="stale_prices",
        object="prices",
        severity=Severity.WARNING if unpriced else Severity.INFO,
        summary=f"No usable price for {shown}: P&L and limits are unknown"
        if unpriced
        else "All positions have prices again",
        action="Check the price feed. Limits that need these prices cannot warn." if unpriced else "",
        cause=cause,
        raised_at=now,
        resolved=not unpriced,
    )
