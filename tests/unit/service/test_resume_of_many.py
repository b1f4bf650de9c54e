"""Resuming the whole of many accounts: few calls for each, several at a time, and no kill waits behind them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from stopline.adapters.threads import Threads
from stopline.model.scopes import Scope
from stopline.model.statement import Statement
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.ports import Document, Path, Unavailable
from stopline.runtime.app import App
from stopline.runtime.ports import Ports

from ..make import account, trade
from .resume_calls import HALTED, ask, refused
from .test_orders_working import order
from .valuing import prices
from .world import FaultyStore, World

NAMES = [f"a{number:02}" for number in range(12)]


@pytest.fixture
def world() -> World:
    """Twelve accounts, each with a position and a statement that lists an order, halted a minute ago with the whole."""
    made = World()
    app, _ = made.instance()
    for number, name in enumerate(NAMES, 1):
        made.open_account(account(name))
        app.recorder.record([trade(number, 10, 100, account=name)], name)
    ask(app, "kill", "k", "global", flatten=False)
    now = made.wait(61)
    for name in NAMES:
        facts = {"statement_id": "S-1", "broker": "paper", "account": name, "as_of": utc_text(now)}
        listed = {"positions": [{"symbol": "SPY", "quantity": "10"}], "working": [order()]}
        app.statement_recorder.record(validate(Statement, {**facts, **listed}))
    prices(app, now, SPY=100.0)
    return made


def test_a_resume_of_the_whole_makes_two_calls_an_account(world: World) -> None:
    """Performance: ten calls, one after the other, met the function's end with a thousand accounts."""
    app, store = world.instance()
    before = store.reads
    told = app.trading._doubts(Scope("global"))
    assert [line.split(" still works")[0] for line in told] == [f"{name}: 1 order" for name in NAMES]
    assert store.reads - before <= 2 * len(NAMES) + 10


def test_the_accounts_are_looked_at_side_by_side_and_told_in_their_order(world: World) -> None:
    """Of twelve accounts four at once: with fewer the barrier breaks."""
    at_once = threading.Barrier(4, timeout=10)

    class Store(FaultyStore):
        def get_all(self, paths: Sequence[Path]) -> list[Document | None]:
            if any(path.collection == "risk" for path in paths):
                at_once.wait()
            return super().get_all(paths)

    app = App(Ports(Store(world.shared), world.bus, world.clock, looks=Threads(4)))
    told = app.trading._doubts(Scope("global"))
    assert [line.partition(":")[0] for line in told] == NAMES


def test_a_kill_of_the_whole_waits_for_none_of_the_threads_that_look(world: World) -> None:
    """I6: the looks stand still, and every account's cancel goes out."""
    is_looking, goes_on = threading.Event(), threading.Event()

    class Store(FaultyStore):
        def get_all(self, paths: Sequence[Path]) -> list[Document | None]:
            if any(path.collection == "risk" for path in paths):
                is_looking.set()
                assert goes_on.wait(60)
            return super().get_all(paths)

    ports = Ports(Store(world.shared), world.bus, world.clock, each=Threads(1), looks=Threads(1))
    app = App(ports)
    with ThreadPoolExecutor(2) as threads:
        try:
            resumed = threads.submit(refused, app, "r", "global")
            assert is_looking.wait(60)
            world.bus.messages.clear()
            killed = threads.submit(lambda: app.halts.advance(ask(app, "kill", "k-2", "global")))
            assert set(killed.result(10)) == set(NAMES)
        finally:
            goes_on.set()
        resumed.result(60)
    assert app.trading.standing("global").state is HALTED
    assert {o["account"] for o in world.bus.bodies("orders") if o["action"] == "close"} == set(NAMES)


def test_a_store_that_fails_is_asked_about_no_further_account(world: World) -> None:
    """I7: nothing is resumed; and each call waits for two seconds."""
    asked = []

    class Store(FaultyStore):
        def get_all(self, paths: Sequence[Path]) -> list[Document | None]:
            if any(path.collection == "risk" for path in paths):
                asked.append(paths)
                raise Unavailable("no answer")
            return super().get_all(paths)

    app = App(Ports(Store(world.shared), world.bus, world.clock, looks=Threads(1)))
    with pytest.raises(Unavailable):
        ask(app, "resume", "r", "global")
    assert len(asked) == 1
    assert app.trading.standing("global").state is HALTED
