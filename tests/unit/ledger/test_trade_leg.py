"""Legs: a fold of the same fills as their position, against a second one that counts single units."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.ledger.encoding import decode_book, encode_book
from stopline.ledger.leg_name import marked_id, name_of, naming, tag_of
from stopline.ledger.position import METHODS
from stopline.ledger.trade_leg import TradeLeg
from stopline.ledger.trade_table import LegTable
from stopline.model.errors import Rejected
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument, Kind

from ..make import NOON, at, fill, option
from .oracle import UNIT
from .strategies import INSTRUMENTS, fees, prices, quantities
from .test_amend import booked as amended
from .test_book import LATER, SESSION_OF, Log, booked, chopped

TAGS: list[dict[str, str]] = [
    {},
    {"group_id": "G-1"},
    {"group_id": "G-2"},
    {"order_id": "O-1"},
    {"order_id": "O-2"},
]
MARKED = marked_id("order:O-2", "a close command")
NAMING: list[dict[str, str]] = [{"group_id": "order:O-1"}, {"group_id": "order:"}, {"order_id": MARKED}]


@st.composite
def tagged_fills(
    draw: st.DrawFn, max_size: int = 12, tags: Sequence[dict[str, str]] = (*TAGS, *NAMING)
) -> list[Fill]:
    """Return distinct fills of few positions, with and without ids of groups and orders, and names of orders' legs."""
    made = []
    for number in draw(st.permutations(range(draw(st.integers(1, max_size))))):
        made.append(
            fill(
                f"E-{number}",
                draw(st.sampled_from(["BUY", "SELL"])),
                draw(quantities),
                draw(prices),
                NOON - timedelta(seconds=draw(st.integers(0, 30))),
                draw(st.sampled_from(INSTRUMENTS)),
                fee=draw(fees),
                **draw(st.sampled_from(list(tags))),
            )
        )
    return made


@dataclass
class NaiveLeg:
    tag: str
    start: tuple[datetime, str]
    realised: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    opened: Fraction = Fraction(0)
    most: Fraction = Fraction(0)


@dataclass
class NaiveLegs:
    """One position, unit by unit: (sign, price, leg) in the order of their opening."""

    units: list[tuple[int, Fraction, NaiveLeg]] = field(default_factory=list)
    legs: list[NaiveLeg] = field(default_factory=list)

    def take(self, f: Fill) -> None:
        sign = 1 if f.side == "BUY" else -1
        tag = f"g{f.group_id}" if f.group_id else f"o{f.order_id}" if f.order_id else ""
        tag = {"gorder:O-1": "oO-1", "gorder:": ""}.get(tag, tag)
        names = "oO-2" if f.order_id == MARKED else tag if f.group_id else None
        worth = Fraction(f.price) * Fraction(f.instrument.multiplier)
        touched: list[NaiveLeg] = []
        for _ in range(int(Fraction(f.quantity) / UNIT)):
            if self.units and self.units[0][0] != sign:
                own = [i for i, unit in enumerate(self.units) if unit[2].tag == names]
                opened, entry, leg = self.units.pop(own[0] if own else 0)
                leg.realised += opened * UNIT * (worth - entry)
            else:
                live = [leg for leg in self.legs if any(unit[2] is leg for unit in self.units)]
                found = [leg for leg in live if leg.tag == tag]
                leg = found[0] if found else NaiveLeg(tag, f.order)
                if not found:
                    self.legs.append(leg)
                self.units.append((sign, worth, leg))
                leg.opened += sign * UNIT
                held = sum((unit[0] * UNIT for unit in self.units if unit[2] is leg), Fraction(0))
                leg.most = max(leg.most, held, key=abs)
            touched.append(leg)
        for leg in touched:
            leg.fees += Fraction(f.fee) / len(touched)


def naive(fills: Sequence[Fill]) -> dict[str, list[NaiveLeg]]:
    positions: dict[str, NaiveLegs] = {}
    for f in sorted(fills, key=lambda f: f.order):
        positions.setdefault(f"{f.strategy}:{f.instrument.symbol}", NaiveLegs()).take(f)
    return {key: position.legs for key, position in positions.items()}


def near(a: Decimal, b: Fraction) -> bool:
    return abs(Fraction(a) - b) <= Fraction(1, 10**9)


