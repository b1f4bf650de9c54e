"""All measures of one account at one moment, from its legs and its calendar's history: numbers, then plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from stopline.model.account import Account
from stopline.model.errors import InsufficientData
from stopline.model.instrument import Kind
from stopline.risk.book_risk import Book, Share, Tail, Unknown, tail
from stopline.risk.book_stress import (
    Played,
    gaps,
    grid_point,
    nearest_worst,
    past_days,
    pins,
    play,
    sessions_of,
    spot_grid,
    spot_scenarios,
    together,
)
from stopline.risk.correlation import Change, correlation_changes, shrunk_correlation
from stopline.risk.factors import Factors, Moves
from stopline.risk.stress import Grid, Together
from stopline.risk.var import TailRisk
from stopline.risk.volatility import WARM_UP, ewma_deviation
from stopline.rules.watching.market import DayMove, Pair, regime
from stopline.service.prices.greeks import Watched, expiry_of

RECENT = 20  # sessions that a changed correlation is looked for in
MOST_CORRELATED = 20  # symbols of the shown matrix
NO_HISTORY = "no factors yet: they are made of closes at the end of a session, or load some"
YEAR = 252


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """What was measured. `closes` are those of the last session that ended."""

    account: Account
    at: datetime
    book: Book
    moves: Moves | None
    tail: Tail | Unknown
    grid: Grid | None
    near: tuple[float, float, float] | None  # spot shock, volatility factor, P&L
    near_legs: tuple[float, ...]  # what each leg makes there
    played: tuple[Played, ...]
    together: Together | Unknown
    correlated: tuple[tuple[str, ...], Any] | Unknown  # symbols, matrix
    changes: tuple[Pair, ...] | Unknown
    days: tuple[DayMove, ...]
    index_level: float | None


def measure(
    each: Watched,
    book: Book,
    factors: Factors | None,
    deltas: Mapping[str, float],
    closes: Mapping[str, float],
    now: datetime,
) -> Measures:
    """Work out all measures of one account. `deltas`: net delta in money, by underlying."""
    account, asked = each.account, each.account.measures
    volatility = asked.volatility_index
    wanted = [*book.symbols, *(s for s in (asked.index, volatility) if s)]
    moves = factors.moves(wanted, asked.window) if factors is not None and factors.sessions else None
    found: Tail | Unknown = Unknown("", NO_HISTORY)
    if moves is not None and book.legs.names:
        age = (account.sessions.session_of(now) - moves.sessions[-1]).days if moves.sessions else 0
        found = tail(
            book,
            moves,
            volatility,
            float(asked.confidence),
            asked.index,
            float(max(age, 0)),
            asked.horizon,
            asked.paths,
        )
    elif not book.legs.names:
        found = Unknown("", "there are no open positions")
    table = spot_grid(book, each.betas) if book.legs.names else None
    near = nearest_worst(table) if table is not None else None
    played = _played(each, book, factors, moves, found, closes, table, near) if table and near else ()
    changes = _changes(moves, volatility)
    level = each.quote(volatility) if volatility else None
    return Measures(
        account,
        now,
        book,
        moves,
        found,
        table,
        near,
        tuple(played[0].by_leg.tolist()) if played else (),
        played,
        _together(deltas, moves),
        _correlated(moves),
        changes,
        tuple(_day_moves(each, book, moves, closes)),
        level.mark if level is not None and level.mark > 0 else None,
    )


def _played(
    each: Watched,
    book: Book,
    factors: Factors | None,
    moves: Moves | None,
    found: Tail | Unknown,
    closes: Mapping[str, float],
    table: Grid,
    near: tuple[float, float, float],
) -> tuple[Played, ...]:
    """Play the worst near point of the grid and its worst, plain moves, the gap back, pins, the worst sessions of the
    window, and the days that the account names.
    """
    account = each.account
    scenarios = [
        grid_point(book, each.betas, "worst near", near),
        grid_point(book, each.betas, "worst of the grid", table.worst()),
        *spot_scenarios(),
        *gaps(book, closes),
        *pins(book, _shorts(each)),
    ]
    if moves is not None and isinstance(found, Tail):
        worst = {f"worst of the window: {day}": m for day, m in sessions_of(moves, found.worst).items()}
        scenarios += past_days(book, worst, account.measures.volatility_index)
    if factors is not None:
        named = {
            f"{name} ({day.isoformat()})": factors.days[day]
            for name, day in sorted(account.measures.days.items())
            if day in factors.days
        }
        scenarios += past_days(book, named, account.measures.volatility_index)
    return tuple(play(book, scenarios))


def _shorts(each: Watched) -> dict[str, list[tuple[date, float, float]]]:
    result: dict[str, list[tuple[date, float, float]]] = {}
    for valued in each.positions:
        contract = valued.position.instrument
        if contract.kind is Kind.OPTION and valued.position.quantity < 0:
            assert contract.expiry is not None
            assert contract.strike is not None
            left = (expiry_of(each.account, contract) - each.at).total_seconds() / (365 * 86_400)
            short = (contract.expiry, float(contract.strike), max(left, 0.0))
            result.setdefault(contract.underlying, []).append(short)
    return result


def _together(deltas: Mapping[str, float], moves: Moves | None) -> Together | Unknown:
    if moves is None:
        return Unknown("correlation", NO_HISTORY)
    if not np.isfinite(list(deltas.values())).all():
        return Unknown("correlation", "a net delta is unknown")
    try:
        return together(deltas, moves)
    except InsufficientData as problem:
        return Unknown("correlation", str(problem))


def _correlated(moves: Moves | None) -> tuple[tuple[str, ...], Any] | Unknown:
    if moves is None:
        return Unknown("correlation", NO_HISTORY)
    symbols = moves.symbols[:MOST_CORRELATED]
    try:
        return symbols, shrunk_correlation(moves.returns[:, : len(symbols)]).matrix
    except InsufficientData as problem:
        return Unknown("correlation", str(problem))


def _changes(moves: Moves | None, volatility: str | None) -> tuple[Pair, ...] | Unknown:
    """Return the pairs whose correlation of the last 20 sessions is not that of those before."""
    if moves is None:
        return Unknown("correlation change", NO_HISTORY)
    try:
        found: Sequence[Change] = correlation_changes(moves.returns, RECENT)
    except InsufficientData as problem:
        return Unknown("correlation change", str(problem))
    return tuple(Pair(moves.symbols[c.first], moves.symbols[c.second], c.before, c.after) for c in found)


def _day_moves(each: Watched, book: Book, moves: Moves | None, closes: Mapping[str, float]) -> list[DayMove]:
    """Return the moves since the last close of what is held and of the indexes, beside today's forecast."""
    if moves is None or len(moves.returns) < WARM_UP:
        return []
    result = []
    for symbol in moves.symbols:
        quote, close = each.quote(symbol), closes.get(symbol)
        if quote is not None and quote.mark > 0 and close:
            deviation = float(ewma_deviation(moves.column(symbol))[-1])
            result.append(DayMove(symbol, quote.mark / close - 1.0, deviation))
    return result


