"""Unusual activity from the fill log to an alert and a stop: R5.4."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from stopline.model.account import Account
from stopline.model.control import ControlRequest, TradingState
from stopline.model.ids import short_id
from stopline.model.lease import LeaseRequest
from stopline.model.messages import ExecutionReport, Sweep, SweepKind
from stopline.model.prices import PriceBatch, Quote
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.runtime.app import App
from stopline.service.sweep import watch_activity

from ..make import account, fill
from .test_breakers_over_time import DEMO, LOSSES, resume, take_away
from .world import World


def sweep(world: World, app: App) -> None:
    now = world.clock.now()
    app.sweeper.run(Sweep(kind=SweepKind.RISK), now.replace(second=0, microsecond=0), f"s{now.timestamp()}")


def trade(world: World, app: App, first: int, count: int, **more: object) -> None:
    now = world.clock.now()
    fills = [
        fill(fill_id=f"F{first + n}", executed_at=(now - timedelta(seconds=n % 50)).isoformat(), **more)
        for n in range(count)
    ]
    app.recorder.record(fills, f"m{first}")


def opened(world: World, price_max_age_s: int = 30, **activity: object) -> App:
    facts = {**account().model_dump(mode="json"), "activity": activity, "brokers": ["paper", "ibkr"]}
    facts["price_max_age_s"] = price_max_age_s
    world.open_account(Account.model_validate(facts))
    return world.instance()[0]


def alerts(world: World) -> list[tuple[str, str, bool]]:
    """Return what was told, each alert once, however often it was published."""
    found = {b["alert_id"]: b for b in world.bus.bodies("alerts") if b["kind"] == "unusual_activity"}
    return [(b["object"], b["severity"], b["resolved"]) for b in found.values()]


def test_a_program_that_runs_away_is_told_once_and_stopped_until_a_person_resumes() -> None:
    """R5.4: the alert, and the breaker that the settings name."""
    world = World()
    app = opened(world, repeats_per_minute=5, pauses=["repeats"])
    trade(world, app, 0, 6)
    sweep(world, app)
    assert alerts(world) == [("repeats", "critical", False)]
    control = app.trading.read("account:demo")
    assert (control.state, list(control.holds)) == (TradingState.REDUCING, ["breaker:unusual_activity"])
    world.wait(60)
    sweep(world, app)  # still within the window: nothing is said again
    world.wait(120)
    sweep(world, app)
    assert alerts(world) == [("repeats", "critical", False), ("repeats", "warning", True)]
    assert app.trading.read("account:demo").state is TradingState.REDUCING, "a person resumes"


def lease(world: World, app: App, orders: int | None) -> None:
    world.wait(20)
    app.leases.grant(app.accounts.require("demo"), LeaseRequest(adapter="a", orders=orders))


def test_a_program_that_sends_orders_without_end_is_stopped_though_none_is_filled() -> None:
    """R5.4: an adapter tells with its leases how many it has sent."""
    world = World()
    app = opened(world, orders_per_minute=30)
    sweep(world, app)
    for orders in (0, 10, 10, 10):
        lease(world, app, orders)
    sweep(world, app)
    assert alerts(world) == []
    lease(world, app, 11)
    lease(world, app, 10)
    sweep(world, app)
    assert alerts(world) == [("order_rate", "critical", False)]
    assert list(app.trading.read("account:demo").holds) == ["breaker:unusual_activity"]
    for _ in range(9):
        lease(world, app, 0)
        sweep(world, app)
    assert alerts(world)[1:] == [("order_rate", "warning", True)]


def test_an_adapter_that_does_not_say_how_many_orders_it_sent_is_unknown_and_not_none() -> None:
    """R0.4, R5.4: of a version before; what it told earlier is no longer what it did."""
    world = World()
    app = opened(world, orders_per_minute=30)
    sweep(world, app)
    told = []
    for orders in (0, 5, None, 0):
        lease(world, app, orders)
        [document] = world.instance()[1].query("leases")
        told.append(document.data["orders"])
    assert [None if text is None else [n for *_, n in json.loads(text)] for text in told] == [
        [0],
        [0, 5],
        None,
        [0],
    ]


def test_a_storm_that_goes_on_after_people_have_resumed_stops_again() -> None:
    """R5.4: what they have seen stops nothing again, what comes after it does, as often as it comes."""
    world = World()
    app = opened(world, repeats_per_minute=5, pauses=["repeats"])
    app.trading._people = 1
    for number in range(3):
        trade(world, app, 10 * number, 6)
        sweep(world, app)
        found = app.trading.read("account:demo")
        assert "breaker:unusual_activity" in found.holds, number
        lifts = [hold.request_id for hold in found.holds.values()]
        world.resume(app, f"r-{number}", found.epoch, lifts=lifts)
        sweep(world, app)
        app = world.instance()[0]
        app.trading._people = 1
        world.wait(10)
        sweep(world, app)
        assert "breaker:unusual_activity" not in app.trading.read("account:demo").holds, "they have seen it"


@pytest.mark.parametrize("lost", LOSSES)
def test_a_storm_of_an_account_whose_trading_state_was_lost_stops_again(lost: str) -> None:
    """R5.4, F54: after the resume of what was taken up; what was asked of the lost document was for ever on its way."""
    world = World()
    app = opened(world, repeats_per_minute=5, pauses=["repeats"])
    app.trading.set(ControlRequest(request_id="p", scope=DEMO, action="pause", actor="ann", reason="x"))
    world.wait(61)
    app.trading._people = 1
    resume(world, app)
    backup = world.shared.get(app.controls.path(DEMO)) if "backup" in lost else None
    trade(world, app, 0, 6)
    sweep(world, app)
    assert "breaker:unusual_activity" in app.trading.read(DEMO).holds
    world.wait(60)
    sweep(world, app)
    take_away(world, app, lost, backup)
    world.wait(60)
    app = world.instance()[0]
    app.trading._doubts = lambda scope: ()
    sweep(world, app)
    world.wait(61)
    for actor in ("ann", "bob"):
        resume(world, app, actor)
    sweep(world, app)
    assert app.trading.standing(DEMO).state is TradingState.ACTIVE
    world.wait(10)
    trade(world, app, 10, 6)
    sweep(world, app)
    assert "breaker:unusual_activity" in app.trading.read(DEMO).holds


def test_one_order_in_many_lots_is_one_order() -> None:
    """R5.4: 25 lots of one order stopped trading until a person resumed; an order of another broker is another one."""
    world = World()
    app = opened(world, repeats_per_minute=5, fills_per_minute=8)
    trade(world, app, 0, 25, order_id="ORD-1")
    sweep(world, app)
    assert alerts(world) == []
    world.wait(5)
    for number in range(5):
        trade(world, app, 100 + 10 * number, 2, order_id=f"ORD-{number}")
    sweep(world, app)
    assert alerts(world) == []
    trade(world, app, 200, 1, order_id="ORD-1", broker="ibkr")
    world.wait(5)
    sweep(world, app)
    assert alerts(world) == [("repeats", "critical", False)]


@pytest.mark.parametrize("named", ["command", "short", "broker", "client"])
def test_our_own_closes_are_nothing_unusual(named: str) -> None:
    """R5.4: the kill's close of 900 shares, executed in lots, by any name that the broker has for it."""
    world = World()
    app = opened(world, repeats_per_minute=5, fills_per_minute=8, size_times="2")
    for number in range(6):
        trade(world, app, number, 1, quantity="100")
        sweep(world, app)
        world.wait(61)
    facts = {"request_id": "k", "scope": "account:demo", "action": "kill", "actor": "ann", "reason": "x"}
    app.halts.advance(app.trading.set(ControlRequest.model_validate(facts)))
    [close] = [body for body in world.bus.bodies("orders") if body["action"] == "close"]
    id_ = close["command_id"]
    report = {
        "command_id": id_,
        "account": "demo",
        "broker": "paper",
        "status": "accepted",
        "order_id": "B-7",
    }
    app.closer.report(validate(ExecutionReport, {**report, "reported_at": utc_text(world.clock.now())}))
    names = {
        "command": {"order_id": id_},
        "short": {"order_id": short_id(id_)},
        "broker": {"order_id": "B-7"},
        "client": {"client_order_id": id_},
    }
    trade(world, app, 300, 1, side="SELL", quantity="300", **names[named])
    trade(world, app, 310, 10, side="SELL", quantity="27", **names[named])
    sweep(world, app)
    assert alerts(world) == []
    trade(world, app, 400, 6, side="SELL", quantity="5")
    sweep(world, app)
    assert ("repeats", "critical", False) in alerts(world), "what is not ours counts in a halt too"


