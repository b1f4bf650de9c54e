"""One account that cannot be watched gets no lease and is told; the others trade on: R5.4, I10, F42."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.errors import Rejected, Transient
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Sweep, SweepKind
from stopline.runtime.app import App
from stopline.service.sweep.heartbeat import HEARTBEAT, unwatched_since

from ..make import account, fill
from .world import World

ASKED = LeaseRequest(adapter="a")


@pytest.fixture
def world() -> World:
    world = World()
    for name in ("bad", "good"):
        world.open_account(account(name))
    app, _ = world.instance()
    app.recorder.record([fill(account="bad"), fill(account="good")], "m-1")
    world.bus.messages.clear()
    return world


def broken(world: World, monkeypatch: pytest.MonkeyPatch) -> App:
    """An instance that stumbles over one account, for a reason that nobody has thought of."""
    app, _ = world.instance()
    real = app.marker.evaluate

    def evaluate(names: set[str], *args: Any, **more: Any) -> None:
        if "bad" in names:
            raise ZeroDivisionError("a fault in the numbers of this account")
        real(names, *args, **more)

    monkeypatch.setattr(app.marker, "evaluate", evaluate)
    return app


def sweep(world: World, app: App) -> None:
    app.sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), f"s-{world.clock.now().timestamp()}")


def leased(app: App, name: str) -> str:
    try:
        app.leases.grant(app.accounts.require(name), ASKED)
    except Rejected as refused:
        return refused.detail
    return "leased"


def told(world: World) -> list[tuple[str, bool]]:
    found = {b["alert_id"]: b for b in world.bus.bodies("alerts") if b["kind"] == "account_unwatched"}
    return [(b["account"], b["resolved"]) for b in found.values()]


def test_an_account_that_cannot_be_watched_loses_its_lease_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy, _ = world.instance()
    sweep(world, healthy)
    app = broken(world, monkeypatch)
    for _ in range(4):
        world.wait(60)
        with pytest.raises(Transient, match="bad: ZeroDivisionError"):
            sweep(world, app)
    assert leased(app, "good") == "leased"
    assert leased(app, "bad") == "the sweep could not watch this account for 240 s: limits are not watched"
    assert told(world) == [("bad", False)]
    world.wait(60)
    sweep(world, healthy)
    assert leased(app, "bad") == "leased"
    assert told(world) == [("bad", False), ("bad", True)]


def test_three_rounds_may_fail_before_a_lease_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy, _ = world.instance()
    sweep(world, healthy)
    app = broken(world, monkeypatch)
    for _ in range(3):
        world.wait(60)
        with pytest.raises(Transient):
            sweep(world, app)
    assert (leased(app, "bad"), told(world)) == ("leased", [])


def test_an_account_that_was_never_watched_gets_no_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = broken(world, monkeypatch)
    with pytest.raises(Transient):
        sweep(world, app)
    assert leased(app, "good") == "leased"
    assert leased(app, "bad") != "leased"


def test_a_heartbeat_of_an_older_version_names_nobody(world: World) -> None:
    app, _ = world.instance()
    sweep(world, app)
    beat = world.shared.get(HEARTBEAT)
    assert beat is not None
    del beat.data["unwatched"]
    assert unwatched_since(beat) == {}
    assert unwatched_since(None) == {}
