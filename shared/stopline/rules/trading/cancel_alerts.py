"""What people are told of orders that go on working although a stop has cancelled them."""

from collections.abc import Sequence
from datetime import datetime

from stopline.model.ids import digest
from stopline.model.messages import Alert, ExecutionReport, Severity
from stopline.model.scopes import Scope
from stopline.model.times import utc_text
from stopline.rules.alerting.text_parts import whose
from stopline.rules.closing.still_working import Listed, shown

SHOWN = 5  # brokers that a text names


def still_working(
    scope: Scope,
    epoch: int,
    orders: Sequence[Listed],
    count: int,
    most: int,
    now: datetime,
    silent: datetime | None,
) -> Alert:
    """A broker lists orders that were cancelled. `count`: how many cancels have gone out again for them; above `most` none
    do. `silent`: when they were listed, if nothing was since the cancel.
    """
    action = (
        f"The cancel was sent again ({count} of {most}). If they stay, cancel them at the broker by hand."
    )
    if count > most:
        action = f"Cancel them at the broker by hand NOW: {count} cancels did nothing, no more go before a new kill."
    listed = f", listed at {utc_text(silent)}, no newer list since" if silent else ""
    return Alert(
        alert_id=digest("orders_working", str(scope), str(epoch), str(count), str(now)),
        account=scope.account,
        kind="orders_working",
        object=str(scope),
        severity=Severity.CRITICAL,
        summary=f"{whose(str(scope))} is halted, and {shown(orders)}{listed}"[:500],
        action=action,
        raised_at=now,
    )


def refused(scope: Scope, report: ExecutionReport, count: int, most: int, now: datetime) -> Alert:
    """A broker has refused the cancel of a stop. `count`: how many have gone out again for that; above `most` none do."""
    why = f"{report.broker} has refused to cancel its orders: {report.reason or 'it says not why'}"
    action = "The cancel is sent again. Look at the broker, and cancel there by hand what still works."
    if count >= most:
        action = (
            f"Cancel at the broker by hand NOW: it refused {count + 1} cancels, no more go before a new kill."
        )
    return Alert(
        alert_id=digest("orders_working", "refused", report.command_id, report.broker),
        account=scope.account,
        kind="orders_working",
        object=str(scope),
        severity=Severity.CRITICAL,
        summary=f"{whose(str(scope))} is stopped, and {why}"[:500],
        action=action,
        cause=report.command_id,
        raised_at=now,
    )


def taken_off(scope: Scope, epoch: int, now: datetime) -> Alert:
    """All orders of a halt that closes nothing are cancelled once more, for the epoch of something else: also the stops that
    people have placed there since.
    """
    return Alert(
        alert_id=digest("taken_off", str(scope), str(epoch)),
        account=scope.account,
        kind="resting_cancelled",
        object=str(scope),
        severity=Severity.CRITICAL,
        summary=f"{whose(str(scope))} is halted, and all its orders are cancelled again: another stop came or went",
        action="Orders that you placed there by hand are cancelled too: place them again.",
        raised_at=now,
    )


def refused_by(brokers: Sequence[str], *, unread: bool) -> str:
    """Say who has refused a cancel, and where that cannot be read; empty where nobody has."""
    more = f" and {len(brokers) - SHOWN} more" if len(brokers) > SHOWN else ""
    found = [f"a cancel was refused by {', '.join(brokers[:SHOWN])}{more}"] if brokers else []
    return "; ".join([*found, *(["whether a broker refused a cancel cannot be read"] if unread else [])])


def lost(scope: Scope, epoch: int, now: datetime) -> Alert:
    """What was noted of the cancels that went again is damaged."""
    return Alert(
        alert_id=digest("orders_working", "lost", str(scope), str(epoch), str(now)),
        account=scope.account,
        kind="orders_working",
        object=str(scope),
        severity=Severity.CRITICAL,
        summary=f"{whose(str(scope))} is stopped, and which cancels went again cannot be read: orders may still work"[
            :500
        ],
        action="The cancel was sent once more. Look at the broker, and cancel there by hand what still works.",
        raised_at=now,
    )


def ended(scope: str, account: str, epoch: int, now: datetime) -> Alert:
    """No broker lists an order there any more."""
    return Alert(
        alert_id=digest("orders_working", "ended", scope, str(epoch), str(now)),
        account=account,
        kind="orders_working",
        object=scope,
        severity=Severity.INFO,
        summary=f"{whose(scope)}: its brokers list no working order any more",
        raised_at=now,
        resolved=True,
    )
