"""A trading state that a hand outside Stopline deleted or put back: it can be stopped again, and lets nothing in."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import orjson
import pytest

from stopline.model.control import ControlRequest, TradingState
from stopline.model.errors import Contended, Rejected, Transient
from stopline.model.ids import document_id
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Sweep, SweepKind
from stopline.ports import Delete, Document, Path, Put
from stopline.rules.trading.state import AHEAD
from stopline.runtime.app import App
from stopline.service.audit.chain import stored_faults
from stopline.service.audit.journal import journal_effect
from stopline.service.history.rows import audit_row
from stopline.service.sweep.epochs import epochs_of
from stopline.service.sweep.heartbeat import HEARTBEAT

from ..make import account, fill
from .world import World

SCOPES = ("account:demo", "global")


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account()
    app, _ = made.instance()
    app.recorder.record([fill()], "m-1")
    app.sweeper.run(Sweep(kind=SweepKind.RISK), made.clock.now(), "s-1")
    return made


def asked(scope: str, id_: str = "k", **more: Any) -> ControlRequest:
    facts = {"request_id": id_, "scope": scope, "action": "kill", "actor": "ann", "reason": "test", **more}
    return ControlRequest.model_validate(facts)


def sweep(world: World) -> None:
    world.wait(60)
    world.instance()[0].sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), str(world.clock.now()))


def stored(world: World, app: App, scope: str) -> Document:
    found = world.shared.get(app.controls.path(scope))
    assert found is not None
    return found


def lose(world: World, app: App, scope: str, back_to: Document | None) -> None:
    """Delete the document, or put it back as it was."""
    path = app.controls.path(scope)
    world.shared.commit([Put(path, back_to.data) if back_to else Delete(path)])
    world.bus.messages.clear()


@pytest.mark.parametrize("is_deleted", [True, False])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_state_that_was_lost_is_killed_again_under_a_later_epoch(
    world: World, scope: str, is_deleted: bool
) -> None:
    """R5.1, I5, I6: the audit trail's next row was there already, so no kill could ever be stored."""
    app, _ = world.instance()
    app.trading.set(asked(scope, "p", action="pause"))
    paused = stored(world, app, scope)
    app.trading.set(asked(scope))
    lose(world, app, scope, None if is_deleted else paused)
    app, _ = world.instance()
    standing = app.trading.set(asked(scope, "k-2"))
    assert standing.state is TradingState.HALTED
    assert standing.epoch > 2 + AHEAD
    assert app.halts.advance(standing) == {"demo": "CLOSING"}
    assert [(o["action"], o["epoch"]) for o in world.bus.bodies("orders")][-2:] == [
        ("cancel_all", standing.epoch),
        ("close", standing.epoch),
    ]
    assert stored_faults(world.shared)[1] == []


def test_a_kill_of_the_second_path_is_stored_too(world: World) -> None:
    """F41."""
    app, _ = world.instance()
    app.trading.set(asked("account:demo"))
    lose(world, app, "account:demo", None)
    app, _ = world.instance()
    assert (
        app.trading.store_halt(asked("account:demo", "k-2"), "h-1", world.clock.now()).state
        is TradingState.HALTED
    )


def test_a_lost_state_that_only_cancels_were_noted_in_since_is_killed_too(world: World) -> None:
    """R5.1: the note made the document anew, without its place in the audit trail."""
    app, _ = world.instance()
    app.trading.set(asked("account:demo"))
    lose(world, app, "account:demo", None)
    app, _ = world.instance()
    app.halts.advance(app.trading.set(asked("global")))
    assert stored(world, app, "account:demo").data["epoch"] == 0
    assert app.trading.set(asked("account:demo", "k-2")).state is TradingState.HALTED


