"""What follows of a changed break: alerts, rows of the history, and of the audit trail."""

from collections.abc import Sequence
from datetime import datetime

from stopline.model.ids import digest
from stopline.model.messages import Effect, HistoryRow
from stopline.rules.watching.breaks import Step, Turn
from stopline.rules.watching.finding import words
from stopline.service.audit.journal import row_effects
from stopline.service.history.rows import audit_row, table_row

_AUDITED = {Turn.CONFIRMED: "break_confirmed", Turn.CLEARED: "break_cleared"}


def break_rows(account: str, steps: Sequence[Step], cause: str, now: datetime) -> list[Effect]:
    """Return the rows of what has changed in one pass; audit rows where it was decided what may be traded."""
    rows = [row for number, step in enumerate(steps) for row in _rows(account, step, cause, number, now)]
    return row_effects(account, rows)


def _rows(account: str, step: Step, cause: str, number: int, now: datetime) -> list[HistoryRow]:
    """Return the row of one change, and an audit row where it was decided what may be traded."""
    item, found = step.item, step.item.finding
    facts = {
        "account": account,
        "symbol": found.symbol,
        "status": step.turn.value,
        "kind": found.kind.value if found.kind else None,
        "ours": found.ours,
        "theirs": found.theirs,
        "our_price": found.our_price,
        "their_price": found.their_price,
        "since": item.since,
        "decided_at": now,
    }
    event_id = digest("reconciliation", cause, found.name, str(number))
    rows = [table_row("reconciliations", event_id, facts, {"evidence": item.evidence, "what": words(found)})]
    if step.turn in _AUDITED:
        rows.append(
            audit_row(
                event_id=digest("audit", event_id),
                scope=f"account:{account}",
                event=_AUDITED[step.turn],
                actor="reconcile",
                reason=f"{found.name}: {words(found)}",
                at=now,
                detail={"symbol": found.symbol, "blocks": item.blocks and step.turn is Turn.CONFIRMED},
            )
        )
    return rows
