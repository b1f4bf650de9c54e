"""Greeks of positions in money, and their sums by group: one pass over the columns of many accounts.

Shapes: n positions, r of them asked for. Money is in each instrument's currency until `factor` turns it into the
account's. Signs are those of the position: a short call has a negative delta. NaN is UNKNOWN: without a price, a
spot or a volatility, everything that hangs on it is NaN, and so is every sum that it is part of.

Options are European (Black-Scholes-Merton) but where exercise may be early and may pay: these by `american` (Ju and
Zhong).
Source: Hull, "Options, Futures, and Other Derivatives", chapter 19; money units as brokers show them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from stopline.model.instrument import Instrument, Kind
from stopline.risk.american import american, american_volatility, pays_early
from stopline.risk.columns import Columns
from stopline.risk.implied_vol import IvStatus, implied_volatility
from stopline.risk.options import DAYS_PER_YEAR, black_scholes
from stopline.risk.returns import FloatArray

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Expiry = Callable[[str, Instrument], datetime | None]
"""Given the account's name and an option, the moment from which it is worth its intrinsic value; None: unknown."""

Style = Callable[[str, Instrument], bool]
"""Given the account's name and an option, whether it may be exercised before it expires."""

YEAR_S = DAYS_PER_YEAR * 86_400.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What does not change from batch to batch: the terms of n positions, option or not."""

    is_option: BoolArray
    is_call: BoolArray
    strike: FloatArray  # NaN where it is no option
    expires: FloatArray  # seconds since 1970, UTC; NaN where it is no option
    money_per_point: FloatArray  # signed quantity x multiplier
    inverse: BoolArray
    underlyings: Sequence[str]  # u of them
    underlying_rows: IntArray  # (n,) row of each position's underlying in `underlyings`
    american: BoolArray  # may be exercised before it expires


@dataclass(frozen=True, slots=True)
class PositionGreeks:
    """Greeks of r positions, each of shape (r,)."""

    volatility: FloatArray  # implied, a year; NaN where it is no option or not known
    units: FloatArray  # of the underlying
    delta: FloatArray  # money: units x price of the underlying
    gamma: FloatArray  # money: change of delta by +1 %, at the price now
    theta: FloatArray  # money per calendar day
    vega: FloatArray  # money per 1 %

    def in_money(self, factor: FloatArray) -> FloatArray:
        """Return (delta, gamma, theta, vega) x the rates into the account's currency, shape (4, r)."""
        return np.array([self.delta, self.gamma, self.theta, self.vega]) * factor


def _european(_account: str, _contract: Instrument) -> bool:
    return False


def terms(columns: Columns, expiry: Expiry, american: Style = _european) -> Terms:
    """Lay out the terms of the positions of `columns`."""
    contracts = [position.instrument for position in columns.positions]
    owners = [name for name, rows in columns.slices.items() for _ in range(rows.start, rows.stop)]
    owned = list(zip(owners, contracts, strict=True))
    rows: dict[str, int] = {}
    underlying_rows = [rows.setdefault(contract.underlying, len(rows)) for contract in contracts]
    return Terms(
        np.array([contract.kind is Kind.OPTION for contract in contracts], dtype=np.bool_),
        np.array([contract.right == "C" for contract in contracts], dtype=np.bool_),
        np.array([float(c.strike) if c.strike is not None else np.nan for c in contracts], dtype=np.float64),
        np.array([_seconds(expiry(o, c)) if c.kind is Kind.OPTION else np.nan for o, c in owned], np.float64),
        columns.money_per_point,
        columns.inverse,
        list(rows),
        np.array(underlying_rows, dtype=np.int64),
        np.array([c.kind is Kind.OPTION and american(o, c) for o, c in owned], dtype=np.bool_),
    )


def _seconds(moment: datetime | None) -> float:
    return np.nan if moment is None else moment.timestamp()


def years_left(table: Terms, rows: IntArray, now: datetime) -> FloatArray:
    """Return the years of 365 days to expiry of some positions, not below 0; NaN where it is no option."""
    return np.asarray(np.maximum(table.expires[rows] - now.timestamp(), 0.0) / YEAR_S, dtype=np.float64)


def early(table: Terms, rows: IntArray, rate: npt.ArrayLike, dividend: npt.ArrayLike) -> BoolArray:
    """Tell of some positions whether early exercise is possible and may pay, shape (r,)."""
    return table.american[rows] & pays_early(table.is_call[rows], rate, dividend)