@pytest.mark.parametrize("is_seen_by", ["the adapter's own lease", "the last sweep"])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_lost_state_gives_no_lease_until_the_sweep_has_taken_it_up(
    world: World, scope: str, is_seen_by: str
) -> None:
    """I5, I6, I7: an adapter that was started anew knows of no halt, and the state says ACTIVE. Nobody needs to notice."""
    app, _ = world.instance()
    app.trading.set(asked(scope, flatten=False))
    name = "new-pod"
    if is_seen_by == "the last sweep":
        sweep(world)
    else:
        name = "a"
        assert app.leases.grant(account(), LeaseRequest(adapter=name)).state is TradingState.HALTED
    lose(world, app, scope, None)
    app, _ = world.instance()
    with pytest.raises(Rejected, match="EPOCH_WENT_BACK"):
        app.leases.grant(account(), LeaseRequest(adapter=name))
    if is_seen_by == "the last sweep":
        sweep(world)
        assert world.instance()[0].trading.standing(scope).state is TradingState.HALTED
        assert any("deleted or put back" in a["summary"] for a in world.bus.bodies("alerts"))
        sweep(world)
        assert stored_faults(world.shared)[1] == []
    else:
        app.trading.set(asked(scope, "k-2"))
    assert (
        world.instance()[0].leases.grant(account(), LeaseRequest(adapter=name)).state is TradingState.HALTED
    )


@pytest.mark.parametrize("scope", SCOPES)
def test_a_state_that_was_lost_with_its_audit_trail_stops_until_two_people_resume(
    world: World, scope: str
) -> None:
    """I5: nothing is left to go by but the epoch that was seen."""
    app, _ = world.instance()
    app.trading.set(asked(scope, "p", action="pause"))
    app.trading.set(asked(scope, flatten=False))
    sweep(world)
    lose(world, app, scope, None)
    world.shared.commit([Delete(d.path) for d in world.shared.query("audit") if d.data["chain"] == scope])
    for _ in range(2):
        sweep(world)
        standing = world.instance()[0].trading.standing(scope)
        assert standing.state is TradingState.REDUCING
        assert standing.epoch > AHEAD
        assert max(hold.people for hold in standing.holds.values()) == 2


@pytest.mark.parametrize("scope", SCOPES)
def test_a_halt_that_was_lost_is_taken_up_out_of_the_audit_trail_and_two_people_end_it(
    world: World, scope: str
) -> None:
    """I6: not by the breaker whose own pause found the loss; and people are told."""
    app, _ = world.instance()
    lock = scope != "global"
    app.trading.set(asked(scope, lock=lock))
    app.trading.set(asked("strategy:demo:core", "part"))
    lose(world, app, scope, None)
    app, _ = world.instance()
    breaker = {"scope": scope, "actor": "breaker:stale_data", "flatten": False}
    app.trading.set(asked(id_="b-1", action="pause", **breaker))
    app.trading.set(asked(id_="b-2", action="release", **breaker))
    standing = app.trading.standing(scope)
    assert (standing.state, standing.flatten) == (TradingState.HALTED, True)
    assert {(h.people, h.locked_until is not None) for h in standing.holds.values()} == {(2, lock)}
    assert app.trading.standing("strategy:demo:core").state is TradingState.HALTED
    told = [a["summary"] for a in world.bus.bodies("alerts")]
    assert any("deleted or put back" in text for text in told), told
    assert stored_faults(world.shared)[1] == []


def test_the_journal_of_an_account_goes_on_where_its_document_was_put_back(world: World) -> None:
    """R8: an import over the same database deletes no row that came since."""
    app, _ = world.instance()
    path = Path("journals", document_id("journal:demo"))
    says = ("account:demo", "adjusted", "ann", "test", world.clock.now(), 0, ("", ""), {})
    rows = [audit_row(f"e-{n}", *says) for n in range(3)]
    app.journals.carry_out(journal_effect("demo", rows[:1]))
    before = world.shared.get(path)
    assert before is not None
    app.journals.carry_out(journal_effect("demo", rows[1:2]))
    world.shared.commit([Put(path, before.data)])
    world.instance()[0].journals.carry_out(journal_effect("demo", rows[2:]))
    assert stored_faults(world.shared)[1] == []


def test_who_loses_to_others_without_end_is_told_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    app, _ = world.instance()

    def lost(*_: object) -> None:
        raise Contended("12 tries lost to other writers")

    monkeypatch.setattr(app.controls, "change", lost)
    with pytest.raises(Contended):
        app.trading.set(asked("account:demo"))


