"""Trades that IBKR books, takes back and books again, in Flex statements cut, ordered and repeated in any way.

The law: once every row has been in some statement, the book holds what the last booking says, and has paid what all rows
charge; before that, what the rows say that have come. No honest row is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.brokers import read
from stopline.ledger.book import Book
from stopline.ledger.check import differences
from stopline.model.calendars import calendar
from stopline.service.fills.books import read_fill
from stopline.service.fills.outcome import Result

from ..ledger.test_amend import booked as fold_in
from ..make import NOON, account, fold, trade
from .world import World

Rows = tuple[str, ...]
SESSION_OF = calendar("XNYS").session_of
ATTRIBUTES = {"broker": "ibkr", "account": "demo"}
EXEC = "00012345.6789abcd.01"


def row(transaction: int, quantity: int, fee: str, **more: str) -> str:
    told = {
        "accountId": "DU1", "currency": "USD", "assetCategory": "STK", "symbol": "XYZ", "tradePrice": "0.32",
        "levelOfDetail": "EXECUTION", "dateTime": "20261117;120440", "transactionType": "ExchTrade", "notes": "",
        "buySell": "BUY" if quantity > 0 else "SELL", "quantity": str(quantity), "ibCommission": fee,
        "ibCommissionCurrency": "USD", "tradeID": "2001", "ibExecID": f"{EXEC}.01", "ibOrderID": "77",
        "transactionID": str(transaction), **more,
    }  # fmt: skip
    return f"<Trade {' '.join(f'{name}={chr(34)}{value}{chr(34)}' for name, value in told.items())} />"


def back(transaction: int, quantity: int, fee: str = "0", **more: str) -> str:
    """A cancellation as public statements have it: no ids of its own, the trade that it takes back."""
    side = "BUY (Ca.)" if quantity < 0 else "SELL (Ca.)"
    ids = {
        "tradeID": "",
        "ibExecID": "",
        "origTradeID": "2001",
        "notes": "Ca",
        "transactionType": "TradeCancel",
    }
    return row(transaction, quantity, fee, **{**ids, "buySell": side, **more})


OWN = {"tradeID": "2003", "ibExecID": "00012345.6789abcd.77.01"}
AGAIN: dict[str, dict[str, str]] = {
    "the same ids": {},
    "its next revision": {"ibExecID": f"{EXEC}.02"},
    "a revision with a trade id of its own": {"ibExecID": f"{EXEC}.02", "tradeID": "2003", "notes": "Co"},
    "a correction with ids of its own": {**OWN, "origTradeID": "2001", "transactionType": "TradeCorrect"},
    "a note, and ids of its own": {**OWN, "origTradeID": "2001", "notes": "Co"},
    "a trade that names the first": {**OWN, "origTradeID": "2001"},
    "a trade that names its transaction": {**OWN, "origTransactionID": "1001"},
    "a trade that names none": OWN,
}
FEES = {"paid once": ("-6", "0", "0"), "given back": ("-6", "6", "-5"), "less": ("-1.3666", "0", "0.3333")}


def story(
    name: str, fees: tuple[str, str, str] = FEES["paid once"], exec_ids: bool = True, **cancel: str
) -> Rows:
    none = {} if exec_ids else {"ibExecID": ""}
    first, taken, again = fees
    return (
        row(1001, 5000, first, **none),
        back(1002, -5000, taken, **cancel),
        row(1003, 4000, again, **{"tradePrice": "0.3", **AGAIN[name], **none}),
    )


STORIES: dict[str, Rows] = {
    **{name: story(name) for name in AGAIN},
    **{f"the same ids, {how}": story("the same ids", FEES[how]) for how in FEES},
    **{f"its next revision, {how}": story("its next revision", FEES[how]) for how in FEES},
    **{f"names the first, {how}": story("a trade that names the first", FEES[how]) for how in FEES},
    "no execution ids": story("the same ids", exec_ids=False),
    "ids of its own without executions": story("a trade that names the first", exec_ids=False),
    "cancelled by its transaction": story("the same ids", origTradeID="", origTransactionID="1001"),
    "cancelled by both": story("its next revision", origTransactionID="1001"),
    "cancelled for good": story("the same ids")[:2],
    "cancelled for good, given back": story("the same ids", FEES["given back"])[:2],
    "the same ids and terms": (row(1001, 4000, "0"), back(1002, -4000), row(1003, 4000, "0")),
    "the same terms, paid again": (row(1001, 4000, "-6"), back(1002, -4000, "6"), row(1003, 4000, "-6")),
    "sold": (row(1001, -5000, "-6"), back(1002, 5000), row(1003, -4000, "0", ibExecID=f"{EXEC}.02")),
}
TRUTH = {name: Decimal(0 if "for good" in name else -4000 if name == "sold" else 4000) for name in STORIES}


def paid(rows: Iterable[str]) -> Decimal:
    return -sum(
        (Decimal(one.partition('ibCommission="')[2].partition('"')[0]) for one in set(rows)), Decimal(0)
    )


def statement(rows: Iterable[str]) -> bytes:
    return (
        '<?xml version="1.0"?><FlexQueryResponse queryName="q" type="AF"><FlexStatements count="1">'
        f'<FlexStatement accountId="DU1"><Trades>{"".join(rows)}</Trades></FlexStatement>'
        "</FlexStatements></FlexQueryResponse>"
    ).encode()


def opened() -> World:
    world = World()
    world.open_account(account(brokers=["ibkr"]))
    return world


@pytest.fixture(name="world")
def _world() -> World:
    return opened()


def booked(statements: Sequence[Sequence[str]]) -> Iterator[Book]:
    """Book statements one after another, as they are delivered; yield the book after each."""
    world = opened()
    app, _ = world.instance()
    for number, rows in enumerate(statements):
        items = read(statement(rows), ATTRIBUTES)
        assert [item.refused for item in items if item.refused] == []
        outcomes = app.recorder.record([item.fill for item in items if item.fill], f"m-{number}")
        assert [outcome.refused for outcome in outcomes if outcome.result is Result.REFUSED] == []
        book = world.book()
        assert book is not None
        log = [read_fill(document) for document in world.shared.query("fills")]
        assert differences(book, log, SESSION_OF, NOON) == []
        yield book


def totals(book: Book) -> tuple[Decimal, Decimal, Decimal]:
    total = book.total("USD")
    return book.net_quantity("XYZ"), total.fees, total.realised


def cuttings(rows: Rows) -> Iterator[list[Rows]]:
    """Yield the ways in which rows come that are in one statement each, and in ever longer ones, in any order."""
    for some in permutations(rows):
        for mask in range(2 ** (len(rows) - 1)):
            cuts = [0, *(place for place in range(1, len(rows)) if mask >> place - 1 & 1), len(rows)]
            yield [some[start:end] for start, end in pairwise(cuts)]
    for longer in permutations([rows[:end] for end in range(1, len(rows) + 1)]):
        yield list(longer)
    yield [rows[:-1], rows, rows]
    yield [rows, rows[-1:], rows[1:]]


def so_far(name: str, rows: Rows, seen: set[str]) -> Decimal:
    """Return what the rows of a story that have come say is held."""
    first, taken, again = (one in seen for one in (*rows, "")[:3])
    stands = (4000 if "terms" in name else 5000) if first and not taken else 0
    if name == "a trade that names none":
        return Decimal(stands + (4000 if again else 0))
    waits = "revision" in name or name in ("cancelled by both", "sold")  # for the execution that it revises
    units = 4000 if again and (first or not waits) else 0 if again else stands
    return Decimal(-units if name == "sold" else units)


def check(name: str, rows: Rows, statements: Sequence[Rows]) -> None:
    seen: set[str] = set()
    for some, book in zip(statements, booked(statements), strict=True):
        seen |= {*some}
        assert book.net_quantity("XYZ") == so_far(name, rows, seen), seen
    assert (book.net_quantity("XYZ"), book.total("USD").fees) == (TRUTH[name], paid(rows))
    assert book.total("USD").realised == 0


@pytest.mark.parametrize("name", STORIES)
def test_a_trade_that_is_booked_again_is_what_it_was_told_last_however_statements_are_cut(name: str) -> None:
    """Issue 4: daily or from the month's first day, in any order, any of them twice."""
    rows = STORIES[name]
    for statements in cuttings(rows):
        check(name, rows, statements)


