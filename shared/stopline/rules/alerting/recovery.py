"""After an outage: alerts that reached nobody come in one message, not in as many as there were."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice, Part
from stopline.rules.alerting.delivery import AlertRecord
from stopline.rules.alerting.incidents import AlertState, Incidents, Standing
from stopline.rules.alerting.kinds import is_event

OVER = "over"
LINES, IDS, PARTS = 20, 2000, 2000  # as `Notice` takes them
_RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


def became(record: AlertRecord, incidents: Incidents) -> str:
    """Return what became of an alert while nobody could be told: nothing where it is to be told as it was, OVER, or who has
    it. Of several in one message the one that stands counts.

    An event that nobody took has happened all the same, and what is not followed any more may stand.
    """
    if record.alert.resolved or record.alert.severity is not Severity.CRITICAL:
        return ""
    ids = set(record.covers or (record.alert.alert_id,))
    told = [s for s in incidents.standing.values() if not ids.isdisjoint(s.seen)]
    if not told or any(_is_open(s) for s in told):
        return ""
    takers = [s.acknowledged_by for s in told if s.state is AlertState.ACKNOWLEDGED]
    return f"{takers[0]} has it" if takers else OVER


def _is_open(s: Standing) -> bool:
    """Tell whether it is nobody's and stands. An event that only time has ended was never heard of."""
    unheard = is_event(s.alert.kind) and not s.acknowledged_by and s.state is AlertState.RESOLVED
    return unheard or (s.state in (AlertState.PENDING, AlertState.FIRING) and s.ending is None)


def caught_up(records: Sequence[AlertRecord], zone: str, now: datetime, incidents: Incidents) -> Notice:
    """Return one notice for several that were to go to the same people and reached nobody, the worst first.

    What has ended since, or somebody has taken, is told as such by its own line, and rings nobody; nothing is left out but
    counted. `incidents`: the account's, as they are.
    """
    since = {r.alert.alert_id: became(r, incidents) for r in records}
    gone = {r.alert.alert_id for r in records if r.alert.resolved or since[r.alert.alert_id] == OVER}
    ranked = sorted(
        records, key=lambda r: (r.alert.alert_id in gone, _RANK[_worth(r, since)], r.alert.raised_at)
    )
    told = [r for r in ranked if not r.alert.resolved] or ranked
    open_ = [r for r in told if not since[r.alert.alert_id] and not r.alert.resolved]
    covers = list(dict.fromkeys(id_ for r in ranked for id_ in (r.covers or (r.alert.alert_id,))))
    lines = [line for r in ranked for line in _lines(r, zone, since[r.alert.alert_id])]
    worst, count = ranked[0], len(covers) + sum(r.more for r in ranked)
    alert = Alert(
        alert_id=digest("caught_up", *sorted(r.alert.alert_id for r in ranked)),
        account=worst.alert.account,
        kind="caught_up",
        object="account",
        severity=min((_worth(r, since) for r in told), key=_RANK.__getitem__),
        summary=_summary(ranked, count, zone),
        action="Stopline kept trying. All of them: `stopline alerts list`.",
        raised_at=max(r.alert.raised_at for r in ranked),
        resolved=len(gone) == len(records),
    )
    return Notice(
        alert=alert,
        incident=worst.incident,
        stage=worst.stage,
        lines=tuple(line[:200] for line in lines[:LINES]),
        total=max(count, len(lines)),
        covers=tuple(covers[:IDS]),
        more=sum(r.more for r in ranked) + max(len(covers) - IDS, 0),
        parts=tuple(dict.fromkeys(p for r in ranked for p in _parts(r, since)))[:PARTS],
        decided_at=now,
        ring="quiet"
        if all(r.ring == "quiet" for r in open_) and not all(r.alert.resolved for r in told)
        else "usual",
    )


def _worth(record: AlertRecord, since: Mapping[str, str]) -> Severity:
    """Return how severe an alert is by now: what was critical and is over, or taken, is a warning."""
    severity = record.alert.severity
    return _eased(severity) if since[record.alert.alert_id] else severity


def _eased(severity: Severity) -> Severity:
    return max(severity, Severity.WARNING, key=_RANK.__getitem__)


def _parts(record: AlertRecord, since: Mapping[str, str]) -> Sequence[Part]:
    """Return what a record tells, for the routes."""
    found = record.parts or (Part(severity=record.alert.severity, kind=record.alert.kind),)
    if not since[record.alert.alert_id]:
        return found
    return [p.model_copy(update={"severity": _eased(p.severity)}) for p in found]


def _summary(ranked: Sequence[AlertRecord], count: int, zone: str) -> str:
    kinds = Counter(r.alert.kind for r in ranked if not r.lines)
    named = ", ".join(f"{kind.replace('_', ' ')} {n}" for kind, n in kinds.most_common(6))
    first = min(r.alert.raised_at for r in ranked).astimezone(ZoneInfo(zone))
    return f"{count} alert{'s' * (count > 1)} reached nobody since {first:%H:%M}: {named or 'see below'}"[
        :500
    ]


def _lines(record: AlertRecord, zone: str, since: str) -> Sequence[str]:
    """Return the lines of an alert, or those of a message of several, with what became of it."""
    alert, now = record.alert, f"{since} by now" if since else ""
    if record.lines:
        return [f"{line} ({now})" if now else line for line in record.lines]
    word = "RESOLVED" if alert.resolved else alert.severity.value.upper()
    note = "; ".join(text for text in (now, record.note) if text)
    at = f"{alert.raised_at.astimezone(ZoneInfo(zone)):%H:%M}"
    return [f"{at} {word} {alert.summary}{f' ({note})' if note else ''}"]
