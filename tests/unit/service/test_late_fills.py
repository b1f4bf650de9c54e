"""Fills, busts, corrections and fees that come days late, in any order and grouping: the same book, days and trades.

The law: what two instances book of messages as they happen to come is what one message of all of them makes, and what each
alone makes in any order; and the daily look finds each of these books to be the fold of its fills.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from stopline.ledger.arrivals import MAX_HELD, Reader
from stopline.ledger.check import differences
from stopline.ledger.trade_leg import KNOWN_FILLS
from stopline.model.errors import Rejected
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.wire import validate
from stopline.ports import Document
from stopline.service.fills.books import read_fill

from ..ledger.test_book import SESSION_OF
from ..make import NOON, account, at, equity, fill, option, raw_fill
from .world import World

DAY = 86_400
SHORT, LONG = option(600, "C", root="SPY"), option(610, "C", root="SPY")
COIN = {"symbol": "ETH-USD", "kind": "crypto", "currency": "USD", "base": "ETH"}
CONTRACTS = {
    "coin": Instrument.model_validate(COIN), "short": SHORT, "long": LONG, "equity": equity("SPY"),
}  # fmt: skip
SEEDS = range(40)
ALONE = ("event_id", "book_revision", "recorded_at", "ingested_at", "margin", "max_loss", "return_on_risk")
Delivery = tuple[datetime, list[Fill]]


class SettledTwice(Exception):
    """What a fill's order of arrival may choose: which of two settlements of an option is the one."""


def delivered(deliveries: Iterable[Delivery]) -> World:
    """Book deliveries at two instances in turn; every fifth comes to both."""
    world = World()
    world.clock.set(at(-30 * DAY))
    world.open_account(account(brokers=["paper"]))
    apps = [world.instance()[0] for _ in range(2)]
    for number, (moment, fills) in enumerate(deliveries):
        world.clock.set(max(moment, world.clock.now()))
        for app in apps if number % 5 == 4 else [apps[number % 2]]:
            outcomes = app.recorder.record(fills, f"m-{number}")
            refused = [outcome.refused.reason for outcome in outcomes if outcome.refused]
            if any(reason == "SETTLED_TWICE" for reason in refused):
                raise SettledTwice
            assert refused == []
    return world


def state(world: World) -> dict[str, Any]:
    """Return what a book says: what is held, the sums, and the last row of each closed trade. Each fill is in the log of the
    position where it counts, and no amendment waits for a fill that is there.
    """
    book = world.book()
    assert book is not None
    documents = world.shared.query("fills")
    log = [read_fill(document) for document in documents]
    reader = Reader(known := {one.key: one for one in log}, known.get, lambda *_: ())
    assert [document.data["strategy"] for document in documents] == [reader.home(one).strategy for one in log]
    assert not any(reader.root(waits)[1] for some in book.held.values() for waits in some)
    assert differences(book, log, SESSION_OF, world.clock.now()) == []
    trades: dict[str, dict[str, Any]] = {}
    bodies = world.bus.bodies("history")
    rows = [row["row"] for body in bodies for row in body["rows"] if row["table"] == "trades"]
    for row in sorted(rows, key=lambda row: int(row["book_revision"])):
        trades[row["trade_id"]] = {name: value for name, value in row.items() if name not in ALONE}
    return {
        "held": {key: (p.quantity, p.cost) for key, p in book.positions.items() if p.quantity},
        "totals": {currency: day.money for currency, day in book.totals.items() if any(day.money)},
        "days": {place: day.money for place, day in book.days.items() if any(day.money)},
        "trades": {id_: row for id_, row in trades.items() if row["status"] == "CLOSED"},
    }


