"""What adapters say of their brokers: one that falls silent has taken nothing back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from stopline.model.control import ControlRequest, TradingState
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Sweep, SweepKind
from stopline.model.settings.trading import TradingSettings
from stopline.runtime.app import App
from stopline.service.trading.adapter_words import Adapter, Word
from stopline.service.trading.retire_adapter import retire_adapter

from ..make import NOON, account
from .world import World

DEMO = "account:demo"
ACTIVE, REDUCING = TradingState.ACTIVE, TradingState.REDUCING


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account(account())
    return made


def sweep(world: World, app: App, seconds: float, *said: LeaseRequest) -> TradingState:
    """Let adapters say how they do, and the sweep look at it; return where the account stands."""
    for request in said:
        app.leases.grant(app.accounts.require("demo"), request)
    now = world.wait(seconds)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), now, f"s{now.timestamp()}")
    return app.trading.standing(DEMO).state


def said(adapter: str, *, ok: bool = True) -> LeaseRequest:
    return LeaseRequest(adapter=adapter, broker_ok=ok)


@pytest.mark.parametrize(
    ("most", "bad", "breaker"),
    [
        ({"errors": 4}, {"errors": 5}, "api_failing"),
        ({"latency_ms": 2000}, {"latency_ms": 2001}, "latency"),
        ({"broker_ok": True}, {"broker_ok": False}, "broker_down"),
    ],
)
def test_what_an_adapter_says_stops_what_adds_risk_until_three_good_readings(
    world: World, most: dict[str, Any], bad: dict[str, Any], breaker: str
) -> None:
    """R5.2, R5.3: failures of the broker and of its API, and latency."""
    app, _ = world.instance()
    sweep(world, app, 1)
    still, ill = (LeaseRequest(adapter="a", **how) for how in (most, bad))
    fine = LeaseRequest(adapter="a", latency_ms=90)
    assert sweep(world, app, 5, still, still) is ACTIVE
    assert sweep(world, app, 5, ill, ill) is REDUCING
    assert set(app.trading.standing(DEMO).holds) == {f"breaker:{breaker}"}
    assert [sweep(world, app, 20, fine) for _ in range(3)] == [REDUCING, REDUCING, ACTIVE]


def test_a_healthy_adapter_takes_back_nothing_that_another_has_said(world: World) -> None:
    """R5.3, I7: the one with the bad broker died; its lease ran out, and its last word stands."""
    app, _ = world.instance()
    sweep(world, app, 1)
    assert sweep(world, app, 5, said("a", ok=False)) is REDUCING
    assert [sweep(world, app, 20, said("b")) for _ in range(8)] == [REDUCING] * 8
    assert [sweep(world, app, 20, said("a"), said("b")) for _ in range(3)] == [REDUCING, REDUCING, ACTIVE]


def test_people_end_what_a_silent_adapter_has_said(world: World) -> None:
    """R5.3: from then on the others count again, in both ways."""
    app, _ = world.instance()
    sweep(world, app, 1)
    sweep(world, app, 5, said("a", ok=False))
    sweep(world, app, 61, said("b"))
    seen = app.trading.standing(DEMO)
    app.trading.set(
        ControlRequest(
            request_id="r",
            scope=DEMO,
            action="resume",
            actor="ann",
            reason="a is gone for good",
            confirm=f"RESUME {DEMO}",
            expected_epoch=seen.epoch,
            lifts=tuple(hold.request_id for hold in seen.holds.values()),
        )
    )
    assert [sweep(world, app, 20, said("b")) for _ in range(4)] == [ACTIVE] * 4
    assert sweep(world, app, 20, said("b", ok=False)) is REDUCING


def ask(app: App, **how: Any) -> tuple[str, Decimal]:
    """Let the adapter `a` ask for a lease; return what it permits."""
    lease = app.leases.grant(app.accounts.require("demo"), LeaseRequest(adapter="a", **how))
    return lease.state.value, lease.size


def look(world: World, app: App) -> TradingState:
    now = world.clock.now()
    app.sweeper.run(Sweep(kind=SweepKind.RISK), now, f"s{now.timestamp()}")
    return app.trading.standing(DEMO).state


BAD = [
    ({"broker_ok": False}, "broker_down"),
    ({"errors": 5}, "api_failing"),
    ({"latency_ms": 2001}, "latency"),
]


@pytest.mark.parametrize(("bad", "breaker"), BAD)
@pytest.mark.parametrize("place", range(3))
def test_a_bad_word_between_two_sweeps_is_heard_whatever_was_said_after_it(
    world: World, bad: dict[str, Any], breaker: str, place: int
) -> None:
    """R5.3: an adapter speaks every 20 s, the sweep listens once a minute: two words of three were lost."""
    app, _ = world.instance()
    look(world, app)
    for number in range(3):
        world.wait(20)
        for _ in range(2):  # of slow answers two running count
            ask(app, **(bad if number == place else {"latency_ms": 40}))
    assert look(world, app) is REDUCING
    assert set(app.trading.standing(DEMO).holds) == {f"breaker:{breaker}"}


@pytest.mark.parametrize(("bad", "breaker"), BAD)
@pytest.mark.parametrize("ill", ["a", "b"])
def test_of_several_adapters_the_worst_counts(
    world: World, bad: dict[str, Any], breaker: str, ill: str
) -> None:
    """R5.3: whichever of them it is."""
    app, _ = world.instance()
    look(world, app)
    for name in ("a", "b"):
        how = bad if name == ill else {"latency_ms": 40}
        for _ in range(2):
            app.leases.grant(app.accounts.require("demo"), LeaseRequest(adapter=name, **how))
    assert look(world, app) is REDUCING
    assert set(app.trading.standing(DEMO).holds) == {f"breaker:{breaker}"}


def test_a_word_that_was_heard_is_no_new_bad_reading(world: World) -> None:
    """R5.3: three rounds of good words release, though the bad one lies among the words of the last minutes."""
    app, _ = world.instance()
    look(world, app)
    ask(app, broker_ok=False)
    world.wait(1)
    ask(app, latency_ms=40)
    assert look(world, app) is REDUCING
    found = []
    for _ in range(3):
        world.wait(20)
        ask(app, latency_ms=40)
        found.append(look(world, app))
    assert found == [REDUCING, REDUCING, ACTIVE]
    world.wait(20)
    assert look(world, world.instance()[0]) is ACTIVE, "and another instance hears nothing twice either"


def test_a_bad_word_while_its_breaker_has_tripped_is_heard_once_too(world: World) -> None:
    """R5.3: it changes nothing but that the good readings begin anew."""
    app, _ = world.instance()
    look(world, app)
    ask(app, broker_ok=False)
    assert look(world, app) is REDUCING
    world.wait(20)
    ask(app, broker_ok=False)
    world.wait(20)
    found = [sweep(world, app, 20, said("a")) for _ in range(4)]
    assert found == [REDUCING, REDUCING, REDUCING, ACTIVE]


def test_what_is_said_while_the_sweep_reads_is_heard_by_the_next_one(world: World) -> None:
    """R5.3: the word comes after the leases were read, and before the sweep writes what it has heard."""
    app, store = world.instance()
    other, _ = world.instance()
    look(world, app)
    world.wait(20)
    ask(app, broker_ok=False)
    query = store.query

    def overtaken(collection: str, *rest: Any, **more: Any) -> Any:
        found = query(collection, *rest, **more)
        if collection == "leases" and not done:
            done.append(1)
            for ms in (9000, 9000, 40):
                ask(other, latency_ms=ms)
        return found

    done: list[int] = []
    store.query = overtaken  # type: ignore[method-assign]
    assert look(world, app) is REDUCING
    assert set(app.trading.standing(DEMO).holds) == {"breaker:broker_down"}
    world.wait(20)
    look(world, app)
    assert set(app.trading.standing(DEMO).holds) == {"breaker:broker_down", "breaker:latency"}


def test_two_words_at_once_are_both_heard(world: World) -> None:
    """R5.3: of two requests of one adapter at two instances neither writes over the other's word."""
    app, _ = world.instance()
    other, slow = world.instance()
    look(world, app)
    ask(app)
    slow.faults.append(lambda writes: (ask(app, broker_ok=False), None)[1])
    ask(other, latency_ms=40)
    assert look(world, app) is REDUCING


