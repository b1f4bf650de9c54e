"""The check that a book is its fills: silent over every way to come to a book, loud over every way to spoil one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
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
from stopline.model.instrument import Instrument

from ..make import NOON, account, at, equity, fill, trade

SESSION_OF: Callable[[datetime], date] = account().sessions.session_of
NOW = at(3600)
DAY = 24 * 3600
CASH = Instrument.model_validate({"symbol": "USD", "kind": "cash", "currency": "USD"})


def booked(
    fills: list[Fill], method: str = "fifo", size: int = 1, came: Sequence[datetime] | None = None
) -> Book:
    """Book fills as they come, `size` at a time, as the recorder would. `came`: when each does; a book forgets then."""
    book, log = Book("demo", method=method), dict[str, Fill]()
    for start in range(0, len(fills), size):
        some = fills[start : start + size]
        known = dict(log)
        log |= {f.key: f for f in some}

        def since(position: object, late: Fill, known: dict[str, Fill] = known) -> list[Fill]:
            home = (late.strategy, late.instrument.symbol)
            return [f for f in known.values() if (f.strategy, f.instrument.symbol) == home]

        now = max(came[start : start + size]) if came else NOW
        book = book.with_fills(some, SESSION_OF, since, now, known.get)
        book = book.pruned(now) if came else book
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


@st.composite
def weeks(draw: st.DrawFn) -> list[tuple[datetime, Fill]]:
    """Trades and payments over 40 days, some amended, with when each comes: at once mostly, or up to 20 days later."""
    made: list[tuple[float, Fill]] = []
    for number in range(draw(st.integers(2, 9))):
        moment = draw(st.integers(0, 40)) * DAY + number
        what = draw(st.sampled_from(["trade", "trade", "close", "pay"]))
        signed = -sum((f.signed_quantity for _, f in made if f.instrument == equity()), Decimal(0))
        if what == "pay":
            one = fill(
                f"I-{number}", "BUY", 0, 0, at(moment), draw(st.sampled_from([CASH, equity()])),
                kind="FUNDING", fee="-3",
            )  # fmt: skip
        else:
            signed = signed if what == "close" and signed else Decimal(draw(st.sampled_from([-2, -1, 1, 2])))
            paid = {"fee": "0.35", "fee_currency": draw(st.sampled_from(["USD", "BNB"]))}
            one = trade(number, signed, draw(st.integers(90, 110)), executed_at=at(moment), **paid)
        made.append((moment, one))
    for number, (moment, original) in enumerate(list(made)):
        kind = draw(st.sampled_from([None, None, None, "BUST", "CORRECT", "FEE"]))
        if kind and original.kind == "TRADE":
            later = moment + draw(st.integers(0, 20)) * DAY + 30
            amended = fill(
                f"A-{number}", original.side.value, 3, "101", at(later), fee="0.1", kind=kind, ref=original.fill_id
            )  # fmt: skip
            made.append((later, amended))
    late = st.sampled_from([0, 0, 0, 1, 6, 8, 20])
    return sorted(
        ((at(moment + draw(late) * DAY), one) for moment, one in made), key=lambda a: (a[0], a[1].key)
    )


@given(weeks(), st.sampled_from(METHODS), st.integers(1, 3))
def test_a_book_that_forgets_what_is_flat_for_a_week_is_the_fold_of_its_fills(
    arrivals: list[tuple[datetime, Fill]], method: str, size: int
) -> None:
    """R1.8: a share that is traded again after a flat week, interest and dividends month by month."""
    fills, came = [one for _, one in arrivals], [moment for moment, _ in arrivals]
    assert differences(booked(fills, method, size, came), fills, SESSION_OF, came[-1]) == []


REBORN = [
    trade(1, 1, 100),
    trade(2, -1, 110, fee="1"),
    trade(8 * DAY, 1, 50, instrument=equity("QQQ")),
    trade(9 * DAY, 1, 120, fee="2"),
    trade(9 * DAY + 1, -1, 125),
    trade(9 * DAY + 2, 4, 120),
]


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, None),
        ({"realised": Decimal(15)}, "realised is 15, its fills make 5"),
        ({"fees": Decimal(3)}, "fees is 3, its fills make 2"),
        ({"income": Decimal(1)}, "income is 1, its fills make 0"),
        ({"units": Decimal(5)}, "quantity is 5, its fills make 4"),
        ({"spent": Decimal(1)}, "cost is 1, its fills make 480"),
        ({"other_fees": {"EUR": Decimal(1)}}, "fees in other currencies"),
        ({"open": deque([(Decimal(2), Decimal(120), (NOON, "x"))] * 2)}, "its lots are others"),
        ({"fills": 4, "realised": Decimal(15)}, "fees is 2, its fills make 3"),  # 4 fills ago it was not flat
        ({"fills": 6, "realised": Decimal(15), "fees": Decimal(3)}, "counts 6 fills, the log has 5"),
    ],
)
def test_a_position_that_was_forgotten_and_came_again_has_the_sums_of_what_came_since(
    facts: dict[str, object], text: str | None
) -> None:
    """R1.8: it is no difference that it began at nothing, and a real one is found."""
    book = booked(REBORN, came=[one.executed_at for one in REBORN])
    assert book.positions["default:SPY"].fills == 3
    faults = differences(spoiled(book, **facts) if facts else book, REBORN, SESSION_OF, at(9 * DAY + 60))
    assert [text in fault for fault in faults if text] == ([True] if text else [])
    assert bool(faults) == bool(text)


def test_a_late_fee_of_a_busted_fill_costs_nothing_though_its_position_was_forgotten() -> None:
    """Domain 3.8: also where the position has been opened again."""
    bust = fill("B-1", "BUY", 0, 0, at(5 * DAY + 2), kind="BUST", ref="E-3")
    fee = fill("F-1", "BUY", 0, 0, at(13 * DAY + 1), kind="FEE", ref="E-3", fee="2")
    early = [trade(1, 1, 100), trade(2, -1, 100), trade(3, 1, 100, executed_at=at(5 * DAY)), bust]
    for again in ([], [trade(13 * DAY, 1, 120)]):
        fills = [*early, trade(12 * DAY + 60, 1, 50, instrument=equity("QQQ")), *again, fee]
        book = booked(fills, came=[one.executed_at for one in fills])
        assert book.total("USD").fees == 0
        assert differences(book, fills, SESSION_OF, at(14 * DAY)) == []


def test_a_position_of_which_every_fill_was_busted_is_forgotten_like_any_that_is_flat() -> None:
    fills = [
        trade(1, 1, 100),
        fill("B-1", "BUY", 0, 0, at(2), kind="BUST", ref="E-1"),
        trade(6 * DAY, 1, 50, instrument=equity("QQQ")),
    ]
    came = [one.executed_at for one in fills]
    assert "default:SPY" in booked(fills, came=came).positions
    fills[-1] = trade(8 * DAY, 1, 50, instrument=equity("QQQ"))
    came[-1] = fills[-1].executed_at
    assert "default:SPY" not in booked(fills, came=came).positions


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


@pytest.mark.parametrize("name", ["fees", "realised", "income"])
def test_a_trade_with_other_sums_than_its_fills_is_told(name: str) -> None:
    """R1.8: trades have folds of their own, beside those of positions."""
    book = booked(FILLS)
    [leg] = book.legs["default:SPY"]
    spoilt = replace(book, legs=book.legs.replaced({"default:SPY": [replace(leg, **{name: Decimal(7)})]}))
    [fault] = differences(spoilt, FILLS, SESSION_OF, NOW)
    assert f"default:SPY: {name} of the trade of" in fault
    assert "is 7, its fills make" in fault


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
