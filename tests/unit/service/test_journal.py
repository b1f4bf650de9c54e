"""Settings, rights, adjustments and acknowledgements are links of a chain as trading states are: R8.5, I8."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from stopline.model.account import Account
from stopline.model.control import ControlRequest
from stopline.ports import Delete, Update
from stopline.runtime.app import App
from stopline.service.audit.chain import exported_faults, stored_faults
from stopline.service.documents.outbox import JOURNAL_TOPIC
from stopline.service.fills.redrive import Redriver, Returned

from ..make import account, fill
from .world import World


@pytest.fixture
def world() -> World:
    return World()


def change(app: App, **settings: Any) -> None:
    def edit(before: Account) -> Account:
        return before.model_copy(update=settings)

    app.account_writer.change("demo", edit, "ann")


def rows(world: World) -> list[dict[str, Any]]:
    """Return the audit rows that went to BigQuery, each once."""
    found = {}
    for body in world.bus.bodies("history"):
        for row in body["rows"]:
            if row["table"] == "audit":
                found[row["event_id"]] = {"event_id": row["event_id"], **row["row"]}
    return list(found.values())


def test_settings_and_adjustments_are_one_chain_of_the_account(world: World) -> None:
    app, _ = world.instance()
    app.account_writer.create(account(), "ann")
    change(app, note="smaller")
    adjusted = fill(kind="ADJUST", fill_id="adjust-T1", reason="ticket 1", actor="ann")
    app.recorder.record([adjusted], "m-1")
    chained = [(r["chain"], r["seq"], r["event"], r["actor"]) for r in rows(world)]
    assert chained == [
        ("journal:demo", 1, "account_created", "ann"),
        ("journal:demo", 2, "account_changed", "ann"),
        ("journal:demo", 3, "position_adjusted", "ann"),
    ]
    assert stored_faults(world.shared) == (3, [])
    assert exported_faults(world.shared, rows(world)) == (3, [])


def test_all_of_the_audit_is_chained(world: World) -> None:
    """R7.4, R8.5: a restated day and a closing that the fills have proven too, each once."""
    app, _ = world.instance()
    app.account_writer.create(account(), "ann")
    yesterday = world.clock.now() - timedelta(days=1)
    app.recorder.record([fill("E-1", executed_at=yesterday)], "m-1")
    app.recorder.record([fill("E-2", "SELL", price=101, executed_at=yesterday + timedelta(seconds=1))], "m-2")
    app.trading.set(
        ControlRequest.model_validate(
            {"request_id": "k", "scope": "account:demo", "action": "kill", "actor": "ann", "reason": "x"}
        )
    )
    app.closer.advance("demo")
    found = rows(world)
    assert {r["event"] for r in found} == {"account_created", "day_restated", "kill", "flat"}
    assert all(r["chain"] and r["hash"] for r in found)
    assert stored_faults(world.shared) == (len(found), [])


@pytest.mark.parametrize("harm", ["altered", "removed", "the last one removed"])
def test_no_row_can_be_changed_unseen(world: World, harm: str) -> None:
    app, _ = world.instance()
    app.account_writer.create(account(), "ann")
    for note in ("one", "two"):
        change(app, note=note)
    found = sorted(world.shared.query("audit"), key=lambda d: d.data["seq"])
    victim = found[-1] if harm == "the last one removed" else found[1]
    if harm == "altered":
        row = {**orjson.loads(victim.data["row"]), "actor": "mallory"}
        world.shared.commit([Update(victim.path, {"row": orjson.dumps(row).decode()}, victim.version)])
    else:
        world.shared.commit([Delete(victim.path)])
    assert stored_faults(world.shared)[1] != []


def test_a_row_that_comes_again_is_chained_once(world: World) -> None:
    """F08: the commit stands, the journal was down; the sweep brings the row, and once more is not again."""
    app, store = world.instance()
    app.account_writer.create(account(), "ann")
    store.faults = [None, store.lost]  # the account's commit, then the journal's
    with pytest.raises(Exception, match="deadline"):
        change(app, note="late")
    assert world.count("audit") == 1
    assert [e.topic for e in world.outbox("accounts", "demo")] == [JOURNAL_TOPIC]
    world.wait(40)
    other, _ = world.instance()
    other.sweep.flusher.flush(world.clock.now())
    other.journals.carry_out(next(e for e in [*_last(world)]))
    assert (world.count("audit"), stored_faults(world.shared)[1]) == (2, [])


def _last(world: World) -> list[Any]:
    """Return the effect of the account's last change once more, as a second delivery would."""
    from stopline.model.messages import Effect

    found = [r for r in rows(world) if r["event"] == "account_changed"]
    plain = {
        k: v for k, v in found[-1].items() if k not in ("event_id", "chain", "seq", "previous_hash", "hash")
    }
    plain |= {"chain": None, "seq": None, "previous_hash": None, "hash": None}
    row = {"table": "audit", "event_id": found[-1]["event_id"], "row": plain}
    return [Effect("again", JOURNAL_TOPIC, "demo", {"type": "stopline.history.v1", "rows": [row]})]


def test_what_is_nobodys_has_a_chain_too(world: World) -> None:
    """R8.3: a message that a person gives up belongs to no account, and is on record all the same."""
    app, store = world.instance()
    redriver = Redriver(store, world.bus, app.relay, world.clock)
    redriver.drop(Returned("fills", "m-9", b"{oops", {}), "ann", "cannot be read")
    assert [(r["chain"], r["event"], r["reason"]) for r in rows(world)] == [
        ("journal:", "message_dropped", "cannot be read")
    ]
    assert stored_faults(world.shared) == (1, [])
