"""American options: published tables, a fine binomial tree, QuantLib's engine of the same formula, and laws."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.risk.oracles import tree_price

from stopline.risk.american import american, american_price, american_volatility
from stopline.risk.implied_vol import IvStatus
from stopline.risk.options import black_scholes, black_scholes_price

NAMES = ("price", "delta", "gamma", "theta", "vega", "rho")


# Haug, "The Complete Guide to Option Pricing Formulas", table 3-1: options on futures, X = 100, r = 10 %, by
# Barone-Adesi and Whaley: (is_call, years, volatility, prices at F = 90, 100, 110).
HAUG = [
    (True, 0.1, 0.15, (0.0206, 1.8771, 10.0089)),
    (True, 0.1, 0.25, (0.3159, 3.1280, 10.3919)),
    (True, 0.1, 0.35, (0.9495, 4.3777, 11.1679)),
    (True, 0.5, 0.15, (0.8208, 4.0842, 10.8087)),
    (True, 0.5, 0.25, (2.7437, 6.8015, 13.0170)),
    (True, 0.5, 0.35, (5.0063, 9.5106, 15.5689)),
    (False, 0.1, 0.15, (10.0000, 1.8770, 0.0410)),
    (False, 0.1, 0.25, (10.2533, 3.1277, 0.4562)),
    (False, 0.1, 0.35, (10.8787, 4.3777, 1.2402)),
    (False, 0.5, 0.15, (10.5595, 4.0842, 1.0822)),
    (False, 0.5, 0.25, (12.4419, 6.8014, 3.3226)),
    (False, 0.5, 0.35, (14.6945, 9.5104, 5.8823)),
]


@pytest.mark.parametrize(("is_call", "years", "volatility", "published"), HAUG)
def test_published_prices_and_nearer_to_the_tree_than_they_are(
    is_call: bool, years: float, volatility: float, published: tuple[float, ...]
) -> None:
    """Ju and Zhong correct what Barone-Adesi and Whaley leave out."""
    futures = (90.0, 100.0, 110.0)
    prices = american_price(is_call, futures, 100.0, years, volatility, 0.1, 0.1)
    np.testing.assert_allclose(prices, published, rtol=1e-2, atol=1e-3)
    tree = [tree_price(is_call, future, 100.0, years, volatility, 0.1, 0.1, 600) for future in futures]
    assert np.abs(prices - tree).max() < max(np.abs(np.array(published) - tree).max(), 5e-3)


CASES = list(
    itertools.product(
        (True, False),
        (85.0, 95.0, 100.0, 105.0, 115.0),
        (7 / 365, 0.25, 0.5, 1.0),
        (0.15, 0.4),
        ((0.05, 0.0), (0.04, 0.02), (0.02, 0.06), (0.05, 0.05)),
    )
)


def test_a_fine_binomial_tree_is_within_half_a_per_cent() -> None:
    """Largest: 0.5 % of the price or 0.1 % of the spot; half of the contracts are within 0.02 % of the price."""
    shares = []
    for is_call, strike, years, volatility, (rate, dividend) in CASES:
        tree = tree_price(is_call, 100.0, strike, years, volatility, rate, dividend, 400)
        price = float(american_price(is_call, 100.0, strike, years, volatility, rate, dividend))
        assert price == pytest.approx(tree, rel=5e-3, abs=0.02), (is_call, strike, years, volatility, rate)
        shares.append(abs(price - tree) / max(tree, 0.5))
    assert np.median(shares) < 5e-4


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # SWIG's types, from Python 3.12
def test_quantlib_has_the_same_numbers_by_the_same_formula() -> None:
    ql = pytest.importorskip("QuantLib", reason="the oracle QuantLib is not installed")
    today = ql.Date(2, 1, 2026)
    ql.Settings.instance().evaluationDate = today
    count = ql.Actual365Fixed()
    random = np.random.default_rng(7)
    for _ in range(150):
        call = bool(random.random() < 0.5)
        strike, volatility = random.uniform((80, 0.1), (120, 0.6))
        days = int(random.integers(5, 1000))
        rate, dividend = (float(random.choice([0.01, 0.03, 0.08])) for _ in range(2))
        flat = [ql.YieldTermStructureHandle(ql.FlatForward(today, x, count)) for x in (dividend, rate)]
        process = ql.BlackScholesMertonProcess(
            ql.QuoteHandle(ql.SimpleQuote(100.0)),
            *flat,
            ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), volatility, count)),
        )
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, strike)
        option = ql.VanillaOption(payoff, ql.AmericanExercise(today, today + days))
        option.setPricingEngine(ql.JuQuadraticApproximationEngine(process))
        price = float(american_price(call, 100.0, strike, days / 365, volatility, rate, dividend))
        assert price == pytest.approx(
            option.NPV(), abs=2e-4
        )  # its search stops at 1e-6 of the critical price


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # SWIG's types, from Python 3.12
@pytest.mark.parametrize(("days", "largest"), [(30, 0.3), (91, 0.35), (182, 0.85), (365, 2.1)])
def test_the_errors_that_the_docs_tell_are_the_largest(days: int, largest: float) -> None:
    """docs/options.md: per cent of prices above 0.5, against QuantLib's fixed point, which is off by 0.02 % at most."""
    ql = pytest.importorskip("QuantLib", reason="the oracle QuantLib is not installed")
    today, count = ql.Date(2, 1, 2026), ql.Actual365Fixed()
    ql.Settings.instance().evaluationDate = today
    rates = (0.0, 0.03, 0.06, 0.1)
    grid = list(
        itertools.product((True, False), (85.0, 95.0, 100.0, 105.0, 115.0), (0.15, 0.4), rates, rates)
    )
    exact = []
    for call, strike, volatility, rate, dividend in grid:
        flat = [ql.YieldTermStructureHandle(ql.FlatForward(today, x, count)) for x in (dividend, rate)]
        process = ql.BlackScholesMertonProcess(
            ql.QuoteHandle(ql.SimpleQuote(100.0)),
            *flat,
            ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), volatility, count)),
        )
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, strike)
        option = ql.VanillaOption(payoff, ql.AmericanExercise(today, today + days))
        option.setPricingEngine(ql.QdFpAmericanEngine(process, ql.QdFpAmericanEngine.fastScheme()))
        exact.append(option.NPV())
    call, strike, volatility, rate, dividend = (np.array(column) for column in zip(*grid, strict=True))
    ours = american_price(call, 100.0, strike, days / 365, volatility, rate, dividend)
    dear = np.array(exact) > 0.5
    off = 100 * np.abs(ours[dear] / np.array(exact)[dear] - 1)
    assert largest / 2 < off.max() < largest
    assert np.median(off) < 0.1


