"""Rows that were lost or doubled between the store and the history are found and told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner

from emulators.topology import ROOT
from stopline.cli.main import main
from stopline.model.control import ControlRequest
from stopline.model.times import utc_text
from stopline.ports import Delete, Put, Unavailable
from stopline.runtime.embedded import Embedded
from stopline.service.history import verify
from stopline.service.history.load_closes import load_closes
from stopline.service.history.verify import PARTITIONS, Tally, digest_of

from ..make import NOON, account, raw_fill

SCHEMAS = ROOT / "infra" / "schemas"
LATER = timedelta(hours=2)


class Desk(Embedded):
    """A Stopline with fills and changes of an hour and more ago."""

    def __init__(self) -> None:
        super().__init__(NOON)
        self.app.account_writer.create(account(), "ann")
        self.some("E", 5)
        self.clock.set(NOON + LATER)

    def some(self, name: str, count: int) -> None:
        now = utc_text(self.clock.now())
        for number in range(count):
            body = raw_fill(f"{name}-{number}", executed_at=now)
            self.publish("fills", body, {"account": "demo", "broker": "paper"})
        facts = {"request_id": f"r-{name}", "scope": "account:demo", "action": "pause", "actor": "ann"}
        self.app.trading.set(ControlRequest.model_validate({**facts, "reason": "test"}))
        self.run()

    def told(self) -> list[str]:
        sent = {s.alert.alert_id: s.alert for s in self.channels["email"].sent}
        return [alert.summary for alert in sent.values() if alert.kind == "history_differs"]

    def end_of_day(self) -> None:
        verifier = self.app.sweep.history_verifier
        assert verifier is not None
        verifier.verify(self.clock.now())
        self.run()

    def verify(self) -> tuple[int, dict[str, Any]]:
        given = ["history", "verify", "--since", utc_text(NOON - LATER), "--json"]
        result = CliRunner().invoke(main, given, obj=lambda: self.app)
        return result.exit_code, json.loads(result.output)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def days(facts: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    return {
        d["table"]: (d["store"]["ids"], d["history"]["ids"], d["history"]["more_rows"]) for d in facts["days"]
    }


def test_a_history_that_is_whole_says_so_and_tells_nobody(desk: Desk) -> None:
    """R8.5: a row that came twice is one event, as the views show it."""
    desk.history.rows["fills"].append(dict(desk.history.rows["fills"][0]))
    code, facts = desk.verify()
    assert code == 0
    assert days(facts) == {"fills": (5, 5, 1), "audit": (2, 2, 0)}
    assert all(d["store"]["digest"] == d["history"]["digest"] for d in facts["days"])
    desk.end_of_day()
    assert desk.told() == []


def test_fills_are_read_page_by_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: some share a moment."""
    for number in range(7):
        body = raw_fill(f"P-{number}", executed_at=utc_text(NOON + timedelta(seconds=number // 2)))
        desk.publish("fills", body, {"account": "demo", "broker": "paper"})
    desk.run()
    monkeypatch.setattr(verify, "PAGE", 8)
    code, facts = desk.verify()
    assert (code, days(facts)["fills"]) == (0, (12, 12, 0))


@pytest.mark.parametrize("table", ["fills", "audit"])
def test_a_row_that_is_missing_is_named_and_told_once(desk: Desk, table: str) -> None:
    """F52: and again on the second day, in the same words: one alert."""
    lost = desk.history.rows[table].pop(1)["event_id"]
    code, facts = desk.verify()
    [day] = [d for d in facts["days"] if d["missing"]]
    assert (code, day["table"], day["missing"], day["extra"]) == (1, table, [lost], [])
    assert day["store"]["digest"] != day["history"]["digest"]
    for _ in range(2):
        desk.end_of_day()
        assert desk.told() == [f"1 of {table} of 2026-11-18 are not in the history: {lost}"]


def test_a_fill_that_only_the_history_has_is_told(desk: Desk) -> None:
    """F54: somebody has deleted from the store, or it was restored."""
    [first, *_] = desk.store.query("fills")
    desk.store.commit([Delete(first.path)])
    desk.end_of_day()
    assert desk.told() == [
        f"1 of fills of 2026-11-18 are in the history, and not in the store: {first.path.id}"
    ]


def test_a_fill_that_is_booked_while_it_is_looked_is_not_told(desk: Desk) -> None:
    """A late one: the store was asked before it came, the history after."""
    [first, *_] = desk.store.query("fills")
    missing = desk.store.query

    def before(collection: str, *more: Any, **how: Any) -> Any:
        return [d for d in missing(collection, *more, **how) if d.path != first.path]

    desk.store.query = before  # type: ignore[method-assign]
    desk.end_of_day()
    assert desk.told() == []


@pytest.mark.parametrize("table", ["fills", "audit", "positions"])
def test_two_rows_of_one_id_with_other_content_are_told_once(desk: Desk, table: str) -> None:
    """F53: in any table; the view `conflicting_events` lists the same."""
    row = desk.history.rows[table][0]
    desk.history.rows[table].append({**row, "detail": "{}"})
    for _ in range(2):
        desk.end_of_day()
        [text] = desk.told()
    assert text == f"1 ids of {table} have rows in the history that say different things: {row['event_id']}"
    assert desk.verify()[1]["conflicts"] == {table: [row["event_id"]]}


def test_closes_that_a_person_loads_twice_are_no_conflict(desk: Desk) -> None:
    """R6.3: the same command again, a minute later."""
    closes = {("SPY", NOON.date()): Decimal(100)}
    for _ in range(2):
        load_closes(desk.history, desk.clock, "XNYS", closes)
        desk.clock.set(desk.clock.now() + timedelta(minutes=1))
    assert [row["as_of"] for row in desk.history.rows["closes"]] != [NOON + LATER] * 2
    assert "closes" not in desk.verify()[1]["conflicts"]


def test_what_is_on_its_way_is_not_missing_yet(desk: Desk) -> None:
    """A row may take an hour, by when it was committed, whenever it was executed."""
    desk.history.rows["fills"].clear()
    desk.history.rows["audit"].clear()
    assert [len(t.missing) for t in compared(desk, NOON + timedelta(minutes=59))] == [0, 0]
    assert [len(t.missing) for t in compared(desk, NOON + timedelta(minutes=61))] == [5, 2]


def compared(desk: Desk, now: datetime) -> Sequence[Tally]:
    """Compare as if it were `now`, and all had been committed at noon."""
    for document in desk.store.query("fills"):
        desk.store.commit([Put(document.path, {**document.data, "booked_at": NOON})])
    assert desk.app.sweep.history_verifier is not None
    return desk.app.sweep.history_verifier.compare(NOON - LATER, now, now).tallies


def test_while_the_history_is_away_the_round_goes_on_and_the_next_day_tells(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F52: nothing is claimed that nobody knows."""
    desk.history.rows["fills"].pop()

    def down(*asked: object) -> None:
        raise Unavailable("BigQuery is down")

    with monkeypatch.context() as patch:
        patch.setattr(desk.history, "kept", down)
        desk.end_of_day()
        assert desk.told() == []
    desk.clock.set(desk.clock.now() + timedelta(hours=24))
    desk.end_of_day()
    assert len(desk.told()) == 1


def test_days_that_were_not_compared_are_compared_as_soon_as_the_history_is_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F52: however many ends of a day it was away; where it ended is known to whatever instance comes next."""
    desk.end_of_day()
    desk.some("L", 1)
    desk.history.rows["fills"].pop()

    def down(*asked: object) -> None:
        raise Unavailable("BigQuery is down")

    with monkeypatch.context() as patch:
        patch.setattr(desk.history, "kept", down)
        for _ in range(5):
            desk.clock.set(desk.clock.now() + timedelta(days=1))
            desk.end_of_day()
    desk.clock.set(desk.clock.now() + timedelta(days=1))
    desk.end_of_day()
    assert len(desk.told()) == 1


@pytest.mark.parametrize("collection", ["fills", "controls", "journals"])
def test_with_the_store_down_the_round_fails_and_nothing_is_told_or_taken_as_compared(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, collection: str
) -> None:
    """F13, F52: an outage is neither a history that is whole nor one that differs, and the sweep comes again."""
    desk.history.rows["fills"].pop()
    query = desk.store.query

    def down(asked: str, *more: Any, **how: Any) -> Any:
        if asked == collection:
            raise Unavailable("Firestore is down")
        return query(asked, *more, **how)

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "query", down)
        with pytest.raises(Unavailable, match="Firestore is down"):
            desk.end_of_day()
        given = ["history", "verify", "--since", utc_text(NOON - LATER)]
        result = CliRunner().invoke(main, given, obj=lambda: desk.app)
        assert (result.exit_code, result.output) == (
            1,
            "stopline: not compared, try again: Firestore is down\n",
        )
    desk.run()
    assert desk.told() == []
    desk.end_of_day()
    assert len(desk.told()) == 1


def test_the_days_of_the_tables_are_those_of_the_schemas() -> None:
    """So that a comparison reads the days that it is about, and no more."""
    tables = json.loads((SCHEMAS / "tables.json").read_text())
    columns = {
        name: {c["name"]: c["type"] for c in json.loads((SCHEMAS / "bigquery" / f"{name}.json").read_text())}
        for name in tables
    }
    expected = {n: (t["partition_by"], columns[n][t["partition_by"]] == "DATE") for n, t in tables.items()}
    assert expected == PARTITIONS


def test_the_digest_is_of_the_set(desk: Desk) -> None:
    """Reliability 8: one that is lost and one that is doubled do not make up for each other."""
    assert digest_of({}) == "0" * 16
    assert digest_of(dict.fromkeys("ab")) == digest_of(dict.fromkeys("ba"))
    assert len({digest_of(dict.fromkeys(ids)) for ids in ("a", "b", "ab", "abc")}) == 4
