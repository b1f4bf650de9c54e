"""What comes and goes: an end is believed when it has lasted, and a condition that goes on and off is told as one.

With Prometheus it is `keep_firing_for`: what begins again within `keep_firing_s` of its end has not ended, and nobody is
told. From the third onset within OFTEN on a condition is unstable: people hear that once, instead of each onset and end,
and how it stands when nothing has changed for CALM. No onset of something critical waits: the third one tells it.
"""

from datetime import datetime, timedelta

from stopline.model.messages import Alert, Severity
from stopline.model.settings.alerts import AlertSettings
from stopline.rules.alerting.incidents import AlertState, Incidents, Standing

CALM = timedelta(minutes=10)
OFTEN = 2 * CALM  # so that whatever comes again before it is calm is unstable with its third onset
UNSTABLE = 3  # onsets within OFTEN
MOST = 100  # onsets that are remembered
ACTS = frozenset({"trading_state"})  # somebody's doing: it ends when it is said to


def is_onset(known: Standing | None, alert: Alert) -> bool:
    """Tell whether something begins: it was over, its end had been said, or it becomes critical."""
    if alert.resolved or alert.kind in ACTS or alert.severity is Severity.INFO:
        return False
    if known is None or not known.live or known.ending is not None:
        return True
    return alert.severity is Severity.CRITICAL and not known.critical


def begun(fresh: Standing, known: Standing | None, now: datetime) -> Standing:
    """Return a condition with one more onset; from the third one on it is unstable."""
    since = known.unstable_since if known else None
    earlier = known.onsets if known else ()
    onsets = tuple(at for at in earlier if since or now - at <= OFTEN)[1 - MOST :]
    onsets = (*onsets, now)
    if since is None and len(onsets) >= UNSTABLE:
        since = onsets[0]
    return fresh.model_copy(update={"onsets": onsets, "unstable_since": since})


def held_end(known: Standing, end: Alert, settings: AlertSettings, now: datetime) -> datetime | None:
    """Return until when the end of a condition is not believed; None where it is at once."""
    if known.ending is not None:
        return known.ends_at
    wait = CALM if known.unstable_since else timedelta(seconds=settings.keep_firing_s)
    if not wait or known.told_at is None or end.kind in ACTS:
        return None
    return now + wait


def settles_at(s: Standing) -> datetime | None:
    """Return when a condition is known to have ended, or to be calm."""
    if s.ending is not None:
        return s.ends_at
    return s.onsets[-1] + CALM if s.live and s.unstable_since and s.onsets else None


def settled(before: Incidents, now: datetime) -> Incidents:
    """Return the state in which what has ended for long enough is over, and what is calm is told as it is."""
    changed = {k: _settled(s, now) for k, s in before.standing.items() if (at := settles_at(s)) and at <= now}
    if not changed:
        return before
    for key in changed:
        if before.standing[key].ending is not None:
            before = with_unheard(before, key, before.standing[key], now)
    return before.model_copy(update={"standing": {**before.standing, **changed}}).due_by(now)


def with_unheard(before: Incidents, key: str, s: Standing, now: datetime) -> Incidents:
    """Return the state before a condition eases or ends, or news comes of one that something else has ended. Where it waits
    to be told that it is critical, that keeps a place of its own in the digest.
    """
    if not (s.untold and s.critical) or s.alert.resolved or s.told_severity is Severity.CRITICAL:
        return before
    key = f"{key}|(was critical)"
    earlier = before.standing.get(key)
    seen = earlier.seen if earlier and earlier.untold else ()
    unheard = s.changed(
        now,
        state=AlertState.RESOLVED,
        note="it has eased or ended since",
        seen=tuple(dict.fromkeys((*seen, *s.seen)))[-MOST:],
        ending=None,
        ends_at=None,
        onsets=(),
        unstable_since=None,
    )
    return before.with_standing(key, unheard)


def _settled(s: Standing, now: datetime) -> Standing:
    """Return a condition that is to be told: over, or calm."""
    calm = {"ending": None, "ends_at": None, "unstable_since": None, "onsets": (), "untold": True}
    note = f"it began {len(s.onsets)} times in {_minutes(s)} min" if s.unstable_since else ""
    if s.ending is not None:
        onsets = () if s.unstable_since else s.onsets
        eased = now if s.critical else s.eased_at
        over = {"alert": s.ending, "state": AlertState.RESOLVED, "eased_at": eased, "note": note}
        return s.changed(now, **{**calm, **over, "onsets": onsets})
    return s.changed(now, note=f"{note}, and stands since", **calm)


def _minutes(s: Standing) -> int:
    return int(((s.ending.raised_at if s.ending else s.onsets[-1]) - s.onsets[0]).total_seconds() // 60) + 1
