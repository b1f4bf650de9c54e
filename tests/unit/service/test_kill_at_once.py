"""What a kill closes waits for no pause of before: none of an exit's, none of a broker that is back, none that our own
cancels made.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from stopline.model.closing import CloseRequest
from stopline.model.ids import document_id
from stopline.model.messages import ExecutionReport
from stopline.model.times import utc_text
from stopline.ports import Clock, Outgoing, Path, Put, Unavailable
from stopline.runtime.app import App
from stopline.service.documents.outbox import Unpublished

from ..make import trade
from .test_cancels_by_scope import A, said
from .test_orders_working import SCOPE, STRATEGY, kill, world
from .world import World

__all__ = ["world"]


def closes(world: World) -> list[dict[str, Any]]:
    found = {one["command_id"]: one for one in world.bus.bodies("orders") if one["action"] == "close"}
    return list(found.values())


class Behind:
    """A clock that is 20 s behind another."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now() - timedelta(seconds=20)


def ask_to_close(world: World, app: App) -> None:
    facts = {
        "request_id": "x-1",
        "account": "demo",
        "strategy": STRATEGY,
        "symbol": "SPY",
        "urgency": "urgent",
    }
    why = {"reason": "a stop", "rule": "stop", "cause": "c", "requested_at": utc_text(world.clock.now())}
    app.closer.ask(CloseRequest.model_validate({**facts, **why}))


def rounds(app: App) -> set[int]:
    """The rounds of the closes that are out."""
    return {one.round for one in app.closer.read("demo").sent.values() if one.ended_at is None}


def report(world: World, app: App, close: dict[str, Any], status: str) -> None:
    at = utc_text(world.clock.now())
    facts = {"command_id": close["command_id"], "account": "demo", "broker": "paper"}
    said = {"status": status, "reason": "no", "filled": "0", "reported_at": at}
    app.closer.report(ExecutionReport.model_validate({**facts, **said}))


def stuck(world: World) -> list[str]:
    return [one["summary"] for one in world.bus.bodies("alerts") if one.get("kind") == "closing_stuck"]


def refuse(world: World, app: App, seconds: int) -> None:
    """Look each second for some time, while the broker refuses each close."""
    refused: set[str] = set()
    for _ in range(seconds):
        at = utc_text(world.wait(1))
        for one in closes(world):
            if one["command_id"] not in refused:
                refused.add(one["command_id"])
                facts = {"command_id": one["command_id"], "account": "demo", "broker": "paper"}
                said = {"status": "rejected", "reason": "no", "reported_at": at}
                app.closer.report(ExecutionReport.model_validate({**facts, **said}))
        app.closer.advance("demo")


def test_the_first_kill_after_an_exit_that_a_broker_refused_is_at_the_broker_at_once(world: World) -> None:
    """R5.1: it waited for the exit's own pause, up to two minutes, or an hour where an exit sets its own."""
    app, _ = world.instance()
    ask_to_close(world, app)
    refuse(world, app, 100)
    before = len(closes(world))
    world.wait(1)
    app.closer.advance("demo")
    assert len(closes(world)) == before, "no pause is on"
    kill(app)
    assert len(closes(world)) == before + 1


def test_who_kills_again_has_it_tried_now(world: World) -> None:
    """R5.1: the broker is back, and people know it."""
    app, _ = world.instance()
    kill(app, "k-1")
    refuse(world, app, 100)
    before = len(closes(world))
    kill(app, "k-2")
    assert len(closes(world)) == before + 1
    refuse(world, app, 30)
    assert len(closes(world)) <= before + 2, "each refusal makes the next pause longer"


def test_a_close_that_another_stop_s_cancel_took_along_goes_again_when_that_is_sure(world: World) -> None:
    """R5.1: limits that stop strategies one after another left nothing at the broker for minutes."""
    app, _ = world.instance()
    kill(app)
    for number in range(6):
        world.wait(10)
        said(app, "pause", f"p-{number}", f"{A}{number}")
        before = len(closes(world))
        for _ in range(7):
            world.wait(1)
            app.closer.advance("demo")
        assert len(closes(world)) == before + 1


def test_a_close_that_our_own_cancel_took_along_is_no_failed_try_where_its_broker_says_so_before_we_look(
    world: World,
) -> None:
    """R5.1: each counted, so that a limit order walked to 20 % under the market within half a minute."""
    app, _ = world.instance()
    kill(app)
    for number in range(6):
        world.wait(6)
        last = closes(world)[-1]
        said(app, "pause", f"p-{number}", f"{A}{number}")
        report(world, app, last, "cancelled")
        app.closer.advance("demo")
        assert len(closes(world)) == number + 2, "the next one goes at once"
    assert max(rounds(app)) <= 2, "one was at the broker for the 5 seconds of a first try"
    assert stuck(world) == []


