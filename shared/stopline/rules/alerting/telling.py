"""Tell an alert now, or keep it for the next digest."""

from datetime import datetime, timedelta

from stopline.model.messages import Severity
from stopline.model.notices import Notice
from stopline.model.settings.alerts import AlertSettings
from stopline.rules.alerting.incidents import AlertState, Decision, Incidents, Manner, Standing
from stopline.rules.alerting.ringing import doubled, rung

MINUTE = timedelta(minutes=1)
SOON = timedelta(seconds=30)  # what is over the budget waits this long for others


def take_budget(before: Incidents, kind: str, settings: AlertSettings, now: datetime) -> Incidents | None:
    """Return the state after one more message of a kind, or None when the minute has had its share."""
    recent = {
        k: kept for k, times in before.recent.items() if (kept := [t for t in times if now - t < MINUTE])
    }
    sent = recent.get(kind, [])
    if len(sent) >= settings.per_minute:
        return None
    return before.model_copy(
        update={"recent": {k: tuple(v) for k, v in recent.items()} | {kind: (*sent, now)}}
    )


def told_or_held(
    before: Incidents,
    key: str,
    fresh: Standing,
    known: Standing | None,
    manner: Manner,
    now: datetime,
    note: str = "",
) -> Decision:
    """Tell it now, or keep it for the digest: over the budget, in quiet hours, beside a critical alert, or because
    it only says how far something has moved that people know of. `note`: why it is told although they do.
    """
    alert = fresh.alert
    eased = known is not None and known.told_severity is Severity.CRITICAL
    urgent = fresh.critical or eased or (alert.resolved and alert.severity is not Severity.INFO)
    quiet_until = None if fresh.critical or eased else manner.quiet_until(now)
    # info says what Stopline did about it: in chat, at once
    warns = (alert.severity is Severity.WARNING or alert.resolved) and not urgent
    grouped = warns and any(s.critical and s.told_at and s is not known for s in before.live())
    note = note or _outgrown_words(known, fresh)
    moved_until = None if note else _moved_until(fresh, manner.settings)
    held = quiet_until or grouped or moved_until
    paid = None if held else take_budget(before, alert.kind, manner.settings, now)
    if paid is not None:
        after, told, ring = rung(paid, (key,), fresh.told(now), manner.settings, now)
        waited = fresh.seen[-2::-1] if known is not None and known.untold else ()
        notice = Notice(
            alert=alert,
            incident=fresh.incident,
            note=note,
            covers=(alert.alert_id, *waited),
            ring=ring,
            decided_at=now,
        )
        return Decision(after.with_standing(key, told), (notice,), "told")
    at = max(quiet_until or now + (MINUTE if grouped else SOON), moved_until or now)
    kept = before.with_standing(key, fresh.changed(now, untold=True, note=note))
    return Decision(kept.due_by(at), outcome="held")


def _outgrown_words(known: Standing | None, fresh: Standing) -> str:
    """Return why people hear again of what somebody had taken, or nothing."""
    if known is None or not (known.critical and known.state is AlertState.ACKNOWLEDGED):
        return ""
    again = fresh.state is AlertState.PENDING
    return f"{known.acknowledged_by} had it, it has doubled since" if again else ""


def _moved_until(fresh: Standing, settings: AlertSettings) -> datetime | None:
    """Return until when the move of a known condition waits for others; None where it is more than a move."""
    known = fresh.told_at is not None and fresh.told_severity is fresh.alert.severity
    if not known or fresh.told_at is None or fresh.alert.resolved or doubled(fresh):
        return None
    return fresh.told_at + settings.ring_every
