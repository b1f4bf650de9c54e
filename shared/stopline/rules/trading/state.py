"""How a request changes the trading state of a scope: what tightens always works, what loosens has rules."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from stopline.model.control import (
    ONE,
    PERSON,
    STOOD_FOR,
    Control,
    ControlRequest,
    Hold,
    PendingResume,
    Seen,
    Standing,
    TradingState,
    is_due,
)
from stopline.model.errors import Rejected
from stopline.model.ids import digest
from stopline.model.scopes import Scope, parse_scope
from stopline.model.wire import content_hash

BAD_UNTIL = "`until` is for a pause, and must be in the future"
TARGETS = {"kill": TradingState.HALTED, "pause": TradingState.REDUCING}
HALF_OPEN = "half_open"  # the key of the hold that keeps the size small after a money breaker was lifted


AHEAD = 1_000_000  # more epochs than anybody can have used of which nothing is known any more
MOST_PARTS = 200  # of one account: stops of names, mistyped ones too, must not fill the document that its own kill needs


@dataclass(frozen=True, slots=True)
class Transition:
    """A control after a request, and what happened. `changed`: another state, size or flatten: people are told."""

    control: Control
    event: str
    changed: bool


def check(request: ControlRequest) -> Scope:
    """Return the scope of a request. Raises Rejected for what can never be carried out, whatever is stored: the second path
    of a kill must not tell it to anybody.
    """
    scope = parse_scope(request.scope)
    if scope is None:
        raise Rejected("UNKNOWN_SCOPE", f"{request.scope} is not global, account:, strategy: or underlying:")
    if request.until is not None and request.action == "kill":
        raise Rejected("BAD_UNTIL", BAD_UNTIL)
    if request.lock and not scope.account:
        raise Rejected("BAD_LOCK", "a lock ends with an account's session: the whole has none")
    return scope


def with_room(control: Control, scope: str) -> Control | None:
    """Return a control that has room for a stop of one more part: without the one that has been free for longest, where it
    is full. None: every part in it is stopped.
    """
    if scope == control.scope or scope in control.parts or len(control.parts) < MOST_PARTS:
        return control
    free = [p for p in control.parts.values() if not p.holds and p.pending is None]
    if not free:
        return None
    oldest = min(free, key=lambda p: p.epoch).scope
    return control.model_copy(update={"parts": {k: p for k, p in control.parts.items() if k != oldest}})


def as_known(control: Control, request: ControlRequest) -> ControlRequest:
    """Return a request under the id that it is carried out under: its own, or, where that stands for other content, one
    that follows from both. So the same request again is found again, whatever else has used its id, as long as the document
    remembers it.
    """
    while (seen := control.seen.get(request.request_id)) and not is_same(seen, request):
        derived = f"{request.request_id[:95]}~{digest(content_hash(request.content()))}"
        request = request.model_copy(update={"request_id": derived})
    return request


def is_same(seen: Seen, request: ControlRequest) -> bool:
    """Tell whether what was seen of a request's id was that request, or stands for it."""
    return seen.hash == content_hash(request.content()) or (
        seen.hash == STOOD_FOR and request.action == "pause"
    )


def as_meant(before: Control, request: ControlRequest) -> ControlRequest:
    """Return a request as it is carried out. A breaker's kill whose pause people have lifted was read before they had: it is
    what the next reading would be, a first one, and pauses again, under an id by which the breaker knows it.
    """
    paused = before.seen.get(request.releases or "")
    resumed_at = before.standing(request.scope).resumed_at
    if request.action != "kill" or paused is None or resumed_at is None or resumed_at <= paused.at:
        return request
    instead = {
        "request_id": overtaken(request.releases or ""),
        "action": "pause",
        "flatten": False,
        "reason": f"nothing was closed, people had just resumed: {request.reason}"[:500],
    }
    return request.model_copy(update=instead)


def overtaken(pause: str) -> str:
    """Return the id of the pause that comes in place of the kill that confirms a pause."""
    return digest("overtaken", pause)


