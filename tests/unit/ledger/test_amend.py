"""Busts, corrections, late fees and events: the book is what stands after all of them, in any order of arrival."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.amend import effective
from stopline.ledger.arrivals import Reader
from stopline.ledger.book import Book
from stopline.ledger.encoding import decode_book, encode_book
from stopline.model.calendars import calendar
from stopline.model.fill import Fill

from ..make import NOON, at, fill, trade
from .oracle import account_for, nonzero
from .strategies import fees, fill_lists, prices, quantities

SESSION_OF = calendar("XNYS").session_of
LATER = NOON + timedelta(hours=1)


def about(kind: str, ref: str, id_: str, seconds: float = 100, **more: Any) -> Fill:
    return fill(id_, kind=kind, ref=ref, executed_at=at(seconds), **more)


def booked(
    messages: list[list[Fill]],
    method: str = "fifo",
    stored: bool = True,
    book: Book | None = None,
    known: Iterable[Fill] = (),
) -> Book:
    """Book messages one after another, into a new book or one with `known` fills; the log answers like the store: with the
    fills of a position and what is about them, whichever came first. What waits, waits for a fill that is not there.
    """
    book, log = book or Book("demo", method=method), {fill.key: fill for fill in known}
    reader = Reader(log, log.get, lambda *_: ())

    def since(position: Any, late: Fill) -> list[Fill]:
        start = position.cycle[0] if position and position.cycle and late.order >= position.cycle else None
        of_it = [f for f in log.values() if reader.home(f).position_key == late.position_key]
        return sorted(
            (f for f in of_it if start is None or f.executed_at >= start), key=lambda f: f.executed_at
        )

    for message in messages:
        book = book.with_fills(message, SESSION_OF, since, LATER, log.get)
        log |= {f.key: f for f in message}
        assert not any(reader.root(waits)[1] for some in book.held.values() for waits in some)
        if stored:
            book = decode_book(encode_book(book))
    return book


def numbers(book: Book) -> Any:
    """Return what a book says, without what only describes how it came about."""
    positions = {
        key: (
            p.quantity,
            p.cost,
            p.realised,
            p.fees,
            list(p.lots),
            p.opened_at,
            p.other_fees,
        )
        for key, p in book.positions.items()
        if p.fills or p.fees or p.realised
    }
    days = {k: (d.realised, d.fees, d.carried, d.income, d.flow) for k, d in book.days.items()}
    totals = {k: (d.realised, d.fees, d.income, d.flow) for k, d in book.totals.items()}
    return positions, {k: v for k, v in days.items() if any(v)}, {k: v for k, v in totals.items() if any(v)}


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Fill], list[Fill]]:
    """Return fills with amendments of some, and the fills as they stand in the end, worked out here by hand."""
    fills = draw(fill_lists(max_size=8, hours=60))
    events, stand = list(fills), []
    for number, one in enumerate(fills):
        what = draw(
            st.sampled_from(
                [
                    *["", "", "bust", "correct", "fee", "correct twice", "correct, bust", "bust, undone"],
                    "bust, filled again",
                ]
            )
        )
        moment = draw(st.integers(0, 3600))
        strategy = draw(st.sampled_from([one.strategy, "default"]))  # a broker may not know the strategy

        def make(
            kind: str,
            ref: str,
            id_: str,
            one: Fill = one,
            moment: int = moment,
            strategy: str = strategy,
            **more: Any,
        ) -> Fill:
            facts = {"kind": kind, "ref": ref, "executed_at": at(moment), "instrument": one.instrument}
            made = fill(id_, **facts, strategy=strategy, **more)
            events.append(made)
            return made

        def correct(ref: str, id_: str, told: dict[str, Any]) -> dict[str, Any]:
            terms = {"quantity": draw(quantities), "price": draw(prices), "fee": draw(fees)}
            made = make("CORRECT", ref, id_, side=draw(st.sampled_from(["BUY", "SELL"])), **terms)
            if made.fee:  # else what was told before stays
                told = {"fee": made.fee, "fee_currency": made.fee_currency}
            return {**told, **{n: getattr(made, n) for n in ("side", "quantity", "price")}}

        result: dict[str, Any] | None = {}
        if "correct" in what:
            result = correct(one.fill_id, f"C-{number}", {})
        if what == "correct twice":
            told = {n: result[n] for n in ("fee", "fee_currency") if n in result}
            result = correct(f"C-{number}", f"CC-{number}", told)
        if what.startswith("bust") or what.endswith(", bust"):
            make(
                "BUST",
                draw(st.sampled_from([one.fill_id, f"C-{number}"])) if "correct" in what else one.fill_id,
                f"B-{number}",
            )
            result = None
        if what == "bust, undone":
            make("BUST", f"B-{number}", f"BB-{number}")
            result = {}
        if what == "bust, filled again":
            again = Fill.model_validate({**one.model_dump(), "fill_id": f"R-{number}"})
            events.append(again)
            stand.append(again)
        if what == "fee":
            late = make("FEE", one.fill_id, f"F-{number}", fee="0.77", fee_currency=one.fee_currency)
            result = {"fee": one.fee + late.fee}
        if result is not None:
            stand.append(Fill.model_validate({**one.model_dump(), **result}))
    return events, stand


@given(stories(), st.data())
def test_any_order_of_arrival_gives_what_stands_in_the_end(
    story: tuple[list[Fill], list[Fill]], data: st.DataObject
) -> None:
    """F56, R1.4, I12: fills, busts, fills again after busts, corrections of corrections, late fees, in any order and any
    cut into messages.
    """
    events, stand = story
    arrived = data.draw(st.permutations(events))
    messages = []
    while arrived:
        size = data.draw(st.integers(1, 4))
        messages.append(arrived[:size])
        arrived = arrived[size:]
    book = booked(messages)
    truth = account_for(stand, SESSION_OF)
    assert nonzero({k: (d.realised, d.fees) for k, d in book.days.items()}) == nonzero(truth.days)
    assert nonzero({k: (d.realised, d.fees) for k, d in book.totals.items()}) == nonzero(truth.totals)
    for (strategy, symbol), naive in truth.positions.items():
        position = book.positions[f"{strategy}:{symbol}"]
        assert (Fraction(position.quantity), Fraction(position.cost)) == (naive.quantity, naive.cost)
    assert book.fills == len(events)


def test_a_bust_of_a_fill_that_a_later_close_consumed_opens_a_short() -> None:
    """Domain case 3."""
    fills = [trade(1, 10, 100), trade(2, -10, 110)]
    book = booked([fills, [about("BUST", "E-1", "B-1")]])
    position = book.positions["default:SPY"]
    assert (position.quantity, position.realised, position.lots[0].price) == (-10, 0, 110)
    assert book.total("USD").realised == 0
    again = booked([[about("BUST", "E-1", "B-1")], [fills[1]], [fills[0]]])
    assert numbers(book) == numbers(again)


def test_a_bust_before_its_fill_is_remembered_until_it_comes() -> None:
    """Domain case 3."""
    book = booked([[about("BUST", "E-1", "B-1")]])
    assert [a.fill_id for waiting in book.held.values() for a in waiting] == ["B-1"]
    assert not book.positions
    book = booked([[about("BUST", "E-1", "B-1")], [trade(1, 10, 100)]])
    assert book.positions["default:SPY"].is_flat
    assert not book.held


def test_a_correction_before_its_fill_is_remembered_until_it_comes() -> None:
    """Domain case 3."""
    correction = about("CORRECT", "E-1", "C-1", quantity=4, price="101")
    assert [*booked([[correction]]).held] == [trade(1, 10, 100).key]
    book = booked([[correction], [trade(1, 10, 100)]])
    assert (book.positions["default:SPY"].cost, book.held) == (404, {})
    assert numbers(book) == numbers(booked([[trade(1, 10, 100)], [correction]]))


def test_bust_then_the_same_fill_under_another_id() -> None:
    """Bust then re-fill: the second one counts."""
    book = booked([[trade(1, 10, 100)], [about("BUST", "E-1", "B-1")], [trade(2, 10, 99)]])
    assert book.positions["default:SPY"].cost == 990


def test_a_correction_keeps_the_place_of_its_original() -> None:
    """Domain 3.8: first in stays first out."""
    fills = [trade(1, 10, 100), trade(2, 10, 110), trade(3, -10, 120)]
    book = booked([fills, [about("CORRECT", "E-1", "C-1", quantity=10, price="101")]])
    assert book.positions["default:SPY"].realised == 190


def test_an_adjustment_by_hand_can_be_taken_back() -> None:
    """R8.6."""
    adjust = fill("A-1", "SELL", 4, 100, at(5), kind="ADJUST", ref="ticket-7")
    assert booked([[trade(1, 10, 100)], [adjust]]).net_quantity("SPY") == 6
    assert booked([[trade(1, 10, 100)], [adjust], [about("BUST", "A-1", "B-1")]]).net_quantity("SPY") == 10


def test_a_ring_of_amendments_ends() -> None:
    ring = [
        about("CORRECT", "C-2", "C-1"),
        about("CORRECT", "C-1", "C-2"),
        about("BUST", "B-2", "B-1"),
        about("BUST", "B-1", "B-2"),
    ]
    assert effective(ring) == []
    assert booked([ring]).fills == 4


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_deposits_are_no_profit_and_funding_is_no_fee(order: tuple[int, ...]) -> None:
    """Domain case 14: a deposit of 800 leaves the day's P&L."""
    cash = {"symbol": "USD", "kind": "cash", "currency": "USD"}
    raw = trade(1, 1, 1).model_dump(mode="json")
    base = {**raw, "quantity": "0", "price": "0", "instrument": cash}
    events = [
        Fill.model_validate({**base, "fill_id": "D", "kind": "FLOW", "fee": "-800"}),
        Fill.model_validate({**base, "fill_id": "F", "kind": "FUNDING", "fee": "1.5"}),
        Fill.model_validate({**base, "fill_id": "V", "kind": "DIVIDEND", "fee": "-4"}),
    ]
    total = booked([[events[n]] for n in order]).total("USD")
    assert (total.flow, total.income, total.net) == (800, Decimal("2.5"), Decimal("2.5"))


