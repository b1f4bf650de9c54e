"""`stopline executions`: the log of a close, and its sums, as the history has them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main
from stopline.model.closing import CloseRequest
from stopline.model.messages import History
from stopline.model.prices import PriceBatch, Quote
from stopline.model.wire import validate

from ..make import equity, fill, trade
from ..service.world import World

SPY = equity("SPY")


@pytest.fixture
def world() -> World:
    """An account that closed 10 shares at 99.8 against a mark of 100, a second after it was told to."""
    made = World()
    made.open_account()
    app, _ = made.instance()
    app.recorder.record([trade(1, 10, 100, instrument=SPY)], "m-1")
    app.marker.mark(PriceBatch("feed", made.clock.now(), {"SPY": Quote(100, 99.9, 100.1, 0.2)}, ()))
    made.wait(7)
    facts = {
        "request_id": "r",
        "account": "demo",
        "urgency": "now",
        "rule": "test",
        "reason": "x",
        "cause": "c",
    }
    app.closer.ask(validate(CloseRequest, {**facts, "requested_at": made.clock.now().isoformat()}))
    [close] = [o for o in made.bus.bodies("orders") if o["action"] == "close"]
    made.wait(1)
    sold = {"instrument": SPY, "order_id": close["command_id"], "executed_at": made.clock.now()}
    app.recorder.record([trade(2, -10, "99.8", fee="0.05", **sold)], "m-2")
    app.closer.advance("demo")
    for body in made.bus.bodies("history"):
        app.history.append(validate(History, body).rows, made.clock.now())
    return made


def run(world: World, *arguments: str) -> Result:
    app, _ = world.instance()
    return CliRunner().invoke(main, ["executions", *arguments], obj=lambda: app)


def test_the_log_has_requested_against_filled(world: World) -> None:
    """R7.2."""
    [row] = json.loads(run(world, "demo", "--json").stdout)
    assert (row["requested_quantity"], row["filled_quantity"], row["status"]) == ("10", "10", "filled")
    assert (row["requested_price"], row["filled_price"]) == ("100", "99.8")
    assert (row["slippage_money"], row["slippage_bps"]) == ("2", "20")
    assert (row["delay_s"], row["retries"], row["fees"]) == ("1", 0, "0.05")
    assert (row["market"], row["quote_age_s"]) == ("open", "7")
    assert (row["order_type"], row["limit_price"], row["spread"], row["iv"]) == ("MARKET", None, "0.2", "0.2")
    assert (row["filled_pct"], row["broker"], row["side"], row["error"]) == ("100", "paper", "SELL", "")
    shown = run(world, "demo").stdout
    assert "SPY" in shown
    assert "99.8" in shown


@pytest.mark.parametrize(("by", "key"), [("symbol", "SPY"), ("broker", "paper"), ("hour", 12)])
def test_sums_by_symbol_broker_and_hour(world: World, by: str, key: str | int) -> None:
    """R7.2, issue 7.3: hours are the account's own."""
    [one] = json.loads(run(world, "demo", "--by", by, "--json").stdout)
    assert (one[by], one["commands"], one["slippage_bps"], one["delay_s"]) == (key, 1, "20", "1")
    assert by in run(world, "demo", "--by", by).stdout


def test_all_accounts_and_no_account(world: World) -> None:
    assert len(json.loads(run(world, "--json").stdout)) == 1
    [one] = json.loads(run(world, "--days", "1", "--by", "symbol", "--by", "hour", "--json").stdout)
    assert (one["symbol"], one["hour"]) == ("SPY", 17)
    result = run(world, "nobody")
    assert result.exit_code != 0
    assert "there is no account" in result.stderr


def test_older_ones_than_asked_for_are_left_out(world: World) -> None:
    world.wait(3 * 86_400)
    assert json.loads(run(world, "demo", "--days", "2", "--json").stdout) == []


@pytest.mark.parametrize(
    ("kind", "price", "quantity", "now"),
    [
        ("CORRECT", "99.5", 10, ("10", "99.5", "5")),
        ("CORRECT", "99.8", 4, ("4", "99.8", "0.8")),
        ("BUST", 0, 0, ("0", None, None)),
    ],
    ids=["price", "units", "taken back"],
)
def test_what_a_broker_corrects_or_takes_back_is_in_the_log(
    world: World, kind: str, price: str | int, quantity: int, now: tuple[str | None, ...]
) -> None:
    """R7.2, R8.6: the newest row of a command holds, also where it has no more fills, or fewer units."""
    app, _ = world.instance()
    world.wait(1)
    more = {"kind": kind, "ref": "E-2", "instrument": SPY}
    app.recorder.record([fill("X-1", "SELL", quantity, price, world.clock.now(), **more)], "m-3")
    app.closer.advance("demo")
    for body in world.bus.bodies("history"):
        app.history.append(validate(History, body).rows, world.clock.now())
    [row] = json.loads(run(world, "demo", "--json").stdout)
    assert (row["filled_quantity"], row["filled_price"], row["slippage_money"]) == now
    assert row["revision"] == 2
    app.closer.advance("demo")
    rows = [r for b in world.bus.bodies("history") for r in b["rows"] if r["table"] == "executions"]
    assert len({r["event_id"] for r in rows}) == 2, "nothing has changed since"
