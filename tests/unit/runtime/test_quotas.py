"""A caller's bucket empties and fills; nobody empties another's."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stopline.adapters.clock import ManualClock
from stopline.runtime.quotas import Quotas, TooMany

from ..make import NOON


def taken(quotas: Quotas, count: int, caller: str = "ann", door: str = "api") -> int:
    """Return how many of `count` requests are let through."""
    passed = 0
    for _ in range(count):
        try:
            quotas.take(caller, door)
            passed += 1
        except TooMany:
            continue
    return passed


def test_a_flood_is_cut_and_starves_nobody_else() -> None:
    """B74: 1,000 requests in one moment; another caller, and another door of the same one, have their own."""
    quotas = Quotas(ManualClock(NOON), burst=300, per_second=100)
    assert taken(quotas, 1000) == 300
    assert taken(quotas, 1000, "bob") == 300
    assert taken(quotas, 1000, door="kill") == 300


def test_it_fills_again_at_its_rate_and_never_beyond_the_burst() -> None:
    """B74."""
    clock = ManualClock(NOON)
    quotas = Quotas(clock, burst=10, per_second=2)
    assert taken(quotas, 50) == 10
    with pytest.raises(TooMany) as refused:
        quotas.take("ann", "api")
    assert refused.value.after_s == 1
    clock.set(NOON + timedelta(seconds=3))
    assert taken(quotas, 50) == 6
    clock.set(NOON + timedelta(hours=1))
    assert taken(quotas, 50) == 10


def test_a_clock_that_goes_back_gives_nothing_and_locks_nobody_out() -> None:
    """F35."""
    clock = ManualClock(NOON)
    quotas = Quotas(clock, burst=10, per_second=2)
    taken(quotas, 10)
    clock.set(NOON - timedelta(hours=1))
    assert taken(quotas, 10) == 0
    clock.set(NOON - timedelta(hours=1) + timedelta(seconds=5))
    assert taken(quotas, 50) == 10


def test_the_door_of_resumes_is_a_small_one() -> None:
    """B74: each one, a refused one too, is written where a kill must be written."""
    clock = ManualClock(NOON)
    quotas = Quotas(clock)
    assert taken(quotas, 200, door="resume") == 30
    with pytest.raises(TooMany, match="at most 1 a second"):
        quotas.take("ann", "resume")
    clock.set(NOON + timedelta(seconds=5))
    assert taken(quotas, 200, door="resume") == 5
    assert taken(quotas, 200, door="status") == 200
