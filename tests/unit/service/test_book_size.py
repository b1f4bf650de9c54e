"""A book that grows: told in steps, then closed to new lots while its document still fits into the store."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stopline.ledger.book import Book
from stopline.model.errors import Rejected
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.messages import Severity
from stopline.ports import Unavailable
from stopline.service.fills import book_size
from stopline.service.fills.book_size import KIB, check_size
from stopline.service.fills.outcome import Result

from ..make import NOON, at, equity, fill, option
from .world import World


def opened(first: int, count: int) -> list[Fill]:
    return [fill(f"E-{n}", instrument=equity(f"S{n}"), executed_at=at(n / 1000)) for n in range(first, count)]


def grown(book: Book, fills: Sequence[Fill]) -> Book:
    return book.with_fills(fills, lambda moment: moment.date(), lambda *_: (), NOON)


def test_a_book_is_told_of_once_in_each_step() -> None:
    book, told = Book("demo"), []
    for first in range(0, 1300, 100):
        after = grown(book, opened(first, first + 100))
        alert = check_size(book, after, f"c-{first}", NOON)
        if alert is not None:
            told.append((alert.severity, book_size.book_size(after) // book_size.TOLD_EVERY))
        book = after
    warning, critical = Severity.WARNING, Severity.CRITICAL
    assert told == [(warning, 2), (warning, 3), (warning, 4), (critical, 5)]


def test_a_full_book_takes_no_new_lots_and_every_closing() -> None:
    """F50: reject early, with a clear word, what the store would refuse for ever; never what reduces risk."""
    full = grown(Book("demo"), opened(0, 1450))
    assert book_size.book_size(full) > book_size.FULL
    with pytest.raises(Rejected, match=r"would have 8\d\d KiB, the most is 768") as refused:
        check_size(full, grown(full, opened(1450, 1451)), "c", NOON)
    assert refused.value.reason == "BOOK_FULL"
    closing = fill("C-1", "SELL", 4, 101, at(60), equity("S7"))
    check_size(full, grown(full, [closing]), "c", NOON)


def test_the_recorder_refuses_what_overfills_and_books_what_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_size, "FULL", 4 * KIB)
    monkeypatch.setattr(book_size, "TOLD_FROM", 2 * KIB)
    monkeypatch.setattr(book_size, "TOLD_EVERY", KIB)
    world = World()
    world.open_account()
    app, _ = world.instance()
    outcomes = [app.recorder.record([one], one.fill_id)[0] for one in opened(0, 12)]
    refused = [outcome.refused.reason for outcome in outcomes if outcome.refused]
    assert refused
    assert set(refused) == {"BOOK_FULL"}
    assert outcomes[0].result is Result.APPLIED
    assert world.count("fills") == len(outcomes) - len(refused)  # and may be redriven
    told = [a["summary"] for a in world.bus.bodies("alerts") if a["kind"] == "book_large"]
    assert [text.split(";")[0] for text in told] == [
        "The book has grown to 2 KiB",
        "The book has grown to 3 KiB",
    ]
    together = [fill("C-1", "SELL", 10, 101, at(60), equity("S0")), *opened(20, 22)]
    results = [outcome.result for outcome in app.recorder.record(together, "m")]
    assert results == [Result.APPLIED, Result.REFUSED, Result.REFUSED]


def test_a_kill_of_a_large_book_is_booked_whoever_books_it() -> None:
    """I2, I4: of 900 options 200 close in one message on an instance that knows nothing of what others did. Neither what one
    message brings nor what others have published already may make the document larger than the store takes.
    """
    world = World()
    world.open_account()
    contracts = [option(1000 + 5 * n, "CP"[n % 2]) for n in range(900)]
    app, _ = world.instance()
    for first in range(0, 900, 100):
        app.recorder.record([leg("E", n, contracts[n]) for n in range(first, first + 100)], f"m-{first}")
    world.wait(1)
    closing = [leg("C", n, contracts[n]) for n in range(200)]
    outcomes = world.instance()[0].recorder.record(closing, "c")
    assert [outcome.result for outcome in outcomes] == [Result.APPLIED] * 200
    book = world.book()
    assert book is not None
    assert len(book.open_positions()) == 700
    rows = [row for body in world.bus.bodies("history") for row in body["rows"] if row["table"] == "fills"]
    assert len({row["event_id"] for row in rows}) == 1100
    assert len({key for body in world.bus.bodies("sweeps") for key in body["fills"]}) == 1100


def leg(kind: str, number: int, contract: Instrument) -> Fill:
    side = "BUY" if (kind == "E") == bool(number % 2) else "SELL"
    when = at((60 if kind == "C" else 0) + number / 1000)
    return fill(f"{kind}-{number}", side, 3, "12.35", when, contract, order_id=f"{kind}-{number}")


def test_the_same_message_again_after_half_of_it_was_booked_books_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F11, F12, I2: what goes in several commits is still one message, and nothing of it counts twice."""
    monkeypatch.setattr(book_size, "ROOM", 16 * KIB)
    world = World()
    world.open_account()
    app, store = world.instance()
    fills = opened(0, 12)
    store.faults = [None, store.lost]
    with pytest.raises(Unavailable):
        app.recorder.record(fills, "m")
    booked = world.count("fills")
    assert 0 < booked < 12
    again, _ = world.instance()
    results = [outcome.result for outcome in again.recorder.record(fills, "m")]
    assert results == [Result.DUPLICATE] * booked + [Result.APPLIED] * (12 - booked)
    assert world.count("fills") == 12
    assert world.count("duplicates") == 0  # a redelivery is none
    book = world.book()
    assert book is not None
    assert len(book.open_positions()) == 12


def test_a_fill_that_has_no_room_beside_its_effects_is_still_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_size, "ROOM", 0)
    world = World()
    world.open_account()
    app, store = world.instance()
    results = [outcome.result for outcome in app.recorder.record(opened(0, 3), "m")]
    assert results == [Result.APPLIED] * 3
    assert store.commits == 3
