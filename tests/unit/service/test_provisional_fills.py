"""What a broker announces and says finally is booked once: provisional fills of an order, estimated fees."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import orjson
import pytest

from stopline.adapters.memory import MemoryStore
from stopline.ledger.book import Book
from stopline.model.fill import Fill
from stopline.model.times import utc_text
from stopline.ports import Create, Delete, Document, Update
from stopline.service.fills.outcome import Result

from ..brokers.samples import SAMPLES, changed, fills_of
from ..make import NOON, account, at
from .world import World

POSTBACK = {
    **SAMPLES["kite postback"].message, "status": "UPDATE", "exchange": "NSE", "tradingsymbol": "SBIN",
    "average_price": 10.0, "filled_quantity": 100,
}  # fmt: skip
TRADE = {
    **SAMPLES["kite trade"].message, "exchange": "NSE", "tradingsymbol": "SBIN", "order_id": POSTBACK["order_id"],
    "average_price": 10.0,
}  # fmt: skip
T1, T2 = {**TRADE, "trade_id": "1", "quantity": 40}, {**TRADE, "trade_id": "2", "quantity": 60}
OPTION = "SPY   261218P00455000"
ORDER = SAMPLES["tastytrade order"].message
LEG = {**ORDER["data"]["legs"][0], "symbol": OPTION}
ESTIMATE = {**SAMPLES["tastytrade transaction"].message, "symbol": OPTION, "is-estimated-fee": True}


def now(read: Fill) -> Fill:
    """The documented messages are of years ago: too old to be booked."""
    return Fill.model_validate({**read.model_dump(mode="json"), "executed_at": utc_text(NOON)})


def kite(message: dict[str, Any]) -> list[Fill]:
    return [now(fill) for fill in fills_of(message, broker="kite", account="demo")]


def tastytrade(message: dict[str, Any], **more: str) -> list[Fill]:
    return [now(fill) for fill in fills_of(message, broker="tastytrade", account="demo", **more)]


def opened() -> World:
    world = World()
    world.open_account(account(brokers=["kite", "tastytrade"]))
    return world


def record(world: World, fills: list[Fill], message: str) -> list[Result]:
    return [outcome.result for outcome in world.instance()[0].recorder.record(fills, message)]


def book_of(world: World) -> Book:
    book = world.book()
    assert book is not None
    return book


def part(filled: int, *applied: int) -> dict[str, Any]:
    published = [{"quantity": str(quantity), "price": "10"} for quantity in applied]
    return {**POSTBACK, "filled_quantity": filled, "applied": published}


def test_trades_of_more_than_a_commit_take_over_from_what_was_provisional() -> None:
    """The busts come with the first of them."""
    world = opened()
    assert record(world, kite(part(500)), "m-1") == [Result.APPLIED]
    trades = [{**TRADE, "trade_id": str(n), "quantity": 2} for n in range(250)]
    fills = kite({**part(500, 500), "trades": trades})
    assert record(world, fills, "m-2") == [Result.APPLIED] * 251
    assert book_of(world).net_quantity("SBIN") == 500


def test_trades_without_the_busts_of_what_was_provisional_are_refused() -> None:
    """I2: an order of 100 is 100, though an adapter lists its trades plainly; with `applied` they take over."""
    world = opened()
    assert record(world, kite(part(100)), "m-1") == [Result.APPLIED]
    plain = kite({"data": [T1, T2]})
    [one, two] = world.instance()[0].recorder.record(plain, "m-2")
    assert one.refused is not None
    assert two.refused is not None
    assert (one.refused.reason, two.refused.reason) == ("COUNTED_TWICE", "COUNTED_TWICE")
    assert "#100" in one.refused.detail
    assert book_of(world).net_quantity("SBIN") == 100
    whole = kite({**part(100, 100), "trades": [T1, T2]})
    assert record(world, whole, "m-3") == [Result.APPLIED] * 3
    assert record(world, plain, "m-2") == [Result.DUPLICATE] * 2
    book = book_of(world)
    assert (book.net_quantity("SBIN"), book.positions["default:SBIN"].cost) == (100, 1000)


@pytest.mark.parametrize(
    "order",
    list(permutations([part(40), part(100, 40), part(100, 60), {**part(100, 40, 60), "trades": [T1, T2]}])),
)
def test_an_order_never_counts_for_more_than_it_has_filled(order: tuple[dict[str, Any], ...]) -> None:
    """I2, domain 3.5: whatever order its messages come in, one with another idea of what was published too."""
    world = opened()
    for number, message in enumerate(order):
        record(world, kite(message), f"m-{number}")
        assert book_of(world).net_quantity("SBIN") <= 100
    record(world, kite({**part(100, 40, 60), "trades": [T1, T2]}), "m-9")
    assert book_of(world).net_quantity("SBIN") == 100


def test_what_is_filled_beyond_the_trades_is_provisional() -> None:
    world = opened()
    record(world, kite({**part(40), "trades": [T1]}), "m-1")
    assert record(world, kite(part(100, 40)), "m-2") == [Result.APPLIED]
    assert book_of(world).net_quantity("SBIN") == 100
    assert record(world, kite(part(100)), "m-3") == [Result.REFUSED]  # the id of the other, and other content
    assert record(world, kite(part(90)), "m-4") == [Result.REFUSED]


@pytest.mark.parametrize("mode", ["fees", "trades"])
@pytest.mark.parametrize("estimate_first", [True, False])
def test_the_final_fee_takes_the_place_of_the_estimate(mode: str, estimate_first: bool) -> None:
    """Domain 3.4: one transaction tells both, in any order, each twice."""
    world = opened()
    if mode == "fees":
        record(world, tastytrade(changed(ORDER, "data", "legs", 0, LEG)), "m-0")
    estimate = tastytrade(ESTIMATE, transactions=mode)
    final = tastytrade({**ESTIMATE, "is-estimated-fee": False, "clearing-fees": "0.55"}, transactions=mode)
    assert estimate[0].key == final[0].key
    first, second = (estimate, final) if estimate_first else (final, estimate)
    assert record(world, first, "m-1") == [Result.APPLIED]
    assert record(world, second, "m-2") == [Result.APPLIED if estimate_first else Result.DUPLICATE]
    assert record(world, first, "m-3") == record(world, second, "m-4") == [Result.DUPLICATE]
    [position] = book_of(world).positions.values()
    assert (position.quantity, position.fees) == (-40 if mode == "trades" else -1, final[0].fee)
    assert estimate[0].fee - final[0].fee == Decimal("-0.15")
    other = tastytrade({**ESTIMATE, "is-estimated-fee": False, "clearing-fees": "9"}, transactions=mode)
    assert record(world, other, "m-5") == [Result.REFUSED]


def test_a_fill_of_a_cumulative_order_reads_that_order_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """R8: 400 fills of one instrument read 79,800 documents."""
    read: list[int] = []
    query = MemoryStore.query

    def counted(store: MemoryStore, collection: str, *asked: Any, **more: Any) -> list[Document]:
        found = query(store, collection, *asked, **more)
        read.append(len(found) if collection == "fills" else 0)
        return found

    monkeypatch.setattr(MemoryStore, "query", counted)
    world = opened()
    for number in range(24):
        trade = {**TRADE, "order_id": f"26{number // 2}", "trade_id": str(number), "quantity": 5}
        [one] = kite(trade)
        later = one.model_copy(update={"executed_at": NOON + timedelta(seconds=number)})
        assert record(world, [later], f"m-{number}") == [Result.APPLIED]
    assert book_of(world).net_quantity("SBIN") == 120
    assert sum(read) == 12, "the first fill of each order, when the second one comes"


def as_an_older_version_left_it(world: World) -> None:
    """Take from the documents what versions before the log's field `order_id` did not write."""
    for document in world.shared.query("fills"):
        data = {name: value for name, value in document.data.items() if name != "order_id"}
        world.shared.commit([Delete(document.path, document.version)])
        world.shared.commit([Create(document.path, data)])
    [book] = world.shared.query("books")
    state = {
        name: value for name, value in orjson.loads(book.data["state"]).items() if name != "orders_named"
    }
    world.shared.commit([Update(book.path, {"state": orjson.dumps(state).decode()}, book.version)])


