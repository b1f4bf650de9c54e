"""What BigQuery's adapter makes of rows, answers and failures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests
from google.api_core import exceptions

from emulators.processes import HOST, free_port
from stopline.adapters.bigquery import BigQueryHistory
from stopline.adapters.memory import MemoryHistory
from stopline.adapters.schemas import record
from stopline.model.messages import HistoryRow
from stopline.ports import RowFault, Unavailable
from stopline.rules.closing.execution_statistics import By, statistics
from stopline.service.closing.executions import ExecutionLog
from stopline.service.history.rows import audit_row

from .differences import differs

NOW = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)


def fill(event_id: str, **row: Any) -> HistoryRow:
    return HistoryRow(table="fills", event_id=event_id, row={"account": "demo", "price": "1", **row})


class Tables:
    """Stands in for the client: answers insertAll as production does, with status 200 and errors by row."""

    project = "p"

    def __init__(self, *answers: dict[str, str] | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, list[str], Sequence[str]]] = []
        self.options: dict[str, Any] = {}

    def insert_rows_json(
        self, table: str, rows: Sequence[dict[str, Any]], *, row_ids: Sequence[str], **options: Any
    ) -> list[dict[str, Any]]:
        events = [row["event_id"] for row in rows]
        self.requests.append((table, events, row_ids))
        self.options = options
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        return [
            {
                "index": events.index(event),
                "errors": [{"reason": reason, "location": "price", "message": f"it is {reason}"}],
            }
            for event, reason in answer.items()
            if event in events
        ]


def history(tables: Tables) -> BigQueryHistory:
    return BigQueryHistory("ds", client=lambda: tables)  # type: ignore[arg-type,return-value]


def test_rows_are_grouped_by_table_and_carry_their_event_id() -> None:
    tables = Tables()
    audit = HistoryRow(table="audit", event_id="a", row={"scope": "desk"})
    assert history(tables).append([fill("1"), audit, fill("2")], NOW) == []
    assert tables.requests == [("p.ds.fills", ["1", "2"], ["1", "2"]), ("p.ds.audit", ["a"], ["a"])]
    assert tables.options["timeout"] <= 10
    assert tables.options["retry"].timeout <= 25
    assert tables.options["skip_invalid_rows"] is True


def test_errors_by_row_in_an_answer_of_status_200_are_read() -> None:
    """A function that ignores them loses rows: R0.3."""
    tables = Tables({"2": "invalid"})
    faults = history(tables).append([fill("1"), fill("2"), fill("3")], NOW)
    assert faults == [RowFault("2", "fills", "price: it is invalid")]
    assert len(tables.requests) == 1


def test_rows_stopped_by_an_invalid_neighbour_are_sent_again_once() -> None:
    tables = Tables({"1": "stopped", "2": "invalid", "3": "stopped"})
    faults = history(tables).append([fill("1"), fill("2"), fill("3")], NOW)
    assert [fault.event_id for fault in faults] == ["2"]
    assert [events for _, events, _ in tables.requests] == [["1", "2", "3"], ["1", "3"]]


def test_a_row_found_invalid_the_second_time_is_refused_too() -> None:
    tables = Tables({"1": "stopped", "2": "invalid"}, {"1": "invalid"})
    faults = history(tables).append([fill("1"), fill("2")], NOW)
    assert sorted(fault.event_id for fault in faults) == ["1", "2"]


@pytest.mark.parametrize("reason", ["stopped", "backendError", "timeout", "something new"])
def test_rows_whose_fate_stays_unknown_make_the_whole_unavailable(reason: str) -> None:
    """The message comes again; the views keep one row an event."""
    tables = Tables({"1": reason}, {"1": reason})
    with pytest.raises(Unavailable, match="1 rows for fills"):
        history(tables).append([fill("1"), fill("2")], NOW)
    assert len(tables.requests) == 2


@pytest.mark.parametrize(
    "problem",
    [
        exceptions.NotFound("no table"),
        exceptions.BadRequest("payload"),
        exceptions.RetryError("late", None),
        requests.ConnectionError("reset"),
        requests.Timeout("late"),
        ValueError("not JSON"),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_a_failed_request_is_unavailable_and_keeps_its_cause(problem: Exception) -> None:
    with pytest.raises(Unavailable) as caught:
        history(Tables(problem)).append([fill("1")], NOW)
    assert caught.value.__cause__ is problem


def test_a_request_takes_500_rows_and_5_megabytes() -> None:
    tables = Tables()
    history(tables).append([fill(str(n)) for n in range(1_100)], NOW)
    assert [len(events) for _, events, _ in tables.requests] == [500, 500, 100]
    tables.requests.clear()
    history(tables).append([fill(str(n), detail="x" * 1_500_000) for n in range(7)], NOW)
    assert [len(events) for _, events, _ in tables.requests] == [3, 3, 1]


# --- records --------------------------------------------------------------------------------------


def made(row: HistoryRow) -> dict[str, Any]:
    found = record(row, NOW)
    assert isinstance(found, dict)
    return found


def test_a_number_with_more_than_9_decimals_is_rounded_and_kept_exactly_in_detail() -> None:
    """BigQuery's NUMERIC keeps 9."""
    found = made(fill("1", price="0.123456789567", fee="-0.0000000005", quantity="1e3"))
    assert (found["price"], found["fee"], found["quantity"]) == ("0.12345679", "0", "1000")
    assert json.loads(found["detail"])["price"] == "0.123456789567"


