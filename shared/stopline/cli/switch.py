"""How the commands that stop and resume trading reach the kill switch: over HTTP, or past it."""

import json
import os
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import click

from stopline.adapters import bearer
from stopline.cli.failures import BadInput, Failure
from stopline.model.scopes import GLOBAL
from stopline.model.urls import check_token_url
from stopline.ports import Unavailable

TIMEOUT_S = 20.0  # the kill switch answers within its own budget of seconds
TRIES = 2

Ask = Callable[[str, Mapping[str, Any] | None, str], tuple[int, dict[str, Any]]]
"""Ask `/NAME`: with a body by POST, without one by GET about a scope; return status and answer. Raises Unreached."""


class Unreached(Failure):
    """Nobody answered: what was asked may have been done or not."""


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
        why = ""
        for _ in range(TRIES):  # the same request_id: it counts once
            if why:
                click.echo(f"{why}: asking again", err=True)
            try:
                code, answer = bearer.ask(f"{base}/{name}{query}", token, body, TIMEOUT_S)
            except Unavailable as failed:
                why = str(failed)
                continue
            except ValueError as problem:
                raise BadInput(f"STOPLINE_TOKEN: {problem}") from None
            if code < 500:
                return code, answer
            why = said(code, answer)
        raise Unreached(f"the kill switch does not answer: {why}")

    return ask


def directly(ctx: click.Context) -> Ask:
    """Return the way past the kill switch: what it does, done here, by the credentials of whoever is at the keyboard."""
    from stopline.cli.world import actor, app_of
    from stopline.model.errors import Transient
    from stopline.runtime.auth import Principal
    from stopline.runtime.kill_api import change, status

    app, principal = app_of(ctx), Principal(name=actor(), rights=("view", "kill"), accounts=("*",))

    def ask(name: str, body: Mapping[str, Any] | None, scope: str) -> tuple[int, dict[str, Any]]:
        try:
            asked = dict(body) if body is not None else None
            answer = status(app, principal, scope) if asked is None else change(app, principal, name, asked)
        except Transient as problem:
            raise Unreached(f"the kill switch does not answer: {problem}") from problem
        facts: dict[str, Any] = json.loads(answer[0])
        return answer[1], facts

    return ask


def said(code: int, answer: Mapping[str, Any]) -> str:
    """Return what was answered, for a person."""
    detail = answer.get("detail", "that is no answer of the kill switch")
    return " ".join(f"{code} {answer.get('title', '')}: {detail}".split())


def full_scope(text: str) -> str:
    """Return the scope that a person means: a name alone is an account's, and accounts are written small."""
    if text == GLOBAL or ":" not in text:
        return text if text == GLOBAL else f"account:{text.lower()}"
    kind, account, *name = text.split(":", 2)
    return ":".join([kind, account.lower(), *name])
