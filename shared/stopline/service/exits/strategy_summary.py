"""What a strategy made and where its exits stand: out of the book, the last evaluation and the trading state."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.control import Standing, TradingState
from stopline.model.decimals import EXACT, ZERO, decimal_text
from stopline.model.settings.exits import StrategyExits
from stopline.model.times import utc_text
from stopline.rules.exits.subject import made_of
from stopline.service.accounts.levels import shown_trades
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.exits.trade_log import joined, outcomes


def strategy_summary(
    account: Account,
    strategy: str,
    book: Book,
    risk: RiskState | None,
    standing: Standing,
    logged: Sequence[Mapping[str, Any]] | None = None,
    since: datetime | None = None,
) -> dict[str, Any]:
    """Return a strategy of an account as plain data: decimal text, None where UNKNOWN, times in UTC (R4.6).

    Money is in the account's currency and since the strategy's first fill: `realised` is net of fees and with income;
    it and what hangs on it are None where the strategy trades in another currency. `mtm`, `peak` and `trailing_stop`
    are those of its exits, which may count from the session's start. `trades`: open, and closed since `since` (None: ever),
    as `logged`, the closed ones out of the history, and the book know them. Without `logged` those that the book still
    keeps, which are of the last day: `complete` is false then.
    """
    shown = risk.shown if risk else {}
    exits = (shown.get("exits") or {}).get("strategies", {}).get(strategy)
    kept = [
        trade
        for trade in shown_trades(book, shown, risk.trades if risk else {}, risk.as_of if risk else None)
        if trade["strategy"] == strategy
    ]
    trades = joined(kept, logged or (), since)
    came_out = outcomes(trades, account.currency)
    realised, unrealised = _realised(account, strategy, book), _unrealised(account, strategy, book, risk)
    total = None if realised is None or unrealised is None else EXACT.add(realised, unrealised)
    is_stopped = exits is not None and not exits["active"]
    return {
        "account": account.account,
        "strategy": strategy,
        "currency": account.currency,
        "as_of": utc_text(risk.as_of) if risk else None,
        "active": standing.state is TradingState.ACTIVE and not is_stopped,
        "trading_state": standing.state.value,
        "total": _text(total),
        "realised": _text(realised),
        "unrealised": _text(unrealised),
        "mtm": exits["mtm"] if exits else None,
        "has_exits": exits is not None,
        "paused": exits is not None and exits.get("paused", False),
        "last_mtm": exits.get("last") if exits else None,
        "last_mtm_at": exits.get("last_at") if exits else None,
        "peak": exits["peak"] if exits else None,
        "trailing_stop": exits["stop"] if exits else None,
        "stop_rule": exits["stop_rule"] if exits else None,
        "stopped": exits["stopped"] if exits else None,
        "since": utc_text(since) if since else None,
        "complete": logged is not None,
        "open_trades": len(trades) - came_out.closed,
        "total_trades": len(trades),
        "closed_trades": came_out.closed,
        "wins": came_out.wins,
        "losses": came_out.losses,
        **{name: _text(getattr(came_out, name)) for name in ("win_rate_pct", "net", "best", "worst")},
        "trades": trades,
    }


def is_known(account: Account, strategy: str, book: Book) -> bool:
    """Tell whether a strategy has traded, or has settings."""
    return strategy in account.exits.strategies or any(name == strategy for name, _ in book.strategies)


def strategy_pnl(
    account: Account, strategy: str, settings: StrategyExits, book: Book, risk: RiskState | None
) -> Decimal | None:
    """Return a strategy's P&L since its first fill, with fees and income as its exits count them; None is UNKNOWN."""
    own = {currency: day for (name, currency), day in book.strategies.items() if name == strategy}
    unrealised = _unrealised(account, strategy, book, risk)
    if unrealised is None or set(own) - {account.currency}:
        return None
    return EXACT.add(unrealised, made_of(own[account.currency], settings) if own else ZERO)


def _realised(account: Account, strategy: str, book: Book) -> Decimal | None:
    own = {currency: day for (name, currency), day in book.strategies.items() if name == strategy}
    if set(own) - {account.currency}:
        return None
    return own[account.currency].net if own else ZERO


def _unrealised(account: Account, strategy: str, book: Book, risk: RiskState | None) -> Decimal | None:
    positions = [p for p in book.open_positions() if p.strategy == strategy]
    if any(p.instrument.currency != account.currency for p in positions):
        return None
    marked = (risk.shown.get("positions") or {}) if risk else {}
    total = ZERO
    for position in positions:
        text = (marked.get(position.key) or {}).get("unrealised")
        if text is None:
            return None
        total = EXACT.add(total, Decimal(text))
    return total


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
