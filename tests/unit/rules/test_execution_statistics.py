"""How closes were executed, by symbol, broker and hour."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from stopline.rules.closing.execution_statistics import By, Row, statistics

UTC_ZONE = ZoneInfo("UTC")


def row(symbol: str = "SPY", hour: int = 15, **more: Any) -> Row:
    facts: dict[str, Any] = {
        "symbol": symbol,
        "broker": "paper",
        "currency": "USD",
        "issued_at": datetime(2026, 11, 20, hour, 5, tzinfo=UTC),
        "status": "filled",
        "filled_pct": Decimal(100),
        "slippage_money": Decimal(2),
        "slippage_bps": Decimal(4),
        "delay_s": Decimal("1.5"),
        "retries": 0,
        "fees": Decimal("0.65"),
    }
    return {**facts, **more}


REJECTED: dict[str, Any] = {
    "status": "rejected",
    "filled_pct": Decimal(0),
    "slippage_money": None,
    "slippage_bps": None,
    "delay_s": None,
    "fees": Decimal(0),
}


def test_numbers_that_are_not_known_do_not_count_as_zero() -> None:
    """R7.2: a rejected command has no slippage and no delay."""
    [one] = statistics(
        [row(), row(slippage_bps=Decimal(-1), retries=2), row(**REJECTED)], [By.SYMBOL], UTC_ZONE
    )
    assert (one.key, one.commands, one.filled, one.rejected) == (("SPY",), 3, 2, 1)
    assert (one.slippage_bps, one.worst_slippage_bps) == (Decimal("1.5"), Decimal(4))
    assert (one.slippage_money, one.delay_s, one.worst_delay_s) == (
        Decimal(4),
        Decimal("1.5"),
        Decimal("1.5"),
    )
    assert (one.retries, one.most_retries, one.fees) == (Decimal("0.666666667"), 2, Decimal("1.30"))
    assert one.filled_pct == Decimal("66.666666667")
    [none] = statistics([row(**REJECTED)], [By.SYMBOL], UTC_ZONE)
    assert (none.slippage_money, none.slippage_bps, none.worst_slippage_bps, none.delay_s) == (None,) * 4


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ([By.SYMBOL], [("QQQ",), ("SPY",)]),
        ([By.BROKER], [(None,), ("paper",)]),
        ([By.HOUR], [(10,), (11,)]),
        ([By.HOUR, By.SYMBOL], [(10, "SPY"), (11, "QQQ"), (11, "SPY")]),
    ],
)
def test_groups_are_ordered_and_what_is_unknown_comes_first(by: list[By], keys: list[Any]) -> None:
    rows = [row(hour=16), row(), row("QQQ", hour=16, broker=None)]
    found = statistics(rows, by, ZoneInfo("America/New_York"))
    assert [one.key for one in found] == keys


def test_money_of_two_currencies_is_not_added_up() -> None:
    found = statistics([row(), row(currency="EUR")], [By.BROKER], UTC_ZONE)
    assert [(one.currency, one.slippage_money) for one in found] == [("EUR", 2), ("USD", 2)]
