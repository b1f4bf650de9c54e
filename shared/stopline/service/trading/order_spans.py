"""How many orders adapters say they have sent: kept in the documents of their leases, read by the watch for activity."""

from collections import defaultdict
from datetime import datetime, timedelta

import orjson

from stopline.model.lease import VALID_S
from stopline.model.times import parse_utc, utc_text
from stopline.ports import Document, Store, Where
from stopline.rules.watching.activity import OrderSpan

LEASES = "leases"
KEPT = timedelta(seconds=150)  # as long as fills are looked at


def with_orders(before: Document | None, orders: int | None, now: datetime) -> str | None:
    """Return the text of an adapter's latest spans with one up to now; None where it does not say how many orders it sent:
    that is UNKNOWN, and not none. Since when counts, the lease of before knows; without one it is the last minute.
    """
    if orders is None:
        return None
    data = before.data if before else {}
    since = data.get("granted_at") or now - timedelta(minutes=1)
    known = _spans(data.get("orders"))
    kept = [one for one in (*known, OrderSpan(min(since, now), now, orders)) if now - one.end < KEPT]
    return orjson.dumps([[utc_text(one.start), utc_text(one.end), one.orders] for one in kept]).decode()


def order_spans(store: Store, now: datetime) -> dict[str, list[OrderSpan]]:
    """Return by account what its adapters have told lately. Raises Unavailable."""
    found: dict[str, list[OrderSpan]] = defaultdict(list)
    alive = now - KEPT + timedelta(seconds=VALID_S)
    for document in store.query(LEASES, [Where("expires_at", ">", alive)]):
        spans = [one for one in _spans(document.data.get("orders")) if now - one.end < KEPT]
        if spans:
            found[document.data["account"]] += spans
    return found


def _spans(text: str | None) -> list[OrderSpan]:
    return [OrderSpan(parse_utc(start), parse_utc(end), n) for start, end, n in orjson.loads(text or "[]")]
