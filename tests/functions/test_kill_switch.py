"""The kill switch: works when it must, for whom it may, once a request, and tells a stranger nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import flask
import pytest
from werkzeug.test import TestResponse

from stopline.model.errors import Rejected
from stopline.ports import Delete, Path, Put, Unavailable
from stopline.runtime.app import App
from stopline.runtime.auth import Principal
from stopline.runtime.kill_api import RIGHTS, change, handle

from .conftest import Served, open_accounts, raw_fill

Serve = Callable[[str], Served]
CONFIRM = "RESUME account:demo"
ANN, BOB, EVE = "ann-token-0001", "bob-token-0002", "eve-token-0003"
IDA = "ida-token-0004"


@pytest.fixture
def switch(serve: Serve) -> Served:
    served = serve("kill_switch")
    open_accounts(served, "demo", "other")
    return served


def call(
    served: Served,
    path: str = "/kill",
    body: Any = None,
    token: str | None = ANN,
    method: str = "POST",
    content_type: str = "application/json",
    **more: Any,
) -> TestResponse:
    raw = (
        body
        if isinstance(body, bytes)
        else json.dumps({**request(), **more} if body is None else body).encode()
    )
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return served.client.open(path, method=method, data=raw, headers=headers, content_type=content_type)


def request(**more: Any) -> dict[str, Any]:
    return {"request_id": "r-1", "scope": "account:demo", "reason": "test", **more}


def wait(served: Served, seconds: float) -> None:
    served.world.clock.set(served.world.clock.now() + timedelta(seconds=seconds))


def status(served: Served, scope: str = "account:demo", token: str = ANN) -> TestResponse:
    return served.client.get(f"/status?scope={scope}", headers={"Authorization": f"Bearer {token}"})


def orders(served: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for document in [*served.world.store.query("controls"), *served.world.store.query("closings")]:
        found += [
            body for _, topic, _, body in json.loads(document.data["outbox"] or "[]") if topic == "orders"
        ]
    return found


# --- what it does ---


def test_a_kill_halts_and_begins_to_close(switch: Served) -> None:
    """R5.1, R0.4."""
    from stopline.model.fill import Fill

    switch.world.app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
    answer = call(switch)
    assert answer.status_code == 200
    facts = answer.get_json()
    assert (facts["state"], facts["epoch"], facts["actor"], facts["delivery"]) == (
        "HALTED",
        1,
        "ann",
        "published",
    )
    assert facts["closing"] == {"demo": "CLOSING"}
    assert [o["action"] for o in orders(switch)] == ["cancel_all", "close"]


def test_a_pause_and_a_resume(switch: Served) -> None:
    """R5.1."""
    assert call(switch, "/pause").get_json()["state"] == "REDUCING"
    wait(switch, 60)
    resumed = call(switch, "/resume", request_id="r-2", expected_epoch=1, confirm=CONFIRM)
    assert (resumed.status_code, resumed.get_json()["state"], resumed.get_json()["epoch"]) == (
        200,
        "ACTIVE",
        2,
    )


def test_a_kill_of_everything_closes_every_account(switch: Served) -> None:
    """R5.1."""
    facts = call(switch, scope="global").get_json()
    assert facts["closing"] == {"demo": "FLAT", "other": "FLAT"}


@pytest.mark.parametrize("path", ["/kill", "/pause"])
def test_a_hand_in_a_hurry_may_leave_out_the_id_and_the_reason(switch: Served, path: str) -> None:
    """Fail table: a kill without a nonce is still accepted; it counts once a minute. A resume says both."""
    headers = {"Authorization": f"Bearer {ANN}"}
    answers = [
        switch.client.post(path, json={"scope": "account:demo"}, headers=headers).get_json() for _ in range(2)
    ]
    assert answers[0]["state"] != "ACTIVE"
    assert answers[0]["reason"] == "no reason given"
    assert answers[0]["request_id"] == answers[1]["request_id"]
    said = [d for d in switch.world.store.query("audit") if f'"event":"{path[1:]}' in d.data["row"]]
    assert len(said) == 1
    body = {"scope": "account:demo", "expected_epoch": 1, "confirm": CONFIRM}
    assert switch.client.post("/resume", json=body, headers=headers).status_code == 400


def test_one_account_that_cannot_be_read_keeps_no_other_one_trading(switch: Served) -> None:
    """R5.1, F49: the others are closed, and what is wrong with it is not hidden."""
    switch.world.store.commit([Put(Path("closings", "demo"), {"account": "demo", "state": "{"})])
    answer = call(switch, scope="global")
    assert (answer.status_code, answer.get_json()["delivery"]) == (202, "pending")
    assert answer.get_json()["closing"] == {"demo": "PENDING", "other": "FLAT"}


def test_the_same_request_again_is_one_kill(switch: Served) -> None:
    """F38, B67, domain case 20."""
    answers = [call(switch).get_json() for _ in range(5)]
    assert {(a["state"], a["epoch"], a["request_id"]) for a in answers} == {("HALTED", 1, "r-1")}
    assert len({o["command_id"] for o in orders(switch)}) == len(orders(switch)) <= 1
    switch.world.run()
    assert len([s for s in switch.world.channels["email"].sent if s.alert.kind == "trading_state"]) == 1


def test_the_same_request_id_with_other_content_is_a_conflict(switch: Served) -> None:
    """B67: of a resume."""
    call(switch)
    wait(switch, 61)
    answer = call(switch, "/resume", expected_epoch=1, confirm=CONFIRM)
    assert (answer.status_code, answer.get_json()["title"]) == (409, "CONFLICTING_REQUEST")


def test_a_kill_that_closes_is_carried_out_under_the_id_of_one_that_did_not(switch: Served) -> None:
    """B67, fail table: a kill with an old nonce is accepted; said again it counts once."""
    from stopline.model.fill import Fill

    switch.world.app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
    first = call(switch, flatten=False).get_json()
    assert "carried_out_as" not in first
    answers = [call(switch) for _ in range(2)]
    facts = [a.get_json() for a in answers]
    assert [(a.status_code, f["flatten"], f["epoch"]) for a, f in zip(answers, facts, strict=True)] == [
        (200, True, 2)
    ] * 2
    assert facts[0]["carried_out_as"] == facts[1]["carried_out_as"] == facts[0]["request_id"]
    assert facts[0]["carried_out_as"].startswith("r-1~")
    assert "close" in [o["action"] for o in orders(switch)]
    assert call(switch, flatten=False).get_json()["epoch"] == 2  # the first one again changes nothing


def test_what_another_has_used_and_resumed_stops_again(switch: Served) -> None:
    """B67: nobody is refused a kill for the id that somebody else has used."""
    call(switch)
    wait(switch, 61)
    call(switch, "/resume", request_id="r-2", expected_epoch=1, confirm=CONFIRM)
    facts = call(switch, token=BOB).get_json()
    assert (facts["state"], facts["actor"], facts["in_force"]) == ("HALTED", "bob", True)


@pytest.mark.parametrize("path", ["/kill", "/pause"])
@pytest.mark.parametrize("id_", [None, "kill 1", "", 7, "a/b", ["x"], "\ud800", "x" * 200], ids=repr)
def test_an_id_that_is_none_keeps_nobody_from_stopping(switch: Served, path: str, id_: Any) -> None:
    """B43, fail table: it counts as left out, and the answer says what it was carried out as; a resume needs a good one."""
    facts = [call(switch, path, request_id=id_).get_json() for _ in range(2)]
    assert facts[0]["state"] != "ACTIVE"
    assert facts[0]["carried_out_as"] == facts[1]["carried_out_as"] == facts[0]["request_id"]
    wait(switch, 61)
    assert call(switch, "/resume", request_id=id_, expected_epoch=1, confirm=CONFIRM).status_code == 400


@pytest.mark.parametrize("path", ["/kill", "/pause"])
def test_what_a_stop_leaves_empty_counts_as_left_out(switch: Served, path: str) -> None:
    """R5.1: no stop is refused for a field that says nothing."""
    answer = call(switch, path, flatten=None, until=None, lock=None, lifts=None, confirm=None)
    assert (answer.status_code, answer.get_json()["in_force"]) == (200, True)
    assert answer.get_json()["flatten"] is (path == "/kill")
    resumed = call(switch, "/resume", request_id="r-2", expected_epoch=1, confirm=CONFIRM, lifts=None)
    assert resumed.status_code == 400


def test_a_strategy_is_halted_and_the_account_goes_on(switch: Served) -> None:
    """R5.1: every scope over HTTP, with counts."""
    facts = call(switch, scope="strategy:demo:core").get_json()
    assert (facts["scope"], facts["state"], facts["counts"]["accounts"]) == (
        "strategy:demo:core",
        "HALTED",
        1,
    )
    whole = status(switch).get_json()
    assert (whole["state"], whole["parts"]) == ("ACTIVE", {"strategy:demo:core": "HALTED"})
    part = status(switch, "strategy:demo:core").get_json()
    assert (part["effective_state"], part["effective_size"]) == ("HALTED", "0")
    assert status(switch, "underlying:demo:SPY").get_json()["effective_state"] == "ACTIVE"


def test_a_kill_that_closes_nothing_cancels(switch: Served) -> None:
    """R5.1: cancel only, with counts."""
    facts = call(switch, scope="global", flatten=False).get_json()
    assert facts["closing"] == {"demo": "CANCELLED", "other": "CANCELLED"}
    assert facts["counts"] == {"accounts": 2, "cancelled": 2}
    assert [o["action"] for o in orders(switch)] == ["cancel_all"] * 2


def test_a_resume_too_early_says_when(switch: Served) -> None:
    """423 with Retry-After."""
    call(switch)
    wait(switch, 15)
    answer = call(switch, "/resume", request_id="r-2", expected_epoch=1, confirm=CONFIRM)
    assert (answer.status_code, answer.get_json()["title"]) == (423, "TOO_EARLY")
    assert answer.headers["Retry-After"] == "46"
    answer = call(switch, "/resume", request_id="r-3", expected_epoch=1)
    assert (answer.status_code, answer.get_json()["title"]) == (400, "NOT_CONFIRMED")


def test_the_whole_is_resumed_by_two_people(switch: Served) -> None:
    """F45: the first is answered 202, and once more 409; a second person ends it."""
    body = {"scope": "global", "expected_epoch": 1, "confirm": "RESUME global"}
    call(switch, scope="global")
    wait(switch, 60)
    first = call(switch, "/resume", request_id="r-2", **body)
    assert (first.status_code, first.get_json()["state"]) == (202, "HALTED")
    assert first.get_json()["pending"]["actor"] == "ann"
    again = call(switch, "/resume", request_id="r-3", **body)
    assert (again.status_code, again.get_json()["title"]) == (409, "SAME_PERSON")
    second = call(switch, "/resume", request_id="r-4", token=IDA, **body)
    assert (second.status_code, second.get_json()["state"]) == (200, "ACTIVE")


def test_who_resumes_what_is_not_stopped_changes_nothing_and_waits_for_nobody(switch: Served) -> None:
    """A trader in a hurry: 200, the epoch as it was, and no second person is called."""
    answer = call(switch, "/resume", scope="global", expected_epoch=0, confirm="RESUME global")
    assert (answer.status_code, answer.get_json()["epoch"], answer.get_json()["pending"]) == (200, 0, None)


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


def test_a_stale_approval_is_none_and_all_of_it_is_on_record(switch: Served) -> None:
    """F45, I8: the second person comes too late, and is the first again; each refusal is a link of the chain."""
    body = {"scope": "global", "expected_epoch": 1, "confirm": "RESUME global"}
    call(switch, scope="global")
    wait(switch, 60)
    call(switch, "/resume", request_id="r-2", **body)
    call(switch, "/resume", request_id="r-3", **body)  # the same person
    wait(switch, 601)
    late = call(switch, "/resume", request_id="r-4", token=IDA, **body)
    assert (late.status_code, late.get_json()["state"], late.get_json()["pending"]["actor"]) == (
        202,
        "HALTED",
        "ida",
    )
    rows = [json.loads(d.data["row"]) for d in switch.world.store.query("audit")]
    events = [
        (r["event"], r["actor"]) for r in sorted(rows, key=lambda r: r["seq"]) if r["chain"] == "global"
    ]
    assert events == [
        ("kill", "ann"),
        ("resume_asked", "ann"),
        ("resume_refused", "ann"),
        ("resume_asked", "ida"),
    ]


def test_nobody_may_say_how_many_must_agree(switch: Served) -> None:
    """B65: what breakers set is not for callers."""
    for field in ({"hold_people": 2}, {"reopen": "0.5"}, {"person": "bob@example.com"}):
        assert call(switch, **field).status_code == 400
    assert call(switch, "/release", request_id="x").status_code == 404


def test_a_stale_resume_is_a_conflict(switch: Served) -> None:
    """F39, F45."""
    call(switch)
    for epoch in (None, 0, 2):
        answer = call(switch, "/resume", request_id=f"r-{epoch}", expected_epoch=epoch, confirm=CONFIRM)
        assert (answer.status_code, answer.get_json()["title"]) == (409, "STALE_RESUME")
    assert status(switch).get_json()["state"] == "HALTED"


# --- who may ---


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


def strange(answer: TestResponse) -> tuple[int, bytes, dict[str, str]]:
    return answer.status_code, answer.data, dict(answer.headers)


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


# --- what it refuses ---


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
    "B05": b'{"a":' * 500 + b"1" + b"}" * 500,
    "B06": b'{"request_id": "r-1", "request_id": "r-2"}',
    "B07": b"\xef\xbb\xbf{}",
    "B08": b'{"reason": "\\ud800"}',
    "no scope": {"request_id": "r-1", "reason": "x"},
    "B66 star": request(scope="*"),
    "B66 empty": request(scope=""),
    "B66 list": request(scope=["account:demo", "account:other"]),
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


# --- when things are down ---


def test_a_kill_with_pubsub_down_stands_and_says_that_delivery_is_pending(switch: Served) -> None:
    """F40: 202; the state is what adapters read, and the sweep sends the rest."""
    switch.bus.fault = Unavailable("no bus")
    answer = call(switch)
    assert answer.status_code == 202
    facts = answer.get_json()
    assert (facts["state"], facts["delivery"]) == ("HALTED", "pending")
    assert status(switch).get_json()["state"] == "HALTED"
    switch.bus.fault = None
    assert call(switch).get_json()["delivery"] == "published"


@pytest.mark.parametrize("path", ["/pause", "/resume"])
def test_what_closes_nothing_is_pending_too_until_the_sweep_has_published_it(
    switch: Served, path: str
) -> None:
    """F40: nobody reads "published" of what waits; the state holds at once, and it goes out by itself."""
    more: dict[str, Any] = {}
    if path == "/resume":
        call(switch)
        wait(switch, 61)
        more = {"request_id": "r-2", "expected_epoch": 1, "confirm": CONFIRM}
    switch.world.run()
    switch.bus.fault = Unavailable("no bus")
    answer = call(switch, path, **more)
    state = "REDUCING" if path == "/pause" else "ACTIVE"
    assert (answer.status_code, answer.get_json()["delivery"]) == (202, "pending")
    assert status(switch).get_json()["state"] == state
    switch.bus.fault = None
    wait(switch, 30)
    switch.world.sweep()
    switch.world.run()
    assert [json.loads(d.data["outbox"]) for d in switch.world.store.query("controls")] == [[]]
    assert call(switch, path, **more).get_json()["delivery"] == "published"


@pytest.mark.parametrize("path", ["/pause", "/resume", "/status"])
def test_with_the_store_down_the_outcome_is_called_unknown(switch: Served, path: str) -> None:
    """F13, F41: 503, never a state that was not read."""
    switch.outage()
    answer = status(switch) if path == "/status" else call(switch, path, expected_epoch=0)
    assert answer.status_code == 503
    assert answer.get_json()["title"] == "UNAVAILABLE"
    switch.store.fault = None
    assert status(switch).get_json()["epoch"] == 0


@pytest.mark.parametrize("scope", ["account:demo", "global", "strategy:demo:core"])
def test_a_kill_with_the_store_down_takes_the_second_path(switch: Served, scope: str) -> None:
    """F41: adapters are told at once, and the kill is stored by itself when the store is back."""
    halts: list[Any] = []
    switch.world.bus.subscribe("orders", lambda message, id_, attempt: halts.append(json.loads(message.data)))
    switch.outage()
    answer = call(switch, scope=scope)
    assert answer.status_code == 202
    facts = answer.get_json()
    assert facts["delivery"] == "published, not persisted"
    assert "state" not in facts
    assert call(switch, scope=scope).get_json()["halt_id"] == facts["halt_id"]
    switch.store.fault = None
    switch.world.run()
    assert {(h["type"], h["scope"], h["halt_id"]) for h in halts if h["type"] == "stopline.halt.v1"} == {
        ("stopline.halt.v1", scope, facts["halt_id"])
    }
    after = status(switch, scope).get_json()
    assert (after["state"], after["epoch"], after["actor"]) == ("HALTED", 1, "ann")
    assert call(switch, scope=scope).status_code == 200  # the same wish, by the first path: nothing new
    assert status(switch, scope).get_json()["epoch"] == 1


@pytest.mark.parametrize("path", ["/kill", "/pause"])
def test_a_stop_that_is_repeated_after_its_end_says_that_it_is_over(switch: Served, path: str) -> None:
    """R5.1, F38: the id counts once; whoever sends it again learns that nothing is stopped."""
    assert call(switch, path).get_json()["in_force"] is True
    assert call(switch, path).get_json()["in_force"] is True
    wait(switch, 60)
    resumed = call(switch, "/resume", request_id="r-2", expected_epoch=1, confirm=CONFIRM).get_json()
    assert "in_force" not in resumed
    again = call(switch, path).get_json()
    assert (again["in_force"], again["state"], again["epoch"]) == (False, "ACTIVE", 2)
    assert call(switch, path, request_id="r-3").get_json()["in_force"] is True


def test_a_closing_that_is_repeated_under_a_halt_that_closes_nothing_is_not_in_force(switch: Served) -> None:
    """R5.1: its state is there, what it asked for is not: positions stay open."""
    call(switch)
    wait(switch, 61)
    call(switch, "/resume", request_id="r-2", expected_epoch=1, confirm=CONFIRM)
    assert call(switch, request_id="r-3", flatten=False).get_json()["in_force"] is True
    facts = call(switch).get_json()
    assert (facts["state"], facts["flatten"], facts["in_force"]) == ("HALTED", False, False)


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


@pytest.mark.parametrize("damage", [{"state": "{"}, {"state": None}, {"outbox": "["}, {"outbox": "[1]"}])
def test_a_kill_of_what_cannot_be_read_takes_the_second_path(switch: Served, damage: dict[str, Any]) -> None:
    """F41: a damaged document is as good as none; whoever holds positions is told."""
    call(switch, "/pause")
    [stored] = switch.world.store.query("controls")
    switch.world.store.commit([Put(stored.path, {**stored.data, **damage})])
    answer = call(switch, request_id="r-2")
    assert (answer.status_code, answer.get_json().get("delivery")) == (202, "published, not persisted")


@pytest.mark.parametrize("problem", [RuntimeError("a fault of the client"), IndexError("a fault of ours")])
def test_a_kill_that_meets_a_fault_of_any_kind_takes_the_second_path(
    switch: Served, problem: Exception
) -> None:
    """F41, R5.1: whatever it is, nobody who kills is answered 500 while the adapters go on; B64: who may not is told so."""
    halts: list[Any] = []
    switch.world.bus.subscribe("orders", lambda message, id_, attempt: halts.append(json.loads(message.data)))
    switch.store.fault = problem
    answer = call(switch)
    assert (answer.status_code, answer.get_json()["delivery"]) == (202, "published, not persisted")
    assert call(switch, "/pause").status_code == 500
    assert call(switch, scope="global", token=BOB).status_code == 404
    switch.store.fault = None
    switch.world.run()
    assert [h["scope"] for h in halts if h["type"] == "stopline.halt.v1"] == ["account:demo"]
    assert status(switch).get_json()["state"] == "HALTED"


@pytest.mark.parametrize("problem", [Unavailable("no store"), RuntimeError("a fault of the client")])
def test_a_kill_that_is_stored_and_cannot_be_read_back_takes_the_second_path_too(
    switch: Served, problem: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F40, F41: the bus failed for a moment, then the store: adapters are told, and the halt is the one that is stored."""
    trading = switch.app.trading

    def unread(request: Any) -> Any:
        switch.bus.fault = None
        raise problem

    switch.bus.fault = Unavailable("no bus")
    monkeypatch.setattr(trading, "done", unread)
    answer = call(switch)
    assert (answer.status_code, answer.get_json()["delivery"]) == (202, "published, not persisted")
    switch.world.run()
    facts = status(switch).get_json()
    assert (facts["state"], facts["epoch"]) == ("HALTED", 1)


