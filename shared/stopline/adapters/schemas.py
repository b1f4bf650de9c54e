"""The tables of the history, for the adapters. infra/schemas/bigquery says the same: a test compares them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from stopline.model.decimals import EXACT_QUANTIZE, decimal_text
from stopline.model.messages import HistoryRow
from stopline.model.times import parse_date, parse_utc, utc_text
from stopline.model.wire import canonical, content_hash
from stopline.ports import RowFault, Where

TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "fills": {
        "account": "STRING",
        "broker": "STRING",
        "fill_id": "STRING",
        "strategy": "STRING",
        "symbol": "STRING",
        "underlying": "STRING",
        "kind": "STRING",
        "event": "STRING",
        "ref": "STRING",
        "side": "STRING",
        "quantity": "NUMERIC",
        "price": "NUMERIC",
        "multiplier": "NUMERIC",
        "fee": "NUMERIC",
        "fee_currency": "STRING",
        "currency": "STRING",
        "executed_at": "TIMESTAMP",
        "session": "DATE",
        "order_id": "STRING",
        "group_id": "STRING",
    },
    "positions": {
        "account": "STRING",
        "strategy": "STRING",
        "symbol": "STRING",
        "underlying": "STRING",
        "kind": "STRING",
        "quantity": "NUMERIC",
        "average_price": "NUMERIC",
        "realised": "NUMERIC",
        "fees": "NUMERIC",
        "currency": "STRING",
        "as_of": "TIMESTAMP",
        "book_revision": "INT64",
    },
    "trades": {
        "account": "STRING",
        "trade_id": "STRING",
        "strategy": "STRING",
        "underlying": "STRING",
        "structure": "STRING",
        "status": "STRING",
        "quantity": "NUMERIC",
        "currency": "STRING",
        "net_credit": "NUMERIC",
        "max_profit": "NUMERIC",
        "max_loss": "NUMERIC",
        "margin": "NUMERIC",
        "return_on_risk": "NUMERIC",
        "realised": "NUMERIC",
        "fees": "NUMERIC",
        "income": "NUMERIC",
        "net": "NUMERIC",
        "entered_at": "TIMESTAMP",
        "exited_at": "TIMESTAMP",
        "seconds_in_trade": "INT64",
        "mae": "NUMERIC",
        "mfe": "NUMERIC",
        "vix_entry": "NUMERIC",
        "vix_exit": "NUMERIC",
        "book_revision": "INT64",
    },
    "account_snapshots": {
        "account": "STRING",
        "session": "DATE",
        "currency": "STRING",
        "equity": "NUMERIC",
        "realised_day": "NUMERIC",
        "unrealised": "NUMERIC",
        "pnl_day": "NUMERIC",
        "gross_exposure": "NUMERIC",
        "level": "STRING",
        "as_of": "TIMESTAMP",
        "kind": "STRING",
    },
    "closes": {
        "calendar": "STRING",
        "symbol": "STRING",
        "session": "DATE",
        "close": "NUMERIC",
        "source": "STRING",
        "as_of": "TIMESTAMP",
    },
    "metrics": {
        "account": "STRING",
        "session": "DATE",
        "metric": "STRING",
        "object": "STRING",
        "value": "NUMERIC",
        "unit": "STRING",
        "method": "STRING",
        "as_of": "TIMESTAMP",
    },
    "alerts": {
        "alert_id": "STRING",
        "account": "STRING",
        "kind": "STRING",
        "object": "STRING",
        "severity": "STRING",
        "summary": "STRING",
        "status": "STRING",
        "raised_at": "TIMESTAMP",
        "delivered_at": "TIMESTAMP",
    },
    "audit": {
        "scope": "STRING",
        "event": "STRING",
        "actor": "STRING",
        "reason": "STRING",
        "epoch": "INT64",
        "from_state": "STRING",
        "to_state": "STRING",
        "decided_at": "TIMESTAMP",
        "chain": "STRING",
        "seq": "INT64",
        "previous_hash": "STRING",
        "hash": "STRING",
    },
    "executions": {
        "account": "STRING",
        "command_id": "STRING",
        "strategy": "STRING",
        "broker": "STRING",
        "symbol": "STRING",
        "underlying": "STRING",
        "side": "STRING",
        "order_type": "STRING",
        "limit_price": "NUMERIC",
        "requested_quantity": "NUMERIC",
        "requested_price": "NUMERIC",
        "filled_quantity": "NUMERIC",
        "filled_price": "NUMERIC",
        "filled_pct": "NUMERIC",
        "slippage_money": "NUMERIC",
        "slippage_bps": "NUMERIC",
        "fees": "NUMERIC",
        "currency": "STRING",
        "delay_s": "NUMERIC",
        "retries": "INT64",
        "status": "STRING",
        "error": "STRING",
        "spread": "NUMERIC",
        "iv": "NUMERIC",
        "market": "STRING",
        "quote_age_s": "NUMERIC",
        "revision": "INT64",
        "epoch": "INT64",
        "reason": "STRING",
        "requests": "STRING",
        "issued_at": "TIMESTAMP",
        "ended_at": "TIMESTAMP",
    },
    "reconciliations": {
        "account": "STRING",
        "symbol": "STRING",
        "status": "STRING",
        "kind": "STRING",
        "ours": "NUMERIC",
        "theirs": "NUMERIC",
        "our_price": "NUMERIC",
        "their_price": "NUMERIC",
        "since": "TIMESTAMP",
        "decided_at": "TIMESTAMP",
    },
}
"""Column types by table and name. Every table also has those of COMMON."""

COMMON: Final[Mapping[str, str]] = {
    "event_id": "STRING",
    "content_hash": "STRING",
    "ingested_at": "TIMESTAMP",
    "detail": "STRING",
}

_NUMERIC_PLACES = Decimal("0.000000001")
_NUMERIC_LIMIT = Decimal(10) ** 29


def record(row: HistoryRow, at: datetime) -> dict[str, Any] | RowFault:
    """Return a row as BigQuery takes it, or why it never will.

    NUMERIC keeps 9 decimals: more are rounded half-even, and `detail` keeps the exact record (the row itself
    where it brings none). A field without a column goes into `detail` too, as one of `unknown_fields`.
    `content_hash` is that of the row as it came.
    """
    if row.table not in TABLES:
        return RowFault(row.event_id, row.table, f"there is no table {row.table!r}")
    columns = {**TABLES[row.table], "detail": "STRING"}
    try:
        hashed = content_hash(row.row)
        values = {
            name: _value(name, kind, row.row[name])
            for name, kind in columns.items()
            if row.row.get(name) is not None
        }
        unknown = {name: value for name, value in row.row.items() if name not in columns}
        if "detail" not in values:
            values["detail"] = canonical(row.row).decode()
        elif unknown:
            values["detail"] = canonical({"detail": values["detail"], "unknown_fields": unknown}).decode()
    except (ValueError, TypeError) as problem:
        return RowFault(row.event_id, row.table, str(problem)[:300])
    return {**values, "event_id": row.event_id, "content_hash": hashed, "ingested_at": utc_text(at)}


def typed(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row as Python values: Decimal, date, UTC datetime, int, str; None where there is none."""
    return {name: _typed(kind, row.get(name)) for name, kind in columns_of(table).items()}


