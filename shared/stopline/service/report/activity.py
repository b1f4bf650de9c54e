"""What the report says of trading: turnover, and how long trades were held, of the last 24 hours."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from stopline.ledger.trade import Trade
from stopline.model.decimals import EXACT, decimal_text
from stopline.model.errors import InsufficientData
from stopline.risk.concentration import holding, turnover
from stopline.rules.limits.figures import Figures, Rate
from stopline.rules.orders.open_risk import add, converted

WINDOW = timedelta(days=1)  # for which the ledger keeps closed trades


def activity_facts(trades: Sequence[Trade], numbers: Figures, rate: Rate, now: datetime) -> dict[str, Any]:
    """Return what was bought and sold in the account's currency, turnover (half of both / mean equity), and how long the
    trades that were closed had been open, in seconds. A leg counts with all its units where it was opened and where
    it was last closed. None: UNKNOWN, or nothing was closed.
    """
    since = now - WINDOW
    bought: list[Decimal | None] = []
    sold: list[Decimal | None] = []
    for leg in (leg for trade in trades for leg in trade.legs):
        entered = leg.entry_worth if leg.start[0] >= since else Decimal(0)
        left = -leg.exit_worth if leg.exit_at is not None and leg.exit_at >= since else Decimal(0)
        for worth in (entered, left):
            amount = converted(abs(worth), leg.instrument.currency, rate)
            (bought if (worth > 0) is not leg.instrument.inverse else sold).append(amount)
    buys, sells = add(bought), add(sold)
    over = [sample for sample in numbers.track.samples if sample.at >= since]
    at_the_time = [numbers.equity_at(EXACT.subtract(sample.total, sample.flown)) for sample in over]
    equities = [equity for equity in at_the_time if equity is not None]
    closed = [trade for trade in trades if trade.exited_at is not None and trade.exited_at >= since]
    return {
        "hours": int(WINDOW.total_seconds() // 3600),
        "bought": _text(buys),
        "sold": _text(sells),
        "turnover": _turnover(buys, sells, equities),
        "closed_trades": len(closed),
        "held_seconds": _held(closed),
    }


def _turnover(bought: Decimal | None, sold: Decimal | None, equities: Sequence[Decimal]) -> float | None:
    if bought is None or sold is None or not equities:
        return None
    try:
        return round(turnover([float(bought)], [float(sold)], [float(equity) for equity in equities]), 6)
    except InsufficientData:
        return None


def _held(closed: Sequence[Trade]) -> dict[str, float] | None:
    if not closed:
        return None
    ends = [trade.exited_at.timestamp() for trade in closed if trade.exited_at is not None]
    found = holding([trade.entered_at.timestamp() for trade in closed], ends)
    parts = {"mean": found.mean, "median": found.median, "shortest": found.shortest, "longest": found.longest}
    return {name: round(seconds, 3) for name, seconds in parts.items()}


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