@pytest.mark.parametrize(("late", "found"), [(99, 1), (151, 0)])
def test_fills_of_the_last_two_and_a_half_minutes_are_looked_at(late: float, found: int) -> None:
    """R5.4: a round of the sweep that fails hides no minute; the oldest of these is 50 s older than `late`."""
    world = World()
    app = opened(world, repeats_per_minute=5)
    trade(world, app, 0, 51)
    world.wait(late)
    sweep(world, app)
    assert len(alerts(world)) == found


@pytest.mark.parametrize(("age", "found"), [(14, ["price_away"]), (16, [])])
def test_a_price_is_far_away_from_a_mark_of_its_time_only(age: float, found: list[str]) -> None:
    """R0.4, R5.4: what the market did since is no fat finger."""
    world = World()
    app = opened(world, price_max_age_s=15)
    app.marker.mark(PriceBatch("feed", world.clock.now(), {"SPY": Quote(100.0)}, ()))
    world.wait(age)
    trade(world, app, 0, 1, price="150")
    sweep(world, app)
    assert [name for name, *_ in alerts(world)] == found


def test_what_is_no_trade_is_no_activity() -> None:
    """R5.4: fees that come later and corrections are nobody's orders."""
    world = World()
    app = opened(world, repeats_per_minute=5, fills_per_minute=5)
    trade(world, app, 0, 5)
    fee = {"kind": "FEE", "quantity": "0", "price": "0", "fee": "1", "fee_currency": "USD"}
    trade(world, app, 10, 20, **fee)
    for number in range(5):
        trade(world, app, 40 + number, 1, kind="CORRECT", ref=f"F{number}", price="101")
    assert world.count("fills") == 30
    sweep(world, app)
    assert alerts(world) == []


