"""Somebody has taken what stands: escalation ends, and the others who were called hear of it."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice
from stopline.rules.alerting.delivery import AlertRecord
from stopline.rules.alerting.incidents import AlertState, Decision, Incidents, Manner, Standing, is_id, key_of

TAKEN = "acknowledged"  # the kind of what the others hear
_OPEN = (AlertState.FIRING, AlertState.PENDING)


def named(
    before: Incidents, reference: str, messages: Sequence[AlertRecord] = ()
) -> tuple[tuple[str, Standing], ...]:
    """Return what a reference names of what stands, with its keys.

    `reference`: the start of an alert's or incident's id, or a whole kind or key; empty: everything that stands.
    `messages`: those whose ids begin with it. One names what people had read by then, as `told_by` says: an id of an
    escalation, a digest or a repetition is no condition's own.
    """
    return tuple(
        (key, s)
        for key, s in before.standing.items()
        if s.live and (s.is_named(key, reference) or any(is_told_by(s, message) for message in messages))
    )


def told_by(before: Incidents, message: AlertRecord) -> tuple[Standing, ...]:
    """Return what stands of what the readers of a message had been told when it was made: its own alerts and those of its
    incident.
    """
    return tuple(s for s in before.live() if is_told_by(s, message))


def is_told_by(s: Standing, message: AlertRecord) -> bool:
    """Tell whether who reads a message has heard of a condition: not where it began, or became critical, after it."""
    since = s.first_told_at if s.critical else s.since
    if s.told_at is None or since is None or since > (message.decided_at or message.alert.raised_at):
        return False
    known = not set(s.seen).isdisjoint(message.covers)
    return known or bool(message.incident and s.incident == message.incident)


def acknowledged(
    before: Incidents, reference: str, who: str, now: datetime, messages: Sequence[AlertRecord] = ()
) -> tuple[Incidents, tuple[Standing, ...]]:
    """Return the state in which somebody has taken what stands, and what that was.

    `reference` and `messages` as of `named`. A person who acknowledges one alert of an incident has taken what people know
    of that incident. What is critical and nobody was told of is taken only by its own id.
    """
    found = named(before, reference, messages)
    incidents = {s.incident for _, s in found}
    keys = {key for key, s in found if not s.critical or s.told_at or _has_id(s, reference)}
    keys |= {key for key, s in before.standing.items() if s.incident in incidents and _may_be_taken(s)}
    return _taken(before, [key for key in before.standing if key in keys], who, now)


def acknowledged_by_link(
    before: Incidents, message: AlertRecord, who: str, now: datetime
) -> tuple[Incidents, tuple[Standing, ...]]:
    """Return the state in which a reader of a message has taken what `told_by` says, and nothing that came later."""
    return _taken(
        before, [k for k, s in before.standing.items() if s.live and is_told_by(s, message)], who, now
    )


def _has_id(s: Standing, reference: str) -> bool:
    return any(is_id(id_, reference) for id_ in s.seen)


def _may_be_taken(s: Standing) -> bool:
    """Tell whether it goes with its incident: all but what is critical and nobody has heard of."""
    return s.told_at is not None or not s.critical


def taken_by_act(decision: Decision, alert: Alert, who: str, manner: Manner, now: datetime) -> Decision:
    """Return a decision after which a person has taken what the alert tells, because it is that person's own act.

    Who stops a whole account has seen why: the rest of its incident is taken too. Its message tells those who hear of
    the account; the next persons, where they were called, hear that they are not needed.
    """
    own = decision.after.standing.get(key_of(alert))
    if own is None or alert.resolved:
        return decision
    whole = alert.object == f"account:{alert.account}"
    keys = [
        key
        for key, s in decision.after.standing.items()
        if key == key_of(alert) or (whole and s.incident == own.incident and _may_be_taken(s))
    ]
    after, taken = _taken(decision.after, keys, who, now)
    after, notices = others_told(after, taken, who, manner, now, first=1)
    return Decision(after, (*decision.notices, *notices), decision.outcome)


def others_told(
    before: Incidents,
    taken: Iterable[Standing],
    who: str,
    manner: Manner,
    now: datetime,
    *,
    first: int = 0,
    leave_out: str = "",
) -> tuple[Incidents, tuple[Notice, ...]]:
    """Return the notices to those who were called for what somebody has taken, from stage `first` on.

    `leave_out`: the mark of the address that it was taken by. Nobody is told of what nobody was told of.
    """
    known = [s for s in taken if s.told_at]
    if not known:
        return before, ()
    worst = min(known, key=lambda s: (not s.critical, s.since))
    people = manner.settings.escalate_to
    stages = range(first, min(max(s.escalated for s in known), len(people) + 1) + 1)
    notices = []
    for stage in stages:
        if 0 < stage <= len(people) and people[stage - 1] == who:
            continue
        more = f" (and {len(known) - 1} more)" if len(known) > 1 else ""
        alert = Alert(
            alert_id=digest("taken", before.account or "", str(before.serial), str(stage)),
            account=before.account,
            kind="acknowledged",  # TAKEN
            object=worst.alert.object,
            severity=Severity.INFO,
            summary=f"{who} has it: {worst.alert.summary}"[:450] + more,
            action="Nobody else is called for now. It stands until it is over.",
            raised_at=now,
        )
        notices.append(
            Notice(alert=alert, incident=worst.incident, stage=stage, leave_out=leave_out, decided_at=now)
        )
    return before.model_copy(update={"serial": before.serial + 1}), tuple(notices)


def _taken(
    before: Incidents, keys: Iterable[str], who: str, now: datetime
) -> tuple[Incidents, tuple[Standing, ...]]:
    changed = {
        key: s.changed(
            now,
            state=AlertState.ACKNOWLEDGED,
            acknowledged_by=who,
            acknowledged_at=now,
            acknowledged_current=s.figure,
        )
        for key in keys
        if (s := before.standing[key]).state in _OPEN
    }
    if not changed:
        return before, ()
    return before.model_copy(update={"standing": {**before.standing, **changed}}), tuple(changed.values())
