"""Each stop's cancels by themselves: who stops something else takes off no stop that was placed by hand, and nobody's
refusal or request is another's.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import orjson
import pytest

from stopline.model.errors import Transient, Unreadable
from stopline.model.ids import document_id
from stopline.model.messages import ExecutionReport, Sweep, SweepKind
from stopline.model.times import utc_text
from stopline.model.wire import canonical
from stopline.ports import Path, Put, Unavailable
from stopline.runtime.app import App
from stopline.runtime.envelope import Envelope
from stopline.runtime.handlers import on_fills
from stopline.service.accounts.reader import account_path
from stopline.service.trading.control_documents import both_to_stop

from ..make import account
from .resume_calls import ask
from .test_cancels_again import HELD, request, stop_by_hand
from .test_orders_working import (
    SCOPE,
    STRATEGY,
    cancels,
    kill,
    killed_and_filled,
    order,
    statement,
    told,
    world,
)
from .world import World

__all__ = ["world"]
A, B = "strategy:demo:a", "strategy:demo:b"
MINE = f"strategy:demo:{STRATEGY}"


def sent(world: World, after: int = 0) -> list[tuple[str, str | None]]:
    """Return the cancels that went, but for the first of them: what they cancel and of which strategy."""
    return [(one["action"], one["strategy"]) for one in cancels(world)[after:]]


def said(app: App, action: str, id_: str, scope: str, **more: Any) -> None:
    """Stop, whether or not the bus takes it."""
    with suppress(Transient):
        ask(app, action, id_, scope=scope, **more)
    with suppress(Transient):
        app.canceller.advance("demo")


def stop(app: App, scope: str, id_: str, **more: Any) -> None:
    app.halts.advance(ask(app, "pause", id_, scope=scope, **more))
    app.closer.advance("demo")


def refusal(world: World, command_id: str) -> ExecutionReport:
    facts = {"command_id": command_id, "account": "demo", "broker": "paper", "status": "rejected"}
    said = {"reason": "no", "reported_at": utc_text(world.clock.now())}
    return ExecutionReport.model_validate({**facts, **said})


def put(world: World, collection: str, name: str, **fields: Any) -> None:
    path = Path(collection, document_id(name))
    found = world.shared.get(path)
    assert found is not None
    world.shared.commit([Put(path, {**found.data, **fields})])


# --- the epoch of something else ---


def test_another_stop_leaves_what_people_placed_by_hand_in_a_halt_that_closes_nothing(world: World) -> None:
    """R5.1: a pause of another strategy, its end, one of the whole, a limit: each took their stops off, without a word."""
    app, _ = world.instance()
    stop(app, A, "p-1", until=world.clock.now() + timedelta(minutes=30))
    kill(app, flatten=False)
    world.wait(61)
    statement(world, app, 60, [stop_by_hand()], positions=HELD)
    for seconds in (60, 1800):
        app, _ = world.instance()  # which knows of no command that it went out
        app.sweeper.run(Sweep(kind=SweepKind.RISK), world.wait(seconds), f"m-{seconds}")
    stop(app, "global", "p-2")
    stop(app, MINE, "p-3", actor="limit:daily_loss")
    assert sent(world) == [("cancel_adding", "a"), ("cancel_all", None), *[("cancel_adding", None)] * 3]
    assert {one["reason"] for one in cancels(world)[1:]} == {"account:demo is halted"}
    assert [one["epoch"] for one in cancels(world)] == [1, 2, 3, 4, 5]


def test_a_kill_of_another_part_or_around_it_cancels_everything_of_its_own(world: World) -> None:
    """R5.1: who kills sees something work; a halt that closes cancels everything each time."""
    app, _ = world.instance()
    kill(app, "k-1", A, flatten=False)
    world.wait(600)
    kill(app, "k-2", B, flatten=False)
    assert sent(world, 1) == [("cancel_adding", "a"), ("cancel_all", "b")]
    world.wait(600)
    kill(app, "k-3", flatten=False)
    assert sent(world, 3) == [("cancel_all", None)]
    world.wait(600)
    kill(app, "k-4", "strategy:demo:c", flatten=False)
    kill(app, "k-5", "global", flatten=False)
    assert sent(world, 4) == [("cancel_adding", None), ("cancel_all", "c"), ("cancel_all", None)]
    world.wait(600)
    kill(app, "k-6", MINE)
    assert sent(world, 7) == [("cancel_adding", None), ("cancel_all", STRATEGY)]
    world.wait(600)
    stop(app, "underlying:demo:QQQ", "p-1")
    assert sent(world, 9) == [("cancel_adding", None), ("cancel_all", STRATEGY)]


@pytest.mark.parametrize("how", ["soon", "unpublished", "older"])
def test_another_stop_sends_the_whole_cancel_where_adapters_may_not_have_heard_it(
    world: World, how: str
) -> None:
    """R5.1: its epoch fences off the one of before."""
    app, _ = world.instance()
    world.bus.down = how == "unpublished"
    said(app, "kill", "k-1", SCOPE, flatten=False)
    world.wait(30 if how == "soon" else 600)
    if how == "older":  # a document of a version that did not note it
        state = orjson.loads((world.document("controls", SCOPE) or {})["state"])
        del state["cancelled_halts"], state["cancelled_at"]
        put(world, "controls", SCOPE, state=canonical(state).decode())
        app, _ = world.instance()
    said(app, "pause", "p-1", A)
    world.bus.down = False
    app.closer.advance("demo")
    assert sent(world) == [("cancel_all", None)] * 2


def test_a_halt_that_was_cancelled_a_moment_ago_is_cancelled_whole_however_old_it_is(world: World) -> None:
    """R5.1: the kill was stored and its function died; the sweep cancelled a minute later, and a limit came just then."""
    app, _ = world.instance()
    ask(app, "kill", "k-1", scope=SCOPE, flatten=False)
    world.wait(65)
    app, _ = world.instance()
    app.canceller.advance("demo")
    world.wait(1)
    said(app, "pause", "p-1", A)
    world.wait(62)
    said(app, "pause", "p-2", B)
    assert sent(world) == [("cancel_all", None), ("cancel_all", None), ("cancel_adding", None)]


def test_a_halt_that_begins_beside_an_old_one_takes_no_stop_off_there_however_soon_the_next_comes(
    world: World,
) -> None:
    """R5.1: two changes within a minute did, silently: the account's halt counted as cancelled just then."""
    app, _ = world.instance()
    kill(app, "k-1", flatten=False)
    world.wait(600)
    kill(app, "k-2", B, flatten=False)
    world.wait(30)
    said(app, "pause", "p-1", A)
    assert sent(world, 1) == [
        ("cancel_adding", None),
        ("cancel_all", "b"),
        ("cancel_adding", None),
        ("cancel_all", "b"),
    ]