def life(random: Random) -> list[Fill]:
    """Return some weeks of an account; of its amendments some name another strategy than their fill has."""
    fills: list[Fill] = []
    names = random.sample(sorted(CONTRACTS), random.randint(1, 3))
    for number in range(random.randint(4, 14)):
        days, seconds = random.choice([0, 0, 0, 1, 3, 9, 9, 10]), random.choice([0, 1, 2, 3, 100, 7200])
        name, kind = random.choice(names), random.choice(["TRADE"] * 6 + ["end"])
        if kind == "end":
            kind = {"coin": "FEE", "equity": "FUNDING"}.get(name, random.choice(["EXPIRE", "SETTLE"]))
        more: dict[str, Any] = {"strategy": random.choice(["a", "a", "a", "b"]), "kind": kind}
        more["instrument"], side = CONTRACTS[name], random.choice(["BUY", "SELL"])
        quantity, price = str(random.randint(1, 2)), str(random.randint(90, 110))
        if random.random() < 0.3:
            more["group_id"] = random.choice(["g1", "g2"])
        if random.random() < 0.3:
            more["order_id"] = random.choice(["o1", "o2"])
        if random.random() < 0.5:
            currency = random.choice(["USD", "USD", "EUR", *(["ETH"] if name == "coin" else [])])
            more |= {"fee": "0.1" if currency == "ETH" else "0.5", "fee_currency": currency}
        if fills and random.random() < 0.3:
            about, kind = random.choice(fills), random.choice(["CORRECT", "BUST", "FEE", "FEE"])
            own = about.strategy if random.random() < 0.6 else "b"
            more |= {"kind": kind, "ref": about.fill_id, "instrument": about.instrument, "strategy": own}
            more |= {"fee": more.get("fee", "1")} if kind == "FEE" else {}
            side = about.side.value if kind == "CORRECT" else side
            quantity, price = (quantity, price) if kind == "CORRECT" else ("0", "0")
        elif kind in ("EXPIRE", "SETTLE"):
            more["ends"], quantity, price = "held", "9", "0" if kind == "EXPIRE" else "5"
        elif kind == "FEE":
            more, quantity, price = {**more, "fee": "0.5", "fee_currency": "ETH"}, "0", "0"
        elif kind == "FUNDING":
            more, quantity, price = {**more, "fee": "-2", "fee_currency": "USD"}, "0", "0"
        executed_at = at((days - 18) * DAY + seconds)
        with suppress(Rejected):  # some of these cannot be
            raw = raw_fill(f"f{number}", side, quantity, price, executed_at, **more)
            raw["instrument"] = more["instrument"].model_dump(mode="json")
            fills.append(validate(Fill, raw))
    return fills


def late(random: Random, fills: list[Fill]) -> list[Delivery]:
    """Return fills in messages as they may come: at once, an hour, days or more than a week late."""
    delays = [random.choice([0, 0, 5, 3600, 2 * DAY, 9 * DAY]) for _ in fills]
    some = [(min(NOON, at(s, f.executed_at)), random.random(), f) for s, f in zip(delays, fills, strict=True)]
    left, messages = sorted(some, key=lambda one: one[:2]), []
    while left:
        size = random.randint(1, 3)
        messages.append((left[:size][-1][0], [one for _, _, one in left[:size]]))
        left = left[size:]
    return messages


@pytest.mark.parametrize("seed", SEEDS)
def test_however_late_and_in_whatever_messages_fills_come_the_book_is_the_same(seed: int) -> None:
    """F05, R8.6, I2: two weeks of an account, seen by two instances; by one message; fill by fill in any order."""
    random = Random(seed)
    fills = life(random)
    order = random.sample(fills, len(fills))
    ways = [[(NOON, fills)], [*late(random, fills), (NOON, fills)], [(NOON, [one]) for one in order]]
    with suppress(SettledTwice):
        whole, *others = [state(delivered(way)) for way in ways]
        assert others == [whole, whole]


def swing(id_: str, side: str, price: int, at_: float, **more: Any) -> Fill:
    return fill(id_, side, 2, price, at(at_), **{"strategy": "swing", **more})


@pytest.mark.parametrize("strategy", ["swing", "default"])
def test_a_late_fill_leaves_a_fee_that_names_another_strategy_with_its_own(strategy: str) -> None:
    """Fees of a feed that knows no strategy; a fold from where the position was flat is one with what amends it."""
    late, known = swing("E-0", "BUY", 99, -3600), swing("E-1", "BUY", 100, -3480)
    paid = swing("X-1", "BUY", 0, -3360, kind="FEE", strategy=strategy, ref="E-1", fee="1.5")
    world = delivered([(at(-3300), [known]), (at(-3240), [paid]), (at(-3180), [late])])
    state(world)
    book = world.book()
    assert book is not None
    fees = [
        book.positions["swing:SPY"].fees,
        book.total("USD").fees,
        *(trade.fees for trade in book.trades()),
    ]
    assert fees == [Decimal("1.5")] * 3


