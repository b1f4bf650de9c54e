"""What the report says of an account's performance: the common measures of its daily returns, session by session.

A session's return is its P&L of the equity without it: deposits and withdrawals are no profit. A session whose end is
UNKNOWN, or was not noted, is left out and counted.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from stopline.model.account import Account
from stopline.model.calendars import Calendar
from stopline.model.errors import InsufficientData
from stopline.risk import performance
from stopline.risk.drawdown import current_drawdown, longest_duration
from stopline.risk.summary import summary

MORE = {
    "current_drawdown": current_drawdown,
    "longest_drawdown": longest_duration,  # sessions
    "win_rate": performance.win_rate,
    "profit_factor": performance.profit_factor,
    "expectancy": performance.expectancy,
}


def performance_facts(rows: Iterable[Mapping[str, Any]], account: Account) -> dict[str, Any]:
    """Return the measures of the sessions whose ends are `rows` of `account_snapshots`: parts of 1, a year where
    `risk/performance.py` says so; None: no answer, and `unknown` says why. `without`: sessions that are left out.
    """
    ends = {row["session"]: row for row in rows if row["kind"] == "session_end"}
    known = {session: _return(row["equity"], row["pnl_day"]) for session, row in ends.items()}
    returns = {session: value for session, value in known.items() if value is not None}
    if not returns:
        return unknown_performance("no session has ended with all prices known")
    owed = [session for session, value in returns.items() if not value >= -1]
    if owed:
        return unknown_performance(f"more than all was lost in the session {max(owed).isoformat()}")
    series = [returns[session] for session in sorted(returns)]
    periods = 365 if account.sessions.every_day else 252
    found = summary(series, periods=periods)
    values: dict[str, float | None] = dict(found.values)
    unknown = dict(found.unknown)
    for name, measure in MORE.items():
        try:
            values[name] = measure(series)
        except InsufficientData as problem:
            values[name], unknown[name] = None, str(problem)
    first, last = min(returns), max(returns)
    return {
        "sessions": len(series),
        "without": _count(account.sessions, first, last) - len(series),
        "from": first.isoformat(),
        "to": last.isoformat(),
        "periods": periods,
        "values": {name: None if value is None else round(value, 6) for name, value in values.items()},
        "unknown": unknown,
    }


def unknown_performance(why: str) -> dict[str, Any]:
    """Return the facts of an account whose performance has no answer."""
    return {"sessions": 0, "values": {}, "unknown": {"": why}}


def _return(equity: Decimal | None, made: Decimal | None) -> float | None:
    """Return what was made as a part of the equity without it; NaN where there was none."""
    if equity is None or made is None:
        return None
    return float(made / (equity - made)) if equity > made else math.nan


def _count(sessions: Calendar, first: date, last: date) -> int:
    count = 1
    while last > first:
        last = sessions.previous_session(last)
        count += 1
    return count
