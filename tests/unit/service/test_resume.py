"""Resuming: a kill needs one word, a resume needs everything."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import orjson
import pytest

from stopline.model.control import Control, ControlRequest, Standing, TradingState
from stopline.model.errors import Rejected
from stopline.model.messages import Effect
from stopline.model.wire import validate
from stopline.ports import Conflict, Delete, Document, Path, Put, Unavailable
from stopline.rules.trading.resuming import TooEarly
from stopline.runtime.app import App
from stopline.service.documents.outbox import Unpublished

from ..make import account, at, equity, fill, trade
from .test_evaluate import prices
from .world import World

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED
DEMO = "account:demo"


def ask(app: App, action: str, id_: str, scope: str = DEMO, actor: str = "ann", **more: Any) -> Standing:
    facts = {"request_id": id_, "scope": scope, "action": action, "actor": actor, "reason": "test"}
    if action == "resume":
        more.setdefault("confirm", f"RESUME {scope}")
        seen = app.trading.standing(scope)
        more.setdefault("expected_epoch", seen.epoch)
        more.setdefault("lifts", [hold.request_id for hold in seen.holds.values()])
    return app.trading.set(ControlRequest.model_validate({**facts, **more}))


def refused(app: App, *args: Any, **more: Any) -> str:
    with pytest.raises(Rejected) as found:
        ask(app, "resume", *args, **more)
    return found.value.reason


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account()
    return made


def events(world: World) -> list[str]:
    return [r["row"]["event"] for body in world.bus.bodies("history") for r in body["rows"]]


@pytest.mark.parametrize(
    "typed", ["", "RESUME", "resume account:demo", "RESUME global", "RESUME account:demo "]
)
def test_a_resume_must_be_typed_out(world: World, typed: str) -> None:
    """Issue 6: typed confirmation."""
    app, _ = world.instance()
    ask(app, "kill", "k")
    world.wait(60)
    assert refused(app, "r", confirm=typed) == "NOT_CONFIRMED"


def test_a_resume_waits_for_the_minimum_hold(world: World) -> None:
    """Issue 6: and says how long."""
    app, _ = world.instance()
    ask(app, "kill", "k")
    world.wait(59)
    with pytest.raises(TooEarly) as found:
        ask(app, "resume", "r")
    assert (found.value.reason, found.value.after_s) == ("TOO_EARLY", 2)
    world.wait(1)
    assert ask(app, "resume", "r-2").state is ACTIVE


def test_a_second_kill_starts_no_new_hold_but_a_stricter_one_does(world: World) -> None:
    app, _ = world.instance()
    ask(app, "pause", "p")
    world.wait(50)
    ask(app, "pause", "p-2")
    world.wait(10)
    ask(app, "kill", "k")
    assert refused(app, "r") == "TOO_EARLY"


def test_a_resume_needs_prices_for_what_is_open(world: World) -> None:
    """I7: UNKNOWN is no ground to go on."""
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100, executed_at=at(-300))], "m-1")
    ask(app, "kill", "k")
    world.wait(60)
    assert refused(app, "r") == "NOT_READY"
    prices(app, world.clock.now(), SPY=100.0)
    assert ask(app, "resume", "r-2").state is ACTIVE


def test_a_valuation_of_long_ago_is_no_valuation(world: World) -> None:
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100)], "m-1")
    prices(app, world.clock.now(), SPY=100.0)
    ask(app, "kill", "k")
    world.wait(181)
    assert refused(app, "r") == "NOT_READY"


def test_a_price_is_judged_at_the_moment_of_the_resume(world: World) -> None:
    """Issue 6: the valuation is a minute old, the price that it used two; an account takes prices of a minute at most."""
    app, _ = world.instance()
    app.recorder.record([trade(-1, 10, 100, executed_at=at(-300))], "m-1")
    prices(app, world.clock.now(), SPY=100.0)
    ask(app, "kill", "k", flatten=False)
    app.desk.refresh()
    app.marker.evaluate({"demo"}, world.wait(59), "sweep", True)
    world.wait(59)
    with pytest.raises(Rejected, match="no usable price for SPY"):
        ask(app, "resume", "r")
    prices(app, world.clock.now(), SPY=100.0)
    assert ask(app, "resume", "r-2").state is ACTIVE


def test_a_dividend_of_a_moment_ago_prices_no_position_at_a_resume(world: World) -> None:
    """I7: it says not what a share is worth."""
    app, _ = world.instance()
    app.recorder.record([trade(-1, 10, 100, executed_at=at(-300))], "m-1")
    ask(app, "kill", "k", flatten=False)
    prices(app, world.wait(50), SPY=100.0)
    now = world.wait(50)
    paid = fill("D-1", "BUY", 0, 0, now, kind="DIVIDEND", fee="-5", fee_currency="USD")
    app.recorder.record([paid], "m-2")
    app.desk.refresh()
    app.marker.evaluate({"demo"}, world.wait(5), "sweep", True)
    world.wait(10)
    with pytest.raises(Rejected, match="no usable price for SPY"):
        ask(app, "resume", "r")


def test_a_book_that_has_changed_since_it_was_valued_is_a_doubt(world: World) -> None:
    """Issue 6: what came is priced by its own fill, and no limit has seen it."""
    app, _ = world.instance()
    app.recorder.record([trade(-9, 10, 100)], "m-1")
    ask(app, "kill", "k", flatten=False)
    prices(app, world.wait(61), SPY=100.0)
    app.recorder.record([trade(2, 5, 100, executed_at=world.clock.now(), instrument=equity("QQQ"))], "m-2")
    with pytest.raises(Rejected, match="has changed since it was last valued"):
        ask(app, "resume", "r")
    prices(app, world.wait(1), SPY=100.0, QQQ=100.0)
    assert ask(app, "resume", "r-2").state is ACTIVE


def test_one_account_in_doubt_holds_up_the_whole_until_it_is_stopped_itself(world: World) -> None:
    """No way out is a trap: the desk can go on without that account."""
    world.open_account(account("other"))
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100, executed_at=at(-300))], "m-1")
    ask(app, "kill", "k", "global")
    world.wait(60)
    assert refused(app, "r", "global") == "NOT_READY"
    ask(app, "kill", "k-2")
    ask(app, "resume", "r-2", "global")
    assert ask(app, "resume", "r-3", "global", "bob").state is ACTIVE
    assert app.trading.for_account("demo")[0] is HALTED


@pytest.mark.parametrize("scope", [DEMO, "global"])
def test_a_kill_waits_for_no_look_of_a_resume(
    world: World, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    """I6: in the same instance; and the resume, which was written before it, lifts nothing of it."""
    app, store = world.instance()
    app.recorder.record([trade(1, 10, 100, executed_at=at(-300))], "m-1")
    prices(app, world.clock.now(), SPY=100.0)
    paused = ask(app, "pause", "p", scope)
    prices(app, world.wait(60), SPY=100.0)
    is_looking, goes_on, get = Event(), Event(), store.get

    def slow(path: Path) -> Document | None:
        if path.collection == "risk":
            is_looking.set()
            assert goes_on.wait(60)
        return get(path)

    monkeypatch.setattr(store, "get", slow)
    with ThreadPoolExecutor(2) as threads:
        try:
            resumed = threads.submit(ask, app, "resume", "r", scope, expected_epoch=paused.epoch, lifts=[])
            assert is_looking.wait(60)
            assert threads.submit(ask, app, "kill", "k", scope).result(10).state is HALTED
        finally:
            goes_on.set()
        with pytest.raises(Rejected) as found:
            resumed.result(60)
    assert found.value.reason == "STALE_RESUME"
    assert app.trading.standing(scope).state is HALTED


def test_a_resume_that_was_refused_before_the_look_is_refused_however_the_commit_ends(world: World) -> None:
    """I7: its minute is over by the second try, and nobody has looked at what speaks against it."""
    app, store = world.instance()
    app.recorder.record([trade(1, 10, 100, executed_at=at(-300))], "m-1")
    ask(app, "kill", "k")
    world.wait(59)

    def slower(_: object) -> None:
        world.wait(1)
        raise Conflict("somebody was faster")

    store.faults = [slower]
    assert refused(app, "r") == "TOO_EARLY"
    assert refused(app, "r-2") == "NOT_READY"


def test_a_refused_resume_is_on_record(world: World) -> None:
    """F45."""
    app, _ = world.instance()
    ask(app, "kill", "k")
    refused(app, "r")
    assert events(world) == ["kill", "resume_refused"]
    assert app.trading.read(DEMO).epoch == 1


# --- two people ---


def halted_everywhere(world: World) -> App:
    app, _ = world.instance()
    ask(app, "kill", "k", "global")
    world.wait(60)
    return app


def test_the_whole_is_resumed_by_two_people(world: World) -> None:
    """I6, reliability 6: two distinct principals."""
    app = halted_everywhere(world)
    first = ask(app, "resume", "r-1", "global")
    assert (first.state, first.epoch) == (HALTED, 1)
    assert first.pending is not None
    assert first.pending.actor == "ann"
    second = ask(app, "resume", "r-2", "global", "bob")
    assert (second.state, second.epoch, second.actor, second.pending) == (ACTIVE, 2, "bob", None)
    assert events(world) == ["kill", "resume_asked", "resume"]
    kinds = [body["kind"] for body in world.bus.bodies("alerts")]
    assert kinds == ["trading_state", "resume_asked", "trading_state"]


def test_one_person_is_not_two(world: World) -> None:
    """F45: one approver resumes twice."""
    app = halted_everywhere(world)
    ask(app, "resume", "r-1", "global")
    assert refused(app, "r-2", "global") == "SAME_PERSON"
    assert ask(app, "resume", "r-1", "global").state is HALTED  # the same request again is no second one
    assert app.trading.read("global").state is HALTED


def test_a_stale_approval_is_none(world: World) -> None:
    """F45: after ten minutes the second is the first again."""
    app = halted_everywhere(world)
    ask(app, "resume", "r-1", "global")
    world.wait(601)
    after = ask(app, "resume", "r-2", "global", "bob")
    assert after.state is HALTED
    assert ask(app, "resume", "r-3", "global").state is ACTIVE


def test_a_kill_in_between_takes_the_first_approval_back(world: World) -> None:
    """F39, I6."""
    app, _ = world.instance()
    ask(app, "pause", "p", "global")
    world.wait(60)
    ask(app, "resume", "r-1", "global")
    ask(app, "kill", "k", "global")
    world.wait(60)
    assert ask(app, "resume", "r-2", "global", "bob").state is HALTED


@pytest.mark.parametrize("actor", ["bob", "limit:max_drawdown", "breaker:loss"])
def test_the_same_stop_said_again_takes_the_first_approval_back(world: World, actor: str) -> None:
    """F39, I6: the state is what it was, and who asked to resume has not heard the new word."""
    app = halted_everywhere(world)
    ask(app, "resume", "r-1", "global")
    again = ask(app, "kill", "k-2", "global", actor)
    assert (again.state, again.epoch, again.pending) == (HALTED, 1, None)
    assert refused(app, "r-2", "global", "ida") == "TOO_EARLY"
    world.wait(60)
    first = ask(app, "resume", "r-3", "global", "ida")
    assert (first.state, first.pending.actor if first.pending else "") == (HALTED, "ida")


@pytest.mark.parametrize("actor", ["bob", "limit:max_drawdown", "breaker:risk_critical"])
def test_who_resumes_names_what_came_after_the_epoch_had_begun(world: World, actor: str) -> None:
    """I6: a second stop of the same kind keeps the epoch; a resume that was written before it lifts nothing."""
    app, _ = world.instance()
    app.trading._people = 1
    ask(app, "kill", "k", flatten=False)
    again = ask(app, "kill", "k-2", actor=actor, flatten=False)
    assert again.epoch == 1
    world.wait(60)
    with pytest.raises(Rejected) as found:
        ask(app, "resume", "r", lifts=[], expected_epoch=1)
    assert found.value.reason == "STALE_RESUME"
    assert f"{actor} since" in found.value.detail
    assert "k-2" in found.value.detail
    assert refused(app, "r-2", lifts=["k"], expected_epoch=1) == "STALE_RESUME"
    assert ask(app, "resume", "r-3", lifts=["k-2"], expected_epoch=1).state is ACTIVE


def test_a_new_epoch_shows_all_that_holds(world: World) -> None:
    """I6: who has seen it need not name what came before."""
    app, _ = world.instance()
    ask(app, "pause", "p-1")
    ask(app, "pause", "p-2", actor="limit:max_position_value")
    ask(app, "kill", "k")
    world.wait(60)
    assert ask(app, "resume", "r", lifts=[], expected_epoch=2).state is ACTIVE


def test_a_person_is_not_two_by_writing_the_name_otherwise(world: World) -> None:
    """F45, reliability 6: a token's name and an address may differ in case only."""
    app = halted_everywhere(world)
    ask(app, "resume", "r-1", "global", "Ann")
    assert refused(app, "r-2", "global", "ann") == "SAME_PERSON"


