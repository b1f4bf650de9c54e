"""The HTTP API: which path and method does what, by whose right. What is done is in the modules of the handlers."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import flask

from stopline.model.control import GLOBAL, account_scope
from stopline.rules.alerting import ack_links
from stopline.runtime import alerts_api, exits_api, lease_api, order_api, settings_api, statement_api
from stopline.runtime.access import Access
from stopline.runtime.app import App
from stopline.runtime.auth import (
    DevOf,
    EmailOf,
    Missing,
    Principal,
    Right,
    authenticate,
)
from stopline.runtime.bodies import leave_unread, only
from stopline.runtime.problems import Answer, answer, problem, refusal
from stopline.runtime.refusals import NOBODY, OF_WHOM
from stopline.service.accounts.status import account_status

_PATH = re.compile(r"/v1/accounts/([a-z0-9][a-z0-9_-]{0,63})(?:/([a-z]+(?:/[a-z]+)?))?")


class Route(NamedTuple):
    """What a request does. Any of `rights` on the account is enough."""

    rights: tuple[Right, ...]
    handle: Callable[[flask.Request, App, Principal, str], Answer]


def _account(request: flask.Request, app: App, principal: Principal, name: str) -> Answer:
    account = app.accounts.require(name)
    controls = app.trading.read(GLOBAL), app.trading.read(account_scope(name))
    book, risk, measured = app.books.read(name), app.risk_states.read(name), app.measured.read(name)
    return answer(200, account_status(account, book, risk, *controls, app.closer.read(name), measured))


# To add one: a handler in a module of its own, and a line here.
ROUTES: Mapping[str, Mapping[str, Route]] = {
    "": {"GET": Route(("view",), _account)},
    "settings": {
        "GET": Route(("view",), settings_api.read),
        "PATCH": Route(("risk",), settings_api.change),
    },
    "exits": {
        "GET": Route(("view",), exits_api.read),
        "PATCH": Route(("trade", "risk"), exits_api.change),
    },
    "check": {"POST": Route(("trade", "view"), order_api.check)},
    "size": {"POST": Route(("trade", "view"), order_api.size)},
    "statement": {"POST": Route(("trade",), statement_api.hand_in)},
    "lease": {"POST": Route(("trade",), lease_api.lease)},
    "alerts": {"GET": Route(("view",), alerts_api.listed)},
    "alerts/ack": {"POST": Route(alerts_api.MAY_TAKE, alerts_api.taken)},
}
_NAMES = ", ".join(name for name in ROUTES if name)


def handle(
    request: flask.Request,
    app: Callable[[], App],
    principals: Mapping[str, object],
    email_of: EmailOf | None = None,
    dev_of: DevOf | None = None,
) -> Answer:
    """Answer one request to the API."""
    caller = NOBODY
    try:
        if request.path == ack_links.PATH:
            return alerts_api.by_link(request, app())
        principal = authenticate(request.headers.get("Authorization", ""), principals, email_of, dev_of)
        caller = principal.name
        app().quotas.take(caller, "api")
        only(request)
        match = _PATH.fullmatch(request.path)
        routes = ROUTES.get(match[2] or "") if match else None
        if match is None or routes is None:
            return problem(404, "NOT_FOUND", f"there are /v1/accounts/{{account}} and its {_NAMES}")
        route = routes.get(request.method)
        if route is None:
            return problem(405, "METHOD", f"this path takes {' and '.join(routes)}")
        name, scope = match[1], account_scope(match[1])
        access = Access(principal, app().accounts)
        if not access.may_any(("view", *route.rights), scope) or app().accounts.get(name) is None:
            raise access.unknown("account", scope)
        if not access.may_any(route.rights, scope):
            raise Missing(route.rights, scope)
        return route.handle(request, app(), principal, name)
    except Exception as found:  # noqa: BLE001 - the boundary: whatever it is has an answer
        if isinstance(found, OF_WHOM):
            app().refusals.note(request, caller, found)
        return refusal(found, "the state cannot be read now")
    finally:
        leave_unread(request)
