"""European options: published values, 60 digits, other libraries, laws, and every edge of the formula."""

import functools
import itertools

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.risk.oracles import exact_price, formula

from stopline.risk import options
from stopline.risk.options import (
    Greeks,
    black76,
    black76_price,
    black_scholes,
    black_scholes_price,
)

NAMES = ("price", "delta", "gamma", "theta", "vega", "rho")
SECOND = 1 / (365 * 86400)


def every(greeks: Greeks) -> np.ndarray:
    return np.stack([getattr(greeks, name) for name in NAMES])


@pytest.mark.parametrize(
    ("is_call", "terms", "price", "digits"),
    [
        (True, (42, 40, 0.5, 0.2, 0.1, 0), 4.76, 2),  # Hull, example 15.6
        (False, (42, 40, 0.5, 0.2, 0.1, 0), 0.81, 2),
        (True, (930, 900, 2 / 12, 0.2, 0.08, 0.03), 51.83, 2),  # Hull, example 17.1: index with a yield
        (True, (60, 65, 0.25, 0.3, 0.08, 0), 2.1334, 4),  # Haug, 1.1.1
        (False, (100, 95, 0.5, 0.2, 0.1, 0.05), 2.4648, 4),  # Haug, 1.1.2
    ],
)
def test_published_prices(is_call: bool, terms: tuple[float, ...], price: float, digits: int) -> None:
    assert round(float(black_scholes(is_call, *terms).price), digits) == price


@pytest.mark.parametrize(
    ("is_call", "terms", "price", "digits"),
    [
        (False, (20, 20, 4 / 12, 0.25, 0.09), 1.12, 2),  # Hull, example 18.6
        (True, (19, 19, 0.75, 0.28, 0.1), 1.7011, 4),  # Haug, 1.1.3
        (False, (19, 19, 0.75, 0.28, 0.1), 1.7011, 4),
    ],
)
def test_published_prices_on_futures(
    is_call: bool, terms: tuple[float, ...], price: float, digits: int
) -> None:
    assert round(float(black76(is_call, *terms).price), digits) == price


def test_published_greeks() -> None:
    """Hull, chapter 19: S = 49, K = 50, r = 5 %, sigma = 20 %, 20 weeks."""
    greeks = black_scholes(True, 49, 50, 0.3846, 0.2, 0.05)
    assert round(float(greeks.price), 1) == 2.4
    assert round(float(greeks.delta), 3) == 0.522
    assert round(float(greeks.gamma), 3) == 0.066
    assert round(float(greeks.theta) * 365, 2) == -4.31  # ours is per calendar day
    assert round(float(greeks.vega), 3) == 0.121  # per 1 %
    assert round(float(greeks.rho), 4) == 0.0891  # per 1 %


def hard_grid() -> list[tuple[bool, float, float, float, float, float, float]]:
    return [
        (is_call, 100.0, 100.0 * ratio, years, volatility, rate, dividend)
        for is_call, ratio, years, volatility, (rate, dividend) in itertools.product(
            (True, False),
            (1e-3, 0.5, 0.9, 0.99, 0.9999, 1.0, 1.0001, 1.01, 1.1, 2.0, 1e3),
            (SECOND, 60 * SECOND, 3600 * SECOND, 1 / 365, 0.25, 2.0, 30.0),
            (0.01, 0.2, 1.5, 5.0),
            ((0.0, 0.0), (0.05, 0.02), (-0.01, 0.08)),
        )
    ]


def test_prices_are_within_1e_12_of_60_digits_from_one_second_to_thirty_years() -> None:
    grid = hard_grid()
    prices = black_scholes_price(*map(np.array, zip(*grid, strict=True)))
    exact = [exact_price(*row) for row in grid]
    errors = [
        abs(float(mp.mpf(float(p)) - e)) / max(r[1], r[2])
        for p, e, r in zip(prices, exact, grid, strict=True)
    ]
    assert max(errors) < 4e-15  # of the larger of spot and strike: 1e-12 for contracts about 100
    assert (prices >= 0).all()


def test_far_options_keep_their_digits() -> None:
    """A price of 1e-200 is right too, not only small."""
    strikes = np.array([150.0, 200.0, 400.0, 60.0, 30.0])
    calls = strikes > 100
    prices = black_scholes_price(calls, 100.0, strikes, 0.1, 0.15, 0.03, 0.01)
    for price, strike, call in zip(prices, strikes, calls, strict=True):
        exact = exact_price(bool(call), 100.0, strike, 0.1, 0.15, 0.03, 0.01)
        assert abs(float(mp.mpf(float(price)) / exact - 1)) < 1e-11
    assert prices[2] < 1e-150


