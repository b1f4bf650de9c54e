"""A fill that comes while trading is halted: it is the truth and is booked, and somebody hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.control import ControlRequest
from stopline.model.fill import Fill
from stopline.model.messages import ExecutionReport, Sweep, SweepKind

from ..make import at, equity, fill
from .world import World


class Desk:
    def __init__(self) -> None:
        self.world = World()
        self.world.open_account()
        self.app, _ = self.world.instance()

    def book(self, *fills: Fill) -> None:
        """Book fills, and run the sweep that they cause, twice: it may be delivered again."""
        self.world.wait(1)
        assert all(o.refused is None for o in self.app.recorder.record(fills, f"m-{fills[0].fill_id}"))
        swept = self.world.bus.bodies("sweeps")[-1]
        assert swept["fills"] == [one.key for one in fills]
        for _ in range(2):
            self.app.sweeper.run(Sweep.model_validate(swept), self.world.clock.now(), "m")

    def kill(self, scope: str = "account:demo", flatten: bool = False) -> None:
        self.world.wait(1)
        wish = {"request_id": f"k-{scope}", "scope": scope, "action": "kill", "actor": "ann", "reason": "x"}
        self.app.trading.set(ControlRequest.model_validate({**wish, "flatten": flatten}))

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [body for body in self.world.bus.bodies("alerts") if body["kind"] == "fill_while_halted"]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def bought(number: int, side: str = "BUY", **more: Any) -> Fill:
    more.setdefault("order_id", f"O-{number}")
    return fill(f"E-{number}", side, 10, 100, more.pop("executed_at", at(number)), **more)


def test_a_fill_that_comes_while_the_account_is_halted_is_booked_and_told_once(desk: Desk) -> None:
    """Domain 3.8: accept (it is the truth), alert."""
    desk.kill()
    desk.book(bought(1), fill("E-1b", "BUY", 5, 101, at(1), order_id="O-1"))
    [alert] = desk.alerts
    assert alert["summary"] == "BUY 10 SPY at 100 of order O-1 came while account:demo is halted"
    assert (alert["object"], alert["severity"]) == ("account:demo", "critical")
    book = desk.world.book()
    assert book is not None
    assert book.net_quantity("SPY") == 15


def test_what_reduces_is_a_warning_and_what_was_executed_before_says_so(desk: Desk) -> None:
    desk.book(bought(1), bought(2))
    desk.kill()
    desk.book(bought(3, "SELL", executed_at=at(1)))
    [alert] = desk.alerts
    assert alert["severity"] == "warning"
    assert alert["summary"].endswith("is halted, executed before at 2026-11-18T17:00:01Z")


def test_a_fill_of_before_the_halt_and_one_of_after_it_are_not_told(desk: Desk) -> None:
    desk.book(bought(1))
    desk.kill("strategy:demo:swing")
    desk.book(bought(2))
    assert desk.alerts == []
    desk.book(bought(3, strategy="swing"))
    assert [alert["object"] for alert in desk.alerts] == ["strategy:demo:swing"]


def test_a_close_that_stopline_asked_for_is_not_told(desk: Desk) -> None:
    desk.book(bought(1))
    desk.kill(flatten=True)
    desk.app.closer.advance("demo")
    [command] = [
        c
        for c in desk.world.bus.bodies("orders")
        if c["type"] == "stopline.command.v1" and c["action"] == "close"
    ]
    desk.book(bought(2, "SELL", order_id=command["command_id"]))
    assert desk.alerts == []


def test_a_program_that_goes_on_trading_does_not_drown_everybody(desk: Desk) -> None:
    desk.kill()
    desk.book(*[bought(n) for n in range(1, 40)])
    assert len(desk.alerts) == 6
    assert desk.alerts[-1]["summary"].startswith(
        "More orders than 5 were filled while account:demo is halted"
    )


def test_it_is_told_however_much_others_trade(desk: Desk) -> None:
    desk.kill("strategy:demo:swing")
    for start in (1, 21, 41):
        desk.book(*[bought(n, executed_at=at(1)) for n in range(start, start + 20)])
    desk.book(bought(70, executed_at=at(1), strategy="swing"))
    assert [alert["object"] for alert in desk.alerts] == ["strategy:demo:swing"]


def test_orders_beside_our_close_that_together_are_more_than_it_are_told(desk: Desk) -> None:
    """Domain 3.8: what turns the position round is not ours, though its side is."""
    desk.book(bought(1), bought(2))
    desk.kill(flatten=True)
    desk.app.closer.advance("demo")
    for number in (11, 12, 13):
        desk.book(bought(number, "SELL", executed_at=at(2), order_id=f"ROGUE-{number}"))
    assert [alert["summary"].split(" came")[0] for alert in desk.alerts] == [
        "SELL 10 SPY at 100 of order ROGUE-13"
    ]
    assert desk.alerts[0]["severity"] == "critical"


def reported(desk: Desk, order: str | None, status: str = "accepted") -> None:
    """The broker's word about our close, and the sweep that it causes."""
    command = next(c for c in desk.world.bus.bodies("orders") if c.get("action") == "close")
    report = {
        "type": "stopline.report.v1",
        "command_id": command["command_id"],
        "account": "demo",
        "broker": "paper",
        "status": status,
        "order_id": order,
        "reported_at": command["issued_at"],
    }
    assert desk.app.closer.report(ExecutionReport.model_validate(report))
    desk.app.sweeper.run(Sweep(kind=SweepKind.ACCOUNT, account="demo"), desk.world.clock.now(), "r")


