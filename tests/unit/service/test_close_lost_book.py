"""Closing an account whose book was lost, or came back at an earlier revision: never flat for what was there before."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from stopline.ledger.book import Book
from stopline.model.control import ControlRequest
from stopline.model.errors import Unreadable
from stopline.model.fill import Fill
from stopline.model.messages import Sweep, SweepKind
from stopline.ports import Delete, Put
from stopline.runtime.app import App
from stopline.service.documents.aggregate import Change

from ..make import trade
from .world import World


def kill(app: App, request_id: str) -> str | None:
    facts = {
        "request_id": request_id,
        "scope": "account:demo",
        "action": "kill",
        "actor": "ann",
        "reason": "t",
    }
    return app.halts.advance(app.trading.set(ControlRequest.model_validate(facts)))["demo"]


def closes(world: World) -> list[tuple[str, str]]:
    return [(o["side"], o["quantity"]) for o in world.bus.bodies("orders") if o["action"] == "close"]


def told(world: World) -> list[bool]:
    found = {a["alert_id"]: a for a in world.bus.bodies("alerts") if a["kind"] == "not_flat"}
    return [a["resolved"] for a in found.values()]


def lose(world: World, *collections: str) -> list[Put]:
    """Delete all documents of collections; return what puts them back."""
    lost = [document for name in collections for document in world.shared.query(name)]
    world.shared.commit([Delete(document.path) for document in lost])
    return [Put(document.path, document.data) for document in lost]


def fold_again(world: World) -> None:
    """Lose book and fills, and have the fills come again in one message, as after a restore."""
    fills = [write.data["fill"] for write in lose(world, "books", "fills") if "fill" in write.data]
    app, _ = world.instance()
    app.recorder.record([Fill.model_validate(orjson.loads(text)) for text in fills], "m-again")
    app.books.change("demo", lambda book, attempt: Change(replace(book, revision=1)) if book else None)


@pytest.fixture
def world() -> World:
    """Return an account that was killed, flat and resumed, and has bought five shares since: eight commits of its book."""
    made = World()
    made.open_account()
    app, _ = made.instance()
    for number in range(1, 7):
        app.recorder.record([trade(number, 10, 100)], f"m-{number}")
    kill(app, "k-1")
    close = made.bus.bodies("orders")[-1]["command_id"]
    app.recorder.record([trade(7, -60, 100, executed_at=made.wait(1), order_id=close)], "m-7")
    assert kill(app, "k-1") == "FLAT"
    made.resume(app, "r-1", 1)
    app.halts.advance(app.trading.standing("account:demo"))
    app.recorder.record([trade(8, 5, 100, executed_at=made.wait(60))], "m-8")
    made.bus.messages.clear()
    return made


def test_a_book_that_was_folded_again_is_closed_at_its_lower_revision(world: World) -> None:
    """I6, I7: what is read after the closings is no older copy of theirs."""
    fold_again(world)
    app, _ = world.instance()
    assert kill(app, "k-2") == "CLOSING"
    assert closes(world) == [("SELL", "5")]
    state, book = app.closer.read("demo"), app.books.read("demo")
    assert book is not None
    assert state.book_revision == book.revision == 1
    assert sorted(sent.is_filled for sent in state.sent.values()) == [False, True], "counted from the fills"


def test_a_look_that_read_the_book_before_it_was_folded_again_reads_it_anew(world: World) -> None:
    """I7: the revision of the book of before is the higher one."""
    slow, _ = world.instance()
    kill(slow, "k-2")
    close = world.bus.bodies("orders")[-1]["command_id"]
    slow.recorder.record([trade(9, -5, 100, executed_at=world.wait(1), order_id=close)], "m-9")
    read, books = slow.books.read, list[Book | None]()

    def stalled(name: str) -> Book | None:
        books.append(read(name))
        if len(books) == 1:  # it is flat; what comes back is not, because the last fill is on its way
            lose(world, "books", "fills")
            other, _ = world.instance()
            other.recorder.record([trade(1, 5, 100)], "m-again")
            other.closer.advance(name)
        return books[-1]

    slow.books.read = stalled  # type: ignore[method-assign]
    assert kill(slow, "k-2") == "CLOSING"


def test_a_book_that_is_gone_is_not_flat_and_told_until_it_is_back(world: World) -> None:
    """R0.4, R5.1, I7: the closings know that there was one."""
    lost = lose(world, "books", "fills")
    assert kill(world.instance()[0], "k-2") is None
    assert told(world) == [False]
    world.shared.commit(lost)
    world.wait(60)
    world.instance()[0].sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "s")
    assert closes(world) == [("SELL", "5")]
    assert told(world) == [False, True]


def test_without_a_book_the_fill_log_says_whether_there_was_one() -> None:
    """R0.4, R5.1, I7: nothing was closed yet."""
    world = World()
    world.open_account()
    world.instance()[0].recorder.record([trade(1, 10, 100)], "m-1")
    lose(world, "books")
    app, _ = world.instance()
    assert kill(app, "k-1") is None
    assert told(world) == [False]
    with pytest.raises(Unreadable, match="books/demo"):
        app.closer.advance("demo")


def test_a_first_fill_that_comes_between_two_looks_is_no_lost_book() -> None:
    """I7."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    read, looks = app.books.read, list[str]()

    def late(name: str) -> Book | None:
        book = read(name)
        looks.append(name)
        if len(looks) == 1:
            world.instance()[0].recorder.record([trade(1, 10, 100)], "m-1")
        return book

    app.books.read = late  # type: ignore[method-assign]
    assert kill(app, "k-1") == "CLOSING"
    assert closes(world) == [("SELL", "10")]


def test_a_halt_of_another_epoch_is_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """R5.1, I7: the kill of before was flat; of this one nothing is known where nothing was worked out."""
    app, _ = world.instance()
    monkeypatch.setattr(app.closer, "_changed", lambda *_: None)
    assert kill(app, "k-2") is None
