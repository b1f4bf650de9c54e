"""Group commit: a hot account's messages share commits, and each gets its own answer."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from stopline.adapters.clock import ManualClock
from stopline.adapters.memory import MemoryBus, MemoryStore
from stopline.model.account import Account
from stopline.model.fill import Fill
from stopline.model.wire import validate
from stopline.ports import Create, Unavailable
from stopline.runtime.app import App
from stopline.runtime.ports import Ports
from stopline.service.documents.batching import Batcher
from stopline.service.fills.outcome import Result

NOON = datetime(2026, 11, 20, 17, tzinfo=UTC)


def test_works_that_wait_are_served_together() -> None:
    """While one batch is served, the rest of the line becomes the next batch."""
    batches: list[list[int]] = []
    entered, go = threading.Event(), threading.Event()

    def serve(works: list[int]) -> None:
        batches.append(list(works))
        if len(batches) == 1:
            entered.set()
            assert go.wait(10)

    batcher = Batcher(serve, lambda works, _work: len(works) < 3)
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(batcher.run, "a", 0)]
        assert entered.wait(10)
        jobs += [pool.submit(batcher.run, "a", n) for n in range(1, 6)]
        while len(batcher._lines["a"].waiting) < 5:
            pass
        go.set()
        for job in jobs:
            job.result(10)
    assert batches[0] == [0]
    assert [len(batch) for batch in batches] == [1, 3, 2]
    assert sorted(n for batch in batches for n in batch) == list(range(6))


def test_an_error_reaches_everyone_whose_work_it_was_and_nobody_else() -> None:
    """A failed commit is not acknowledged by any of its messages; the next batch is served."""

    def serve(works: list[str]) -> None:
        if "bad" in works:
            raise Unavailable("down")

    batcher: Batcher[str] = Batcher(serve, lambda _works, _work: False)
    with pytest.raises(Unavailable):
        batcher.run("a", "bad")
    batcher.run("a", "good")


class GatedStore(MemoryStore):
    """Counts the fills of each commit, and holds the first one until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.gate = threading.Event()

    def commit(self, writes: Any) -> list[Any]:
        fills = sum(1 for w in writes if isinstance(w, Create) and w.path.collection == "fills")
        if fills:
            assert self.gate.wait(60)
            self.batches.append(fills)
        return super().commit(writes)


def test_a_hot_account_shares_commits_and_books_every_fill_once() -> None:
    """R8.5, F14: 16 threads on one account, every message answered for itself."""
    store = GatedStore()
    app = App(Ports(store, MemoryBus(), ManualClock(NOON)))
    facts = {"account": "hot", "owner": "ann", "currency": "USD", "capital": "100000"}
    app.account_writer.create(validate(Account, facts), "test")

    def fill(number: int) -> Fill:
        return validate(
            Fill,
            {
                "fill_id": f"F{number}", "broker": "paper", "account": "hot", "side": "BUY", "quantity": "1",
                "instrument": {"symbol": "AAPL", "kind": "equity", "currency": "USD"}, "price": "90",
                "executed_at": f"2026-11-20T16:00:00.{number:06d}Z",
            },
        )  # fmt: skip

    def send(number: int) -> Result:
        [outcome] = app.recorder.record([fill(number)], f"m{number}")
        return outcome.result

    with ThreadPoolExecutor(16) as pool:
        jobs = [pool.submit(send, number) for number in range(200)]
        lines = app.recorder._batcher._lines
        while "hot" not in lines or len(lines["hot"].waiting) < 15:
            threading.Event().wait(0.001)  # one commit under way, all other threads in the line behind it
        store.gate.set()
        first = [job.result(60) for job in jobs]
        again = list(pool.map(send, range(200)))
    assert set(first) == {Result.APPLIED}
    assert set(again) == {Result.DUPLICATE}
    assert sum(store.batches) == 200
    assert store.batches[0] == 1
    assert store.batches[1] >= 15, "those that waited did not share the next commit"
    book = app.books.read("hot")
    assert book is not None
    assert book.fills == book.net_quantity("AAPL") == 200