TERMS = st.tuples(
    st.floats(10, 1000),
    st.floats(10, 1000),
    st.floats(0, 5),
    st.floats(0, 2),
    st.sampled_from([-0.03, 0.0, 1e-12, 0.001, 0.02, 0.05, 0.2]),
    st.sampled_from([-0.03, 0.0, 1e-12, 0.001, 0.02, 0.05, 0.2]),
)


@given(st.booleans(), TERMS)
def test_a_price_is_between_the_european_or_intrinsic_value_and_the_maximum(
    is_call: bool, terms: tuple[float, ...]
) -> None:
    spot, strike, years, _, rate, dividend = terms
    price = float(american_price(is_call, *terms))
    if (rate < dividend < 0) if is_call else (dividend < rate < 0):
        assert np.isnan(price)
        return
    assert price >= (spot - strike) * (1 if is_call else -1)
    assert price >= float(black_scholes_price(is_call, *terms))
    most = spot * np.exp(max(-dividend, 0) * years) if is_call else strike * np.exp(max(-rate, 0) * years)
    assert 0 <= price <= most * (1 + 1e-12)


def test_a_call_without_dividends_is_european() -> None:
    strikes = np.linspace(50, 150, 11)
    np.testing.assert_array_equal(
        american_price(True, 100, strikes, 0.7, 0.3, 0.05, 0.0),
        black_scholes_price(True, 100, strikes, 0.7, 0.3, 0.05, 0.0),
    )
    np.testing.assert_array_equal(
        american_price(False, 100, strikes, 0.7, 0.3, 0.0, 0.05),
        black_scholes_price(False, 100, strikes, 0.7, 0.3, 0.0, 0.05),
    )


