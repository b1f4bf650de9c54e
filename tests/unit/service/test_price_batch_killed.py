"""F16: an instance is killed at each commit that a batch of 500 prices makes, and the batch comes again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from stopline.model.account import Account
from stopline.model.wire import canonical
from stopline.ports import Unavailable, Write
from stopline.runtime.envelope import Envelope
from stopline.runtime.handlers import receive

from ..make import account, at, equity, trade
from .world import FaultyStore, World

SYMBOLS = [f"S{number:03}" for number in range(500)]
ACCOUNTS = ("demo", "other")
BEFORE, AFTER = at(30), at(90)  # the marks of two batches: what is held falls by an eighth in between
LIMITS = {"max_daily_loss": {"limit": "0.5", "action": "warn"}}  # percent; of it each account loses more
TRADING = {"breakers": {"too_many_positions": {"enabled": False}}}


class Killed(BaseException):
    """The instance is gone: no handler of errors sees that."""


def price_of(number: int, moment: object) -> float:
    return (100 + number) * (0.875 if moment == AFTER else 1.0)


def batch(moment: Any) -> Envelope:
    body = {
        "type": "stopline.prices.v1",
        "as_of": moment.isoformat(),
        "symbols": SYMBOLS,
        "last": [price_of(number, moment) for number in range(500)],
    }
    return Envelope(canonical(body), f"m-{moment.timestamp()}")


@pytest.fixture(scope="module")
def held() -> World:
    """Two accounts that hold 500 shares between them, one of each, priced once."""
    world = World()
    for name in ACCOUNTS:
        world.open_account(account(name, capital="1000000", limits=LIMITS, trading=TRADING))
    app, _ = world.instance()
    for turn, name in enumerate(ACCOUNTS):
        of = range(turn, 500, len(ACCOUNTS))
        fills = [
            trade(n, 1, 100 + n, instrument=equity(SYMBOLS[n]), account=name, executed_at=at(1)) for n in of
        ]
        app.recorder.record(fills, f"m-{name}")
    world.clock.set(BEFORE)
    receive(app, "prices", batch(BEFORE))
    flushed(world)
    world.clock.set(AFTER)
    world.bus.messages.clear()
    return world


def copied(world: World) -> World:
    made = World(clock=copy.copy(world.clock))
    for kind, documents in world.shared._documents.items():  # each is replaced, and none changed
        made.shared._documents[kind] = dict(documents)
    made.shared._commits = world.shared._commits
    return made


def dies(store: FaultyStore, applied: bool) -> Callable[[Sequence[Write]], None]:
    def fault(writes: Sequence[Write]) -> None:
        if applied:
            store.store.commit(writes)
        raise Killed

    return fault


def figures(world: World) -> dict[str, Any]:
    """Return the marks, and what each account was found to be worth and to breach by them; not what is still to go out."""
    apart = ("changed_at", "outbox", "outbox_at")
    return {
        str(document.path): {name: value for name, value in document.data.items() if name not in apart}
        for kind in ("marks", "risk", "books", "quarantine")
        for document in world.shared.query(kind)
    }


def flushed(world: World) -> dict[str, Any]:
    """Let the sweep of a minute later publish what is due; return all that went out, once each."""
    world.wait(60)
    app, _ = world.instance()
    assert app.sweep.flusher.flush(world.clock.now()) == {}
    return {m.attributes["effect_id"]: m.data for m in world.bus.messages}


def differing(found: Mapping[str, Any], whole: Mapping[str, Any]) -> list[str]:
    return [name for name in sorted(found.keys() | whole.keys()) if found.get(name) != whole.get(name)]


@pytest.fixture(scope="module")
def whole(held: World) -> tuple[dict[str, Any], dict[str, Any], int]:
    """What an undisturbed run leaves and sends, and how many commits it makes."""
    world = copied(held)
    app, store = world.instance()
    receive(app, "prices", batch(AFTER))
    assert marked(world) == {SYMBOLS[n]: price_of(n, AFTER) for n in range(500)}
    read, sent, commits = figures(world), flushed(world), store.commits
    assert commits == 1 + len(ACCOUNTS), "the marks, and each account"
    assert len([body for body in sent.values() if b'"kind":"max_daily_loss"' in body]) == len(ACCOUNTS)
    return read, sent, commits


@pytest.mark.parametrize("how", ["killed before", "killed after", "applied, then an error"])
def test_a_kill_at_each_commit_of_500_prices_leaves_what_an_undisturbed_run_gives(
    held: World, whole: tuple[dict[str, Any], dict[str, Any], int], how: str
) -> None:
    """F16, I3: what is completed is kept, and the rest is done when the batch comes again, to another instance; or to the
    same one, where it lives and has only not heard of its commit. What is due of before goes out with the next sweep.
    """
    read, sent, commits = whole
    for number in range(commits):
        world = copied(held)
        app, store = world.instance()
        fault = store.applied_but_lost if how.startswith("applied") else dies(store, how == "killed after")
        store.faults = [None] * number + [fault]
        with pytest.raises((Killed, Unavailable)):
            receive(app, "prices", batch(AFTER))
        again = app if how.startswith("applied") else world.instance()[0]
        receive(again, "prices", batch(AFTER))
        assert (number, differing(figures(world), read)) == (number, [])
        assert (number, differing(flushed(world), sent)) == (number, [])


def marked(world: World) -> dict[str, float]:
    """Return at which price an instance that has just begun values each of the positions."""
    app, _ = world.instance()
    app.desk.refresh()
    accounts: list[Account] = [app.accounts.require(name) for name in ACCOUNTS]
    worths = app.marker.worth(accounts, world.clock.now())
    return {
        v.position.instrument.symbol: float(v.mark or 0) for worth in worths.values() for v in worth.positions
    }
