"""Contributions: components that add up, against finite differences and plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk.contributions import (
    es_contributions,
    factor_model,
    incremental,
    normal_contributions,
    portfolio_pnl,
    var_contributions,
    volatility_contributions,
)
from stopline.risk.correlation import covariance
from stopline.risk.var import historical, normal

SOURCE = np.random.default_rng(11)
RETURNS = SOURCE.standard_t(4, (330, 6)) * 0.01 @ SOURCE.normal(0, 1, (6, 6)) / 2
RETURNS = np.clip(RETURNS, -0.9, None)
EXPOSURES = np.array([10_000.0, -4_000.0, 7_500.0, 0.0, -12_000.0, 3_000.0])
PNL = RETURNS @ EXPOSURES


def test_components_add_up_to_the_risk_of_the_book() -> None:
    """R2.7: risk contribution."""
    spread = volatility_contributions(EXPOSURES, covariance(RETURNS))
    assert spread.total == pytest.approx(PNL.std(ddof=1), rel=1e-12)
    parametric = normal_contributions(EXPOSURES, RETURNS.mean(axis=0), covariance(RETURNS), 0.99, 10)
    assert parametric.total == pytest.approx(normal(PNL, 0.99, 10).var, rel=1e-12)
    es = es_contributions(RETURNS, EXPOSURES, 0.95)
    assert es.total == pytest.approx(historical(PNL, 0.95).es, rel=1e-12)
    var = var_contributions(RETURNS, EXPOSURES, 0.95)
    assert var.total == pytest.approx(historical(PNL, 0.95).var, rel=1e-12)
    for parts in (spread, parametric, es, var):
        assert parts.component.sum() == pytest.approx(parts.total, rel=1e-12)
        assert parts.component.tolist() == pytest.approx((EXPOSURES * parts.marginal).tolist())
        assert parts.share.sum() == pytest.approx(1)
        assert parts.component[3] == 0


@pytest.mark.parametrize("place", range(6))
def test_marginal_is_what_a_little_more_of_a_position_adds(place: int) -> None:
    more = EXPOSURES.copy()
    more[place] += 1e-3
    pnl = RETURNS @ more
    es = es_contributions(RETURNS, EXPOSURES, 0.95)
    assert (historical(pnl).es - historical(PNL).es) / 1e-3 == pytest.approx(es.marginal[place], abs=1e-6)
    var = var_contributions(RETURNS, EXPOSURES, 0.95)
    assert (historical(pnl).var - historical(PNL).var) / 1e-3 == pytest.approx(var.marginal[place], abs=1e-6)
    spread = volatility_contributions(EXPOSURES, covariance(RETURNS))
    assert (pnl.std(ddof=1) - PNL.std(ddof=1)) / 1e-3 == pytest.approx(spread.marginal[place], abs=1e-6)


def test_es_contributions_by_hand() -> None:
    """The mean losses on the worst 16.5 of 330 days, the 17th by half."""
    order = np.argsort(PNL)[:17]
    weight = np.array([1.0] * 16 + [0.5]) / 16.5
    expected = -(weight @ (RETURNS[order] * EXPOSURES))
    assert es_contributions(RETURNS, EXPOSURES).component.tolist() == pytest.approx(expected.tolist())
    legs = RETURNS * EXPOSURES
    assert es_contributions(legs).component.tolist() == pytest.approx(expected.tolist())


def test_incremental_risk_is_the_book_less_the_book_without_the_position() -> None:
    var, es = incremental(RETURNS, EXPOSURES, 0.95)
    for place in range(6):
        without = EXPOSURES.copy()
        without[place] = 0.0
        rest = historical(RETURNS @ without, 0.95)
        assert var[place] == pytest.approx(historical(PNL).var - rest.var, abs=1e-9)
        assert es[place] == pytest.approx(historical(PNL).es - rest.es, abs=1e-9)
    assert var[3] == es[3] == 0
    hedged = np.column_stack((RETURNS[:, 0], -RETURNS[:, 0]))
    assert (incremental(hedged, [10.0, 1.0])[1] < 0).tolist() == [False, True]


@given(st.lists(st.floats(-1e4, 1e4), min_size=6, max_size=6), st.sampled_from([0.9, 0.95, 0.99]))
def test_components_add_up_for_any_book(exposures: list[float], confidence: float) -> None:
    for parts in (es_contributions, var_contributions):
        found = parts(RETURNS, exposures, confidence)
        pnl = RETURNS @ np.array(exposures)
        risk = historical(pnl, confidence)
        expected = risk.es if parts is es_contributions else risk.var
        assert found.component.sum() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_factors_explain_what_they_made() -> None:
    """R2.9: market beta, volatility, residual."""
    source = np.random.default_rng(2)
    factors = source.normal(0.0, [0.01, 0.05], (500, 2))
    noise = source.normal(0.0, 0.002, 500)
    model = factor_model(0.0002 + factors @ [1.3, -0.04] + noise, factors)
    design = np.column_stack((np.ones(500), factors))
    exact = np.linalg.solve(design.T @ design, design.T @ (0.0002 + factors @ [1.3, -0.04] + noise))
    assert [model.alpha, *model.beta] == pytest.approx(exact.tolist(), rel=1e-9)
    assert model.beta.tolist() == pytest.approx([1.3, -0.04], abs=0.02)
    assert model.factor_share.sum() + model.residual_share == pytest.approx(1)
    assert model.residual_share == pytest.approx(model.residual.var(ddof=1) / model.variance)
    assert model.r_squared == pytest.approx(1 - model.residual_share)
    assert model.residual.mean() == pytest.approx(0, abs=1e-15)


def test_without_risk_or_with_bad_data_there_are_no_contributions() -> None:
    with pytest.raises(InsufficientData, match="total risk is 0"):
        volatility_contributions(np.zeros(6), covariance(RETURNS))
    with pytest.raises(InsufficientData, match="total risk is 0"):
        _ = es_contributions(RETURNS, np.zeros(6)).share
    bad = RETURNS.copy()
    bad[7, 2] = math.nan
    for measure in (portfolio_pnl, es_contributions, var_contributions, incremental):
        with pytest.raises(Rejected, match="number 8 of column 3 was nan"):
            measure(bad, EXPOSURES)
    with pytest.raises(Rejected, match="5 exposures"):
        es_contributions(RETURNS, EXPOSURES[:5])
    with pytest.raises(Rejected, match="rows x columns"):
        es_contributions(RETURNS[0])
    with pytest.raises(Rejected, match="covariance of"):
        volatility_contributions(EXPOSURES, np.eye(5))
    with pytest.raises(Rejected, match="covariance: number 1 of column 1"):
        volatility_contributions([1.0, 2.0], [[math.nan, 0], [0, 1]])
    with pytest.raises(InsufficientData, match="needs 20"):
        es_contributions(RETURNS[:19], EXPOSURES)
    for factors in (np.zeros((330, 1)), RETURNS[:, [0, 0]]):
        with pytest.raises(InsufficientData, match="linear in each other"):
            factor_model(RETURNS[:, 1], factors)
    with pytest.raises(InsufficientData, match="returns are flat"):
        factor_model(np.ones(330), RETURNS[:, :1])
    with pytest.raises(InsufficientData, match="at least 5"):
        factor_model(RETURNS[:4, 1], RETURNS[:4, 2:4])
