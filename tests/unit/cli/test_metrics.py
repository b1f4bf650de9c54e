"""stopline metrics and stopline var: what they read, what they answer, what they say about a bad file."""

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main
from stopline.risk import performance
from stopline.risk.var import filtered, historical

RETURNS = [0.02, -0.01, 0.03, -0.05, 0.01, 0.04, -0.02, 0.0, 0.01, -0.03] * 12


def run(args: Sequence[str], content: str | bytes, tmp_path: Path) -> Result:
    path = tmp_path / "returns.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CliRunner().invoke(main, [args[0], str(path), *args[1:]])


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def lines(values: Sequence[float], head: str = "returns") -> str:
    return "\n".join([head, *map(str, values)]) + "\n"


def test_metrics_are_those_of_the_library(tmp_path: Path) -> None:
    """R2.7"""
    found = answer(run(["metrics", "--periods", "12", "--rf", "0.03"], lines(RETURNS), tmp_path))
    measures = found["measures"]
    assert found["n"] == 120
    assert measures["sharpe"] == pytest.approx(performance.sharpe(RETURNS, 1.03 ** (1 / 12) - 1, 12))
    assert measures["calmar"] == pytest.approx(performance.calmar(RETURNS, 12))
    assert measures["win_rate"] == pytest.approx(5 / 9)
    assert measures["var"] == historical(RETURNS, 0.95).var
    assert found["unknown"] == {}
    assert found["worst_drawdown"]["depth"] == measures["max_drawdown"]


def test_metrics_say_why_there_is_no_answer(tmp_path: Path) -> None:
    found = answer(run(["metrics"], lines([0.01, 0.02]), tmp_path))
    assert found["measures"]["sortino"] is None
    assert found["unknown"]["sortino"].startswith("no return is below")
    assert found["measures"]["max_drawdown"] == 0
    assert found["worst_drawdown"] is None
    one = answer(run(["metrics"], "0.01", tmp_path))
    assert one["n"] == 1
    assert one["measures"]["volatility"] is None


