"""Real expiries: options at the quotes of real minutes, ended by real closes, against a calculation in fractions.

The market data is not part of the project: STOPLINE_TEST_DATA names its folder.
"""

from __future__ import annotations

import csv
import gzip
import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from stopline.ledger.book import Book
from stopline.ledger.lifecycle import assignments, exposure, settlement
from stopline.model.calendars import calendar
from stopline.model.errors import Rejected
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument

from ..make import equity, fill, option

DATA = Path(os.environ.get("STOPLINE_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data") / "lean"
NEW_YORK, CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")
SESSIONS = calendar("XNYS")


def rows(name: str) -> list[dict[str, str]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in {DATA}: STOPLINE_TEST_DATA names the folder of market data")
    with gzip.open(path, "rt", newline="") as stream:
        return list(csv.DictReader(stream))


def quote(chain: list[dict[str, str]], minute: str, contract: Instrument) -> dict[str, str]:
    [row] = (
        r
        for r in chain
        if (r["bar_start_et"], r["expiry"], r["right"]) == (minute, str(contract.expiry), contract.right)
        and Decimal(r["strike"]) == contract.strike
    )
    return row


def traded(
    id_: str, side: str, units: int, price: str, at: datetime, contract: Instrument, kind: str
) -> Fill:
    return fill(id_, side, units, price, at.astimezone(UTC), contract, kind=kind, group_id="G")


def grown(book: Book, fills: list[Fill], now: datetime) -> Book:
    return book.with_fills(fills, SESSIONS.session_of, lambda *_: (), now)


def realised(book: Book) -> Fraction:
    return Fraction(book.total("USD").realised)


@pytest.mark.parametrize(
    ("expiry", "close"),
    [(date(2023, 6, 30), "2023-06-30 16:00"), (date(2023, 7, 3), "2023-07-03 13:00")],
    ids=["whole day", "early close"],
)
def test_a_straddle_on_the_sp500_settles_in_cash_at_the_close_of_its_day(expiry: date, close: str) -> None:
    """Issue 4.5, domain case 19: sold on 26 June 2023, ended by the index's last minute."""
    chain = rows("spxw_1m_20230626.csv.gz")
    bars = [
        row
        for row in rows("spx_index_1m_CENTRAL_TIME_20210114_202306_07.csv.gz")
        if row["bar_start_local"].startswith(str(expiry))
    ]
    legs = [option(4445, right, expiry) for right in "CP"]
    sold_at = datetime(2023, 6, 26, 9, 41, tzinfo=NEW_YORK)
    bids = [quote(chain, "2023-06-26T09:40:00", leg)["bid"] for leg in legs]
    entry = [
        traded(f"E-{leg.right}", "SELL", 2, bid, sold_at, leg, "TRADE")
        for leg, bid in zip(legs, bids, strict=True)
    ]
    book = grown(Book("demo"), entry, sold_at)
    ended = datetime.fromisoformat(close).replace(tzinfo=NEW_YORK)
    begun = datetime.fromisoformat(bars[-1]["bar_start_local"]).replace(tzinfo=CHICAGO)
    assert begun + timedelta(minutes=1) == ended
    last = Decimal(bars[-1]["close"])
    held = book.open_positions()
    terms = ("demo", held, "SPXW", expiry, last, "paper", SESSIONS)
    with pytest.raises(Rejected, match="NOT_SETTLED_YET"):
        settlement(*terms, ended - timedelta(seconds=1))
    fills = [Fill.model_validate(facts) for facts in settlement(*terms, ended)]
    after = grown(book, fills, ended)
    assert {each.executed_at for each in fills} == {ended}
    assert after.open_positions() == []
    spot = Fraction(last)
    paid = max(spot - 4445, Fraction(0)) + max(4445 - spot, Fraction(0))
    assert realised(after) == 2 * 100 * (sum(map(Fraction, bids)) - paid)
    assert {str(each.kind) for each in fills} == {"SETTLE", "EXPIRE"}


def test_a_short_call_is_assigned_and_the_shares_are_covered_on_the_next_day() -> None:
    """Issue 4.5: Alphabet closed at 748.40 on 24 December 2015, the short call at 747.50 was in the money by 0.90."""
    chain, bars = rows("goog_0dte_chain_1m_20151224.csv.gz"), rows("goog_1m_trades_20151223_28.csv.gz")
    expiry = date(2015, 12, 24)
    short, long = option("747.5", "C", expiry, "GOOG"), option("755", "C", expiry, "GOOG")
    shares = equity("GOOG")
    opened = datetime(2015, 12, 24, 9, 45, tzinfo=NEW_YORK)
    bid = quote(chain, "2015-12-24T09:44:00", short)["bid"]
    ask = quote(chain, "2015-12-24T09:44:00", long)["ask"]
    entry = [
        traded("E-1", "SELL", 10, bid, opened, short, "TRADE"),
        traded("E-2", "BUY", 10, ask, opened, long, "TRADE"),
    ]
    book = grown(Book("demo"), entry, opened)
    closes = {row["bar_start_local"]: row for row in bars}
    spot = Decimal(closes["2015-12-24T12:59:00"]["close"])
    [expected] = assignments(book.open_positions(), SESSIONS, lambda _: spot)
    assert (expected.is_expected, expected.units, expected.money) == (True, -1000, Decimal(747_500))
    assert exposure([expected]) == {"USD": Decimal(747_500)}

    morning = datetime(2015, 12, 28, 2, 30, tzinfo=NEW_YORK)
    told = [
        traded("A-1", "BUY", 10, "0", morning, short, "ASSIGN"),
        traded("A-2", "SELL", 1000, "747.5", morning, shares, "ASSIGN"),
        traded("A-3", "SELL", 10, "0", morning, long, "EXPIRE"),
    ]
    assigned = grown(book, told, morning)
    assert assigned.net_quantity("GOOG") == -1000
    assert realised(assigned) == 1000 * (Fraction(bid) - Fraction(ask))

    price = closes["2015-12-28T09:30:00"]["open"]
    covered = datetime(2015, 12, 28, 9, 31, tzinfo=NEW_YORK)
    after = grown(assigned, [traded("E-3", "BUY", 1000, price, covered, shares, "TRADE")], covered)
    assert after.open_positions() == []
    made = 1000 * (Fraction(bid) - Fraction(ask)) + 1000 * (Fraction("747.5") - Fraction(price))
    assert realised(after) == made
    assert sum(Fraction(trade.realised) for trade in after.trades()) == made
