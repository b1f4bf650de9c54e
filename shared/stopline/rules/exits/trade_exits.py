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
from stopline.rules.exits.splits import in_terms, now_of, rescaled, still_old
from stopline.rules.exits.state import FRESH, Asked, Exit, ExitState, Held, Reading
from stopline.rules.exits.view import View

STUCK = timedelta(seconds=60)  # a trade that was told to close and is there after that is told to people
ODD = timedelta(seconds=60)  # for so long a proportion that was left is waited for
APART = timedelta(minutes=15)  # readings so far apart, or as far as prices may be old, are not in a row


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
    closing: bool = False,
    begins: datetime | None = None,
) -> Step:
    """Return what a reading and the time do to a trade.

    `reading` None: the price is unknown or too old, nothing that hangs on it triggers; the time rules (`due`, as
    `plan.deadlines` gives them) go on. A reading that was counted already changes nothing. `closing`: whoever it was has
    asked for it, or for a part of it, to be closed, and it is not done. `begins`: when the session did.
    """
    state = _in_a_row(plan, _followed(plan, held, state, now, closing), reading, begins)
    plan = in_terms(plan, state)
    if reading and state.split_at and reading.oldest <= state.split_at:
        reading = None  # of before the split: in other terms
    asked = state.asked
    if asked and not asked.advisory and not asked.stuck and now - asked.at >= STUCK:
        return Step(replace(state, asked=replace(asked, stuck=True), pending=()), stuck=True)
    if is_final(asked):
        return Step(state)
    passed = [(at, rule) for at, rule in due if at <= now]
    if state.shape != held.shape:
        state, by_price, suspect = _read_rest(plan, held, state, reading, now)
    else:
        view = View(plan, held, muted(state), any(rule == "timeout" for _, rule in passed))
        before, (state, by_price, suspect) = state.stage, view.read(state, reading)
        if state.stage > before and not plan.auto_close:
            state = replace(state, advised=state.advised + state.stage - before)
    by_time = (_by_time(rule, plan, at == held.opened_at) for at, rule in passed if rule != "timeout")
    order = sorted([*by_time, *([by_price] if by_price else ())], key=lambda e: e.urgency != "urgent")
    found = next((e for e in order if is_new(plan, state, e)), None)
    if found is None:
        return Step(state, suspect=suspect)
    told = state.told if plan.auto_close or found.rule == "scale_out" else (*state.told, found.rule)
    asked = Asked(found.rule, now, found.leave, advisory=not plan.auto_close)
    return Step(replace(state, asked=asked, told=told, pending=()), found)


def _followed(plan: Plan, held: Held, state: ExitState, now: datetime, closing: bool) -> ExitState:
    """Return the state once it is looked at what became of the trade, and of what was asked for."""
    if _is_another(held, state):
        state = FRESH
    known = state.splits
    state = rescaled(plan, held, still_old(plan, state))
    state = state if state.splits == known else replace(state, split_at=now)
    asked = state.asked
    if plan.auto_close and is_advised(state):  # switched on since: look again
        kept = asked if is_closing(state) else None
        state = replace(state, asked=kept, told=(), stage=state.stage - state.advised, advised=0)
    elif asked and held.quantity <= asked.leave:
        state = replace(state, asked=None, pending=() if asked.stuck else state.pending)
    if is_final(state.asked):
        return state  # there is nothing left to decide
    if (state.shape, state.splits) != (held.shape, held.splits):
        if _is_awaited(held, state, now, closing):
            return state if state.odd_since else replace(state, odd_since=now, pending=())
        split_at = state.split_at if state.splits == held.splits else now
        state = ExitState(shape=held.shape, splits=held.splits, split_at=split_at)
    size = max(state.size, held.quantity)
    if (state.size, state.since, state.odd_since) == (size, held.opened_at, None):
        return state
    return replace(state, size=size, since=held.opened_at, odd_since=None)


def _is_another(held: Held, state: ExitState) -> bool:
    """Tell whether the trade was flat since: what comes under the same id is another one."""
    return state.since is not None and held.opened_at > state.since


def is_advised(state: ExitState) -> bool:
    """Tell whether people were told of something that would have been closed."""
    return bool(state.told or state.advised or (state.asked and state.asked.advisory))


def _is_awaited(held: Held, state: ExitState, now: datetime, closing: bool) -> bool:
    """Tell whether legs out of proportion are expected back in it: while anyone closes a part of the trade, and for a while
    where it is only the sizes that differ. What is still being built begins anew at once.
    """
    if closing or is_closing(state):
        return bool(state.shape)
    if _symbols(state.shape) != _symbols(held.shape):
        return False
    if state.odd_since is not None:
        return now - state.odd_since < ODD
    is_reached = state.stage or state.asked or state.told or state.rule not in ("", "stop_loss")
    return bool(is_reached) or now - held.opened_at >= ODD


