"""Exits of one trade: what a reading of its price, or the time, does to its stop, and when it is closed.

One step takes the plan, the trade, what is remembered of it and a reading, and returns what to remember and what
to close. Inside, prices are oriented: negated for a short, so that higher is better for both.

A price counts when it has held for `confirm` readings in a row (the worst of them counts): one bad tick moves
no stop and closes nothing. A stop only ever moves in the trade's favour.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from stopline.model.decimals import EXACT, ZERO
from stopline.model.settings.exits import Distance
from stopline.rules.exits.asked import NORMAL, is_closing, is_final, is_new, muted
from stopline.rules.exits.plan import Plan
from stopline.rules.exits.state import Asked, Exit, ExitState, Held, Reading
from stopline.rules.exits.view import View

STUCK = timedelta(seconds=60)  # a trade that was told to close and is there after that is told to people


@dataclass(frozen=True, slots=True)
class Step:
    """What a step led to. `suspect`: a first reading that would close, if the next one agrees; `stuck`: what was
    asked for has not come.
    """

    state: ExitState
    exit: Exit | None = None
    suspect: bool = False
    stuck: bool = False


def advance(
    plan: Plan,
    held: Held,
    state: ExitState,
    reading: Reading | None,
    due: Sequence[tuple[datetime, str]],
    now: datetime,
) -> Step:
    """Return what a reading and the time do to a trade.

    `reading` None: the price is unknown or too old, nothing that hangs on it triggers; the time rules (`due`, as
    `exit_plan.deadlines` gives them) go on. A reading that was counted already changes nothing.
    """
    state = _followed(plan, held, state)
    asked = state.asked
    if asked and not asked.advisory and not asked.stuck and now - asked.at >= STUCK:
        return Step(replace(state, asked=replace(asked, stuck=True), pending=()), stuck=True)
    if is_final(asked):
        return Step(state)
    passed = [rule for at, rule in due if at <= now]
    if state.shape != held.shape:
        state, by_price, suspect = _read_rest(plan, held, state, reading)
    else:
        view = View(plan, held, muted(state), "timeout" in passed)
        state, by_price, suspect = view.read(state, reading)
    by_time = (_by_time(rule, plan) for rule in passed if rule != "timeout")
    order = sorted([*by_time, *([by_price] if by_price else ())], key=lambda e: e.urgency != "urgent")
    found = next((e for e in order if is_new(plan, state, e)), None)
    if found is None:
        return Step(state, suspect=suspect)
    told = state.told if plan.auto_close or found.rule == "scale_out" else (*state.told, found.rule)
    asked = Asked(found.rule, now, found.leave, advisory=not plan.auto_close)
    return Step(replace(state, asked=asked, told=told, pending=()), found)


def _followed(plan: Plan, held: Held, state: ExitState) -> ExitState:
    """Return the state once it is looked at what became of the trade, and of what was asked for."""
    asked = state.asked
    if plan.auto_close and (state.told or (asked and asked.advisory)):  # switched on since: look again
        state = replace(state, asked=asked if is_closing(state) else None, told=())
    elif asked and held.quantity <= asked.leave:
        state = replace(state, asked=None, pending=() if asked.stuck else state.pending)
    if state.shape != held.shape:
        if is_closing(state):
            return state  # our own fills, leg by leg: what was reached waits for the full proportion
        state = ExitState(shape=held.shape)  # legged in or out of by people: what was reached does not count
    return replace(state, size=held.quantity) if held.quantity > state.size else state


def _read_rest(
    plan: Plan, held: Held, state: ExitState, reading: Reading | None
) -> tuple[ExitState, Exit | None, bool]:
    """Read the price of a spread that is out of proportion while it is being closed. It triggers nothing; but once that is
    stuck, what is left has its stop and its excessive loss, by its own entry.
    """
    if state.asked is None or not state.asked.stuck:
        return replace(state, pending=()) if state.pending else state, None, False
    rest = replace(state, shape=held.shape, stop=None, rule="", best=None)
    read, found, suspect = View(plan, held, NORMAL).read(rest, reading)
    return replace(state, pending=read.pending, counted_at=read.counted_at), found, suspect


def _by_time(rule: str, plan: Plan) -> Exit:
    match rule:
        case "max_age":
            reason = f"open for {plan.max_age}"
        case "exit_at":
            reason = f"it is {plan.exit_at:%H:%M}"
        case _:
            reason = f"the market closes in {plan.before_close}"
    return Exit(rule, ZERO, "urgent" if rule == "before_close" else "normal", reason)


@dataclass(frozen=True, slots=True)
class Band:
    """Between `low` and `high` (real prices, both outside), and up to `best`, a reading changes nothing before
    `due`. `watch`: look at every reading exactly.
    """

    low: Decimal | None = None
    high: Decimal | None = None
    best: Decimal | None = None
    due: datetime | None = None
    watch: bool = False


def band(
    plan: Plan, held: Held, state: ExitState, due: Sequence[tuple[datetime, str]], now: datetime
) -> Band:
    """Return where nothing happens to a trade, for the cheap comparison of many."""
    asked = state.asked
    wait = [asked.at + STUCK] if asked and not (asked.stuck or asked.advisory) else []
    if is_final(asked):
        return Band(due=min(wait, default=None))
    quiet = muted(state)
    view = View(plan, held, quiet, any(rule == "timeout" and at <= now for at, rule in due))
    levels = view.levels(state)
    best = view.entry if state.best is None else view.turn(state.best)
    lows = [level for level in (levels.stop, levels.loss, levels.excessive) if level is not None]
    highs = [level for level in (levels.target, *levels.stages) if level is not None]
    highs += [level for level in levels.ratchets if level > best]
    bounds = [max(lows, default=None), min(highs, default=None)]
    if held.side < 0:
        bounds.reverse()
    low, high = (None if level is None else view.turn(level) for level in bounds)
    return Band(
        low,
        high,
        view.turn(best) if best in levels.ratchets else None,
        min([*(at for at, rule in due if at > now or rule not in {*quiet, "timeout"}), *wait], default=None),
        watch=bool(state.pending)
        or is_closing(state)
        or (asked is not None and (plan.auto_close or held.quantity <= asked.leave))
        or (plan.auto_close and bool(state.told))
        or plan.needs_atr
        or state.size < held.quantity
        or state.shape != held.shape,
    )


def levels_of(plan: Plan, held: Held, state: ExitState) -> tuple[Decimal | None, Decimal | None]:
    """Return the real prices of stop and target as they stand; None: not set or not known."""
    if state.shape != held.shape and is_closing(state):
        return None, None  # of the full proportion
    view = View(plan, held)
    target = view.levels(state).target
    return state.stop, None if target is None else view.turn(target)


def profit_at(plan: Plan, held: Held, state: ExitState, distance: Distance) -> Decimal | None:
    """Return how far in profit, in points, a distance from the entry is; None while R or ATR is unknown."""
    view, known = _known(plan, held, state)
    level = view.up(distance, known)
    return None if level is None else EXACT.subtract(level, view.entry)


def risk_of(plan: Plan, held: Held, state: ExitState) -> Decimal | None:
    """Return one R of a trade in points, as its next reading would see it; None: there is none, or not yet."""
    return _known(plan, held, state)[1].risk


def _known(plan: Plan, held: Held, state: ExitState) -> tuple[View, ExitState]:
    view = View(plan, held)
    is_same = state.shape == held.shape or is_closing(state)
    return view, view.settled(state if is_same else ExitState(shape=held.shape))
