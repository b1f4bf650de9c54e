"""What a change of exits would do to open trades and strategies: levels before and after, and what it would close."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from stopline.model.settings.exits import StrategyExits
from stopline.rules.exits.plan import Plan
from stopline.rules.exits.state import ExitState, Reading
from stopline.rules.exits.strategy_exits import StrategyState, standing_stop
from stopline.rules.exits.table import Watch
from stopline.rules.exits.trade_exits import advance, levels_of

Levels = tuple[Decimal | None, Decimal | None]
"""Stop and target as real prices; None: not set, or not known."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A trade under two plans. `price` None is UNKNOWN; `closes_now` names the rule that would trigger at that price (an
    UNKNOWN one counts as the entry), if the next readings agree, or by the time; None: nothing would. `is_new`: it would
    not without the change, and it closes.
    """

    trade_id: str
    name: str
    price: Decimal | None
    before: Plan
    after: Plan
    levels_before: Levels
    levels_after: Levels
    closes_now: str | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class StrategyPreview:
    """A strategy under two settings. `mtm` None is UNKNOWN, and then nothing is said to close; the stops likewise."""

    strategy: str
    mtm: Decimal | None
    stop_before: Decimal | None
    stop_after: Decimal | None
    closes_now: str | None
    is_new: bool


def preview(before: Watch, after: Watch, state: ExitState, price: Decimal | None, now: datetime) -> Preview:
    """Return what the next readings at this price would make of a trade, by the very step that readings take."""
    at = before.held.entry if price is None else price
    was, step = (
        advance(replace(w.plan, confirm=1), w.held, state, Reading(at, now, now), w.due, now)
        for w in (before, after)
    )
    return Preview(
        after.held.trade_id,
        after.held.name,
        price,
        before.plan,
        after.plan,
        levels_of(before.plan, before.held, state),
        levels_of(after.plan, after.held, step.state),
        step.exit.rule if step.exit else None,
        is_new=step.exit is not None and after.plan.auto_close and not (was.exit and before.plan.auto_close),
    )


def preview_strategy(
    name: str,
    before: StrategyExits,
    after: StrategyExits,
    state: StrategyState,
    mtm: Decimal | None,
    auto_close: tuple[bool, bool],
) -> StrategyPreview:
    """Return what the next readings at this MTM would make of a strategy. `mtm`: what it made since the session's start,
    or ever with `carry`; `auto_close`: before and after.
    """
    was, new = (standing_stop(settings, state, mtm) for settings in (before, after))
    is_over = state.stopped is not None and not state.stopped.advisory
    closes = [mtm is not None and stop is not None and mtm <= stop for _, stop in (was, new)]
    will = closes[1] and not is_over
    return StrategyPreview(
        name,
        mtm,
        was[1],
        new[1],
        new[0] if will else None,
        is_new=will and auto_close[1] and not (closes[0] and auto_close[0]),
    )


def plan_facts(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain data under the names of its settings; what is not set is left out."""
    names = ("stop_loss", "target", "breakeven", "breakeven_offset", "excessive_loss")
    spans = {"max_age_s": plan.max_age, "timeout_s": plan.timeout, "price_max_age_s": plan.price_max_age}
    facts: dict[str, Any] = {name: str(value) for name in names if (value := getattr(plan, name)) is not None}
    if plan.trail:
        facts["trail"] = plan.trail.model_dump(mode="json")
    if plan.lock_in:
        facts["lock_in"] = [step.model_dump(mode="json") for step in plan.lock_in]
    if plan.scale_out:
        facts["scale_out"] = [step.model_dump(mode="json") for step in plan.scale_out]
    facts |= {name: span // timedelta(seconds=1) for name, span in spans.items() if span is not None}
    if plan.exit_at is not None:
        facts["exit_at"] = plan.exit_at.isoformat("minutes")
    if plan.before_close is not None:
        facts["before_close_min"] = plan.before_close // timedelta(minutes=1)
    if plan.health_below is not None:
        facts["health_below"] = plan.health_below
    if plan.needs_atr:
        facts |= {"atr_bar_s": plan.atr_bar // timedelta(seconds=1), "atr_bars": plan.atr_bars}
    if plan.closing.said:
        facts["closing"] = plan.closing.model_dump(mode="json", exclude_none=True)
    return {**facts, "confirm": plan.confirm, "auto_close": plan.auto_close}
