"""The hash chain of the audit trail: each row holds the hash of the one before, and its own.

One chain a control document (`global`, `account:NAME`), numbered from 1. A row that was removed, altered or moved
breaks the chain there; the end is held against the control document, which knows the last number and hash.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from stopline.model.wire import canonical

COLUMNS = (
    "event_id", "scope", "event", "actor", "reason", "epoch", "from_state", "to_state", "decided_at", "detail",
    "chain", "seq", "previous_hash",
)  # fmt: skip


class Head(NamedTuple):
    """The end of a chain: how many rows it has, and the hash of the last."""

    seq: int = 0
    hash: str = ""


START = Head()


def entry_hash(row: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, of everything a row says, the hash of the row before included."""
    return hashlib.sha256(canonical({name: row.get(name) for name in COLUMNS})).hexdigest()


def faults(
    name: str, rows: Iterable[Mapping[str, Any]], head: Head | None = None, after: Head = START
) -> list[str]:
    """Return what is wrong with a chain, one line each; none: every row is as it was written, and in its place.

    `rows` in any order; `head`, where it is known, is the end that the chain must have. `after`: the row that they follow.
    """
    found = []
    ordered = sorted(rows, key=lambda row: int(row["seq"]))
    last = after
    for row in ordered:
        seq = int(row["seq"])
        if seq != last.seq + 1:
            found.append(
                f"{name}: row {seq} is there twice"
                if seq == last.seq
                else f"{name}: row {last.seq + 1} is missing"
            )
        elif row["previous_hash"] != last.hash:
            found.append(f"{name}: row {seq} does not follow the row before it")
        if entry_hash(row) != row["hash"]:
            found.append(f"{name}: row {seq} was altered")
        last = Head(seq, row["hash"])
    if head is not None and last != head:
        found.append(
            f"{name}: the last row is {last.seq} {last.hash[:12]}, the control says {head.seq} {head.hash[:12]}"
        )
    return found
