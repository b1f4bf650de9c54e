"""Stops of limits over an afternoon: what has ended, by time or by people, stops again where it gets worse."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from stopline.model.control import REMEMBERED, TradingState
from stopline.model.errors import Transient
from stopline.model.ids import document_id
from stopline.model.messages import Sweep, SweepKind
from stopline.model.order import Order
from stopline.model.times import utc_text
from stopline.ports import Path, Put, Unavailable, Version, Write
from stopline.rules.limits.registry import LIMITS, Gate, Level, Reading
from stopline.rules.limits.stops import Stop, stops_after
from stopline.rules.limits.watch import Watched
from stopline.runtime.app import App

from ..make import NOON, account, fill
from .test_breakers_over_time import LOSSES, resume, take_away
from .test_controls import request
from .valuing import prices, risk
from .world import World

DEMO = "account:demo"
MINUTE = timedelta(minutes=1)
STREAK = "limit:max_consecutive_losses"
KEY = "max_consecutive_losses|account"


def opened(**settings: Any) -> tuple[World, App]:
    world = World()
    trading = {"cool_down_s": 120, "breakers": {"stale_data": {"enabled": False}}}
    world.open_account(account(trading=trading, **settings))
    app, _ = world.instance()
    app.trading._people = 1
    return world, app


def sweep(world: World, app: App, seconds: float = 60) -> None:
    now = world.wait(seconds)
    prices(app, now, SPY=99.0)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), now, f"s{now.timestamp()}")


def lose(world: World, app: App, number: int) -> None:
    for side, price in (("BUY", 100), ("SELL", 99)):
        moment = utc_text(world.wait(1))
        facts: dict[str, Any] = {"side": side, "quantity": 1, "price": price, "executed_at": moment}
        app.recorder.record([fill(fill_id=f"L{number}{side}", **facts)], f"m{number}{side}")
        prices(app, world.clock.now(), SPY=99.0)


def stands(app: App) -> tuple[str, Decimal]:
    found = app.trading.read(DEMO)
    return found.state.value, found.size


def test_each_loss_after_a_cool_down_pauses_again_and_keeps_the_size_small() -> None:
    """R2.4, domain 2.4: a streak that goes on must not find its limit used up."""
    world, app = opened()
    for number in range(3):
        lose(world, app, number)
    assert stands(app)[0] == "REDUCING"
    for number in range(3, 6):
        for _ in range(3):
            sweep(world, app)
        assert stands(app) == ("ACTIVE", Decimal("0.25")), number
        lose(world, app, number)
        assert stands(app)[0] == "REDUCING", number
    for _ in range(6):
        sweep(world, app)
    assert stands(app) == ("ACTIVE", Decimal(1))
    lose(world, app, 6)
    assert stands(app)[0] == "REDUCING", "whatever the size was by then"


def reasons(app: App, quantity: str = "1", stop: str = "95") -> list[str]:
    """Return the codes of what speaks against an order that opens."""
    legs = [{"instrument": {"symbol": "SPY", "kind": "equity", "currency": "USD"}, "side": "BUY"}]
    order = Order.model_validate({"legs": legs, "quantity": quantity, "stop": stop})
    return [reason["code"] for reason in app.order_desk.check("demo", order)["reasons"]]


def test_orders_pass_the_check_after_a_cool_down_until_the_next_loss() -> None:
    """R2.4, R2.6: or the first streak would end the account's trading for good."""
    world, app = opened()
    assert reasons(app) == ["no_price"]
    for number in range(3):
        lose(world, app, number)
    assert reasons(app) == ["trading_state", "max_consecutive_losses"]
    for _ in range(3):
        sweep(world, app)
    assert reasons(app) == []
    lose(world, app, 3)
    assert reasons(app) == ["trading_state", "max_consecutive_losses"]
    for _ in range(6):
        sweep(world, app)
    assert (stands(app), reasons(app)) == (("ACTIVE", Decimal(1)), [])