def arrived(fills: list[Fill], data: st.DataObject) -> list[list[Fill]]:
    order = data.draw(st.permutations(fills))
    return chopped(order, data.draw(st.lists(st.integers(1, 4), max_size=len(fills))))


@given(tagged_fills(), st.data())
def test_legs_are_what_a_count_of_single_units_says_in_any_order_of_arrival(
    fills: list[Fill], data: st.DataObject
) -> None:
    """R1.1 R1.2: realised, fees and sizes of each leg, what a close names going first, else first in, first out."""
    book = booked(arrived(fills, data))
    for key, truth in naive(fills).items():
        legs = book.legs[key]
        assert [leg.start for leg in legs] == [leg.start for leg in truth]
        for leg, expected in zip(legs, truth, strict=True):
            assert Fraction(leg.realised) == expected.realised
            assert near(leg.fees, expected.fees)
            assert (Fraction(leg.opened), Fraction(leg.most)) == (expected.opened, expected.most)


@given(tagged_fills(), st.data(), st.sampled_from(METHODS))
def test_legs_add_up_to_their_position(fills: list[Fill], data: st.DataObject, method: str) -> None:
    """R1.1 R1.4: realised less the cost of what is open, units and fees, to the last digit, under every method."""
    book, log = Book("demo", method=method), Log()
    for message in arrived(fills, data):
        book = book.with_fills(message, SESSION_OF, log, LATER)
        log.fills += message
    for key, position in book.positions.items():
        legs = book.legs.get(key, ())
        rounded = Decimal(0) if method != "average" else Decimal("1e-9")
        assert sum(leg.quantity for leg in legs) == position.quantity
        assert sum(leg.fees for leg in legs) == position.fees
        made = sum(leg.realised - leg.cost for leg in legs)
        assert abs(made - (position.realised - position.cost)) <= rounded


@given(tagged_fills(tags=[{}, {"order_id": "O-1"}, {"order_id": "O-2"}]), st.data())
def test_where_no_group_closes_its_own_legs_realise_what_the_position_realises(
    fills: list[Fill], data: st.DataObject
) -> None:
    """R1.1 R1.4: the sum over trades is the book's."""
    book = booked(arrived(fills, data))
    for key, position in book.positions.items():
        assert sum(leg.realised for leg in book.legs[key]) == position.realised


@given(tagged_fills(), st.data())
def test_legs_do_not_depend_on_the_order_of_arrival(fills: list[Fill], data: st.DataObject) -> None:
    """R1.2 R8.6: to the last digit and id."""
    assert booked(arrived(fills, data)).legs == booked([fills]).legs


@given(tagged_fills(), st.data())
def test_legs_read_back_from_the_document_go_on_as_if_they_had_stayed(
    fills: list[Fill], data: st.DataObject
) -> None:
    """I1."""
    book, log = Book("demo"), Log()
    for message in arrived(fills, data):
        book = decode_book(encode_book(book)).with_fills(message, SESSION_OF, log, LATER)
        log.fills += message
    assert book.legs == booked([fills]).legs
    assert decode_book(encode_book(book)).legs == book.legs


@given(tagged_fills(max_size=8), st.data())
def test_a_split_fill_gives_the_same_legs(fills: list[Fill], data: st.DataObject) -> None:
    """R1.2: cut in two parts of the same moment, order and group."""
    parts = []
    for f in fills:
        half = f.quantity / 2
        if half % Decimal("0.25"):
            parts.append(f)
            continue
        for letter in "ab":
            cut = {"quantity": half, "fee": f.fee / 2, "fill_id": f"{f.fill_id}{letter}"}
            parts.append(Fill.model_validate({**f.model_dump(mode="json"), **_texts(cut)}))
    whole, cut_up = booked([fills]), booked(arrived(parts, data))
    for key in whole.legs:
        for one, other in zip(whole.legs[key], cut_up.legs[key], strict=True):
            assert (one.tag, one.opened, one.realised, one.cost) == (
                other.tag,
                other.opened,
                other.realised,
                other.cost,
            )
            assert near(one.fees, Fraction(other.fees))


