"""A book that grows: told in steps, then closed to new lots while its document still fits into the store."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stopline.ledger.book import Book
from stopline.model.errors import Rejected
from stopline.model.fill import Fill
from stopline.model.messages import Severity
from stopline.service.fills import book_size
from stopline.service.fills.book_size import KIB, check_size
from stopline.service.fills.record_fill import Result

from ..make import NOON, at, equity, fill
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
    """Reject early, with a clear word, what the store would refuse for ever; never what reduces risk."""
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
