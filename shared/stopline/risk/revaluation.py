"""Full revaluation: today's legs priced again under joint moves of their underlyings and volatilities.

Shapes: m legs on u underlyings, s scenarios. Moves are relative: 0.01 is +1 % of the spot, or of the implied
volatility (20 % becomes 20.2 %). P&L is in money, positive when money is made.
NaN is a price that is UNKNOWN. Source: Jorion, Value at risk, on full valuation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stopline.model.errors import InsufficientData, Rejected
from stopline.risk.american import american_price, pays_early
from stopline.risk.options import black_scholes_price
from stopline.risk.returns import FloatArray, return_matrix
from stopline.risk.var import TailRisk, historical

IntArray = npt.NDArray[np.int64]
# (spots (s, m), volatilities (s, m), years that have passed) -> prices (s, m); NaN: this leg cannot be priced.
Pricer = Callable[[FloatArray, FloatArray, float], FloatArray]

BLOCK = 32_768  # prices at a time: their arrays stay near the core, and calls are few


@dataclass(frozen=True, slots=True, eq=False)
class Legs:
    """Positions as arrays. A leg whose spot, volatility or price is NaN is left out, by name, never counted as 0."""

    names: Sequence[str]  # m
    money_per_point: FloatArray  # (m,) signed quantity x multiplier, in the account's currency
    underlying: IntArray  # (m,) row of each leg's underlying in `spot`
    spot: FloatArray  # (u,)
    volatility: FloatArray  # (m,) implied, a part of 1 a year; not read for legs that are not options
    price: Pricer

    def __post_init__(self) -> None:
        m = len(self.names)
        if not m == len(self.money_per_point) == len(self.underlying) == len(self.volatility):
            raise Rejected("BAD_SHAPE", f"the arrays of {m} legs must all have {m} elements")
        if m and not 0 <= self.underlying.min() <= self.underlying.max() < len(self.spot):
            raise Rejected("BAD_SHAPE", f"a leg's underlying is not among the {len(self.spot)}")
        if not np.isfinite(self.money_per_point).all():
            raise Rejected("NOT_A_NUMBER", "money per point must be finite")


@dataclass(frozen=True, slots=True, eq=False)
class ScenarioPnl:
    """P&L of every scenario: in total, and by the legs that could be priced."""

    total: FloatArray  # (s,)
    by_leg: FloatArray  # (s, priced legs)
    names: tuple[str, ...]  # of the priced legs
    excluded: tuple[str, ...]  # legs without a price now or in any scenario


def option_pricer(
    is_option: npt.ArrayLike,
    is_call: npt.ArrayLike,
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
    dividend_yield: npt.ArrayLike = 0.0,
    inverse: npt.ArrayLike = False,
    american: npt.ArrayLike = False,
) -> Pricer:
    """Return a pricer of m legs: options by Black-Scholes-Merton, or where they are `american` and early exercise may pay
    by Ju and Zhong; inverse contracts at -1 / spot, all others at their spot.

    All inputs are scalars or of shape (m,), in the units of `options.black_scholes`; what is said of legs that
    are no options is not read. An option whose time has passed is worth its intrinsic value: 0DTE legs are
    re-priced, to expiry and beyond, never proxied.
    """
    given = np.broadcast_arrays(
        np.atleast_1d(is_option), is_call, strike, years, rate, dividend_yield, inverse, american
    )
    turned = np.flatnonzero(given[6])
    sooner = given[7] & given[0] & pays_early(given[1], given[4], given[5])
    where, early = np.flatnonzero(given[0] & ~sooner), np.flatnonzero(sooner)
    call, strikes, left, rates, yields = (terms[where] for terms in given[1:6])
    early_terms = [terms[early] for terms in given[1:6]]

    def price(spot: FloatArray, volatility: FloatArray, elapsed: float) -> FloatArray:
        remaining = np.maximum(left - elapsed, 0.0)
        if where.size == given[0].size:
            return black_scholes_price(call, spot, strikes, remaining, volatility, rates, yields)
        result = spot.copy()
        if turned.size:
            with np.errstate(divide="ignore"):
                result[:, turned] = -1.0 / spot[:, turned]
        if where.size:
            result[:, where] = black_scholes_price(
                call, spot[:, where], strikes, remaining, volatility[:, where], rates, yields
            )
        if early.size:
            own, at, until, interest, paid = early_terms
            until = np.maximum(until - elapsed, 0.0)
            result[:, early] = american_price(
                own, spot[:, early], at, until, volatility[:, early], interest, paid
            )
        return result

    return price


def scenario_pnl(
    legs: Legs, spot_moves: npt.ArrayLike, volatility_moves: npt.ArrayLike | None = None, elapsed: float = 0.0
) -> ScenarioPnl:
    """Return money per point x (price after the moves - price now), for every leg and scenario.

    Moves have the shape (s, u), relative, >= -1; NaN in them is Rejected: cut or fill history first. No
    volatility moves: volatilities stay. `elapsed` years pass in every scenario, so their time value is in the
    P&L. Both prices come from the same model: an error in the level cancels. No legs: zeros.
    """
    if not legs.names:
        none = np.zeros((len(np.asarray(spot_moves)), 0))
        return ScenarioPnl(none.sum(axis=1), none, (), ())
    spots = return_matrix(spot_moves)
    moved = np.zeros((1, spots.shape[1])) if volatility_moves is None else return_matrix(volatility_moves)
    if spots.shape[1] != len(legs.spot) or (volatility_moves is not None and moved.shape != spots.shape):
        raise Rejected(
            "BAD_SHAPE",
            f"moves of {spots.shape} and {moved.shape} for {len(legs.spot)} underlyings",
        )
    now = legs.price(legs.spot[None, legs.underlying], legs.volatility[None, :], 0.0)
    by_leg = np.empty((len(spots), len(legs.names)))
    step = max(1, BLOCK // len(legs.names))
    for start in range(0, len(spots), step):
        rows = slice(start, start + step)
        spot = ((1.0 + spots[rows]) * legs.spot)[:, legs.underlying]
        factor = (1.0 + (moved if volatility_moves is None else moved[rows]))[:, legs.underlying]
        volatility = np.broadcast_to(np.multiply(factor, legs.volatility, out=factor), spot.shape)
        np.subtract(legs.price(spot, volatility, elapsed), now, out=by_leg[rows])
        by_leg[rows] *= legs.money_per_point
    total = by_leg.sum(axis=1)
    if np.isfinite(total).all():
        return ScenarioPnl(total, by_leg, tuple(legs.names), ())
    priced = [bool(np.isfinite(column).all()) for column in by_leg.T]
    if not any(priced):
        raise InsufficientData(f"none of the {len(priced)} legs could be priced")
    kept = by_leg[:, np.flatnonzero(priced)]
    return ScenarioPnl(
        kept.sum(axis=1),
        kept,
        tuple(name for name, good in zip(legs.names, priced, strict=True) if good),
        tuple(name for name, good in zip(legs.names, priced, strict=True) if not good),
    )


def full_revaluation(
    legs: Legs,
    spot_moves: npt.ArrayLike,
    volatility_moves: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    elapsed: float = 0.0,
) -> TailRisk:
    """Return the historical VaR and ES of legs under historical joint moves, as `scenario_pnl` and `historical`.

    Moves of a longer horizon: give the moves over it (overlapping ones share days) and its `elapsed` years.
    """
    pnl = scenario_pnl(legs, spot_moves, volatility_moves, elapsed)
    return historical(pnl.total, confidence).without(pnl.excluded)
