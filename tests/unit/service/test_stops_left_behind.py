"""Stops that an instance committed in a risk document and did not carry out, or not wholly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from stopline.model.control import Standing, TradingState
from stopline.model.messages import Effect
from stopline.ports import Outgoing, Unavailable
from stopline.rules.trading.resuming import MINIMUM_HOLD
from stopline.runtime.app import App
from stopline.service.documents.aggregate import TAKEN_OVER
from stopline.service.documents.outbox import Unpublished

from .test_breakers_over_time import BAD, DEMO, HOLD, holding, read
from .valuing import prices
from .world import World


class Killed(BaseException):
    """The instance is gone: no handler of errors sees that."""


def left_behind(action: str = "pause", **settings: Any) -> tuple[World, App]:
    """Return an instance that is asked for the prices by which another one, gone since, has stopped an account."""
    world, app = holding(**settings)
    assert read(world, app, 100.0) == ""
    carry_out = app.trading.carry_out

    def gone(effect: Effect) -> Standing:
        if effect.body["action"] == action:
            raise Killed
        return carry_out(effect)

    app.trading.carry_out = gone  # type: ignore[method-assign]
    if action == "kill":
        read(world, app, BAD)
    with pytest.raises(Killed):
        read(world, app, BAD)
    return world, world.instance()[0]


def closes(world: World) -> list[dict[str, Any]]:
    return [order for order in world.bus.bodies("orders") if order["action"] == "close"]


def test_a_stop_that_was_left_behind_is_carried_out_when_the_prices_come_again() -> None:
    """R5.3, F09: it waited for the sweep that finds old outboxes, up to 90 s."""
    world, other = left_behind()
    assert other.trading.standing(DEMO).state is TradingState.ACTIVE
    prices(other, world.clock.now(), SPY=BAD)
    assert other.trading.standing(DEMO).holds[HOLD].state is TradingState.REDUCING


def test_prices_wait_for_no_stop_that_stands() -> None:
    """R2.4: while Pub/Sub is down each account would wait for it with each batch of prices."""
    world, other = left_behind()
    world.bus.down = True
    asked, carry_out = list[str](), other.trading.carry_out

    def counted(effect: Effect) -> Standing:
        asked.append(effect.id)
        return carry_out(effect)

    other.trading.carry_out = counted  # type: ignore[method-assign]
    for _ in range(3):
        prices(other, world.clock.now(), SPY=BAD)
    assert other.trading.standing(DEMO).holds[HOLD].state is TradingState.REDUCING
    assert asked
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("problem", [Unavailable("the store is slow"), KeyError("of no kind we know")])
def test_prices_are_taken_though_a_stop_cannot_be_carried_out(problem: Exception) -> None:
    """F40: the next ones try again."""
    world, other = left_behind()
    carry_out = other.trading.carry_out

    def fails(effect: Effect) -> Standing:
        raise problem

    other.trading.carry_out = fails  # type: ignore[method-assign]
    prices(other, world.clock.now(), SPY=BAD)
    other.trading.carry_out = carry_out  # type: ignore[method-assign]
    prices(other, world.clock.now(), SPY=BAD)
    assert other.trading.standing(DEMO).holds[HOLD].state is TradingState.REDUCING


def test_a_kill_that_was_left_behind_closes_when_the_prices_come_again() -> None:
    """R5.3, F09: once, however often they come."""
    world, other = left_behind("kill")
    assert not closes(world)
    for _ in range(3):
        prices(other, world.clock.now(), SPY=BAD)
    assert other.trading.standing(DEMO).holds[HOLD].state is TradingState.HALTED
    assert len(closes(world)) == 1


def test_a_stop_of_an_old_copy_is_left_to_the_sweep() -> None:
    """R5.3: people may have lifted it since; many requests later the document has forgotten it, and all was closed again."""
    world, other = left_behind("kill", risk_interval_s=600)
    other.evaluator._states.read("demo")
    assert other.evaluator._states.due("demo")
    world.wait(TAKEN_OVER.total_seconds())
    other.evaluator._states.take_over("demo")
    assert other.trading.standing(DEMO).holds[HOLD].state is TradingState.REDUCING
    assert not closes(world)
    assert TAKEN_OVER < MINIMUM_HOLD


def test_a_kill_of_a_breaker_closes_though_a_message_of_it_is_due() -> None:
    """R5.3, F40: its state stood, and the closing waited for the sweep."""
    world, app = holding()
    assert [read(world, app, price) for price in (100.0, BAD)] == ["", "REDUCING"]
    publish, failed = world.bus.publish, list[Outgoing]()

    def fails_once(messages: Sequence[Outgoing]) -> list[str]:
        if not failed and app.trading.standing(DEMO).state is TradingState.HALTED:
            failed.extend(messages)
            raise Unavailable("the topic is slow")
        return publish(messages)

    world.bus.publish = fails_once  # type: ignore[method-assign]
    with pytest.raises(Unpublished):
        read(world, app, BAD)
    assert failed
    assert len(closes(world)) == 1


def test_an_outage_of_the_bus_is_waited_for_once_more_for_what_follows_from_a_stop() -> None:
    """R2.4: at each price of an account that was stopped every account after it waited twice as long."""
    waits = []
    for begins in (True, False):
        world, app = holding()
        read(world, app, 100.0)
        asked = list[int]()

        def down(messages: Sequence[Outgoing], asked: list[int] = asked) -> list[str]:
            asked.append(len(messages))
            raise Unavailable("the bus is down")

        world.bus.publish = down  # type: ignore[method-assign]
        if not begins:
            app.halts.advance = lambda standing: {}  # type: ignore[method-assign]
        counts = []
        for price in (BAD, BAD, 83.0, 82.0):
            asked.clear()
            with pytest.raises(Unpublished):
                read(world, app, price)
            counts.append(len(asked))
        waits.append(counts)
    [pause, kill, *later], [pause_alone, kill_alone, *later_alone] = waits
    assert later == later_alone
    assert pause_alone < pause <= pause_alone + 2
    assert kill_alone < kill <= kill_alone + 3


def test_a_kill_waits_for_no_bus_behind_pauses_that_stand() -> None:
    """R5.3, F40: each of them waited for a Pub/Sub that hung, and the kill was the last: after 70 s, or never."""
    world, app = holding()
    read(world, app, 100.0)
    states = list[TradingState]()

    def down(messages: Sequence[Outgoing]) -> list[str]:
        states.append(app.trading.standing(DEMO).state)
        raise Unavailable("the bus is down")

    world.bus.publish = down  # type: ignore[method-assign]
    with pytest.raises(Unpublished):
        read(world, app, BAD)
    assert len(states) > 1, "more than one pause waits"
    states.clear()
    with pytest.raises(Unpublished):
        read(world, app, BAD)
    assert set(states) == {TradingState.HALTED}
