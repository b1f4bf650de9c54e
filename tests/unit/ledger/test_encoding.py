"""A book as text and back: exactly, and never by an older Stopline over a newer one."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.ledger.encoding import SCHEMA, decode_book, encode_book
from stopline.ledger.position import METHODS
from stopline.ledger.position_table import PositionTable
from stopline.model.errors import Transient
from stopline.model.fill import Fill

from ..make import at, equity, fill, fold, trade
from .strategies import fill_lists
from .test_book import LATER, SESSION_OF, Log, booked


def grown(book: Book, known: list[Fill], more: list[Fill]) -> Book:
    log = Log()
    log.fills += known
    return book.with_fills(more, SESSION_OF, log, LATER)


@given(fill_lists())
def test_what_is_written_reads_back_equal(fills: list[Fill]) -> None:
    """I1: nothing is lost by a restart."""
    book = booked([fills])
    again = decode_book(encode_book(book))
    assert again == book
    assert encode_book(again) == encode_book(book)


@given(fill_lists())
def test_a_book_read_back_goes_on_as_if_it_had_never_left_memory(fills: list[Fill]) -> None:
    """I1: queues of lots, places and cycles survive, not only the sums."""
    half = len(fills) // 2
    ordered = sorted(fills, key=lambda f: f.order)
    position, _ = fold(ordered[: half + 1])
    key = position.key
    again = decode_book(encode_book(Book("demo", positions={key: position}))).positions[key]
    for f in ordered[half + 1 :]:
        if (f.strategy, f.instrument) == (position.strategy, position.instrument):
            assert again.apply(f) == position.apply(f)
    assert again == position


@given(fill_lists(), st.booleans())
def test_a_book_that_is_read_in_part_grows_like_one_in_memory(fills: list[Fill], looked_at: bool) -> None:
    """I1: what a fill does not concern passes from document to document, and nobody can tell."""
    half = len(fills) // 2
    stored = decode_book(encode_book(booked([fills[:half]])))
    if looked_at:
        assert list(stored.positions.values()) == [stored.positions[key] for key in stored.positions]
    one = grown(stored, fills[:half], fills[half:])
    other = grown(booked([fills[:half]]), fills[:half], fills[half:])
    assert one == other
    assert encode_book(one) == encode_book(other)
    assert one.count_open() == other.count_open() == len(other.open_positions())
    assert decode_book(encode_book(one), whole=True) == other
    changed = PositionTable.of(one.positions).changed_since(stored.positions)
    assert changed == sorted({f.position_key for f in fills[half:]})


@pytest.mark.parametrize("method", METHODS)
def test_a_book_keeps_its_method(method: str) -> None:
    """R1.4: also for positions that are opened after it was read again."""
    empty = decode_book(encode_book(Book("demo", method=method)))
    assert empty.method == method
    fills = [trade(1, 10, 100), trade(2, 10, 110), trade(3, -15, 120)]
    book = empty
    for number, one in enumerate(fills):
        book = decode_book(encode_book(grown(book, fills[:number], [one])), whole=number == 1)
    assert book.positions["default:SPY"].method == book.method == method
    assert book.positions["default:SPY"] == fold(fills, method)[0]
    old = json.loads(encode_book(Book("demo")))
    del old["method"]
    assert decode_book(json.dumps(old)).method == "fifo"


def test_a_position_that_no_fill_concerns_is_not_read() -> None:
    state = json.loads(encode_book(booked([[fill(), fill("E-2", instrument=equity("QQQ"))]])))
    untouched = next(item for item in state["positions"] if item["instrument"]["symbol"] == "QQQ")
    untouched["cost"] = "unreadable"
    stored = decode_book(json.dumps(state))
    after = grown(stored, [], [fill("E-3", executed_at=at(1))])
    assert untouched in json.loads(encode_book(after))["positions"]
    assert (stored.count_open(), after.count_open()) == (2, 2)
    assert after.positions["default:SPY"].quantity == 20


@given(fill_lists())
def test_the_text_is_plain_json_without_a_single_double(fills: list[Fill]) -> None:
    """Design 2: decimals are strings in stored state."""

    def doubles(value: Any) -> bool:
        if isinstance(value, dict):
            return any(doubles(v) for v in value.values())
        return isinstance(value, float) or (isinstance(value, list) and any(map(doubles, value)))

    assert not doubles(json.loads(encode_book(booked([fills]))))


def test_equal_books_have_equal_text_however_their_numbers_were_written() -> None:
    one = booked([[fill(quantity="1.50", price="100.0", fee="1.10")]])
    other = booked([[fill(quantity="1.5", price="100", fee="1.1")]])
    assert encode_book(one) == encode_book(other)


def test_numbers_of_any_size_survive() -> None:
    """B28."""
    big = [
        fill("E-1", quantity="999999999999999999.999999999999", price="0.000000000001"),
        fill(
            "E-2", "SELL", quantity="0.000000000001", price="999999999999999.999999999999", executed_at=at(1)
        ),
    ]
    book = booked([big])
    position = decode_book(encode_book(book)).positions["default:SPY"]
    assert position.quantity == Decimal("999999999999999999.999999999998")
    assert position.realised == book.positions["default:SPY"].realised


def test_when_a_price_was_made_outlives_the_store() -> None:
    """I7, F46: of the newest execution, not of the dividend after it; a document of before has the newest fill's."""
    paid = fill("D-1", "BUY", 0, 0, at(9), kind="DIVIDEND", fee="-5", fee_currency="USD")
    text = encode_book(booked([[trade(1, 10, 100), paid]]))
    position = decode_book(text).positions["default:SPY"]
    assert (position.priced_at, position.last) == (at(1), paid.order)
    state = json.loads(text)
    del state["positions"][0]["priced_at"]
    assert decode_book(json.dumps(state)).positions["default:SPY"].priced_at == at(9)
    only = decode_book(encode_book(booked([[paid]]))).positions["default:SPY"]
    assert only.priced_at is None