def told(desk: Desk) -> list[str]:
    return [alert["summary"].split(" came")[0] for alert in desk.alerts]


def test_an_order_that_comes_before_our_close_is_named_is_told_when_it_is(desk: Desk) -> None:
    """Domain 3.8: until then nobody knows which of them is ours."""
    desk.book(bought(1))
    desk.kill(flatten=True)
    desk.app.closer.advance("demo")
    desk.book(fill("S-1", "SELL", 4, 100, at(30), order_id="ROGUE-1"))
    desk.book(fill("S-2", "SELL", 6, 100, at(31), order_id="ROGUE-2"))
    assert told(desk) == []
    reported(desk, "C-1")
    assert told(desk) == ["SELL 4 SPY at 100 of order ROGUE-1", "SELL 6 SPY at 100 of order ROGUE-2"]
    desk.book(fill("S-3", "SELL", 10, 100, at(32), order_id="C-1"))
    assert len(desk.alerts) == 2, "once"


def test_what_is_more_than_our_close_that_is_not_named_does_not_say_whose_it_is(desk: Desk) -> None:
    desk.book(bought(1))
    desk.kill(flatten=True)
    desk.app.closer.advance("demo")
    desk.book(fill("S-1", "SELL", 10, 100, at(30), order_id="ROGUE"))
    desk.book(fill("S-2", "SELL", 10, 100, at(31), order_id="C-1"))
    [alert] = desk.alerts
    assert alert["severity"] == "critical"
    assert "It, or what came before it, is more than Stopline asked for" in alert["action"]
    reported(desk, "C-1")
    assert told(desk)[1:] == ["SELL 10 SPY at 100 of order ROGUE"]


def test_a_close_that_its_broker_never_names_is_not_told(desk: Desk) -> None:
    desk.book(bought(1))
    desk.kill(flatten=True)
    desk.app.closer.advance("demo")
    desk.book(fill("S-1", "SELL", 10, 100, at(30), order_id="C-1"))
    reported(desk, None, "filled")
    desk.book(fill("S-2", "BUY", 1, 9, at(40), equity("QQQ"), order_id="ROGUE"))
    assert told(desk) == ["BUY 1 QQQ at 9 of order ROGUE"]


def test_an_order_beside_our_close_is_told_where_the_broker_has_named_ours(desk: Desk) -> None:
    desk.book(bought(1), bought(2))
    desk.kill(flatten=True)
    desk.app.closer.advance("demo")
    reported(desk, "B-1")
    desk.book(bought(11, "SELL", order_id="ROGUE"), bought(12, "SELL", order_id="B-1"))
    assert told(desk) == ["SELL 10 SPY at 100 of order ROGUE"]


def test_a_close_that_was_refused_hides_no_order(desk: Desk) -> None:
    """Domain 3.8: nothing of it was executed, so what sells is something else."""
    desk.book(bought(1))
    desk.kill(flatten=True)
    desk.app.closer.advance("demo")
    desk.book(fill("S-1", "SELL", 4, 100, at(30), order_id="ROGUE-1"))
    assert told(desk) == []
    reported(desk, None, "rejected")
    assert told(desk) == ["SELL 4 SPY at 100 of order ROGUE-1"]
    desk.book(fill("S-2", "SELL", 6, 100, at(31), order_id="ROGUE-2"))
    assert told(desk)[1:] == ["SELL 6 SPY at 100 of order ROGUE-2"]
