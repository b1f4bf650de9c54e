"""How a stop ends: by its lock, by its time, by who holds it, half-open; and how each limit's does."""

from __future__ import annotations

import pytest

from stopline.model.errors import Rejected
from stopline.rules.trading.resuming import TooEarly

from ..make import account, at
from .resume_calls import ACTIVE, DEMO, HALTED, REDUCING, ask, events, forget_settings, refused
from .world import World


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


def test_a_limit_s_pause_of_an_account_without_settings_holds_until_people_end_it(world: World) -> None:
    """R5.3: its hours are gone with them; the stop is not."""
    forget_settings(world)
    app, _ = world.instance()
    [hold] = ask(app, "pause", "p", actor="limit:max_daily_loss").holds.values()
    assert hold.until is None