@pytest.mark.parametrize("commit", [0, 1, 2])
@pytest.mark.parametrize("is_applied", [True, False])
def test_a_take_up_that_fails_half_way_is_done_again_by_the_next_sweep(
    world: World, commit: int, is_applied: bool
) -> None:
    """I5, I7: as long as it is not whole no lease is granted."""
    app, _ = world.instance()
    app.trading.set(asked("account:demo", flatten=False))
    sweep(world)
    lose(world, app, "account:demo", None)
    world.wait(60)
    app, store = world.instance()
    known = epochs_of(world.shared.get(HEARTBEAT))
    store.faults = [*[None] * commit, store.applied_but_lost if is_applied else store.lost]
    with suppress(Transient):
        app.set_back.take_up("account:demo", known["account:demo"])
    with suppress(Rejected):
        granted = world.instance()[0].leases.grant(account(), LeaseRequest(adapter="new"))
        assert granted.state is TradingState.HALTED
    for _ in range(2):
        sweep(world)
    assert world.instance()[0].trading.standing("account:demo").state is TradingState.HALTED


def test_an_account_without_a_book_is_taken_up_too() -> None:
    """I7: it was locked before it ever traded."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    app.trading.set(asked("account:demo"))
    sweep(world)
    lose(world, app, "account:demo", None)
    sweep(world)
    assert world.instance()[0].trading.standing("account:demo").state is TradingState.HALTED


def test_a_pause_that_is_due_and_was_put_back_costs_no_sweep(world: World) -> None:
    """I10: its row is in the audit trail already."""
    app, _ = world.instance()
    until = world.clock.now() + timedelta(seconds=30)
    app.trading.set(asked("global", "p-1", action="pause", until=until))
    old = stored(world, app, "global")
    app.trading.set(asked("global", "p-2", action="pause"))
    lose(world, app, "global", old)
    sweep(world)
    assert world.instance()[0].trading.standing("global").state is TradingState.REDUCING


def test_an_audit_row_that_cannot_be_read_keeps_no_lost_state_from_being_killed(world: World) -> None:
    """R5.1: its place is known by its name."""
    app, _ = world.instance()
    app.trading.set(asked("account:demo"))
    [row] = [d for d in world.shared.query("audit") if d.data["chain"] == "account:demo"]
    world.shared.commit([Put(row.path, {**row.data, "row": "{"})])
    lose(world, app, "account:demo", None)
    standing = world.instance()[0].trading.set(asked("account:demo", "k-2"))
    assert standing.state is TradingState.HALTED
    assert standing.epoch > AHEAD


def told_of_the_loss(world: World) -> list[dict[str, Any]]:
    """Return the alerts of a loss, each id once."""
    told = {a["alert_id"]: a for a in world.bus.bodies("alerts") if a["kind"] == "state_lost"}
    return list(told.values())


def test_the_strictest_stops_are_taken_up_first(world: World) -> None:
    """R5.1: the account's own kill came before a hundred pauses, and was left out for them."""
    app, _ = world.instance()
    app.trading.set(asked("account:demo"))
    for number in range(101):
        app.trading.set(asked(f"strategy:demo:s{number}", f"p-{number}", action="pause"))
    sweep(world)
    lose(world, app, "account:demo", None)
    sweep(world)
    standing = world.instance()[0].trading.standing("account:demo")
    assert (standing.state, standing.flatten) == (TradingState.HALTED, True)
    [told] = told_of_the_loss(world)
    assert "strategy s100: so all is halted" in told["action"]


@pytest.mark.parametrize("why", ["too many for one commit", "no room in the document"])
@pytest.mark.parametrize(("action", "flatten"), [("kill", True), ("kill", False), ("pause", False)])
def test_where_a_stop_cannot_be_taken_up_the_whole_account_is_halted_and_people_are_told_which(
    world: World, monkeypatch: pytest.MonkeyPatch, why: str, action: str, flatten: bool
) -> None:
    """R5.1, I6: never looser than what was lost."""
    app, _ = world.instance()
    app.trading._people = 1
    app.trading._doubts = lambda scope: ()
    seen = app.trading.set(asked("strategy:demo:a", "p", action="pause"))
    old = stored(world, app, "account:demo")
    if why == "no room in the document":
        monkeypatch.setattr("stopline.rules.trading.state.MOST_PARTS", 1)
        world.wait(61)
        app.trading.set(back("strategy:demo:a", seen.epoch))
    else:
        monkeypatch.setattr("stopline.service.trading.regrow.MOST", 0)
    app.trading.set(asked("strategy:demo:b", "k", action=action, flatten=flatten))
    sweep(world)
    lose(world, app, "account:demo", old)
    sweep(world)
    standing = world.instance()[0].trading.standing("account:demo")
    assert (standing.state, standing.flatten) == (TradingState.HALTED, flatten)
    [told] = told_of_the_loss(world)
    assert "strategy b" in told["action"]
    assert "so all is halted" in told["action"]


