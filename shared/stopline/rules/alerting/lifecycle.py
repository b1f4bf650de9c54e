"""The life of an account's alerts as a value: what stands, who knows, and what people are told now.

    raised -> pending (nobody was told yet) -> firing -> acknowledged -> resolved

A condition is a kind and an object, of one account. People are told when it begins, gets worse or better, moves by 10 %
since they were last told, and ends; the rest is on record and quiet. An event is told each time it happens
(`rules/alerting/events.py`; `rules/alerting/kinds.py` says which kinds are what). What is not told alone comes in a digest
(`rules/alerting/rounds.py`). A critical alert is always told: alone, or named or counted in one. For which news phones ring:
`rules/alerting/ringing.py`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice
from stopline.model.times import utc_text
from stopline.rules.alerting.events import ended_by, happened
from stopline.rules.alerting.flapping import begun, held_end, is_onset, settled, with_unheard
from stopline.rules.alerting.incidents import (
    LATE,
    STORY,
    AlertState,
    Decision,
    Incidents,
    Manner,
    Standing,
    incident_of,
    key_of,
    words,
)
from stopline.rules.alerting.kinds import is_event
from stopline.rules.alerting.ringing import doubled, marked, may_ring, outgrown
from stopline.rules.alerting.room import KNOWN, beyond, in_digest, is_full, with_room
from stopline.rules.alerting.telling import SOON, take_budget, told_or_held

MOVED = Decimal("0.1")  # of the number last told
IDS = 8  # of a condition's last alerts, to know one that comes twice
AHEAD = timedelta(seconds=60)  # as fills: clocks differ

# A critical alert of the first kind silences warnings of the others about the same object: they say the same thing less
# clearly.
SILENCES: Mapping[str, frozenset[str]] = {
    "max_daily_loss": frozenset({"max_drawdown", "max_weekly_loss", "max_loss_24h", "max_loss_7d"}),
}


def raised(before: Incidents, alert: Alert, manner: Manner, now: datetime) -> Decision | None:
    """Take one alert in; None when it was taken before.

    One that comes late, behind newer news of the same condition, changes nothing; if it is critical it is told. One from
    the future is taken as raised now, and says so.
    """
    alert, before = _timely(alert, now), settled(before, now)
    if is_event(alert.kind):
        return happened(before, alert, manner, now)
    key = key_of(alert)
    known = before.standing.get(key)
    if known is not None and alert.alert_id in known.seen:
        return None
    if known is not None and alert.raised_at < _newest(known) <= now:
        return _late(before, key, known, alert, manner, now)
    before, _ = ended_by(before, alert, now)
    if known is None and len(before.standing) >= KNOWN:
        before = with_room(before, alert, now)
        if is_full(before, alert):
            return beyond(before, alert, now)
    if known is not None and _said(known, alert, manner, now):
        return Decision(before.with_standing(key, _heard(known, alert, now)), outcome="repeated")
    if known is not None and known.live and alert.resolved:
        ends_at = held_end(known, alert, manner.settings, now)
        if ends_at is not None:
            ending = _heard(known, alert, now).model_copy(update={"ending": alert, "ends_at": ends_at})
            return Decision(before.with_standing(key, ending), outcome="held")
    return _told(before, key, known, alert, manner, now)


def _told(
    before: Incidents, key: str, known: Standing | None, alert: Alert, manner: Manner, now: datetime
) -> Decision:
    """Tell the news of a condition, if it is news."""
    if known is not None and (alert.resolved or alert.severity is not Severity.CRITICAL):
        before = with_unheard(before, key, known, now)
    incident, before = incident_of(before, alert, now)
    fresh, note = _next(known, alert, incident, now), ""
    if is_onset(known, alert):
        fresh = begun(fresh, known, now)
        note = _unstable(known, fresh, manner)
    if alert.severity is Severity.INFO and not alert.resolved and not (known and known.live):
        fresh = fresh.changed(now, state=AlertState.RESOLVED)  # not a condition
    if not note and fresh.unstable_since and fresh.live and not _outdoes(fresh):
        return Decision(before.with_standing(key, _known(fresh, now)), outcome="repeated")
    if not note and not _is_news(known, fresh):
        if alert.resolved and known and known.told_at is None and not known.critical:
            fresh = fresh.changed(now, untold=False)  # it came and went before anybody heard of it
        return Decision(before.with_standing(key, fresh), outcome="repeated")
    silencer = _silencer(before, fresh)
    fresh = fresh.changed(now, silenced_by=silencer)
    if silencer:
        return Decision(before.with_standing(key, fresh), outcome="silenced")
    return told_or_held(before, key, fresh, known, manner, now, note)


def _timely(alert: Alert, now: datetime) -> Alert:
    """Return an alert as raised now at the latest: a clock that is ahead must not make its news the newest for hours."""
    if alert.raised_at <= now:
        return alert
    said = f" The clock of who raised it is ahead: it said {utc_text(alert.raised_at)}."
    action = f"{alert.action[:400]}{said}".strip() if alert.raised_at > now + AHEAD else alert.action
    return alert.model_copy(update={"raised_at": now, "action": action})


def _newest(known: Standing) -> datetime:
    return (known.ending or known.alert).raised_at


def _heard(known: Standing, alert: Alert, now: datetime) -> Standing:
    """Return a condition after an alert that changes nothing of it."""
    return known.changed(now, seen=(*known.seen[1 - IDS :], alert.alert_id), count=known.count + 1)


def _unstable(known: Standing | None, fresh: Standing, manner: Manner) -> str:
    """Return what is said of a condition that has become unstable just now, or nothing."""
    if fresh.unstable_since is None or (known is not None and known.unstable_since is not None):
        return ""
    since = fresh.unstable_since.astimezone(ZoneInfo(manner.zone))
    return f"unstable: it began {len(fresh.onsets)} times since {since:%H:%M}"


def _outdoes(fresh: Standing) -> bool:
    """Tell whether an unstable condition is worse than what people were told of it."""
    worse = fresh.critical and fresh.told_severity is not Severity.CRITICAL
    return worse or fresh.told_at is None or doubled(fresh)


def _known(fresh: Standing, now: datetime) -> Standing:
    """Return an unstable condition, of which people know, as it goes on: it escalates."""
    if fresh.state is not AlertState.PENDING:
        return fresh
    first = fresh.first_told_at or (now if fresh.critical else None)
    return fresh.model_copy(update={"state": AlertState.FIRING, "first_told_at": first})


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
        ending=None,
        ends_at=None,
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
            return known.told_at is not None and not _same_end(known.alert, alert)
        return known.told_at is not None or known.state is not AlertState.PENDING
    if not known.live or fresh.told_at is None:
        return True
    if alert.severity is not fresh.told_severity:
        return True
    if alert.figure is None:
        return words(alert) != fresh.told_words
    return _moved(fresh.told_current, alert.figure.current)


def _same_end(known: Alert, alert: Alert) -> bool:
    """Tell whether the end that people know of is told again."""
    return known.resolved and (words(known), known.action) == (words(alert), alert.action)


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
        same = other.alert.object == fresh.alert.object
        if whole or (same and kind in SILENCES.get(other.alert.kind, ())):
            return key
    return ""


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
        return Decision(in_digest(after, f"{alert.kind}|{LATE}|{alert.alert_id}", alert, at), outcome="held")
    after = before.with_standing(key, known.model_copy(update={"told_late": True}))
    paid = take_budget(after, alert.kind, manner.settings, now)
    if paid is None:
        return Decision(in_digest(after, key, alert, now + SOON), outcome="held")
    rings = may_ring(paid, known.incident, manner.settings, now)
    notice = Notice(
        alert=alert,
        incident=known.incident,
        note="it came late, there is newer news",
        covers=(alert.alert_id,),
        ring="usual" if rings else "quiet",
        decided_at=now,
    )
    return Decision(marked(paid, known.incident, now, ()) if rings else paid, (notice,), "told")