@pytest.mark.parametrize(
    ("kind", "terms", "sums"),
    [
        ("FLOW", {"fee": "-800", "quantity": "0", "price": "0"}, {"flow": 800, "income": 0}),
        ("DIVIDEND", {"fee": "-50", "quantity": "0", "price": "0"}, {"flow": 0, "income": 50}),
        ("FUNDING", {"fee": "7", "quantity": "0", "price": "0"}, {"flow": 0, "income": -7}),
        ("SPLIT", {"quantity": "2", "price": "1"}, {"flow": 0, "income": 0}),
    ],
)
@pytest.mark.parametrize("currency", ["USD", "EUR"])
def test_a_late_fee_of_a_payment_or_split_is_a_fee_in_any_order_of_arrival(
    kind: str, terms: dict[str, Any], sums: dict[str, int], currency: str
) -> None:
    """Issue 4.2: it is no part of the amount that was paid."""
    open_ = trade(1, 10, 100)
    event = fill("V", kind=kind, executed_at=at(2), **terms)
    late = about("FEE", "V", "F", 3, fee="1.50", fee_currency=currency, quantity="0", price="0")
    ends = [booked([[one] for one in some]) for some in permutations([open_, event, late])]
    ends += [booked([[open_, event, late]]), booked([[open_], [event, late]])]
    assert all(numbers(end) == numbers(ends[0]) for end in ends)
    assert ends[0].total(currency).fees == Decimal("1.50")
    assert {name: getattr(ends[0].total("USD"), name) for name in sums} == sums
    [told] = {
        (leg.fees, tuple(leg.other_fees.items())) for end in ends for t in end.trades() for leg in t.legs
    }
    in_trade = Decimal(0) if kind == "FLOW" else Decimal("1.50")
    assert told == ((in_trade, ()) if currency == "USD" else (0, (("EUR", in_trade),) if in_trade else ()))


