"""The normal distribution, against 60 digits and against scipy."""

import mpmath as mp
import numpy as np
import pytest
from scipy import special

from stopline.risk.normal import FAR, cdf, mills, pdf


def relative_errors(values: np.ndarray, exact: list[mp.mpf]) -> np.ndarray:
    return np.array(
        [abs(float(mp.mpf(float(value)) / true - 1)) for value, true in zip(values, exact, strict=True)]
    )


def test_the_distribution_function_keeps_all_digits_in_both_tails() -> None:
    x = np.concatenate([np.linspace(-37.5, 0, 1501), np.linspace(0, 9, 301), -np.geomspace(1e-300, 1, 100)])
    errors = relative_errors(cdf(x), [mp.ncdf(mp.mpf(float(value))) for value in x])
    assert errors.max() < 1.3e-15
    np.testing.assert_allclose(cdf(x), special.ndtr(x), rtol=1e-12)


def test_the_density_keeps_all_digits_in_the_tails() -> None:
    x = np.linspace(-38, 38, 1001)
    assert relative_errors(pdf(x)[20:-20], [mp.npdf(mp.mpf(float(v))) for v in x[20:-20]]).max() < 1e-15


def test_mills_ratio_holds_from_zero_to_where_it_is_one_over_t() -> None:
    t = np.concatenate([[0.0], np.geomspace(1e-10, 100, 1000)])
    exact = [mp.exp(mp.mpf(float(v)) ** 2 / 2) * mp.erfc(mp.mpf(float(v)) / mp.sqrt(2)) for v in t]
    assert relative_errors(mills(t), [value * mp.sqrt(mp.pi / 2) for value in exact]).max() < 1.2e-15
    assert mills(np.array([1e5]))[0] == pytest.approx(1e-5, rel=1e-9)
    assert mills(np.array([1e300]))[0] == pytest.approx(1 / FAR)


def test_infinities_have_their_limits_and_nan_stays_nan() -> None:
    np.testing.assert_array_equal(cdf([-np.inf, np.inf, -1e300, 1e300, 0.0, -0.0]), [0, 1, 0, 1, 0.5, 0.5])
    np.testing.assert_array_equal(pdf([-np.inf, np.inf]), [0, 0])
    assert np.isnan([cdf(np.nan), pdf(np.nan), mills(np.array(np.nan))]).all()
