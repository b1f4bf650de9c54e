"""Three questions to the history, as SQL for BigQuery and as the same sums over rows in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stopline.model.times import parse_utc

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """SQL with `parameters`; `in_memory` answers the same from the latest rows of `table`."""

    title: str
    table: str
    sql: str
    parameters: Mapping[str, Any]
    in_memory: Callable[[Rows, Mapping[str, Any]], Rows]


def pnl_by_position(account: str) -> Question:
    """What each position of a flat account made: its cash flows, less fees."""
    sql = """
        SELECT strategy, symbol, COUNT(*) AS fills,
               SUM(IF(side = 'SELL', 1, -1) * quantity * price * multiplier) AS gross,
               SUM(fee) AS fees
        FROM `{dataset}.fills_latest`
        WHERE account = @account
        GROUP BY strategy, symbol
        ORDER BY strategy, symbol"""
    return Question("What did each position make?", "fills", sql, {"account": account}, _pnl_by_position)


def low_point(account: str) -> Question:
    """When the account stood lowest, by its snapshots."""
    sql = """
        SELECT as_of, pnl_day, equity, level
        FROM `{dataset}.account_snapshots_latest`
        WHERE account = @account AND pnl_day IS NOT NULL
        ORDER BY pnl_day, as_of
        LIMIT 1"""
    return Question(
        "When was the day at its worst?", "account_snapshots", sql, {"account": account}, _low_point
    )


def decisions(account: str) -> Question:
    """The audit trail: who changed what, and why."""
    sql = """
        SELECT decided_at, event, actor, from_state, to_state, reason
        FROM `{dataset}.audit_latest`
        WHERE scope = @scope
        ORDER BY decided_at, epoch, to_state = '', event"""
    return Question("Who decided what, and why?", "audit", sql, {"scope": f"account:{account}"}, _decisions)


def arrived(account: str) -> Question:
    """How many rows of the account are in the history: whether it has caught up."""
    sql = """
        SELECT
          (SELECT COUNT(*) FROM `{dataset}.fills_latest` WHERE account = @account) AS fills,
          (SELECT COUNT(*) FROM `{dataset}.account_snapshots_latest` WHERE account = @account) AS snapshots,
          (SELECT COUNT(*) FROM `{dataset}.audit_latest`
           WHERE scope = CONCAT('account:', @account) AND event = 'flat') AS flat"""
    return Question("Has all arrived?", "", sql, {"account": account}, lambda rows, parameters: [])


def _pnl_by_position(rows: Rows, parameters: Mapping[str, Any]) -> Rows:
    result: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if row["account"] != parameters["account"]:
            continue
        key = (row["strategy"], row["symbol"])
        empty = {"strategy": key[0], "symbol": key[1], "fills": 0, "gross": Decimal(0), "fees": Decimal(0)}
        line = result.setdefault(key, empty)
        money = Decimal(row["quantity"]) * Decimal(row["price"]) * Decimal(row["multiplier"])
        line["fills"] += 1
        line["gross"] += money if row["side"] == "SELL" else -money
        line["fees"] += Decimal(row["fee"])
    return [result[key] for key in sorted(result)]


def _low_point(rows: Rows, parameters: Mapping[str, Any]) -> Rows:
    mine = [row for row in rows if row["account"] == parameters["account"] and row["pnl_day"] is not None]
    lowest = sorted(mine, key=lambda row: (Decimal(row["pnl_day"]), row["as_of"]))[:1]
    return [
        {
            "as_of": parse_utc(row["as_of"]),
            "pnl_day": Decimal(row["pnl_day"]),
            "equity": Decimal(row["equity"]),
            "level": row["level"],
        }
        for row in lowest
    ]


def _decisions(rows: Rows, parameters: Mapping[str, Any]) -> Rows:
    mine = [row for row in rows if row["scope"] == parameters["scope"]]
    mine.sort(key=lambda row: (row["decided_at"], row["epoch"], not row["to_state"], row["event"]))
    names = ("event", "actor", "from_state", "to_state", "reason")
    return [
        {"decided_at": parse_utc(row["decided_at"]), **{name: row[name] for name in names}} for row in mine
    ]