def test_an_order_partly_filled_before_a_deploy_counts_once_after_it() -> None:
    """I2: documents of before the field `order_id` are found for as long as an order may go on; also those that an older
    instance writes while the new one is up already.
    """
    world = opened()
    assert record(world, kite(part(40)), "m-1") == [Result.APPLIED]
    as_an_older_version_left_it(world)
    world.wait(1)
    assert record(world, kite(part(100)), "m-2") == [Result.REFUSED]
    assert record(world, kite({"data": [T1, T2]}), "m-3") == [Result.REFUSED] * 2
    assert record(world, kite(part(70, 40)), "m-4") == [Result.APPLIED]
    as_an_older_version_left_it(world)
    world.wait(3 * 24 * 3600)
    assert record(world, kite(part(90)), "m-5") == [Result.REFUSED]
    assert book_of(world).net_quantity("SBIN") == 70


PAID = {
    "activity_type": "DIV", "id": "20261118000000000::5f596936", "date": "2026-11-18", "net_amount": "1.02",
    "symbol": "T", "qty": "2", "per_share_amount": "0.51",
}  # fmt: skip
CLOSE = at(4 * 3600)  # 16:00 in New York


def test_a_payment_that_an_older_version_booked_at_the_close_is_the_same_row_again() -> None:
    """I2: adapters read the day's activities again, and each of them went to quarantine after the deploy."""
    world = World()
    world.open_account(account(brokers=["alpaca"]))
    world.clock.set(CLOSE)
    [paid] = fills_of(PAID, broker="alpaca", account="demo")
    older = paid.model_copy(update={"executed_at": CLOSE})
    assert record(world, [older], "m-1") == [Result.APPLIED]
    assert record(world, [paid], "m-2") == [Result.DUPLICATE]
    [position] = book_of(world).positions.values()
    assert position.income == Decimal("1.02")
    assert book_of(world).fills == 1


