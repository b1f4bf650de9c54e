"""The uniform handling table (domain rules 3.8), broker by case: the message that a broker tells it by and what that must
be here, or why the broker has none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any, NamedTuple

import pytest

from stopline.brokers import DIALECTS
from stopline.model.control import ControlRequest
from stopline.model.fill import Fill, FillKind
from stopline.model.messages import Sweep
from stopline.service.fills.outcome import Result

from ..make import account, raw_fill
from ..service.world import World
from .samples import SAMPLES, Sample, changed

Path = tuple[str | int, ...]
Changes = dict[Path, Any]


class Told(NamedTuple):
    """A message: a documented one with changes. `also`: those that mean the same, or follow it."""

    sample: str
    changes: Changes | None = None
    also: Sequence[Changes] = ()
    ref: str | None = None
    fee: str | None = None
    kind: FillKind | None = None


class Untold(NamedTuple):
    """Why a broker has no such message."""

    reason: str


Cell = Told | tuple[Told, ...] | Untold
MESSAGES = SAMPLES | {
    "native": Sample("native", {}, json.dumps(raw_fill(broker="native")), 1, ("kind",)),
    "alpaca fee": Sample(
        "alpaca",
        {"account": "demo"},
        '{"activity_type":"FEE","id":"20261120000000000::f1","date":"2026-11-20","net_amount":"-0.05",'
        '"description":"TAF fee for proceed of 10 shares","status":"executed"}',
        1,
        ("activity_type",),
    ),
}


def states(path: Path, words: str) -> list[Changes]:
    return [{path: word} for word in words.split()]


PARTIAL = "a fill each for the parts of an order"
TWICE = "the same again: once"
STATE = "an order is cancelled, expires or is rejected: no fill, no error"
BUST = "a trade is taken back"
CORRECTION = "a trade is corrected"
FEE = "a fee comes later"
LATE = "a fill comes when its day is over"
KILLED = "a fill comes while all is halted"
FORCED = "a liquidation, assignment or exercise"

NEXT_EXEC = "0000e0d5.6580d36a.01.02"
INDIAN_BUST = Untold("the exchange annuls a trade by circular: the API tells no cancelled trades")
INDIAN_FEE = Untold("charges are in the contract note only")
INDIAN_FORCED = Untold(
    "a square-off by the broker is an order like any other, and an assignment is in the contract note only"
)

TABLE: dict[str, dict[str, Cell]] = {
    "alpaca": {
        PARTIAL: (
            Told(
                "alpaca trade update",
                {("data", "event"): "partial_fill"},
                [{("data", "execution_id"): "another"}],
            ),
            Told(
                "alpaca fill activity", {("type",): "partial_fill"}, [{("id",): "20190524113406977::another"}]
            ),
        ),
        TWICE: Told("alpaca fill activity"),
        STATE: Told(
            "alpaca trade update",
            {("data", "event"): "canceled"},
            states(("data", "event"), "new expired rejected replaced done_for_day"),
        ),
        BUST: Told(
            "alpaca trade update",
            {("data", "event"): "trade_bust", ("data", "previous_execution_id"): "e-0"},
            ref="e-0",
        ),
        CORRECTION: Told(
            "alpaca trade update",
            {("data", "event"): "trade_correct", ("data", "previous_execution_id"): "e-0"},
            ref="e-0",
        ),
        FEE: Told("alpaca fee", fee="0.05"),  # of a day: it names no execution
        LATE: Told("alpaca multi-leg"),
        KILLED: Told("alpaca trade update"),
        FORCED: Told("alpaca assignment", kind=FillKind.ASSIGN),
    },
    "ibkr": {
        PARTIAL: Told(
            "ibkr execution",
            {("commissionReport",): None},
            [{("execution", "execId"): "0000e0d5.6580d36b.01.01"}],
        ),
        TWICE: Told("ibkr execution"),
        STATE: Told(
            "ibkr flex assignment",
            {("levelOfDetail",): "ORDER"},
            [{("levelOfDetail",): "CLOSED_LOT"}],  # of TWS executions alone are published, not orderStatus
        ),
        BUST: Told(
            "ibkr flex assignment",
            {
                ("transactionType",): "TradeCancel",
                ("buySell",): "BUY (Ca.)",
                ("origTradeID",): "7",
                ("tradeID",): "",
            },
            ref="trade:7",
        ),
        CORRECTION: Told(
            "ibkr execution",
            {("execution", "execId"): NEXT_EXEC, ("commissionReport", "execId"): NEXT_EXEC},
            ref="0000e0d5.6580d36a.01",
        ),
        FEE: Told("ibkr execution", {("event",): "commissionReport"}, ref="0000e0d5.6580d36a.01", fee="3.25"),
        LATE: Told("ibkr execution"),
        KILLED: Told("ibkr execution"),
        FORCED: (
            Told("ibkr flex assignment", kind=FillKind.ASSIGN),
            Told("ibkr execution", {("execution", "liquidation"): 1}, kind=FillKind.LIQUIDATION),
        ),
    },
    "binance": {
        PARTIAL: (
            Told("binance spot", {("event", "X"): "PARTIALLY_FILLED"}, [{("event", "t"): 78}]),
            Told("binance futures", {("o", "X"): "PARTIALLY_FILLED"}, [{("o", "t"): 78}]),
        ),
        TWICE: Told("binance futures"),
        STATE: (
            Told(
                "binance spot",
                {("event", "x"): "CANCELED"},
                states(("event", "x"), "NEW EXPIRED REJECTED REPLACED TRADE_PREVENTION"),
            ),
            Told("binance futures", {("o", "x"): "CANCELED"}, states(("o", "x"), "NEW EXPIRED AMENDMENT")),
        ),
        BUST: Untold("a trade is final"),
        CORRECTION: Untold("a trade is final"),
        FEE: Untold("the commission is in the execution (n, N)"),
        LATE: Told("binance spot"),
        KILLED: Told("binance futures"),
        FORCED: Told("binance futures", {("o", "c"): "autoclose-1234"}, kind=FillKind.LIQUIDATION),
    },
    "tastytrade": {
        PARTIAL: Told(
            "tastytrade order",
            {("data", "status"): "Live"},
            [{("data", "legs", 0, "fills", 0, "fill-id"): "another"}],
        ),
        TWICE: Told("tastytrade order"),
        STATE: Told(
            "tastytrade order",
            {("data", "legs", 0, "fills"): [], ("data", "status"): "Cancelled"},
            states(("data", "status"), "Expired Rejected Received"),
        ),
        BUST: Told(
            "tastytrade transaction",
            {("reverses-id",): 5, ("id",): 6},
            ref="1:SPY260320P00455000:14_TW::TW0001",
        ),
        CORRECTION: Untold("a trade is reversed (`reverses-id`) and told again under another id"),
        FEE: Told("tastytrade transaction", ref="1:SPY260320P00455000:14_TW::TW0001", fee="40.442"),
        LATE: Told("tastytrade order"),
        KILLED: Told("tastytrade order"),
        FORCED: Told(
            "tastytrade transaction",
            {
                ("transaction-type",): "Receive Deliver",
                ("transaction-sub-type",): "Assignment",
                ("price",): "0",
            },
            kind=FillKind.ASSIGN,
        ),
    },
    "kite": {
        PARTIAL: Told("kite trade", {("quantity",): 1}, [{("trade_id",): "10000001"}]),
        TWICE: Told("kite trade"),
        STATE: Told(
            "kite postback", {("status",): "CANCELLED"}, states(("status",), "REJECTED UPDATE OPEN COMPLETE")
        ),
        BUST: INDIAN_BUST,
        CORRECTION: INDIAN_BUST,
        FEE: INDIAN_FEE,
        LATE: Told("kite trade"),
        KILLED: Told("kite trade"),
        FORCED: INDIAN_FORCED,
    },
    "upstox": {
        PARTIAL: Told("upstox trades", {("data", 0, "quantity"): 1}, [{("data", 0, "trade_id"): "50091503"}]),
        TWICE: Told("upstox trades"),
        STATE: Told(
            "upstox order",
            {("status",): "cancelled"},
            [*states(("status",), "open rejected complete"), {("status",): "trigger pending"}],
        ),
        BUST: INDIAN_BUST,
        CORRECTION: INDIAN_BUST,
        FEE: INDIAN_FEE,
        LATE: Told("upstox trades"),
        KILLED: Told("upstox trades"),
        FORCED: INDIAN_FORCED,
    },
    "fix": {
        PARTIAL: Told("fix", {("39",): "1"}, [{("17",): "another"}]),
        TWICE: Told("fix", also=[{("43",): "Y"}]),
        STATE: Told("fix", {("150",): "4"}, states(("150",), "0 3 5 8 C I")),
        BUST: Told("fix", {("150",): "H"}, [{("20",): "1", ("150",): "2"}], ref="SPX:20261120:EX122"),
        CORRECTION: Told("fix", {("150",): "G"}, [{("20",): "2", ("150",): "1"}], ref="SPX:20261120:EX122"),
        FEE: Untold("commission and fees are in the report (12, 137); a change of them is a correction"),
        LATE: Told("fix"),
        KILLED: Told("fix"),
        FORCED: Untold(
            "assignments are reports of their own (35=AW), no execution reports, and no ExecType is a liquidation"
        ),
    },
    "native": {
        PARTIAL: Told("native", {("quantity",): "1"}, [{("fill_id",): "E-2"}]),
        TWICE: Told("native", also=[{("quantity",): "10.00"}]),
        STATE: Untold("it tells fills and statements, no orders"),
        BUST: Told("native", {("kind",): "BUST", ("fill_id",): "B-1", ("ref",): "E-1"}, ref="E-1"),
        CORRECTION: Told("native", {("kind",): "CORRECT", ("fill_id",): "C-1", ("ref",): "E-1"}, ref="E-1"),
        FEE: Told(
            "native",
            {
                ("kind",): "FEE",
                ("fill_id",): "F-1",
                ("ref",): "E-1",
                ("fee",): "1.5",
                ("quantity",): "0",
                ("price",): "0",
            },
            ref="E-1",
            fee="1.5",
        ),
        LATE: Told("native"),
        KILLED: Told("native"),
        FORCED: Told("native", {("kind",): "LIQUIDATION"}, kind=FillKind.LIQUIDATION),
    },
}


def message(told: Told, changes: Changes) -> dict[str, Any]:
    value = MESSAGES[told.sample].message
    for path, to in {**(told.changes or {}), **changes}.items():
        value = changed(value, *path, to)
    return value


def fills(told: Told, changes: Changes) -> list[Fill]:
    items = MESSAGES[told.sample].read(message(told, changes))
    assert [item.refused for item in items if item.refused] == []
    return [item.fill for item in items if item.fill]


def each(told: Told) -> list[list[Fill]]:
    """Return the fills of the message and of those that stand beside it."""
    return [fills(told, changes) for changes in ({}, *told.also)]


def a_fill_each(told: Told) -> None:
    (first, *_), (second, *_) = each(told)
    assert first.key != second.key
    assert {first.kind, second.kind} == {FillKind.TRADE}


def one_fill(told: Told) -> None:
    """The recorder books it once, and knows the copy by key and content."""
    world, booked = _world(fills(told, {}))
    app, _ = world.instance()
    for n, again in enumerate((*each(told), fills(told, {}))):
        results = {outcome.result for outcome in app.recorder.record(again, f"m-{n}")}
        assert results == {Result.APPLIED if n == 0 else Result.DUPLICATE}
    book = world.book(booked.account)
    assert book is not None
    assert book.fills == len(fills(told, {}))


def nothing(told: Told) -> None:
    assert each(told) == [[] for _ in range(1 + len(told.also))]


def of_kind(kind: FillKind) -> Callable[[Told], None]:
    def check(told: Told) -> None:
        for [fill] in each(told):
            assert (fill.kind, fill.ref) == (kind, told.ref)
            assert fill.fill_id != told.ref
            assert told.fee is None or fill.fee == Decimal(told.fee)

    return check


def by_the_broker(told: Told) -> None:
    for some in each(told):
        assert {fill.kind for fill in some} == {told.kind}


def its_day_is_restated(told: Told) -> None:
    world, fill = _world(fills(told, {}), later=timedelta(days=3))
    [app, _] = world.instance()
    told_fills = fills(told, {})
    fee = told_fills[0].model_copy(update={"fee": Decimal("0.01")})  # so that the day has other numbers
    assert {o.result for o in app.recorder.record([fee, *told_fills[1:]], "m-1")} == {Result.APPLIED}
    rows = [row for body in world.bus.bodies("history") for row in body["rows"] if row["table"] == "audit"]
    sessions = {
        json.loads(r["row"]["detail"])["session"] for r in rows if r["row"]["event"] == "day_restated"
    }
    assert sessions == {fill.executed_at.date().isoformat()}


def it_is_booked_and_told(told: Told) -> None:
    world, _ = _world(fills(told, {}))
    app, _ = world.instance()
    kill = {"request_id": "r-1", "scope": "global", "action": "kill", "actor": "ann", "reason": "x"}
    app.trading.set(ControlRequest.model_validate(kill))
    assert {o.result for o in app.recorder.record(fills(told, {}), "m-1")} == {Result.APPLIED}
    app.sweeper.run(Sweep.model_validate(world.bus.bodies("sweeps")[-1]), world.clock.now(), "m-2")
    alerts = [body for body in world.bus.bodies("alerts") if body["kind"] == "fill_while_halted"]
    assert alerts
    assert all(alert["object"] == "global" for alert in alerts)


def _world(some: list[Fill], later: timedelta = timedelta(minutes=1)) -> tuple[World, Fill]:
    """Return a world at the time of some fills, or later, with their account; and the first of them."""
    world, first = World(), some[0]
    world.clock.set(first.executed_at + later)
    world.open_account(account(first.account, brokers=[first.broker], calendar="24/7"))
    return world, first


CASES: dict[str, Callable[[Told], None]] = {
    PARTIAL: a_fill_each,
    TWICE: one_fill,
    STATE: nothing,
    BUST: of_kind(FillKind.BUST),
    CORRECTION: of_kind(FillKind.CORRECT),
    FEE: of_kind(FillKind.FEE),
    LATE: its_day_is_restated,
    KILLED: it_is_booked_and_told,
    FORCED: by_the_broker,
}


@pytest.mark.parametrize(("broker", "case"), [*product(DIALECTS, CASES)])
def test_every_broker_s_message_of_every_case_is_handled_alike(broker: str, case: str) -> None:
    """R8.6, domain 3.8; of 4b cases 10 (ibkr, corrected) and 11 (fix, taken back)."""
    cell = TABLE[broker][case]
    if isinstance(cell, Untold):
        assert len(cell.reason) > 10
        return
    for told in (cell,) if isinstance(cell, Told) else cell:
        assert MESSAGES[told.sample].broker == broker
        CASES[case](told)


def test_no_cell_is_missing_or_left_over() -> None:
    assert {broker: set(row) for broker, row in TABLE.items()} == {broker: set(CASES) for broker in DIALECTS}
