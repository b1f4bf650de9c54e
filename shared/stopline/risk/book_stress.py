"""Stress of one book: the grid, named moves, days of the past, and what happens if everything moves together.

Pure numbers as in `book_risk`. Scenarios move every spot of the book alike, by its beta where an index is known.
Shapes, money, and NaN for what is UNKNOWN as there, spot moves relative (0.01 is +1 %). Source: Basel Committee,
Principles for sound stress testing practices and supervision, 2009, for what a set of scenarios should hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from stopline.model.errors import InsufficientData
from stopline.risk.book_risk import LOWEST, Book
from stopline.risk.correlation import shrunk_correlation
from stopline.risk.factors import Moves
from stopline.risk.returns import FloatArray
from stopline.risk.revaluation import scenario_pnl
from stopline.risk.stress import Grid, Scenario, Together, correlation_to_one, grid, to_levels

NEAR = 0.05  # of spot: what `nearest_worst` looks at
NEAR_VOLATILITY = 1.5
LIMIT_DOWN = Scenario("limit down, volatility doubled", -0.07, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """One scenario played: P&L in all and by leg, in the order of the book's legs; NaN: the leg is left out."""

    name: str
    pnl: float
    by_leg: FloatArray  # (m,)
    spots: FloatArray  # (u,) relative moves


def beta_weights(book: Book, betas: Mapping[str, float]) -> list[float] | None:
    """Return the beta of every spot; None where one is not known: then all move alike."""
    known = [betas[symbol] for symbol in book.symbols if symbol in betas]
    return known if len(known) == len(book.symbols) else None


def grid_point(
    book: Book, betas: Mapping[str, float], name: str, point: tuple[float, float, float]
) -> Scenario:
    """Return a point of the grid (spot shock, volatility factor, P&L) as a scenario, to be played leg by leg."""
    weights = beta_weights(book, betas) or [1.0] * len(book.symbols)
    label = f"{name}: spot {point[0]:+.0%}, volatility x{point[1]:g}"
    return Scenario(label, [max(point[0] * weight, -1.0) for weight in weights], point[1] - 1.0)


def spot_grid(book: Book, betas: Mapping[str, float]) -> Grid | None:
    """Return the P&L of spot shocks x volatility factors; None where no leg can be priced.

    With betas of all symbols each moves by its beta x the shock, else by the shock itself.
    """
    weights = beta_weights(book, betas)
    try:
        return grid(book.legs, betas=weights)
    except InsufficientData:
        return None


def nearest_worst(table: Grid) -> tuple[float, float, float]:
    """Return (spot shock, volatility factor, P&L) of the worst within 5 % of spot and half as much volatility again."""
    rows = [place for place, shock in enumerate(table.spot_shocks) if abs(shock) <= NEAR]
    columns = [place for place, factor in enumerate(table.volatility_factors) if factor <= NEAR_VOLATILITY]
    near = table.pnl[np.ix_(rows, columns)]
    row, column = np.unravel_index(int(np.argmin(near)), near.shape)
    return table.spot_shocks[rows[row]], table.volatility_factors[columns[column]], float(near[row, column])


def spot_scenarios(shocks: Sequence[float] = (-0.10, -0.05, -0.02, 0.02, 0.05, 0.10)) -> list[Scenario]:
    """Return plain moves of every spot, by name."""
    return [Scenario(f"spot {shock:+.0%}", shock) for shock in shocks] + [LIMIT_DOWN]


def past_days(book: Book, days: Mapping[str, Mapping[str, float]], volatility: str | None) -> list[Scenario]:
    """Return days of the past as scenarios. A symbol without a move that day stays where it is, which its name tells."""
    result = []
    for name, moves in days.items():
        known = [symbol for symbol in set(book.symbols) if symbol in moves]
        if not known:
            continue
        by_volatility = max(moves.get(volatility or "", 0.0), LOWEST)
        spots = [moves.get(symbol, 0.0) for symbol in book.symbols]
        result.append(Scenario(_without(name, book, known), spots, by_volatility))
    return result


