"""Trades that share a position: each is closed by commands of its own, whose fills count for it or are told astray."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from stopline.model.closing_state import ClosingState, RequestStatus
from stopline.model.fill import Fill
from stopline.model.messages import Command, CommandAction
from stopline.model.wire import validate
from stopline.rules.closing.commands import Step
from stopline.rules.closing.order import Resting

from ..make import at, fill, trade
from .test_close_requests import LONG, SHORT, Desk, said

NAMES = [{"order_id": "o"}, {"group_id": "g"}]
ECHOES = ["group", "command", "neither"]  # what the broker's fills say of a close


def bought(number: int, units: int = 100, **ids: str) -> Fill:
    """Return an opening fill, some seconds before the desk's first look; ids end with its number."""
    named = {name: f"{id_}{number}" for name, id_ in (ids or NAMES[0]).items()}
    return trade(number, units, 100 + number, executed_at=at(number - 60), **named)


class Shared(Desk):
    """A desk whose broker says of its executions what `echo` names."""

    def __init__(self, *fills: Fill, echo: str = "group", **settings: Any) -> None:
        super().__init__(*fills, **settings)
        self.echo = echo
        self.executions = 0
        self.steps: list[Step] = []

    def close(self, index: int, id_: str = "", **more: Any) -> list[Command]:
        trade_id = self.book.trades()[index].trade_id
        return self.ask(id_ or f"R-{index}", strategy="default", trade_id=trade_id, **more)

    def fill(self, command: Command, units: int | None = None) -> None:
        assert command.instrument
        self.now = at((self.now - at()).total_seconds() + 1)
        done = Decimal(units) if units else command.quantity or Decimal(0)
        ids = {"order_id": command.command_id if self.echo != "neither" else f"B-{command.command_id[:9]}"}
        if self.echo == "group" and command.group_id:
            ids["group_id"] = command.group_id
        if self.echo.startswith("client"):
            ids = {"order_id": f"B-{command.command_id[:9]}"}
            ids["client_order_id"] = command.short_id if "short" in self.echo else command.command_id
        if self.echo == "neither":
            sent = self.state.sent[command.command_id].model_copy(
                update={"order_ids": (("paper", ids["order_id"]),)}
            )
            self.state = self.state.model_copy(update={"sent": {**self.state.sent, command.command_id: sent}})
        signed = done if command.side == "BUY" else -done
        self.executions += 1
        number = 500 + self.executions
        self.fills.append(
            trade(number, signed, 100, instrument=command.instrument, executed_at=self.now, **ids)
        )

    @property
    def held(self) -> list[Decimal]:
        return [sum((leg.quantity for leg in t.legs), Decimal(0)) for t in self.book.trades()]


@pytest.mark.parametrize("echo", ["group", "command", "client id", "client id, short"])
@pytest.mark.parametrize("ids", NAMES, ids=["by order", "by group"])
def test_a_close_of_the_newest_trade_closes_that_one(ids: dict[str, str], echo: str) -> None:
    """R4.5: three trades of 100 in one position; the stop of the last one leaves the others alone."""
    desk = Shared(*(bought(n, **ids) for n in range(3)), echo=echo)
    [command] = desk.close(2)
    assert (command.quantity, command.group_id) == (100, "g2" if "group_id" in ids else "order:o2")
    desk.fill(command)
    assert desk.wait(1) == []
    assert desk.held == [100, 100, 0]
    assert desk.status("R-2") is RequestStatus.CLOSED
    assert desk.state.sent[command.command_id].is_filled
    assert desk.wait(600) == []


