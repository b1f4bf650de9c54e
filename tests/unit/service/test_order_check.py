"""Orders against their fills: the cumulative quantity that a broker tells with an execution is checked, never booked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from stopline.adapters.schemas import record
from stopline.brokers import parse
from stopline.model.fill import Fill
from stopline.model.messages import Alert, History, SweepKind
from stopline.model.order import Order
from stopline.model.wire import validate
from stopline.rules.watching.breaks import Stage
from stopline.rules.watching.finding import BreakKind
from stopline.service.documents.aggregate import Change
from stopline.service.fills.books import FillLog
from stopline.service.reconciliation import order_check
from stopline.service.reconciliation.reconciliations import (
    ReconciliationCodec,
    blocked_symbols,
    describe,
)

from ..make import NOON, account, at, equity, fill
from .test_reconcile import Desk
from .world import World

DAY = 86_400


def part(number: int, units: int, cum: int | None, second: float | None = None, **more: Any) -> Fill:
    told = {} if cum is None else {"order_filled": str(cum)}
    moment = at(number if second is None else second)
    return fill(f"E-{number}", "BUY", units, 100, moment, order_id="O-1", **told, **more)


@pytest.fixture
def desk() -> Desk:
    world = World()
    world.open_account()
    made = Desk(world)
    booked(
        made, fill("E-0", "BUY", 1, 9, at(-40 * 86_400), equity("QQQ"))
    )  # an order may be older than the account
    return made


def booked(desk: Desk, *fills: Fill) -> None:
    assert all(o.refused is None for o in desk.app.recorder.record(fills, f"m-{fills[0].fill_id}"))


def hourly(desk: Desk, after: float = 3600) -> None:
    desk.sweep(after, SweepKind.RECONCILE)


def confirmed(desk: Desk) -> None:
    """The hourly look that finds a break, and the second one that confirms it."""
    hourly(desk)
    desk.sweep(61)


def test_an_order_whose_fills_do_not_add_up_is_a_break_of_it_and_blocks_its_instrument(desk: Desk) -> None:
    """Domain 3.8, R1.8: the order's cumulative quantity is a check; the second of three fills never came."""
    booked(desk, part(1, 10, 10), part(3, 10, 30))
    hourly(desk)
    [item] = desk.state.breaks.values()
    assert item.stage is Stage.SUSPECTED
    assert not item.blocks
    assert blocked_symbols(desk.app.reconciliations, "demo") == {}
    assert desk.alerts() == []
    desk.sweep(61)
    [item] = desk.state.breaks.values()
    assert item.finding.kind is BreakKind.ORDER
    assert (item.finding.ours, item.finding.theirs, item.finding.order) == (20, 30, "O-1")
    [alert] = desk.alerts()
    said = "order O-1 has filled 30 by what paper says, 20 are booked"
    assert (alert["object"], alert["severity"]) == ("SPY order O-1 of paper of 2026-11-18", "critical")
    assert alert["summary"] == f"SPY: {said}"
    assert blocked_symbols(desk.app.reconciliations, "demo") == {"SPY": said}
    hourly(desk)
    assert len(desk.alerts()) == 1, "told once"
    rows = [History.model_validate(body).rows for body in desk.world.bus.bodies("history")]
    written = [row for some in rows for row in some if row.table == "reconciliations"]
    assert len(written) == 2, "suspected, confirmed"
    for row in written:
        record(row, NOON)

    booked(desk, part(2, 10, 20))
    desk.sweep(61)
    assert desk.state.breaks == {}
    assert desk.alerts()[-1]["resolved"]
    assert desk.alerts()[-1]["summary"] == "SPY: the fills of order O-1 add up"


