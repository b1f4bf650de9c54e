"""What time does to an account's alerts: digests go out, the next person is told, what stands is told again."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice, Part, Ring
from stopline.model.settings.alerts import AlertSettings
from stopline.rules.alerting.incidents import LATE, AlertState, Decision, Incidents, Manner, Standing
from stopline.rules.alerting.lifecycle import IDS, take_budget
from stopline.rules.alerting.ringing import marked, may_ring, rung, waiting, with_ring

FORGET = timedelta(hours=24)  # a condition that ended, and a warning of which nobody heard more
LINES = 20  # single alerts that a digest names
COVERED = 900  # ids of what is followed (KNOWN conditions, IDS each); LISTED more fit into a notice
_RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


def checked(before: Incidents, manner: Manner, now: datetime) -> Decision:
    """Return what is to be done now; the state also says when to look again (`due_at`)."""
    after = _forgotten(before, now)
    after = _spoken_again(after, manner.settings, now)
    after, told = _digest(after, manner, now)
    after, rings = _late_ring(after, manner.settings, now)
    after, escalated = _escalation(after, manner.settings, now)
    due = _due_at(after, manner.settings)
    return Decision(after.model_copy(update={"due_at": due}), (*told, *rings, *escalated))


def _forgotten(before: Incidents, now: datetime) -> Incidents:
    kept = {
        key: s
        for key, s in before.standing.items()
        if s.untold or now - s.changed_at < FORGET or (s.critical and s.state is AlertState.FIRING)
    }
    return before if len(kept) == len(before.standing) else before.model_copy(update={"standing": kept})


def _spoken_again(before: Incidents, settings: AlertSettings, now: datetime) -> Incidents:
    """Mark what is to be told again, and what was silenced by something that has ended."""
    changed = {}
    for key, s in before.standing.items():
        if s.silenced_by and s.live and not _stands(before, s.silenced_by):
            changed[key] = s.changed(now, silenced_by="", untold=True)
        elif (at := _repeat_at(s, settings)) and at <= now:
            changed[key] = s.model_copy(update={"untold": True, "rang": False})
    if not changed:
        return before
    return before.model_copy(update={"standing": {**before.standing, **changed}, "digest_at": now})


def _stands(before: Incidents, key: str) -> bool:
    return key in before.standing and before.standing[key].live and before.standing[key].critical


def _repeat_at(s: Standing, settings: AlertSettings) -> datetime | None:
    """Return when a condition that nobody has taken is told again: after everybody of the escalation was."""
    if s.state is not AlertState.FIRING or s.untold or s.told_at is None:
        return None
    if s.critical and s.escalated < len(settings.escalate_after):
        return None
    return s.told_at + settings.repeat_after(s.alert.severity)


# --- digest -------------------------------------------------------------------------------------------------


def _digest(before: Incidents, manner: Manner, now: datetime) -> tuple[Incidents, tuple[Notice, ...]]:
    """Tell everything that waits and may be told now, in one message, at most one a minute."""
    if before.digest_at is None or before.digest_at > now:
        return before, ()
    quiet_until = manner.quiet_until(now)
    held = {k: s for k, s in before.standing.items() if s.untold}
    tellable = {k: s for k, s in held.items() if s.wakes or quiet_until is None}
    later = quiet_until if len(held) > len(tellable) else None
    if not tellable and not before.beyond:
        return before.model_copy(update={"digest_at": later}), ()
    paid = take_budget(before, "digest", AlertSettings(per_minute=1), now)
    if paid is None:
        return before.model_copy(update={"digest_at": before.recent["digest"][-1] + timedelta(minutes=1)}), ()
    ranked = sorted(tellable.values(), key=lambda s: (_RANK[s.alert.severity], s.alert.raised_at))
    notice = _digest_notice(paid, ranked, now)
    paid, told, ring = _rung(paid, tellable, manner.settings, now)
    notice = notice.model_copy(update={"ring": ring})
    after = paid.model_copy(
        update={
            "standing": {**paid.standing, **told},
            "beyond": {},
            "unlisted": 0,
            "digest_at": later,
            "serial": paid.serial + 1,
        }
    )
    return after, (notice,)


def _rung(
    before: Incidents, held: Mapping[str, Standing], settings: AlertSettings, now: datetime
) -> tuple[Incidents, dict[str, Standing], Ring]:
    """Return the conditions as told, and whether phones ring: once for all of them."""
    after, told = before, {}
    for key, s in held.items():
        changed, told[key], _ = rung(before, s.told(now), settings, now)
        after = after if changed is before else changed
    unknown = any(not _is_late(key) for key in before.beyond)  # of a late one people know: the first was told
    if unknown and may_ring(before, before.incident, settings, now):
        after = marked(before, before.incident, now)
    critical = bool(before.beyond) or any(s.critical and s.live for s in held.values())
    return after, told, "quiet" if critical and after is before else "usual"


def _digest_notice(before: Incidents, held: Sequence[Standing], now: datetime) -> Notice:
    id_ = digest("digest", before.account or "", str(before.serial))
    if len(held) == 1 and not before.beyond:
        [only] = held
        still = "still so" if only.told_at and only.live and only.figure == only.told_current else ""
        alert = only.alert.model_copy(update={"alert_id": id_})
        return Notice(alert=alert, incident=only.incident, note=still, covers=_ids(held), decided_at=now)
    more = len(before.beyond) + before.unlisted
    counts = Counter([s.alert.kind for s in held] + [_kind(key) for key in before.beyond])
    by_kind = ", ".join(f"{kind.replace('_', ' ')} {n}" for kind, n in counts.most_common(6))
    critical = sum(s.critical and s.live for s in held) + more
    severity = Severity.CRITICAL if critical else min((s.alert.severity for s in held), key=_RANK.__getitem__)
    alert = Alert(
        alert_id=id_,
        account=before.account,
        kind="digest",
        object="account",
        severity=severity,
        summary=f"{len(held) + more} more alerts, {critical} critical: {by_kind}"[:500],
        raised_at=now,
        resolved=all(s.alert.resolved for s in held) and not more,
    )
    lines = tuple(_line(s) for s in held[:LINES])
    parts = [Part(severity=s.alert.severity, kind=s.alert.kind) for s in held]
    parts += [Part(severity=Severity.CRITICAL, kind=key.partition("|")[0]) for key in before.beyond]
    return Notice(
        alert=alert,
        incident=before.incident,
        lines=lines,
        covers=(*_ids(held), *before.beyond.values()),
        more=before.unlisted,
        parts=tuple(dict.fromkeys(parts)),
        decided_at=now,
    )


def _kind(key: str) -> str:
    """Return the kind that a digest counts for one of `beyond`."""
    kind = key.partition("|")[0]
    return f"{kind} {LATE}" if _is_late(key) else kind


def _is_late(key: str) -> bool:
    return key.partition("|")[2].startswith(f"{LATE}|")


def _ids(held: Sequence[Standing]) -> tuple[str, ...]:
    """Return the ids of all alerts that a message tells: the latest of each condition first, then those before."""
    return tuple(s.seen[-back] for back in range(1, IDS + 1) for s in held if back <= len(s.seen))[:COVERED]


def _line(s: Standing) -> str:
    word = "RESOLVED" if s.alert.resolved else s.alert.severity.value.upper()
    return f"{word} {s.alert.summary}"[:200]


# --- phones ---


def _late_ring(
    before: Incidents, settings: AlertSettings, now: datetime
) -> tuple[Incidents, tuple[Notice, ...]]:
    """Ring for what is critical, was told without a ring, and that nobody has taken since."""
    late = waiting(before)
    if not late or not all(may_ring(before, s.incident, settings, now) for s in late.values()):
        return before, ()
    ranked = sorted(late.values(), key=lambda s: s.alert.raised_at)
    notice = _digest_notice(before.model_copy(update={"beyond": {}, "unlisted": 0}), ranked, now)
    after = marked(before, ranked[-1].incident, now)
    rang = {key: with_ring(s) for key, s in late.items()}
    return after.model_copy(update={"standing": {**after.standing, **rang}, "serial": after.serial + 1}), (
        notice.model_copy(update={"ring": "phone"}),
    )


# --- escalation ---------------------------------------------------------------------------------------------


def _escalation(
    before: Incidents, settings: AlertSettings, now: datetime
) -> tuple[Incidents, tuple[Notice, ...]]:
    """Tell the next persons of everything critical that nobody has taken for so long: after a silent sweep all whose
    time has come.

    Who was told of the incident hears what else is in it once in `ring_every_s`, in one message.
    """
    due = {k: s for k, s in before.standing.items() if (at := _escalate_at(s, settings)) and at <= now}
    if not due:
        return before, ()
    waits = _may_wait(before, due.values(), settings, now)
    stages = _stages(due.values(), settings, now, before.escalated_stage if waits else 0)
    if not stages:
        return before, ()
    raised = {k: s.model_copy(update={"escalated": _stage(s, settings, now)}) for k, s in due.items()}
    ranked = sorted(due.values(), key=lambda s: s.first_told_at or now)
    changed = {
        "standing": {**before.standing, **raised},
        "serial": before.serial + len(stages),
        "escalated_at": now,
        "escalated_incident": ranked[0].incident,
        "escalated_stage": stages[-1],
    }
    notices = (_call(before, stage, ranked, before.serial + n, now) for n, stage in enumerate(stages))
    return before.model_copy(update=changed), tuple(notices)


def _call(before: Incidents, stage: int, ranked: Sequence[Standing], serial: int, now: datetime) -> Notice:
    """Return the message to the person of a stage, about what was told first and the rest by lines."""
    first = ranked[0]
    minutes = int((now - (first.first_told_at or now)).total_seconds() // 60)
    id_ = digest("escalation", before.account or "", str(serial))
    return Notice(
        alert=first.alert.model_copy(update={"alert_id": id_}),
        incident=first.incident,
        stage=stage,
        note=f"nobody has acknowledged it for {minutes} min",
        lines=tuple(_line(s) for s in ranked[:LINES]) if len(ranked) > 1 else (),
        covers=_ids(ranked),
        decided_at=now,
    )


def _may_wait(before: Incidents, due: Iterable[Standing], settings: AlertSettings, now: datetime) -> bool:
    """Tell whether the next persons know of this incident, and were told of it a moment ago."""
    lately = before.escalated_at is not None and now < before.escalated_at + settings.ring_every
    return lately and all(s.incident == before.escalated_incident for s in due)


def _escalate_at(s: Standing, settings: AlertSettings) -> datetime | None:
    if not s.critical or s.state is not AlertState.FIRING or s.first_told_at is None:
        return None
    times = settings.escalate_after
    return s.first_told_at + times[s.escalated] if s.escalated < len(times) else None


def _stage(s: Standing, settings: AlertSettings, now: datetime) -> int:
    """Return the last stage, from 1, whose time has come; 0: none."""
    return sum(now >= (s.first_told_at or now) + after for after in settings.escalate_after)


def _stages(due: Iterable[Standing], settings: AlertSettings, now: datetime, known: int) -> list[int]:
    """Return the stages after the `known` one that are told now: nobody in two of them, also not the operator."""
    reached = {n for s in due for n in range(max(s.escalated, known) + 1, _stage(s, settings, now) + 1)}
    whose = dict(enumerate(settings.escalate_to, start=1))
    return sorted({whose.get(n): n for n in sorted(reached)}.values())


def _due_at(after: Incidents, settings: AlertSettings) -> datetime | None:
    moments = [after.digest_at]
    if after.rang_at and waiting(after):
        moments.append(after.rang_at + settings.ring_every)
    for s in after.standing.values():
        moments += [_escalate_at(s, settings), _repeat_at(s, settings)]
        if not (s.critical and s.state is AlertState.FIRING):
            moments.append(s.changed_at + FORGET)
    return min((m for m in moments if m is not None), default=None)
