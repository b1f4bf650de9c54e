"""What prices show of trades: extremes of the total P&L, and the volatility index at entry and exit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.rules.watching.trades import Index, TradeWatch, total_pnl, watch_trades

from ..ledger.test_book import booked
from ..ledger.test_trade_leg import tagged_fills
from ..make import NOON, at, fill, fold, option

MINUTE = timedelta(minutes=1)
SHORT, LONG = option(6000), option(5990)
KEYS = [f"default:{leg.symbol}" for leg in (SHORT, LONG)]
ENTRY = [
    fill("E-1", "SELL", 1, "3", at(0), SHORT, group_id="G", fee="1"),
    fill("E-2", "BUY", 1, "2", at(0), LONG, group_id="G", fee="1"),
]
EXIT = [
    fill("E-3", "BUY", 1, "1", at(600), SHORT, group_id="G", fee="1"),
    fill("E-4", "SELL", 1, "0.5", at(600), LONG, group_id="G", fee="1"),
]

RATES = {"USD": Decimal(1), "BNB": Decimal(600)}


def watched(
    book: Book,
    now: datetime,
    before: Mapping[str, TradeWatch] | None = None,
    marks: tuple[str, str] | None = None,
    index: Index | None = None,
    rates: Mapping[str, Decimal] = RATES,
) -> dict[str, TradeWatch]:
    prices = dict(zip(KEYS, map(Decimal, marks), strict=True)) if marks else {}
    return watch_trades(book.trades(), before or {}, prices.get, rates.get, index, now, MINUTE)


def only(seen: Mapping[str, TradeWatch]) -> TradeWatch:
    [trade] = seen.values()
    return trade


def test_the_extremes_are_those_of_the_whole_trade_net_of_fees() -> None:
    """R1.2 R7.1: 100 received, fees 2; at 5 against 3 it has lost 102, at 1 against 0.75 it has made 73."""
    book = booked([ENTRY])
    seen = watched(book, at(1), marks=("5", "3"))
    assert only(seen) == TradeWatch(Decimal(-102), Decimal(-102))
    seen = watched(book, at(2), seen, ("1", "0.75"))
    seen = watched(book, at(3), seen, ("3", "2"))
    assert only(seen) == TradeWatch(Decimal(-102), Decimal(73))


def test_a_missing_mark_is_no_extreme() -> None:
    """R1.2: UNKNOWN is not zero."""
    seen = watched(booked([ENTRY]), at(1))
    assert only(seen) == TradeWatch()
    prices = {KEYS[0]: Decimal(1)}
    assert total_pnl(booked([ENTRY]).trades()[0], prices.get, RATES.get) is None


def in_bnb(fills: list[Fill]) -> list[Fill]:
    return [f.model_copy(update={"fee_currency": "BNB"}) for f in fills]


def test_fees_in_a_third_currency_are_in_what_a_trade_has_made() -> None:
    """R1.1, R1.2, R7.1: 100 received, 2 BNB of 600 paid; none of it was in the trade's P&L, its worst and its best."""
    book = booked([in_bnb(ENTRY)])
    [trade] = book.trades()
    assert trade.other_fees == {"BNB": 2}
    assert total_pnl(trade, dict(zip(KEYS, (Decimal(3), Decimal(2)), strict=True)).get, RATES.get) == -1200
    seen = watched(book, at(1), marks=("3", "2"))
    assert only(seen) == TradeWatch(Decimal(-1200), Decimal(-1200))
    closed = booked([in_bnb(ENTRY), in_bnb(EXIT)])
    after = watched(closed, at(700), seen)
    assert (only(after).low, only(after).high, only(after).told) == (50 - 2400, -1200, True)
    dear = watched(closed, at(800), after, rates={**RATES, "BNB": Decimal(900)})
    assert only(dear) == only(after), "what was paid for a closed trade is no price that moves"


def test_without_the_rate_of_a_fee_a_trade_s_pnl_is_unknown() -> None:
    """I7: and so no extreme; a fee of no amount needs no rate."""
    book = booked([in_bnb(ENTRY)])
    assert only(watched(book, at(1), marks=("3", "2"), rates={"USD": Decimal(1)})) == TradeWatch()
    free = booked([[f.model_copy(update={"fee": Decimal(0)}) for f in in_bnb(ENTRY)]])
    assert only(watched(free, at(1), marks=("3", "2"), rates={"USD": Decimal(1)})).low == 0