def test_what_a_drawdown_stopped_takes_two(world: World) -> None:
    """R5.2, domain 2.4."""
    app, _ = world.instance()
    ask(app, "pause", "p", actor="breaker:drawdown", hold_people=2)
    world.wait(60)
    assert ask(app, "resume", "r-1").state is REDUCING
    assert ask(app, "resume", "r-2", actor="bob").state is ACTIVE


@pytest.mark.parametrize(
    ("actor", "people"),
    [
        ("breaker:emergency_daily_loss", 2),
        ("limit:max_drawdown", 2),
        ("breaker:loss", 1),
        ("exit:max_loss", 1),
    ],
)
def test_a_rule_says_how_many_people_end_its_stop(world: World, actor: str, people: int) -> None:
    """R5.2, domain 2.4: the reset matrix holds for a request as breakers and limits write it, which names no number."""
    app, _ = world.instance()
    ask(app, "pause", "p", actor=actor)
    world.wait(60)
    first = ask(app, "resume", "r-1")
    assert (first.state, first.pending is None) == ((ACTIVE, True) if people == 1 else (REDUCING, False))
    if people == 2:
        assert ask(app, "resume", "r-2", actor="bob").state is ACTIVE


def test_a_desk_of_one_person_can_say_so(world: World) -> None:
    app, _ = world.instance()
    app.trading._people = 1
    ask(app, "kill", "k", "global")
    world.wait(60)
    assert ask(app, "resume", "r", "global").state is ACTIVE


