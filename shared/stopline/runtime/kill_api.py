"""The kill switch over HTTP: POST /kill, /pause, /resume and GET /status. Persists first, then publishes.

Where the state cannot be stored, a kill takes the second path: see service/trading/emergency_halt.py.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import flask

from stopline.model.control import (
    GLOBAL,
    Closing,
    ClosingStatus,
    Control,
    ControlRequest,
    Standing,
    TradingState,
    account_scope,
    effective_for,
)
from stopline.model.decimals import decimal_text
from stopline.model.errors import Rejected, Transient, Unreadable
from stopline.model.ids import digest, is_id
from stopline.model.scopes import Scope, parse_scope, scope_account, scope_of
from stopline.model.times import utc_text
from stopline.model.wire import content_hash, validate
from stopline.runtime.access import Access
from stopline.runtime.app import App
from stopline.runtime.auth import (
    DevOf,
    EmailOf,
    Forbidden,
    Missing,
    Principal,
    Right,
    authenticate,
)
from stopline.runtime.bodies import json_body, leave_unread, only
from stopline.runtime.problems import Answer, answer, problem, refusal
from stopline.runtime.refusals import NOBODY, OF_WHOM
from stopline.service.documents.outbox import Unpublished
from stopline.service.trading.unheard import unheard

if TYPE_CHECKING:
    from stopline.ledger.book import Book

log = logging.getLogger("stopline")
T = TypeVar("T")
MAX_BODY = 16 * 1024
MAX_REASON = 500
INTERNAL = {
    "action",
    "actor",
    "person",
    "hold_people",
    "reopen",
    "releases",
}  # follow from the path, the caller, or a breaker
SCOPE = "scope (global, account:NAME, strategy:ACCOUNT:NAME, underlying:ACCOUNT:SYMBOL)"
BY_HAND = "orders may work there and open positions again, cancel them at the broker by hand"
NOTHING, FLAT = ClosingStatus.NOTHING_HELD.value, ClosingStatus.FLAT.value
RIGHTS: dict[str, Right] = {"kill": "kill", "pause": "kill", "resume": "resume"}


def handle(
    request: flask.Request,
    app: Callable[[], App],
    principals: Mapping[str, object],
    email_of: EmailOf | None = None,
    dev_of: DevOf | None = None,
) -> Answer:
    """Answer one request to the kill switch."""
    caller = NOBODY
    try:
        principal = authenticate(request.headers.get("Authorization", ""), principals, email_of, dev_of)
        caller, name = principal.name, request.path.strip("/")
        if RIGHTS.get(name) != "kill":  # nobody is told to wait before they stop trading
            app().quotas.take(principal.name, RIGHTS.get(name, "status"))
        if name == "status":
            if request.method != "GET":
                return problem(405, "METHOD", "status is read with GET")
            return status(app(), principal, only(request, "scope").get("scope", GLOBAL))
        if name not in RIGHTS:
            return problem(404, "NOT_FOUND", "there are /kill, /pause, /resume and /status")
        if request.method != "POST" or request.mimetype != "application/json":
            return problem(405, "METHOD", f"/{name} is a POST with content type application/json")
        only(request)
        free = ("reason", "request_id") if RIGHTS[name] == "kill" else ()  # see _with_defaults
        return change(app(), principal, name, json_body(request, MAX_BODY, free))
    except Exception as found:  # noqa: BLE001 - the boundary: whatever it is has an answer
        if isinstance(found, OF_WHOM):
            app().refusals.note(request, caller, found)
        return refusal(found, "the outcome is unknown: send the same request_id again")
    finally:
        leave_unread(request)


def change(app: App, principal: Principal, action: str, body: dict[str, Any]) -> Answer:
    """Carry out one request to change the trading state, by a caller who is known."""
    access = Access(principal, app.accounts)
    if body.keys() & INTERNAL:
        raise Rejected("BAD_MESSAGE", f"{', '.join(sorted(INTERNAL))} are not for callers: leave them out")
    facts = {**body, "action": action, "actor": principal.name, "person": principal.person}
    if action != "resume":
        facts = {
            name: value for name, value in facts.items() if value is not None
        }  # says nothing: as left out
        facts = _with_defaults(facts, app.clock.now())
    request, asked_at = validate(ControlRequest, facts), app.clock.now()
    try:
        standing, carried_out_as, pending, refused = _carried(app, access, request)
    except (Rejected, Forbidden):
        raise
    except Exception:  # of any kind: a kill that is not known to be stored goes out all the same
        if action != "kill" or not access.may("kill", request.scope):
            raise
        log.exception("kill switch: the state cannot be stored, the halt goes out all the same")
        return _unpersisted(app, request, asked_at)
    named = body.get("request_id", carried_out_as)
    told: dict[str, str | None] = {}
    try:
        told = app.halts.advance(standing)
    except Exception:  # the state stands: the sweep begins
        log.exception("kill switch: the accounts that are halted cannot be read")
        pending = True
    pending = pending or None in told.values()
    accounts = [scope_account(standing.scope)] if scope_account(standing.scope) else list(told)
    warning, is_known = _warning(app, standing) if told else ("", True)
    if refused:  # before the resume: after it nothing of that is known any more
        warning = "; ".join([*([warning] if warning else []), f"{refused}: {BY_HAND}"])
    if told and scope_of(standing.scope).is_part:  # what is said is said of the part, and not of its account
        [how] = told.values()
        told = {standing.scope: how if is_known or not standing.flatten else NOTHING}
    facts = {
        **_facts(standing),
        **_in_force(request, standing),
        **({"carried_out_as": carried_out_as} if carried_out_as != named else {}),
        **_locked(request, standing),
        "delivery": "pending" if pending else "published",
        "closing": {name: status or "PENDING" for name, status in told.items()},
        "counts": _counts(told),
        **({"warning": warning} if warning else {}),
        **(_still_stopped(app, standing) if action == "resume" else _unheard(app, accounts)),
    }
    asked = action == "resume" and standing.pending is not None
    return answer(202 if pending or asked else 200, facts)


def _carried(app: App, access: Access, request: ControlRequest) -> tuple[Standing, str, bool, str]:
    """Carry out a request of a caller who may; return where its scope stands, the id that it was carried out under, whether
    its messages are due, and of a resume who has refused a cancel. Raises like `TradingStates.carry`, and Forbidden.
    """
    _check_scope(app, access, RIGHTS[request.action], request.scope)
    refused = app.cancel_watcher.refused(request.scope) if request.action == "resume" else ""
    try:
        return *app.trading.carry(request), False, refused
    except Unpublished:  # the state stands, and the state is the truth: adapters and sweep read it
        return *app.trading.done(request), True, refused


def _warning(app: App, standing: Standing) -> tuple[str, bool]:
    """Say where a stop names what nobody holds, or where that cannot be known; and whether it may stand for something."""
    scope = scope_of(standing.scope)
    if not scope.is_part:
        return "", True
    try:
        warning = _nothing_held(scope, app.books.read(scope.account))
    except Exception:  # the stop stands, whatever that is
        log.exception("kill switch: what is held cannot be read", extra={"scope": standing.scope})
        unknown = f"what {scope.account} holds cannot be read now"
        return f"{unknown}: whether it holds anything of {scope.kind} {scope.name} is unknown", True
    return warning, not warning


def _nothing_held(scope: Scope, book: "Book | None") -> str:
    from stopline.ledger.book import Book
    from stopline.rules.closing.halts import nothing_held

    return nothing_held(scope, book or Book(scope.account))


def _unheard(app: App, accounts: Sequence[str]) -> dict[str, list[str] | None]:
    """Say which accounts a stop may be heard by nobody in: no adapter has a lease there. None: not known now."""
    if not accounts:
        return {}
    try:
        return {"unheard": unheard(app.store, accounts, app.clock.now())}
    except Exception:  # the stop stands, whoever hears it
        log.exception("kill switch: whether adapters listen cannot be read")
        return {"unheard": None}


def _still_stopped(app: App, standing: Standing) -> dict[str, dict[str, str] | None]:
    """Say what goes on being stopped by itself where a scope is resumed. None: not known now."""
    from stopline.service.trading.still_stopped import still_stopped

    if standing.state is not TradingState.ACTIVE:
        return {}
    try:
        return {"still_stopped": still_stopped(app.controls, scope_of(standing.scope))}
    except Exception:  # the resume stands
        log.exception("kill switch: what is still stopped cannot be read")
        return {"still_stopped": None}


def _in_force(request: ControlRequest, standing: Standing) -> dict[str, bool]:
    """Say of a stop whether what it asked for holds now: one that is repeated after people have resumed is over."""
    wanted = {"kill": TradingState.HALTED, "pause": TradingState.REDUCING}.get(request.action)
    if wanted is None:
        return {}
    closes = request.action == "kill" and request.flatten
    return {"in_force": standing.state.rank >= wanted.rank and (standing.flatten or not closes)}


def _locked(request: ControlRequest, standing: Standing) -> dict[str, str]:
    """Say until when nobody resumes, where that was asked for: the next session may be near."""
    until = max((h.locked_until for h in standing.holds.values() if h.locked_until), default=None)
    return {"locked_until": utc_text(until)} if request.lock and until else {}


def _with_defaults(facts: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return a kill or a pause with what a hand in a hurry left out: it counts once a minute. No reason and no id is a
    fault: a long reason is cut, what no line can hold is a space, and of one that is none a default takes the place; an id
    that is none counts as left out.
    """
    said = facts.get("reason")
    plain = "".join(c if c.isprintable() else " " for c in said[:MAX_REASON]) if isinstance(said, str) else ""
    text = plain.strip()
    reason = {**facts, "reason": text or "no reason given"}
    id_ = reason.pop("request_id", None)
    if not is_id(id_):
        id_ = digest("unnamed", content_hash(reason), f"{now:%Y-%m-%dT%H:%M}")
    return {**reason, "request_id": id_}