@pytest.mark.parametrize("scope", [SCOPE, "global", f"strategy:demo:{STRATEGY}"])
def test_an_exit_s_close_that_a_cancel_only_kill_took_along_goes_again_where_nobody_reports_it(
    world: World, scope: str
) -> None:
    """R4.2: the adapter of docs/client.md reports nothing; it went again when the command had run out, 34 s later."""
    app, _ = world.instance()
    ask_to_close(world, app)
    assert len(closes(world)) == 1
    world.wait(2)
    kill(app, flatten=False, scope=scope)
    for _ in range(7):
        world.wait(1)
        app.closer.advance("demo")
    assert len(closes(world)) == 2


def test_an_exit_s_close_that_a_cancel_only_kill_took_along_goes_again_at_once(world: World) -> None:
    """R4.2: it waited for the pause of a failed one, up to two minutes, or an hour where an exit sets its own."""
    app, _ = world.instance()
    ask_to_close(world, app)
    refuse(world, app, 60)
    world.wait(60)
    app.closer.advance("demo")
    before, last = len(closes(world)), closes(world)[-1]
    kill(app, flatten=False)
    report(world, app, last, "cancelled")
    world.wait(1)
    app.closer.advance("demo")
    assert len(closes(world)) == before + 1


def test_what_nothing_fills_is_told_however_often_people_kill_again(world: World) -> None:
    """R5.1: no close counted, so that no price was wider, no spread went leg by leg, and nobody was told."""
    app, _ = world.instance()
    kill(app)
    for number in range(30):
        for _ in range(20):
            world.wait(1)
            app.closer.advance("demo")
        kill(app, f"again-{number}")
    assert max(rounds(app)) > 2
    assert stuck(world)


@pytest.mark.parametrize("damage", [{"state": "{broken"}, {"writer": 99}])
def test_a_cancel_that_nothing_can_note_ends_no_close_that_went_after_it(
    world: World, damage: dict[str, Any]
) -> None:
    """R4.2: said again at each look, it counted each time: up to five closes of 10 units were out at once."""
    app, _ = world.instance()
    kill(app, flatten=False)
    path = Path("controls", document_id(SCOPE))
    found = world.shared.get(path)
    assert found is not None
    world.shared.commit([Put(path, {**found.data, **damage})])
    app, _ = world.instance()
    world.wait(2)
    ask_to_close(world, app)
    for _ in range(25):
        world.wait(1)
        app.closer.advance("demo")
    assert len(closes(world)) == 1, "it may still execute"


def test_a_cancel_that_is_noted_late_ends_no_close_that_another_instance_sent_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4.2: 20 units were out against 10 that are held."""
    app, _ = world.instance()
    other, _ = world.instance()
    ask_to_close(world, app)
    world.wait(2)
    advance = app.halt_closer.advance

    def late(account: str, **more: Any) -> Any:
        if more.get("cancelled"):
            world.wait(1)
            report(world, other, closes(world)[-1], "cancelled")
            world.wait(1)
            other.halt_closer.advance("demo")
            world.wait(1)
        return advance(account, **more)

    monkeypatch.setattr(app.halt_closer, "advance", late)
    kill(app, flatten=False)
    for _ in range(12):
        world.wait(1)
        other.closer.advance("demo")
    assert len(closes(world)) == 2


def test_a_close_that_is_stored_while_a_repeated_cancel_is_noted_is_not_ended_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4.2: what people cancel again has the epoch of before; only when a close went tells which it took along."""
    app, _ = world.instance()
    other, _ = world.instance()
    kill(app, flatten=False)
    world.wait(2)
    ask_to_close(world, app)
    look = app.closer._cancel_again

    def then_another(account: str, *held: Any) -> Any:
        found = look(account, *held)
        if found and len(closes(world)) == 1:
            report(world, other, closes(world)[-1], "cancelled")
            world.wait(6)
            other.closer.advance("demo")
            world.wait(1)
            other.closer.advance("demo")
        return found

    monkeypatch.setattr(app.closer, "_cancel_again", then_another)
    kill(app, "again", flatten=False)
    assert len(closes(world)) == 2
    for _ in range(12):
        world.wait(1)
        other.closer.advance("demo")
    assert len(closes(world)) == 2


def test_the_grace_of_a_repeated_cancel_begins_when_it_is_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4.2: the bus took it after 6 s, and 10 units more went in that very moment: what was filled till then nobody knew."""
    app, _ = world.instance()
    kill(app)
    world.wait(10)
    publish = world.bus.publish

    def slowly(messages: Sequence[Outgoing]) -> list[str]:
        if any(m.topic == "orders" and orjson.loads(m.data)["action"] == "cancel_all" for m in messages):
            world.wait(6)
        return publish(messages)

    monkeypatch.setattr(world.bus, "publish", slowly)
    kill(app, "again")
    monkeypatch.undo()
    assert len(closes(world)) == 1
    for seconds in range(1, 6):
        world.wait(1)
        app.closer.advance("demo")
        assert len(closes(world)) == (1 if seconds < 5 else 2)


def test_a_close_of_an_instance_whose_clock_is_behind_is_not_ended_by_a_cancel_of_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4.2: 20 s behind; its close seemed to have gone before the cancel."""
    app, _ = world.instance()
    other, _ = world.instance()
    monkeypatch.setattr(other.closer, "_clock", Behind(world.clock))
    kill(app, flatten=False)
    world.wait(2)
    ask_to_close(world, other)
    world.wait(4)
    look = app.closer._cancel_again

    def then_another(account: str, *held: Any) -> Any:
        found = look(account, *held)
        if found and len(closes(world)) == 1:
            report(world, other, closes(world)[-1], "cancelled")
            world.wait(1)
            other.closer.advance("demo")
        return found

    monkeypatch.setattr(app.closer, "_cancel_again", then_another)
    kill(app, "again", flatten=False)
    assert len(closes(world)) == 2
    for _ in range(9):
        world.wait(1)
        app.closer.advance("demo")
    assert len(closes(world)) == 2