# --- locks, ends, half-open ---


def test_nobody_lifts_a_lock_before_the_next_session(world: World) -> None:
    """Issue 6: a self-lock; the next session begins at midnight in New York."""
    app, _ = world.instance()
    ask(app, "pause", "p", lock=True)
    world.wait(3600)
    with pytest.raises(TooEarly) as found:
        ask(app, "resume", "r")
    assert found.value.reason == "LOCKED"
    assert "2026-11-19T05:00:00Z" in found.value.detail
    assert refused(app, "r-2", actor="bob") == "LOCKED"
    ask(app, "kill", "k")  # tightening goes on to work, and keeps the lock
    world.wait(3600)
    assert refused(app, "r-3") == "LOCKED"
    world.wait(11 * 3600)
    assert ask(app, "resume", "r-4").state is ACTIVE


def test_the_whole_cannot_be_locked(world: World) -> None:
    app, _ = world.instance()
    with pytest.raises(Rejected) as found:
        ask(app, "kill", "k", "global", lock=True)
    assert found.value.reason == "BAD_LOCK"


def test_a_timed_pause_ends_with_the_next_sweep_after_its_time(world: World) -> None:
    """R5.1."""
    app, _ = world.instance()
    paused = ask(app, "pause", "p", until=at(300))
    assert paused.state is REDUCING
    app.trading.lapse(DEMO)
    assert app.trading.read(DEMO).state is REDUCING
    world.wait(300)
    app.trading.lapse(DEMO)
    after = app.trading.read(DEMO)
    assert (after.state, after.epoch) == (ACTIVE, 2)
    assert events(world) == ["pause", "lapse"]
    app.trading.lapse(DEMO)
    assert app.trading.read(DEMO).epoch == 2


