"""stopline quarantine: what was refused is brought back as what it was, or dropped, each item on record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stopline.brokers import read
from stopline.cli.main import main
from stopline.model.fill import Fill
from stopline.model.messages import HistoryRow
from stopline.ports import Outgoing, RowFault
from stopline.runtime.embedded import Embedded
from stopline.service.history.rows import fill_row, history_effect

from ..brokers.samples import SAMPLES
from ..make import NOON, account, fill, raw_fill

WITH_FILLS = [name for name, sample in SAMPLES.items() if sample.fills]


@pytest.fixture
def world() -> Embedded:
    return Embedded(NOON)


def stopline(world: Embedded, *given: str) -> Result:
    result = CliRunner().invoke(main, ["quarantine", *given], obj=lambda: world.app)
    world.run()
    return result


def listed(world: Embedded) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(stopline(world, "list", "--json").output)
    return found


def on_record(world: Embedded) -> list[tuple[str, str]]:
    rows = world.history.latest("audit")
    return [(row["event"], row["reason"]) for row in rows if row["event"].startswith("message_")]


def test_each_item_of_a_message_that_is_settled_is_on_record(world: Embedded) -> None:
    """R8: two fills of one list, within the same minute; one record would say that the other one is still there."""
    bodies = [raw_fill("E-1"), raw_fill("E-2"), raw_fill("E-3")]
    world.publish("fills", {"type": "stopline.fills.v1", "fills": bodies}, {"broker": "paper"})
    world.run()
    ids = [one["id"] for one in listed(world)]
    assert len(ids) == 3
    world.app.account_writer.create(account(), "ann")
    assert stopline(world, "redrive", ids[0]).exit_code == 0
    for id_ in ids[1:]:
        assert stopline(world, "drop", id_, "--reason", f"not ours: {id_[-4:]}").exit_code == 0
    dropped = [("message_dropped", f"not ours: {id_[-4:]}") for id_ in ids[1:]]
    assert sorted(on_record(world)) == sorted([*dropped, ("message_redriven", "")])
    assert len(world.store.query("fills")) == 1


@pytest.mark.parametrize("name", WITH_FILLS)
def test_what_could_be_read_and_not_be_booked_comes_back_as_the_fill_that_it_was(name: str) -> None:
    """B48: whatever the dialect, and also out of a message of several, whose other parts an item does not have."""
    sample = SAMPLES[name]
    attributes = {"broker": sample.broker, **sample.attributes}
    fills = [item.fill for item in read(sample.text.encode(), attributes) if item.fill]
    world = Embedded(max(fill.executed_at for fill in fills) + timedelta(hours=1))
    world.bus.publish([Outgoing("fills", sample.text.encode(), attributes)])
    world.run()
    kept = listed(world)
    assert [one["reason"] for one in kept] == ["UNKNOWN_ACCOUNT"] * len(fills)
    for one in kept:
        assert stopline(world, "redrive", one["id"]).exit_code == 0
    again = [one for one in listed(world) if one["status"] == "open"]
    assert [one["reason"] for one in again] == ["UNKNOWN_ACCOUNT"] * len(fills), "it could be read again"
    assert sorted(hashes(world, again)) == sorted(fill.hash for fill in fills)


def hashes(world: Embedded, kept: Sequence[dict[str, Any]]) -> list[str]:
    shown = [json.loads(stopline(world, "show", one["id"], "--json").output) for one in kept]
    return [Fill.model_validate_json(one["text"]).hash for one in shown]


def test_a_row_that_bigquery_refused_is_appended_when_it_comes_back(
    world: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F52: after the table was mended, say; a row alone is no message."""
    append, refused = world.history.append, ["paper:demo:E-1", "paper:demo:E-2"]

    def refuses(rows: Sequence[HistoryRow], at: datetime) -> list[RowFault]:
        wrong = [row for row in rows if row.event_id in refused]
        append([row for row in rows if row not in wrong], at)
        return [RowFault(row.event_id, row.table, "too many digits") for row in wrong]

    rows = [fill_row(fill(f"E-{n}"), NOON.date()) for n in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(world.history, "append", refuses)
        world.app.relay.publish([history_effect("demo", rows)])
        world.run()
    assert [one["reason"] for one in listed(world)] == ["ROW_REFUSED"] * 2
    for one in listed(world):
        assert stopline(world, "redrive", one["id"]).exit_code == 0
    assert {one["status"] for one in listed(world)} == {"redriven"}
    assert sorted(row["fill_id"] for row in world.history.latest("fills")) == ["E-0", "E-1", "E-2"]
    assert len(on_record(world)) == 2


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_nothing_is_dropped_without_a_reason(world: Embedded, reason: str) -> None:
    """R8: what goes on record says why."""
    world.publish("fills", raw_fill(), {"broker": "paper"})
    world.run()
    [one] = listed(world)
    refused = stopline(world, "drop", one["id"], "--reason", reason)
    assert (refused.exit_code, "reason" in refused.output) == (2, True)
    assert [kept["status"] for kept in listed(world)] == ["open"]
    assert on_record(world) == []
