"""POST /v1/accounts/{account}/lease: a broker adapter asks whether, and what, it may trade."""

import flask

from stopline.model.errors import Rejected
from stopline.model.lease import LeaseRequest
from stopline.model.wire import decode_object, validate
from stopline.runtime.app import App
from stopline.runtime.auth import Principal
from stopline.runtime.problems import Answer, answer, problem

MAX_BODY = 4 * 1024


def lease(request: flask.Request, app: App, principal: Principal, name: str) -> Answer:
    """Answer a lease, or 423 where nobody watches the limits."""
    account = app.accounts.require(name)
    if request.mimetype != "application/json":
        return problem(405, "METHOD", "a lease is asked for with POST, content type application/json")
    if request.content_length is None or request.content_length > MAX_BODY:
        return problem(413, "TOO_LARGE", f"the body may have {MAX_BODY} bytes")
    asked = validate(LeaseRequest, decode_object(request.get_data(), MAX_BODY))
    try:
        return answer(200, app.leases.grant(account, asked).model_dump(mode="json"))
    except Rejected as refused:
        return problem(423, refused.reason, refused.detail)