@pytest.mark.parametrize("strategy", ["swing", "default"])
def test_what_a_bust_of_another_strategy_took_back_stays_gone_in_a_position_that_was_forgotten(
    strategy: str,
) -> None:
    """Redriven after eight days, one by one."""
    first, second = swing("E-0", "SELL", 100, -8 * DAY), swing("E-1", "SELL", 101, -8 * DAY + 60)
    bust = swing("B-1", "SELL", 0, -8 * DAY + 120, kind="BUST", strategy=strategy, ref="E-0")
    for messages in ([[first], [bust], [second]], [[first, bust, second]]):
        held = state(delivered((NOON, some) for some in messages))["held"]
        assert held == {"swing:SPY": (-2, -202)}


def test_a_trade_keeps_a_fee_that_is_timed_before_its_fill_in_a_position_that_was_forgotten() -> None:
    """The cycle begins after the fee and before its fill: a fold from there has no part of it."""
    paid = fill("X-1", "SELL", 0, 0, at(-18 * DAY), kind="FEE", ref="E-4", fee="1")
    first, second = fill("E-1", "BUY", 1, 91, at(-18 * DAY + 1)), fill("E-2", "BUY", 2, 98, at(-17 * DAY))
    third, sold = fill("E-3", "BUY", 2, 100, at(-9 * DAY)), fill("E-4", "SELL", 2, 93, at(-8 * DAY))
    fills = [sold, third, paid, first, second]
    whole = state(delivered([(NOON, fills)]))
    assert state(delivered((NOON, [one]) for one in fills)) == whole


def vertical() -> list[Fill]:
    """Return a spread of one order, and what closes it an hour later: the short leg, then the long one."""
    entered, closed = -6 * DAY, -6 * DAY + 3600
    return [
        fill("S-1", "SELL", 1, 5, at(entered), SHORT, order_id="O-1"),
        fill("S-2", "BUY", 1, 9, at(closed), SHORT, order_id="O-2"),
        fill("L-1", "BUY", 1, 3, at(entered + 1), LONG, order_id="O-1"),
        fill("L-2", "SELL", 1, 5, at(closed + 1), LONG, order_id="O-2"),
    ]


@pytest.mark.parametrize("hours", [1, 20, 48])
@pytest.mark.parametrize("order", [(2, 3), (3, 2), None], ids=["in order", "reversed", "at once"])
def test_a_spread_whose_long_leg_comes_late_is_one_trade(hours: int, order: tuple[int, int] | None) -> None:
    """R7.1, R8.6: what the book has forgotten of a trade comes back when a fill of it comes at a position's end, too."""
    fills = vertical()
    other = fill(
        "C-1", "BUY", 1, 100, at(-5 * DAY + 21_600), equity("QQQ")
    )  # its commit forgets the short leg
    legs = [[fills[place]] for place in order] if order else [fills[2:]]
    messages = [(at(-6 * DAY + 3600), [one]) for one in fills[:2]]
    messages += sorted(
        [(other.executed_at, [other]), *((at(-6 * DAY + 3600 * (hours + 1)), leg) for leg in legs)],
        key=lambda one: one[0],
    )
    [row] = state(delivered(messages))["trades"].values()
    assert (row["structure"], row["net"]) == ("call_credit_vertical", "-200")


def charge(number: int, **more: Any) -> Fill:
    more = {"kind": "FEE", "ref": f"E-{number}", "fee": "1", **more}
    return fill(f"X-{number}", "BUY", 0, 0, at(number + 1 - 3600), **more)


def test_fees_of_a_feed_that_knows_no_strategy_fill_no_book_however_many_they_are() -> None:
    """Issue 4: they are in the log of their fill's position, and wait for nothing."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    for number in range(MAX_HELD + 10):
        traded = swing(f"E-{number}", "BUY", 100, number - 3600)
        both = [charge(number), traded] if number % 2 else [traded, charge(number)]
        outcomes = app.recorder.record(both[:2] if number % 3 else [traded], f"m-{number}")
        outcomes += app.recorder.record([charge(number)], f"late-{number}")
        assert [one.refused for one in outcomes if one.refused] == []
    book = world.book()
    assert book is not None
    assert (book.held, book.total("USD").fees) == ({}, MAX_HELD + 10)
    assert state(world)["held"].keys() == {"swing:SPY"}


def test_an_amendment_for_which_there_is_no_room_takes_no_trade_with_it_and_one_whose_fill_comes_makes_room() -> (
    None
):
    """Domain 3.8: grouping decides nothing."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    waiting = [charge(number) for number in range(MAX_HELD)]
    app.recorder.record(waiting, "m-1")
    trade, lost = fill("T-1", executed_at=at(-60)), charge(MAX_HELD)
    outcomes = app.recorder.record([lost, trade], "m-2")
    assert [one.refused.reason if one.refused else one.result for one in outcomes] == [
        "TOO_MANY_HELD",
        "applied",
    ]
    app.recorder.record([swing("E-0", "BUY", 100, -3600)], "m-3")  # its fee waits no more
    assert [one.result for one in app.recorder.record([lost], "m-4")] == ["applied"]
    book = world.book()
    assert book is not None
    assert sum(map(len, book.held.values())) == MAX_HELD
    assert book.total("USD").fees == 1
    state(world)


