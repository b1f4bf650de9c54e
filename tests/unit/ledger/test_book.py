"""A book: whatever order its fills arrive in, it is the sorted fold of all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stopline.ledger.book import FLAT_KEPT, Book
from stopline.ledger.days import KEPT_SESSIONS, Day
from stopline.ledger.encoding import decode_book, encode_book
from stopline.ledger.position import Position
from stopline.model.calendars import calendar
from stopline.model.errors import Rejected
from stopline.model.fill import Fill

from ..make import NOON, at, equity, fill, fold, option, trade
from .oracle import account_for, nonzero
from .strategies import fill_lists

SESSION_OF = calendar("XNYS").session_of
LATER = NOON + timedelta(hours=1)


class Log:
    """A fill log that answers like the store's: by position, by time, oldest first."""

    def __init__(self, everything: bool = False) -> None:
        self.fills: list[Fill] = []
        self.everything = everything
        self.asked = 0

    def __call__(self, position: Position | None, late: Fill) -> Sequence[Fill]:
        self.asked += 1
        since = None
        if not self.everything and position and position.cycle and late.order >= position.cycle:
            since = position.cycle[0]
        return sorted(
            (
                f
                for f in self.fills
                if f.strategy == late.strategy
                and f.instrument.symbol == late.instrument.symbol
                and (since is None or f.executed_at >= since)
            ),
            key=lambda f: f.executed_at,
        )


def booked(
    messages: Sequence[Sequence[Fill]],
    now: datetime = LATER,
    prune: bool = False,
    everything: bool = False,
    start: Book | None = None,
) -> Book:
    """Book messages one after another, as the recorder does: fold, commit, then the log has them."""
    book, log = start or Book("demo"), Log(everything)
    for message in messages:
        book = book.with_fills(message, SESSION_OF, log, now)
        if prune:
            book = book.pruned(now)
        log.fills += message
    return book


def chopped(fills: list[Fill], sizes: list[int]) -> list[list[Fill]]:
    messages, rest = [], list(fills)
    for size in sizes:
        if rest:
            messages.append(rest[:size])
            rest = rest[size:]
    return [*messages, rest] if rest else messages


def check_against_the_oracle(book: Book, fills: list[Fill]) -> None:
    truth = account_for(fills, SESSION_OF)
    assert nonzero({k: (d.realised, d.fees) for k, d in book.days.items()}) == nonzero(truth.days)
    assert nonzero({k: (d.realised, d.fees) for k, d in book.totals.items()}) == nonzero(truth.totals)
    assert book.fills == len(fills)
    for name in {f.strategy for f in fills}:
        alone = account_for([f for f in fills if f.strategy == name], SESSION_OF).totals
        own = {c: (d.realised, d.fees) for (of, c), d in book.strategies.items() if of == name}
        assert nonzero(own) == nonzero(alone)
    for (strategy, symbol), naive in truth.positions.items():
        position = book.positions.get(f"{strategy}:{symbol}")
        if position is None:
            assert naive.quantity == 0  # forgotten only when flat
            continue
        assert Fraction(position.quantity) == naive.quantity
        assert Fraction(position.cost) == naive.cost
        assert _merged(position) == _merged_units(naive.units)


def _merged(position: Position) -> list[tuple[Fraction, Fraction]]:
    """Return the lots with neighbours of one price made one."""
    merged: list[tuple[Fraction, Fraction]] = []
    for lot in position.lots:
        quantity, price = Fraction(lot.quantity), Fraction(lot.price)
        if merged and merged[-1][1] == price:
            merged[-1] = (merged[-1][0] + quantity, price)
        else:
            merged.append((quantity, price))
    return merged


def _merged_units(units: list[tuple[int, Fraction]]) -> list[tuple[Fraction, Fraction]]:
    merged: list[tuple[Fraction, Fraction]] = []
    for sign, price in units:
        if merged and merged[-1][1] == price:
            merged[-1] = (merged[-1][0] + Fraction(sign, 4), price)
        else:
            merged.append((Fraction(sign, 4), price))
    return merged


