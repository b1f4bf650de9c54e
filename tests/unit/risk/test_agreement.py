"""The same numbers as other libraries where conventions match, on a series that anybody can make again.

The expected values were answered by empyrical-reloaded 0.7.1, quantstats 0.0.86, riskfolio-lib 7.4.0, skfolio 1.12.2
and scikit-learn; docs/measures.md has the table of what differs. The libraries themselves are not needed here.
"""

import numpy as np
import pytest

from stopline.risk import performance
from stopline.risk.contributions import es_contributions, volatility_contributions
from stopline.risk.correlation import beta, covariance, shrunk_correlation, shrunk_covariance
from stopline.risk.drawdown import max_drawdown
from stopline.risk.summary import summary
from stopline.risk.var import expected_shortfall, historical, value_at_risk

DAY = np.arange(1, 251)
RETURNS = 0.011 * np.sin(1.7 * DAY) + 0.007 * np.cos(0.31 * DAY * DAY) + 0.0006
TABLE = 0.0004 + np.column_stack(
    (
        0.01 * np.sin(1.7 * DAY) + 0.005 * np.cos(0.31 * DAY * DAY),
        0.008 * np.sin(1.7 * DAY + 0.4) - 0.004 * np.cos(0.17 * DAY * DAY),
        0.012 * np.cos(0.7 * DAY * DAY),
    )
)
WEIGHTS = [0.5, 0.3, 0.2]

EMPYRICAL = {
    "total_return": 0.1535002923330986,
    "annual_return": 0.1548188137770976,
    "volatility": 0.14547957879110665,
    "sharpe": 1.0620990475637533,
    "sortino": 1.6241861239225448,
    "calmar": 2.7065355053238056,
    "omega": 1.1742523274341945,
    "max_drawdown": -0.0572018410519892,
    "downside_deviation": 0.09513301449765307,
    "var": -0.014047890416632191,
    "es": -0.015601282036613592,
}


def test_empyrical() -> None:
    found = summary(RETURNS, convention="empyrical").values
    assert dict(found) == pytest.approx(EMPYRICAL, rel=1e-12)
    assert max_drawdown(RETURNS, "empyrical") == pytest.approx(EMPYRICAL["max_drawdown"], rel=1e-12)
    assert value_at_risk(RETURNS, 0.95, "empyrical") == pytest.approx(EMPYRICAL["var"], rel=1e-12)
    assert expected_shortfall(RETURNS, 0.95, "empyrical") == pytest.approx(EMPYRICAL["es"], rel=1e-12)
    assert beta(TABLE[:, 0], TABLE[:, 1]) == pytest.approx(0.8639205637002132, rel=1e-12)


def test_quantstats() -> None:
    """Its VaR and CVaR are parametric, its moments corrected for the sample: those are not ours."""
    assert performance.win_rate(RETURNS) == pytest.approx(0.496)
    assert performance.profit_factor(RETURNS) == pytest.approx(1.1742523274341947, rel=1e-12)
    assert performance.payoff_ratio(RETURNS) == pytest.approx(1.193191881102488, rel=1e-12)
    n = RETURNS.size
    corrected = performance.skewness(RETURNS) * (n * (n - 1)) ** 0.5 / (n - 2)
    assert corrected == pytest.approx(0.07761452169487963, rel=1e-9)


def test_skfolio_and_riskfolio() -> None:
    risk = historical(RETURNS, 0.95)
    assert risk.var == pytest.approx(0.014185468892027871, rel=1e-12)
    assert risk.es == pytest.approx(0.015657914562397016, rel=1e-12)
    assert historical(RETURNS, 0.99).es == pytest.approx(0.016597070331244447, rel=1e-12)  # 2.5 days
    assert max_drawdown(RETURNS) == pytest.approx(0.05720184105198915, rel=1e-12)


def test_riskfolios_contributions() -> None:
    spread = volatility_contributions(WEIGHTS, covariance(TABLE))
    assert spread.component.tolist() == pytest.approx(
        [0.0036361740246397545, 0.001562519768519982, 0.00044405759971888337], rel=1e-6
    )
    short = es_contributions(TABLE, WEIGHTS)
    assert short.component.tolist() == pytest.approx(
        [0.006146011989269229, 0.001929109286376296, 0.0014190638889660656], rel=1e-4
    )  # theirs are finite differences


def test_scikit_learns_ledoit_and_wolf() -> None:
    assert shrunk_covariance(TABLE).intensity == pytest.approx(0.0335361873462833, rel=1e-12)
    assert shrunk_correlation(TABLE).intensity == pytest.approx(0.030096254413164526, rel=1e-12)
