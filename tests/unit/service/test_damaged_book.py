"""A damaged book leaves its account unwatched, aloud, until it is read well; the others are valued: R0.4, I7, I10."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.errors import Rejected, Transient, Unreadable
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Sweep, SweepKind
from stopline.ports import SERVER_TIME, Delete, Path, Put
from stopline.runtime.app import App
from stopline.service.fills.books import BookFeed

from ..make import account, trade
from .valuing import prices
from .world import World

BOOK = Path("books", "demo")


@pytest.fixture
def world() -> World:
    """Two accounts with a position each, both watched a minute ago."""
    made = World()
    for name in ("demo", "other"):
        made.open_account(account(name))
    app, _ = made.instance()
    app.recorder.record([trade(1, 10, 100), trade(2, 10, 100, account="other")], "m-1")
    prices(app, made.clock.now(), SPY=100.0)
    sweep(made, app)
    made.bus.messages.clear()
    return made


def sweep(world: World, app: App) -> str:
    """Run a round; return what it says it could not do."""
    now = world.clock.now()
    try:
        app.sweeper.run(Sweep(kind=SweepKind.RISK), now, f"s-{now.timestamp()}")
    except Transient as problem:
        return str(problem)
    return ""


def put(world: World, name: str = "demo", **fields: Any) -> dict[str, Any]:
    """Write some fields of a book over; None removes one. Return what it was."""
    data = world.document("books", name)
    assert data is not None
    changed = {**data, "changed_at": SERVER_TIME, **fields}
    kept = {field: value for field, value in changed.items() if value is not None}
    world.shared.commit([Put(Path("books", name), kept)])
    return data


def leased(app: App, name: str) -> str:
    try:
        return app.leases.grant(app.accounts.require(name), LeaseRequest(adapter="a")).state.value
    except Rejected as refused:
        return refused.detail


def unwatched(world: World) -> list[tuple[str, bool]]:
    found = {b["alert_id"]: b for b in world.bus.bodies("alerts") if b["kind"] == "account_unwatched"}
    return [(b["account"], b["resolved"]) for b in found.values()]


DAMAGE: dict[str, dict[str, Any]] = {
    "cut short": {"state": '{"account'},
    "of another shape": {"state": "[]"},
    "without a state": {"state": None},
    "without an account": {"state": "{", "account": None},
}


@pytest.mark.parametrize("warm", [True, False], ids=["the same instance", "new instances"])
@pytest.mark.parametrize("how", DAMAGE)
def test_its_account_loses_its_lease_and_is_told_and_the_others_are_watched(
    world: World, how: str, warm: bool
) -> None:
    """Warm: an instance that reads it before it was ever whole here, and looks again in every round."""
    put(world, **DAMAGE[how])
    app, _ = world.instance()
    for _ in range(5):
        now = world.wait(60)
        app = app if warm else world.instance()[0]
        prices(app, now, SPY=100.0)
        assert "demo: books/demo cannot be read" in sweep(world, app)
        assert world.document("risk", "other")["as_of"] == now  # type: ignore[index]
        assert leased(app, "other") == "ACTIVE"
    assert "could not watch this account" in leased(app, "demo")
    assert unwatched(world) == [("demo", False)]


def test_one_that_was_read_whole_before_counts_no_more_once_it_is_damaged(world: World) -> None:
    app, _ = world.instance()
    assert sweep(world, app) == ""
    world.wait(60)
    put(world, state="{")
    assert "demo: books/demo cannot be read" in sweep(world, app)
    assert (sorted(app.desk.books), sorted(app.desk.columns.slices)) == (["other"], ["other"])
    with pytest.raises(Unreadable, match="books/demo"):  # nobody is shown an empty book
        app.reporter.report(account("demo"))


def test_it_is_watched_again_in_the_round_after_its_repair_by_hand(world: World) -> None:
    """Whoever repairs it in the console leaves the time of its last change as it was, far behind everybody's cursor."""
    was = put(world, state="{")
    app, _ = world.instance()
    for _ in range(5):
        world.wait(60)
        assert "demo: books/demo" in sweep(world, app)
    put(world, "other", changed_at=world.clock.now())  # decades later: the store counts from 2000
    assert "demo: books/demo" in sweep(world, app)
    put(world, state=was["state"], changed_at=was["changed_at"])
    now = world.wait(60)
    assert sweep(world, app) == ""
    assert world.document("risk", "demo")["as_of"] == now  # type: ignore[index]
    assert "could not watch" not in leased(app, "demo")
    assert unwatched(world) == [("demo", False), ("demo", True)]


def test_one_that_is_gone_is_damaged_no_more(world: World) -> None:
    put(world, state="{")
    feed = BookFeed(world.shared)
    feed.refresh()
    assert list(feed.unreadable) == ["demo"]
    world.shared.commit([Delete(BOOK)])
    assert feed.refresh() == set()
    assert (feed.unreadable, list(feed.books)) == ({}, ["other"])


def test_a_book_without_the_time_of_its_change_is_read_all_the_same(world: World) -> None:
    put(world, changed_at=None)
    feed = BookFeed(world.shared)
    assert feed.refresh() == {"demo", "other"}


def test_a_book_is_read_once_and_again_only_where_its_text_is_another(world: World) -> None:
    """An outbox that was flushed changes nothing; a repair by hand under the same revision does."""
    _, store = world.instance()
    feed = BookFeed(store)
    assert feed.refresh() == {"demo", "other"}
    put(world, outbox="[]", outbox_at=None)
    first, reads = feed.books["demo"], store.reads
    assert (feed.refresh(), store.reads) == (set(), reads + 1)
    assert feed.books["demo"] is first
    data = world.document("books", "demo")
    assert data is not None
    put(world, state=data["state"].replace('"fills":1', '"fills":2'))
    assert feed.refresh() == {"demo"}
    assert feed.books["demo"].fills == 2
