"""The hash chains of the audit trail, and the trading state's: each row extends its control's chain in the same commit."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from stopline.model.chain import Head, entry_hash, faults
from stopline.model.control import Control
from stopline.model.ids import digest, document_id
from stopline.model.messages import Effect, HistoryRow
from stopline.model.scopes import scope_account
from stopline.model.times import utc_text
from stopline.model.wire import canonical, validate
from stopline.ports import Create, Document, Path, Store
from stopline.service.documents.aggregate import DAMAGED
from stopline.service.history.rows import audit_row, history_effect

COLLECTION = "audit"
SEQ_DIGITS = 12
AT_ONCE = 100  # rows that are read by their place in one go
MOST_EPOCH = 10**15  # a leap of a lost state in each second of 30 years: what is above is damage
log = logging.getLogger("stopline")


@dataclass(frozen=True, slots=True)
class Link:
    """What an audit row is to say. `states` is (from, to)."""

    scope: str
    event: str
    actor: str
    reason: str
    at: datetime
    epoch: int
    states: tuple[str, str]
    detail: Mapping[str, Any]


def linked(control: Control, link: Link) -> tuple[Control, Effect, Create]:
    """Return the control at the new end of its chain, the row for BigQuery, and the row's own document."""
    at = Head(control.chain_seq, control.chain_hash)
    # Of what it says: the rows that follow in a restored database are others than those that it has forgotten.
    said = (link.scope, link.event, link.actor, utc_text(link.at), canonical(dict(link.detail)).decode())
    event_id = digest("audit", control.scope, str(at.seq + 1), at.hash, *said)
    row = audit_row(
        event_id,
        link.scope,
        link.event,
        link.actor,
        link.reason,
        link.at,
        link.epoch,
        link.states,
        link.detail,
    )
    head, row, create = chained(control.scope, at, event_id, row.row)
    after = control.model_copy(update={"chain_seq": head.seq, "chain_hash": head.hash})
    return after, history_effect(scope_account(link.scope), [row]), create


def chained(chain: str, head: Head, event_id: str, row: Mapping[str, Any]) -> tuple[Head, HistoryRow, Create]:
    """Return a chain's new end, its row for BigQuery, and the row's own document."""
    seq = head.seq + 1
    placed = {**row, "chain": chain, "seq": seq, "previous_hash": head.hash}
    hashed = entry_hash({"event_id": event_id, **placed})
    linked_row = HistoryRow(table="audit", event_id=event_id, row={**placed, "hash": hashed})
    text = canonical({"event_id": event_id, **linked_row.row}).decode()
    create = Create(row_path(chain, seq), {"chain": chain, "seq": seq, "row": text})
    return Head(seq, hashed), linked_row, create


def row_path(chain: str, seq: int) -> Path:
    """Return where a row of a chain is. It is created once and never written again."""
    return Path(COLLECTION, document_id(chain, f"{seq:0{SEQ_DIGITS}d}"))


def is_next_there(store: Store, chain: str, seq: int) -> bool:
    """Tell whether a chain goes on after a row that was its end: somebody was faster, or the end was put back."""
    return store.get(row_path(chain, seq + 1)) is not None


def rows_of(store: Store, chain: str, after: int = 0) -> list[dict[str, Any]]:
    """Return the rows of a chain in their order. A look for a rare trouble: it reads them all, some at a time, by their
    place: one query for a long chain would never end in time, and a row may not say its chain. Of one that cannot be
    read there is its place alone. `after`: the end that is known; up to it rows may be missing.
    """
    rows: list[dict[str, Any]] = []
    first = 1
    while True:
        places = range(first, first + AT_ONCE)
        found = store.get_all([row_path(chain, seq) for seq in places])
        rows += [_read(chain, seq, row) for seq, row in zip(places, found, strict=True) if row is not None]
        if first > after and not any(found):
            return rows
        first += AT_ONCE


