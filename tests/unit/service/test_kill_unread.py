"""A kill where a document cannot be read: the cancel goes out all the same, and people hear what was not closed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from stopline.model.control import ControlRequest
from stopline.model.errors import Transient, Unreadable
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Sweep, SweepKind
from stopline.ports import Path, Put
from stopline.runtime.app import App

from ..make import account, fill
from .world import World

SETTINGS, BOOK, CLOSINGS = ("accounts", "account"), ("books", "state"), ("closings", "state")
BROKERS = ("reconciliations", "state")


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account()
    made.open_account(account("other"))
    app, _ = made.instance()
    for name in ("demo", "other"):
        app.recorder.record([fill(account=name)], f"m-{name}")
    made.bus.messages.clear()
    return made


def damage(world: World, where: tuple[str, str]) -> Put:
    """Damage a document of the account; return what puts it back."""
    collection, field = where
    path = Path(collection, "demo")
    stored = world.shared.get(path)
    data = stored.data if stored else {"account": "demo"}
    world.shared.commit([Put(path, {**data, field: "{"})])
    return Put(path, data)


def kill(app: App, scope: str = "global", request_id: str = "k", **more: Any) -> dict[str, str | None]:
    facts = {"request_id": request_id, "scope": scope, "action": "kill", "actor": "ann", "reason": "t"}
    return app.halts.advance(app.trading.set(ControlRequest.model_validate({**facts, **more})))


def sweep(world: World) -> None:
    """Run a round on a cold instance a minute later, whatever it says of its parts."""
    world.wait(60)
    with suppress(Transient):
        world.instance()[0].sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), str(world.clock.now()))


def orders(world: World, name: str = "demo") -> list[str]:
    """Return what was commanded, each command once, and each action of an epoch: breakers make more of them."""
    found = {(o["epoch"], o["action"]): None for o in world.bus.bodies("orders") if o["account"] == name}
    return [action for _, action in found]


def told(world: World) -> list[dict[str, Any]]:
    found = {a["alert_id"]: a for a in world.bus.bodies("alerts") if a["kind"] == "not_flat"}
    return list(found.values())


@pytest.mark.parametrize("scope", ["global", "account:demo"])
@pytest.mark.parametrize("where", [BOOK, SETTINGS, CLOSINGS, BROKERS], ids=lambda where: where[0])
def test_the_cancel_of_a_kill_goes_out_whatever_cannot_be_read(
    world: World, where: tuple[str, str], scope: str
) -> None:
    """R5.1, I7: with flatten no less than without."""
    damage(world, where)
    kill(world.instance()[0], scope)
    assert orders(world)[:1] == ["cancel_all"]
    for _ in range(3):
        sweep(world)
    cancels = [
        o for o in world.bus.bodies("orders") if o["account"] == "demo" and o["action"] == "cancel_all"
    ]
    assert len({o["command_id"] for o in cancels}) == len({o["epoch"] for o in cancels}), "one an epoch"
    if scope == "global":
        assert orders(world, "other")[:2] == ["cancel_all", "close"], "one account's trouble is no other's"


@pytest.mark.parametrize("where", [SETTINGS, BROKERS], ids=lambda where: where[0])
def test_what_a_close_can_do_without_keeps_nothing_open(world: World, where: tuple[str, str]) -> None:
    """R5.1: without settings the usual ones hold."""
    damage(world, where)
    kill(world.instance()[0])
    assert orders(world) == ["cancel_all", "close"]


@pytest.mark.parametrize("where", [SETTINGS, BOOK], ids=lambda where: where[0])
def test_the_sweep_alone_cancels_too(world: World, where: tuple[str, str]) -> None:
    """R5.1: the kill switch's instance is dead after it has stored the state."""
    facts = {"request_id": "k", "scope": "global", "action": "kill", "actor": "ann", "reason": "t"}
    world.instance()[0].trading.set(ControlRequest.model_validate(facts))
    damage(world, where)
    sweep(world)
    assert orders(world) == (["cancel_all"] if where == BOOK else ["cancel_all", "close"])


@pytest.mark.parametrize("where", [BOOK, CLOSINGS], ids=lambda where: where[0])
def test_people_are_told_once_a_halt_what_was_not_closed_and_when_that_is_over(
    world: World, where: tuple[str, str]
) -> None:
    """R0.4, R5.1: cancelled is not closed."""
    before = damage(world, where)
    assert kill(world.instance()[0])["demo"] is None
    for _ in range(2):
        sweep(world)
    [alert] = told(world)
    assert (alert["object"], alert["severity"], alert["resolved"]) == ("account:demo", "critical", False)
    assert "NOT closed" in alert["summary"]
    assert where[0] in alert["summary"]
    assert "by hand" in alert["action"]
    if where == BOOK:
        world.shared.commit([before])
    else:
        world.shared.commit([Put(before.path, {"account": "demo", "state": '{"account": "demo"}'})])
    for _ in range(2):
        sweep(world)
    assert list(dict.fromkeys(orders(world))) == ["cancel_all", "close"]
    _, end = told(world)
    assert (end["object"], end["severity"], end["resolved"]) == ("account:demo", "info", True)


