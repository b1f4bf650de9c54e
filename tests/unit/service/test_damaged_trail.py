"""Rows of the audit trail that a hand outside Stopline has damaged: a trading state that is lost is killed all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from stopline.model.control import TradingState
from stopline.model.ids import document_id
from stopline.ports import Data, Delete, Path, Put
from stopline.rules.trading.state import AHEAD
from stopline.service.audit.chain import rows_of
from stopline.service.audit.journal import journal_effect
from stopline.service.history.rows import audit_row

from .test_regrow import asked, lose, sweep
from .world import World

DEMO = "account:demo"


def without(field: str) -> Callable[[Data], Data]:
    return lambda data: {k: v for k, v in data.items() if k != field}


def saying(**facts: Any) -> Callable[[Data], Data]:
    """Say something else; None: nothing of it."""

    def damaged(data: Data) -> Data:
        row = {**orjson.loads(data["row"]), **facts}
        text = orjson.dumps({name: value for name, value in row.items() if value is not None}).decode()
        return {**data, "row": text}

    return damaged


DAMAGES: dict[str, Callable[[Data], Data]] = {
    "it is empty": lambda data: {},
    "its text is cut": lambda data: {**data, "row": "{"},
    "no chain": without("chain"),
    "no event": saying(event=None),
    "an event that is none": saying(event=7),
    "no actor": saying(actor=None),
    "no detail": saying(detail=None),
    "an epoch that no document holds": saying(epoch=2**63 - 1),
    "an epoch that is no number": saying(epoch="x"),
}


@pytest.mark.parametrize("which", [0, -1, None])
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damaged_row_keeps_a_lost_state_from_being_killed(damage: str, which: int | None) -> None:
    """R5.1, F41: the first row, the last one, or all; by a person, and by the sweep that finds the loss."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    for n in range(3):
        app.trading.set(asked(DEMO, f"p-{n}", action="pause", reason=f"reason {n}"))
    app.trading.set(asked(DEMO, "k-1", flatten=False))
    sweep(world)
    rows = sorted(
        (d for d in world.shared.query("audit") if d.data["chain"] == DEMO), key=lambda d: int(d.data["seq"])
    )
    for document in rows if which is None else [rows[which]]:
        world.shared.commit([Put(document.path, DAMAGES[damage](document.data))])
    lose(world, app, DEMO, None)
    standing = world.instance()[0].trading.set(asked(DEMO, "k-2"))
    assert (standing.state, standing.flatten) == (TradingState.HALTED, True)
    assert AHEAD < standing.epoch < 10 * AHEAD
    lose(world, app, DEMO, None)
    sweep(world)
    assert world.instance()[0].trading.standing(DEMO).state is not TradingState.ACTIVE


def test_rows_without_their_chain_are_found_by_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """R5.1: beside ones that have it, over more of them than are read at once, and past one that is gone."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    monkeypatch.setattr("stopline.service.audit.chain.AT_ONCE", 3)
    for n in range(9):
        app.trading.set(asked(DEMO, f"p-{n}", action="pause", reason=f"reason {n}"))
    for document in world.shared.query("audit"):
        if document.data["chain"] != DEMO:
            continue
        if document.data["seq"] == 2:
            world.shared.commit([Delete(document.path)])
        elif document.data["seq"] not in (1, 5):
            world.shared.commit([Put(document.path, without("chain")(document.data))])
    assert [row["seq"] for row in rows_of(world.shared, DEMO)] == [1, 3, 4, 5, 6, 7, 8, 9]
    assert [row["seq"] for row in rows_of(world.shared, DEMO, 6)] == [1, 3, 4, 5, 6, 7, 8, 9]


def test_a_document_that_is_no_row_of_the_chain_is_none() -> None:
    """R5.1: a hand has put it there."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    app.trading.set(asked(DEMO))
    world.shared.commit([Put(Path("audit", "x"), {"chain": DEMO, "row": "{}"})])
    lose(world, app, DEMO, None)
    assert world.instance()[0].trading.set(asked(DEMO, "k-2")).state is TradingState.HALTED


def test_the_journal_of_an_account_goes_on_after_rows_without_their_chain() -> None:
    """R8."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    path = Path("journals", document_id("journal:demo"))
    says = (DEMO, "adjusted", "ann", "test", world.clock.now(), 0, ("", ""), {})
    rows = [audit_row(f"e-{n}", *says) for n in range(3)]
    app.journals.carry_out(journal_effect("demo", rows[:1]))
    before = world.shared.get(path)
    assert before is not None
    app.journals.carry_out(journal_effect("demo", rows[1:2]))
    world.shared.commit([Put(path, before.data)])
    for document in world.shared.query("audit"):
        world.shared.commit([Put(document.path, without("chain")(document.data))])
    world.instance()[0].journals.carry_out(journal_effect("demo", rows[2:]))
    known = rows_of(world.shared, "journal:demo")
    assert [row["event_id"] for row in known][-3:] == ["e-0", "e-1", "e-2"]
    assert [row["seq"] for row in known] == [1, 2, 3, 4]
