"""Closed trades of a strategy out of the history: also those that the book has forgotten (R4.6, R7.1)."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner

from stopline.cli.main import main
from stopline.ports import Unavailable, Where
from stopline.runtime.embedded import Embedded
from stopline.service.exits.trade_log import TradeLog, outcomes

from ..make import NOON, account, at, trade


def row(trade_id: str = "T-1", revision: int = 1, status: str = "CLOSED", **more: Any) -> dict[str, Any]:
    texts = dict.fromkeys(("strategy", "underlying", "structure"), "x")
    numbers = dict.fromkeys(
        ("quantity", "net_credit", "max_loss", "max_profit", "realised", "fees"), Decimal(1)
    )
    exited = None if status == "OPEN" else at(60)
    facts = {"net": Decimal(5), "mae": None, "mfe": None, "entered_at": NOON, "exited_at": exited}
    named = {"trade_id": trade_id, "status": status, "currency": "USD", "book_revision": revision}
    return {**texts, **numbers, **facts, **named, "seconds_in_trade": 60, **more}


class Rows:
    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = list(rows)

    def read(self, table: str, where: list[Where]) -> list[dict[str, Any]]:
        assert (table, [(w.field, w.value) for w in where]) == (
            "trades",
            [("account", "demo"), ("strategy", "x")],
        )
        return self.rows


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row(), row(revision=2, net=Decimal(7))], [("T-1", "7")]),
        ([row(revision=2, net=Decimal(7)), row()], [("T-1", "7")]),
        ([row(), row(revision=2, status="OPEN")], []),  # a late fill opened it again
        ([row(), row(revision=2, status="VOID")], []),  # a bust: there is no such trade any more
        ([row("T-2", exited_at=at(90)), row("T-1")], [("T-1", "5"), ("T-2", "5")]),
    ],
)
def test_of_each_trade_the_newest_revision_counts(rows: list[dict[str, Any]], expected: list[Any]) -> None:
    found = TradeLog(Rows(*rows)).closed("demo", "x")  # type: ignore[arg-type]
    assert [(one["trade_id"], one["total_pnl"]) for one in found] == expected


def test_what_prices_showed_of_a_trade_outlives_a_later_row_that_does_not_know_it() -> None:
    rows = [row(mae=Decimal(-3), mfe=Decimal(9)), row(revision=2)]
    [found] = TradeLog(Rows(*rows)).closed("demo", "x")  # type: ignore[arg-type]
    assert (found["mae"], found["mfe"]) == ("-3", "9")


def test_outcomes_are_counted_and_money_in_two_currencies_is_not_summed() -> None:
    def closed(net: str | None, currency: str = "USD") -> dict[str, Any]:
        return {"status": "CLOSED", "total_pnl": net, "currency": currency}

    found = outcomes([closed("10"), closed("-4"), closed("0"), {"status": "OPEN"}], "USD")
    assert (found.closed, found.wins, found.losses, found.win_rate_pct) == (3, 1, 1, Decimal("33.3"))
    assert (found.net, found.best, found.worst) == (6, 10, -4)
    mixed = outcomes([closed("10"), closed("-4", "EUR")], "USD")
    assert (mixed.wins, mixed.net, mixed.best) == (1, None, None)
    assert outcomes([], "USD").win_rate_pct is None


@pytest.fixture
def desk() -> Embedded:
    """Three trades: closed three weeks ago with a profit, two days ago with a loss, and open."""
    made = Embedded(NOON)
    made.app.account_writer.create(account(), "ann")
    days = 86_400
    for number, (start, gain) in enumerate(((-21 * days, 5), (-2 * days, -3), (-600, None))):
        fills = [trade(start, 10, 100, strategy="condors", fee="1", fee_currency="USD")]
        if gain is not None:
            fills.append(trade(start + 60, -10, 100 + gain, strategy="condors"))
        made.clock.set(at(start + 120))
        made.app.recorder.record(fills, f"m-{number}")
        made.run()
    made.clock.set(NOON)
    made.app.recorder.record([trade(-1, 1, 50, strategy="other")], "m-9")
    made.run()
    return made


def summary(desk: Embedded, *more: str) -> dict[str, Any]:
    result = CliRunner().invoke(
        main, ["strategy", "condors", "--account", "demo", "--json", *more], obj=lambda: desk.app
    )
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def test_all_trades_of_a_strategy_are_counted_not_only_those_of_the_day(desk: Embedded) -> None:
    """R4.6: open and total trades."""
    assert len(desk.app.books.read("demo").trades()) < 4  # type: ignore[union-attr]
    found = summary(desk)
    assert (found["open_trades"], found["closed_trades"], found["total_trades"]) == (1, 2, 3)
    assert (found["wins"], found["losses"], found["win_rate_pct"], found["net"]) == (1, 1, "50", "18")
    assert [t["status"] for t in found["trades"]] == ["CLOSED", "CLOSED", "OPEN"]
    assert (found["complete"], found["since"]) == (True, None)


def test_the_period_is_chosen(desk: Embedded) -> None:
    found = summary(desk, "--days", "7")
    assert (found["open_trades"], found["closed_trades"], found["win_rate_pct"]) == (1, 1, "0")
    assert found["since"] == (NOON - timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_without_the_history_it_says_that_it_has_only_what_the_book_keeps(
    desk: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> Any:
        raise Unavailable("BigQuery is down")

    monkeypatch.setattr(desk.history, "read", down)
    found = summary(desk)
    assert (found["complete"], found["open_trades"]) == (False, 1)
    assert found["closed_trades"] < 2
    text = CliRunner().invoke(main, ["strategy", "condors"], obj=lambda: desk.app).output
    assert "of the last day only, the history does not answer" in text