def test_a_row_that_comes_alone_and_behind_one_of_its_id_charges_once() -> None:
    """It is told under the id of its execution, then under its own."""
    revised = {"ibExecID": f"{EXEC}.02"}
    rows = [row(1001, 5000, "-6"), back(1002, -5000, "-2"), row(1003, 4000, "-5", **revised)]
    rows += [back(1004, -4000, "-2"), row(1005, 3000, "-4", **revised)]
    same = [one.replace(f"{EXEC}.02", f"{EXEC}.01") for one in rows]
    named = [
        one.replace('origTradeID="2001"', 'origTradeID="" origTransactionID="1003"') for one in same[3:4]
    ]
    for some in (rows, same, [*same[:3], *named, same[4]]):
        for statements in ([some[4:], some], [some[2:3], some[4:], some], [some[::-1], some[2:]]):
            *_, book = booked(statements)
            assert (book.net_quantity("XYZ"), book.total("USD").fees) == (3000, 19)


def test_a_trade_whose_rows_tell_times_of_their_own_was_made_at_that_of_the_first_whatever_came_first() -> (
    None
):
    """Which lot a sale takes, and what it made, hangs on that time: 1,000 bought at 0.20 at 12:30 of an earlier booking."""
    bought = row(
        901, 1000, "0", tradeID="3002", ibExecID="f.2.01.01", dateTime="20261117;123000", tradePrice="0.2"
    )
    sold = row(
        902, -1000, "0", tradeID="3003", ibExecID="f.3.01.01", dateTime="20261117;140000", tradePrice="0.5"
    )
    late = {"dateTime": "20261117;130000"}
    rows = (row(1001, 5000, "-6"), back(1002, -5000, **late), row(1003, 4000, "0", tradePrice="0.3", **late))
    for some in permutations(rows):
        for statements in ([(bought, sold), *((one,) for one in some)], [(*some, bought, sold)]):
            *_, book = booked(statements)
            assert totals(book) == (4000, 6, 200)


