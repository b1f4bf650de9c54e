"""The tables say the same everywhere: to Terraform, to the emulator, to the adapters, to people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emulators.topology import ROOT
from stopline.adapters.schemas import COMMON, TABLES

FOLDER = ROOT / "infra" / "schemas" / "bigquery"
LAYOUT: dict[str, dict[str, Any]] = json.loads((ROOT / "infra" / "schemas" / "tables.json").read_text())


def fields(table: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads((FOLDER / f"{table}.json").read_text())
    return found


def test_there_is_a_schema_a_layout_and_a_view_for_every_table() -> None:
    """History in BigQuery: R0.3."""
    assert {path.stem for path in FOLDER.glob("*.json")} == set(TABLES) == set(LAYOUT)
    views = {f"{table}_latest" for table in TABLES}
    views |= {"conflicting_events", "execution_statistics", "restatements", "trade_history"}
    assert {path.stem for path in (FOLDER / "views").glob("*.sql")} == views


@pytest.mark.parametrize("table", TABLES)
def test_the_adapters_know_every_column_and_no_other(table: str) -> None:
    assert {field["name"]: field["type"] for field in fields(table)} == {**TABLES[table], **COMMON}


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_described_and_only_the_adapters_own_are_required(table: str) -> None:
    """A column that is not required can be missing from a message of an older version."""
    for field in fields(table):
        assert field.keys() == {"name", "type", "mode", "description"}
        assert field["description"]
        required = field["name"] in {"event_id", "ingested_at"}
        assert field["mode"] == ("REQUIRED" if required else "NULLABLE")
        if field["type"] == "NUMERIC":
            assert "9 decimals" in field["description"]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_partitioned_by_day_and_clustered_by_columns_it_has(table: str) -> None:
    layout, types = LAYOUT[table], {field["name"]: field["type"] for field in fields(table)}
    assert layout["partition_type"] == "DAY"
    assert types[layout["partition_by"]] in {"DATE", "TIMESTAMP"}
    assert 1 <= len(layout["cluster_by"]) <= 4
    assert all(types[name] == "STRING" for name in layout["cluster_by"])


def test_the_conflict_view_looks_at_every_table() -> None:
    sql = (FOLDER / "views" / "conflicting_events.sql").read_text()
    assert all(f"`{{dataset}}.{table}`" in sql for table in TABLES)
