"""Trailing algorithms: each by hand, and the average true range beside another implementation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.settings.exits import Trail, parse_distance
from stopline.risk.volatility import average_true_range
from stopline.rules.exits.trailing import ALGORITHMS, Bars, Ride, check_trail, with_reading

START = datetime(2026, 11, 18, 15, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def stop(by: str, amount: str, entry: str, best: str, atr: str | None = None) -> Decimal | None:
    ride = Ride(Decimal(entry), Decimal(best), None if atr is None else Decimal(atr))
    return ALGORITHMS[by].stop(ride, parse_distance(amount))


@pytest.mark.parametrize(
    ("by", "amount", "entry", "best", "expected"),
    [
        ("percent", "2%", "100", "110", "107.8"),
        ("percent", "2%", "-100", "-90", "-91.8"),  # a short: best 90, stop 91.8
        ("giveback", "30%", "0", "6000", "4200"),
        ("giveback", "30%", "100", "110", "107"),
        ("giveback", "30%", "-100", "-90", "-93"),
        ("giveback", "100%", "100", "110", "100"),
        ("step", "5", "100", "112", "105"),
        ("step", "5", "100", "104.99", "95"),
        ("step", "5", "100", "105", "100"),
        ("step", "5%", "-200", "-170", "-180"),  # three steps of 10 down, one behind
    ],
)
def test_each_algorithm_by_hand(by: str, amount: str, entry: str, best: str, expected: str) -> None:
    """R4.7, R4.1."""
    assert stop(by, amount, entry, best) == Decimal(expected)


def test_by_atr_there_is_no_stop_until_the_range_is_known() -> None:
    """R4.7."""
    assert stop("atr", "2atr", "100", "110") is None
    assert stop("atr", "2atr", "100", "110", "1.5") == Decimal(107)


@pytest.mark.parametrize(
    ("by", "amount", "fault"),
    [
        ("magic", "2%", "there is no algorithm 'magic'"),
        ("percent", "2", "percent takes 2%"),
        ("atr", "2%", "atr takes 2atr"),
        ("step", "2R", "step takes 2 or 2%"),
        ("giveback", "101%", "at most 100 %"),
        ("step", "0", "above 0"),
    ],
)
def test_settings_that_no_algorithm_takes_are_refused(by: str, amount: str, fault: str) -> None:
    """R4.7."""
    problem = check_trail(Trail(by=by, amount=parse_distance(amount)))
    assert problem
    assert fault in problem


@pytest.mark.parametrize(
    ("by", "amount"), [("percent", "1%"), ("giveback", "30%"), ("atr", "2atr"), ("step", "5")]
)
def test_what_an_algorithm_takes_is_taken(by: str, amount: str) -> None:
    assert check_trail(Trail(by=by, amount=parse_distance(amount))) is None


@given(st.lists(st.integers(9_000, 11_000), min_size=40, max_size=120), st.integers(2, 10), st.integers(2, 6))
def test_the_average_true_range_is_that_of_the_risk_measures(cents: list[int], bars: int, a_bar: int) -> None:
    """R2.7, R4.7: Decimal bars made of readings, against numpy over the finished bars."""
    prices = [Decimal(c) / 100 for c in cents]
    made: Bars | None = None
    for number, price in enumerate(prices):
        made = with_reading(made, price, START + number * MINUTE, a_bar * MINUTE, bars)
    assert made is not None
    chunks: dict[datetime, list[Decimal]] = {}
    for number, price in enumerate(prices):
        at = START + number * MINUTE
        start = at - timedelta(seconds=(at - datetime.min.replace(tzinfo=UTC)).total_seconds() % (60 * a_bar))
        chunks.setdefault(start, []).append(price)
    finished = list(chunks.values())[:-1]
    if len(finished) < bars:
        assert made.known(bars) is None
        return
    columns = [np.array([float(f(chunk)) for chunk in finished]) for f in (max, min, lambda c: c[-1])]
    expected = average_true_range(*columns, window=bars)[-1]
    known = made.known(bars)
    assert known is not None
    assert float(known) == pytest.approx(expected, rel=1e-9)
