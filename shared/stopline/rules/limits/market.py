"""Limits that need the market: correlation, volatility, liquidity, and how long a position is held.

Correlations and volatilities come with the figures, from daily returns; without them the reading is UNKNOWN.
"""

from collections.abc import Iterable
from decimal import Decimal
from itertools import combinations

from stopline.model.decimals import EXACT, ROUNDED, ZERO, divide
from stopline.model.instrument import Kind
from stopline.model.messages import Severity
from stopline.model.settings.limit_override import Action
from stopline.rules.limits.exposure import is_settling, position_name, share
from stopline.rules.limits.figures import Figures
from stopline.rules.limits.limit import Gate, Limit, Measure, Scope, Unit, by_profile

TOGETHER = Decimal("0.7")  # two underlyings correlated by more than this move together (R2.3)
FROM_RETURNS = frozenset({"max_correlation", "max_correlated_positions", "max_position_volatility"})
SESSIONS_A_YEAR = Decimal(252)


def _direction(f: Figures, underlying: str) -> int:
    """Return 1 or -1 for the side of an underlying that is held without options, 0 where that cannot be said."""
    sides = set()
    for v in f.positions:
        contract = v.position.instrument
        if contract.underlying == underlying:
            sides.add(0 if contract.kind is Kind.OPTION else 1 if v.position.quantity > 0 else -1)
    return sides.pop() if len(sides) == 1 else 0


def _pair(f: Figures, one: str, other: str) -> Decimal | None:
    """Return how far two held underlyings move together: with a sign where the sides are known, so that a short
    against a long is a hedge; without one otherwise.
    """
    known = f.market.correlations.get((min(one, other), max(one, other)))
    if known is None:
        return None
    sides = _direction(f, one) * _direction(f, other)
    return abs(known) if not sides else known * sides


def _correlations(f: Figures) -> Iterable[Measure]:
    for one, other in combinations(sorted(f.exposures), 2):
        pair = _pair(f, one, other)
        yield Measure(f"{one}/{other}", None if pair is None else max(pair, ZERO))


def _correlated(f: Figures) -> Iterable[Measure]:
    """Yield for each underlying how many held ones move with it, itself counted."""
    held = sorted(f.exposures)
    if len(held) < 2:
        return
    for one in held:
        pairs = [_pair(f, one, other) for other in held if other != one]
        together = 1 + sum(pair is not None and pair > TOGETHER for pair in pairs)
        yield Measure(one, None if None in pairs else Decimal(together))


def _volatilities(f: Figures) -> Iterable[Measure]:
    """Yield what an underlying's exposure moves on an ordinary day, in percent of equity."""
    for underlying, exposure in f.exposures.items():
        yearly = f.market.volatilities.get(underlying)
        if exposure is None or yearly is None:
            yield Measure(underlying, ZERO if exposure == ZERO else None)
            continue
        moved = divide(EXACT.multiply(exposure, yearly), ROUNDED.sqrt(SESSIONS_A_YEAR), places=6)
        yield Measure(underlying, share(moved, f.equity), is_settling(f, underlying))


def _spreads(f: Figures) -> Iterable[Measure]:
    for symbol in sorted({v.position.instrument.symbol for v in f.positions}):
        yield Measure(symbol, f.market.spreads.get(symbol))


def _ages(f: Figures) -> Iterable[Measure]:
    for v in f.positions:
        opened = v.position.opened_at
        if opened is not None:
            seconds = Decimal(str((f.at - opened).total_seconds()))
            yield Measure(position_name(v.position.key), max(divide(seconds, Decimal(3600), places=4), ZERO))


MARKET_LIMITS = (
    Limit(
        "max_correlation",
        Unit.CORRELATION,
        "correlation of two held underlyings, long against short counted as a hedge",
        Scope.UNDERLYING,
        by_profile(None, "0.7", "0.6"),
        _correlations,
        Action.WARN,
        what="correlation",
        gate=Gate.QUALITY,
        falls="when one is closed, or they move apart",
        severity=Severity.WARNING,
    ),
    Limit(
        "max_correlated_positions",
        Unit.COUNT,
        "held underlyings that move with one, itself counted (correlation above 0.7)",
        Scope.UNDERLYING,
        by_profile(None, "3", "2"),
        _correlated,
        Action.WARN,
        what="number of positions that move together",
        falls="when one is closed",
        severity=Severity.WARNING,
    ),
    Limit(
        "max_position_volatility",
        Unit.PERCENT,
        "what an underlying's exposure moves on an ordinary day, of equity",
        Scope.UNDERLYING,
        by_profile(None, "2", "1"),
        _volatilities,
        Action.WARN,
        what="daily volatility",
        falls="when it is reduced, or calms down",
        severity=Severity.WARNING,
    ),
    Limit(
        "max_quote_spread",
        Unit.PERCENT,
        "ask less bid of a held instrument, of their middle",
        Scope.INSTRUMENT,
        by_profile(None, "5", "2"),
        _spreads,
        Action.WARN,
        what="quoted spread",
        gate=Gate.QUALITY,
        falls="when the quote narrows",
        severity=Severity.WARNING,
    ),
    Limit(
        "max_position_age",
        Unit.HOURS,
        "time since the position was opened from flat",
        Scope.INSTRUMENT,
        by_profile(None, "1", "1"),
        _ages,
        Action.WARN,
        what="age",
        falls="when it is closed",
        severity=Severity.WARNING,
    ),
)
