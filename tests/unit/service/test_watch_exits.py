"""Exits in the service: what a batch of prices triggers is committed with its state, once, and survives a restart."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from stopline.model.account import Account
from stopline.model.control import ControlRequest, TradingState
from stopline.model.errors import Rejected
from stopline.model.instrument import Instrument, Kind
from stopline.model.prices import PriceBatch, Quote
from stopline.model.settings.exits import ExitSettings, Unit
from stopline.model.times import utc_text
from stopline.rules.exits.trailing import ALGORITHMS, Algorithm
from stopline.runtime.app import App
from stopline.service.evaluation.risk_state import RiskCodec, RiskState

from ..make import account, option, trade
from .world import World

PUT, LOWER = option(6000, "P"), option(5990, "P")


def opened(exits: dict[str, Any], **more: Any) -> World:
    world = World()
    world.open_account(account(exits=exits, risk_interval_s=3600, **more))
    return world


def bought(exits: dict[str, Any], **more: Any) -> World:
    """Return a world in which 9 SPY were bought at 100."""
    world = opened({"trades": exits}, **more)
    book(world, trade(0, 9, 100))
    return world


def book(world: World, *fills: Any) -> None:
    world.instance()[0].recorder.record(list(fills), f"m-{fills[0].fill_id}")
    world.bus.messages.clear()


def tick(world: World, app: App | None = None, **quotes: float | tuple[float, float]) -> None:
    """Two seconds later, prices come: a last, or a bid and an ask."""
    now = world.wait(2)
    made = {s: Quote(q) if isinstance(q, float | int) else Quote(float("nan"), *q) for s, q in quotes.items()}
    (app or world.instance()[0]).marker.mark(PriceBatch("feed", now, made, ()))


def sweep(world: World, app: App | None = None, cause: str = "sweep") -> None:
    app = app or world.instance()[0]
    app.desk.refresh()
    app.marker.evaluate({"demo"}, world.clock.now(), cause, force=True)


def risk(world: World) -> RiskState:
    state = world.instance()[0].risk_states.read("demo")
    assert state is not None
    return state


def asked(world: World) -> list[tuple[str, str | None, str]]:
    """Return what was asked to be closed: rule, what is left of which strategy, how urgently."""
    return [(r["rule"], r["leave"], r["urgency"]) for r in requests(world)]


def requests(world: World) -> list[dict[str, Any]]:
    state = world.instance()[0].closer.read("demo")
    found = [asked.request.model_dump(mode="json") for asked in state.asked.values()]
    return sorted(found, key=lambda request: request["requested_at"])


def alerts(world: World, kind: str) -> list[dict[str, Any]]:
    found = {a["alert_id"]: a for a in world.bus.bodies("alerts") if a["kind"] == kind}
    return list(found.values())


def test_a_stop_that_two_prices_confirm_asks_for_a_close_in_the_same_commit() -> None:
    """R4.2, R4.5: at once, whatever the interval of risk."""
    world = bought({"stop_loss": "2%"})
    tick(world, SPY=100)
    tick(world, SPY=97.9)
    assert requests(world) == []
    tick(world, SPY=97.8)
    [request] = requests(world)
    assert (request["rule"], request["leave"], request["urgency"]) == ("stop_loss", "0", "urgent")
    [told] = alerts(world, "exit")
    assert told["summary"] == "Stop loss of SPY (default): price 97.8 reached 98"
    [(id_, state)] = risk(world).exits.trades.items()
    assert request["trade_id"] == id_
    assert state.asked
    assert state.asked.rule == "stop_loss"


def test_a_stop_of_a_coin_below_a_hundredth_of_a_thousandth_closes_it() -> None:
    """R4.2, R1.3: with six decimals 0.00000251 was 0.000003, which is above the entry: it never closed."""
    world = opened({"trades": {"stop_loss": "8%"}})
    coin = Instrument.model_validate({"symbol": "XYZ-USD", "kind": "crypto", "currency": "USD"})
    book(world, trade(0, 10**9, "0.00000285", instrument=coin))
    for price in (0.0000028, 0.00000264, 0.00000263):  # the stop is at 0.000002622
        tick(world, **{"XYZ-USD": price})
    assert requests(world) == []
    [shown] = risk(world).shown["exits"]["trades"].values()
    assert shown["stop"] == "0.000002622"
    for price in (0.0000026, 0.00000255):
        tick(world, **{"XYZ-USD": price})
    assert asked(world) == [("stop_loss", "0", "urgent")]
    [told] = alerts(world, "exit")
    assert told["summary"] == "Stop loss of XYZ-USD (default): price 0.00000255 reached 0.000002622"
    assert (told["figure"]["current"], told["figure"]["limit"]) == ("0.00000255", "0.000002622")


def test_each_instance_goes_on_where_another_stopped() -> None:
    """R4.1: restart-proof. Every price is seen by a process that has just started."""
    world = bought({"trail": {"by": "percent", "amount": "1%", "activation": "0%"}})
    for price in (101, 103, 103, 102.5):
        tick(world, world.instance()[0], SPY=price)
    [state] = risk(world).exits.trades.values()
    assert state.stop == Decimal("101.97")
    for price in (101.9, 101.8):
        tick(world, world.instance()[0], SPY=price)
    assert asked(world) == [("trailing_stop", "0", "normal")]


def test_a_bad_tick_of_one_leg_closes_no_spread() -> None:
    """R4.2: on the value of the spread, and two readings of all legs."""
    world = opened({"trades": {"stop_loss": "100%", "target": "50%"}})
    fills = [trade(0, -5, "3.00", instrument=PUT), trade(1, 5, "1.50", instrument=LOWER)]
    book(world, *(f.model_copy(update={"group_id": "G-1"}) for f in fills))
    tick(world, **{PUT.symbol: (2.9, 3.1), LOWER.symbol: (1.4, 1.6)})
    [(id_, shown)] = risk(world).shown["exits"]["trades"].items()
    assert (shown["entry"], shown["stop"], shown["target"], shown["side"]) == ("1.5", "3", "0.75", "short")
    assert (shown["quantity"], shown["name"]) == ("5", "SPXW put credit vertical")
    tick(world, **{PUT.symbol: (8.0, 9.0)})
    tick(world, **{LOWER.symbol: (1.4, 1.6)})
    assert requests(world) == []
    tick(world, **{PUT.symbol: (5.0, 5.2), LOWER.symbol: (1.4, 1.6)})
    assert [r["trade_id"] for r in requests(world)] == [id_]


def test_old_prices_pause_the_exits_and_people_are_told_once() -> None:
    """F32: prices older than their limit pause triggers and say so."""
    world = bought({"stop_loss": "2%", "max_age_s": 120})
    tick(world, SPY=100)
    world.wait(31)
    sweep(world)
    world.wait(31)
    sweep(world, cause="later")
    [told] = alerts(world, "exits_paused")
    assert "no fresh price: SPY" in told["summary"]
    world.wait(60)
    sweep(world, cause="time")
    assert asked(world) == [("max_age", "0", "normal")]
    tick(world, SPY=90)
    tick(world, SPY=90)
    assert [a["resolved"] for a in alerts(world, "exits_paused")] == [False, True]


def test_r_rules_that_nothing_can_count_are_told_when_the_trade_is_seen() -> None:
    """R4.3: which strategy a single trade is of, and so whether it has a stop, only the book knows."""
    world = opened({})
    book(world, trade(0, 9, 100))
    app = world.instance()[0]
    [held] = app.books.read("demo").open_trades()  # type: ignore[union-attr]

    def edit(before: Account) -> Account:
        exits = ExitSettings.model_validate({"single": {held.trade_id: {"target": "2R"}}})
        return before.model_copy(update={"exits": exits})

    app.account_writer.change("demo", edit, "ann")
    for _ in range(2):
        tick(world, SPY=100)
        sweep(world)
    [told] = alerts(world, "exits_paused")
    assert told["summary"] == (
        "Exits on price are paused, SPY (rules in R never trigger: stop_loss is needed to count in R: "
        "R is the way from the entry to it)"
    )


def test_a_spread_opened_for_nothing_is_not_closed_by_a_percentage_and_people_are_told() -> None:
    """I7: half of an entry at 0 is no distance."""
    world = opened({"trades": {"stop_loss": "50%", "target": "50%"}})
    fills = [trade(0, -5, "2.00", instrument=PUT), trade(1, 5, "2.00", instrument=LOWER)]
    book(world, *(f.model_copy(update={"group_id": "G-1"}) for f in fills))
    for _ in range(3):
        tick(world, **{PUT.symbol: (1.9, 2.1), LOWER.symbol: (1.9, 2.1)})
    assert requests(world) == []
    [told] = alerts(world, "exits_paused")
    assert "never triggers: stop_loss, target in percent of an entry at 0" in told["summary"]


def test_a_document_that_did_not_note_the_range_of_a_stop_is_read() -> None:
    """Stored state stays readable: it had R alone."""
    world = bought({"stop_loss": "3atr", "atr_bar_s": 2, "atr_bars": 2})
    for price in (100, 101, 100, 101, 100, 101):
        tick(world, SPY=price)
    data = {**RiskCodec().encode(risk(world)), "account": "demo"}
    body = orjson.loads(data["state"])
    [item] = body["exits"]["trades"].values()
    [new] = risk(world).exits.trades.values()
    assert item.pop("atr") == [str(new.atr)]
    [old] = RiskCodec().decode({**data, "state": orjson.dumps(body).decode()}).exits.trades.values()
    assert new.risk
    assert old == replace(new, atr=Decimal(0))


def test_a_strategy_without_prices_is_told_once_an_episode_and_its_mtm_is_unknown() -> None:
    """R4.1: a strategy that has rules on its MTM alone; what was known last is shown as that."""
    world = opened({"strategies": {"condors": {"max_loss": "5000"}}})
    book(world, trade(0, 100, 100, strategy="condors"))
    for price in (110, 110):
        tick(world, SPY=price)
    seen_at = world.clock.now()
    sweep(world)
    shown = risk(world).shown["exits"]["strategies"]["condors"]
    assert (shown["mtm"], shown["paused"]) == ("1000", False)
    for _ in range(3):
        world.wait(61)
        sweep(world, cause=f"at {world.clock.now()}")
    [told] = alerts(world, "exits_paused")
    what = "strategy condors (its MTM is unknown: no fresh price of SPY)"
    assert told["summary"] == f"Exits on price are paused, {what}"
    assert (told["resolved"], told["severity"]) == (False, "critical")
    shown = risk(world).shown["exits"]["strategies"]["condors"]
    assert (shown["mtm"], shown["paused"], shown["last"]) == (None, True, "1000")
    assert shown["last_at"] == utc_text(seen_at)
    assert what in risk(world).shown["exits"]["paused"]
    tick(world, SPY=111)
    sweep(world)
    assert [a["resolved"] for a in alerts(world, "exits_paused")] == [False, True]
    assert risk(world).shown["exits"]["strategies"]["condors"]["mtm"] == "1100"
    world.wait(90)
    sweep(world, cause="second episode")
    assert [a["resolved"] for a in alerts(world, "exits_paused")] == [False, True, False]


def test_a_pause_that_the_close_of_the_market_ends_is_not_called_a_fresh_price() -> None:
    world = bought({"stop_loss": "2%"})
    tick(world, SPY=100)
    world.wait(31)
    sweep(world)
    world.clock.set(datetime(2026, 11, 18, 21, 0, 1, tzinfo=UTC))  # 16:00:01 in New York
    sweep(world, cause="closed")
    paused, over = alerts(world, "exits_paused")
    assert (paused["resolved"], over["resolved"]) == (False, True)
    assert over["summary"] == "The market is closed: exits on price wait for it to open"


@pytest.mark.parametrize(("kind", "told"), [(Kind.EQUITY, 0), (Kind.CRYPTO, 1)])
def test_no_pause_is_told_at_the_opening_bell_before_prices_can_have_come(kind: Kind, told: int) -> None:
    """The last price of the day before is no alarm; what trades around the clock has no opening bell."""
    world = opened({"trades": {"stop_loss": "2%"}, "strategies": {"core": {"max_loss": "5000"}}})
    fill = trade(0, 9, 100, strategy="core")
    book(world, fill.model_copy(update={"instrument": fill.instrument.model_copy(update={"kind": kind})}))
    tick(world, SPY=100)
    world.clock.set(datetime(2026, 11, 19, 14, 30, 5, tzinfo=UTC))  # 09:30:05 in New York
    sweep(world, cause="the bell")
    assert len(alerts(world, "exits_paused")) == told
    world.wait(60)
    sweep(world, cause="a minute later")
    [paused] = alerts(world, "exits_paused")
    assert paused["summary"] == (
        "Exits on price are paused, no fresh price: SPY; "
        "strategy core (its MTM is unknown: no fresh price of SPY)"
    )


@pytest.mark.parametrize(("exits", "told"), [({"stop_loss": "2%"}, 1), ({}, 0)])
def test_a_trade_that_no_exit_can_see_is_told_once_if_it_was_to_have_exits(
    exits: dict[str, Any], told: int
) -> None:
    """An inverse contract is worth no multiple of its price: with others it makes no price of a unit."""
    world = opened({"trades": exits})
    perpetual, quarterly = (
        Instrument(symbol=symbol, kind=Kind.CRYPTO, currency="BTC", inverse=True, underlying="BTC")
        for symbol in ("BTCUSD-PERP", "BTCUSD-1225")
    )
    fills = [trade(0, -5, 50_000, instrument=perpetual), trade(1, 5, 50_500, instrument=quarterly)]
    book(world, *(f.model_copy(update={"group_id": "G-1"}) for f in fills))
    for _ in range(2):
        tick(world, **{"BTCUSD-PERP": 50_000, "BTCUSD-1225": 50_500})
        sweep(world)
    found = alerts(world, "exits_paused")
    assert len(found) == told
    assert all("BTC" in a["summary"] and "no exits of its own" in a["summary"] for a in found)


def test_what_stays_open_is_told_and_asked_again_urgently() -> None:
    """R4.5: every triggered exit ends flat or in a critical alert."""
    world = bought({"target": "5%"})
    tick(world, SPY=105)
    tick(world, SPY=106)
    world.wait(60)
    sweep(world)
    sweep(world, cause="again")
    assert asked(world) == [("target", "0", "normal"), ("target", "0", "urgent")]
    [told] = alerts(world, "exit_stuck")
    assert told["severity"] == "critical"


def test_a_stop_loss_goes_over_a_target_that_waits_and_the_closing_becomes_urgent() -> None:
    """R4.2, R4.5: the limit order of the target is not waited for longer than it lives; then it is market orders."""
    world = bought({"target": "5%", "stop_loss": "2%"})
    for price in (105, 106, 97, 96.5):
        tick(world, SPY=price)
    assert asked(world) == [("target", "0", "normal"), ("stop_loss", "0", "urgent")]
    sent = {}
    for _ in range(25):
        tick(world, SPY=96.5)
        world.instance()[0].closer.advance("demo")
        sent |= {o["command_id"]: o for o in world.bus.bodies("orders") if o["action"] == "close"}
    assert [(o["order_type"], o["quantity"]) for o in sent.values()] == [("LIMIT", "9"), ("MARKET", "9")]


def test_a_trade_that_is_closed_is_forgotten_and_told_nothing() -> None:
    world = bought({"target": "5%"})
    tick(world, SPY=105)
    tick(world, SPY=106)
    book(world, trade(60, -9, 106))
    world.wait(90)
    sweep(world)
    assert risk(world).exits.trades == {}
    assert alerts(world, "exit_stuck") == []


def test_without_auto_close_people_are_told_and_nothing_is_asked() -> None:
    """R5.5."""
    world = bought({"stop_loss": "2%", "auto_close": False})
    for price in (97, 96, 95):
        tick(world, SPY=price)
    [told] = alerts(world, "exit")
    assert "auto_close is off" in told["action"]
    assert requests(world) == []


def test_the_alert_of_an_exit_ends_when_a_person_closes_what_nothing_was_closed_of() -> None:
    """R5.5, R6.2: it does not ring on for a trade that is gone; nothing ends where nothing was told."""
    world = bought({"stop_loss": "2%", "auto_close": False})
    book(world, trade(1, 5, 100, strategy="quiet", group_id="Q"))
    for price in (97, 96):
        tick(world, SPY=price)
    told = {alert["object"] for alert in alerts(world, "exit")}
    assert len(told) == 2
    book(world, trade(60, -9, 96))
    for cause in ("closed by hand", "later"):
        sweep(world, cause=cause)
    [end] = [alert for alert in alerts(world, "exit") if alert["resolved"]]
    assert (end["object"] in told, end["severity"]) == (True, "info")
    assert end["summary"].endswith("is closed")


def test_a_document_of_before_advice_was_counted_tells_nothing_twice() -> None:
    """Stored state stays readable."""
    world = bought({"stop_loss": "2%", "target": "5%", "auto_close": False})
    for price in (97, 96):
        tick(world, SPY=price)
    data = {**RiskCodec().encode(risk(world)), "account": "demo"}
    body = orjson.loads(data["state"])
    for item in body["exits"]["trades"].values():
        del item["told"]
    again = RiskCodec().decode({**data, "state": orjson.dumps(body).decode()})
    assert [s.told for s in again.exits.trades.values()] == [("stop_loss",)]


def test_a_strategy_whose_mtm_falls_back_is_closed_and_stopped_until_a_person_resumes_it() -> None:
    """R4.1: peak 6000 at 30 % -> 4200, close all trades, shut the strategy down."""
    world = opened({"strategies": {"condors": {"arm": "5000", "giveback": "30"}}})
    book(world, trade(0, 100, 100, strategy="condors"))
    for price in (160, 160, 145, 141.99, 141.5):
        tick(world, SPY=price)
    [request] = requests(world)
    assert (request["strategy"], request["trade_id"], request["rule"]) == ("condors", None, "trailing_stop")
    [told] = alerts(world, "strategy_stopped")
    assert told["figure"] == {"current": "4150", "limit": "4200", "unit": "USD"}
    app, _ = world.instance()
    assert app.trading.standing("strategy:demo:condors").state is TradingState.REDUCING
    assert risk(world).shown["exits"]["strategies"]["condors"]["active"] is False
    book(world, trade(60, -100, 141, strategy="condors"))
    world.wait(300)
    app.trading.set(
        ControlRequest.model_validate(
            {
                "request_id": "R-1",
                "scope": "strategy:demo:condors",
                "action": "resume",
                "actor": "ann",
                "reason": "reviewed",
                "expected_epoch": app.trading.standing("strategy:demo:condors").epoch,
                "confirm": "RESUME strategy:demo:condors",
            }
        )
    )
    sweep(world)
    shown = risk(world).shown["exits"]["strategies"]["condors"]
    assert (shown["active"], shown["mtm"], shown["peak"]) == (True, "0", "0")


def test_a_stopped_strategy_that_stays_open_is_told_and_asked_for_again_urgently() -> None:
    """R4.1, R4.5: flat, or a critical alert; told once, and again when it trades anew."""
    world = opened({"strategies": {"condors": {"max_loss": "500", "confirm": 1}}})
    book(world, trade(0, 100, 100, strategy="condors"))
    tick(world, SPY=90)
    assert [(r["rule"], r["urgency"]) for r in requests(world)] == [("max_loss", "urgent")]
    world.wait(59)
    sweep(world)
    assert alerts(world, "exit_stuck") == []
    world.wait(3)
    for cause in ("late", "later"):
        sweep(world, cause=cause)
    [told] = alerts(world, "exit_stuck")
    assert (told["severity"], told["object"]) == ("critical", "condors")
    assert told["summary"] == "Strategy condors has open trades although its max loss stopped it"
    again = requests(world)
    assert [(r["strategy"], r["trade_id"], r["leave"], r["urgency"]) for r in again] == [
        ("condors", None, "0", "urgent")
    ] * 2
    assert again[0]["request_id"] != again[1]["request_id"]
    book(world, trade(90, -100, 90, strategy="condors"))
    world.wait(30)
    sweep(world, cause="flat")
    book(world, trade(120, 5, 90, strategy="condors"))
    sweep(world, cause="trades anew")
    assert len(requests(world)) == 3
    causes = [alert["cause"].partition(".")[0] for alert in alerts(world, "exit_stuck")]
    assert causes.count("trades anew") == 1


def test_a_trailing_algorithm_of_one_s_own_is_registered_in_one_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R4.7: pluggable; settings, checks, stop, trigger and alert know it by its name."""
    half = Algorithm(
        frozenset({Unit.POINTS}), lambda ride, amount: (ride.entry + ride.best) / 2, "half of the way"
    )
    monkeypatch.setitem(ALGORITHMS, "half_way", half)  # type: ignore[arg-type]
    world = bought({"trail": {"by": "half_way", "amount": "1", "activation": "0%"}})
    for price in (108, 108):
        tick(world, SPY=price)
    [shown] = risk(world).shown["exits"]["trades"].values()
    assert (shown["stop"], shown["stop_rule"]) == ("104", "trailing_stop")
    for price in (104, 103.5):
        tick(world, SPY=price)
    assert asked(world) == [("trailing_stop", "0", "normal")]
    with pytest.raises(Rejected, match="half_way takes 2, was 2%"):
        opened({"trades": {"trail": {"by": "half_way", "amount": "2%"}}})