def lose_percent(world: World, app: App, name: str, percent: str) -> None:
    """Book a trade that loses so much of the capital of 100,000, without a look at what it did."""
    for side, price in (("BUY", Decimal(100)), ("SELL", 100 - Decimal(percent))):
        facts: dict[str, Any] = {"side": side, "quantity": 1000, "price": price}
        fills = [fill(fill_id=f"{name}{side}", executed_at=utc_text(world.wait(1)), **facts)]
        app.recorder.record(fills, f"m{name}{side}")


@pytest.mark.parametrize("name", ["max_daily_loss", "max_weekly_loss", "max_monthly_loss", "max_loss_24h"])
def test_a_loss_that_people_have_resumed_lets_openings_pass_until_it_is_a_tenth_of_the_limit_worse(
    name: str,
) -> None:
    """R2.4, R2.6, domain 2.4: or their resume would change nothing before the number itself falls."""
    budgets = [each for each in LIMITS if LIMITS[each].gate is Gate.BUDGET]
    limits = {each: {"enabled": False} for each in budgets} | {name: {"limit": "3"}}
    world, app = opened(limits=limits)
    app.trading._people = 2
    sweep(world, app)
    lose_percent(world, app, "A", "3.1")
    sweep(world, app, 1)
    assert (stands(app)[0], reasons(app)) == ("REDUCING", ["trading_state", name])
    world.wait(61)
    prices(app, world.clock.now(), SPY=99.0)
    resume(world, app)
    if LIMITS[name].ends.people == 2:
        assert (stands(app)[0], reasons(app)) == ("REDUCING", ["trading_state", name])
        resume(world, app, "bob")
    assert (stands(app)[0], reasons(app)) == ("ACTIVE", []), "at once, and not with the next sweep"
    sweep(world, app)
    assert (stands(app)[0], reasons(app)) == ("ACTIVE", [])
    assert reasons(app, "10", "70.5") == [], "3.1 %, and 0.295 % from 99.99 to the stop: less than 3.4 %"
    assert reasons(app, "10", "69.5") == [name]
    assert risk(world).watched[f"{name}|account"].level is Level.BREACH, "it stays told"
    lose_percent(world, app, "B", "0.2")
    sweep(world, app)
    assert (stands(app)[0], reasons(app)) == ("ACTIVE", [])
    lose_percent(world, app, "C", "0.2")
    sweep(world, app)
    assert (stands(app)[0], reasons(app)) == ("REDUCING", ["trading_state", name])


def test_what_was_resumed_yesterday_allows_nothing_today() -> None:
    """R2.4: the check of a new session does not wait until somebody has valued the account."""
    world, app = opened(limits={"max_loss_24h": {"enabled": False}})
    sweep(world, app)
    lose_percent(world, app, "A", "9")
    sweep(world, app)
    world.wait(61)
    resume(world, app)
    sweep(world, app)
    assert reasons(app) == []
    world.wait(24 * 3600)
    lose_percent(world, app, "B", "5")
    assert "max_daily_loss" in reasons(app)


def test_a_loss_after_people_have_resumed_pauses_again() -> None:
    world, app = opened()
    for number in range(3):
        lose(world, app, number)
    sweep(world, app, 61)
    resume(world, app)
    sweep(world, app)
    assert stands(app) == ("ACTIVE", Decimal("0.25"))
    lose(world, app, 3)
    assert (stands(app)[0], list(app.trading.read(DEMO).holds)) == ("REDUCING", ["half_open", STREAK])


def test_a_streak_that_was_stored_before_there_were_stops_pauses_again_too() -> None:
    """Its cool-down may have ended long ago: what it was then is what it is when it is first looked at."""
    world, app = opened()
    for number in range(3):
        lose(world, app, number)
    path = app.risk_states.path("demo")
    stored = world.shared.get(path)
    assert stored is not None
    body = orjson.loads(stored.data["state"])
    assert body.pop("stops")[KEY][1:] == ["3", False]
    world.shared.commit([Put(path, {**stored.data, "state": orjson.dumps(body).decode()})])
    for _ in range(3):
        sweep(world, app)
    assert stands(app) == ("ACTIVE", Decimal("0.25"))
    lose(world, app, 3)
    assert stands(app)[0] == "REDUCING"


