"""A trading state that was lost is found by the next sweep, whatever was made in its place meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import pytest

from stopline.model.control import TradingState
from stopline.model.errors import Rejected, Transient
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Sweep, SweepKind
from stopline.ports import Delete, Document, Path, Put, Unavailable
from stopline.runtime.app import App
from stopline.service.sweep.chain_ends import ends_of, not_gone_on
from stopline.service.sweep.heartbeat import HEARTBEAT
from stopline.service.trading.control_documents import marks

from ..make import account, fill
from .test_evaluate import prices
from .test_regrow import SCOPES, asked, back, lose, stored, sweep, told_of_the_loss
from .world import World

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED
DEMO = "account:demo"


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account()
    sweep(made)
    return made


def wipe(world: World, app: App, scope: str) -> None:
    """Delete the document and its audit trail."""
    lose(world, app, scope, None)
    world.shared.commit([Delete(d.path) for d in world.shared.query("audit") if d.data["chain"] == scope])


def two_people_hold(world: World, scope: str) -> bool:
    standing = world.instance()[0].trading.standing(scope)
    return standing.state is not ACTIVE and any(hold.people == 2 for hold in standing.holds.values())


def test_a_loss_is_found_before_a_breaker_of_the_same_round_stops_anew(world: World) -> None:
    """I6: its pause had the epoch that was known, and its own release let everything in again."""
    app, _ = world.instance()
    app.trading.set(asked(DEMO))
    sweep(world)
    wipe(world, app, DEMO)
    world.instance()[0].recorder.record([fill()], "m")  # without a price: data breakers pause
    for round_ in range(3):
        if round_:
            prices(world.instance()[0], world.clock.now(), **{fill().instrument.symbol: 100.0})
        sweep(world)
        assert two_people_hold(world, DEMO)


@pytest.mark.parametrize("others", [1, 2, 5])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_loss_is_found_though_others_have_stopped_and_resumed_since(
    world: World, scope: str, others: int
) -> None:
    """I6: the new document is at the known epoch, or above."""
    app, _ = world.instance()
    app.trading.set(asked(scope, flatten=False))
    sweep(world)
    wipe(world, app, scope)
    app, _ = world.instance()
    breaker = {"scope": scope, "actor": "breaker:stale_data", "flatten": False}
    for n in range(others):
        app.trading.set(asked(id_=f"b-{n}", action="release" if n % 2 else "pause", **breaker))
    top = app.trading.standing(scope).epoch
    for _ in range(2):
        sweep(world)
        assert two_people_hold(world, scope)
        assert world.instance()[0].trading.standing(scope).epoch > top
    assert not_gone_on(world.shared, ends_of(world.shared.get(HEARTBEAT)), marks(world.shared)[1]) == []


def test_a_second_stop_that_was_put_back_is_found_though_the_epoch_is_the_same(world: World) -> None:
    """I6: what a limit stopped besides takes two people."""
    app, _ = world.instance()
    app.trading.set(asked(DEMO, "p-1", action="pause"))
    one = stored(world, app, DEMO)
    app.trading.set(asked(DEMO, "p-2", action="pause", actor="limit:max_drawdown", hold_people=2))
    assert stored(world, app, DEMO).data["epoch"] == one.data["epoch"]
    sweep(world)
    lose(world, app, DEMO, one)
    with pytest.raises(Rejected, match="EPOCH_WENT_BACK"):
        world.instance()[0].leases.grant(account(), LeaseRequest(adapter="a"))
    sweep(world)
    assert two_people_hold(world, DEMO)
    assert world.instance()[0].leases.grant(account(), LeaseRequest(adapter="a")).state is REDUCING


@pytest.mark.parametrize("scope", SCOPES)
def test_a_kill_that_was_put_back_to_what_the_last_heartbeat_noted_is_found(world: World, scope: str) -> None:
    """I6: epoch and end are those that are known; the trail goes on after them."""
    app, _ = world.instance()
    app.trading.set(asked(scope, "p", action="pause"))
    sweep(world)
    noted = stored(world, app, scope)
    app.trading.set(asked(scope))
    lose(world, app, scope, noted)
    for _ in range(2):
        sweep(world)
        assert world.instance()[0].trading.standing(scope).state is HALTED
        assert two_people_hold(world, scope)
    assert len(told_of_the_loss(world)) == 1


def test_what_is_stopped_while_the_sweep_looks_is_not_taken_for_a_loss(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I6: its row is there, and its document was read before."""
    app, _ = world.instance()
    app.trading.set(asked(DEMO, "p-1", action="pause"))
    sweep(world)
    world.wait(60)
    app, store = world.instance()
    get_all, stopped = store.get_all, list[bool]()

    def late(paths: Sequence[Path]) -> list[Document | None]:
        if not stopped and paths[0].collection == "audit":
            stopped.append(True)
            world.instance()[0].trading.set(asked(DEMO, "p-2", action="pause"))
        return get_all(paths)

    monkeypatch.setattr(store, "get_all", late)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "s")
    assert stopped
    assert not two_people_hold(world, DEMO)
    assert told_of_the_loss(world) == []


