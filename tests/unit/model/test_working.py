"""Which working orders may add risk."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.working import Working, adding


def of(units: int, name: str = "o", one_of: str = "", reduce_only: bool = False) -> Working:
    return Working(name, Decimal(units), one_of, reduce_only)


@pytest.mark.parametrize(
    ("held", "working", "found"),
    [
        (0, [of(1, "a"), of(-1, "b")], ["a", "b"]),  # an entry and what was to protect it
        (10, [of(1, "a"), of(-10, "stop")], ["a"]),
        (10, [of(-10, "stop"), of(-10, "target")], ["target"]),  # together they would turn it round
        (10, [of(-10, "stop", "x"), of(-10, "target", "x")], []),
        (10, [of(-4, "stop", "x"), of(-12, "target", "x")], ["target"]),
        (-10, [of(11, "a"), of(6, "b"), of(4, "c"), of(1, "d")], ["a", "d"]),
        (10, [of(-10, "plain"), of(-10, "b", reduce_only=True)], ["plain"]),
        (0, [of(5, "a", reduce_only=True)], []),
    ],
)
def test_what_can_only_reduce_stays(held: int, working: list[Working], found: list[str]) -> None:
    """R5.1: protective stops reduce risk."""
    assert adding(Decimal(held), working) == found


units = st.integers(-12, 12).filter(bool)


@given(st.integers(-12, 12), st.lists(units, max_size=6), st.randoms(use_true_random=False))
def test_what_stays_only_reduces_in_whatever_order_it_is_filled(
    held: int, sizes: list[int], chance: Random
) -> None:
    """I6: partly or wholly."""
    working = [of(size, str(i)) for i, size in enumerate(sizes)]
    cancelled = adding(Decimal(held), working)
    left = {o.id: int(o.units) for o in working if o.id not in cancelled}
    position = held
    while left:
        name = chance.choice(sorted(left))
        part = chance.randint(1, abs(left[name])) * (1 if left[name] > 0 else -1)
        left[name] -= part
        if not left[name]:
            del left[name]
        assert abs(position + part) < abs(position)
        assert (position + part) * position >= 0
        position += part
