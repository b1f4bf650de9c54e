"""The page on exits: its example is taken as it stands, and every setting and algorithm is on it."""

from __future__ import annotations

import re
from pathlib import Path

from stopline.cli.account_file import make_account, read_account_file
from stopline.model.settings.exits import StrategyExits, TradeExits
from stopline.rules.exits.health import WEIGHTS
from stopline.rules.exits.plan import DEFAULTS
from stopline.rules.exits.trailing import ALGORITHMS

PAGE = (Path(__file__).parents[2] / "docs" / "exits.md").read_text("utf-8")


def test_the_example_is_an_account(tmp_path: Path) -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "demo.yaml"
    file.write_text(example, "utf-8")
    facts = {"account": "demo", "owner": "ann", "currency": "USD", **read_account_file(file)}
    account = make_account(facts)
    assert str(account.exits.trades.stop_loss) == "2%"
    assert account.exits.strategies["condors"].trades.trail == "off"


def test_every_setting_is_on_the_page() -> None:
    named = set(re.findall(r"`([a-z_]+)`", PAGE))
    missing = (TradeExits.model_fields.keys() | StrategyExits.model_fields.keys()) - named
    assert not missing
    assert ALGORITHMS.keys() <= named


def test_defaults_and_weights_are_those_of_the_rules() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
    for name in ("price_max_age_s", "confirm", "health_below"):
        assert rows[name].strip() == str(getattr(DEFAULTS, name))
    assert f"{DEFAULTS.atr_bar_s}, {DEFAULTS.atr_bars}" in PAGE
    for part, weight in WEIGHTS.items():
        assert f"| {part} | {weight} |" in PAGE
