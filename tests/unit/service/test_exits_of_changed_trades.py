"""Exits in the service when a trade changes under them: split, changed by hand, gone and back, resumed, switched off."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from stopline.model.closing import CloseRequest
from stopline.model.control import ControlRequest
from stopline.model.instrument import Instrument
from stopline.service.evaluation.risk_state import RiskCodec
from stopline.service.exits.desk import ExitPatch

from ..make import equity, fill, option, trade
from .test_watch_exits import alerts, asked, book, bought, opened, requests, risk, sweep, tick
from .world import World

PUT, LOWER = option(6000, "P"), option(5990, "P")
TRAILED = {
    "stop_loss": "100%",
    "trail": {"by": "giveback", "amount": "30%", "activation": "30%"},
    "scale_out": [{"at": "0.3R", "close": "33"}],
}


def quotes(short: float, long: float) -> dict[str, tuple[float, float]]:
    return {PUT.symbol: (short - 0.05, short + 0.05), LOWER.symbol: (long - 0.05, long + 0.05)}


def leg(world: World, number: int, units: int, price: str, contract: Instrument = PUT) -> None:
    """Book a fill of the spread, made now."""
    now = world.wait(1)
    book(world, trade(number, units, price, instrument=contract, group_id="G-1", executed_at=now))


def spread(units: int = 9) -> World:
    """Return a world with a credit spread sold at 1.50, its stop trailed to 0.94, a third of it scaled out of."""
    world = opened({"trades": TRAILED})
    book(
        world,
        trade(0, -units, "3.00", instrument=PUT, group_id="G-1"),
        trade(1, units, "1.50", instrument=LOWER, group_id="G-1"),
    )
    for short, long in ((3, 1.5), (3, 1.5), (1.4, 0.7), (1.4, 0.7)):
        tick(world, **quotes(short, long))
    assert asked(world) == [("scale_out", "7", "normal")]
    leg(world, 10, 2, "1.4")
    leg(world, 11, -2, "0.7", LOWER)
    for _ in range(2):
        tick(world, **quotes(1.4, 0.7))
    assert stop(world) == (Decimal("0.94"), 1)
    return world


def stop(world: World) -> tuple[Decimal | None, int]:
    [state] = risk(world).exits.trades.values()
    return state.stop, state.stage


# --- splits ---


@pytest.mark.parametrize(
    ("units", "new", "old", "good", "bad"),
    [(9, 2, 1, 50, 48.9), (-10, 1, 10, 1000, 1020.5), (9, 3, 2, 67, 65.2)],
)
def test_a_split_closes_nothing_and_the_stop_is_in_the_new_price(
    units: int, new: int, old: int, good: float, bad: float
) -> None:
    """R1.5, R4.2."""
    world = opened({"trades": {"stop_loss": "2%"}}, limits={})
    book(world, trade(0, units, 100))
    tick(world, SPY=100)
    book(world, fill("S-1", "BUY", new, old, world.clock.now(), kind="SPLIT"))
    for _ in range(3):
        tick(world, SPY=good)
    assert requests(world) == []
    for _ in range(2):
        tick(world, SPY=bad)
    assert asked(world) == [("stop_loss", "0", "urgent")]


# --- changes by hand ---


def test_what_a_trader_adds_leg_by_leg_loosens_no_stop_and_repeats_no_stage() -> None:
    """R4.1, R4.3."""
    world = spread()
    leg(world, 20, -3, "1.40")
    for _ in range(2):
        tick(world, **quotes(1.4, 0.7))
    leg(world, 21, 3, "0.70", LOWER)
    for _ in range(4):
        tick(world, **quotes(1.4, 0.7))
    level, stage = stop(world)
    assert level is not None
    assert (level <= Decimal("0.94"), stage, len(requests(world))) == (True, 1, 1)


@pytest.mark.parametrize("first", [PUT, LOWER], ids=["short", "long"])
def test_what_a_person_closes_leg_by_leg_keeps_what_was_reached_for_as_long_as_it_takes(
    first: Instrument,
) -> None:
    """R4.1: all of a leg may be gone before the other, and a closing may take longer than a minute."""
    world = spread()
    [id_] = risk(world).exits.trades
    app, now = world.instance()[0], world.clock.now()
    facts: dict[str, Any] = {"account": "demo", "strategy": "default", "trade_id": id_, "leave": "5"}
    texts = {"request_id": "by-hand", "rule": "by_hand", "reason": "half", "cause": "ann"}
    app.closer.ask(CloseRequest.model_validate({**facts, **texts, "urgency": "urgent", "requested_at": now}))
    side = 1 if first is PUT else -1
    leg(world, 20, 2 * side, "1.4", first)
    for _ in range(4):
        world.wait(29)
        tick(world, **quotes(1.4, 0.7))
    assert stop(world) == (Decimal("0.94"), 1)
    [shown] = risk(world).shown["exits"]["trades"].values()
    assert (shown["stop"], shown["target"]) == (None, None)
    leg(world, 21, -2 * side, "0.7", LOWER if first is PUT else PUT)
    for _ in range(3):
        tick(world, **quotes(1.4, 0.7))
    assert stop(world) == (Decimal("0.94"), 1)
    assert [r["rule"] for r in requests(world)].count("scale_out") == 1


# --- gone and back ---


def test_a_group_that_comes_back_between_two_prices_begins_anew() -> None:
    """R4.1, R4.3: clock, units, stages and stop."""
    exits = {"stop_loss": "2%", "max_age_s": 600, "scale_out": [{"at": "1R", "close": "33"}]}
    world = opened({"trades": exits})
    book(world, trade(0, 4, 100, group_id="orb"))
    for price in (103, 103):
        tick(world, SPY=price)
    assert asked(world) == [("scale_out", "3", "normal")]
    now = world.wait(3600)
    back = [trade(5, -4, 103, group_id="orb", executed_at=now)]
    now = world.wait(1)
    book(world, *back, trade(6, 9, 200, group_id="orb", executed_at=now))
    tick(world, SPY=200)
    [state] = risk(world).exits.trades.values()
    assert (state.stop, state.stage, state.size, state.asked) == (196, 0, 9, None)
    for _ in range(2):
        tick(world, SPY=204.5)
    assert asked(world)[-1] == ("scale_out", "7", "normal")
    assert "max_age" not in [rule for rule, _, _ in asked(world)]


def test_a_price_of_before_the_night_confirms_none_of_after_it() -> None:
    """R4.2: a bad tick at the close, a sound price at the opening."""
    world = bought({"stop_loss": "2%"})
    tick(world, SPY=100)
    world.clock.set(datetime(2026, 11, 18, 20, 59, 58, tzinfo=UTC))
    tick(world, SPY=90)
    world.clock.set(datetime(2026, 11, 19, 14, 30, tzinfo=UTC))
    tick(world, SPY=97)
    assert requests(world) == []
    tick(world, SPY=97)
    assert asked(world) == [("stop_loss", "0", "urgent")]


# --- resumed, switched off and on ---


def test_the_first_trade_after_a_resume_is_not_sold_before_a_sweep_has_seen_it() -> None:
    """R4.1: a person has let the strategy trade again."""
    world = opened({"strategies": {"condors": {"max_loss": "500"}}})
    book(world, trade(0, 100, 100, strategy="condors"))
    for price in (100, 94, 94):
        tick(world, SPY=price)
    book(world, trade(20, -100, 94, strategy="condors"))
    world.wait(300)
    app, _ = world.instance()
    scope = "strategy:demo:condors"
    body = {"request_id": "R-1", "scope": scope, "action": "resume", "actor": "ann", "reason": "reviewed"}
    epoch = {"expected_epoch": app.trading.standing(scope).epoch, "confirm": f"RESUME {scope}"}
    app.trading.set(ControlRequest.model_validate({**body, **epoch}))
    now = world.wait(5)
    book(world, trade(40, 100, 94, strategy="condors", executed_at=now))
    for price in (94, 94.5):
        tick(world, SPY=price)
    assert (len(requests(world)), alerts(world, "exit_stuck")) == (1, [])
    assert risk(world).exits.strategies["condors"].stopped is None
    for price in (88, 88):
        tick(world, SPY=price)
    assert [r["rule"] for r in requests(world)] == ["max_loss", "max_loss"]  # and its limit counts from there


@pytest.mark.parametrize("more", [{}, {"target": "@200"}], ids=["alone", "beside a target"])
def test_a_stop_that_is_switched_off_is_off_as_the_preview_says(more: dict[str, Any]) -> None:
    """R4.7, R8.1."""
    world = bought({"stop_loss": "2%", **more})
    tick(world, SPY=100)
    app, _ = world.instance()
    patch = ExitPatch(expected_version=1, exits={"stop_loss": "off"})
    [one] = app.exit_desk.change("demo", patch, "ann")["trades"].values()
    assert (one["before"]["stop_at"], one["after"]["stop_at"], one["closes_now"]) == ("98", None, None)
    world.wait(31)
    for _ in range(3):
        tick(world, SPY=95)
    sweep(world)
    assert requests(world) == []
    [shown] = risk(world).shown["exits"]["trades"].values()
    assert (shown["stop"], shown["stop_rule"]) == (None, None)


def test_a_strategy_s_rule_that_is_switched_off_stops_nothing_and_the_others_do() -> None:
    """R4.1, R4.7."""
    world = opened({"strategies": {"s": {"giveback": "30", "max_loss": "500"}}})
    book(world, trade(0, 100, 100, strategy="s"))
    for price in (110, 110):
        tick(world, SPY=price)
    assert risk(world).exits.strategies["s"].stop == 700
    app, _ = world.instance()
    patch = ExitPatch(expected_version=1, strategy="s", exits={"giveback": None})
    [one] = app.exit_desk.change("demo", patch, "ann")["strategies"].values()
    assert (one["stop_before"], one["stop_after"], one["closes_now"]) == ("700", "-500", None)
    world.wait(31)
    for price in (103, 103, 103):
        tick(world, SPY=price)
    assert requests(world) == []
    for price in (94, 94):
        tick(world, SPY=price)
    assert [r["rule"] for r in requests(world)] == ["max_loss"]


def test_a_stage_that_people_were_only_told_of_is_closed_once_closing_is_switched_on() -> None:
    """R4.3, R5.5: told once, and the preview says what then happens."""
    world = bought({"stop_loss": "2%", "auto_close": False, "scale_out": [{"at": "1R", "close": "50"}]})
    for price in (100, 102.5, 102.5, 102.6):
        tick(world, SPY=price)
    assert (len(alerts(world, "exit")), requests(world)) == (1, [])
    app, _ = world.instance()
    patch = ExitPatch(expected_version=1, exits={"auto_close": True}, close_now=True)
    [one] = app.exit_desk.change("demo", patch, "ann")["trades"].values()
    assert one["closes_now"] == "scale_out"
    world.wait(31)
    for _ in range(3):
        tick(world, SPY=102.6)
    assert asked(world) == [("scale_out", "5", "normal")]


# --- a strategy with a symbol that is seldom quoted ---


def test_a_symbol_that_is_seldom_quoted_holds_up_no_stop_of_its_strategy() -> None:
    """R4.1: its price is good still, and it is not what moved."""
    world = opened({"strategies": {"s": {"max_loss": "500"}}})
    book(world, trade(0, 100, 100, strategy="s"))
    book(world, trade(1, 10, 50, strategy="s", instrument=equity("SLOW")))
    tick(world, SPY=100, SLOW=50)
    tick(world, SPY=90)
    assert requests(world) == []
    tick(world, SPY=90)
    assert [r["rule"] for r in requests(world)] == ["max_loss"]


def test_a_bad_tick_of_a_symbol_that_is_seldom_quoted_stops_no_strategy() -> None:
    """R4.1: others that go on trading do not confirm it; a price that is sound again ends it."""
    world = opened({"strategies": {"s": {"max_loss": "500"}}})
    book(world, trade(0, 100, 100, strategy="s"))
    book(world, trade(1, 100, 50, strategy="s", instrument=equity("SLOW")))
    tick(world, SPY=100, SLOW=50)
    tick(world, SPY=100, SLOW=40)
    for _ in range(5):
        tick(world, SPY=100)
    assert requests(world) == []
    tick(world, SPY=100, SLOW=50)
    tick(world, SPY=100)
    assert requests(world) == []


# --- stored state ---


def test_all_that_is_new_comes_back_from_the_document_and_none_of_it_has_to_be_there() -> None:
    """Stored state stays readable; restart-proof."""
    world = bought(
        {"stop_loss": "2", "breakeven": "1%", "auto_close": False, "scale_out": [{"at": "1", "close": "9"}]}
    )
    tick(world, SPY=100)
    book(world, fill("S-1", "BUY", 2, 1, world.clock.now(), kind="SPLIT"))
    for price in (51, 51, 51):
        tick(world, SPY=price)
    sweep(world)
    state = risk(world)
    data = {**RiskCodec().encode(state), "account": "demo"}
    assert RiskCodec().decode(data).exits == state.exits
    [new] = state.exits.trades.values()
    assert (new.others, new.old_terms, new.advised) != ((), (), 0)
    body = orjson.loads(data["state"])
    names = ("others", "advised", "splits", "old_terms", "since", "odd_since")
    for item in body["exits"]["trades"].values():
        assert [name for name in names if item.pop(name, None)] == [*names[:5]]
    [old] = RiskCodec().decode({**data, "state": orjson.dumps(body).decode()}).exits.trades.values()
    assert old == replace(new, others=(), advised=0, splits=(), old_terms=(), since=None)


@pytest.mark.parametrize(("clock", "day"), [("13:00", 18), ("11:00", 19)], ids=["still ahead", "passed"])
@pytest.mark.parametrize("of", [{}, {"strategy": "default"}], ids=["of all", "of the strategy"])
def test_a_time_of_day_set_on_a_trade_held_for_days_closes_when_it_comes(
    clock: str, day: int, of: dict[str, str]
) -> None:
    """R4.3, R4.7: it is noon; the trade is of last week, and nothing is closed at once."""
    world = opened({"trades": {"stop_loss": "50%"}})
    book(world, trade(0, 100, 100, executed_at=datetime(2026, 11, 12, 15, tzinfo=UTC)))
    tick(world, SPY=100)
    app, _ = world.instance()
    exits = {"exit_at": clock}
    patch = ExitPatch(expected_version=1, exits={"trades": exits} if of else exits, **of)
    [one] = app.exit_desk.change("demo", patch, "ann")["trades"].values()
    assert one["closes_now"] is None
    app.exit_desk.change("demo", ExitPatch(expected_version=2, exits={"target": "90%"}), "ann")
    hour = int(clock[:2]) + 5
    for at, count in ((datetime(2026, 11, day, hour - 1, 59), 0), (datetime(2026, 11, day, hour, 1), 1)):
        world.clock.set(at.replace(tzinfo=UTC))
        sweep(world, cause=str(at))
        assert [r["rule"] for r in requests(world)] == ["exit_at"] * count


def test_a_time_of_day_that_holds_again_because_a_nearer_one_is_gone_is_one_that_comes() -> None:
    """R4.7: the strategy's `off` is taken back at noon, and the account's 11:00 holds: that of the next session, whatever
    is set later of all trades without touching it.
    """
    mine = {"strategies": {"default": {"trades": {"exit_at": "off"}}}}
    world = opened({"trades": {"exit_at": "11:00"}, **mine})
    book(world, trade(0, 100, 100, executed_at=datetime(2026, 11, 12, 15, tzinfo=UTC)))
    app, _ = world.instance()
    back = ExitPatch(expected_version=1, strategy="default", exits={"trades": {"exit_at": None}})
    [one] = app.exit_desk.change("demo", back, "ann")["trades"].values()
    assert (one["after"]["exit_at"], one["closes_now"]) == ("11:00", None)
    app.exit_desk.change("demo", ExitPatch(expected_version=2, exits={"target": "90%"}), "ann")
    for day, hour, count in ((18, 20, 0), (19, 15, 0), (19, 17, 1)):
        world.clock.set(datetime(2026, 11, day, hour, tzinfo=UTC))
        sweep(world, cause=f"{day} {hour}")
        assert [r["rule"] for r in requests(world)] == ["exit_at"] * count