def derivative(call: bool, terms: list[mp.mpf], index: int, order: int = 1) -> mp.mpf:
    """Return a derivative of the price by one of its terms."""
    step = (abs(terms[index]) or mp.mpf(1)) * mp.mpf(10) ** -18
    return mp.diff(
        lambda value: formula(call, *terms[:index], value, *terms[index + 1 :]), terms[index], order, h=step
    )


def test_every_greek_is_the_derivative_of_the_price_in_60_digits() -> None:
    grid = [row for row in hard_grid() if 0.85 < row[2] / 100 < 1.2][::17]
    greeks = every(black_scholes(*map(np.array, zip(*grid, strict=True))))
    for column, row in enumerate(grid):
        call, terms = row[0], [mp.mpf(float(x)) for x in row[1:]]

        by = functools.partial(derivative, call, terms)
        scales = (1, 1, 1 / (100 * row[4] * row[3] ** 0.5), 1, 1, 1)
        exact = (None, by(0), by(0, 2), -by(2) / 365, by(3) / 100, by(4) / 100)
        for name, value, true, scale in zip(
            NAMES[1:], greeks[1:, column], exact[1:], scales[1:], strict=True
        ):
            size = max(abs(float(true)), scale * 1e-3)
            assert abs(float(value) - float(true)) < 2e-9 * size, (name, row)


def test_greeks_on_futures_are_the_derivatives_of_the_price() -> None:
    f, k, t, v, r = map(mp.mpf, ("104.5", "100", "0.3", "0.25", "0.04"))
    for call in (True, False):

        def price(f=f, t=t, v=v, r=r, call=call):
            return formula(call, f, k, t, v, r, r)

        greeks = black76(call, 104.5, 100, 0.3, 0.25, 0.04)
        assert float(greeks.price) == pytest.approx(float(price()), rel=1e-13)
        assert float(greeks.delta) == pytest.approx(float(mp.diff(lambda x: price(f=x), f)), rel=1e-12)
        assert float(greeks.gamma) == pytest.approx(float(mp.diff(lambda x: price(f=x), f, 2)), rel=1e-12)
        assert float(greeks.theta) == pytest.approx(float(-mp.diff(lambda x: price(t=x), t)) / 365, rel=1e-12)
        assert float(greeks.vega) == pytest.approx(float(mp.diff(lambda x: price(v=x), v)) / 100, rel=1e-12)
        assert float(greeks.rho) == pytest.approx(float(mp.diff(lambda x: price(r=x), r)) / 100, rel=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # SWIG's types, from Python 3.12
def test_quantlib_agrees() -> None:
    ql = pytest.importorskip("QuantLib", reason="the oracle QuantLib is not installed")
    random = np.random.default_rng(20261120)
    for _ in range(300):
        call = bool(random.random() < 0.5)
        s, k = random.uniform(60, 140, 2)
        t, v, r, q = random.uniform((0.005, 0.05, -0.02, 0), (3, 0.9, 0.1, 0.06))
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, k)
        peer = ql.BlackCalculator(payoff, s * np.exp((r - q) * t), v * np.sqrt(t), np.exp(-r * t))
        ours = black_scholes(call, s, k, t, v, r, q)
        theirs = {
            "price": peer.value(),
            "delta": peer.delta(s),
            "gamma": peer.gamma(s),
            "theta": peer.theta(s, t) / 365,
            "vega": peer.vega(t) / 100,
            "rho": peer.rho(t) / 100,
        }
        for name, value in theirs.items():
            assert float(getattr(ours, name)) == pytest.approx(value, rel=1e-9, abs=1e-11), name


TERMS = st.tuples(
    st.floats(0.01, 1e6),  # spot
    st.floats(0.01, 1e6),  # strike
    st.floats(0, 40),  # years
    st.floats(0, 8),  # volatility
    st.floats(-0.1, 0.5),  # rate
    st.floats(-0.1, 0.5),  # dividend yield
)