def test_fees_of_a_trade_in_another_currency_than_the_account_s_go_by_both_rates() -> None:
    """R1.5: BNB into euro by way of the account's currency."""
    of_it = {"symbol": "SAP", "kind": "equity", "currency": "EUR"}
    bought = fill(
        "S-1", "BUY", 1, "100", at(0), Instrument.model_validate(of_it), fee="1", fee_currency="BNB"
    )
    [trade] = booked([[bought]]).trades()
    rates = {"EUR": Decimal("1.2"), "BNB": Decimal(600)}
    assert total_pnl(trade, {"default:SAP": Decimal(110)}.get, rates.get) == 10 - 500


def test_the_end_of_a_trade_counts_where_it_was_valued_before() -> None:
    """R7.1: closed at 46 net, which is the best that was seen; one that was never valued has no extremes."""
    seen = watched(booked([ENTRY]), at(1), marks=("5", "3"))
    closed = booked([ENTRY, EXIT])
    after = only(watched(closed, at(700), seen))
    assert (after.low, after.high, after.told) == (-102, 46, True)
    assert only(watched(closed, at(700))) == TradeWatch(told=True)


@pytest.mark.parametrize(("age", "known"), [(60, Decimal("18.5")), (61, None)])
def test_the_index_at_entry_is_a_reading_of_that_minute(age: int, known: Decimal | None) -> None:
    """R7.1: a stale reading is UNKNOWN, never zero."""
    index = (Decimal("18.5"), at(-age))
    assert only(watched(booked([ENTRY]), at(0), index=index)).vix_entry == known


def test_the_index_at_exit_is_awaited_for_a_minute_and_then_told_without() -> None:
    """R7.1."""
    closed = booked([ENTRY, EXIT])
    waits = watched(closed, at(610), index=(Decimal(20), at(500)))
    assert (only(waits).told, only(waits).vix_exit) == (False, None)
    assert only(watched(closed, at(611), waits, index=(Decimal(21), at(611)))).vix_exit == 21
    assert only(watched(closed, at(661), waits)) == TradeWatch(told=True)


def test_a_reading_that_was_taken_stays() -> None:
    seen = watched(booked([ENTRY]), at(1), index=(Decimal(18), at(1)))
    again = watched(booked([ENTRY]), at(30), seen, index=(Decimal(25), at(30)))
    assert only(again).vix_entry == 18


def test_a_trade_that_is_open_again_is_told_again() -> None:
    """R8.6: the closing was busted."""
    told = watched(booked([ENTRY, EXIT]), at(700), index=(Decimal(20), at(600)))
    assert only(told).told
    again = only(watched(booked([ENTRY]), at(800), told, ("3", "2")))
    assert (again.told, again.vix_exit) == (False, None)


def test_of_a_trade_that_has_left_the_book_nothing_is_kept() -> None:
    seen = watched(booked([ENTRY, EXIT]), at(700))
    assert watched(booked([ENTRY, EXIT]).pruned(NOON + timedelta(days=2)), at(800), seen) == {}


@given(tagged_fills(), st.lists(st.integers(1, 400).map(lambda n: Decimal(n) / 8), min_size=3, max_size=3))
def test_what_all_trades_have_made_is_what_the_positions_have_made(
    fills: list[Fill], prices: list[Decimal]
) -> None:
    """R1.1: whatever closes what, at any prices: net of fees, realised and not."""
    book = booked([fills])
    marks = dict(zip(sorted(book.positions), prices, strict=False))
    for key in book.positions:
        marks.setdefault(key, Decimal(1))
    trades = sum(pnl for t in book.trades() if (pnl := total_pnl(t, marks.get, RATES.get)) is not None)
    positions = Decimal(0)
    for key, position in book.positions.items():
        again, _ = fold([f for f in fills if f"{f.strategy}:{f.instrument.symbol}" == key])
        positions += again.net + again.quantity * again.instrument.worth(marks[key]) - again.cost
        assert again == position
    assert trades == positions