def test_a_kill_that_stands_is_answered_so_whatever_breaks_after_it(
    switch: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5.1: the sweep begins to close."""

    def broken(standing: Any) -> Any:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(switch.app.halts, "advance", broken)
    facts = call(switch).get_json()
    assert (facts["state"], facts["delivery"]) == ("HALTED", "pending")


def test_a_lock_of_the_second_path_runs_from_when_it_was_asked_for(switch: Served) -> None:
    """F41: stored after the session's end it locks nobody out of the next one; the halt holds."""
    switch.outage()
    assert call(switch, lock=True).status_code == 202
    switch.store.fault = None
    wait(switch, 86_400)
    switch.world.run()
    [hold] = status(switch).get_json()["holds"].values()
    assert (hold["state"], hold["locked_until"]) == ("HALTED", "2026-11-19T05:00:00Z")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"scope": "global", "lock": True}, "BAD_LOCK"),
        ({"until": "2026-11-18T18:00:00Z"}, "BAD_UNTIL"),
    ],
)
def test_what_can_never_be_stored_is_told_to_no_adapter(
    switch: Served, more: dict[str, Any], reason: str
) -> None:
    """F41: its halt would hold for ever."""
    switch.world.run()
    switch.outage()
    answer = call(switch, **more)
    assert (answer.status_code, answer.get_json()["title"]) == (400, reason)
    assert switch.world.run() == 0