def play(name: str, values: list[Any], ended: list[bool | None], days: list[int] | None = None) -> list[bool]:
    """Read values in turn against a limit of 10; return whether each asked for a stop."""
    stops: dict[str, Stop] = {}
    watched: dict[str, Watched] = {}
    asks = []
    session = None
    for number, value in enumerate(values):
        current = None if value is None else Decimal(str(value))
        level = Level.UNKNOWN if current is None else Level.BREACH if current >= Decimal("9.5") else Level.OK
        reading = Reading(LIMITS[name], "account", current, Decimal(10), level)
        looked = None if ended[number] is None else {reading.key} if ended[number] else set()
        today = date(2026, 3, days[number] if days else 2)
        sessions = (session, today)
        stops, asked = stops_after([reading], watched, stops, looked, sessions, "demo", str(number), NOON)
        asks.append(bool(asked))
        session = today
        if level is not Level.UNKNOWN:
            watched = {reading.key: Watched(level, NOON, current)}
    return asks


@pytest.mark.parametrize(
    ("values", "ended", "asks"),
    [
        ([11, 12, 13, 13], [None, False, None, False], [True, False, False, False]),  # while it holds
        ([11, 13, "13.9", 14, "14.1"], [None, False, True, None, None], [True, False, False, False, True]),
        ([11, "9.7", "9.8", 10], [None, False, True, None], [True, False, False, True]),  # a fresh crossing
        ([11, 11, None, "12.5"], [None, True, None, None], [True, False, False, True]),
        ([11, 11, 5, 10], [None, True, None, None], [True, False, False, True]),
        ([11, 16], [None, True], [True, True]),  # worse already when the resume is seen
    ],
)
def test_a_stop_that_has_ended_comes_again_a_tenth_of_the_limit_further(
    values: list[Any], ended: list[bool | None], asks: list[bool]
) -> None:
    """R2.4: people have seen 13 of 10, and went on; 14.1 they have not."""
    assert play("max_drawdown", values, ended) == asks


@pytest.mark.parametrize(
    ("name", "day", "again"),
    [
        ("max_daily_loss", 3, True),
        ("max_weekly_loss", 3, False),
        ("max_weekly_loss", 9, True),
        ("max_drawdown", 9, False),
    ],
)
def test_a_new_period_begins_anew_even_where_its_first_reading_is_unknown(
    name: str, day: int, again: bool
) -> None:
    """R2.4: 28 of yesterday says nothing about 12 of today."""
    days, ended = [2, 2, day, day], [None, True, None, not again]
    assert play(name, [11, 28, None, 12], ended, days) == [True, True, False, again]
    assert play(name, [11, 12, 12], [None, True, None], [2, 2, day]) == [True, False, again]


def test_a_strategys_stop_is_looked_up_in_its_own_scope() -> None:
    """R5.1: and one that is on its way is not over."""
    _, app = opened()
    pause = request("p1", "pause", scope="strategy:demo:core", actor="limit:max_strategy_drawdown")
    app.trading.set(pause)
    key = "max_strategy_drawdown|core"
    assert app.ended("demo", {key: Stop("p1", Decimal(11))}) == set()
    assert app.ended("demo", {key: Stop("p2", Decimal(11))}) == set()
    app.trading.set(pause.model_copy(update={"request_id": "q1", "action": "release"}))
    assert app.ended("demo", {key: Stop("p1", Decimal(11))}) == {key}
    assert app.ended("demo", {key: Stop("p2", Decimal(11))}) == set()