def test_a_cancel_of_what_adds_that_another_function_published_is_taken_for_no_whole_one(
    world: World,
) -> None:
    """R5.1: it lies in the document until the sweep; a pause of the whole then took the stop off."""
    app, _ = world.instance()
    kill(app, flatten=False)
    world.wait(600)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), world.wait(60), "m-1")
    prices, _ = world.instance()
    said(prices, "pause", "p-1", A, actor="limit:daily_loss")
    world.wait(15)
    other, _ = world.instance()
    other.halts.advance(ask(other, "pause", "p-2", scope="global"))
    assert sent(world, 1) == [("cancel_adding", None), ("cancel_adding", None)]


def test_a_whole_cancel_of_one_part_that_another_function_published_is_taken_for_none_of_the_account(
    world: World,
) -> None:
    """R5.1: it lies in the document until the sweep; a pause of the whole then took the account's stop off."""
    app, _ = world.instance()
    kill(app, flatten=False)
    world.wait(600)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), world.wait(60), "m-1")
    one, _ = world.instance()
    said(one, "kill", "k-2", B)
    world.wait(15)
    other, _ = world.instance()
    other.halts.advance(ask(other, "pause", "p-2", scope="global"))
    assert ("cancel_all", None) not in sent(world, 1)
    assert ("cancel_all", "b") in sent(world, 3), "its adapters may not have heard that yet"


