"""Rows for BigQuery: what the use cases write are the columns that the tables have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stopline.adapters.schemas import record
from stopline.model.control import ControlRequest
from stopline.model.messages import History, HistoryRow
from stopline.model.prices import PriceBatch, Quote
from stopline.model.wire import validate
from stopline.ports import RowFault
from stopline.service.history.rows import fill_row, history_effect, numeric

from ..make import BEGUN, NOON, account, fill, fold, trade
from .world import World

SCHEMAS = Path(__file__).parents[3] / "infra" / "schemas" / "bigquery"
OWN = {"event_id", "content_hash", "ingested_at", "detail"}  # the history function adds them


def columns(table: str) -> dict[str, str]:
    return {c["name"]: c["type"] for c in json.loads((SCHEMAS / f"{table}.json").read_text())}


@pytest.fixture(scope="module")
def rows() -> dict[str, list[HistoryRow]]:
    """Every kind of row that a day makes: fills, positions, snapshots, decisions."""
    world = World()
    app, _ = world.instance()
    app.account_writer.create(account(), "ann")
    app.recorder.record(
        [trade(-2, 100, 100, fee="1.25", order_id="O-1", group_id="G-1"), trade(-1, -50, 101)], "m-1"
    )
    app.marker.mark(PriceBatch("feed", NOON, {"SPY": Quote(101.0)}, ()))
    facts = {"request_id": "r-1", "scope": "account:demo", "action": "pause", "actor": "ann", "reason": "x"}
    app.trading.set(ControlRequest.model_validate(facts))
    found: dict[str, list[HistoryRow]] = {}
    for body in world.bus.bodies("history"):
        for row in validate(History, body).rows:
            found.setdefault(row.table, []).append(row)
    return found


def every(rows: dict[str, list[HistoryRow]]) -> Iterator[HistoryRow]:
    for some in rows.values():
        yield from some


def test_a_day_writes_to_these_tables(rows: dict[str, list[HistoryRow]]) -> None:
    """R7.1, R7.4."""
    assert {table: len(some) for table, some in rows.items()} == {
        "audit": 2,
        "fills": 2,
        "positions": 1,
        "account_snapshots": 1,
    }


@pytest.mark.parametrize("table", ["fills", "positions", "account_snapshots", "audit"])
def test_the_columns_of_a_row_are_those_of_its_table(rows: dict[str, list[HistoryRow]], table: str) -> None:
    """F52: a field without a column would be hidden in `detail`; a column without a field is always null."""
    for row in rows[table]:
        assert set(row.row) - {"detail"} == set(columns(table)) - OWN


def test_every_row_is_one_that_the_history_takes(rows: dict[str, list[HistoryRow]]) -> None:
    """F52: types, too; and nothing was unknown to the table."""
    for row in every(rows):
        taken = record(row, NOON)
        assert not isinstance(taken, RowFault), taken
        assert "unknown_fields" not in json.loads(taken["detail"])


def test_every_event_has_an_id_of_its_own(rows: dict[str, list[HistoryRow]]) -> None:
    """F53: the views keep one row an id."""
    for some in rows.values():
        assert len({row.event_id for row in some}) == len(some)


def test_the_row_of_a_fill_says_what_the_broker_said(rows: dict[str, list[HistoryRow]]) -> None:
    """R7.2, R7.4."""
    first = rows["fills"][0].row
    said = [first[name] for name in ("fill_id", "side", "quantity", "price", "fee", "fee_currency")]
    assert said == ["E--2", "BUY", "100", "100", "1.25", "USD"]
    assert (first["session"], first["order_id"], first["group_id"]) == ("2026-11-18", "O-1", "G-1")


def test_the_detail_has_every_digit() -> None:
    """R8.5: NUMERIC keeps nine decimals, the record keeps all."""
    exact = fill(quantity="0.123456789012", note="kept")
    row = fill_row(exact, NOON.date())
    detail: dict[str, Any] = json.loads(row.row["detail"])
    assert detail["quantity"] == "0.123456789012"
    assert detail["note"] == "kept"
    taken = record(row, NOON)
    assert not isinstance(taken, RowFault)
    assert taken["quantity"] == "0.123456789"


def test_the_row_of_a_position_is_the_fold(rows: dict[str, list[HistoryRow]]) -> None:
    """R1.3, R1.8."""
    [row] = rows["positions"]
    position, _ = fold([trade(-2, 100, 100, fee="1.25"), trade(-1, -50, 101)])
    facts = row.row
    assert (facts["quantity"], facts["realised"], facts["fees"]) == (
        str(position.quantity),
        str(position.realised),
        str(position.fees),
    )
    assert facts["book_revision"] == BEGUN + 1
    assert facts["average_price"] == "100"


def test_the_effect_of_the_same_rows_has_the_same_id() -> None:
    """I5."""
    one, other = fill_row(fill("E-1"), NOON.date()), fill_row(fill("E-2"), NOON.date())
    assert history_effect("demo", [one, other]) == history_effect("demo", [one, other])
    assert history_effect("demo", [one]).id != history_effect("demo", [other]).id
    assert history_effect("demo", [one]).id != history_effect("demo", [one, other]).id


def test_no_number_is_no_number() -> None:
    """I7: UNKNOWN is null in the history, never 0."""
    assert numeric(None) is None
    assert numeric(Decimal("1.50")) == "1.5"
