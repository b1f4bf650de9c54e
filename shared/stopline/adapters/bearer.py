"""JSON over HTTP with a bearer token, which goes to the address that was named and to no other."""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from stopline.model.wire import canonical
from stopline.ports import Unavailable

MOST = 1024 * 1024  # bytes that are read of an answer
SHOWN = 200  # characters that are told of what is no answer of Stopline
FOREIGN = "NOT_STOPLINE"  # the title of what came from somebody else: a portal's page, a proxy's


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing: a redirect would carry the token to any host."""

    def redirect_request(self, *_: object) -> None:
        return None


def ask(url: str, token: str, body: Mapping[str, Any] | None, timeout_s: float) -> tuple[int, dict[str, Any]]:
    """Send JSON by POST (no body: GET) to an address that `check_token_url` let through; return status and answer.

    What is no JSON object comes back as one of the title NOT_STOPLINE, a redirect too: it says where to. Raises
    Unavailable where no answer came (the outcome is unknown), ValueError for a token that no header may hold.
    """
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("the token holds a space, a line break or a letter that no token has")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = canonical(dict(body)) if body is not None else None
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - see check_token_url
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=timeout_s) as answer:
            return answer.status, _object(answer.read(MOST))
    except urllib.error.HTTPError as refused:
        return refused.code, _refused(url, refused)
    except (OSError, http.client.HTTPException) as failed:
        raise Unavailable(str(failed) or type(failed).__name__) from failed


def _refused(url: str, answer: urllib.error.HTTPError) -> dict[str, Any]:
    """Return what an answer other than 2xx says; the status alone, where the rest of it is lost."""
    if 300 <= answer.code < 400:
        to = urllib.parse.urljoin(url, answer.headers.get("Location", ""))
        return {"title": FOREIGN, "detail": f"sends on to {to[:SHOWN]}, which is not followed with a token"}
    try:
        return _object(answer.read(MOST))
    except (OSError, http.client.HTTPException):
        return {"title": FOREIGN, "detail": "the rest of the answer was lost"}


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    text = " ".join(raw[: 4 * SHOWN].decode("utf-8", "replace").split())[:SHOWN]
    return {"title": FOREIGN, "detail": text or "an empty answer"}