@pytest.mark.parametrize("is_call", [True, False])
def test_a_rate_of_zero_is_the_limit_of_small_rates(is_call: bool) -> None:
    rates = np.array([-1e-7, 0.0, 1e-12, 1e-7])
    prices = american_price(is_call, 100, 95, 0.5, 0.3, rates, 0.04)
    np.testing.assert_allclose(prices, prices[1], rtol=1e-5)


def test_puts_mirror_calls() -> None:
    """P(S, K, r, q) = C(K, S, q, r) is a law of American options; the approximation keeps it."""
    terms = [(100, k, t, 0.3) for k in (80, 95, 100, 110) for t in (0.05, 0.5, 2.0)]
    for spot, strike, years, volatility in terms:
        put = american_price(False, spot, strike, years, volatility, 0.05, 0.02)
        call = american_price(True, strike, spot, years, volatility, 0.02, 0.05)
        assert float(put) == pytest.approx(float(call), rel=2e-2)


def test_at_expiry_and_without_volatility() -> None:
    at_expiry = american([True, True, False, False], [110, 90, 110, 90], 100, 0.0, 0.2, 0.05, 0.02)
    np.testing.assert_array_equal(at_expiry.price, [10, 0, 0, 10])
    np.testing.assert_allclose(at_expiry.delta, [1, 0, 0, -1], atol=1e-9)
    for name in ("gamma", "theta", "vega"):
        np.testing.assert_array_equal(getattr(at_expiry, name), 0)
    waiting = american_price(True, 100, 100, 10.0, 0.0, 0.03, 0.06)  # exercised now: worth 0
    assert waiting == 0.0
    moments = np.linspace(0, 10, 100_001)
    path = 150 * np.exp(-0.02 * moments) - 200 * np.exp(-0.05 * moments)
    assert float(american_price(True, 150, 200, 10.0, 0.0, 0.05, 0.02)) == pytest.approx(path.max(), abs=1e-6)


def test_greeks_are_those_of_the_european_option_where_exercise_never_pays() -> None:
    ours = american(True, 100, [90, 100, 115], [0.02, 0.5, 1.0], 0.25, 0.04, 0.0)
    theirs = black_scholes(True, 100, [90, 100, 115], [0.02, 0.5, 1.0], 0.25, 0.04, 0.0)
    for name in NAMES:
        tolerance = 1e-3 if name == "gamma" else 1e-4
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=tolerance, atol=1e-6)


def test_greeks_of_a_put_are_those_of_the_tree() -> None:
    terms = (100.0, 100.0, 0.5, 0.3, 0.05, 0.01)
    ours = american(False, *terms)

    def tree(index: int, by: float) -> float:
        moved = list(terms)
        moved[index] += by
        return tree_price(False, *moved, 1000)

    assert float(ours.delta) == pytest.approx((tree(0, 1) - tree(0, -1)) / 2, abs=5e-3)
    assert float(ours.gamma) == pytest.approx(tree(0, 3) - 2 * tree(0, 0) + tree(0, -3), rel=0.2, abs=0.2)
    assert float(ours.vega) == pytest.approx((tree(3, 0.01) - tree(3, -0.01)) / 2, rel=1e-2)
    assert float(ours.theta) == pytest.approx((tree(2, -0.01) - tree(2, 0.01)) / 0.02 / 365, rel=2e-2)
    assert float(ours.rho) == pytest.approx((tree(4, 0.002) - tree(4, -0.002)) / 0.4, rel=3e-2)


