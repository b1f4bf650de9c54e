"""The trading state: stopping always works, a request counts once, and the epoch only grows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.control import (
    HALT,
    MOST_HALTS,
    REMEMBERED,
    Control,
    ControlRequest,
    Seen,
    Standing,
    TradingState,
)
from stopline.model.errors import Rejected
from stopline.ports import Unavailable
from stopline.rules.trading.resuming import TooEarly
from stopline.runtime.app import App
from stopline.service.documents.outbox import Unpublished

from ..make import NOON
from .world import World

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED
SCOPE = "account:demo"


def request(request_id: str = "r-1", action: str = "kill", **more: Any) -> ControlRequest:
    facts = {
        "request_id": request_id,
        "scope": SCOPE,
        "action": action,
        "actor": "ann",
        "reason": "test",
        **more,
    }
    if action == "resume":
        facts.setdefault("confirm", f"RESUME {facts['scope']}")
    return ControlRequest.model_validate(facts)


def test_nothing_set_means_active_at_epoch_zero(world: World) -> None:
    app, _ = world.instance()
    assert app.trading.read(SCOPE) == Control(scope=SCOPE)
    assert app.trading.standing("strategy:demo:core") == Standing(scope="strategy:demo:core")
    assert app.trading.for_account("demo")[:2] == (ACTIVE, 0)


@pytest.mark.parametrize(("action", "state"), [("kill", HALTED), ("pause", REDUCING)])
def test_stopping_is_persisted_then_told(world: World, action: str, state: TradingState) -> None:
    """R5.1, I4, F40."""
    app, store = world.instance()
    published: list[int] = []
    store.faults = [lambda _writes: published.append(len(world.bus.messages))]
    control = app.trading.set(request(action=action))
    assert (control.state, control.epoch, control.actor, control.reason) == (state, 1, "ann", "test")
    assert published == [0]
    [alert] = world.bus.bodies("alerts")
    assert (alert["severity"], alert["account"], alert["kind"]) == ("critical", "demo", "trading_state")
    [row] = world.bus.bodies("history")[0]["rows"]
    assert row["table"] == "audit"
    assert (row["row"]["from_state"], row["row"]["to_state"], row["row"]["epoch"]) == (
        "ACTIVE",
        state.value,
        1,
    )


@pytest.mark.parametrize("fresh", [False, True])
def test_the_same_request_again_changes_nothing(world: World, fresh: bool) -> None:
    """R5.1, F38, B67, domain case 20: one epoch, one audit row, one alert."""
    app, _ = world.instance()
    first = app.trading.set(request())
    before = world.document("controls", SCOPE)
    again = world.instance()[0] if fresh else app
    for _ in range(3):
        assert again.trading.set(request()) == first
    assert world.document("controls", SCOPE) == before
    assert len(set(world.bus.ids())) == 2


@pytest.mark.parametrize(
    "change", [{"action": "pause"}, {"flatten": False}, {"reason": "x"}, {"actor": "bob"}], ids=str
)
def test_what_stops_is_carried_out_once_under_whatever_id(world: World, change: dict[str, Any]) -> None:
    """B67, I5: other content under a used id is another request, of an id that follows from both."""
    app, _ = world.instance()
    app.trading.set(request())
    for _ in range(3):
        app.trading.set(request(**change))
    events = [row["row"] for body in world.bus.bodies("history") for row in body["rows"]]
    assert len(events) == 2
    assert len(app.trading.read(SCOPE).requests) == 2
    world.wait(60)
    seen = app.trading.read(SCOPE)
    lifts = [hold.request_id for hold in seen.holds.values()]
    app.trading.set(request("res-1", "resume", expected_epoch=seen.epoch, lifts=lifts))
    assert app.trading.set(request(**change)).state is ACTIVE  # it was carried out before
    assert app.trading.set(request(reason="a third wish")).state is HALTED


def test_the_same_request_id_with_other_content_is_refused(world: World) -> None:
    """B67: of what loosens."""
    app, _ = world.instance()
    app.trading.set(request(actor="breaker:latency", action="pause"))
    world.wait(60)
    for action in ("resume", "release"):
        with pytest.raises(Rejected) as refused:
            app.trading.set(request(action=action, actor="breaker:latency", expected_epoch=1))
        assert refused.value.reason == "CONFLICTING_REQUEST"
    assert app.trading.read(SCOPE).epoch == 1


@pytest.mark.parametrize("is_applied", [True, False])
def test_the_second_path_carries_out_under_the_id_that_the_first_would(
    world: World, is_applied: bool
) -> None:
    """F41, I5: a used id, other content, and a commit of which nobody knows whether it was made: once, by either path."""
    app, store = world.instance()
    app.trading.set(request(flatten=False))
    asked_at = world.clock.now()
    store.faults = [store.applied_but_lost if is_applied else store.lost] * 1
    with pytest.raises(Unavailable):
        app.trading.set(request())
    assert app.trading.store_halt(request(), "h-1", asked_at).flatten is True
    assert app.trading.set(request()).epoch == 2
    known = app.trading.read(SCOPE).requests
    assert len(known) == 2
    assert known[1].startswith("r-1~")
    rows = {row["row"]["seq"] for body in world.bus.bodies("history") for row in body["rows"]}
    assert len(rows) == 2


def lifted_breaker(world: World, app: App) -> dict[str, Any]:
    """Let a breaker pause as b-1, and two people lift that; return who the breaker is."""
    breaker: dict[str, Any] = {"actor": "breaker:emergency_drawdown"}
    app.trading.set(request("b-1", "pause", **breaker))
    world.wait(61)
    for who in ("ann", "bob"):
        app.trading.set(request(f"r-{who}", "resume", actor=who, expected_epoch=1, lifts=("b-1",)))
    return breaker


@pytest.mark.parametrize("lifted", [True, False])
def test_a_kill_whose_pause_people_have_lifted_is_a_pause(world: World, lifted: bool) -> None:
    """R5.3: a second reading that was under way while people resumed closed everything just after it."""
    app, _ = world.instance()
    breaker: dict[str, Any] = {"actor": "breaker:emergency_drawdown"}
    app.trading.set(request("b-1", "pause", **breaker))
    world.wait(61)
    for who in ("ann", "bob") if lifted else ():
        app.trading.set(request(f"r-{who}", "resume", actor=who, expected_epoch=1, lifts=("b-1",)))
    after = app.trading.set(request("b-2", **breaker, releases="b-1"))
    assert (after.state, after.flatten) == (
        (TradingState.REDUCING, False) if lifted else (TradingState.HALTED, True)
    )
    assert app.trading.set(request("b-2", **breaker, releases="b-1")) == after, "told again it is the same"
    rows = [row["row"] for body in world.bus.bodies("history") for row in body["rows"]]
    row = rows[-1]
    assert (row["event"], orjson.loads(row["detail"])["action"]) == (
        ("pause",) * 2 if lifted else ("kill",) * 2
    )


def test_a_kill_of_an_old_pause_closes_nothing_under_a_new_one(world: World) -> None:
    """R5.3: what comes late is of the reading that people have seen."""
    app, _ = world.instance()
    breaker = lifted_breaker(world, app)
    world.wait(1)
    app.trading.set(request("b-3", "pause", **breaker))
    assert app.trading.set(request("b-2", **breaker, releases="b-1")).state is TradingState.REDUCING
    assert app.trading.set(request("b-4", **breaker, releases="b-3")).flatten, "its own second reading closes"


def test_an_overtaken_kill_says_nothing_of_an_account_that_is_halted_meanwhile(world: World) -> None:
    """R3.3: "stays reduce-only, nothing was closed" came while everything was being closed."""
    app, _ = world.instance()
    breaker = lifted_breaker(world, app)
    app.trading.set(request("k-1", "kill"))
    world.bus.messages.clear()
    assert app.trading.set(request("b-2", **breaker, releases="b-1")).state is TradingState.HALTED
    assert not [a for a in world.bus.bodies("alerts") if "nothing was closed" in a["summary"]]


def test_a_kill_that_confirms_a_pause_that_is_still_on_its_way_holds(world: World) -> None:
    """R5.3: it came first, and the pause after it loosens nothing."""
    app, _ = world.instance()
    breaker: dict[str, Any] = {"actor": "breaker:emergency_drawdown"}
    assert app.trading.set(request("b-2", **breaker, releases="b-1")).flatten
    assert app.trading.set(request("b-1", "pause", **breaker)).state is TradingState.HALTED


def test_a_pause_never_loosens_a_halt(world: World) -> None:
    """I6."""
    app, _ = world.instance()
    app.trading.set(request())
    after = app.trading.set(request("r-2", "pause"))
    assert (after.state, after.epoch, after.flatten) == (HALTED, 1, True)


def test_a_second_kill_is_recorded_but_is_no_new_epoch(world: World) -> None:
    """F38: a hundred different requests for the same halt are one halt; all of them are in the audit."""
    app, _ = world.instance()
    for number in range(5):
        assert app.trading.set(request(f"r-{number}")).epoch == 1
    events = [row["row"]["event"] for body in world.bus.bodies("history") for row in body["rows"]]
    assert events == ["kill", *["kill_repeated"] * 4]
    assert len(world.bus.bodies("alerts")) == 1


def test_a_kill_with_flatten_after_one_without_is_a_new_epoch(world: World) -> None:
    """R5.1: the closing must begin."""
    app, _ = world.instance()
    app.trading.set(request(flatten=False))
    after = app.trading.set(request("r-2"))
    assert (after.epoch, after.flatten) == (2, True)


def test_a_kill_without_flatten_does_not_call_off_a_flatten(world: World) -> None:
    """I6: no second request weakens the first."""
    app, _ = world.instance()
    app.trading.set(request())
    after = app.trading.set(request("r-2", flatten=False))
    assert (after.epoch, after.flatten) == (1, True)


@pytest.mark.parametrize("expected", [None, 0, 2, 99])
def test_a_resume_for_another_epoch_is_refused(world: World, expected: int | None) -> None:
    """F39, F45, I6: whoever resumes must have seen the halt that holds."""
    app, _ = world.instance()
    app.trading.set(request())
    world.wait(60)
    with pytest.raises(Rejected) as refused:
        app.trading.set(request("r-2", "resume", expected_epoch=expected))
    assert refused.value.reason == "STALE_RESUME"
    assert app.trading.read(SCOPE).state is HALTED


def test_a_resume_for_the_epoch_that_holds_makes_it_active_and_ends_the_flatten(world: World) -> None:
    """R5.1."""
    app, _ = world.instance()
    app.trading.set(request())
    world.wait(60)
    after = app.trading.set(request("r-2", "resume", expected_epoch=1))
    assert (after.state, after.epoch, after.flatten, after.previous) == (ACTIVE, 2, False, HALTED)


def test_a_resume_that_was_overtaken_by_a_second_kill_is_refused(world: World) -> None:
    """F39."""
    app, _ = world.instance()
    app.trading.set(request("k-1"))
    world.wait(60)
    app.trading.set(request("r-1", "resume", expected_epoch=1))
    app.trading.set(request("k-2"))
    world.wait(60)
    with pytest.raises(Rejected):
        app.trading.set(request("r-2", "resume", expected_epoch=2))
    assert app.trading.read(SCOPE).state is HALTED


def test_the_strictest_scope_holds_for_an_account(world: World) -> None:
    """R5.1: a resumed account stays halted while everything is."""
    app, _ = world.instance()
    app.trading.set(request(scope="global"))
    app.trading.set(request("r-2", "pause"))
    assert app.trading.for_account("demo")[:2] == (HALTED, 2)
    assert app.trading.for_account("other")[:2] == (HALTED, 1)


def test_a_state_that_cannot_be_read_is_not_active(world: World) -> None:
    """I7, design: fail closed."""
    app, store = world.instance()
    app.trading.set(request())
    store.down = True
    with pytest.raises(Unavailable):
        app.trading.read(SCOPE)
    with pytest.raises(Unavailable):
        app.trading.for_account("demo")


def test_a_kill_whose_messages_cannot_go_out_stands_all_the_same(world: World) -> None:
    """F40."""
    app, _ = world.instance()
    world.bus.down = True
    with pytest.raises(Unpublished):
        app.trading.set(request())
    assert app.trading.read(SCOPE).state is HALTED
    assert len(world.outbox("controls", SCOPE)) == 2
    world.bus.down = False
    app.trading.set(request())  # the same request again sends them
    assert len(world.bus.messages) == 2


def test_a_resume_that_is_refused_is_refused_while_the_bus_is_down(world: World) -> None:
    """F40: its row is due; that is no reason to answer as if it had been taken."""
    app, _ = world.instance()
    app.trading.set(request())
    world.bus.down = True
    with pytest.raises(TooEarly):
        app.trading.set(request("r-2", "resume", expected_epoch=1))
    assert len(world.outbox("controls", SCOPE)) == 1


def test_the_whole_and_an_account_are_read_at_one_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I6: one before a halt of the whole and the other after it would be ACTIVE, under the epoch of the halt."""
    app, store = world.instance()
    other, _ = world.instance()

    def meanwhile(found: Any) -> Any:
        monkeypatch.undo()
        other.trading.set(request("k", scope="global"))
        for action in ("pause", "release"):
            other.trading.set(request(action, action, actor="breaker:api_errors"))
        return found

    get, get_all = store.get, store.get_all
    monkeypatch.setattr(store, "get", lambda path: meanwhile(get(path)))
    monkeypatch.setattr(store, "get_all", lambda paths: meanwhile(get_all(paths)))
    first = app.trading.for_account("demo")[:2]
    second = app.trading.for_account("demo")[:2]
    assert (first, second) == ((ACTIVE, 0), (HALTED, 3))


