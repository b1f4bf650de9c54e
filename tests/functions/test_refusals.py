"""Who is refused leaves a line in the log: who, from where, what, why; without secrets, and bounded."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from stopline.runtime.logs import JsonFormatter
from stopline.runtime.refusals import A_MINUTE, EACH

from .conftest import BOB, EVE, Serve, Served, open_accounts


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """The lines about refusals, as they are written."""
    caplog.set_level(logging.INFO)

    def read() -> list[dict[str, Any]]:
        written = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
        return [line for line in written if line["message"].startswith("refused")]

    return read


def ask(served: Served, path: str, token: str = EVE, sender: str = "203.0.113.9", **body: Any) -> int:
    headers = {
        "X-Forwarded-For": f"198.51.100.1, {sender}",
        **({"Authorization": f"Bearer {token}"} if token else {}),
    }
    if body:
        return served.client.post(path, json=body, headers=headers).status_code
    return served.client.get(path, headers=headers).status_code


@pytest.mark.parametrize(
    ("name", "path", "body", "token", "status", "said"),
    [
        ("api", "/v1/accounts/other", {}, EVE, 404, ("eve", "GET", "account:other", "Forbidden")),
        ("api", "/v1/accounts/nowhere", {}, EVE, 404, ("eve", "GET", "account:nowhere", "Forbidden")),
        ("api", "/v1/accounts/demo/lease", {"adapter": "a"}, EVE, 403, ("eve", "POST", "account:demo", "Missing")),
        ("api", "/v1/accounts/demo", {}, "a-token-of-nobody", 401, ("nobody", "GET", "", "Unauthenticated")),
        ("api", "/v1/accounts/demo", {}, "", 401, ("nobody", "GET", "", "Unauthenticated")),
        ("kill_switch", "/kill", {"scope": "account:other"}, BOB, 404, ("bob", "POST", "account:other", "Forbidden")),
        ("kill_switch", "/kill", {"scope": "account:demo"}, EVE, 403, ("eve", "POST", "account:demo", "Missing")),
        ("kill_switch", "/kill", {"scope": "global"}, "a-token-of-nobody", 401, ("nobody", "POST", "", "Unauthenticated")),
        ("kill_switch", "/status?scope=account:other", {}, BOB, 404, ("bob", "GET", "account:other", "Forbidden")),
    ],
)  # fmt: skip
def test_each_refusal_says_who_asked_from_where_for_what(
    serve: Serve,
    lines: Callable[[], list[dict[str, Any]]],
    name: str,
    path: str,
    body: dict[str, Any],
    token: str,
    status: int,
    said: tuple[str, str, str, str],
) -> None:
    """B61-B64, I9, B75: and neither the token nor the body."""
    served = serve(name)
    open_accounts(served, "demo", "other")
    if body:
        body = {**body, **({"reason": "password=hunter2"} if name == "kill_switch" else {})}
    assert ask(served, path, token, **body) == status
    [line] = lines()
    assert (line["caller"], line["method"], line["scope"], line["kind"]) == said
    assert (line["address"], line["path"]) == ("203.0.113.9", path.partition("?")[0])
    assert line["severity"] == "WARNING"
    text = json.dumps(line)
    assert not token or token not in text
    assert "hunter2" not in text


def test_what_is_allowed_leaves_no_such_line(serve: Serve, lines: Callable[[], list[dict[str, Any]]]) -> None:
    served = serve("api")
    open_accounts(served, "demo")
    assert ask(served, "/v1/accounts/demo") == 200
    assert ask(served, "/v2") == 404  # no path of ours: nobody was refused
    assert lines() == []


def test_nobody_fills_the_log_or_hides_another_behind_a_flood(
    serve: Serve, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    """B61, B74: strangers and those who are known have their own lines, each a few; the rest is counted."""
    served = serve("api")
    open_accounts(served, "demo")
    for number in range(100):
        assert ask(served, "/v1/accounts/demo", "x", sender=f"203.0.113.{number // 20}") == 401
    assert len(lines()) == A_MINUTE
    for _ in range(50):
        assert ask(served, "/v1/accounts/other") == 404
    assert ask(served, "/v1/accounts/other", BOB) == 404
    assert len(lines()) == A_MINUTE + EACH + 1
    assert lines()[-1]["caller"] == "bob"
    served.world.clock.set(served.world.clock.now() + timedelta(minutes=1))
    assert ask(served, "/v1/accounts/other", BOB) == 404
    *_, strangers, known, last = lines()
    assert (strangers["known"], strangers["count"]) == (False, 100 - A_MINUTE)
    assert (known["known"], known["count"]) == (True, 50 - EACH)
    assert last["caller"] == "bob"


def test_what_a_caller_writes_is_cut_and_made_one_word(
    serve: Serve, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    """B68, B75: spaces, other alphabets, a token in the path, an address that is none."""
    served = serve("api")
    ask(served, "/v1/x%20severity:%C3%A9INFO", "x", sender="<script>203.0.113.9")
    ask(served, "/v1/" + "t" * 200, "x")
    first, second = lines()
    assert first["path"] == "/v1/x?severity:?INFO"
    assert first["address"] == "c203.0.113.9"
    assert second["path"] == "/v1/[...]"
