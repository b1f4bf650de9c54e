"""Amendments that come before their fill and name another strategy: they wait for it, then are in its position's log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from stopline.ledger.amend import target_key
from stopline.ledger.arrivals import MAX_HELD
from stopline.ledger.encoding import encode_book
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.wire import canonical
from stopline.ports import Conflict, Data, Path, Put, Unavailable, Write
from stopline.runtime.app import App
from stopline.service.fills import record_fill
from stopline.service.fills.books import fill_path

from ..make import at, fill
from .test_late_fills import charge, state, swing
from .world import World

COIN = Instrument.model_validate(
    {
        "symbol": "BTC-29JAN27-100000-C",
        "kind": "option",
        "currency": "BTC",
        "underlying": "BTC",
        "expiry": "2027-01-29",
        "strike": "100000",
        "right": "C",
    }
)


@pytest.fixture
def world() -> World:
    world = World()
    world.open_account()
    return world


def book(app: App, *fills: Fill, message_id: str | None = None) -> list[str]:
    outcomes = app.recorder.record(fills, message_id or "-".join(one.fill_id for one in fills))
    return [one.refused.reason if one.refused else one.result.value for one in outcomes]


def document(world: World, one: Fill) -> Data:
    found = world.shared.get(fill_path(one.key))
    assert found is not None
    return found.data


def told(world: World, one: Fill) -> int:
    """Return how many different rows of the history tell of a fill."""
    rows = [row for body in world.bus.bodies("history") for row in body["rows"] if row["table"] == "fills"]
    return len({canonical(row) for row in rows if row["row"]["fill_id"] == one.fill_id})


TRADED = swing("E-1", "BUY", 100, -3600)


def early(kind: str, **more: Any) -> Fill:
    terms: dict[str, Any] = {"FEE": {"fee": "1.5"}, "BUST": {}, "CORRECT": {"quantity": 5, "price": 90}}[kind]
    facts = {"side": "BUY", "quantity": 0, "price": 0, "executed_at": at(-3590), **terms, **more}
    return fill("A-1", **{"kind": kind, "ref": "E-1", "strategy": "default", **facts})


@pytest.mark.parametrize("kind", ["FEE", "BUST", "CORRECT"])
@pytest.mark.parametrize("of_another", [True, False], ids=["of another strategy", "of its own"])
def test_it_is_in_the_log_of_its_fill_s_position_when_that_has_come_and_nothing_else_of_it_changes(
    world: World, kind: str, of_another: bool
) -> None:
    """Issue 4: nothing waits for ever, and the log is the same whatever came first. Its row goes out once."""
    app, _ = world.instance()
    one = early(kind) if of_another else early(kind, strategy="swing")
    book(app, one)
    before = document(world, one)
    later = swing("E-2", "BUY", 110, -1800)
    for came in (TRADED, later, swing("E-0", "BUY", 95, -7200)):
        world.wait(1)
        assert book(app, came) == ["applied"]
    assert document(world, one) == {**before, "strategy": "swing"}
    assert told(world, one) == 1
    assert state(world)["held"]["swing:SPY"] == {
        "FEE": (6, 610), "BUST": (4, 410), "CORRECT": (9, 860),
    }[kind]  # fmt: skip
    assert [one.fee for one in app.recorder._log.of("demo", "default", "SPY")] == []


@pytest.mark.parametrize("fault", ["lost", "applied_but_lost"])
def test_a_crash_around_the_commit_of_its_fill_leaves_it_waiting_or_moved_and_never_both(
    world: World, fault: str
) -> None:
    """F11, F12, I4: one commit books the fill, takes the amendment out of the book and puts it into the other log."""
    app, store = world.instance()
    bust = early("BUST")
    book(app, bust)
    store.faults = [getattr(store, fault)]
    with pytest.raises(Unavailable):
        book(app, TRADED)
    applied = fault == "applied_but_lost"
    now = world.book()
    assert now is not None
    assert (now.fills, sum(map(len, now.held.values()))) == ((2, 0) if applied else (1, 1))
    assert document(world, bust)["strategy"] == ("swing" if applied else "default")
    other, _ = world.instance()
    for again in (app, other):
        book(again, TRADED)
    assert state(world)["held"] == {}
    assert (told(world, bust), told(world, TRADED)) == (1, 1)


def test_two_instances_that_book_its_fill_at_once_move_it_once(world: World) -> None:
    """I2: the book's version says which of them was first; the other sees what is there then."""
    (one, slow), (two, _) = world.instance(), world.instance()
    fee = early("FEE")
    book(two, fee)
    book(one, swing("E-0", "BUY", 95, -7200))  # has seen the fee wait

    def overtaken(writes: Sequence[Write]) -> None:
        book(two, TRADED, swing("E-2", "BUY", 110, -1800))

    slow.faults = [overtaken]
    assert book(one, TRADED, charge(2, strategy="other")) == ["duplicate", "applied"]
    assert book(two, swing("E-3", "BUY", 120, -900)) == ["applied"]
    state(world)
    now = world.book()
    assert now is not None
    assert (now.positions["swing:SPY"].fees, now.fills) == (2.5, 6)


