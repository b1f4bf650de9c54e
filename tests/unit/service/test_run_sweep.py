"""Sweeps: what was left due goes out, every account is looked at, and only a whole round beats the heart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.control import ControlRequest
from stopline.model.errors import Rejected, Transient
from stopline.model.messages import Sweep, SweepKind
from stopline.model.prices import PriceBatch, Quote
from stopline.ports import Path, Put
from stopline.runtime.app import App
from stopline.service.documents.outbox import Unpublished
from stopline.service.sweep import run_sweep
from stopline.service.sweep.flush_outboxes import OUTBOX_AGE
from stopline.service.sweep.heartbeat import HEARTBEAT

from ..make import BEGUN, NOON, account, fill, trade
from .world import World


def sweep(app: App, kind: SweepKind = SweepKind.RISK, **more: Any) -> None:
    app.sweeper.run(Sweep(kind=kind, **more), app.clock.now().replace(second=0, microsecond=0), "m-sweep")


def fill_without_publishing(world: World, *fills: Any) -> list[str]:
    app, _ = world.instance()
    world.bus.down = True
    with pytest.raises(Unpublished):
        app.recorder.record(list(fills), "m-1")
    world.bus.down = False
    return [effect.id for effect in world.outbox("books", fills[0].account)]


def test_an_outbox_older_than_thirty_seconds_is_published_and_emptied(world: World) -> None:
    """F09, I4: the instance that committed it is dead."""
    due = fill_without_publishing(world, fill())
    world.wait(OUTBOX_AGE.total_seconds())
    sweep(world.instance()[0])
    assert set(due) <= set(world.bus.ids())
    assert world.outbox("books", "demo") == ()
    data = world.document("books", "demo")
    assert data is not None
    assert data["outbox_at"] is None
    assert data["revision"] == BEGUN + 1


def test_a_younger_outbox_is_left_to_its_writer(world: World) -> None:
    due = fill_without_publishing(world, fill())
    world.wait(OUTBOX_AGE.total_seconds() - 1)
    sweep(world.instance()[0])
    assert set(due).isdisjoint(world.bus.ids())
    assert [e.id for e in world.outbox("books", "demo")] == due


def test_an_outbox_is_emptied_only_at_the_version_that_was_read(world: World) -> None:
    """F59: the writer was here in between: its new effects stay."""
    fill_without_publishing(world, fill())
    world.wait(40)
    app, store = world.instance()
    other, _ = world.instance()

    def another_fill(_writes: Any) -> None:
        other.recorder.record([trade(2, 5, 100)], "m-2")

    store.faults = [another_fill]
    sweep(app)
    book = world.book()
    assert book is not None
    assert book.fills == 2
    assert world.outbox("books", "demo")
    assert {e.id for e in world.outbox("books", "demo")} <= set(world.bus.ids())


def test_a_fill_after_a_flushed_outbox_is_booked_by_the_old_instance(world: World) -> None:
    """The flush changes the version: the writer's cached copy is stale and must be read again, not trusted."""
    app, _ = world.instance()
    app.recorder.record([fill()], "m-1")
    world.wait(40)
    sweep(world.instance()[0])
    assert world.outbox("books", "demo") == ()
    app.recorder.record([trade(2, 5, 100)], "m-2")
    book = world.book()
    assert book is not None
    assert (book.fills, book.revision) == (2, BEGUN + 40)


@pytest.mark.parametrize("collection", ["risk", "controls", "accounts", "quarantine"])
def test_the_outboxes_of_every_collection_are_flushed(world: World, collection: str) -> None:
    """F09, I4."""
    app, _ = world.instance()
    if collection == "risk":
        app.recorder.record([fill(quantity="1000")], "m-1")
    facts = {"request_id": "r-1", "scope": "account:demo", "action": "pause", "actor": "ann", "reason": "x"}
    commits: dict[str, Callable[[], object]] = {
        "controls": lambda: app.trading.set(ControlRequest.model_validate(facts)),
        "accounts": lambda: app.account_writer.create(account("two"), "ann"),
        "quarantine": lambda: app.quarantine.keep("fills", "m-9", b"x", Rejected("BAD_JSON", "x")),
        "risk": lambda: (app.desk.refresh(), app.marker.evaluate({"demo"}, world.clock.now(), "sweep")),
    }
    world.bus.down = True
    with pytest.raises(Unpublished):
        commits[collection]()
    world.bus.down = False
    assert len(world.shared.query(collection)) >= 1
    before = len(world.bus.messages)
    world.wait(40)
    sweep(world.instance()[0])
    assert len(world.bus.messages) > before
    assert all(
        d.data["outbox_at"] is None or d.data["outbox_at"] == world.clock.now()
        for d in world.shared.query(collection)
    )