def test_an_option_to_exercise_now_moves_with_the_spot() -> None:
    greeks = american(False, 50, 100, 1.0, 0.2, 0.08, 0.0)
    assert float(greeks.price) == 50
    assert float(greeks.delta) == pytest.approx(-1)
    for name in ("gamma", "theta", "vega", "rho"):
        assert float(getattr(greeks, name)) == pytest.approx(0, abs=1e-9)


def test_a_volatility_gives_its_price_again() -> None:
    """R2.10: where early exercise pays, by the same approximation; a price at intrinsic value has none."""
    random = np.random.default_rng(3)
    call = random.random(2000) < 0.5
    spot, years, volatility = random.uniform((60, 1 / 365, 0.05), (150, 1.5, 0.9), (2000, 3)).T
    rate, dividend = random.choice([0.0, 0.03, 0.05], 2000), random.choice([0.0, 0.02, 0.06], 2000)
    price = american_price(call, spot, 100.0, years, volatility, rate, dividend)
    found = american_volatility(call, price, spot, 100.0, years, rate, dividend)
    good = found.status == IvStatus.OK
    least = american_price(call, spot, 100.0, years, 0.0, rate, dividend)
    assert not np.any(~good & (price > least + 1e-9))
    again = american_price(call, spot, 100.0, years, found.value, rate, dividend)
    np.testing.assert_allclose(again[good], price[good], rtol=0, atol=1e-8)
    clear = good & (price > np.maximum(least, np.where(call, spot - 100, 100 - spot)) + 0.05)
    np.testing.assert_allclose(found.value[clear], volatility[clear], rtol=1e-6)


@pytest.mark.parametrize(
    ("is_call", "price", "spot", "status"),
    [
        (False, 20.0, 80.0, IvStatus.AT_INTRINSIC),
        (False, 19.99, 80.0, IvStatus.BELOW_INTRINSIC),
        (False, 100.0, 80.0, IvStatus.ABOVE_MAXIMUM),
        (False, 99.0, 80.0, IvStatus.OK),
        (True, 120.0, 120.0, IvStatus.ABOVE_MAXIMUM),
        (False, np.nan, 80.0, IvStatus.NOT_FINITE),
        (False, 5.0, 0.0, IvStatus.BAD_TERMS),
    ],
)
def test_a_price_without_a_volatility_says_why(
    is_call: bool, price: float, spot: float, status: IvStatus
) -> None:
    """I7: flagged, never guessed."""
    found = american_volatility(is_call, price, spot, 100.0, 0.5, 0.05, 0.03)
    assert (int(found.status), bool(np.isfinite(found.value))) == (status, status is IvStatus.OK)


def test_nan_stays_nan_and_bad_terms_are_nan() -> None:
    good = (100.0, 100.0, 0.5, 0.2, 0.05, 0.03)
    for index in range(6):
        bad = [value if i != index else np.nan for i, value in enumerate(good)]
        greeks = american(False, *bad)
        assert all(np.isnan(getattr(greeks, name)) for name in NAMES)
    for index in range(4):
        bad = [value if i != index else -value for i, value in enumerate(good)]
        assert np.isnan(american_price(True, *bad))


def test_shapes_are_broadcast() -> None:
    prices = american_price([[True], [False]], 100.0, np.linspace(80, 120, 5), 0.3, 0.2, 0.05, 0.02)
    assert prices.shape == (2, 5)
    one = american_price(False, 100.0, 120.0, 0.3, 0.2, 0.05, 0.02)
    assert one.shape == ()
    assert float(one) == prices[1, 4]
    assert american_price(True, np.zeros((0, 2)), 1, 1, 1).shape == (0, 2)
