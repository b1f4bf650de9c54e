"""Limits on what was lost: by day, week and month, in rolling windows, from the peak, in a row, and per position.

Losses are of realised + unrealised - fees; deposits and withdrawals are neither profit nor loss. A day is a
session of the account's calendar, a week begins with its first session from Monday, a month with its first.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal

from stopline.ledger.expiry import settles
from stopline.ledger.trade import Trade
from stopline.model.decimals import EXACT, ZERO
from stopline.model.instrument import Instrument, Kind
from stopline.model.messages import Severity
from stopline.model.settings.limit_override import Action
from stopline.rules.limits.exposure import is_settling, position_name, share
from stopline.rules.limits.figures import AtBest, DayStart, Figures
from stopline.rules.limits.limit import ACCOUNT, Gate, Limit, Measure, Scope, Unit, by_profile
from stopline.rules.orders.open_risk import add, option_leg_of, shape_of, worst_of
from stopline.rules.trading.reset import DRAWDOWN, MONEY, QUARTER, Reset, ResetRule

Measured = Callable[[Figures], Iterable[Measure]]


def _lost_share(f: Figures, basis: Decimal | None) -> Measure:
    """Measure what was lost since the P&L stood at a number, in percent of the equity then: 0 or above."""
    base, sure = (None, None) if basis is None else (f.equity_at(basis), f.surely_at(basis))
    at_least = share(_lost(f.made_at_best(basis)), sure)
    return Measure(ACCOUNT, share(_lost(f.made_since(basis)), base), at_least=at_least)


def _lost(made: Decimal | None) -> Decimal | None:
    return None if made is None else max(-made, ZERO)


def _basis(start: DayStart | None) -> Decimal | None:
    return start.basis if start else None


def _daily_loss(f: Figures) -> Iterable[Measure]:
    return [_lost_share(f, _basis(f.day_start))]


def _daily_loss_money(f: Figures) -> Iterable[Measure]:
    made = f.made_at_best(f.day_start.total if f.day_start else None)
    return [Measure(ACCOUNT, _lost(f.pnl_day), at_least=_lost(made))]


def _daily_profit(f: Figures) -> Iterable[Measure]:
    made = f.made_since(_basis(f.day_start))
    return [Measure(ACCOUNT, share(None if made is None else max(made, ZERO), f.day_start_equity))]


def _weekly_loss(f: Figures) -> Iterable[Measure]:
    return [_lost_share(f, _basis(f.track.week))]


def _monthly_loss(f: Figures) -> Iterable[Measure]:
    return [_lost_share(f, _basis(f.track.month))]


def _rolling(window: timedelta) -> Measured:
    def measure(f: Figures) -> Iterable[Measure]:
        return [_lost_share(f, f.track.base(f.at, window))]

    return measure


def _drawdown(f: Figures) -> Iterable[Measure]:
    return [Measure(ACCOUNT, f.drawdown, at_least=f.drawdown_at_best)]


def _strategy_drawdowns(f: Figures) -> Iterable[Measure]:
    at_best = f.strategies_at_best()
    for name, pnl in f.strategies.items():
        peak, own = f.track.strategies.get(name), f.account.risk.strategy_capital.get(name)
        top, best = peak.top if peak else ZERO, at_best.get(name, AtBest(None, None))
        at_least = f.below(top, best.pnl, f.surely_at(best.others) if own is None else own)
        yield Measure(name, f.below(top, pnl, f.beside(pnl) if own is None else own), at_least=at_least)


def _streak(f: Figures) -> Iterable[Measure]:
    losses = f.track.streak.losses if f.track.streak else None
    return [Measure(ACCOUNT, None if losses is None else Decimal(losses))]


def _position_losses(f: Figures) -> Iterable[Measure]:
    """A position's loss in percent of what it cost. A leg of a spread may lose many times its premium while the spread makes
    money: options are measured by their trades, against what these can lose.
    """
    for v in f.positions:
        if v.position.instrument.kind is not Kind.OPTION:
            loss = None if v.unrealised is None else max(-v.unrealised, ZERO)
            yield Measure(position_name(v.position.key), share(loss, abs(v.position.cost)))
    yield from _option_trade_losses(f)


def _option_trade_losses(f: Figures) -> Iterable[Measure]:
    """Measure each open trade that has an option: what its open units have lost, in percent of what they can lose. UNKNOWN
    where one of them has no price.
    """
    marks = {v.position.key: v.mark for v in f.positions}
    for trade in f.open_trades():
        units = trade.open_units
        if all(contract.kind is not Kind.OPTION for _, contract, _ in units):
            continue
        values = (_worth(contract, number, marks.get(key)) for key, contract, number in units)
        value = add(values)
        lost = None if value is None else max(EXACT.subtract(trade.cost, value), ZERO)
        name = f"{trade.underlying} trade {trade.trade_id[:8]}"
        yield Measure(name, share(lost, _at_risk(trade)), is_settling(f, trade.underlying))


def _at_risk(trade: Trade) -> Decimal:
    """Return what the open units of a trade can lose, in their currency, 0 or above: at expiry, with what was paid and less
    what was received for them, a naked call its strike (`rules/orders/open_risk.py`). With shares or futures beside the
    options, and where the options can lose nothing: what it cost.
    """
    if any(contract.kind is not Kind.OPTION for _, contract, _ in trade.open_units):
        return abs(trade.cost)
    worst = ZERO
    ends = {settles(contract) for _, contract, _ in trade.open_units}
    for end in ends:
        legs = tuple(option_leg_of(c, number) for _, c, number in trade.open_units if settles(c) == end)
        worst = EXACT.add(worst, worst_of(legs))
        if shape_of(legs).slope < 0 and trade.cost < 0:
            worst = EXACT.subtract(worst, trade.cost)  # a naked call is not safer by its credit
    most = EXACT.add(worst, trade.cost)
    return most if most > 0 else abs(trade.cost)


def _worth(contract: Instrument, units: Decimal, mark: Decimal | None) -> Decimal | None:
    return None if mark is None else EXACT.multiply(units, contract.worth(mark))


LOSS_LIMITS = (
    Limit(
        "max_daily_loss",
        Unit.PERCENT,
        "loss of the session, of equity at its start",
        Scope.ACCOUNT,
        by_profile("3", "5", "2"),
        _daily_loss,
        Action.REDUCE_ONLY,
        what="loss of the day",
        ends=ResetRule(Reset.SESSION, people=2),
        inclusive=True,
        gate=Gate.BUDGET,
    ),
    Limit(
        "max_daily_loss_money",
        Unit.MONEY,
        "loss of the session",
        Scope.ACCOUNT,
        by_profile(None, None, None),
        _daily_loss_money,
        Action.REDUCE_ONLY,
        what="loss of the day",
        ends=ResetRule(Reset.SESSION, people=2),
        inclusive=True,
        gate=Gate.BUDGET,
    ),
    Limit(
        "max_weekly_loss",
        Unit.PERCENT,
        "loss of the week, of equity at its start",
        Scope.ACCOUNT,
        by_profile("10", "10", "5"),
        _weekly_loss,
        Action.REDUCE_ONLY,
        what="loss of the week",
        ends=ResetRule(Reset.WEEK, people=2),
        inclusive=True,
        gate=Gate.BUDGET,
    ),
    Limit(
        "max_monthly_loss",
        Unit.PERCENT,
        "loss of the month, of equity at its start",
        Scope.ACCOUNT,
        by_profile("20", "20", "10"),
        _monthly_loss,
        Action.REDUCE_ONLY,
        what="loss of the month",
        ends=ResetRule(Reset.MONTH, people=2),
        inclusive=True,
        gate=Gate.BUDGET,
    ),
    Limit(
        "max_loss_24h",
        Unit.PERCENT,
        "loss of the last 24 hours, of equity before them",
        Scope.ACCOUNT,
        by_profile("5", "7.5", "3"),
        _rolling(timedelta(hours=24)),
        Action.REDUCE_ONLY,
        what="loss of 24 hours",
        falls="as the loss gets older",
        ends=MONEY,
        inclusive=True,
        gate=Gate.BUDGET,
    ),
    Limit(
        "max_loss_7d",
        Unit.PERCENT,
        "loss of the last 7 days, of equity before them",
        Scope.ACCOUNT,
        by_profile("12", "12", "6"),
        _rolling(timedelta(days=7)),
        Action.REDUCE_ONLY,
        what="loss of 7 days",
        falls="as the loss gets older",
        ends=MONEY,
        inclusive=True,
        gate=Gate.BUDGET,
    ),
    Limit(
        "max_drawdown",
        Unit.PERCENT,
        "equity below its peak, of the peak",
        Scope.ACCOUNT,
        by_profile("20", "20", "10"),
        _drawdown,
        Action.REDUCE_ONLY,
        what="drawdown",
        falls="when equity recovers; a new `peaks_since` starts it again",
        ends=DRAWDOWN,
        inclusive=True,
        gate=Gate.BUDGET,
    ),
    Limit(
        "max_strategy_drawdown",
        Unit.PERCENT,
        "a strategy's P&L below its peak, of its capital and that peak",
        Scope.STRATEGY,
        by_profile("15", "15", "10"),
        _strategy_drawdowns,
        Action.PAUSE_STRATEGY,
        what="drawdown",
        falls="when it recovers; a new `peaks_since` starts it again",
        ends=DRAWDOWN,
        inclusive=True,
        gate=Gate.BUDGET,
    ),
    Limit(
        "max_consecutive_losses",
        Unit.COUNT,
        "closed trades in a row that have lost, in the order of their closing",
        Scope.ACCOUNT,
        by_profile("3", "3", "2"),
        _streak,
        Action.REDUCE_ONLY,
        what="number of losses in a row",
        falls="with a trade that makes money",
        ends=ResetRule(Reset.TIME, 1, QUARTER),
        inclusive=True,
        gate=Gate.BUDGET,
    ),
    Limit(
        "max_position_loss",
        Unit.PERCENT,
        "loss of one position, of what it cost; of a trade with options, of what it can lose",
        Scope.INSTRUMENT,
        by_profile(None, "10", "5"),
        _position_losses,
        Action.WARN,
        what="loss",
        falls="when it recovers or is closed",
        inclusive=True,
        severity=Severity.WARNING,
    ),
    Limit(
        "daily_profit_target",
        Unit.PERCENT,
        "profit of the session, of equity at its start",
        Scope.ACCOUNT,
        by_profile(None, None, None),
        _daily_profit,
        Action.REDUCE_ONLY,
        what="profit of the day",
        ends=ResetRule(Reset.SESSION),
        inclusive=True,
        gate=Gate.BUDGET,
        severity=Severity.WARNING,
    ),
)
