"""Exits of a strategy as a whole: a trailing stop on its MTM, a drawdown limit, a most loss, and a profit floor.

MTM is realised and unrealised P&L in the account's currency, counted from the start of the session or, with `carry`,
from the strategy's first fill. The stop only rises. A number counts when it has held for `confirm` readings in a row; a
reading needs newer prices of whatever was new in the first of them. A strategy that triggered stays stopped until a
person resumes it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from stopline.model.decimals import EXACT, ZERO, decimal_text
from stopline.model.settings.exits import StrategyExits
from stopline.rules.exits.trade_exits import APART, STUCK
from stopline.rules.exits.trailing import part

_WORDS = {
    "trailing_stop": "trailing stop of the MTM",
    "profit_floor": "profit floor",
    "drawdown": "drawdown limit",
    "max_loss": "most loss",
}


@dataclass(frozen=True, slots=True)
class Mtm:
    """A strategy's P&L since its first fill. `unrealised` and so `total` are None while a part is unknown.

    `times` of the prices in it; none where nothing is open, and then no price is in doubt. `unknown`: symbols without a
    price that may be used.
    """

    realised: Decimal | None
    unrealised: Decimal | None
    times: tuple[datetime, ...]
    has_open: bool
    unknown: tuple[str, ...] = ()

    @property
    def oldest(self) -> datetime | None:
        return min(self.times, default=None)

    @property
    def newest(self) -> datetime | None:
        return max(self.times, default=None)

    @property
    def total(self) -> Decimal | None:
        if self.realised is None or self.unrealised is None:
            return None
        return EXACT.add(self.realised, self.unrealised)


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why and when a strategy was stopped. `advisory`: people were only told; `stuck`: and told that it has trades;
    `over`: and told that it has none any more.
    """

    rule: str
    at: datetime
    mtm: Decimal
    level: Decimal
    advisory: bool = False
    stuck: bool = False
    over: bool = False

    @property
    def is_advice(self) -> bool:
        """Tell whether people are to close it themselves, and have not."""
        return self.advisory and not self.over


@dataclass(frozen=True, slots=True)
class StrategyState:
    """What is remembered of a strategy. `base`: the P&L that its MTM counts from, since `session`.

    `last`: its last known P&L, which is the next session's base. `stop` is the closest that a rule holds, `others` what
    other rules do. `pending`: readings in a row that would change something if they hold, up to the prices of
    `counted_at`; prices of up to `quiet_at` were in a reading that changed nothing. `counts`: whether fees and income
    are in `base` and `last`; None: as the settings say, it was not remembered once.
    """

    session: date | None = None
    base: Decimal = ZERO
    last: Decimal | None = None
    peak: Decimal = ZERO
    stop: Decimal | None = None
    rule: str = ""
    others: tuple[tuple[str, Decimal], ...] = ()
    pending: tuple[Decimal, ...] = ()
    counted_at: datetime | None = None
    quiet_at: datetime | None = None
    stopped: Stopped | None = None
    counts: tuple[bool, bool] | None = None


UNSEEN = StrategyState()


@dataclass(frozen=True, slots=True)
class StrategyExit:
    """All trades of the strategy are to be closed, and it is stopped."""

    rule: str
    reason: str
    mtm: Decimal
    level: Decimal


@dataclass(frozen=True, slots=True)
class StrategyStep:
    """What a step led to. `suspect`: a first reading that would close, if the next one agrees; `stuck`: trades are
    open that were told to close.
    """

    state: StrategyState
    exit: StrategyExit | None = None
    suspect: bool = False
    stuck: bool = False


