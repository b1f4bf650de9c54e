"""An option that is settled at two prices: the first stands, and people are told."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from stopline.model.fill import Fill
from stopline.runtime.envelope import Envelope
from stopline.runtime.handlers import CRITICAL_REASONS, handle
from stopline.service.fills.outcome import Outcome

from ..make import at, fill, option
from .world import World

PUT = option(6000)


def ending(id_: str, price: str, second: float = 40, kind: str = "SETTLE", **more: Any) -> Fill:
    return fill(id_, "BUY", 2, price, at(second), PUT, kind=kind, ends="held", **more)


def bust(id_: str, of: str) -> Fill:
    return fill(id_, "BUY", 0, 0, at(30), PUT, kind="BUST", ref=of)


@pytest.fixture
def world() -> World:
    world = World()
    world.open_account()
    record(world, fill("E-1", "SELL", 2, 30, at(1), PUT))
    return world


def record(world: World, *fills: Fill) -> list[Outcome]:
    return world.instance()[0].recorder.record(fills, f"m-{fills[0].fill_id}")


def reasons(outcomes: list[Outcome]) -> list[str]:
    return [outcome.refused.reason if outcome.refused else "" for outcome in outcomes]


def realised(world: World) -> Decimal:
    book = world.book()
    assert book is not None
    return book.total("USD").realised


@pytest.mark.parametrize("some", list(permutations([ending("S-1", "10"), ending("S-2", "4")])))
def test_of_two_settlements_at_two_prices_the_first_stands_and_the_other_is_told(
    world: World, some: tuple[Fill, Fill]
) -> None:
    """Issue 4: the one with the smaller hash counted, and the other was booked and did nothing."""
    first, second = some
    assert reasons(record(world, first)) == [""]
    [outcome] = record(world, second)
    assert outcome.refused is not None
    assert outcome.refused.reason == "SETTLED_TWICE"
    assert outcome.refused.reason in CRITICAL_REASONS
    assert f"settled at {first.price}" in outcome.refused.detail
    assert reasons(record(world, first)) == [""], "a duplicate"
    assert realised(world) == (30 - first.price) * 200


def test_two_in_one_message_are_not_both_booked(world: World) -> None:
    assert sorted(reasons(record(world, ending("S-1", "10"), ending("X-1", "0", kind="EXPIRE")))) == [
        "",
        "SETTLED_TWICE",
    ]


def test_the_same_price_twice_settles_what_came_late_too(world: World) -> None:
    record(world, ending("S-1", "10"))
    record(world, fill("E-2", "SELL", 1, 30, at(2), PUT))
    assert reasons(record(world, ending("S-2", "10"))) == [""]
    assert realised(world) == 20 * 300


@pytest.mark.parametrize("together", [True, False])
def test_one_that_was_taken_back_makes_room_and_does_not_come_back_beside_the_right_one(
    world: World, together: bool
) -> None:
    record(world, ending("S-1", "10"))
    right, away = ending("S-2", "4"), bust("B-1", "S-1")
    told = record(world, right, away) if together else [*record(world, away), *record(world, right)]
    assert reasons(told) == ["", ""]
    assert realised(world) == 26 * 200
    assert reasons(record(world, bust("B-2", "B-1"))) == ["SETTLED_TWICE"]
    corrected = fill("C-1", "BUY", 2, 5, at(31), PUT, kind="CORRECT", ref="S-2")
    assert reasons(record(world, corrected)) == [""], "one price is as good as another"
    assert realised(world) == 25 * 200


def test_two_commands_that_meet_settle_at_the_price_that_is_booked_first(world: World) -> None:
    """Neither is booked when the other is given: both are published."""
    app, _ = world.instance()
    world.wait(5 * 3600)
    for price in ("5990", "5996"):
        app.settler.settle("demo", "SPXW", date(2026, 11, 18), Decimal(price), None, "ann", "Cboe")
    second, first = [message for message in world.bus.messages if message.topic == "fills"]
    counts = [
        handle(app, "fills", Envelope(m.data, id_, m.attributes))
        for id_, m in (("m-2", first), ("m-3", second))
    ]
    assert [(one.get("applied"), one.get("quarantined")) for one in counts] == [(1, 0), (0, 1)]
    assert realised(world) == 26 * 200


def test_a_bust_of_a_trade_is_booked_beside_a_wrong_bust_of_a_bust_of_a_settlement(world: World) -> None:
    """Also where they are of two messages that meet in one commit: they are decided like one message."""
    record(world, fill("E-2", "SELL", 1, 30, at(2), PUT))
    for one in (ending("S-1", "10"), bust("B-1", "S-1"), ending("S-2", "4")):
        record(world, one)
    assert reasons(record(world, bust("B-2", "B-1"), bust("B-3", "E-2"))) == ["SETTLED_TWICE", ""]
    assert realised(world) == 26 * 200


@pytest.mark.parametrize("together", [True, False])
def test_two_settlements_at_one_price_are_corrected_both(world: World, together: bool) -> None:
    """As after a late fill: each correction says its own price, and for a while they differ."""
    record(world, ending("S-1", "10"))
    record(world, fill("E-2", "SELL", 1, 30, at(2), PUT))
    record(world, ending("S-2", "10"))
    some = [fill(f"C-{n}", "BUY", n, 12, at(31), PUT, kind="CORRECT", ref=f"S-{n}") for n in (1, 2)]
    told = record(world, *some) if together else [*record(world, some[0]), *record(world, some[1])]
    assert reasons(told) == ["", ""]
    assert realised(world) == 18 * 300


def test_a_correction_of_a_settlement_that_was_taken_back_brings_back_no_other_price(world: World) -> None:
    for one in (ending("S-1", "10"), bust("B-1", "S-1"), ending("S-2", "4")):
        record(world, one)
    corrected = fill("C-1", "BUY", 2, 5, at(31), PUT, kind="CORRECT", ref="S-1")
    assert reasons(record(world, corrected, bust("B-2", "B-1"))) == ["SETTLED_TWICE"] * 2
    assert realised(world) == 26 * 200


def test_another_price_is_refused_also_when_the_book_has_forgotten_what_was_settled(world: World) -> None:
    """Issue 4: a fill that comes late opens the option again; a day later its closed trade leaves the book."""
    record(world, ending("S-1", "10"))
    world.wait(26 * 3600)
    record(world, fill("E-2", "SELL", 1, 30, at(2), PUT, order_id="O-2"))
    world.wait(26 * 3600)
    record(world, fill("Q-1", "BUY", 1, 1, at(52 * 3600)))
    assert reasons(record(world, ending("S-2", "4"))) == ["SETTLED_TWICE"]


def test_a_bust_that_names_another_contract_makes_room_too(world: World) -> None:
    """It takes back what its `ref` says, and waits in the book, not in the log of the option."""
    record(world, ending("S-1", "10"))
    away = fill("B-1", "BUY", 0, 0, at(30), option(5900), kind="BUST", ref="S-1")
    record(world, away)
    assert reasons(record(world, ending("S-2", "4"))) == [""]