def test_a_close_that_the_repeated_cancel_of_another_stop_s_flatten_took_along_goes_again_soon(
    world: World,
) -> None:
    """R4.2: nothing marked it, so that it went again when it had run out, 25 s after the kill."""
    app, _ = world.instance()
    kill(app, "k-1", flatten=False, scope=f"strategy:demo:{STRATEGY}")
    world.wait(5)
    ask_to_close(world, app)
    world.wait(10)
    kill(app, "k-2", scope="strategy:demo:other")
    for _ in range(7):
        world.wait(1)
        app.closer.advance("demo")
    assert len(closes(world)) == 2


def without_closes(world: World, monkeypatch: pytest.MonkeyPatch, problem: Exception) -> None:
    """Have the bus take no close."""
    publish = world.bus.publish

    def only_others(messages: Sequence[Outgoing]) -> list[str]:
        if any(m.topic == "orders" and orjson.loads(m.data)["action"] == "close" for m in messages):
            raise problem
        return publish(messages)

    monkeypatch.setattr(world.bus, "publish", only_others)


def test_a_close_that_was_left_unpublished_goes_before_the_repeated_cancel_that_takes_it_along(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4.2, F9: it went after the cancel, and alive beside the one in its place: twice what is held was out."""
    app, _ = world.instance()
    other, _ = world.instance()
    kill(app, flatten=False)
    world.wait(2)
    without_closes(world, monkeypatch, RuntimeError("the instance is gone"))
    with pytest.raises(RuntimeError):
        ask_to_close(world, other)
    monkeypatch.undo()
    world.wait(1)
    kill(app, "again", flatten=False)
    sent = [one["action"] for one in world.bus.bodies("orders")]
    assert sent[-2:] == ["close", "cancel_all"]


def test_a_close_that_cannot_be_published_is_not_ended_by_a_cancel_that_can(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4.2, F10: whether it goes out after that nobody knows."""
    app, _ = world.instance()
    kill(app, flatten=False)
    world.wait(2)
    without_closes(world, monkeypatch, Unavailable("no answer"))
    with pytest.raises(Unpublished):
        ask_to_close(world, app)
    world.wait(1)
    kill(app, "again", flatten=False)
    [sent] = app.closer.read("demo").sent.values()
    assert sent.cancelled_at is None
    monkeypatch.undo()
    for _ in range(12):
        world.wait(1)
        app.closer.advance("demo")
    assert len(closes(world)) == 1


def test_a_close_of_which_nothing_is_known_any_more_is_not_ended_by_a_cancel(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4.2: another thread of the instance lost a commit, and with it the copy that says what is due."""
    app, _ = world.instance()
    other, _ = world.instance()
    kill(app, flatten=False)
    world.wait(2)
    without_closes(world, monkeypatch, RuntimeError("the instance is gone"))
    with pytest.raises(RuntimeError):
        ask_to_close(world, other)
    monkeypatch.undo()
    world.wait(1)
    cancel = app.closer._cancel

    def then_lost(account: str) -> Any:
        sent = cancel(account)
        app.closer._documents._forget(account)
        return sent

    monkeypatch.setattr(app.closer, "_cancel", then_lost)
    kill(app, "again", flatten=False)
    [sent] = app.closer.read("demo").sent.values()
    assert sent.cancelled_at is None


def test_a_repeated_cancel_waits_for_nothing_but_closes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5.1: the history did not take the row of an execution; the next close went 34 s after the kill, and not 5."""
    app, _ = world.instance()
    kill(app)
    world.wait(2)
    first = closes(world)[-1]["command_id"]
    app.recorder.record([trade(2, -4, 99, executed_at=world.clock.now(), command_id=first)], "m-2")
    publish = world.bus.publish

    def without_rows(messages: Sequence[Outgoing]) -> list[str]:
        """As the adapter: each topic by itself. What a control has to say of a kill gets through."""
        taken = [m for m in messages if m.topic != "history" or b'"audit"' in m.data]
        publish(taken)
        if len(taken) < len(messages):
            raise Unavailable("no answer")
        return ["1"] * len(messages)

    monkeypatch.setattr(world.bus, "publish", without_rows)
    while len(closes(world)) == 1:
        world.wait(1)
        with suppress(Unpublished):
            app.closer.advance("demo")
    assert [effect.topic for effect in app.closer._documents.due("demo") or ()]
    kill(app, "again")
    assert len(closes(world)) == 2
    for _ in range(5):
        world.wait(1)
        with suppress(Unpublished):
            app.closer.advance("demo")
    assert len(closes(world)) == 3
