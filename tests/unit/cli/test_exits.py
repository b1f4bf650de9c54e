"""`stopline exits`: what holds for each trade, and changes that say first what they would close."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main
from stopline.model.prices import PriceBatch, Quote
from stopline.runtime.embedded import Embedded

from ..make import NOON, account, at, trade


@pytest.fixture
def desk() -> Embedded:
    """Ten bought at 100 that are at 104."""
    made = Embedded(NOON)
    made.app.account_writer.create(account(exits={"trades": {"stop_loss": "5%"}}), "ann")
    made.app.recorder.record([trade(0, 10, 100)], "m-1")
    made.clock.set(at(5))
    made.app.marker.mark(PriceBatch("feed", at(5), {"SPY": Quote(104.0)}, ()))
    return made


def run(desk: Embedded, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["exits", "demo", *arguments], obj=lambda: desk.app)


def first_eight(desk: Embedded) -> str:
    [id_] = json.loads(run(desk, "--json").output)["trades"]
    return str(id_)[:8]


def test_what_holds_is_shown_with_ids_that_a_change_takes(desk: Embedded) -> None:
    """Issue 7.7."""
    text = run(desk).output
    assert 'version 1: {"trades": {"stop_loss": "5%"}' in text
    assert first_eight(desk) in text
    changed = run(desk, "--trade", first_eight(desk), "stop_loss=@101", "confirm=1", "target=2R")
    assert changed.exit_code == 0, changed.output
    assert "version 2 of account demo" in changed.output
    [trade_] = json.loads(run(desk, "--json").output)["trades"].values()
    assert (trade_["plan"]["stop_loss"], trade_["plan"]["confirm"]) == ("@101", 1)


def test_a_preview_shows_levels_and_changes_nothing(desk: Embedded) -> None:
    text = run(desk, "stop_loss=@105", "--preview").output
    assert "preview, nothing is changed" in text
    assert [word in text for word in ("95", "105", "stop_loss")] == [True] * 3
    assert json.loads(run(desk, "--json").output)["version"] == 1


def test_what_would_close_at_once_has_to_be_meant(desk: Embedded) -> None:
    """R4.2."""
    refused = run(desk, "stop_loss=@105")
    assert refused.exit_code == 2
    assert "would close SPY" in refused.output
    assert "say close_now" in refused.output
    assert run(desk, "stop_loss=@105", "--close-now").exit_code == 0


def test_settings_of_a_strategy_and_inheriting_again(desk: Embedded) -> None:
    made = run(desk, "--strategy", "default", "giveback=30", 'trades.lock_in=[{"at":"6%","keep":"2%"}]')
    assert made.exit_code == 0, made.output
    settings = json.loads(run(desk, "--json").output)["settings"]["strategies"]["default"]
    assert (settings["giveback"], settings["trades"]["lock_in"]) == ("30", [{"at": "6%", "keep": "2%"}])
    assert run(desk, "--strategy", "default", "trades=").exit_code == 0
    assert (
        "lock_in" not in json.loads(run(desk, "--json").output)["settings"]["strategies"]["default"]["trades"]
    )


def test_a_strategy_that_never_traded_is_taken_and_named(desk: Embedded) -> None:
    assert (
        "note: no fill is of strategy 'defualt' yet; there are default"
        in run(desk, "--strategy", "defualt", "giveback=30").output
    )
    assert "note" not in run(desk, "--strategy", "default", "giveback=30").output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["stop_loss"], "takes SETTING=VALUE"),
        (["lock_in=[1"], "is not JSON"),
        (["stop_loss=2", "stop_loss.by=2"], "stop_loss is set twice"),
        (["stop_loss=2percent"], "must be a distance such as"),
        (["target=5%", "--trade", "abc"], "no open trade 'abc'"),
        (["target=5%", "--trade", "x", "--strategy", "y"], "name one"),
    ],
)
def test_what_cannot_be_used_is_one_line(desk: Embedded, given: list[str], said: str) -> None:
    result = run(desk, *given)
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("\n") == 1