def _unpersisted(app: App, request: ControlRequest, asked_at: datetime) -> Answer:
    """Take the second path of a kill: the adapters are told, the state follows when it can be stored."""
    from stopline.service.trading.emergency_halt import halt_unpersisted

    halt_id = halt_unpersisted(app.ports.bus, request, asked_at)
    facts = {
        "scope": request.scope,
        "request_id": request.request_id,
        "halt_id": halt_id,
        "actor": request.actor,
        "reason": request.reason,
        "delivery": "published, not persisted",
    }
    return answer(202, facts)


def _counts(told: Mapping[str, str | None]) -> dict[str, int]:
    """Return how many accounts a halt concerns, and how far each is."""
    found = Counter((status or "PENDING").lower() for status in told.values())
    return {"accounts": len(told), **dict(sorted(found.items()))}


def status(app: App, principal: Principal, scope: str) -> Answer:
    """Answer where a scope stands, for a caller who is known."""
    _check_scope(app, Access(principal, app.accounts), "view", scope)
    parsed = scope_of(scope)
    control = app.trading.read(parsed.document)
    standing = control.standing(scope)
    facts = {**_facts(standing), "holds": _holds(standing)}
    if not parsed.account:
        return answer(200, facts)
    everywhere = app.trading.read(GLOBAL)
    parts = {parsed.kind: parsed.name} if parsed.is_part else {}
    holding = effective_for(everywhere, control, parsed.account, **parts)
    unread: list[str] = []
    book = _readable("books", lambda: app.books.read(parsed.account), unread)
    halt = _readable("closings", lambda: app.closer.halt_of(parsed.account), unread)
    open_positions = None if "books" in unread else _open_in(parsed, book) if book else 0
    warning = _nothing_held(parsed, book) if parsed.is_part and not unread else ""
    closing, is_proven = (None, False) if unread else _closing(parsed, everywhere, control, book, halt)
    facts |= {
        "effective_state": holding.state.value,
        "effective_epoch": holding.epoch,
        "effective_size": decimal_text(holding.size),
        "open_positions": open_positions,
        "closing": closing if not warning else None,
        "flat": is_proven and not open_positions and not warning,
    }
    if warning:
        facts["warning"] = warning
    if unread:
        facts["unread"] = unread
    if not parsed.is_part:
        facts["parts"] = {name: part.state.value for name, part in sorted(control.parts.items())}
    return answer(200, facts)