SAME_MOMENT = [  # flat and opened again in one moment: the closing fill sorts before the opening one
    trade(1, 10, 100),
    fill("E-2", "SELL", 10, 101, at(2)),
    fill("E-3", "BUY", 5, 102, at(2)),
    fill("E-4", "BUY", 5, 104, at(4)),
    fill("E-5", "SELL", 2, 103, at(3)),  # comes last, and asks the log from that moment on
]


@given(fill_lists(hours=5), st.data())
@example(SAME_MOMENT, None)
def test_any_order_of_arrival_gives_the_sorted_fold(fills: list[Fill], data: st.DataObject | None) -> None:
    """I1, I12, F05: positions, lots, days and totals; several strategies, symbols, currencies, ties in
    time.
    """
    if data:
        arrived = data.draw(st.permutations(fills))
        sizes = data.draw(st.lists(st.integers(1, 4), max_size=len(fills)))
    else:
        arrived, sizes = fills, [4]
    book = booked(chopped(arrived, sizes))
    check_against_the_oracle(book, fills)
    for key, position in book.positions.items():
        of_it = [f for f in fills if f"{f.strategy}:{f.instrument.symbol}" == key]
        assert position == fold(of_it)[0]


@given(fill_lists(hours=24 * 30), st.data(), st.booleans())
def test_a_book_that_forgets_flat_positions_still_counts_every_day_right(
    fills: list[Fill], data: st.DataObject, everything: bool
) -> None:
    """I1, I12: fills weeks late, after the position was flat for so long that the book has dropped it."""
    arrived = data.draw(st.permutations(fills))
    sizes = data.draw(st.lists(st.integers(1, 4), max_size=len(fills)))
    book = booked(chopped(arrived, sizes), prune=True, everything=everything)
    check_against_the_oracle(book, fills)
    for position in book.open_positions():
        cash = -sum(
            f.signed_quantity * f.price * f.instrument.multiplier
            for f in fills
            if position.cycle
            and f.order >= position.cycle
            and (f.strategy, f.instrument.symbol) == (position.strategy, position.instrument.symbol)
        )
        assert cash + position.cost == fold([f for f in fills if _of(f, position)])[0].realised - _before(
            fills, position
        )


@given(fill_lists(hours=24 * 30), st.data())
def test_time_may_pass_between_the_arrivals(fills: list[Fill], data: st.DataObject) -> None:
    """I12, F04: each message is booked at its own moment, never before its fills were executed."""
    arrived = data.draw(st.permutations(fills))
    now, book, log = NOON - timedelta(days=30), Book("demo"), Log()
    for message in chopped(arrived, data.draw(st.lists(st.integers(1, 3), max_size=len(fills)))):
        passed = timedelta(hours=data.draw(st.integers(0, 24 * 9)))
        now = max(now + passed, *(f.executed_at for f in message))
        book = book.with_fills(message, SESSION_OF, log, now).pruned(now)
        log.fills += message
    check_against_the_oracle(book, fills)


def _of(f: Fill, position: Position) -> bool:
    return (f.strategy, f.instrument.symbol) == (position.strategy, position.instrument.symbol)


def _before(fills: list[Fill], position: Position) -> Decimal:
    """Return what a position realised before it was last flat."""
    earlier = [f for f in fills if _of(f, position) and position.cycle and f.order < position.cycle]
    return fold(earlier)[0].realised if earlier else Decimal(0)


def test_a_late_fill_restates_the_days_it_touches() -> None:
    """R8.6, domain 3.8: the sale of today was of older shares than it seemed; both days change, the total
    is right.
    """
    yesterday = NOON - timedelta(days=1)
    first = fill("E-1", "BUY", 10, 100, yesterday)
    sale = fill("E-3", "SELL", 10, 130, NOON)
    late = fill("E-2", "SELL", 10, 120, yesterday + timedelta(minutes=1))
    book = booked([[first], [sale]])
    assert book.day(date(2026, 11, 18), "USD").realised == 300
    begins = calendar("XNYS").session_start(date(2026, 11, 18))
    assert book.carried_into(date(2026, 11, 18), begins)
    book = booked([[first], [sale], [late]])
    assert book.day(date(2026, 11, 17), "USD").realised == 200
    assert book.day(date(2026, 11, 18), "USD").realised == 0
    assert book.net_quantity("SPY") == -10
    assert not book.carried_into(date(2026, 11, 18), begins)  # today began with nothing after all


