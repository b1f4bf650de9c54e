"""Stops of a strategy alone, and what each stop has cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.control import Control, ControlRequest
from stopline.model.errors import Rejected
from stopline.model.messages import Effect
from stopline.model.wire import validate

from .resume_calls import ACTIVE, DEMO, HALTED, REDUCING, ask
from .world import World


def test_a_strategy_is_halted_alone_under_the_accounts_epoch(world: World) -> None:
    """R5.1: the others trade on; every change of the account makes its epoch grow, which fences commands."""
    app, _ = world.instance()
    halted = ask(app, "kill", "k", "strategy:demo:core")
    assert (halted.state, halted.epoch) == (HALTED, 1)
    assert app.trading.for_order("demo", "core", "SPY")[:2] == (HALTED, 1)
    assert app.trading.for_order("demo", "other", "SPY")[:2] == (ACTIVE, 1)
    ask(app, "pause", "p", "underlying:demo:SPY")
    assert app.trading.for_order("demo", "other", "SPY")[:2] == (REDUCING, 2)
    assert app.trading.for_order("demo", "core", "SPY")[:2] == (HALTED, 2)
    assert app.trading.for_order("demo", "other", "QQQ")[:2] == (ACTIVE, 2)
    assert app.trading.for_account("demo")[:2] == (ACTIVE, 2)
    world.wait(60)
    assert ask(app, "resume", "r", "strategy:demo:core", expected_epoch=1).epoch == 3
    assert app.trading.for_order("demo", "core", "QQQ")[:2] == (ACTIVE, 3)


def test_a_resumed_account_does_not_resume_its_parts(world: World) -> None:
    app, _ = world.instance()
    ask(app, "kill", "k-1", "strategy:demo:core")
    ask(app, "kill", "k-2")
    world.wait(60)
    ask(app, "resume", "r")
    assert app.trading.for_order("demo", "core", "SPY").state is HALTED
    assert app.trading.for_order("demo", "other", "SPY").state is ACTIVE


@pytest.mark.parametrize("scope", ["strategy:demo", "account:", "desk:x", "underlying:demo:spy"])
def test_what_is_no_scope_is_refused(world: World, scope: str) -> None:
    app, _ = world.instance()
    with pytest.raises(Rejected) as found:
        app.trading.set(
            validate(
                ControlRequest,
                {"request_id": "k", "scope": scope, "action": "kill", "actor": "ann", "reason": "x"},
            )
        )
    assert found.value.reason == "UNKNOWN_SCOPE"


def test_a_state_stored_before_there_were_holds_is_held_by_a_person() -> None:
    """Documents of the first version go on to be read, and to bind."""
    old = {"scope": DEMO, "state": "HALTED", "epoch": 3, "flatten": True, "actor": "ann", "reason": "x"}
    control = validate(Control, {**old, "since": "2026-11-18T17:00:00Z", "seen": {}, "closing": None})
    assert (control.state, control.flatten, control.size) == (HALTED, True, 1)
    assert control.holds["person"].state is HALTED


@pytest.mark.parametrize(
    "gone",
    [
        {"cancelled_since": "2026-11-18T17:00:00Z"},
        {"cancelled_since": None},
        {"closing": {"epoch": 3, "status": "FLAT", "since": "2026-11-18T17:00:00Z", "flat_at": None}},
    ],
)
def test_a_state_stored_with_what_is_kept_no_more_is_read(gone: dict[str, Any]) -> None:
    """I1: a control that nobody can read stops everybody."""
    stored = Control(scope=DEMO, epoch=3).model_dump(mode="json")
    assert validate(Control, {**stored, **gone}) == Control(scope=DEMO, epoch=3)
    assert "closing" not in stored


def test_a_kill_without_flatten_cancels_once_an_epoch(world: World) -> None:
    """R5.1: cancel only; domain 2.4."""
    app, _ = world.instance()
    ask(app, "kill", "k", flatten=False)
    assert len(app.canceller.advance("demo")) == 1
    assert len(app.canceller.advance("demo")) == 0
    [command] = world.bus.bodies("orders")
    assert (command["action"], command["epoch"], command["strategy"]) == ("cancel_all", 1, None)


def test_a_halted_strategy_has_its_orders_cancelled_and_no_others(world: World) -> None:
    app, _ = world.instance()
    ask(app, "kill", "k", "strategy:demo:core")
    ask(app, "kill", "k-2", "underlying:demo:M&M", flatten=False)
    assert len(app.canceller.advance("demo")) == 2
    found = [(c["strategy"], c["underlying"]) for c in world.bus.bodies("orders")]
    assert found == [("core", None), (None, "M&M")]


def test_a_halt_of_the_whole_cancels_in_every_account(world: World) -> None:
    app, _ = world.instance()
    ask(app, "kill", "k", "global", flatten=False)
    assert len(app.canceller.advance("demo")) == 1


def test_a_pause_cancels_what_adds_risk_once_an_epoch(world: World) -> None:
    """R5.1: the adapter knows which orders that are; protective stops reduce risk, and stay."""
    app, _ = world.instance()
    ask(app, "pause", "p")
    assert len(app.canceller.advance("demo")) == 1
    assert len(app.canceller.advance("demo")) == 0
    [command] = world.bus.bodies("orders")
    assert (command["action"], command["epoch"], command["strategy"]) == ("cancel_adding", 1, None)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ([("pause", "strategy:demo:core"), ("kill", "underlying:demo:SPY")], ["adding core", "all SPY"]),
        (
            [("pause", DEMO), ("pause", "strategy:demo:core"), ("kill", "underlying:demo:SPY")],
            ["adding", "all SPY"],
        ),
        ([("pause", "global")], ["adding"]),
        ([("pause", DEMO), ("kill", "global")], ["all"]),
    ],
)
def test_what_is_cancelled_follows_from_the_strictest_state(
    world: World, asked: list[tuple[str, str]], found: list[str]
) -> None:
    """R5.1: each part by its own state, unless the whole's covers it."""
    app, _ = world.instance()
    for number, (action, scope) in enumerate(asked):
        ask(app, action, f"r-{number}", scope, flatten=False)
    app.canceller.advance("demo")
    told = world.bus.bodies("orders")
    cancels = [[c["action"].removeprefix("cancel_"), c["strategy"] or c["underlying"] or ""] for c in told]
    assert [" ".join(words).strip() for words in cancels] == found


def test_a_limit_that_pauses_has_orders_cancelled_at_once(world: World) -> None:
    """R2.4, R5.2: not only with the next sweep."""
    app, _ = world.instance()
    body = {
        "request_id": "l",
        "scope": DEMO,
        "action": "pause",
        "actor": "limit:max_daily_loss",
        "reason": "x",
    }
    app.relay.publish([Effect("l", "controls", "demo", body)])
    assert [c["action"] for c in world.bus.bodies("orders")] == ["cancel_adding"]
