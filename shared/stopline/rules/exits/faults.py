"""What is wrong with an account's exits: settings that cannot be meant, and rules that would close at once or never.

Distances of one unit can be compared; of several units only once there is a trade (`trade_faults`).
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from stopline.model.account import Account
from stopline.model.calendars import Calendar
from stopline.model.decimals import decimal_text
from stopline.model.settings.exits import Distance, ExitSettings, TradeExits, Trail, Unit
from stopline.rules.exits.plan import Plan, plan_of
from stopline.rules.exits.state import FRESH, ExitState, Held
from stopline.rules.exits.trade_exits import awaits_range, profit_at, risk_of
from stopline.rules.exits.trailing import check_trail

NO_R = "is needed to count in R: R is the way from the entry to it"
_FIRST_STOP = frozenset({Unit.PERCENT, Unit.POINTS, Unit.PRICE, Unit.ATR})
_LOSS = frozenset({Unit.PERCENT, Unit.POINTS})
_WEEK = [date(2026, 3, 2), date(2026, 7, 6)]  # Mondays in winter and summer time: zones shift apart


def check_exits(account: Account) -> list[str]:
    """Return what is wrong with an account's exits, one line each, naming the setting."""
    faults = []
    for where, exits, plan in _layers(account.exits):
        found = [*_of_layer(exits, account), *(_of_plan(exits, plan) if plan else ())]
        faults += [f"{where}.{fault}" for fault in dict.fromkeys(found)]
    return faults


def trade_faults(plan: Plan, held: Held, state: ExitState = FRESH) -> list[str]:
    """Return what is wrong with the plan of an open trade, in whatever units it is written."""
    faults = [f"stop_loss: {without_r}"] if (without_r := lacks_r(plan, held, state)) else []
    for name, near, far, why in _pairs(plan):
        least, most = (profit_at(plan, held, state, distance) for distance in (near, far))
        if least is not None and most is not None and least >= most:
            faults.append(f"{name}: {why}")
    return faults


def lacks_r(plan: Plan, held: Held, state: ExitState = FRESH) -> str | None:
    """Return why the rules of a trade that count in R never trigger, or None."""
    if not plan.counts_in_r or risk_of(plan, held, state) is not None:
        return None
    stop = plan.stop_loss
    if stop is None:
        return NO_R
    if stop.unit is Unit.ATR:
        return None  # known as soon as there are bars
    return f"{stop} is not on the losing side of the entry {decimal_text(held.entry)}, so there is no R to count in"


def lacks_range(plan: Plan, held: Held, state: ExitState = FRESH) -> str | None:
    """Return why the only stop of a trade is not there yet, or None. Of one that is being closed it is no matter."""
    asked = state.asked
    if (asked and not asked.advisory and not asked.leave) or not awaits_range(plan, held, state):
        return None
    return f"until {plan.atr_bars} bars of {plan.atr_bar // timedelta(seconds=1)} s have given its range"


def lacks_entry(plan: Plan, held: Held) -> str | None:
    """Return which rules of a trade that was opened at 0 never trigger, because they count in percent of its entry."""
    trail = plan.trail
    said = [
        ("stop_loss", plan.stop_loss),
        ("target", plan.target),
        ("breakeven", plan.breakeven),
        ("excessive_loss", plan.excessive_loss),
        ("trail", trail.activation if trail else None),
        ("trail", trail.amount if trail and trail.by == "step" else None),
        *(("lock_in", distance) for step in plan.lock_in for distance in (step.at, step.keep)),
        *(("scale_out", step.at) for step in plan.scale_out),
    ]
    names = dict.fromkeys(name for name, d in said if d is not None and d.unit is Unit.PERCENT)
    return None if held.entry or not names else f"{', '.join(names)} in percent of an entry at 0"


def _layers(settings: ExitSettings) -> Iterator[tuple[str, TradeExits, Plan | None]]:
    """Yield where trade exits are written, and the plan that they lead to where that is known."""
    yield "exits.trades", settings.trades, plan_of(settings, "")
    for name, strategy in settings.strategies.items():
        yield f"exits.strategies.{name}.trades", strategy.trades, plan_of(settings, name)
    for id_, exits in settings.single.items():
        yield f"exits.single.{id_}", exits, None  # of which strategy it is, the book knows: `trade_faults`


