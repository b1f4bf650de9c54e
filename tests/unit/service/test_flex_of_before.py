"""Trades that Flex statements book again, of which versions of before 22 November 2026 have booked some rows: without the
numbers that say which row came last. What they booked is written out here, as they stored it (commit 233fc71).

The law: what was right stays right whatever statement comes then, row by row or all together; what was wrong is right after
a statement that has all rows, or people are told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from stopline.brokers import read
from stopline.model.fill import Fill
from stopline.model.wire import validate
from stopline.service.fills import doubles

from .test_flex_bookings import ATTRIBUTES, STORIES, TRUTH, Rows, opened, paid, statement
from .world import World

FIRST = "E TRADE 5000 0.32 6 -"
TAKEN = "transaction:1002 BUST 5000 0.32 0 E"
WAITS = "transaction:1002 BUST 5000 0.32 0 trade:2001"
# Fills as `id kind quantity price fee ref`, statement by statement, and the stories whose rows they are.
# fmt: off
BEFORE: list[tuple[list[str], list[tuple[str, ...]]]] = [
    ([
        "the same ids", "its next revision", "a revision with a trade id of its own",
        "a correction with ids of its own", "a note, and ids of its own", "a trade that names the first",
        "a trade that names its transaction", "a trade that names none", "the same ids, paid once",
        "the same ids, given back", "its next revision, paid once", "its next revision, given back",
        "names the first, paid once", "names the first, given back", "cancelled by its transaction",
        "cancelled by both", "cancelled for good", "cancelled for good, given back", "sold"
    ], [(FIRST,)]),
    ([
        "the same ids", "its next revision", "a revision with a trade id of its own",
        "a correction with ids of its own", "a note, and ids of its own", "a trade that names the first",
        "a trade that names its transaction", "a trade that names none", "the same ids, paid once",
        "the same ids, given back", "its next revision, paid once", "its next revision, given back",
        "names the first, paid once", "names the first, given back", "cancelled by its transaction",
        "cancelled by both", "cancelled for good", "cancelled for good, given back", "sold"
    ], [(FIRST, TAKEN,)]),
    ([
        "the same ids", "the same ids, paid once", "cancelled by its transaction"
    ], [(FIRST, "transaction:1003 CORRECT 4000 0.3 0 E",)]),
    (["the same ids", "the same ids, paid once"], [(FIRST,), (WAITS,), ("E TRADE 4000 0.3 0 -",)]),
    ([
        "its next revision", "a revision with a trade id of its own", "its next revision, paid once",
        "cancelled by both"
    ], [(FIRST, "E.02 CORRECT 4000 0.3 0 E",)]),
    ([
        "its next revision", "a revision with a trade id of its own", "its next revision, paid once",
        "cancelled by both"
    ], [(FIRST,), (WAITS,), ("E.02 CORRECT 4000 0.3 0 E",)]),
    ([
        "a correction with ids of its own", "a note, and ids of its own", "a trade that names the first",
        "a trade that names its transaction", "names the first, paid once"
    ], [(FIRST, "OWN CORRECT 4000 0.3 0 E",)]),
    ([
        "a correction with ids of its own", "a note, and ids of its own"
    ], [(FIRST,), (WAITS,), ("OWN CORRECT 4000 0.3 0 trade:2001",)]),
    ([
        "a trade that names the first", "a trade that names its transaction", "a trade that names none",
        "names the first, paid once"
    ], [(FIRST,), (WAITS,), ("OWN TRADE 4000 0.3 0 -",)]),
    (["a trade that names none"], [(FIRST, TAKEN, "OWN TRADE 4000 0.3 0 -",)]),
    ([
        "the same ids, given back"
    ], [(FIRST, "transaction:1003 CORRECT 4000 0.3 0 E", "transaction:1003:fee FEE 0 0 -1 E",)]),
    (["the same ids, given back"], [(FIRST,), (WAITS,), ("E TRADE 4000 0.3 5 -",)]),
    (["the same ids, less", "its next revision, less", "names the first, less"], [("E TRADE 5000 0.32 1.3666 -",)]),
    ([
        "the same ids, less", "its next revision, less", "names the first, less"
    ], [("E TRADE 5000 0.32 1.3666 -", TAKEN,)]),
    ([
        "the same ids, less"
    ], [("E TRADE 5000 0.32 1.3666 -", "transaction:1003 CORRECT 4000 0.3 0 E", "transaction:1003:fee FEE 0 0 -0.3333 E",)]),
    (["the same ids, less"], [("E TRADE 5000 0.32 1.3666 -",), (WAITS,), ("E TRADE 4000 0.3 -0.3333 -",)]),
    (["its next revision, given back"], [(FIRST, "E.02 CORRECT 4000 0.3 0 E", "E.02:fee FEE 0 0 -1 E",)]),
    (["its next revision, given back"], [(FIRST,), (WAITS,), ("E.02 CORRECT 4000 0.3 0 E", "E.02:fee FEE 0 0 5 E",)]),
    ([
        "its next revision, less"
    ], [("E TRADE 5000 0.32 1.3666 -", "E.02 CORRECT 4000 0.3 0 E", "E.02:fee FEE 0 0 -0.3333 E",)]),
    ([
        "its next revision, less"
    ], [("E TRADE 5000 0.32 1.3666 -",), (WAITS,), ("E.02 CORRECT 4000 0.3 0 E", "E.02:fee FEE 0 0 -0.3333 E",)]),
    (["names the first, given back"], [(FIRST, "OWN CORRECT 4000 0.3 0 E", "OWN:fee FEE 0 0 -1 E",)]),
    (["names the first, given back"], [(FIRST,), (WAITS,), ("OWN TRADE 4000 0.3 5 -",)]),
    ([
        "names the first, less"
    ], [("E TRADE 5000 0.32 1.3666 -", "OWN CORRECT 4000 0.3 0 E", "OWN:fee FEE 0 0 -0.3333 E",)]),
    (["names the first, less"], [("E TRADE 5000 0.32 1.3666 -",), (WAITS,), ("OWN TRADE 4000 0.3 -0.3333 -",)]),
    (["no execution ids", "ids of its own without executions"], [("trade:2001 TRADE 5000 0.32 6 -",)]),
    (["no execution ids", "ids of its own without executions"], [("trade:2001 TRADE 5000 0.32 6 -", WAITS,)]),
    (["no execution ids"], [("trade:2001 TRADE 5000 0.32 6 -", "transaction:1003 CORRECT 4000 0.3 0 trade:2001",)]),
    (["no execution ids"], [("trade:2001 TRADE 5000 0.32 6 -",), (WAITS,), ("trade:2001 TRADE 4000 0.3 0 -",)]),
    ([
        "ids of its own without executions"
    ], [("trade:2001 TRADE 5000 0.32 6 -", "trade:2003 CORRECT 4000 0.3 0 trade:2001",)]),
    ([
        "ids of its own without executions"
    ], [("trade:2001 TRADE 5000 0.32 6 -",), (WAITS,), ("trade:2003 TRADE 4000 0.3 0 -",)]),
    (["cancelled by its transaction"], [(FIRST,), (), ("E TRADE 4000 0.3 0 -",)]),
    (["the same ids and terms"], [("E TRADE 4000 0.32 0 -",)]),
    (["the same ids and terms"], [("E TRADE 4000 0.32 0 -", "transaction:1002 BUST 4000 0.32 0 E",)]),
    (["the same ids and terms"], [("E TRADE 4000 0.32 0 -", "transaction:1003 CORRECT 4000 0.32 0 E",)]),
    ([
        "the same ids and terms"
    ], [("E TRADE 4000 0.32 0 -",), ("transaction:1002 BUST 4000 0.32 0 trade:2001",), ("E TRADE 4000 0.32 0 -",)]),
    (["the same terms, paid again"], [("E TRADE 4000 0.32 6 -",)]),
    (["the same terms, paid again"], [("E TRADE 4000 0.32 6 -", "transaction:1002 BUST 4000 0.32 0 E",)]),
    (["the same terms, paid again"], [("E TRADE 4000 0.32 6 -", "transaction:1003 CORRECT 4000 0.32 0 E",)]),
    ([
        "the same terms, paid again"
    ], [("E TRADE 4000 0.32 6 -",), ("transaction:1002 BUST 4000 0.32 0 trade:2001",), ("E TRADE 4000 0.32 6 -",)]),
    (["sold"], [(FIRST, "E.02 CORRECT 4000 0.32 0 E",)]),
    (["sold"], [(FIRST,), (WAITS,), ("E.02 CORRECT 4000 0.32 0 E",)]),
]
# fmt: on
CASES = [(name, some) for names, some in BEFORE for name in names if "paid once" not in name]


def older(story: str, text: str) -> Fill:
    for short, whole in (("E", "00012345.6789abcd.01"), ("OWN", "00012345.6789abcd.77")):
        text = re.sub(rf"\b{short}(?=[ .]|$)", whole, text)
    fill_id, kind, quantity, price, fee, ref = text.split(" ")
    facts = {
        "type": "stopline.fill.v1", "broker": "ibkr", "account": "demo", "strategy": "default", "order_id": "77",
        "instrument": {"symbol": "XYZ", "kind": "equity", "currency": "USD", "multiplier": "1"},
        "executed_at": "2026-11-17T17:04:40Z", "side": "SELL" if story == "sold" else "BUY", "fee_currency": "USD",
    }  # fmt: skip
    terms = {"fill_id": fill_id, "kind": kind, "quantity": quantity, "price": price, "fee": fee}
    return validate(Fill, {**facts, **terms, "ref": None if ref == "-" else ref})


def deploy(story: str, statements: Sequence[Sequence[str]]) -> World:
    """Return an account as the older version left it: it asked nobody about what it could not place."""
    world = opened()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doubles, "unplaced", lambda *_: {})
        for number, some in enumerate(statements):
            world.instance()[0].recorder.record([older(story, text) for text in some], f"before-{number}")
    return world


def deliver(world: World, rows: Rows, message_id: str) -> bool:
    """Deliver a statement; tell whether people are told of anything."""
    items = read(statement(rows), ATTRIBUTES)
    outcomes = world.instance()[0].recorder.record([item.fill for item in items if item.fill], message_id)
    return any(item.refused for item in items) or any(outcome.refused for outcome in outcomes)


def later(rows: Rows) -> list[list[Rows]]:
    """Return deliveries that end with all rows, twice."""
    alone = [(row,) for row in rows]
    some: list[list[Rows]] = [alone[1:], alone[:0:-1], [rows[:end] for end in range(1, len(rows))], []]
    return [[*first, rows, rows] for first in some]


@pytest.mark.parametrize(("name", "statements"), CASES)
def test_what_an_older_version_booked_right_stays_and_what_it_booked_wrong_is_mended_or_told(
    name: str, statements: list[tuple[str, ...]]
) -> None:
    rows = STORIES[name]
    for deliveries in later(rows):
        world, told = deploy(name, statements), False
        book = world.book()
        assert book is not None
        was_right = len(statements) == 1 < len(statements[0]) and book.net_quantity("XYZ") == TRUTH[name]
        for number, some in enumerate(deliveries):
            told |= deliver(world, some, f"m-{number}")
            book = world.book()
            assert book is not None
            if was_right:
                assert book.net_quantity("XYZ") == TRUTH[name], deliveries[: number + 1]
        assert book.net_quantity("XYZ") == TRUTH[name]
        assert told or book.total("USD").fees == paid(rows)
