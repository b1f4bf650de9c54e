"""stopline replay: which files it takes, what it says about a bad one, and where every fill went."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main

FILLS = "time,symbol,side,quantity,price\n2026-11-20T15:00:10Z,SPY,BUY,10,600\n"
PRICES = "time,symbol,last\n2026-11-20T15:00:00Z,SPY,600\n2026-11-20T15:01:00Z,SPY,601.5\n"


@pytest.fixture
def replay(tmp_path: Path) -> Callable[..., Result]:
    """The command over files given as text; `prices="..."` becomes `--prices FILE`."""

    def run(*args: str, **files: str | bytes) -> Result:
        given = list(args)
        for name, content in files.items():
            path = tmp_path / f"{name}.csv"
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            given += ["--" + name.replace("_", "-"), str(path)]
        return CliRunner().invoke(main, ["replay", *given])

    return run


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(result: Result) -> str:
    """Return the one line of a refused command."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def test_a_fill_and_two_prices_make_a_position_with_its_profit(replay: Callable[..., Result]) -> None:
    """R1.3 R1.6 R7.5: positions, P&L, session and the conservation line."""
    result = replay(fills=FILLS, prices=PRICES)
    assert result.exit_code == 0, result.stderr
    assert "published 1 = applied 1 + duplicates 0 + quarantined 0 + in flight 0" in result.stdout
    account = answer(replay("--json", fills=FILLS, prices=PRICES))["accounts"]["replay"]
    assert account["positions"][0]["unrealised"] == "15"
    assert account["cash"] == "94000"
    assert account["sessions"] == [
        {
            "session": "2026-11-20",
            "realised": "0",
            "fees": "0",
            "pnl_day": "15",
            "known_at": "2026-11-20T15:01:00Z",
            "known_at_the_end": True,
        }
    ]


def test_an_event_column_says_what_else_than_a_trade_a_fill_is(replay: Callable[..., Result]) -> None:
    """R7.5 R8.6: an option that expires worthless, and a bust."""
    head = "time,fill_id,symbol,side,quantity,price,event,ref\n"
    rows = [
        "2026-11-20T15:00:10Z,E1,SPXW261120P06000000,SELL,2,1.5,,",
        "2026-11-20T15:00:11Z,E2,SPY,BUY,10,600,,",
        "2026-11-20T15:00:12Z,B1,SPY,BUY,0,0,bust,E2",
        "2026-11-20T21:00:00Z,X1,SPXW261120P06000000,BUY,2,0,EXPIRE,",
    ]
    account = answer(replay("--json", fills=head + "\n".join(rows) + "\n"))["accounts"]["replay"]
    assert account["positions"] == []
    assert account["realised"] == "300"
    bad = head + "2026-11-20T15:00:10Z,E1,SPY,BUY,2,1.5,vanish,\n"
    assert "kind" in refused(replay(fills=bad))


def test_every_fill_is_accounted_for_when_some_come_twice_and_some_cannot_be(
    replay: Callable[..., Result],
) -> None:
    """R1.6 R8.6: duplicates, a conflicting twin, and a fill of an account that is not there."""
    fills = (
        "time,fill_id,account,symbol,side,quantity,price\n"
        "2026-11-20T15:00:10Z,E1,desk,SPY,BUY,10,600\n"
        "2026-11-20T15:00:10Z,E1,desk,SPY,BUY,10,600.00\n"
        "2026-11-20T15:00:11Z,E1,desk,SPY,BUY,11,600\n"
        "2026-11-20T15:00:12Z,E2,nobody,SPY,BUY,1,600\n"
        "2026-11-20T15:00:13Z,E3,desk,SPY,SELL,4,601\n"
    )
    account = "account: desk\nowner: ann\ncurrency: USD\ncapital: 100000\n"
    told = answer(replay("--json", fills=fills, account=account))
    assert told["conservation"] == {
        "published": 5, "applied": 2, "duplicates": 1, "quarantined": 2, "in_flight": 0, "booked": 2, "closes": True,
        "line": "published 5 = applied 2 + duplicates 1 + quarantined 2 + in flight 0",
    }  # fmt: skip
    reasons = {q["reason"].split(":")[0] for q in told["quarantine"]}
    assert reasons == {"CONFLICTING_DUPLICATE", "UNKNOWN_ACCOUNT"}
    assert list(told["accounts"]) == ["desk"]


