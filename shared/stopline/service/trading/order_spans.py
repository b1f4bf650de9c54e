"""How many orders adapters say they have sent: kept in the documents of their leases, read by the watch for activity."""

import logging
from collections import defaultdict
from datetime import datetime, timedelta

import orjson

from stopline.model.lease import VALID_S
from stopline.model.times import parse_utc, utc_text
from stopline.ports import Document, Path, Store, Where
from stopline.rules.watching.activity import OrderSpan
from stopline.service.documents.aggregate import DAMAGED
from stopline.service.trading.unheard import LEASES

KEPT = timedelta(seconds=150)  # as long as fills are looked at
log = logging.getLogger("stopline")


def holder_of(path: Path) -> tuple[str, str]:
    """Return whose a lease is, account and adapter, by where it is: its fields may be damaged."""
    account, _, adapter = path.id.partition(":")
    return account, adapter


def with_orders(before: Document | None, orders: int | None, now: datetime) -> str | None:
    """Return the text of an adapter's latest spans with one up to now; None where it does not say how many orders it sent:
    that is UNKNOWN, and not none. Since when counts, the lease of before knows; without one it is the last minute.
    """
    if orders is None:
        return None
    since = before.data.get("granted_at") if before else None
    since = since if isinstance(since, datetime) else now - timedelta(minutes=1)
    known = _spans(before) if before else []
    kept = [one for one in (*known, OrderSpan(min(since, now), now, orders)) if now - one.end < KEPT]
    return orjson.dumps([[utc_text(one.start), utc_text(one.end), one.orders] for one in kept]).decode()


def order_spans(store: Store, now: datetime) -> dict[str, list[OrderSpan]]:
    """Return by account what its adapters have told lately. Raises Unavailable."""
    found: dict[str, list[OrderSpan]] = defaultdict(list)
    alive = now - KEPT + timedelta(seconds=VALID_S)
    for document in store.query(LEASES, [Where("expires_at", ">", alive)]):
        spans = [one for one in _spans(document) if now - one.end < KEPT]
        if spans:
            found[holder_of(document.path)[0]] += spans
    return found


def _spans(document: Document) -> list[OrderSpan]:
    """Return what a lease's document tells; where that cannot be read nothing is known, and it is written anew."""
    try:
        told = orjson.loads(document.data.get("orders") or "[]")
        return [OrderSpan(parse_utc(start), parse_utc(end), int(n)) for start, end, n in told]
    except DAMAGED:
        log.exception("orders of a lease cannot be read", extra={"document": str(document.path)})
        return []