@pytest.mark.parametrize("fee_at", [5, 10])
def test_a_trade_keeps_a_late_fee_that_is_timed_before_its_fill(fee_at: int) -> None:
    """Issue 4.2: a fill that comes late folds again from the last flat point, and the fee lies before it."""
    first, last, late = trade(10, 10, 100), trade(20, 10, 101), trade(15, 10, 102)
    fee = about("FEE", first.fill_id, "A-fee", fee_at, fee="3.25", quantity="0", price="0")
    ends = [booked([[one] for one in some]) for some in permutations([first, fee, last, late])]
    for end in ends:
        assert numbers(end) == numbers(ends[0])
        assert [t.fees for t in end.trades()] == [end.total("USD").fees] == [Decimal("3.25")]


IBKR = "X.01"


@pytest.mark.parametrize("original", ["inline", "late"])
@pytest.mark.parametrize("corrected", ["inline", "late"])
def test_the_fee_of_a_correction_replaces_that_of_what_it_corrects(original: str, corrected: str) -> None:
    """Issue 4.2, domain 3.2: each revision of an execution has its own commission report, and the last one counts."""
    told = {"inline": "3.25", "late": "0"}
    one = fill(IBKR, executed_at=at(1), fee=told[original])
    two = about("CORRECT", IBKR, f"{IBKR}.02", 1, quantity="12", fee=told[corrected])
    events = [one, two]
    if original == "late":
        events.append(about("FEE", IBKR, f"{IBKR}.01:fee", 1, fee="3.25", quantity="0", price="0"))
    if corrected == "late":
        events.append(about("FEE", two.fill_id, f"{IBKR}.02:fee", 1, fee="3.90", quantity="0", price="0"))
    expected = Decimal("3.25" if corrected == "inline" else "3.90")
    for some in permutations(events):
        end = booked([[event] for event in some])
        assert end.total("USD").fees == expected
        assert [t.fees for t in end.trades()] == [expected]
        assert not end.held