def test_without_account_files_every_account_of_the_fills_is_opened(replay: Callable[..., Result]) -> None:
    """R1.5: with the settings of the flags."""
    fills = (
        "time,account,symbol,side,quantity,price\n"
        "2026-11-20 10:00:10,a,SPY,BUY,1,600\n"
        "2026-11-20 10:00:10,b,SPY,SELL,1,600\n"
    )
    told = answer(replay("--json", "--capital", "5000", fills=fills))
    assert [told["accounts"][name]["capital"] for name in ("a", "b")] == ["5000", "5000"]


@pytest.mark.parametrize(
    ("fills", "symbol", "underlying"),
    [
        ("symbol,side,quantity,price\n{t},SPXW210106P03700000,SELL,1,7.5\n", "SPXW210106P03700000", "SPXW"),
        ("symbol,side,quantity,price\n{t},SPXW  210106P03700000,S,1,7.5\n", "SPXW210106P03700000", "SPXW"),
        (
            "underlying,expiry,right,strike,side,quantity,price\n{t},SPX,2021-01-06,put,3700,SLD,1,7.5\n",
            "SPX210106P03700000",
            "SPX",
        ),
        ("root,underlying,expiry,right,strike,quantity,price\n{t},SPXW,SPX,2021-01-06,P,3700,-1,7.5\n",
         "SPXW210106P03700000", "SPX"),
    ],
)  # fmt: skip
def test_an_option_is_told_by_its_symbol_or_by_its_terms(
    replay: Callable[..., Result], fills: str, symbol: str, underlying: str
) -> None:
    """R1.2 R1.5: OCC symbols with and without padding, and four columns."""
    told = answer(replay("--json", fills="time," + fills.format(t="2021-01-06 10:00")))
    position = told["accounts"]["replay"]["positions"][0]
    assert (position["symbol"], position["underlying"], position["quantity"]) == (symbol, underlying, "-1")
    assert told["accounts"]["replay"]["cash"] == "100750"


def test_a_gzip_file_with_other_heads_in_another_zone_is_read(replay: Callable[..., Result]) -> None:
    """R7.5: --map, --symbol, --zone."""
    prices = gzip.compress(
        b"When;x,Px\n".replace(b";x", b"") + b"2026-11-20 20:30:00,601.5\n2026-11-20 20:32:00.5,602\n"
    )
    told = answer(
        replay("--json", "--map", "prices.time=When", "--map", "last=px", "--symbol", "spy", "--zone", "Asia/Kolkata",
               fills=FILLS, prices=prices)
    )  # fmt: skip
    assert told["from"] == "2026-11-20T15:00:00Z"
    assert told["to"] == "2026-11-20T15:02:00.500000Z"
    assert told["accounts"]["replay"]["positions"][0]["mark"] == "602"


def test_the_close_of_a_bar_is_known_at_its_end(replay: Callable[..., Result]) -> None:
    """R7.5: nobody sees a close before it was made."""
    bars = "time,symbol,open,high,low,close,volume\n2026-11-20 10:00,SPY,1,3,1,2,0\n"
    assert answer(replay("--json", prices=bars))["to"] == "2026-11-20T15:01:00Z"
    assert answer(replay("--json", "--bar", "5m", prices=bars))["to"] == "2026-11-20T15:05:00Z"
    assert answer(replay("--json", "--bar-time", "end", prices=bars))["to"] == "2026-11-20T15:00:00Z"
    daily = "date,symbol,open,high,low,close,volume\n2026-11-27,SPY,1,3,1,2,0\n"
    assert answer(replay("--json", prices=daily))["to"] == "2026-11-27T18:00:00Z"  # an early close


