"""Settlement and assignment: what ends options, and what they would bring."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest

from stopline.ledger.book import Book
from stopline.ledger.lifecycle import assignments, exposure, intrinsic, settlement
from stopline.ledger.position import Position
from stopline.ledger.trade_table import LegTable
from stopline.model.calendars import calendar
from stopline.model.errors import Rejected
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument

from ..make import NOON, at, fill, option
from .test_amend import booked as amended
from .test_book import booked

XNYS = calendar("XNYS")
EXPIRY = date(2026, 11, 18)
AFTER = XNYS.close_of(EXPIRY)


def held(*legs: tuple[Instrument, int, str]) -> list[Position]:
    fills = [
        fill(f"E-{n}", "BUY" if units > 0 else "SELL", abs(units), price, at(n), contract)
        for n, (contract, units, price) in enumerate(legs)
    ]
    return booked([fills]).open_positions()


def settled(positions: list[Position], price: str, now: datetime = AFTER, root: str = "SPXW") -> list[Fill]:
    messages = settlement("demo", positions, root, EXPIRY, Decimal(price), "paper", XNYS, now)
    return [Fill.model_validate(message) for message in messages]


@pytest.mark.parametrize(
    ("right", "spot", "worth"), [("C", "6010", 10), ("C", "5990", 0), ("P", "5990", 10), ("P", "6000", 0)]
)
def test_the_intrinsic_value_is_never_below_zero(right: str, spot: str, worth: int) -> None:
    assert intrinsic(option(6000, right), Decimal(spot)) == worth


def test_a_settlement_price_ends_a_spread_at_its_intrinsic_value() -> None:
    """Issue 4.5: 6000/5990 put spread for 1.00, settled at 5996.40: it costs 3.60 a unit and loses 2.60."""
    positions = held((option(6000), -2, "3"), (option(5990), 2, "2"))
    fills = settled(positions, "5996.40")
    by_strike = {f.instrument.strike: f for f in fills}
    short, long = by_strike[Decimal(6000)], by_strike[Decimal(5990)]
    assert (short.kind.value, short.side.value, short.quantity, short.price) == (
        "SETTLE",
        "BUY",
        2,
        Decimal("3.6"),
    )
    assert (long.kind.value, long.side.value, long.price) == ("EXPIRE", "SELL", 0)
    assert {f.executed_at for f in fills} == {AFTER}
    entry = [
        fill("E-0", "SELL", 2, "3", at(0), option(6000)),
        fill("E-1", "BUY", 2, "2", at(1), option(5990)),
    ]
    after = booked([entry, fills])
    assert after.open_positions() == []
    assert after.total("USD").realised == -520


def test_the_same_settlement_twice_is_a_duplicate_and_another_price_is_not() -> None:
    positions = held((option(6000), -2, "3"))
    one, again, other = (settled(positions, price)[0] for price in ("5990", "5990.0", "5991"))
    assert (one.key, one.hash) == (again.key, again.hash)
    assert one.key != other.key
    more = held((option(6000), -2, "3"), (option(6000), -1, "3"))
    alike = [fill("E-9", "SELL", 2, "3", at(0), option(6000))]
    assert (
        len({one.key, settled(more, "5990")[0].key, settled(booked([alike]).open_positions(), "5990")[0].key})
        == 3
    )


def test_strategies_of_alike_names_are_settled_each() -> None:
    names = ("a" * 48 + "-one", "a" * 48 + "-two")
    fills = [fill(f"E-{name[-3:]}", "SELL", 2, "3", at(0), option(6000), strategy=name) for name in names]
    ends = settled(booked([fills]).open_positions(), "5990")
    assert booked([fills, ends]).open_positions() == []


def test_two_settlements_that_meet_end_a_position_once() -> None:
    """A fill comes between two commands before the first is booked: neither opens anything, in whatever order they come."""
    entry, late = (fill(f"E-{n}", "SELL", 2 - n, "3", at(n), option(6000)) for n in range(2))
    [first], [second] = (
        settled(held((option(6000), -2, "3")), "5990"),
        settled(booked([[entry, late]]).open_positions(), "5990"),
    )
    for some in permutations([entry, late, first, second]):
        book = booked([[one] for one in some])
        assert (book.open_positions(), book.total("USD").realised) == ([], -2100)


def expired(name: str, quantity: int, contract: Instrument, when: datetime = AFTER) -> Fill:
    return fill(name, "BUY", quantity, "0", when, contract, kind="EXPIRE", ends="held")


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("method", ["fifo", "lifo", "hifo", "average"])
def test_an_expiry_that_says_no_side_ends_what_is_held_whatever_came_first(side: str, method: str) -> None:
    """Issue 4: the book alone knows which way it was; a fill that comes after the expiry is ended by it too."""
    fills = [
        fill("E-1", side, 2, "3", at(0), option(6000)),
        fill("E-2", side, 1, "2", at(5), option(6000)),
        expired("X-1", 2, option(6000)),
        expired("X-2", 1, option(6000), AFTER + timedelta(seconds=1)),
    ]
    money = 800 if side == "SELL" else -800
    for some in permutations(fills):
        for messages in ([[one] for one in some], [list(some)], [list(some[:2]), list(some[2:])]):
            book = booked(messages, start=Book("demo", method=method))
            assert (book.open_positions(), book.total("USD").realised) == ([], money)
            [trade] = book.trades()
            assert (trade.exited_at is not None, trade.realised) == (True, money)


def test_an_expiry_that_says_no_side_opens_nothing() -> None:
    """Of more units than are held, or of none; what is bought after it stays, as its units do that are not told."""
    bought, more = (fill(f"E-{n}", "BUY", 2, "3", at(n), option(6000)) for n in range(2))
    for some in permutations([bought, expired("X-1", 5, option(6000), at(30))]):
        assert booked([[one] for one in some]).open_positions() == []
    assert booked([[expired("X-1", 5, option(6000), at(30))]]).open_positions() == []
    for some in permutations([bought, expired("X-1", 1, option(6000), at(0.5)), more]):
        assert booked([[one] for one in some]).net_quantity(option(6000).symbol) == 3


def test_a_fee_of_an_ending_that_ends_nothing_is_of_what_was_closed_last() -> None:
    """R1.2: the fees of the trades are the book's, in any order of arrival, however long the trade has been closed."""
    fills = [
        fill("E-1", "BUY", 2, "3", at(0), option(6000), order_id="O-1", fee="0.25"),
        fill("E-2", "SELL", 2, "4", at(5), option(6000)),
        fill("X-1", "BUY", 2, "0", AFTER, option(6000), kind="EXPIRE", ends="held", fee="0.5"),
        fill("F-1", "BUY", 0, "0", AFTER, option(6000), kind="FEE", ref="X-1", fee="0.125"),
    ]
    for some in permutations(fills):
        book = amended([[one] for one in some])
        [trade] = book.trades()
        assert (trade.fees, book.total("USD").fees) == (Decimal("0.875"),) * 2
    book = booked([fills[:2]])
    for one in (book, replace(book, legs=LegTable())):  # a day later the trade is forgotten
        again = amended([fills[2:3]], book=one, known=fills[:2])
        assert [trade.fees for trade in again.trades()] == [Decimal("0.75")]