def test_the_log_is_asked_only_for_a_fill_that_is_late() -> None:
    """One RPC a fill on a warm instance (design, commit protocol)."""
    log = Log()
    book = Book("demo").with_fills([trade(1, 10, 100)], SESSION_OF, log, LATER)
    book = book.with_fills([trade(2, 10, 100)], SESSION_OF, log, LATER)
    assert log.asked == 0
    log.fills = [trade(1, 10, 100), trade(2, 10, 100)]
    book.with_fills([trade(0, 10, 100)], SESSION_OF, log, LATER)
    assert log.asked == 1


@pytest.mark.parametrize(("age", "late"), [(FLAT_KEPT, True), (FLAT_KEPT - timedelta(seconds=1), False)])
def test_a_week_old_fill_of_an_unknown_position_asks_the_log(age: timedelta, late: bool) -> None:
    """The book forgets flat positions after a week: whatever is older may belong to one of them."""
    assert Book("demo").is_late(fill(executed_at=LATER - age), LATER) is late


@pytest.mark.parametrize(("age", "kept"), [(FLAT_KEPT, False), (FLAT_KEPT - timedelta(seconds=1), True)])
def test_a_flat_position_is_forgotten_after_a_week(age: timedelta, kept: bool) -> None:
    book = booked([[fill("E-1", "BUY"), fill("E-2", "SELL", executed_at=at(1))]])
    assert bool(book.pruned(at(1) + age).positions) is kept
    assert book.pruned(at(1) + age).totals == book.totals


def test_an_open_position_is_never_forgotten() -> None:
    book = booked([[fill("E-1", "BUY")]])
    assert book.pruned(NOON + timedelta(days=365)) is book


def test_a_late_fill_in_another_currency_s_fee_is_counted_once_after_the_position_was_forgotten() -> None:
    """R1.5: a position that is folded again as a whole has the fees of its whole life."""
    bnb = {"fee_currency": "BNB", "fee": "1"}
    old = NOON - timedelta(days=20)
    first = [
        fill("E-1", "BUY", executed_at=old, **bnb),
        fill("E-2", "SELL", executed_at=old + timedelta(hours=1), **bnb),
    ]
    again = [fill("E-3", "BUY", executed_at=NOON)]
    late = [fill("E-0", "BUY", 1, executed_at=old - timedelta(hours=1))]
    book = booked([first, again, late], prune=True)
    assert book.totals["BNB"].fees == 2
    assert book.positions["default:SPY"].other_fees == {"BNB": Decimal(2)}
    kept = booked([first, again], prune=True)
    assert kept.positions["default:SPY"].other_fees == {}  # what came since it was forgotten


def test_the_same_symbol_with_other_terms_is_refused_and_nothing_changes() -> None:
    """R1.5: a changed multiplier must not be mixed into one position."""
    book = booked([[fill("E-1")]])
    other = equity().model_copy(update={"multiplier": Decimal(2)})
    with pytest.raises(Rejected) as refused:
        book.with_fills([fill("E-2", instrument=other, executed_at=at(1))], SESSION_OF, Log(), LATER)
    assert refused.value.reason == "CONTRACT_CHANGED"
    assert book.positions["default:SPY"].quantity == 10


def test_two_contracts_under_one_symbol_in_one_message_are_refused() -> None:
    other = equity().model_copy(update={"currency": "EUR"})
    with pytest.raises(Rejected, match="CONTRACT_CHANGED"):
        booked([[fill("E-1"), fill("E-2", instrument=other, executed_at=at(1))]])


def test_strategies_hold_positions_of_their_own() -> None:
    """R1.1: one sells what the other bought; the account is flat, the strategies are not."""
    book = booked([[fill("E-1", "BUY", strategy="a"), fill("E-2", "SELL", strategy="b", executed_at=at(1))]])
    assert [p.key for p in book.open_positions()] == ["a:SPY", "b:SPY"]
    assert book.net_quantity("SPY") == 0
    assert book.total("USD") == Day()


