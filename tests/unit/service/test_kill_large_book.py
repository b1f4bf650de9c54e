"""A kill of more positions than the closings of an account have room for: it goes in rounds, to flat."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from stopline.model.closing import CloseRequest
from stopline.model.control import ClosingStatus, ControlRequest
from stopline.model.instrument import Instrument
from stopline.model.times import utc_text
from stopline.rules.closing import commands as closing_commands
from stopline.rules.closing import sent as closing_sent
from stopline.rules.closing.sent import MOST_LEGS
from stopline.runtime.app import App

from ..make import NOON, equity, fill, option
from .world import World

OPTIONS = int(os.environ.get("STOPLINE_OPTIONS", "150"))
KILL = {"request_id": "k", "scope": "account:demo", "action": "kill", "actor": "ann", "reason": "enough"}


def held(count: int) -> World:
    return holding([equity(f"S{n:04d}") for n in range(count)])


def holding(contracts: list[Instrument]) -> World:
    world = World()
    world.open_account()
    app, _ = world.instance()
    sides = ("BUY", "SELL")
    fills = [fill(f"E-{n}", sides[n % 2], 1, 100, NOON, of) for n, of in enumerate(contracts)]
    app.recorder.record(fills, "m-1")
    world.bus.messages.clear()
    return world


def kill(app: App) -> None:
    app.halts.advance(app.trading.set(ControlRequest.model_validate(KILL)))


def closes(world: World) -> dict[str, dict[str, Any]]:
    return {o["command_id"]: o for o in world.bus.bodies("orders") if o["action"] == "close"}


def execute(world: World, ids: set[str]) -> None:
    """Have the broker execute commands."""
    world.wait(1)
    app, _ = world.instance()
    fills = []
    for id_ in sorted(ids):
        order = closes(world)[id_]
        contract = Instrument.model_validate(order["instrument"])
        fills.append(fill(f"C-{id_}", order["side"], 1, 99, world.clock.now(), contract, order_id=id_))
    app.recorder.record(fills, f"m-{world.clock.now()}")


def test_a_kill_of_more_than_there_is_room_for_goes_in_rounds_until_all_is_flat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R4.5, R5.1, I5: nothing is flat before all is; each position is closed once; short ones go first."""
    for module in (closing_commands, closing_sent):
        monkeypatch.setattr(module, "MOST_LEGS", 4)
    world = held(10)
    kill(world.instance()[0])
    known: set[str] = set()
    sizes = []
    for _ in range(3):
        new = closes(world).keys() - known
        known |= new
        sizes.append(len(new))
        execute(world, new)
        closing = world.instance()[0].closer.advance("demo")
        assert closing is not None
        is_open = bool(world.instance()[0].books.read("demo").open_positions())  # type: ignore[union-attr]
        assert (closing.status is ClosingStatus.FLAT) == (not is_open)
    assert sizes == [4, 4, 2]
    assert not is_open
    sides = [o["side"] for o in closes(world).values()]
    assert sides[:4] == ["BUY"] * 4
    assert len(sides) == 10


def test_what_nobody_fills_holds_up_no_other_position(monkeypatch: pytest.MonkeyPatch) -> None:
    """F43: those that were tried least go first."""
    for module in (closing_commands, closing_sent):
        monkeypatch.setattr(module, "MOST_LEGS", 4)
    world = held(10)
    kill(world.instance()[0])
    for _ in range(2):
        world.wait(36)
        world.instance()[0].closer.advance("demo")
    symbols = [o["instrument"]["symbol"] for o in closes(world).values()]
    assert len(set(symbols)) == 10
    assert len(symbols) == 12


@pytest.mark.parametrize(("scope", "count"), [("strategy:demo:b", 3), ("account:demo", 4)])
def test_a_kill_waits_for_no_exit(monkeypatch: pytest.MonkeyPatch, scope: str, count: int) -> None:
    """R5.1: half of the room is for what halts want; of a kill that is for exits too all of it goes that fits."""
    for module in (closing_commands, closing_sent):
        monkeypatch.setattr(module, "MOST_LEGS", 8)
    world = World()
    world.open_account()
    app, _ = world.instance()
    strategies = {f"S{n:02d}": "b" if n >= 20 else "a" for n in range(23)}
    fills = [fill(f"E-{s}", "BUY", 1, 100, NOON, equity(s), strategy=of) for s, of in strategies.items()]
    app.recorder.record(fills, "m-1")
    world.bus.messages.clear()
    facts = {"account": "demo", "rule": "exit", "reason": "day end", "cause": "c", "urgency": "urgent"}
    request = {**facts, "request_id": "x-1", "strategy": "a", "requested_at": utc_text(world.clock.now())}
    app, _ = world.instance()
    app.closer.ask(CloseRequest.model_validate(request))
    exits = closes(world).keys()
    assert len(exits) == 4
    app.halts.advance(app.trading.set(ControlRequest.model_validate({**KILL, "scope": scope})))
    new = [order for id_, order in closes(world).items() if id_ not in exits]
    assert len(new) == count
    assert scope == "account:demo" or {order["strategy"] for order in new} == {"b"}


def test_the_closings_of_a_large_book_fit_their_document() -> None:
    """A kill must not fail for its own size: state, commands and rows of a full round, and the next one."""
    world = held(2 * MOST_LEGS)
    kill(world.instance()[0])
    assert len(closes(world)) == MOST_LEGS
    execute(world, set(closes(world)))
    world.instance()[0].closer.advance("demo")
    assert len(closes(world)) == 2 * MOST_LEGS
    data = world.document("closings", "demo") or {}
    assert len(data["state"]) + len(data["outbox"]) < 700 * 1024


@pytest.mark.timeout(900)
def test_a_kill_of_options_of_one_underlying_ends_flat() -> None:
    """R5.1, F50: STOPLINE_OPTIONS=1100 is a book shortly before its most (768 KiB)."""
    world = holding([option(1000 + 5 * n, "CP"[n % 2]) for n in range(OPTIONS)])
    size = len((world.document("books", "demo") or {})["state"])
    begun = time.perf_counter()
    kill(world.instance()[0])
    took = time.perf_counter() - begun
    known: set[str] = set()
    rounds = 0
    for _ in range(2 + OPTIONS // 20):
        new = closes(world).keys() - known
        known |= new
        rounds += bool(new)
        execute(world, new)
        closing = world.instance()[0].closer.advance("demo")
        assert closing is not None
        if closing.status is ClosingStatus.FLAT:
            break
    assert closing.status is ClosingStatus.FLAT
    assert world.instance()[0].books.read("demo").open_positions() == []  # type: ignore[union-attr]
    assert len(known) == OPTIONS
    print(f"{OPTIONS} options, book of {size // 1024} KiB, kill {took:.2f} s, {rounds} rounds")