def test_with_the_store_and_pubsub_down_nothing_is_claimed(switch: Served) -> None:
    """F42: 503; the adapters' leases run out."""
    switch.outage()
    switch.bus.fault = Unavailable("no bus")
    assert call(switch).status_code == 503


def test_the_second_path_is_for_those_who_may_kill_the_scope(switch: Served) -> None:
    """B64: an outage opens no door. What an account grants cannot be read then: 503, whether there is one or not."""
    switch.world.run()
    switch.outage()
    for scope in ("account:other", "account:nobody"):
        assert call(switch, scope=scope, token=BOB).status_code == 503
    assert call(switch, scope="account:demo", token=EVE).status_code == 503
    assert call(switch, scope="global", token=BOB).status_code == 404
    assert switch.world.run() == 0


def test_an_unknown_error_shows_no_trace(switch: Served, caplog: pytest.LogCaptureFixture) -> None:
    """B75: 500, a problem, and the trace in the log only."""
    switch.store.fault = RuntimeError("secret of the client: hunter2")
    answer = call(switch, "/pause")
    assert answer.status_code == 500
    assert answer.content_type == "application/problem+json"
    assert b"hunter2" not in answer.data
    assert b"Traceback" not in answer.data
    assert "hunter2" in caplog.text


# --- status ---