@pytest.mark.parametrize("order", [("p", "k"), ("k", "p")])
def test_the_end_of_a_pause_ends_no_halt(world: World, order: tuple[str, str]) -> None:
    """I6: whichever came first."""
    app, _ = world.instance()
    for id_ in order:
        ask(app, "kill" if id_ == "k" else "pause", id_, **({} if id_ == "k" else {"until": at(300)}))
    world.wait(400)
    app.trading.lapse(DEMO)
    assert app.trading.read(DEMO).state is HALTED


def test_a_pause_until_the_past_or_a_kill_with_an_end_is_refused(world: World) -> None:
    app, _ = world.instance()
    for action, until in (("pause", at(0)), ("kill", at(300)), ("pause", at(-5))):
        with pytest.raises(Rejected) as found:
            ask(app, action, f"{action}-{until}".replace(" ", ""), until=until)
        assert found.value.reason == "BAD_UNTIL"


def test_a_breaker_lifts_what_it_holds_and_nothing_else(world: World) -> None:
    """Domain 2.4: good data end a data breaker, not a person's pause."""
    app, _ = world.instance()
    ask(app, "pause", "b", actor="breaker:stale_data")
    ask(app, "pause", "p")
    ask(app, "release", "b-2", actor="breaker:stale_data")
    assert app.trading.read(DEMO).state is REDUCING
    world.wait(60)
    ask(app, "resume", "r")
    ask(app, "pause", "b-3", actor="breaker:stale_data")
    assert ask(app, "release", "b-4", actor="breaker:stale_data").state is ACTIVE