def test_what_goes_on_from_where_it_was_is_left_alone(world: World) -> None:
    """People and breakers change states all day: none of that is a loss, nor a document of before ends were noted."""
    app, _ = world.instance()
    for n in range(4):
        app.trading.set(asked(DEMO, f"p-{n}", action="pause"))
        if n == 2:
            old = stored(world, app, DEMO)
            data = {name: value for name, value in old.data.items() if name != "chain_end"}
            world.shared.commit([Put(old.path, data)])
        sweep(world)
        app, _ = world.instance()
    assert app.trading.standing(DEMO).epoch == 1


@pytest.mark.parametrize("kind", [SweepKind.RISK, SweepKind.END_OF_DAY])
@pytest.mark.parametrize("text", ["{", "[]", "{}"])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_damaged_row_of_the_trail_takes_up_nothing_that_is_whole(
    world: World, scope: str, text: str, kind: SweepKind
) -> None:
    """I6, R4.1: two people had to resume, and were told of a loss that was none. The audit of the day tells of the row."""
    app, _ = world.instance()
    app.trading.set(asked(scope, "p-1", action="pause"))
    sweep(world)
    [end] = [d for d in world.shared.query("audit") if d.data["chain"] == scope]
    world.shared.commit([Put(end.path, {**end.data, "row": text})])
    app.trading.set(asked(scope, "p-2", action="pause"))
    for kind_ in (kind, SweepKind.RISK):
        world.instance()[0].sweeper.run(Sweep(kind=kind_), world.wait(60), str(world.clock.now()))
        standing = world.instance()[0].trading.standing(scope)
        assert (standing.epoch, [hold.people for hold in standing.holds.values()]) == (1, [1])
    assert told_of_the_loss(world) == []


def test_a_heartbeat_of_before_ends_were_noted_finds_no_loss(world: World) -> None:
    """The first round after a deploy."""
    app, _ = world.instance()
    app.trading.set(asked(DEMO, action="pause"))
    sweep(world)
    beat = world.shared.get(HEARTBEAT)
    assert beat is not None
    world.shared.commit([Put(HEARTBEAT, {k: v for k, v in beat.data.items() if k != "chain_ends"})])
    sweep(world)
    assert world.instance()[0].trading.standing(DEMO).epoch == 1
    assert ends_of(world.shared.get(HEARTBEAT))[DEMO].startswith("1 ")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"account:demo": 7}', '{"account:demo": "x"}', '{"account:demo": ""}']
)
def test_damaged_ends_cost_no_sweep(world: World, text: str) -> None:
    app, _ = world.instance()
    app.trading.set(asked(DEMO, action="pause"))
    sweep(world)
    beat = world.shared.get(HEARTBEAT)
    assert beat is not None
    world.shared.commit([Put(HEARTBEAT, {**beat.data, "chain_ends": text})])
    sweep(world)
    assert ends_of(world.shared.get(HEARTBEAT))[DEMO].startswith("1 ")


