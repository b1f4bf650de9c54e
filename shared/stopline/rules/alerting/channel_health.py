"""Channels that fail while others work: people hear of one by the others, once, and when it works again."""

from collections.abc import Mapping
from datetime import datetime

from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.rules.alerting.delivery import REMOVED, AlertRecord, DeliveryRecord

FAILED = "channel_failed"  # the kind
Failing = Mapping[str, datetime]
"""The channels that people know to fail, by object, and since when."""


def channel_of(delivery: DeliveryRecord) -> str:
    """Return how an address is called: `discord webhook 100 (3f2a)`. Its mark keeps two apart that look alike."""
    return f"{delivery.channel} {delivery.hint} ({delivery.to[:4]})"


def owner(record: AlertRecord, delivery: DeliveryRecord) -> str | None:
    """Return whose channel it is: the account, or None for the operator."""
    return None if delivery.for_operator else record.alert.account


def channel_alerts(record: AlertRecord, failing: Mapping[str | None, Failing], now: datetime) -> list[Alert]:
    """Return what a settled message says of its channels.

    One that failed while another of the same people told it is an alert of its own; where nobody was told, the message
    itself is kept and tried again. A message of this kind raises none: a channel must not tell of itself for ever.
    """
    alerts = []
    for d in record.deliveries:
        whose = owner(record, d)
        others = [o for o in record.deliveries if owner(record, o) == whose and o.status == "SENT"]
        since = failing.get(whose, {}).get(channel_of(d))
        tried = d.failed and d.attempts and d.error != REMOVED
        if tried and others and record.alert.kind != FAILED:
            alerts.append(_failed(record, d, others, whose, now))
        elif d.status == "SENT" and since and d.at and d.at > since:
            alerts.append(_works(record, d, whose, now))
    return alerts


def _failed(
    record: AlertRecord, d: DeliveryRecord, others: list[DeliveryRecord], whose: str | None, now: datetime
) -> Alert:
    by = ", ".join(dict.fromkeys(o.channel for o in others))
    return Alert(
        alert_id=digest(FAILED, record.alert.alert_id, d.channel, d.to),
        account=whose,
        kind="channel_failed",  # FAILED
        object=channel_of(d),
        severity=Severity.WARNING,
        summary=f"Alerts do not arrive by {d.channel} {d.hint}",
        action=f"{d.error[:200]}. What should have come there came by {by}.",
        cause=d.to,  # its mark: this alert leaves it out
        raised_at=now,
    )


def _works(record: AlertRecord, d: DeliveryRecord, whose: str | None, now: datetime) -> Alert:
    return Alert(
        alert_id=digest(FAILED, "over", record.alert.alert_id, d.channel, d.to),
        account=whose,
        kind="channel_failed",
        object=channel_of(d),
        severity=Severity.INFO,
        summary=f"Alerts arrive by {d.channel} {d.hint} again",
        raised_at=now,
        resolved=True,
    )
