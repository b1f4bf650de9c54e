"""Daily returns and joint moves: gaps are never bridged, new symbols never shorten the sample, scaling keeps shapes."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.calendars import calendar
from stopline.model.errors import InsufficientData
from stopline.risk.co_movement import co_movement
from stopline.risk.factors import Factors, at_todays_volatility, factors_of, joint_covariance
from stopline.service.history.factors import decode, encode

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


def walk(seed: int, count: int) -> list[float]:
    steps = np.random.default_rng(seed).normal(0, 0.01, count - 1)
    return [100.0, *(100.0 * np.cumprod(1.0 + steps)).tolist()]


def test_co_movement_out_of_the_stored_covariance_is_that_of_the_returns() -> None:
    """R2.9: worked out once a day, and the same numbers as numpy's."""
    days, names = sessions(81), ("AAA", "BBB", "CCC")
    closes = {(s, d): p for n, s in enumerate(names) for d, p in zip(days, walk(n, 81), strict=True)}
    found = made(closes, 80)
    known = joint_covariance(found, 60)
    assert known is not None
    np.testing.assert_allclose(known.matrix, np.cov(found.returns[-60:].T), rtol=1e-12)
    assert (known.symbols, known.n, known.dropped) == (names, 60, 0)
    stored = decode(encode(replace(found, covariance=known)))
    for asked in (["CCC", "AAA"], list(names)):
        ours, plain = co_movement(stored, asked), co_movement(found, asked)
        assert ours.volatilities == pytest.approx(plain.volatilities, rel=1e-6)
        assert ours.correlations == pytest.approx(plain.correlations, abs=1e-6)
    expected = np.corrcoef(found.returns[-60:, [0, 2]].T)[0, 1]
    assert co_movement(stored, ["CCC", "AAA"]).correlations == {
        ("AAA", "CCC"): pytest.approx(expected, abs=1e-6)
    }


def test_a_hole_of_another_symbol_does_not_shorten_a_pairs_sample() -> None:
    """I7: then the pair's own sessions are taken, not the stored joint ones."""
    days, names = sessions(81), ("AAA", "BBB", "CCC")
    closes = {(s, d): p for n, s in enumerate(names) for d, p in zip(days, walk(n, 81), strict=True)}
    del closes["CCC", days[70]]
    found = made(closes, 80)
    known = joint_covariance(found, 60)
    assert known is not None
    assert (known.n, known.dropped) == (58, 2)
    expected = np.corrcoef(found.returns[-60:, :2].T)[0, 1]
    with_it = replace(found, covariance=known)
    assert co_movement(with_it, ["AAA", "BBB"]).correlations == {("AAA", "BBB"): pytest.approx(expected)}


def test_factors_of_before_have_no_covariance_and_are_read() -> None:
    """R8.5: stored state stays readable."""
    days = sessions(30)
    found = made({("SPY", d): p for d, p in zip(days, walk(1, 30), strict=True)}, 29)
    old = encode(found)
    body = orjson.loads(old["state"])
    del body["covariance"]
    read = decode({**old, "state": orjson.dumps(body).decode()})
    assert read.covariance is None
    assert co_movement(read, ["SPY"]).volatilities.keys() == {"SPY"}