@pytest.mark.parametrize("applied", [False, True])
def test_a_kill_of_unknown_outcome_is_safe_to_repeat(world: World, applied: bool) -> None:
    """F11, F12, F41."""
    app, store = world.instance()
    store.faults = [store.applied_but_lost if applied else store.lost]
    with pytest.raises(Unavailable):
        app.trading.set(request())
    assert app.trading.set(request()).epoch == 1


def test_the_document_stays_small_however_many_requests_there_were(world: World) -> None:
    """F50."""
    app, _ = world.instance()
    for number in range(REMEMBERED + 20):
        app.trading.set(request(f"r-{number}", "pause"))
    control = app.trading.read(SCOPE)
    assert len(control.requests) == REMEMBERED
    assert len(control.seen) == REMEMBERED + 1
    assert f"r-{REMEMBERED + 19}" in control.seen


def test_the_oldest_request_is_forgotten_first_whatever_the_ids_are(world: World) -> None:
    """F40: stored, they stand in the order of their ids; what is forgotten is carried out again."""
    app, _ = world.instance()
    for number in range(REMEMBERED):
        world.wait(1)
        app.trading.set(request(f"r-{number}", "pause"))
    for id_ in ("a-1", "a-2", "z-1"):
        world.wait(1)
        world.instance()[0].trading.set(request(id_, "pause"))
    control = world.instance()[0].trading.read(SCOPE)
    assert control.requests == [*(f"r-{n}" for n in range(3, REMEMBERED)), "a-1", "a-2", "z-1"]