def _texts(values: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


@st.composite
def amended_fills(draw: st.DrawFn) -> list[Fill]:
    """Return fills with busts, corrections and late fees of some of them, and with an ending of an option that costs."""
    fills = draw(tagged_fills(max_size=8))
    extra = []
    option_ = next((f.instrument for f in fills if f.instrument.kind is Kind.OPTION), None)
    if option_ is not None and draw(st.booleans()):
        ends: dict[str, Any] = {"ends": "held", "kind": draw(st.sampled_from(["EXPIRE", "SETTLE"]))}
        fills.append(fill("X-1", "BUY", 1, 0, at(1), option_, fee=draw(fees), **ends))
    for index, f in enumerate(draw(st.lists(st.sampled_from(fills), max_size=4, unique_by=id))):
        kind = draw(st.sampled_from(["BUST", "CORRECT", "FEE"]))
        more = {"fee": "0.5"} if kind == "FEE" else {}
        if kind == "CORRECT":
            more = {"fee": draw(fees)}
        quantity = draw(quantities) if kind == "CORRECT" else 0
        extra.append(
            fill(
                f"A-{index}",
                f.side.value,
                quantity,
                draw(prices) if kind == "CORRECT" else 0,
                NOON + timedelta(seconds=index),
                f.instrument,
                kind=kind,
                ref=f.fill_id,
                **more,
            )
        )
    return [*fills, *extra]


@given(amended_fills(), st.data())
def test_busts_corrections_and_late_fees_refold_the_legs(fills: list[Fill], data: st.DataObject) -> None:
    """R8.6: whether they come before or after their fills, the legs are those of all fills at once."""
    book, log = Book("demo"), Log()

    def find(key: str) -> Fill | None:
        return next((f for f in log.fills if f.key == key), None)

    for message in arrived(fills, data):
        book = book.with_fills(message, SESSION_OF, log, LATER, find)
        log.fills += message
    at_once = booked([fills])
    for key in book.legs.keys() | at_once.legs.keys():
        assert _facts(book.legs.get(key, ())) == _facts(at_once.legs.get(key, ()))
    for key, position in book.positions.items():
        legs = book.legs.get(key, ())
        assert sum(leg.realised - leg.cost for leg in legs) == position.realised - position.cost
        assert not legs or sum(leg.fees for leg in legs) == position.fees


def _facts(legs: Sequence[TradeLeg]) -> list[tuple[object, ...]]:
    return [(leg.tag, leg.start, leg.lots, leg.realised, leg.fees, leg.exit_at) for leg in legs]


def test_a_flip_closes_one_leg_and_opens_another_with_its_share_of_the_fee() -> None:
    """R1.4, domain 4b.2: +10@100, sell 15@90 with a fee of 3: -100 realised, -5@90, fee 2 and 1."""
    flip = fill("E-2", "SELL", 15, 90, at(1), order_id="O-2", fee="3")
    book = booked([[fill("E-1", "BUY", 10, 100, order_id="O-1"), flip]])
    was, now = book.legs["default:SPY"]
    assert (was.realised, was.fees, was.lots, was.exit_at) == (-100, 2, type(was.lots)(), at(1))
    assert (now.realised, now.fees, now.quantity, now.entry_price) == (0, 1, -5, 90)


@pytest.mark.parametrize("method", METHODS)
def test_a_closing_fill_takes_the_lots_that_the_account_s_method_takes(method: str) -> None:
    """R1.4: three trades at 100, 120 and 110; one is closed."""
    book = Book("demo", method=method)
    for number, price in enumerate((100, 120, 110)):
        made = fill(f"E-{number}", "BUY", 1, price, at(number), order_id=f"O-{number}")
        book = book.with_fills([made], SESSION_OF, Log(), LATER)
    sold = fill("E-9", "SELL", 1, 130, at(9))
    book = book.with_fills([sold], SESSION_OF, Log(), LATER)
    [closed] = [leg for leg in book.legs["default:SPY"] if not leg.lots]
    assert closed.entry_price == {"fifo": 100, "average": 100, "lifo": 110, "hifo": 120}[method]


@pytest.mark.parametrize(
    "close",
    [
        {"group_id": "order:O-2"},
        {"order_id": marked_id("order:O-2", "x")},
        {"group_id": marked_id("order:O-2", "x")},
    ],
    ids=["by its group", "by the end of its order", "by an order's id as group"],
)
def test_a_close_that_names_an_order_closes_what_that_order_opened(close: dict[str, str]) -> None:
    """R4.5: the position realises by the account's lots, 100 of the first bought; the trade that goes is the named one."""
    bought = [
        fill(f"E-{n}", "BUY", 100, price, at(n), order_id=f"O-{n}") for n, price in ((1, 100), (2, 110))
    ]
    book = booked([[*bought, fill("E-3", "SELL", 100, 105, at(3), **close)]])
    assert [leg.quantity for leg in book.legs["default:SPY"]] == [100, 0]
    assert book.legs["default:SPY"][1].realised == -500
    assert book.positions["default:SPY"].realised == 500
    assert [t.status.value for t in book.trades()] == ["OPEN", "CLOSED"]


def test_what_a_close_of_an_order_opens_is_no_leg_of_another_name() -> None:
    """R4.5: a broker that fills 150 of 100 turns the position round; the rest is under the order's own tag."""
    over = fill("E-2", "SELL", 150, 90, at(1), order_id="C-1", group_id="order:O-1")
    legs = booked([[fill("E-1", "BUY", 100, 100, order_id="O-1"), over]]).legs["default:SPY"]
    assert [(leg.tag, leg.quantity) for leg in legs] == [("order:O-1", 0), ("order:O-1", -50)]


@pytest.mark.parametrize("tag", ["", "order:O-1", "group:G", f"order:{'x' * 128}", f"group:{'x' * 128}"])
def test_every_leg_has_a_name_that_a_fill_can_carry(tag: str) -> None:
    named = naming(fill("E-1", "SELL", group_id=name_of(tag)))
    others = ["order:O-11", "group:order:O", f"order:{'x' * 127}y"]
    assert named is not None
    assert [other for other in (tag, *others) if named(name_of(other))] == [tag]
    assert tag_of(fill("E-2", group_id=name_of(tag))) == tag or len(tag) > 128


def test_funding_is_shared_among_the_trades_that_hold_the_instrument() -> None:
    """R1.5: two orders of 1 and 3 units; what comes while nothing is open is of no trade."""
    book = booked(
        [
            [
                fill("E-1", "BUY", 1, 100, order_id="O-1"),
                fill("E-2", "BUY", 3, 100, at(1), order_id="O-2"),
                fill("E-3", quantity=0, price=0, executed_at=at(2), kind="FUNDING", fee="-2"),
                fill("E-4", "SELL", 4, 100, at(3)),
                fill("E-5", quantity=0, price=0, executed_at=at(4), kind="FUNDING", fee="-7"),
            ]
        ]
    )
    assert [leg.income for leg in book.legs["default:SPY"]] == [Decimal("0.5"), Decimal("1.5")]


def test_a_stock_split_changes_the_units_of_the_legs_not_their_cost() -> None:
    """R1.5: two for one."""
    book = booked(
        [[fill("E-1", "BUY", 5, 100), fill("E-2", "BUY", 2, 1, at(1), kind="SPLIT")]],
    )
    [leg] = book.legs["default:SPY"]
    assert (leg.quantity, leg.opened, leg.entry_price, leg.cost) == (10, 10, 50, 500)


def test_a_leg_knows_by_how_much_it_was_split_since_it_was_opened() -> None:
    """R1.5, R4.1: 3 for 2 and 1 for 4 are 3 for 8, exactly, in the document too; a leg opened later knows nothing of it."""
    splits = [
        fill("S-1", "BUY", 3, 2, at(1), kind="SPLIT"),
        fill("S-2", "BUY", 1, 4, at(2), kind="SPLIT"),
    ]
    later = fill("E-2", "BUY", 5, 100, at(3), order_id="O-2")
    book = booked([[fill("E-1", "BUY", 8, 100, order_id="O-1"), *splits, later]])
    assert [leg.split for leg in book.legs["default:SPY"]] == [(3, 8), (1, 1)]
    again = decode_book(encode_book(book))
    assert [leg.split for leg in again.legs["default:SPY"]] == [(3, 8), (1, 1)]
    assert encode_book(book).count('"split"') == 1


def test_a_fee_in_the_bought_coin_makes_the_leg_smaller() -> None:
    """R1.5: 2 coins bought at 100 less 0.1 coin fee."""
    coin = Instrument.model_validate({"symbol": "BTCUSD", "kind": "crypto", "currency": "USD", "base": "BTC"})
    book = booked([[fill("E-1", "BUY", 2, 100, instrument=coin, fee="0.1", fee_currency="BTC")]])
    [leg] = book.legs["default:BTCUSD"]
    position = book.positions["default:BTCUSD"]
    assert (leg.quantity, leg.fees) == (position.quantity, position.fees) == (Decimal("1.9"), 10)


@pytest.mark.parametrize("method", METHODS)
def test_a_fee_in_coins_that_comes_by_itself_takes_them_out_of_the_legs(method: str) -> None:
    """Issue 4.1: in any order of arrival; what it closes was not ended by anything but trading."""
    coin = Instrument.model_validate({"symbol": "BTCUSD", "kind": "crypto", "currency": "USD", "base": "BTC"})
    fills = [
        fill("E-1", "BUY", 2, 100, at(0), coin, order_id="A"),
        fill("E-2", "SELL", "1.9", 110, at(1), coin, order_id="B"),
        fill("F", "BUY", 0, 100, at(2), coin, kind="FEE", fee="0.1", fee_currency="BTC"),
    ]
    for some in permutations(fills):
        book = amended([[one] for one in some], method=method)
        position = book.positions["default:BTCUSD"]
        [leg] = book.legs["default:BTCUSD"]
        assert (position.quantity, position.fees, position.realised) == (0, 10, 19)
        assert (leg.quantity, leg.fees, leg.realised, leg.ended) == (0, 10, 19, None)


def coin_fill(id_: str, side: str, units: str, price: int, second: int, **more: str) -> Fill:
    contract = {"symbol": "BTCUSD", "kind": "crypto", "currency": "USD", "base": "BTC"}
    return fill(id_, side, units, price, at(second), Instrument.model_validate(contract), **more)


def coin_fee(id_: str, units: str, price: int, second: int) -> Fill:
    return coin_fill(id_, "BUY", "0", price, second, kind="FEE", fee=units, fee_currency="BTC")


@pytest.mark.parametrize("method", METHODS)
def test_a_fee_in_coins_of_before_its_buy_is_of_the_trade_that_the_buy_opens(method: str) -> None:
    """Issue 4.1: Alpaca's rows have a day and no time; the coins that were bought in the evening made two trades."""
    fills = [
        coin_fee("F", "0.25", 100, 0),
        coin_fill("E-1", "BUY", "1", 110, 10, order_id="O-1", fee="2"),
        coin_fill("E-2", "SELL", "0.5", 120, 20, order_id="O-2"),
    ]
    for some in permutations(fills):
        book = amended([[one] for one in some], method=method)
        position, [trade] = book.positions["default:BTCUSD"], book.trades()
        [leg] = trade.legs
        assert (trade.entered_at, leg.quantity, leg.entry_price) == (at(10), Decimal("0.25"), 110)
        assert (leg.fees, leg.realised) == (27, Decimal("2.5")) == (position.fees, position.realised)
        assert [step.realised for step in leg.history] == [Decimal("-2.5"), Decimal("2.5")]
        assert leg.cost == leg.history[-1].cost == Decimal("27.5")


def test_a_refold_loses_no_trade_of_a_book_whose_legs_an_older_version_began_elsewhere() -> None:
    """Before 22 November 2026 coins that a fee took and a short of them were one leg, which began with the fee."""
    fills = [
        coin_fee("F", "0.25", 100, 0),
        coin_fill("E-1", "SELL", "1", 110, 10),
        coin_fill("E-2", "BUY", "1.25", 105, 20, order_id="O-2"),
    ]
    book = amended([fills])
    [*legs] = book.legs["default:BTCUSD"]
    older = replace(
        legs[0],
        tag="",
        start=fills[0].order,
        opened=Decimal("-1.25"),
        realised=sum((leg.realised for leg in legs), Decimal(0)),
        fees=sum((leg.fees for leg in legs), Decimal(0)),
    )
    book = replace(book, legs=LegTable({"default:BTCUSD": [older]}))
    more = coin_fill("E-3", "BUY", "1", 90, 30, order_id="O-3")
    change = coin_fill("C-3", "BUY", "1", 91, 31, kind="CORRECT", ref="E-3")
    book = amended([[more], [change]], book=book, known=fills)
    position, again = book.positions["default:BTCUSD"], book.legs["default:BTCUSD"]
    assert sum(leg.realised - leg.cost for leg in again) == position.realised - position.cost
    assert sum(leg.fees for leg in again) == position.fees


def test_coins_that_are_owed_are_a_trade_until_they_are_bought() -> None:
    """The book says what is so: nobody has them yet. A buy of less takes some of them off."""
    fees = [coin_fee("F-1", "0.25", 100, 0), coin_fee("F-2", "0.25", 100, 1)]
    for some in permutations([*fees, coin_fill("E-1", "BUY", "0.125", 110, 10)]):
        [trade] = amended([[one] for one in some]).trades()
        assert ([leg.quantity for leg in trade.legs], trade.fees) == ([Decimal("-0.375")], 50)
    more = coin_fill("E-2", "BUY", "1", 110, 20, order_id="O-1")
    for some in permutations([*fees, coin_fill("E-1", "BUY", "0.125", 110, 10), more]):
        [trade] = amended([[one] for one in some]).trades()
        assert (trade.entered_at, trade.fees, trade.realised) == (at(20), 50, -5)


@given(
    st.lists(st.tuples(st.sampled_from(["BUY", "SELL", "FEE"]), st.integers(1, 6)), min_size=1, max_size=7),
    st.data(),
)
def test_no_order_of_arrival_of_fees_in_coins_makes_other_trades(
    some: list[tuple[str, int]], data: st.DataObject
) -> None:
    """And their sums are the position's."""
    fills = [
        coin_fee(f"F-{n}", f"0.{units}", 100 + n, n)
        if what == "FEE"
        else coin_fill(f"E-{n}", what, f"{units}", 90 + 7 * n, n, order_id=f"O-{n % 3}", fee="1")
        for n, (what, units) in enumerate(some)
    ]
    whole = amended([fills])
    book = amended([[one] for one in data.draw(st.permutations(fills))])
    assert [trade.legs for trade in book.trades()] == [trade.legs for trade in whole.trades()]
    position, legs = book.positions["default:BTCUSD"], book.legs["default:BTCUSD"]
    assert sum(leg.quantity for leg in legs) == position.quantity
    assert sum(leg.fees for leg in legs) == position.fees
    assert sum(leg.realised - leg.cost for leg in legs) == position.realised - position.cost
    for leg in legs:
        assert leg.entry_worth - leg.exit_worth + leg.realised == leg.cost == leg.history[-1].cost


def test_a_fee_in_coins_is_of_the_contract_that_it_moves() -> None:
    """Money that is paid may be in another currency than the holding's; coins are worth what its price says."""
    coin = Instrument.model_validate({"symbol": "BTCUSD", "kind": "crypto", "currency": "USD", "base": "BTC"})
    book = booked([[fill("E-1", "BUY", 2, 100, instrument=coin)]])
    euros = coin.model_copy(update={"currency": "EUR"})
    paid = fill("F", "BUY", 0, 100, at(2), euros, kind="FEE", fee="0.1", fee_currency="BTC")
    with pytest.raises(Rejected, match="CONTRACT_CHANGED"):
        book.with_fills([paid], SESSION_OF, lambda *_: (), at(3))


@pytest.mark.parametrize("currency", ["BTC", "USD"])
@pytest.mark.parametrize("method", METHODS)
def test_a_late_fee_in_the_coin_takes_it_out_of_what_is_held(method: str, currency: str) -> None:
    """R1.5, issue 4.2: as if the fill had brought it, in any order of arrival; 0.1 of 2 coins bought at 100."""
    coin = Instrument.model_validate({"symbol": "BTCUSD", "kind": "crypto", "currency": "USD", "base": "BTC"})
    bought = fill("E-1", "BUY", 2, 100, at(0), coin, fee_currency=currency)
    more = fill("E-2", "BUY", 1, 130, at(1), coin)
    paid = {"fee": "0.1", "fee_currency": "BTC"}
    late = fill("F", "BUY", 0, 0, at(9), coin, kind="FEE", ref="E-1", **paid)
    inline = fill("E-1", "BUY", 2, 100, at(0), coin, **paid)
    expected = amended([[inline, more]], method=method)
    position = expected.positions["default:BTCUSD"]
    assert (position.quantity, position.fees) == (Decimal("2.9"), 10)
    for some in permutations([bought, more, late]):
        book = amended([[one] for one in some], method=method)
        found = book.positions["default:BTCUSD"]
        [leg] = book.legs["default:BTCUSD"]
        assert (found.quantity, found.cost, found.realised, found.fees) == (
            position.quantity,
            position.cost,
            position.realised,
            position.fees,
        )
        assert (leg.quantity, leg.fees, leg.realised) == (Decimal("2.9"), 10, 0)


def test_a_leg_outlives_its_position_in_the_document() -> None:
    """A closed leg of a position that has left the book is written with its contract and strategy."""
    opened, closed = (
        fill("E-1", strategy="condors"),
        fill("E-2", "SELL", executed_at=at(1), strategy="condors"),
    )
    book = booked([[opened, closed]])
    alone = replace(book, positions={})
    again = decode_book(encode_book(alone))
    assert dict(again.legs) == dict(book.legs)
    assert again == alone
    assert again.legs.scope_of("condors:SPY") == ("condors", "SPY")
    assert (again.legs.count_closed(), again.open_trades()) == (1, [])
    assert [t.strategy for t in again.trades()] == ["condors"]


def test_a_late_fee_needs_no_fill_log_where_its_fill_is_known() -> None:
    """One RPC a fill: IBKR reports a commission for every one."""
    log = Log()
    opened = fill("E-1", "BUY", 10, 100, order_id="O-1")
    book = Book("demo").with_fills([opened], SESSION_OF, log, LATER)
    late = fill("F-1", quantity=0, price=0, executed_at=at(5), kind="FEE", ref="E-1", fee="1.25")
    book = book.with_fills([late], SESSION_OF, log, LATER, lambda key: opened)
    assert book.legs["default:SPY"][0].fees == Decimal("1.25")
    assert log.asked == 0


def test_a_book_from_before_there_were_trades_has_a_leg_for_each_open_position() -> None:
    """F46: what is held goes on, with the lots as they are."""
    book = booked([[fill("E-1", "SELL", 2, 5, instrument=option(6000))]])
    state = json.loads(encode_book(book))
    del state["legs"]
    state["schema"] = 2
    [leg] = decode_book(json.dumps(state)).legs[f"default:{option(6000).symbol}"]
    assert (leg.quantity, leg.entry_price, leg.tag) == (-2, 5, "")


def test_money_in_another_currency_that_comes_in_lowers_what_was_paid_in_it() -> None:
    """R1.5: a dividend in a third currency is no income in the leg's; what is paid of it is."""
    euros = {"fee_currency": "EUR"}
    book = booked(
        [
            [
                fill("E-1", "BUY", 5, 100, fee="3", **euros),
                fill("E-2", kind="DIVIDEND", fee="-2", executed_at=at(1), **euros),
                fill("E-3", kind="DIVIDEND", fee="-4", executed_at=at(2), fee_currency="USD"),
            ]
        ]
    )
    [leg] = book.legs["default:SPY"]
    assert (leg.other_fees, leg.income) == ({"EUR": Decimal(1)}, Decimal(4))


def test_the_steps_of_a_leg_are_in_the_units_of_after_a_split() -> None:
    """R1.2: what was at risk when is told in today's units, the last step in what is really held."""
    book = booked(
        [
            [
                fill("E-1", "BUY", 3, 100),
                fill("E-2", "BUY", 4, 100, at(60)),
                fill("E-3", "SELL", 2, 100, at(120)),
                fill("S-1", "BUY", 1, 3, at(180), kind="SPLIT"),
            ]
        ]
    )
    [leg] = book.legs["default:SPY"]
    assert [step.units for step in leg.steps][-1] == leg.quantity
    whole = booked(
        [
            [
                fill("E-1", "BUY", 3, 100),
                fill("E-2", "BUY", 4, 100, at(60)),
                fill("E-3", "SELL", 2, 100, at(120)),
            ]
        ]
    )
    before = whole.legs["default:SPY"][0].steps
    assert len(leg.steps) == len(before) > 1
    for step, old in zip(leg.steps, before, strict=True):
        assert abs(step.units - old.units / 3) < Decimal("1E-11")
        assert step._replace(units=old.units) == old
