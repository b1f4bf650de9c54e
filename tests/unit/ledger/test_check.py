"""The check that a book is its fills: silent over every way to come to a book, loud over every way to spoil one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.arrivals import MAX_HELD
from stopline.ledger.book import Book
from stopline.ledger.check import differences
from stopline.ledger.days import Day
from stopline.ledger.position import METHODS
from stopline.model.errors import Rejected
from stopline.model.fill import Fill

from ..make import NOON, account, at, equity, fill, trade

SESSION_OF: Callable[[datetime], date] = account().sessions.session_of
NOW = at(3600)


def booked(fills: list[Fill], method: str = "fifo", size: int = 1) -> Book:
    """Book fills as they come, `size` at a time, as the recorder would."""
    book, log = Book("demo", method=method), dict[str, Fill]()
    for start in range(0, len(fills), size):
        some = fills[start : start + size]
        known = dict(log)
        log |= {f.key: f for f in some}

        def since(position: object, late: Fill, known: dict[str, Fill] = known) -> list[Fill]:
            home = (late.strategy, late.instrument.symbol)
            return [f for f in known.values() if (f.strategy, f.instrument.symbol) == home]

        book = book.with_fills(some, SESSION_OF, since, NOW, known.get)
    return book


@st.composite
def histories(draw: st.DrawFn) -> list[Fill]:
    """Trades of two symbols over two days, some busted, corrected or charged later, in any order of arrival."""
    made = []
    for number in range(draw(st.integers(1, 8))):
        moment = at(draw(st.sampled_from([-90_000, 0])) + number)
        signed = draw(st.integers(-5, 5).filter(bool))
        symbol = draw(st.sampled_from(["SPY", "QQQ"]))
        price = draw(st.integers(90, 110))
        paid = {"fee": "0.35", "fee_currency": draw(st.sampled_from(["USD", "USD", "BNB"]))}
        made.append(trade(number, signed, price, **paid, instrument=equity(symbol), executed_at=moment))
    for number, original in enumerate(list(made)):
        kind = draw(st.sampled_from([None, None, "BUST", "CORRECT", "FEE"]))
        if kind:
            amended = fill(
                f"A-{number}",
                original.side.value,
                7,
                "101",
                original.executed_at,
                original.instrument,
                fee="0.1",
                kind=kind,
                ref=original.fill_id,
            )
            made.append(amended)
    return draw(st.permutations(made))


@given(histories(), st.sampled_from(METHODS), st.integers(1, 4))
def test_a_book_that_grew_fill_by_fill_is_the_fold_of_its_fills(
    fills: list[Fill], method: str, size: int
) -> None:
    """R1.8: whatever came late, twice amended or out of order."""
    assert differences(booked(fills, method, size), fills, SESSION_OF, NOW) == []


FILLS = [trade(1, 10, 100), trade(2, -4, 101, fee="1"), trade(3, 5, 50, instrument=equity("QQQ"))]


def spoiled(book: Book, **facts: object) -> Book:
    position = book.positions["default:SPY"].copy()
    for name, value in facts.items():
        setattr(position, name, value)
    return replace(book, positions={**book.positions, position.key: position})


SPOILT: dict[str, Callable[[Book], Book]] = {
    "quantity is 7, its fills make 6": lambda b: spoiled(b, units=Decimal(7)),
    "realised is 0, its fills make 4": lambda b: spoiled(b, realised=Decimal(0)),
    "fees is 2, its fills make 1": lambda b: spoiled(b, fees=Decimal(2)),
    "its lots are others": lambda b: spoiled(b, open=deque([(Decimal(3), Decimal(100), (NOON, "x"))] * 2)),
    "fees in other currencies": lambda b: spoiled(b, other_fees={"EUR": Decimal(1)}),
    "default:QQQ is missing: 5 units": lambda b: replace(
        b, positions={"default:SPY": b.positions["default:SPY"]}
    ),
    "counts 4 fills, the log has 3": lambda b: replace(b, fills=4),
    "session 2026-11-18 in USD": lambda b: replace(b, days={k: Day() for k in b.days}),
    "the totals in USD differ": lambda b: replace(b, totals={}),
}


def test_a_fee_that_came_to_nothing_is_no_difference() -> None:
    """R1.8: a bust, a refund, or a book of an older version, which kept the nought."""
    paid = trade(4, 1, 100, fee="0.01", fee_currency="BNB")
    bust = fill("B-4", "BUY", 0, 0, at(60), kind="BUST", ref=paid.fill_id)
    fills = [*FILLS, paid, bust]
    book = booked(fills, size=1)
    assert book.positions["default:SPY"].other_fees == {}
    assert differences(book, fills, SESSION_OF, NOW) == []
    old = spoiled(book, other_fees={"BNB": Decimal(0)})
    assert differences(old, fills, SESSION_OF, NOW) == []


@pytest.mark.parametrize("text", SPOILT)
def test_a_spoilt_book_is_told_by_name(text: str) -> None:
    [fault] = differences(SPOILT[text](booked(FILLS)), FILLS, SESSION_OF, NOW)
    assert text in fault


def test_a_position_without_fills_is_told() -> None:
    book = booked(FILLS)
    assert "default:QQQ has no fill in the log" in differences(book, FILLS[:2], SESSION_OF, NOW)


def test_a_position_that_the_book_has_forgotten_must_be_flat() -> None:
    closed = [trade(1, 10, 100), trade(2, -10, 101)]
    book = replace(booked(closed), positions={})
    assert differences(book, closed, SESSION_OF, NOW) == []


def test_only_so_many_amendments_may_wait_for_their_fills() -> None:
    """Domain 3.8: kept, with a limit; a fill that comes is booked all the same, and frees its amendment's place."""
    waiting = [fill(f"B-{n}", kind="BUST", ref=f"E-{n}") for n in range(MAX_HELD)]
    full = booked(waiting, size=MAX_HELD)
    with pytest.raises(Rejected) as refused:
        full.with_fills([fill("B-x", kind="BUST", ref="E-x")], SESSION_OF, lambda *_: (), NOW)
    assert refused.value.reason == "TOO_MANY_HELD"
    after = booked([*waiting, fill("E-0"), fill("B-x", kind="BUST", ref="E-x")])
    assert sum(map(len, after.held.values())) == MAX_HELD
    assert after.net_quantity("SPY") == 0