def _symbols(shape: str) -> list[str]:
    return [leg.rpartition("*")[0] for leg in shape.partition(":")[2].split(",")]


def _in_a_row(plan: Plan, state: ExitState, reading: Reading | None, begins: datetime | None) -> ExitState:
    """Return the state without readings that one of now does not follow: of before the night, or of long ago."""
    last = state.counted_at
    if not state.pending or reading is None or last is None:
        return state
    is_apart = reading.oldest - last > max(plan.price_max_age, APART) or (
        begins is not None and last < begins
    )
    return replace(state, pending=()) if is_apart else state


def _read_rest(
    plan: Plan, held: Held, state: ExitState, reading: Reading | None, now: datetime
) -> tuple[ExitState, Exit | None, bool]:
    """Read the price of a spread that is out of proportion. It triggers nothing; but where that lasts, or what was asked
    for is stuck, what is left has its stop and its excessive loss, by its own entry.
    """
    is_stuck = state.asked is not None and state.asked.stuck
    is_long = state.odd_since is not None and now - state.odd_since >= ODD
    if not is_stuck and (is_closing(state) or not is_long):
        return replace(state, pending=()) if state.pending else state, None, False
    rest = replace(state, shape=held.shape, stop=None, rule="", others=(), best=None)
    read, found, suspect = View(plan, held, NORMAL).read(rest, reading)
    return replace(state, pending=read.pending, counted_at=read.counted_at), found, suspect


def _by_time(rule: str, plan: Plan, at_once: bool) -> Exit:
    match rule:
        case "max_age":
            reason = f"open for {plan.max_age}"
        case "exit_at":
            reason = f"it is {plan.exit_at:%H:%M}, or the market closes before"
        case _ if at_once:
            reason = (
                f"it was opened in the last {plan.before_close} before the close, when nothing is to be open"
            )
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
    plan = in_terms(plan, state)
    asked = state.asked
    wait = [asked.at + STUCK] if asked and not (asked.stuck or asked.advisory) else []
    if is_final(asked) and not _is_another(held, state) and state.splits == held.splits:
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
        or (asked is not None and held.quantity <= asked.leave)
        or (plan.auto_close and is_advised(state))
        or plan.needs_atr
        or state.size < held.quantity
        or (state.shape, state.splits) != (held.shape, held.splits)
        or _is_another(held, state)
        or state.odd_since is not None,
    )


def levels_of(plan: Plan, held: Held, state: ExitState) -> tuple[Decimal | None, Decimal | None]:
    """Return the real prices of stop and target as they stand; None: not set or not known."""
    state = _of(plan, held, state)
    if state.shape != held.shape and state.shape:
        return None, None  # of the full proportion
    view = View(in_terms(plan, state), held)
    stop, _ = view.closest(state)
    target = view.levels(state).target
    return None if stop is None else view.turn(stop), None if target is None else view.turn(target)


def stop_rule(plan: Plan, held: Held, state: ExitState) -> str:
    """Return the rule that holds the stop, "" without one."""
    return View(plan, held).closest(_of(plan, held, state))[1]


def profit_at(plan: Plan, held: Held, state: ExitState, distance: Distance) -> Decimal | None:
    """Return how far in profit, in points, a distance of the plan is from the entry; None while R or ATR is unknown."""
    view, known = _known(plan, held, state)
    level = view.up(now_of(distance, known), known)
    return None if level is None else EXACT.subtract(level, view.entry)


def risk_of(plan: Plan, held: Held, state: ExitState) -> Decimal | None:
    """Return one R of a trade in points, as its next reading would see it; None: there is none, or not yet."""
    return _known(plan, held, state)[1].risk


def awaits_range(plan: Plan, held: Held, state: ExitState) -> bool:
    """Tell whether nothing ends a loss of a trade for want of bars: its only stop counts in their average true range."""
    if not plan.needs_atr or plan.excessive_loss is not None:
        return False
    view, known = _known(plan, held, state)
    return not view.closest(known)[1] and view.awaits_range(known)


def _known(plan: Plan, held: Held, state: ExitState) -> tuple[View, ExitState]:
    state = _of(plan, held, state)
    view = View(in_terms(plan, state), held)
    is_same = state.shape == held.shape or is_closing(state) or state.odd_since is not None
    return view, view.settled(state if is_same else ExitState(shape=held.shape))


def _of(plan: Plan, held: Held, state: ExitState) -> ExitState:
    """Return what is remembered of the trade as it is held now: nothing, if it was flat since."""
    return rescaled(plan, held, FRESH if _is_another(held, state) else state)
