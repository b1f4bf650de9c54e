"""A control document that a hand outside Stopline deleted, or put back as it was: its audit trail goes on where the document
does not know, so that nothing could ever be stopped again. It is taken up where the trail ends: stopped again is what was
stopped and not resumed, and what else there was counts as reduce-only until two people resume it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from stopline.model.control import Control, ControlRequest
from stopline.model.errors import Rejected
from stopline.model.ids import digest
from stopline.model.messages import Effect
from stopline.model.wire import validate
from stopline.ports import Create, Store
from stopline.rules.trading.state import AHEAD, TARGETS
from stopline.service.audit.chain import rows_of
from stopline.service.documents.aggregate import DAMAGED, Change

log = logging.getLogger("stopline")
Row = Mapping[str, Any]
WHO = "stopline"
MOST = 100  # stops that are carried out again in one commit
LOST = "its trading state was deleted or put back as it was: what stood is taken out of the audit trail, look through it"

Stop = Callable[[Control, ControlRequest], Change[Control]]
"""Carry out a stop on a control, with its audit row and who is told. Raises Rejected."""


def regrown(store: Store, known: Control, now: datetime, stop: Stop) -> Change[Control]:
    """Return a control at the end of its audit trail, under an epoch above all of before. `known`: what is left of it."""
    rows = rows_of(store, known.scope, known.chain_seq)
    last = rows[-1]
    epoch = max(known.epoch, *(int(row["epoch"]) for row in rows)) + AHEAD
    head = {"chain_seq": int(last["seq"]), "chain_hash": last["hash"], "epoch": epoch}
    control = known.model_copy(update=head)
    effects, creates = list[Effect](), list[Create]()
    for request in [_held(known.scope, last), *again(rows, now)]:
        try:
            change = stop(control, request)
        except Rejected:
            log.exception("a stop cannot be taken up again", extra={"scope": request.scope})
            continue
        control = change.state
        effects += change.effects
        creates += change.creates
    log.error(
        "a control had lost its place in the audit trail", extra={"scope": known.scope, "row": last["seq"]}
    )
    return Change(control, effects, creates)


def _held(scope: str, last: Row) -> ControlRequest:
    return ControlRequest(
        request_id=digest("regrown", scope, str(last["seq"]), last["hash"]),
        scope=scope,
        action="pause",
        actor=WHO,
        reason=LOST,
        hold_people=2,
    )


def again(rows: Sequence[Row], now: datetime) -> list[ControlRequest]:
    """Return the wishes to stop that audit rows tell of and that hold still, under ids of their own: the last ones of each
    actor.
    """
    due = [r for r in stops_of(rows) if r.until is None or r.until > now]
    each = {(r.scope, r.actor, r.action, r.flatten, r.lock): r for r in due}
    renamed = [r.model_copy(update={"request_id": digest("again", r.request_id)}) for r in each.values()]
    return renamed[-MOST:]


def stops_of(rows: Sequence[Row]) -> list[ControlRequest]:
    """Return the wishes to stop that audit rows tell of, but for those of a scope that was resumed after them, or that
    their own actor took back. What is doubtful is stopped: a stop too many ends with a resume.
    """
    found: dict[str, list[ControlRequest]] = {}
    for row in sorted(rows, key=lambda row: (row["chain"], int(row["seq"]))):
        try:
            _follow(found, row)
        except DAMAGED:
            log.exception("what an audit row asked for cannot be read", extra={"scope": row.get("scope")})
    return [request for requests in found.values() for request in requests]


def _follow(found: dict[str, list[ControlRequest]], row: Row) -> None:
    """Go on by one row. Raises one of DAMAGED."""
    scope, event = row["scope"], row["event"]
    if event == "resume":
        found.pop(scope, None)
    elif event in ("release", "lapse"):
        found[scope] = [r for r in found.get(scope, []) if r.actor != row["actor"]]
    elif event.removesuffix("_repeated") in TARGETS:
        found.setdefault(scope, []).append(validate(ControlRequest, orjson.loads(row["detail"])))
