"""stopline greeks and stopline iv: contracts in, columns added; every mistake is one line with its row."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main
from stopline.risk.american import american
from stopline.risk.options import black76, black_scholes

CHAIN = """symbol,right,spot,strike,days,iv,price,rate
A,C,6000,6010,0.25,0.14,8.1,0.043
B,PE,6000,5990,30,,80.5,0.043
C,put,6000,5000,0,0.3,0,0.043
D,CALL,6000,5000,5,0.3,900,0.043
"""


def run(*args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, args, input=stdin)


@pytest.fixture
def chain(tmp_path: Path) -> str:
    path = tmp_path / "chain.csv"
    path.write_text(CHAIN, encoding="utf-8")
    return str(path)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_greeks_are_added_and_the_rest_of_the_file_is_kept(chain: str) -> None:
    result = run("greeks", chain)
    assert result.exit_code == 0, result.stderr
    rows = table(result.stdout)
    assert list(rows[0]) == [
        *CHAIN.splitlines()[0].split(","), "model_price", "delta", "gamma", "theta", "vega", "rho",
    ]  # fmt: skip
    assert rows[0]["symbol"] == "A"
    assert rows[0]["price"] == "8.1"
    ours = black_scholes(True, 6000, 6010, 0.25 / 365, 0.14, 0.043)
    assert float(rows[0]["model_price"]) == float(ours.price)
    assert float(rows[0]["theta"]) == float(ours.theta)


def test_what_is_not_known_stays_empty_and_is_null_in_json(chain: str) -> None:
    assert table(run("greeks", chain).stdout)[1]["delta"] == ""
    plain = json.loads(run("greeks", "--json", chain).stdout)
    assert plain["model"] == "black_scholes_merton"
    assert plain["contracts"][1]["delta"] is None
    assert plain["contracts"][2]["gamma"] == 0.0


def test_implied_volatilities_have_a_status(chain: str) -> None:
    rows = table(run("iv", chain).stdout)
    assert [row["iv_status"] for row in rows] == ["OK", "OK", "NO_TIME", "BELOW_INTRINSIC"]
    assert [bool(row["model_iv"]) for row in rows] == [True, True, False, False]


def test_greeks_then_iv_is_where_it_started() -> None:
    """The answer of one command is the input of the other, over standard input."""
    first = run("greeks", "-", stdin="type,s,k,t,sigma\nc,100,105,0.3,0.2\np,100,90,0.01,0.65\n")
    assert first.exit_code == 0, first.stderr
    rows = table(run("iv", "-", stdin=first.stdout).stdout)
    assert [float(row["iv"]) for row in rows] == pytest.approx([0.2, 0.65], rel=1e-12)


def test_a_file_with_a_future_is_priced_by_black_76() -> None:
    text = "right,future,strike,years,volatility\nC,80,85,0.5,0.35\n"
    plain = json.loads(run("greeks", "-", "--rate", "0.05", "--json", stdin=text).stdout)
    assert plain["model"] == "black_76"
    assert plain["contracts"][0]["rho"] == float(black76(True, 80, 85, 0.5, 0.35, 0.05).rho)


def test_american_contracts() -> None:
    text = "right,spot,strike,years,volatility\nP,100,110,0.5,0.25\n"
    plain = json.loads(run("greeks", "-", "--american", "--rate", "0.05", "--json", stdin=text).stdout)
    assert plain["model"] == "ju_zhong"
    assert plain["contracts"][0]["price"] == float(american(False, 100, 110, 0.5, 0.25, 0.05).price)


def test_volatilities_of_american_prices() -> None:
    """R2.10: `iv --american` takes back what `greeks --american` has priced; on futures too."""
    for head, future in (("spot", False), ("future", True)):
        text = f"right,{head},strike,years,volatility\nP,100,110,0.5,0.25\nC,100,90,1,0.3\n"
        priced = run("greeks", "-", "--american", "--rate", "0.05", stdin=text).stdout
        plain = priced.replace("volatility", "old")
        found = json.loads(run("iv", "-", "--american", "--rate", "0.05", "--json", stdin=plain).stdout)
        assert found["model"] == "ju_zhong"
        assert [one["iv"] for one in found["contracts"]] == pytest.approx([0.25, 0.3], rel=1e-6)
        european = json.loads(run("iv", "-", "--rate", "0.05", "--json", stdin=plain).stdout)
        assert european["contracts"][0]["iv"] > 0.253, future


def test_columns_may_have_other_names() -> None:
    text = "Kind of it,Last of SPX,K,Time left,V\nP,100,110,0.5,0.25\n"
    maps = ["--map", "right=Kind of it", "--map", "spot=Last of SPX", "--map", "years=Time left"]
    result = run("greeks", "-", *maps, "--map", "volatility=V", stdin=text)
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("command", ["greeks", "iv"])
@pytest.mark.parametrize(
    ("text", "args", "words"),
    [
        ("", [], "- line 1: the file is empty"),
        ("a,b\n", [], "no column 'right'"),
        ("right,strike,years,iv,price\n", [], "needs one of the columns 'spot' and 'future'"),
        ("right,strike,years,days,spot,iv,price\n", [], "has both the columns 'years' and 'days'"),
        (
            "right,strike,years,spot,iv,price\nC,1,1,1,1,1\nX,1,1,1,1,1\n",
            [],
            "- line 3: right: must be C, P,",
        ),
        (
            "right,strike,years,spot,iv,price\nC,ten,1,1,1,1\n",
            [],
            "- line 2: strike: must be a number, was 'ten'",
        ),
        (
            "right,strike,years,spot,iv,price\nC,1,nan,1,1,1\n",
            [],
            "- line 2: years: must be a number, was 'nan'",
        ),
        ("right,strike,years,spot,iv,price\nC,1,-1,1,1,1\n", [], "- line 2: years: must not be below zero"),
        ("right,strike,years,spot,iv,price\nC,1,1,1,1\n", [], "- line 2: has 5 cells, the head has 6"),
        ("right,strike,years,future,iv,price,q\nC,1,1,1,1,1,0\n", [], "(Black-76) have no dividend yield"),
        ("right,strike,years,spot,iv,price\n", ["--rate", "nan"], "--rate is a fraction"),
        (
            "right,strike,years,spot,iv,price\n",
            ["--rate", "43"],
            "--rate is a fraction (0.05 is 5 %), was 43",
        ),
        ("right,strike,years,spot,iv,price\n", ["--map", "strike=Z"], "there is no column 'Z' (--map)"),
        ("right,strike,years,spot,iv,price\n", ["--map", "x=Z"], "--map takes COLUMN=HEAD, was 'x=Z'"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_row(
    command: str, text: str, args: list[str], words: str
) -> None:
    result = run(command, "-", *args, stdin=text)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_file_that_is_not_there() -> None:
    result = run("greeks", "/nowhere/at/all.csv")
    assert result.exit_code == 2
    assert result.stderr == "stopline: /nowhere/at/all.csv: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("command", ["greeks", "iv"])
def test_a_file_without_rows_has_an_answer_without_rows(command: str) -> None:
    result = run(command, "-", stdin="right,strike,years,spot,sigma,premium\n")
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1


def test_a_cell_that_a_spreadsheet_would_run_is_text_and_a_number_stays_one(tmp_path: Path) -> None:
    """B70: in what came with the file too, with quotes and line breaks in it."""
    path = tmp_path / "chain.csv"
    formulas = ["=cmd()|'/C calc'!A0", "@SUM(A1)", "+1+cmd()", "-2+3", "\t=1", "\r=1", 'a"b\nc', "plain"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["=head", "change", "right", "spot", "strike", "days", "iv"])
        writer.writerows([text, "-0.5", "C", "6000", "6010", "1", "0.2"] for text in formulas)
    result = run("greeks", str(path))
    assert result.exit_code == 0, result.stderr
    head, *rows = csv.reader(io.StringIO(result.stdout))
    assert head[0] == "'=head"
    assert [row[0] for row in rows] == [
        *(f"'{text.strip()}" for text in formulas[:6]), 'a"b c', "plain",
    ]  # fmt: skip
    assert {row[1] for row in rows} == {"-0.5"}
    assert all(float(row[-3]) < 0 for row in rows)  # theta: a number, as it was
