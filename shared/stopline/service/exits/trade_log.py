"""Closed trades out of the history: what the book has forgotten, and how they came out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from stopline.model.decimals import EXACT, ZERO, decimal_text, divide
from stopline.model.times import utc_text
from stopline.ports import History, Where

_NUMBERS = ("quantity", "net_credit", "max_loss", "max_profit", "realised", "fees", "mae", "mfe")
_TEXTS = ("trade_id", "strategy", "underlying", "structure", "status", "currency")


class TradeLog:
    """Reads the table `trades`, as the view `trade_history` has it."""

    def __init__(self, history: History) -> None:
        self._history = history

    def closed(self, account: str, strategy: str) -> list[dict[str, Any]]:
        """Return the closed trades of a strategy as plain data, the first closed first. Raises Unavailable."""
        where = [Where("account", "==", account), Where("strategy", "==", strategy)]
        rows = sorted(self._history.read("trades", where), key=lambda row: row["book_revision"])
        newest: dict[str, dict[str, Any]] = {}
        for row in rows:
            before = newest.get(row["trade_id"], {})
            seen = {n: before.get(n) if row[n] is None else row[n] for n in ("mae", "mfe")}
            newest[row["trade_id"]] = {**row, **seen}
        closed = [
            row for row in newest.values() if row["status"] == "CLOSED" and row["exited_at"] is not None
        ]
        return [_plain(row) for row in sorted(closed, key=lambda row: (row["exited_at"], row["trade_id"]))]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in _TEXTS},
        **{name: None if row[name] is None else decimal_text(row[name]) for name in _NUMBERS},
        "total_pnl": None if row["net"] is None else decimal_text(row["net"]),
        "entered_at": utc_text(row["entered_at"]),
        "exited_at": utc_text(row["exited_at"]),
        "seconds_in_trade": row["seconds_in_trade"],
    }


def joined(
    kept: Sequence[Mapping[str, Any]], logged: Iterable[Mapping[str, Any]], since: datetime | None
) -> list[dict[str, Any]]:
    """Return the trades of a book and those of the history that it has forgotten: open ones, and those closed since a
    moment, in the order of their closing.
    """
    known = {trade["trade_id"] for trade in kept}
    every = [*(trade for trade in logged if trade["trade_id"] not in known), *kept]
    wanted = [
        dict(trade)
        for trade in every
        if trade["exited_at"] is None or since is None or datetime.fromisoformat(trade["exited_at"]) >= since
    ]
    return sorted(
        wanted, key=lambda trade: (trade["exited_at"] is None, trade["exited_at"] or "", trade["trade_id"])
    )


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How closed trades came out, net of fees; None: there are none, or not all are in one currency."""

    closed: int
    wins: int
    losses: int
    win_rate_pct: Decimal | None
    net: Decimal | None
    best: Decimal | None
    worst: Decimal | None


def outcomes(trades: Iterable[Mapping[str, Any]], currency: str) -> Outcomes:
    """Sum up the closed ones of some trades."""
    closed = [trade for trade in trades if trade["status"] == "CLOSED"]
    nets = [Decimal(trade["total_pnl"]) for trade in closed if trade["total_pnl"] is not None]
    wins, losses = sum(net > 0 for net in nets), sum(net < 0 for net in nets)
    is_whole = bool(closed) and len(nets) == len(closed) and {t["currency"] for t in closed} == {currency}
    total = ZERO
    for net in nets:
        total = EXACT.add(total, net)
    return Outcomes(
        closed=len(closed),
        wins=wins,
        losses=losses,
        win_rate_pct=round(divide(Decimal(100 * wins), Decimal(len(nets))), 1) if nets else None,
        net=total if is_whole else None,
        best=max(nets) if is_whole else None,
        worst=min(nets) if is_whole else None,
    )
