"""Reductions that run by themselves: the plan that a person previews, on a breach or trip that a second reading confirms."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from stopline.model.control import TradingState
from stopline.model.errors import Rejected
from stopline.model.messages import Sweep, SweepKind
from stopline.model.prices import PriceBatch, Quote
from stopline.model.times import utc_text
from stopline.rules.reduction.plan import Measure
from stopline.runtime.app import App
from stopline.service.documents.outbox import Unpublished

from ..make import account, equity, option, trade
from .world import World

SHORT, LONG = option(6000), option(5990)
PRICES = {SHORT.symbol: Quote(10, 9.9, 10.1), LONG.symbol: Quote(8, 7.9, 8.1)}
MARGIN: dict[str, Any] = {
    "limits": {"max_margin_use": {"limit": "8", "action": "reduce_only"}},
    "reductions": {"max_margin_use": {"by": "margin", "to": "4.5"}},
}
LOSS: dict[str, Any] = {
    "capital": "40000",
    "reductions": {"emergency_daily_loss": {"by": "heat", "to": "0"}},
}
LOST = {SHORT.symbol: Quote(17, 16.9, 17.1), LONG.symbol: Quote(8, 7.9, 8.1)}  # 7,000 of 40,000


def opened(**settings: Any) -> tuple[World, App]:
    """An account of 100,000 with ten spreads 10 points wide: they bind 10,000."""
    world = World()
    world.open_account(account(**settings))
    app, _ = world.instance()
    fills = [
        trade(-2, -10, 10, instrument=SHORT, group_id="G"),
        trade(-1, 10, 8, instrument=LONG, group_id="G"),
    ]
    app.recorder.record(fills, "m-1")
    world.wait(30)  # legs are still being booked for some seconds
    return world, app


def mark(
    world: World, app: App, seconds: float, quotes: dict[str, Quote] | None = None
) -> list[dict[str, Any]]:
    """Let prices come; return the closes that were sent for them."""
    world.bus.messages.clear()
    app.marker.mark(PriceBatch("feed", world.wait(seconds), dict(quotes or PRICES), ()))
    return [o for o in world.bus.bodies("orders") if o["action"] == "close"]


def alerts(world: World) -> list[str]:
    return [a["summary"] for a in world.bus.bodies("alerts") if a["kind"] == "reduction"]


def test_a_margin_breach_that_a_second_reading_confirms_is_reduced_by_the_plan_that_people_preview() -> None:
    """R4.5, R5.5, issue 7.4."""
    world, app = opened(**MARGIN)
    assert mark(world, app, 1) == []  # one reading lets nothing new in, and closes nothing
    assert app.trading.for_account("demo")[0] is TradingState.REDUCING
    shown = app.reducer.plan(app.accounts.require("demo"), Measure.MARGIN, Decimal(4500))
    [close] = mark(world, app, 2)
    assert (close["side"], close["quantity"], close["order_type"]) == ("BUY", "6", "LIMIT")
    [asked] = app.closer.read("demo").open_requests
    assert asked.request.rule == "max_margin_use"
    assert [(asked.request.trade_id, asked.request.leave)] == [(s.trade_id, s.leave) for s in shown.steps]
    [told] = alerts(world)
    assert "margin 10,000 USD to 4,000 USD, target 4,500 USD" in told
    assert f"BUY 6 {SHORT.symbol}, SELL 6 {LONG.symbol}" in told


def test_people_hear_of_a_reduction_once_though_no_alert_went_out_when_it_began() -> None:
    """R5.5, F17: the closes went out, and the next time the reduction was on its way: nobody was told, ever."""
    world, app = opened(**MARGIN)
    mark(world, app, 1)
    world.bus.deaf = {"alerts"}
    with pytest.raises(Unpublished):
        mark(world, app, 2)
    assert [order["action"] for order in world.bus.bodies("orders")] == ["close"]
    told = alerts(world)
    world.bus.deaf = set()
    now = world.wait(60)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), now, "s-1")
    assert not told
    assert len(alerts(world)) == 1


def test_one_bad_reading_closes_nothing() -> None:
    """Domain 2.4: a single bad read must not flatten."""
    world, app = opened(**MARGIN)
    mark(world, app, 1)
    assert mark(world, app, 1) == []  # the same reading again, as far as anybody knows
    world.wait(120)
    assert mark(world, app, 1, {LONG.symbol: PRICES[LONG.symbol]}) == []  # UNKNOWN: it begins anew
    assert mark(world, app, 1) == []
    assert len(mark(world, app, 2)) == 1


def test_one_bad_price_reduces_nothing_however_often_it_is_read() -> None:
    """Domain 2.4: every leg needs a newer price than the first reading in breach had."""
    world, app = opened(**MARGIN)
    mark(world, app, 1)
    for _ in range(3):
        assert mark(world, app, 5, {LONG.symbol: PRICES[LONG.symbol]}) == []
    assert len(mark(world, app, 1)) == 1


def test_what_is_on_its_way_is_not_asked_for_again() -> None:
    world, app = opened(**MARGIN)
    mark(world, app, 1)
    mark(world, app, 2)
    for _ in range(20):
        mark(world, app, 5)
    assert len(app.closer.read("demo").asked) == 1


def test_a_restart_between_the_readings_forgets_nothing() -> None:
    world, app = opened(**MARGIN)
    mark(world, app, 1)
    again, _ = world.instance()
    assert len(mark(world, again, 2)) == 1


def test_a_breaker_with_a_reduction_reduces_instead_of_closing_everything() -> None:
    """R5.3, R5.5: the same second reading, and no kill."""
    world, app = opened(**LOSS)
    mark(world, app, 1)
    assert mark(world, app, 5, LOST) == []
    assert app.trading.for_account("demo")[0] is TradingState.REDUCING
    told = [a["action"] for a in world.bus.bodies("alerts") if a["kind"] == "breaker"]
    assert not any("closes everything" in action for action in told)
    [close] = mark(world, app, 3, LOST)
    assert (close["side"], close["quantity"]) == ("BUY", "10")
    assert all(o["instrument"] for o in world.bus.bodies("orders"))  # no cancel of the whole account
    assert app.trading.for_account("demo")[0] is TradingState.REDUCING
    assert app.closer.read("demo").halt is None


def test_without_a_reduction_the_same_breaker_closes_everything() -> None:
    world, app = opened(capital="40000")
    mark(world, app, 1)
    mark(world, app, 5, LOST)
    mark(world, app, 3, LOST)
    assert app.trading.for_account("demo")[0] is TradingState.HALTED


def test_a_target_that_cannot_be_reached_is_told_with_what_to_do_and_not_each_minute() -> None:
    """R5.5: what can be lost by short shares has no bound, so no plan is called good."""
    by_heat = {"limits": MARGIN["limits"], "reductions": {"max_margin_use": {"by": "heat", "to": "5"}}}
    world, app = opened(**by_heat)
    app.recorder.record([trade(5, -50, 100, instrument=equity("SPY"))], "m-2")
    world.wait(30)
    quotes = {**PRICES, "SPY": Quote(100)}
    mark(world, app, 1, quotes)
    [close] = mark(world, app, 3, quotes)
    assert close["quantity"] == "4"  # of what can be worked out, 8,000 less than 5 % is too much
    [told] = [a for a in world.bus.bodies("alerts") if a["kind"] == "reduction"]
    assert "heat unknown to unknown" in told["summary"]
    assert told["action"].startswith("The target is not reached. Close by hand")
    mark(world, app, 61, quotes)
    assert alerts(world) == []  # it is on its way


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"reductions": {"max_margins": {"to": "5"}}}, "reductions.max_margins: there is no such limit"),
        ({"reductions": {"loss": {"to": "5"}}}, "no breaker of that name that closes positions"),
        ({"reductions": {"max_symbol_exposure": {"to": "5"}}}, "only a limit on the whole account"),
        ({"reductions": {"max_margin_use": {"to": "5"}}}, "set limits.max_margin_use.action to reduce_only"),
        (
            {"limits": {"max_margin_use": {"enabled": False}}, "reductions": {"max_margin_use": {"to": "5"}}},
            "reductions.max_margin_use: the limit is off",
        ),
    ],
)
def test_a_reduction_that_could_not_work_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(Rejected, match="BAD_REDUCTIONS") as refused:
        World().open_account(account(**settings))
    assert said in str(refused.value)


@pytest.mark.parametrize("ids", ["order_id", "group_id"])
def test_a_reduction_that_a_person_executes_is_followed_up_until_the_book_shows_it(ids: str) -> None:
    """R5.5: two trades of one position; of one the broker executes a part, and then nothing for a while."""
    world = World()
    world.open_account(account())
    app, _ = world.instance()
    bought = [trade(n - 9, 100, 100, **{ids: f"O-{n}"}) for n in range(2)]
    app.recorder.record(bought, "m-1")
    app.marker.mark(PriceBatch("feed", world.wait(30), {"SPY": Quote(100)}, ()))
    owner = app.accounts.require("demo")
    plan = app.reducer.plan(owner, Measure.EXPOSURE, Decimal(0))
    assert len(app.reducer.execute(owner, plan, "reduce", "by-hand-1")) == 2
    executed, taken = Decimal(0), set()
    for parts in (30, *[0] * 20, *[500] * 20):
        for order in world.bus.bodies("orders"):
            if order["action"] != "close" or order["command_id"] in taken or not parts:
                continue
            taken.add(order["command_id"])
            if utc_text(world.clock.now()) >= order["expires_at"]:
                continue
            units = min(Decimal(order["quantity"]), Decimal(parts))
            executed += units
            more = {"order_id": order["command_id"], "group_id": order["group_id"]}
            sold = trade(100 + len(taken), -units, 100, executed_at=world.clock.now(), **more)
            app.recorder.record([sold], f"m-{order['command_id']}")
        app.closer.advance("demo")
        open_ = app.closer.read("demo").open_requests
        assert executed <= 200
        assert open_ or executed == 200
        world.wait(15)
        app.marker.mark(PriceBatch("feed", world.clock.now(), {"SPY": Quote(100)}, ()))
    assert executed == 200
    assert app.closer.read("demo").open_requests == []