def test_a_control_that_cannot_be_read_keeps_no_other_account_from_being_watched() -> None:
    """F46, R3.3: its own pause waits; those of the others end."""
    world, app = opened()
    world.open_account(account("other"))
    for scope in (DEMO, "account:other"):
        app.trading.set(
            request(f"p-{scope}", "pause", scope=scope, until=utc_text(world.clock.now() + MINUTE))
        )
    path = Path("controls", document_id(DEMO))
    stored = world.shared.get(path)
    assert stored is not None
    world.shared.commit([Put(path, {**stored.data, "state": "{"})])
    app, _ = world.instance()
    with pytest.raises(Transient, match="demo"):
        sweep(world, app, 61)
    assert app.trading.read("account:other").state is TradingState.ACTIVE


@pytest.mark.parametrize("lost", LOSSES)
def test_a_limit_of_a_lost_trading_state_stops_again_as_if_nothing_had_been_lost(lost: str) -> None:
    """R2.4, F54: once people have resumed what was taken up."""

    def run(lost: str) -> list[str]:
        world, app = opened()
        app.trading._doubts = lambda scope: []
        app.trading.set(request("p", action="pause"))
        world.wait(61)
        resume(world, app)
        backup = world.shared.get(app.controls.path(DEMO)) if "backup" in lost else None
        for number in range(3):
            lose(world, app, number)
        assert STREAK in app.trading.read(DEMO).holds
        sweep(world, app, 5)
        take_away(world, app, lost, backup)
        app, _ = world.instance()
        app.trading._people, app.trading._doubts = 1, lambda scope: []
        sweep(world, app, 5)
        for actor in ("ann", "bob"):
            sweep(world, app, 61)
            if app.trading.standing(DEMO).state is not TradingState.ACTIVE:
                resume(world, app, actor)
        seen = []
        for number in range(3, 5):
            sweep(world, app, 5)
            seen.append(stands(app)[0])
            lose(world, app, number)
            seen.append(stands(app)[0])
            sweep(world, app, 200)
        return seen

    assert run(lost) == run("")
    assert "REDUCING" in run(lost)


@pytest.mark.parametrize("before", ["", *LOSSES[:2], "200 requests"])
def test_a_stop_on_its_way_lets_no_opening_pass_whatever_the_trading_state_went_through(
    before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2.6, F54: three days after a loss was taken up and resumed, or after as many requests as are remembered, and while no
    trading state can be written.
    """
    budgets = [each for each in LIMITS if LIMITS[each].gate is Gate.BUDGET]
    limits = {each: {"enabled": False} for each in budgets} | {"max_daily_loss": {"limit": "3"}}
    world, app = opened(limits=limits)
    app.trading.set(request("p", action="pause"))
    sweep(world, app, 5)
    if "requests" in before:
        for number in range(REMEMBERED):
            app.trading.set(request(f"p-{number}", "pause"))
    else:
        take_away(world, app, before, None)
    app, store = world.instance()
    app.trading._doubts = lambda scope: []
    sweep(world, app, 5)
    for actor in ("ann", "bob"):
        sweep(world, app, 61)
        if app.trading.standing(DEMO).state is not TradingState.ACTIVE:
            resume(world, app, actor)
    sweep(world, app, 3 * 86_400)
    assert (stands(app)[0], reasons(app)) == ("ACTIVE", [])
    commit = store.commit

    def down(writes: Sequence[Write]) -> list[Version]:
        if any(write.path.collection == "controls" for write in writes):
            raise Unavailable("no trading state can be written")
        return commit(writes)

    monkeypatch.setattr(store, "commit", down)
    lose_percent(world, app, "A", "3.1")
    for _ in range(2):
        with pytest.raises(Transient):
            sweep(world, app, 30)
        assert (stands(app)[0], reasons(world.instance()[0])) == ("ACTIVE", ["max_daily_loss"])
    app, _ = world.instance()
    sweep(world, app, 30)
    assert (stands(app)[0], reasons(app)) == ("REDUCING", ["trading_state", "max_daily_loss"])