def _read(chain: str, seq: int, document: Document) -> dict[str, Any]:
    """Return a row of a chain, or its place alone."""
    place = {"chain": chain, "scope": chain, "seq": seq}
    try:
        row = orjson.loads(document.data["row"])
        scope, hash_, epoch = str(row["scope"]), str(row["hash"]), int(row["epoch"])
        if not 0 <= epoch <= MOST_EPOCH:
            raise ValueError(f"no document was ever at epoch {epoch}")
        return {**row, **place, "scope": scope, "hash": hash_, "epoch": epoch}
    except DAMAGED:
        log.exception("a row of the audit trail cannot be read", extra={"row": str(document.path)})
        return {**place, "event": "", "actor": "", "event_id": "", "hash": "", "epoch": 0}


def heads_of(store: Store) -> dict[str, Head]:
    """Return the ends that the documents of chains know; one that cannot be read knows none."""
    heads = {}
    for document in store.query("controls"):
        try:
            control = _control(document)
        except DAMAGED:
            continue
        heads[control.scope] = Head(control.chain_seq, control.chain_hash)
    for document in store.query("journals"):
        try:
            body = orjson.loads(document.data["state"])
            heads[document.data["chain"]] = Head(body["seq"], body["hash"])
        except DAMAGED:
            continue
    return heads


def stored_faults(store: Store) -> tuple[int, list[str]]:
    """Check every chain in the store against the document that knows its end; return how many rows, and what is wrong."""
    rows, cut = _stored(store)
    heads = heads_of(store)
    orphans = sorted({str(row["chain"]) for row in rows} - heads.keys())
    lost = [f"{name}: the document that knows its last row is missing" for name in orphans]
    return len(rows) + len(cut), lost + cut + _faults(rows, heads)


def _stored(store: Store) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows in the store, and one line for each that is no row any more."""
    rows: list[dict[str, Any]] = []
    cut: list[str] = []
    for document in store.query(COLLECTION):
        try:
            row = orjson.loads(document.data["row"])
            row |= {"chain": str(row["chain"]), "seq": int(row["seq"])}
            row["hash"], row["previous_hash"]
            rows.append(row)
        except DAMAGED:
            cut.append(f"{document.data.get('chain')}: row {document.data.get('seq')} was altered")
    return rows, cut


def exported_faults(store: Store | None, rows: Iterable[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """Check exported rows, as the view `audit_latest` has them; with a store also that each has every row of the other, and
    that the store's chains are whole.

    Rows without a chain (changes of accounts, quarantine) are passed over. A chain's last rows may be on their way to
    BigQuery: its end in the export is held against the store's copy of the same row. A row is stored before it is
    exported, so one that only the export has was removed from the store, with the end that the control knew of.
    """
    chained = [dict(row) for row in rows if row.get("chain")]
    found = _faults(chained, {})
    if store is not None:
        stored, _ = _stored(store)
        ours, theirs = _hashes(stored), _hashes(chained)
        gone = {chain for chain, _ in theirs} - {chain for chain, _ in ours}
        found += [
            f"{chain}: the whole chain is in the export, and not in the store" for chain in sorted(gone)
        ]
        for chain, seq in sorted(ours.keys() | theirs.keys()):
            place = (chain, seq)
            if chain in gone:
                continue
            if place not in theirs:
                found.append(f"{chain}: row {seq} is not in the export")
            elif place not in ours:
                found.append(f"{chain}: row {seq} is in the export, and not in the store")
            elif ours[place] != theirs[place]:
                found.append(f"{chain}: row {seq} is not the store's")
        found += [f"in the store: {fault}" for fault in stored_faults(store)[1]]
    return len(chained), found


def _hashes(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], set[str]]:
    """Return the hashes of the rows at each place of a chain: one each, where nobody put in a second."""
    found: dict[tuple[str, int], set[str]] = defaultdict(set)
    for row in rows:
        found[str(row["chain"]), int(row["seq"])].add(row["hash"])
    return found


def _faults(rows: list[dict[str, Any]], heads: Mapping[str, Head]) -> list[str]:
    chains: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        chains[str(row["chain"])].append(row)
    found = []
    for name in sorted(chains.keys() | {scope for scope, head in heads.items() if head.seq}):
        found += faults(name, chains[name], heads.get(name))
    return found


def _control(document: Document) -> Control:
    return validate(Control, orjson.loads(document.data["state"]))