def test_a_book_by_a_newer_stopline_is_not_touched() -> None:
    """F46: two versions live at once; the older one waits instead of dropping what it does not know."""
    state = json.loads(encode_book(Book("demo")))
    state["schema"] = SCHEMA + 1
    with pytest.raises(Transient, match="schema"):
        decode_book(json.dumps(state))


def test_a_book_of_the_first_schema_is_read_as_fifo_without_amendments() -> None:
    """F46: books in the store outlive versions; this text was written by schema 1."""
    text = (
        '{"schema":1,"account":"demo","revision":3,"fills":2,"positions":[{"instrument":{"symbol":"SPY",'
        '"kind":"equity","currency":"USD","multiplier":"1","underlying":"SPY","expiry":null,"strike":null,'
        '"right":null},"strategy":"default","quantity":"6","cost":"600","realised":"40","fees":"1.5",'
        '"other_fees":{"BNB":"0.1"},"fills":2,"last":["2026-11-18T17:00:02Z","paper:demo:E-2"],'
        '"cycle":["2026-11-18T17:00:01Z","paper:demo:E-1"],"opened_at":"2026-11-18T17:00:01Z",'
        '"last_price":"110","lots":[["6","100","2026-11-18T17:00:01Z","paper:demo:E-1"]]}],'
        '"days":[["2026-11-18","BNB","0","0.1",0],["2026-11-18","USD","40","1.5",1]],'
        '"totals":[["BNB","0","0.1"],["USD","40","1.5"]]}'
    )
    book = decode_book(text)
    assert book.method == "fifo"
    assert book.total("USD").net == Decimal("38.5")
    assert book.days[at().date(), "USD"].carried == 1
    assert book.strategies["default", "USD"].net == Decimal("38.5")  # by the positions that it still knows
    position = book.positions["default:SPY"]
    assert (position.quantity, position.lots[0].price, position.income, position.amended) == (
        6,
        100,
        0,
        False,
    )
    assert decode_book(encode_book(book)) == book