def test_a_bad_word_of_an_adapter_that_fell_silent_before_the_sweep_is_heard(world: World) -> None:
    """R5.3: its lease ran out a second before."""
    app, _ = world.instance()
    look(world, app)
    ask(app, broker_ok=False)
    world.wait(61)
    assert look(world, app) is REDUCING


def test_a_good_word_of_an_adapter_that_fell_silent_clears_nothing(world: World) -> None:
    """R0.4, R5.3: what it says no more is unknown."""
    app, _ = world.instance()
    look(world, app)
    ask(app, broker_ok=False)
    assert look(world, app) is REDUCING
    ask(app)
    assert [sweep(world, app, 61, said("a")) for _ in range(5)] == [REDUCING] * 5, "each lease had run out"


def test_an_adapter_of_a_clock_that_was_ahead_is_heard_all_the_same(world: World) -> None:
    """R5.3: words count in the order in which they were written, whatever the instances' clocks say."""
    app, _ = world.instance()
    look(world, app)
    world.wait(40)
    ask(app, broker_ok=False)
    assert look(world, app) is REDUCING
    world.wait(-30)
    for _ in range(2):
        ask(app, latency_ms=9000)
    ask(app)
    look(world, app)
    assert set(app.trading.standing(DEMO).holds) == {"breaker:broker_down", "breaker:latency"}


