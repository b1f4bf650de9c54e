"""Publish what outboxes hold for longer than they may: their writers died, or could not reach the bus."""

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from stopline.model.errors import Rejected, Transient
from stopline.model.ids import document_id
from stopline.ports import Conflict, Document, Path, Store, Update, Where
from stopline.service.documents.aggregate import DAMAGED
from stopline.service.documents.outbox import Relay, decode_outbox, outbox_fields

OUTBOX_COLLECTIONS = (
    "books",
    "risk",
    "measures",
    "controls",
    "closings",
    "unclosed",
    "cancels",
    "accounts",
    "alerts",
    "quarantine",
    "heartbeats",
    "sessions",
    "incidents",
    "statements",
    "reconciliations",
    "health",
    "activity",
    "strays",
    "journals",
)
OF_ACCOUNTS = frozenset(OUTBOX_COLLECTIONS) - {
    "controls",
    "journals",
    "alerts",
    "quarantine",
    "heartbeats",
    "sessions",
}
COLON = document_id(":")
NOBODY = "-"  # no name of an account: what is nobody's and damaged, without which the round is whole
log = logging.getLogger("stopline")
OUTBOX_AGE = timedelta(seconds=30)
PAGE = 200
PAGES = 10  # of a collection in one sweep; the rest waits for the next


class OutboxFlusher:
    """Publishes and empties the outboxes of all documents that are older than they may be."""

    def __init__(self, store: Store, relay: Relay) -> None:
        self._store = store
        self._relay = relay

    def flush(self, now: datetime) -> dict[str, str]:
        """Publish and empty every outbox that is older than it may be; return what could not be done, by account (empty: of
        none; NOBODY: of none, and no later try will do it).
        """
        failed: dict[str, str] = {}
        for collection in OUTBOX_COLLECTIONS:
            more = self._flush(collection, now)
            if more:
                failed = joined(failed, more)
        return failed

    def _flush(self, collection: str, now: datetime) -> dict[str, str]:
        """Publish outboxes that are older than they may be, and empty them by the version that was read."""
        failed: dict[str, str] = {}
        for document in self._late(collection, now - OUTBOX_AGE):
            try:
                due = decode_outbox(document.data)
            except DAMAGED as problem:
                log.exception("sweep: an outbox cannot be read", extra={"document": str(document.path)})
                failed[_account_of(document) or NOBODY] = f"{document.path}: {problem!r}"[:500]
                continue
            try:
                self._relay.publish(due)
                self._store.commit([Update(document.path, outbox_fields((), now), document.version)])
            except Conflict:
                continue  # its writer was here: it takes care of the rest
            except (
                Transient,
                Rejected,
            ) as problem:  # one document's trouble must not keep the others waiting
                failed[_account_of(document)] = f"{document.path}: {problem}"
            except Exception as problem:
                log.exception("sweep: an outbox cannot be published", extra={"document": str(document.path)})
                failed[_account_of(document)] = f"{document.path}: {type(problem).__name__}: {problem}"
        return failed

    def _late(self, collection: str, until: datetime) -> Iterator[Document]:
        """Yield the documents whose outbox waits since before `until`, the oldest first: also behind such as always fail."""
        where, seen = [Where("outbox_at", "<=", until)], set[Path]()
        for _ in range(PAGES):
            page = self._store.query(collection, where, ["outbox_at"], limit=PAGE)
            fresh = [document for document in page if document.path not in seen]
            yield from fresh
            if len(page) < PAGE or not fresh:
                return
            seen = {document.path for document in page}
            where = [Where("outbox_at", "<=", until), Where("outbox_at", ">=", page[-1].data["outbox_at"])]


def joined(failed: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Return what failed by account, with all that is told of each."""
    return {
        name: "; ".join(text for text in (failed.get(name), more.get(name)) if text)
        for name in (*failed, *(name for name in more if name not in failed))
    }


def _account_of(document: Document) -> str:
    """Return whose document it is, where it can be by its id, for its fields may be damaged; empty where it is nobody's."""
    collection, id_ = document.path.collection, document.path.id
    if collection in ("controls", "journals"):  # account:NAME, journal:NAME
        return id_.partition(COLON)[2]
    if collection in OF_ACCOUNTS:
        return "" if id_.startswith("=") else id_.partition(".")[0]  # the operator's; NAME.BROKER
    account = document.data.get("account")
    return account if isinstance(account, str) else ""
