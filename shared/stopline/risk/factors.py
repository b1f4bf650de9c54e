"""Daily returns of many symbols on the sessions of one calendar, and the joint moves that are complete among them.

Shapes: n sessions, k symbols. Returns are simple, close to close, relative (0.01 is 1 %) per session, NaN where one of
two consecutive closes is missing: a gap is never bridged, because a return over two days is not one of a day.
Source: Hull, "Options, Futures, and Other Derivatives", on historical simulation; and by function.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from stopline.model.errors import InsufficientData
from stopline.risk.correlation import beta, covariance
from stopline.risk.returns import FloatArray
from stopline.risk.volatility import DECAY, WARM_UP, ewma_deviation

LEAST_BETA = 20


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """Joint moves without a hole. `excluded` symbols had too few; `dropped` sessions had a hole in one of the rest."""

    sessions: tuple[date, ...]  # m, oldest first
    symbols: tuple[str, ...]
    returns: FloatArray  # (m, symbols)
    excluded: tuple[str, ...]
    dropped: int

    def column(self, symbol: str) -> FloatArray:
        """Return the moves of one symbol, shape (m,)."""
        return self.returns[:, self.symbols.index(symbol)]


@dataclass(frozen=True, slots=True, eq=False)
class Covariance:
    """Covariance with n - 1, per session, of the joint moves of k symbols over the last `window` sessions.

    `n` sessions were whole; `dropped` had a hole in one of the symbols.
    """

    symbols: tuple[str, ...]
    matrix: FloatArray  # (k, k)
    window: int
    n: int
    dropped: int


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Returns of one calendar. `days` are sessions that accounts name, however old: {session: {symbol: return}}.

    `covariance`: worked out once for all readers; None in documents of before, and with fewer than 2 sessions.
    """

    calendar: str
    sessions: tuple[date, ...]  # n, oldest first
    symbols: tuple[str, ...]  # k
    returns: FloatArray  # (n, k)
    days: Mapping[date, Mapping[str, float]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()  # symbols for which there was no room
    covariance: Covariance | None = None

    def moves(self, symbols: Sequence[str], window: int) -> Moves:
        """Return the joint moves of symbols over the last `window` sessions that are whole.

        A symbol with returns for less than half of these sessions is left out, by name, so that a new one does not
        shorten the sample of all others. A session with a hole in one of the rest is dropped. Nothing left: m = 0.
        """
        recent = self.returns[-window:]
        places = {symbol: place for place, symbol in enumerate(self.symbols)}
        known = [s for s in dict.fromkeys(symbols) if s in places]
        kept = [s for s in known if 2 * int(np.isfinite(recent[:, places[s]]).sum()) >= len(recent) > 0]
        table = recent[:, [places[s] for s in kept]]
        whole = np.asarray(np.isfinite(table).all(axis=1) if kept else np.zeros(len(recent), dtype=np.bool_))
        return Moves(
            tuple(s for s, good in zip(self.sessions[-window:], whole, strict=True) if good),
            tuple(kept),
            table[whole],
            tuple(s for s in dict.fromkeys(symbols) if s not in kept),
            int(len(recent) - whole.sum()),
        )

    def betas(self, index: str, window: int) -> dict[str, float]:
        """Return the beta of every symbol to an index over the sessions that both have; 20 at least, else none."""
        if index not in self.symbols:
            return {}
        table = self.returns[-window:]
        market = table[:, self.symbols.index(index)]
        result = {index: 1.0}
        for symbol, column in zip(self.symbols, table.T, strict=True):
            both = np.isfinite(column) & np.isfinite(market)
            if symbol != index and both.sum() >= LEAST_BETA:
                try:
                    result[symbol] = beta(column[both], market[both])
                except InsufficientData:  # a flat index has no betas
                    continue
        return result


def factors_of(
    calendar: str,
    closes: Mapping[tuple[str, date], float],
    symbols: Sequence[str],
    newest: date,
    window: int,
    previous: Callable[[date], date],
    days: Sequence[date] = (),
    left_out: Sequence[str] = (),
) -> Factors:
    """Work out returns from closes by (symbol, session), for the `window` sessions up to `newest`.

    `previous` gives the session before one. Symbols without a single return are left out of the table. A close that
    is not above 0 counts as missing.
    """
    sessions = [newest]
    while len(sessions) < window:
        sessions.append(previous(sessions[-1]))
    sessions.reverse()

    def change(symbol: str, session: date) -> float:
        now, before = closes.get((symbol, session), np.nan), closes.get((symbol, previous(session)), np.nan)
        return now / before - 1.0 if now > 0.0 and before > 0.0 else np.nan

    table = np.array([[change(symbol, session) for symbol in symbols] for session in sessions])
    table = table.reshape(len(sessions), len(symbols))
    found = np.isfinite(table)
    kept = np.flatnonzero(found.any(axis=0))
    first = int(np.argmax(found.any(axis=1))) if kept.size else len(sessions)
    named = {day: {s: r for s in symbols if np.isfinite(r := change(s, day))} for day in sorted(set(days))}
    return Factors(
        calendar,
        tuple(sessions[first:]),
        tuple(symbols[place] for place in kept.tolist()),
        table[first:, kept],
        {day: moves for day, moves in named.items() if moves},
        tuple(left_out),
    )


def joint_covariance(factors: Factors, window: int) -> Covariance | None:
    """Return the covariance of all symbols that have enough returns; None where fewer than 2 sessions are whole."""
    moves = factors.moves(sorted(factors.symbols), window)
    if len(moves.returns) < 2:
        return None
    return Covariance(moves.symbols, covariance(moves.returns), window, len(moves.returns), moves.dropped)


def over(returns: FloatArray, horizon: int) -> FloatArray:
    """Return the joint moves over every `horizon` consecutive rows, compounded, shape (m - horizon + 1, k), relative.

    (1 + r1) (1 + r2) ... - 1 of returns, shape (m, k), without NaN. Windows overlap: m / horizon of them are independent.
    Fewer rows than the horizon: InsufficientData.
    """
    if horizon == 1:
        return returns
    if len(returns) < horizon:
        raise InsufficientData(f"moves over {horizon} sessions need as many, and there were {len(returns)}")
    windows = np.lib.stride_tricks.sliding_window_view(1.0 + returns, horizon, axis=0)
    return np.asarray(np.multiply.reduce(windows, axis=-1) - 1.0, dtype=np.float64)


def at_todays_volatility(returns: FloatArray, decay: float = DECAY) -> FloatArray:
    """Return moves, shape (m - 20, k), each column scaled to its EWMA forecast for the next day.

    r(t) x s(now) / s(t), s the forecast for the day of r made the day before, so the joint moves keep their shape and
    take today's size. The first 20 rows start the forecasts. Moves below -100 % that scaling gives are cut there. A
    column whose forecast is 0 at some time has no scale: InsufficientData. Source: Hull, White, Incorporating
    volatility updating into the historical simulation method, 1998; Barone-Adesi et al., Filtered historical
    simulation, 1999.
    """
    if len(returns) <= WARM_UP:
        raise InsufficientData(f"filtered moves need more than {WARM_UP} days, and there were {len(returns)}")
    result = np.empty((len(returns) - WARM_UP, returns.shape[1]))
    for place, column in enumerate(returns.T):
        forecast = ewma_deviation(column, decay)
        if not forecast[:-1].all():
            raise InsufficientData("filtered moves: a symbol was flat, so there is nothing to scale by")
        result[:, place] = column[WARM_UP:] / forecast[:-1] * forecast[-1]
    return np.maximum(result, -1.0)
