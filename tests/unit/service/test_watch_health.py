"""What adapters say of their brokers: one that falls silent has taken nothing back."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.control import ControlRequest, TradingState
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Sweep, SweepKind
from stopline.runtime.app import App

from ..make import account
from .world import World

DEMO = "account:demo"
ACTIVE, REDUCING = TradingState.ACTIVE, TradingState.REDUCING


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account(account())
    return made


def sweep(world: World, app: App, seconds: float, *said: LeaseRequest) -> TradingState:
    """Let adapters say how they do, and the sweep look at it; return where the account stands."""
    for request in said:
        app.leases.grant(app.accounts.require("demo"), request)
    now = world.wait(seconds)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), now, f"s{now.timestamp()}")
    return app.trading.standing(DEMO).state


def said(adapter: str, *, ok: bool = True) -> LeaseRequest:
    return LeaseRequest(adapter=adapter, broker_ok=ok)


@pytest.mark.parametrize(
    ("most", "bad", "breaker"),
    [
        ({"errors": 4}, {"errors": 5}, "api_failing"),
        ({"latency_ms": 2000}, {"latency_ms": 2001}, "latency"),
        ({"broker_ok": True}, {"broker_ok": False}, "broker_down"),
    ],
)
def test_what_an_adapter_says_stops_what_adds_risk_until_three_good_readings(
    world: World, most: dict[str, Any], bad: dict[str, Any], breaker: str
) -> None:
    """R5.2, R5.3: failures of the broker and of its API, and latency."""
    app, _ = world.instance()
    sweep(world, app, 1)
    still, ill = (LeaseRequest(adapter="a", **how) for how in (most, bad))
    fine = LeaseRequest(adapter="a", latency_ms=90)
    assert sweep(world, app, 5, still) is ACTIVE
    assert sweep(world, app, 5, ill) is REDUCING
    assert set(app.trading.standing(DEMO).holds) == {f"breaker:{breaker}"}
    assert [sweep(world, app, 20, fine) for _ in range(3)] == [REDUCING, REDUCING, ACTIVE]


def test_a_healthy_adapter_takes_back_nothing_that_another_has_said(world: World) -> None:
    """R5.3, I7: the one with the bad broker died; its lease ran out, and its last word stands."""
    app, _ = world.instance()
    sweep(world, app, 1)
    assert sweep(world, app, 5, said("a", ok=False)) is REDUCING
    assert [sweep(world, app, 20, said("b")) for _ in range(8)] == [REDUCING] * 8
    assert [sweep(world, app, 20, said("a"), said("b")) for _ in range(3)] == [REDUCING, REDUCING, ACTIVE]


def test_people_end_what_a_silent_adapter_has_said(world: World) -> None:
    """R5.3: from then on the others count again, in both ways."""
    app, _ = world.instance()
    sweep(world, app, 1)
    sweep(world, app, 5, said("a", ok=False))
    sweep(world, app, 61, said("b"))
    seen = app.trading.standing(DEMO)
    app.trading.set(
        ControlRequest(
            request_id="r",
            scope=DEMO,
            action="resume",
            actor="ann",
            reason="a is gone for good",
            confirm=f"RESUME {DEMO}",
            expected_epoch=seen.epoch,
            lifts=tuple(hold.request_id for hold in seen.holds.values()),
        )
    )
    assert [sweep(world, app, 20, said("b")) for _ in range(4)] == [ACTIVE] * 4
    assert sweep(world, app, 20, said("b", ok=False)) is REDUCING
