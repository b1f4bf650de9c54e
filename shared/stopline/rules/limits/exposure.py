"""Limits on what is held: size, exposure, margin, leverage, open risk, and how many positions."""

from collections.abc import Iterable
from decimal import Decimal

from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.fill import DEFAULT_STRATEGY
from stopline.model.messages import Severity
from stopline.model.settings.limit_override import Action
from stopline.rules.limits.figures import MOST, Figures, add
from stopline.rules.limits.limit import ACCOUNT, Limit, Measure, Scope, Unit, by_profile

HUNDRED = Decimal(100)


def share(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """Return part as percent of whole; unknown without either. With nothing left of the whole any part is all
    of it.
    """
    return quotient(None if part is None else EXACT.multiply(part, HUNDRED), whole)


def quotient(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """Return part / whole, rounded to 6 decimals and at most MOST; unknown without either."""
    if part is None or whole is None:
        return None
    if whole <= 0:
        return MOST if part else ZERO
    return min(divide(part, whole, places=6), MOST)


def position_name(key: str) -> str:
    """Name a position by its symbol, and by its strategy too where that is not the default."""
    strategy, symbol = key.split(":", 1)
    return symbol if strategy == DEFAULT_STRATEGY else f"{symbol} ({strategy})"


def is_settling(f: Figures, underlying: str | None = None) -> bool:
    """Tell whether an option leg (of an underlying) was executed just now: until its spread's other legs are booked
    too, the account looks as if it were naked short, which nobody must be woken for.
    """
    return bool(f.settling) if underlying is None else underlying in f.settling


def _position_units(f: Figures) -> Iterable[Measure]:
    return (Measure(position_name(v.position.key), abs(v.position.quantity)) for v in f.positions)


def _position_values(f: Figures) -> Iterable[Measure]:
    return (Measure(position_name(key), share(value, f.equity)) for key, value in f.position_values.items())


def _symbol_exposures(f: Figures) -> Iterable[Measure]:
    return (
        Measure(underlying, share(value, f.equity), is_settling(f, underlying))
        for underlying, value in f.exposures.items()
    )


def _single_assets(f: Figures) -> Iterable[Measure]:
    whole = f.gross_exposure
    return (
        Measure(underlying, share(value, whole), is_settling(f)) for underlying, value in f.exposures.items()
    )


def _exposure(f: Figures) -> Iterable[Measure]:
    return [Measure(ACCOUNT, share(f.gross_exposure, f.equity), is_settling(f))]


def _leverage(f: Figures) -> Iterable[Measure]:
    return [Measure(ACCOUNT, quotient(f.gross_exposure, f.equity), is_settling(f))]


def _margin_use(f: Figures) -> Iterable[Measure]:
    return [Measure(ACCOUNT, share(add(r.margin for r in f.risks.values()), f.equity), is_settling(f))]


def _heat(f: Figures) -> Iterable[Measure]:
    return [Measure(ACCOUNT, share(add(r.max_loss for r in f.risks.values()), f.equity), is_settling(f))]


def _open_positions(f: Figures) -> Iterable[Measure]:
    return [Measure(ACCOUNT, Decimal(len(f.positions)))]


def _concurrent(f: Figures) -> Iterable[Measure]:
    held = {(v.position.strategy, v.position.instrument.underlying) for v in f.positions}
    return [Measure(ACCOUNT, Decimal(len(held)))]


SHRINKS = "when it is reduced, or equity grows"

EXPOSURE_LIMITS = (
    Limit(
        "max_position_units",
        Unit.UNITS,
        "units of one position, either side",
        Scope.INSTRUMENT,
        by_profile(None, None, None),
        _position_units,
        Action.WARN,
        what="position size",
        falls="when it is reduced",
    ),
    Limit(
        "max_position_value",
        Unit.PERCENT,
        "market value of one position, of equity",
        Scope.INSTRUMENT,
        by_profile("10", "10", "5"),
        _position_values,
        Action.WARN,
        what="position value",
        falls=SHRINKS,
    ),
    Limit(
        "max_symbol_exposure",
        Unit.PERCENT,
        "exposure of one underlying (a spread at its worst payoff), of equity",
        Scope.UNDERLYING,
        by_profile("20", "25", "15"),
        _symbol_exposures,
        Action.WARN,
        what="exposure",
        falls=SHRINKS,
    ),
    Limit(
        "max_single_asset_exposure",
        Unit.PERCENT,
        "exposure of one underlying, of the exposure of all",
        Scope.UNDERLYING,
        by_profile(None, None, None),
        _single_assets,
        Action.WARN,
        what="share of all exposure",
        falls="when it is reduced, or others grow",
        severity=Severity.WARNING,
    ),
    Limit(
        "max_exposure",
        Unit.PERCENT,
        "exposure of all underlyings, of equity",
        Scope.ACCOUNT,
        by_profile(None, None, "100"),
        _exposure,
        Action.WARN,
        what="exposure",
        falls=SHRINKS,
    ),
    Limit(
        "max_leverage",
        Unit.TIMES,
        "exposure of all underlyings, in times of equity",
        Scope.ACCOUNT,
        by_profile("5", "5", "2"),
        _leverage,
        Action.WARN,
        what="leverage",
        falls=SHRINKS,
    ),
    Limit(
        "max_margin_use",
        Unit.PERCENT,
        "model margin, of equity",
        Scope.ACCOUNT,
        by_profile("50", "50", "30"),
        _margin_use,
        Action.WARN,
        what="margin use",
        falls=SHRINKS,
    ),
    Limit(
        "max_portfolio_heat",
        Unit.PERCENT,
        "what all open positions can lose, credits taken off, of equity",
        Scope.ACCOUNT,
        by_profile("50", "25", "20"),
        _heat,
        Action.WARN,
        what="open risk",
        falls=SHRINKS,
    ),
    Limit(
        "max_open_positions",
        Unit.COUNT,
        "open positions, each leg counted",
        Scope.ACCOUNT,
        by_profile("20", "20", "10"),
        _open_positions,
        Action.WARN,
        what="number of open positions",
        falls="when one is closed",
        severity=Severity.WARNING,
    ),
    Limit(
        "max_concurrent_positions",
        Unit.COUNT,
        "pairs of strategy and underlying with a position: a spread counts once",
        Scope.ACCOUNT,
        by_profile("5", "5", "3"),
        _concurrent,
        Action.WARN,
        what="number of concurrent positions",
        falls="when one is closed",
        severity=Severity.WARNING,
    ),
)
