"""The kill switch over HTTP: POST /kill, /pause, /resume and GET /status. Persists first, then publishes."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import flask

from stopline.model.control import GLOBAL, Closing, ClosingStatus, Control, ControlRequest, effective
from stopline.model.errors import Rejected, Transient
from stopline.model.wire import decode_object, validate
from stopline.runtime.app import App
from stopline.runtime.auth import Forbidden, Principal, Right, Unauthenticated, authenticate
from stopline.runtime.problems import Answer, answer, problem
from stopline.service.controls import scope_account
from stopline.service.outbox import Unpublished

log = logging.getLogger("stopline")
MAX_BODY = 16 * 1024
RIGHTS: dict[str, Right] = {"kill": "kill", "pause": "kill", "resume": "resume"}


def handle(request: flask.Request, app: Callable[[], App], principals: Mapping[str, object]) -> Answer:
    """Answer one request to the kill switch."""
    try:
        principal = authenticate(request.headers.get("Authorization", ""), principals)
        name = request.path.strip("/")
        if name == "status":
            if request.method != "GET":
                return problem(405, "METHOD", "status is read with GET")
            return _status(app(), principal, request.args.get("scope", GLOBAL))
        if name not in RIGHTS:
            return problem(404, "NOT_FOUND", "there are /kill, /pause, /resume and /status")
        if request.method != "POST" or request.mimetype != "application/json":
            return problem(405, "METHOD", f"/{name} is a POST with content type application/json")
        if request.content_length is None or request.content_length > MAX_BODY:
            return problem(413, "TOO_LARGE", f"the body may have {MAX_BODY} bytes")
        return _change(app(), principal, name, decode_object(request.get_data(), MAX_BODY))
    except Unauthenticated as refused:
        return problem(401, "UNAUTHENTICATED", str(refused))
    except Forbidden as refused:
        return problem(404, "NOT_FOUND", str(refused))
    except Rejected as refused:
        status = 409 if refused.reason in {"CONFLICTING_REQUEST", "STALE_RESUME"} else 400
        return problem(status, refused.reason, refused.detail)
    except Transient:
        log.exception("kill switch: state store unavailable")
        return problem(503, "UNAVAILABLE", "the outcome is unknown: send the same request_id again")
    except Exception:
        log.exception("kill switch: unknown error")
        return problem(500, "UNKNOWN_ERROR", "the outcome is unknown: send the same request_id again")


def _change(app: App, principal: Principal, action: str, body: dict[str, Any]) -> Answer:
    if "action" in body or "actor" in body:
        raise Rejected(
            "BAD_MESSAGE", "`action` and `actor` follow from the path and the caller: leave them out"
        )
    request = validate(ControlRequest, {**body, "action": action, "actor": principal.name})
    _check_scope(app, principal, RIGHTS[action], request.scope)
    pending = False
    try:
        control = app.trading.set(request)
    except Unpublished:  # the state stands, and the state is the truth: adapters and sweep read it
        control = app.trading.read(request.scope)
        pending = True
    closings = _close(app, control) if control.flatten else {}
    pending = pending or None in closings.values()
    facts = {
        **_facts(control),
        "delivery": "pending" if pending else "published",
        "closing": {name: status or "PENDING" for name, status in closings.items()},
    }
    return answer(202 if pending else 200, facts)


def _close(app: App, control: Control) -> dict[str, str | None]:
    """Start the closings of a halt; None where that could not be done now: the sweep goes on."""
    account = scope_account(control.scope)
    result: dict[str, str | None] = {}
    for name in [account] if account else [a.account for a in app.accounts.all()]:
        try:
            closing = app.closer.advance(name)
            result[name] = closing.status.value if closing else None
        except Transient:
            log.exception("kill switch: closing is pending", extra={"account": name})
            result[name] = None
    return result


def _status(app: App, principal: Principal, scope: str) -> Answer:
    _check_scope(app, principal, "view", scope)
    control = app.trading.read(scope)
    account = scope_account(scope)
    if not account:
        return answer(200, _facts(control))
    state, epoch = effective(app.trading.read(GLOBAL), control)
    book = app.books.read(account)
    closing = control.closing
    open_positions = len(book.open_positions()) if book else 0
    facts = {
        **_facts(control),
        "effective_state": state.value,
        "effective_epoch": epoch,
        "open_positions": open_positions,
        "closing": closing.model_dump(mode="json") if closing else None,
        "flat": is_flat(closing, epoch) and not open_positions,
    }
    return answer(200, facts)


def is_flat(closing: Closing | None, epoch: int) -> bool:
    """Tell whether the closing of this very epoch has been proven by fills; one of an earlier halt says nothing."""
    return closing is not None and closing.epoch == epoch and closing.status is ClosingStatus.FLAT


def _facts(control: Control) -> dict[str, Any]:
    return control.model_dump(mode="json", exclude={"seen", "closing"})


def _check_scope(app: App, principal: Principal, right: Right, scope: str) -> None:
    """Let nobody tell a foreign account from an unknown one."""
    unknown = Forbidden("there is no such scope, or it is not yours")
    account = scope_account(scope)
    if (scope != GLOBAL and not account) or not principal.may(right, scope):
        raise unknown
    if account and app.accounts.get(account) is None:
        raise unknown