def test_a_kill_of_another_epoch_tells_anew(world: World) -> None:
    """R0.4"""
    damage(world, BOOK)
    kill(world.instance()[0])
    sweep(world)
    kill(world.instance()[0], "account:demo", "again")
    assert [a["resolved"] for a in told(world)] == [False, False]


def test_each_damage_of_one_halt_is_told_once_and_so_is_its_end(world: World) -> None:
    """R0.4: the second had the id of the first, and was taken for told."""
    kill(world.instance()[0])
    for number in (1, 2):
        repair = damage(world, BOOK)
        for _ in range(3):
            world.wait(60)
            with suppress(Unreadable):
                world.instance()[0].halt_closer.advance("demo")
        assert len(told(world)) == 2 * number - 1
        world.shared.commit([repair])
        for _ in range(2):
            world.wait(60)
            world.instance()[0].halt_closer.advance("demo")
        assert [a["resolved"] for a in told(world)] == [False, True] * number


@pytest.mark.parametrize("kind", [ValueError, Unreadable])
def test_whatever_watching_the_cancels_raises_what_is_to_be_closed_goes_out_first(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    """R5.1: open for reductions; and nobody is told that nothing is closed."""
    app, _ = world.instance()

    def broken(*_: object) -> list[str]:
        raise kind("of no kind that anybody foresaw")

    monkeypatch.setattr(app.cancel_watcher, "look", broken)
    assert kill(app) == {"demo": None, "other": None}
    assert orders(world) == ["cancel_all", "close"]
    assert told(world) == []


def test_a_resume_ends_what_people_were_told(world: World) -> None:
    """R5.1: nobody waits for a closing that is not wanted any more."""
    app, _ = world.instance()
    damage(world, BOOK)
    kill(app, "account:demo")
    world.resume(app, "r", 1)
    app.halts.advance(app.trading.standing("account:demo"))
    assert [a["resolved"] for a in told(world)] == [False, True]


def test_what_stops_beside_a_halt_tells_nobody_again_of_its_positions(world: World) -> None:
    """R0.4: the epoch of an account grows with every pause of a strategy; the halt is the same."""
    damage(world, BOOK)
    kill(world.instance()[0], "strategy:demo:core")
    for name in ("a", "b", "c"):
        world.wait(1)
        kill(world.instance()[0], f"strategy:demo:{name}", f"p-{name}", action="pause")
        sweep(world)
    [alert] = told(world)
    assert alert["summary"].startswith("Orders of strategy core of account demo are cancelled, ")


def test_a_resume_ends_what_people_were_told_though_the_closings_cannot_be_read(world: World) -> None:
    app, _ = world.instance()
    damage(world, CLOSINGS)
    kill(app, "account:demo")
    world.resume(app, "r", 1)
    app.halts.advance(app.trading.standing("account:demo"))
    assert [a["resolved"] for a in told(world)] == [False, True]


def resume(world: World, app: App, scope: str) -> None:
    """Resume with two people, for whom the carrier does what a resume asks for."""
    for who in ("ann", "bob"):
        standing = world.resume(app, f"r-{who}", app.trading.read(scope).epoch, scope, actor=who)
    app.halts.advance(standing)


@pytest.mark.parametrize("scope", ["global", "account:demo"])
def test_what_people_were_told_ends_where_nothing_is_halted_any_more(world: World, scope: str) -> None:
    """R0.4: the book was restored and all were resumed before a look could close anything."""
    app, _ = world.instance()
    warm, _ = world.instance()
    warm.halt_closer.advance("demo")
    before = damage(world, BOOK)
    kill(app, scope)
    world.shared.commit([before])
    resume(world, app, scope)
    world.wait(60)
    warm.halt_closer.advance("demo")
    assert [(a["resolved"], a["severity"]) for a in told(world)] == [(False, "critical"), (True, "info")]
    assert "is to be closed for a halt any more" in told(world)[-1]["summary"]


def test_what_people_were_told_stays_while_something_is_halted(world: World) -> None:
    """R0.4: a resume of the whole leaves the account's own halt."""
    app, _ = world.instance()
    damage(world, BOOK)
    kill(app, "account:demo", "own")
    kill(app)
    resume(world, app, "global")
    for _ in range(2):
        sweep(world)
    assert [a["resolved"] for a in told(world)] == [False]


def test_looking_for_what_people_were_told_costs_one_question_for_all_accounts(world: World) -> None:
    """The sweep looks at each account every minute."""
    app, store = world.instance()
    reads = []
    for name in ("demo", "other", "demo", "other"):
        before = store.reads
        app.closer.advance(name)
        between = store.reads
        app.halt_closer.advance(name)
        reads.append((store.reads - between) - (between - before))
    assert reads[0] <= 1
    assert reads[1:] == [0, 0, 0]


@pytest.mark.parametrize("is_open", [False, True])
def test_a_closing_goes_on_where_what_people_were_told_cannot_be_read(world: World, is_open: bool) -> None:
    """R5.1: what is only for telling keeps no kill from saying what it did, and no sweep from its end."""
    app, _ = world.instance()
    path = Path("unclosed", "demo")
    world.shared.commit([Put(path, {"account": "demo", "epoch": int(is_open), "state": "{"})])
    assert kill(app)["demo"] == "CLOSING"
    world.wait(60)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "s")
    assert world.document("heartbeats", "sweep") is not None
    damage(world, BOOK)
    sweep(world)
    assert [a["resolved"] for a in told(world)] == [False], "told all the same, as the same alert each round"
    sweep(world)
    assert [a["resolved"] for a in told(world)] == [False]


