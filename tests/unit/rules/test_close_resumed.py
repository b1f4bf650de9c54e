"""A resume is the last word: what exits asked to be closed before it ends there; what people asked for goes on."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.closing import CloseRequest
from stopline.model.closing_state import RequestStatus
from stopline.model.messages import CommandAction

from ..make import NOON, at, trade
from .test_close_requests import Desk, closes, said

STRATEGY = {"strategy": "core", "urgency": "urgent", "until_resume": True}


def desk() -> Desk:
    return Desk(trade(1, 100, 100, strategy="core"), trade(2, 7, 100, strategy="other"))


def resume(one: Desk, after: float = 1) -> None:
    one.wait(after)
    one.resumed = one.now


def test_a_resume_ends_the_request_of_an_exit_cancels_its_command_and_says_what_is_open() -> None:
    """R4.1, R4.5."""
    one = desk()
    assert said(one.ask(**STRATEGY)) == [("SPY", "SELL", 100)]
    resume(one)
    step = one.step()
    [cancel] = step.commands
    assert cancel.instrument
    found = cancel.action, cancel.strategy, cancel.instrument.symbol
    assert found == (CommandAction.CANCEL_ALL, "core", "SPY")
    [alert] = step.alerts
    assert (alert.kind, alert.object, alert.resolved) == ("closing_ended", "core", True)
    assert alert.summary == "Strategy core was resumed: its closing (stop loss) ends with 100 SPY open"
    assert one.status() is RequestStatus.RESUMED
    one.fills.append(trade(3, 50, 100, strategy="core"))
    for seconds in (1, 40, 200):
        assert one.wait(seconds) == []
    assert one.alerts == ["closing_ended"]
    assert said(one.ask("R-2", **STRATEGY)) == [("SPY", "SELL", 150)], "a stop of after the resume closes"


@pytest.mark.parametrize(
    "named",
    [{"until_resume": False}, {"strategy": "other"}, {"trade": "the trade"}],
    ids=["of a person", "of another strategy", "of a trade"],
)
def test_requests_of_people_of_other_strategies_and_of_trades_go_on(named: dict[str, Any]) -> None:
    """R4.5."""
    one = desk()
    mine = next(t for t in one.book.open_trades() if t.strategy == "core")
    more = {"trade_id": mine.trade_id} if "trade" in named else named
    first = said(one.ask(**{**STRATEGY, **more}))
    resume(one)
    assert one.wait(60) != []
    assert one.status() is RequestStatus.CLOSING
    assert len(first) == 1
    assert "closing_ended" not in one.alerts


def test_a_request_of_before_the_resume_that_comes_after_it_sends_nothing() -> None:
    """I5: what is delivered late or again."""
    one = desk()
    facts = {
        "request_id": "R-1",
        "account": "demo",
        "rule": "max_loss",
        "reason": "x",
        "cause": "c",
        **STRATEGY,
    }
    request = CloseRequest.model_validate({**facts, "requested_at": NOON.isoformat()})
    resume(one)
    for _ in range(2):
        assert one.step(request).commands == []
    assert one.status() is RequestStatus.RESUMED
    assert one.alerts == ["closing_ended"]


def test_a_command_that_a_person_wants_too_is_not_cancelled() -> None:
    one = desk()
    one.ask("R-person", **STRATEGY | {"until_resume": False})
    one.report(next(iter(one.state.sent.values())), "rejected")  # type: ignore[arg-type]
    [command] = one.ask(**STRATEGY) or one.wait(10)
    assert set(one.state.sent[command.command_id].requests) == {"R-person", "R-1"}
    resume(one)
    assert one.step().commands == []
    assert [one.status("R-person"), one.status()] == [RequestStatus.CLOSING, RequestStatus.RESUMED]


@pytest.mark.parametrize(("both", "cancels"), [(False, ["cancel_all"]), (True, [])], ids=["one trade", "all"])
def test_a_joint_command_of_all_is_cancelled_where_single_trades_want_less(
    both: bool, cancels: list[str]
) -> None:
    """R4.1, R4.5: the stop of one trade goes on, and by a command of its own; two that want all of it keep theirs."""
    bought = [trade(n, 100, 100, strategy="core", group_id=f"G{n}", executed_at=at(n - 9)) for n in (1, 2)]
    one = Desk(*bought)
    ids = [found.trade_id for found in one.book.open_trades()]
    requests = [
        CloseRequest.model_validate(
            {"request_id": f"R-{n}", "account": "demo", "rule": "stop_loss", "reason": "x", "cause": "c"}
            | {"requested_at": NOON.isoformat(), "strategy": "core", **named}
        )
        for n, named in enumerate([STRATEGY, {"trade_id": ids[0]}, *([{"trade_id": ids[1]}] if both else [])])
    ]
    assert said(closes(one.step(*requests))) == [("SPY", "SELL", 200)]
    resume(one)
    assert [command.action for command in one.step().commands] == cancels
    if cancels:
        one.report(next(iter(one.state.sent.values())), "cancelled", filled="0")  # type: ignore[arg-type]
        [command] = one.wait(10)
        assert (command.quantity, command.group_id) == (100, "G1")


def test_what_the_fills_closed_before_anybody_looked_is_closed_and_not_ended_by_the_resume() -> None:
    """R4.5."""
    one = desk()
    [command] = one.ask(**STRATEGY)
    one.execute(command)
    one.resumed = one.now
    assert closes(one.step()) == []
    assert (one.status(), one.alerts) == (RequestStatus.CLOSED, ["closed"])


@pytest.mark.parametrize("asked", [False, True], ids=["", "one trade has to go"])
def test_what_is_out_for_a_kill_is_cancelled_once_when_it_is_resumed(asked: bool) -> None:
    """R5.1, R4.5: a market order of before must not close what people let trade again."""
    bought = [trade(n, 100, 100, group_id=f"G{n}", executed_at=at(n - 9)) for n in (1, 2)]
    one = Desk(*bought)
    if asked:
        one.ask("R-trade", strategy="default", trade_id=one.book.open_trades()[0].trade_id)
        one.report(next(iter(one.state.sent.values())), "rejected")  # type: ignore[arg-type]
        one.wait(5)
        one.report(list(one.state.sent.values())[-1], "rejected")  # type: ignore[arg-type]
    one.halting = True
    [command] = one.wait(30)
    assert command.quantity == 200
    one.halting = False
    found = [[c.action for c in one.step().commands] for _ in range(2)]
    assert found == [[CommandAction.CANCEL_ALL], []]
    one.report(command, "cancelled", filled="0")
    assert [c.quantity for c in one.wait(10)] == ([100] if asked else [])
