"""Full revaluation and stress: legs re-priced one by one by scipy's normal distribution."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk.american import american_price
from stopline.risk.returns import FloatArray
from stopline.risk.revaluation import Legs, full_revaluation, option_pricer, scenario_pnl
from stopline.risk.stress import Scenario, correlation_to_one, days, grid, outcomes, to_levels
from stopline.risk.var import historical

DAY = 1 / 365

# A put credit spread that expires today, a covered call, and shares of something else.
NAMES = ("SPY 600 P short", "SPY 595 P long", "SPY 610 C short", "SPY", "QQQ")
CALL = np.array([False, False, True, False, False])
OPTION = np.array([True, True, True, False, False])
STRIKE = np.array([600.0, 595.0, 610.0, 0.0, 0.0])
YEARS = np.array([0.2 * DAY, 0.2 * DAY, 30 * DAY, 0.0, 0.0])
POINTS = np.array([-1_000.0, 1_000.0, -100.0, 100.0, -50.0])
SPOT = np.array([602.0, 520.0])
VOL = np.array([0.14, 0.16, 0.12, math.nan, math.nan])
UNDERLYING = np.array([0, 0, 0, 0, 1])


def legs(spot: FloatArray = SPOT, volatility: FloatArray = VOL) -> Legs:
    return Legs(NAMES, POINTS, UNDERLYING, spot, volatility, option_pricer(OPTION, CALL, STRIKE, YEARS, 0.04))


def slow_price(leg: int, spot: float, volatility: float, elapsed: float) -> float:
    if not OPTION[leg]:
        return spot
    years, strike, sign = max(YEARS[leg] - elapsed, 0.0), STRIKE[leg], 1 if CALL[leg] else -1
    if years == 0:
        return max(sign * (spot - strike), 0.0)
    deviation = volatility * math.sqrt(years)
    d1 = (math.log(spot / strike) + 0.04 * years) / deviation + deviation / 2
    discounted = strike * math.exp(-0.04 * years)
    up, down = stats.norm.cdf(sign * d1), stats.norm.cdf(sign * (d1 - deviation))
    return float(sign * (spot * up - discounted * down))


def slow_pnl(leg: int, spot_move: float, volatility_move: float, elapsed: float = 0.0) -> float:
    spot = SPOT[UNDERLYING[leg]]
    now = slow_price(leg, spot, VOL[leg], 0.0)
    then = slow_price(leg, spot * (1 + spot_move), VOL[leg] * (1 + volatility_move), elapsed)
    return float(POINTS[leg] * (then - now))


MOVES = np.random.default_rng(4).normal(0, [0.012, 0.015], (1_500, 2))
VOL_MOVES = -4 * MOVES + np.random.default_rng(5).normal(0, 0.03, (1_500, 2))


@pytest.mark.parametrize("elapsed", [0.0, 0.1 * DAY, DAY])
def test_every_leg_is_priced_again_in_every_scenario(elapsed: float) -> None:
    found = scenario_pnl(legs(), MOVES, VOL_MOVES, elapsed)
    assert found.names == NAMES
    for row in (0, 1, 999, 1_000, 1_499):  # around the blocks
        expected = [
            slow_pnl(leg, MOVES[row, UNDERLYING[leg]], VOL_MOVES[row, UNDERLYING[leg]], elapsed)
            for leg in range(5)
        ]
        assert found.by_leg[row].tolist() == pytest.approx(expected, abs=1e-7)
        assert found.total[row] == pytest.approx(sum(expected), abs=1e-6)


def test_american_legs_are_priced_as_such_and_the_others_as_before() -> None:
    """R2.7, R2.10: only puts may pay early here, and only one of them is American."""
    american = np.array([False, True, True, True, False])
    pricer = option_pricer(OPTION, CALL, STRIKE, YEARS, 0.04, american=american)
    mixed = replace(legs(), price=pricer)
    found, plain = (
        scenario_pnl(mixed, MOVES[:5], VOL_MOVES[:5], DAY),
        scenario_pnl(legs(), MOVES[:5], VOL_MOVES[:5], DAY),
    )
    put = int(np.flatnonzero(american & OPTION & ~CALL)[0])
    others = [leg for leg in range(5) if leg != put]
    np.testing.assert_array_equal(found.by_leg[:, others], plain.by_leg[:, others])

    def price(row: int | None) -> float:
        spot, volatility, years = SPOT[0], VOL[put], YEARS[put]
        if row is not None:
            spot, volatility = spot * (1 + MOVES[row, 0]), volatility * (1 + VOL_MOVES[row, 0])
            years = max(years - DAY, 0.0)
        return float(american_price(False, spot, STRIKE[put], years, volatility, 0.04))

    for row in range(5):
        assert found.by_leg[row, put] == pytest.approx(POINTS[put] * (price(row) - price(None)), abs=1e-9)


def test_var_by_full_revaluation_is_that_of_the_pnl_and_sees_the_spread_expire() -> None:
    """R2.7: 0DTE legs are re-priced, to expiry; the loss of a spread is bounded by its width."""
    risk = full_revaluation(legs(), MOVES, VOL_MOVES, 0.99, DAY)
    assert risk == historical(scenario_pnl(legs(), MOVES, VOL_MOVES, DAY).total, 0.99)
    only = Legs(
        NAMES[:2],
        POINTS[:2],
        UNDERLYING[:2],
        SPOT,
        VOL[:2],
        option_pricer(True, False, STRIKE[:2], YEARS[:2], 0.04),
    )
    crash = np.array([[-0.2, -0.2]] * 100)
    credit = slow_price(0, 602, 0.14, 0) - slow_price(1, 602, 0.16, 0)
    assert full_revaluation(only, crash, None, 0.99, DAY).var == pytest.approx((5 - credit) * 1_000)


def test_legs_that_cannot_be_priced_are_named_and_left_out() -> None:
    unknown = VOL.copy()
    unknown[1] = math.nan
    found = scenario_pnl(legs(volatility=unknown), MOVES, VOL_MOVES)
    assert found.excluded == ("SPY 595 P long",)
    assert found.by_leg.shape == (1_500, 4)
    risk = full_revaluation(legs(volatility=unknown), MOVES, VOL_MOVES)
    assert risk.excluded == ("SPY 595 P long",)
    no_qqq = legs(spot=np.array([602.0, math.nan]))
    assert grid(no_qqq).excluded == ("QQQ",)
    with pytest.raises(InsufficientData, match="none of the 5 legs"):
        scenario_pnl(legs(spot=np.array([math.nan, math.nan])), MOVES)


def test_a_book_with_nothing_in_it_loses_nothing() -> None:
    nothing = Legs((), np.empty(0), np.empty(0, dtype=np.int64), np.empty(0), np.empty(0), lambda s, v, t: s)
    assert scenario_pnl(nothing, np.empty((30, 0))).total.tolist() == [0.0] * 30
    assert outcomes(nothing, [Scenario("crash", -0.2)])[0].pnl == 0.0


def test_the_grid_has_every_pair_of_shocks() -> None:
    """R2.9: stress testing."""
    table = grid(legs())
    assert table.pnl.shape == (15, 4)
    for i, shock in enumerate(table.spot_shocks):
        for j, factor in enumerate(table.volatility_factors):
            expected = sum(slow_pnl(leg, shock, factor - 1) for leg in range(5))
            assert table.pnl[i, j] == pytest.approx(expected, abs=1e-6)
    shock, factor, pnl = table.worst()
    assert pnl == table.pnl.min()
    assert (
        table.pnl[table.spot_shocks.index(shock), table.volatility_factors.index(factor)] == table.pnl.min()
    )
    assert table.pnl[7, 1] == pytest.approx(0, abs=1e-9)  # nothing moves, nothing is made


def test_betas_scale_the_shock_of_each_underlying() -> None:
    table = grid(legs(), (-0.05, -0.9), (1.0,), betas=[1.0, 1.2])
    expected = sum(slow_pnl(leg, -0.05, 0) for leg in range(4)) + slow_pnl(4, -0.06, 0)
    assert table.pnl[0, 0] == pytest.approx(expected, abs=1e-6)
    assert np.isfinite(table.pnl).all()  # 1.2 x -90 % stops at -100 %


def test_named_scenarios_say_which_leg_loses_most() -> None:
    found = outcomes(
        legs(),
        [
            Scenario("limit down", -0.07, 1.0),
            Scenario("quiet close", 0.0, 0.0, DAY),
            *days(["2025-04-04", "2025-04-09"], [[-0.06, -0.06], [0.1, 0.12]], [[0.5, 0.5], [-0.3, -0.3]]),
        ],
    )
    assert [o.name for o in found] == ["limit down", "quiet close", "2025-04-04", "2025-04-09"]
    assert found[0].worst_leg == "SPY 600 P short"
    assert found[0].pnl == pytest.approx(sum(slow_pnl(leg, -0.07, 1.0) for leg in range(5)), abs=1e-6)
    assert found[1].worst_leg == "SPY 595 P long"  # the bought leg decays
    assert found[3].pnl == pytest.approx(
        sum(slow_pnl(leg, (0.1, 0.12)[UNDERLYING[leg]], -0.3) for leg in range(5)), abs=1e-6
    )
    shares = Legs(("SPY",), np.ones(1), np.zeros(1, dtype=np.int64), SPOT, np.zeros(1), lambda s, v, t: s)
    assert outcomes(shares, [Scenario("up", 0.1)])[0].worst_leg is None


def test_gap_to_prior_close_and_pin_at_the_short_strike() -> None:
    gap = to_levels(legs(), "gap to prior close", [590.0, 525.0])
    assert gap.spot == pytest.approx([590 / 602 - 1, 525 / 520 - 1])
    pin = to_levels(legs(), "pin SPY 600", [600.0, math.nan], DAY)
    assert pin.spot == pytest.approx([600 / 602 - 1, 0.0])
    pnl = outcomes(legs(), [pin])[0].pnl
    expected = sum(slow_pnl(leg, 600 / 602 - 1, 0, DAY) for leg in range(4))
    assert pnl == pytest.approx(expected, abs=1e-6)


def test_a_spot_of_nothing_has_no_relative_move_to_a_level() -> None:
    """R2.9: one bad price must not end the whole sweep."""
    gap = to_levels(replace(legs(), spot=np.array([0.0, 525.0])), "gap to prior close", [590.0, 500.0])
    assert gap.spot == [0.0, pytest.approx(500 / 525 - 1)]


def test_correlation_to_one() -> None:
    found = correlation_to_one([100.0, -50.0], [0.01, 0.02], np.eye(2))
    assert found.now == pytest.approx(math.sqrt(2))
    assert (found.one, found.against) == (pytest.approx(0), pytest.approx(2))
    assert correlation_to_one([], [], np.empty((0, 0))).against == 0
    with pytest.raises(Rejected):
        correlation_to_one([1.0], [math.nan], [[1.0]])
    with pytest.raises(Rejected):
        correlation_to_one([1.0], [-1.0], [[1.0]])


def test_bad_shapes_and_moves_are_refused() -> None:
    with pytest.raises(Rejected, match="for 2 underlyings"):
        scenario_pnl(legs(), MOVES[:, :1])
    with pytest.raises(Rejected, match="for 2 underlyings"):
        scenario_pnl(legs(), MOVES, VOL_MOVES[:3])
    with pytest.raises(Rejected, match="number 1 of column 2 was nan"):
        scenario_pnl(legs(), [[0.0, math.nan]])
    with pytest.raises(Rejected, match="below -100 %"):
        scenario_pnl(legs(), [[0.0, -1.1]])
    with pytest.raises(Rejected, match="not among"):
        Legs(("A",), np.ones(1), np.array([1]), np.ones(1), np.ones(1), lambda s, v, t: s)
    with pytest.raises(Rejected, match="1 elements"):
        Legs(("A",), np.ones(2), np.array([0]), np.ones(1), np.ones(1), lambda s, v, t: s)
    with pytest.raises(Rejected, match="money per point"):
        Legs(("A",), np.array([math.nan]), np.array([0]), np.ones(1), np.ones(1), lambda s, v, t: s)
    with pytest.raises(Rejected, match="2 days"):
        days(["a", "b"], [[0.0]], [[0.0]])
    for call in (lambda: grid(legs(), betas=[1.0]), lambda: to_levels(legs(), "x", [1.0])):
        with pytest.raises(Rejected, match="for 2 underlyings"):
            call()
