"""Alerts that reached nobody alone and people by one message for all: their records say so, once that message arrived."""

from datetime import datetime

from stopline.model.errors import Transient
from stopline.model.messages import Effect
from stopline.ports import Conflict, Document, Store, Update, Version, Where
from stopline.service.alerting.records import COLLECTION, AlertStatus, decode_record, settled_row
from stopline.service.documents.outbox import Relay, outbox_fields

CAUGHT_UP = "caught_up"
TOGETHER = 100  # in one commit


def mark_told(store: Store, relay: Relay, digest_id: str, now: datetime) -> int:
    """Mark what a digest told; return how many. One that stood for an earlier digest stands for what that one did.

    Done again it changes nothing. Raises Transient where another writer was faster: the digest comes again.
    """
    count, digests = 0, [digest_id]
    while digests:
        found = store.query(COLLECTION, [Where("told_by", "==", digests.pop())])
        digests += [d.path.id for d in found if d.data["kind"] == CAUGHT_UP]
        due = [d for d in found if d.data["status"] == AlertStatus.UNDELIVERED]
        for start in range(0, len(due), TOGETHER):
            _mark(store, relay, due[start : start + TOGETHER], now)
        count += len(due)
    return count


def _mark(store: Store, relay: Relay, documents: list[Document], now: datetime) -> None:
    """Write one part with its rows, then publish those; what fails in between the sweep publishes."""
    status = AlertStatus.TOLD_BY_DIGEST
    rows = [settled_row(decode_record(document), status, now) for document in documents]
    fields = [{"status": status.value, **outbox_fields([row], now)} for row in rows]
    try:
        versions = store.commit(
            [Update(d.path, data, d.version) for d, data in zip(documents, fields, strict=True)]
        )
    except Conflict:
        raise Transient("an alert that a digest told was changed just now") from None
    _published(store, relay, documents, versions, rows, now)


def _published(
    store: Store,
    relay: Relay,
    documents: list[Document],
    versions: list[Version],
    rows: list[Effect],
    now: datetime,
) -> None:
    relay.publish(rows)
    emptied = outbox_fields((), now)
    try:
        store.commit([Update(d.path, emptied, v) for d, v in zip(documents, versions, strict=True)])
    except Conflict:
        return  # the sweep was faster
