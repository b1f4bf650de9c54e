"""One Pub/Sub push request: read it, hand it on, and answer so that Pub/Sub does the right thing.

204 acknowledges (also what was quarantined); 503 and 500 bring the message again; 413 refuses a body before
it is read. The plain HTTP signature is used and not `cloud_event`: the framework's conversion answers 400 or
500 to a malformed body, which Pub/Sub would send again until the dead letter, and drops the subscription and
the delivery attempt.
"""

import logging
from collections.abc import Callable

import flask

from stopline.model.errors import Rejected, Transient
from stopline.model.ids import digest
from stopline.runtime.app import App
from stopline.runtime.envelope import MAX_BODY, Envelope, parse_envelope
from stopline.runtime.handlers import quarantine, receive

log = logging.getLogger("stopline")
Answer = tuple[str, int]


def push(request: flask.Request, source: str, app: Callable[[], App]) -> Answer:
    """Handle one push request for the function `source`."""
    if request.method != "POST":
        return "", 405
    if request.content_length is None or request.content_length > MAX_BODY:
        return "", 413
    body = request.get_data()
    try:
        try:
            envelope = parse_envelope(body, dict(request.headers))
        except Rejected as refused:
            quarantine(app(), source, Envelope(body, digest("body", body.hex())), refused)
            return "", 204
        receive(app(), source, envelope)
    except Transient as problem:
        log.warning("not acknowledged", extra={"source": source, "problem": str(problem)})
        return "", 503
    except Exception:
        log.exception("unknown error, not acknowledged", extra={"source": source})
        return "", 500
    return "", 204