def test_the_status_of_an_account(switch: Served) -> None:
    """R5.1."""
    from stopline.model.fill import Fill

    facts = status(switch).get_json()
    assert (facts["state"], facts["epoch"], facts["flat"], facts["closing"]) == ("ACTIVE", 0, False, None)
    switch.world.app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
    call(switch)
    facts = status(switch, token=EVE).get_json()
    assert (facts["state"], facts["effective_state"], facts["open_positions"], facts["flat"]) == (
        "HALTED",
        "HALTED",
        1,
        False,
    )
    assert facts["closing"]["status"] == "CLOSING"
    assert "seen" not in facts


def test_the_status_of_an_account_under_a_global_halt(switch: Served) -> None:
    """R5.1, I6."""
    call(switch, scope="global")
    facts = status(switch, token=EVE).get_json()
    assert (facts["effective_state"], facts["effective_epoch"]) == ("HALTED", 1)


def test_the_status_of_a_strategy_counts_its_own_positions(switch: Served) -> None:
    """R5.1: a strategy that is closed is flat, whatever else the account holds."""
    from stopline.model.fill import Fill

    mine, other = raw_fill("E-1", strategy="core"), raw_fill("E-2", strategy="swing")
    switch.world.app.recorder.record([Fill.model_validate(f) for f in (mine, other)], "m-1")
    call(switch, scope="strategy:demo:core")
    facts = status(switch, "strategy:demo:core").get_json()
    assert (facts["open_positions"], facts["flat"]) == (1, False)
    closed = raw_fill("E-3", strategy="core", side="SELL", executed_at="2026-11-18T17:00:00Z")
    switch.world.app.recorder.record([Fill.model_validate(closed)], "m-2")
    switch.world.app.closer.advance("demo")
    facts = status(switch, "strategy:demo:core").get_json()
    assert (facts["open_positions"], facts["flat"]) == (0, True)
    assert status(switch, "underlying:demo:SPY").get_json()["open_positions"] == 1
    assert status(switch, "underlying:demo:QQQ").get_json()["open_positions"] == 0
    whole = status(switch).get_json()
    assert (whole["open_positions"], whole["flat"]) == (1, False)


