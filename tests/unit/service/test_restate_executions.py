"""The execution log long after: what is corrected, taken back or booked late makes another row (R7.2, issue 7 point 3)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from stopline.model.closing import CloseRequest
from stopline.model.errors import Transient
from stopline.model.fill import Fill
from stopline.model.messages import ExecutionReport, Sweep, SweepKind
from stopline.model.times import utc_text
from stopline.ports import Path
from stopline.runtime.embedded import Embedded
from stopline.service.closing import restate_executions
from stopline.service.closing.executions import ExecutionLog

from ..make import NOON, account, at, fill, trade

DAY = timedelta(days=1)


class Log:
    """An account that was told to sell its ten shares, and what the log says of that."""

    def __init__(self) -> None:
        self.desk = Embedded(NOON)
        self.desk.app.account_writer.create(account(), "ann")
        self.book(trade(-60, 10, 100))
        prices = {"type": "stopline.prices.v1", "as_of": utc_text(NOON), "symbols": ["SPY"], "last": [100.0]}
        self.desk.publish("prices", prices)
        self.desk.run()
        asked = {"request_id": "r", "account": "demo", "urgency": "now", "rule": "test", "reason": "x"}
        asked |= {"cause": "c", "requested_at": utc_text(NOON)}
        self.desk.app.closer.ask(CloseRequest.model_validate(asked))
        [self.command] = self.desk.app.closer.read("demo").sent

    def book(self, *fills: Fill) -> None:
        self.desk.app.recorder.record(list(fills), f"m-{fills[0].fill_id}")
        self.desk.run()

    def sold(self, **more: Any) -> Fill:
        return trade(2, -10, 99, **{"order_id": self.command, "fee": "1", **more})

    def sweep(self, after: timedelta, kind: SweepKind = SweepKind.END_OF_DAY) -> None:
        self.desk.clock.set(NOON + after)
        self.desk.sweep(kind)
        self.desk.run()
        assert self.desk.bus.faults == []

    def forget(self) -> None:
        """Let the command end, be logged, and be forgotten."""
        for minutes in (1, 20, 40):
            self.sweep(timedelta(minutes=minutes), SweepKind.RISK)
        assert self.command not in self.desk.app.closer.read("demo").sent

    @property
    def row(self) -> dict[str, Any]:
        rows = ExecutionLog(self.desk.history).read("demo", NOON - DAY)
        return next(row for row in rows if row["command_id"] == self.command)

    @property
    def numbers(self) -> tuple[Any, ...]:
        names = ("status", "filled_quantity", "filled_price", "slippage_money", "fees", "revision")
        return tuple(self.row[name] for name in names)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.mark.parametrize("days", [1, 30])
def test_a_correction_after_weeks_is_another_row_of_the_command(log: Log, days: int) -> None:
    """Sold at 99 against 100; corrected to 98, fees to 2; each day's round after that finds nothing new."""
    log.book(log.sold())
    log.forget()
    assert log.numbers == ("filled", 10, 99, 10, 1, 1)
    log.desk.clock.set(NOON + days * DAY)
    log.book(fill("C-1", "SELL", 10, 98, at(2), kind="CORRECT", ref="E-2", fee="2"))
    log.sweep(days * DAY + timedelta(hours=5))
    assert log.numbers == ("filled", 10, 98, 20, 2, 2)
    rows = len(log.desk.history.rows["executions"])
    log.sweep((days + 1) * DAY)
    assert len(log.desk.history.rows["executions"]) == rows


def test_a_fill_that_was_taken_back_is_no_execution_any_more(log: Log) -> None:
    log.book(log.sold())
    log.forget()
    log.desk.clock.set(NOON + DAY)
    log.book(fill("B-1", "SELL", 0, 0, at(2), kind="BUST", ref="E-2"))
    log.sweep(DAY + timedelta(hours=5))
    assert log.numbers == ("no_fill", 0, None, None, 0, 2)