@pytest.mark.parametrize("inline", ["3.25", "1.25", "0"])
def test_a_fee_stays_with_a_correction_that_knows_none(inline: str) -> None:
    """Until the correction's own commission is known, the best that is known is the original's."""
    one = fill(IBKR, executed_at=at(1), fee=inline)
    events = [one, about("CORRECT", IBKR, "C", 1, quantity="12", fee="0")]
    if late := Decimal("3.25") - one.fee:
        events.append(about("FEE", IBKR, "F", 1, fee=str(late), quantity="0", price="0"))
    for some in permutations(events):
        assert booked([[event] for event in some]).total("USD").fees == Decimal("3.25")


def test_busting_the_fee_of_a_correction_brings_the_one_before_it_back() -> None:
    one, two = fill(IBKR, executed_at=at(1)), about("CORRECT", IBKR, "C", 1, quantity="12", fee="0")
    fees_ = [
        about("FEE", ref, f"F-{ref}", 1, fee=amount, quantity="0", price="0")
        for ref, amount in ((IBKR, "3.25"), ("C", "3.90"))
    ]
    bust = about("BUST", "F-C", "B", 2, quantity="0", price="0")
    for some in permutations([one, two, *fees_, bust]):
        assert booked([[event] for event in some]).total("USD").fees == Decimal("3.25")