def _of_layer(exits: TradeExits, account: Account) -> Iterator[str]:
    calendar = account.sessions
    if isinstance(exits.trail, Trail) and (fault := check_trail(exits.trail)):
        yield f"trail.{fault}"
    if fault := _unit(exits.stop_loss, _FIRST_STOP):
        yield f"stop_loss: {fault}"
    if fault := _unit(exits.excessive_loss, _LOSS):
        yield f"excessive_loss: {fault}"
    if isinstance(exits.before_close_min, int):
        yield from _before_close(exits.before_close_min, calendar)
    if isinstance(exits.exit_at, time) and not _trades_at(exits.exit_at, account.zone, calendar):
        yield (
            f"exit_at: {exits.exit_at:%H:%M} in {account.time_zone} is outside the session of {calendar.name}"
            f" ({calendar.opens:%H:%M} to {calendar.closes:%H:%M} in {calendar.zone.key}): nothing is closed then"
        )
    steps = exits.scale_out if isinstance(exits.scale_out, tuple) else ()
    if len({step.at.unit for step in steps}) > 1:
        texts = ", ".join(str(step.at) for step in steps)
        yield f"scale_out: {texts} have no order that always holds: write all steps in one unit"
    yield from _crossed(plan_of(ExitSettings(trades=exits), ""))


def _before_close(minutes: int, calendar: Calendar) -> Iterator[str]:
    if calendar.every_day:
        yield f"before_close_min: calendar {calendar.name} never closes"
        return
    last = calendar.close_of(_WEEK[0]) - timedelta(minutes=minutes)
    if not (minutes and last > calendar.open_of(_WEEK[0])):
        yield (
            f"before_close_min: {minutes} min before {calendar.closes:%H:%M} is outside the session of"
            f" {calendar.name}: nothing is closed then"
        )


def _of_plan(exits: TradeExits, plan: Plan) -> Iterator[str]:
    """Yield what is wrong with the whole of what a layer inherits and says."""
    if plan.counts_in_r and plan.stop_loss is None:
        yield f"stop_loss: {NO_R}"
    if isinstance(exits.breakeven_offset, Distance) and plan.breakeven is None:
        yield "breakeven_offset: needs breakeven: how far in profit the stop goes there"
    yield from _crossed(plan)


def _crossed(plan: Plan) -> Iterator[str]:
    """Yield which of two distances in one unit is on the wrong side of the other."""
    for name, near, far, why in _pairs(plan):
        if near.unit is far.unit is not Unit.PRICE and near.value >= far.value:
            yield f"{name}: {why}"
    stop, most = plan.stop_loss, plan.excessive_loss
    if stop is not None and most is not None and stop.unit is most.unit and stop.value >= most.value:
        yield f"excessive_loss: {most} is no farther than stop_loss {stop}, which would then never trigger"


def _pairs(plan: Plan) -> Iterator[tuple[str, Distance, Distance, str]]:
    """Yield distances in profit of which the first must be the nearer, and what is wrong where it is not."""
    if plan.breakeven is not None and plan.breakeven_offset is not None:
        why = f"{plan.breakeven_offset} is no less than breakeven {plan.breakeven}: it would close at once"
        yield "breakeven_offset", plan.breakeven_offset, plan.breakeven, why
    for step in plan.lock_in:
        why = f"at {step.at} it would keep {step.keep}, which is no less: it would close at once"
        yield "lock_in", step.keep, step.at, why


def _unit(value: object, allowed: frozenset[Unit]) -> str | None:
    if not isinstance(value, Distance) or value.unit in allowed:
        return None
    forms = sorted(str(Distance(value.value, unit)) for unit in allowed)
    return f"takes {', '.join(forms[:-1])} or {forms[-1]}, was {value}"


def _trades_at(at: time, zone: ZoneInfo, calendar: Calendar) -> bool:
    """Tell whether there is trading at a time of day, in a week of winter or of summer time."""
    moments = (datetime.combine(day + timedelta(days=n), at, zone) for day in _WEEK for n in range(5))
    return any(calendar.is_open(moment) for moment in moments)
