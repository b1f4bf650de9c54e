"""The HTTP API: GET /v1/accounts/{account} (status), and what `alerts_api` answers."""

import logging
import re
from collections.abc import Callable, Mapping

import flask

from stopline.model.control import GLOBAL, account_scope
from stopline.model.errors import Rejected, Transient
from stopline.rules import ack_links
from stopline.runtime import alerts_api
from stopline.runtime.app import App
from stopline.runtime.auth import Principal, Unauthenticated, authenticate
from stopline.runtime.problems import Answer, answer, problem
from stopline.service.account_status import account_status

log = logging.getLogger("stopline")
_ACCOUNT = re.compile(r"/v1/accounts/([a-z0-9][a-z0-9_-]{0,63})")
_ALERTS = re.compile(_ACCOUNT.pattern + "/alerts(/ack)?")


def handle(request: flask.Request, app: Callable[[], App], principals: Mapping[str, object]) -> Answer:
    """Answer one request to the API."""
    try:
        if request.path == ack_links.PATH:
            return alerts_api.by_link(request, app())
        principal = authenticate(request.headers.get("Authorization", ""), principals)
        if (about := _ALERTS.fullmatch(request.path)) and request.method == "GET" and not about[2]:
            return alerts_api.listed(app(), principal, about[1])
        if about and request.method == "POST" and about[2]:
            return alerts_api.taken(request, app(), principal, about[1])
        match = _ACCOUNT.fullmatch(request.path)
        if match is None:
            return problem(404, "NOT_FOUND", "there is GET /v1/accounts/{account}")
        if request.method != "GET":
            return problem(405, "METHOD", "an account is read with GET")
        return _account(app(), principal, match[1])
    except Unauthenticated as refused:
        return problem(401, "UNAUTHENTICATED", str(refused))
    except Rejected as refused:
        return problem(400, refused.reason, refused.detail)
    except Transient:
        log.exception("api: state store unavailable")
        return problem(503, "UNAVAILABLE", "the state cannot be read now")
    except Exception:
        log.exception("api: unknown error")
        return problem(500, "UNKNOWN_ERROR", "the state cannot be read now")


def _account(app: App, principal: Principal, name: str) -> Answer:
    account = app.accounts.get(name) if principal.may("view", account_scope(name)) else None
    if account is None:
        return problem(404, "NOT_FOUND", "there is no such account, or it is not yours")
    controls = app.trading.read(GLOBAL), app.trading.read(account_scope(name))
    book, risk = app.books.read(name), app.risk_states.read(name)
    return answer(200, account_status(account, book, risk, *controls, app.closer.halt_of(name)))