def test_the_status_of_the_whole(switch: Served) -> None:
    assert status(switch, "global").get_json()["state"] == "ACTIVE"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_the_status_is_read_with_get(switch: Served, method: str) -> None:
    """B77."""
    assert call(switch, "/status", method=method).status_code == 405


@pytest.mark.parametrize("what", ["books", "closings"])
def test_what_cannot_be_read_hides_nothing_of_what_can(switch: Served, what: str) -> None:
    """R5.1, I7: the state is shown; what is not known is unknown, and not flat."""
    from stopline.model.fill import Fill

    switch.world.app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
    call(switch)
    damage(switch, what, "demo")
    answer = status(switch)
    facts = answer.get_json()
    assert (answer.status_code, facts["effective_state"], facts["unread"]) == (200, "HALTED", [what])
    assert (facts["open_positions"], facts["closing"], facts["flat"]) == (
        None if what == "books" else 1,
        None,
        False,
    )
    assert status(switch, "strategy:demo:core").get_json()["unread"] == [what]


def damage(switch: Served, collection: str, id_: str) -> None:
    """Let nobody read a document, from a cold start on."""
    field = "account" if collection == "accounts" else "state"
    [stored] = [d for d in switch.world.store.query(collection) if d.path.id == id_]
    switch.world.store.commit([Put(stored.path, {**stored.data, field: "{"})])
    cold(switch)


