"""The rows of trades: written when a trade closes, and again whenever what they say has changed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.ledger.encoding import decode_book, encode_book
from stopline.ledger.position import Position
from stopline.ledger.recall import Recall
from stopline.ledger.trade import Status
from stopline.model.fill import Fill
from stopline.model.prices import PriceBatch, Quote
from stopline.service.accounts.levels import shown_trades
from stopline.service.history.trade_rows import trade_rows

from ..ledger.test_book import LATER, SESSION_OF, Log
from ..ledger.test_trade_leg import tagged_fills
from ..make import BEGUN, NOON, at, fill, option
from .world import World

SHORT, LONG = option(6000), option(5990)


def NO_SPOT(underlying: str) -> None:
    """No price of any underlying is known."""


def vertical(entry: float = -600) -> list[Fill]:
    return [
        fill("E-1", "SELL", 2, "3", at(entry), SHORT, group_id="G", fee="1"),
        fill("E-2", "BUY", 2, "2", at(entry), LONG, group_id="G", fee="1"),
    ]


def closing(seconds: float = -300) -> list[Fill]:
    return [
        fill("E-3", "BUY", 2, "1", at(seconds), SHORT, fee="1"),
        fill("E-4", "SELL", 2, "0.5", at(seconds), LONG, fee="1"),
    ]


def rows(world: World) -> list[dict[str, Any]]:
    found = [row for body in world.bus.bodies("history") for row in body["rows"] if row["table"] == "trades"]
    return [{"event_id": row["event_id"], **row["row"]} for row in found]


def test_a_trade_has_a_row_when_it_closes_and_none_before() -> None:
    """R1.2 R7.1: entry and exit time, P&L, max risk taken, time in trade."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    app.recorder.record(vertical(), "m-1")
    assert rows(world) == []
    app.recorder.record(closing(), "m-2")
    [row] = rows(world)
    detail = json.loads(row.pop("detail"))
    assert [leg["exit_price"] for leg in detail["legs"]] == ["1", "0.5"]
    assert detail["breakevens"] == ["5999.02"]
    facts = {k: v for k, v in row.items() if k not in ("event_id", "trade_id")}
    assert facts == {
        "account": "demo",
        "strategy": "default",
        "underlying": "SPXW",
        "structure": "put_credit_vertical",
        "status": "CLOSED",
        "quantity": "2",
        "currency": "USD",
        "net_credit": "200",
        "max_profit": "196",
        "max_loss": "1804",
        "margin": "2000",
        "return_on_risk": "0.108647",
        "realised": "100",
        "fees": "4",
        "income": "0",
        "net": "96",
        "entered_at": "2026-11-18T16:50:00Z",
        "exited_at": "2026-11-18T16:55:00Z",
        "seconds_in_trade": 300,
        "mae": None,
        "mfe": None,
        "vix_entry": None,
        "vix_exit": None,
        "book_revision": BEGUN + 2,
    }


def test_a_trade_that_closes_within_one_message_has_its_row() -> None:
    world = World()
    world.open_account()
    app, _ = world.instance()
    app.recorder.record([*vertical(), *closing()], "m-1")
    assert [row["status"] for row in rows(world)] == ["CLOSED"]


