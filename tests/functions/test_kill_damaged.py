"""The kill switch: an account that is damaged or was deleted is stopped, shown and resumed all the same."""

from __future__ import annotations

import json

import pytest

from stopline.ports import Delete

from .conftest import BOB, EVE, IDA, Served, raw_fill, wait
from .kill_calls import CONFIRM, call, cold, damage, orders, status, strange


def test_what_is_left_of_a_deleted_account_is_killed_shown_and_resumed(switch: Served) -> None:
    """R5.1: its positions are still there; to who has no right on it there is nothing."""
    from stopline.model.fill import Fill

    switch.world.app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
    [stored] = [d for d in switch.world.store.query("accounts") if d.path.id == "demo"]
    switch.world.store.commit([Delete(stored.path, stored.version)])
    cold(switch)
    everything = call(switch, "/pause", scope="global", request_id="r-0").get_json()
    assert everything["closing"] == {"demo": "CANCELLING", "other": "CANCELLING"}
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