def test_a_detail_of_the_row_itself_is_kept_as_it_is() -> None:
    assert made(fill("1", detail='{"exact":"1.000000000001"}'))["detail"] == '{"exact":"1.000000000001"}'


def test_fields_without_a_column_are_not_dropped() -> None:
    """A newer publisher's field waits in `detail` until the table has a column for it."""
    found = made(fill("1", detail="{}", colour="red"))
    assert "colour" not in found
    assert json.loads(found["detail"]) == {"detail": "{}", "unknown_fields": {"colour": "red"}}


def test_equal_rows_have_one_hash_whenever_they_come() -> None:
    first, other = made(fill("1", fee="1", symbol="X")), made(fill("1", symbol="X", fee="1"))
    assert first["content_hash"] == other["content_hash"]
    assert first["content_hash"] != made(fill("1", symbol="X", fee="2"))["content_hash"]


def test_empty_values_are_left_out() -> None:
    assert "fee" not in made(fill("1", fee=None))


# --- queries --------------------------------------------------------------------------------------


@pytest.mark.emulators
def test_a_query_takes_parameters_of_every_kind(bigquery_history: BigQueryHistory) -> None:
    """Historical analysis: R0.4."""
    assert not differs("sql", "bigquery")
    values = {
        "text": "it's; DROP TABLE",
        "whole": 2**53,
        "real": 0.5,
        "money": Decimal("1.123456789"),
        "yes": True,
        "at": datetime(2026, 11, 20, 15, 2, 11, 123456, tzinfo=UTC),
        "day": date(2026, 11, 20),
        "nothing": None,
    }
    names = ", ".join(f"@{name} AS {name}" for name in values)
    assert bigquery_history.query(f"SELECT {names}", values) == [values]


@pytest.mark.emulators
def test_a_query_takes_lists(bigquery_history: BigQueryHistory) -> None:
    bigquery_history.append([fill("1"), fill("2"), fill("3")], NOW)
    sql = "SELECT event_id FROM `{dataset}.fills` WHERE event_id IN UNNEST(@ids) ORDER BY event_id"
    assert bigquery_history.query(sql, {"ids": ["3", "1"]}) == [{"event_id": "1"}, {"event_id": "3"}]
    assert bigquery_history.query(sql, {"ids": []}) == []


@pytest.mark.emulators
def test_a_refused_query_is_an_error_not_an_empty_answer(bigquery_history: BigQueryHistory) -> None:
    with pytest.raises(ValueError, match="BigQuery refused the query"):
        bigquery_history.query("SELEC 1")
    with pytest.raises(Unavailable):
        bigquery_history.query("SELECT * FROM `{dataset}.nowhere`")


