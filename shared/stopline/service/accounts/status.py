"""What an account holds and where it stands: one answer from the book, the risk document and the controls."""

from datetime import datetime
from typing import Any

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.closing_state import ClosingState
from stopline.model.control import GLOBAL, Control, account_scope, effective
from stopline.model.decimals import decimal_text
from stopline.model.scopes import Scope
from stopline.model.times import utc_text
from stopline.rules.trading.closing_told import told
from stopline.service.accounts.levels import shown_levels, shown_trades
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.fills.books import describe_position
from stopline.service.measuring.measured import Measured


def account_status(
    account: Account,
    book: Book | None,
    risk: RiskState | None,
    everywhere: Control,
    own: Control,
    closings: ClosingState | None = None,
    measured: Measured | None = None,
) -> dict[str, Any]:
    """Return the status as plain data: decimal text, None where UNKNOWN, times in UTC."""
    state, epoch = effective(everywhere, own)
    shown = risk.shown if risk else {}
    marked = shown.get("positions") or {}
    scope, held = Scope("account", account.account), book or Book(account.account)
    closing = told(scope, closings.halt if closings else None, everywhere, own, held)
    return {
        "account": account.account,
        "currency": account.currency,
        "trading_state": state.value,
        "epoch": epoch,
        "scopes": {GLOBAL: everywhere.state.value, account_scope(account.account): own.state.value},
        "closing": closing,
        "closings": _closings(closings, closing) if closings else [],
        "book_revision": book.revision if book else 0,
        "fills": book.fills if book else 0,
        "positions": [
            {
                **_plain(describe_position(p)),
                **marked.get(p.key, {"mark": None, "value": None, "unrealised": None}),
            }
            for p in (book.open_positions() if book else [])
        ],
        "trades": shown_trades(book, shown, risk.trades if risk else {}, risk.as_of if risk else None)
        if book
        else [],
        "levels": shown_levels(account.account, book, shown) if book else None,
        "risk": {**risk.shown, "as_of": utc_text(risk.as_of), "level": risk.level.value} if risk else None,
        "measures": {**measured.shown, "as_of": utc_text(measured.as_of)} if measured else None,
    }


def _closings(state: ClosingState, closing: str | None) -> list[dict[str, Any]]:
    """Return what a halt and requests have closed or are to close: a halt of the present epoch first, then by age."""
    found = []
    if state.halt:
        halt, since = state.halt, utc_text(state.halt.since)
        facts = {
            "object": "account",
            "rule": "kill",
            "status": closing,
            "since": since,
            "waits": "",
        }
        found.append({**facts, **_proof(halt.flat_at, halt.confirmed_at, halt.confirmed_by)})
    for asked in sorted(state.asked.values(), key=lambda one: one.since):
        request = asked.request
        facts = {
            "object": f"{request.scope} {request.object}",
            "rule": request.rule,
            "status": asked.status.value,
            "since": utc_text(asked.since),
            "waits": asked.waits if asked.has_turn or asked.ended_at else "the step before it",
        }
        found.append({**facts, **_proof(asked.ended_at, asked.confirmed_at, asked.confirmed_by)})
    return found


def _proof(ended: datetime | None, confirmed: datetime | None, by: str) -> dict[str, str | None]:
    at = {"ended_at": ended, "confirmed_at": confirmed}
    return {**{name: utc_text(moment) if moment else None for name, moment in at.items()}, "confirmed_by": by}


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    numbers = ("quantity", "average_price", "realised", "fees")
    return {k: decimal_text(v) if k in numbers and v is not None else v for k, v in facts.items()}
