"""After an outage: alerts that reached nobody come in one message, not in as many as there were."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice, Part
from stopline.rules.alerting.delivery import AlertRecord

LINES, IDS, PARTS = 20, 2000, 2000  # as `Notice` takes them
_RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


def caught_up(records: Sequence[AlertRecord], zone: str, now: datetime) -> Notice:
    """Return one notice for several that were to go to the same people and reached nobody, the worst first.

    What has ended since is told as such by its own line; nothing is left out but counted.
    """
    ranked = sorted(records, key=lambda r: (r.alert.resolved, _RANK[r.alert.severity], r.alert.raised_at))
    single = [r for r in ranked if not r.lines]
    standing = [r for r in ranked if not r.alert.resolved]
    covers = list(dict.fromkeys(id_ for r in ranked for id_ in (r.covers or (r.alert.alert_id,))))
    count = len(covers) + sum(r.more for r in ranked)
    kinds = Counter(r.alert.kind for r in single)
    named = ", ".join(f"{kind.replace('_', ' ')} {n}" for kind, n in kinds.most_common(6))
    first = min(r.alert.raised_at for r in ranked)
    since = f"{first.astimezone(ZoneInfo(zone)):%H:%M}"
    lines = [line for r in ranked for line in (r.lines or (_line(r, zone),))]
    parts = [p for r in ranked for p in (r.parts or (Part(severity=r.alert.severity, kind=r.alert.kind),))]
    worst = standing[0] if standing else ranked[0]
    alert = Alert(
        alert_id=digest("caught_up", *sorted(r.alert.alert_id for r in ranked)),
        account=worst.alert.account,
        kind="caught_up",
        object="account",
        severity=worst.alert.severity,
        summary=f"{count} alerts reached nobody since {since}: {named or 'see below'}"[:500],
        action="Stopline kept trying. All of them: `stopline alerts list`.",
        raised_at=max(r.alert.raised_at for r in ranked),
        resolved=not standing,
    )
    return Notice(
        alert=alert,
        incident=worst.incident,
        stage=worst.stage,
        lines=tuple(line[:200] for line in lines[:LINES]),
        covers=tuple(covers[:IDS]),
        more=sum(r.more for r in ranked) + max(len(covers) - IDS, 0),
        parts=tuple(dict.fromkeys(parts))[:PARTS],
        decided_at=now,
        ring="quiet" if all(r.ring == "quiet" for r in standing) and standing else "usual",
    )


def _line(record: AlertRecord, zone: str) -> str:
    alert = record.alert
    word = "RESOLVED" if alert.resolved else alert.severity.value.upper()
    note = f" ({record.note})" if record.note else ""
    return f"{alert.raised_at.astimezone(ZoneInfo(zone)):%H:%M} {word} {alert.summary}{note}"