def cold(switch: Served) -> None:
    """Let the function begin anew: nothing of before is kept in memory."""
    fresh = App(switch.app.ports)
    vars(switch.app).clear()
    vars(switch.app).update(vars(fresh))


# --- an account that is damaged or was deleted ---


def test_what_is_left_of_a_deleted_account_is_killed_shown_and_resumed(switch: Served) -> None:
    """R5.1: its positions are still there; to who has no right on it there is nothing."""
    from stopline.model.fill import Fill

    switch.world.app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
    [stored] = [d for d in switch.world.store.query("accounts") if d.path.id == "demo"]
    switch.world.store.commit([Delete(stored.path, stored.version)])
    cold(switch)
    everything = call(switch, "/pause", scope="global", request_id="r-0").get_json()
    assert everything["closing"] == {"demo": "CANCELLED", "other": "CANCELLED"}
    answer = call(switch)
    assert (answer.status_code, answer.get_json()["closing"]) == (200, {"demo": "CLOSING"})
    assert sorted(o["action"] for o in orders(switch)) == ["cancel_adding", "cancel_all", "close"]
    assert status(switch).get_json()["open_positions"] == 1
    switch.world.store.commit([Delete(d.path, d.version) for d in switch.world.store.query("books")])
    wait(switch, 61)
    assert call(switch, "/resume", request_id="r-2", expected_epoch=1, confirm=CONFIRM).status_code == 200
    assert call(switch, scope="account:nobody", request_id="r-3").status_code == 404
    assert call(switch, scope="account:other", token=BOB, request_id="r-4").status_code == 404


@pytest.mark.parametrize("what", ["deleted", "damaged"])
def test_a_lock_needs_no_settings(switch: Served, what: str) -> None:
    """R5.1: where nobody knows the account's hours any more it locks until the usual session ends."""
    from stopline.model.fill import Fill

    switch.world.app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
    if what == "damaged":
        damage(switch, "accounts", "demo")
    else:
        [stored] = [d for d in switch.world.store.query("accounts") if d.path.id == "demo"]
        switch.world.store.commit([Delete(stored.path, stored.version)])
    cold(switch)
    answer = call(switch, lock=True)
    assert (answer.status_code, answer.get_json()["state"]) == (200, "HALTED"), answer.get_json()
    assert answer.get_json()["locked_until"] == "2026-11-19T05:00:00Z"
    assert "close" in [o["action"] for o in orders(switch)]


def test_damaged_settings_keep_no_kill_from_being_stored_and_are_told_to_nobody_else(switch: Served) -> None:
    """R5.1, B64: a foreign account that cannot be read looks as one that is not there."""
    damage(switch, "accounts", "other")
    answers = [strange(call(switch, scope=f"account:{n}", token=EVE)) for n in ("other", "nobody")]
    answers += [strange(status(switch, f"account:{n}", EVE)) for n in ("other", "nobody")]
    assert {code for code, _, _ in answers} == {404}
    assert answers[0] == answers[1]
    assert answers[2] == answers[3]
    assert call(switch, scope="account:other").get_json()["state"] == "HALTED"


def test_a_damaged_account_that_is_stopped_itself_keeps_the_whole_from_nothing(switch: Served) -> None:
    """R5.1: stop that one, then resume the whole; as long as it is not stopped it is named, and the refusal is on record."""
    call(switch, scope="global")
    damage(switch, "accounts", "other")
    wait(switch, 61)
    body = {"scope": "global", "expected_epoch": 1, "confirm": "RESUME global"}
    refused = call(switch, "/resume", request_id="r-2", **body)
    assert (refused.status_code, refused.get_json()["title"]) == (409, "NOT_READY")
    assert "other: accounts/other cannot be read" in refused.get_json()["detail"]
    assert call(switch, scope="account:other", request_id="r-3").status_code in (200, 202)
    assert call(switch, "/resume", request_id="r-4", **body).status_code == 202
    assert call(switch, "/resume", request_id="r-5", token=IDA, **body).get_json()["state"] == "ACTIVE"
    rows = [json.loads(d.data["row"]) for d in switch.world.store.query("audit")]
    assert "resume_refused" in [r["event"] for r in rows]


@pytest.mark.parametrize(
    "data", [{"state": "{}"}, {"as_of": "x", "state": "{}"}, {"state": "{"}, {"state": "[]"}, {}], ids=str
)
def test_a_valuation_that_cannot_be_read_is_no_ground_to_resume(switch: Served, data: dict[str, Any]) -> None:
    """I7, I8: refused, with a row; not an error of ours."""
    from stopline.model.fill import Fill

    switch.world.app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
    call(switch, flatten=False)
    wait(switch, 61)
    stored = {"as_of": switch.world.clock.now(), **data} if data else {"as_of": None}
    switch.world.store.commit([Put(Path("risk", "demo"), stored)])
    answer = call(switch, "/resume", request_id="r-2", expected_epoch=1, confirm=CONFIRM)
    assert (answer.status_code, answer.get_json()["title"]) == (409, "NOT_READY")
    assert "demo: its valuation cannot be read" in answer.get_json()["detail"]
    rows = [json.loads(d.data["row"])["event"] for d in switch.world.store.query("audit")]
    assert sorted(rows)[-1] == "resume_refused"


