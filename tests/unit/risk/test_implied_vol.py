"""Implied volatility: 60 digits on a hard grid, the way there and back, and a status for every bad price."""

import itertools

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from unit.risk.oracles import exact_price, exact_volatility

from stopline.risk import implied_vol
from stopline.risk.implied_vol import (
    ImpliedVolatility,
    IvStatus,
    implied_volatility,
    implied_volatility_black76,
)
from stopline.risk.options import black76_price, black_scholes_price

SECOND = 1 / (365 * 86400)


def hard_grid() -> list[tuple[bool, float, float, float, float]]:
    """(is_call, price, strike, years, volatility) of out-of-the-money options on 100, without rates.

    From one second to thirty years, from the money to 37 standard deviations away, prices down to 1e-300.
    """
    rows = []
    for years, volatility, depth, up in itertools.product(
        (SECOND, 60 * SECOND, 3600 * SECOND, 1 / 365, 0.1, 1.0, 30.0),
        (0.01, 0.15, 0.8, 4.0),
        (0.0, 1e-6, 1e-3, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 37.0),
        (True, False),
    ):
        away = depth * volatility * years**0.5
        if away > 300:
            continue
        strike = 100.0 * float(np.exp(away if up else -away))
        is_call = strike > 100 or (strike == 100 and up)
        price = float(exact_price(is_call, 100.0, strike, years, volatility, 0.0, 0.0))
        most = 100.0 if is_call else strike
        if 1e-300 < price < most:
            rows.append((is_call, price, strike, years, volatility))
    return rows


def test_a_hard_grid_is_right_to_1e_14() -> None:
    """The goal is 1e-12. The reference is the volatility of the very double that the price is."""
    grid = hard_grid()
    assert len(grid) > 500
    is_call, price, strike, years, _ = map(np.array, zip(*grid, strict=True))
    found = implied_volatility(is_call, price, 100.0, strike, years)
    assert (found.status == IvStatus.OK).all()
    for value, (call, cost, k, t, near) in zip(found.value, grid, strict=True):
        exact = exact_volatility(call, cost, 100.0, k, t, 0.0, 0.0, near)
        assert abs(float(mp.mpf(float(value)) / exact - 1)) < 1e-14, (call, cost, k, t, near)


def test_rates_and_yields_keep_it_below_1e_12() -> None:
    """With discounting exp(-rT) itself is rounded; what is left is the condition of the price."""
    for call, strike, years, volatility in itertools.product(
        (True, False), (70.0, 95.0, 100.0, 106.0, 160.0), (1 / 365, 0.25, 2.0), (0.1, 0.4, 1.2)
    ):
        spot, rate, dividend = 100.0, 0.045, 0.013
        forward = spot * np.exp((rate - dividend) * years)
        if call != (strike >= forward):
            continue
        price = float(exact_price(call, spot, strike, years, volatility, rate, dividend))
        if price < 1e-300:
            continue
        found = implied_volatility(call, price, spot, strike, years, rate, dividend)
        exact = exact_volatility(call, price, spot, strike, years, rate, dividend, volatility)
        assert found.status == IvStatus.OK
        assert abs(float(mp.mpf(float(found.value)) / exact - 1)) < 1e-12