def test_it_is_moved_by_what_its_document_says_at_the_commit(world: World) -> None:
    """A commit that is refused as a conflict of nobody is decided again, with the documents as they are then."""
    app, store = world.instance()
    bust = early("BUST")
    book(app, bust)
    store.faults = [store.raises(Conflict("too much contention"))]
    world.shared.commit([Put(fill_path(bust.key), {**document(world, bust), "message_id": "restored"})])
    assert book(app, TRADED) == ["applied"]
    assert (document(world, bust)["strategy"], document(world, bust)["message_id"]) == ("swing", "restored")
    state(world)


def test_only_a_fill_for_which_one_of_another_strategy_waits_costs_one_more_question(world: World) -> None:
    """Design: one round trip for a fill on a warm instance, whatever waits in the book for other fills."""
    app, store = world.instance()
    of_another, of_its_own = early("FEE"), charge(2, strategy="swing")
    book(app, of_another, of_its_own)
    asked = []
    for came in (swing("E-9", "BUY", 99, -3700), swing("E-2", "BUY", 99, -3500), TRADED):
        store.reads = store.commits = 0
        assert book(app, came) == ["applied"]
        asked.append((store.reads, store.commits))
    plain, own, another = asked
    assert plain == (0, 1)
    assert another == (own[0] + 1, 1)


def test_what_is_folded_later_in_the_same_commit_knows_it(world: World) -> None:
    """R1.5: a payment of an option in its own coin comes first of its position, and each of its trades after that."""
    app, _ = world.instance()

    def coin(id_: str, side: str, units: int, second: float, **more: Any) -> Fill:
        return fill(id_, side, units, "0.05", at(second), COIN, **{"strategy": "swing", **more})

    with patch.object(record_fill, "check_coin", lambda _group, _book: None):  # an older version opened it
        book(app, coin("E-1", "BUY", 3, -100), coin("E-2", "SELL", 1, -1))
    paid = fill(
        "P-1", "BUY", 0, 0, at(-50), COIN, kind="FUNDING", fee="-2", fee_currency="BTC", strategy="swing"
    )
    bust = fill("B-1", "BUY", 0, 0, at(-40), COIN, kind="BUST", ref="P-1", strategy="default")
    book(app, bust)
    assert book(app, coin("E-3", "SELL", 1, -30), paid) == ["applied", "applied"]
    state(world)
    now = world.book()
    assert now is not None
    assert (now.total("BTC").income, now.net_quantity(COIN.symbol)) == (0, 1)


def test_what_an_older_version_held_beside_its_fill_leaves_a_book_that_holds_too_much(world: World) -> None:
    """Some 1,700 of them filled the document, and nothing that opens lots could be booked any more."""
    app, _ = world.instance()
    most = 2 * MAX_HELD + 50
    fees = [charge(number) for number in range(most)]
    book(app, *(swing(f"E-{number}", "BUY", 100, number - 3600) for number in range(most)))
    book(app, *fees, charge(most))
    now = world.book()
    assert now is not None
    held = {**now.held, **{target_key(one): (one,) for one in fees}}
    left = {**(world.document("books", "demo") or {}), "state": encode_book(replace(now, held=held))}
    older = [Put(fill_path(one.key), {**document(world, one), "strategy": "default"}) for one in fees]
    world.shared.commit([*older, Put(Path("books", "demo"), left)])
    counts = []
    for number in range(3):
        fresh, _ = world.instance()
        assert book(fresh, fill(f"N-{number}", executed_at=at(number - 60))) == ["applied"]
        found = world.book()
        assert found is not None
        counts.append(sum(map(len, found.held.values())))
    assert counts == [most + 1 - MAX_HELD, most + 1 - 2 * MAX_HELD, most + 1 - 2 * MAX_HELD]
