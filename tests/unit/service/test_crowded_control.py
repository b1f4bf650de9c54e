"""A control whose outbox is full, as nothing can be published: what stops more always has room, and waits for nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

import pytest

from stopline.model.control import ControlRequest, TradingState
from stopline.model.errors import Rejected
from stopline.model.messages import Effect
from stopline.ports import Outgoing, Unavailable, Version, Write
from stopline.runtime.app import App
from stopline.service.audit.chain import rows_of, stored_faults
from stopline.service.documents.outbox import Unpublished

from .world import World

DEMO = "account:demo"
LONG = "स" * 500


def asked(request_id: str, action: str, scope: str = DEMO, **more: object) -> ControlRequest:
    facts = {"request_id": request_id, "scope": scope, "action": action, "actor": "ann", "reason": LONG}
    return ControlRequest.model_validate({**facts, **more})


def resume(app: App, number: int) -> None:
    """Ask for a resume that is refused, as of an epoch that never was."""
    app.trading.set(asked(f"r-{number}", "resume", confirm=f"RESUME {DEMO}", expected_epoch=7))


def crowded() -> tuple[World, App]:
    """Return an account of which no resume is taken any more, so much of it cannot be published."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    world.bus.down = True
    for number in range(1000):
        try:
            resume(app, number)
        except Rejected:
            continue
        except Unavailable:
            return world, app
    raise AssertionError("a thousand refused resumes were stored while nothing could be published")


def test_resumes_without_end_while_nothing_can_be_published_leave_room_for_a_kill() -> None:
    """R5.1: the kill found its document full, and was refused."""
    world, app = crowded()
    with pytest.raises(Unpublished):
        app.trading.set(asked("k-1", "kill"))
    assert app.trading.standing(DEMO).state is TradingState.HALTED
    world.bus.down = False
    with pytest.raises(Rejected, match="epoch"):
        resume(app, 2000)
    assert app.controls.is_out(DEMO)
    assert stored_faults(world.shared)[1] == []


def test_a_kill_of_a_part_said_again_and_again_while_nothing_can_be_published_leaves_room_for_one_of_the_account() -> (
    None
):
    """R5.1: a watchdog repeats it, under an id of its own each time."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    world.bus.down = True
    for number in range(300):
        with pytest.raises(Unpublished):
            app.trading.set(asked(f"k-{number}", "kill", "strategy:demo:core"))
    with pytest.raises(Unpublished):
        app.trading.set(asked("all", "kill"))
    assert app.trading.standing(DEMO).state is TradingState.HALTED
    world.bus.down = False
    assert app.trading.carry(asked("k-299", "kill", "strategy:demo:core")).request_id == "k-299"
    assert app.controls.is_out(DEMO)
    assert stored_faults(world.shared)[1] == []


def test_what_is_stricter_than_what_its_actor_held_is_on_record_all_the_same() -> None:
    """R5.1: a state that is lost later is taken up from there, with its lock and its people."""
    world, app = crowded()
    for request_id, more in (("k-1", {}), ("k-2", {}), ("k-3", {"hold_people": 2})):
        with pytest.raises(Unpublished):
            app.trading.set(asked(request_id, "kill", flatten=False, **more))
    with pytest.raises(Unpublished):
        app.trading.set(asked("k-4", "kill", flatten=False, actor="limit:daily_loss"))
    rows = [row for row in rows_of(world.shared, DEMO) if row["event"].startswith("kill")]
    assert [json.loads(row["detail"])["request_id"] for row in rows] == ["k-1", "k-3", "k-4"]


def test_a_stop_is_stored_before_anything_that_is_due_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """R5.1: the bus may hang for seconds."""
    world, app = crowded()
    order: list[str] = []
    publish, commit = world.bus.publish, app.store.commit

    def published(messages: Sequence[Outgoing]) -> None:
        order.append("publish")
        publish(messages)

    def committed(writes: Sequence[Write]) -> list[Version]:
        order.append("commit")
        return commit(writes)

    monkeypatch.setattr(world.bus, "publish", published)
    monkeypatch.setattr(app.store, "commit", committed)
    with pytest.raises(Unpublished):
        app.trading.set(asked("p-1", "pause"))
    assert order == ["commit", "publish"]


def test_many_parts_whose_pauses_end_at_once_are_lifted_in_commits_that_fit() -> None:
    """R5.1: they were one commit above Firestore's mebibyte, in each round, and the account was watched by nobody."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    until = world.clock.now() + timedelta(hours=1)
    for number in range(150):
        app.trading.set(asked(f"p-{number}", "pause", f"underlying:demo:SYM{number}", until=until))
    world.wait(3601)
    assert app.trading.lapse_due() == {}
    control = app.trading.read(DEMO)
    assert {part.state for part in control.parts.values()} <= {TradingState.ACTIVE}
    assert not app.trading.stopped_accounts()


def test_a_document_that_another_instance_writes_at_this_moment_has_lost_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F03: its trail goes on because somebody was faster, and is not read."""
    world = World()
    world.open_account()
    (slow, store), (fast, _) = world.instance(), world.instance()
    slow.trading.set(asked("p-1", "pause"))
    fast.trading.set(asked("p-2", "pause", "strategy:demo:core"))  # the slow one's copy is behind from now on
    get, between = store.get, iter((True,))

    def overtaken(path: object) -> object:
        if "/audit/" in f"/{path}" and next(between, False):
            fast.trading.set(asked("p-3", "pause", "strategy:demo:other"))
        return get(path)  # type: ignore[arg-type]

    read: list[str] = []
    monkeypatch.setattr(store, "get", overtaken)
    monkeypatch.setattr("stopline.service.trading.regrow.rows_of", lambda *_: read.append("the trail") or [])
    assert slow.trading.set(asked("k-1", "kill")).state is TradingState.HALTED
    assert read == []
    assert next(between, None) is None, "nobody was faster"


def test_a_long_trail_is_read_some_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """R5.1: one query for all of it would end in no instance's time."""
    world = World()
    world.open_account()
    app, store = world.instance()
    for number in range(5):
        app.trading.set(asked(f"p-{number}", "pause", f"underlying:demo:SYM{number}"))
    monkeypatch.setattr("stopline.service.audit.chain.AT_ONCE", 2)
    monkeypatch.setattr(store, "query", lambda *_args, **_more: pytest.fail("a query for all rows"))
    assert [row["seq"] for row in rows_of(store, DEMO)] == [1, 2, 3, 4, 5]


def test_a_breaker_s_pause_does_not_wait_for_a_release_that_finds_no_room() -> None:
    """R5.3: people have lifted the pause before; nothing stopped trading for as long as nothing could be published."""
    _, app = crowded()
    body = {"scope": DEMO, "actor": "breaker:latency", "reason": "2300ms"}
    release = {**body, "request_id": "r", "action": "release", "releases": "p-1"}
    pause = {**body, "request_id": "p-2", "action": "pause"}
    with pytest.raises(Unpublished):
        app.relay.publish(
            [Effect(str(one["request_id"]), "controls", "demo", one) for one in (release, pause)]
        )
    assert app.trading.standing(DEMO).state is TradingState.REDUCING