@pytest.mark.parametrize("down", [False, True])
def test_a_kill_said_again_is_heard_whatever_moves_the_epoch_just_after_it(world: World, down: bool) -> None:
    """R5.1: an adapter that had the new epoch dropped its cancel, and what followed took off only what adds."""
    app, _ = world.instance()
    kill(app, "k-1", flatten=False)
    world.wait(600)
    world.bus.down = down
    said(app, "kill", "k-2", SCOPE, flatten=False)
    with suppress(Transient):
        app.closer.advance("demo")
    world.wait(120 if down else 1)
    said(app, "pause", "p-1", A, actor="limit:daily_loss")
    world.bus.down = False
    app.closer.advance("demo")
    newest = max(one["epoch"] for one in cancels(world))
    assert {one["action"] for one in cancels(world) if one["epoch"] == newest} == {"cancel_all"}
    world.wait(601)
    said(app, "pause", "p-2", B, actor="limit:daily_loss")
    assert sent(world)[-1] == ("cancel_adding", None)


# --- a kill said again ---


def test_a_kill_of_one_part_said_again_is_for_that_part_alone(world: World) -> None:
    """R5.1: the stops placed by hand in the other one were cancelled; nobody had asked."""
    app, _ = world.instance()
    kill(app, "k-1", A, flatten=False)
    kill(app, "k-2", B, flatten=False)
    world.wait(600)
    kill(app, "k-3", A, flatten=False)
    assert sent(world, 3) == [("cancel_all", "a")]
    kill(app, "k-4", flatten=False)
    world.wait(600)
    kill(app, "k-5", B, flatten=False)
    kill(app, "k-6", flatten=False)
    assert sent(world, 5) == [("cancel_all", "b"), ("cancel_all", None)]


@pytest.mark.parametrize("collection", ["statements", "accounts"])
@pytest.mark.parametrize("newer", [True, False])
def test_what_cannot_be_read_of_brokers_sends_no_cancel_that_went_before(
    world: World, collection: str, newer: bool
) -> None:
    """R5.1: days after a kill said again all that had been placed since was cancelled, by each new instance once more."""
    app, _ = world.instance()
    statement(world, app, 1, [], positions=HELD)
    kill(app, flatten=False)
    world.wait(5)
    kill(app, "k-2", flatten=False)
    statement(world, app, 60, [stop_by_hand()], positions=HELD)
    world.wait(600)
    name = "demo.paper" if collection == "statements" else "demo"
    put(world, collection, name, **({"writer": 99} if newer else {"state": "{", "account": "{"}))
    before = len(world.bus.bodies("orders"))
    for _ in range(3):
        world.wait(60)
        world.instance()[0].cancel_watcher.look("demo", *both_to_stop(app.controls, "demo"))
    again = [one["command_id"] for one in world.bus.bodies("orders")[before:]]
    assert set(again) <= {cancels(world)[1]["command_id"]}, "what is in the outbox, at most"
    assert len(cancels(world)) == 2


def test_where_the_note_is_of_a_newer_version_an_old_kill_sends_nothing(world: World) -> None:
    """I13: it went long ago."""
    app, _ = world.instance()
    kill(app, flatten=False)
    world.wait(5)
    kill(app, "k-2", flatten=False)
    world.wait(700)
    put(world, "cancels", "demo", writer=99)
    app, _ = world.instance()
    app.closer.advance("demo")
    assert len(cancels(world)) == 2


def test_a_lost_note_takes_off_no_stop_of_whom_nobody_killed_again(world: World) -> None:
    """R5.1: of what may have been asked for only the last minutes count."""
    app, _ = world.instance()
    kill(app, "k-1", A, flatten=False)
    kill(app, "k-2", B, flatten=False)
    kill(app, "k-3", MINE, flatten=False)
    world.wait(600)
    kill(app, "k-4", A, flatten=False)
    world.wait(660)
    kill(app, "k-5", B, flatten=False)
    put(world, "cancels", "demo", state="{")
    world.wait(20)
    before = len(cancels(world))
    world.instance()[0].closer.advance("demo")
    kinds = {"a": "cancel_adding", "b": "cancel_all", STRATEGY: "cancel_adding"}
    assert {strategy: action for action, strategy in sent(world, before)} == kinds
    assert {alert["object"] for alert in told(world)} == {A, B, MINE}