def test_a_halt_is_known_as_long_as_it_may_be_told_again(world: World) -> None:
    """F41: a flood of requests makes no adapter ask for ever about a halt, nor a journal that comes again halt anew."""
    app, _ = world.instance()
    asked_at = world.clock.now()
    app.trading.store_halt(request("k-1"), "h-1", asked_at)
    world.resume(app, "res-1", 1)
    for number in range(REMEMBERED):
        app.trading.set(request(f"p-{number}", "pause", actor="breaker:latency"))
        app.trading.set(request(f"q-{number}", "release", actor="breaker:latency"))
    assert app.trading.read(SCOPE).knows_halt("h-1")
    assert not app.trading.read(SCOPE).knows_halt("p-1")
    app.trading.store_halt(request("k-1"), "h-1", asked_at)
    assert app.trading.read(SCOPE).state is TradingState.ACTIVE
    world.wait(9 * 86_400)
    app.trading.set(request("last", "pause"))
    assert not app.trading.read(SCOPE).knows_halt("h-1")


def test_halts_that_are_remembered_are_bounded_too_and_those_of_before_are_known() -> None:
    """F50."""
    seen = Seen(hash="x", epoch=1, at=NOON)
    control = Control(scope=SCOPE, seen={"of-before": seen})
    for number in range(MOST_HALTS + 5):
        control = control.remembering(f"{HALT}{number}", seen)
    assert len(control.seen) == MOST_HALTS + 1
    assert control.knows_halt("of-before")
    assert not control.knows_halt("0")
    for number in range(2):
        at = NOON + timedelta(seconds=number + 1)
        control = control.remembering(f"{HALT}{number}", Seen(hash="x", epoch=1, at=at))
        control = control.model_copy(update={"seen": dict(sorted(control.seen.items()))})  # as it is stored
    assert [control.knows_halt(str(number)) for number in range(2)] == [True, True]