def test_a_late_fee_writes_the_row_again_and_a_bust_says_that_the_trade_is_open() -> None:
    """R8.6: the newest revision counts."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    app.recorder.record([*vertical(), *closing()], "m-1")
    fee = fill("F-1", "BUY", 0, 0, at(-100), SHORT, kind="FEE", ref="E-1", fee="0.5")
    app.recorder.record([fee], "m-2")
    app.recorder.record([fill("B-1", "BUY", 0, 0, at(-50), SHORT, kind="BUST", ref="E-3")], "m-3")
    told = rows(world)
    assert [(row["status"], row["fees"], row["book_revision"]) for row in told] == [
        ("CLOSED", "4", BEGUN + 1),
        ("CLOSED", "4.5", BEGUN + 2),
        ("OPEN", "3.5", BEGUN + 3),
    ]
    assert len({row["event_id"] for row in told}) == 3
    assert len({row["trade_id"] for row in told}) == 1


@pytest.mark.parametrize("tag", [{"group_id": "G"}, {"order_id": "O"}, {}], ids=["group", "order", "matched"])
def test_a_bust_of_a_spread_that_the_book_has_forgotten_tells_the_whole_trade(tag: dict[str, str]) -> None:
    """R8.6, issue 4.2: days later, on one leg only; the other legs come out of the fill log."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    fills = [one.model_copy(update={"group_id": None, "order_id": None, **tag}) for one in vertical()]
    other = fill("X-1", "BUY", 1, 5, at(-5000), LONG, strategy="other")
    app.recorder.record([*fills, *closing(), other], "m-1")
    world.wait(2 * 86_400)
    app.recorder.record([fill("E-9", executed_at=world.clock.now())], "m-2")
    book = world.book()
    assert book is not None
    assert [trade.strategy for trade in book.trades()] == ["other", "default"]  # the spread is forgotten
    late = fill("B-1", "BUY", 0, 0, world.clock.now(), SHORT, kind="BUST", ref="E-3")
    world.instance()[0].recorder.record([late], "m-3")
    before, after = rows(world)
    assert (before["status"], after["status"]) == ("CLOSED", "OPEN")
    same = ("trade_id", "structure", "quantity", "net_credit", "entered_at")
    assert [after[name] for name in same] == [before[name] for name in same]
    book = world.book()
    assert book is not None
    trade = next(trade for trade in book.trades() if trade.trade_id == before["trade_id"])
    assert [(leg.instrument.symbol, leg.quantity) for leg in trade.legs] == [
        (SHORT.symbol, -2),
        (LONG.symbol, 0),
    ]


def test_a_trade_whose_entry_is_busted_is_void() -> None:
    """R8.6: it never was."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    app.recorder.record([fill("E-1", "BUY", 1, 5, at(-9), SHORT)], "m-1")
    app.recorder.record([fill("E-2", "SELL", 1, 6, at(-8), SHORT)], "m-2")
    app.recorder.record([fill("B-1", "BUY", 0, 0, at(-7), SHORT, kind="BUST", ref="E-1")], "m-3")
    assert [row["status"] for row in rows(world)] == ["CLOSED", "VOID"]


def test_what_prices_showed_of_a_trade_is_told_once_after_it_closed() -> None:
    """R1.2 R7.1: MAE, MFE, and VIX at entry and exit."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    app.recorder.record(vertical(entry=0), "m-1")
    for seconds, (short, long), vix in ((1, (5, 3), 18.0), (5, (1, 0.75), 19.0)):
        world.clock.set(at(seconds))
        quotes = {SHORT.symbol: Quote(short), LONG.symbol: Quote(long), "VIX": Quote(vix)}
        app.marker.mark(PriceBatch("feed", at(seconds), quotes, ()))
    world.clock.set(at(20))
    app.recorder.record(closing(20), "m-2")
    app.marker.mark(PriceBatch("feed", at(20), {"VIX": Quote(21.25)}, ()))
    app.marker.mark(PriceBatch("feed", at(21), {"VIX": Quote(30.0)}, ()))
    plain, seen = rows(world)
    assert (plain["mae"], plain["status"]) == (None, "CLOSED")
    assert (seen["mae"], seen["mfe"], seen["vix_entry"], seen["vix_exit"]) == ("-202", "148", "18", "21.25")
    same = plain.keys() - {"event_id", "mae", "mfe", "vix_entry", "vix_exit"}
    assert {name: seen[name] for name in same} == {name: plain[name] for name in same}


