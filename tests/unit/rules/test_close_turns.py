"""The steps of a reduction go one after another, and none stands still for one that is not filled (issue 7, point 4)."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.closing import CloseRequest
from stopline.model.closing_state import ClosingState, RequestStatus
from stopline.model.control import Control
from stopline.model.messages import Command
from stopline.model.prices import Quote
from stopline.rules.closing.sent import next_due
from stopline.rules.closing.turns import TURN
from stopline.service.accounts.status import account_status

from ..make import account, equity, trade
from .test_close_requests import Desk, closes

NAMES = ["AAA", "BBB", "CCC", "DDD"]
CAP = int(TURN.total_seconds())


class Plan(Desk):
    """Ten shares of each of some names; a plan that closes them in their order."""

    def __init__(self, count: int) -> None:
        super().__init__(
            *(trade(n, 10, 100, instrument=equity(name)) for n, name in enumerate(NAMES[:count]))
        )
        self.quotes |= {name: Quote(100, 99.9, 100.1) for name in NAMES}
        trades = {trade.legs[0].instrument.symbol: trade.trade_id for trade in self.book.open_trades()}
        self.steps = [
            CloseRequest(
                request_id=f"R-{n}",
                account="demo",
                trade_id=trades[name],
                urgency="urgent",
                rule="reduction",
                reason="x",
                cause="c",
                requested_at=self.now,
                after=f"R-{n - 1}" if n else None,
            )
            for n, name in enumerate(NAMES[:count])
        ]

    def begin(self) -> list[Command]:
        return closes(self.step(*self.steps))

    def restart(self) -> None:
        self.state = ClosingState.model_validate_json(self.state.model_dump_json())


def names(commands: list[Command]) -> list[str]:
    return [command.instrument.symbol for command in commands if command.instrument]


def test_a_step_goes_when_the_fills_prove_the_one_before_it() -> None:
    """R4.5: ordered; the same look that sees the fill sends the next."""
    plan = Plan(3)
    [first] = plan.begin()
    assert names([first]) == ["AAA"]
    controls = Control(scope="global"), Control(scope="account:demo")
    shown = account_status(account(), None, None, *controls, plan.state)["closings"]
    assert [one["waits"] for one in shown] == ["", "the step before it", "the step before it"]
    assert plan.wait(20) == []
    plan.execute(first, 4)
    assert plan.wait(1) == []
    plan.execute(first, 6)
    plan.restart()
    [second] = plan.wait(0)
    assert names([second]) == ["BBB"]
    assert [plan.status(f"R-{n}") for n in range(3)] == [
        RequestStatus.CLOSED,
        RequestStatus.CLOSING,
        RequestStatus.CLOSING,
    ]


def test_a_step_that_is_not_filled_keeps_the_next_one_waiting_no_longer_than_a_command_is_given() -> None:
    """A plan that stands still because one leg is not filled would be worse than none."""
    plan = Plan(4)
    plan.begin()
    sent: dict[str, datetime] = {}
    for _ in range(4 * CAP):
        plan.restart()
        for name in names(plan.wait(1)):
            sent.setdefault(name, plan.now)
    began = plan.steps[0].requested_at
    assert {name: (at - began).seconds for name, at in sent.items() if name != "AAA"} == {
        "BBB": CAP,
        "CCC": 2 * CAP,
        "DDD": 3 * CAP,
    }


def test_when_the_next_step_is_due_is_noted_for_whoever_looks() -> None:
    """Without news, price batches and sweeps find it by that."""
    plan = Plan(2)
    [first] = plan.begin()
    plan.report(first, "accepted")
    due = next_due(plan.state)
    assert due is not None
    assert due <= plan.now + TURN


def test_what_is_wanted_for_another_reason_waits_for_no_plan() -> None:
    """A stop of the second trade, and a kill, go at once."""
    plan = Plan(3)
    plan.begin()
    assert names(plan.ask("S-1", trade_id=plan.steps[1].trade_id, urgency="urgent")) == ["BBB"]
    plan.halting = True
    assert "CCC" in names(closes(plan.step()))


def test_a_step_before_that_is_not_known_any_more_holds_nothing_up() -> None:
    plan = Plan(2)
    [command] = closes(plan.step(plan.steps[1]))
    assert names([command]) == ["BBB"]


@settings(max_examples=8)
@given(
    count=st.integers(2, 4),
    filled=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 10), st.integers(1, 50)), max_size=12),
)
def test_no_step_goes_before_its_turn_and_every_one_goes(
    count: int, filled: list[tuple[int, int, int]]
) -> None:
    """Whatever is filled when: the next one goes once the one before is flat or has had its turn, and not before."""
    plan = Plan(count)
    commands = {name: c for c in plan.begin() for name in names([c])}
    sent = {"AAA": plan.now}

    def look() -> None:
        plan.restart()
        held = {p.instrument.symbol for p in plan.book.open_positions()}
        for command in closes(plan.step()):
            [name] = names([command])
            commands[name] = command
            if name in sent:
                continue
            first = NAMES[NAMES.index(name) - 1]
            assert first not in held or plan.now - sent[first] >= TURN
            sent[name] = plan.now

    for number, units, seconds in [*filled, *[(0, 0, CAP)] * count]:
        command = commands.get(NAMES[number])
        held = {p.instrument.symbol: int(p.quantity) for p in plan.book.open_positions()}
        if units and command and plan.now < command.expires_at and NAMES[number] in held:
            plan.execute(command, min(units, held[NAMES[number]]))
        for _ in range(0, seconds, 5):
            look()
            plan.now += timedelta(seconds=5)
        look()
    assert set(sent) == set(NAMES[:count])
