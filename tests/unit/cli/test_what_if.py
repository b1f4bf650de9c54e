"""`stopline replay --what-if`: the same day with and without exits; and `stopline strategy`."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stopline.cli.main import main
from stopline.model.prices import PriceBatch, Quote
from stopline.runtime.embedded import Embedded

from ..make import NOON, account, at, trade

PRICES = [100, 101, 103, 104, 104, 103.5, 102.9, 102.8, 102, 101, 99, 97, 96, 95]
TRAIL = ["--exit", "trades.trail.by=percent", "--exit", "trades.trail.amount=1%"]


@pytest.fixture
def day(tmp_path: Path) -> list[str]:
    """Ten shares bought at 100, sold at 95; a fee of 1 each time."""
    prices, fills = tmp_path / "p.csv", tmp_path / "f.csv"
    write(prices, ["time", "symbol", "last"], [[minute(n), "SPY", p] for n, p in enumerate(PRICES)])
    head = ["time", "symbol", "side", "quantity", "price", "fee"]
    write(fills, head, [[minute(0), "SPY", "BUY", 10, 100, 1], [minute(13), "SPY", "SELL", 10, 95, 1]])
    return ["replay", "--what-if", "--json", "--prices", str(prices), "--fills", str(fills)]


def minute(n: int) -> str:
    return f"2026-11-18 10:{n:02d}"


def write(path: Path, head: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])


def what_if(arguments: list[str]) -> dict[str, tuple[str, str, str]]:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return {
        x["what"]: (x["without"], x["with"], x["difference"]) for x in json.loads(result.output)["compared"]
    }


def test_a_stop_closes_its_own_trade_of_two_in_one_position(tmp_path: Path) -> None:
    """R4.5: bought 100 at 100 and 100 at 110, sold at 112. The second one's stop of 2 % goes at 107: 1,200 - 300."""
    prices, fills = tmp_path / "p.csv", tmp_path / "f.csv"
    path = [109, 110, 110, 110, 107, 107, 107, 110, 112, 112]
    write(prices, ["time", "symbol", "last"], [[minute(n), "SPY", p] for n, p in enumerate(path)])
    head = ["time", "symbol", "side", "quantity", "price", "order_id"]
    rows = [[0, "BUY", 100, 100, "o1"], [1, "BUY", 100, 110, "o2"], [9, "SELL", 200, 112, "o3"]]
    write(fills, head, [[minute(n), "SPY", *row] for n, *row in rows])
    arguments = ["replay", "--what-if", "--json", "--prices", str(prices), "--fills", str(fills)]
    found = what_if([*arguments, "--exit", "trades.stop_loss=2%"])
    assert found["realised"] == ("1400", "900", "-500")
    assert found["open positions"][1] == "0"


def test_the_same_day_with_and_without_a_trailing_stop(day: list[str]) -> None:
    """R7.5, issue 7 point 7. The best price that two readings confirm is 104: stop 102.96, confirmed at 102.8."""
    found = what_if(day + TRAIL)
    assert found["realised"] == ("-50", "28", "78")
    assert found["fees"] == (
        "2",
        "1",
        "-1",
    )  # the broker of the what-if takes none; the sale of the past is left out
    assert found["equity"] == ("99948", "100027", "79")
    assert found["exits"] == ("0", "1", "1")


@pytest.mark.parametrize("more", [[], ["--exit", "strategies.default.trades.auto_close=true"]])
def test_without_what_if_exits_only_tell(day: list[str], more: list[str]) -> None:
    """R7.5: nobody executes, so nothing is asked for, and nothing is said to be stuck."""
    exits = ["--exit", "trades.stop_loss=2%", "--exit", "strategies.default.max_loss=20"]
    result = CliRunner().invoke(main, [a for a in [*day, *exits, *more] if a != "--what-if"])
    assert result.exit_code == 0, result.output
    kinds = [alert["kind"] for alert in json.loads(result.output)["alerts"]]
    assert {"exit", "strategy_stopped"} <= set(kinds)
    assert {"exit_stuck", "closing_stuck", "closing_waits", "closed"}.isdisjoint(kinds)


def test_a_scale_out_leaves_its_part_to_the_sale_of_the_past(day: list[str]) -> None:
    """R4.3, R7.5: R is 2; half goes at 1R, confirmed at 104; the past sells the other 5 at 95 for half the fee."""
    exits = ["--exit", "trades.stop_loss=@90"]
    file = Path(day[4]).parent / "a.yaml"
    file.write_text(
        "account: replay\nowner: ann\ncurrency: USD\ncapital: 100000\n"
        "exits: {trades: {scale_out: [{at: 3%, close: 50}]}}\n"
    )
    found = what_if([*day, "--account", str(file), *exits])
    assert found["realised"] == ("-50", "-5", "45")
    assert found["fees"] == ("2", "1.5", "-0.5")