def test_the_net_of_a_trade_with_fees_in_a_third_currency_is_told_once_their_rate_is_known() -> None:
    """R1.1, R7.1: null while it is UNKNOWN, not what it made without them. The status shows it too."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    paid = [f.model_copy(update={"fee_currency": "BNB"}) for f in (*vertical(entry=0), *closing(20))]
    app.recorder.record(paid[:2], "m-1")
    world.clock.set(at(20))
    app.recorder.record(paid[2:], "m-2")
    app.marker.mark(PriceBatch("feed", at(20), {"VIX": Quote(20.0), "BNBUSD": Quote(10.0)}, ()))
    world.clock.set(at(90))
    app.marker.mark(PriceBatch("feed", at(90), {"BNBUSD": Quote(10.0), "VIX": Quote(20.0)}, ()))
    plain, seen = rows(world)
    assert [(row["fees"], row["net"]) for row in (plain, seen)] == [("0", None), ("0", "60")]
    assert json.loads(plain["detail"])["other_fees"] == {"BNB": "4"}
    book, state = world.book(), app.risk_states.read("demo")
    assert book is not None
    assert state is not None
    [shown] = shown_trades(book, state.shown, state.trades, NOON)
    assert (shown["total_pnl"], shown["other_fees"]) == ("60", {"BNB": "4"})


def test_closed_trades_leave_the_book_document_after_a_day() -> None:
    """Design 3: the history has them."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    app.recorder.record([*vertical(), *closing()], "m-1")
    book = world.book()
    assert book is not None
    assert len(book.trades()) == 1
    world.clock.set(NOON + timedelta(days=1))
    app.recorder.record([fill("E-9", executed_at=world.clock.now())], "m-2")
    book = world.book()
    assert book is not None
    assert [trade.underlying for trade in book.trades()] == ["SPY"]


@given(tagged_fills(max_size=10), st.data())
def test_the_rows_are_those_of_all_trades_compared(fills: list[Fill], data: st.DataObject) -> None:
    """R7.1: only legs that a commit may concern are looked at; all of them give the same rows."""
    order = data.draw(st.permutations(fills))
    cut = data.draw(st.integers(0, len(fills)))
    log = Log()
    before = Book("demo").with_fills(order[:cut], SESSION_OF, log, LATER) if cut else Book("demo")
    log.fills = order[:cut]
    after = before.with_fills(order[cut:], SESSION_OF, log, LATER) if cut < len(order) else before
    was = {trade.trade_id: trade for trade in before.trades()}
    now = {trade.trade_id: trade for trade in after.trades()}
    told = {id_ for id_, trade in was.items() if trade.status is Status.CLOSED}
    expected = {
        (id_, trade.status.value)
        for id_, trade in now.items()
        if trade != was.get(id_) and (trade.status is Status.CLOSED or id_ in told)
    } | {(id_, "VOID") for id_ in told - now.keys()}
    for book in (before, decode_book(encode_book(before))):  # what was read is not decoded yet
        again = book.with_fills(order[cut:], SESSION_OF, log, LATER) if cut < len(order) else book
        found = [(row.row["trade_id"], row.row["status"]) for row in trade_rows(book, again, NO_SPOT)]
        assert len(found) == len(set(found))
        assert set(found) == expected


def closing_of(position: Position) -> Fill:
    side, units = ("SELL" if position.quantity > 0 else "BUY"), abs(position.quantity)
    more = {"strategy": position.strategy, "instrument": position.instrument}
    return fill(f"close:{position.key}", side, units, 1, at(1), **more)


@given(tagged_fills(max_size=8), st.data())
def test_a_book_that_has_forgotten_its_trades_tells_what_one_that_has_not_would(
    fills: list[Fill], data: st.DataObject
) -> None:
    """R8.6: late fills, busts and corrections days after; the other legs come out of the fill log."""
    order = data.draw(st.permutations(fills))
    cut = data.draw(st.integers(1, len(fills)))
    log, whole = forgotten(order[:cut])
    late = [*order[cut:]]
    for number, one in enumerate(
        data.draw(st.lists(st.sampled_from(log.fills), min_size=1, max_size=2, unique_by=id))
    ):
        late.append(amendment(number, data.draw(st.sampled_from(["BUST", "CORRECT", "FEE"])), one))
    tell_the_same(log, whole, late)


def test_a_fee_in_the_message_of_a_late_fill_leaves_no_leg_of_its_trade_behind() -> None:
    """R8.6: the position is folded twice in one commit, and what the first fold brought back is not what stands."""
    first, other = fill("E-0", executed_at=at(0)), fill("E-1", executed_at=at(0), group_id="G-1")
    log, whole = forgotten([first, other])
    tell_the_same(
        log, whole, [fill("E-7", "SELL", executed_at=at(-1), group_id="G-1"), amendment(0, "FEE", first)]
    )