def test_realised_and_unrealised_count_together_and_fees_too() -> None:
    """R4.1, R4.6."""
    world = opened({"strategies": {"condors": {"max_loss": "500", "confirm": 1}}})
    book(world, trade(0, 10, 100, strategy="condors", fee="10", fee_currency="USD"))
    book(world, trade(1, -5, 50, strategy="condors"))
    tick(world, SPY=60)
    shown = risk(world).shown["exits"]["strategies"]["condors"]
    assert (shown["mtm"], shown["active"]) == ("-460", True)
    tick(world, SPY=51)
    assert [r["rule"] for r in requests(world)] == ["max_loss"]


def test_the_health_of_a_trade_is_told_when_it_degrades() -> None:
    """R4.4."""
    world = bought({"stop_loss": "2%", "health_below": 50})
    tick(world, SPY=(99.95, 100.05))
    assert alerts(world, "health_degraded") == []
    tick(world, SPY=(98.05, 98.15))
    sweep(world)
    [told] = alerts(world, "health_degraded")
    assert "below 50: mostly for its stop" in told["summary"]
    [shown] = risk(world).shown["exits"]["trades"].values()
    assert shown["health"] < 50
    assert shown["health_unknown"] == []


def test_a_health_at_its_limit_is_not_told_to_and_fro() -> None:
    """R4.4: it has recovered when it is 5 above its limit."""
    world = bought({"stop_loss": "2%", "health_below": 50})
    scores = []
    for middle in (98.1, 98.45, 98.3, 98.45, 98.7):
        tick(world, SPY=(middle - 0.05, middle + 0.05))
        sweep(world, cause=str(middle))
        [shown] = risk(world).shown["exits"]["trades"].values()
        scores.append(shown["health"])
    assert scores[0] < 50 < scores[1] < 55 < scores[-1]
    assert [a["resolved"] for a in alerts(world, "health_degraded")] == [False, True]


