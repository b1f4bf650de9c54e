"""One Pub/Sub push request: read it, hand it on, and answer so that Pub/Sub does the right thing.

204 acknowledges (also what was quarantined); 503 and 500 bring the message again; 413 refuses a body before it is
read, 403 what another subscription than ours pushes: one of staging into production, or a forged one. The plain HTTP
signature is used and not `cloud_event`: the framework's conversion answers 400 or 500 to a malformed body, which Pub/Sub
would send again until the dead letter, and drops the subscription and the delivery attempt.
"""

import logging
from collections.abc import Callable

import flask
from werkzeug.exceptions import BadRequest

from stopline.model.errors import Rejected, Transient
from stopline.model.ids import digest
from stopline.runtime.app import App
from stopline.runtime.auth import Forbidden
from stopline.runtime.bodies import leave_unread
from stopline.runtime.envelope import MAX_BODY, Envelope, parse_envelope
from stopline.runtime.handlers import quarantine, receive
from stopline.runtime.refusals import NOBODY

log = logging.getLogger("stopline")
Answer = tuple[str, int]


def push(request: flask.Request, source: str, app: Callable[[], App]) -> Answer:
    """Handle one push request for the function `source`."""
    try:
        return _answer(request, source, app)
    except Transient as problem:
        log.warning("not acknowledged", extra={"source": source, "problem": str(problem)})
        return "", 503
    except Exception:
        log.exception("unknown error, not acknowledged", extra={"source": source})
        return "", 500
    finally:
        leave_unread(request)


def _answer(request: flask.Request, source: str, app: Callable[[], App]) -> Answer:
    if request.method != "POST":
        return "", 405
    if request.content_length is None or request.content_length > MAX_BODY:
        return "", 413
    try:
        body = request.get_data()
    except BadRequest:  # it ended before the length that it was said to have
        return "", 400
    try:
        envelope = parse_envelope(body, dict(request.headers))
    except Rejected as refused:
        quarantine(app(), source, Envelope(body, digest("body", body.hex())), refused)
        return "", 204
    if not _is_ours(envelope.subscription, app().ports.subscriptions, source):
        app().refusals.note(
            request, NOBODY, Forbidden("push of a foreign subscription", envelope.subscription)
        )
        return "", 403
    receive(app(), source, envelope)
    return "", 204


def _is_ours(subscription: str, ours: str, source: str) -> bool:
    """Tell whether a push comes from a subscription of this function (`fills-push`, `fills-0-push`), or from one that
    Eventarc made. A CloudEvent may name none. Who calls at all is for the platform to check: a name proves nothing.
    """
    known = (f"{ours}{source}-", f"{ours[: ours.rfind('/') + 1]}eventarc-")
    return not ours or not subscription or (subscription.startswith(known) and subscription.count("/") == 3)
