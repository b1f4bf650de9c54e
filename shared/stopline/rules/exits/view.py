"""One trade in oriented prices (negated for a short, so that higher is better for both): where something happens, and what
a reading does to its stop.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal

from stopline.model.closing import Urgency
from stopline.model.decimals import EXACT, ROUNDED, ZERO, decimal_text, divide, price_text
from stopline.model.settings.exits import Distance, Unit
from stopline.rules.exits.plan import Plan
from stopline.rules.exits.state import Exit, ExitState, Held, Reading
from stopline.rules.exits.trailing import ALGORITHMS, CENT, Ride, part, with_reading

HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Levels:
    """The oriented prices at which something happens; None is not set, or unknown."""

    stop: Decimal | None
    rule: str  # of the stop
    loss: Decimal | None  # the stop loss itself, which is urgent; a stop that moved since is closer
    excessive: Decimal | None
    target: Decimal | None
    stages: tuple[Decimal | None, ...]
    ratchets: tuple[Decimal, ...]  # a best price at or beyond one of these moves the stop

    def is_breach(self, price: Decimal) -> bool:
        """Tell whether a price alone would close something."""
        down = [level for level in (self.stop, self.loss, self.excessive) if level is not None]
        up = [level for level in (self.target, *self.stages) if level is not None]
        return any(price <= level for level in down) or any(price >= level for level in up)


class View:
    """One trade in oriented prices. `muted`: rules that close nothing."""

    def __init__(
        self, plan: Plan, held: Held, muted: frozenset[str] = frozenset(), timed_out: bool = False
    ) -> None:
        self.plan = plan
        self.held = held
        self.muted = muted
        self.timed_out = timed_out
        self.entry = self.turn(held.entry)

    def turn(self, price: Decimal) -> Decimal:
        """Return a real price as an oriented one, and back."""
        return price if self.held.side > 0 else price.copy_negate()

    def read(self, state: ExitState, reading: Reading | None) -> tuple[ExitState, Exit | None, bool]:
        """Return the state after a reading, the exit that it confirms, and whether it is a suspect."""
        if reading is None:
            return self.settled(state), None, False
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
        held = self.stops(state)
        stop, rule = _highest(held)
        loss = self._loss(state, held.get("stop_loss"))
        if self.timed_out and "timeout" not in self.muted and (stop is None or stop < entry):
            stop, rule = entry, "timeout"
        best = entry if state.best is None else self.turn(state.best)
        ratchets = [self.up(plan.breakeven, state)] if plan.breakeven and not state.is_even else []
        ratchets += [
            level for s in plan.lock_in if (level := self.up(s.at, state)) is not None and level > best
        ]
        if plan.trail:
            start = self.up(plan.trail.activation, state)
            ratchets.append(None if start is None else max(start, best))
        said: dict[str, Decimal | None] = {
            rule: stop,
            "stop_loss": loss,
            "excessive_loss": None if plan.excessive_loss is None else self._down(plan.excessive_loss, state),
            "target": None if plan.target is None else self.up(plan.target, state),
        }
        said = {name: None if name in self.muted else level for name, level in said.items()}
        stages = () if "scale_out" in self.muted else plan.scale_out[state.stage :]
        return Levels(
            said[rule],
            rule,
            said["stop_loss"],
            said["excessive_loss"],
            said["target"],
            tuple(self.up(s.at, state) for s in stages),
            tuple(level for level in ratchets if level is not None),
        )

    def stops(self, state: ExitState) -> dict[str, Decimal]:
        """Return what each rule holds, as an oriented price, the closest first; one that is switched off holds nothing."""
        plan = self.plan
        is_on = {
            "stop_loss": plan.stop_loss is not None,
            "breakeven": plan.breakeven is not None,
            "lock_in": bool(plan.lock_in),
            "trailing_stop": plan.trail is not None,
        }
        held = () if state.stop is None else ((state.rule, state.stop), *state.others)
        return {rule: self.turn(level) for rule, level in held if is_on[rule]}

    def closest(self, state: ExitState) -> tuple[Decimal | None, str]:
        """Return the stop that holds, as an oriented price, and its rule."""
        return _highest(self.stops(state))

    def _loss(self, state: ExitState, held: Decimal | None) -> Decimal | None:
        """Return where the stop loss closes: a looser setting does not move it back."""
        first = self._first_stop(state)
        return max((level for level in (first, held) if level is not None), default=None)

    def _is_quiet(self, state: ExitState, levels: Levels, price: Decimal) -> bool:
        """Tell whether a price changes nothing, however long it holds."""
        if levels.is_breach(price):
            return False
        best = None if state.best is None else self.turn(state.best)
        return all(price < level or (best is not None and price <= best) for level in levels.ratchets)

    def settled(self, state: ExitState, worst: Decimal | None = None) -> ExitState:
        """Return the state with best price, R and stop moved as far as a confirmed price allows."""
        state = self._fixed(state)
        first = self._first_stop(state)
        if state.risk is None and first is not None and first < self.entry:
            state = replace(state, risk=EXACT.subtract(self.entry, first))  # before levels that count in R
        best = self.entry if state.best is None else self.turn(state.best)
        if worst is not None and worst > best and any(worst >= r for r in self.levels(state).ratchets):
            best = worst  # noted only where it moves a stop: what changes nothing is not written
        is_even = False
        if self.plan.breakeven is not None:
            level = self.up(self.plan.breakeven, state)
            is_even = state.is_even or (level is not None and best >= level)
        held = self.stops(state)
        for name, wish in self._stops(state, first, best, is_even):
            if wish is not None and (name not in held or wish > held[name]):
                held[name] = wish
        stop, rule = _highest(held)
        moved = None if stop is None else self.turn(stop)
        others = tuple((name, self.turn(level)) for name, level in held.items() if name != rule)
        real = self.turn(best)
        if (moved, rule, others, is_even, real) == (
            state.stop,
            state.rule,
            state.others,
            state.is_even,
            state.best,
        ):
            return state
        return replace(state, best=real, is_even=is_even, stop=moved, rule=rule, others=others)

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
        if levels.loss is not None and high <= levels.loss:
            return self._exit("stop_loss", "urgent", levels.loss, price)
        if levels.stop is not None and high <= levels.stop:
            what = "not in profit in time: " if levels.rule == "timeout" else ""
            return self._exit(levels.rule, "normal", levels.stop, price, what)
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
        reason = f"{what}price {decimal_text(price)} reached {price_text(real)}"
        return Exit(rule, ZERO, urgency, reason, price, real)

    def _first_stop(self, state: ExitState) -> Decimal | None:
        """Return where the stop loss is. One by ATR counts in the range as it was when it was first known."""
        distance = self.plan.stop_loss
        if distance is None:
            return None
        if distance.unit is not Unit.ATR:
            return self._down(distance, state)
        fixed = state.atr or self._atr(state)
        return None if fixed is None else EXACT.subtract(self.entry, EXACT.multiply(distance.value, fixed))

    def _fixed(self, state: ExitState) -> ExitState:
        """Return the state with the range that a stop by ATR counts in, once it is known. A document that did not say it
        has R, which was that stop.
        """
        stop = self.plan.stop_loss
        if state.atr or stop is None or stop.unit is not Unit.ATR:
            return state
        if state.atr is not None and state.risk is not None and stop.value:
            return replace(state, atr=divide(state.risk, stop.value))
        known = self._atr(state)
        return state if known is None else replace(state, atr=known)

    def awaits_range(self, state: ExitState) -> bool:
        """Tell whether a stop would hold if the average true range were known."""
        plan = self.plan
        if self._atr(state) is not None:
            return False
        if plan.stop_loss is not None and plan.stop_loss.unit is Unit.ATR:
            return True
        if plan.trail is None or Unit.ATR not in (plan.trail.amount.unit, plan.trail.activation.unit):
            return False
        start = self.up(plan.trail.activation, state)
        best = self.entry if state.best is None else self.turn(state.best)
        return plan.trail.activation.unit is Unit.ATR if start is None else best >= start

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
        """Return a distance in points; of `@` the oriented price itself; None while R or ATR is unknown, and in percent of
        an entry at 0.
        """
        match distance.unit:
            case Unit.PERCENT:
                return part(self.entry, distance.value) if self.entry else None
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


def _highest(stops: Mapping[str, Decimal]) -> tuple[Decimal | None, str]:
    """Return the highest of oriented stops and its rule, of equal ones the first; None and "" without one."""
    rule = max(stops, key=lambda name: stops[name], default="")
    return stops.get(rule), rule