def _without(name: str, book: Book, known: Sequence[str]) -> str:
    """Return the name of a scenario that says of how many symbols it knows nothing."""
    symbols = len(set(book.symbols))
    missing = symbols - len(known)
    return f"{name} (without {missing} of {symbols} symbols)" if missing else name


def sessions_of(moves: Moves, rows: Sequence[int]) -> dict[str, dict[str, float]]:
    """Return sessions of the moves as days: {date: {symbol: move}}."""
    return {
        f"{moves.sessions[row].isoformat()}": dict(
            zip(moves.symbols, moves.returns[row].tolist(), strict=True)
        )
        for row in rows
    }


def gaps(book: Book, closes: Mapping[str, float]) -> list[Scenario]:
    """Return the gap back to the prior closes. A symbol without one stays where it is, which its name tells; without any
    close there is none.
    """
    known = [symbol for symbol in set(book.symbols) if symbol in closes]
    if not known:
        return []
    levels = [closes.get(symbol, np.nan) for symbol in book.symbols]
    return [to_levels(book.legs, _without("gap to the prior close", book, known), levels)]


def pins(book: Book, shorts: Mapping[str, Sequence[tuple[date, float, float]]]) -> list[Scenario]:
    """Return for each underlying the pin at its short strike nearest to the spot: there at the expiry.

    `shorts`: (expiry, strike, years to it) of the options that are short, by underlying; the first expiry counts.
    """
    result = []
    for underlying, options in sorted(shorts.items()):
        if underlying not in book.symbols:
            continue
        row = book.symbols.index(underlying)
        spot = book.legs.spot[row]
        if not np.isfinite(spot):
            continue
        first = min(expiry for expiry, _, _ in options)
        _, strike, years = min(
            (one for one in options if one[0] == first), key=lambda one: (abs(one[1] - spot), one[1])
        )
        levels = np.full(len(book.symbols), np.nan)
        levels[row] = strike
        result.append(to_levels(book.legs, f"{underlying} pins at {strike:g} on {first}", levels, years))
    return result


def play(book: Book, scenarios: Sequence[Scenario]) -> list[Played]:
    """Return what every scenario makes or loses, and each leg in it. None can be priced: InsufficientData."""
    places = {name: place for place, name in enumerate(book.legs.names)}
    result = []
    for scenario in scenarios:
        shape = (1, len(book.legs.spot))
        spot, volatility = (
            np.maximum(np.broadcast_to(np.asarray(move, dtype=np.float64), shape), low)
            for move, low in ((scenario.spot, -1.0), (scenario.volatility, LOWEST))
        )
        found = scenario_pnl(book.legs, spot, volatility, scenario.years)
        by_leg = np.full(len(places), np.nan)
        by_leg[[places[name] for name in found.names]] = found.by_leg[0]
        result.append(Played(scenario.name, float(found.total[0]), by_leg, spot[0]))
    return result


def together(deltas: Mapping[str, float], moves: Moves) -> Together:
    """Return the daily deviation of the net deltas (money by symbol) now, all correlations one, and all against.

    Correlations are shrunk (Ledoit-Wolf). Symbols without moves: InsufficientData.
    """
    symbols = [symbol for symbol, delta in deltas.items() if delta]
    missing = [symbol for symbol in symbols if symbol not in moves.symbols]
    if missing or not symbols:
        raise InsufficientData(f"correlation: no history of {', '.join(missing) or 'any symbol'}")
    table = np.column_stack([moves.column(symbol) for symbol in symbols])
    if len(table) < 3:
        raise InsufficientData(f"correlation needs 3 sessions, and there were {len(table)}")
    spread = table.std(axis=0, ddof=1)
    correlations = np.ones((1, 1)) if len(symbols) == 1 else shrunk_correlation(table).matrix
    return correlation_to_one([deltas[symbol] for symbol in symbols], spread, correlations)