@given(TERMS)
def test_put_call_parity_and_bounds(terms: tuple[float, ...]) -> None:
    spot, strike, years, _, rate, dividend = terms
    call, put = black_scholes(True, *terms), black_scholes(False, *terms)
    asset, bond = spot * np.exp(-dividend * years), strike * np.exp(-rate * years)
    tolerance = 1e-13 * (asset + bond)
    assert abs(call.price - put.price - (asset - bond)) <= tolerance
    assert max(asset - bond, 0) - tolerance <= call.price <= asset + tolerance
    assert max(bond - asset, 0) - tolerance <= put.price <= bond + tolerance
    assert call.gamma >= 0
    assert call.vega >= 0
    assert call.vega == pytest.approx(put.vega, rel=1e-9, abs=1e-12)
    assert 0 <= call.delta <= np.exp(-dividend * years) * (1 + 1e-12)
    assert call.delta - put.delta == pytest.approx(np.exp(-dividend * years), rel=1e-12)
    assert np.isfinite(every(call)).all()
    assert np.isfinite(every(put)).all()


@given(TERMS, st.booleans(), st.floats(1.0, 3.0))
def test_a_price_never_falls_with_volatility(terms: tuple[float, ...], is_call: bool, factor: float) -> None:
    more = (*terms[:3], terms[3] * factor, *terms[4:])
    assert black_scholes_price(is_call, *more) >= black_scholes_price(is_call, *terms) - 1e-12 * sum(
        terms[:2]
    )


def test_an_option_on_a_future_is_one_on_an_asset_that_yields_the_rate() -> None:
    ours = black76([True, False], 95.0, 100.0, 0.4, 0.3, 0.05)
    same = black_scholes([True, False], 95.0, 100.0, 0.4, 0.3, 0.05, 0.05)
    for name in NAMES[:5]:
        np.testing.assert_allclose(getattr(ours, name), getattr(same, name), rtol=1e-14)
    np.testing.assert_allclose(ours.rho, -0.4 * ours.price / 100, rtol=1e-14)


def test_at_expiry_the_price_is_the_intrinsic_value_and_delta_is_all_or_nothing() -> None:
    greeks = black_scholes([True] * 3 + [False] * 3, [90, 100, 110] * 2, 100, 0.0, 0.2, 0.05, 0.02)
    np.testing.assert_array_equal(greeks.price, [0, 0, 10, 10, 0, 0])
    np.testing.assert_array_equal(greeks.delta, [0, 0.5, 1, -1, -0.5, 0])
    np.testing.assert_array_equal(greeks.gamma, 0)
    np.testing.assert_array_equal(greeks.vega, 0)
    np.testing.assert_array_equal(greeks.rho, 0)
    carry = np.array([0, 0.5 * (2 - 5), 2.2 - 5, 5 - 1.8, 0.5 * (5 - 2), 0]) / 365
    np.testing.assert_allclose(greeks.theta, carry, atol=1e-15)


def test_without_volatility_the_price_is_that_of_the_forward() -> None:
    greeks = black_scholes(True, [90, 100, 110], 100, 2.0, 0.0, 0.05, 0.05)
    np.testing.assert_allclose(greeks.price, [0, 0, 10 * np.exp(-0.1)], atol=1e-13)
    np.testing.assert_allclose(greeks.delta, np.exp(-0.1) * np.array([0, 0.5, 1]))
    np.testing.assert_array_equal(greeks.gamma, 0)
    at_money = 100 * np.exp(-0.1) * np.sqrt(2 / (2 * np.pi)) / 100  # the limit
    np.testing.assert_allclose(greeks.vega, [0, at_money, 0], atol=1e-15)


