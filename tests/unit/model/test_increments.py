"""Ticks and lots: what is off them is refused, never rounded into place (B27)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stopline.model.increments import Increments, increments_of, is_multiple, off_step, round_down, round_up

from ..make import account, equity, fill, option

STEPS = st.sampled_from([Decimal(t) for t in ("0.01", "0.05", "0.25", "1", "25", "100", "0.00000001")])
VALUES = st.decimals("-1000000", "1000000", places=12)
NICKEL = Increments(tick=Decimal("0.05"), lot=Decimal(10))


@given(value=VALUES, step=STEPS)
def test_a_rounded_value_is_the_nearest_multiple_on_its_side(value: Decimal, step: Decimal) -> None:
    down, up = round_down(value, step), round_up(value, step)
    assert is_multiple(down, step)
    assert is_multiple(up, step)
    assert down <= value <= up
    assert up - down == (0 if is_multiple(value, step) else step)


@pytest.mark.parametrize(
    ("value", "step", "down", "up"),
    [
        ("1.27", "0.05", "1.25", "1.30"),
        ("1.25", "0.05", "1.25", "1.25"),
        ("-1.27", "0.05", "-1.30", "-1.25"),
        ("74", "25", "50", "75"),
        ("999999999999999999", "0.000000000001", "999999999999999999", "999999999999999999"),
    ],
)
def test_values_are_rounded_exactly(value: str, step: str, down: str, up: str) -> None:
    assert round_down(Decimal(value), Decimal(step)) == Decimal(down)
    assert round_up(Decimal(value), Decimal(step)) == Decimal(up)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"quantity": "15"}, "quantity 15 is not a multiple of the lot, 10"),
        ({"quantity": "10.000000000001"}, "quantity 10.000000000001 is not a multiple of the lot, 10"),
        ({"price": "100.03"}, "price 100.03 is not on the tick, 0.05"),
        ({"price": "100.050000000001"}, "price 100.050000000001 is not on the tick, 0.05"),
        ({"price": "100.03", "kind": "CORRECT", "ref": "E-0"}, "price 100.03 is not on the tick, 0.05"),
        ({"price": "100.03", "kind": "SETTLE"}, None),
        ({"quantity": "15", "kind": "SETTLE"}, "quantity 15 is not a multiple of the lot, 10"),
        ({"quantity": "0", "kind": "BUST", "ref": "E-0"}, None),
        ({"quantity": "3", "price": "100.03", "kind": "ADJUST"}, None),
        ({"quantity": "3", "price": "2", "kind": "SPLIT"}, None),
    ],
    ids=str,
)
def test_a_fill_off_the_tick_or_lot_is_named_and_not_rounded(
    change: dict[str, Any], fault: str | None
) -> None:
    """B27."""
    assert off_step(fill(**change), NICKEL) == fault


def test_without_a_known_step_any_price_and_quantity_may_be() -> None:
    """B27."""
    odd = fill(quantity="0.000000000001", price="100.000000000001")
    assert off_step(odd, Increments()) is None
    assert off_step(odd, increments_of({}, odd.instrument)) is None


def test_a_symbol_has_its_own_steps_and_else_those_of_its_underlyings_contracts() -> None:
    known = account(
        increments={
            "equity:SPXW": {"lot": "1"},
            "option:SPXW": {"tick": "0.05"},
            f"option:{option(7000).symbol}": {"tick": "0.01"},
        }
    ).increments
    assert increments_of(known, option(6000)) == Increments(tick=Decimal("0.05"))
    assert increments_of(known, option(7000)) == Increments(tick=Decimal("0.01"))
    assert increments_of(known, equity("SPXW")) == Increments(lot=Decimal(1))
    assert increments_of(known, equity("SPY")) == Increments()


@pytest.mark.parametrize(
    "bad",
    [
        {"SPY": {}},
        {"stock:SPY": {}},
        {"equity:": {}},
        {"equity:spy": {}},
        {"equity:SPY": {"tick": "0"}},
        {"equity:SPY": {"lot": "-1"}},
        {"equity:SPY": {"lot": 1}},
        {"equity:SPY": {"step": "1"}},
    ],
    ids=str,
)
def test_a_setting_of_steps_that_cannot_be_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="increments"):
        account(increments=bad)