def test_a_stopped_strategy_opens_nothing_more(day: list[str]) -> None:
    """R4.1, R7.5: 10 shares lose 40 at 96; what the past buys after that is not bought."""
    fills = Path(day[6])
    head = ["time", "symbol", "side", "quantity", "price", "strategy"]
    rows = [[minute(0), "SPY", "BUY", 10, 100, "swing"], [minute(13), "SPY", "BUY", 10, 95, "swing"]]
    write(fills, head, rows)
    found = what_if([*day, "--exit", "strategies.swing.max_loss=30"])
    assert found["fills"] == ("2", "2", "0")
    assert found["realised"] == ("0", "-40", "-40")
    assert found["open positions"] == ("1", "0", "-1")


def test_without_a_setting_both_runs_are_the_same(day: list[str]) -> None:
    assert {difference for _, _, difference in what_if(day).values()} == {"0"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stop_loss=2%", "--exit takes SETTING=VALUE"),
        ("trades.stop_loss", "--exit takes SETTING=VALUE"),
        ("trades.stopp_loss=2%", "stopp_loss"),
        ("trades.stop_loss=much", "must be a distance"),
    ],
)
def test_a_setting_that_is_none_is_refused_in_one_line(day: list[str], text: str, fault: str) -> None:
    result = CliRunner().invoke(main, [*day, "--exit", text])
    assert result.exit_code == 2
    assert fault in result.output
    assert "Traceback" not in result.output


# --- several values ---


def test_several_values_of_a_setting_stand_side_by_side(day: list[str]) -> None:
    """R7.5: which trailing distance would have been best that day; each column is the run with that value alone."""
    varied = [*TRAIL, "--vary", "trades.trail.amount=1%,2%,10%"]
    result = CliRunner().invoke(main, [*day, *varied])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert (found["setting"], found["values"]) == ("trades.trail.amount", ["1%", "2%", "10%"])
    numbers = {row.pop("what"): row for row in found["compared"]}
    for value in found["values"]:
        alone = what_if([*day, *TRAIL, "--exit", f"trades.trail.amount={value}"])
        assert {what: (row["without"], row[value]) for what, row in numbers.items()} == {
            what: (without, with_) for what, (without, with_, _) in alone.items()
        }
    assert [numbers["realised"][v] for v in ("1%", "2%", "10%")] == ["28", "-10", "-50"]


