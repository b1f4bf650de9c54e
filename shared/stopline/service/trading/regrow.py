"""A control document that a hand outside Stopline deleted, or put back as it was: its audit trail goes on where the document
does not know, so that nothing could ever be stopped again. It is taken up where the trail ends: stopped again is what was
stopped and not resumed, and what else there was counts as reduce-only until two people resume it.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from stopline.model.control import ONE, TAKEN_UP, Control, ControlRequest, Seen, TradingState
from stopline.model.errors import Rejected
from stopline.model.ids import digest
from stopline.model.messages import Effect
from stopline.model.scopes import scope_of
from stopline.model.wire import validate
from stopline.ports import Create, Store
from stopline.rules.trading.breakers import rule_of
from stopline.rules.trading.reset import QUARTER
from stopline.rules.trading.state import AHEAD, TARGETS, holder
from stopline.service.audit.chain import rows_of
from stopline.service.documents.aggregate import DAMAGED, Change
from stopline.service.trading.state_alerts import lost_alert

log = logging.getLogger("stopline")
Row = Mapping[str, Any]
WHO = "stopline"
MOST = 100  # stops that are carried out again in one commit
LOST = "its trading state was deleted or put back as it was: look through what stood, and resume"

Stop = Callable[[Control, ControlRequest], Change[Control]]
"""Carry out a stop on a control, with its audit row and who is told. Raises Rejected."""


def regrown(store: Store, known: Control, seen: int, now: datetime, stop: Stop) -> Change[Control]:
    """Return a control at the end of its audit trail, under an epoch above all of before, with one alert that says so.
    `known`: what is left of it; `seen`: the highest epoch that anybody saw. Where there is more to stop than one commit
    takes, the least strict are left out and named, and the whole document's scope is halted.
    """
    rows = rows_of(store, known.scope, known.chain_seq)
    epoch = max(known.epoch, seen, *(int(row["epoch"]) for row in rows)) + AHEAD
    control = known.model_copy(update={"epoch": epoch})
    last = int(rows[-1]["seq"]) if rows else 0
    if last > known.chain_seq:
        control = control.model_copy(update={"chain_seq": last, "chain_hash": rows[-1]["hash"]})
    control = control.remembering(TAKEN_UP, Seen(hash="", epoch=epoch, at=now))
    effects, creates, wishes = list[Effect](), list[Create](), again(rows, now)
    left = wishes[MOST:]
    for request in wishes[:MOST]:
        try:
            change = stop(control, request)
        except Rejected:
            log.exception("a stop cannot be taken up again", extra={"scope": request.scope})
            left.append(request)
            continue
        control = change.state
        effects += change.effects
        creates += change.creates
    size = size_of(rows) if last > known.chain_seq else QUARTER
    held = stop(control, _held(known.scope, epoch, left, size))
    log.error("a control had lost its place in the audit trail", extra={"scope": known.scope, "row": last})
    told = lost_alert(
        held.state, epoch, last if last > known.chain_seq else None, [r.scope for r in left], now
    )
    quiet = [e for e in (*effects, *held.effects) if e.topic != "alerts"]
    return Change(held.state, [*quiet, told], [*creates, *held.creates])


def _held(scope: str, epoch: int, left: Sequence[ControlRequest], size: Decimal) -> ControlRequest:
    """Return the stop of the document's own scope that two people end: never looser than what is left out. `size`: the share
    of the usual size that trading then goes on with.
    """
    return ControlRequest(
        request_id=digest("lost", scope, str(epoch)),
        scope=scope,
        action="kill" if left else "pause",
        flatten=any(request.action == "kill" and request.flatten for request in left),
        actor=WHO,
        reason=LOST,
        hold_people=2,
        reopen=size,
    )


def size_of(rows: Sequence[Row]) -> Decimal:
    """Return the smallest share of the usual size that a scope may go on with after what had stopped it: until people resume
    it once more while it is ACTIVE. What is doubtful counts as the smallest.
    """
    stopped, sizes = dict[str, Decimal](), dict[str, Decimal]()
    for row in rows:
        scope, event, rule = row["scope"], str(row.get("event")), rule_of(str(row.get("actor")))
        size = stopped.get(scope, ONE)
        if event == "resume" and row.get("from_state") == TradingState.ACTIVE:
            sizes.pop(scope, None)
        elif event in ("resume", "lapse"):
            sizes[scope] = min(sizes.get(scope, ONE), size)
        elif event.removesuffix("_repeated") in TARGETS:
            stopped[scope] = min(size, rule.reopen if rule else ONE)
        if event == "resume":
            stopped.pop(scope, None)
    is_doubtful = any(not row.get("event") or not row.get("actor") for row in rows)
    return QUARTER if is_doubtful else min(sizes.values(), default=ONE)


def again(rows: Sequence[Row], now: datetime) -> list[ControlRequest]:
    """Return the wishes to stop that audit rows tell of and that hold still, under ids of their own, the strictest first:
    the last one of each kind, until the end of all that its holder has said.
    """
    ends = defaultdict[tuple[str, str], list[datetime | None]](list)
    found = stops_of(rows)
    for one in found:
        ends[one.scope, holder(one.actor)].append(one.until)
    each: dict[tuple[object, ...], ControlRequest] = {}
    for one in found:
        said = ends[one.scope, holder(one.actor)]
        until = None if None in said else max(end for end in said if end)
        if until is not None and until <= now:
            if not one.lock:
                continue
            until = None  # its lock may last longer
        # it was carried out as it stands: whatever people have resumed since then, they had not seen it
        renamed = {"request_id": digest("again", one.request_id), "until": until, "releases": None}
        key = (one.scope, one.actor, one.action, one.flatten, one.lock, one.hold_people, one.reopen)
        each[key] = one.model_copy(update=renamed)
    return sorted(each.values(), key=lambda r: (scope_of(r.scope).is_part, r.action != "kill", not r.flatten))


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
        request = validate(ControlRequest, orjson.loads(row["detail"]))
        scope_of(request.scope)
        found.setdefault(scope, []).append(request)