def advance_strategy(
    settings: StrategyExits,
    state: StrategyState,
    mtm: Mtm,
    base: Decimal | None,
    session: date,
    now: datetime,
    auto_close: bool = True,
    waits: bool = False,
) -> StrategyStep:
    """Return what a valuation does to a strategy.

    `base`: what its MTM counts from where nothing is remembered of it; None: from now on. An MTM that is unknown
    changes nothing and triggers nothing. `waits`: nothing of it can be closed before its market opens.
    """
    total = mtm.total
    stopped = state.stopped
    is_new = settings.day == "session" and session != state.session
    if stopped and stopped.advisory and (auto_close or is_new):
        state = replace(state, stopped=None)  # it was switched on since, or it is another day: look again
    elif stopped and stopped.advisory and not mtm.has_open and total is not None:
        # people have closed it
        is_over = settings.day == "session"  # and with the next one it is watched anew, else at once
        state = replace(state, stopped=replace(stopped, over=True)) if is_over else resumed(state, mtm)
        return StrategyStep(replace(state, last=total))
    elif stopped:
        late = is_late(state, mtm, now, waits)
        if late:
            state = replace(state, stopped=replace(stopped, stuck=True))
        elif stopped.stuck and not mtm.has_open:
            state = replace(state, stopped=replace(stopped, stuck=False))  # and told again if it trades
        return StrategyStep(state if total is None else replace(state, last=total), stuck=late)
    if total is None:
        return StrategyStep(state)
    state = _in_session(settings, state, total, base, session)
    return _read(settings, state, EXACT.subtract(total, state.base), mtm, now, auto_close)


def is_late(state: StrategyState, mtm: Mtm, now: datetime, waits: bool = False) -> bool:
    """Tell whether people are to be told that a stopped strategy has open trades, unless somebody has resumed it."""
    stopped = state.stopped
    if stopped is None or stopped.advisory or stopped.stuck or waits:
        return False
    return mtm.has_open and now - stopped.at >= STUCK


def is_over(before: StrategyState, after: StrategyState) -> bool:
    """Tell whether what people were told of a stop, while nothing was closed for it, ends with a step."""
    was, now = before.stopped, after.stopped
    return was is not None and was.is_advice and (now is None or now.over)


def _in_session(
    settings: StrategyExits, state: StrategyState, total: Decimal, base: Decimal | None, session: date
) -> StrategyState:
    """Return the state of the session at hand: a new one begins at the last known P&L, with nothing reached."""
    if state.session is None:
        first = ZERO if settings.day == "carry" else base
        return replace(state, session=session, base=total if first is None else first, last=total)
    if settings.day == "session" and session != state.session:
        begins = total if state.last is None else state.last
        return StrategyState(session=session, base=begins, last=total, counts=state.counts)
    pending = state.pending if session == state.session else ()  # the night is between them
    return replace(state, session=session, last=total, pending=pending)


def _read(
    settings: StrategyExits,
    state: StrategyState,
    value: Decimal,
    mtm: Mtm,
    now: datetime,
    auto_close: bool,
) -> StrategyStep:
    state = _in_a_row(_raised(settings, state), mtm)
    if state.pending and _kind(state, state.pending[-1]) is not _kind(state, value):
        state = replace(state, pending=())
    if state.pending and _is_repeated(state, mtm):
        return StrategyStep(state)
    if not state.pending:
        state = replace(state, quiet_at=state.counted_at)
    certain = not mtm.has_open  # nothing is open: realised P&L needs no second reading
    window = (value,) if certain else (*state.pending, value)[-settings.confirm :]
    confirmed = certain or len(window) == settings.confirm
    peak = max(state.peak, min(window)) if confirmed else state.peak
    state = _raised(settings, replace(state, peak=peak))
    breach = state.stop is not None and value <= state.stop
    kept = window[len(window) - settings.confirm + 1 :] if confirmed else window
    matters = breach or value > state.peak
    state = replace(state, pending=kept if matters else (), counted_at=mtm.newest or state.counted_at)
    if not (confirmed and state.stop is not None and max(window) <= state.stop):
        return StrategyStep(state, suspect=breach)
    reason = (
        f"{_WORDS[state.rule]}: MTM {decimal_text(round(value, 2))} is at or below {decimal_text(state.stop)}"
    )
    stopped = Stopped(state.rule, now, value, state.stop, advisory=not auto_close)
    found = StrategyExit(state.rule, reason, value, state.stop)
    return StrategyStep(replace(state, stopped=stopped, pending=()), found)


def _in_a_row(state: StrategyState, mtm: Mtm) -> StrategyState:
    """Return the state without readings that one of now does not follow."""
    last = state.counted_at
    if state.pending and last is not None and mtm.newest is not None and mtm.newest - last > APART:
        return replace(state, pending=())
    return state