@pytest.mark.parametrize("fee", ["-5", "0", "-4"])
@pytest.mark.parametrize("alone", [True, False])
def test_a_booking_told_once_more_with_other_content_is_a_conflict_whatever_it_charges(
    world: World, fee: str, alone: bool
) -> None:
    """B12: of its correction and its fee, judged together, one may be what is booked: people are told of the other."""
    app, _ = world.instance()
    rows = [row(1001, 5000, "-6"), back(1002, -5000, "6"), row(1003, 4000, "-5", tradePrice="0.3")]
    again = [*([] if alone else rows[:2]), row(1003, 3000, fee, tradePrice="0.31")]
    for number, some in enumerate((rows, again)):
        fills = [item.fill for item in read(statement(some), ATTRIBUTES) if item.fill]
        outcomes = app.recorder.record(fills, f"m-{number}")
    assert {outcome.refused.reason for outcome in outcomes if outcome.refused} == {"CONFLICTING_DUPLICATE"}
    assert totals(world.book() or Book("demo")) == (4000, 5, 0)


def test_what_a_row_charges_counts_once_also_where_its_fills_come_in_several_commits() -> None:
    rows = row(1001, 5000, "-6"), row(1003, 4000, "-5")
    alone = [item.fill for item in read(statement(rows[1:]), ATTRIBUTES) if item.fill]
    first, correction, fee = [item.fill for item in read(statement(rows), ATTRIBUTES) if item.fill]
    assert fold_in([alone, [fee], [correction]]).total("USD").fees == 5
    assert fold_in([[first], [fee], [correction]]).total("USD").fees == 11


@dataclass
class Chain:
    """A trade that is booked, taken back and booked again several times: its rows, and what stands in the end."""

    trade: int
    exec_id: str
    rows: list[str] = field(default_factory=list)
    fees: Decimal = Decimal(0)
    stands: tuple[int, str] | None = None


