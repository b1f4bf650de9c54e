"""What every history does: the words of ports.History, one by one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from stopline.model.decimals import parse_decimal
from stopline.model.messages import HistoryRow
from stopline.ports import Kept, RowFault, Where

from .conftest import HistoryWorld
from .differences import differs

NOW = datetime(2026, 11, 20, 21, 0, 5, 250_000, tzinfo=UTC)
ROWS: dict[str, dict[str, Any]] = {
    "fills": {
        "account": "demo",
        "broker": "paper",
        "fill_id": "E-1",
        "strategy": "credit",
        "symbol": "SPXW261120P05900000",
        "underlying": "SPX",
        "kind": "option",
        "event": "TRADE",
        "ref": None,
        "side": "SELL",
        "quantity": "2",
        "price": "1.25",
        "multiplier": "100",
        "fee": "-0.000000001",
        "fee_currency": "USD",
        "currency": "USD",
        "executed_at": "2026-11-20T15:02:11.123456Z",
        "session": "2026-11-20",
        "order_id": None,
        "group_id": "T-1",
    },
    "positions": {
        "account": "demo",
        "symbol": "BTC-USD",
        "quantity": "-0.12345678",
        "as_of": "2026-11-20T15:02:12Z",
        "book_revision": 7,
    },
    "trades": {
        "account": "demo",
        "trade_id": "T-1",
        "structure": "iron_condor",
        "status": "CLOSED",
        "net_credit": "720",
        "max_loss": "31285.2",
        "mae": None,
        "entered_at": "2026-11-20T15:02:11Z",
        "seconds_in_trade": 600,
        "book_revision": 7,
    },
    "account_snapshots": {"account": "demo", "session": "2026-11-20", "equity": "100000.01", "pnl_day": None},
    "closes": {
        "calendar": "XNYS",
        "symbol": "SPY",
        "session": "2026-11-20",
        "close": "600.25",
        "source": "mark",
        "as_of": "2026-11-20T20:59:59Z",
    },
    "metrics": {"account": "demo", "session": "2026-11-20", "metric": "var", "value": None, "unit": "USD"},
    "alerts": {
        "alert_id": "A-1",
        "account": "demo",
        "summary": "loss 3.1 % of 3 %",
        "delivered_at": None,
    },
    "audit": {
        "scope": "account:demo",
        "event": "halted",
        "epoch": 3,
        "decided_at": "2026-11-20T15:03:00+00:00",
    },
    "reconciliations": {
        "account": "demo",
        "symbol": "SPY",
        "status": "confirmed",
        "kind": "quantity",
        "ours": "90",
        "theirs": "100",
        "our_price": None,
        "decided_at": "2026-11-20T15:03:00Z",
    },
}


def row(table: str, event_id: str = "ev-1", **changes: Any) -> HistoryRow:
    return HistoryRow(table=table, event_id=event_id, row={**ROWS[table], **changes})


@pytest.mark.parametrize("table", ROWS)
def test_an_appended_row_is_found_with_its_values(past: HistoryWorld, table: str) -> None:
    """History in BigQuery: R0.3, R7.1, R7.4."""
    assert past.history.append([row(table)], NOW) == []
    [found] = past.latest(table)
    assert found["event_id"] == "ev-1"
    assert found["ingested_at"] == NOW
    for name, value in ROWS[table].items():
        if differs("columns", past.name) or value is None:
            assert found.get(name) == value
        elif isinstance(found[name], Decimal):
            assert found[name] == parse_decimal(value)
        elif isinstance(found[name], datetime):
            assert found[name] == datetime.fromisoformat(value)
        elif isinstance(found[name], date):
            assert found[name].isoformat() == value
        else:
            assert found[name] == value


def test_rows_of_several_tables_go_in_one_call(past: HistoryWorld) -> None:
    assert past.history.append([row(table, f"ev-{table}") for table in ROWS], NOW) == []
    for table in ROWS:
        assert [found["event_id"] for found in past.latest(table)] == [f"ev-{table}"]


def test_nothing_to_append_is_no_error(past: HistoryWorld) -> None:
    assert past.history.append([], NOW) == []


def test_the_latest_view_shows_one_row_per_event_the_last_appended(past: HistoryWorld) -> None:
    """At least once in the table, once in what people query: R0.3."""
    past.history.append([row("fills", price="1.25")], NOW)
    past.history.append([row("fills", price="1.3"), row("fills", "ev-2")], NOW + timedelta(seconds=1))
    past.history.append([row("fills", "ev-2")], NOW + timedelta(seconds=2))
    found = {one["event_id"]: one for one in past.latest("fills")}
    assert found.keys() == {"ev-1", "ev-2"}
    assert str(found["ev-1"]["price"]).rstrip("0") == "1.3"


def test_many_rows_are_appended_in_one_call(past: HistoryWorld) -> None:
    rows = [row("positions", f"ev-{n}", book_revision=n) for n in range(700)]
    assert past.history.append(rows, NOW) == []
    assert {one["book_revision"] for one in past.latest("positions")} == set(range(700))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row("fills", price="abc"), "price must be a decimal string"),
        (row("fills", price=1.5), "price must be a decimal string"),
        (row("fills", price="NaN"), "price must be finite"),
        (row("fills", price="1E+40"), "price must be finite and below 1e29"),
        (row("fills", price="\u0661"), "price must be a decimal string"),
        (row("fills", executed_at="yesterday"), "executed_at must be an RFC 3339 time"),
        (row("fills", session="2026-02-30"), "session "),
        (row("fills", symbol=5), "symbol must be STRING, was int"),
        (row("fills", symbol={"a": 1}), "symbol must be STRING, was dict"),
        (row("positions", book_revision="7"), "book_revision must be INT64"),
        (row("positions", book_revision=True), "book_revision must be INT64"),
        (HistoryRow(table="nowhere", event_id="ev-1", row={}), "there is no table 'nowhere'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_row_that_would_never_fit_is_named_and_takes_none_along(
    past: HistoryWorld, bad: HistoryRow, reason: str
) -> None:
    [fault] = past.history.append([row("fills", "ev-0"), bad, row("fills", "ev-2")], NOW)
    assert fault == RowFault("ev-1", bad.table, fault.reason)
    assert fault.reason.startswith(reason)
    assert {found["event_id"] for found in past.latest("fills")} == {"ev-0", "ev-2"}


def test_rows_are_read_by_their_columns_one_per_event(past: HistoryWorld) -> None:
    """R2.9: what was kept is read back with its types, the last one appended of each event."""
    closes = [
        row("closes", f"c-{day}-{symbol}", symbol=symbol, session=f"2026-11-{day}", close=f"{day}.5")
        for day in (18, 19, 20)
        for symbol in ("SPY", "VIX")
    ]
    past.history.append(closes, NOW)
    past.history.append([row("closes", "c-20-SPY", close="601.125")], NOW + timedelta(seconds=1))
    found = past.history.read(
        "closes",
        [
            Where("calendar", "==", "XNYS"),
            Where("symbol", "==", "SPY"),
            Where("session", ">", date(2026, 11, 18)),
        ],
    )
    assert sorted((one["session"], one["close"], one["as_of"]) for one in found) == [
        (date(2026, 11, 19), Decimal("19.5"), datetime(2026, 11, 20, 20, 59, 59, tzinfo=UTC)),
        (date(2026, 11, 20), Decimal("601.125"), datetime(2026, 11, 20, 20, 59, 59, tzinfo=UTC)),
    ]
    assert len(past.history.read("closes", [])) == 6
    with pytest.raises(ValueError, match="no column"):
        past.history.read("closes", [Where("price; DROP", "==", "x")])
    with pytest.raises(ValueError, match="no column"):
        past.history.read("nowhere", [Where("symbol", "==", "x")])


def test_what_is_kept_is_counted_by_event_with_its_contents(past: HistoryWorld) -> None:
    """F53: more rows of one event are usual, more contents are a conflict."""
    past.history.append([row("fills"), row("fills", "ev-2"), row("fills", "ev-3", session="2026-11-18")], NOW)
    past.history.append([row("fills"), row("fills", "ev-2", price="9")], NOW + timedelta(seconds=1))
    found = past.history.kept("fills", [Where("session", ">=", date(2026, 11, 19))])
    assert sorted(found) == [Kept("ev-1", 2, 1), Kept("ev-2", 2, 2)]
    past.history.append([row("audit", "ev-4"), row("audit", "ev-5", chain="global", seq=1)], NOW)
    assert [kept.event_id for kept in past.history.kept("audit", [Where("chain", ">=", "")])] == ["ev-5"]
    with pytest.raises(ValueError, match="no column"):
        past.history.kept("fills", [Where("price; DROP", "==", "x")])