@pytest.mark.parametrize("years", [SECOND, 1e-12, 1e-100, 1e-320, 5e-324])
def test_the_last_moments_lead_to_expiry_without_a_jump_to_nan(years: float) -> None:
    greeks = black_scholes([True, False, True, False], [101, 101, 99, 99], 100, years, 0.2, 0.05, 0.01)
    np.testing.assert_allclose(greeks.price, [1, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(greeks.delta, [1, 0, 0, -1], atol=1e-6)
    assert np.isfinite(every(greeks)).all()


def test_tiny_and_huge_spots_and_strikes_have_their_limits() -> None:
    spots, strikes = (
        np.array([0, 1e-300, 1e300, 1e300, 100, 1e-9]),
        np.array([100, 1e300, 1e-300, 1e300, 0, 1e9]),
    )
    for call in (True, False):
        greeks = black_scholes(call, spots, strikes, 1.0, 0.2, 0.05, 0.02)
        assert np.isfinite(every(greeks)).all()
        forward = spots * np.exp(-0.02) - strikes * np.exp(-0.05)
        far = [0, 1, 2, 4, 5]
        expected = np.maximum(forward if call else -forward, 0)
        np.testing.assert_allclose(greeks.price[far], expected[far], rtol=1e-12)
    assert np.isnan(black_scholes_price(True, 0, 0, 1, 0.2))


def test_scaling_money_scales_the_price() -> None:
    one = black_scholes(False, 95, 100, 0.5, 0.3, 0.03)
    for unit in (1e-200, 1e-8, 1e8, 1e200):
        many = black_scholes(False, 95 * unit, 100 * unit, 0.5, 0.3, 0.03)
        np.testing.assert_allclose(many.price, one.price * unit, rtol=1e-12)
        np.testing.assert_allclose(many.delta, one.delta, rtol=1e-12)


@pytest.mark.parametrize("index", range(6))
def test_nan_in_is_nan_out_in_that_contract_only(index: int) -> None:
    terms = [np.array([x, x]) for x in (100.0, 90.0, 0.5, 0.2, 0.03, 0.01)]
    terms[index][1] = np.nan
    for call in (True, False):
        greeks = every(black_scholes(call, *terms))
        assert np.isfinite(greeks[:, 0]).all()
        assert np.isnan(greeks[:, 1]).all()
        assert np.isnan(black_scholes_price(call, *terms)[1])


def test_a_contract_that_is_not_known_does_not_spoil_one_at_its_strike_at_expiry() -> None:
    beside = black_scholes(np.array([True, False]), 100.0, 100.0, np.array([0.0, np.nan]), 0.2)
    alone = black_scholes(True, 100.0, 100.0, 0.0, 0.2)
    assert every(beside)[:, 0].tolist() == every(alone).tolist()
    assert (beside.gamma[0], beside.theta[0]) == (0.0, 0.0)


@pytest.mark.parametrize("edge", [0.0, 0.2])
def test_nan_wins_over_the_edges(edge: float) -> None:
    for greeks in (
        black_scholes(True, np.nan, 100, 0.0, edge),
        black_scholes(True, 100, 100, 0.0, 0.2, np.nan),
    ):
        assert np.isnan(every(greeks)).all()


@pytest.mark.parametrize("index", range(4))
def test_a_negative_spot_strike_time_or_volatility_is_nan(index: int) -> None:
    terms = [100.0, 90.0, 0.5, 0.2]
    terms[index] = -terms[index]
    assert np.isnan(every(black_scholes(True, *terms))).all()
    assert np.isnan(black_scholes_price(False, *terms))


def test_calls_and_puts_are_told_by_booleans_only() -> None:
    with pytest.raises(TypeError, match="is_call must be boolean, was int64"):
        black_scholes([1, -1], 100, 100, 1, 0.2)


@pytest.mark.parametrize(
    ("spot", "strike"),
    [
        ((), ()),
        ((0,), (0,)),
        ((3, 1), (4,)),
        ((500, 1), (40,)),
        ((2, 1, 3), (5, 1)),
        ((3, 1), (9000,)),
        ((2, 0), (1,)),
    ],
)
def test_inputs_are_broadcast_and_blocks_leave_no_seam(
    spot: tuple[int, ...], strike: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same contract has the same price, whatever stands beside it."""
    random = np.random.default_rng(3)
    s, k = random.uniform(80, 120, spot), random.uniform(80, 120, strike)
    greeks = black_scholes(k > 100, s, k, 0.25, 0.2, 0.04, 0.01)
    prices = black_scholes_price(k > 100, s, k, 0.25, 0.2, 0.04, 0.01)
    assert greeks.price.shape == prices.shape == np.broadcast_shapes(spot, strike)
    monkeypatch.setattr(options, "_BLOCK", 7)
    again = black_scholes(k > 100, s, k, 0.25, 0.2, 0.04, 0.01)
    np.testing.assert_allclose(every(again), every(greeks), rtol=1e-14)
    np.testing.assert_allclose(prices, greeks.price, rtol=1e-14)
    np.testing.assert_allclose(
        black76_price(k > 100, s, k, 0.25, 0.2), black76(k > 100, s, k, 0.25, 0.2).price
    )


def test_the_inputs_are_left_as_they_were() -> None:
    terms = [np.linspace(1, 2, 10) for _ in range(4)]
    before = [term.copy() for term in terms]
    black_scholes(True, *terms)
    black_scholes_price(True, *terms)
    for term, was in zip(terms, before, strict=True):
        np.testing.assert_array_equal(term, was)