def test_a_document_of_before_there_were_exits_is_read() -> None:
    world = bought({})
    tick(world, SPY=100)
    document = world.document("risk", "demo")
    assert document
    body = orjson.loads(document["state"])
    del body["exits"]
    state = RiskCodec().decode({**document, "state": orjson.dumps(body).decode()})
    assert state.exits.trades == {}


@pytest.mark.parametrize("stop", ["2%", "2atr"])
def test_the_state_comes_back_from_the_document_as_it_was(stop: str) -> None:
    """Restart-proof to the last digit."""
    world = bought({"stop_loss": stop, "breakeven": "0.5%", "atr_bar_s": 2, "atr_bars": 2})
    for price in (100.123456, 100.7, 100.8, 100.9, 90, 89):
        tick(world, SPY=price)
    state = risk(world)
    data = {**RiskCodec().encode(state), "account": "demo"}
    assert RiskCodec().decode(data).exits == state.exits
    [remembered] = state.exits.trades.values()
    assert remembered.asked


def test_closed_markets_pause_nothing_aloud() -> None:
    world = bought({"stop_loss": "2%"})
    tick(world, SPY=100)
    world.clock.set(datetime(2026, 11, 18, 22, 0, tzinfo=UTC))
    sweep(world)
    assert alerts(world, "exits_paused") == []
