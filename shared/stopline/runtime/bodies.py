"""The JSON body of an HTTP request."""

from typing import Any

import flask

from stopline.model.errors import Rejected
from stopline.model.wire import decode_object

MAX_BODY = 256 * 1024


def json_body(request: flask.Request) -> dict[str, Any]:
    """Return the body as a JSON object. Raises Rejected: UNSUPPORTED, TOO_LARGE, or as `decode_object` does."""
    if request.mimetype != "application/json":
        raise Rejected("UNSUPPORTED", "the body must have content type application/json")
    if request.content_length is None or request.content_length > MAX_BODY:
        raise Rejected("TOO_LARGE", f"the body may have {MAX_BODY} bytes")
    return decode_object(request.get_data(), MAX_BODY)