@pytest.mark.parametrize("value", [1j, NOW.replace(tzinfo=None), [1, "a"], {"a": 1}], ids=repr)
def test_a_parameter_without_a_type_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="parameter p"):
        history(Tables()).query("SELECT @p", {"p": value})


@pytest.mark.emulators
def test_conflicting_events_are_listed(bigquery_history: BigQueryHistory) -> None:
    """One event id with two contents is a fault somewhere: reconciliation, R1.8."""
    bigquery_history.append([fill("same"), fill("other"), fill("same")], NOW)
    sql = "SELECT * FROM `{dataset}.conflicting_events`"
    assert bigquery_history.query(sql) == []
    bigquery_history.append([fill("other", price="2")], NOW)
    [found] = bigquery_history.query(sql)
    assert (found["table_name"], found["event_id"], found["versions"]) == ("fills", "other", 2)


@pytest.mark.emulators
def test_the_trade_history_has_the_newest_figures_and_what_prices_showed(
    bigquery_history: BigQueryHistory,
) -> None:
    """R7.1: one row a closed trade; a restatement does not lose MAE and VIX, a void or open trade has no row."""

    def row(trade_id: str, revision: int, **more: Any) -> HistoryRow:
        facts = {"trade_id": trade_id, "status": "CLOSED", "book_revision": revision, **more}
        return HistoryRow(table="trades", event_id=f"{trade_id}-{revision}-{len(more)}", row=facts)

    rows = [
        row("T-1", 4, realised="100"),
        row("T-1", 4, realised="100", mae="-20", vix_exit="18.5"),
        row("T-1", 9, realised="90"),
        row("T-2", 5, realised="7"),
        row("T-2", 6, status="VOID"),
        row("T-3", 5, realised="7"),
        row("T-3", 6, status="OPEN"),
    ]
    bigquery_history.append(rows, NOW)
    sql = "SELECT trade_id, realised, mae, mfe, vix_exit FROM `{dataset}.trade_history`"
    assert bigquery_history.query(sql) == [
        {
            "trade_id": "T-1",
            "realised": Decimal(90),
            "mae": Decimal(-20),
            "mfe": None,
            "vix_exit": Decimal("18.5"),
        }
    ]


