"""Trades that TWS tells and Flex statements book, take back and book again, in every order of arrival.

TWS says no row number, so a correction of it has no place among the rows, and a trade of it no number by which a row may
take it back, until the Flex row of the same id says so.
"""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from stopline.brokers import read
from stopline.ports import Document
from stopline.service.fills.message_parts import MAX_FILLS

from .test_flex_bookings import ATTRIBUTES, EXEC, back, opened, row, statement, story


def tws(
    revision: int, shares: int, price: float, commission: float, base: str = EXEC, order: int = 77
) -> bytes:
    exec_id = f"{base}.{revision:02}"
    execution = {
        "execId": exec_id, "time": "20261117 12:04:40 US/Eastern", "acctNumber": "DU1", "side": "BOT", "shares": shares,
        "price": price, "permId": order, "liquidation": 0,
    }  # fmt: skip
    contract = {"secType": "STK", "symbol": "XYZ", "currency": "USD"}
    report = {"execId": exec_id, "commission": commission, "currency": "USD"}
    return json.dumps({"execution": execution, "contract": contract, "commissionReport": report}).encode()


TOLD, REVISED = tws(1, 5000, 0.32, 6.0), tws(2, 4000, 0.3, 0.0)
FIRST, TAKEN, NEXT = story("its next revision")
_, _, SAME = story("the same ids")
_, _, OWN = story("a trade that names the first")
FINAL = statement([back(1004, -4000), row(1005, 3000, "0", tradePrice="0.3", ibExecID=f"{EXEC}.03")])
ONE = statement


def arrive(*messages: bytes) -> tuple[str, str, list[str]]:
    """Return the units held and the fees, after messages in this order, and of what people were told."""
    world, told = opened(), []
    for number, message in enumerate(messages):
        items = read(message, ATTRIBUTES)
        told += [item.refused.reason for item in items if item.refused]
        fills = [item.fill for item in items if item.fill]
        outcomes = world.instance()[0].recorder.record(fills, f"m-{number}")
        told += [outcome.refused.reason for outcome in outcomes if outcome.refused]
    book = world.book()
    assert book is not None
    return str(book.net_quantity("XYZ")), str(book.total("USD").fees), sorted({*told})


@pytest.mark.parametrize(
    ("messages", "units"),
    [
        ((TOLD, REVISED, ONE([FIRST, TAKEN, NEXT])), "4000"),
        ((TOLD, REVISED, ONE([FIRST]), ONE([TAKEN, NEXT])), "4000"),
        ((TOLD, REVISED, ONE([FIRST]), ONE([FIRST, TAKEN]), ONE([FIRST, TAKEN, NEXT])), "4000"),
        ((TOLD, ONE([FIRST]), ONE([TAKEN, NEXT])), "4000"),
        ((TOLD, REVISED, ONE([FIRST, TAKEN, SAME])), "4000"),
        ((TOLD, ONE([FIRST]), ONE([FIRST, TAKEN, SAME])), "4000"),
        ((TOLD, REVISED, ONE([FIRST, TAKEN, NEXT]), FINAL), "3000"),
        ((TOLD, ONE([FIRST, TAKEN, OWN])), "4000"),
        ((TOLD, ONE([FIRST, TAKEN, OWN]), ONE([FIRST])), "4000"),
        ((TOLD, ONE([FIRST, TAKEN])), "0"),
        ((TOLD, ONE([FIRST, TAKEN]), ONE([FIRST])), "0"),
    ],
)
def test_what_tws_and_flex_statements_tell_is_what_the_last_row_says_whatever_came_first(
    messages: tuple[bytes, ...], units: str
) -> None:
    for some in permutations(messages):
        assert arrive(*some) == (units, "6", [])


@pytest.mark.parametrize("again", [NEXT, SAME, OWN, None])
def test_rows_one_by_one_beside_tws_are_right_or_people_are_told_and_the_statement_of_the_month_mends_it(
    again: str | None,
) -> None:
    """TWS told the trade without the number that a row takes it back by."""
    rows = [FIRST, TAKEN, *([again] if again else [])]
    units = "4000" if again else "0"
    for messages in permutations(
        [TOLD, *(([REVISED]) if again == NEXT else []), *(ONE([one]) for one in rows)]
    ):
        held, _, told = arrive(*messages)
        assert held == units or told
        assert arrive(*messages, ONE(rows))[:2] == (units, "6")


def test_a_correction_of_tws_stands_over_the_row_of_what_it_corrects() -> None:
    """Also before its own row comes, and beside the row that takes the first booking back."""
    for some in permutations([TOLD, REVISED, ONE([FIRST])]):
        assert arrive(*some) == ("4000", "6", [])
    for some in permutations([TOLD, REVISED, ONE([FIRST, TAKEN])]):
        assert arrive(*some) == ("4000", "6", [])


