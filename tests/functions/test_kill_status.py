"""The kill switch: what GET /status tells of each scope."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from .conftest import EVE, Served, raw_fill
from .kill_calls import call, damage, status


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


def test_a_lock_says_until_when(switch: Served) -> None:
    """Issue 6: the next session may begin in minutes: 23:58 in New York."""
    switch.world.clock.set(datetime(2026, 11, 19, 4, 58, tzinfo=UTC))
    assert call(switch, lock=True).get_json()["locked_until"] == "2026-11-19T05:00:00Z"
    assert "locked_until" not in call(switch, request_id="r-2").get_json()