@pytest.mark.parametrize("some", list(permutations(range(3))))
def test_a_fee_that_waited_for_its_fill_counts_once_beside_an_ending_with_a_fee(
    some: tuple[int, ...],
) -> None:
    """R1.2: whatever comes first, each alone or two in one message."""
    fills = [
        fill("E-1", "SELL", 2, "30", at(1), option(6000)),
        fill("F-1", "BUY", 0, "0", at(20), option(6000), kind="FEE", ref="E-1", fee="3"),
        fill("X-1", "BUY", 2, "0", at(10), option(6000), kind="EXPIRE", ends="held", fee="1"),
    ]
    first, second, third = (fills[place] for place in some)
    for messages in ([[first], [second], [third]], [[first], [second, third]], [[first, second], [third]]):
        book = amended(messages)
        [trade] = book.trades()
        assert (trade.fees, trade.net, book.total("USD").fees) == (4, 5996, 4)


def test_the_fee_of_an_ending_is_of_what_was_open_before_it_also_where_more_ended_nothing() -> None:
    """Two settlements, and a payment between them, after which the second comes late; then it is opened again."""
    ended = [
        fill(f"X-{n}", "BUY", 2, "0", at(10 * n), option(6000), kind="EXPIRE", ends="held", fee="0.5")
        for n in (1, 2)
    ]
    opened = [fill(f"E-{n}", "BUY", 2, "3", at(n), option(6000)) for n in (0, 30)]
    paid = fill("P-1", "BUY", 0, "0", at(25), option(6000), kind="FUNDING", fee="7")
    for some in permutations([*ended, *opened, paid]):
        fees = sorted((t.entered_at, t.fees) for t in booked([[one] for one in some]).trades())
        assert fees == [(at(0), 1), (at(30), 0)]


def test_nothing_is_settled_before_the_price_can_be_known() -> None:
    with pytest.raises(Rejected) as refused:
        settled(held((option(6000), -2, "3")), "5990", NOON)
    assert refused.value.reason == "NOT_SETTLED_YET"


def test_what_is_delivered_is_not_settled_by_a_price() -> None:
    """Who is assigned only the broker knows: an option out of the money may be."""
    with pytest.raises(Rejected) as refused:
        settled(held((option(200, root="AAPL"), -2, "3")), "190", AFTER, "AAPL")
    assert refused.value.reason == "SETTLED_BY_DELIVERY"


