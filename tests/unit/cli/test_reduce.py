"""`stopline reduce`: a preview that sends nothing, and the same plan carried out through the closings."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main
from stopline.model.prices import PriceBatch, Quote

from ..make import NOON, option, trade
from ..service.world import World

SHORT, LONG = option(6000), option(5990)


@pytest.fixture
def world() -> World:
    made = World()
    made.open_account()
    app, _ = made.instance()
    fills = [
        trade(-2, -10, 10, instrument=SHORT, group_id="G"),
        trade(-1, 10, 8, instrument=LONG, group_id="G"),
    ]
    app.recorder.record(fills, "m-1")
    quotes = {SHORT.symbol: Quote(10, 9.9, 10.1), LONG.symbol: Quote(8, 7.9, 8.1)}
    app.marker.mark(PriceBatch("feed", NOON, quotes, ()))
    made.bus.messages.clear()
    return made


def run(world: World, *arguments: str, answer: str = "") -> Result:
    app, _ = world.instance()
    return CliRunner().invoke(main, ["reduce", "demo", *arguments], obj=lambda: app, input=answer)


def test_the_preview_shows_the_orders_and_sends_nothing(world: World) -> None:
    """Issue 7.4."""
    result = run(world, "--to", "4500")
    assert result.exit_code == 0
    assert "margin: 10,000.00 -> 4,000.00 USD, target 4,500.00" in result.output
    assert f"BUY 6 {SHORT.symbol}, SELL 6 {LONG.symbol}" in result.output
    assert world.bus.bodies("orders") == []


def test_what_was_shown_is_carried_out_after_a_question(world: World) -> None:
    no = run(world, "--to", "4500", "--execute", answer="n\n")
    assert no.exit_code != 0
    assert world.bus.bodies("orders") == []
    yes = run(world, "--to", "4500", "--execute", answer="y\n")
    assert yes.exit_code == 0, yes.output
    [close] = [o for o in world.bus.bodies("orders") if o["action"] == "close"]
    assert (close["side"], close["quantity"], close["group_id"]) == ("BUY", "6", "G")


def test_json_is_the_plan(world: World) -> None:
    plan = json.loads(run(world, "--by", "heat", "--to", "0", "--json").output)
    assert (plan["before"], plan["after"], plan["reached"]) == ("8000", "0", True)
    assert plan["steps"][0]["leave"] == "0"


@pytest.mark.parametrize("money", ["-1", "much", "NaN"])
def test_a_target_that_is_no_money_is_refused(world: World, money: str) -> None:
    assert run(world, "--to", money).exit_code == 2


def test_a_target_that_cannot_be_reached_is_a_failure(world: World) -> None:
    world.wait(120)  # the prices are stale
    result = run(world, "--to", "0")
    assert result.exit_code == 1
    assert "left out" in result.output