# --- as plain data ------------------------------------------------------------------------------------------


def shown_tail(found: Tail | Unknown) -> dict[str, Any]:
    """Return VaR and ES as plain data; a figure without an answer says why."""
    if isinstance(found, Unknown):
        return {"figures": [], "unknown": found.why, "legs": {}, "underlyings": {}, "decomposition": None}
    return {
        "figures": [_figure(figure) for figure in found.figures],
        "unknown": None if found.best else "no method has an answer",
        "legs": {name: money(part) for name, part in found.legs},
        "underlyings": {
            part.name: {
                "component_es": money(part.component),
                "component_var": money(part.component_var),
                "incremental_var": money(part.var),
                "incremental_es": money(part.es),
            }
            for part in found.parts
        },
        "decomposition": _decomposition(found.decomposition),
    }


def _figure(figure: TailRisk | Unknown) -> dict[str, Any]:
    if isinstance(figure, Unknown):
        return {"method": figure.method, "var": None, "es": None, "unknown": figure.why}
    return {
        "method": figure.method,
        "var": money(figure.var),
        "es": money(figure.es),
        "confidence": figure.confidence,
        "horizon_sessions": figure.horizon,
        "n": figure.n,
        "n_effective": figure.n_effective,
        "age_days": figure.age_days,
        "excluded": list(figure.excluded),
        "unknown": None,
    }


