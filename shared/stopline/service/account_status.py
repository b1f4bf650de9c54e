"""What an account holds and where it stands: one answer from the book, the risk document and the controls."""

from typing import Any

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.control import GLOBAL, Closing, Control, account_scope, effective
from stopline.model.decimals import decimal_text
from stopline.model.times import utc_text
from stopline.service.books import describe_position
from stopline.service.levels import shown_levels, shown_trades
from stopline.service.measured import Measured
from stopline.service.risk_state import RiskState


def account_status(
    account: Account,
    book: Book | None,
    risk: RiskState | None,
    everywhere: Control,
    own: Control,
    closing: Closing | None = None,
    measured: Measured | None = None,
) -> dict[str, Any]:
    """Return the status as plain data: decimal text, None where UNKNOWN, times in UTC."""
    state, epoch = effective(everywhere, own)
    shown = risk.shown if risk else {}
    marked = shown.get("positions") or {}
    return {
        "account": account.account,
        "currency": account.currency,
        "trading_state": state.value,
        "epoch": epoch,
        "scopes": {GLOBAL: everywhere.state.value, account_scope(account.account): own.state.value},
        "closing": closing.status.value if closing else None,
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


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    numbers = ("quantity", "average_price", "realised", "fees")
    return {k: decimal_text(v) if k in numbers and v is not None else v for k, v in facts.items()}