# --- the names of cancels ---


def test_an_instance_whose_controls_are_of_before_changes_nothing(world: World) -> None:
    """I1: it wrote the note of an older epoch, and the next cancels had ids that adapters knew."""
    app, _ = world.instance()
    kill(app)
    late, _ = world.instance()
    old = both_to_stop(late.controls, "demo")
    kill(app, "k-2", A)
    for _ in range(3):
        statement(world, app, 60, [order()], positions=HELD)
    note, before = world.document("cancels", "demo"), len(cancels(world))
    world.wait(600)
    assert late.cancel_watcher.look("demo", *old) == []
    assert (world.document("cancels", "demo"), len(cancels(world))) == (note, before)


def test_an_instance_that_knows_only_the_request_of_before_sends_nothing_for_it(world: World) -> None:
    """R5.1: it went long ago, and then the newer one would go once more."""
    app, _ = world.instance()
    kill(app, flatten=False)
    world.wait(5)
    kill(app, "k-2", flatten=False)
    late, _ = world.instance()
    old = both_to_stop(late.controls, "demo")
    world.wait(5)
    kill(app, "k-3", flatten=False)
    world.wait(1)
    late.cancel_watcher.look("demo", *old)
    app.cancel_watcher.look("demo", *both_to_stop(app.controls, "demo"))
    assert len(cancels(world)) == 3


def test_a_note_that_was_deleted_gives_no_cancel_an_id_of_before(world: World) -> None:
    """I1: three alerts said that the cancel was sent again, and adapters dropped it."""
    app, _ = world.instance()
    killed_and_filled(world, app)
    for _ in range(10):
        statement(world, app, 60, [order()])
    before = len(cancels(world))
    world.shared._documents["cancels"].pop("demo")
    app, _ = world.instance()
    alerts = len(told(world))
    for _ in range(5):
        statement(world, app, 60, [order()])
    assert len(cancels(world)) - before == len(told(world)) - alerts > 1


def test_a_cancel_whose_commit_nobody_knows_of_goes_once(world: World) -> None:
    """I1: the next look finds what was stored, and sends it."""
    app, store = world.instance()
    kill(app)
    world.wait(5)
    ask(app, "kill", "k-2")
    store.faults = [store.applied_but_lost]
    with pytest.raises(Unavailable, match="deadline"):
        app.cancel_watcher.look("demo", *both_to_stop(app.controls, "demo"))
    assert len(cancels(world)) == 1
    for _ in range(2):
        world.wait(1)
        for one in (app, world.instance()[0]):
            one.cancel_watcher.look("demo", *both_to_stop(one.controls, "demo"))
    assert len(cancels(world)) == 2


def test_a_note_of_the_version_before_is_read(world: World) -> None:
    """F46: what went is not sent again, and a refusal that was told is answered."""
    app, _ = world.instance()
    kill(app)
    world.wait(30)
    app.cancel_watcher.report(refusal(world, cancels(world)[0]["command_id"]))
    state = orjson.loads((world.document("cancels", "demo") or {})["state"])
    older = {**state, "repeats": 0, "anew": None, "refusals": 0, "asked": ["k-2"]}
    older |= {"refused": "no", "refused_by": "paper"}
    put(world, "cancels", "demo", state=canonical(older).decode(), writer=3)
    app, _ = world.instance()
    app.trading.set(request("k-2", flatten=True))
    world.wait(30)
    app.cancel_watcher.look("demo", *both_to_stop(app.controls, "demo"))
    assert len(cancels(world)) == 2
    assert [alert["resolved"] for alert in told(world)] == [False]


# --- refusals ---


def test_what_brokers_refuse_is_told_of_each_scope(world: World) -> None:
    """R6.3: of two strategies one was told six times, the other one never."""
    app, _ = world.instance()
    kill(app, "k-1", A)
    kill(app, "k-2", B)
    for _ in range(90):
        for one in cancels(world):
            app.cancel_watcher.report(refusal(world, one["command_id"]))
        world.wait(20)
        app.closer.advance("demo")
    objects = [alert["object"] for alert in told(world)]
    assert (objects.count(A), objects.count(B)) == (6, 6)
    assert (sent(world).count(("cancel_all", "a")), sent(world).count(("cancel_all", "b"))) == (7, 6)