def test_without_flatten_nobody_is_told_that_nothing_is_closed(world: World) -> None:
    damage(world, BOOK)
    kill(world.instance()[0], flatten=False)
    sweep(world)
    assert orders(world) == ["cancel_all"]
    assert told(world) == []


def test_a_moments_trouble_is_not_told(world: World) -> None:
    """Only what stays: a store that is down for a moment is asked again."""
    app, store = world.instance()
    facts = {"request_id": "k", "scope": "global", "action": "kill", "actor": "ann", "reason": "t"}
    app.trading.set(ControlRequest.model_validate(facts))
    store.faults = [None, store.lost]
    with pytest.raises(Transient):
        app.closer.advance("demo")
    assert orders(world) == ["cancel_all"]
    assert told(world) == []


def test_a_close_is_not_taken_for_a_cancel_that_is_not_out(world: World) -> None:
    """I4: what is closed under an epoch goes after the cancel of that epoch, or the cancel would end it."""
    app, _ = world.instance()
    kill(app)
    world.bus.messages.clear()
    other, _ = world.instance()
    read = other.controls.read_all
    looks = []

    def late(*names: str) -> Any:
        looks.append(names)
        if len(looks) == 2:  # another kill comes between the look at the state and the decision
            facts = {
                "request_id": "k2",
                "scope": "account:demo",
                "action": "kill",
                "actor": "bob",
                "reason": "t",
            }
            app.trading.set(ControlRequest.model_validate(facts))
        return read(*names)

    other.controls.read_all = late  # type: ignore[method-assign]
    world.wait(60)
    with pytest.raises(Transient, match="cancel"):
        other.closer.advance("demo")
    assert [o["action"] for o in world.bus.bodies("orders") if o["epoch"] == 2] == []
    other.closer.advance("demo")
    assert [o["action"] for o in world.bus.bodies("orders") if o["epoch"] == 2] == ["cancel_all", "close"]


def damage_own_state(world: World, **more: Any) -> None:
    """Pause the account, so that it has an epoch, and cut its trading state short."""
    app, _ = world.instance()
    facts = {"request_id": "p", "scope": "account:demo", "action": "pause", "actor": "ann", "reason": "t"}
    app.halts.advance(app.trading.set(ControlRequest.model_validate(facts)))
    path = app.controls.path("account:demo")
    stored = world.shared.get(path)
    assert stored is not None
    world.shared.commit([Put(path, {**stored.data, "state": "{", **more})])
    world.bus.messages.clear()


def test_a_global_kill_reaches_an_account_whose_own_trading_state_is_damaged(world: World) -> None:
    """R5.1, I7: under the epoch that its adapters know, and no lease lets anything in."""
    damage_own_state(world)
    told = kill(world.instance()[0])
    assert told == {"demo": "CLOSING", "other": "CLOSING"}
    found = [(o["action"], o["epoch"]) for o in world.bus.bodies("orders") if o["account"] == "demo"]
    assert found == [("cancel_all", 2), ("close", 2)]
    sweep(world)
    cancels = {
        o["command_id"]
        for o in world.bus.bodies("orders")
        if (o["account"], o["action"]) == ("demo", "cancel_all")
    }
    assert len(cancels) == 1, "said again each round, as the same command: nothing can note that it is out"
    with pytest.raises(Unreadable):
        world.instance()[0].leases.grant(account(), LeaseRequest(adapter="a"))


def test_the_sweep_carries_a_kill_to_an_account_whose_own_trading_state_is_damaged(world: World) -> None:
    """R5.1: the kill switch's instance is dead after it has stored the state."""
    damage_own_state(world)
    facts = {"request_id": "k", "scope": "global", "action": "kill", "actor": "ann", "reason": "t"}
    world.instance()[0].trading.set(ControlRequest.model_validate(facts))
    sweep(world)
    assert orders(world) == ["cancel_adding", "cancel_all", "close"], (
        "what the pause was owed is in the outbox"
    )


def test_people_are_told_where_a_state_is_damaged_whose_epoch_nobody_knows(world: World) -> None:
    """R0.4, I7: adapters would drop a command of an unknown epoch."""
    damage_own_state(world, epoch="?")
    assert kill(world.instance()[0]) == {"demo": None, "other": "CLOSING"}
    sweep(world)
    assert orders(world) == ["cancel_adding"], "what the pause was owed is in the outbox"
    [alert] = [a for a in world.bus.bodies("alerts") if a["kind"] == "account_unwatched"]
    assert (alert["account"], alert["severity"]) == ("demo", "critical")