def test_what_cannot_be_taken_up_is_found_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """I6: as long as the account stands as it was made anew."""
    app, _ = world.instance()
    app.trading.set(asked(DEMO))
    sweep(world)
    wipe(world, app, DEMO)
    app, _ = world.instance()
    app.trading.set(asked(DEMO, "p", action="pause"))
    world.wait(60)

    def down(scope: str, known: int) -> None:
        raise Unavailable("the store is down")

    monkeypatch.setattr(app.set_back, "take_up", down)
    with pytest.raises(Transient, match="the store is down"):
        app.sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "s")
    assert not two_people_hold(world, DEMO)
    sweep(world)
    assert two_people_hold(world, DEMO)


def take_up_without_a_heartbeat(world: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a round that notes nothing for the next one: one of another kind, or one that fails."""
    world.wait(60)
    app, _ = world.instance()
    with monkeypatch.context() as patch:
        if kind == "a round that fails":
            patch.setattr(app.sweeper._reconciler, "run", lambda *_: {"": "the broker's word is damaged"})
        with pytest.raises(Transient) if kind == "a round that fails" else nullcontext():
            kind_ = SweepKind.RISK if kind == "a round that fails" else SweepKind(kind)
            app.sweeper.run(Sweep(kind=kind_), world.clock.now(), "s")


WITHOUT = ["end_of_day", "session_close", "a round that fails"]


@pytest.mark.parametrize("kind", WITHOUT)
@pytest.mark.parametrize("scope", SCOPES)
def test_what_a_round_took_up_that_noted_nothing_is_not_taken_up_again(
    world: World, scope: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I6, R4.1: the next minute stopped again what two people had resumed, and told of a loss that was none."""
    app, _ = world.instance()
    app.trading.set(asked(scope))
    sweep(world)
    wipe(world, app, scope)
    take_up_without_a_heartbeat(world, kind, monkeypatch)
    assert two_people_hold(world, scope)
    world.wait(61)
    app, _ = world.instance()
    app.trading._doubts = lambda scope: ()
    for actor in ("ann", "bob"):
        epoch = app.trading.standing(scope).epoch
        app.trading.set(back(scope, epoch).model_copy(update={"request_id": actor, "actor": actor}))
    for _ in range(2):
        sweep(world)
        assert world.instance()[0].trading.standing(scope).state is ACTIVE
    assert len(told_of_the_loss(world)) == 1
    app, _ = world.instance()
    app.trading.set(asked(scope, "k-2"))
    sweep(world)
    wipe(world, app, scope)
    sweep(world)
    assert two_people_hold(world, scope)


@pytest.mark.parametrize("kind", WITHOUT)
@pytest.mark.parametrize("is_deleted", [True, False])
def test_what_is_lost_once_more_before_the_next_heartbeat_is_taken_up(
    world: World, is_deleted: bool, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I6: a take-up that no heartbeat knows hides no later loss."""
    app, _ = world.instance()
    app.trading.set(asked(DEMO))
    sweep(world)
    wipe(world, app, DEMO)
    take_up_without_a_heartbeat(world, kind, monkeypatch)
    app, _ = world.instance()
    taken_up = stored(world, app, DEMO)
    app.trading.set(asked(DEMO, "k-2"))
    if is_deleted:
        wipe(world, app, DEMO)
        world.instance()[0].trading.set(asked(DEMO, "p", action="pause"))
    else:
        lose(world, app, DEMO, taken_up)
    sweep(world)
    assert two_people_hold(world, DEMO)
    assert world.instance()[0].trading.standing(DEMO).state is (REDUCING if is_deleted else HALTED)


def test_what_is_lost_during_a_round_is_found_by_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I6: the round notes nothing over what it knew."""
    app, _ = world.instance()
    app.trading.set(asked(DEMO))
    sweep(world)
    world.wait(60)
    app, store = world.instance()
    query = store.query

    def lost(collection: str, *more: object, **also: object) -> list[Document]:
        if collection == "alerts":
            wipe(world, app, DEMO)
            world.instance()[0].trading.set(asked(DEMO, "p", action="pause"))
            monkeypatch.setattr(store, "query", query)
        return query(collection, *more, **also)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "query", lost)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "s")
    assert store.query is query
    assert not two_people_hold(world, DEMO)
    sweep(world)
    assert two_people_hold(world, DEMO)
