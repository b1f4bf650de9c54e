"""Price batches: one bad item never costs the good ones, and no price is never zero."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.errors import Rejected
from stopline.model.prices import MAX_ITEMS, Quote, parse_price_batch
from stopline.model.wire import decode_object


def batch(symbols: Any, last: Any, **more: Any) -> dict[str, Any]:
    return {
        "type": "stopline.prices.v1",
        "as_of": "2026-11-18T17:00:00Z",
        "symbols": symbols,
        "last": last,
        **more,
    }


@pytest.mark.parametrize("count", [0, MAX_ITEMS + 1])
def test_a_batch_of_no_items_or_of_too_many_is_refused_whole(count: int) -> None:
    """B55, F58."""
    with pytest.raises(Rejected):
        parse_price_batch(batch([f"S{n}" for n in range(count)], [1.0] * count))


def test_a_batch_of_5000_items_is_taken() -> None:
    """B55."""
    taken = parse_price_batch(batch([f"S{n}" for n in range(MAX_ITEMS)], [1.0] * MAX_ITEMS))
    assert len(taken.quotes) == MAX_ITEMS
    assert taken.refused == ()


def test_of_a_symbol_that_stands_twice_the_later_item_wins() -> None:
    """B55."""
    assert parse_price_batch(batch(["A", "A"], [1.0, 2.0])).quotes["A"].last == 2.0


def test_one_bad_item_of_500_is_refused_alone() -> None:
    """B56."""
    symbols: list[Any] = [f"S{n}" for n in range(500)]
    last: list[Any] = [1.0] * 500
    last[7] = "12"
    taken = parse_price_batch(batch(symbols, last))
    assert len(taken.quotes) == 499
    assert taken.refused == (("S7", "price must be a number, was str"),)


@pytest.mark.parametrize(
    ("symbol", "last", "bid", "ask", "iv", "why"),
    [
        ("spy", 1.0, None, None, None, "bad symbol"),
        (" SPY", 1.0, None, None, None, "bad symbol"),
        ("SРY", 1.0, None, None, None, "bad symbol"),  # a Cyrillic letter
        (5, 1.0, None, None, None, "bad symbol"),
        (None, 1.0, None, None, None, "bad symbol"),
        (["A"], 1.0, None, None, None, "bad symbol"),
        ("A", True, None, None, None, "must be a number"),
        ("A", "1.0", None, None, None, "must be a number"),
        ("A", [1.0], None, None, None, "must be a number"),
        ("A", 1.0, "1", 2.0, None, "must be a number"),
        ("A", 1e12, None, None, None, "beyond 1e12"),
        ("A", 10**18, None, None, None, "beyond 1e12"),
        ("A", -1e13, None, None, None, "beyond 1e12"),
        ("A", None, None, None, None, "no price"),
        ("A", None, 1.0, None, None, "no price"),
        ("A", None, None, 1.0, 0.2, "no price"),
        ("A", 1.5, 2.0, 1.0, None, "crossed"),
        ("A", 1.5, 1.5001, 1.5, None, "crossed"),
        ("A", 1.0, None, None, -0.1, "negative volatility"),
    ],
)
def test_a_bad_item_is_refused_with_its_reason(
    symbol: Any, last: Any, bid: Any, ask: Any, iv: Any, why: str
) -> None:
    """B14, B30, B46, B47, B56, F34."""
    taken = parse_price_batch(
        batch([symbol, "GOOD"], [last, 1], bid=[bid, None], ask=[ask, None], iv=[iv, None])
    )
    assert set(taken.quotes) == {"GOOD"}
    [(shown, reason)] = taken.refused
    assert why in reason
    assert len(shown) <= 40


@pytest.mark.parametrize(
    "change",
    [
        {"last": [1.0]},
        {"bid": [1.0, 2.0, 3.0]},
        {"symbols": "AB"},
        {"last": None},
        {"as_of": "2026-11-18T17:00:00"},
        {"as_of": 1795186931},
        {"type": "stopline.prices.v2"},
        {"source": "../feed"},
        {"volume": [1, 2]},
    ],
    ids=str,
)
def test_a_batch_with_a_wrong_envelope_is_refused_whole(change: dict[str, Any]) -> None:
    """B12, B31, B32, B59."""
    with pytest.raises(Rejected):
        parse_price_batch({**batch(["A", "B"], [1.0, 2.0]), **change})


@pytest.mark.parametrize(
    ("quote", "mark"),
    [
        (Quote(10.0, 9.0, 12.0), 10.5),
        (Quote(10.0), 10.0),
        (Quote(math.nan, 9.0, 12.0), 10.5),
        (Quote(10.0, 9.0), 10.0),  # one side is no market
        (Quote(10.0, math.nan, 12.0), 10.0),
        (Quote(math.nan, 0.0, 0.1), 0.05),  # nobody bids for a worthless option: half the ask
        (Quote(-37.0), -37.0),
        (Quote(-37.0, -38.0, -36.0), -37.0),
    ],
)
def test_the_mark_is_the_middle_of_a_two_sided_quote_else_the_last_trade(quote: Quote, mark: float) -> None:
    """R1.7."""
    assert quote.mark == mark


def test_a_quote_of_nothing_has_no_mark() -> None:
    """Missing is UNKNOWN, never 0."""
    assert math.isnan(Quote(math.nan, 0.0, 0.0).mark)
    assert math.isnan(Quote(math.nan, 5.0).mark)


numbers = (
    st.none()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
)
items = st.tuples(
    st.sampled_from(["A", "B.C", "x", ""]) | numbers, *[numbers | st.text("1.", max_size=2)] * 4
)


@given(st.lists(items, min_size=1, max_size=6))
def test_every_item_is_a_quote_or_refused_and_none_is_lost(rows: list[tuple[Any, ...]]) -> None:
    """B56: conservation of items."""
    symbol, last, bid, ask, iv = (list(column) for column in zip(*rows, strict=True))
    taken = parse_price_batch(
        decode_object(json.dumps(batch(symbol, last, bid=bid, ask=ask, iv=iv)).encode())
    )
    good = [row[0] for row in rows if isinstance(row[0], str) and row[0] in taken.quotes]
    assert len(taken.quotes) == len(set(good))
    assert len(taken.refused) >= len(rows) - len(good)
    for quote in taken.quotes.values():
        assert not math.isinf(quote.last)
        assert not math.isnan(quote.last) or not (math.isnan(quote.bid) or math.isnan(quote.ask))


def test_an_option_that_nobody_bids_for_is_worth_between_nothing_and_the_ask() -> None:
    """R1.7: most worthless 0DTE options have an ask only; they are not unpriced."""
    body = {
        "type": "stopline.prices.v1", "as_of": "2026-11-20T15:00:00Z",
        "symbols": ["SPXW261120P06000000", "AAPL"], "last": [None, None], "bid": [None, None], "ask": [0.1, 90.0],
    }  # fmt: skip
    batch = parse_price_batch(body)
    assert batch.quotes["SPXW261120P06000000"].mark == 0.05
    assert batch.refused == (("AAPL", "no price"),)
