"""Evaluating accounts: prices that may be used, alerts once, and nothing newer overwritten by anything older."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.control import TradingState
from stopline.model.messages import Sweep, SweepKind
from stopline.model.prices import PriceBatch, Quote
from stopline.ports import Delete, Put, Unavailable
from stopline.risk.columns import columns
from stopline.rules.limits.registry import Level
from stopline.rules.limits.track import Track
from stopline.service.accounts.reader import account_path
from stopline.service.documents.aggregate import Change
from stopline.service.documents.outbox import Unpublished
from stopline.service.evaluation.evaluate import value_positions
from stopline.service.evaluation.risk_state import RiskCodec

from ..make import NOON, account, at, equity, fill, trade
from .valuing import SCOPE, book_fills, prices, risk, sweep
from .world import World


def test_an_older_evaluation_never_overwrites_a_newer_one(world: World) -> None:
    """F33, I12: by the book, then by the prices; clocks are not asked."""
    book_fills(world, trade(-2, 10, 100))
    slow, _ = world.instance()
    prices(slow, NOON, SPY=100.0)
    old_book = slow.desk.books["demo"]
    old_marks = dict(slow.desk.marks.marks)
    book_fills(world, trade(0, 10, 100))
    prices(world.instance()[0], world.wait(2), SPY=105.0)
    newest = risk(world)
    assert newest.shown["unrealised"] == "100"
    one = slow.desk.accounts["demo"]
    valued = value_positions(columns({"demo": old_book}), old_marks, [one], at(100))["demo"]
    other, _ = world.instance()
    other.evaluator.evaluate(one, old_book, valued, old_marks, at(100), "late", force=True)
    assert risk(world) == newest
    book = other.books.read("demo")
    assert book is not None
    valued = value_positions(columns({"demo": book}), old_marks, [one], at(100))["demo"]
    other.evaluator.evaluate(one, book, valued, old_marks, at(100), "late", force=True)
    assert risk(world) == newest


LIMITS = {"max_position_value": {"limit": "4"}}


def test_settings_that_change_in_the_middle_decide_at_once_and_older_ones_never_again(world: World) -> None:
    """F48, I12: an instance keeps settings for 30 s; what newer ones decide meanwhile stands."""
    book_fills(world, trade(0, 50, 100))
    slow, _ = world.instance()
    prices(slow, NOON, SPY=100.0)
    assert (risk(world).settings, risk(world).level) == (1, Level.OK)
    fast, _ = world.instance()
    fast.account_writer.change("demo", lambda a: a.model_copy(update={"limits": tightened(a)}), "ann")
    prices(fast, world.wait(2), SPY=100.0)
    assert (risk(world).settings, risk(world).level) == (2, Level.BREACH)
    assert slow.desk.accounts["demo"].version == 1, "it keeps them still"
    sweep(slow)
    assert (risk(world).settings, risk(world).level) == (2, Level.BREACH)
    told = {(a["kind"], a["resolved"], a["settings"]) for a in world.bus.bodies("alerts")}
    assert told == {("max_position_value", False, 2)}
    assert risk(world).shown["settings"] == 2
    rows = [r for m in world.bus.bodies("history") for r in m["rows"] if r["table"] == "account_snapshots"]
    assert [orjson.loads(r["row"]["detail"])["settings"] for r in rows][-2:] == [2, 2]


def test_newer_settings_that_are_damaged_since_leave_what_was_read_last(world: World) -> None:
    """F48, F49: it is watched by the settings that this instance knows, and is not left out."""
    book_fills(world, trade(0, 50, 100))
    slow, _ = world.instance()
    prices(slow, NOON, SPY=100.0)
    fast, _ = world.instance()
    fast.account_writer.change("demo", lambda a: a, "ann")
    prices(fast, world.wait(2), SPY=101.0)
    document = world.shared.get(account_path("demo"))
    assert document is not None
    world.shared.commit([Put(document.path, {**document.data, "account": "{"})])
    revision = risk(world).revision
    for last in (102.0, 103.0):
        prices(slow, world.wait(1), SPY=last)
        assert risk(world).settings == 2, "who knows the newer ones is at work"
        prices(fast, world.wait(1), SPY=last)
    revision = risk(world).revision
    world.wait(200)
    sweep(slow)
    assert (risk(world).settings, risk(world).revision) == (1, revision + 1)


def test_an_account_that_was_made_anew_is_watched_although_its_version_is_lower(world: World) -> None:
    """F48, F54: what the store has counts, not the highest number ever seen."""
    book_fills(world, trade(0, 100, 100))
    for _ in range(3):
        world.instance()[0].account_writer.change("demo", lambda a: a, "ann")
    sweep(world.instance()[0])
    assert risk(world).settings == 4
    world.shared.commit([Delete(account_path("demo"))])
    world.open_account()
    revision = risk(world).revision
    sweep(world.instance()[0])
    assert (risk(world).settings, risk(world).revision) == (1, revision + 1)


def tightened(one: Account) -> Any:
    return one.model_validate({**one.model_dump(mode="json"), "limits": LIMITS}).limits


def test_risk_is_written_at_most_once_an_interval_unless_something_changes(world: World) -> None:
    """R1.7, design: conflated."""
    world.open_account(account("slow", risk_interval_s=10))
    app, _ = world.instance()
    app.recorder.record([fill(account="slow", quantity="10", executed_at=at(-1))], "m-1")
    for n in range(30):
        app.marker.mark(PriceBatch("feed", at(n), {"SPY": Quote(100 + n / 100)}, ()))
        world.clock.set(at(n + 1))
    assert risk(world, "slow").revision in (3, 4)
    assert risk(world, "slow").revision == app.risk_states.read("slow").revision  # type: ignore[union-attr]


def test_a_level_that_changes_is_written_at_once(world: World) -> None:
    """R1.7, R2.12."""
    world.open_account(account("slow", risk_interval_s=3600))
    app, _ = world.instance()
    app.recorder.record([fill(account="slow", quantity="1000", executed_at=at(-1))], "m-1")
    app.marker.mark(PriceBatch("feed", NOON, {"SPY": Quote(100.0)}, ()))
    world.bus.messages.clear()
    world.wait(1)
    app.marker.mark(PriceBatch("feed", at(1), {"SPY": Quote(96.0)}, ()))
    assert "max_daily_loss" in {a["kind"] for a in world.bus.bodies("alerts")}


@pytest.mark.parametrize("applied", [False, True])
def test_a_breach_survives_a_commit_of_unknown_outcome(world: World, applied: bool) -> None:
    """F11, F12, I4: the batch comes again; the alert is published, under one id."""
    book_fills(world, trade(-1, 1000, 100))
    app, store = world.instance()
    prices(app, NOON, SPY=100.0)
    world.bus.messages.clear()
    world.wait(2)
    store.faults = [None, store.applied_but_lost if applied else store.lost]  # the marks, then the risk
    with pytest.raises(Unavailable):
        prices(app, at(2), SPY=96.0)
    sweep(world.instance()[0], "after")
    ids = {a["alert_id"] for a in world.bus.bodies("alerts") if a["kind"] == "max_daily_loss"}
    assert len(ids) == 1
    assert app.trading.read(SCOPE).state is TradingState.REDUCING


def test_an_alert_that_could_not_go_out_goes_out_with_the_next_evaluation(world: World) -> None:
    """F17, I4."""
    book_fills(world, trade(-1, 1000, 100))
    app, _ = world.instance()
    prices(app, NOON, SPY=100.0)
    world.wait(2)
    world.bus.down = True
    with pytest.raises(Unpublished):
        prices(app, at(2), SPY=96.0)
    world.bus.down = False
    sweep(world.instance()[0], "after")
    assert "max_daily_loss" in {a["kind"] for a in world.bus.bodies("alerts")}
    assert app.trading.read(SCOPE).state is TradingState.REDUCING


def test_a_risk_document_of_an_earlier_version_is_read(world: World) -> None:
    """F46: it remembers no peaks and counts no trades that ended before."""
    book_fills(world, trade(-1, 10, 100))
    sweep(world.instance()[0])
    codec = RiskCodec()
    data = codec.encode(risk(world))
    body = orjson.loads(data["state"])
    del body["track"]
    old = codec.decode({**data, "state": orjson.dumps(body).decode()})
    assert old.track == Track(streak=None)
    assert old.day_start == risk(world).day_start


def test_the_state_reads_back_as_it_was_written(world: World) -> None:
    book_fills(world, trade(-1, 1000, 100), trade(0, 1, 5, instrument=equity("QQQ")))
    app, _ = world.instance()
    prices(app, NOON, SPY=97.0)
    world.wait(61)
    prices(app, world.clock.now(), SPY=97.0)
    state = risk(world)
    assert state.unpriced == ("QQQ",)
    codec = RiskCodec()
    assert codec.decode(codec.encode(state)) == state


def test_the_day_starts_with_the_last_valuation_of_the_day_before(world: World) -> None:
    """R2.4, F36: overnight, through the stored state."""
    book_fills(world, trade(-1, 100, 100))
    app, _ = world.instance()
    world.clock.set(datetime(2026, 11, 18, 20, 59, tzinfo=UTC))
    prices(app, world.clock.now(), SPY=104.0)
    tomorrow = datetime(2026, 11, 19, 15, 0, tzinfo=UTC)
    world.clock.set(tomorrow)
    prices(world.instance()[0], tomorrow, SPY=103.0)
    shown = risk(world).shown
    assert (shown["pnl_day"], shown["total"], shown["session"]) == ("-100", "300", "2026-11-19")
    assert shown["day_start"].startswith("last complete valuation")


def test_an_empty_book_needs_no_price() -> None:
    world = World()
    world.open_account()
    app, _ = world.instance()
    app.evaluator.evaluate(account(), Book("demo"), [], {}, NOON, "first")
    assert risk(world).shown["equity"] == "100000"
    assert risk(world).as_of == NOON


@pytest.mark.parametrize("is_begun_anew", [True, False])
def test_a_book_that_came_back_at_an_earlier_revision_is_valued(is_begun_anew: bool) -> None:
    """I7, R0.4: deleted and folded again, or put back by hand: its limits were blind until it had as many commits."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    for number in range(1, 7):
        app.recorder.record([trade(number, 10, 100)], f"m-{number}")
    prices(app, world.wait(5), SPY=100.0)
    sweep = Sweep(kind=SweepKind.RISK)
    app.sweeper.run(sweep, world.clock.now(), "s-1")
    before = app.risk_states.read("demo")
    for collection in ("books", "fills"):
        world.shared.commit([Delete(d.path) for d in world.shared.query(collection)])
    world.wait(60)
    app, _ = world.instance()
    app.recorder.record([trade(number, 1000, 100) for number in range(1, 7)], "again")
    if not is_begun_anew:
        app.books.change("demo", lambda book, attempt: Change(replace(book, revision=1)) if book else None)
    prices(app, world.wait(5), SPY=60.0)
    world.instance()[0].sweeper.run(sweep, world.clock.now(), "s-2")
    book, after = app.books.read("demo"), app.risk_states.read("demo")
    assert before is not None
    assert after is not None
    assert book is not None
    assert (book.revision > before.book_revision) is is_begun_anew
    assert (after.book_revision, after.as_of) == (book.revision, world.clock.now())
    assert app.trading.standing("account:demo").state is not TradingState.ACTIVE, (
        "its daily loss is over the limit"
    )
