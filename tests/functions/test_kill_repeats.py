"""The kill switch: the same request counts once, and nobody is refused a stop for an id that was used."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import ANN, BOB, Served, raw_fill, wait
from .kill_calls import CONFIRM, call, orders


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
