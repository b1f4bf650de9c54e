"""How many alerts of an account are followed, and what becomes of more: they are told all the same, in digests."""

from datetime import datetime

from stopline.model.messages import Alert, Severity
from stopline.rules.alerting.flapping import ACTS
from stopline.rules.alerting.incidents import OVER, AlertState, Decision, Incidents, Standing, key_of
from stopline.rules.alerting.kinds import is_event
from stopline.rules.alerting.telling import SOON

KNOWN = 100  # alerts of one account whose life is followed; critical ones beyond that are told in digests
LISTED = 1000  # of those, by name; the rest as a number


def with_room(before: Incidents, alert: Alert, now: datetime) -> Incidents:
    """Forget the oldest alerts that have ended; for a critical alert also what is over and still to be told, then one that
    is not critical, and at last one that a person has taken: what nobody has taken must escalate. People are told by id
    what is over, and how many that stand are forgotten.
    """
    critical = alert.severity is Severity.CRITICAL and not alert.resolved
    found = [
        (rank, s.changed_at, key)
        for key, s in before.standing.items()
        if (rank := _rank(s)) is not None and (critical or rank == 0)
    ]
    excess = max(len(before.standing) - KNOWN + 1, 1)
    for *_, gone in sorted(found)[:excess]:
        lost = before.standing[gone]
        kept = {k: s for k, s in before.standing.items() if k != gone}
        before = before.model_copy(update={"standing": kept})
        if not lost.live and lost.untold and lost.wakes:
            before = _named(before, lost, now)
        elif lost.live or lost.untold:
            before = _counted(before, now, lost.count if lost.gathered else 1)
    return before


def _rank(s: Standing) -> int | None:
    """Return how soon it gives up its place: 0 to anything, 1 to 3 to what is critical, None never."""
    if not s.live:
        return 1 if s.untold and (s.wakes or is_event(s.alert.kind)) else 0
    if not s.critical:
        return 2
    return 3 if s.state is AlertState.ACKNOWLEDGED else None


def _named(before: Incidents, over: Standing, now: datetime) -> Incidents:
    """Return the state in which the next digest names what is over by its ids, as far as it has room for them."""
    ids = over.seen if over.critical else (over.alert.alert_id,)
    names = {f"{over.alert.kind}|{OVER}|{id_}": id_ for id_ in ids}
    room = max(LISTED - len(before.beyond), 0)
    listed = dict([*names.items()][-room:] if room else [])
    left = max(over.count if over.gathered else 0, len(names)) - len(listed)
    before = before.model_copy(update={"beyond": {**before.beyond, **listed}}).due_by(now + SOON)
    return _counted(before, now, left) if left else before


def is_full(before: Incidents, alert: Alert) -> bool:
    """Tell whether an alert is not followed. What a person does to the trading state always is: scopes are few."""
    return len(before.standing) >= KNOWN and alert.kind not in ACTS


def beyond(before: Incidents, alert: Alert, now: datetime) -> Decision:
    """Note an alert for the next digest: more stand than can be followed. It names critical ones and counts others."""
    if alert.severity is Severity.CRITICAL and not alert.resolved:
        return Decision(in_digest(before, key_of(alert), alert, now + SOON), outcome="counted")
    if alert.resolved and not is_event(alert.kind):
        return Decision(before, outcome="counted")  # the end of what is not followed
    return Decision(_counted(before, now, 1), outcome="counted")


def in_digest(before: Incidents, key: str, alert: Alert, at: datetime) -> Incidents:
    """Return the state in which a digest at a time, if not earlier, names a critical alert that nothing else follows."""
    name = f"{key}|{alert.alert_id}" if is_event(alert.kind) else key
    changed: dict[str, object] = {"unlisted": before.unlisted + 1}
    if name in before.beyond or len(before.beyond) < LISTED:
        changed = {"beyond": {**before.beyond, name: alert.alert_id}}
    return before.model_copy(update=changed).due_by(at)


def _counted(before: Incidents, now: datetime, number: int) -> Incidents:
    return before.model_copy(update={"unfollowed": before.unfollowed + number}).due_by(now + SOON)