def test_a_breaker_that_has_halted_takes_nothing_back(world: World) -> None:
    """R5.2: a value that swings round the threshold pauses anew and is good again; only people lift the halt."""
    app, _ = world.instance()
    ask(app, "pause", "b-1", actor="breaker:emergency_daily_loss", hold_people=2)
    ask(app, "kill", "b-2", actor="breaker:emergency_daily_loss", hold_people=2)
    ask(app, "pause", "b-3", actor="breaker:emergency_daily_loss", hold_people=2)
    assert ask(app, "release", "b-4", actor="breaker:emergency_daily_loss").state is HALTED


def test_a_money_breaker_reopens_at_a_quarter_until_a_person_says_so_again(world: World) -> None:
    """R5.2 with its fix, R3.3: half-open is entered and left by people, never by a timer."""
    from decimal import Decimal

    app, _ = world.instance()
    ask(app, "pause", "b", actor="breaker:loss", reopen="0.25")
    assert app.trading.for_order("demo", "core", "SPY").size == 0
    world.wait(60)
    half = ask(app, "resume", "r")
    assert (half.state, half.size) == (ACTIVE, Decimal("0.25"))
    assert app.trading.for_order("demo", "core", "SPY").size == Decimal("0.25")
    world.wait(10**6)
    app.trading.lapse(DEMO)
    assert app.trading.standing(DEMO).size == Decimal("0.25")
    assert ask(app, "resume", "r-2").size == 1


def test_a_streak_reopens_by_time_at_a_quarter_and_then_whole(world: World) -> None:
    """R5.2 (fix): a cool-down may expire by time."""
    app, _ = world.instance()
    ask(app, "pause", "b", actor="limit:max_consecutive_losses")
    world.wait(3599)
    app.trading.lapse(DEMO)
    assert app.trading.standing(DEMO).state is REDUCING
    world.wait(1)
    app.trading.lapse(DEMO)
    assert str(app.trading.standing(DEMO).size) == "0.25"
    world.wait(3600)
    app.trading.lapse(DEMO)
    assert app.trading.standing(DEMO).size == 1


@pytest.mark.parametrize(
    ("limit", "ends"),
    [
        ("max_daily_loss", "2026-11-19T05:00:00Z"),  # a Wednesday: the session ends at midnight in New York
        ("max_weekly_loss", "2026-11-21T05:00:00Z"),  # the weekend counts for Monday
        ("max_monthly_loss", "2026-12-01T05:00:00Z"),
        ("max_drawdown", None),
        ("max_position_value", None),
    ],
)
def test_each_limit_is_reset_in_its_own_way(world: World, limit: str, ends: str | None) -> None:
    """Domain 2.4: a loss of the day by the next session, a drawdown by people only."""
    from stopline.model.times import utc_text

    app, _ = world.instance()
    hold = ask(app, "pause", "p", actor=f"limit:{limit}").holds[f"limit:{limit}"]
    assert (utc_text(hold.until) if hold.until else None) == ends
    world.wait(40 * 86_400)
    app.trading.lapse(DEMO)
    assert app.trading.standing(DEMO).state is (ACTIVE if ends else REDUCING)


# --- parts of an account ---


def test_a_strategy_is_halted_alone_under_the_accounts_epoch(world: World) -> None:
    """R5.1: the others trade on; every change of the account makes its epoch grow, which fences commands."""
    app, _ = world.instance()
    halted = ask(app, "kill", "k", "strategy:demo:core")
    assert (halted.state, halted.epoch) == (HALTED, 1)
    assert app.trading.for_order("demo", "core", "SPY")[:2] == (HALTED, 1)
    assert app.trading.for_order("demo", "other", "SPY")[:2] == (ACTIVE, 1)
    ask(app, "pause", "p", "underlying:demo:SPY")
    assert app.trading.for_order("demo", "other", "SPY")[:2] == (REDUCING, 2)
    assert app.trading.for_order("demo", "core", "SPY")[:2] == (HALTED, 2)
    assert app.trading.for_order("demo", "other", "QQQ")[:2] == (ACTIVE, 2)
    assert app.trading.for_account("demo")[:2] == (ACTIVE, 2)
    world.wait(60)
    assert ask(app, "resume", "r", "strategy:demo:core", expected_epoch=1).epoch == 3
    assert app.trading.for_order("demo", "core", "QQQ")[:2] == (ACTIVE, 3)