def test_the_documented_line_with_several_values_runs_as_it_stands(
    day: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7.5: the setting that is varied is one that the others need."""
    text = (Path(__file__).parents[3] / "docs" / "replay.md").read_text(encoding="utf-8")
    [line] = [x for x in text.splitlines() if x.startswith("stopline replay") and "--vary" in x]
    Path(day[4]).rename(Path(day[4]).with_name("bars.csv"))
    Path(day[6]).rename(Path(day[6]).with_name("fills.csv"))
    monkeypatch.chdir(Path(day[4]).parent)
    result = CliRunner().invoke(main, [*shlex.split(line)[1:], "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["values"] == ["1%", "2%", "3%"]
    [realised] = [row for row in found["compared"] if row["what"] == "realised"]
    assert (realised["without"], realised["1%"]) == ("-50", "28")


def test_how_it_is_closed_is_varied_like_an_exit(day: list[str]) -> None:
    """Point 7: of the account, of all trades or of a strategy. From 102.8 on the spread is 6: at the market 10 go at 99.8; a
    limit 1 % below 102.8 is not reached, and a minute later it is urgent: at 99.
    """
    rows = [
        [minute(n), "SPY", p - wide, p + wide] for n, p in enumerate(PRICES) for wide in [3 if n > 6 else 0.1]
    ]
    write(Path(day[day.index("--prices") + 1]), ["time", "symbol", "bid", "ask"], rows)
    settings = [*TRAIL, "--exit", "trades.closing.collar_max_pct=1"]
    at_market = ["--exit", "strategies.default.trades.closing.exit_order=MARKET"]
    alone = [what_if([*day, *settings, *some])["realised"] for some in ([], at_market)]
    assert alone == [("-50", "-10", "40"), ("-50", "-2", "48")]
    varied = ["--vary", "strategies.default.trades.closing.exit_order=LIMIT,MARKET"]
    result = CliRunner().invoke(main, [*day, *settings, *varied])
    numbers = {row.pop("what"): row for row in json.loads(result.output)["compared"]}
    assert numbers["realised"] == {"account": "replay", "without": "-50", "LIMIT": "-10", "MARKET": "-2"}


def test_several_values_for_people(day: list[str]) -> None:
    text = (
        CliRunner()
        .invoke(main, [a for a in day if a != "--json"] + [*TRAIL, "--vary", "trades.target=1%,4%"])
        .output
    )
    assert "what if, by trades.target" in text
    assert "4%" in text


@pytest.mark.parametrize(
    "vary", ["trades.target=1%", "trades.target=1%,1%", "trades.target", "=1%,2%", "trades.target=1%,,2%"]
)
def test_values_that_cannot_be_varied_are_refused_in_one_line(day: list[str], vary: str) -> None:
    result = CliRunner().invoke(main, [*day, "--vary", vary])
    assert result.exit_code == 2
    assert "--vary takes SETTING=VALUE,VALUE" in result.output
    assert result.output.count("\n") == 1


def test_values_are_for_a_what_if(day: list[str]) -> None:
    result = CliRunner().invoke(
        main, [a for a in day if a != "--what-if"] + ["--vary", "trades.target=1%,2%"]
    )
    assert result.exit_code == 2
    assert "--vary needs --what-if" in result.output


@pytest.mark.parametrize(
    "more", [["--exit", "strategies.nosuch.max_loss=30"], ["--vary", "strategies.nosuch.max_loss=3,4"]]
)
def test_exits_of_a_strategy_that_no_fill_is_of_are_refused_by_name(day: list[str], more: list[str]) -> None:
    """Issue 7.7: they would change nothing, and look as if nothing had to be changed."""
    result = CliRunner().invoke(main, [*day, *more])
    assert result.exit_code == 2
    assert "no fill is of strategy 'nosuch'; there are default" in result.output
    assert result.output.count("\n") == 1


# --- stopline strategy ---


@pytest.fixture
def desk() -> Embedded:
    made = Embedded(NOON)
    exits = {"strategies": {"condors": {"giveback": "30", "confirm": 1}}}
    made.app.account_writer.create(account(exits=exits), "ann")
    fills = [
        trade(0, 10, 100, strategy="condors", fee="1", fee_currency="USD"),
        trade(1, -4, 110, strategy="condors"),
    ]
    made.app.recorder.record(fills, "m-1")
    made.clock.set(at(5))
    made.app.marker.mark(PriceBatch("feed", at(5), {"SPY": Quote(120.0)}, ()))
    return made


def run(desk: Embedded, *arguments: str) -> Any:
    return CliRunner().invoke(main, ["strategy", *arguments], obj=lambda: desk.app)


def test_a_strategy_in_one_answer(desk: Embedded) -> None:
    """R4.6: total MTM, realised, unrealised, peak, trailing stop, trades, active flag."""
    summary = json.loads(run(desk, "condors", "--account", "demo", "--json").output)
    assert {
        key: summary[key] for key in ("total", "realised", "unrealised", "mtm", "peak", "trailing_stop")
    } == {
        "total": "159",
        "realised": "39",
        "unrealised": "120",
        "mtm": "159",
        "peak": "159",
        "trailing_stop": "111.3",
    }
    assert (summary["active"], summary["open_trades"], summary["total_trades"]) == (True, 1, 1)
    assert [t["status"] for t in summary["trades"]] == ["OPEN"]


def test_a_strategy_for_people(desk: Embedded) -> None:
    """R4.6."""
    text = run(desk, "condors").output
    assert "strategy condors of account demo: active" in text
    assert "MTM 159, peak 159, stop 111.3 by trailing stop" in text


def test_a_strategy_without_fresh_prices_shows_its_mtm_as_unknown_and_what_was_known_last(
    desk: Embedded,
) -> None:
    """R4.1, R4.6: a number of before is never shown as one of now."""
    desk.clock.set(at(120))
    desk.app.marker.evaluate({"demo"}, desk.clock.now(), "sweep", force=True)
    text = run(desk, "condors").output
    assert "exits: MTM unknown, peak 159, stop 111.3 by trailing stop" in text
    assert (
        "exits are paused, no fresh price of all its positions: last known MTM 159, of 2026-11-18T17:00:05Z"
        in text
    )
    summary = json.loads(run(desk, "condors", "--account", "demo", "--json").output)
    assert (summary["mtm"], summary["paused"], summary["last_mtm"]) == (None, True, "159")
    shown = CliRunner().invoke(main, ["accounts", "show", "demo"], obj=lambda: desk.app).output
    assert "paused: last known MTM 159" in " ".join(shown.split())


def test_a_strategy_without_exits_on_its_mtm_says_so(desk: Embedded) -> None:
    desk.app.recorder.record([trade(6, 1, 50, strategy="other")], "m-2")
    assert "exits: none on its MTM" in run(desk, "other").output


def test_a_strategy_that_nobody_knows_is_one_line(desk: Embedded) -> None:
    result = run(desk, "nothing")
    assert result.exit_code == 2
    assert "there is no strategy 'nothing' in any account" in result.output
