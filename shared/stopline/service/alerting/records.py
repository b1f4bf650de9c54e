"""The stored record of a message to people: its status, its text form, its row in the history."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from stopline.model.ids import digest
from stopline.model.messages import Alert, Effect
from stopline.model.wire import Message, canonical, validate
from stopline.ports import Document
from stopline.rules.alerting.delivery import AlertRecord
from stopline.service.history.rows import history_effect, table_row

COLLECTION = "alerts"


class AlertStatus(StrEnum):
    FIRING = "firing"  # being delivered
    RESOLVED = "resolved"  # the all-clear is being delivered
    DELIVERED = "delivered"  # settled: somebody was told
    UNDELIVERED = "undelivered"  # settled for now: nobody could be told
    TOLD_BY_DIGEST = (
        "told_by_digest"  # settled: it reached nobody alone, and then people with others (`told_by`)
    )


SETTLED = (AlertStatus.DELIVERED, AlertStatus.UNDELIVERED, AlertStatus.TOLD_BY_DIGEST)


def encode_record(record: AlertRecord) -> str:
    """Return a record as text."""
    return canonical(record.model_dump(mode="json")).decode()


def decode_record(document: Document) -> AlertRecord:
    """Return what a document of the collection holds."""
    return validate(AlertRecord, orjson.loads(document.data["state"]))


def settled_row(record: AlertRecord, status: AlertStatus, delivered_at: datetime | None = None) -> Effect:
    """Return the row of a settled record. `delivered_at`: when people were told, unless its own messages say so."""
    alert = record.alert
    sent = min((d.at for d in record.deliveries if d.status == "SENT" and d.at), default=delivered_at)
    event_id = digest("alert", status.value, encode_record(record))  # a later settling is another event
    return alert_row(alert, status.value, event_id, record, delivered_at=sent)


def alert_row(alert: Alert, status: str, event_id: str, whole: Message, **more: Any) -> Effect:
    """Return the row of an alert: what became of it, and `whole`, which is all that is known of it."""
    row = {
        "alert_id": alert.alert_id,
        "account": alert.account,
        "kind": alert.kind,
        "object": alert.object,
        "severity": alert.severity.value,
        "summary": alert.summary,
        "status": status,
        "raised_at": alert.raised_at,
        **more,
    }
    return history_effect(
        alert.account or "", [table_row("alerts", event_id, row, whole.model_dump(mode="json"))]
    )