def tighten(
    before: Control, request: ControlRequest, now: datetime, locked_until: datetime | None
) -> Transition:
    """Carry out a kill or a pause: it adds to what its actor holds and never takes anything back. Whoever wanted to resume
    has not seen it: what one of two people has asked for is void.
    """
    standing = before.standing(request.scope)
    key = holder(request.actor)
    hold = Hold(
        state=TARGETS[request.action],
        flatten=request.action == "kill" and request.flatten,
        actor=request.actor,
        reason=request.reason,
        request_id=request.request_id,
        since=now,
        until=request.until,
        locked_until=locked_until,
        people=request.hold_people,
        reopen=request.reopen,
    )
    held = standing.holds.get(key)
    holds = {**standing.holds, key: _stricter(held, hold) if held else hold}
    return _moved(before, standing.model_copy(update={"pending": None}), holds, request.action, request, now)


def release(before: Control, request: ControlRequest, now: datetime) -> Transition:
    """Lift what the actor of the request holds, where it is what the request names; what others hold stays, and so does a
    halt: a breaker halts when a second reading has agreed, and then only people lift it, whatever later readings say.
    """
    standing = before.standing(request.scope)
    key = holder(request.actor)
    held = standing.holds.get(key)
    meant = held is not None and request.releases in (None, held.request_id)
    lifted = meant and held is not None and held.state is not TradingState.HALTED
    holds = {k: h for k, h in standing.holds.items() if k != key or not lifted}
    return _moved(before, standing, holds, "release", request, now)


def resume(before: Control, request: ControlRequest, now: datetime) -> Transition:
    """Lift everything that stops the scope. Where a money breaker was among it, trading goes on half-open, and where it was
    half-open before it stays so: that is lifted by a resume of its own, when nothing else is held.
    """
    standing = before.standing(request.scope)
    stops = [h for key, h in standing.holds.items() if key != HALF_OPEN]
    size = min((h.reopen for h in stops), default=ONE)
    holds = {HALF_OPEN: standing.holds[HALF_OPEN]} if stops and HALF_OPEN in standing.holds else {}
    if size < ONE:
        holds = _with_half_open(holds, _half_open(size, request, now))
    if standing.state is not TradingState.ACTIVE:
        standing = standing.model_copy(update={"resumed_at": now})
    return _moved(before, standing, holds, "resume", request, now)


def ask_to_resume(before: Control, request: ControlRequest, now: datetime) -> Transition:
    """Note the first of two people who want to resume: nothing is loosened."""
    standing = before.standing(request.scope)
    pending = PendingResume(
        actor=request.actor,
        person=request.person,
        reason=request.reason,
        request_id=request.request_id,
        epoch=standing.epoch,
        at=now,
    )
    return Transition(_put(before, standing.model_copy(update={"pending": pending})), "resume_asked", False)


def is_held(before: Control, moved: Transition, request: ControlRequest) -> bool:
    """Tell whether a stop asks for nothing but what its actor holds already, until later at most."""
    key, said = holder(request.actor), ("actor", "reason", "request_id", "since", "until", "quiet")
    old, new = (one.standing(request.scope).holds.get(key) for one in (before, moved.control))
    if moved.changed or old is None or new is None:
        return False
    return old.model_copy(update={name: getattr(new, name) for name in said}) == new


def remember(moved: Transition, request: ControlRequest, hashed: str, now: datetime) -> Transition:
    """Return a transition whose control knows the request by the hash of its content: as one of after the last resume,
    whatever the clock of who resumed says. A breaker's kill stands for the pause that it confirms, where that could not be
    carried out before it: late, it would stop what people have let go, for a breaker that has closed already.
    """
    control = moved.control
    at = max(now, control.standing(request.scope).resumed_at or now)
    if request.action == "kill" and request.releases and request.releases not in control.seen:
        control = remembered(control, request.releases, STOOD_FOR, at)
    return replace(moved, control=remembered(control, request.request_id, hashed, at))


def remembered(control: Control, id_: str, hashed: str, now: datetime) -> Control:
    """Return a control that knows an id, by the hash of what it was used for."""
    return control.remembering(id_, Seen(hash=hashed, epoch=control.epoch, at=now))


