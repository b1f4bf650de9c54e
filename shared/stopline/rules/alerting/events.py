"""What happens once: each event is told, and ends by itself.

Its key is its kind, object and id. A critical one escalates until somebody takes it, is told again REPEATS times and is
over then; any other is told and stands for nothing. Those of one kind, object and severity that follow each other are a
run: the first ALONE of it are told one by one, those behind wait for each other, ever longer up to the time after which
what stands is told again, and come as one: `12 more since 10:05`. They are counted, never dropped.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from stopline.model.messages import Alert, Severity
from stopline.model.settings.alerts import AlertSettings
from stopline.rules.alerting.incidents import (
    STORY,
    AlertState,
    Cause,
    Decision,
    Incidents,
    Manner,
    Run,
    Standing,
    incident_of,
    key_of,
)
from stopline.rules.alerting.kinds import SINGLY, ends, is_event
from stopline.rules.alerting.room import KNOWN, beyond, with_room
from stopline.rules.alerting.telling import told_or_held

ALONE = 3  # events of a run that are told one by one
REPEATS = 3  # reminders of a critical event that nobody takes; it is over after one more interval
CAME_LATE, SETTLED, ENDED = "it came late, and is over", "it is settled", "it is over"
CAUSES = 500  # of gathered events that end alone, the latest
GATHERED = 100  # ids that a message of several events names; the others it counts
RUNS = 200  # runs of an account that are followed: the latest


def happened(before: Incidents, alert: Alert, manner: Manner, now: datetime) -> Decision | None:
    """Take one event in; None when it was taken before. One that is resolved ends what it is the end of."""
    name = f"{key_of(alert)}|{alert.severity.value}"
    key, earlier = f"{key_of(alert)}|{alert.alert_id}", before.runs.get(name)
    old = before.standing.get(key_of(alert))  # as it was kept before events had keys of their own
    if (
        key in before.standing
        or (earlier and alert.alert_id in earlier.ids)
        or (old and alert.alert_id in old.seen)
    ):
        return None
    before, ended = ended_by(before, alert, now)
    run, at = _next(earlier, alert.alert_id, manner.settings, now)
    fresh, note = _fresh(alert, "", before, now), ""
    if fresh.live and _is_over_already(before, alert):
        fresh, note = fresh.changed(now, state=AlertState.RESOLVED), CAME_LATE
    waits = [k for k, s in before.standing.items() if _waits(s) and _same(s, alert)]
    if waits:
        known = before.standing[waits[0]]
        joined = _gathered(known, fresh, note, manner, now)
        if joined.live and not known.live:  # it begins anew
            incident, before = incident_of(before, alert, now)
            joined = joined.model_copy(update={"incident": incident})
        return Decision(_noted(before, name, run).with_standing(waits[0], joined), outcome="held")
    before = _reminded(_noted(before, name, _planned(run, at, manner.settings)), alert)
    if len(before.standing) >= KNOWN:
        before = with_room(before, alert, now)
        if len(before.standing) >= KNOWN:
            return beyond(before, alert, now)
    incident, before = incident_of(before, alert, now)
    fresh = fresh.model_copy(update={"incident": incident})
    if at > now:
        waits_for = {"gathered": True, "untold": True, "note": note, "causes": _causes(fresh)}
        gathered = fresh.model_copy(update=waits_for)
        key = f"{name}|(more)|{alert.alert_id}"
        return Decision(before.with_standing(key, gathered).due_by(at), outcome="held")
    return told_or_held(before, key, fresh, ended, manner, now, note)


def ended_by(before: Incidents, end: Alert, now: datetime) -> tuple[Incidents, Standing | None]:
    """Return the state in which what an alert ends is over, and the worst of that which people were told."""
    settled = {key: _settled(s, end, now) for key, s in before.standing.items() if _settles(end, s)}
    before = before.model_copy(update={"standing": {**before.standing, **settled}}) if settled else before
    over = {key: s for key, s in before.standing.items() if s.live and _ends(end, s)}
    told = sorted(
        (s for s in over.values() if s.told_at), key=lambda s: s.told_severity is not Severity.CRITICAL
    )
    ended = {
        key: s.changed(now, state=AlertState.RESOLVED, note=ENDED if s.untold else s.note)
        for key, s in over.items()
    }
    return before.model_copy(update={"standing": {**before.standing, **ended}}), told[0] if told else None


def spent(s: Standing, settings: AlertSettings) -> datetime | None:
    """Return when an event that stands is over by itself: told often enough, or taken a while ago."""
    if not is_event(s.alert.kind) or not s.live or s.untold:
        return None
    if s.state is AlertState.ACKNOWLEDGED:
        return (s.acknowledged_at or s.changed_at) + STORY  # so long it is in the list
    if not s.critical:
        return s.changed_at  # as stored before events ended by themselves
    if s.repeats < REPEATS or s.told_at is None or s.escalated < len(settings.escalate_after):
        return None
    return s.told_at + settings.repeat_after(Severity.CRITICAL)


def faded(before: Incidents, settings: AlertSettings, now: datetime) -> Incidents:
    """Return the state without the events that are over by themselves, and without the runs that have ended."""
    over = {
        key: s.changed(now, state=AlertState.RESOLVED)
        for key, s in before.standing.items()
        if (at := spent(s, settings)) and at <= now
    }
    runs = _kept(before.runs, settings, now)
    if not over and len(runs) == len(before.runs):
        return before
    return before.model_copy(update={"standing": {**before.standing, **over}, "runs": runs})


def _noted(before: Incidents, name: str, run: Run) -> Incidents:
    return before.model_copy(update={"runs": {**before.runs, name: run}})


def _ends(end: Alert, s: Standing) -> bool:
    if s.gathered and end.kind in SINGLY and (s.causes or s.count > 1):
        return False  # each of them is settled by itself
    return ends(end, s.alert)


def _settles(end: Alert, s: Standing) -> bool:
    """Tell whether an end is the end of one of the events that are told as one."""
    same = end.resolved and end.kind in SINGLY and key_of(end) == key_of(s.alert)
    return same and s.live and s.gathered and any(_is_of(end, cause) for cause in s.causes)


def _is_of(end: Alert, cause: Cause) -> bool:
    """Tell whether it ends an event: not one that was raised after it, which the same cause may have."""
    return cause.cause == end.cause and cause.raised_at <= end.raised_at


def _settled(s: Standing, end: Alert, now: datetime) -> Standing:
    """Return events that are told as one without what an end is of. They are over with the last."""
    causes = tuple(cause for cause in s.causes if not _is_of(end, cause))
    count = s.count - (len(s.causes) - len(causes))
    summary = re.sub(r"^[0-9]+(?= more since )", str(max(count, 1)), s.alert.summary)
    rest = s.changed(
        now, alert=s.alert.model_copy(update={"summary": summary}), causes=causes, count=max(count, 1)
    )
    return rest if count else rest.model_copy(update={"state": AlertState.RESOLVED, "note": SETTLED})


def _is_over_already(before: Incidents, alert: Alert) -> bool:
    """Tell whether an event that comes late is older than what has ended it."""
    return any(
        ends(s.alert, alert) and alert.raised_at < s.alert.raised_at
        for s in before.standing.values()
        if s.alert.resolved
    )


def _fresh(alert: Alert, incident: str, before: Incidents, now: datetime) -> Standing:
    """Return an event as it begins. Who was called for the one before it, which nobody has taken, is not called again."""
    lasts = alert.severity is Severity.CRITICAL and not alert.resolved
    called = [
        s.escalated for s in before.live() if lasts and s.state is AlertState.FIRING and _same(s, alert)
    ]
    return Standing(
        alert=alert,
        state=AlertState.PENDING if lasts else AlertState.RESOLVED,
        incident=incident,
        since=now,
        seen=(alert.alert_id,),
        escalated=max(called, default=0),
        changed_at=now,
    )


def _same(s: Standing, alert: Alert) -> bool:
    """Tell whether a standing is of the run of an event."""
    return key_of(s.alert) == key_of(alert) and s.alert.severity is alert.severity


def _reminded(before: Incidents, alert: Alert) -> Incidents:
    """Return the state in which the earlier events of a run are not told again: the latest one is."""
    earlier = {
        key: s.model_copy(update={"repeats": REPEATS})
        for key, s in before.standing.items()
        if s.state is AlertState.FIRING and _same(s, alert)
    }
    return before.model_copy(update={"standing": {**before.standing, **earlier}})


def _waits(s: Standing) -> bool:
    """Tell whether it is events that wait, which one more may join: nobody was told of them or has taken them."""
    return s.gathered and s.untold and s.told_at is None and s.state is not AlertState.ACKNOWLEDGED


def _causes(fresh: Standing) -> tuple[Cause, ...]:
    """Return what an event is about, where that ends alone."""
    alert = fresh.alert
    return (
        (Cause(cause=alert.cause, raised_at=alert.raised_at),) if alert.kind in SINGLY and fresh.live else ()
    )


def _gathered(s: Standing, fresh: Standing, note: str, manner: Manner, now: datetime) -> Standing:
    """Return the events that wait with one more. Where one lasts, those that are over are named by their ids and not
    counted. `note`: that the new one is over.
    """
    alert, seen = fresh.alert, (*s.seen, fresh.alert.alert_id)[-GATHERED:]
    if s.live and note:
        return s.changed(now, seen=seen)
    anew = fresh.live and not s.live  # all that waited are over: it is the first
    count, began = (1, now) if anew else (s.count + 1, s.since)
    since = f"{began.astimezone(ZoneInfo(manner.zone)):%H:%M}"
    summary = f"{count} more since {since} ({alert.kind.replace('_', ' ')}), the last: {alert.summary}"
    return s.changed(
        now,
        alert=alert.model_copy(update={"summary": summary[:500]}),
        state=AlertState.PENDING if fresh.live else s.state,
        since=began,
        seen=seen,
        causes=(*s.causes, *_causes(fresh))[-CAUSES:],
        count=count,
        note="" if fresh.live else note if note == s.note else ENDED if note or s.note else "",
    )


def _next(run: Run | None, id_: str, settings: AlertSettings, now: datetime) -> tuple[Run, datetime]:
    """Return a run with one more event, and when that may be told."""
    if run is None or _is_over(run, settings, now):
        run = Run(last_at=now, next_at=now)
    run = run.model_copy(update={"last_at": now, "ids": (*run.ids, id_)[-GATHERED:]})
    return run, max(run.next_at, now)


def _planned(run: Run, at: datetime, settings: AlertSettings) -> Run:
    """Return a run of which a message is told at a time."""
    messages = run.messages + 1
    doubled = settings.ring_every * 2 ** min(max(messages - ALONE, 0), 20)
    wait = min(doubled, settings.repeat_after(Severity.CRITICAL)) if messages >= ALONE else timedelta(0)
    return run.model_copy(update={"messages": messages, "next_at": at + wait})


def _is_over(run: Run, settings: AlertSettings, now: datetime) -> bool:
    return now - run.last_at > settings.repeat_after(Severity.CRITICAL)


def _kept(runs: Mapping[str, Run], settings: AlertSettings, now: datetime) -> dict[str, Run]:
    """Return the runs that go on, the latest RUNS of them."""
    going = {key: run for key, run in runs.items() if not _is_over(run, settings, now)}
    latest = sorted(going, key=lambda key: going[key].last_at)[-RUNS:]
    return {key: going[key] for key in going if key in set(latest)} if len(going) > RUNS else going
