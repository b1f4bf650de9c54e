"""Something that a sweep sees standing, and the alerts when it begins and when it is over."""

from dataclasses import dataclass
from datetime import datetime

from stopline.model.ids import digest
from stopline.model.messages import Alert, Figure, Severity


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds now, in words for people. `key` identifies it from one sweep to the next."""

    kind: str
    object: str
    summary: str
    action: str
    figure: Figure | None = None
    severity: Severity = Severity.WARNING

    @property
    def key(self) -> str:
        return f"{self.kind}|{self.object}"


def begun(account: str, condition: Condition, cause: str, now: datetime) -> Alert:
    """Return the alert of a condition that is new; the same cause gives the same alert."""
    return Alert(
        alert_id=digest("condition", account, condition.key, "stands", cause),
        account=account,
        kind=condition.kind,
        object=condition.object,
        severity=condition.severity,
        summary=condition.summary[:500],
        action=condition.action,
        figure=condition.figure,
        cause=cause,
        raised_at=now,
    )


def over(account: str, key: str, cause: str, now: datetime) -> Alert:
    """Return the alert of a condition that does not stand any more."""
    kind, object_ = key.split("|", 1)
    whose = "" if object_ == "account" else f" of {object_}"
    return Alert(
        alert_id=digest("condition", account, key, "over", cause),
        account=account,
        kind=kind,
        object=object_,
        severity=Severity.INFO,
        summary=f"{kind.replace('_', ' ').capitalize()}{whose} is over"[:500],
        cause=cause,
        raised_at=now,
        resolved=True,
    )