def test_an_import_of_old_fills_reads_what_lies_around_them_once() -> None:
    """Each position of a message asked anew for all that the account has done since: 100 fills read 400,000."""
    busy = [
        fill(f"B-{n}", "BUY" if n % 2 else "SELL", 1, 100, at(60 * n - 3 * DAY), SHORT) for n in range(300)
    ]
    old = [fill(f"E-{n}", "SELL", 1, 2, at(n - 3 * DAY), option(605 + n, "C", root="SPY")) for n in range(40)]
    world = delivered([(busy[-1].executed_at, busy)])
    world.clock.set(NOON)
    app, store = world.instance()
    read: list[int] = []
    query = store.query

    def counted(*args: Any, **more: Any) -> list[Document]:
        found = query(*args, **more)
        read.append(len(found))
        return found

    store.query = counted  # type: ignore[method-assign]
    app.recorder.record(old, "m-2")
    assert sum(read) <= 2 * len(busy)
    state(world)


@pytest.mark.parametrize("order", [1, -1], ids=["oldest first", "newest first"])
def test_an_import_of_old_fills_of_many_days_reads_each_day_once(order: int) -> None:
    """28 of them, one a day, read 17,800 documents beside an account of 20 positions a day, and now 2,080."""
    days = range(30, 2, -1)
    busy = [
        fill(f"B-{n}-{k}", "BUY", 1, 2, at(60 * n - k * DAY), option(600 + n, "P", root="SPY"))
        for k in days
        for n in range(9)
    ]
    messages = [busy[start : start + 9] for start in range(0, len(busy), 9)]
    world = delivered([(some[-1].executed_at, some) for some in messages])
    world.clock.set(NOON)
    app, store = world.instance()
    read: list[int] = []
    query = store.query
    store.query = lambda *a, **k: (found := query(*a, **k), read.append(len(found)))[0]  # type: ignore[assignment, func-returns-value, method-assign]
    old = [fill(f"E-{k}", "SELL", 1, 2, at(-60 - k * DAY), option(500 + k, "C", root="SPY")) for k in days]
    app.recorder.record(old[::order], "m-2")
    assert sum(read) <= 3 * len(busy)  # around, and position by position
    state(world)


def test_a_late_fee_of_a_trade_of_many_fills_leaves_one_that_names_another_strategy_with_it() -> None:
    """Which leg its fill is of the log must say; what the book holds of the position counts there too."""
    fills = [swing(f"E-{number}", "BUY", 100, number - 3600) for number in range(KNOWN_FILLS + 6)]
    late = charge(KNOWN_FILLS + 2, strategy="swing")
    world = delivered([(at(-3000), [one]) for one in (charge(0), *fills, charge(1, strategy="swing"), late)])
    state(world)
    book = world.book()
    assert book is not None
    assert [trade.fees for trade in book.trades()] == [3]


def test_a_fee_of_a_week_ago_lets_later_fees_add_without_a_look_at_all_fills() -> None:
    """Each of them read the whole position since: 200 fees read 40,000 fills."""
    begin = [fill("O-1", "BUY", 1, 100, at(-20 * DAY)), fill("O-2", "SELL", 1, 100, at(1 - 20 * DAY))]
    messages = [(at(1 - 20 * DAY), begin), (at(-6 * DAY), [fill("P-1", "BUY", 1, 100, at(-6 * DAY))])]
    late = fill("L-1", "BUY", 0, 0, at(2 - 20 * DAY), kind="FEE", ref="O-1", fee="1")
    world = delivered([*messages, (at(-6 * DAY), [late])])
    read: list[int] = []
    for number in range(20):
        world.clock.set(at(number - 3600))
        app, store = world.instance()
        app.recorder.record([fill(f"E-{number}", "BUY", 1, 100, at(number - 3600))], f"e-{number}")
        query = store.query
        store.query = lambda *a, q=query, **k: read.append(1) or q(*a, **k)  # type: ignore[assignment, func-returns-value, misc]
        app.recorder.record([charge(number, strategy="default")], f"x-{number}")
    assert read == []
    state(world)