def test_rows_of_an_account_that_only_flex_statements_tell_wait_for_each_other() -> None:
    for some in permutations([ONE([FIRST]), ONE([TAKEN]), ONE([OWN])]):
        assert arrive(*some) == ("4000", "6", [])


@pytest.mark.parametrize("commission", [0.0, 5.5])
@pytest.mark.parametrize("rows", [[FIRST], [FIRST, TAKEN], [FIRST, TAKEN, NEXT]])
def test_a_row_that_charges_what_tws_did_not_tell_is_told_to_people(
    commission: float, rows: list[str]
) -> None:
    """R1.2: which of both is right nobody knows; the units stand."""
    messages = (tws(1, 5000, 0.32, commission), ONE(rows))
    for some in permutations(messages):
        assert arrive(*some)[2] == ["CONFLICTING_DUPLICATE"]


def test_a_cancellation_without_an_order_waits_beside_another_trade_of_tws() -> None:
    """Many such rows name their trade alone: a fill of other units and another price is none that they may mean."""
    other = tws(1, 100, 0.5, 1.0, base="00012345.11111111.01", order=99)
    nameless = back(1002, -5000, ibOrderID="")
    for some in permutations([other, ONE([FIRST]), ONE([nameless])]):
        assert arrive(*some) == ("100", "7", [])


def test_a_cancellation_finds_its_trade_in_a_statement_of_more_rows_than_one_commit_holds() -> None:
    """The row says its number, and the cancellation, which names it, is in the next commit."""
    others = [
        row(
            5000 + n,
            1,
            "0",
            tradeID=str(8000 + n),
            ibExecID=f"g.{n}.1.01",
            dateTime=f"20261117;1230{n % 60:02}",
        )
        for n in range(MAX_FILLS + 10)
    ]
    named = back(1002, -5000, dateTime="20261117;140000", origTradeID="", origTransactionID="1001")
    assert arrive(TOLD, ONE([FIRST, *others, named])) == (str(MAX_FILLS + 10), "6", [])


def test_a_commission_told_apart_reads_no_fills_because_another_trade_was_corrected() -> None:
    """Performance: counted; each read all the fills of the position, for as long as it was not flat for a week."""
    world, read_documents = opened(), 0
    app, store = world.instance()
    query = store.query

    def counted(*args: Any, **more: Any) -> list[Document]:
        nonlocal read_documents
        found = query(*args, **more)
        read_documents += len(found)
        return found

    def take(event: str, message: bytes) -> None:
        told = {**json.loads(message), "event": event}
        told.pop("commissionReport" if event == "execDetails" else "", None)
        fills = [item.fill for item in read(json.dumps(told).encode(), ATTRIBUTES) if item.fill]
        assert not any(one.refused for one in app.recorder.record(fills, f"{event}-{fills[0].fill_id}"))

    for message in (TOLD, REVISED):
        app.recorder.record([item.fill for item in read(message, ATTRIBUTES) if item.fill], str(message))
    store.query = counted  # type: ignore[method-assign]
    for number in range(10, 30):
        told = tws(1, 10, 0.32, 1.0, base=f"0001.{number:04}.01")
        message = told.replace(b"12:04:40", b"12:05:%02d" % number)
        take("execDetails", message)
        take("commissionReport", message)
    book = world.book()
    assert book is not None
    assert (book.total("USD").fees, book.net_quantity("XYZ")) == (26, 4200)
    assert read_documents <= 4


def test_the_rows_of_a_statement_beside_tws_look_at_the_fills_of_a_position_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Performance: counted; each row read them all, of a position with one correction."""
    bases = [f"{EXEC[:-5]}{number:02}.01" for number in range(40)]
    world = opened()

    asked: list[object] = []
    query = world.shared.query

    def counted(*args: object, **more: object) -> object:
        asked.append(args)
        return query(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(world.shared, "query", counted)

    def take(message: bytes, name: str) -> int:
        asked.clear()
        fills = [item.fill for item in read(message, ATTRIBUTES) if item.fill]
        world.instance()[0].recorder.record(fills, name)
        return len(asked)

    for number, base in enumerate(bases):
        take(tws(1, 10, 0.32, 1.0, base), f"t-{number}")
    take(tws(2, 9, 0.32, 1.0, bases[0]), "t-revised")
    rows = [
        row(2000 + number, 10, "-1", tradeID=str(7000 + number), ibExecID=f"{base}.01")
        for number, base in enumerate(bases)
    ]
    assert take(ONE(rows), "f") <= 6
    assert take(ONE(rows), "f") <= 6