def test_a_close_whose_fills_name_nothing_is_told_astray_and_never_sent_again() -> None:
    """R4.5: what was executed counts for the oldest; nobody says closed, and nothing more is sold for it, whoever asks."""
    desk = Shared(*(bought(n) for n in range(3)), echo="neither")
    desk.fill(desk.close(2)[0])
    assert desk.wait(1) == []
    assert desk.held == [0, 100, 100]
    assert (desk.status("R-2"), desk.alerts) == (RequestStatus.ASTRAY, ["closing_astray"])
    assert desk.state.asked["R-2"].waits == "the broker's fills do not name the trade"
    assert desk.wait(30) == []
    assert desk.close(2, "R-again", urgency="urgent") == []
    assert desk.wait(20 * 60) == []  # the command is forgotten
    assert desk.close(2, "R-late", urgency="urgent") == []
    assert [desk.status(id_) for id_ in ("R-again", "R-late")] == [RequestStatus.ASTRAY] * 2
    assert desk.alerts == ["closing_astray"]
    [command] = desk.close(1)  # the other one is still its own
    assert command.quantity == 100


def test_of_a_part_that_went_astray_only_the_rest_is_sent() -> None:
    """R4.5: 40 of 100 executed under no name, the rest is asked for once; then half of another request's."""
    desk = Shared(*(bought(n) for n in range(2)), echo="neither")
    desk.fill(desk.close(1)[0], 40)
    assert [c.quantity for c in desk.wait(40)] == [60]
    desk.fill(_newest(desk))
    assert desk.wait(40) == []
    assert desk.book.net_quantity("SPY") == 100
    assert desk.status("R-1") is RequestStatus.ASTRAY


def test_a_second_request_counts_what_the_first_one_s_command_still_executes() -> None:
    """R4.5: a target is out when the stop is asked for; its fills come later, under no name."""
    desk = Shared(*(bought(n) for n in range(2)), echo="neither")
    [target] = desk.close(1, "R-target")
    assert desk.close(1, "R-stop", urgency="urgent") == []
    desk.fill(target)
    assert desk.wait(1) == []
    assert desk.wait(600) == []
    assert desk.book.net_quantity("SPY") == 100
    assert desk.alerts == ["closing_astray"]


def test_a_stop_after_a_scale_out_closes_what_that_has_left() -> None:
    """R4.5: what the first request has executed is not counted against the second."""
    desk = Shared(*(bought(n) for n in range(2)))
    desk.fill(desk.close(1, "R-part", leave="50")[0])
    desk.step()
    [rest] = desk.close(1, "R-stop", urgency="urgent")
    assert rest.quantity == 50
    desk.fill(rest)
    assert desk.wait(1) == []
    assert {desk.status("R-part"), desk.status("R-stop")} == {RequestStatus.CLOSED}


def test_a_leg_whose_opening_is_told_late_is_closed_with_its_trade() -> None:
    """R4.5: it was not there when the trade was asked to close."""
    desk = Shared(trade(1, 2, 8, instrument=LONG, group_id="G", executed_at=at(-60)), multi_leg=True)
    desk.close(0)
    desk.fills.append(trade(2, -2, 10, instrument=SHORT, group_id="G", executed_at=at(-59)))
    assert said(desk.wait(1)) == [(SHORT.symbol, "BUY", 2)]


def test_a_false_report_of_the_only_trade_of_a_position_does_not_end_its_closing() -> None:
    """F43: nobody else's units can go, and the broker only reduces."""
    desk = Shared(bought(0))
    [command] = desk.close(0)
    desk.report(command, "filled", "100")
    assert [c.quantity for c in desk.wait(40)] == [100]
    assert desk.status("R-0") is RequestStatus.CLOSING


def test_what_the_broker_says_it_executed_is_not_sold_from_another_trade_while_its_fills_are_late() -> None:
    """R4.5: the report came, the fill did not; when it comes, the trade is closed after all."""
    desk = Shared(*(bought(n) for n in range(2)))
    [command] = desk.close(1)
    desk.report(command, "filled", "100")
    assert desk.wait(40) == []
    assert (desk.status("R-1"), desk.alerts) == (RequestStatus.ASTRAY, ["closing_astray"])
    desk.fill(command)
    assert desk.wait(1) == []
    assert (desk.held, desk.status("R-1")) == ([100, 0], RequestStatus.CLOSED)


