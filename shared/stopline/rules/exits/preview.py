"""What a change of exits would do to an open trade: plan and levels before and after, and what it would close."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from stopline.rules.exits.plan import Plan
from stopline.rules.exits.state import ExitState, Reading
from stopline.rules.exits.table import Watch
from stopline.rules.exits.trade_exits import advance, levels_of

Levels = tuple[Decimal | None, Decimal | None]
"""Stop and target as real prices; None: not set, or not known."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A trade under two plans. `price` None is UNKNOWN; `closes_now` names the rule that would trigger at that price, if
    the next readings agree, or by the time; None: nothing would.
    """

    trade_id: str
    name: str
    price: Decimal | None
    before: Plan
    after: Plan
    levels_before: Levels
    levels_after: Levels
    closes_now: str | None


def preview(before: Watch, after: Watch, state: ExitState, price: Decimal | None, now: datetime) -> Preview:
    """Return what the next readings at this price would make of a trade, by the very step that readings take."""
    at_once = replace(after.plan, confirm=1)
    reading = None if price is None else Reading(price, now, now)
    step = advance(at_once, after.held, state, reading, after.due, now)
    return Preview(
        after.held.trade_id,
        after.held.name,
        price,
        before.plan,
        after.plan,
        levels_of(before.plan, before.held, state),
        levels_of(after.plan, after.held, step.state),
        step.exit.rule if step.exit else None,
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
    return {**facts, "confirm": plan.confirm, "auto_close": plan.auto_close}
