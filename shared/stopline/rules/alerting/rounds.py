"""What time does to an account's alerts: digests go out, the next person is told, what stands is told again."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice, Part, Ring
from stopline.model.settings.alerts import AlertSettings
from stopline.rules.alerting.channel_health import FAILED
from stopline.rules.alerting.events import GATHERED, REPEATS, faded, spent
from stopline.rules.alerting.flapping import settled, settles_at
from stopline.rules.alerting.incidents import LATE, OVER, AlertState, Decision, Incidents, Manner, Standing
from stopline.rules.alerting.kinds import is_event
from stopline.rules.alerting.ringing import marked, may_ring, rung, waiting, with_ring
from stopline.rules.alerting.room import KNOWN
from stopline.rules.alerting.telling import take_budget

FORGET = timedelta(hours=24)  # what has ended
REMIND = timedelta(hours=24)  # of what somebody has taken and still stands
LINES = 20  # single alerts that a digest names
COVERED = 900  # ids of what is followed (KNOWN conditions, IDS each); LISTED more fit into a notice
_RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


def checked(before: Incidents, manner: Manner, now: datetime) -> Decision:
    """Return what is to be done now; the state also says when to look again (`due_at`)."""
    after = _forgotten(settled(faded(before, manner.settings, now), now), now)
    after = _spoken_again(after, manner.settings, now)
    after, told = _digest(after, manner, now)
    after, rings = _late_ring(after, manner.settings, now)
    after, escalated = _escalation(after, manner.settings, now)
    due = _due_at(after, manner.settings)
    return Decision(after.model_copy(update={"due_at": due}), (*told, *rings, *escalated))


def _forgotten(before: Incidents, now: datetime) -> Incidents:
    """Forget what is over. What stands is never forgotten by time alone."""
    kept = {key: s for key, s in before.standing.items() if (at := _forget_at(s)) is None or now < at}
    return before if len(kept) == len(before.standing) else before.model_copy(update={"standing": kept})


def _forget_at(s: Standing) -> datetime | None:
    # a channel that somebody took may have been taken away: nobody tells its end then
    gone = s.state is AlertState.ACKNOWLEDGED and s.alert.kind == FAILED
    return None if s.untold or (s.live and not gone) else s.changed_at + FORGET


def _spoken_again(before: Incidents, settings: AlertSettings, now: datetime) -> Incidents:
    """Mark what is to be told again, and what was silenced by something that has ended."""
    changed = {}
    for key, s in before.standing.items():
        if s.silenced_by and s.live and not _stands(before, s.silenced_by):
            changed[key] = s.changed(now, silenced_by="", untold=True)
        elif (at := _repeat_at(s, settings)) and at <= now:
            changed[key] = _again(s)
    if not changed:
        return before
    return before.model_copy(update={"standing": {**before.standing, **changed}, "digest_at": now})


def _again(s: Standing) -> Standing:
    """Return what is told again, with the reason. It rings, unless somebody has taken it."""
    if s.state is AlertState.ACKNOWLEDGED:
        return s.model_copy(
            update={"untold": True, "rang": True, "note": f"{s.acknowledged_by} has it, still so"}
        )
    if not is_event(s.alert.kind):
        return s.model_copy(update={"untold": True, "rang": False})
    last = " and this is the last reminder" if s.repeats + 1 >= REPEATS else ""
    note = f"nobody has acknowledged it{last}"
    return s.model_copy(update={"untold": True, "rang": False, "repeats": s.repeats + 1, "note": note})


def _stands(before: Incidents, key: str) -> bool:
    return key in before.standing and before.standing[key].live and before.standing[key].critical


def _repeat_at(s: Standing, settings: AlertSettings) -> datetime | None:
    """Return when what stands is told again: what nobody has taken after everybody of the escalation was told, an event
    REPEATS times; what somebody has, each day.
    """
    if s.untold or s.told_at is None or s.ending is not None or s.unstable_since is not None:
        return None
    event = is_event(s.alert.kind)
    if s.state is AlertState.ACKNOWLEDGED and s.acknowledged_at is not None and not event:
        return max(s.told_at, s.acknowledged_at) + REMIND
    if s.state is not AlertState.FIRING or (event and s.repeats >= REPEATS):
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
    unfollowed = (
        before.unfollowed if quiet_until is None else 0
    )  # alone they wait, beside others they are counted
    if not (tellable or before.beyond or before.unlisted or unfollowed):
        waits = held or before.unfollowed
        return before.model_copy(update={"digest_at": quiet_until if waits else None}), ()
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
            "unfollowed": 0,
            "digest_at": quiet_until if len(held) > len(tellable) else None,
            "serial": paid.serial + 1,
        }
    )
    return after, (notice,)


def _rung(
    before: Incidents, held: Mapping[str, Standing], settings: AlertSettings, now: datetime
) -> tuple[Incidents, dict[str, Standing], Ring]:
    """Return the conditions as told, and whether phones ring: once for all of them."""
    after, told, rings = before, {}, False
    for key, s in held.items():
        changed, told[key], ring = rung(before, held, s.told(now), settings, now)
        after = after if changed is before else changed
        rings = rings or (s.critical and s.live and ring == "usual")
    # of a late one people know: the first was told
    unknown = any(not (_is(key, LATE) or _is(key, OVER)) for key in before.beyond)
    if unknown and may_ring(before, before.incident, settings, now):
        after, rings = marked(before, before.incident, now, held), True
    critical = bool(before.beyond) or any(s.critical and not s.alert.resolved for s in held.values())
    return after, told, "quiet" if critical and not rings else "usual"


def _digest_notice(before: Incidents, held: Sequence[Standing], now: datetime) -> Notice:
    id_ = digest("digest", before.account or "", str(before.serial))
    if len(held) == 1 and not (before.beyond or before.unfollowed or before.unlisted):
        [only] = held
        alert = only.alert.model_copy(update={"alert_id": id_})
        return Notice(
            alert=alert,
            incident=only.incident,
            note=_still(only),
            covers=_ids(held),
            more=_unnamed(held),
            decided_at=now,
        )
    more = sum(not _is(key, OVER) for key in before.beyond) + before.unlisted
    counts: Counter[str] = Counter(_kind(key) for key in before.beyond)
    for s in held:
        counts[s.alert.kind] += _number(s)
    by_kind = ", ".join(f"{kind.replace('_', ' ')} {n}" for kind, n in counts.most_common(6))
    by_kind = f": {by_kind}" if by_kind else ""
    critical = sum(_number(s) for s in held if s.critical and s.live) + more
    were = sum(_number(s) for s in held if s.critical and not (s.live or s.alert.resolved))
    were += sum(_is(key, OVER) for key in before.beyond)
    past = f", {were} {'was' if were == 1 else 'were'}" if were else ""
    worst = Severity.CRITICAL if critical or were else Severity.WARNING
    severity = (
        worst
        if critical or were
        else min((s.alert.severity for s in held), key=_RANK.__getitem__, default=worst)
    )
    total = counts.total() + before.unlisted + before.unfollowed
    alert = Alert(
        alert_id=id_,
        account=before.account,
        kind="digest",
        object="account",
        severity=severity,
        summary=f"{total} more alerts, {critical} critical{past}{by_kind}{_unfollowed(before)}"[:500],
        raised_at=now,
        resolved=bool(held)
        and all(s.alert.resolved for s in held)
        and not (more or were or before.unfollowed),
    )
    lines = tuple(_line(s) for s in held[:LINES])
    parts = [Part(severity=s.alert.severity, kind=s.alert.kind) for s in held]
    parts += [Part(severity=Severity.CRITICAL, kind=key.partition("|")[0]) for key in before.beyond]
    return Notice(
        alert=alert,
        incident=before.incident,
        lines=lines,
        total=total,
        covers=(*_ids(held), *before.beyond.values()),
        more=before.unlisted + _unnamed(held),
        parts=tuple(dict.fromkeys(parts)),
        decided_at=now,
    )


def _still(s: Standing) -> str:
    """Return why people hear of it: its note, or that it is what they know already, and stands."""
    known = s.told_at and s.live and s.figure == s.told_current and not is_event(s.alert.kind)
    return s.note or ("still so" if known else "")


def _unfollowed(before: Incidents) -> str:
    """Say that there are more than can be followed: nobody hears of these again."""
    n = before.unfollowed
    return f"; {n} are not followed: more than {KNOWN} stand" if n else ""


def _number(s: Standing) -> int:
    """Return how many alerts it is."""
    return s.count if s.gathered else 1


def _unnamed(held: Iterable[Standing]) -> int:
    """Return how many events are counted without their ids."""
    return sum(max(s.count - len(s.seen), 0) for s in held if s.gathered)


def _kind(key: str) -> str:
    """Return the kind that a digest counts for one of `beyond`."""
    kind = key.partition("|")[0]
    return next((f"{kind} {mark}" for mark in (LATE, OVER) if _is(key, mark)), kind)


def _is(key: str, mark: str) -> bool:
    """Tell whether one of `beyond` came late, or is over."""
    return key.partition("|")[2].startswith(f"{mark}|")


def _ids(held: Sequence[Standing]) -> tuple[str, ...]:
    """Return the ids of all alerts that a message tells: the latest of each condition first, then those before."""
    return tuple(s.seen[-back] for back in range(1, GATHERED + 1) for s in held if back <= len(s.seen))[
        :COVERED
    ]


def _line(s: Standing) -> str:
    word = "RESOLVED" if s.alert.resolved else s.alert.severity.value.upper()
    return f"{word} {s.alert.summary}{f' ({s.note})' if s.note else ''}"[:200]


# --- phones ---


def _late_ring(
    before: Incidents, settings: AlertSettings, now: datetime
) -> tuple[Incidents, tuple[Notice, ...]]:
    """Ring for what is critical, was told without a ring, and that nobody has taken since."""
    late = waiting(before)
    if not late or not all(may_ring(before, s.incident, settings, now) for s in late.values()):
        return before, ()
    ranked = sorted(late.values(), key=lambda s: s.alert.raised_at)
    alone = before.model_copy(update={"beyond": {}, "unlisted": 0, "unfollowed": 0})
    notice = _digest_notice(alone, ranked, now)
    after = marked(before, ranked[-1].incident, now, late)
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
        total=len(ranked),
        covers=_ids(ranked),
        decided_at=now,
    )


def _may_wait(before: Incidents, due: Iterable[Standing], settings: AlertSettings, now: datetime) -> bool:
    """Tell whether the next persons know of this incident, and were told of it a moment ago."""
    lately = before.escalated_at is not None and now < before.escalated_at + settings.ring_every
    return lately and all(s.incident == before.escalated_incident for s in due)


def _escalate_at(s: Standing, settings: AlertSettings) -> datetime | None:
    if not s.critical or s.state is not AlertState.FIRING or s.first_told_at is None or s.ending:
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
        moments += [_escalate_at(s, settings), _repeat_at(s, settings), spent(s, settings)]
        moments += [settles_at(s), _forget_at(s)]
    return min((m for m in moments if m is not None), default=None)
