"""How the commands that stop and resume trading reach the kill switch: over HTTP, or past it."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import click

from stopline.cli.failures import BadInput, Failure
from stopline.model.scopes import GLOBAL
from stopline.model.urls import check_token_url
from stopline.model.wire import canonical

TIMEOUT_S = 20.0  # the kill switch answers within its own budget of seconds
TRIES = 2

Ask = Callable[[str, Mapping[str, Any] | None, str], tuple[int, dict[str, Any]]]
"""Ask `/NAME`: with a body by POST, without one by GET about a scope; return status and answer. Raises Unreached."""


class Unreached(Failure):
    """Nobody answered: what was asked may have been done or not."""

    def __init__(self, why: object) -> None:
        super().__init__(f"the kill switch does not answer: {why}")


def over_http() -> Ask:
    """Return the way to the kill switch that KILL_SWITCH and STOPLINE_TOKEN name. Raises Failure where they do not."""
    url, token = os.environ.get("KILL_SWITCH", ""), os.environ.get("STOPLINE_TOKEN", "")
    if not url or not token:
        raise Failure(
            "KILL_SWITCH (the URL of the function kill_switch) and STOPLINE_TOKEN are not both set; `stopline up` prints "
            "them, and --direct does without them"
        )
    try:
        base = check_token_url(url)
    except ValueError as problem:
        raise BadInput(f"KILL_SWITCH: {problem}") from None

    def ask(name: str, body: Mapping[str, Any] | None, scope: str) -> tuple[int, dict[str, Any]]:
        query = "" if body is not None else f"?{urllib.parse.urlencode({'scope': scope})}"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = canonical(dict(body)) if body is not None else None
        request = urllib.request.Request(f"{base}/{name}{query}", data, headers)  # noqa: S310 - see check_token_url
        why = ""
        for _ in range(TRIES):  # the same request_id: it counts once
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310  # nosec B310
                    return answer.status, _object(answer.read())
            except urllib.error.HTTPError as refused:
                found = refused.code, _object(refused.read())
                if refused.code < 500:
                    return found
                why = f"{refused.code} {found[1].get('detail', '')}".strip()
            except OSError as failed:
                why = str(failed)
        raise Unreached(why)

    return ask


def directly(ctx: click.Context) -> Ask:
    """Return the way past the kill switch: what it does, done here, by the credentials of whoever is at the keyboard."""
    from stopline.cli.world import actor, app_of
    from stopline.model.errors import Transient
    from stopline.runtime.auth import Principal
    from stopline.runtime.kill_api import change, status

    app, principal = app_of(ctx), Principal(name=actor(), rights=("view", "kill"))

    def ask(name: str, body: Mapping[str, Any] | None, scope: str) -> tuple[int, dict[str, Any]]:
        try:
            asked = dict(body) if body is not None else None
            answer = status(app, principal, scope) if asked is None else change(app, principal, name, asked)
        except Transient as problem:
            raise Unreached(problem) from problem
        return answer[1], _object(answer[0])

    return ask


def full_scope(text: str) -> str:
    """Return the scope that a person means: a name alone is an account's."""
    return text if text == GLOBAL or ":" in text else f"account:{text.lower()}"


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw or b"{}")
    except ValueError:
        return {"title": "NOT_STOPLINE", "detail": raw[:200].decode("utf-8", "replace")}
    return value if isinstance(value, dict) else {}