def test_a_resumed_account_does_not_resume_its_parts(world: World) -> None:
    app, _ = world.instance()
    ask(app, "kill", "k-1", "strategy:demo:core")
    ask(app, "kill", "k-2")
    world.wait(60)
    ask(app, "resume", "r")
    assert app.trading.for_order("demo", "core", "SPY").state is HALTED
    assert app.trading.for_order("demo", "other", "SPY").state is ACTIVE


@pytest.mark.parametrize("scope", ["strategy:demo", "account:", "desk:x", "underlying:demo:spy"])
def test_what_is_no_scope_is_refused(world: World, scope: str) -> None:
    app, _ = world.instance()
    with pytest.raises(Rejected) as found:
        app.trading.set(
            validate(
                ControlRequest,
                {"request_id": "k", "scope": scope, "action": "kill", "actor": "ann", "reason": "x"},
            )
        )
    assert found.value.reason == "UNKNOWN_SCOPE"


def test_a_state_stored_before_there_were_holds_is_held_by_a_person() -> None:
    """Documents of the first version go on to be read, and to bind."""
    old = {"scope": DEMO, "state": "HALTED", "epoch": 3, "flatten": True, "actor": "ann", "reason": "x"}
    control = validate(Control, {**old, "since": "2026-11-18T17:00:00Z", "seen": {}, "closing": None})
    assert (control.state, control.flatten, control.size) == (HALTED, True, 1)
    assert control.holds["person"].state is HALTED


# --- cancel only ---


def test_a_kill_without_flatten_cancels_once_an_epoch(world: World) -> None:
    """R5.1: cancel only; domain 2.4."""
    app, _ = world.instance()
    ask(app, "kill", "k", flatten=False)
    assert app.canceller.advance("demo") == 1
    assert app.canceller.advance("demo") == 0
    [command] = world.bus.bodies("orders")
    assert (command["action"], command["epoch"], command["strategy"]) == ("cancel_all", 1, None)


def test_a_halted_strategy_has_its_orders_cancelled_and_no_others(world: World) -> None:
    app, _ = world.instance()
    ask(app, "kill", "k", "strategy:demo:core")
    ask(app, "kill", "k-2", "underlying:demo:M&M", flatten=False)
    assert app.canceller.advance("demo") == 2
    found = [(c["strategy"], c["underlying"]) for c in world.bus.bodies("orders")]
    assert found == [("core", None), (None, "M&M")]


def test_a_halt_of_the_whole_cancels_in_every_account(world: World) -> None:
    app, _ = world.instance()
    ask(app, "kill", "k", "global", flatten=False)
    assert app.canceller.advance("demo") == 1


def test_a_pause_cancels_what_adds_risk_once_an_epoch(world: World) -> None:
    """R5.1: the adapter knows which orders that are; protective stops reduce risk, and stay."""
    app, _ = world.instance()
    ask(app, "pause", "p")
    assert app.canceller.advance("demo") == 1
    assert app.canceller.advance("demo") == 0
    [command] = world.bus.bodies("orders")
    assert (command["action"], command["epoch"], command["strategy"]) == ("cancel_adding", 1, None)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ([("pause", "strategy:demo:core"), ("kill", "underlying:demo:SPY")], ["adding core", "all SPY"]),
        (
            [("pause", DEMO), ("pause", "strategy:demo:core"), ("kill", "underlying:demo:SPY")],
            ["adding", "all SPY"],
        ),
        ([("pause", "global")], ["adding"]),
        ([("pause", DEMO), ("kill", "global")], ["all"]),
    ],
)
def test_what_is_cancelled_follows_from_the_strictest_state(
    world: World, asked: list[tuple[str, str]], found: list[str]
) -> None:
    """R5.1: each part by its own state, unless the whole's covers it."""
    app, _ = world.instance()
    for number, (action, scope) in enumerate(asked):
        ask(app, action, f"r-{number}", scope, flatten=False)
    app.canceller.advance("demo")
    told = world.bus.bodies("orders")
    cancels = [[c["action"].removeprefix("cancel_"), c["strategy"] or c["underlying"] or ""] for c in told]
    assert [" ".join(words).strip() for words in cancels] == found


def test_a_limit_that_pauses_has_orders_cancelled_at_once(world: World) -> None:
    """R2.4, R5.2: not only with the next sweep."""
    app, _ = world.instance()
    body = {
        "request_id": "l",
        "scope": DEMO,
        "action": "pause",
        "actor": "limit:max_daily_loss",
        "reason": "x",
    }
    app.relay.publish([Effect("l", "controls", "demo", body)])
    assert [c["action"] for c in world.bus.bodies("orders")] == ["cancel_adding"]


