"""POST /v1/accounts/{account}/lease: a broker adapter asks whether, and what, it may trade."""

import flask

from stopline.model.errors import Rejected
from stopline.model.lease import LeaseRequest
from stopline.model.wire import validate
from stopline.runtime.app import App
from stopline.runtime.auth import Principal
from stopline.runtime.bodies import json_body
from stopline.runtime.problems import Answer, answer, problem

MAX_BODY = 4 * 1024


def lease(request: flask.Request, app: App, principal: Principal, name: str) -> Answer:
    """Answer a lease, or 423 where nobody watches the limits."""
    account = app.accounts.require(name)
    asked = validate(LeaseRequest, json_body(request, MAX_BODY))
    try:
        granted = app.leases.grant(account, asked)
        unasked = (
            set[str]() if asked.halts else {"stored"}
        )  # clients of before it refuse what they do not know
        return answer(200, granted.model_dump(mode="json", exclude=unasked))
    except Rejected as refused:
        return problem(423, refused.reason, refused.detail)