@st.composite
def chains(draw: st.DrawFn, number: int, moment: str) -> Chain:
    chain_ = Chain(2000 + number, f"0000{number}.6789abcd.01")
    transaction, revision, quantity, price, named = number * 100, 1, 0, "1", ""
    for turn in range(draw(st.integers(1, 5))):
        transaction += 1
        fee = draw(st.sampled_from(["-6", "0", "0.5", "6"]))
        chain_.fees -= Decimal(fee)
        if turn % 2:
            by = draw(st.sampled_from(["trade", "transaction", "both"]))
            told = {"origTradeID": "" if by == "transaction" else str(chain_.trade), "dateTime": moment}
            told |= {"origTransactionID": "0" if by == "trade" else str(transaction - 1)}
            chain_.rows.append(back(transaction, -quantity, fee, **told))
            chain_.stands = None
            continue
        form = draw(st.sampled_from(["same", "revision", "own"])) if turn else "same"
        if form == "own":
            named, revision = str(chain_.trade), 1
            chain_.trade, chain_.exec_id = chain_.trade + 1000, f"{chain_.exec_id[:-3]}.{turn}1"
        elif form == "revision":
            revision += 1
        quantity, price = draw(st.integers(1, 3)) * 1000, draw(st.sampled_from(["0.3", "0.32"]))
        told = {
            "tradeID": str(chain_.trade),
            "ibExecID": f"{chain_.exec_id}.{revision:02}",
            "dateTime": moment,
        }
        told |= {"tradePrice": price, "origTradeID": named if form == "own" else ""}
        chain_.rows.append(row(transaction, quantity, fee, **told))
        chain_.stands = quantity, price
    return chain_


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_chains_of_bookings_leave_what_stands_and_what_all_rows_charge(data: st.DataObject) -> None:
    """Two executions of one order, a lot that was held before and a sale after them: lots, P&L and fees."""
    first, second = data.draw(chains(1, "20261117;120440")), data.draw(chains(2, "20261117;120441"))
    sale = row(
        900, -1500, "-1", tradeID="3001", ibExecID="f.1.01.01", dateTime="20261117;130000", tradePrice="0.4"
    )
    held = row(
        901, 100, "-1", tradeID="3002", ibExecID="f.2.01.01", dateTime="20261117;110000", tradePrice="0.2"
    )
    rows = [*first.rows, *second.rows, sale, held]
    statements = data.draw(st.lists(st.lists(st.sampled_from(rows), min_size=1, unique=True), max_size=5))
    left = [one for one in rows if all(one not in some for some in statements)]
    *_, book = booked([*statements, data.draw(st.permutations(left))] if left else statements)
    plain = [trade(1, 100, "0.2"), trade(4, -1500, "0.4")]
    plain += [trade(2 + i, *one.stands) for i, one in enumerate((first, second)) if one.stands]
    truth, _ = fold(plain)
    position = book.positions["default:XYZ"]
    assert (position.quantity, position.cost, position.realised) == (
        truth.quantity,
        truth.cost,
        truth.realised,
    )
    assert book.total("USD").fees == first.fees + second.fees + 2


def test_a_bust_that_an_older_version_booked_by_its_execution_is_the_same_row(world: World) -> None:
    app, _ = world.instance()
    first, bust = (item.fill for item in read(statement(STORIES["cancelled for good"]), ATTRIBUTES))
    assert first is not None
    assert bust is not None
    older = bust.model_copy(update={"ref": first.fill_id})
    assert [one.result for one in app.recorder.record([first, older], "m-1")] == [Result.APPLIED] * 2
    [outcome] = app.recorder.record([bust], "m-2")
    assert outcome.result is Result.DUPLICATE


def test_without_transaction_ids_what_cannot_be_ordered_is_refused_and_nothing_is_flat(world: World) -> None:
    """Which row came last is not known then: the trade stands as it was, and people are told."""
    app, _ = world.instance()
    rows = [re.sub('transactionID="[0-9]+"', 'transactionID=""', one) for one in STORIES["the same ids"]]
    for number, some in enumerate(([rows[0]], [rows[1]], [rows[2]], rows)):
        items = read(statement(some), ATTRIBUTES)
        outcomes = app.recorder.record([item.fill for item in items if item.fill], f"m-{number}")
        refused = [item.refused for item in items if item.refused]
        refused += [outcome.refused for outcome in outcomes if outcome.refused]
        assert len(refused) == (number > 0)
        book = world.book()
        assert book is not None
        assert book.net_quantity("XYZ") == 5000
