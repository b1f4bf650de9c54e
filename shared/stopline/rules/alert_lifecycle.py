"""The life of an account's alerts as a value: what stands, who knows, and what people are told now.

    raised -> pending (nobody was told yet) -> firing -> acknowledged -> resolved

An alert is one condition: its kind and its object, of one account. People are told when it begins, gets worse or
better, moves by 10 % since they were last told, and ends; the rest is on record and quiet. What is not told alone
comes in a digest (`rules/alert_rounds.py`). A critical alert is always told: alone, or named or counted in one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field

from stopline.model.alert_settings import AlertSettings
from stopline.model.decimals import DecimalText
from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice
from stopline.model.wire import Message

MINUTE = timedelta(minutes=1)
SOON = timedelta(seconds=30)  # what is over the budget waits this long for others
STORY = timedelta(minutes=10)  # what begins within this time of the last news belongs to the same incident
MOVED = Decimal("0.1")  # of the number last told
KNOWN = 100  # conditions of one account whose life is followed; critical ones beyond that are told in digests
LISTED = 1000  # of those, by name; the rest as a number
IDS = 8  # of a condition's last alerts, to know one that comes twice

# A critical alert of the first kind silences warnings of the others: they say the same thing less clearly.
SILENCES: Mapping[str, frozenset[str]] = {
    "max_daily_loss": frozenset({"max_drawdown", "excessive_loss", "pnl_threshold", "max_weekly_loss"}),
    "feed_silent": frozenset({"stale_prices"}),
    "sweep_silent": frozenset({"stale_prices", "feed_silent", "broker_silent"}),
}


class AlertState(StrEnum):
    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Standing(Message):
    """One condition. `told_...` is what people last heard of it; `untold`: there is news for the next digest."""

    alert: Alert  # as it was last raised
    state: AlertState
    incident: str
    since: AwareDatetime
    seen: tuple[str, ...] = ()
    count: int = 1
    untold: bool = False
    silenced_by: str = ""
    first_told_at: AwareDatetime | None = None
    told_at: AwareDatetime | None = None
    told_severity: Severity | None = None
    told_current: DecimalText | None = None
    told_words: str = ""
    escalated: int = 0
    acknowledged_by: str = ""
    acknowledged_at: AwareDatetime | None = None
    changed_at: AwareDatetime

    @property
    def live(self) -> bool:
        """Whether the condition holds."""
        return self.state is not AlertState.RESOLVED

    @property
    def critical(self) -> bool:
        return self.alert.severity is Severity.CRITICAL

    @property
    def wakes(self) -> bool:
        """Whether its news may not wait for the morning: it is critical, or it ends something critical."""
        return self.critical or (self.told_severity is Severity.CRITICAL and self.alert.resolved)

    def changed(self, now: datetime, **fields: object) -> "Standing":
        return self.model_copy(update={"changed_at": now, **fields})

    def told(self, now: datetime) -> "Standing":
        """Return it as known to people."""
        figure = self.alert.figure
        firing = self.state is AlertState.PENDING
        return self.model_copy(
            update={
                "state": AlertState.FIRING if firing else self.state,
                "untold": False,
                "first_told_at": self.first_told_at or now,
                "told_at": now,
                "told_severity": self.alert.severity,
                "told_current": figure.current if figure else None,
                "told_words": words(self.alert),
            }
        )


class Incidents(Message):
    """All alerts of an account (`account` None: the operator's) that stand or ended lately, by kind and object."""

    account: str | None = None
    serial: int = 0
    standing: dict[str, Standing] = Field(default_factory=dict)
    recent: dict[str, tuple[AwareDatetime, ...]] = Field(
        default_factory=dict
    )  # last minute's messages by kind
    beyond: dict[str, str] = Field(
        default_factory=dict
    )  # critical ones over KNOWN, still to be told: key -> id
    unlisted: int = 0  # and over LISTED
    digest_at: AwareDatetime | None = None
    incident: str = ""
    incident_at: AwareDatetime | None = None
    due_at: AwareDatetime | None = None  # when a check has something to do

    def with_standing(self, key: str, standing: Standing) -> "Incidents":
        return self.model_copy(update={"standing": {**self.standing, key: standing}})

    def live(self) -> list[Standing]:
        return [s for s in self.standing.values() if s.live]


@dataclass(frozen=True, slots=True)
class Decision:
    """The state that follows, and what people are told. `outcome`: what became of the alert, in one word."""

    after: Incidents
    notices: tuple[Notice, ...] = ()
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Manner:
    """How the account wants to be told, and in which zone."""

    settings: AlertSettings
    zone: str

    def quiet_until(self, now: datetime) -> datetime | None:
        """Return when the quiet hours end that hold now, or None."""
        local = now.astimezone(ZoneInfo(self.zone))
        quiet = self.settings.quiet
        return quiet.ends_after(local).astimezone(now.tzinfo) if quiet and quiet.covers(local) else None


def key_of(alert: Alert) -> str:
    """Return what makes alerts of one account the same condition."""
    return f"{alert.kind}|{alert.object}"


def words(alert: Alert) -> str:
    """Return the summary without its numbers: what is new about an alert that has no figure."""
    return re.sub(r"[0-9]+", "#", alert.summary)


def raised(before: Incidents, alert: Alert, manner: Manner, now: datetime) -> Decision | None:
    """Take one alert in; None when it was taken before.

    One that comes late, behind newer news of the same condition, changes nothing; if it is critical it is told.
    """
    key = key_of(alert)
    known = before.standing.get(key)
    if known is not None and alert.alert_id in known.seen:
        return None
    if known is not None and alert.raised_at < known.alert.raised_at:
        return _late(before, key, known, alert, now)
    if known is None and len(before.standing) >= KNOWN:
        before = _with_room(before, alert)
        if len(before.standing) >= KNOWN:
            return _beyond(before, alert, now)
    incident, before = _incident(before, alert, now)
    fresh = _next(known, alert, incident, now)
    if alert.severity is Severity.INFO and not alert.resolved:
        fresh = fresh.changed(now, state=AlertState.RESOLVED)  # news, not a condition
    if not _is_news(known, fresh):
        if alert.resolved and known and known.told_at is None and not known.critical:
            fresh = fresh.changed(now, untold=False)  # it came and went before anybody heard of it
        return Decision(before.with_standing(key, fresh), outcome="repeated")
    silencer = _silencer(before, fresh)
    fresh = fresh.changed(now, silenced_by=silencer)
    if silencer:
        return Decision(before.with_standing(key, fresh), outcome="silenced")
    return _tell_or_hold(before, key, fresh, known, manner, now)


def acknowledged(
    before: Incidents, reference: str, who: str, now: datetime
) -> tuple[Incidents, tuple[Standing, ...]]:
    """Return the state in which somebody has taken what stands, and what that was.

    `reference`: the start of an alert's or incident's id, or of a condition's key; empty: everything that stands.
    A person who acknowledges one alert of an incident has taken what is known of that incident.
    """
    named = [
        s
        for key, s in before.standing.items()
        if s.live and (key.startswith(reference) or s.incident.startswith(reference) or _named(s, reference))
    ]
    incidents = {s.incident for s in named}
    changed = {
        key: s.changed(now, state=AlertState.ACKNOWLEDGED, acknowledged_by=who, acknowledged_at=now)
        for key, s in before.standing.items()
        if s.incident in incidents and s.state in (AlertState.FIRING, AlertState.PENDING)
    }
    if not changed:
        return before, ()
    return before.model_copy(update={"standing": {**before.standing, **changed}}), tuple(changed.values())


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


def _named(standing: Standing, reference: str) -> bool:
    return any(id_.startswith(reference) for id_ in standing.seen)


def _next(known: Standing | None, alert: Alert, incident: str, now: datetime) -> Standing:
    """Return the condition after an alert of it; one that begins again begins anew."""
    if known is None or (not known.live and not alert.resolved):
        state = AlertState.RESOLVED if alert.resolved else AlertState.PENDING
        seen = (*known.seen[1 - IDS :], alert.alert_id) if known else (alert.alert_id,)
        return Standing(
            alert=alert, state=state, incident=incident, since=alert.raised_at, seen=seen, changed_at=now
        )
    fresh = known.changed(
        now,
        alert=alert,
        state=AlertState.RESOLVED if alert.resolved else known.state,
        seen=(*known.seen[1 - IDS :], alert.alert_id),
        count=known.count + 1,
    )
    if fresh.critical and not known.critical and fresh.live:  # worse than what somebody may have taken
        return fresh.changed(
            now,
            state=AlertState.PENDING,
            first_told_at=None,
            escalated=0,
            acknowledged_by="",
            acknowledged_at=None,
        )
    return fresh


def _is_news(known: Standing | None, fresh: Standing) -> bool:
    """Tell whether people are to hear of it, given what they last heard."""
    alert = fresh.alert
    if known is None:
        return True
    if alert.resolved:  # nobody needs the end of what nobody was told of
        return known.live and (known.told_at is not None or known.state is not AlertState.PENDING)
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
    """Tell it now, or keep it for the digest: over the budget, in quiet hours, beside a critical alert."""
    alert = fresh.alert
    eased = known is not None and known.told_severity is Severity.CRITICAL
    urgent = fresh.critical or eased or (alert.resolved and alert.severity is not Severity.INFO)
    quiet_until = None if fresh.critical or eased else manner.quiet_until(now)
    grouped = not urgent and any(s.critical and s.told_at and s is not known for s in before.live())
    paid = None if quiet_until or grouped else take_budget(before, alert.kind, manner.settings, now)
    if paid is not None:
        notice = Notice(alert=alert, incident=fresh.incident, covers=(alert.alert_id,), decided_at=now)
        return Decision(paid.with_standing(key, fresh.told(now)), (notice,), "told")
    at = quiet_until or now + (MINUTE if grouped else SOON)
    digest_at = min(at, before.digest_at) if before.digest_at else at
    held = before.with_standing(key, fresh.changed(now, untold=True))
    return Decision(held.model_copy(update={"digest_at": digest_at}), outcome="held")


def _late(before: Incidents, key: str, known: Standing, alert: Alert, now: datetime) -> Decision:
    after = before.with_standing(
        key, known.changed(now, seen=(*known.seen[1 - IDS :], alert.alert_id), count=known.count + 1)
    )
    if alert.severity is not Severity.CRITICAL or alert.resolved or known.told_severity is Severity.CRITICAL:
        return Decision(after, outcome="late")
    note = "it came late, there is newer news"
    notice = Notice(alert=alert, incident=known.incident, note=note, covers=(alert.alert_id,), decided_at=now)
    return Decision(after, (notice,), "told")


def _beyond(before: Incidents, alert: Alert, now: datetime) -> Decision:
    """Note a critical alert for the next digest: more stand than can be followed. Warnings of that many are not told."""
    if alert.severity is not Severity.CRITICAL or alert.resolved:
        return Decision(before, outcome="counted")
    key, room = key_of(alert), len(before.beyond) < LISTED
    changed: dict[str, object] = {"digest_at": min(now + SOON, before.digest_at or now + SOON)}
    if key in before.beyond or room:
        changed["beyond"] = {**before.beyond, key: alert.alert_id}
    else:
        changed["unlisted"] = before.unlisted + 1
    return Decision(before.model_copy(update=changed), outcome="counted")


def _with_room(before: Incidents, alert: Alert) -> Incidents:
    """Forget the oldest condition that has ended; for a critical alert also one that is not critical."""
    critical = alert.severity is Severity.CRITICAL
    ended = [
        (s.live, s.changed_at, key)
        for key, s in before.standing.items()
        if (not s.live and not (s.untold and s.wakes)) or (critical and not s.critical)
    ]
    gone = min(ended)[2] if ended else ""
    return before.model_copy(update={"standing": {k: s for k, s in before.standing.items() if k != gone}})


def _incident(before: Incidents, alert: Alert, now: datetime) -> tuple[str, Incidents]:
    """Return the incident that an alert belongs to: what begins close together is one story."""
    lasts = before.incident_at is not None and now - before.incident_at <= STORY
    critical = any(s.critical and s.incident == before.incident for s in before.live())
    id_ = before.incident if before.incident and (lasts or critical) else ""
    id_ = id_ or digest("incident", before.account or "", alert.alert_id)[:16]
    return id_, before.model_copy(update={"incident": id_, "incident_at": now})