def test_a_lock_says_until_when(switch: Served) -> None:
    """Issue 6: the next session may begin in minutes: 23:58 in New York."""
    switch.world.clock.set(datetime(2026, 11, 19, 4, 58, tzinfo=UTC))
    assert call(switch, lock=True).get_json()["locked_until"] == "2026-11-19T05:00:00Z"
    assert "locked_until" not in call(switch, request_id="r-2").get_json()


# --- one person by two names ---


@pytest.mark.parametrize(
    ("person", "code", "state"), [("Ann@example.com", 409, "HALTED"), (None, 200, "ACTIVE")]
)
@pytest.mark.parametrize("is_token_first", [True, False])
def test_one_person_by_two_names_is_not_two_people(
    switch: Served, person: str | None, code: int, state: str, is_token_first: bool
) -> None:
    """F45, R5.1: a token and a Google identity; without the setting that says so nobody guesses."""
    token = hashlib.sha256(b"t").hexdigest()
    facts = {"rights": ["admin"], "accounts": ["*"]}
    known = {
        token: {**facts, "name": "ann", "person": person},
        "ann@example.com": {**facts, "name": "ann-by-google"},
    }
    assert call(switch, scope="global").status_code == 200
    wait(switch, 61)

    def resume(header: str, id_: str) -> int:
        body = {"scope": "global", "reason": "x", "expected_epoch": 1, "confirm": "RESUME global"}
        with switch.client.application.test_request_context(
            "/resume",
            method="POST",
            json={**body, "request_id": id_},
            headers={"Authorization": f"Bearer {header}"},
        ):
            return handle(flask.request, lambda: switch.app, known, lambda _: "ann@example.com")[1]

    headers = ["t", "a.b.c"] if is_token_first else ["a.b.c", "t"]
    assert resume(headers[0], "r-2") == 202
    assert resume(headers[1], "r-3") == code
    assert switch.app.trading.read("global").state == state


@pytest.mark.parametrize("is_token_first", [True, False])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((None, "ann"), ("ann@example.com", "ann")),  # the token's setting says nothing of the person
        (("ann@example.com", "ann"), (None, "ANN@example.com")),  # a setting, and what an account grants
    ],
)
def test_one_name_is_one_person_in_either_order(
    switch: Served, first: tuple[str | None, str], second: tuple[str | None, str], is_token_first: bool
) -> None:
    """F45, R5.1: whatever the one is called by that the other is called by too."""
    call(switch, scope="global")
    wait(switch, 61)
    body = {"scope": "global", "reason": "x", "expected_epoch": 1, "confirm": "RESUME global"}
    callers = [Principal(name=n, person=p, rights=("admin",), accounts=("*",)) for p, n in (first, second)]
    one, other = callers if is_token_first else callers[::-1]
    assert change(switch.app, one, "resume", {**body, "request_id": "r-2"})[1] == 202
    with pytest.raises(Rejected, match="asked already"):
        change(switch.app, other, "resume", {**body, "request_id": "r-3"})
    assert switch.app.trading.read("global").state == "HALTED"


# --- a name that stands for nothing ---


def hold_spy(switch: Served, fill_id: str = "E-1") -> None:
    switch.world.publish("fills", raw_fill(fill_id))
    switch.world.run()


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        ("underlying:demo:SPX", "SPY"),
        ("underlying:demo:SPYY", "SPY"),
        ("strategy:demo:nosuch", "default"),
    ],
)
def test_a_mistyped_stop_is_stored_and_never_called_flat(switch: Served, scope: str, held: str) -> None:
    """R5.1, R0.4, "never report flat until the fills prove it": the ten SPY that were meant are open."""
    hold_spy(switch)
    answer = call(switch, scope=scope)
    facts = answer.get_json()
    assert (answer.status_code, facts["state"], facts["closing"]) == (200, "HALTED", {scope: "NOTHING_HELD"})
    assert facts["counts"] == {"accounts": 1, "nothing_held": 1}
    name = scope.rpartition(":")[2]
    assert facts["warning"].startswith("nothing is known by the name ")
    assert f" {name} in account demo; held are {held}" in facts["warning"]
    shown = status(switch, scope).get_json()
    assert (shown["flat"], shown["closing"], shown["warning"]) == (False, None, facts["warning"])
    assert status(switch).get_json()["closing"]["status"] == "NOTHING_HELD"
    assert status(switch).get_json()["flat"] is False


def test_a_stop_of_what_is_held_has_no_warning_and_is_told_by_its_own_name(switch: Served) -> None:
    hold_spy(switch)
    for path, scope in (("/kill", "underlying:demo:SPY"), ("/pause", "strategy:demo:default")):
        facts = call(switch, path, request_id=scope, scope=scope).get_json()
        assert "warning" not in facts
        assert list(facts["closing"]) == [scope]
        assert "warning" not in status(switch, scope).get_json()
    assert "warning" not in call(switch, request_id="r-9").get_json()