@given(
    st.booleans(),
    st.floats(-30, 30),
    st.floats(1e-8, 40),
    st.floats(0.01, 5),
    st.floats(-0.05, 0.3),
    st.floats(-0.05, 0.3),
)
def test_price_to_volatility_to_price_is_the_same_price(
    is_call: bool, depth: float, years: float, volatility: float, rate: float, dividend: float
) -> None:
    """In the money a price only holds its time value to the last digits of the whole, so the price is compared."""
    spot = 100.0
    assume(abs(depth * volatility * years**0.5) < 300)
    strike = float(spot * np.exp(depth * volatility * years**0.5 + (rate - dividend) * years))
    terms = (spot, strike, years)
    price = float(black_scholes_price(is_call, *terms, volatility, rate, dividend))
    found = implied_volatility(is_call, price, *terms, rate, dividend)
    if found.status == IvStatus.OK:
        again = float(black_scholes_price(is_call, *terms, float(found.value), rate, dividend))
        forward = max(spot * np.exp(-dividend * years), strike * np.exp(-rate * years))
        assert again == pytest.approx(price, rel=1e-9, abs=4e-15 * forward)
    else:
        assert found.status in (IvStatus.AT_INTRINSIC, IvStatus.BELOW_INTRINSIC, IvStatus.ABOVE_MAXIMUM)
        asset, bond = spot * np.exp(-dividend * years), strike * np.exp(-rate * years)
        intrinsic = max(asset - bond if is_call else bond - asset, 0.0)
        most = asset if is_call else bond
        assert min(abs(price - intrinsic), abs(price - most)) <= 1e-13 * (asset + bond)


def test_on_futures() -> None:
    price = black76_price([True, False], 4500.0, [4600.0, 4400.0], 5 / 365, [0.14, 0.19], 0.05)
    found = implied_volatility_black76([True, False], price, 4500.0, [4600.0, 4400.0], 5 / 365, 0.05)
    np.testing.assert_allclose(found.value, [0.14, 0.19], rtol=1e-12)
    np.testing.assert_array_equal(found.status, IvStatus.OK)


def test_a_call_and_the_put_of_the_same_strike_have_the_same_volatility() -> None:
    call = implied_volatility(True, black_scholes_price(True, 100, 90, 0.5, 0.3, 0.05), 100, 90, 0.5, 0.05)
    put = implied_volatility(False, black_scholes_price(False, 100, 90, 0.5, 0.3, 0.05), 100, 90, 0.5, 0.05)
    assert float(call.value) == pytest.approx(0.3, rel=1e-13)
    assert float(put.value) == pytest.approx(0.3, rel=1e-13)


@pytest.mark.parametrize(
    ("is_call", "price", "spot", "strike", "years", "status"),
    [
        (True, 9.99, 110, 100, 1.0, IvStatus.BELOW_INTRINSIC),
        (False, 9.99, 90, 100, 1.0, IvStatus.BELOW_INTRINSIC),
        (True, -0.01, 90, 100, 1.0, IvStatus.BELOW_INTRINSIC),
        (True, 10.0, 110, 100, 1.0, IvStatus.AT_INTRINSIC),
        (False, 0.0, 110, 100, 1.0, IvStatus.AT_INTRINSIC),
        (True, 110.0, 110, 100, 1.0, IvStatus.ABOVE_MAXIMUM),
        (True, 111.0, 110, 100, 1.0, IvStatus.ABOVE_MAXIMUM),
        (False, 100.0, 110, 100, 1.0, IvStatus.ABOVE_MAXIMUM),
        (True, 11.0, 110, 100, 0.0, IvStatus.NO_TIME),
        (True, 11.0, 110, 100, -1.0, IvStatus.NO_TIME),
        (True, 11.0, 0.0, 100, 1.0, IvStatus.BAD_TERMS),
        (True, 11.0, 110, -5.0, 1.0, IvStatus.BAD_TERMS),
        (True, np.nan, 110, 100, 1.0, IvStatus.NOT_FINITE),
        (True, 11.0, np.inf, 100, 1.0, IvStatus.NOT_FINITE),
        (True, 11.0, 110, np.nan, 1.0, IvStatus.NOT_FINITE),
        (True, 11.0, 110, 100, np.nan, IvStatus.NOT_FINITE),
    ],
)
def test_a_price_without_a_volatility_says_why(
    is_call: bool, price: float, spot: float, strike: float, years: float, status: IvStatus
) -> None:
    for found in (
        implied_volatility(is_call, price, spot, strike, years),
        implied_volatility_black76(is_call, price, spot, strike, years),
    ):
        assert found.status == status
        assert np.isnan(found.value)