def test_a_refused_first_cancel_is_told_though_that_of_another_scope_went_again(world: World) -> None:
    """R6.3: it was taken, and nothing came of it."""
    app, _ = world.instance()
    kill(app, "k-1", A)
    kill(app, "k-2", MINE)
    [first] = [one for one in cancels(world) if (one["epoch"], one["strategy"]) == (2, "a")]
    statement(world, app, 30, [order()], positions=HELD)
    assert sent(world, 3) == [("cancel_all", STRATEGY)]
    assert app.cancel_watcher.report(refusal(world, first["command_id"]))
    assert [alert["object"] for alert in told(world)] == [MINE, A]
    world.wait(60)
    app.closer.advance("demo")
    assert sent(world, 4) == [("cancel_all", "a")]


def test_a_refused_cancel_is_heard_where_the_closings_are_damaged(world: World) -> None:
    """R6.3: it went to the dead letters, and nobody was told."""
    app, _ = world.instance()
    kill(app)
    [first] = cancels(world)
    put(world, "closings", "demo", state="{")
    app, _ = world.instance()
    facts = {"type": "stopline.report.v1", **refusal(world, first["command_id"]).model_dump(mode="json")}
    assert on_fills(app, Envelope(canonical(facts), "m-9"))["unknown"] == 0
    assert len(told(world)) == 1
    with pytest.raises(Unreadable):
        on_fills(app, Envelope(canonical({**facts, "command_id": "other"}), "m-10"))


def test_the_refused_cancel_of_a_pause_is_over_when_lists_name_no_order_that_adds(world: World) -> None:
    """R6.1: the alert stood as long as the pause, whatever the broker said."""
    app, _ = world.instance()
    app.halts.advance(ask(app, "pause", "p-1"))
    app.cancel_watcher.report(refusal(world, cancels(world)[0]["command_id"]))
    statement(world, app, 30, [order(), stop_by_hand()], positions=HELD)
    assert (len(cancels(world)), [alert["resolved"] for alert in told(world)]) == (2, [False])
    for _ in range(3):
        statement(world, app, 60, [stop_by_hand()], positions=HELD)
    assert (len(cancels(world)), [alert["resolved"] for alert in told(world)]) == (2, [False, True])


def test_a_new_order_without_an_id_is_cancelled_and_told_beside_another(world: World) -> None:
    """Issue 6.4: they shared one count, and an order of 5000 worked for forty minutes."""
    app, _ = world.instance()
    killed_and_filled(world, app)
    one, other = order(order_id=None), order(order_id=None, quantity="5000")
    for _ in range(40):
        statement(world, app, 60, [one])
    before, known = len(cancels(world)), len(told(world))
    for _ in range(20):
        statement(world, app, 60, [one, other])
    assert len(cancels(world)) - before > 1
    assert "BUY 5000 SPY" in told(world)[known]["summary"]


def test_each_broker_that_refuses_is_told_of_and_nothing_is_over_before_each_has_listed(world: World) -> None:
    """R5.1: two adapters at one moment; the second one's refusal was dropped, and the first one's list ended it all."""
    brokers = account(brokers=["paper", "other"]).model_dump_json()
    world.shared.commit([Put(account_path("demo"), {"account": brokers})])
    app, _ = world.instance()
    kill(app, flatten=False)
    [first] = cancels(world)
    world.wait(1)
    for broker in ("paper", "other", "other"):
        assert app.cancel_watcher.report(
            refusal(world, first["command_id"]).model_copy(update={"broker": broker})
        )
    heard = {
        one["alert_id"]: one["summary"].split(" has refused")[0].split("and ")[-1] for one in told(world)
    }
    assert list(heard.values()) == ["paper", "other"]
    statement(world, app, 31, [], broker="paper", statement_id="S-1")
    assert [one["severity"] for one in told(world)][-1] == "critical", "the other one has listed nothing"
    assert len(cancels(world)) == 2
    statement(world, app, 31, [], broker="paper", statement_id="S-2")
    statement(world, app, 31, [], broker="other", statement_id="S-3")
    assert told(world)[-1]["resolved"]
