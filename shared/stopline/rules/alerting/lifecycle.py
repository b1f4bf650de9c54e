"""The life of an account's alerts as a value: what stands, who knows, and what people are told now.

    raised -> pending (nobody was told yet) -> firing -> acknowledged -> resolved

An alert is one condition: its kind and its object, of one account. People are told when it begins, gets worse or
better, moves by 10 % since they were last told, and ends; the rest is on record and quiet. What is not told alone
comes in a digest (`rules/alerting/rounds.py`). A critical alert is always told: alone, or named or counted in one.
For which news phones ring: `rules/alerting/ringing.py`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice
from stopline.model.settings.alerts import AlertSettings
from stopline.rules.alerting.incidents import (
    LATE,
    AlertState,
    Decision,
    Incidents,
    Manner,
    Standing,
    key_of,
    words,
)
from stopline.rules.alerting.ringing import doubled, marked, may_ring, outgrown, rung

MINUTE = timedelta(minutes=1)
SOON = timedelta(seconds=30)  # what is over the budget waits this long for others
STORY = timedelta(minutes=10)  # what begins within this time of the last news belongs to the same incident
MOVED = Decimal("0.1")  # of the number last told
KNOWN = 100  # conditions of one account whose life is followed; critical ones beyond that are told in digests
LISTED = 1000  # of those, by name; the rest as a number
NEWS = frozenset(
    {"resume_asked", "opportunity"}
)  # kinds that tell a moment and stand for nothing, as INFO does
IDS = 8  # of a condition's last alerts, to know one that comes twice

# A critical alert of the first kind silences warnings of the others: they say the same thing less clearly.
SILENCES: Mapping[str, frozenset[str]] = {
    "max_daily_loss": frozenset(
        {"max_drawdown", "max_weekly_loss", "max_loss_24h", "max_loss_7d", "max_position_loss"}
    ),
}


def raised(before: Incidents, alert: Alert, manner: Manner, now: datetime) -> Decision | None:
    """Take one alert in; None when it was taken before.

    One that comes late, behind newer news of the same condition, changes nothing; if it is critical it is told.
    """
    key = key_of(alert)
    known = before.standing.get(key)
    if known is not None and alert.alert_id in known.seen:
        return None
    if known is not None and alert.raised_at < known.alert.raised_at:
        return _late(before, key, known, alert, manner, now)
    if known is None and len(before.standing) >= KNOWN:
        before = _with_room(before, alert)
        if len(before.standing) >= KNOWN:
            return _beyond(before, alert, now)
    if known is not None and _said(known, alert, manner, now):
        seen = (*known.seen[1 - IDS :], alert.alert_id)
        heard = known.changed(now, seen=seen, count=known.count + 1)
        return Decision(before.with_standing(key, heard), outcome="repeated")
    incident, before = _incident(before, alert, now)
    fresh = _next(known, alert, incident, now)
    news = alert.severity is Severity.INFO or alert.kind in NEWS
    if news and not alert.resolved and not (known and known.live):
        fresh = fresh.changed(now, state=AlertState.RESOLVED)  # not a condition
    if not _is_news(known, fresh):
        if alert.resolved and known and known.told_at is None and not known.critical:
            fresh = fresh.changed(now, untold=False)  # it came and went before anybody heard of it
        return Decision(before.with_standing(key, fresh), outcome="repeated")
    silencer = _silencer(before, fresh)
    fresh = fresh.changed(now, silenced_by=silencer)
    if silencer:
        return Decision(before.with_standing(key, fresh), outcome="silenced")
    return _tell_or_hold(before, key, fresh, known, manner, now)


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


def _next(known: Standing | None, alert: Alert, incident: str, now: datetime) -> Standing:
    """Return the condition after an alert of it; one that begins again begins anew."""
    if known is None or (not known.live and not alert.resolved):
        state = AlertState.RESOLVED if alert.resolved else AlertState.PENDING
        seen = (*known.seen[1 - IDS :], alert.alert_id) if known else (alert.alert_id,)
        fresh = Standing(
            alert=alert, state=state, incident=incident, since=alert.raised_at, seen=seen, changed_at=now
        )
        return fresh.model_copy(update=_called(known, fresh, now))
    fresh = known.changed(
        now,
        alert=alert,
        state=AlertState.RESOLVED if alert.resolved else known.state,
        seen=(*known.seen[1 - IDS :], alert.alert_id),
        count=known.count + 1,
    )
    if known.critical and known.live and not (fresh.critical and fresh.live):
        return fresh.model_copy(update={"eased_at": now})
    if fresh.critical and not known.critical and fresh.live:  # worse than what somebody may have taken
        fresh = fresh.model_copy(update={"incident": incident})
        return _anew(fresh, now, rang=False, rang_current=None, **_called(known, fresh, now))
    if outgrown(fresh):  # it rings and is told as if nobody knew
        return _anew(fresh, now, rang=True, rang_current=known.acknowledged_current, told_at=None)
    return fresh


def _anew(s: Standing, now: datetime, **changes: object) -> Standing:
    """Return a condition as one that nobody has taken: it escalates from the beginning."""
    usual = {"first_told_at": None, "escalated": 0}
    taken = {"acknowledged_by": "", "acknowledged_at": None, "acknowledged_current": None}
    return s.changed(now, state=AlertState.PENDING, **{**usual, **taken, **changes})


def _called(known: Standing | None, fresh: Standing, now: datetime) -> dict[str, object]:
    """Return how far escalation is for what becomes critical again: one that comes and goes gets to the next person."""
    if known is None or not fresh.critical or known.incident != fresh.incident or known.acknowledged_by:
        return {}
    if known.eased_at is None or now - known.eased_at > STORY:
        return {}
    return {"first_told_at": known.first_told_at, "escalated": known.escalated}


def _said(known: Standing, alert: Alert, manner: Manner, now: datetime) -> bool:
    """Tell whether people have read the very same news lately: words, numbers and what was done about it."""
    if known.live or known.told_at is None or alert.severity is not Severity.INFO or alert.resolved:
        return False
    lately = now - known.told_at < manner.settings.repeat_after(Severity.INFO)
    last = known.alert
    return lately and (last.severity, last.summary, last.action, last.figure, last.resolved) == (
        alert.severity,
        alert.summary,
        alert.action,
        alert.figure,
        alert.resolved,
    )


def _is_news(known: Standing | None, fresh: Standing) -> bool:
    """Tell whether people are to hear of it, given what they last heard."""
    alert = fresh.alert
    if known is None:
        return True
    if alert.resolved:  # nobody needs the end of what nobody was told of
        if not known.live:  # news that stands in nobody's list: its end is told too, once
            return known.told_at is not None
        return known.told_at is not None or known.state is not AlertState.PENDING
    if not known.live or fresh.told_at is None:
        return True
    if alert.severity is not fresh.told_severity:
        return True
    if alert.figure is None:
        return words(alert) != fresh.told_words
    return _moved(fresh.told_current, alert.figure.current)


def _moved(told: Decimal | None, current: Decimal | None) -> bool:
    if told is None or current is None:
        return told is not current
    return abs(current - told) >= abs(told) * MOVED and current != told


def _silencer(before: Incidents, fresh: Standing) -> str:
    """Return the key of a critical alert that stands and says it already, or nothing."""
    if fresh.critical or fresh.alert.resolved or fresh.told_severity is Severity.CRITICAL:
        return ""
    kind = fresh.alert.kind
    for key, other in before.standing.items():
        if not (other.live and other.critical and other.told_at) or key == key_of(fresh.alert):
            continue
        whole = kind == other.alert.kind and other.alert.object == "account"
        if whole or kind in SILENCES.get(other.alert.kind, ()):
            return key
    return ""


def _tell_or_hold(
    before: Incidents, key: str, fresh: Standing, known: Standing | None, manner: Manner, now: datetime
) -> Decision:
    """Tell it now, or keep it for the digest: over the budget, in quiet hours, beside a critical alert, or because
    it only says how far something has moved that people know of.
    """
    alert = fresh.alert
    eased = known is not None and known.told_severity is Severity.CRITICAL
    urgent = fresh.critical or eased or (alert.resolved and alert.severity is not Severity.INFO)
    quiet_until = None if fresh.critical or eased else manner.quiet_until(now)
    # info says what Stopline did about it: in chat, at once
    warns = (alert.severity is Severity.WARNING or alert.resolved) and not urgent
    grouped = warns and any(s.critical and s.told_at and s is not known for s in before.live())
    moved_until = _moved_until(fresh, manner.settings)
    held = quiet_until or grouped or moved_until
    paid = None if held else take_budget(before, alert.kind, manner.settings, now)
    if paid is not None:
        after, told, ring = rung(paid, fresh.told(now), manner.settings, now)
        notice = Notice(
            alert=alert,
            incident=fresh.incident,
            note=_outgrown_words(known, fresh),
            covers=(alert.alert_id,),
            ring=ring,
            decided_at=now,
        )
        return Decision(after.with_standing(key, told), (notice,), "told")
    at = max(quiet_until or now + (MINUTE if grouped else SOON), moved_until or now)
    digest_at = min(at, before.digest_at) if before.digest_at else at
    kept = before.with_standing(key, fresh.changed(now, untold=True))
    return Decision(kept.model_copy(update={"digest_at": digest_at}), outcome="held")


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


def _late(
    before: Incidents, key: str, known: Standing, alert: Alert, manner: Manner, now: datetime
) -> Decision:
    """Tell a critical alert that is older than what is known: the first of a condition alone, others in a digest."""
    known = known.changed(now, seen=(*known.seen[1 - IDS :], alert.alert_id), count=known.count + 1)
    after = before.with_standing(key, known)
    if alert.severity is not Severity.CRITICAL or alert.resolved or known.told_severity is Severity.CRITICAL:
        return Decision(after, outcome="late")
    if known.told_late:
        at = now + max(SOON, manner.settings.ring_every)
        return Decision(_in_digest(after, f"{alert.kind}|{LATE}|{alert.alert_id}", alert, at), outcome="held")
    after = before.with_standing(key, known.model_copy(update={"told_late": True}))
    paid = take_budget(after, alert.kind, manner.settings, now)
    if paid is None:
        return Decision(_in_digest(after, key, alert, now + SOON), outcome="held")
    rings = may_ring(paid, known.incident, manner.settings, now)
    notice = Notice(
        alert=alert,
        incident=known.incident,
        note="it came late, there is newer news",
        covers=(alert.alert_id,),
        ring="usual" if rings else "quiet",
        decided_at=now,
    )
    return Decision(marked(paid, known.incident, now) if rings else paid, (notice,), "told")


def _beyond(before: Incidents, alert: Alert, now: datetime) -> Decision:
    """Note a critical alert for the next digest: more stand than can be followed. Warnings of that many are not told."""
    if alert.severity is not Severity.CRITICAL or alert.resolved:
        return Decision(before, outcome="counted")
    return Decision(_in_digest(before, key_of(alert), alert, now + SOON), outcome="counted")


def _in_digest(before: Incidents, key: str, alert: Alert, at: datetime) -> Incidents:
    """Return the state in which a digest at a time, if not earlier, names a critical alert that nothing else follows."""
    changed: dict[str, object] = {"digest_at": min(at, before.digest_at or at)}
    if key in before.beyond or len(before.beyond) < LISTED:
        changed["beyond"] = {**before.beyond, key: alert.alert_id}
    else:
        changed["unlisted"] = before.unlisted + 1
    return before.model_copy(update=changed)


def _with_room(before: Incidents, alert: Alert) -> Incidents:
    """Forget the oldest condition that has ended; for a critical alert also one that is not critical, and at last one that
    a person has taken: what nobody has taken must escalate.
    """
    critical = alert.severity is Severity.CRITICAL
    ended = [
        (s.live, s.critical and s.live, s.changed_at, key)
        for key, s in before.standing.items()
        if (not s.live and not (s.untold and s.wakes))
        or (critical and (not s.critical or s.state is AlertState.ACKNOWLEDGED))
    ]
    gone = min(ended)[3] if ended else ""
    return before.model_copy(update={"standing": {k: s for k, s in before.standing.items() if k != gone}})


def _incident(before: Incidents, alert: Alert, now: datetime) -> tuple[str, Incidents]:
    """Return the incident that an alert belongs to: what begins close together is one story."""
    lasts = before.incident_at is not None and now - before.incident_at <= STORY
    critical = any(s.critical and s.incident == before.incident for s in before.live())
    id_ = before.incident if before.incident and (lasts or critical) else ""
    id_ = id_ or digest("incident", before.account or "", alert.alert_id)[:16]
    return id_, before.model_copy(update={"incident": id_, "incident_at": now})