@pytest.mark.parametrize("days", [1, 3, 20])
def test_a_fill_that_comes_days_late_by_the_broker_s_own_order_id_is_in_the_log(log: Log, days: int) -> None:
    """What the broker calls the order is in what the row was made of."""
    told = {"command_id": log.command, "account": "demo", "broker": "paper", "status": "accepted"}
    report = ExecutionReport.model_validate({**told, "order_id": "B-77", "reported_at": utc_text(at(1))})
    assert log.desk.app.closer.report(report)
    log.forget()
    assert log.numbers == ("no_fill", 0, None, None, 0, 1)
    log.desk.clock.set(NOON + days * DAY)
    log.book(log.sold(order_id="B-77"))
    log.sweep(days * DAY + timedelta(hours=5))
    assert log.numbers == ("filled", 10, 99, 10, 1, 2)


def test_a_row_that_cannot_be_read_keeps_no_other_from_being_restated(log: Log) -> None:
    log.book(log.sold())
    log.forget()
    bad = {**log.desk.history.rows["executions"][-1], "event_id": "x", "command_id": "x", "detail": "{}"}
    log.desk.history.rows["executions"].append(bad)
    log.desk.clock.set(NOON + DAY)
    log.book(fill("C-1", "SELL", 10, 98, at(2), kind="CORRECT", ref="E-2", fee="0"))
    log.sweep(DAY + timedelta(hours=5))
    assert log.numbers == ("filled", 10, 98, 20, 1, 2)
    assert json.loads(log.row["detail"])["revision"] == 2


def test_a_row_without_detail_keeps_no_other_from_being_restated(log: Log) -> None:
    """A column of BigQuery may be NULL."""
    log.book(log.sold())
    log.forget()
    bad = {**log.desk.history.rows["executions"][-1], "event_id": "x", "command_id": "x", "detail": None}
    log.desk.history.rows["executions"].insert(0, bad)
    log.desk.clock.set(NOON + DAY)
    log.book(fill("C-1", "SELL", 10, 98, at(2), kind="CORRECT", ref="E-2", fee="0"))
    log.sweep(DAY + timedelta(hours=5))
    assert log.numbers == ("filled", 10, 98, 20, 1, 2)


def test_a_question_that_is_refused_is_told_after_the_heart_has_beaten(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*asked: object) -> None:
        raise ValueError("BigQuery refused the query: too many bytes")

    log.forget()
    monkeypatch.setattr(log.desk.history, "read", refused)
    app, now = log.desk.app, log.desk.clock.now()
    with pytest.raises(Transient, match="executions: ValueError: BigQuery refused"):
        app.sweeper.run(Sweep(kind=SweepKind.END_OF_DAY), now, "m-1")
    beat = app.store.get(Path("heartbeats", "end_of_day"))
    assert beat is not None
    assert beat.data["at"] == now


def test_fills_that_came_in_time_are_not_asked_for(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: only one that came days after its session, or changed another, may change a row."""
    read, found = log.desk.history.read, list[dict[str, Any]]()

    def watched(table: str, *asked: Any) -> list[dict[str, Any]]:
        rows = read(table, *asked)
        found.extend(rows if table == "fills" else ())
        return rows

    monkeypatch.setattr(log.desk.history, "read", watched)
    log.book(log.sold())
    for days in range(6):
        log.desk.clock.set(NOON + days * DAY)
        log.book(trade(60 + days * 86_400, 1, 100))
        log.sweep(days * DAY + timedelta(hours=5))
    assert found == []


def test_a_position_of_more_fills_than_are_read_is_left_as_it_is(
    log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(restate_executions, "MOST_FILLS", 1)
    log.book(log.sold())
    log.forget()
    log.desk.clock.set(NOON + DAY)
    log.book(fill("C-1", "SELL", 10, 98, at(2), kind="CORRECT", ref="E-2", fee="0"))
    log.sweep(DAY + timedelta(hours=5))
    assert log.numbers == ("filled", 10, 99, 10, 1, 1)
    assert "more fills than are read" in caplog.text