def amendment(number: int, kind: str, of: Fill) -> Fill:
    facts = {"ref": of.fill_id, "executed_at": at(500), "instrument": of.instrument}
    return fill(f"A-{number}", kind=kind, strategy=of.strategy, fee="0.5", **facts)


def forgotten(booked: list[Fill]) -> tuple[Log, Book]:
    """Return the log and the book of fills and of what closes them, with all its trades."""
    log = Log()
    book = Book("demo").with_fills(booked, SESSION_OF, log, LATER)
    log.fills = [*booked, *(closing_of(position) for position in book.open_positions())]
    return log, Book("demo").with_fills(log.fills, SESSION_OF, log, LATER)


def tell_the_same(log: Log, whole: Book, late: list[Fill]) -> None:
    """Book late fills three days after, in the whole book and in one that has forgotten its trades."""
    later = LATER + timedelta(days=3)

    def around(strategy: str, first: datetime, last: datetime) -> list[Fill]:
        return [f for f in log.fills if f.strategy == strategy and first <= f.executed_at <= last]

    def told(book: Book) -> dict[str, Any]:
        recall = Recall(around)
        known = {f.key: f for f in log.fills}
        after = book.with_fills(late, SESSION_OF, log, later, known.get, recall) if late else book
        return {row.row["trade_id"]: row.row for row in trade_rows(book, after, NO_SPOT, recall.stood)}

    found, expected = told(decode_book(encode_book(whole)).pruned(later)), told(whole)
    assert found.keys() == expected.keys()
    for id_, row in expected.items():
        assert {n: v for n, v in found[id_].items() if v != row[n]} == {}


def test_the_margin_of_a_naked_option_is_the_same_in_the_history_as_in_the_account() -> None:
    """R1.2: Regulation T at the price of the underlying, an index at 15%, whoever writes the row."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    call = option(6100, "C")
    app.recorder.record([fill("E-1", "SELL", 1, "4", at(0), call)], "m-1")
    for seconds in (1, 200):
        world.clock.set(at(seconds))
        if seconds == 200:
            app.recorder.record([fill("E-2", "BUY", 1, "3", at(120), call)], "m-2")
        quotes = {"SPXW": Quote(6000.0), call.symbol: Quote(4.0)}
        app.marker.mark(PriceBatch("feed", at(seconds), quotes, ()))
    plain, seen = rows(world)
    book, risk = world.book(), app.risk_states.read("demo")
    assert book is not None
    assert risk is not None
    [shown] = shown_trades(book, risk.shown, risk.trades, NOON)
    assert plain["margin"] == seen["margin"] == shown["margin"] == "80400"


def test_a_trade_comes_back_beside_what_is_still_held_of_its_underlying() -> None:
    """R8.6: an open option on it is no part of the trade, and stays as it is."""
    shares = fill("E-0", executed_at=at(0))
    log = Log()
    log.fills = [
        shares,
        fill("E-1", "SELL", executed_at=at(1)),
        fill("E-9", "BUY", 1, 3, at(-100), option(600, root="SPY")),
    ]
    whole = Book("demo").with_fills(log.fills, SESSION_OF, log, LATER)
    tell_the_same(log, whole, [amendment(0, "FEE", shares)])


def test_the_fill_log_is_asked_for_a_day_around_the_trade_and_no_more() -> None:
    """R8.6: what was executed a day before it began or after it ended is no part of it. Days are read whole."""
    log, whole = forgotten([fill("E-0", executed_at=at(0))])
    asked: list[tuple[str, datetime, datetime]] = []

    def around(strategy: str, first: datetime, last: datetime) -> list[Fill]:
        asked.append((strategy, first, last))
        return []

    later, known = LATER + timedelta(days=3), {one.key: one for one in log.fills}
    late = [amendment(0, "FEE", log.fills[0])]
    whole.pruned(later).with_fills(late, SESSION_OF, log, later, known.get, Recall(around))
    day, midnight = timedelta(days=1), at(0).replace(hour=0, minute=0, second=0)
    assert set(asked) == {("default", midnight - day, midnight + 2 * day)}