def test_an_account_whose_outbox_cannot_be_published_is_told_and_the_round_goes_on(world: World) -> None:
    """F17, F31: the rest is done; the whole comes again; no heartbeat for half a round."""
    fill_without_publishing(world, fill())
    world.wait(40)
    world.bus.down = True
    app, _ = world.instance()
    with pytest.raises(Transient, match="books/demo"):
        sweep(app)
    assert world.document("risk", "demo") is not None
    assert world.shared.get(HEARTBEAT) is None
    world.bus.down = False
    sweep(app)
    assert world.outbox("books", "demo") == ()
    assert world.shared.get(HEARTBEAT) is not None


def test_one_account_s_trouble_does_not_keep_the_others_from_being_watched(world: World) -> None:
    """I10."""
    world.open_account(account("aaa"))
    app, store = world.instance()
    app.recorder.record([fill(), fill(account="aaa")], "m-1")
    store.faults = [store.lost]
    with pytest.raises(Transient, match="aaa"):
        sweep(app)
    assert world.document("risk", "aaa") is None
    assert world.document("risk", "demo") is not None


def test_every_account_with_a_book_is_evaluated(world: World) -> None:
    """R0.3, R1.7."""
    world.open_account(account("two"))
    app, _ = world.instance()
    app.recorder.record([fill(), fill(account="two")], "m-1")
    sweep(world.instance()[0])
    assert world.document("risk", "demo") is not None
    assert world.document("risk", "two") is not None


def test_a_closing_goes_on_in_the_sweep(world: World) -> None:
    """R4.5, F43: the kill switch's instance is dead."""
    app, _ = world.instance()
    app.recorder.record([fill()], "m-1")
    facts = {"request_id": "r-1", "scope": "account:demo", "action": "kill", "actor": "ann", "reason": "x"}
    app.trading.set(ControlRequest.model_validate(facts))
    assert world.bus.bodies("orders") == []
    sweep(world.instance()[0])
    assert [o["action"] for o in world.bus.bodies("orders")] == ["cancel_all", "close"]


def test_the_sweep_of_one_account_evaluates_that_one_and_beats_no_heart(world: World) -> None:
    """R1.6: caused by a fill."""
    world.open_account(account("two"))
    app, _ = world.instance()
    app.recorder.record([fill(), fill(account="two")], "m-1")
    sweep(world.instance()[0], SweepKind.ACCOUNT, account="demo")
    assert world.document("risk", "demo") is not None
    assert world.document("risk", "two") is None
    assert world.shared.get(HEARTBEAT) is None


MOVES = st.one_of(
    st.tuples(st.just("fill"), st.integers(1, 5)),
    st.tuples(st.just("price"), st.sampled_from([400, 600, 900])),
    st.tuples(st.just("sweep"), st.integers(1, 3)),
)


def everything(moves: list[tuple[str, int]], instances: list[int], *, skips: bool) -> tuple[Any, Any]:
    """Play moves; return the documents and messages. Each sweep comes `n` times, on any of two instances."""
    world = World()
    world.open_account()
    apps = [world.instance()[0] for _ in range(2)]
    for number, (what, n) in enumerate(moves):
        app, now = apps[instances[number]], world.clock.now()
        if what == "fill":
            app.recorder.record([fill(f"E-{number}", quantity=n, executed_at=now)], f"m-{number}")
        elif what == "price":
            app.marker.mark(PriceBatch("feed", now, {"SPY": Quote(n)}, ()))
        for again in range(n if what == "sweep" else 0):
            one = apps[(instances[number] + again) % 2]
            if not skips:
                one.evaluator.has_valued = lambda account, revision: False  # type: ignore[method-assign]
            sweep(one, SweepKind.ACCOUNT, account="demo")
    documents = [world.shared.query(name) for name in ("books", "risk", "controls", "closings", "health")]
    return documents, [(m.topic, m.data) for m in world.bus.messages]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(MOVES, min_size=1, max_size=5),
    st.lists(st.integers(0, 1), min_size=5, max_size=5),
)
def test_a_valued_book_that_is_not_valued_again_leaves_the_same_documents_and_messages(
    moves: list[tuple[str, int]], instances: list[int]
) -> None:
    """R1.6, F30: at one moment a sweep that comes again on any instance has nothing to add."""
    assert everything(moves, instances, skips=True) == everything(moves, instances, skips=False)


def test_the_sweep_of_a_valued_account_costs_no_evaluation_and_one_of_a_new_book_does(world: World) -> None:
    """R1.6: a second instance reads the risk document and leaves it; after the next fill it values the book."""
    app, _ = world.instance()
    app.recorder.record([fill()], "m-1")
    sweep(app, SweepKind.ACCOUNT, account="demo")
    other, store = world.instance()
    sweep(other, SweepKind.ACCOUNT, account="demo")
    assert store.commits == 0
    assert other.desk.unseen == set()
    app.recorder.record([fill("E-2")], "m-2")
    sweep(other, SweepKind.ACCOUNT, account="demo")
    assert other.risk_states.read("demo").book_revision == BEGUN + 2  # type: ignore[union-attr]


