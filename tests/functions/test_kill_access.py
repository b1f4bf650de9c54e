"""The kill switch: who may do what, and how little a stranger learns."""

from __future__ import annotations

import pytest

from stopline.runtime.kill_api import RIGHTS

from .conftest import ANN, BOB, EVE, Served
from .kill_calls import call, request, status, strange


@pytest.mark.parametrize("path", ["/kill", "/pause", "/resume", "/status", "/", "/x"])
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic ann-token-0001",
        "ann-token-0001",
        "Bearer ann-token-0001x",
    ],
)
def test_without_a_known_token_nothing_is_said(switch: Served, path: str, header: str | None) -> None:
    """B62: 401 before anything else, with one body."""
    headers = {} if header is None else {"Authorization": header}
    answer = switch.client.post(path, json=request(), headers=headers)
    assert answer.status_code == 401
    assert switch.world.store.query("controls") == []


def test_the_scheme_is_read_in_any_case(switch: Served) -> None:
    """RFC 9110."""
    answer = switch.client.post("/kill", json=request(), headers={"Authorization": f"bearer {ANN}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/kill", "/pause", "/resume", "/status"])
def test_a_foreign_account_looks_as_an_unknown_one(switch: Served, path: str) -> None:
    """B64, I9: the same status, body and headers; also for a right that is missing, and for the whole."""
    answers = []
    for scope in ("account:other", "account:nobody", "global", "account:", "demo", "account:demo2"):
        if path == "/status":
            answers.append(strange(status(switch, scope, BOB)))
        else:
            answers.append(strange(call(switch, path, scope=scope, token=BOB, expected_epoch=0)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == 404
    assert switch.world.store.query("controls") == []


@pytest.mark.parametrize(
    ("token", "path", "allowed"),
    [
        (ANN, "/kill", True),
        (ANN, "/resume", True),
        (BOB, "/kill", True),
        (BOB, "/pause", True),
        (BOB, "/resume", False),  # who may stop may not start again, and is told so
        (EVE, "/kill", False),
        (EVE, "/pause", False),
        (EVE, "/resume", False),
    ],
)
def test_each_right_opens_its_own_door(switch: Served, token: str, path: str, allowed: bool) -> None:
    """B63, B66, I9."""
    answer = call(switch, path, token=token, expected_epoch=0)
    assert (answer.status_code == 403) == (not allowed)
    assert allowed or answer.get_json()["detail"] == f"this needs the right {RIGHTS[path[1:]]}"


def test_the_actor_is_the_caller_and_nobody_else(switch: Served) -> None:
    """B65."""
    for field in ("actor", "action"):
        answer = call(switch, **{field: "mallory"})
        assert answer.status_code == 400
    assert call(switch, token=BOB).get_json()["actor"] == "bob"
