"""The audit trail is followed on each day, from where it was found whole; what is broken is told once, and at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from stopline.model.control import ControlRequest
from stopline.model.ids import document_id
from stopline.model.messages import Sweep, SweepKind
from stopline.ports import Delete, Path, Put
from stopline.service.audit.chain import row_path
from stopline.service.audit.verify import VERIFIED

from .world import World

DEMO = "account:demo"
CONTROL = Path("controls", document_id(DEMO))


def write(world: World, rows: int) -> None:
    """Have so many rows more in the chain of demo's trading state."""
    app, _ = world.instance()
    for _ in range(rows):
        seq = world.document("controls", DEMO)
        facts = {"scope": DEMO, "action": "pause", "actor": "ann", "reason": "test"}
        number = orjson.loads(seq["state"])["chain_seq"] if seq else 0
        app.trading.set(ControlRequest.model_validate({"request_id": f"r-{number}", **facts}))


def verify(world: World, **more: Any) -> dict[str, str]:
    app, _ = world.instance()
    return app.sweep.audit_verifier.verify(world.clock.now(), **more)


def told(world: World) -> list[tuple[str, bool]]:
    found = {a["alert_id"]: a for a in world.bus.bodies("alerts") if a["kind"] == "audit_broken"}
    return [(a["object"], a["resolved"]) for a in found.values()]


def alter(world: World, number: int, **more: Any) -> dict[str, Any]:
    path = row_path(DEMO, number)
    found = world.shared.get(path)
    assert found is not None
    row = {**orjson.loads(found.data["row"]), **more}
    world.shared.commit([Put(path, {**found.data, "row": orjson.dumps(row).decode()})])
    return found.data


def cut(world: World) -> None:
    """Have the document forget its last row."""
    data = world.document("controls", DEMO)
    assert data is not None
    state = {**orjson.loads(data["state"]), "chain_seq": 2}
    world.shared.commit([Put(CONTROL, {**data, "state": orjson.dumps(state).decode()})])


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account()
    write(made, 3)
    return made


def test_the_end_of_the_day_reads_the_rows_since_the_last_one_and_one_more(world: World) -> None:
    """R7, reliability 6: cheap, however long the trail is."""
    app, store = world.instance()
    app.sweeper.run(Sweep(kind=SweepKind.END_OF_DAY), world.clock.now(), "m-1")
    state = orjson.loads(world.document("heartbeats", "audit")["state"])  # type: ignore[index]
    assert state["whole"][DEMO][0] == 3
    assert state["broken"] == {}
    write(world, 2)
    asked: list[str] = []
    get_all = store.get_all
    store.get_all = lambda paths: (asked.extend(p.id for p in paths), get_all(paths))[1]  # type: ignore[method-assign]
    assert app.sweep.audit_verifier.verify(world.clock.now()) == {}
    assert [id_[-1] for id_ in asked if "account" in id_] == ["3", "4", "5"]
    assert told(world) == []


def test_what_one_run_does_not_reach_the_next_one_does(world: World) -> None:
    """A trail that grew by more than a run takes: no row is passed over."""
    verify(world, most=2)
    alter(world, 3, reason="nothing happened")
    assert "row 3 was altered" in verify(world)[DEMO]


BREAKS: dict[str, tuple[Callable[[World], object], str]] = {
    "a row was removed": (lambda w: w.shared.commit([Delete(row_path(DEMO, 4))]), "row 4 is missing"),
    "a row was altered": (lambda w: alter(w, 4, reason="x"), "row 4 was altered"),
    "a row is no row": (
        lambda w: w.shared.commit([Put(row_path(DEMO, 4), {"row": "{"})]),
        "row 4 was altered",
    ),
    "another row stands there": (lambda w: alter(w, 4, seq=5), "row 4 was altered"),
    "the last whole row was altered": (lambda w: alter(w, 3, actor="bob"), "row 3 was altered or removed"),
    "the end was taken back": (cut, "it ends at row 2, and row 3 was there"),
    "the end is gone": (
        lambda w: w.shared.commit([Delete(CONTROL)]),
        "the document that knows its last row is missing",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_told_once_until_the_trail_is_whole_again(world: World, name: str) -> None:
    """R5.1, reliability 6: a daily verifier; critical, to the operator."""
    verify(world)
    write(world, 2)
    kept = {d.path: d.data for c in ("audit", "controls") for d in world.shared.query(c)}
    harm, why = BREAKS[name]
    harm(world)
    for _ in range(2):
        assert why in verify(world)[DEMO]
    assert told(world) == [(DEMO, False)]
    [alert] = {a["alert_id"]: a for a in world.bus.bodies("alerts") if a["kind"] == "audit_broken"}.values()
    assert (alert["severity"], alert["account"]) == ("critical", None)
    world.shared.commit([Put(path, data) for path, data in kept.items()])
    assert verify(world) == {}
    assert told(world) == [(DEMO, False), (DEMO, True)]
    assert world.shared.get(VERIFIED) is not None


def test_a_second_break_of_the_same_kind_is_told_as_the_first_was(world: World) -> None:
    """R5.1, R7: and its end too."""
    verify(world)
    was = world.document("controls", DEMO)
    assert was is not None
    for _ in range(2):
        world.wait(60)
        world.shared.commit([Delete(CONTROL)])
        for _ in range(2):
            assert verify(world)
        world.shared.commit([Put(CONTROL, was)])
        assert verify(world) == {}
    assert told(world) == [(DEMO, False), (DEMO, True)] * 2


def test_a_break_that_an_earlier_version_has_found_ends_as_any(world: World) -> None:
    """R6: what it stored does not say since when."""
    verify(world)
    kept = world.document("heartbeats", "audit")
    assert kept is not None
    state = {**orjson.loads(kept["state"]), "broken": {DEMO: f"{DEMO}: row 3 was altered"}}
    state.pop("since", None)
    world.shared.commit([Put(VERIFIED, {**kept, "state": orjson.dumps(state).decode()})])
    assert verify(world) == {}
    assert told(world) == [(DEMO, True)]


def test_a_broken_trail_stops_no_round(world: World) -> None:
    """I10."""
    world.shared.commit([Delete(row_path(DEMO, 2))])
    app, _ = world.instance()
    app.sweeper.run(Sweep(kind=SweepKind.END_OF_DAY), world.clock.now(), "m-1")
    assert told(world) == [(DEMO, False)]
    assert world.document("heartbeats", "end_of_day") is not None