# --- what people are told ---


def told(world: World) -> tuple[str, str]:
    """Return the summary and the action of the last alert."""
    last = world.bus.bodies("alerts")[-1]
    return last["summary"], last["action"]


def test_a_flatten_is_told_as_what_is_being_done(world: World) -> None:
    """I7: at that moment nothing was cancelled or closed yet."""
    app, _ = world.instance()
    ask(app, "kill", "k")
    assert told(world)[1] == 'Cancelling, closing all: "flat" comes when fills prove it.'
    ask(app, "kill", "k-2", "strategy:demo:core")
    assert told(world)[1].startswith("NOTHING_HELD")
    first = next(a["action"] for a in world.bus.bodies("alerts") if a["object"] == "strategy:demo:core")
    assert first == 'Cancelling, closing what is open there: "flat" comes when fills prove it.', (
        "it may be mistyped"
    )


@pytest.mark.parametrize(("action", "stands"), [("kill", "halted"), ("pause", "reduce-only")])
def test_a_stop_of_a_name_that_nobody_holds_says_so(world: World, action: str, stands: str) -> None:
    """I7, R0.4: whoever reads that all is being closed stops looking; and it may be meant, as before earnings."""
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100, strategy="core")], "m-1")
    ask(app, action, "k-1", "strategy:demo:cor")
    assert told(world) == (
        f"Strategy cor of account demo is {stands}; nothing is known by that name here: check the spelling",
        "NOTHING_HELD: nothing is known by the name cor in account demo; held are core.",
    )
    said = len(world.bus.bodies("alerts"))
    ask(app, action, "k-1", "strategy:demo:cor")
    assert len(world.bus.bodies("alerts")) == said, "once"
    ask(app, action, "k-2", "strategy:demo:core")
    assert "NOTHING_HELD" not in told(world)[1]
    ask(app, "pause", "l-1", "strategy:demo:none", actor="limit:max_strategy_drawdown")
    assert "NOTHING_HELD" not in told(world)[1], "a limit names what it has measured"


