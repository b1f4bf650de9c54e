"""Follow the audit trail's chains on from where they were found whole, and tell the operator where one is broken.

Each run reads the rows since the last one, and the last row that was found whole, by their numbers: a day's rows, whatever
the trail has grown to. A row that was altered long after it was found whole is seen by `stopline audit verify`, which reads
them all.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from stopline.model.chain import Head, entry_hash, faults
from stopline.model.ids import digest
from stopline.model.messages import Alert, Effect, Severity, alert_effect
from stopline.model.times import utc_text
from stopline.ports import Document, Path, Store
from stopline.service.audit.chain import heads_of, row_path
from stopline.service.documents.aggregate import DAMAGED
from stopline.service.documents.outbox import Relay
from stopline.service.documents.told import store_and_tell

VERIFIED = Path("heartbeats", "audit")
MOST = 20_000  # rows of one run: the next one goes on from there
AT_ONCE = 100


class AuditVerifier:
    """Remembers per chain up to where it was found whole, and which chains are broken."""

    def __init__(self, store: Store, relay: Relay) -> None:
        self._store = store
        self._relay = relay

    def verify(self, now: datetime, most: int = MOST) -> dict[str, str]:
        """Follow every chain; return what is wrong, by chain. Raises Unavailable, or Unpublished: the break stands, and is
        told with the next flush.
        """
        document = self._store.get(VERIFIED)
        state = orjson.loads(document.data["state"]) if document else {"whole": {}, "broken": {}}
        whole = {chain: Head(*place) for chain, place in state["whole"].items()}
        heads = heads_of(self._store)
        broken: dict[str, str] = {}
        left = most
        for chain in sorted(heads.keys() | whole.keys()):
            before = whole.get(chain, Head())
            whole[chain], fault = self._follow(chain, before, heads.get(chain), left)
            left = max(left - (whole[chain].seq - before.seq), 0)
            if fault:
                broken[chain] = fault
        ended = state["broken"].keys() - broken.keys()
        known: dict[str, str] = state.get("since", {})  # a version of before has stored none
        since = {chain: known.get(chain, utc_text(now)) for chain in broken}
        effects = [_alert(chain, fault, since[chain], now) for chain, fault in broken.items()]
        effects += [_end(chain, state["broken"][chain], known.get(chain, ""), now) for chain in sorted(ended)]
        self._store_and_tell(document, whole, {"broken": broken, "since": since}, effects, now)
        return broken

    def _follow(self, chain: str, before: Head, head: Head | None, most: int) -> tuple[Head, str]:
        """Return up to where a chain is whole now, and what is wrong with it."""
        if head is None:
            return before, f"{chain}: the document that knows its last row is missing, or cannot be read"
        if head.seq < before.seq:
            return before, f"{chain}: it ends at row {head.seq}, and row {before.seq} was there"
        if before.seq and not self._is_there(chain, before):
            return before, f"{chain}: row {before.seq} was altered or removed since it was found whole"
        at = before
        end = min(head.seq, before.seq + most)
        for first in range(before.seq + 1, end + 1, AT_ONCE):
            rows, found = self._read(chain, range(first, min(first + AT_ONCE, end + 1)))
            found = found or next(iter(faults(chain, rows, after=at)), "")
            if found:
                return at, found
            at = Head(int(rows[-1]["seq"]), rows[-1]["hash"])
        if at.seq == head.seq and at.hash != head.hash:
            return at, f"{chain}: its last row is {at.seq} {at.hash[:12]}, its document says {head.hash[:12]}"
        return at, ""

    def _is_there(self, chain: str, place: Head) -> bool:
        rows, fault = self._read(chain, range(place.seq, place.seq + 1))
        return not fault and rows[0].get("hash") == place.hash == entry_hash(rows[0])

    def _read(self, chain: str, numbers: Sequence[int]) -> tuple[list[dict[str, Any]], str]:
        """Return rows by their numbers, or what keeps them from being read."""
        rows: list[dict[str, Any]] = []
        documents = self._store.get_all([row_path(chain, number) for number in numbers])
        for number, document in zip(numbers, documents, strict=True):
            if document is None:
                return rows, f"{chain}: row {number} is missing"
            try:
                row = orjson.loads(document.data["row"])
                fits = (row["chain"], int(row["seq"])) == (chain, number) and row.keys() >= {
                    "hash",
                    "previous_hash",
                }
            except DAMAGED:
                fits = False
            if not fits:
                return rows, f"{chain}: row {number} was altered"
            rows.append(row)
        return rows, ""

    def _store_and_tell(
        self,
        document: Document | None,
        whole: Mapping[str, Head],
        found: Mapping[str, Mapping[str, str]],
        effects: Sequence[Effect],
        now: datetime,
    ) -> None:
        state = {
            "whole": {chain: list(place) for chain, place in whole.items() if place.seq},
            **found,
        }
        data = {"kind": "audit", "at": now, "state": orjson.dumps(state).decode()}
        store_and_tell(self._store, self._relay, VERIFIED, document, data, effects, now)


def _alert(chain: str, fault: str, since: str, now: datetime) -> Effect:
    """Return what is told of a chain that is broken: a break that comes again after its end is another one."""
    return _told(
        digest("audit_broken", chain, fault, since, "found"),
        chain,
        now,
        severity=Severity.CRITICAL,
        summary=f"The audit trail is not whole: {fault}"[:500],
        action="Somebody or something has written past Stopline. Run `stopline audit verify`, and hold it against BigQuery.",
        resolved=False,
    )


def _end(chain: str, fault: str, since: str, now: datetime) -> Effect:
    """Return what is told of a chain that is whole again."""
    return _told(
        digest("audit_broken", chain, fault, since, "over"),
        chain,
        now,
        severity=Severity.WARNING,
        summary=f"The audit trail is whole: {chain}: the chain is whole again"[:500],
        action="",
        resolved=True,
    )


def _told(
    id_: str, chain: str, now: datetime, *, severity: Severity, summary: str, action: str, resolved: bool
) -> Effect:
    alert = Alert(
        alert_id=id_,
        kind="audit_broken",
        object=chain,
        severity=severity,
        summary=summary,
        action=action,
        raised_at=now,
        resolved=resolved,
    )
    return alert_effect(alert)
