"""A damaged trading state stops everybody and blinds nobody: what adds risk is refused, the rest goes on, and it is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stopline.model.control import ControlRequest, TradingState
from stopline.model.errors import Contended, Transient, Unreadable
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Sweep, SweepKind
from stopline.ports import Path, Put
from stopline.runtime.app import App

from ..make import account, trade
from .valuing import prices
from .world import World

WHOLE = Path("controls", "global")
DEMO = "account:demo"


def ask(app: App, id_: str, **more: Any) -> Any:
    facts = {"request_id": id_, "scope": DEMO, "action": "kill", "actor": "ann", "reason": "test", **more}
    return app.trading.set(ControlRequest.model_validate(facts))


def sweep(world: World) -> str:
    """Run a round by a new instance; return what it says it could not do."""
    try:
        world.instance()[0].sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "m-1")
    except Transient as problem:
        return str(problem)
    return ""


def damage(world: World, **more: Any) -> dict[str, Any]:
    """Cut the whole's document short, and maybe more; return what it was."""
    data = world.document("controls", "global")
    assert data is not None
    kept = {k: v for k, v in {**data, **more}.items() if v is not None}
    world.shared.commit([Put(WHOLE, {**kept, "state": data["state"][:40]})])
    return data


@pytest.fixture
def world() -> World:
    """Two accounts with a position each, and a whole that was paused and resumed: epoch 2."""
    made = World()
    for name in ("demo", "other"):
        made.open_account(account(name))
    app, _ = made.instance()
    app.trading._people = 1
    app.recorder.record([trade(2, 1, 100, account="other"), trade(1, 100, 100)], "m-1")
    ask(app, "p-1", scope="global", action="pause")
    made.resume(app, "p-2", 1, "global")
    sweep(made)
    made.bus.messages.clear()
    return made


def test_the_sweep_goes_on_for_each_account_and_says_it_at_once(world: World) -> None:
    """R0.4, I7, I10: limits are watched, what adds risk is cancelled, no lease lets anything in, and people are told."""
    was = damage(world)
    app, _ = world.instance()
    prices(app, world.wait(5), SPY=60.0)
    said = sweep(world)
    assert "global: controls/global cannot be read" in said
    assert "demo" not in said
    assert [world.document("risk", name) is not None for name in ("demo", "other")] == [True, True]
    assert app.trading.standing(DEMO).state is TradingState.REDUCING, "its limit of the day has stopped it"
    cancels = {o["account"]: o["action"] for o in world.bus.bodies("orders")}
    assert cancels == {"demo": "cancel_adding", "other": "cancel_adding"}
    lease = world.instance()[0].leases.grant(account("other"), LeaseRequest(adapter="a"))
    assert (lease.state, lease.epoch) == (TradingState.REDUCING, 2)
    assert app.trading.for_order("other", "core", "SPY").state is TradingState.REDUCING
    told = [a for a in world.bus.bodies("alerts") if a["object"] == "global"]
    assert [(a["kind"], a["account"], a["severity"]) for a in told] == [
        ("account_unwatched", None, "critical")
    ]
    assert told[0]["summary"].startswith("The trading state of the whole cannot be read: nothing adds risk")
    world.wait(60)
    sweep(world)
    world.shared.commit([Put(WHOLE, was)])
    world.wait(60)
    assert sweep(world) == ""
    told = [
        a for a in world.bus.bodies("alerts") if a["object"] == "global" and a["kind"] == "account_unwatched"
    ]
    assert list({a["alert_id"]: a["resolved"] for a in told}.values()) == [False, True]
    assert world.instance()[0].trading.read("global").state is TradingState.ACTIVE


def test_a_whole_that_could_not_be_written_is_not_told_as_damaged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I7: a restore that nobody needs would put back an older epoch. The round fails by itself, and comes again."""
    app, _ = world.instance()
    ask(app, "p-3", scope="global", action="pause", until=world.clock.now() + timedelta(seconds=30))
    world.wait(60)
    app, _ = world.instance()

    def lost(*_: object) -> None:
        raise Contended("controls/global: 12 tries lost to other writers")

    monkeypatch.setattr(app.trading, "lapse", lost)
    assert app.trading.lapse_due() == {"": "controls/global: 12 tries lost to other writers"}
    with pytest.raises(Transient, match="tries lost"):
        app.sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "m-1")
    assert [a for a in world.bus.bodies("alerts") if a["kind"] == "account_unwatched"] == []
    assert sweep(world) == "", "the next round lifts it"
    assert world.instance()[0].trading.read("global").state is TradingState.ACTIVE


def test_what_was_killed_is_closed_all_the_same(world: World) -> None:
    """R0.4: under the epoch that adapters know, or they would drop the command."""
    damage(world)
    app, _ = world.instance()
    ask(app, "k-1")
    sweep(world)
    [close] = [o for o in world.bus.bodies("orders") if o["action"] == "close"]
    assert (close["account"], close["epoch"]) == ("demo", 3)


def test_a_whole_that_was_killed_stays_so(world: World) -> None:
    """I7: nothing is let go by damage, and its closing goes on."""
    ask(world.instance()[0], "k-1", scope="global")
    damage(world)
    sweep(world)
    assert {o["account"] for o in world.bus.bodies("orders") if o["action"] == "close"} == {"demo", "other"}
    assert world.instance()[0].trading.read("global").state is TradingState.HALTED


@pytest.mark.parametrize(
    "more", [{"epoch": None}, {"trading_state": "HALTED", "flattens": None}, {"scope": None}]
)
def test_without_an_epoch_no_account_trades_and_each_is_valued(world: World, more: dict[str, Any]) -> None:
    """I7: of damage that leaves nothing to go by, limits are still watched, and every lease runs out."""
    damage(world, **more)
    app, _ = world.instance()
    prices(app, world.wait(5), SPY=60.0)
    said = sweep(world)
    assert [f"{name}:" in said for name in ("global", "demo", "other")] == [True] * 3
    assert app.trading.standing(DEMO).state is TradingState.REDUCING
    with pytest.raises(Unreadable):
        app.leases.grant(account("other"), LeaseRequest(adapter="a"))


def test_a_damaged_whole_is_not_written_over(world: World) -> None:
    """R5.1: a kill of everything takes the second path, and the audit's chain stays as it is."""
    damage(world)
    app, _ = world.instance()
    with pytest.raises(Unreadable):
        ask(app, "k-1", scope="global")
    assert str(world.document("controls", "global")["state"]).count('"') < 20  # type: ignore[index]