def test_each_scope_is_told_its_own_closing_and_no_other_one(switch: Served) -> None:
    """R5.1, R0.4: trend is killed and flat, core is killed and closes, rest is open and nobody stopped it."""
    for number, name in enumerate(("trend", "core", "rest")):
        switch.world.publish("fills", raw_fill(f"E-{number}", strategy=name))
    switch.world.run()
    scopes = [f"strategy:demo:{name}" for name in ("trend", "core", "rest")]
    call(switch, request_id="r-1", scope=scopes[0])
    switch.world.publish("fills", raw_fill("E-9", side="SELL", strategy="trend"))
    switch.world.run()

    def shown(scope: str) -> tuple[Any, ...]:
        facts = status(switch, scope).get_json()
        closing = facts["closing"]
        return (
            closing and closing["status"],
            facts["flat"],
            facts["open_positions"],
            list((closing or {}).get("orders", ())),
        )

    assert shown(scopes[0]) == ("FLAT", True, 0, [])
    assert shown("account:demo") == ("PARTS_FLAT", False, 2, [])
    assert call(switch, request_id="r-2", scope=scopes[1]).get_json()["closing"] == {scopes[1]: "CLOSING"}
    again = call(switch, request_id="r-3", scope=scopes[0]).get_json()
    assert again["closing"] == {scopes[0]: "FLAT"}, "and not what becomes of the other one"
    assert shown(scopes[0]) == ("FLAT", True, 0, [])
    assert shown(scopes[1]) == ("CLOSING", False, 1, ["core:SPY"])
    assert shown(scopes[2]) == (None, False, 1, [])
    assert shown("underlying:demo:SPY") == (None, False, 2, [])
    assert shown("account:demo")[:3] == ("CLOSING", False, 2)


def test_a_closing_that_people_have_resumed_after_is_over_when_something_is_open_again(
    switch: Served,
) -> None:
    """R0.4: what was flat once says nothing of now."""
    hold_spy(switch)
    call(switch)
    switch.world.publish("fills", raw_fill("E-9", side="SELL"))
    switch.world.run()
    assert status(switch).get_json()["closing"]["status"] == "FLAT"
    wait(switch, 61)
    switch.world.run()
    assert call(switch, "/resume", request_id="r-2", expected_epoch=1, confirm=CONFIRM).status_code == 200
    hold_spy(switch, "E-10")
    facts = status(switch).get_json()
    assert (facts["closing"]["status"], facts["flat"], facts["open_positions"]) == ("OVER", False, 1)


@pytest.mark.parametrize("more", [{"path": "/pause"}, {"path": "/kill", "flatten": False}])
def test_a_mistyped_stop_that_closes_nothing_says_so_too(switch: Served, more: dict[str, Any]) -> None:
    hold_spy(switch)
    facts = call(switch, scope="underlying:demo:SPYY", **more).get_json()
    assert "held are SPY" in facts["warning"]
    assert "FLAT" not in facts["closing"].values()


def test_a_stop_whose_book_cannot_be_read_claims_nothing_of_the_name(
    switch: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R0.4: unknown is never OK."""
    hold_spy(switch)

    def down(account: str) -> None:
        raise Unavailable("the books are down")

    monkeypatch.setattr(switch.app.books, "read", down)
    answer = call(switch, scope="underlying:demo:SPY")
    assert answer.status_code == 202
    assert "cannot be read now" in answer.get_json()["warning"]
    assert answer.get_json()["closing"] == {"underlying:demo:SPY": "PENDING"}


@pytest.mark.parametrize(
    "reason", ["VIX\nspike", "a\x00b", "\ud800", "\u202etxet", "\x1b[31m", "x\n{severity: INFO}"]
)
@pytest.mark.parametrize("path", ["/kill", "/pause"])
def test_no_reason_keeps_trading_from_being_stopped(switch: Served, path: str, reason: str) -> None:
    """R5.1, B68: a line break in it was pasted at three in the morning. It is one line wherever it is shown."""
    answer = call(switch, path, reason=reason)
    assert answer.status_code == 200
    assert answer.get_json()["reason"].isprintable()


def test_a_resume_and_other_fields_are_read_as_strictly_as_before(switch: Served) -> None:
    """B-rows: what loosens has rules."""
    call(switch, "/pause")
    assert call(switch, "/resume", request_id="r-2", reason="a\nb").status_code == 400
    assert call(switch, "/resume", request_id="r\n3").status_code == 400
    assert (
        call(switch, body=b'{"scope": "account:demo", "reason": {"a\\u0000": "\\ud800"}}').status_code == 200
    )


def test_stops_of_made_up_names_leave_room_for_the_kill_of_the_account(
    switch: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability 7: whoever may stop could fill the document of the account, and no kill of it would be stored."""
    monkeypatch.setattr("stopline.rules.trading.state.MOST_PARTS", 3)
    for number in range(3):
        assert call(switch, request_id=f"r-{number}", scope=f"strategy:demo:n{number}").status_code == 200
    full = call(switch, request_id="r-4", scope="strategy:demo:n4")
    assert (full.status_code, full.get_json()["title"]) == (400, "TOO_MANY_PARTS")
    assert call(switch, request_id="r-5", scope="strategy:demo:n1").status_code == 200, "it is there already"
    wait(switch, 61)
    again = {"expected_epoch": 1, "confirm": "RESUME strategy:demo:n0"}
    assert call(switch, "/resume", request_id="r-6", scope="strategy:demo:n0", **again).status_code == 200
    assert call(switch, request_id="r-7", scope="strategy:demo:n4").status_code == 200, "one is free again"
    assert status(switch).get_json()["parts"].keys() == {f"strategy:demo:n{n}" for n in (1, 2, 4)}
    assert call(switch, request_id="r-8").get_json()["state"] == "HALTED"