def test_fills_that_add_up_in_any_order_of_arrival_are_no_break(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    booked(desk, part(3, 10, 30))
    booked(desk, part(1, 10, 10), part(2, 10, 20))
    hourly(desk)
    assert desk.state.breaks == {}
    assert desk.state.orders_at == 4
    looks: list[object] = []
    monkeypatch.setattr(FillLog, "since", lambda *asked: looks.append(asked) or [])
    hourly(desk)
    assert looks == [], "a book that has not grown costs no look into the log"


def test_an_execution_booked_from_two_sources_is_a_break(desk: Desk) -> None:
    booked(desk, part(1, 10, 10), part(2, 10, 10, second=1))
    hourly(desk)
    assert [(b.finding.ours, b.finding.theirs) for b in desk.state.breaks.values()] == [(20, 10)]


@pytest.mark.parametrize(
    "said",
    ["1E+7000", "9" * 1900, "1E-400", "1E+999999", "-5", "5", "sNaN", "Infinity", "0x1", "१२", "", " 30"],
)
def test_what_cannot_be_an_order_s_quantity_says_nothing_and_costs_no_round(desk: Desk, said: str) -> None:
    """R1.8: any program may send a native fill; one that said 1E+7000 ended every round of all accounts."""
    odd = fill("E-2", "BUY", 10, 100, at(2), order_id="O-1", order_filled=said)
    booked(desk, part(1, 10, 10), odd)
    confirmed(desk)
    assert desk.state.breaks == {}
    assert desk.alerts() == []


def test_what_may_still_come_is_waited_for(desk: Desk) -> None:
    booked(desk, part(2, 10, 20))
    hourly(desk, 300)
    assert desk.state.breaks == {}
    hourly(desk)
    assert list(desk.state.breaks) == ["SPY order O-1 of paper of 2026-11-18"]


def test_an_order_number_that_is_given_again_on_another_day_is_another_order(desk: Desk) -> None:
    """FIX counts orders anew each day."""
    booked(desk, part(1, 10, 10, second=-86_400), part(2, 4, 4))
    hourly(desk)
    assert desk.state.breaks == {}


def test_an_order_of_several_days_adds_up_over_all_of_them(desk: Desk) -> None:
    booked(desk, part(1, 10, 10, second=-7 * 86_400), part(2, 4, 14))
    hourly(desk)
    assert desk.state.breaks == {}


@pytest.mark.parametrize("cum", [20, None])
def test_a_bust_may_lower_what_is_filled_or_say_nothing_of_it(desk: Desk, cum: int | None) -> None:
    bust = part(9, 10, cum, kind="BUST", ref="E-1")
    booked(desk, part(1, 10, 10), part(2, 20, 30), bust)
    hourly(desk)
    assert desk.state.breaks == {}


def test_an_adjustment_by_hand_ends_it(desk: Desk) -> None:
    booked(desk, part(2, 10, 20))
    confirmed(desk)
    booked(desk, fill("adjust-1", "BUY", 10, 100, desk.world.clock.now(), kind="ADJUST", order_id="O-1"))
    desk.sweep(61)
    assert desk.state.breaks == {}
    hourly(desk)
    assert desk.state.breaks == {}, "and does not begin again"
    assert desk.alerts()[-1]["summary"] == "SPY: the fills of order O-1 add up"


def test_an_adjustment_for_a_fill_that_comes_after_all_is_told(desk: Desk) -> None:
    """R1.8: it would be in the book twice, and nobody heard of it."""
    booked(desk, part(2, 10, 20))
    confirmed(desk)
    now = desk.world.clock.now()
    booked(desk, fill("adjust-1", "BUY", 10, 100, now, kind="ADJUST", order_id="O-1"))
    desk.sweep(61)
    assert desk.alerts()[-1]["resolved"]
    booked(desk, part(3, 1, 21))
    confirmed(desk)
    assert len(desk.alerts()) == 2, "the order goes on, and adds up"
    booked(desk, part(1, 10, 10))
    confirmed(desk)
    told = desk.alerts()[-1]
    assert told["summary"] == "SPY: order O-1 has filled 21 by what paper says, 31 are booked"
    assert told["severity"] == "critical"
    assert "SPY" in blocked_symbols(desk.app.reconciliations, "demo")
    booked(desk, fill("undo-1", "BUY", 10, 100, now, kind="BUST", ref="adjust-1", order_id="O-1"))
    desk.sweep(61)
    assert blocked_symbols(desk.app.reconciliations, "demo") == {}


@pytest.mark.parametrize("units", [0, 10])
def test_an_adjustment_that_names_no_order_settles_none(desk: Desk, units: int) -> None:
    """A fee that was adjusted lifted the block of a fill that was lost."""
    booked(desk, part(2, 10, 20))
    confirmed(desk)
    booked(desk, fill("adjust-1", "BUY", units, 1, desk.world.clock.now(), kind="ADJUST", fee="1"))
    desk.sweep(61)
    assert "SPY" in blocked_symbols(desk.app.reconciliations, "demo")
    assert "`stopline adjust --order`" in desk.alerts()[0]["action"]
    booked(desk, part(3, 1, 21))
    desk.sweep(61)
    assert len(desk.alerts()) == 1, "it lacks what it lacked"
    booked(desk, part(1, 10, 10))
    desk.sweep(61)
    assert desk.state.breaks == {}
    doubted = [alert["summary"] for alert in desk.alerts()[2:]]
    assert doubted == (
        [
            "BUY 10 SPY by adjust-1 was booked while order O-1 lacked fills, which are here now: is it there twice?"
        ]
        if units
        else []
    )


def test_an_adjustment_that_is_undone_brings_it_back(desk: Desk) -> None:
    booked(desk, part(2, 10, 20))
    confirmed(desk)
    now = desk.world.clock.now()
    booked(desk, fill("adjust-1", "BUY", 10, 100, now, kind="ADJUST", order_id="O-1"))
    desk.sweep(61)
    assert desk.state.breaks == {}
    booked(desk, fill("undo-1", "BUY", 10, 100, now, kind="BUST", ref="adjust-1", order_id="O-1"))
    confirmed(desk)
    assert "SPY" in blocked_symbols(desk.app.reconciliations, "demo")


def test_what_was_filled_before_its_first_fill_here_is_told_and_blocks_nothing(desk: Desk) -> None:
    """It may be lost, or of an order that it replaces."""
    first = fill("X-1", "BUY", 1, 100, at(-900), order_id="X", order_filled="1")
    booked(desk, first, part(2, 4, 7), part(3, 3, 10))
    confirmed(desk)
    [alert] = desk.alerts()
    assert alert["severity"] == "warning"
    assert alert["summary"].startswith(
        "SPY: order O-1 has filled 10 by what paper says, 7 are booked: the rest was"
    )
    assert alert["action"].startswith("Nothing was stopped.")
    assert blocked_symbols(desk.app.reconciliations, "demo") == {}
    codec = ReconciliationCodec()
    assert codec.decode(codec.encode(desk.state)) == desk.state
    booked(desk, part(1, 3, 3))
    desk.sweep(61)
    assert desk.state.breaks == {}


def test_two_brokers_may_give_the_same_number() -> None:
    """The order that was right ended the break of the one that was not, every hour."""
    world = World()
    world.open_account(account(brokers=["paper", "other"]))
    desk = Desk(world)
    booked(desk, fill("E-0", "BUY", 1, 9, at(-40 * 86_400), equity("QQQ")))
    booked(desk, part(5, 7, 7), part(1, 10, 10, broker="other"), part(3, 10, 30, broker="other"))
    for hour in range(3):
        confirmed(desk)
        assert list(desk.state.breaks) == ["SPY order O-1 of other of 2026-11-18"]
        booked(desk, fill(f"Q-{hour}", "BUY", 1, 9, desk.world.clock.now(), equity("QQQ")))
    assert len(desk.alerts()) == 1


def test_when_hardly_any_order_adds_up_the_first_are_named_and_the_others_counted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document has an end; so has what people read."""
    monkeypatch.setitem(order_check.MOST_STANDING, BreakKind.ORDER_START, 1)
    booked(
        desk, *[fill(f"X-{n}", "BUY", 1, 100, at(n), order_id=f"X{n}", order_filled="2") for n in range(5)]
    )
    confirmed(desk)
    assert len(desk.state.breaks) == 2
    assert describe(desk.state)["waits"]["orders"] == "3 more orders than are told do not add up"


def lacking(first: int, last: int, second: float = 0) -> list[Fill]:
    """Orders, each in an instrument of its own, of which one of two units is here."""
    return [
        fill(f"L-{n}", "BUY", 1, 9, at(second + n), equity(f"L{n}"), order_id=f"L{n}", order_filled="2")
        for n in range(first, last)
    ]


def adds(desk: Desk, symbol: str) -> set[str]:
    """Return why an order that adds to an instrument is refused for the doubt about its book."""
    order = Order.model_validate(
        {
            "quantity": "1",
            "legs": [
                {"instrument": equity(symbol).model_dump(mode="json", exclude_none=True), "side": "BUY"}
            ],
        }
    )
    told = desk.app.order_desk.check("demo", order)
    return {reason["object"] for reason in told["reasons"] if reason["code"] == "blocked_instrument"}


def test_what_is_not_told_one_by_one_blocks_all_the_same_and_is_told_as_a_number(desk: Desk) -> None:
    """R1.8: fail closed. The 51st order that lacks a fill blocked nothing, and nobody was told of it."""
    booked(desk, *lacking(0, 60))
    hourly(desk)
    assert blocked_symbols(desk.app.reconciliations, "demo") == {}
    desk.sweep(61)
    assert blocked_symbols(desk.app.reconciliations, "demo").keys() == {f"L{n}" for n in range(60)}
    *single, more = desk.alerts()
    assert len(single) == 50
    assert (more["object"], more["severity"]) == ("more orders", "critical")
    assert more["summary"] == "10 more orders than those told one by one do not add up"
    hourly(desk)
    assert len(desk.alerts()) == 51, "told once"

    rest = [
        one.model_copy(update={"fill_id": f"R-{n}", "executed_at": desk.world.clock.now()})
        for n, one in enumerate(lacking(0, 60))
    ]
    booked(desk, *rest)
    desk.sweep(61)
    assert desk.state.breaks == {}
    assert blocked_symbols(desk.app.reconciliations, "demo") == {}
    ended = [alert["object"] for alert in desk.alerts()[51:] if alert["resolved"]]
    assert len(ended) == 51
    assert "more orders" in ended


def test_beyond_what_a_document_keeps_nothing_may_be_added_to_anything(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1.8: which instruments are in doubt is not known any more; until none is."""
    monkeypatch.setitem(order_check.MOST_STANDING, BreakKind.ORDER, 4)
    monkeypatch.setattr(order_check, "MOST_TOLD", 3)
    booked(desk, *lacking(0, 6))
    hourly(desk)
    assert adds(desk, "SPY") == set(), "suspected only"
    desk.sweep(61)
    assert adds(desk, "SPY") == adds(desk, "L5") == {"*"}
    assert adds(desk, "L0") == {"L0", "*"}
    assert [alert["object"] for alert in desk.alerts()][3:] == ["more orders"]
    assert desk.alerts()[3]["summary"] == "3 more orders than those told one by one do not add up"
    assert "any instrument" in desk.alerts()[3]["action"]
    assert describe(desk.state)["waits"]["orders"] == "3 more orders than are told do not add up"
    for _ in range(
        4
    ):  # they are of more than two sessions ago then: still nobody has said that they are right
        hourly(desk, DAY)
        booked(
            desk, fill(f"Q-{desk.world.clock.now():%d}", "BUY", 1, 9, desk.world.clock.now(), equity("QQQ"))
        )
    assert adds(desk, "SPY") == {"*"}
    codec = ReconciliationCodec()
    assert codec.decode(codec.encode(desk.state)) == desk.state
    held = [{"symbol": f"L{n}", "quantity": "1"} for n in range(6)]
    desk.statement(None, positions=[*held, {"symbol": "QQQ", "quantity": "5"}])
    desk.sweep(31)
    desk.sweep(31)
    assert desk.state.breaks == {}
    assert adds(desk, "SPY") == adds(desk, "L5") == set()
    assert desk.alerts()[-1]["object"] == "more orders"
    assert desk.alerts()[-1]["resolved"]


def received(desk: Desk) -> None:
    """Have the alerts that were published taken in."""
    for body in desk.alerts():
        desk.app.alert_desk.receive(validate(Alert, body))


@pytest.mark.parametrize("former", ["SPY order O-1", "SPY order O-1 of paper"])
def test_an_alert_under_a_former_name_of_an_order_ends_with_its_break(desk: Desk, former: str) -> None:
    """Versions of before named an order without its broker, then without its session: such an alert stayed for ever."""
    booked(desk, part(1, 10, 10), part(3, 10, 30))
    confirmed(desk)
    [alert] = desk.alerts()
    desk.app.alert_desk.receive(validate(Alert, {**alert, "object": former}))
    hourly(desk)
    assert len(desk.alerts()) == 1, "its break stands"
    booked(desk, part(2, 10, 20))
    desk.sweep(61)
    hourly(desk)
    received(desk)
    ending = {one.alert.object for one in desk.app.alert_desk.read("demo").live() if one.ending}
    assert ending == {former, "SPY order O-1 of paper of 2026-11-18"}
    count = len(desk.alerts())
    hourly(desk)
    assert len(desk.alerts()) == count


def test_only_what_is_about_an_order_s_break_ends_without_one(desk: Desk) -> None:
    """People must answer whether an adjustment is there twice; a position's break has a check of its own."""
    booked(desk, part(1, 10, 10), part(3, 10, 30))
    confirmed(desk)
    [alert] = desk.alerts()
    for number, about in enumerate(["SPY", "SPY adjustment-7", "QQQ"]):
        desk.app.alert_desk.receive(validate(Alert, {**alert, "alert_id": f"a-{number}", "object": about}))
    hourly(desk)
    assert len(desk.alerts()) == 1


def carried_on(number: int, second: float) -> list[Fill]:
    """An order whose first fill here says that more was filled before, of which nothing else is known."""
    more = {"order_id": f"A{number}r", "order_filled": "14"}
    return [
        fill(f"A-{number}", "BUY", 10, 100, at(second), order_id=f"A{number}", order_filled="10"),
        fill(f"B-{number}", "BUY", 5, 100, at(second + 1), order_id=f"B{number}", order_filled="5"),
        fill(f"C-{number}", "BUY", 3, 100, at(second + 2), **more),
    ]


def test_orders_that_may_carry_on_others_hide_no_fill_that_was_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1.8: fifty replaced orders, each of them harmless, kept every lost fill of later from being told."""
    monkeypatch.setitem(order_check.MOST_STANDING, BreakKind.ORDER, 2)
    monkeypatch.setitem(order_check.MOST_STANDING, BreakKind.ORDER_START, 2)
    booked(desk, *[one for n in range(3) for one in carried_on(n, n * 4)])
    confirmed(desk)
    assert [b.finding.kind for b in desk.state.breaks.values()] == [BreakKind.ORDER_START] * 2
    booked(desk, part(20, 10, 10), part(22, 10, 30))
    confirmed(desk)
    assert "SPY" in blocked_symbols(desk.app.reconciliations, "demo")


def test_what_was_perhaps_filled_before_is_left_after_some_sessions(desk: Desk) -> None:
    booked(desk, *carried_on(1, 0))
    confirmed(desk)
    desk.sweep(4 * 86_400)
    assert desk.state.breaks
    desk.sweep(4 * 86_400)
    assert desk.state.breaks == {}
    assert desk.alerts()[-1]["resolved"]
    assert desk.alerts()[-1]["summary"] == "SPY: order A1r is left as it is"
    again = {"order_id": "A1r", "order_filled": "15"}
    booked(desk, fill("C-9", "BUY", 1, 100, desk.world.clock.now(), **again))
    confirmed(desk)
    assert len(desk.alerts()) == 2, "nor is it told again where the order goes on"


def test_a_fill_that_was_lost_is_not_found_by_the_next_day_s_order_of_that_number(desk: Desk) -> None:
    """R1.8: FIX counts orders anew each day; the new order added up, and the block was lifted."""
    booked(desk, part(1, 10, 10, second=-DAY), part(3, 10, 30, second=3 - DAY))
    confirmed(desk)
    now = desk.world.clock.now()
    booked(desk, fill("F-1", "BUY", 5, 100, now, order_id="O-1", order_filled="5"))
    confirmed(desk)
    hourly(desk)
    assert list(desk.state.breaks) == ["SPY order O-1 of paper of 2026-11-17"]
    assert "SPY" in blocked_symbols(desk.app.reconciliations, "demo")
    assert len(desk.alerts()) == 1
    codec = ReconciliationCodec()
    assert codec.decode(codec.encode(desk.state)) == desk.state
    by_hand = fill("adjust-1", "BUY", 10, 100, desk.world.clock.now(), kind="ADJUST", order_id="O-1")
    booked(desk, by_hand)
    confirmed(desk)
    assert desk.state.breaks == {}, "it is of the order that lacks it"
    assert desk.alerts()[-1]["summary"] == "SPY: the fills of order O-1 add up"


def test_an_order_that_is_left_as_it_is_says_nothing_of_the_next_one_of_its_number(desk: Desk) -> None:
    booked(desk, part(1, 10, 10, second=-DAY), part(3, 10, 30, second=3 - DAY))
    confirmed(desk)
    desk.statement("20", positions=[{"symbol": "SPY", "quantity": "20"}, {"symbol": "QQQ", "quantity": "1"}])
    desk.sweep(61)
    hourly(desk)
    assert desk.state.breaks == {}
    desk.world.wait(DAY)
    more = [
        fill(
            f"G-{n}",
            "BUY",
            10,
            100,
            desk.world.clock.now() + timedelta(seconds=n),
            order_id="O-1",
            order_filled=str(n * 10),
        )
        for n in (1, 3)
    ]
    booked(desk, *more)
    confirmed(desk)
    assert list(desk.state.breaks) == ["SPY order O-1 of paper of 2026-11-19"]


def test_a_break_of_before_orders_had_sessions_ends_under_its_name(desk: Desk) -> None:
    """A document of an older version."""
    booked(desk, part(1, 10, 10), part(3, 10, 30))
    confirmed(desk)
    [item] = desk.state.breaks.values()
    older = replace(item, finding=replace(item.finding, session=None))
    desk.app.reconciliations.change(
        "demo", lambda state, _: Change(replace(state, breaks={older.finding.name: older}), [])
    )
    booked(desk, fill("F-1", "BUY", 5, 100, desk.world.clock.now(), order_id="O-9", order_filled="5"))
    confirmed(desk)
    assert list(desk.state.breaks) == ["SPY order O-1 of paper"]
    assert len(desk.alerts()) == 1
    booked(desk, part(2, 10, 20))
    desk.sweep(61)
    assert desk.state.breaks == {}
    assert (desk.alerts()[-1]["object"], desk.alerts()[-1]["resolved"]) == ("SPY order O-1 of paper", True)


def test_an_adjustment_that_names_no_order_is_asked_about_whatever_its_moment(desk: Desk) -> None:
    """Dated as the fill that was lost, it was before the break was seen."""
    booked(desk, part(1, 10, 10), part(3, 10, 30))
    confirmed(desk)
    booked(desk, fill("adjust-1", "BUY", 10, 100, at(2), kind="ADJUST"))
    desk.sweep(61)
    booked(desk, part(2, 10, 20))
    desk.sweep(61)
    assert desk.alerts()[-1]["object"] == "SPY adjust-1"


def test_a_statement_that_agrees_ends_it(desk: Desk) -> None:
    booked(desk, part(2, 10, 20))
    confirmed(desk)
    desk.statement("10", positions=[{"symbol": "SPY", "quantity": "10"}, {"symbol": "QQQ", "quantity": "1"}])
    desk.sweep(31)
    desk.sweep(31)
    assert desk.state.breaks == {}
    booked(desk, fill("E-9", "BUY", 1, 100, desk.world.clock.now(), order_id="O-9"))
    hourly(desk)
    assert desk.state.breaks == {}
    booked(desk, fill("E-10", "BUY", 1, 100, desk.world.clock.now(), order_id="O-1", order_filled="21"))
    confirmed(desk)
    assert len(desk.alerts()) == 2, "nor does an order that goes on"


def test_what_comes_before_the_second_look_is_no_break_and_is_not_told(desk: Desk) -> None:
    booked(desk, part(1, 10, 10), part(3, 10, 30))
    hourly(desk)
    booked(desk, part(2, 10, 20))
    desk.sweep(61)
    assert desk.state.breaks == {}
    assert desk.alerts() == []
    assert desk.state.recheck_at is None, "nothing is left to look at"


@pytest.mark.parametrize("replaced", [40, 30])
def test_an_order_that_replaces_another_one_may_carry_on_what_that_had_filled(
    desk: Desk, replaced: int
) -> None:
    """FIX: a new OrderID (37), and CumQty (14) goes on. What was lost of the new order is a break still."""
    first = fill("E-1", "BUY", replaced, 100, at(1), order_id="O-0", order_filled=str(replaced))
    booked(desk, first, part(2, 35, 75, second=2), part(3, 25, 100, second=3))
    hourly(desk)
    assert list(desk.state.breaks) == ([] if replaced == 40 else ["SPY order O-1 of paper of 2026-11-18"])


def test_what_is_lost_in_the_middle_is_not_carried_from_an_order_of_the_same_size(desk: Desk) -> None:
    first = fill("E-1", "BUY", 10, 100, at(1), order_id="O-0", order_filled="10")
    booked(desk, first, part(2, 10, 10, second=2), part(3, 10, 30, second=3))
    hourly(desk)
    assert list(desk.state.breaks) == ["SPY order O-1 of paper of 2026-11-18"]


def test_an_order_over_a_split_is_not_looked_at(desk: Desk) -> None:
    split = fill("S-1", "BUY", 2, 1, at(2), kind="SPLIT")
    booked(desk, part(1, 10, 10), split, part(3, 10, 30))
    hourly(desk)
    assert desk.state.breaks == {}


def test_an_order_that_was_partly_filled_before_the_account_s_first_fill_is_no_break() -> None:
    world = World()
    world.open_account()
    desk = Desk(world)
    booked(desk, part(2, 10, 20), part(3, 10, 30))
    hourly(desk)
    assert desk.state.breaks == {}
    booked(desk, part(5, 10, 50))
    hourly(desk)
    assert list(desk.state.breaks) == ["SPY order O-1 of paper of 2026-11-18"], "what was lost since"


def test_a_backlog_is_judged_when_it_has_arrived(desk: Desk) -> None:
    """R1.7: it may be hours old when it comes."""
    desk.world.wait(3 * 3600)
    booked(desk, part(1, 10, 10), part(3, 10, 30))
    hourly(desk, 300)
    assert desk.state.breaks == {}
    booked(desk, part(2, 10, 20))
    hourly(desk)
    assert desk.state.breaks == {}
    assert desk.state.orders_at == 4


def test_a_break_that_stands_is_read_again_when_a_fill_or_a_statement_came(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at in the round of all accounts."""
    booked(desk, part(1, 10, 10), part(3, 10, 30))
    confirmed(desk)
    looks: list[object] = []
    for name in ("of", "of_symbol", "since", "of_account"):
        asked = getattr(FillLog, name)
        monkeypatch.setattr(FillLog, name, lambda *args, asked=asked: looks.append(args) or asked(*args))
    for _ in range(5):
        desk.sweep(60)
    assert looks == []
    booked(desk, part(2, 10, 20))
    looks.clear()
    desk.sweep(60)
    assert len(looks) == 1
    assert desk.state.breaks == {}


def test_a_position_that_is_gone_from_the_book_keeps_no_break(desk: Desk) -> None:
    """Flat for a week it is pruned; the fill that was missing came meanwhile."""
    booked(desk, part(1, 10, 10), part(3, 10, 30))
    confirmed(desk)
    booked(desk, fill("E-8", "SELL", 30, 100, at(8), order_id="O-8"), part(2, 10, 20))
    desk.world.wait(8 * 86_400)
    booked(desk, fill("E-9", "BUY", 1, 9, desk.world.clock.now(), equity("QQQ")))
    book = desk.app.books.read("demo")
    assert book is not None
    assert [key for key in book.positions if "SPY" in key] == []
    desk.sweep(61)
    assert desk.state.breaks == {}


def test_an_instrument_of_more_fills_than_a_round_may_read_is_not_checked_and_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    booked(desk, part(1, 10, 10), part(3, 10, 30))
    monkeypatch.setattr(order_check, "MOST_CLOSELY", 1)
    hourly(desk)
    assert desk.state.breaks == {}
    assert "not checked" in describe(desk.state)["waits"]["SPY"]
    monkeypatch.undo()
    booked(desk, fill("E-9", "BUY", 1, 9, desk.world.clock.now(), equity("QQQ")))
    confirmed(desk)
    assert list(desk.state.breaks) == ["SPY order O-1 of paper of 2026-11-18"]
    assert "SPY" not in describe(desk.state)["waits"]
    monkeypatch.setattr(order_check, "MOST_CLOSELY", 1)
    desk.statement(None, positions=[{"symbol": "SPY", "quantity": "20"}, {"symbol": "QQQ", "quantity": "2"}])
    desk.sweep(31)
    desk.sweep(31)
    assert desk.state.breaks == {}, "statements that agree end it without the fills"


def test_the_document_keeps_it(desk: Desk) -> None:
    booked(desk, part(2, 10, 20))
    hourly(desk)
    codec = ReconciliationCodec()
    assert codec.decode(codec.encode(desk.state)) == desk.state


MESSAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "fix": (
        "14",
        {
            "35": "8", "1": "demo", "37": "ORD9", "17": "X1", "150": "F", "39": "1", "55": "SPY", "167": "CS",
            "15": "USD", "54": "1", "32": "4", "31": "600", "14": "12", "60": "20261118-17:00:00",
        },
    ),
    "ibkr": (
        "cumQty",
        {
            "contract": {"secType": "STK", "symbol": "SPY", "currency": "USD"},
            "execution": {
                "execId": "0000e0d5.6580d36a.01.01", "time": "2026-11-18T17:00:00Z", "acctNumber": "demo",
                "side": "BOT", "shares": 4, "price": 600, "permId": 77, "cumQty": 12,
            },
        },
    ),
    "binance": (
        "z",
        {
            "e": "executionReport", "s": "ETHBTC", "S": "BUY", "x": "TRADE", "X": "PARTIALLY_FILLED", "i": 5,
            "l": "4", "L": "0.1", "z": "12", "t": 7, "T": 1795021200000, "c": "x",
        },
    ),
    "alpaca": (
        "filled_qty",
        {
            "event": "partial_fill", "execution_id": "e-1", "price": "600", "qty": "4",
            "timestamp": "2026-11-18T17:00:00Z",
            "order": {"id": "o-1", "symbol": "SPY", "asset_class": "us_equity", "side": "buy", "filled_qty": "12"},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("dialect", sorted(MESSAGES))
def test_a_broker_that_tells_the_orders_quantity_has_it_kept_beside_the_fill(dialect: str) -> None:
    """Domain 3.8: of FIX tag 14, of Alpaca filled_qty, of TWS cumQty, of Binance z; the fill is that of the execution."""
    field, message = MESSAGES[dialect]
    [item] = parse(message, {"broker": dialect, "account": "demo"})
    assert item.fill is not None
    assert item.fill.quantity == 4
    assert (item.fill.model_extra or {})["order_filled"] == "12"
    broken = {k: v for k, v in message.items() if k != field}
    for place in ("execution", "order"):
        if place in broken:
            broken[place] = {k: v for k, v in broken[place].items() if k != field}
    [without] = parse(broken, {"broker": dialect, "account": "demo"})
    assert without.fill is not None
    assert "order_filled" not in (without.fill.model_extra or {})
    assert without.fill.hash == item.fill.hash, "what it says is no part of the execution"