@pytest.mark.parametrize("fills", [(), ("paper:E-1",)], ids=["handed over", "after fills"])
def test_the_cancels_of_a_stop_that_was_handed_over_wait_for_no_book_and_a_fill_costs_no_look_more(
    world: World, monkeypatch: pytest.MonkeyPatch, fills: tuple[str, ...]
) -> None:
    """R5.1: a kill of everything leaves to the sweep what it has no time for; an instance may die over many books."""
    first, _ = world.instance()
    first.recorder.record([fill()], "m-1")
    facts = {"request_id": "r-1", "scope": "global", "action": "kill", "actor": "ann", "reason": "x"}
    first.trading.set(ControlRequest.model_validate(facts))
    app, _ = world.instance()
    real, seen = app.desk.refresh, list[list[str]]()

    def refresh() -> None:
        seen.append([order["action"] for order in world.bus.bodies("orders")])
        real()

    monkeypatch.setattr(app.desk, "refresh", refresh)
    sweep(app, SweepKind.ACCOUNT, account="demo", fills=fills)
    assert seen == ([[]] if fills else [["cancel_all", "close"]])
    assert [order["action"] for order in world.bus.bodies("orders")] == ["cancel_all", "close"]


@pytest.mark.parametrize("fills", [(), ("paper:E-1",)], ids=["handed over", "after fills"])
def test_an_account_that_cannot_be_closed_is_valued_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, fills: tuple[str, ...]
) -> None:
    app, _ = world.instance()
    app.recorder.record([fill()], "m-1")

    def breaks(account: str) -> None:
        raise Transient("closings are damaged")

    monkeypatch.setattr(app.halt_closer, "advance", breaks)
    with pytest.raises(Transient, match="closings are damaged"):
        sweep(app, SweepKind.ACCOUNT, account="demo", fills=fills)
    assert world.document("risk", "demo") is not None


def test_a_sweep_of_an_account_that_does_not_exist_does_nothing(world: World) -> None:
    sweep(world.instance()[0], SweepKind.ACCOUNT, account="nobody")
    sweep(world.instance()[0], SweepKind.ACCOUNT)
    assert world.bus.messages == []


def test_a_sweep_that_the_next_one_overtakes_tells_nothing_twice_and_sets_nothing_back(world: World) -> None:
    """F31: it still looks at its first account when the one of two minutes later has come to its end."""
    world.open_account(account("later"))
    app, store = world.instance()
    app.recorder.record([fill(quantity="1000"), fill(account="later")], "m-1")
    later: list[Any] = []

    def overtaken(_writes: Any) -> None:
        world.wait(120)
        sweep(world.instance()[0])
        later.append(world.clock.now())

    store.faults = [overtaken]
    sweep(app)
    assert later, "it was overtaken"
    alerts = [a for a in world.bus.bodies("alerts") if a["kind"] == "max_position_value"]
    assert len({a["alert_id"] for a in alerts}) == 1
    state, beat = app.risk_states.read("later"), world.shared.get(HEARTBEAT)
    assert state is not None
    assert beat is not None
    assert (beat.data["at"], state.as_of) == (later[0], later[0])


def test_a_heartbeat_of_the_future_is_written_over(world: World) -> None:
    """F31, F35: of an instance whose clock was ahead; else nobody would miss a sweep until then."""
    app, _ = world.instance()
    world.shared.commit([Put(HEARTBEAT, {"kind": "risk", "at": world.clock.now() + timedelta(hours=1)})])
    sweep(app)
    beat = world.shared.get(HEARTBEAT)
    assert beat is not None
    assert beat.data["at"] == world.clock.now()


def test_after_sweeps_that_were_skipped_one_catches_up(world: World) -> None:
    """F30: it looks at what is now: what three would have told is told once, and the heart beats again."""
    app, _ = world.instance()
    sweep(app)
    app.recorder.record([fill(quantity="1000")], "m-1")
    world.wait(240)
    sweep(app)
    kinds = [a["kind"] for a in world.bus.bodies("alerts")]
    assert {"stale_prices", "sweep_silent"} <= set(kinds)
    assert len(kinds) == len(set(kinds)), "each once"
    beat = world.shared.get(HEARTBEAT)
    assert beat is not None
    assert beat.data["at"] == world.clock.now()


def test_a_sweep_that_comes_twice_does_no_harm(world: World) -> None:
    """F30."""
    app, _ = world.instance()
    app.recorder.record([fill(quantity="1000")], "m-1")
    sweep(app)
    alerts = [a["alert_id"] for a in world.bus.bodies("alerts")]
    for _ in range(3):
        sweep(world.instance()[0])
    assert sorted(set(alerts)) == sorted({a["alert_id"] for a in world.bus.bodies("alerts")})


