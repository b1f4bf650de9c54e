"""Corrections in another contract than the fill that they correct: which of the two is wrong the broker knows."""

from __future__ import annotations

from itertools import permutations

import pytest

from ..make import at, equity, fill
from .test_late_fills import state
from .world import World


@pytest.mark.parametrize("message", [True, False], ids=["one message", "two"])
@pytest.mark.parametrize("first", ["fill", "correction", "correction of a correction"])
def test_a_correction_in_another_contract_than_its_fill_changes_nothing_and_is_told(
    first: str, message: bool
) -> None:
    """B12: 5,000 of another contract stood under the fill's own. Which is right the broker knows: the first stands."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    traded = fill("E-1", "BUY", 5, 100, at(-60), equity("XYZ"))
    fixed = fill("C-1", "BUY", 5, 30, at(-50), equity("ABC"), kind="CORRECT", ref="E-1")
    fills = {"fill": [traded, fixed], "correction": [fixed, traded]}.get(first, [])
    if not fills:
        same = fill("C-0", "BUY", 5, 101, at(-55), equity("XYZ"), kind="CORRECT", ref="E-1")
        fills = [traded, same, fixed.model_copy(update={"ref": "C-0"})]
    outcomes = app.recorder.record(fills, "m-1") if message else []
    for number, one in enumerate([] if message else fills):
        outcomes += app.recorder.record([one], f"n-{number}")
    [refused] = [one for one in outcomes if one.refused]
    assert refused.refused is not None
    assert refused.refused.reason == "CONTRACT_CHANGED"
    assert (refused.fill is traded) == (first == "correction" and not message)
    book = world.book()
    assert book is not None
    assert book.net_quantity("ABC") == 0
    assert book.net_quantity("XYZ") == (0 if refused.fill is traded else 5)
    state(world)


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=lambda order: "".join(map(str, order)))
def test_no_bust_of_a_bust_brings_a_correction_in_another_contract_back(order: tuple[int, ...]) -> None:
    """B12: the units and the price of the other contract stood under the fill's own after all, without a word."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    euro = equity("SPY").model_copy(update={"currency": "EUR"})
    fills = [
        fill("E-1", "BUY", 5, 100, at(-60)),
        fill("C-1", "BUY", 7, 30, at(-50), euro, kind="CORRECT", ref="E-1"),
        fill("B-1", "BUY", 0, 0, at(-40), euro, kind="BUST", ref="C-1"),
        fill("B-2", "BUY", 0, 0, at(-30), euro, kind="BUST", ref="B-1"),
    ]
    refused = [
        one.refused.reason
        for place in order
        for one in app.recorder.record([fills[place]], f"m-{place}")
        if one.refused
    ]
    assert refused == ["CONTRACT_CHANGED"]
    assert state(world)["held"] in ({}, {"default:SPY": (5, 500)})


@pytest.mark.parametrize("busted", ["E-1", "C-0"])
def test_a_correction_in_another_contract_sets_no_price_whatever_bust_was_taken_back(busted: str) -> None:
    """B12: of some orders of arrival the seven at 30 euros stood as seven at 30 dollars."""
    euro = equity("SPY").model_copy(update={"currency": "EUR"})
    fills = [
        fill("E-1", "BUY", 5, 100, at(-60)),
        fill("C-0", "BUY", 6, 99, at(-55), kind="CORRECT", ref="E-1"),
        fill("C-1", "BUY", 7, 30, at(-50), euro, kind="CORRECT", ref="E-1"),
        fill("B-1", "BUY", 0, 0, at(-40), kind="BUST", ref=busted),
        fill("B-2", "BUY", 0, 0, at(-30), kind="BUST", ref="B-1"),
    ]
    for order in permutations([one for one in fills if one.fill_id != "C-0" or busted == "C-0"]):
        world = World()
        world.open_account()
        app, _ = world.instance()
        for one in order:
            app.recorder.record([one], f"m-{one.fill_id}")
        book = world.book()
        held = (book and book.positions.get("default:SPY")) or None
        prices = (0, 100, 99) if held is None or not held.quantity else (100, 99)
        assert (held.average_price if held and held.quantity else 0) in prices, [one.fill_id for one in order]


def test_a_correction_in_another_contract_that_was_taken_back_keeps_its_fill_from_nothing() -> None:
    """B12: the way out of it, as a bust of a correction takes back what it corrects; and it says what differs."""
    world = World()
    world.open_account()
    app, _ = world.instance()
    euro = equity("SPY").model_copy(update={"currency": "EUR"})
    fixed = fill("C-1", "BUY", 5, 30, at(-50), euro, kind="CORRECT", ref="E-1")
    app.recorder.record([fixed], "m-1")
    traded = fill("E-1", "BUY", 5, 100, at(-60))
    [refused] = app.recorder.record([traded], "m-2")
    assert refused.refused is not None
    assert "C-1 is of SPY (EUR, 1 a unit), the fill that it corrects, E-1, of SPY (USD" in str(
        refused.refused
    )
    app.recorder.record([fill("B-1", "BUY", 5, 30, at(-40), euro, kind="BUST", ref="C-1")], "m-3")
    [booked] = app.recorder.record([traded], "m-4")
    assert booked.refused is None
    book = world.book()
    assert book is not None
    assert (book.net_quantity("SPY"), book.held) == (0, {})
    state(world)
