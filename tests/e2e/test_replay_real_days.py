"""Real days through `stopline replay`, against a second calculation that shares no code with the product.

The market data is not part of the project: STOPLINE_TEST_DATA names its folder. The second calculation reads the raw
files, works in fractions, and knows three rules of the data: a bar is known at its end, a quote without both sides or
with the bid above the ask is no price, and a price stands until the next one.

The risk sweep, two thirds of the time, runs each minute, as in production, on 6 January 2021; else each five, and with
`STOPLINE_LONG=1` each minute everywhere.
"""

import csv
import gzip
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from stopline.cli.replay import Options, run_replay
from stopline.replay.result import ReplayResult

DATA = Path(os.environ.get("STOPLINE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
NEW_YORK, KOLKATA = ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")
IS_LONG = bool(os.environ.get("STOPLINE_LONG"))
SWEEP_MINUTES = 1 if IS_LONG else 5
Price = tuple[datetime, str, Fraction]


@dataclass(frozen=True)
class Trade:
    """A fill as the test writes it; times are local."""

    at: str
    side: str
    quantity: str
    symbol: str
    price: str
    fee: str = "0"


@dataclass
class Books:
    """The second calculation: first in, first out, in fractions."""

    multiplier: Fraction
    capital: Fraction
    realised: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    cash: Fraction = Fraction(0)
    units: dict[str, list[tuple[Fraction, Fraction]]] = field(default_factory=dict)
    marks: dict[str, Fraction] = field(default_factory=dict)

    def trade(self, t: Trade) -> None:
        left = Fraction(t.quantity) * (1 if t.side == "BUY" else -1)
        price = Fraction(t.price)
        self.cash -= left * price * self.multiplier + Fraction(t.fee)
        self.fees += Fraction(t.fee)
        units = self.units.setdefault(t.symbol, [])
        while left and units and units[0][0] * left < 0:
            held, paid = units.pop(0)
            part = held if abs(held) <= abs(left) else -left
            self.realised += part * (price - paid) * self.multiplier
            left += part
            if part != held:
                units.insert(0, (held - part, paid))
        if left:
            units.append((left, price))

    @property
    def unrealised(self) -> Fraction:
        return sum(
            (
                held * (self.marks[symbol] - paid) * self.multiplier
                for symbol, units in self.units.items()
                for held, paid in units
            ),
            Fraction(0),
        )

    @property
    def total(self) -> Fraction:
        return self.realised - self.fees + self.unrealised


@dataclass
class Expected:
    """What the second calculation says: the end, each session's P&L, and when the loss limit was met."""

    books: Books
    days: dict[date, Fraction] = field(default_factory=dict)
    warned: dict[date, datetime] = field(default_factory=dict)
    breached: dict[date, datetime] = field(default_factory=dict)
    begins: dict[date, datetime] = field(default_factory=dict)  # the first moment of each session

    @property
    def states(self) -> list[tuple[datetime, str]]:
        """Each day's breach lets only reductions through, until the first sweep of the next session."""
        changes = []
        for day, at in sorted(self.breached.items()):
            changes.append((at, "REDUCING"))
            changes += [(first_sweep(self.begins[d]), "ACTIVE") for d in sorted(self.begins) if d > day][:1]
        return changes


def first_sweep(moment: datetime) -> datetime:
    """Return when the first sweep from a moment on runs."""
    return moment + timedelta(minutes=-moment.minute % SWEEP_MINUTES)


def calculate(
    prices: Iterator[Price], trades: Sequence[Trade], zone: ZoneInfo, books: Books, limit: str
) -> Expected:
    """Walk through the moments of prices and trades and note everything that the replay must say too."""
    expected = Expected(books)
    moments: dict[datetime, tuple[list[Price], list[Trade]]] = {}
    for price in prices:
        moments.setdefault(price[0], ([], []))[0].append(price)
    for trade in trades:
        at = datetime.fromisoformat(trade.at).replace(tzinfo=zone).astimezone(UTC)
        moments.setdefault(at, ([], []))[1].append(trade)
    before = day_start = Fraction(0)
    today: date | None = None
    for moment in sorted(moments):
        session = moment.astimezone(zone).date()
        if session != today:
            today, day_start = session, before
            expected.begins[session] = moment
        quotes, fills = moments[moment]
        for _, symbol, price in quotes:
            books.marks[symbol] = price
        steps: list[Callable[[], None]] = [lambda: None, *(lambda t=t: books.trade(t) for t in fills)]
        for step in steps:
            step()
            before = books.total
            loss = max(day_start - before, Fraction(0)) * 100 / (books.capital + day_start)
            if loss >= Fraction(limit):
                expected.breached.setdefault(session, moment)
            elif loss >= Fraction(limit) * 4 / 5 and session not in expected.breached:
                expected.warned.setdefault(session, moment)
        expected.days[session] = before - day_start
    return expected


def rows(name: str) -> Iterator[dict[str, str]]:
    """Read a raw file; skip where it is not."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in {DATA}: STOPLINE_TEST_DATA names the folder of market data")
    with gzip.open(path, "rt", newline="") as stream:
        yield from csv.DictReader(stream)


def part_of(folder: Path, name: str, time: str, first: datetime, last: datetime) -> str:
    """Write a part of a file of bars beside the test; return its path. A bar is known a minute after its start."""
    utc = ZoneInfo("UTC")
    kept = [row for row in rows(name) if first <= known_at(row[time], utc) < last]
    path = folder / "bars.csv.gz"
    with gzip.open(path, "wt", newline="") as stream:
        writer = csv.DictWriter(stream, list(kept[0]))
        writer.writeheader()
        writer.writerows(kept)
    return str(path)


def known_at(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC) + timedelta(minutes=1)


def option_quotes(name: str) -> Iterator[Price]:
    for row in rows(name):
        if row["bid"] and row["ask"] and Fraction(row["bid"]) <= Fraction(row["ask"]):
            day = date.fromisoformat(row["expiry"])
            strike = int(Fraction(row["strike"]) * 1000)
            symbol = f"{row['root']}{day:%y%m%d}{row['right']}{strike:08d}"
            mark = (Fraction(row["bid"]) + Fraction(row["ask"])) / 2
            yield known_at(row["bar_start_et"], NEW_YORK), symbol, mark


def bars(name: str, time: str, zone: ZoneInfo, symbol: str) -> Iterator[Price]:
    for row in rows(name):
        yield known_at(row[time], zone), symbol, Fraction(row["close"])


def write_fills(folder: Path, trades: Sequence[Trade], **constant: str) -> Path:
    """Write the trades as the fills file of a user."""
    path = folder / "fills.csv"
    heads = ["time", "side", "quantity", "symbol", "price", "fee", *constant]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(heads)
        for t in trades:
            writer.writerow([t.at, t.side, t.quantity, t.symbol, t.price, t.fee, *constant.values()])
    return path


def check(result: ReplayResult, expected: Expected) -> None:
    """Compare a replay with the second calculation."""
    account, books = result.accounts[0], expected.books
    assert result.conservation.closes, str(result.conservation)
    assert result.faults == []
    assert account.realised is not None
    assert account.fees is not None
    assert account.cash is not None
    assert Fraction(account.realised) == books.realised
    assert Fraction(account.fees) == books.fees
    assert Fraction(account.cash) == books.capital + books.cash
    risk = account.status["risk"]
    assert abs(Fraction(Decimal(risk["unrealised"])) - books.unrealised) <= Fraction(1, 10**6)
    assert abs(Fraction(Decimal(risk["equity"])) - books.capital - books.total) <= Fraction(1, 10**6)
    held = {symbol: sum(q for q, _ in units) for symbol, units in books.units.items() if units}
    assert {p["symbol"]: Fraction(p["quantity"]) for p in account.status["positions"]} == held
    days = {s.session: s for s in account.sessions}
    for session, pnl in expected.days.items():
        if session in days or pnl:
            found = days[session].pnl_day
            assert found is not None, session
            assert abs(Fraction(found) - pnl) <= Fraction(1, 10**6), session


def first_alerts(result: ReplayResult, severity: str, zone: ZoneInfo) -> dict[date, datetime]:
    """Return when each session first told of the daily loss at a severity."""
    told = [
        a
        for a in result.alerts
        if a.kind == "max_daily_loss" and a.severity.value == severity and not a.resolved
    ]
    told.sort(key=lambda a: a.raised_at)
    by_day = groupby(told, key=lambda a: a.raised_at.astimezone(zone).date())
    return {day: next(iter(alerts)).raised_at for day, alerts in by_day}


def check_alerts(result: ReplayResult, expected: Expected, zone: ZoneInfo, alone: bool = True) -> None:
    """Compare the minutes of warnings and breaches, and the pauses that breaches bring: each until the next session
    where no other limit is breached (`alone`).
    """
    breaches = first_alerts(result, "critical", zone)
    assert breaches == expected.breached
    warned = first_alerts(result, "warning", zone)
    assert {
        day: at for day, at in warned.items() if at < breaches.get(day, at + timedelta(1))
    } == expected.warned
    states = [(change.at, change.state) for change in result.states]
    if alone:
        assert states == expected.states
    else:  # limits over longer windows are breached too, and hold on to what the day's would let go
        assert states[0] == expected.states[0]


def test_a_0dte_call_spread_of_6_january_2021_loses_what_a_second_calculation_says(tmp_path: Path) -> None:
    """R1.1 R1.3 R1.4 R1.6 R2.1 R2.4 R7.5: S&P 500 weeklies on their last day, a spread that the rally runs over."""
    name = "lean/spxw_1m_20210106_incl_0dte.csv.gz"
    prices = list(option_quotes(name))
    call, wing, put = "SPXW210106C03700000", "SPXW210106C03800000", "SPXW210106P03700000"
    trades = [
        Trade("2021-01-06 09:41", "SELL", "2", call, "25.05", "2.6"),
        Trade("2021-01-06 09:41", "BUY", "2", wing, "0.85", "2.6"),
        Trade("2021-01-06 10:05", "SELL", "3", put, "3.1", "3.9"),
        Trade("2021-01-06 12:30:20", "BUY", "1", call, "71.35", "1.3"),
        Trade("2021-01-06 12:30:20", "SELL", "1", wing, "3.3", "1.3"),
        Trade("2021-01-06 15:02", "BUY", "4", put, "0.45", "5.2"),
    ]
    options = Options(
        quotes=[DATA / name],
        fills=write_fills(tmp_path, trades, underlying="SPX", strategy="zero_dte"),
        capital="100000",
        limits=["max_daily_loss=3"],
        price_max_age=3600,
    )
    result = run_replay(options)
    expected = calculate(iter(prices), trades, NEW_YORK, Books(Fraction(100), Fraction(100_000)), "3")
    assert expected.warned
    assert expected.breached
    check(result, expected)
    check_alerts(result, expected, NEW_YORK)


def test_a_0dte_chain_on_a_half_day_is_valued_to_its_early_close_and_after_it(tmp_path: Path) -> None:
    """R1.3 R1.5 R1.6 R2.1 R7.5: Alphabet's whole 0DTE chain of 24 December 2015. `STOPLINE_LONG=1`: also with chain and
    shares as two files.
    """
    chain, shares = "lean/goog_0dte_chain_1m_20151224.csv.gz", "lean/goog_1m_quotes_20151224_28.csv.gz"
    prices = list(option_quotes(chain))
    trades = [
        Trade("2015-12-24 09:45", "SELL", "10", "GOOG151224C00747500", "3.2", "6.5"),
        Trade("2015-12-24 09:45", "BUY", "10", "GOOG151224C00755000", "0.9", "6.5"),
        Trade("2015-12-24 09:45", "SELL", "10", "GOOG151224P00747500", "2.4", "6.5"),
        Trade("2015-12-24 09:45", "BUY", "10", "GOOG151224P00740000", "0.6", "6.5"),
        Trade("2015-12-24 11:30", "BUY", "4", "GOOG151224P00747500", "0.7", "2.6"),
    ]
    end = datetime(2015, 12, 24, 13, tzinfo=NEW_YORK)
    options = Options(
        prices=[],
        quotes=[DATA / chain],
        fills=write_fills(tmp_path, trades),
        capital="25000",
        limits=["max_daily_loss=1.5"],
        price_max_age=20_000,
        sweep_every=f"{SWEEP_MINUTES}m",
    )
    result = run_replay(options)
    expected = calculate(iter(prices), trades, NEW_YORK, Books(Fraction(100), Fraction(25_000)), "1.5")
    check(result, expected)
    check_alerts(result, expected, NEW_YORK)
    assert result.ended == end
    if not IS_LONG:
        return
    beside = run_replay(Options(**{**vars(options), "prices": [DATA / shares]}))
    session = next(s for s in beside.accounts[0].sessions if s.session == date(2015, 12, 24))
    assert session.pnl_day == result.accounts[0].sessions[0].pnl_day
    assert session.is_known


def test_four_sessions_of_the_nifty_are_kept_apart_by_the_calendar_of_mumbai(tmp_path: Path) -> None:
    """R1.3 R1.5 R2.4 R7.5: minute bars in Indian time, money in rupees, a position held over three nights."""
    name = "lean/nifty50_1m_IST_20190101_04.csv.gz"
    prices = list(bars(name, "bar_start_local", KOLKATA, "NIFTY50"))
    trades = [
        Trade("2019-01-01 09:20", "BUY", "150", "NIFTY50", "10871.35", "41.5"),
        Trade("2019-01-02 11:00:30", "BUY", "75", "NIFTY50", "10850.05", "20.75"),
        Trade("2019-01-03 14:10", "SELL", "75", "NIFTY50", "10690.9", "20.75"),
        Trade("2019-01-04 10:00", "SELL", "225", "NIFTY50", "10652.15", "62"),
        Trade("2019-01-04 14:00", "BUY", "50", "NIFTY50", "10705.5", "15"),
    ]
    options = Options(
        prices=[DATA / name],
        fills=write_fills(tmp_path, trades),
        calendar="XNSE",
        currency="INR",
        capital="1500000",
        limits=["max_daily_loss=0.9"],
        price_max_age=300,
        sweep_every=f"{SWEEP_MINUTES}m",
    )
    result = run_replay(options)
    expected = calculate(iter(prices), trades, KOLKATA, Books(Fraction(1), Fraction(1_500_000)), "0.9")
    assert expected.breached
    check(result, expected)
    check_alerts(result, expected, KOLKATA)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_day_of_a_perpetual_has_its_profit(tmp_path: Path) -> None:
    """R1.3 R1.5 R1.7 R2.4 R7.5: bitcoin, long and short, in a market that never closes. `STOPLINE_LONG=1`: a month of it."""
    utc = ZoneInfo("UTC")
    first, last = (  # in short the night of the fall
        (datetime(2021, 12, 31, tzinfo=UTC), datetime(2022, 2, 2, tzinfo=UTC))
        if IS_LONG
        else (datetime(2022, 1, 5, 15, tzinfo=UTC), datetime(2022, 1, 6, 3, tzinfo=UTC))
    )
    name = part_of(tmp_path, "nautilus/btc_perp_1m_20211231_20220201.csv.gz", "timestamp", first, last)
    prices = list(bars(name, "timestamp", utc, "BTC-PERP"))
    written = [
        Trade("2022-01-01 00:30", "BUY", "1.25", "BTC-PERP", "46750.5", "23.375"),
        Trade("2022-01-05 00:30", "BUY", "1.1", "BTC-PERP", "45880", "20.19"),
        Trade("2022-01-05 15:10", "BUY", "0.6", "BTC-PERP", "46510.5", "11.16"),
        Trade("2022-01-05 21:10:07", "BUY", "0.75", "BTC-PERP", "44100", "13.23"),
        Trade("2022-01-12 10:00", "SELL", "3", "BTC-PERP", "42810.5", "51.3726"),
        Trade("2022-01-21 16:45", "BUY", "0.4", "BTC-PERP", "38655.5", "6.18488"),
        Trade("2022-01-28 03:00", "BUY", "0.35", "BTC-PERP", "36420", "5.0988"),
    ]
    trades = [t for t in written if first <= datetime.fromisoformat(t.at).replace(tzinfo=UTC) < last]
    options = Options(
        prices=[DATA / name],
        symbol="BTC-PERP",
        fills=write_fills(tmp_path, trades, kind="crypto"),
        calendar="24/7",
        capital="100000",
        limits=["max_daily_loss=3"],
        price_max_age=300,
        sweep_every=f"{SWEEP_MINUTES}m",
    )
    result = run_replay(options)
    expected = calculate(iter(prices), trades, utc, Books(Fraction(1), Fraction(100_000)), "3")
    assert len(expected.days) == (last.date() - first.date()).days + (not IS_LONG)
    assert expected.breached
    check(result, expected)
    check_alerts(result, expected, utc, alone=False)
