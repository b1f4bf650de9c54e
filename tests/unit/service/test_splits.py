"""A split that a person has booked is not booked again as the broker tells it."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from stopline.model.fill import Fill
from stopline.runtime.handlers import CRITICAL_REASONS
from stopline.service.fills.outcome import Outcome

from ..make import at, fill
from .world import World

DAY = 86_400


def split(id_: str, days: float = 0, new: int = 4, old: int = 1, **more: Any) -> Fill:
    return fill(id_, "BUY", new, old, at(days * DAY), kind="SPLIT", **more)


HAND, TOLD = split("hand-1", -2.5), split("split:501", -1)


@pytest.fixture
def world() -> World:
    world = World()
    world.open_account()
    record(world, fill("E-1", "BUY", 10, 100, at(-20 * DAY)))
    return world


def record(world: World, *fills: Fill) -> list[Outcome]:
    return world.instance()[0].recorder.record(fills, f"m-{fills[0].fill_id}")


def reasons(outcomes: list[Outcome]) -> list[str]:
    return [outcome.refused.reason if outcome.refused else "" for outcome in outcomes]


def units(world: World) -> int:
    book = world.book()
    assert book is not None
    return int(book.net_quantity("SPY"))


@pytest.mark.parametrize("first", [HAND, TOLD])
def test_a_split_by_hand_and_by_the_broker_counts_once(world: World, first: Fill) -> None:
    """I2: 10 shares by 4 for 1 are 40, not 160, whichever comes first; each may come again."""
    second = TOLD if first is HAND else split("hand-1", -2.5, 8, 2)
    assert reasons(record(world, first)) == [""]
    [outcome] = record(world, second)
    assert outcome.refused is not None
    assert outcome.refused.reason == "ALREADY_SPLIT"
    assert outcome.refused.reason in CRITICAL_REASONS
    assert f"ref {first.fill_id}" in outcome.refused.detail
    assert reasons(record(world, first)) == [""], "a duplicate"
    assert units(world) == 40


@pytest.mark.parametrize("fills", list(permutations([HAND, TOLD])))
def test_so_it_is_in_one_message(world: World, fills: tuple[Fill, ...]) -> None:
    assert sorted(reasons(record(world, *fills))) == ["", "ALREADY_SPLIT"]
    assert units(world) == 40


@pytest.mark.parametrize(
    "other",
    [
        split("split:502", -1, ref="hand-1"),
        split("split:502", -8),
        split("split:502", -1, 2),
        split("split:502", -1, strategy="swing"),
    ],
    ids=["on purpose", "of another week", "of another ratio", "of another position"],
)
def test_what_is_another_split_is_booked(world: World, other: Fill) -> None:
    record(world, HAND)
    assert reasons(record(world, other)) == [""]
    assert units(world) == (40 if other.strategy == "swing" else 80 if other.quantity == 2 else 160)


def test_one_that_was_taken_back_does_not_come_back_beside_its_like(world: World) -> None:
    """I2: the bust of its bust would make 160 of 10."""
    record(world, HAND)
    record(world, fill("B-1", "BUY", 0, 0, at(-9), kind="BUST", ref="hand-1"))
    record(world, TOLD)
    undo = fill("B-2", "BUY", 0, 0, at(-8), kind="BUST", ref="B-1")
    assert reasons(record(world, undo)) == ["ALREADY_SPLIT"]
    assert units(world) == 40
    record(world, fill("B-3", "BUY", 0, 0, at(-7), kind="BUST", ref=TOLD.fill_id))
    assert units(world) == 10
    assert reasons(record(world, undo)) == [""], "nothing stands beside it now"
    assert units(world) == 40


def test_one_takes_the_place_of_the_other_in_one_message(world: World) -> None:
    """I2: what stands after all of it counts."""
    record(world, HAND)
    record(world, fill("B-1", "BUY", 0, 0, at(-9), kind="BUST", ref="hand-1"))
    record(world, TOLD)
    back = fill("B-2", "BUY", 0, 0, at(-8), kind="BUST", ref="B-1")
    away = fill("B-3", "BUY", 0, 0, at(-8), kind="BUST", ref=TOLD.fill_id)
    assert reasons(record(world, back, away)) == ["", ""]
    assert units(world) == 40


def test_a_split_is_not_corrected_into_one_that_stands(world: World) -> None:
    """I2: 2 for 1 was a mistake, and the right one was booked meanwhile."""
    record(world, split("hand-0", -2.5, 2))
    record(world, TOLD)
    assert units(world) == 80
    corrected = fill("C-1", "BUY", 4, 1, at(-9), kind="CORRECT", ref="hand-0")
    assert reasons(record(world, corrected)) == ["ALREADY_SPLIT"]
    assert units(world) == 80


@pytest.mark.parametrize("together", [True, False])
def test_one_that_was_taken_back_makes_room(world: World, together: bool) -> None:
    record(world, HAND)
    bust = fill("B-1", "BUY", 0, 0, at(-9), kind="BUST", ref="hand-1")
    told = record(world, TOLD, bust) if together else [*record(world, bust), *record(world, TOLD)]
    assert reasons(told) == ["", ""]
    assert units(world) == 40