def test_a_close_that_the_broker_busts_is_sent_again() -> None:
    """R4.5, R8.6: it did not happen, so the trade is open and has to go."""
    desk = Shared(*(bought(n) for n in range(2)))
    [command] = desk.close(1)
    desk.fill(command, 60)
    done = desk.fills[-1]
    desk.fills.append(fill("X-1", "SELL", 0, 0, desk.now, kind="BUST", ref=done.fill_id))
    assert [c.quantity for c in desk.wait(60)] == [100]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("ids", NAMES, ids=["by order", "by group"])
def test_of_two_trades_that_close_together_each_is_followed_up(ids: dict[str, str], echo: str) -> None:
    """R4.5: 120 of 200 are executed; none is closed before it is, and the rest goes, or people are told."""
    desk = Shared(*(bought(n, **ids) for n in range(2)), echo=echo)
    [first] = desk.close(0)
    [second] = desk.close(1)
    desk.fill(second)
    desk.fill(first, 20)
    for _ in range(12):
        for command in desk.wait(20):
            desk.fill(command)
        assert desk.status("R-0") is not RequestStatus.CLOSED or desk.held[0] == 0
        assert desk.status("R-1") is not RequestStatus.CLOSED or desk.held[1] == 0
    if echo == "neither":  # which of the two has 80 left nobody can tell but the broker
        assert (desk.held, desk.alerts.count("closing_astray")) == ([0, 80], 1)
    else:
        assert desk.held == [0, 0]
        assert [desk.status(id_) for id_ in ("R-0", "R-1")] == [RequestStatus.CLOSED] * 2


def test_a_part_of_the_position_beside_a_trade_is_closed_by_a_command_of_its_own() -> None:
    """R4.5: 150 of 300 have to go, 100 of them are a trade's."""
    desk = Shared(*(bought(n) for n in range(3)))
    [of_trade] = desk.close(2)
    [rest] = desk.ask("R-p", strategy="default", symbol="SPY", leave="150")
    assert [(c.quantity, c.group_id) for c in (of_trade, rest)] == [(100, "order:o2"), (50, None)]
    desk.fill(rest)
    desk.fill(of_trade)
    assert desk.wait(1) == []
    assert desk.held == [50, 100, 0]
    assert {desk.status("R-2"), desk.status("R-p")} == {RequestStatus.CLOSED}


def test_trades_whose_sum_a_position_request_wants_anyway_go_by_themselves() -> None:
    desk = Shared(*(bought(n) for n in range(3)))
    commands = [
        *desk.close(1),
        *desk.close(2),
        *desk.ask("R-p", strategy="default", symbol="SPY", leave="200"),
    ]
    assert said(commands) == [("SPY", "SELL", 100)] * 2
    for command in commands:
        desk.fill(command)
    assert desk.wait(1) == []
    assert {desk.status(id_) for id_ in ("R-1", "R-2", "R-p")} == {RequestStatus.CLOSED}


def test_a_spread_of_two_orders_goes_as_one_whose_legs_name_their_own() -> None:
    """R4.5: the legs were opened one by one within moments; each fill says which order's units it closes."""
    before = [at(seconds) for seconds in (-60, -59, -30, -29)]
    fills = [
        trade(n, units, price, instrument=leg, order_id=f"o{n}", executed_at=before[n])
        for n, (units, price, leg) in enumerate(
            [(-2, 10, SHORT), (2, 8, LONG), (-2, 10, SHORT), (2, 8, LONG)]
        )
    ]
    desk = Shared(*fills, multi_leg=True)
    assert len(desk.book.trades()) == 2
    [command] = desk.close(1)
    assert (command.quantity, command.group_id) == (2, None)
    assert [(leg.side, command.group_of(leg.instrument.symbol)) for leg in command.legs] == [
        ("BUY", "order:o2"),
        ("SELL", "order:o3"),
    ]


# --- what rests at the broker ---