@pytest.mark.parametrize(
    ("change", "moment"),
    [
        ({"net_amount": "1.03"}, CLOSE),
        ({"date": "2026-11-17"}, CLOSE),
        ({}, CLOSE - timedelta(seconds=1)),
        ({}, CLOSE - timedelta(days=1)),
    ],
)
def test_a_payment_that_says_anything_else_is_another_one(change: dict[str, str], moment: datetime) -> None:
    world = World()
    world.open_account(account(brokers=["alpaca"]))
    world.clock.set(CLOSE)
    [paid] = fills_of(PAID, broker="alpaca", account="demo")
    [other] = fills_of({**PAID, **change}, broker="alpaca", account="demo")
    assert record(world, [paid.model_copy(update={"executed_at": moment})], "m-1") == [Result.APPLIED]
    [outcome] = world.instance()[0].recorder.record([other], "m-2")
    assert outcome.refused is not None
    assert outcome.refused.reason == "CONFLICTING_DUPLICATE"


def test_older_documents_are_looked_for_while_there_can_be_some_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    query = MemoryStore.query

    def counted(store: MemoryStore, collection: str, where: Any = (), *more: Any) -> list[Document]:
        asked.append(f"{collection} by {where[-1].field}" if where else collection)
        return query(store, collection, where, *more)

    monkeypatch.setattr(MemoryStore, "query", counted)

    def asks(world: World, filled: int) -> list[str]:
        asked.clear()
        [fill] = kite({**part(filled), "order_id": f"9{filled}"})
        fill = fill.model_copy(update={"executed_at": world.wait(1)})
        assert record(world, [fill], f"m-{filled}") == [Result.APPLIED]
        return [one for one in asked if one.startswith("fills")]

    world = opened()
    by_order = ["fills by order_id"]
    assert asks(world, 1) == asks(world, 2) == by_order
    as_an_older_version_left_it(world)
    assert asks(world, 3) == asks(world, 4) == [*by_order, "fills by executed_at"]
    world.wait(5 * 24 * 3600)
    assert asks(world, 5) == by_order
