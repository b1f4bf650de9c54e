"""Stress: what today's legs make or lose if the market moves by so much.

Pure functions on `revaluation.Legs`. Moves are relative (-0.05 is -5 %), P&L is money, positive when money is
made. Legs that cannot be priced are left out and named. Shapes: u underlyings, m legs.
NaN: as in `revaluation`. Source: Basel Committee, Principles for sound stress testing practices and supervision, 2009.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stopline.model.errors import Rejected
from stopline.risk.returns import FloatArray, return_matrix, series
from stopline.risk.revaluation import Legs, scenario_pnl

SPOT_SHOCKS = (-0.20, -0.10, -0.07, -0.05, -0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.10, 0.20)
VOLATILITY_FACTORS = (0.75, 1.0, 1.5, 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """P&L of every pair of shocks."""

    spot_shocks: tuple[float, ...]
    volatility_factors: tuple[float, ...]
    pnl: FloatArray  # (spot shocks, volatility factors)
    excluded: tuple[str, ...]

    def worst(self) -> tuple[float, float, float]:
        """Return (spot shock, volatility factor, P&L) of the lowest P&L, the first of equals."""
        row, column = np.unravel_index(int(np.argmin(self.pnl)), self.pnl.shape)
        return (
            self.spot_shocks[row],
            self.volatility_factors[column],
            float(self.pnl[row, column]),
        )


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named scenario: one move for all underlyings, or one for each of u."""

    name: str
    spot: float | Sequence[float]
    volatility: float | Sequence[float] = 0.0
    years: float = 0.0  # that pass: time to the close, to expiry


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario makes or loses."""

    name: str
    pnl: float
    worst_leg: str | None  # that loses most; None where no leg loses
    worst_leg_pnl: float
    excluded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """The deviation of a book, per period, under three beliefs about correlation. Money."""

    now: float  # with the correlations that were given
    one: float  # every correlation 1: long and short cancel
    against: float  # everything moves against its position: hedges fail too


def grid(
    legs: Legs,
    spot_shocks: Sequence[float] = SPOT_SHOCKS,
    volatility_factors: Sequence[float] = VOLATILITY_FACTORS,
    betas: npt.ArrayLike | None = None,
    elapsed: float = 0.0,
) -> Grid:
    """Return the P&L of every spot shock with every volatility factor (1.5: volatilities half as high again).

    `betas` (u,): each underlying moves by its beta x the shock, and not below -100 %. NaN is Rejected.
    """
    shocks = series(spot_shocks, what="spot shocks")
    factors = series(volatility_factors, what="volatility factors")
    weights = np.ones(len(legs.spot)) if betas is None else series(betas, 0, "betas")
    if weights.size != len(legs.spot):
        raise Rejected("BAD_SHAPE", f"{weights.size} betas for {len(legs.spot)} underlyings")
    spot = np.maximum(np.repeat(shocks, factors.size)[:, None] * weights, -1.0)
    volatility = np.broadcast_to(np.tile(factors - 1.0, shocks.size)[:, None], spot.shape)
    result = scenario_pnl(legs, spot, volatility, elapsed)
    return Grid(
        tuple(shocks.tolist()),
        tuple(factors.tolist()),
        result.total.reshape(shocks.size, factors.size),
        result.excluded,
    )


def outcomes(legs: Legs, scenarios: Sequence[Scenario]) -> list[Outcome]:
    """Return what each scenario makes or loses, in their order. NaN and moves below -100 % are Rejected."""
    return [_outcome(legs, scenario) for scenario in scenarios]


def days(names: Sequence[str], spot_moves: npt.ArrayLike, volatility_moves: npt.ArrayLike) -> list[Scenario]:
    """Return historical days, by name, as scenarios; moves of shape (s, u) from data that the user loads."""
    spots, volatilities = return_matrix(spot_moves), return_matrix(volatility_moves)
    if spots.shape != volatilities.shape or len(spots) != len(names):
        raise Rejected("BAD_SHAPE", f"{len(names)} days with moves of {spots.shape} and {volatilities.shape}")
    return [
        Scenario(name, spot, volatility)
        for name, spot, volatility in zip(names, spots.tolist(), volatilities.tolist(), strict=True)
    ]


def to_levels(legs: Legs, name: str, levels: npt.ArrayLike, years: float = 0.0) -> Scenario:
    """Return the scenario in which each underlying goes to a level, shape (u,); NaN: it stays where it is, and so does
    a spot of 0, from where no relative move leads anywhere.

    The gap to the prior close takes the prior closes; a pin takes the short strike of one underlying, NaN for the
    others, and the years to expiry.
    """
    target = np.asarray(levels, dtype=np.float64)
    if target.shape != (len(legs.spot),):
        raise Rejected("BAD_SHAPE", f"levels of {target.shape} for {len(legs.spot)} underlyings")
    stays = np.isnan(target) | ~(legs.spot > 0.0)
    moves = np.where(stays, 0.0, np.where(stays, 1.0, target) / np.where(stays, 1.0, legs.spot) - 1.0)
    return Scenario(name, moves.tolist(), 0.0, years)


def correlation_to_one(
    exposures: npt.ArrayLike, deviations: npt.ArrayLike, correlations: npt.ArrayLike
) -> Together:
    """Return the deviation of a book when diversification goes away.

    `exposures` (k,) signed money, `deviations` (k,) per period, `correlations` (k, k). now sqrt(y' R y) with
    y = x s; one |sum y|; against sum |y|, which is the most that any correlations can give. NaN is Rejected.
    """
    x, s = series(exposures, 0, "exposures"), series(deviations, 0, "deviations")
    table = np.asarray(correlations, dtype=np.float64)
    if x.size != s.size or table.shape != (x.size, x.size):
        raise Rejected("BAD_SHAPE", f"{x.size} exposures, {s.size} deviations, correlations of {table.shape}")
    if not np.isfinite(table).all() or (s < 0).any():
        raise Rejected("NOT_A_NUMBER", "correlations must be finite and deviations not below 0")
    y = x * s
    variance = float(y @ table @ y)
    return Together(max(variance, 0.0) ** 0.5, abs(float(y.sum())), float(np.abs(y).sum()))


def _outcome(legs: Legs, scenario: Scenario) -> Outcome:
    shape = (1, len(legs.spot))
    spot, volatility = (
        np.broadcast_to(np.asarray(move, dtype=np.float64), shape)
        for move in (scenario.spot, scenario.volatility)
    )
    result = scenario_pnl(legs, spot, volatility, scenario.years)
    by_leg = result.by_leg[0]
    lowest = int(np.argmin(by_leg)) if by_leg.size else -1
    loses = lowest >= 0 and by_leg[lowest] < 0
    return Outcome(
        scenario.name,
        float(result.total[0]),
        result.names[lowest] if loses else None,
        float(by_leg[lowest]) if loses else 0.0,
        result.excluded,
    )
