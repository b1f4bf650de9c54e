"""Rows for BigQuery: one function a table. The columns are those of infra/schemas/bigquery (a test compares
them).
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from stopline.model.decimals import decimal_text
from stopline.model.fill import Fill
from stopline.model.ids import digest
from stopline.model.messages import HISTORY_TYPE, Effect, HistoryRow
from stopline.model.times import utc_text
from stopline.model.wire import canonical

UNCHAINED = ("chain", "seq", "previous_hash", "hash")  # columns that only rows of the trading state fill


def history_effect(account: str, rows: Sequence[HistoryRow]) -> Effect:
    """Return the effect that sends rows to BigQuery; its id follows from the rows'."""
    id_ = digest("history", *[f"{row.table}/{row.event_id}" for row in rows])
    plain = [{"table": row.table, "event_id": row.event_id, "row": row.row} for row in rows]
    return Effect(id_, "history", account, {"type": HISTORY_TYPE, "rows": plain})


def fill_row(fill: Fill, session: date) -> HistoryRow:
    """Return the row of one booked fill."""
    contract = fill.instrument
    row = {
        "account": fill.account,
        "broker": fill.broker,
        "fill_id": fill.fill_id,
        "strategy": fill.strategy,
        "symbol": contract.symbol,
        "underlying": contract.underlying,
        "kind": contract.kind.value,
        "event": fill.kind.value,
        "ref": fill.ref,
        "side": fill.side.value,
        "quantity": numeric(fill.quantity),
        "price": numeric(fill.price),
        "multiplier": numeric(contract.multiplier),
        "fee": numeric(fill.fee),
        "fee_currency": fill.fee_currency,
        "currency": contract.currency,
        "executed_at": utc_text(fill.executed_at),
        "session": session.isoformat(),
        "order_id": fill.order_id,
        "group_id": fill.group_id,
    }
    return HistoryRow(table="fills", event_id=fill.key, row={**row, "detail": fill.text})


def audit_row(
    event_id: str,
    scope: str,
    event: str,
    actor: str,
    reason: str,
    at: datetime,
    epoch: int = 0,
    states: tuple[str, str] = ("", ""),
    detail: Mapping[str, Any] | None = None,
) -> HistoryRow:
    """Return the row of one decision: who did what to which scope, and why. `states` is (from, to)."""
    row = {
        "scope": scope,
        "event": event,
        "actor": actor,
        "reason": reason,
        "epoch": epoch,
        "from_state": states[0],
        "to_state": states[1],
        "decided_at": utc_text(at),
        **dict.fromkeys(UNCHAINED),
    }
    return _row("audit", event_id, row, dict(detail or {}))


def table_row(table: str, event_id: str, row: Mapping[str, Any], detail: Mapping[str, Any]) -> HistoryRow:
    """Return a row of any table; Decimals become NUMERIC text, times and dates RFC 3339."""
    return _row(table, event_id, {name: _plain(value) for name, value in row.items()}, dict(detail))


def numeric(value: Decimal | None) -> str | None:
    """Return the exact text of a number; the history rounds it to a column's 9 decimals and keeps the text in `detail`."""
    return None if value is None else decimal_text(value)


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return numeric(value)
        case datetime():
            return utc_text(value)
        case date():
            return value.isoformat()
    return value


def _row(table: str, event_id: str, row: dict[str, Any], detail: dict[str, Any]) -> HistoryRow:
    return HistoryRow(table=table, event_id=event_id, row={**row, "detail": canonical(detail).decode()})
