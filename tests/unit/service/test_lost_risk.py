"""A risk document that a hand outside Stopline deleted: its peak is gone, and entries wait for two people."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stopline.model.control import ControlRequest, TradingState
from stopline.model.ids import document_id
from stopline.ports import Delete, Path
from stopline.runtime.app import App

from ..make import account, trade
from .test_breakers_over_time import DEMO, holding, read
from .world import World

RISK = Path("risk", document_id("demo"))


def lost(world: World) -> list[dict[str, object]]:
    return [a for a in world.bus.bodies("alerts") if "risk of account demo was deleted" in a["summary"]]


def after_days(world: World, app: App) -> None:
    """A peak, and a day later a price below it."""
    for price in (100.0, 101.0, 101.0):
        read(world, app, price, sweep=True, seconds=30)
    world.clock.set(world.clock.now() + timedelta(days=1))
    for _ in range(2):
        read(world, app, 100.5, sweep=True, seconds=30)


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("sweep", [True, False])
def test_a_risk_document_that_was_deleted_stops_until_two_people_resume(sweep: bool, is_new: bool) -> None:
    """R5.1, I7: found by the next price or sweep, of a new instance or of one that has it cached; told once."""
    world, app = holding()
    after_days(world, app)
    assert app.trading.standing(DEMO).state is TradingState.ACTIVE
    world.shared.commit([Delete(RISK)])
    app = world.instance()[0] if is_new else app
    for _ in range(3):
        read(world, app, 100.5, sweep=sweep, seconds=61)
        standing = app.trading.standing(DEMO)
        assert standing.state is TradingState.REDUCING
        assert [hold.people for hold in standing.holds.values()] == [2]
    assert [a["severity"] for a in lost(world)] == ["critical"]


def test_a_loss_under_a_halt_is_told_and_two_people_end_it_too() -> None:
    """R5.1: it stays as strict as it was."""
    world, app = holding()
    after_days(world, app)
    halt = {
        "request_id": "k",
        "scope": DEMO,
        "action": "kill",
        "actor": "ann",
        "reason": "x",
        "flatten": False,
    }
    app.trading.set(ControlRequest.model_validate(halt))
    world.shared.commit([Delete(RISK)])
    app, _ = world.instance()
    read(world, app, 100.5, sweep=True)
    standing = app.trading.standing(DEMO)
    assert (standing.state, max(hold.people for hold in standing.holds.values())) == (TradingState.HALTED, 2)
    assert len(lost(world)) == 1


def test_the_first_fill_of_a_new_account_is_no_loss() -> None:
    """R5.1: nor is one that a sweep and a price see at once, in two instances."""
    world = World()
    world.open_account(account())
    app, store = world.instance()
    other, _ = world.instance()
    read(world, app, 100.0, sweep=True)
    app.recorder.record([trade(-1, 1000, 100)], "m-1")

    def faster(_: object) -> None:
        read(world, other, 100.0, sweep=True)

    store.faults = [faster]
    for _ in range(2):
        read(world, app, 100.0, sweep=True, seconds=30)
    assert app.trading.standing(DEMO).state is TradingState.ACTIVE
    assert (lost(world), world.count("measures")) == ([], 1)