def volatilities(
    table: Terms,
    rows: IntArray,
    price: FloatArray,
    ask: FloatArray,
    spot: FloatArray,
    quoted: FloatArray,
    now: datetime,
    rate: npt.ArrayLike = 0.0,
    dividend: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Return implied volatilities, shape (r,): the feed's where it gives one, else solved from the price.

    A price without time value has volatility 0: nothing of the option but its intrinsic value is left. So has a
    middle below the intrinsic value whose ask is not: the quote allows it. Otherwise a price that no volatility
    gives (below the intrinsic value, above the maximum) is NaN. At expiry it is 0. The intrinsic value is that of the
    discounted forward, or of exercise now where that is possible and more. `rate` and `dividend`: scalars or (r,).
    """
    result = np.where(quoted > 0.0, quoted, np.nan)
    result[~table.is_option[rows]] = np.nan
    years = years_left(table, rows, now)
    result[years == 0.0] = 0.0
    todo = np.flatnonzero(table.is_option[rows] & np.isnan(result))
    if not todo.size:
        return result
    at = rows[todo]
    strike, call, left = table.strike[at], table.is_call[at], years[todo]
    rates, yields = _each(rate, rows)[todo], _each(dividend, rows)[todo]
    found = implied_volatility(call, price[todo], spot[todo], strike, left, rates, yields)
    solved, status = found.value.copy(), found.status.copy()
    forward = spot[todo] * np.exp(-yields * left) - strike * np.exp(-rates * left)
    intrinsic = np.maximum(np.where(call, forward, -forward), 0.0)
    sooner = np.flatnonzero(early(table, at, rates, yields))
    if sooner.size:
        terms_of = (call, price[todo], spot[todo], strike, left, rates, yields)
        again = american_volatility(*(term[sooner] for term in terms_of))
        solved[sooner], status[sooner] = again.value, again.status
        at_once = np.where(call, spot[todo] - strike, strike - spot[todo])
        intrinsic[sooner] = np.maximum(intrinsic, at_once)[sooner]
    bare = (status == IvStatus.AT_INTRINSIC) | (
        (status == IvStatus.BELOW_INTRINSIC) & (ask[todo] >= intrinsic)
    )
    result[todo] = np.where(bare, 0.0, solved)
    return result


def position_greeks(
    table: Terms,
    rows: IntArray,
    price: FloatArray,
    spot: FloatArray,
    volatility: FloatArray,
    now: datetime,
    rate: npt.ArrayLike = 0.0,
    dividend: npt.ArrayLike = 0.0,
) -> PositionGreeks:
    """Return the Greeks of the positions in `rows`, shape (r,), at marks, spots and volatilities of shape (r,), and rates
    and dividend yields of shape (r,) or one for all.

    What is no option has its own price as its spot: a share's delta is its value; an inverse contract is worth
    -m / price, so its delta is m / price and its gamma -2 m / price / 100. Their theta and vega are 0.
    """
    points = table.money_per_point[rows]
    at = np.where(price > 0.0, price, np.nan)
    inverse = table.inverse[rows]
    with np.errstate(invalid="ignore"):
        units = np.where(inverse, points / at / at, np.where(np.isnan(price), np.nan, points))
        delta = np.where(inverse, points / at, points * price)
        gamma = np.where(inverse, -2.0 * points / at, np.where(np.isnan(price), np.nan, 0.0)) * 0.01
    theta = np.where(np.isnan(price), np.nan, 0.0)
    vega = theta.copy()
    some = np.flatnonzero(table.is_option[rows])
    if some.size:
        where = rows[some]
        given = [
            table.is_call[where],
            spot[some],
            table.strike[where],
            years_left(table, where, now),
            volatility[some],
            _each(rate, rows)[some],
            _each(dividend, rows)[some],
        ]
        greeks = black_scholes(*given)
        sooner = np.flatnonzero(early(table, where, given[5], given[6]))
        if sooner.size:
            better = american(*(term[sooner] for term in given))
            for name in ("delta", "gamma", "theta", "vega"):
                getattr(greeks, name)[sooner] = getattr(better, name)
        held, money = points[some], spot[some] * points[some]
        units[some] = greeks.delta * held
        delta[some] = greeks.delta * money
        gamma[some] = greeks.gamma * spot[some] * money * 0.01
        theta[some] = greeks.theta * held
        vega[some] = greeks.vega * held
    return PositionGreeks(volatility, units, delta, gamma, theta, vega)


def _each(values: npt.ArrayLike, rows: IntArray) -> FloatArray:
    return np.broadcast_to(np.asarray(values, dtype=np.float64), rows.shape)


def summed(values: FloatArray, groups: IntArray, count: int) -> FloatArray:
    """Return the sums of values (k, r) by group, shape (k, count); `groups` (r,) says which. NaN spreads."""
    return np.array([np.bincount(groups, weights=row, minlength=count) for row in values])
