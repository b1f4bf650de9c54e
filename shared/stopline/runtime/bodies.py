"""What an HTTP request carries: its JSON body and its query, read strictly and never beyond a size."""

from collections.abc import Collection, Mapping
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

import flask
from werkzeug.exceptions import BadRequest

from stopline.model.errors import Rejected
from stopline.model.wire import decode_object

MAX_BODY = 256 * 1024
MAX_QUERY = 2048


def json_body(request: flask.Request, most: int = MAX_BODY, free: Collection[str] = ()) -> dict[str, Any]:
    """Return the body as a JSON object. Raises Rejected: UNSUPPORTED, TOO_LARGE (also where the length is not said: nothing
    is read then), or as `decode_object` does.
    """
    if request.mimetype != "application/json":
        raise Rejected("UNSUPPORTED", "the body must have content type application/json")
    if request.headers.get("Content-Encoding") not in (None, "", "identity"):
        raise Rejected("UNSUPPORTED", "the body must not be compressed")
    if request.content_length is None or request.content_length > most:
        raise Rejected("TOO_LARGE", f"the body may have {most} bytes, and must say its length")
    try:
        raw = request.get_data()
    except BadRequest:
        raise Rejected("INCOMPLETE", "the body ended before the length that it was said to have") from None
    return decode_object(raw, most, free)


def leave_unread(request: flask.Request) -> None:
    """Leave the rest of the body to the server, which throws it away: after the answer the framework would else read it
    into memory, all of it, also where the caller is nobody.
    """
    request.stream = BytesIO()


def query(request: flask.Request) -> Mapping[str, str]:
    """Return the query by name. Raises Rejected BAD_QUERY: too long, not UTF-8, or a name twice."""
    raw = request.query_string
    if len(raw) > MAX_QUERY:
        raise Rejected("BAD_QUERY", f"the query may have {MAX_QUERY} bytes, has {len(raw)}")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=16)
    except ValueError:
        raise Rejected("BAD_QUERY", "the query is not UTF-8 in percent signs") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Rejected("BAD_QUERY", "the query says the same name twice")
    return found


def only(request: flask.Request, *names: str) -> Mapping[str, str]:
    """Return the query, which may say nothing but `names`. Raises Rejected BAD_QUERY."""
    found = query(request)
    if unknown := found.keys() - set(names):
        known = f"there is {' and '.join(names)}" if names else "this path takes none"
        raise Rejected("BAD_QUERY", f"unknown in the query: {sorted(unknown)[0][:40]!a}; {known}")
    return found