def _readable(what: str, read: Callable[[], T], unread: list[str]) -> T | None:
    """Return what is read, or None with its name in `unread`: what is not known hides nothing of what is."""
    try:
        return read()
    except Transient:
        log.exception("status: a part of it cannot be read", extra={"collection": what})
        unread.append(what)
        return None


def _open_in(scope: Scope, book: "Book") -> int:
    return sum(scope.covers(p.strategy, p.instrument.underlying) for p in book.open_positions())


def _holds(standing: Standing) -> dict[str, Any]:
    return {key: hold.model_dump(mode="json") for key, hold in sorted(standing.holds.items())}


def _closing(
    scope: Scope, everywhere: Control, own: Control, book: "Book | None", halt: Closing | None
) -> tuple[dict[str, Any] | None, bool]:
    """Return the closing of an account in the words of a scope of it, and whether fills have proven it for this very stop:
    one of an earlier halt says nothing.
    """
    from stopline.ledger.book import Book
    from stopline.rules.trading.closing_told import told

    held = book or Book(scope.account)
    how = told(scope, halt, everywhere, own, held)
    if halt is None or how is None:
        return None, False
    facts = {**halt.model_dump(mode="json"), "status": how}
    if scope.is_part:
        mine = {p.key for p in held.open_positions() if scope.covers(p.strategy, p.instrument.underlying)}
        facts["orders"] = {key: order for key, order in facts["orders"].items() if key in mine}
        return facts, how == FLAT
    return facts, how == FLAT and halt.epoch == everywhere.epoch + own.epoch


def _facts(standing: Standing) -> dict[str, Any]:
    return standing.model_dump(mode="json", include=Standing.model_fields.keys() - {"holds", "resumed_at"})


def _check_scope(app: App, access: Access, right: Right, scope: str) -> None:
    """Let nobody tell a foreign account from an unknown one; who has any right on a scope is told which one is missing."""
    parsed = parse_scope(scope)
    if parsed is None:
        raise access.unknown(SCOPE, scope)
    if not access.may(right, scope):
        if access.may_any(get_args(Right), scope) and _is_known(app, parsed.account):
            raise Missing([right], scope)
        raise access.unknown(SCOPE, scope)
    if not _is_known(app, parsed.account):
        raise access.unknown(SCOPE, scope)


def _is_known(app: App, account: str) -> bool:
    """Tell whether there is an account of a name, or what is left of one whose settings were deleted: a book, or a trading
    state. What is damaged is there. The whole is always known.
    """
    if not account:
        return True
    try:
        found = (
            app.accounts.get(account) or app.books.read(account) or app.controls.read(account_scope(account))
        )
    except Unreadable:
        return True
    return found is not None