@pytest.mark.parametrize(("price", "reason"), [("0", "BAD_PRICE"), ("5990", "NOTHING_TO_SETTLE")])
def test_a_settlement_without_an_object_or_a_price_is_refused(price: str, reason: str) -> None:
    with pytest.raises(Rejected) as refused:
        settled(held((option(6000, root="NDXP"), -2, "3")), price)
    assert refused.value.reason == reason


def test_the_root_tells_the_monthly_from_the_weekly() -> None:
    """SPX of that day was settled in the morning, SPXW is not."""
    weekly, monthly = option(6000), option(6000, root="SPX")
    assert [f.instrument for f in settled(held((weekly, -1, "3"), (monthly, -1, "3")), "5990")] == [weekly]


def test_short_options_in_the_money_are_expected_to_be_assigned() -> None:
    """Issue 4.5: strike x multiplier x units; shares come for a put and go for a call."""
    legs = held(
        (option(200, "P", root="AAPL"), -2, "3"),
        (option(210, "C", root="AAPL"), -1, "3"),
        (option(190, "C", root="AAPL"), -1, "9"),
        (option(150, "P", root="AAPL"), 5, "1"),
    )
    found = {a.position.instrument.strike: a for a in assignments(legs, XNYS, {"AAPL": Decimal(195)}.get)}
    assert set(found) == {200, 210, 190}
    put, call, deep = found[Decimal(200)], found[Decimal(210)], found[Decimal(190)]
    assert (put.is_expected, put.units, put.money, put.early, put.dividend) == (
        True,
        200,
        -40000,
        True,
        False,
    )
    assert (call.is_expected, call.units, call.money, call.dividend) == (False, -100, 21000, True)
    assert (deep.is_expected, deep.money) == (True, 19000)
    assert exposure(list(found.values())) == {"USD": 59000}


@pytest.mark.parametrize(
    ("root", "currency", "market", "early", "dividend"),
    [
        ("SPY", "USD", "XNYS", True, True),
        ("RELIANCE", "INR", "XNSE", False, False),  # by delivery, and European
        ("OEX", "USD", "XNYS", True, False),  # American, in cash
        ("XEO", "USD", "XNYS", False, False),
        ("BTC-USD", "USD", "24/7", False, False),
    ],
)
def test_early_is_what_may_be_exercised_early(
    root: str, currency: str, market: str, early: bool, dividend: bool
) -> None:
    """Issue 4.4: by the product, whatever it delivers."""
    call = Instrument.model_validate(
        {**option(100, "C").model_dump(mode="json"), "symbol": "C", "underlying": root, "currency": currency}
    )
    held = booked([[fill("E-1", "SELL", 1, "3", at(0), call)]]).open_positions()
    [short] = assignments(held, calendar(market), lambda _: Decimal(110))
    assert (short.early, short.dividend) == (early, dividend)


def test_an_index_option_brings_cash_and_never_early() -> None:
    [short] = assignments(held((option(6000), -2, "3")), XNYS, {"SPXW": Decimal(5990)}.get)
    assert (short.units, short.money, short.early, short.dividend) == (0, -2000, False, False)


def test_without_the_price_of_the_underlying_the_exposure_is_unknown() -> None:
    none: dict[str, Decimal] = {}
    [short] = assignments(held((option(6000), -2, "3")), XNYS, none.get)
    assert (short.is_expected, short.money) == (None, None)
    assert exposure([short]) == {"USD": None}


def test_an_assignment_of_a_short_call_leg_leaves_the_shares_and_the_other_leg() -> None:
    """Issue 4.5, domain 4b: the broker's fills say it: the call ends at 0, shares are sold at the strike."""
    short, long = option(190, "C", root="AAPL"), option(200, "C", root="AAPL")
    shares = Instrument.model_validate({"symbol": "AAPL", "kind": "equity", "currency": "USD"})
    entry = [
        fill("E-1", "SELL", 1, "6", at(0), short, group_id="G"),
        fill("E-2", "BUY", 1, "2", at(0), long, group_id="G"),
    ]
    morning = [
        fill("A-1", "BUY", 1, "0", at(900), short, kind="ASSIGN", group_id="X"),
        fill("A-2", "SELL", 100, "190", at(900), shares, kind="ASSIGN", group_id="X"),
    ]
    book = booked([entry, morning])
    spread, delivered = book.trades()
    assert [(leg.ended and leg.ended.value, leg.quantity) for leg in spread.legs] == [
        ("ASSIGN", 0),
        (None, 1),
    ]
    assert spread.realised == 600
    assert (delivered.legs[0].quantity, delivered.legs[0].entry_price) == (-100, 190)
    assert book.net_quantity("AAPL") == -100
