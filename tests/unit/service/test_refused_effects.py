"""What a commit asked for and can never be done is kept and told, and holds up nothing else."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from stopline.model.control import Control, Hold, Standing, TradingState
from stopline.model.errors import Rejected
from stopline.model.messages import Effect
from stopline.ports import Path, Put, Unavailable
from stopline.rules.trading.state import MOST_PARTS
from stopline.runtime.app import App
from stopline.service.documents.aggregate import Change
from stopline.service.documents.outbox import outbox_fields
from stopline.service.fills.redrive import Redriver

from .world import World

PAUSE = {
    "request_id": "b-1",
    "scope": "strategy:later:core",
    "action": "pause",
    "flatten": False,
    "actor": "limit:max_strategy_drawdown",
    "reason": "loss of the day 4%, limit 3%",
}
REFUSED = Effect("b-1", "controls", "later", PAUSE)
TOLD = Effect("a-1", "alerts", "later", {"type": "stopline.alert.v1", "alert_id": "a-1"})


def kept(world: World) -> list[dict[str, Any]]:
    return [{"id": d.path.id, **d.data} for d in world.shared.query("quarantine")]


def flush(world: World) -> tuple[App, dict[str, str]]:
    """Flush the outbox of a writer that died, by a new instance."""
    app, _ = world.instance()
    return app, app.sweep.flusher.flush(world.wait(31))


def fill_up(world: World, parts: int) -> None:
    """Stop as many strategies of the account as there is room for, or fewer."""
    scopes = [f"strategy:later:s{n}" for n in range(parts)]
    hold = Hold(
        state=TradingState.HALTED, actor="ann", reason="test", since=world.clock.now(), request_id="p"
    )
    stopped = {s: Standing(scope=s, state=TradingState.HALTED, holds={"ann": hold}) for s in scopes}
    app, _ = world.instance()
    full = Control(scope="account:later", parts=stopped)
    app.controls.change(full.scope, lambda before, attempt: Change(full))


def due(world: World, *effects: Effect) -> None:
    data = {"account": "later", "state": "{}", **outbox_fields(effects, world.clock.now())}
    world.shared.commit([Put(Path("risk", "later"), data)])


def test_a_refused_change_of_state_is_tried_once_kept_and_told() -> None:
    """R0.4, I4: not at each flush for ever; what is beside it in the outbox goes out."""
    world = World()
    fill_up(world, MOST_PARTS)
    due(world, REFUSED, TOLD)
    _, failed = flush(world)
    assert failed == {}
    assert world.outbox("risk", "later") == ()
    assert "a-1" in world.bus.ids()
    [one] = kept(world)
    assert (one["source"], one["reason"], one["message_id"]) == ("controls", "TOO_MANY_PARTS", "b-1")
    [alert] = [a for a in world.bus.bodies("alerts") if a.get("kind") == "quarantine"]
    assert alert["severity"] == "critical"
    assert alert["action"].startswith("What a limit or breaker wanted stopped or lifted was not")
    for _ in range(2):
        assert flush(world)[1] == {}
    assert len(kept(world)) == 1


def test_where_it_cannot_be_kept_it_stays_due() -> None:
    """I4: nothing is lost for want of a quarantine."""
    world = World()
    app, store = world.instance()
    store.down = True
    with pytest.raises(Unavailable):
        app.relay.publish([REFUSED])
    store.down = False
    assert app.relay.unpublished([REFUSED]) == (REFUSED,)


def test_what_was_refused_is_carried_out_when_it_can_be() -> None:
    """R8: redriven by a person, on record; refused again it stays where it is."""
    world = World()
    fill_up(world, MOST_PARTS)
    due(world, REFUSED)
    app, _ = flush(world)
    redriver = Redriver(app.store, world.bus, app.relay, world.clock)
    [one] = kept(world)
    data = base64.b64decode(one["raw"])
    with pytest.raises(Rejected, match="TOO_MANY_PARTS"):
        redriver.settle_quarantined(one["id"], data, "ann", None)
    assert kept(world)[0]["status"] == "open"
    fill_up(world, MOST_PARTS - 1)
    app, _ = world.instance()
    redriver = Redriver(app.store, world.bus, app.relay, world.clock)
    assert redriver.settle_quarantined(one["id"], data, "ann", None) == "redriven"
    assert app.trading.standing("strategy:later:core").state is TradingState.REDUCING
    assert not [m for m in world.bus.messages if m.topic == "controls"], "it is no topic of Pub/Sub"


def test_a_document_that_no_version_wrote_keeps_no_other_one_waiting() -> None:
    """I10: its outbox cannot be read; the next one's is published."""
    world = World()
    world.shared.commit(
        [Put(Path("books", "aaa"), {"account": "aaa", "outbox": "[[", "outbox_at": world.clock.now()})]
    )
    due(world, TOLD)
    _, failed = flush(world)
    assert list(failed) == ["aaa"]
    assert "a-1" in world.bus.ids()