def _decomposition(share: Share | Unknown) -> dict[str, Any]:
    if isinstance(share, Unknown):
        return {"unknown": share.why}
    parts = zip(share.names, share.beta.tolist(), share.share.tolist(), strict=True)
    return {
        "factors": {name: {"beta": money(beta), "share": ratio(part)} for name, beta, part in parts},
        "residual": ratio(share.residual),
        "unknown": None,
    }


def shown_grid(found: Measures) -> dict[str, Any] | None:
    """Return the stress grid as plain data, with what each position makes at the worst near point."""
    table, near, legs = found.grid, found.near, found.book.legs
    if table is None or near is None:
        return None
    worst = table.worst()
    return {
        "spot": list(table.spot_shocks),
        "volatility": list(table.volatility_factors),
        "pnl": [[money(x) for x in row] for row in table.pnl.tolist()],
        "worst": {"spot": worst[0], "volatility": worst[1], "pnl": money(worst[2])},
        "near": {"spot": near[0], "volatility": near[1], "pnl": money(near[2])},
        "near_positions": dict(zip(legs.names, map(money, found.near_legs), strict=True)),
        "excluded": list(table.excluded),
    }


def shown_correlation(found: Measures) -> dict[str, Any]:
    """Return the correlation matrix, what has changed in it, and the deviation if all moves together."""
    correlated, changes, whole = found.correlated, found.changes, found.together
    unknown = correlated.why if isinstance(correlated, Unknown) else None
    return {
        "symbols": [] if isinstance(correlated, Unknown) else list(correlated[0]),
        "matrix": []
        if isinstance(correlated, Unknown)
        else [[ratio(x) for x in row] for row in correlated[1].tolist()],
        "unknown": unknown,
        "changes": None
        if isinstance(changes, Unknown)
        else [
            {"first": c.first, "second": c.second, "before": ratio(c.before), "after": ratio(c.after)}
            for c in changes
        ],
        "deviation": None
        if isinstance(whole, Unknown)
        else {"now": money(whole.now), "one": money(whole.one), "against": money(whole.against)},
    }


def shown_market(found: Measures) -> dict[str, Any]:
    """Return the market's condition: the volatility index and its regime, and the moves of the day."""
    index = found.account.measures.volatility_index
    return {
        "volatility_index": index,
        "level": None if found.index_level is None else round(found.index_level, 4),
        "regime": regime(found.index_level),
        "moves": {
            day.symbol: {
                "move": ratio(day.move),
                "deviation": ratio(day.deviation),
                "volatility": ratio(day.deviation * YEAR**0.5),
                "deviations": ratio(day.deviations) if day.deviation > 0 else None,
            }
            for day in found.days
        },
    }


def money(value: float | None) -> str | None:
    """Return money as text with two decimals; None and NaN are UNKNOWN."""
    return None if value is None or not np.isfinite(value) else f"{round(value, 2) + 0.0:.2f}"


def ratio(value: float) -> float | None:
    """Return a number with 6 decimals; NaN is UNKNOWN."""
    return round(value, 6) + 0.0 if np.isfinite(value) else None


def amount(text: str | None) -> Decimal | None:
    """Read back what `money` wrote."""
    return None if text is None else Decimal(text)