@pytest.mark.emulators
def test_executions_are_summed_by_symbol_broker_and_hour_as_the_command_sums_them(
    bigquery_history: BigQueryHistory,
) -> None:
    """R7.2: the view in SQL and `stopline executions` in Python are two implementations; a late fill's row replaces the
    earlier one of its command.
    """

    def row(command: str, hour: int, filled: str, **more: Any) -> HistoryRow:
        facts = {
            "account": "demo", "command_id": command, "symbol": "SPY", "broker": "paper", "currency": "USD",
            "requested_quantity": "3", "filled_quantity": filled, "filled_pct": str(100 * int(filled) // 3),
            "status": "filled" if filled == "3" else "rejected", "retries": 0, "fees": "0.65",
            "issued_at": f"2026-11-20T{hour}:05:00Z", **more,
        }  # fmt: skip
        return HistoryRow(table="executions", event_id=f"{command}-{filled}", row=facts)

    rows = [
        row("C-1", 15, "3", slippage_money="7.5", slippage_bps="12.5", delay_s="1.25", retries=2),
        row("C-2", 15, "3", slippage_money="-1", slippage_bps="-2", delay_s="0.5"),
        row("C-3", 15, "0"),
        row("C-4", 16, "1", status="partially_filled", slippage_money="1", slippage_bps="3", delay_s="9"),
        row("C-4", 16, "3", slippage_money="2", slippage_bps="4", delay_s="60"),
        row("C-5", 15, "3", symbol="QQQ", broker=None),
        row("C-6", 15, "3", currency="EUR", slippage_money="5", slippage_bps="1"),
        row("C-7", 15, "3", account="other"),
    ]
    bigquery_history.append(rows, NOW)
    sql = "SELECT * FROM `{dataset}.execution_statistics` WHERE account = 'demo'"
    viewed = {(r["symbol"], r["broker"], r["hour"], r["currency"]): r for r in bigquery_history.query(sql)}
    read = ExecutionLog(bigquery_history).read("demo", NOW - timedelta(days=1))
    found = statistics(read, [By.SYMBOL, By.BROKER, By.HOUR], ZoneInfo("UTC"))
    summed = {(*one.key, one.currency): one for one in found}
    assert len(summed) == 4
    assert viewed.keys() == summed.keys()
    for key, one in summed.items():
        for name in ("commands", "filled", "rejected", "most_retries", "slippage_money", "fees"):
            assert viewed[key][name] == getattr(one, name), (key, name)
        for name in (
            "filled_pct",
            "slippage_bps",
            "worst_slippage_bps",
            "delay_s",
            "worst_delay_s",
            "retries",
        ):
            ours, theirs = getattr(one, name), viewed[key][name]
            assert (ours is None) is (theirs is None), (key, name)
            assert ours is None or abs(ours - Decimal(str(theirs))) < Decimal("1e-8"), (key, name)
    assert (summed["SPY", "paper", 15, "USD"].commands, summed["SPY", "paper", 16, "USD"].delay_s) == (3, 60)


@pytest.mark.emulators
def test_the_day_is_summed_exactly(bigquery_history: BigQueryHistory) -> None:
    bigquery_history.append([fill(str(n), price="0.1", session="2026-11-20") for n in range(3)], NOW)
    sql = "SELECT session, SUM(price) AS total FROM `{dataset}.fills_latest` GROUP BY session"
    assert bigquery_history.query(sql) == [{"session": date(2026, 11, 20), "total": Decimal("0.3")}]


@pytest.mark.emulators
def test_days_that_changed_after_they_were_over_can_be_queried(bigquery_history: BigQueryHistory) -> None:
    """R8.6, R7.4: a restatement is one row, before and after, however often its row was appended."""
    sums = {"realised": "100", "fees": "1.5", "income": "0", "flow": "0"}
    detail = {
        "session": "2026-11-18",
        "currency": "USD",
        "before": {**sums, "net": "98.5"},
        "after": {**sums, "realised": "-20.25", "net": "-21.75"},
    }
    made = audit_row("r-1", "account:demo", "day_restated", "fills", "late", NOW, detail=detail)
    other = audit_row("r-2", "account:demo", "account_created", "ann", "", NOW, detail={"session": "x"})
    bigquery_history.append([made, other, made], NOW)
    [row] = bigquery_history.query("SELECT * FROM `{dataset}.restatements`")
    assert (row["account"], row["session"], row["currency"]) == ("demo", date(2026, 11, 18), "USD")
    assert (row["net_before"], row["net_after"]) == (Decimal("98.5"), Decimal("-21.75"))
    assert row["realised_after"] == Decimal("-20.25")


def test_memory_has_no_sql() -> None:
    assert differs("sql", "memory")
    with pytest.raises(NotImplementedError, match="latest"):
        MemoryHistory().query("SELECT 1")


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryHistory]:
    """A BigQuery that refuses connections."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"{HOST}:{free_port()}")
    history = BigQueryHistory("ds", "nowhere", timeout_s=0.6, query_timeout_s=1.2)
    yield history
    history.close()


CALLS = [lambda h: h.append([fill("1")], NOW), lambda h: h.query("SELECT 1")]


@pytest.mark.parametrize("call", CALLS)
def test_beside_firestores_emulator_google_s_own_bigquery_is_never_asked(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[BigQueryHistory], Any]
) -> None:
    """R7.4: a stack without the emulator says what is missing, and no row of it reaches a real project."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"{HOST}:1")
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
    with pytest.raises(Unavailable, match="make setup"):
        call(BigQueryHistory("ds", "nowhere"))


@pytest.mark.parametrize("call", CALLS)
def test_an_outage_is_unavailable_in_time(
    lost: BigQueryHistory, call: Callable[[BigQueryHistory], Any]
) -> None:
    """The client's own retry would take ten minutes: R8.5."""
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        call(lost)
    assert time.monotonic() - begun < 4