class Beside(Shared):
    """A desk that knows of orders that rest against its position."""

    def step(self, *new: Any) -> Step:
        self.steps.append(super().step(*new))
        return self.steps[-1]

    @property
    def cancels(self) -> int:
        return sum(c.action is CommandAction.CANCEL_ALL for step in self.steps for c in step.commands)


@pytest.mark.parametrize(("units", "cancels"), [(100, 1), (51, 1), (50, 0), (None, 0)])
def test_a_part_does_not_go_beside_resting_orders_of_more_than_will_be_left(
    units: int | None, cancels: int
) -> None:
    """R5.1, domain 2.4: a bracket of 100 must not rest against the 50 that are left; one of 50 may."""
    desk = Beside(bought(0))
    desk.resting = None if units is None else Resting(Decimal(units), at(-5))
    [command] = desk.close(0, leave="50")
    assert (command.quantity, desk.cancels) == (50, cancels)
    assert desk.alerts == ["resting_cancelled"] * cancels
    desk.wait(40)
    assert desk.cancels == cancels, "cancelled since that was told"
    desk.resting = desk.resting and Resting(desk.resting.units, desk.now)
    desk.wait(60)
    assert desk.cancels == 2 * cancels, "the broker tells it anew"


@pytest.mark.parametrize("of_trade", [True, False], ids=["a trade", "a position"])
def test_a_stop_during_a_scale_out_cancels_what_rests_before_it_sends_the_rest(of_trade: bool) -> None:
    """R5.1, domain 2.4: a bracket that no broker has told of would turn the position round."""
    desk = Beside(bought(0))
    named = {"strategy": "default"} | ({"trade_id": desk.book.trades()[0].trade_id} if of_trade else {})
    part = {} if of_trade else {"symbol": "SPY"}
    [half] = desk.ask("R-1", **named, **part, leave="50")
    assert (half.quantity, desk.cancels) == (50, 0)
    [rest] = desk.ask("R-2", **named, urgency="urgent")
    assert [c.action for c in desk.steps[-1].commands] == [CommandAction.CANCEL_ALL, CommandAction.CLOSE]
    assert (rest.quantity, desk.cancels) == (50, 1)
    desk.ask("R-3", **named, urgency="urgent")
    assert desk.cancels == 1, "all of it is out: a cancel would end our own commands"
    desk.report(half, "cancelled", filled="0")
    assert [c.quantity for c in desk.wait(6)] == [50]


def test_a_close_that_waits_leaves_what_rests_alone_until_it_goes() -> None:
    """R5.1: a stop at the broker protects as long as nothing can be sent."""
    desk = Beside(bought(0))
    quote = desk.quotes.pop("SPY")
    desk.close(0)
    assert desk.cancels == 0
    desk.quotes["SPY"] = quote
    assert [c.quantity for c in desk.wait(1)] == [100]
    assert desk.cancels == 1


def test_a_state_of_before_trades_had_their_own_commands_still_decodes() -> None:
    """Stored state stays readable: joined commands, and what went astray."""
    desk = Shared(*(bought(n) for n in range(2)))
    desk.close(1)
    old = desk.state.model_dump(mode="json")
    for sent in old["sent"].values():
        for leg in sent["legs"]:
            del leg["trade_id"], leg["group_id"]
            leg["astray"] = True
    old["asked"]["R-1"]["done"] = {"default:SPY": "30"}
    state = validate(ClosingState, old)
    assert [leg.part for sent in state.sent.values() for leg in sent.legs] == ["default:SPY"]
    desk.state = state
    assert desk.wait(1) == []
    assert [c.quantity for c in desk.wait(60)] == [70]


def _newest(desk: Shared) -> Command:
    sent = list(desk.state.sent.values())[-1]
    return Command(
        command_id=sent.command_id,
        account="demo",
        action=CommandAction.CLOSE,
        epoch=1,
        instrument=sent.legs[0].instrument,
        side=sent.legs[0].side,
        quantity=sent.legs[0].quantity,
        group_id=sent.group_id,
        issued_at=sent.issued_at,
        expires_at=sent.expires_at,
    )
