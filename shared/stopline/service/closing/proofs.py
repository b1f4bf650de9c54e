"""The audit rows of what proves that something is closed: our fills, and later the brokers' statements."""

from collections.abc import Sequence
from datetime import datetime

from stopline.model.closing_state import ClosingState
from stopline.model.control import account_scope
from stopline.model.ids import digest
from stopline.model.messages import Alert, HistoryRow
from stopline.model.times import utc_text
from stopline.service.history.rows import audit_row


def proofs_of(
    before: ClosingState | None, after: ClosingState, alerts: Sequence[Alert], now: datetime
) -> list[HistoryRow]:
    """Return the rows of what a change has proven. `alerts`: what people are told of it."""
    proven = [_proof(after, alert, now) for alert in alerts if alert.kind in ("flat", "closed")]
    return proven + _confirmations(before, after, now)


def _proof(state: ClosingState, alert: Alert, now: datetime) -> HistoryRow:
    epoch = state.halt.epoch if state.halt else 0
    scope = alert.object if alert.kind == "flat" else account_scope(state.account)
    return audit_row(alert.alert_id, scope, alert.kind, "stopline", "the fills prove it", now, epoch)


def _confirmations(before: ClosingState | None, after: ClosingState, now: datetime) -> list[HistoryRow]:
    """Return the audit rows of what brokers' statements have newly confirmed."""
    rows = []
    known_halt = before.halt.confirmed_at if before and before.halt else None
    if after.halt and after.halt.confirmed_at and after.halt.confirmed_at != known_halt:
        ids = "halt_confirmed", after.account, str(after.halt.epoch), utc_text(after.halt.confirmed_at)
        rows.append(_confirmed(after, digest(*ids), after.halt.confirmed_by, now))
    for id_, asked in after.asked.items():
        known = before.asked.get(id_) if before else None
        if asked.confirmed_at and not (known and known.confirmed_at):
            ids = "close_confirmed", after.account, id_, utc_text(asked.confirmed_at)
            rows.append(_confirmed(after, digest(*ids), f"{id_}: {asked.confirmed_by}", now))
    return rows


def _confirmed(state: ClosingState, event_id: str, by: str, now: datetime) -> HistoryRow:
    epoch = state.halt.epoch if state.halt else 0
    scope = account_scope(state.account)
    return audit_row(
        event_id, scope, "close_confirmed", "stopline", f"the statements agree: {by}", now, epoch
    )
