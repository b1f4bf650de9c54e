"""What one person may loosen alone, and what takes two."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.rules.limits.loosening import loosened, raised, thresholds

from ..make import account


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"limits": {"max_daily_loss": {"limit": "6.01"}}}, "limits.max_daily_loss goes from 3 to 6.01"),
        ({"price_max_age_s": 600}, "price_max_age_s goes from 60 to 600"),
        ({"limits": {"max_daily_loss": {"enabled": False}}}, "limits.max_daily_loss is switched off"),
        ({"limits": {"max_daily_loss": {"action": "warn"}}}, "limits.max_daily_loss does warn instead of"),
        (
            {"trading": {"breakers": {"latency": {"enabled": False}}}},
            "trading.breakers.latency is switched off",
        ),
    ],
    ids=str,
)
def test_what_lets_much_more_through_takes_two(change: dict[str, Any], named: str) -> None:
    """B73."""
    [line] = loosened(account(), account(**change), {})
    assert line.startswith(named)


@pytest.mark.parametrize(
    "change",
    [
        {"limits": {"max_daily_loss": {"limit": "6"}}},
        {"limits": {"max_daily_loss": {"limit": "1"}}},
        {"limits": {"max_daily_loss": {"action": "halt"}}},
        {"sizing": {"method": "kelly"}},
        {},
    ],
    ids=str,
)
def test_what_tightens_or_loosens_a_little_takes_one(change: dict[str, Any]) -> None:
    """B73."""
    assert loosened(account(), account(**change), {}) == []


@given(st.lists(st.integers(101, 200), min_size=1, max_size=6))
def test_many_small_steps_are_one_large_one(percents: list[int]) -> None:
    """B73: whatever steps one person takes in a day, the limit does not get beyond twice what it was."""
    name = "limits.max_position_value"
    start = now = thresholds(account())[name]
    base: dict[str, Decimal] = {}
    for percent in percents:
        wanted = (now * percent / 100).quantize(Decimal("0.0001"))
        before = account(limits={"max_position_value": {"limit": str(now)}})
        after = account(limits={"max_position_value": {"limit": str(wanted)}})
        if loosened(before, after, base):
            assert wanted > 2 * start
            continue
        base = {**raised(before, after), **base}
        now = wanted
    assert now <= 2 * start
