"""stopline check and stopline size: the API's answers at the keyboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main
from stopline.model.fill import Fill
from stopline.model.prices import PriceBatch, Quote
from stopline.runtime.embedded import Embedded

from ..make import NOON, account, raw_fill

ORDER = {
    "legs": [{"instrument": {"symbol": "SPY", "kind": "equity", "currency": "USD"}, "side": "BUY"}],
    "quantity": "95",
    "stop": "95",
}


@pytest.fixture
def world() -> Embedded:
    made = Embedded(NOON)
    made.app.account_writer.create(account(), "ann")
    made.app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
    made.app.marker.mark(PriceBatch("feed", NOON, {"SPY": Quote(100.0)}, ()))
    return made


def run(world: Embedded, folder: Path, command: str, body: Any, *more: str) -> Result:
    path = folder / "order.json"
    path.write_text(body if isinstance(body, str) else json.dumps(body), "utf-8")
    return CliRunner().invoke(main, [command, "demo", str(path), *more], obj=lambda: world.app)


def test_a_refusal_says_why_and_what_would_pass(world: Embedded, tmp_path: Path) -> None:
    """R2.6."""
    found = run(world, tmp_path, "check", ORDER)
    assert found.exit_code == 1
    assert found.stdout.splitlines() == [
        "refused: 95 (largest that passes: 90)",
        "loss 570 USD",
        "- max_position_value SPY: position value would be beyond its limit (current 1%, limit 10%, after 10.5%)",
    ]


def test_an_order_for_an_option_in_its_own_coin_is_refused(world: Embedded, tmp_path: Path) -> None:
    """R1.5, R2.6: nobody could say what it risks."""
    terms = {"symbol": "BTC-27NOV26-100000-C", "kind": "option", "currency": "BTC", "underlying": "BTC-USD"}
    coin = {**terms, "expiry": "2026-11-27", "strike": "100000", "right": "C"}
    legs = [{"instrument": coin, "side": "SELL"}]
    found = run(world, tmp_path, "check", {"legs": legs, "quantity": "1"})
    assert found.exit_code not in (0, 1)
    assert "BTC-27NOV26-100000-C is paid in BTC, which it is on" in found.stderr


def test_an_approval_exits_with_0(world: Embedded, tmp_path: Path) -> None:
    """R2.6."""
    found = run(world, tmp_path, "check", {**ORDER, "quantity": "90"}, "--json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["approved"]


def test_a_size_is_told_with_its_steps(world: Embedded, tmp_path: Path) -> None:
    """R3.1, R3.2."""
    found = run(world, tmp_path, "size", {"order": {**ORDER, "stop": "51"}, "signal": "0.5"})
    assert found.exit_code == 0, found.stderr
    assert found.stdout.splitlines()[:2] == [
        "size 10 by fixed_fractional, signal x 0.5, trading state x 1",
        "approved: 10 (largest that passes: 59)",
    ]
    none = run(world, tmp_path, "size", {"order": ORDER, "method": "kelly", "win_rate": "0.3", "payoff": "1"})
    assert none.exit_code == 1
    assert "no edge" in none.stdout


def test_what_reduces_needs_no_size_and_says_so(world: Embedded, tmp_path: Path) -> None:
    """R3.1: 10 shares are held: their sale has no stop, and no risk to size by."""
    sale = {"legs": [{**ORDER["legs"][0], "side": "SELL"}], "quantity": "1"}  # type: ignore[index,dict-item]
    found = run(world, tmp_path, "size", {"order": sale})
    assert found.exit_code == 1
    assert found.stdout.splitlines()[1] == "it reduces what is held, and needs no size: up to 10 pass"


@pytest.mark.parametrize("body", ["{", '{"legs": []}', '{"quantity": 5}'])
def test_a_bad_file_is_one_line_and_exit_2(world: Embedded, tmp_path: Path, body: str) -> None:
    found = run(world, tmp_path, "check", body)
    assert found.exit_code == 2
    assert found.stderr.count("\n") == 1
    assert "order.json" in found.stderr
