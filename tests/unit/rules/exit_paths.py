"""Builders for exits: a plan from settings as people write them, a trade, and a walk along prices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from stopline.model.settings.exits import ExitSettings
from stopline.rules.exits.plan import Plan, plan_of
from stopline.rules.exits.state import FRESH, Exit, ExitState, Held, Reading
from stopline.rules.exits.trade_exits import advance

START = datetime(2026, 11, 18, 15, 0, tzinfo=UTC)  # a Wednesday, 10:00 in New York
SCALE = {
    "stop_loss": "2",
    "scale_out": [
        {"at": "1R", "close": "33"},
        {"at": "2R", "close": "33"},
        {"at": "3R", "close": "34"},
    ],
}


def plan(**trades: Any) -> Plan:
    """Return the plan of some settings; one reading is enough unless they say otherwise."""
    return plan_of(ExitSettings.model_validate({"trades": {"confirm": 1, **trades}}), "default")


def held(
    entry: str | Decimal = "100", side: Literal[1, -1] = 1, quantity: str = "9", step: str = "1"
) -> Held:
    return Held("T-1", "default", "SPY", side, Decimal(quantity), Decimal(entry), START, Decimal(step))


def reading(price: str | Decimal | float, seconds: float = 0) -> Reading:
    at = START + timedelta(seconds=seconds)
    return Reading(Decimal(str(price)), at, at)


def walk(
    the_plan: Plan,
    trade: Held,
    prices: Iterable[str | Decimal | float],
    state: ExitState = FRESH,
    due: Sequence[tuple[datetime, str]] = (),
    every: float = 60,
) -> tuple[list[ExitState], list[tuple[int, Exit]]]:
    """Step along prices, one every `every` seconds; return the states, and what triggered at which price."""
    states, exits = [], []
    for number, price in enumerate(prices):
        at = START + timedelta(seconds=(number + 1) * every)
        step = advance(the_plan, trade, state, Reading(Decimal(str(price)), at, at), due, at)
        state = step.state
        states.append(state)
        if step.exit:
            exits.append((number, step.exit))
    return states, exits


def rules(settings: dict[str, Any], prices: list[Any], **trade: Any) -> list[tuple[int, str]]:
    _, exits = walk(plan(**settings), held(**trade), prices)
    return [(number, found.rule) for number, found in exits]


def rules_of(the_plan: Plan, state: ExitState, prices: list[Any]) -> list[tuple[int, str]]:
    return [(number, found.rule) for number, found in walk(the_plan, held(), prices, state)[1]]


def due(name: str, seconds: float) -> list[tuple[datetime, str]]:
    return [(START + timedelta(seconds=seconds), name)]