def _kind(state: StrategyState, value: Decimal) -> Literal["up", "down", ""]:
    """Return what an MTM would do if it holds: raise the peak, stop the strategy, or nothing."""
    if value > state.peak:
        return "up"
    return "down" if state.stop is not None and value <= state.stop else ""


def _is_repeated(state: StrategyState, mtm: Mtm) -> bool:
    """Tell whether a price that was new in the readings that wait for another is in this one again. Those that were there
    before, when they did no such thing, need not be newer: a symbol that is seldom quoted holds up nobody.
    """
    last, quiet = state.counted_at, state.quiet_at
    return last is not None and any(at <= last and (quiet is None or at > quiet) for at in mtm.times)


def _raised(settings: StrategyExits, state: StrategyState) -> StrategyState:
    held = stops(settings, state)
    for name, level in _levels(settings, state.peak):
        held[name] = max(level, held.get(name, level))
    rule = max(held, key=lambda name: held[name], default="")
    others = tuple((name, level) for name, level in held.items() if name != rule)
    return replace(state, stop=held.get(rule), rule=rule, others=others)


def stops(settings: StrategyExits, state: StrategyState) -> dict[str, Decimal]:
    """Return what each rule holds, the closest first; one that is switched off holds nothing."""
    is_on = {
        "max_loss": settings.max_loss is not None,
        "drawdown": settings.drawdown_limit is not None,
        "trailing_stop": settings.giveback is not None,
        "profit_floor": settings.floor is not None,
    }
    held = () if state.stop is None else ((state.rule, state.stop), *state.others)
    return {rule: level for rule, level in held if is_on[rule]}


def _levels(settings: StrategyExits, peak: Decimal) -> Iterator[tuple[str, Decimal]]:
    """Yield where each rule has its stop for a peak."""
    if settings.max_loss is not None:
        yield "max_loss", EXACT.minus(settings.max_loss)
    if settings.drawdown_limit is not None:
        yield "drawdown", EXACT.subtract(peak, settings.drawdown_limit)
    if settings.giveback is not None and peak > 0 and peak >= (settings.arm or ZERO):
        yield "trailing_stop", EXACT.subtract(peak, part(peak, settings.giveback))
    if settings.floor is not None and settings.floor_at is not None and peak >= settings.floor_at:
        step = settings.floor_step
        beyond = EXACT.subtract(peak, settings.floor_at)
        steps = EXACT.divide_int(beyond, step) if step else ZERO
        yield "profit_floor", EXACT.add(settings.floor, EXACT.multiply(steps, step or ZERO))


def standing_stop(
    settings: StrategyExits, state: StrategyState, mtm: Decimal | None
) -> tuple[str, Decimal | None]:
    """Return the rule and the level of the stop that settings give a strategy with this MTM; "" and None: no stop."""
    peak = state.peak if mtm is None else max(state.peak, mtm)
    raised = _raised(settings, replace(state, peak=peak))
    return raised.rule, raised.stop


def resumed(state: StrategyState, mtm: Mtm) -> StrategyState:
    """Return the state of a strategy that a person let trade again: MTM and peak begin anew where it stands."""
    last = state.last if mtm.total is None else mtm.total
    base = state.base if last is None else last
    return StrategyState(session=state.session, base=base, last=last, counts=state.counts)


def recounted(
    state: StrategyState, settings: StrategyExits, mtm: Mtm, was: Callable[[StrategyExits], Mtm]
) -> tuple[StrategyState, Mtm]:
    """Return a state that counts fees and income as its settings do now, and the MTM to go on with.

    A change of them holds from then on: what was paid before moves neither MTM nor peak nor stop. `was`: the MTM by
    other settings. Where it is unknown what the change makes, the MTM is UNKNOWN until that is known.
    """
    counts = settings.fees, settings.income
    if state.counts in (None, counts):
        return replace(state, counts=counts), mtm
    fees, income = state.counts
    before = was(settings.model_copy(update={"fees": fees, "income": income})).realised
    if mtm.realised is None or before is None:
        return state, replace(mtm, realised=None)
    more = EXACT.subtract(mtm.realised, before)
    last = None if state.last is None else EXACT.add(state.last, more)
    return replace(state, base=EXACT.add(state.base, more), last=last, counts=counts), mtm
