"""What an account looks like after each scenario: its margin, and after the worst ones its equity and limits."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from stopline.ledger.book import Book as Ledger
from stopline.risk.book_risk import Book
from stopline.risk.book_stress import Played
from stopline.risk.border import to_decimal
from stopline.rules.limits.figures import Market, Rate, Valued, add, figures
from stopline.rules.limits.registry import Level, readings
from stopline.rules.orders.open_risk import open_risks
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.prices.greeks import Watched

MOST_JUDGED = 5  # scenarios, the worst ones, after which all limits are read


def judged(
    book: Book,
    played: Sequence[Played],
    each: Watched,
    ledger: Ledger,
    risk: RiskState,
    market: Market,
) -> list[dict[str, Any]]:
    """Return every scenario as plain data: P&L, the position that loses most, and the model margin of the positions at
    the scenario's prices (`rules/orders/open_risk.py`; None: UNKNOWN). After the worst: equity, and the limits that would be
    in breach and are not now.
    """
    breached = {key for key, watched in risk.watched.items() if watched.level is Level.BREACH}
    worst = {one.name for one in sorted(played, key=lambda one: one.pnl)[:MOST_JUDGED] if one.pnl < 0}
    positions, rate = each.positions, each.rate
    result = []
    for one in played:
        facts: dict[str, Any] = {"name": one.name, "pnl": str(to_decimal(one.pnl, 2))}
        if np.isfinite(one.by_leg).any():
            place = int(np.nanargmin(one.by_leg))
            loss = one.by_leg[place]
            facts["worst_position"] = positions[place].position.key if loss < 0 else None
            facts["worst_position_pnl"] = str(to_decimal(loss, 2)) if loss < 0 else None
        facts["without"] = [
            valued.position.key
            for valued, pnl in zip(positions, one.by_leg.tolist(), strict=True)
            if not np.isfinite(pnl)
        ]
        valued = _after(one, positions, rate)
        moved = replace(market, spots=_spots_after(book, one, market.spots))
        if one.name in worst:
            after = figures(
                each.account,
                ledger,
                valued,
                rate,
                risk.day_start,
                risk.last_total,
                each.at,
                risk.track,
                moved,
            )
            would = {r.key for r in readings(after, {}) if r.level is Level.BREACH}
            facts["breaches"] = sorted(would - breached)
            facts["equity_after"] = _money(after.equity)
            risks = after.risks
        else:
            risks = open_risks(valued, rate, each.account.risk.margin_rates, moved.spots)
        facts["margin_after"] = _money(add(found.margin for found in risks.values()))
        result.append(facts)
    return result


def _money(value: Decimal | None) -> str | None:
    return None if value is None else str(round(value, 2))


def _spots_after(book: Book, one: Played, spots: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return the prices of underlyings in a scenario: each goes with a leg on it, an option where there is one."""
    rows: dict[str, int] = {}
    for group, row in zip(book.groups, book.legs.underlying.tolist(), strict=True):
        if group not in rows or book.symbols[row] == group:
            rows[group] = row
    moves = one.spots.tolist()
    result = {}
    for symbol, price in spots.items():
        move = to_decimal(moves[rows[symbol]], 12) if symbol in rows else Decimal(0)
        if move is not None:
            result[symbol] = price + price * move
    return result


def _after(one: Played, positions: Sequence[Valued], rate: Rate) -> list[Valued]:
    """Return positions valued after a scenario; one that could not be priced is unknown."""
    result = []
    for valued, pnl in zip(positions, one.by_leg.tolist(), strict=True):
        contract = valued.position.instrument
        factor, change = rate(contract.currency), to_decimal(pnl, 6)
        if valued.value is None or valued.unrealised is None or not factor or change is None:
            result.append(Valued(valued.position, None, None, None))
            continue
        own = round(change / factor, 6)
        units = valued.position.quantity * contract.multiplier
        value = valued.value + own
        mark = valued.mark if contract.inverse else round(value / units, 12)
        result.append(Valued(valued.position, mark, value, valued.unrealised + own))
    return result