def test_a_nan_rate_is_not_finite() -> None:
    assert implied_volatility(True, 5, 100, 100, 1, np.nan).status == IvStatus.NOT_FINITE
    assert implied_volatility(True, 5, 100, 100, 1, 0.0, np.nan).status == IvStatus.NOT_FINITE
    assert implied_volatility_black76(True, 5, 100, 100, 1, np.nan).status == IvStatus.NOT_FINITE


def test_one_bad_quote_leaves_the_others_alone() -> None:
    found = implied_volatility(True, [5.0, np.nan, 200.0, 5.0], 100, 105, 0.5)
    np.testing.assert_array_equal(
        found.status, [IvStatus.OK, IvStatus.NOT_FINITE, IvStatus.ABOVE_MAXIMUM, IvStatus.OK]
    )
    assert found.value[0] == found.value[3]


@given(
    st.booleans(),
    st.floats(allow_nan=True),
    st.floats(allow_nan=True),
    st.floats(allow_nan=True),
    st.floats(allow_nan=True),
    st.floats(allow_nan=True),
)
def test_whatever_comes_in_a_value_is_nan_exactly_where_the_status_is_not_ok(
    is_call: bool, price: float, spot: float, strike: float, years: float, rate: float
) -> None:
    found = implied_volatility(is_call, price, spot, strike, years, rate)
    assert np.isnan(found.value) == (found.status != IvStatus.OK)
    assert found.status != IvStatus.NOT_FOUND


@given(st.integers(0, 2**32 - 1))
def test_the_search_always_settles(seed: int) -> None:
    """From 1e-8 to 16 of deviation, from the money to 38 of it away."""
    random = np.random.default_rng(seed)
    n = 2000
    s = np.exp(random.uniform(np.log(1e-8), np.log(16), n))
    x = np.where(random.random(n) < 0.5, random.uniform(0, 37.5, n), np.abs(random.normal(size=n))) * s
    x = np.where(random.random(n) < 0.05, 0.0, x)
    x = np.where(x < 30, x, 0.3)
    spot, strike = np.exp(x / 2), np.exp(-x / 2)
    price = black_scholes_price(False, spot, strike, 1.0, s)
    found = implied_volatility(False, price, spot, strike, 1.0)
    solved = found.status == IvStatus.OK
    assert solved[(price > 1e-280) & (price < strike * (1 - 1e-15))].all()
    sharp = solved & (price > 1e-280) & (price < 0.999 * strike)  # here the double still tells the volatility
    np.testing.assert_allclose(found.value[sharp], s[sharp], rtol=1e-6)


def test_shapes_are_broadcast_and_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    strikes, years = np.linspace(80, 120, 41), np.array([[0.01], [0.5]])
    calls = strikes > 100
    price = black_scholes_price(calls, 100, strikes, years, 0.25, 0.03)
    found = implied_volatility(calls, price, 100, strikes, years, 0.03)
    assert found.value.shape == found.status.shape == (2, 41)
    monkeypatch.setattr(implied_vol, "_BLOCK", 3)
    again = implied_volatility(calls, price, 100, strikes, years, 0.03)
    np.testing.assert_array_equal(again.value, found.value)
    empty = implied_volatility(True, np.zeros((0, 3)), 100, 100, 1)
    assert isinstance(empty, ImpliedVolatility)
    assert empty.value.shape == (0, 3)


def test_vollib_agrees_where_it_is_exact() -> None:
    peer = pytest.importorskip("vollib.black.implied_volatility", reason="the oracle vollib is not installed")
    for strike, years, volatility in itertools.product((80.0, 100.0, 125.0), (0.1, 1.0), (0.2, 0.6)):
        call = strike >= 100
        price = float(black76_price(call, 100.0, strike, years, volatility, 0.02))
        theirs = peer.implied_volatility(price, 100.0, strike, 0.02, years, "c" if call else "p")
        ours = implied_volatility_black76(call, price, 100.0, strike, years, 0.02)
        assert float(ours.value) == pytest.approx(theirs, rel=1e-12)
