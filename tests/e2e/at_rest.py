"""What must be true of the documents when nothing is under way any more. No test by itself."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

from stopline.ledger.encoding import decode_book
from stopline.model.ids import document_id
from stopline.ports import Document, Where
from stopline.runtime.app import App
from stopline.service.audit.chain import stored_faults
from stopline.service.fills.books import read_fill
from stopline.service.sweep.flush_outboxes import OUTBOX_AGE, OUTBOX_COLLECTIONS

Raw = dict[str, Any]
Digest = tuple[int, Decimal, str]
"""How many fills, the sum of their signed quantities, the exclusive or of their hashes: no order in it."""


def waiting(app: App, age: timedelta = timedelta(0)) -> list[Document]:
    """Return the documents whose outbox is not empty and at least so old."""
    until = app.clock.now() - age
    return [
        document
        for collection in OUTBOX_COLLECTIONS
        for document in app.store.query(collection, [Where("outbox_at", "<=", until)], ["outbox_at"])
    ]


def check_outboxes(app: App) -> None:
    """Nothing is in an outbox that cannot go out: one flush, as the sweep's, and all are empty."""
    failed = app.sweep.flusher.flush(app.clock.now() + 2 * OUTBOX_AGE)
    assert not failed, failed
    left = [str(document.path) for document in waiting(app)]
    assert not left, f"{len(left)} outboxes are not empty, such as {left[:3]}"


def wait_for_outboxes(app: App, seconds: float = 60) -> None:
    """Return when they are empty: a sweep that a fill has asked for may be under way. Fails where they never are."""
    ends = time.monotonic() + seconds
    while True:
        try:
            return check_outboxes(app)
        except AssertionError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)


def check_chains(app: App) -> int:
    """Every audit chain is whole; return the number of rows."""
    rows, faults = stored_faults(app.store)
    assert not faults, faults[:5]
    return rows


def check_digests(app: App, fills: list[Raw]) -> None:
    """Every account's fills are those that were published, by digests of both, and its book counts them."""
    published: dict[str, list[tuple[str, Decimal]]] = defaultdict(list)
    for fill in fills:
        signed = Decimal(fill["quantity"]) * (1 if fill["side"] == "BUY" else -1)
        published[fill["account"]].append(
            (
                document_id(fill["broker"], fill["account"], fill["fill_id"])
                + f" {fill['instrument']['symbol']} {signed.normalize()} {Decimal(fill['price']).normalize()}"
                f" {Decimal(fill['fee']).normalize()} {fill['executed_at']}",
                signed,
            )
        )
    stored: dict[str, list[tuple[str, Decimal]]] = defaultdict(list)
    for document in app.store.query("fills"):
        found = read_fill(document)
        signed = found.quantity * (1 if found.side.value == "BUY" else -1)
        stored[found.account].append(
            (
                f"{document.path.id} {found.instrument.symbol} {signed.normalize()} {found.price.normalize()}"
                f" {found.fee.normalize()} {found.executed_at.isoformat()}",
                signed,
            )
        )
    expected = {account: digest(items) for account, items in published.items()}
    assert {account: digest(items) for account, items in stored.items()} == expected
    counted = {d.data["account"]: decode_book(d.data["state"]).fills for d in app.store.query("books")}
    assert counted == {account: items[0] for account, items in expected.items()}


def digest(items: list[tuple[str, Decimal]]) -> Digest:
    """Return the digest of fills, each its text and its signed quantity."""
    mixed = 0
    for text, _ in items:
        mixed ^= int.from_bytes(hashlib.sha256(text.encode()).digest())
    return len(items), sum((quantity for _, quantity in items), Decimal(0)), f"{mixed:064x}"