def back(scope: str, epoch: int) -> ControlRequest:
    more = {"action": "resume", "confirm": f"RESUME {scope}", "expected_epoch": epoch, "actor": "bob"}
    return asked(scope, f"r-{epoch}", **more)


def test_a_pause_without_an_end_stays_so_when_a_later_one_had_an_end(world: World) -> None:
    """I6: as where nothing is lost: no end is later than any end."""
    app, _ = world.instance()
    until = world.clock.now() + timedelta(minutes=10)
    scope = "strategy:demo:core"
    app.trading.set(asked(scope, "p-1", action="pause"))
    app.trading.set(asked(scope, "p-2", action="pause", until=until))
    sweep(world)
    lose(world, app, "account:demo", None)
    sweep(world)
    world.wait(600)
    sweep(world)
    assert world.instance()[0].trading.standing(scope).state is TradingState.REDUCING


@pytest.mark.parametrize("is_stopped", [True, False])
@pytest.mark.parametrize(
    "lost", ["deleted", "put back", "deleted with its trail", "put back without its trail"]
)
@pytest.mark.parametrize("scope", SCOPES)
def test_one_alert_says_what_was_lost_what_it_was_taken_up_from_and_what_to_do(
    world: World, scope: str, lost: str, is_stopped: bool
) -> None:
    """F54, R4.1: also where what was put back was stopped already, so that nothing changes but the epoch."""
    app, _ = world.instance()
    app.trading._people = 1
    app.trading._doubts = lambda scope: ()
    standing = app.trading.set(asked(scope, "k-1", flatten=False))
    old = stored(world, app, scope)
    if is_stopped:
        app.trading.set(asked(scope, "k-2", actor="bob"))
    else:
        world.wait(61)
        app.trading.set(back(scope, standing.epoch))
    sweep(world)
    lose(world, app, scope, old if lost.startswith("put back") else None)
    is_wiped = lost.endswith("its trail")
    if is_wiped:
        rows = [d for d in world.shared.query("audit") if d.data["chain"] == scope]
        gone = rows if "deleted" in lost else rows[1:]
        world.shared.commit([Delete(d.path) for d in gone])
    for _ in range(3):
        sweep(world)
    [told] = told_of_the_loss(world)
    whose = "all accounts" if scope == "global" else "account demo"
    assert told["summary"].startswith(f"The trading state of {whose} was deleted or put back as it was: ")
    assert ("what was stopped is not known" in told["summary"]) == is_wiped
    assert ("out of its audit trail, rows up to" in told["summary"]) == (not is_wiped)
    state = world.instance()[0].trading.standing(scope).state
    assert told["summary"].endswith(" HALTED." if state is TradingState.HALTED else " REDUCE-ONLY.")
    assert "two people resume it" in told["action"]
    assert ("Cancelling" in told["action"]) == (state is TradingState.HALTED)
    assert told["severity"] == "critical"
    assert stored_faults(world.shared)[1] == []


def test_a_document_of_no_scope_fails_no_sweep_and_is_not_missed(world: World) -> None:
    """I10: neither while it is there nor after it is deleted, also by a heartbeat that has noted it."""
    strange = {"test thing": 3, "strategy:demo:a": 2}
    for number, scope in enumerate(strange):
        world.shared.commit([Put(Path("controls", f"test-{number}"), {"scope": scope, "epoch": 3})])
    sweep(world)
    assert set(epochs_of(world.shared.get(HEARTBEAT))) == set()
    world.shared.commit([Delete(Path("controls", f"test-{number}")) for number in range(2)])
    beat = world.shared.get(HEARTBEAT)
    assert beat is not None
    world.shared.commit([Put(HEARTBEAT, {**beat.data, "epochs": orjson.dumps(strange).decode()})])
    world.bus.messages.clear()
    sweep(world)
    assert told_of_the_loss(world) == []
