"""A silence that was found: a value, what people read of it, and how it is kept until it is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stopline.model.ids import digest
from stopline.model.messages import MOOT, Alert, Severity


@dataclass(frozen=True, slots=True)
class Found:
    """A silence: what about, whose (None: the operator's), in words for people. `parts`: the feeds of one that is of
    several; as they come back, the others stand.
    """

    kind: str
    account: str | None
    summary: str
    action: str
    object: str = "account"
    parts: tuple[str, ...] = ()
    severity: Severity = Severity.CRITICAL

    @property
    def key(self) -> str:
        part = "" if self.object == "account" else f"|{self.object}"
        return f"{self.kind}|{self.account or ''}{part}"

    def is_news_after(self, told: "Found") -> bool:
        """Tell whether people are to hear how it stands now."""
        return (self.parts, self.severity) != (told.parts, told.severity)

    def alert(self, since: datetime, now: datetime) -> Alert:
        """Return the alert of it."""
        stands = (*self.parts, self.severity.value) if self.parts else ()
        return Alert(
            alert_id=digest("watchdog", self.key, since.isoformat(), "found", *stands),
            account=self.account,
            kind=self.kind,
            object=self.object,
            severity=self.severity,
            summary=self.summary[:500],
            action=self.action,
            raised_at=now,
        )

    def end(self, since: datetime, now: datetime, moot: str = "") -> Alert:
        """Return the alert of its end. `moot`: why it ends without a sign of life."""
        how = moot or f"Over after {int((now - since).total_seconds() // 60)} min"
        return Alert(
            alert_id=digest("watchdog", self.key, since.isoformat(), "over"),
            account=self.account,
            kind=self.kind,
            object=self.object,
            severity=Severity.WARNING,
            summary=f"{how}: {self.summary}"[:500],
            cause=MOOT if moot else "",
            raised_at=now,
            resolved=True,
        )

    def plain(self) -> list[Any]:
        """Return it as plain data: the object only where there is one, parts and severity only of those that have parts."""
        plain: list[Any] = [self.kind, self.account, self.summary, self.action]
        if self.parts:
            return [*plain, self.object, list(self.parts), self.severity.value]
        return plain if self.object == "account" else [*plain, self.object]


def found_of(plain: Sequence[Any]) -> Found:
    """Read what `plain` wrote, or an earlier version of it."""
    if len(plain) < 7:
        return Found(*plain)
    kind, account, summary, action, object_, parts, severity = plain
    return Found(kind, account, summary, action, object_, tuple(parts), Severity(severity))
