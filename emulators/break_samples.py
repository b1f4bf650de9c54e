"""Samples of the alerts of reconciliation, as they are made."""

from __future__ import annotations

from decimal import Decimal

from stopline.model.fill import Fill
from stopline.model.messages import Alert
from stopline.model.times import parse_utc
from stopline.rules.watching.break_alerts import amendment_alert, break_alert, ledger_alert, overdue_alert
from stopline.rules.watching.breaks import Break, Stage, Step, Turn
from stopline.rules.watching.finding import BreakKind, Finding

AT = parse_utc("2026-11-20T15:02:11Z")
SYMBOL = "SPXW261120P06000000"


BUST = Fill.model_validate(
    {
        "fill_id": "B-1",
        "broker": "paper",
        "account": "demo",
        "instrument": {"symbol": "SPY", "kind": "equity", "currency": "USD"},
        "side": "BUY",
        "quantity": "0",
        "price": "0",
        "executed_at": "2026-11-20T14:00:00Z",
        "kind": "BUST",
        "ref": "E-7",
    }
)


def broken(kind: BreakKind, turn: Turn, **told: str) -> Alert:
    found = Finding(SYMBOL, kind, **{name: Decimal(text) for name, text in told.items()})  # type: ignore[arg-type]
    alert = break_alert("demo", Step(turn, Break(found, Stage.CONFIRMED, AT, "paper/S-7")), "pass-77", AT)
    assert alert is not None
    return alert


BREAKS = {
    "break": broken(BreakKind.QUANTITY, Turn.CONFIRMED, ours="-2", theirs="-3"),
    "break_missing_at_broker": broken(BreakKind.MISSING_AT_BROKER, Turn.CONFIRMED, ours="-2", theirs="0"),
    "break_cost": broken(BreakKind.COST, Turn.CONFIRMED, our_price="3.1", their_price="3.25"),
    "break_over": broken(BreakKind.QUANTITY, Turn.CLEARED, ours="-3", theirs="-3"),
    "statement_overdue": overdue_alert("demo", "ibkr", "page 2 of 3 failed", "pass-77", AT, over=False),
    "ledger_mismatch": ledger_alert(
        "demo", [f"default:{SYMBOL}: quantity is -3, its fills make -2"], "ledger-77", AT
    ),
    "amendment_unmatched": amendment_alert(BUST, "ledger-77", AT),
}
