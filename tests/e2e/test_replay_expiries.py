"""Two real expiries through `stopline replay`: a cash settlement on an early-close day, and an assigned short call.

What is expected is worked out from the raw files in fractions, apart from the product.
"""

import csv
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

from stopline.cli.replay import Options, run_replay
from stopline.replay.result import ReplayResult

from .test_replay_real_days import DATA, NEW_YORK, Price, option_quotes, rows

CHICAGO = ZoneInfo("America/Chicago")
HEADS = ["time", "side", "quantity", "symbol", "price", "fee", "event", "group_id", "underlying", "fill_id"]


def write(path: Path, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([heads, *lines])
    return path


def told(result: ReplayResult, kind: str) -> list[tuple[bool, datetime]]:
    """Return the alerts of a kind: whether it is the end of it, and when."""
    return [(a.resolved, a.raised_at) for a in result.alerts if a.kind == kind]


def value_of_straddle(prices: Iterator[Price], symbols: Sequence[str]) -> dict[datetime, Fraction]:
    """Return what one unit of each symbol together is worth at each moment, by the last quotes."""
    last: dict[str, Fraction] = {}
    worth: dict[datetime, Fraction] = {}
    for moment, symbol, mark in prices:
        last[symbol] = mark
        if all(name in last for name in symbols):
            worth[moment] = sum((last[name] for name in symbols), Fraction(0))
    return worth


def test_a_straddle_on_the_sp500_is_settled_in_cash_at_an_early_close(tmp_path: Path) -> None:
    """R1.2 R7.1, issue 4.5, domain 4b.19: sold on 26 June 2023, settled on 3 July at 13:00 at the index of the file."""
    chain = "lean/spxw_1m_20230626.csv.gz"
    index = list(rows("lean/spx_index_1m_CENTRAL_TIME_20210114_202306_07.csv.gz"))
    bars = [
        (
            datetime.fromisoformat(r["bar_start_local"]).replace(tzinfo=CHICAGO) + timedelta(minutes=1),
            r["close"],
        )
        for r in index
        if r["bar_start_local"] >= "2023-06-26"
    ]
    last_at, settled = bars[-1]
    close = datetime(2023, 7, 3, 13, tzinfo=NEW_YORK)
    assert last_at == close
    spot = write(
        tmp_path / "spx.csv",
        ["time", "symbol", "last"],
        [[at.astimezone(UTC).isoformat().replace("+00:00", "Z"), "SPX", price] for at, price in bars],
    )
    call, put = "SPXW230703C04445000", "SPXW230703P04445000"
    strike, worth = Fraction(4445), Fraction(settled) - 4445
    assert worth > 0
    lines = [
        ["2023-06-26 10:00", "SELL", "3", call, "2.35", "3.9", "", "G", "SPX", "E-1"],
        ["2023-06-26 10:00", "SELL", "3", put, "90.10", "3.9", "", "G", "SPX", "E-2"],
        ["2023-07-03 14:05", "BUY", "3", call, str(float(worth)), "0", "SETTLE", "", "SPX", "X-1"],
        ["2023-07-03 14:05", "BUY", "3", put, "0", "0", "EXPIRE", "", "SPX", "X-2"],
    ]
    result = run_replay(
        Options(
            prices=[spot],
            quotes=[DATA / chain],
            fills=write(tmp_path / "fills.csv", HEADS, lines),
            capital="1000000",
            price_max_age=3600,
            sweep_every="10m",
        )
    )
    assert result.conservation.closes, str(result.conservation)
    assert result.faults == []
    status = result.accounts[0].status
    assert status["positions"] == []
    [trade] = status["trades"]
    credit, fees = Fraction("92.45") * 300, Fraction("7.8")
    made = credit - worth * 300
    assert (trade["structure"], trade["status"], trade["quantity"]) == ("straddle", "CLOSED", "3")
    assert Fraction(trade["net_credit"]) == credit
    assert Fraction(trade["realised"]) == made
    assert [Fraction(leg["exit_price"]) for leg in trade["legs"]] == [worth, 0]
    assert [Fraction(price) for price in trade["breakevens"]] == [
        strike - (credit - fees) / 300,
        strike + (credit - fees) / 300,
    ]
    entered = datetime(2023, 6, 26, 10, tzinfo=NEW_YORK)
    worths = value_of_straddle((p for p in option_quotes(chain) if p[1] in (call, put)), (call, put))
    open_at = max(at for at in worths if at <= entered)
    seen = [credit - fees - value * 300 for at, value in worths.items() if at >= open_at]
    assert abs(Fraction(trade["mae"]) - min(*seen, made - fees)) <= Fraction(1, 10**6)
    assert abs(Fraction(trade["mfe"]) - max(*seen, made - fees)) <= Fraction(1, 10**6)
    (over, first), (ended, last) = told(result, "expired_unsettled")
    assert (over, ended) == (False, True)
    assert close + timedelta(minutes=30) <= first < datetime(2023, 7, 3, 14, 5, tzinfo=NEW_YORK) <= last
    assert [at for resolved, at in told(result, "pin_risk") if not resolved and at < close]


def test_a_short_call_of_a_spread_is_assigned_over_a_weekend(tmp_path: Path) -> None:
    """R1.2 R1.5, issue 4.5: Alphabet closes above the short strike on the half day of 24 December 2015; the shares are
    delivered, and covered on the next session.
    """
    chain, shares = "lean/goog_0dte_chain_1m_20151224.csv.gz", "lean/goog_1m_quotes_20151224_28.csv.gz"
    short, long = "GOOG151224C00747500", "GOOG151224C00755000"
    quotes = {r["bar_start_local"]: r for r in rows(shares)}
    closing, monday = quotes["2015-12-24T12:59:00"], quotes["2015-12-28T09:44:00"]
    assert Fraction(closing["bid_close"]) > Fraction("747.5")
    cover = monday["ask_close"]
    lines = [
        ["2015-12-24 09:45", "SELL", "2", short, "3.2", "1.3", "", "G", "", "E-1"],
        ["2015-12-24 09:45", "BUY", "2", long, "0.9", "1.3", "", "G", "", "E-2"],
        ["2015-12-28 02:30", "BUY", "2", short, "0", "0", "ASSIGN", "A-1", "", "A-1"],
        ["2015-12-28 02:30", "SELL", "2", long, "0", "0", "EXPIRE", "A-2", "", "A-2"],
        ["2015-12-28 02:30", "SELL", "200", "GOOG", "747.5", "5", "ASSIGN", "A-1", "", "A-3"],
        ["2015-12-28 09:45", "BUY", "200", "GOOG", cover, "1", "", "", "", "C-1"],
    ]
    result = run_replay(
        Options(
            prices=[DATA / shares],
            quotes=[DATA / chain],
            fills=write(tmp_path / "fills.csv", HEADS, lines),
            capital="250000",
            price_max_age=20_000,
            sweep_every="10m",
        )
    )
    assert result.conservation.closes, str(result.conservation)
    assert result.faults == []
    account = result.accounts[0]
    assert account.status["positions"] == []
    spread, delivered = account.status["trades"]
    assert (spread["structure"], spread["status"]) == ("call_credit_vertical", "CLOSED")
    assert Fraction(spread["realised"]) == Fraction("2.3") * 200
    assert Fraction(spread["max_loss"]) == (Fraction("7.5") - Fraction("2.3")) * 200 + Fraction("2.6")
    assert (delivered["structure"], delivered["legs"][0]["size"]) == ("single", "-200")
    assert Fraction(delivered["realised"]) == (Fraction("747.5") - Fraction(cover)) * 200
    assert account.realised is not None
    total = Fraction("2.3") * 200 + (Fraction("747.5") - Fraction(cover)) * 200
    assert Fraction(account.realised) == total
    assert account.fees is not None
    assert Fraction(account.fees) == Fraction("8.6")
    (over, first), (ended, last) = told(result, "expired_unsettled")
    decided = datetime(2015, 12, 24, 17, 30, tzinfo=NEW_YORK)
    morning = datetime(2015, 12, 28, 2, 30, tzinfo=NEW_YORK)
    assert (over, ended) == (False, True)
    assert decided + timedelta(minutes=30) <= first <= morning <= last
    assert told(result, "pin_risk")[0][1] < datetime(2015, 12, 24, 13, tzinfo=NEW_YORK)