def test_what_the_settings_do_not_name_is_only_told() -> None:
    world = World()
    app = opened(world, repeats_per_minute=5, pauses=[])
    trade(world, app, 0, 6)
    sweep(world, app)
    assert alerts(world) == [("repeats", "warning", False)]
    assert app.trading.read("account:demo").state is TradingState.ACTIVE


def test_a_fat_finger_is_held_against_what_was_usual_before() -> None:
    world = World()
    app = opened(world, pauses=["fill_size"])
    trade(world, app, 0, 8)
    sweep(world, app)
    assert alerts(world) == []
    world.wait(600)
    trade(world, app, 100, 1, quantity="5000")
    sweep(world, app)
    assert alerts(world) == [("fill_size", "critical", False)]
    assert app.trading.read("account:demo").state is TradingState.REDUCING


def test_another_instance_goes_on_where_the_first_one_was() -> None:
    """What was told is in the document: a second instance says nothing twice, and sees the end."""
    world = World()
    app = opened(world, repeats_per_minute=5)
    trade(world, app, 0, 6)
    sweep(world, app)
    other, _ = world.instance()
    world.wait(30)
    sweep(world, other)
    assert len(alerts(world)) == 1
    world.wait(300)
    sweep(world, other)
    assert alerts(world)[-1] == ("repeats", "warning", True)


def test_where_there_are_more_fills_than_a_look_takes_the_newest_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R5.4: one account's storm two minutes ago must not hide what another one does now."""
    monkeypatch.setattr(watch_activity, "MOST", 20)
    world = World()
    app = opened(world, repeats_per_minute=5)
    world.open_account(account("other"))
    world.wait(-100)
    trade(world, app, 0, 30, account="other")
    world.wait(100)
    trade(world, app, 100, 6)
    sweep(world, app)
    assert alerts(world) == [("repeats", "critical", False)]


def test_a_quiet_account_costs_no_write() -> None:
    world = World()
    app = opened(world)
    trade(world, app, 0, 2)
    sweep(world, app)
    written = world.document("activity", "demo")
    world.wait(60)
    sweep(world, app)
    assert world.document("activity", "demo") == written
