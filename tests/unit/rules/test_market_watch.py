"""Notices: thresholds, what stands does not flap, and what cannot be seen neither begins nor ends."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from stopline.rules.alerting.condition import Condition
from stopline.rules.watching.market import (
    DayMove,
    Pair,
    correlation_notices,
    exposure_notices,
    notices_alerts,
    regime,
    volatility_spikes,
)

from ..make import NOON

STANDS = "volatility_spike|SPY"


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (None, None),
        (9.1, "calm"),
        (14.99, "calm"),
        (15, "normal"),
        (20, "elevated"),
        (29.9, "elevated"),
        (37.3, "stressed"),
    ],
)
def test_the_regime_of_a_volatility(level: float | None, name: str | None) -> None:
    """R7.7."""
    assert regime(level) == name


@pytest.mark.parametrize(
    ("move", "standing", "told"),
    [
        (0.039, (), False),
        (-0.04, (), True),
        (0.033, ("volatility_spike|SPY",), True),
        (0.031, ("volatility_spike|SPY",), False),
    ],
)
def test_a_spike_begins_at_its_threshold_and_ends_a_fifth_below(
    move: float, standing: tuple[str, ...], told: bool
) -> None:
    """R2.12."""
    assert bool(volatility_spikes([DayMove("SPY", move, 0.01)], Decimal(4), standing)) is told


def test_a_symbol_that_never_moved_has_no_spike() -> None:
    assert volatility_spikes([DayMove("PEG", 0.5, 0.0)], Decimal(4)) == []


@pytest.mark.parametrize(
    ("loss", "equity", "told"),
    [
        ("24.9", "100", False),
        ("25", "100", True),
        ("1", "0", True),
        (None, "100", False),
        ("50", None, False),
        ("-5", "100", False),
    ],
)
def test_exposure_is_told_from_its_share_of_equity_on(
    loss: str | None, equity: str | None, told: bool
) -> None:
    """R2.12, I7."""
    numbers = [None if text is None else Decimal(text) for text in (loss, equity)]
    assert bool(exposure_notices(*numbers, Decimal(25), "Spot -5%")) is told


def test_what_is_new_is_told_what_stands_is_not_and_what_is_over_is_told_once() -> None:
    [notice] = correlation_notices([Pair("SPY", "TLT", -0.4, 0.6)])
    first, standing = notices_alerts("demo", [notice], {}, (), "c1", NOON)
    again, kept = notices_alerts("demo", [notice], standing, (), "c2", NOON + timedelta(minutes=1))
    over, nothing = notices_alerts("demo", [], kept, (), "c3", NOON + timedelta(minutes=2))
    assert [alert.summary for alert in first] == ["Correlation of SPY and TLT went from -0.40 to 0.60"]
    assert (again, kept) == ([], standing)
    assert [(alert.resolved, alert.summary) for alert in over] == [
        (True, "Correlation change of SPY and TLT is over")
    ]
    assert nothing == {}


def test_what_cannot_be_looked_at_keeps_standing() -> None:
    """I7: nothing is called over that cannot be seen."""
    notice = Condition("volatility_spike", "SPY", "x", "y")
    _, standing = notices_alerts("demo", [notice], {}, (), "c1", NOON)
    told, kept = notices_alerts("demo", [], standing, {"volatility_spike"}, "c2", NOON)
    assert (told, kept) == ([], standing)