def test_the_hour_that_comes_twice_is_read_twice_and_the_one_that_never_was_is_refused(
    replay: Callable[..., Result],
) -> None:
    """R7.5: local times across the end and the begin of summer time."""
    back = "time,symbol,last\n2026-11-01 00:59,X,1\n2026-11-01 01:30,X,1\n2026-11-01 01:10,X,1\n2026-11-01 02:00,X,1\n"
    told = answer(replay("--json", prices=back))
    assert told["prices"]["batches"] == 4
    assert told["to"] == "2026-11-01T07:00:00Z"
    line = refused(replay(prices="time,symbol,last\n2026-03-08 02:30,X,1\n"))
    assert "line 2" in line
    assert "does not exist in America/New_York" in line


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        ("", ["line 1", "empty"]),
        ("time,symbol\n", ["line 1", "'last'"]),
        ("time,last\n", ["line 1", "'symbol'", "--map symbol=HEAD"]),
        ("symbol,last\n", ["line 1", "'time'"]),
        ("time,symbol,bid\n", ["line 1", "'ask'"]),
        ("time,symbol,last,LAST\n", ["line 1", "twice"]),
        ("time,symbol,last\n2026-11-20 10:00,SPY,1\n2026-11-20 10:01,SPY\n", ["line 3", "2 cells", "3"]),
        ("time,symbol,last\n\n2026-11-20 10:00,SPY,x\n", ["line 3", "last", "'x'"]),
        ("time,symbol,last\n2026-11-20 10:00,SPY,nan\n", ["line 2", "last"]),
        ("time,symbol,last\n2026-11-20 10:00,SPY,1_0\n", ["line 2", "last"]),
        ("time,symbol,last\n2026-11-20 10:01,SPY,1\n2026-11-20 10:00,SPY,1\n", ["line 3", "order of time"]),
        ("time,symbol,last\n20/11/2026,SPY,1\n", ["line 2", "time", "20/11/2026"]),
        ("time,symbol,last\n2026-13-20 10:00,SPY,1\n", ["line 2", "real time"]),
        ("time,symbol,last\n1700000000,SPY,1\n", ["line 2", "time"]),
        ("time,symbol,last\n2026-11-20 10:00,S PY$,1\n", ["line 2", "symbol"]),
        ("time,root,expiry,right,strike,bid,ask\n2026-11-20 10:00,SPX,2026-11-20,X,1,1,2\n", ["line 2", "right"]),
        ("time,root,expiry,right,strike,bid,ask\n2026-11-20 10:00,SPX,2026-11-20,C,0.0001,1,2\n", ["line 2", "strike"]),
        (b"time,symbol,last\n2026-11-20 10:00,\xff,1\n", ["line 2", "UTF-8"]),
        (b"time,symbol,last\n2026-11-20 10:00,S\0PY,1\n", ["line 2"]),
        (gzip.compress(b"time,symbol,last\n" + b"2026-11-20 10:00,SPY,1\n" * 9, mtime=0)[:40], ["gzip"]),
        (b"\x1f\x8bnot gzip at all", ["gzip"]),
    ],
)  # fmt: skip
def test_a_bad_price_file_is_one_line_with_its_place(
    replay: Callable[..., Result], prices: str | bytes, words: list[str]
) -> None:
    """R7.5: exit code 2, file and line, no traceback."""
    line = refused(replay(prices=prices))
    assert "prices.csv" in line
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2026-11-20 10:00,SPY,HOLD,1,1,,", ["side", "HOLD"]),
        ("2026-11-20 10:00,SPY,BUY,,1,,", ["quantity"]),
        ("2026-11-20 10:00,SPY,BUY,0,1,,", ["quantity"]),
        ("2026-11-20 10:00,SPY,BUY,1,1.2.3,,", ["price"]),
        ("2026-11-20 10:00,SPY,BUY,1,1e3,,", ["price"]),
        ("2026-11-20 10:00,SPY,BUY,1,0,,", ["price 0"]),
        ("2026-11-20 10:00,,BUY,1,1,,", ["symbol"]),
        ("2026-11-20 10:00,SPXW219906P03700000,BUY,1,1,,", ["expiry"]),
        ("2026-11-20 10:00,SPY,BUY,1,1,bond,", ["kind"]),
        ("2026-11-20 10:00,SPY,BUY,1,1,option,", ["option needs"]),
        ("2026-11-20 10:00,SPY,BUY,1,1,,free", ["fee"]),
        ("2026-11-20 10:00,SPY,BUY,1,1,,", []),
    ],
)
def test_a_bad_fill_is_one_line_with_its_place(
    replay: Callable[..., Result], row: str, words: list[str]
) -> None:
    """R7.5: exit code 2, file and line, no traceback."""
    result = replay(
        fills=f"time,symbol,side,quantity,price,kind,fee\n2026-11-20 09:59,SPY,BUY,1,1,,\n{row}\n"
    )
    if not words:
        assert result.exit_code == 0
        return
    line = refused(result)
    assert "fills.csv line 3" in line
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["nothing to replay"]),
        (["--prices", "/nowhere.csv"], ["/nowhere.csv", "No such file"]),
        (["--prices", "/"], ["cannot be read"]),
        (["--fills", "{fills}", "--speed", "fast"], ["--speed"]),
        (["--fills", "{fills}", "--speed", "0"], ["--speed"]),
        (["--fills", "{fills}", "--calendar", "XXXX"], ["XXXX", "XNYS"]),
        (["--fills", "{fills}", "--zone", "Mars"], ["--zone", "Mars"]),
        (["--fills", "{fills}", "--zone", "../etc/passwd"], ["--zone"]),
        (["--fills", "{fills}", "--capital", "lots"], ["capital"]),
        (["--fills", "{fills}", "--map", "colour=x"], ["colour"]),
        (["--fills", "{fills}", "--map", "price=Typo"], ["Typo"]),
        (["--fills", "{fills}", "--bar", "0m"], ["--bar"]),
        (["--fills", "{fills}", "--sweep-every", "1d"], ["--sweep-every"]),
        (["--fills", "{fills}", "--symbol", "a b$"], ["--symbol"]),
        (["--fills", "{fills}", "--limit", "max_typo=1"], ["max_typo"]),
        (["--fills", "{fills}", "--account", "/nowhere.yaml"], ["/nowhere.yaml"]),
    ],
)
def test_a_bad_option_is_one_line(tmp_path: Path, args: list[str], words: list[str]) -> None:
    """R7.5: exit code 2."""
    fills = tmp_path / "fills.csv"
    fills.write_text(FILLS)
    line = refused(CliRunner().invoke(main, ["replay", *(arg.format(fills=fills) for arg in args)]))
    for word in words:
        assert word in line


