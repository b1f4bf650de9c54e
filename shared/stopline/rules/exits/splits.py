"""A split of what a trade holds: what its exits remember, and what was written of it before, in the new prices.

After two for one there are twice the units at half the price. So that nothing else changes, every price that is
remembered is divided by the ratio and every size multiplied with it; and so are the distances in points and the prices in
the settings, which were written in old prices, until somebody writes them anew.
"""

from collections.abc import Iterable
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from stopline.model.decimals import EXACT, EXACT_QUANTIZE, divide
from stopline.model.increments import round_up
from stopline.model.settings.exits import Distance, Unit
from stopline.rules.exits.plan import Plan
from stopline.rules.exits.state import ExitState, Held, Splits
from stopline.rules.exits.trailing import Bars

Ratio = tuple[Decimal, Decimal]
"""So many units became of so many."""

FINEST = Decimal("1E-12")  # of prices, as `divide` rounds them
ONCE: Ratio = (Decimal(1), Decimal(1))


def rescaled(plan: Plan, held: Held, state: ExitState) -> ExitState:
    """Return the state in the units and prices of now. Where legs were split differently it is left as it is: their
    proportion is another one until the last of them is split too.
    """
    if state.splits == held.splits:
        return state
    if state.since is None:  # nothing was noted yet, or not by this version: it is of now
        return replace(state, splits=held.splits)
    ratio = _between(state.splits, held.splits)
    if ratio is None:
        return state
    return replace(
        _scaled(state, ratio, held), splits=held.splits, old_terms=_terms(plan, state.old_terms, ratio)
    )


def in_terms(plan: Plan, state: ExitState) -> Plan:
    """Return a plan in the prices of now: what it says in prices of before a split is turned into them."""
    if not state.old_terms:
        return plan

    def now(distance: Distance) -> Distance:
        return now_of(distance, state)

    def here(distance: Distance | None) -> Distance | None:
        return None if distance is None else now(distance)

    trail = plan.trail
    if trail is not None:
        changed = {"amount": now(trail.amount), "activation": now(trail.activation)}
        trail = trail.model_copy(update=changed)
    return replace(
        plan,
        stop_loss=here(plan.stop_loss),
        target=here(plan.target),
        breakeven=here(plan.breakeven),
        breakeven_offset=here(plan.breakeven_offset),
        excessive_loss=here(plan.excessive_loss),
        trail=trail,
        lock_in=tuple(s.model_copy(update={"at": now(s.at), "keep": now(s.keep)}) for s in plan.lock_in),
        scale_out=tuple(s.model_copy(update={"at": now(s.at)}) for s in plan.scale_out),
    )


def now_of(distance: Distance, state: ExitState) -> Distance:
    """Return a distance of a plan in the prices of now."""
    text = str(distance) if state.old_terms else ""
    ratio = next(((new, old) for known, new, old in state.old_terms if known == text), ONCE)
    return distance if ratio == ONCE else replace(distance, value=_price(distance.value, ratio))


def still_old(plan: Plan, state: ExitState) -> ExitState:
    """Return the state without the old distances that the plan does not say any more."""
    if not state.old_terms:
        return state
    said = {str(distance) for distance in plan.distances}
    kept = tuple(term for term in state.old_terms if term[0] in said)
    return state if kept == state.old_terms else replace(state, old_terms=kept)


def _between(was: Splits, now: Splits) -> Ratio | None:
    """Return by how much all that is open was split since; None where that is not the same of all of it."""
    before = {symbol: (new, old) for symbol, new, old in was}
    after = {symbol: (new, old) for symbol, new, old in now}
    ratios = [_over(after.get(symbol, ONCE), before.get(symbol, ONCE)) for symbol in (after or before)]
    first = ratios[0]
    same = all(EXACT.multiply(first[0], r[1]) == EXACT.multiply(r[0], first[1]) for r in ratios)
    return first if same else None


def _over(after: Ratio, before: Ratio) -> Ratio:
    return EXACT.multiply(after[0], before[1]), EXACT.multiply(after[1], before[0])


def _terms(plan: Plan, known: Splits, ratio: Ratio) -> Splits:
    before = {text: (new, old) for text, new, old in known}
    texts = dict.fromkeys(str(d) for d in plan.distances if d.unit in (Unit.POINTS, Unit.PRICE) and d.value)
    return tuple(
        (text, EXACT.multiply(new, ratio[0]), EXACT.multiply(old, ratio[1]))
        for text in texts
        for new, old in [before.get(text, ONCE)]
    )


def _price(price: Decimal, ratio: Ratio) -> Decimal:
    return divide(EXACT.multiply(price, ratio[1]), ratio[0])


def _level(stop: Decimal, ratio: Ratio, side: int) -> Decimal:
    """Return a stop in other units, rounded towards where it triggers earlier: no split may loosen it."""
    rounding = ROUND_CEILING if side > 0 else ROUND_FLOOR
    exact = EXACT_QUANTIZE.divide(EXACT.multiply(stop, ratio[1]), ratio[0])
    return exact.quantize(FINEST, rounding, EXACT_QUANTIZE)


def _prices(prices: Iterable[Decimal], ratio: Ratio) -> tuple[Decimal, ...]:
    return tuple(_price(price, ratio) for price in prices)


def _scaled(state: ExitState, ratio: Ratio, held: Held) -> ExitState:
    """Return the state in other units. What is to be left counts in steps, rounded up: no more goes than was asked for."""

    def price(value: Decimal | None) -> Decimal | None:
        return None if value is None else _price(value, ratio)

    def units(value: Decimal) -> Decimal:
        return divide(EXACT.multiply(value, ratio[0]), ratio[1])

    asked = state.asked
    return replace(
        state,
        size=units(state.size),
        stop=None if state.stop is None else _level(state.stop, ratio, held.side),
        others=tuple((rule, _level(level, ratio, held.side)) for rule, level in state.others),
        best=price(state.best),
        risk=price(state.risk),
        atr=price(state.atr),
        pending=_prices(state.pending, ratio),
        bars=_bars(state.bars, ratio) if state.bars else None,
        asked=replace(asked, leave=round_up(units(asked.leave), held.step)) if asked else None,
    )


def _bars(bars: Bars, ratio: Ratio) -> Bars:
    before = None if bars.before is None else _price(bars.before, ratio)
    high, low, close, atr = _prices((bars.high, bars.low, bars.close, bars.atr), ratio)
    return replace(bars, high=high, low=low, close=close, before=before, atr=atr)
