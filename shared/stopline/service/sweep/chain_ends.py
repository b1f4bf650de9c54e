"""The ends of the trading states' audit trails as the last round of the sweep saw them: a document that does not go on from
there was deleted and made anew, or put back, whatever its epoch is by now.
"""

import logging
from collections.abc import Mapping

import orjson

from stopline.model.scopes import has_document
from stopline.ports import Document, Store
from stopline.service.audit.chain import AT_ONCE, row_path
from stopline.service.documents.aggregate import DAMAGED

log = logging.getLogger("stopline")
Ends = Mapping[str, str]
"""By the scope of a control document: the number of its last audit row, and how that one's hash begins."""


def ends_of(beat: Document | None) -> dict[str, str]:
    """Return what a heartbeat says; nothing where nobody can read it, or an older version wrote it."""
    try:
        noted = orjson.loads(beat.data.get("chain_ends") or "{}") if beat else {}
        return {scope: end for scope, end in noted.items() if _parts(end) and has_document(scope)}
    except DAMAGED:
        log.exception("heartbeat: the ends of the audit trails cannot be read")
        return {}


def ends_text(ends: Ends) -> str:
    """Write the heartbeat's field."""
    return orjson.dumps(dict(sorted(ends.items()))).decode()


def is_behind(known: str | None, end: str) -> bool:
    """Tell whether an end is one of before a known one, or another one in its place. What says nothing is not judged."""
    before, now = _parts(known), _parts(end)
    return before is not None and now is not None and now != before and now[0] <= before[0]


def not_gone_on(store: Store, known: Ends, now: Ends) -> list[str]:
    """Return the scopes whose trail does not go on from the known end: it is behind, or the row that was its end is gone or
    another one; a row that cannot be read says nothing. Reads the rows of those that have moved. Raises Unavailable.
    """
    found = [scope for scope, end in known.items() if is_behind(end, now.get(scope, ""))]
    moved = [
        (scope, parts)
        for scope, end in known.items()
        if scope in now and now[scope] != end and scope not in found and (parts := _parts(end))
    ]
    for first in range(0, len(moved), AT_ONCE):
        some = moved[first : first + AT_ONCE]
        rows = store.get_all([row_path(scope, seq) for scope, (seq, _) in some])
        found += [s for (s, (_, hash_)), row in zip(some, rows, strict=True) if not _has(row, hash_)]
    return found


def put_back(store: Store, now: Ends) -> list[str]:
    """Return the scopes whose trail goes on after the end that their document knows: it was put back as it was, or has moved
    on since it was read. Raises Unavailable.
    """
    found: list[str] = []
    placed = [(scope, parts[0]) for scope, end in now.items() if (parts := _parts(end))]
    for first in range(0, len(placed), AT_ONCE):
        some = placed[first : first + AT_ONCE]
        rows = store.get_all([row_path(scope, seq + 1) for scope, seq in some])
        found += [scope for (scope, _), row in zip(some, rows, strict=True) if row is not None]
    return found


def _parts(end: str | None) -> tuple[int, str] | None:
    number, _, hash_ = end.partition(" ") if isinstance(end, str) else ("", "", "")
    return (int(number), hash_) if number.isdecimal() and int(number) and hash_ else None


def _has(row: Document | None, hash_: str) -> bool:
    try:
        return row is not None and str(orjson.loads(row.data["row"])["hash"]).startswith(hash_)
    except DAMAGED:
        log.exception("a row of the audit trail cannot be read", extra={"row": str(row.path) if row else ""})
        return True  # it is there: the document went on from it, and the audit tells of the damage