def lapsed(before: Control, now: datetime) -> list[tuple[str, str]]:
    """Return what has come to its end, as (scope, key of the hold)."""
    return [
        (standing.scope, key)
        for standing in (before, *before.parts.values())
        for key, hold in standing.holds.items()
        if is_due(hold.until, now) and (hold.locked_until is None or now >= hold.locked_until)
    ]


def lapse(before: Control, scope: str, key: str, now: datetime) -> tuple[Transition, ControlRequest]:
    """Lift one hold that has come to its end, and return the request that stands for it in the audit."""
    standing = before.standing(scope)
    ended = standing.holds[key]
    request = ControlRequest(
        request_id=f"lapse-{ended.request_id[:100]}",
        scope=scope,
        action="release",
        actor=ended.actor,
        reason=f"the time was over: {ended.reason}"[:500],
    )
    holds = {k: h for k, h in standing.holds.items() if k != key}
    if ended.reopen < ONE:
        again = None if ended.until is None else now + (ended.until - ended.since)
        holds = _with_half_open(holds, _half_open(ended.reopen, request, now, again))
    return _moved(before, standing, holds, "lapse", request, now), request


def holder(actor: str) -> str:
    """Return under which key an actor holds: limits and breakers each their own, all people one."""
    return actor if actor.startswith(("limit:", "breaker:")) else PERSON


def _half_open(size: Decimal, request: ControlRequest, now: datetime, until: datetime | None = None) -> Hold:
    return Hold(
        state=TradingState.ACTIVE,
        size=size,
        actor=request.actor,
        reason=request.reason,
        request_id=request.request_id,
        since=now,
        until=until,
    )


def _with_half_open(holds: dict[str, Hold], half: Hold) -> dict[str, Hold]:
    held = holds.get(HALF_OPEN)
    return {**holds, HALF_OPEN: _stricter(held, half) if held else half}


def _stricter(old: Hold, new: Hold) -> Hold:
    """Join two holds of one actor: the stricter of each part, the smaller size; no end is later than any end. `since` is
    when it was last said: from then on it holds for its minute.
    """
    both = (old.until, new.until)
    return new.model_copy(
        update={
            "state": max(old.state, new.state, key=lambda s: s.rank),
            "size": min(old.size, new.size),
            "flatten": old.flatten or new.flatten,
            "until": None if None in both else max(u for u in both if u),
            "locked_until": max((u for u in (old.locked_until, new.locked_until) if u), default=None),
            "people": max(old.people, new.people),
            "reopen": min(old.reopen, new.reopen),
        }
    )


def _moved(
    before: Control,
    standing: Standing,
    holds: dict[str, Hold],
    event: str,
    request: ControlRequest,
    now: datetime,
) -> Transition:
    state = max((h.state for h in holds.values()), key=lambda s: s.rank, default=TradingState.ACTIVE)
    size = min((h.size for h in holds.values()), default=ONE)
    flatten = any(h.flatten for h in holds.values())
    sized = (
        size == standing.size or state is not TradingState.ACTIVE
    )  # the size matters where trading goes on
    if sized and (state, flatten) == (standing.state, standing.flatten):
        told = {
            k: h if h == standing.holds.get(k) else h.model_copy(update={"quiet": True})
            for k, h in holds.items()
        }
        repeated = standing.model_copy(update={"holds": told, "size": size})
        return Transition(_put(before, repeated), f"{event}_repeated", False)
    epoch = before.epoch + 1
    after = standing.model_copy(
        update={
            "state": state,
            "size": size,
            "flatten": flatten,
            "epoch": epoch,
            "previous": standing.state,
            "actor": request.actor,
            "reason": request.reason,
            "request_id": request.request_id,
            "since": now,
            "holds": {k: h.model_copy(update={"quiet": False}) for k, h in holds.items()},
            "pending": None,
        }
    )
    return Transition(_put(before, after).model_copy(update={"epoch": epoch}), event, True)


def _put(control: Control, standing: Standing) -> Control:
    if standing.scope == control.scope:
        fields = {name: getattr(standing, name) for name in Standing.model_fields}
        return control.model_copy(update=fields)
    return control.model_copy(update={"parts": {**control.parts, standing.scope: standing}})
