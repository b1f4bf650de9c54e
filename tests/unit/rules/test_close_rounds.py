"""What a round of closing remembers for the next one, what goes as one order, and when ids are new."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from stopline.model.closing_state import RequestStatus
from stopline.model.messages import CommandAction
from stopline.model.prices import Quote
from stopline.rules.closing import commands as closing_commands

from ..make import NOON, equity, option, trade
from .test_close_requests import Desk
from .test_closing import SPREAD, advance, book_of

FIVE = [(6000, "P", -2), (5990, "P", 2), (6100, "C", -2), (6110, "C", 2), (5980, "P", 2)]


def test_tries_are_remembered_of_what_is_still_to_be_closed_and_of_nothing_else() -> None:
    """F44: a position that was closed and opened again begins with its first try."""
    desk = Desk(trade(1, 10, 100), trade(2, 10, 100, instrument=equity("QQQ")))
    commands = {
        c.instrument.symbol: c for c in desk.ask(strategy="default", urgency="urgent") if c.instrument
    }
    for command in commands.values():
        desk.report(command, "rejected", reason="no")
    desk.wait(1)
    assert {key: tries.count for key, tries in desk.state.tries.items()} == {
        "default:QQQ": 1,
        "default:SPY": 1,
    }
    desk.execute(commands["SPY"])
    desk.wait(0)
    assert list(desk.state.tries) == ["default:QQQ"]


def test_why_a_request_waits_is_forgotten_when_it_waits_no_longer() -> None:
    desk = Desk(trade(1, 10, 100))
    spy = desk.quotes.pop("SPY")
    assert desk.ask(strategy="default") == []
    assert desk.state.asked["R-1"].waits == "no price of SPY"
    desk.quotes["SPY"] = spy
    [command] = desk.wait(1)
    assert desk.state.asked["R-1"].waits == ""
    desk.execute(command)
    desk.wait(1)
    assert (desk.state.asked["R-1"].status, desk.state.asked["R-1"].waits) == (RequestStatus.CLOSED, "")


@pytest.mark.parametrize("count", [4, 5])
def test_a_spread_of_more_legs_than_brokers_take_goes_leg_by_leg(count: int) -> None:
    """R8.4: four legs are one order, of five the short ones go first."""
    contracts = [(option(strike, right), units) for strike, right, units in FIVE[:count]]
    desk = Desk(
        *(trade(n, units, 5, instrument=contract) for n, (contract, units) in enumerate(contracts, 1)),
        multi_leg=True,
    )
    commands = desk.ask(strategy="default", urgency="urgent")
    if count == 4:
        assert [len(command.legs) for command in commands] == [4]
    else:
        assert [len(command.legs) for command in commands] == [0] * len(commands)
        assert [command.side for command in commands][:2] == ["BUY", "BUY"]


def test_a_calendar_goes_as_one_order_where_its_trade_is_closed() -> None:
    """R8.4, point 3: spreads are closed as a unit, of two expiries too; by a kill leg by leg, the short one first."""
    near, far = option(6000, "C"), option(6000, "C", date(2026, 12, 18))
    quotes = {near.symbol: Quote(5, 4.9, 5.1), far.symbol: Quote(9, 8.9, 9.1)}
    fills = [
        trade(1, -2, 5, instrument=near, group_id="cal"),
        trade(2, 2, 9, instrument=far, group_id="cal"),
    ]
    desk, killed = Desk(*fills, multi_leg=True), Desk(*fills, multi_leg=True)
    desk.quotes |= quotes
    [held] = desk.book.open_trades()
    [command] = desk.ask(trade_id=held.trade_id)
    assert [(leg.side, leg.instrument, leg.ratio) for leg in command.legs] == [
        ("BUY", near, 1),
        ("SELL", far, 1),
    ]
    assert (command.quantity, command.group_id, command.limit_price) == (2, "cal", Decimal("-3.66"))
    killed.halting = True
    [first] = [c for c in killed.step().commands if c.action is CommandAction.CLOSE]
    assert (first.instrument, first.legs) == (near, ())


def test_a_command_of_another_epoch_is_another_command() -> None:
    """R4.5, F44: an adapter acts once on an id, and what a new kill sends must not look like that of the last."""
    ids = [
        {command.command_id for command in advance("demo", None, epoch, book_of(SPREAD), NOON)[1]}
        for epoch in (3, 4)
    ]
    assert len(ids[0]) == len(ids[1]) == 1
    assert ids[0].isdisjoint(ids[1])


def test_a_spread_waits_behind_no_single_for_room_for_all_its_legs(monkeypatch: pytest.MonkeyPatch) -> None:
    """F43: singles of the same rank leave it what comes free."""
    monkeypatch.setattr(closing_commands, "MOST_LEGS", 8)  # of exits: 4
    contracts = [(option(strike, right), units) for strike, right, units in FIVE[:4]]
    desk = Desk(
        *(trade(n, 1, 100, strategy="a", instrument=equity(f"S{n}")) for n in range(1, 9)),
        *(trade(n, u, 5, instrument=contract, strategy="b") for n, (contract, u) in enumerate(contracts, 20)),
        multi_leg=True,
    )
    singles = desk.ask(strategy="a", urgency="now")
    assert len(singles) == 4
    assert desk.ask("R-2", strategy="b", urgency="now") == []
    for command in singles[:3]:
        desk.execute(command)
        assert desk.wait(0) == []
    desk.execute(singles[3])
    [spread] = desk.wait(0)
    assert spread.legs is not None
    assert len(spread.legs) == 4


@pytest.mark.parametrize(("reason", "kept"), [("x" * 500, 100), ("\u6f22" * 500, 66)])
def test_of_what_a_broker_says_only_the_beginning_is_kept_with_a_command(reason: str, kept: int) -> None:
    """Each command and its row have it: many of them must fit one document."""
    desk = Desk(trade(1, 10, 100))
    [command] = desk.ask(strategy="default", urgency="urgent")
    desk.report(command, "rejected", reason=reason)
    assert desk.state.sent[command.command_id].error == reason[:kept]


def test_of_why_something_is_closed_only_the_beginning_goes_with_a_command() -> None:
    [command] = Desk(trade(1, 10, 100)).ask(strategy="default", urgency="urgent", reason="\u6f22" * 400)
    assert len(command.reason.encode()) in range(490, 501)
