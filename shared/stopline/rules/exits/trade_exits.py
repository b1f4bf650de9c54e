"""Exits of one trade: what a reading of its price, or the time, does to its stop, and when it is closed.

One step takes the plan, the trade, what is remembered of it and a reading, and returns what to remember and what
to close. Inside, prices are oriented: negated for a short, so that higher is better for both.

A price counts when it has held for `confirm` readings in a row (the worst of them counts): one bad tick moves
no stop and closes nothing. A stop only ever moves in the trade's favour.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal

from stopline.model.closing import Urgency
from stopline.model.decimals import EXACT, ROUNDED, ZERO, decimal_text
from stopline.model.settings.exits import Distance, Unit
from stopline.rules.exits.plan import Plan
from stopline.rules.exits.state import Asked, Exit, ExitState, Held, Reading
from stopline.rules.exits.trailing import ALGORITHMS, CENT, Ride, part, with_reading

STUCK = timedelta(seconds=60)  # a trade that was told to close and is there after that is told to people
HUNDRED = Decimal(100)


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
    if state.shape != held.shape:  # legged in or out of: what was reached does not count for these legs
        state = ExitState(shape=held.shape, asked=state.asked)
    if held.quantity > state.size:
        state = replace(state, size=held.quantity)
    asked = state.asked
    if asked and asked.advisory and plan.auto_close:
        state = replace(state, asked=None)  # it was switched on since: look again
    elif asked and held.quantity <= asked.leave:
        state = replace(state, asked=None)
    elif asked and not asked.advisory and not asked.stuck and now - asked.at >= STUCK:
        return Step(replace(state, asked=replace(asked, stuck=True)), stuck=True)
    if state.asked and not state.asked.leave:
        return Step(state)
    passed = [rule for at, rule in due if at <= now]
    found = next((_by_time(rule, plan) for rule in passed if rule != "timeout"), None)
    suspect = False
    view = _View(plan, held, "timeout" in passed)
    if reading is None:
        state = view.settled(state)
    else:
        state, by_price, suspect = view.read(state, reading)
        found = by_price if by_price and (found is None or by_price.urgency == "urgent") else found
    if found is None:
        return Step(state, suspect=suspect)
    asked = Asked(found.rule, now, found.leave, advisory=not plan.auto_close)
    if state.asked and state.asked.leave <= found.leave:
        return Step(state, suspect=suspect)
    return Step(replace(state, asked=asked, pending=()), found)


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
class Levels:
    """The oriented prices at which something happens; None is not set, or unknown."""

    stop: Decimal | None
    excessive: Decimal | None
    target: Decimal | None
    stages: tuple[Decimal | None, ...]
    ratchets: tuple[Decimal, ...]  # a best price at or beyond one of these moves the stop

    def is_breach(self, price: Decimal) -> bool:
        """Tell whether a price alone would close something."""
        down = [level for level in (self.stop, self.excessive) if level is not None]
        up = [level for level in (self.target, *self.stages) if level is not None]
        return any(price <= level for level in down) or any(price >= level for level in up)


class _View:
    """One trade in oriented prices."""

    def __init__(self, plan: Plan, held: Held, timed_out: bool) -> None:
        self.plan = plan
        self.held = held
        self.timed_out = timed_out
        self.entry = self.turn(held.entry)

    def turn(self, price: Decimal) -> Decimal:
        """Return a real price as an oriented one, and back."""
        return price if self.held.side > 0 else price.copy_negate()

    def read(self, state: ExitState, reading: Reading) -> tuple[ExitState, Exit | None, bool]:
        """Return the state after a reading, the exit that it confirms, and whether it is a suspect."""
        plan, price = self.plan, self.turn(reading.price)
        repeated = state.counted_at is not None and reading.oldest <= state.counted_at
        if plan.confirm > 1 and state.pending and repeated:
            return state, None, False
        if plan.needs_atr and not repeated:
            state = replace(
                state,
                bars=with_reading(state.bars, reading.price, reading.newest, plan.atr_bar, plan.atr_bars),
                counted_at=reading.newest,
            )
        window = (*(self.turn(p) for p in state.pending), price)[-plan.confirm :]
        confirmed = len(window) == plan.confirm
        state = self.settled(state, min(window) if confirmed else None)
        levels = self.levels(state)
        found = self._found(state, levels, min(window), max(window), reading.price) if confirmed else None
        if found and found.rule == "scale_out":
            state = replace(state, stage=self._stage(levels, min(window), state.stage))
            levels = self.levels(state)
            if found.leave >= self.held.quantity:
                found = None  # too small a part for a whole unit, or closed by hand
        if self._is_quiet(state, levels, price):
            return replace(state, pending=()) if state.pending else state, found, False
        kept = window[len(window) - plan.confirm + 1 :] if confirmed else window
        state = replace(state, pending=tuple(self.turn(p) for p in kept), counted_at=reading.newest)
        return state, found, found is None and levels.is_breach(price)

    def levels(self, state: ExitState) -> Levels:
        """Return where something happens next."""
        plan, entry = self.plan, self.entry
        stop = None if state.stop is None else self.turn(state.stop)
        if self.timed_out:
            stop = entry if stop is None else max(stop, entry)
        best = entry if state.best is None else self.turn(state.best)
        ratchets = [self.up(plan.breakeven, state)] if plan.breakeven and not state.is_even else []
        ratchets += [
            level for s in plan.lock_in if (level := self.up(s.at, state)) is not None and level > best
        ]
        if plan.trail:
            start = self.up(plan.trail.activation, state)
            ratchets.append(None if start is None else max(start, best))
        return Levels(
            stop,
            None if plan.excessive_loss is None else self._down(plan.excessive_loss, state),
            None if plan.target is None else self.up(plan.target, state),
            tuple(self.up(s.at, state) for s in plan.scale_out[state.stage :]),
            tuple(level for level in ratchets if level is not None),
        )

    def _is_quiet(self, state: ExitState, levels: Levels, price: Decimal) -> bool:
        """Tell whether a price changes nothing, however long it holds."""
        if levels.is_breach(price):
            return False
        best = None if state.best is None else self.turn(state.best)
        return all(price < level or (best is not None and price <= best) for level in levels.ratchets)

    def settled(self, state: ExitState, worst: Decimal | None = None) -> ExitState:
        """Return the state with best price, R and stop moved as far as a confirmed price allows."""
        first = self._first_stop(state)
        if state.risk is None and first is not None and first < self.entry:
            state = replace(state, risk=EXACT.subtract(self.entry, first))  # before levels that count in R
        best = self.entry if state.best is None else self.turn(state.best)
        if worst is not None and worst > best and any(worst >= r for r in self.levels(state).ratchets):
            best = worst  # noted only where it moves a stop: what changes nothing is not written
        is_even = state.is_even
        if self.plan.breakeven is not None and not is_even:
            level = self.up(self.plan.breakeven, state)
            is_even = level is not None and best >= level
        was = None if state.stop is None else self.turn(state.stop)
        stop, rule = was, state.rule
        for name, level in self._stops(state, first, best, is_even):
            if level is not None and (stop is None or level > stop):
                stop, rule = level, name
        real = self.turn(best)
        if (stop, is_even, real) == (was, state.is_even, state.best):
            return state
        moved = None if stop is None else self.turn(stop)
        return replace(state, best=real, is_even=is_even, stop=moved, rule=rule)

    def _stops(
        self, state: ExitState, first: Decimal | None, best: Decimal, is_even: bool
    ) -> Iterator[tuple[str, Decimal | None]]:
        """Yield where each rule wants the stop."""
        plan = self.plan
        yield "stop_loss", first
        if is_even:
            offset = plan.breakeven_offset
            yield "breakeven", self.entry if offset is None else self.up(offset, state)
        for step in plan.lock_in:
            at = self.up(step.at, state)
            if at is not None and best >= at:
                yield "lock_in", self.up(step.keep, state)
        if plan.trail:
            start = self.up(plan.trail.activation, state)
            if start is not None and best >= start:
                ride = Ride(self.entry, best, self._atr(state))
                yield "trailing_stop", ALGORITHMS[plan.trail.by].stop(ride, plan.trail.amount)

    def _found(
        self, state: ExitState, levels: Levels, low: Decimal, high: Decimal, price: Decimal
    ) -> Exit | None:
        """Return what a confirmed span of readings triggers."""
        if levels.excessive is not None and high <= levels.excessive:
            return self._exit("excessive_loss", "urgent", levels.excessive, price)
        if levels.stop is not None and high <= levels.stop:
            rule = (
                state.rule if state.stop is not None and self.turn(state.stop) == levels.stop else "timeout"
            )
            what = "not in profit in time: " if rule == "timeout" else ""
            return self._exit(rule, "urgent" if rule == "stop_loss" else "normal", levels.stop, price, what)
        if levels.target is not None and low >= levels.target:
            return self._exit("target", "normal", levels.target, price)
        stage = self._stage(levels, low, state.stage)
        if stage == state.stage:
            return None
        level = levels.stages[stage - state.stage - 1]
        assert level is not None
        what = f"stage {stage} of {len(self.plan.scale_out)}: "
        return replace(
            self._exit("scale_out", "normal", level, price, what), leave=self._left(state.size, stage)
        )

    def _stage(self, levels: Levels, low: Decimal, done: int) -> int:
        """Return how many stages of the scale-out a price has reached."""
        for level in levels.stages:
            if level is None or low < level:
                break
            done += 1
        return done

    def _left(self, size: Decimal, stage: int) -> Decimal:
        """Return what stays open after a stage: whole steps, rounded up, so that never more is closed than said."""
        closed = sum((s.close for s in self.plan.scale_out[:stage]), ZERO)
        left = EXACT.multiply(size, EXACT.multiply(HUNDRED - closed, CENT))
        steps = ROUNDED.divide(left, self.held.step).to_integral_value(rounding=ROUND_CEILING)
        return EXACT.multiply(steps, self.held.step)

    def _exit(self, rule: str, urgency: Urgency, level: Decimal, price: Decimal, what: str = "") -> Exit:
        real = self.turn(level)
        reason = f"{what}price {decimal_text(price)} reached {decimal_text(round(real, 6))}"
        return Exit(rule, ZERO, urgency, reason, price, real)

    def _first_stop(self, state: ExitState) -> Decimal | None:
        """Return where the stop loss is. By ATR it is fixed when it is first known: R says how far."""
        distance = self.plan.stop_loss
        if distance is None:
            return None
        if distance.unit is Unit.ATR and state.risk is not None:
            return EXACT.subtract(self.entry, state.risk)
        return self._down(distance, state)

    def up(self, distance: Distance, state: ExitState) -> Decimal | None:
        span = self._span(distance, state)
        if distance.unit is Unit.PRICE or span is None:
            return span
        return EXACT.add(self.entry, span)

    def _down(self, distance: Distance, state: ExitState) -> Decimal | None:
        span = self._span(distance, state)
        if distance.unit is Unit.PRICE or span is None:
            return span
        return EXACT.subtract(self.entry, span)

    def _span(self, distance: Distance, state: ExitState) -> Decimal | None:
        """Return a distance in points; of `@` the oriented price itself; None while R or ATR is unknown."""
        match distance.unit:
            case Unit.PERCENT:
                return part(self.entry, distance.value)
            case Unit.POINTS:
                return distance.value
            case Unit.PRICE:
                return self.turn(distance.value)
            case Unit.R:
                return None if state.risk is None else EXACT.multiply(distance.value, state.risk)
            case _:
                atr = self._atr(state)
                return None if atr is None else EXACT.multiply(distance.value, atr)

    def _atr(self, state: ExitState) -> Decimal | None:
        return state.bars.known(self.plan.atr_bars) if state.bars else None


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
    if asked and not asked.leave:
        return Band(due=min(wait, default=None), watch=asked.advisory and plan.auto_close)
    view = _View(plan, held, any(rule == "timeout" and at <= now for at, rule in due))
    levels = view.levels(state)
    best = view.entry if state.best is None else view.turn(state.best)
    lows = [level for level in (levels.stop, levels.excessive) if level is not None]
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
        min([*(at for at, rule in due if at > now or rule != "timeout"), *wait], default=None),
        watch=bool(state.pending or asked)
        or plan.needs_atr
        or state.size < held.quantity
        or state.shape != held.shape,
    )


def levels_of(plan: Plan, held: Held, state: ExitState) -> tuple[Decimal | None, Decimal | None]:
    """Return the real prices of stop and target as they stand; None: not set or not known."""
    view = _View(plan, held, timed_out=False)
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


def _known(plan: Plan, held: Held, state: ExitState) -> tuple[_View, ExitState]:
    view = _View(plan, held, timed_out=False)
    return view, view.settled(state if state.shape == held.shape else ExitState(shape=held.shape))