def test_the_heart_beats_for_each_kind_of_sweep(world: World) -> None:
    """R5.4, F30: a dead man's switch needs to know which round has stopped."""
    app, _ = world.instance()
    for kind in (SweepKind.RISK, SweepKind.SESSION_OPEN, SweepKind.END_OF_DAY):
        sweep(app, kind)
    beats = {d.path.id: d.data["at"] for d in world.shared.query("heartbeats")}
    day = dict.fromkeys(("end_of_day", "audit", "history"), NOON)
    assert beats == {"sweep": NOON, "session_open": NOON, **day}


def test_the_end_of_the_day_says_that_all_is_well_once_a_day(world: World) -> None:
    """Domain 4.7: silence is not the same as safety."""
    for _ in range(3):
        sweep(world.instance()[0], SweepKind.END_OF_DAY)
    ids = {a["alert_id"] for a in world.bus.bodies("alerts") if a["kind"] == "heartbeat"}
    assert len(ids) == 1
    world.wait(86_400)
    sweep(world.instance()[0], SweepKind.END_OF_DAY)
    ids = {a["alert_id"] for a in world.bus.bodies("alerts") if a["kind"] == "heartbeat"}
    assert len(ids) == 2


@pytest.mark.parametrize(("document", "part"), [("audit", "audit"), ("watchdog", "all is well")])
def test_a_part_of_the_end_of_the_day_that_breaks_is_told_and_costs_no_other_part(
    world: World, monkeypatch: pytest.MonkeyPatch, document: str, part: str
) -> None:
    """Accounts are compared and the heart beats; the round comes again for the part."""
    app, _ = world.instance()
    world.shared.commit(
        [Put(Path("heartbeats", document), {"kind": document, "at": NOON, "state": "no JSON"})]
    )
    compared: list[object] = []
    monkeypatch.setattr(app.reconciler, "run", lambda *asked: compared.append(asked) or {})
    with pytest.raises(Transient, match=f"{part}: "):
        sweep(app, SweepKind.END_OF_DAY)
    assert len(compared) == 1
    beat = world.document("heartbeats", "end_of_day")
    assert beat is not None
    assert beat["at"] == NOON


def test_a_session_that_cannot_be_closed_costs_no_comparison_and_no_alert_but_the_heart_does_not_beat(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I10: what nobody watches whole is not called watched, and the round comes again."""
    app, _ = world.instance()
    done: list[str] = []

    def breaks(now: Any) -> None:
        raise KeyError("SPX")

    monkeypatch.setattr(app.sweep.session_ender, "close", breaks)
    monkeypatch.setattr(app.reconciler, "run", lambda *asked: done.append("compared") or {})
    monkeypatch.setattr(run_sweep, "republish_due", lambda *asked, **more: done.append("alerts"))
    monkeypatch.setattr(run_sweep, "publish_checks", lambda *asked: done.append("checks"))
    with pytest.raises(Transient, match="session: KeyError"):
        sweep(app, SweepKind.SESSION_CLOSE)
    assert done == ["compared", "alerts", "checks"]
    assert world.document("heartbeats", "session_close") is None


def test_two_hundred_outboxes_are_flushed_in_one_round(world: World) -> None:
    app, _ = world.instance()
    effect = '[["id-%d","alerts","",{"type":"x"}]]'
    puts = [Put(Path("quarantine", f"q{n}"), {"outbox": effect % n, "outbox_at": NOON}) for n in range(200)]
    world.shared.commit(puts)
    world.wait(40)
    sweep(app)
    assert len({i for i in world.bus.ids() if i.startswith("id-")}) == 200


def test_the_end_of_a_pause_and_the_cancels_of_a_halt_need_no_book() -> None:
    """R5.1: an account with working orders only, or with none at all, is looked after too."""
    from stopline.model.control import ControlRequest, TradingState

    from ..make import at

    world = World()
    world.open_account()
    app, _ = world.instance()
    facts = {"scope": "account:demo", "actor": "ann", "reason": "test"}
    pause = {"request_id": "p", "action": "pause", "until": at(50), **facts}
    kill = {"request_id": "k", "action": "kill", "flatten": False, **facts, "scope": "strategy:demo:core"}
    for request in (pause, kill):
        app.trading.set(ControlRequest.model_validate(request))
    world.wait(60)
    sweeping, _ = world.instance()
    sweeping.sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "m-1")
    after = world.instance()[0].trading
    assert after.read("account:demo").state is TradingState.ACTIVE
    assert after.standing("strategy:demo:core").state is TradingState.HALTED
    assert [c["action"] for c in world.bus.bodies("orders")] == ["cancel_all"]