def test_a_retired_adapter_that_comes_back_is_heard(world: World) -> None:
    """R5.3: its document began anew, and what was heard before is not what it says now."""
    app, _ = world.instance()
    look(world, app)
    ask(app, broker_ok=False)
    look(world, app)
    world.wait(61)
    retire_adapter(app.store, app.journals, app.clock, "demo", "a", "ann", "x")
    for _ in range(2):
        ask(app, latency_ms=9000)
    ask(app)
    look(world, app)
    assert "breaker:latency" in app.trading.standing(DEMO).holds


@pytest.mark.parametrize(("bad", "breaker"), BAD)
def test_the_lease_that_a_bad_word_gets_lets_nothing_add_risk_and_stops_nobody(
    world: World, bad: dict[str, Any], breaker: str
) -> None:
    """R5.3, fail rules: the adapter that says so must not open until it says better; the sweep judges the account."""
    app, _ = world.instance()
    look(world, app)
    ask(app, **bad)
    assert ask(app, **bad) == ("REDUCING", 0)
    assert app.trading.standing(DEMO).state is ACTIVE
    assert ask(app, errors=4, latency_ms=2000) == ("ACTIVE", 1)


def test_one_slow_answer_stops_nothing_and_two_running_do(world: World) -> None:
    """R5.3, domain 2.4: of good readings every thirtieth slow made the account REDUCING a third of the time, and the adapter
    of the page cancelled its entries each time.
    """
    app, _ = world.instance()
    look(world, app)
    found = set()
    for number in range(90):
        found.add(ask(app, latency_ms=9000 if number % 30 == 7 else 60)[0])
        world.wait(20)
        found.add(look(world, app).value)
    assert found == {"ACTIVE"}
    ask(app, latency_ms=9000)
    ask(app)  # tells none: the last that was told counts
    assert look(world, app) is ACTIVE
    assert ask(world.instance()[0], latency_ms=8000) == ("REDUCING", 0)
    assert look(world, app) is REDUCING
    assert "8000ms" in app.trading.standing(DEMO).holds["breaker:latency"].reason
    found_then = []
    for _ in range(3):
        world.wait(20)
        assert ask(app, latency_ms=60) == ("REDUCING", 0)
        found_then.append(look(world, app))
    assert found_then == [REDUCING, REDUCING, ACTIVE]


def test_a_slow_answer_of_long_ago_is_none_of_two_running(world: World) -> None:
    """R5.3: the adapter was off in between."""
    app, _ = world.instance()
    look(world, app)
    ask(app, latency_ms=9000)
    world.wait(301)
    look(world, app)
    assert ask(app, latency_ms=9000) == ("ACTIVE", 1)


def test_which_words_are_bad_the_account_says(world: World) -> None:
    """R5.5: thresholds and switches of its own."""
    breakers = {
        "latency": {"threshold": "100"},
        "api_failing": {"enabled": False},
        "broker_down": {"threshold": "1"},
    }
    trading = TradingSettings.model_validate({"breakers": breakers})
    chosen = account().model_copy(update={"trading": trading})
    app, _ = world.instance()
    look(world, app)
    found = [
        app.leases.grant(chosen, LeaseRequest(adapter="a", **how)).state
        for how in ({"latency_ms": 101}, {"latency_ms": 101}, {"errors": 9}, {"broker_ok": False})
    ]
    assert found == [ACTIVE, REDUCING, ACTIVE, ACTIVE]


def test_an_overtaken_sweep_hears_nothing_of_what_another_has_heard() -> None:
    """R5.3: the word that stands is the one that was heard last, and no older one."""
    first, last = (Word(NOON + timedelta(seconds=n), True, 0, None) for n in (0, 20))
    for is_leased, stands in ((True, (last,)), (False, ())):
        said = Adapter("a", is_leased, (first, last))
        assert said.since(None) == (first, last)
        assert said.since(first.at) == (last,)
        assert said.since(last.at) == stands
        assert said.since(last.at + timedelta(seconds=1)) == ()


def test_many_words_of_a_minute_make_no_large_document_and_none_is_lost(world: World) -> None:
    """R5.3: an adapter that asks without end, each time a little faster."""
    app, _ = world.instance()
    look(world, app)
    for number in range(300):
        ask(app, latency_ms=9000 - number)
    data = world.document("leases", "demo", "a")
    assert data is not None
    assert len(data["earlier"]) < 5000
    ask(app)
    assert look(world, app) is REDUCING
    assert "8999ms" in app.trading.standing(DEMO).holds["breaker:latency"].reason


def test_a_word_of_long_ago_says_nothing(world: World) -> None:
    """R5.3: nobody has listened for minutes, and nothing was granted."""
    app, _ = world.instance()
    look(world, app)
    ask(app, broker_ok=False)
    world.wait(300)
    assert look(world, app) is ACTIVE
    ask(app)
    assert look(world, app) is ACTIVE
