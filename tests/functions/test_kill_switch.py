"""The kill switch: it works when it must, in every scope, and its answer says what was done."""

from __future__ import annotations

from stopline.ports import Path, Put

from .conftest import Served, raw_fill, wait
from .kill_calls import CONFIRM, call, orders, status


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


def test_one_account_that_cannot_be_read_keeps_no_other_one_trading(switch: Served) -> None:
    """R5.1, F49: the others are closed, and what is wrong with it is not hidden."""
    switch.world.store.commit([Put(Path("closings", "demo"), {"account": "demo", "state": "{"})])
    answer = call(switch, scope="global")
    assert (answer.status_code, answer.get_json()["delivery"]) == (202, "pending")
    assert answer.get_json()["closing"] == {"demo": "PENDING", "other": "FLAT"}


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
    assert facts["closing"] == {"demo": "CANCELLING", "other": "CANCELLING"}
    assert facts["counts"] == {"accounts": 2, "cancelling": 2}
    assert [o["action"] for o in orders(switch)] == ["cancel_all"] * 2
