"""Correlation, volatility, concentration, turnover: against numpy, scikit-learn's formula and hand-made numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk import concentration as c
from stopline.risk import correlation as k
from stopline.risk import volatility as v

TABLE = np.random.default_rng(8).normal(0.0, 0.01, (60, 5)) @ np.random.default_rng(9).normal(0, 1, (5, 5))
TABLE = np.clip(TABLE, -0.9, None)


def slow_intensity(table: list[list[float]]) -> float:
    """Ledoit and Wolf 2004, section 3.2, sample by sample."""
    x = np.array(table) - np.mean(table, axis=0)
    n, p = x.shape
    s = sum(np.outer(row, row) for row in x) / n
    m = np.trace(s) / p
    d2 = ((s - m * np.eye(p)) ** 2).sum() / p
    b2 = sum(((np.outer(row, row) - s) ** 2).sum() / p for row in x) / n**2
    return float(min(b2, d2) / d2)


def test_covariance_correlation_and_beta_equal_numpy() -> None:
    assert np.allclose(k.covariance(TABLE), np.cov(TABLE.T), rtol=1e-12)
    assert np.allclose(k.correlation(TABLE), np.corrcoef(TABLE.T), rtol=1e-12)
    assert (np.diag(k.correlation(TABLE)) == 1.0).all()
    slope = np.polyfit(TABLE[:, 0], TABLE[:, 1], 1)[0]
    assert k.beta(TABLE[:, 1], TABLE[:, 0]) == pytest.approx(slope)
    assert k.beta(np.full(60, 0.01), TABLE[:, 0]) == pytest.approx(0)


def test_shrinkage_is_ledoit_and_wolfs() -> None:
    found = k.shrunk_covariance(TABLE)
    assert found.intensity == pytest.approx(slow_intensity(TABLE.tolist()), rel=1e-9)
    assert np.trace(found.matrix) == pytest.approx(np.trace(np.cov(TABLE.T)))
    scaled = (TABLE - TABLE.mean(axis=0)) / TABLE.std(axis=0)
    assert k.shrunk_correlation(TABLE).intensity == pytest.approx(slow_intensity(scaled.tolist()), rel=1e-9)
    wide = np.random.default_rng(1).normal(0, 0.01, (20, 50))  # singular without shrinkage
    assert np.linalg.eigvalsh(k.shrunk_covariance(wide).matrix).min() > 0
    assert np.linalg.eigvalsh(k.correlation(wide, shrink=True)).min() > 0


@given(st.integers(2, 6), st.integers(12, 30), st.integers(0, 1_000))
def test_a_correlation_matrix_is_one(columns: int, rows: int, seed: int) -> None:
    table = np.random.default_rng(seed).uniform(-0.5, 0.5, (rows, columns))
    for found in (
        k.correlation(table),
        k.correlation(table, shrink=True),
        k.blended(k.correlation(table), 0.4),
    ):
        assert np.allclose(found, found.T)
        assert (np.diag(found) == 1).all()
        assert np.abs(found).max() <= 1
        assert np.linalg.eigvalsh(found).min() > -1e-9
    assert 0 <= k.shrunk_covariance(table).intensity <= 1


def test_a_pair_that_came_apart_is_found_and_no_other() -> None:
    """R2.12: correlation change."""
    source = np.random.default_rng(3)
    market = source.normal(0, 0.01, 300)
    table = market[:, None] + source.normal(0, 0.004, (300, 4))
    table[-50:, 2] = -table[-50:, 2]
    found = k.correlation_changes(table, 50)
    assert {(x.first, x.second) for x in found} == {(0, 2), (1, 2), (2, 3)}
    assert all(x.before > 0.7 and x.after < -0.7 and x.p_value < 1e-6 for x in found)
    assert k.correlation_changes(table[:250], 50) == []
    with pytest.raises(InsufficientData, match="both windows need 10 rows"):
        k.correlation_changes(table, 9)


def test_false_alarms_are_as_rare_as_said() -> None:
    alarms = sum(
        bool(k.correlation_changes(np.random.default_rng(s).normal(0, 0.01, (150, 5)), 50, 0.05, 0.0))
        for s in range(200)
    )
    assert alarms <= 20  # 5 % of 200, and the luck of it


def test_a_flat_column_has_no_correlation() -> None:
    flat = TABLE.copy()
    flat[:, 3] = 0.001
    for call in (k.correlation, k.shrunk_correlation):
        with pytest.raises(InsufficientData, match="column 4 is flat"):
            call(flat)
    assert k.covariance(flat)[3].tolist() == pytest.approx([0] * 5)
    with pytest.raises(InsufficientData, match="every column is flat"):
        k.shrunk_covariance(np.full((5, 2), 0.01))
    with pytest.raises(InsufficientData, match="market is flat"):
        k.beta([0.1, 0.2, 0.3], [0.1, 0.1, 0.1])
    with pytest.raises(InsufficientData, match="at least 3"):
        k.correlation([[0.1, 0.2], [0.2, 0.1]])
    with pytest.raises(Rejected, match="of column 1 was nan"):
        k.correlation([[math.nan, 0.2]] * 5)
    with pytest.raises(Rejected, match="2 returns for 3|3 returns for 4"):
        k.beta([0.1, 0.2, 0.3], [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(Rejected, match="weight"):
        k.blended(np.eye(2), 1.5)


# Volatility and ranges.


def test_parkinson_by_hand_and_on_a_walk() -> None:
    one = v.parkinson([110.0], [100.0], 1)
    assert one == pytest.approx(math.log(1.1) / (2 * math.sqrt(math.log(2))))
    source = np.random.default_rng(6)
    paths = np.exp(np.cumsum(source.normal(0, 0.01 / math.sqrt(2_000), (400, 2_000)), axis=1))
    high, low = np.maximum(paths.max(axis=1), 1), np.minimum(paths.min(axis=1), 1)
    assert v.parkinson(high, low, 1) == pytest.approx(0.01, rel=0.07)
    assert v.parkinson([5.0, 5.0], [5.0, 5.0]) == 0
    with pytest.raises(Rejected, match="bar 2: the high 4 was below the low 5"):
        v.parkinson([5.0, 4.0], [5.0, 5.0])
    with pytest.raises(InsufficientData):
        v.parkinson([], [])


def test_the_true_range_counts_the_gap() -> None:
    """R2.7: a true ATR. Opens far above the last close, then far below."""
    high, low, close = [11.0, 20.0, 9.0, 10.0], [9.0, 18.0, 8.0, 9.0], [10.0, 19.0, 8.5, 9.5]
    assert v.true_range(high, low, close).tolist() == [2.0, 10.0, 11.0, 1.5]
    atr = v.average_true_range(high, low, close, 2)
    assert atr.tolist() == [6.0, 8.5, 5.0]
    assert v.average_true_range(high, low, close, 4).tolist() == [6.125]
    with pytest.raises(InsufficientData, match="at least 5"):
        v.average_true_range(high, low, close, 5)
    with pytest.raises(Rejected, match="3 closes for 4"):
        v.true_range(high, low, close[:3])
    with pytest.raises(Rejected, match="window"):
        v.average_true_range(high, low, close, 0)


def test_ewma_volatility_of_equal_moves_is_their_size() -> None:
    moves = [0.01, -0.01] * 30
    assert v.ewma_volatility(moves, periods=252) == pytest.approx(0.01 * math.sqrt(252))
    with pytest.raises(InsufficientData, match="at least 20"):
        v.ewma_volatility(moves[:19])
    with pytest.raises(Rejected, match="decay"):
        v.ewma_volatility(moves, decay=1.0)


# Exposure and concentration.

held = st.lists(st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-3), min_size=1, max_size=30)


def test_exposure_by_hand() -> None:
    """R2.7: exposure, concentration."""
    assert c.exposure([100.0, -40.0]) == c.Exposure(140, 60, 100, -40)
    assert c.exposure([]) == c.Exposure(0, 0, 0, 0)
    assert c.exposures_by([1.0, 2.0, -5.0], ["b", "a", "b"]) == {
        "a": c.Exposure(2, 2, 2, 0),
        "b": c.Exposure(6, -4, 1, -5),
    }
    assert c.herfindahl([5.0, -5.0, 5.0, 5.0]) == pytest.approx(0.25)
    assert c.top_share([6.0, -3.0, 1.0]) == pytest.approx(0.6)
    assert c.top_share([6.0, -3.0, 1.0], 2) == pytest.approx(0.9)
    assert c.top_share([6.0], 5) == 1.0


@given(held, st.floats(0.1, 10))
def test_laws_of_concentration(values: list[float], scale: float) -> None:
    index = c.herfindahl(values)
    assert 1 / len(values) - 1e-9 <= index <= 1 + 1e-9
    assert c.herfindahl([-x * scale for x in values]) == pytest.approx(index)
    assert c.top_share(values) ** 2 <= index + 1e-9 <= c.top_share(values) + 2e-9
    book = c.exposure(values)
    assert book.gross == pytest.approx(sum(map(abs, values)))
    assert book.net == pytest.approx(sum(values), abs=1e-6)


def test_nothing_held_and_nothing_owned_have_no_ratio() -> None:
    for call in (c.herfindahl, c.top_share):
        for nothing in ([], [0.0, 0.0]):
            with pytest.raises(InsufficientData):
                call(nothing)
        with pytest.raises(Rejected):
            call([math.nan])
    with pytest.raises(Rejected):
        c.top_share([1.0], 0)
    with pytest.raises(Rejected):
        c.exposures_by([1.0], [])


def test_turnover_and_holding() -> None:
    assert c.turnover([300.0, 100.0], [200.0], [900.0, 1_100.0]) == pytest.approx(0.3)
    assert c.turnover([], [], [1.0]) == 0
    with pytest.raises(InsufficientData, match="mean equity"):
        c.turnover([1.0], [1.0], [-5.0])
    with pytest.raises(Rejected, match="without a sign"):
        c.turnover([-1.0], [1.0], [5.0])
    assert c.holding([0, 10, 20], [60, 40, 21]) == c.Holding(pytest.approx(91 / 3), 30, 1, 60)
    assert c.holding([0, 0], [10, 20], [3, 1]).mean == pytest.approx(12.5)
    with pytest.raises(Rejected, match="trade 2 was closed before"):
        c.holding([0, 10], [1, 9])
    with pytest.raises(InsufficientData):
        c.holding([], [])
    with pytest.raises(Rejected):
        c.holding([0], [1, 2])
    with pytest.raises(Rejected):
        c.holding([0], [1], [1, 2])
