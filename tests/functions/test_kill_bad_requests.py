"""The kill switch: a request that is none is refused with its reason; no stop is refused for how it is put."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from .conftest import ANN, EVE, Served, wait
from .kill_calls import CONFIRM, call, request, status


@pytest.mark.parametrize("path", ["/kill", "/pause"])
def test_what_a_stop_leaves_empty_counts_as_left_out(switch: Served, path: str) -> None:
    """R5.1: no stop is refused for a field that says nothing."""
    answer = call(switch, path, flatten=None, until=None, lock=None, lifts=None, confirm=None)
    assert (answer.status_code, answer.get_json()["in_force"]) == (200, True)
    assert answer.get_json()["flatten"] is (path == "/kill")
    resumed = call(switch, "/resume", request_id="r-2", expected_epoch=1, confirm=CONFIRM, lifts=None)
    assert resumed.status_code == 400


@pytest.mark.parametrize(
    ("path", "wrong", "words"),
    [
        ("/kill", {"scope": "demo"}, "a scope (global, account:NAME"),
        ("/resume", {"confirm": CONFIRM}, 'read /status, then "expected_epoch"'),
        ("/resume", {"confirm": CONFIRM, "expected_epoch": 7}, "something has changed since"),
        ("/resume", {"expected_epoch": 0}, '"confirm": "RESUME account:demo"'),
    ],
)
def test_an_answer_says_what_to_do(switch: Served, path: str, wrong: dict[str, Any], words: str) -> None:
    """Read on a phone, by somebody in a hurry."""
    assert words.removeprefix("a ") in call(switch, path, **wrong).get_json()["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/kill", "/pause", "/resume"])
def test_only_a_post_changes_anything(switch: Served, path: str, method: str) -> None:
    """B77."""
    assert call(switch, path, method=method).status_code == 405
    assert switch.world.store.query("controls") == []


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonx"],
)
def test_only_json_changes_anything(switch: Served, content_type: str) -> None:
    """B77: a form of another site cannot send application/json without being asked."""
    assert call(switch, content_type=content_type).status_code == 405


@pytest.mark.parametrize("path", ["/", "/Kill", "/kill/x", "/kill_switch", "/admin", "/kill%2f.."])
def test_another_path_is_not_found(switch: Served, path: str) -> None:
    assert call(switch, path).status_code == 404


def test_a_body_that_is_too_large_or_of_unknown_length_is_refused(switch: Served) -> None:
    """B10, B11, B68."""
    assert call(switch, reason="x" * 17_000).status_code == 413
    headers = {"Authorization": f"Bearer {ANN}", "Transfer-Encoding": "chunked"}
    answer = switch.client.post(
        "/kill", input_stream=BytesIO(b"{}"), headers=headers, content_type="application/json"
    )
    assert answer.status_code == 413


def test_a_body_that_ends_too_early_is_no_fault_of_ours(switch: Served) -> None:
    """B02, B11: the client has gone: 400, and no alarm."""
    answer = switch.client.post(
        "/kill",
        input_stream=BytesIO(b'{"request_id'),
        headers={"Authorization": f"Bearer {ANN}"},
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "90"},
    )
    assert (answer.status_code, answer.get_json()["title"]) == (400, "INCOMPLETE")
    assert switch.world.store.query("controls") == []


def test_a_flood_of_questions_leaves_the_kill_its_reserve(switch: Served) -> None:
    """B74: 429 for one caller, with when to come again; a kill, and another caller, go through."""
    answers = [status(switch) for _ in range(350)]
    assert [a.status_code for a in answers].count(200) == 300
    assert (answers[-1].get_json()["title"], answers[-1].headers["Retry-After"]) == ("TOO_MANY", "1")
    assert status(switch, token=EVE).status_code == 200
    assert call(switch).status_code == 200
    wait(switch, 1)
    assert status(switch).status_code == 200


@pytest.mark.parametrize(
    "query", ["scope=%ff", "scope=global&scope=account:demo", "limit=-1", "scope=global&x=", "x" * 8192]
)
def test_a_query_that_is_not_understood_is_refused(switch: Served, query: str) -> None:
    """B76."""
    headers = {"Authorization": f"Bearer {ANN}"}
    answer = switch.client.get("/status", query_string=query, headers=headers)
    assert (answer.status_code, answer.get_json()["title"]) == (400, "BAD_QUERY")
    assert len(answer.data) < 300
    answer = switch.client.post("/kill", query_string=query, json=request(), headers=headers)
    assert answer.status_code == 400
    assert switch.world.store.query("controls") == []


BAD: dict[str, Any] = {
    "B01": b"[]",
    "B01 empty": b"",
    "B02": b"{oops",
    "B03 a push": {
        "message": {"data": "e30=", "messageId": "m-1"},
        "subscription": "projects/p/subscriptions/s",
    },
    "B04 an event without its headers": {"specversion": "1.0", "type": "x", "source": "y", "data": request()},
    "B05": b'{"a":' * 500 + b"1" + b"}" * 500,
    "B06": b'{"request_id": "r-1", "request_id": "r-2"}',
    "B07": b"\xef\xbb\xbf{}",
    "B08": b'{"reason": "\\ud800"}',
    "no scope": {"request_id": "r-1", "reason": "x"},
    "B66 star": request(scope="*"),
    "B66 empty": request(scope=""),
    "B66 list": request(scope=["account:demo", "account:other"]),
    "B43": request(scope="account:a/b/c"),
    "B68": request(reason="x" * 1_048_576),
    "B65 unknown field": request(role="admin"),
    "flatten is text": request(flatten="maybe"),
    "epoch is text": request(expected_epoch="x"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_with_its_reason(switch: Served, case: str) -> None:
    """B01-B08, B43, B65, B66, B68: 4xx, never 5xx, and nothing happened."""
    answer = call(switch, body=BAD[case])
    assert 400 <= answer.status_code < 500
    assert answer.content_type == "application/problem+json"
    facts = answer.get_json()
    assert facts["status"] == answer.status_code
    assert facts["title"]
    assert len(answer.data) < 2000
    assert switch.world.store.query("controls") == []


def test_html_in_a_reason_is_text(switch: Served) -> None:
    """B68, B69: escaped by whoever shows it as HTML; here it is JSON and says so."""
    answer = call(switch, reason="<script>alert(1)</script> @everyone =cmd()")
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/kill", "/pause"])
@pytest.mark.parametrize(
    ("reason", "stored"), [("", "no reason given"), (None, "no reason given"), ("x" * 5000, "x" * 500)]
)
def test_no_stop_is_refused_for_the_length_of_its_reason(
    switch: Served, path: str, reason: str | None, stored: str
) -> None:
    """R5.1: a hand in a hurry; a resume needs one all the same."""
    answer = call(switch, path, reason=reason)
    assert (answer.status_code, answer.get_json()["reason"]) == (200, stored)
    wait(switch, 61)
    facts = request(request_id="r-2", expected_epoch=1, confirm=CONFIRM, reason=reason)
    assert call(switch, "/resume", facts).status_code == 400


@pytest.mark.parametrize(
    "reason", ["VIX\nspike", "a\x00b", "\ud800", "\u202etxet", "\x1b[31m", "x\n{severity: INFO}"]
)
@pytest.mark.parametrize("path", ["/kill", "/pause"])
def test_no_reason_keeps_trading_from_being_stopped(switch: Served, path: str, reason: str) -> None:
    """R5.1, B68: a line break in it was pasted at three in the morning. It is one line wherever it is shown."""
    answer = call(switch, path, reason=reason)
    assert answer.status_code == 200
    assert answer.get_json()["reason"].isprintable()