RANK = {"ACTIVE": 0, "REDUCING": 1, "HALTED": 2}
steps = st.lists(
    st.tuples(
        st.integers(0, 5),  # request id: some come again
        st.sampled_from(["kill", "pause", "resume"]),
        st.booleans(),  # flatten
        st.sampled_from(["", "", "", "lost", "applied_but_lost", "publish"]),
        st.booleans(),  # a resume that has seen the epoch that holds
    ),
    max_size=15,
)


@settings(max_examples=80)
@given(steps)
def test_the_epoch_only_grows_and_only_a_seen_resume_loosens(
    happened: list[tuple[int, str, bool, str, bool]],
) -> None:
    """I6, F11, F38, F39: for any requests, in any order, with any failures."""
    world = World()
    app, store = world.instance()
    epoch, rank, flatten = 0, 0, False
    for number, action, flat, fault, seen in happened:
        world.wait(61)
        made = request(f"r-{number}", action, flatten=flat, expected_epoch=epoch if seen else epoch - 1)
        store.faults = [getattr(store, fault)] if fault not in ("", "publish") else []
        world.bus.down = fault == "publish"
        try:
            app.trading.set(made)
        except (Rejected, Unavailable, Unpublished):
            pass
        finally:
            world.bus.down = False
            store.faults = []
        now = app.trading.read(SCOPE)
        assert now.epoch >= epoch
        if now.epoch == epoch:
            assert (RANK[now.state.value], now.flatten) == (rank, flatten)
        if RANK[now.state.value] < rank or (flatten and not now.flatten):
            assert action == "resume"
            assert seen
            assert now.epoch == epoch + 1
        epoch, rank, flatten = now.epoch, RANK[now.state.value], now.flatten
