"""`stopline publish` and `accounts set`: a desk on this machine without curl."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main
from stopline.model.times import parse_utc
from stopline.runtime.embedded import Embedded

START = parse_utc("2026-11-20T15:00:00Z")
FILL = {
    "type": "stopline.fill.v1",
    "fill_id": "E1",
    "broker": "paper",
    "account": "demo",
    "side": "BUY",
    "instrument": {"symbol": "SPY", "kind": "equity", "currency": "USD"},
    "quantity": "10",
    "price": "600",
    "executed_at": "2020-01-01T00:00:00Z",
}
Stopline = Callable[..., Result]


@pytest.fixture
def world() -> Embedded:
    return Embedded(START)


@pytest.fixture
def stopline(world: Embedded) -> Stopline:
    def run(*args: str, **more: str) -> Result:
        return CliRunner().invoke(main, list(args), obj=lambda: world.app, **more)

    run("accounts", "create", "demo", "--capital", "100000")
    return run


def test_a_fill_and_prices_of_now_make_a_position_with_a_price(
    stopline: Stopline, world: Embedded, tmp_path: Path
) -> None:
    """R1.6: by hand, as a broker and a feed do."""
    file = tmp_path / "fill.json"
    file.write_text(json.dumps(FILL))
    assert stopline("publish", "fills", str(file), "--now").stdout.startswith("published on fills: message ")
    prices = {"type": "stopline.prices.v1", "source": "feed", "symbols": ["SPY"], "last": [601.0]}
    result = stopline("publish", "prices", "-", "--now", "--json", input=json.dumps(prices))
    assert json.loads(result.stdout)["topic"] == "prices"
    world.run()
    shown = json.loads(stopline("accounts", "show", "demo", "--json").stdout)
    assert [(p["symbol"], p["mark"]) for p in shown["positions"]] == [("SPY", "601")]


@pytest.mark.parametrize(
    ("text", "words"), [("{", ["fills"]), ("[]", ["sweeps"]), ("{}", ["fills", "--now"])]
)
def test_what_is_no_message_is_not_published(stopline: Stopline, text: str, words: list[str]) -> None:
    extra = ["--broker", "ibkr"] if "--now" in words else []
    assert stopline("publish", words[0], "-", *words[1:], *extra, input=text).exit_code == 2


def test_settings_are_changed_by_name(stopline: Stopline, world: Embedded) -> None:
    """R2.11: versioned; null is the default again."""
    done = stopline(
        "accounts", "set", "demo", "limits.max_daily_loss=2.5", "activity.loss_pct=null",
        'activity.pauses=["repeats"]', "note=a desk",
    )  # fmt: skip
    assert (done.exit_code, done.stdout) == (0, "account demo is at version 2\n")
    account = world.app.accounts.require("demo")
    assert account.limits["max_daily_loss"].limit == Decimal("2.5")
    assert (account.activity.pauses, account.note) == (("repeats",), "a desk")


def test_what_loosens_much_waits_for_a_second_person(stopline: Stopline, world: Embedded) -> None:
    """R2.11: one login is one person."""
    words = ("accounts", "set", "demo", "limits.max_daily_loss=9")
    first = stopline(*words)
    assert "a second person must send the same" in first.stdout, first.stderr
    assert stopline(*words).exit_code == 2
    assert world.app.accounts.require("demo").version == 1


@pytest.mark.parametrize(
    "change", ["nothing", "=1", "a..b=1", "no_such=1", "capital=5", "limits=1", "note=x note.a=1"]
)
def test_a_setting_that_cannot_be_is_refused(stopline: Stopline, world: Embedded, change: str) -> None:
    assert stopline("accounts", "set", "demo", *change.split()).exit_code == 2
    assert world.app.accounts.require("demo").version == 1