@pytest.mark.parametrize("command", ["metrics", "var"])
@pytest.mark.parametrize("hole", ["", '""', "   "])
def test_a_hole_in_a_file_of_one_column_is_not_closed(command: str, hole: str, tmp_path: Path) -> None:
    """I7: pandas writes a missing return of a series so; a line at the end, or before the head, is none."""
    result = run([command], f"returns\n0.01\n{hole}\n0.02\n", tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "line 3, column 'returns': there is no number" in result.stderr
    assert answer(run([command], "\nreturns\n0.01\n0.02\n\n\n", tmp_path))["n"] == 2


def test_lines_of_the_worst_drawdown(tmp_path: Path) -> None:
    found = answer(run(["metrics"], lines([0.1, -0.1, -0.1, 0.3, -0.1]), tmp_path))["worst_drawdown"]
    assert (found["peak_line"], found["trough_line"], found["recovery_line"]) == (2, 4, 5)
    first = answer(run(["metrics"], lines([-0.1, 0.05]), tmp_path))["worst_drawdown"]
    assert (first["peak_line"], first["trough_line"], first["recovery_line"]) == (None, 2, None)


@pytest.mark.parametrize(
    ("args", "content"),
    [
        ([], "0.01\n-0.02\n"),
        ([], "1%\n-2%\n"),
        ([], "\ufeffReturns\r\n0.01\r\n-0.02\r\n\r\n"),
        ([], "date,returns\n2026-01-02,0.01\n2026-01-05,-0.02\n"),
        (["--column", "STRATEGY"], "date,strategy,market\na,0.01,x\nb,-0.02,y\n"),
        (["--column", "2"], "date,strategy\na,0.01\nb,-0.02\n"),
        (["--column", "2"], "1,0.01\n2,-0.02\n"),
    ],
)
def test_the_ways_to_give_a_column(args: list[str], content: str, tmp_path: Path) -> None:
    assert answer(run(["metrics", *args], content, tmp_path))["measures"]["expectancy"] == pytest.approx(
        -0.005
    )


def test_standard_input() -> None:
    result = CliRunner().invoke(main, ["metrics", "-"], input="0.01\n-0.02\n")
    assert answer(result)["n"] == 2
    bad = CliRunner().invoke(main, ["var", "-"], input=b"\xff\xfe")
    assert bad.exit_code == 2
    assert "standard input: not UTF-8 text" in bad.stderr


@pytest.mark.parametrize(
    ("args", "content", "said"),
    [
        ([], "returns\n0.01\nabc\n", "line 3, column 'returns': 'abc' is not a number"),
        ([], "returns\n0.01\nnan\n", "line 3, column 'returns': 'nan' is not a number"),
        ([], "returns\n0.01\n1_0\n", "'1_0' is not a number"),
        ([], "date,returns\na,0.01\nb,\n", "line 3, column 'returns': there is no number"),
        ([], "date,returns\na,0.01\nb\n", "line 3, column 'returns': there is no number"),
        ([], "returns\n0.01\n-1.5\n", "line 3: the return -1.5 is below -100 %"),
        ([], "a,b\n1,2\n", "say which column with --column; there are a, b"),
        (["--column", "c"], "a,b\n1,2\n", "there is no column 'c'; there are a, b"),
        (["--column", "a"], "a,a\n1,2\n", "there are 2 columns 'a'"),
        ([], "", "the file is empty"),
        ([], "returns\n", "there are no returns under the head"),
        ([], b"\xff\xfe\x00", "not UTF-8 text"),
        (["--periods", "0"], "0.1\n0.2\n", "--periods was 0"),
        (["--rf", "nan"], "0.1\n0.2\n", "--rf was nan"),
        (["--confidence", "95"], "0.1\n0.2\n", "confidence was 95.0"),
        ([], "1e100\n1e100\n1e100\n1e100\n", "compound to more than a float holds"),
        ([], "1\n1e308\n", "number 2 was 1e+308, too large to measure"),
    ],
)
def test_a_bad_file_is_one_line_with_its_place(
    args: list[str], content: str | bytes, said: str, tmp_path: Path
) -> None:
    result = run(["metrics", *args], content, tmp_path)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_file_that_is_not_there() -> None:
    result = CliRunner().invoke(main, ["var", "/nowhere/x.csv"])
    assert result.exit_code == 2
    assert "No such file" in result.stderr


def test_var_by_every_method_at_every_confidence(tmp_path: Path) -> None:
    """R2.7: configurable confidence."""
    found = answer(run(["var"], lines(RETURNS, "pnl"), tmp_path))
    keys = [(f["method"], f["confidence"]) for f in found["figures"]]
    methods = ["historical", "normal", "cornish-fisher", "filtered"]
    assert keys == [(m, c) for c in (0.95, 0.99) for m in methods]
    assert found["figures"][0]["var"] == historical(RETURNS, 0.95).var
    assert found["figures"][7]["es"] == filtered(RETURNS, 0.99).es
    one = answer(
        run(
            ["var", "--method", "normal", "--confidence", "0.999", "--horizon", "10"],
            lines(RETURNS),
            tmp_path,
        )
    )
    assert [(f["confidence"], f["horizon"]) for f in one["figures"]] == [(0.999, 10)]


def test_var_of_too_few_is_unknown_with_the_reason(tmp_path: Path) -> None:
    found = answer(run(["var"], lines(RETURNS[:50]), tmp_path))
    at_99 = next(f for f in found["figures"] if f["confidence"] == 0.99 and f["method"] == "historical")
    assert at_99["var"] is None
    assert "needs 100 independent observations, and there were 50" in at_99["unknown"]


@pytest.mark.parametrize(
    ("args", "said"),
    [(["--confidence", "95"], "--confidence was 95"), (["--horizon", "0"], "--horizon was 0")],
)
def test_var_settings_are_checked(args: list[str], said: str, tmp_path: Path) -> None:
    result = run(["var", *args], lines(RETURNS), tmp_path)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("command", ["metrics", "var"])
def test_json_may_be_asked_for_where_there_is_nothing_else(command: str) -> None:
    runner, given = CliRunner(), "return\n" + "0.01\n-0.02\n" * 30
    plain, asked = (runner.invoke(main, [command, "-", *more], input=given) for more in ([], ["--json"]))
    assert (plain.exit_code, asked.exit_code) == (0, 0)
    assert json.loads(plain.stdout) == json.loads(asked.stdout)


def test_bars_tell_the_range_as_well(tmp_path: Path) -> None:
    """R2.7: Parkinson's volatility and a true ATR, written again; the gap to the last close counts."""
    bars = [(100 + n % 7 + 2, 100 + n % 7 - 1.5, 100 + n % 7) for n in range(30)]
    text = "\n".join(
        ["date,high,low,close", *(f"2026-01-{n},{h},{low},{c}" for n, (h, low, c) in enumerate(bars))]
    )
    found = answer(run(["metrics", "--bars", "--periods", "250"], text, tmp_path))
    squares = [math.log(h / low) ** 2 for h, low, _ in bars]
    parkinson = math.sqrt(sum(squares) / 30 / (4 * math.log(2)) * 250)
    ranges = [bars[0][0] - bars[0][1]]
    for (_, _, last), (high, low, _) in itertools.pairwise(bars):
        ranges.append(max(high - low, abs(high - last), abs(low - last)))
    atr = sum(ranges[:14]) / 14
    for one in ranges[14:]:
        atr = (atr * 13 + one) / 14
    closes = [bar[2] for bar in bars]
    returns = [b / a - 1 for a, b in itertools.pairwise(closes)]
    measures = found["measures"]
    assert (found["n"], found["column"]) == (29, "close")
    assert measures["parkinson_volatility"] == pytest.approx(parkinson)
    assert measures["average_true_range"] == pytest.approx(atr)
    assert measures["volatility"] == pytest.approx(performance.volatility(returns, 250))
    few = answer(run(["metrics", "--bars"], "\n".join(text.splitlines()[:9]), tmp_path))
    assert few["measures"]["average_true_range"] is None
    assert "14" in few["unknown"]["average_true_range"]
    bad = run(["metrics", "--bars", "--column", "close"], text, tmp_path)
    assert (bad.exit_code, bad.stderr.count("\n")) == (2, 1)


def test_a_backtest_counts_the_days_beyond_their_forecast(tmp_path: Path) -> None:
    """R2.7: each day against the 60 before it, counted again; Kupiec's statistic by its formula."""
    pnl = [math.sin(n * n) * (3 if 150 < n < 170 else 1) for n in range(260)]
    found = answer(
        run(
            ["var", "--backtest", "60", "--confidence", "0.95", "--method", "historical"],
            lines(pnl, "pnl"),
            tmp_path,
        )
    )
    hits = [-pnl[day] > -sorted(pnl[day - 60 : day])[2] for day in range(60, 260)]
    [one] = found["backtests"]
    count = sum(hits)
    assert (one["days"], one["exceptions"], one["expected"]) == (200, count, 10)
    rate = count / 200
    ratio = -2 * ((200 - count) * math.log(0.95 / (1 - rate)) + count * math.log(0.05 / rate))
    assert one["kupiec"]["statistic"] == pytest.approx(ratio)
    both = one["kupiec"]["statistic"] + one["independence"]["statistic"]
    assert one["conditional_coverage"]["statistic"] == pytest.approx(both)
    below = sum(math.comb(200, n) * 0.05**n * 0.95 ** (200 - n) for n in range(count + 1))
    assert one["basel_zone"] == ("green" if below < 0.95 else "yellow" if below < 0.9999 else "red")


@pytest.mark.parametrize("args", [["--backtest", "0"], ["--backtest", "20", "--horizon", "2"]])
def test_a_backtest_that_cannot_be_is_bad_input(args: list[str], tmp_path: Path) -> None:
    done = run(["var", *args], lines(RETURNS), tmp_path)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_a_backtest_without_days_is_unknown_with_the_reason(tmp_path: Path) -> None:
    found = answer(run(["var", "--backtest", "500", "--method", "normal"], lines(RETURNS), tmp_path))
    assert {one["exceptions"] for one in found["backtests"]} == {None}
    assert "needs more days than 120" in found["backtests"][0]["unknown"]


def test_var_of_several_positions_says_what_each_adds(tmp_path: Path) -> None:
    """R2.7: component parts add up to the whole; a position that always loses what the other makes is a hedge; a marginal
    figure is what a hundredth more of it really adds.
    """
    parts = ["--part", "SPY", "--part", "hedge", "--part", "carry"]

    def measured(size: float) -> Any:
        rows = [
            f"{size * (100 * value + n / 1000)},{-40 * value},{0.3 if n % 7 else -0.9}"
            for n, value in enumerate(RETURNS)
        ]
        options = [*parts, "--confidence", "0.9", "--method", "historical"]
        return answer(run(["var", *options], "\n".join(["SPY,hedge,carry", *rows]), tmp_path))

    found = measured(1)
    [figure], [split] = found["figures"], found["parts"]
    assert found["column"] == "SPY + hedge + carry"
    for part, whole in (("component_var", "var"), ("component_es", "es")):
        assert sum(one[part] for one in split["columns"].values()) == pytest.approx(figure[whole])
    spy = split["columns"]["SPY"]
    assert split["columns"]["hedge"]["incremental_es"] < 0 < spy["incremental_es"]
    more = measured(1.0001)["figures"][0]
    assert (more["es"] - figure["es"]) * 100 == pytest.approx(spy["marginal_es"], rel=1e-6)
    assert (more["var"] - figure["var"]) * 100 == pytest.approx(spy["marginal_var"], rel=1e-6)


@pytest.mark.parametrize(
    "args",
    [
        ["--part", "SPY"],
        ["--part", "SPY", "--part", "spy"],
        ["--part", "SPY", "--part", "QQQ", "--column", "SPY"],
        ["--part", "SPY", "--part", "QQQ", "--horizon", "5"],
        ["--part", "SPY", "--part", "none"],
    ],
)
def test_parts_that_make_no_sense_are_refused(args: list[str], tmp_path: Path) -> None:
    result = run(["var", *args], "SPY,QQQ\n1,2\n-1,3\n", tmp_path)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["metrics", "var"])
def test_no_loss_at_all_is_not_minus_zero(command: str, tmp_path: Path) -> None:
    """R2.7: a flat series: people ask what -0.0 is."""
    done = run([command], lines([0.0] * 300), tmp_path)
    answer(done)
    assert "-0.0" not in done.stdout