@given(fill_lists())
def test_with_fills_leaves_the_book_it_came_from_alone(fills: list[Fill]) -> None:
    """A commit that fails must find the cached book unchanged."""
    before = booked([fills[: len(fills) // 2]])
    shown = repr(before)
    log = Log()
    log.fills = fills[: len(fills) // 2]
    after = before.with_fills(fills[len(fills) // 2 :], SESSION_OF, log, LATER)
    assert repr(before) == shown
    assert after.revision == before.revision + 1


def test_the_book_keeps_seventy_sessions_and_all_totals() -> None:
    """F50: the document stays small; older days stand in BigQuery and in the totals."""
    start = NOON - timedelta(days=140)
    fills = [
        fill(f"E-{n}", "BUY" if n % 2 == 0 else "SELL", 1, 100 + n % 2, start + timedelta(days=n))
        for n in range(140)
    ]
    whole = booked([[f] for f in fills])
    book = whole.pruned(LATER)
    assert len(book.days) == KEPT_SESSIONS < len(whole.days)
    assert max(s for s, _ in book.days) == SESSION_OF(fills[-1].executed_at)
    assert book.total("USD").realised == 70


def test_net_is_exact() -> None:
    """B28."""
    day = Day(Decimal("999999999999999.123456789012345678901234"), Decimal("0.000000000000000000000001"))
    assert day.net == Decimal("999999999999999.123456789012345678901233")


def test_option_and_share_positions_stand_side_by_side() -> None:
    """R1.1: one key a strategy and symbol."""
    legs: list[Any] = [option(6000, "P"), option(5990, "P"), equity("SPXW")]
    book = booked([[trade(n, (-1) ** n, 5, instrument=leg) for n, leg in enumerate(legs, 1)]])
    assert len(book.open_positions()) == 3


def test_a_session_knows_whether_it_began_with_anything_held() -> None:
    """R2.1: bought yesterday, sold and bought again today: today did begin with something."""
    yesterday = NOON - timedelta(days=1)
    begins = calendar("XNYS").session_start(SESSION_OF(NOON))
    bought = fill("E-B", "BUY", 10, 100, yesterday)
    today = [trade(1, -10, 101), trade(2, 5, 102), trade(3, -5, 103)]
    assert booked([[bought]]).carried_into(SESSION_OF(NOON), begins)
    for sold in range(1, 4):
        assert booked([[bought, *today[:sold]]]).carried_into(SESSION_OF(NOON), begins)
    assert not booked([today]).carried_into(SESSION_OF(NOON), begins)
    assert not booked(
        [[bought, trade(0, -10, 101, executed_at=yesterday + timedelta(hours=1))], today]
    ).carried_into(SESSION_OF(NOON), begins)


@given(fill_lists(hours=60), st.data())
def test_what_was_held_at_the_start_of_a_session_is_what_the_fills_before_it_left(
    fills: list[Fill], data: st.DataObject
) -> None:
    """R2.1, I12: against the fold of the earlier fills alone, in any order of arrival."""
    arrived = data.draw(st.permutations(fills))
    book = booked(chopped(arrived, data.draw(st.lists(st.integers(1, 4), max_size=len(fills)))))
    session = max(SESSION_OF(f.executed_at) for f in fills)
    begins = calendar("XNYS").session_start(session)
    earlier = account_for([f for f in fills if f.executed_at < begins], SESSION_OF)
    held = any(naive.quantity for naive in earlier.positions.values())
    assert book.carried_into(session, begins) == held


@pytest.mark.parametrize("method", ["", "fifi", "FIFO"])
def test_a_book_of_no_known_method_is_not_made_and_not_read(method: str) -> None:
    """Any other text closed lots first in, first out, without a word."""
    with pytest.raises(
        ValueError, match=f"book demo: method .{method}. is none of fifo, lifo, hifo, average"
    ):
        Book("demo", method=method)
    state = {**json.loads(encode_book(Book("demo"))), "method": method}
    with pytest.raises(ValueError, match="is none of fifo"):
        decode_book(json.dumps(state))