def test_a_stop_waits_for_no_book(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """R5.1: it is stored and out before the book is read; what cannot be read claims nothing."""
    app, _ = world.instance()
    found: list[tuple[object, int]] = []

    def down(account: str) -> None:
        kept = world.document("controls", DEMO)
        found.append((kept and kept["is_stopped"], len(world.bus.bodies("alerts"))))
        raise Unavailable("the books are down")

    monkeypatch.setattr(app.books, "read", down)
    assert ask(app, "kill", "k", "strategy:demo:cor").state is TradingState.HALTED
    assert found == [(True, 1)]
    assert "NOTHING_HELD" not in told(world)[1]


def test_a_resume_says_what_still_holds(world: World) -> None:
    """I7: who reads that trading has resumed believes it."""
    app, _ = world.instance()
    app.trading._people = 1
    for scope in ("global", DEMO, "strategy:demo:core", "underlying:demo:SPY"):
        ask(app, "pause" if "SPY" in scope else "kill", f"k-{scope}", scope)
    world.wait(61)
    ask(app, "resume", "r-1", "strategy:demo:core")
    said = "Still stopped: all accounts (HALTED), account demo (HALTED), underlying SPY (REDUCING)."
    assert told(world) == ("The stop of strategy core of account demo is lifted by ann: test", said)
    ask(app, "resume", "r-2")
    assert told(world)[0] == "The stop of account demo is lifted by ann: test"
    assert told(world)[1] == "Still stopped: all accounts (HALTED), underlying SPY (REDUCING)."
    ask(app, "resume", "r-3", "global")
    assert told(world) == (
        "Trading resumed for all accounts by ann: test",
        "An account that was stopped by itself stays so.",
    )
    ask(app, "kill", "k-again")
    world.wait(61)
    ask(app, "resume", "r-4")
    assert told(world) == (
        "Trading resumed for account demo by ann: test",
        "Still stopped: underlying SPY (REDUCING).",
    )
    ask(app, "resume", "r-5", "underlying:demo:SPY")
    assert told(world)[1] == "Limits are watched as before."


# --- the chain ---


def test_every_transition_is_a_link_of_its_documents_chain(world: World) -> None:
    """I8: in the same commit, in the store and on its way to BigQuery."""
    from stopline.service.audit.chain import exported_faults, stored_faults

    world.open_account(account("other"))
    app, _ = world.instance()
    ask(app, "kill", "k-1")
    ask(app, "kill", "k-2", "strategy:demo:core")
    ask(app, "pause", "p", "global")
    ask(app, "pause", "p-2", "account:other")
    refused(app, "r")
    assert stored_faults(world.shared) == (7, []), "two new accounts are on record too"
    made = [orjson.loads(d.data["row"]) for d in world.shared.query("audit") if "journal" in d.data["chain"]]
    exported = [
        {"event_id": r["event_id"], **r["row"]} for body in world.bus.bodies("history") for r in body["rows"]
    ] + made
    assert exported_faults(world.shared, exported) == (7, [])
    assert exported_faults(world.shared, exported[1:])[1]
    exported[2]["reason"] = "nothing"
    assert exported_faults(None, exported)[1]


@pytest.mark.parametrize("fault", ["lost", "applied_but_lost", "publish"])
def test_the_chain_has_no_gap_after_a_failure(world: World, fault: str) -> None:
    """I8, F11, F40."""
    from stopline.service.audit.chain import stored_faults

    app, store = world.instance()
    ask(app, "pause", "p")
    if fault == "publish":
        world.bus.down = True
    else:
        store.faults = [getattr(store, fault)]
    with pytest.raises((Unavailable, Unpublished)):
        ask(app, "kill", "k")
    world.bus.down = False
    ask(world.instance()[0], "kill", "k")
    assert stored_faults(world.shared) == (3, [])


@pytest.mark.parametrize("flatten", [False, True])
def test_a_halt_of_a_limit_ends_as_people_were_told(world: World, flatten: bool) -> None:
    """Domain 2.4: the loss of a session unlatches with the next one; what closes everything waits for people."""
    app, _ = world.instance()
    halt = ask(app, "kill", "k", actor="limit:max_daily_loss", flatten=flatten)
    assert halt.state is HALTED
    [hold] = halt.holds.values()
    ends = account().sessions.next_start(world.clock.now())
    assert (hold.until, hold.people) == (None if flatten else ends, 2)
    world.clock.set(ends)
    assert app.trading.lapse_due() == {}
    assert app.trading.standing(DEMO).state is (HALTED if flatten else ACTIVE)


def test_a_halt_of_a_limit_that_no_time_ends_waits_for_people(world: World) -> None:
    app, _ = world.instance()
    [hold] = ask(app, "kill", "k", actor="limit:max_drawdown", flatten=False).holds.values()
    assert (hold.until, hold.people) == (None, 2)


def forget_settings(world: World) -> Put:
    """Delete the account; return what puts it back."""
    [stored] = [d for d in world.shared.query("accounts") if d.path.id == "demo"]
    world.shared.commit([Delete(stored.path, stored.version)])
    return Put(stored.path, stored.data)


def test_a_limit_s_pause_of_an_account_without_settings_holds_until_people_end_it(world: World) -> None:
    """R5.3: its hours are gone with them; the stop is not."""
    forget_settings(world)
    app, _ = world.instance()
    [hold] = ask(app, "pause", "p", actor="limit:max_daily_loss").holds.values()
    assert hold.until is None


def test_a_deleted_account_that_still_holds_something_is_not_resumed(world: World) -> None:
    """R5.1, I7: no limit is watched there, and no lease can be had."""
    app, _ = world.instance()
    app.recorder.record([trade(1, 100, 100)], "m-1")
    ask(app, "kill", "k")
    was = forget_settings(world)
    world.wait(61)
    app, _ = world.instance()
    assert refused(app, "r") == "NOT_READY"
    world.shared.commit([was])
    app, _ = world.instance()
    prices(app, world.clock.now(), SPY=100.0)
    assert ask(app, "resume", "r-2").state is ACTIVE


def test_closings_that_cannot_be_read_keep_an_account_from_being_resumed(world: World) -> None:
    """R5.1: the next stop would close nothing."""
    app, _ = world.instance()
    ask(app, "kill", "k")
    was = world.shared.get(Path("closings", "demo"))
    world.shared.commit([Put(Path("closings", "demo"), {"account": "demo", "state": "{"})])
    world.wait(61)
    app, _ = world.instance()
    assert refused(app, "r") == "NOT_READY"
    world.shared.commit([Delete(Path("closings", "demo")) if was is None else Put(was.path, was.data)])
    assert ask(world.instance()[0], "resume", "r-2").state is ACTIVE
