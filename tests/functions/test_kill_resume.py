"""The kill switch: what a resume takes: its words, its minute, what was seen, and two different people."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import flask
import pytest

from stopline.model.errors import Rejected
from stopline.ports import Path, Put
from stopline.runtime.auth import Principal
from stopline.runtime.kill_api import change, handle

from .conftest import IDA, Served, raw_fill, wait
from .kill_calls import CONFIRM, call, status


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


def test_a_resume_and_other_fields_are_read_as_strictly_as_before(switch: Served) -> None:
    """B-rows: what loosens has rules."""
    call(switch, "/pause")
    assert call(switch, "/resume", request_id="r-2", reason="a\nb").status_code == 400
    assert call(switch, "/resume", request_id="r\n3").status_code == 400
    assert (
        call(switch, body=b'{"scope": "account:demo", "reason": {"a\\u0000": "\\ud800"}}').status_code == 200
    )