def test_a_limit_is_told_in_the_minute_it_is_met_and_trading_is_reduced(
    replay: Callable[..., Result],
) -> None:
    """R2.1 R2.2 R2.4: a warning at 80 %, the breach, and the state that follows, in order."""
    rows = "".join(f"2026-11-20 10:0{m},SPY,{price}\n" for m, price in enumerate((600, 590, 575, 569, 600)))
    fills = "time,symbol,side,quantity,price\n2026-11-20 10:00:10,SPY,BUY,100,600\n"
    args = (
        "--limit",
        "max_daily_loss=3",
        "--limit",
        "max_position_value=off",
        "--limit",
        "max_symbol_exposure=off",
        "--limit",
        "max_portfolio_heat=off",
    )
    told = answer(replay("--json", *args, fills=fills, prices="time,symbol,last\n" + rows))
    alerts = [(a["raised_at"][11:16], a["kind"], a["severity"]) for a in told["alerts"]]
    assert ("15:02", "max_daily_loss", "warning") in alerts
    assert ("15:03", "max_daily_loss", "critical") in alerts
    assert [(s["at"][11:16], s["state"]) for s in told["trading_states"]] == [("15:03", "REDUCING")]
    assert told["accounts"]["replay"]["trading_state"] == "REDUCING"
    text = replay(*args, fills=fills, prices="time,symbol,last\n" + rows).stdout
    assert text.index("WARNING") < text.index("CRITICAL") < text.index("open positions")


def test_prices_that_stop_make_the_profit_unknown_and_a_gap_costs_no_time(
    replay: Callable[..., Result],
) -> None:
    """R2.12: stale is UNKNOWN, not zero; and two silent months are passed over."""
    prices = PRICES + "2027-01-20T15:01:00Z,SPY,601.5\n"
    told = answer(replay("--json", fills=FILLS, prices=prices))
    days = told["accounts"]["replay"]["sessions"]
    assert days[0]["pnl_day"] == "15"
    assert days[0]["known_at"] == "2026-11-20T15:06:00Z"
    assert not days[0]["known_at_the_end"]
    assert told["sweeps"] < 100
    assert any(a["kind"] == "stale_prices" for a in told["alerts"])


def test_the_sweeps_that_a_replay_leaves_out_are_no_alarm(replay: Callable[..., Result]) -> None:
    """R2.12: half an hour between two bars; the sweep has nothing to do, and nobody is told that it is silent."""
    fills = "time,symbol,side,quantity,price\n2026-11-18 10:00,SPY,BUY,10,500\n"
    bars = "time,symbol,close\n" + "".join(
        f"2026-11-18 {h}:{m},SPY,500\n" for h in (10, 11) for m in ("00", "30")
    )
    result = replay(fills=fills, prices=bars)
    assert "sweep has not run" not in result.output


def test_a_moment_with_more_than_5000_symbols_is_split(replay: Callable[..., Result]) -> None:
    """R7.5 R8.5: a price batch holds 5,000 symbols."""
    rows = "".join(f"2026-11-20 10:00,S{n},1\n" for n in range(12_001))
    told = answer(replay("--json", prices="time,symbol,last\n" + rows))
    assert told["prices"] == {"rows": 12_001, "without_price": 0, "batches": 3}