def columns_of(table: str) -> Mapping[str, str]:
    """Return the columns that a table is read by: its own, what the row was made of, and when it came."""
    return {**TABLES[table], "detail": COMMON["detail"], "ingested_at": COMMON["ingested_at"]}


def _typed(kind: str, value: Any) -> Any:
    if value is None:
        return None
    match kind:
        case "NUMERIC":
            return Decimal(str(value))
        case "TIMESTAMP":
            return value.astimezone(UTC) if isinstance(value, datetime) else parse_utc(value)
        case "DATE":
            return value if isinstance(value, date) else parse_date(value)
    return value


def check_condition(table: str, condition: Where) -> None:
    """Refuse a question about a table or column that is not there."""
    if table not in TABLES or condition.field not in columns_of(table):
        raise ValueError(f"there is no column {table}.{condition.field}")


def _value(name: str, kind: str, value: Any) -> str | int:
    try:
        match kind:
            case "NUMERIC":
                return _numeric(value)
            case "INT64" if (
                isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
            ):
                return value
            case "TIMESTAMP":
                return utc_text(parse_utc(value))
            case "DATE":
                return parse_date(value).isoformat()
            case "STRING" if isinstance(value, str):
                return value
    except ValueError as problem:
        raise ValueError(f"{name} {problem}") from None
    raise ValueError(f"{name} must be {kind}, was {type(value).__name__} {str(value)[:40]!r}")


def _numeric(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 80 or not value.isascii():
        raise ValueError(f"must be a decimal string, was {type(value).__name__} {str(value)[:40]!r}")
    try:
        number = Decimal(value)
    except ArithmeticError:
        raise ValueError(f"must be a decimal string, was {value[:40]!r}") from None
    if not number.is_finite() or abs(number) >= _NUMERIC_LIMIT:
        raise ValueError(f"must be finite and below 1e29, was {value[:40]!r}")
    return decimal_text(number.quantize(_NUMERIC_PLACES, context=EXACT_QUANTIZE))
