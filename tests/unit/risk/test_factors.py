"""Daily returns and joint moves: gaps are never bridged, new symbols never shorten the sample, scaling keeps shapes."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.calendars import calendar
from stopline.model.errors import InsufficientData
from stopline.risk.factors import Factors, at_todays_volatility, factors_of

NYSE = calendar("XNYS")
FRIDAY = date(2026, 11, 20)


def sessions(count: int) -> list[date]:
    found = [FRIDAY]
    while len(found) < count:
        found.append(NYSE.previous_session(found[-1]))
    return found[::-1]


def made(closes: dict[tuple[str, date], float], window: int = 10, **more: object) -> Factors:
    symbols = sorted({symbol for symbol, _ in closes})
    return factors_of("XNYS", closes, symbols, FRIDAY, window, NYSE.previous_session, **more)  # type: ignore[arg-type]


def test_a_return_is_from_one_close_to_the_next_over_weekends_and_holidays() -> None:
    """R2.9."""
    days = sessions(11)
    prices = [100.0 * 1.01**n for n in range(11)]
    found = made({("SPY", day): price for day, price in zip(days, prices, strict=True)})
    assert found.sessions == tuple(days[1:])
    assert found.returns[:, 0] == pytest.approx([0.01] * 10)


def test_a_missing_close_makes_two_holes_and_no_return_over_two_days() -> None:
    """I7: a gap is UNKNOWN."""
    days = sessions(11)
    closes = {("SPY", day): 100.0 + n for n, day in enumerate(days) if n != 5}
    found = made(closes)
    assert np.isnan(found.returns[:, 0]).tolist() == [n in (4, 5) for n in range(10)]
    assert found.moves(["SPY"], 10).dropped == 2


def test_a_close_of_zero_or_below_counts_as_missing() -> None:
    days = sessions(3)
    found = made({("OIL", days[0]): 10.0, ("OIL", days[1]): -37.0, ("OIL", days[2]): 10.0}, 3)
    assert (found.symbols, found.sessions) == ((), ())


def test_a_new_symbol_is_left_out_by_name_instead_of_shortening_the_sample() -> None:
    days = sessions(11)
    closes = {("SPY", day): 100.0 + n for n, day in enumerate(days)}
    closes |= {("NEW", day): 50.0 + n for n, day in enumerate(days[7:])}
    moves = made(closes).moves(["SPY", "NEW", "GHOST", "SPY"], 10)
    assert (moves.symbols, moves.excluded, len(moves.sessions)) == (("SPY",), ("NEW", "GHOST"), 10)


def test_named_days_are_kept_however_old() -> None:
    """R2.9: named historical days."""
    volmageddon = date(2018, 2, 5)
    closes = {
        ("VIX", date(2018, 2, 2)): 17.31,
        ("VIX", volmageddon): 37.32,
        ("VIX", FRIDAY): 20.0,
        ("VIX", date(2026, 11, 19)): 20.0,
    }
    found = made(closes, days=[volmageddon, date(2018, 2, 6)])
    assert found.days.keys() == {volmageddon}
    assert found.days[volmageddon]["VIX"] == pytest.approx(37.32 / 17.31 - 1)


def test_betas_take_the_sessions_that_both_have() -> None:
    rng = np.random.default_rng(3)
    market = rng.normal(0, 0.01, 60)
    own = 1.5 * market
    own[:5] = np.nan
    days = tuple(FRIDAY - timedelta(days=n) for n in range(60))[::-1]
    table = np.column_stack([market, own, np.full(60, np.nan)])
    found = Factors("XNYS", days, ("SPX", "ABC", "OLD"), table)
    assert found.betas("SPX", 60) == {"SPX": 1.0, "ABC": pytest.approx(1.5)}
    assert found.betas("NDX", 60) == {}


@given(st.floats(0.05, 20.0))
def test_moves_at_todays_volatility_do_not_depend_on_the_scale_of_the_past(scale: float) -> None:
    """Filtered historical simulation: if everything was so many times larger, tomorrow's forecast is too."""
    rng = np.random.default_rng(7)
    returns = rng.normal(0, 0.002, (80, 2))
    once, scaled = at_todays_volatility(returns), at_todays_volatility(returns * scale)
    assert scaled == pytest.approx(np.maximum(once * scale, -1.0))


def test_moves_at_todays_volatility_are_those_of_a_loop() -> None:
    """Hull and White, 1998, written again."""
    rng = np.random.default_rng(8)
    returns = rng.normal(0, 0.01, 60)
    variance = float(np.mean(returns[:20] ** 2))
    forecasts = []
    for value in returns[20:]:
        forecasts.append(math.sqrt(variance))
        variance = 0.94 * variance + 0.06 * value**2
    expected = [r / s * math.sqrt(variance) for r, s in zip(returns[20:], forecasts, strict=True)]
    assert at_todays_volatility(returns[:, None])[:, 0] == pytest.approx(expected)


def test_flat_and_short_histories_have_no_filtered_moves() -> None:
    with pytest.raises(InsufficientData, match="more than 20 days"):
        at_todays_volatility(np.full((20, 1), 0.01))
    with pytest.raises(InsufficientData, match="flat"):
        at_todays_volatility(np.zeros((30, 1)))
